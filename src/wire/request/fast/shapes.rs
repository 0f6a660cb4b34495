//! Shapes: what the lines of one client have in common.
//!
//! A client's library writes the same keys in the same order with the same spaces each time, and most values are the same too:
//! the lines of its requests differ in the name, the id, the owner and the token. So a line that [`fields`](super::fields) has
//! recognised is kept as its shape: what stands around these values, and what it means. The next such lines are compared with
//! it, in steps of up to 64 bytes. It takes three quarters of the instructions in which they are read field by field.

use super::fields::{Cursor, end_of_text, word};
use super::{Plain, PlainOperation, Word, is_name};
use crate::time::Span;
use crate::wire::Id;
use crate::wire::digits::Digits;
use crate::wire::request::{ID_BYTES_MAX, LockRef};

/// Those of four kinds of clients, for a lock and an unlock each. A line that has none of them is compared with all.
const SHAPES_MAX: usize = 8;
/// When all are in use, the shape of one in so many lines that have none replaces the oldest: if these all differ, little is
/// lost.
const UNKNOWN_LINES: u32 = 16;
/// A part for each value that differs, and one for the end.
const PARTS_MAX: usize = 6;

/// The shapes of the lines that came lately. What is recognised does not depend on them.
#[derive(Debug, Default)]
pub struct Shapes {
    /// Those that are not known yet are of no line, and come last.
    shapes: Box<[Shape; SHAPES_MAX]>,
    /// How many are known.
    known: usize,
    /// The one of the last line that had one.
    last: usize,
    /// The next one to be replaced.
    oldest: usize,
    /// Lines without a shape since one was replaced.
    unknown: u32,
}

impl Shapes {
    /// The plain request in the first line of `text`, as [`Start`](super::Start) returns it. `rest` is what
    /// of the text comes after what is known of that line.
    #[inline(never)]
    pub(super) fn line<'a>(
        &mut self,
        text: &'a str,
        begun: Option<Begun<'a>>,
        rest: &'a str,
    ) -> Option<(Plain<'a>, &'a str)> {
        // Requests follow each other as they did before: a lock, its unlock, a lock.
        let next = self.shapes[self.last % SHAPES_MAX].next;
        if let Some(found) = self.shapes[next % SHAPES_MAX].line(text, begun, rest) {
            self.last = next;
            return Some(found);
        }
        self.other_line(text, begun, rest)
    }

    #[inline(never)]
    fn other_line<'a>(
        &mut self,
        text: &'a str,
        begun: Option<Begun<'a>>,
        rest: &'a str,
    ) -> Option<(Plain<'a>, &'a str)> {
        // Lines of several names, and renewals: they need not be compared with all.
        let is_rare = |start: &str| text.starts_with(start);
        if is_rare("{\"command\":\"re") || is_rare("{\"command\":\"lock\",\"names\"") {
            return None;
        }
        for (number, shape) in self.shapes[..self.known].iter().enumerate() {
            if let Some(found) = shape.line(text, begun, rest) {
                self.go_on_with(number);
                return Some(found);
            }
        }
        let found = Cursor { rest: text }.object_of_line();
        if let Some((plain, after)) = &found {
            self.on_unknown(&text[..text.len() - after.len()], begun.is_some(), plain);
        }
        found
    }

    fn go_on_with(&mut self, number: usize) {
        self.shapes[self.last].next = number;
        self.last = number;
    }

    /// A line has no shape that is known.
    fn on_unknown(&mut self, line: &str, is_begun: bool, plain: &Plain<'_>) {
        self.unknown += 1;
        if self.known == SHAPES_MAX && self.unknown < UNKNOWN_LINES {
            return;
        }
        self.unknown = 0;
        let Some(mut shape) = Shape::of(line, is_begun, plain, false) else { return };
        // The timeouts of most clients are always the same, and then cost nothing.
        if self.shapes.iter().any(|other| other.differs_in_timeout(&shape)) {
            shape = Shape::of(line, is_begun, plain, true).unwrap_or(shape);
        }
        let number = self.oldest;
        self.oldest = (number + 1) % SHAPES_MAX;
        self.known = self.known.max(number + 1);
        self.shapes[number] = shape;
        self.go_on_with(number);
    }
}

