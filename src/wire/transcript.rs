//! One line of text for everything that enters or leaves a connection.
//!
//! The debug log, the tests and the findings of the fuzzers have this form, so a log from production can be pasted into
//! a test:
//!
//! ```text
//! @0.000000000 127.0.0.1:40312 +
//! @0.000120000 127.0.0.1:40312 < {"command":"lock","name":"db"}
//! @0.000120000 127.0.0.1:40312 > {"name":"db","result":"acquired"}
//! @5.250000000 127.0.0.1:40312 - the peer closed the connection
//! ```
//!
//! The time in seconds since the server's start, the connection's name, and what happened: `+` it was opened, `<` a
//! line was received, `>` a line was sent, `-` it was closed, and why. Bytes that are not printable UTF-8 are written
//! as `\xNN`, and so is a backslash before an `x`. So a record is always one line, and can be converted back into the
//! same bytes.

use std::fmt;

use crate::time::Moment;

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection was accepted.
    Opened,
    /// A line was received.
    Received,
    /// A line was sent.
    Sent,
    /// The connection ended.
    Closed,
}

impl Event {
    fn sign(self) -> char {
        match self {
            Event::Opened => '+',
            Event::Received => '<',
            Event::Sent => '>',
            Event::Closed => '-',
        }
    }
}

/// One record. `Display` writes it in the transcript's form, [`Record::parse`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<P, B> {
    /// When.
    pub at: Moment,
    /// The connection's name.
    pub peer: P,
    /// What happened.
    pub event: Event,
    /// The line without its `\n`, or the reason of the end.
    pub bytes: B,
}

impl<P: fmt::Display, B: AsRef<[u8]>> fmt::Display for Record<P, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.at.as_nanos() / 1_000_000_000, self.at.as_nanos() % 1_000_000_000);
        write!(f, "@{seconds}.{rest:09} {} {}", self.peer, self.event.sign())?;
        let bytes = self.bytes.as_ref();
        if bytes.is_empty() {
            return Ok(());
        }
        f.write_str(" ")?;
        Escaped(bytes).fmt(f)
    }
}

impl Record<String, Vec<u8>> {
    /// Reads one record. Anything before the `@`, such as the time and level of a log, is skipped. None if the line is
    /// not a record.
    #[cfg(feature = "unstable")]
    pub fn parse(line: &str) -> Option<Self> {
        let start = if line.starts_with('@') { 0 } else { line.find("] @")? + 2 };
        let mut parts = line[start + 1..].splitn(4, ' ');
        let (seconds, rest) = parts.next()?.split_once('.')?;
        let nanos = seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(rest.parse().ok()?)?;
        let peer = parts.next()?.to_owned();
        let event = match parts.next()? {
            "+" => Event::Opened,
            "<" => Event::Received,
            ">" => Event::Sent,
            "-" => Event::Closed,
            _ => return None,
        };
        Some(Record { at: Moment::from_nanos(nanos), peer, event, bytes: unescape(parts.next().unwrap_or(""))? })
    }
}

/// Bytes as one line of printable text that can be converted back.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut characters = chunk.valid().chars().peekable();
            while let Some(character) = characters.next() {
                let ambiguous = character == '\\' && characters.peek() == Some(&'x');
                // Some readers take U+2028 and U+2029 as line ends.
                if ambiguous || character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                    write_hex(f, character.encode_utf8(&mut [0; 4]).as_bytes())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            write_hex(f, chunk.invalid())?;
        }
        Ok(())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

#[cfg(feature = "unstable")]
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        bytes.push(u8::from_str_radix(rest.get(start + 2..start + 4)?, 16).ok()?);
        rest = &rest[start + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_one_line_and_can_be_converted_back() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in
            [&b""[..], b"{\"command\":\"lock\"}", b"\\x41 \\\\x41", b"\x1b[31m\nx\r", "\u{2028}é🔒".as_bytes(), &all]
        {
            for event in [Event::Opened, Event::Received, Event::Sent, Event::Closed] {
                let record = Record {
                    at: Moment::from_nanos(12_003_000_001),
                    peer: "127.0.0.1:9".to_owned(),
                    event,
                    bytes: bytes.to_vec(),
                };
                let line = record.to_string();
                assert!(!line.chars().any(char::is_control), "{line:?}");
                assert_eq!(Record::parse(&line).as_ref(), Some(&record));
                let logged = format!("[2026-11-23T10:00:00Z DEBUG officer::transcript] {line}");
                assert_eq!(Record::parse(&logged), Some(record));
            }
        }
    }

    #[test]
    fn a_line_that_is_not_a_record_is_not_parsed() {
        for line in ["", "@", "@1 a +", "@1.0 a", "@1.0 a ?", "@x.0 a +", "hello", "@1.0 a < \\xzz", "@1.0 a < \\x4"] {
            assert_eq!(Record::parse(line), None, "{line:?}");
        }
    }
}
