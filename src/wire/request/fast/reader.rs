//! Reading what a [shape](super::shapes) consists of: the values that differ, and the text between them.

use super::fields::{Cursor, word};
use crate::time::Span;
use crate::wire::digits::Digits;
use crate::wire::json::chunk::{Pattern, WINDOW, specials};
use crate::wire::request::ID_BYTES_MAX;

/// A text that is read from `at` on. Texts begin and end between characters, which is checked where they are cut out, and
/// not at every step.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// The text from here to its end, which is the quote that the next literal begins with.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let (start, end) = (self.at, self.end_of_text()?);
        self.at = end;
        // Then the compiler knows that the text ends between two characters.
        if *self.text.as_bytes().get(end)? != b'"' {
            return None;
        }
        self.text.get(start..end)
    }

    /// The same for a text that can be an id.
    #[inline(always)]
    pub(super) fn id(&mut self) -> Option<&'a str> {
        let text = self.text()?;
        (text.len() <= ID_BYTES_MAX).then_some(text)
    }

    /// Where the first byte is that is not an ordinary one of a string. If fewer than 16 bytes are left, those before are looked
    /// at as well, and left out.
    #[inline(always)]
    fn end_of_text(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let last = bytes.len().checked_sub(16)?;
        let mut at = self.at;
        loop {
            let start = at.min(last);
            let special = specials(bytes.get(start..)?.first_chunk()?) >> (at - start);
            if special != 0 {
                return Some(at + special.trailing_zeros() as usize);
            }
            if start == last {
                return None;
            }
            at += 16;
        }
    }

    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<Digits> {
        let bytes = self.text.as_bytes().get(self.at..)?;
        let (number, digits) = match Digits::at_start_of(word(bytes), || Some(word(bytes.get(8..)?))) {
            Some(found) => found,
            None => any_number(self.text, self.at)?,
        };
        self.at += digits;
        Some(number)
    }

    #[inline(always)]
    pub(super) fn seconds(&mut self) -> Option<Option<Span>> {
        let (seconds, bytes) = seconds(self.text, self.at)?;
        self.at += bytes;
        Some(seconds)
    }

    /// Skips a literal, if it is what comes next.
    #[inline(always)]
    pub(super) fn skip(&mut self, literal: &Literal) -> Option<()> {
        let window = self.text.as_bytes().get(..self.at + literal.window_end)?.last_chunk()?;
        self.at += literal.bytes;
        literal.pattern.matches(window).then_some(())
    }
}

/// The number at a place in a text, and how many digits it has. This and the next get no reference to the [`Reader`], which
/// stays in registers.
#[inline(never)]
fn any_number(text: &str, at: usize) -> Option<(Digits, usize)> {
    read(text.get(at..)?, |cursor| cursor.digits(cursor.word()))
}

#[inline(never)]
fn seconds(text: &str, at: usize) -> Option<(Option<Span>, usize)> {
    let rest = text.get(at..)?;
    // The space that is allowed is a part of the literal.
    if rest.starts_with(' ') {
        return None;
    }
    read(rest, Cursor::seconds)
}

/// What is at the beginning of a text, and how long it is.
fn read<'a, T>(text: &'a str, read: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Option<(T, usize)> {
    let mut cursor = Cursor { rest: text };
    let value = read(&mut cursor)?;
    Some((value, text.len() - cursor.rest.len()))
}

/// Bytes that a line must have, in a window of a fixed length: so they are compared without a branch, however many they are.
#[derive(Debug, Default)]
pub(super) struct Literal {
    pub(super) bytes: usize,
    /// Where the window ends, from their beginning.
    window_end: usize,
    pub(super) pattern: Pattern,
}

impl Literal {
    /// At the beginning of a line there may not be enough before the bytes for a window, and at its end not enough after them.
    pub(super) fn new(bytes: &[u8], is_far: bool) -> Self {
        let window_end = if is_far { bytes.len() } else { WINDOW };
        Literal { bytes: bytes.len(), window_end, pattern: Pattern::new(WINDOW - window_end, bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_compared_in_all_of_its_bytes() {
        let line: String = ('0'..='z').cycle().take(100).collect();
        for (at, bytes) in (0..68).flat_map(|at| (1..=WINDOW).map(move |bytes| (at, bytes))) {
            let places = [false, true].map(|is_far| (is_far, Literal::new(&line.as_bytes()[at..at + bytes], is_far)));
            for (is_far, literal) in places {
                let end = |line: &str| {
                    let mut reader = Reader { text: line, at };
                    reader.skip(&literal).map(|()| reader.at)
                };
                let has_room = !is_far || at + bytes >= WINDOW;
                assert_eq!(end(&line), has_room.then_some(at + bytes), "{at} {bytes} {is_far}");
                if is_far {
                    // Nothing after it is looked at.
                    assert_eq!(end(&line[..at + bytes]), end(&line));
                    assert_eq!(end(&line[..at + bytes - 1]), None);
                }
                for changed_at in 0..line.len() {
                    let mut changed = line.clone().into_bytes();
                    changed[changed_at] ^= 1;
                    let changed = String::from_utf8(changed).unwrap();
                    let is_in = (at..at + bytes).contains(&changed_at);
                    assert_eq!(end(&changed), end(&line).filter(|_| !is_in), "{at} {bytes} {changed_at}");
                }
            }
        }
    }
}