/// What is known of a line that begins as most do.
#[derive(Clone, Copy)]
pub struct Begun<'a> {
    pub(super) word: Word,
    pub(super) name: &'a str,
}

/// One shape.
#[derive(Debug, Default)]
struct Shape {
    /// The command, if this begins after what is known in [`Begun`].
    begun: Option<Word>,
    /// Those after the end are empty.
    parts: [Part; PARTS_MAX],
    operation: Constant,
    /// The number of the shape that came after it last.
    next: usize,
}

/// What a line means, but for the values that differ.
#[derive(Clone, Copy, Debug, Default)]
enum Constant {
    /// A lock without its name.
    Lock(LockRef<'static>),
    #[default]
    Unlock,
}

impl Shape {
    /// That of a line with its `\n`, and what that means. None if not all of it can be in a shape.
    fn of(line: &str, is_begun: bool, plain: &Plain<'_>, has_timeouts: bool) -> Option<Self> {
        let (word, operation) = match plain.operation {
            PlainOperation::Lock(lock) => (Word::Lock, Constant::Lock(LockRef { name: "", ..lock })),
            PlainOperation::Unlock { .. } => (Word::Unlock, Constant::Unlock),
            // It ignores its owner.
            PlainOperation::KeepAlive => return None,
        };
        let begun = is_begun.then_some(word);
        let mut shape = Shape { begun, parts: Default::default(), operation, next: 0 };
        let mut parts = shape.parts.iter_mut();
        let mut text_start = 0;
        let mut rest = line.strip_prefix('{')?;
        while rest != "}\n" {
            let key_start = rest.find('"')? + 1;
            let (key, value) = rest[key_start..].split_once("\":")?;
            let value = value.trim_start_matches(' ');
            let text = value.strip_prefix('"');
            let value = text.unwrap_or(value);
            let end = value.find(if text.is_some() { &['"'][..] } else { &[',', '}'] })?;
            let hole = match (key, text.is_some()) {
                ("name", true) => Some(Hole::Name),
                ("id", true) => Some(Hole::IdText),
                ("owner", true) => Some(Hole::OwnerText),
                _ if value.starts_with('n') => None,
                ("id", false) => Some(Hole::IdNumber),
                ("owner", false) => Some(Hole::OwnerNumber),
                ("token", false) => Some(Hole::Token),
                ("timeout", false) if has_timeouts => Some(Hole::Timeout),
                _ => None,
            };
            if let Some(hole) = hole {
                let start = line.len() - value.len();
                if is_begun && hole == Hole::Name {
                    text_start = start + end + 1;
                } else {
                    *parts.next()? = Part { literal: Literal::new(&line[text_start..start])?, hole };
                    text_start = start + end;
                }
            }
            rest = &value[end + usize::from(text.is_some())..];
        }
        *parts.next()? = Part { literal: Literal::new(&line[text_start..])?, hole: Hole::End };
        Some(shape)
    }

    /// Whether two lines could be those of one client, with other timeouts.
    fn differs_in_timeout(&self, other: &Shape) -> bool {
        let (Constant::Lock(lock), Constant::Lock(of_other)) = (self.operation, other.operation) else { return false };
        let holes = |shape: &Shape| shape.parts.each_ref().map(|part| part.hole);
        lock.timeout != of_other.timeout && holes(self) == holes(other)
    }

    /// The request in the first line of a text, and what comes after that line, if it has this shape.
    #[inline(always)]
    fn line<'a>(&self, text: &'a str, begun: Option<Begun<'a>>, rest: &'a str) -> Option<(Plain<'a>, &'a str)> {
        if self.begun != begun.map(|begun| begun.word) {
            return None;
        }
        // Texts begin and end between characters, which is checked where they are cut out, and not at every step.
        let mut rest = rest.as_bytes();
        let mut name = begun.map_or("", |begun| begun.name);
        let (mut id, mut owner, mut token, mut timeout) = (None, None, None, None);
        for Part { literal, hole } in &self.parts {
            literal.skip(&mut rest)?;
            match hole {
                Hole::Name => name = take_text(text, &mut rest).filter(|name| is_name(name))?,
                Hole::IdText => id = Some(Id::Text(take_id(text, &mut rest)?)),
                Hole::OwnerText => owner = Some(Id::Text(take_id(text, &mut rest)?)),
                Hole::IdNumber => id = Some(Id::Number(take_number(text, &mut rest)?)),
                Hole::OwnerNumber => owner = Some(Id::Number(take_number(text, &mut rest)?)),
                Hole::Token => token = Some(take_number(text, &mut rest)?.value()),
                Hole::Timeout => timeout = Some(take_seconds(text, &mut rest)?),
                Hole::End => break,
            }
        }
        let operation = match self.operation {
            Constant::Lock(lock) => {
                let timeout = timeout.unwrap_or(lock.timeout);
                PlainOperation::Lock(LockRef { name, timeout, ..lock })
            }
            Constant::Unlock => PlainOperation::Unlock { name, token },
        };
        Some((Plain { id, owner, operation }, text.get(text.len() - rest.len()..)?))
    }
}

