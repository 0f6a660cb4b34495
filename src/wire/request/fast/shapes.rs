//! Shapes: what the lines of one client have in common.
//!
//! A client's library writes the same keys in the same order with the same spaces each time, and most values are the same too:
//! the lines of its requests differ in the name, the id, the owner and the token. So a line that [`fields`](super::fields) has
//! recognised is kept as its shape: what stands around these values, and what it means. The next such lines are compared with
//! it, in steps of up to 32 bytes. It takes half of the instructions in which they are read field by field.

use super::fields::Cursor;
use super::reader::{Literal, Reader};
use super::{Plain, PlainOperation, Word, is_name};
use crate::time::Span;
use crate::wire::Id;
use crate::wire::json::chunk::WINDOW;
use crate::wire::request::LockRef;

/// Those of four kinds of clients, for a lock and an unlock each. A line that has none of them is compared with all.
const SHAPES_MAX: usize = 8;
/// When all are in use, the shape of one in so many lines that have none replaces the oldest: if these all differ, little is
/// lost.
const UNKNOWN_LINES: u32 = 16;
/// A part for each value that differs, and a few more for what is long between them.
const PARTS_MAX: usize = 8;

/// The shapes of the lines that came lately. What is recognised does not depend on them.
#[derive(Debug, Default)]
pub struct Shapes {
    /// Those that are not known yet are of no line, and come last.
    shapes: Box<[Shape; SHAPES_MAX]>,
    /// How many are known.
    known: usize,
    /// The one of the last line that had one.
    last: usize,
    /// The one that came after it last.
    next: usize,
    /// The next one to be replaced.
    oldest: usize,
    /// Lines without a shape since one was replaced.
    unknown: u32,
}

