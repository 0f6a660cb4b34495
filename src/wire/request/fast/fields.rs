//! The fields of a plain line, one by one: in any order, and with the spaces that some JSON libraries write.
//!
//! Keys, numbers and ends of strings are found in words of eight bytes, each step inline in one loop: a step that is a
//! function of its own costs as much for its call and its result as for its work.

use super::rare::Rare;
use super::{Plain, PlainOperation, Word, is_name};
use crate::time::Span;
use crate::wire::digits::{Digits, POWERS_OF_TEN, digits_in, number_in};
use crate::wire::json::chunk::first_special;
use crate::wire::json::special_bytes;
use crate::wire::request::{ID_BYTES_MAX, LockRef, WHOLE_NUMBER_MAX};
use crate::wire::{Id, IdRef, OwnerRef};

/// What has been read so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields<'a> {
    pub(super) command: Option<Word>,
    pub(super) name: Option<&'a str>,
    pub(super) timeout: Option<Span>,
    pub(super) queue_max: Option<u64>,
    pub(super) fence: Option<bool>,
    pub(super) token: Option<u64>,
    pub(super) owner: Option<OwnerRef<'a>>,
    pub(super) id: Option<IdRef<'a>>,
    /// The bits of the keys that have occurred, `null` or not.
    seen: u16,
}

/// The keys of plain lines, as bits.
pub(super) mod key {
    pub(in super::super) const COMMAND: u16 = 1 << 0;
    pub(in super::super) const NAME: u16 = 1 << 1;
    pub(in super::super) const TIMEOUT: u16 = 1 << 2;
    pub(in super::super) const QUEUE_MAX: u16 = 1 << 3;
    pub(in super::super) const FENCE: u16 = 1 << 4;
    pub(in super::super) const TOKEN: u16 = 1 << 5;
    pub(in super::super) const OWNER: u16 = 1 << 6;
    pub(in super::super) const ID: u16 = 1 << 7;
    pub(in super::super) const LEASE: u16 = 1 << 8;
    pub(in super::super) const NAMES: u16 = 1 << 9;
    pub(in super::super) const ANY: u16 = 1 << 10;
}

impl<'a> Fields<'a> {
    /// Fields that the command does not have are ignored. None also if it lacks one.
    #[inline(always)]
    pub(super) fn plain(&self) -> Option<Plain<'a>> {
        let Fields { command, name, timeout, queue_max, fence, token, owner, id, .. } = *self;
        let operation = match command? {
            Word::Lock => PlainOperation::Lock(LockRef {
                name: name?,
                timeout,
                queue_max,
                has_fence: fence == Some(true),
                is_plain: fence.is_none(),
            }),
            Word::Unlock => PlainOperation::Unlock { name: name?, token },
            Word::KeepAlive => return Some(Plain { id, owner: None, operation: PlainOperation::KeepAlive }),
            Word::Renew => return None,
        };
        Some(Plain { id, owner, operation })
    }
}