/// A part of a shape: bytes that are always the same, and what comes after them.
#[derive(Debug, Default)]
struct Part {
    literal: Literal,
    hole: Hole,
}

/// A value that differs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Hole {
    Name,
    IdText,
    IdNumber,
    OwnerText,
    OwnerNumber,
    Token,
    Timeout,
    /// None: this is the last part.
    #[default]
    End,
}

/// The text from here to its end, which is the quote that the next literal begins with. `rest` is the end of `text`.
#[inline(always)]
fn take_text<'a>(text: &'a str, rest: &mut &'a [u8]) -> Option<&'a str> {
    let start = text.len() - rest.len();
    let bytes = end_of_text(rest)?;
    *rest = &rest[bytes..];
    text.get(start..start + bytes)
}

/// The same for a text that can be an id.
#[inline(always)]
fn take_id<'a>(text: &'a str, rest: &mut &'a [u8]) -> Option<&'a str> {
    take_text(text, rest).filter(|text| text.len() <= ID_BYTES_MAX)
}

#[inline(always)]
fn take_number<'a>(text: &'a str, rest: &mut &'a [u8]) -> Option<Digits> {
    match Digits::short_in(word(rest)) {
        Some((number, digits)) => {
            *rest = rest.get(digits..)?;
            Some(number)
        }
        None => take(text, rest, |cursor| cursor.digits(cursor.word())),
    }
}

#[inline(never)]
fn take_seconds<'a>(text: &'a str, rest: &mut &'a [u8]) -> Option<Option<Span>> {
    // The space that is allowed is a part of the literal.
    if rest.starts_with(b" ") {
        return None;
    }
    take(text, rest, Cursor::seconds)
}

/// What is read from the end of a text that is left.
#[inline(always)]
fn take<'a, T>(text: &'a str, rest: &mut &'a [u8], read: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Option<T> {
    let mut cursor = Cursor { rest: text.get(text.len() - rest.len()..)? };
    let value = read(&mut cursor)?;
    *rest = cursor.rest.as_bytes();
    Some(value)
}

/// Bytes that a line must have. They are compared in two pieces of a length that is known to the compiler, which have
/// some bytes in common if need be: so nothing is read beyond them.
#[derive(Debug, Default)]
struct Literal {
    bytes: usize,
    /// The first bytes of a piece, and the last.
    first: [u8; 32],
    last: [u8; 32],
}

impl Literal {
    /// None if it is too short or too long.
    fn new(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let mut literal = Literal { bytes: text.len(), first: [0; 32], last: [0; 32] };
        let piece = literal.piece()?;
        literal.first[..piece].copy_from_slice(&text[..piece]);
        literal.last[..piece].copy_from_slice(&text[text.len() - piece..]);
        Some(literal)
    }

    /// The length of either of its two pieces.
    fn piece(&self) -> Option<usize> {
        match self.bytes {
            2..4 => Some(2),
            4..8 => Some(4),
            8..16 => Some(8),
            16..32 => Some(16),
            32..=64 => Some(32),
            _ => None,
        }
    }

    /// Skips it, if it is what comes next.
    #[inline(always)]
    fn skip(&self, rest: &mut &[u8]) -> Option<()> {
        let (text, after) = rest.split_at_checked(self.bytes)?;
        *rest = after;
        let is_next = match self.bytes {
            16..32 => self.is::<16>(text),
            32.. => self.is::<32>(text),
            8.. => self.is::<8>(text),
            4.. => self.is::<4>(text),
            _ => self.is::<2>(text),
        };
        is_next.then_some(())
    }