impl Shapes {
    /// The plain request in the first line of `text`, as [`Start::recognise`](super::Start::recognise) finds it. `rest` is
    /// what of the text comes after what is known of that line.
    #[inline(never)]
    pub(super) fn line<'a>(
        &mut self,
        text: &'a str,
        begun: Option<Begun<'a>>,
        rest: &'a str,
        plain: &mut Plain<'a>,
    ) -> Option<&'a str> {
        // Requests follow each other as they did before: a lock, its unlock, a lock.
        let shape = &self.shapes[self.next % SHAPES_MAX];
        let after = shape.line(text, begun, rest, plain);
        if after.is_none() {
            return self.other_line(text, begun, rest, plain);
        }
        self.last = self.next;
        self.next = shape.next;
        after
    }

    #[inline(never)]
    fn other_line<'a>(
        &mut self,
        text: &'a str,
        begun: Option<Begun<'a>>,
        rest: &'a str,
        plain: &mut Plain<'a>,
    ) -> Option<&'a str> {
        // Lines of several names, and renewals: they need not be compared with all.
        let is_rare = |start: &str| text.starts_with(start);
        if is_rare("{\"command\":\"re") || is_rare("{\"command\":\"lock\",\"names\"") {
            return None;
        }
        for (number, shape) in self.shapes[..self.known].iter().enumerate() {
            if let Some(after) = shape.line(text, begun, rest, plain) {
                self.go_on_with(number);
                return Some(after);
            }
        }
        let (found, after) = Cursor { rest: text }.object_of_line()?;
        let [line, rest] = [text, rest].map(|text| &text[..text.len() - after.len()]);
        if self.may_keep_another()
            && let Some(shape) = self.shape_of(line, begun.is_some(), &found)
            // A line may be too short for the window of a literal.
            && shape.line(line, begun, rest, plain).is_some()
        {
            self.keep(shape);
        }
        *plain = found;
        Some(after)
    }

    fn go_on_with(&mut self, number: usize) {
        self.shapes[self.last].next = number;
        self.last = number;
        self.next = self.shapes[number].next;
    }

    /// Whether the shape of one more line that has none of these is to be kept.
    fn may_keep_another(&mut self) -> bool {
        self.unknown += 1;
        let may = self.known < SHAPES_MAX || self.unknown >= UNKNOWN_LINES;
        if may {
            self.unknown = 0;
        }
        may
    }

    /// The shape of a line with its `\n`.
    fn shape_of(&self, line: &str, is_begun: bool, plain: &Plain<'_>) -> Option<Shape> {
        let shape = Shape::of(line, is_begun, plain, false)?;
        // The timeouts of most clients are always the same, and then cost nothing.
        let has_timeouts = self.shapes.iter().any(|other| other.differs_in_timeout(&shape));
        if has_timeouts { Shape::of(line, is_begun, plain, true) } else { Some(shape) }
    }

    /// Keeps a shape in place of the oldest.
    fn keep(&mut self, shape: Shape) {
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
#[derive(Debug)]
struct Shape {
    /// The command, if this begins after what is known in [`Begun`].
    begun: Option<Word>,
    /// The text that the line begins with, otherwise.
    start: Literal,
    /// What comes after that.
    parts: [Part; PARTS_MAX],
    /// How many parts there are.
    len: usize,
    /// What such a line means, but for the values that differ.
    plain: Plain<'static>,
    /// The number of the shape that came after it last.
    next: usize,
}

impl Default for Shape {
    /// That of no line.
    fn default() -> Self {
        let (start, parts) = (Literal::default(), Default::default());
        // No array has so many parts.
        Shape { begun: None, start, parts, len: usize::MAX, plain: Plain::default(), next: 0 }
    }
}

impl Shape {
    /// That of a line with its `\n`, and what that means. None if not all of it can be in a shape.
    fn of(line: &str, is_begun: bool, plain: &Plain<'_>, has_timeouts: bool) -> Option<Self> {
        let (word, operation) = match plain.operation {
            PlainOperation::Lock(lock) => (Word::Lock, PlainOperation::Lock(LockRef { name: "", ..lock })),
            PlainOperation::Unlock { .. } => (Word::Unlock, PlainOperation::Unlock { name: "", token: None }),
            // It ignores its owner.
            PlainOperation::KeepAlive => return None,
        };
        let plain = Plain { id: None, owner: None, operation };
        let mut shape = Shape { begun: is_begun.then_some(word), plain, len: 0, ..Shape::default() };
        // Where the hole before the text that is always the same is, and where that text starts.
        let mut before = (None, 0);
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
                    before = (None, start + end + 1);
                } else {
                    shape.add(before.0, &line[before.1..start])?;
                    before = (Some(hole), start + end);
                }
            }
            rest = &value[end + usize::from(text.is_some())..];
        }
        shape.add(before.0, &line[before.1..])?;
        Some(shape)
    }

    /// Adds a value that differs, and the text after it; or only the text.
    fn add(&mut self, mut hole: Option<Hole>, text: &str) -> Option<()> {
        for piece in text.as_bytes().chunks(WINDOW) {
            if self.begun.is_none() && self.start.bytes == 0 {
                self.start = Literal::new(piece, false);
            } else {
                // A value has at least one byte.
                let bytes = |hole: Option<Hole>, text: usize| usize::from(hole.is_some()) + text;
                let before: usize =
                    self.parts[..self.len].iter().map(|part| bytes(part.hole, part.literal.bytes)).sum();
                let end = self.start.bytes + before + bytes(hole, piece.len());
                let is_far = self.begun.is_some() || end >= WINDOW;
                *self.parts.get_mut(self.len)? = Part { hole: hole.take(), literal: Literal::new(piece, is_far) };
                self.len += 1;
            }
        }
        Some(())
    }

    /// Whether two lines could be those of one client, with other timeouts.
    fn differs_in_timeout(&self, other: &Shape) -> bool {
        let operations = (self.plain.operation, other.plain.operation);
        let (PlainOperation::Lock(lock), PlainOperation::Lock(of_other)) = operations else { return false };
        let holes = |shape: &Shape| shape.parts.each_ref().map(|part| part.hole);
        lock.timeout != of_other.timeout && holes(self) == holes(other)
    }

    /// The request in the first line of a text, and what comes after that line, if it has this shape.
    #[inline(always)]
    fn line<'a>(
        &self,
        text: &'a str,
        begun: Option<Begun<'a>>,
        rest: &'a str,
        plain: &mut Plain<'a>,
    ) -> Option<&'a str> {
        if self.begun != begun.map(|begun| begun.word) {
            return None;
        }
        let mut reader = Reader { text, at: text.len() - rest.len() };
        *plain = self.plain;
        if let Some(begun) = begun {
            plain.set_name(begun.name);
        } else {
            reader.at = self.start.bytes;
            if !self.start.pattern.matches(text.as_bytes().first_chunk()?) {
                return None;
            }
        }
        for Part { hole, literal } in self.parts.get(..self.len)? {
            match hole {
                None => {}
                Some(Hole::Name) => {
                    let name = reader.text()?;
                    if !is_name(name) {
                        return None;
                    }
                    plain.set_name(name);
                }
                Some(Hole::IdText) => plain.id = Some(Id::Text(reader.id()?)),
                Some(Hole::OwnerText) => plain.owner = Some(Id::Text(reader.id()?)),
                Some(Hole::IdNumber) => plain.id = Some(Id::Number(reader.number()?)),
                Some(Hole::OwnerNumber) => plain.owner = Some(Id::Number(reader.number()?)),
                Some(Hole::Token) => plain.set_token(reader.number()?.value()),
                Some(Hole::Timeout) => plain.set_timeout(reader.seconds()?),
            }
            reader.skip(literal)?;
        }
        text.get(reader.at..)
    }
}