/// What of the text is not read yet. No step that is not inline gets a reference to it: it stays in registers.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// An object that is a line of its own, and what comes after that line.
    #[inline(never)]
    pub(super) fn object_of_line(mut self) -> Option<(Plain<'a>, &'a str)> {
        self.skip("{")?;
        let mut fields = Fields::default();
        self.read_fields(&mut fields, None, "}\n")?;
        Some((fields.plain()?, self.rest))
    }

    /// An object that is the whole text, and may have what no [`Plain`] has.
    pub(super) fn object(mut self) -> Option<(Fields<'a>, Rare<'a>)> {
        self.skip("{")?;
        let (mut fields, mut rare) = (Fields::default(), Rare::default());
        self.read_fields(&mut fields, Some(&mut rare), "}")?;
        self.rest.is_empty().then_some((fields, rare))
    }

    /// The fields from the next key on, and this end of the object. What no [`Plain`] has is read if there is room for it.
    #[inline(always)]
    fn read_fields(&mut self, fields: &mut Fields<'a>, mut rare: Option<&mut Rare<'a>>, end: &str) -> Option<()> {
        loop {
            let key = self.field(fields, rare.as_deref_mut())?;
            // Of a key that comes twice the last counts, which is not known here.
            if fields.seen & key != 0 {
                return None;
            }
            fields.seen |= key;
            if self.skip(end).is_some() {
                return Some(());
            }
            self.skip(",")?;
        }
    }

    /// A key and its value, the most frequent keys first. The key's bit is returned.
    #[inline(always)]
    fn field(&mut self, fields: &mut Fields<'a>, rare: Option<&mut Rare<'a>>) -> Option<u16> {
        const ID: u64 = u64::from_le_bytes(*b"\"id\":\0\0\0");
        let word = self.word_after_space();
        let is = |key: &[u8; 8]| word == u64::from_le_bytes(*key);
        if let Some(rare) = rare
            && let Some(key) = self.rare_field(word, fields, rare)
        {
            return key;
        }
        Some(if is(b"\"name\":\"") {
            self.advance(8)?;
            fields.name = Some(self.rest_of_text().filter(|name| is_name(name))?);
            key::NAME
        } else if word << 24 == ID << 24 {
            self.advance(5)?;
            fields.id = self.id()?;
            key::ID
        } else if is(b"\"owner\":") {
            self.advance(8)?;
            fields.owner = self.id()?;
            key::OWNER
        } else if is(b"\"command") {
            self.advance(8)?;
            self.skip("\":")?;
            fields.command = Some(self.command()?);
            key::COMMAND
        } else if is(b"\"name\": ") {
            self.advance(8)?;
            fields.name = Some(self.text().filter(|name| is_name(name))?);
            key::NAME
        } else if is(b"\"timeout") {
            self.advance(8)?;
            self.skip("\":")?;
            fields.timeout = self.seconds()?;
            key::TIMEOUT
        } else if is(b"\"fence\":") {
            self.advance(8)?;
            fields.fence = self.truth()?;
            key::FENCE
        } else if is(b"\"token\":") {
            self.advance(8)?;
            fields.token = self.whole_number()?;
            key::TOKEN
        } else {
            self.skip("\"queue_max\":")?;
            fields.queue_max = self.whole_number()?;
            key::QUEUE_MAX
        })
    }

    /// Skips what has been looked at as a part of a word.
    #[inline(always)]
    pub(super) fn advance(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    /// Skips what is known at compile time, and so compared in a few words. Nothing is skipped if something else is next.
    #[inline(always)]
    pub(super) fn skip(&mut self, literal: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    #[inline(always)]
    pub(super) fn skip_space(&mut self) {
        let _ = self.skip(" ");
    }

    /// The next eight bytes.
    #[inline(always)]
    pub(super) fn word(&self) -> u64 {
        word(self.rest.as_bytes())
    }

    #[inline(always)]
    fn word_after_space(&mut self) -> u64 {
        let word = self.word();
        match self.rest.strip_prefix(' ') {
            Some(rest) if word.to_le_bytes()[0] == b' ' => {
                self.rest = rest;
                self.word()
            }
            _ => word,
        }
    }

    #[inline(always)]
    fn command(&mut self) -> Option<Word> {
        let word = self.word_after_space();
        if word == u64::from_le_bytes(*b"\"unlock\"") {
            self.advance(8)?;
            return Some(Word::Unlock);
        }
        if word << 16 == u64::from_le_bytes(*b"\"lock\"\0\0") << 16 {
            self.advance(6)?;
            return Some(Word::Lock);
        }
        if self.skip("\"renew\"").is_some() {
            return Some(Word::Renew);
        }
        self.skip("\"keep_alive\"").map(|()| Word::KeepAlive)
    }

    /// A string of ordinary bytes.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        self.skip("\"")?;
        self.rest_of_text()
    }

    /// The same, after its first quote.
    #[inline(always)]
    pub(super) fn rest_of_text(&mut self) -> Option<&'a str> {
        let bytes = self.rest.as_bytes();
        let end = end_of_text(bytes)?;
        // In this order the compiler knows that the text ends between two characters.
        if *bytes.get(end)? != b'"' {
            return None;
        }
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    /// An id, or an owner.
    #[inline(always)]
    fn id(&mut self) -> Option<Option<IdRef<'a>>> {
        let word = self.word_after_space();
        match word.to_le_bytes()[0] {
            b'"' => {
                let text = self.text()?;
                (text.len() <= ID_BYTES_MAX).then_some(Some(Id::Text(text)))
            }
            b'n' => self.null(),
            _ => self.digits(word).map(|digits| Some(Id::Number(digits))),
        }
    }

    #[inline(always)]
    fn whole_number(&mut self) -> Option<Option<u64>> {
        match self.word_after_space() {
            word if word.to_le_bytes()[0] == b'n' => self.null(),
            word => self.digits(word).map(|number| Some(number.value())),
        }
    }

    #[inline(always)]
    pub(super) fn truth(&mut self) -> Option<Option<bool>> {
        self.skip_space();
        if self.skip("true").is_some() {
            return Some(Some(true));
        }
        if self.skip("false").is_some() {
            return Some(Some(false));
        }
        self.null()
    }

    /// The value `null`: the field counts as omitted.
    #[inline(always)]
    fn null<T>(&mut self) -> Option<Option<T>> {
        self.skip("null").map(|()| None)
    }

    /// Whole seconds, or with digits after a point.
    #[inline(always)]
    pub(super) fn seconds(&mut self) -> Option<Option<Span>> {
        let word = self.word_after_space();
        if word.to_le_bytes()[0] == b'n' {
            return self.null();
        }
        let start = self.rest;
        let whole = self.digits(word)?.value();
        if let [b'.', b'0', b',' | b'}', ..] = self.rest.as_bytes() {
            // As some libraries write whole numbers that are floating-point numbers in their language.
            self.skip(".0")?;
        } else if self.skip(".").is_some() {
            let (seconds, rest) = fraction(start, whole, self.rest)?;
            self.rest = rest;
            return Some(Some(seconds));
        }
        Some(Some(if whole <= EXACT_SECONDS_MAX {
            Span::from_nanos(whole * NANOS_IN_SECOND)
        } else {
            #[expect(clippy::cast_precision_loss, reason = "it is at most WHOLE_NUMBER_MAX")]
            Span::from_secs_f64(whole as f64)
        }))
    }

    /// The whole number that begins with a word, as in JSON, without a leading zero, and at most [`WHOLE_NUMBER_MAX`]: the
    /// general parser, which reads a double, reads the same. A digit that is left after 16 others ends no field, so the line
    /// is not plain.
    #[inline(always)]
    pub(super) fn digits(&mut self, word: u64) -> Option<Digits> {
        let (digits, rest) = match Digits::at_start_of(word, || None) {
            Some((digits, length)) => (digits, self.rest.get(length..)?),
            None => other_digits(word, self.rest)?,
        };
        self.rest = rest;
        Some(digits)
    }
}