    #[inline(always)]
    fn is<const PIECE: usize>(&self, text: &[u8]) -> bool {
        let (first, last) = (self.first.first_chunk::<PIECE>(), self.last.first_chunk::<PIECE>());
        text.first_chunk() == first && text.last_chunk() == last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::fast::Start;

    /// How many of these lines had no shape that was known.
    fn unknown(shapes: &mut Shapes, lines: impl IntoIterator<Item = String>) -> usize {
        let count = |shapes: &Shapes| (shapes.known, shapes.oldest, shapes.unknown);
        let is_unknown = |line: &String| {
            let before = count(shapes);
            let line = format!("{line}\n");
            Start::of(&line).recognise(&line, shapes).expect("it is plain");
            count(shapes) != before
        };
        lines.into_iter().filter(is_unknown).count()
    }

    #[test]
    fn a_line_has_the_shape_of_another_that_differs_in_name_id_owner_and_token() {
        let mut shapes = Shapes::default();
        let locks = (1..60_u64).zip(1..).flat_map(|(number, length)| {
            let [name, id] = ["é", "x"].map(|text| text.repeat(length));
            let number = number * 7_919;
            [
                format!(r#"{{"id": {number}, "command": "lock", "name": "{name}", "owner": "{id}", "timeout": 5.0}}"#),
                format!(r#"{{"id": {number}, "command": "unlock", "name": "{name}", "token": {}}}"#, number << 33),
                format!(r#"{{"command":"lock","name":"{name}","timeout":2.5,"queue_max":3,"fence":true,"id":"{id}"}}"#),
                format!(r#"{{"command":"unlock","name":"{name}","owner":"{id}","id":{}}}"#, number * 10_000_000_000),
                format!(r#"{{"id":null,"command":"unlock","name":"{name}","owner":{number}}}"#),
            ]
        });
        assert_eq!(unknown(&mut shapes, locks), 5);
    }

    #[test]
    fn timeouts_are_a_part_of_a_shape_until_they_differ() {
        let mut shapes = Shapes::default();
        let lock = |timeout: &str| format!(r#"{{"command":"lock","name":"boss:17","timeout":{timeout}}}"#);
        assert_eq!(unknown(&mut shapes, ["5", "5", "6", "6", "0.25", "86400", "5.0"].map(lock)), 2);
        assert_eq!(unknown(&mut shapes, ["null", "null"].map(lock)), 0, "read where another timeout is");
    }

    #[test]
    fn a_shape_is_replaced_only_now_and_then_when_all_are_in_use() {
        let mut shapes = Shapes::default();
        let lock = |queue_max: usize| format!(r#"{{"command":"lock","name":"boss:17","queue_max":{queue_max}}}"#);
        assert_eq!(unknown(&mut shapes, (0..8).map(lock)), 8);
        assert_eq!(unknown(&mut shapes, (0..8).map(lock)), 0);
        assert_eq!(unknown(&mut shapes, (100..115).map(lock)), 15);
        assert_eq!(unknown(&mut shapes, (0..8).map(lock)), 0, "none was replaced");
        assert_eq!(unknown(&mut shapes, [200, 200].map(lock)), 1);
        assert_eq!(unknown(&mut shapes, (1..8).map(lock)), 0, "only the oldest is gone");
        assert_eq!(unknown(&mut shapes, [0].map(lock)), 1);
    }

    #[test]
    fn a_literal_is_compared_in_all_of_its_bytes() {
        for bytes in 0..=70 {
            let text: String = ('0'..='z').cycle().take(bytes).collect();
            let Some(literal) = Literal::new(&text) else {
                assert!(!(2..=64).contains(&bytes), "{bytes}");
                continue;
            };
            let line = text + "rest";
            let rest = |line: &[u8]| {
                let mut rest = line;
                literal.skip(&mut rest).map(|()| rest.to_vec())
            };
            assert_eq!(rest(line.as_bytes()), Some(b"rest".to_vec()));
            assert_eq!(rest(&line.as_bytes()[..bytes - 1]), None);
            for at in 0..bytes {
                let mut changed = line.clone().into_bytes();
                changed[at] ^= 1;
                assert_eq!(rest(&changed), None, "{bytes} {at}");
            }
        }
    }
}