impl<'a> Plain<'a> {
    #[inline(always)]
    fn set_name(&mut self, new: &'a str) {
        match &mut self.operation {
            PlainOperation::Lock(lock) => lock.name = new,
            PlainOperation::Unlock { name, .. } => *name = new,
            PlainOperation::KeepAlive => {}
        }
    }

    fn set_token(&mut self, new: u64) {
        if let PlainOperation::Unlock { token, .. } = &mut self.operation {
            *token = Some(new);
        }
    }

    fn set_timeout(&mut self, new: Option<Span>) {
        if let PlainOperation::Lock(lock) = &mut self.operation {
            lock.timeout = new;
        }
    }
}

/// A part of a shape: a value that differs, and bytes after it that are always the same.
#[derive(Debug, Default)]
struct Part {
    hole: Option<Hole>,
    literal: Literal,
}

/// A value that differs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hole {
    Name,
    IdText,
    IdNumber,
    OwnerText,
    OwnerNumber,
    Token,
    Timeout,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::fast::Start;

    /// How many of these lines had no shape that was known.
    fn unknown(shapes: &mut Shapes, lines: impl IntoIterator<Item = String>) -> usize {
        let is_unknown = |line: &String| {
            let line = format!("{line}\n");
            let (begun, rest) = match Start::of(&line) {
                Start::Named(begun, rest) => (Some(begun), rest),
                Start::Other => (None, &line[..]),
                _ => panic!("{line} needs no shape"),
            };
            let mut plain = Plain::default();
            let known = &shapes.shapes[..shapes.known];
            let is_known = known.iter().any(|shape| shape.line(&line, begun, rest, &mut plain).is_some());
            Start::of(&line).recognise(&line, shapes, &mut plain).expect("it is plain");
            !is_known
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
    fn a_line_has_a_shape_if_there_is_room_for_the_window_of_each_literal() {
        for (line, has_shape) in [
            (r#"{"name":"x","command":"lock"}"#, false),
            (r#"{"name":"x","id":7,"command":"lock"}"#, false),
            (r#"{"name":"x","command":"lock","id":7}"#, true),
            (r#"{"name":"boss:17","id":7,"command":"lock"}"#, false),
            (r#"{"name":"boss:17","id":123456,"command":"lock"}"#, true),
            (r#"{"command":"lock","name":"x","queue_max":0,"timeout":0,"fence":true,"id":null,"owner":7}"#, true),
        ] {
            let mut shapes = Shapes::default();
            unknown(&mut shapes, [line; 3].map(str::to_owned));
            assert_eq!(shapes.known, usize::from(has_shape), "{line}");
        }
    }
}