/// [`Cursor::digits`] for 0, and for what has eight digits or more. Also what comes after the number.
#[inline(never)]
fn other_digits(first: u64, rest: &str) -> Option<(Digits, &str)> {
    let length = digits_in(first);
    if length == 0 || (length > 1 && first.to_le_bytes()[0] == b'0') {
        return None;
    }
    let rest = rest.get(length..)?;
    if length < 8 {
        return Some((Digits::short(first, length), rest));
    }
    let second = word(rest.as_bytes());
    let length = digits_in(second);
    let rest = rest.get(length..)?;
    let number = Digits::long(first, second, length);
    (number.value() <= WHOLE_NUMBER_MAX).then_some((number, rest))
}

/// The seconds at the beginning of a text, of which the whole ones are known, and what comes after their point. Also what
/// comes after them.
#[inline(never)]
fn fraction<'a>(text: &str, whole: u64, rest: &'a str) -> Option<(Span, &'a str)> {
    let word = word(rest.as_bytes());
    let digits = digits_in(word);
    // std would accept what JSON forbids.
    if digits == 0 {
        return None;
    }
    if digits < 8 && whole <= EXACT_SECONDS_MAX {
        // Below 2^53, as is the power of ten: so the quotient is the double that is closest, which is what parsing gives.
        let power = POWERS_OF_TEN[digits];
        #[expect(clippy::cast_precision_loss, reason = "both are below 2^53")]
        let seconds = (whole * power + number_in(word, digits)) as f64 / power as f64;
        return Some((Span::from_secs_f64(seconds), rest.get(digits..)?));
    }
    let rest = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    let seconds = text[..text.len() - rest.len()].parse().ok()?;
    Some((Span::from_secs_f64(seconds), rest))
}

const NANOS_IN_SECOND: u64 = 1_000_000_000;

/// As nanoseconds these are below 2^53, so they are the same as whole numbers and as doubles.
const EXACT_SECONDS_MAX: u64 = (1 << 53) / NANOS_IN_SECOND;

/// Where the first byte is that is not an ordinary one of a string.
#[inline(always)]
pub(super) fn end_of_text(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    while let Some(chunk) = bytes.get(end..)?.first_chunk() {
        let special = first_special(chunk);
        end += special;
        if special < chunk.len() {
            return Some(end);
        }
    }
    loop {
        let special = special_bytes(word(bytes.get(end..)?));
        if special != 0 {
            return Some(end + special.trailing_zeros() as usize / 8);
        }
        end += 8;
    }
}

/// The eight bytes from a place on, the first of them lowest. Those after the end are 0, which no string contains. None if there
/// are none at that place, or too few before it as well.
#[inline(always)]
pub(super) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    if let Some(word) = bytes.get(at..)?.first_chunk() {
        return Some(u64::from_le_bytes(*word));
    }
    let missing = at + 8 - bytes.len();
    let last = u64::from_le_bytes(*bytes.last_chunk()?);
    (missing < 8).then(|| last >> (8 * missing))
}

/// The first eight bytes, the first of them lowest. Those after the end are 0, which no string contains.
#[inline(always)]
pub(super) fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => last_word(bytes),
    }
}

/// The same for fewer than eight.
#[cold]
#[inline(never)]
fn last_word(bytes: &[u8]) -> u64 {
    let half = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
    match (bytes.first_chunk(), bytes.last_chunk()) {
        // Some of the bytes are in both halves.
        (Some(first), Some(last)) => half(first) | half(last) << (8 * (bytes.len() - 4)),
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
