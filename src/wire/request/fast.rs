//! A shortcut for the lines that clients really send.
//!
//! The general parser takes about 200 ns for a line, more than all the rest of a request. Most lines are one of few:
//! `lock`, `unlock` or `keep_alive`, each field once, nothing escaped. These are recognised here in a tenth of that, a
//! name eight bytes at a time. At the first doubt the line is left to the general parser, which alone says what a line
//! means: the tests and the fuzz target `request` hold every answer that is given here against its answer.

use std::borrow::Cow;

use super::{Command, ID_BYTES_MAX, Lock, LockName, Operation, Request, nanos};
use crate::wire::Id;

/// A number of so many digits is below 2^53, so the general parser, which reads a double, reads the same.
const DIGITS_MAX: usize = 15;

/// The request in a line, if it is plain. None says nothing about the line.
///
/// Plain is: one object of the keys `command`, `id`, `name`, `timeout` and `queue_max`, in any order, each once at most;
/// between them nothing but a space, or none, after each `:` and `,`; strings without escapes; numbers without sign and
/// exponent, or `null`.
pub fn recognise(line: &[u8]) -> Option<Request<'_>> {
    let mut cursor = Cursor { line, at: 0 };
    let (mut command, mut name, mut timeout, mut queue_max, mut id) = (None, None, None, None, None);
    cursor.take(b"{")?;
    loop {
        // Which key it can be is told by its first letter; `replace` tells whether it came before.
        let is_repeated = match cursor.peek(1)? {
            b'c' => {
                cursor.take(b"\"command\":")?;
                command.replace(cursor.command()?).is_some()
            }
            b'n' => {
                cursor.take(b"\"name\":")?;
                name.replace(cursor.text()?).is_some()
            }
            b't' => {
                cursor.take(b"\"timeout\":")?;
                timeout.replace(cursor.timeout_ns()?).is_some()
            }
            b'q' => {
                cursor.take(b"\"queue_max\":")?;
                queue_max.replace(cursor.whole_number()?).is_some()
            }
            b'i' => {
                cursor.take(b"\"id\":")?;
                id.replace(cursor.id()?).is_some()
            }
            _ => return None,
        };
        if is_repeated {
            return None;
        }
        if cursor.take(b",").is_none() {
            break;
        }
        cursor.skip_space();
    }
    cursor.take(b"}")?;
    if cursor.at < line.len() {
        return None;
    }
    let operation = match command? {
        Word::Lock => Operation::Lock(Lock {
            name: LockName::new(name?).ok()?,
            timeout_ns: timeout.flatten(),
            queue_max: queue_max.flatten(),
        }),
        Word::Unlock => Operation::Unlock { name: LockName::new(name?).ok()? },
        Word::KeepAlive => Operation::KeepAlive,
    };
    Some(Request { id, command: Command::Locks(operation) })
}

/// The commands that come often.
enum Word {
    Lock,
    Unlock,
    KeepAlive,
}

/// Invariant: `at <= line.len()`.
struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Steps over `literal`, if it is next. Its length is known when this is compiled, so it is compared in a few words.
    fn take<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        if self.line[self.at..].first_chunk::<N>()? != literal {
            return None;
        }
        self.at += N;
        Some(())
    }

    /// The byte `ahead` of the next one.
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.line.get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        let _ = self.take(b" ");
    }

    fn command(&mut self) -> Option<Word> {
        self.skip_space();
        if self.take(b"\"lock\"").is_some() {
            return Some(Word::Lock);
        }
        if self.take(b"\"unlock\"").is_some() {
            return Some(Word::Unlock);
        }
        self.take(b"\"keep_alive\"").map(|()| Word::KeepAlive)
    }

    /// A string in which no byte needs a second look.
    fn text(&mut self) -> Option<&'a str> {
        self.skip_space();
        self.take(b"\"")?;
        let start = self.at;
        loop {
            let special = special_bytes(self.word());
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                break;
            }
            self.at += 8;
        }
        let text = self.line.get(start..self.at)?;
        self.take(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    /// The next eight bytes, the first of them lowest. Those behind the end of the line are 0, which no string has.
    fn word(&self) -> u64 {
        if let Some(word) = self.line[self.at..].first_chunk() {
            return u64::from_le_bytes(*word);
        }
        // The last eight bytes of the line, with those shifted out that come before `at`.
        let left = self.line.len() - self.at;
        match self.line.last_chunk() {
            Some(word) if left > 0 => u64::from_le_bytes(*word) >> (8 * (8 - left)),
            _ => 0,
        }
    }

    fn timeout_ns(&mut self) -> Option<Option<u64>> {
        self.skip_space();
        if self.take(b"null").is_some() {
            return Some(None);
        }
        let start = self.at;
        let whole = self.digits()?;
        if self.take(b".").is_none() {
            #[expect(clippy::cast_precision_loss, reason = "DIGITS_MAX sees to it that there is none")]
            return Some(Some(nanos(whole as f64)));
        }
        let fraction = self.at;
        while matches!(self.peek(0), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        // What JSON forbids, std would read.
        if self.at == fraction {
            return None;
        }
        let number = std::str::from_utf8(&self.line[start..self.at]).ok()?;
        number.parse().ok().map(|seconds| Some(nanos(seconds)))
    }

    fn whole_number(&mut self) -> Option<Option<u64>> {
        self.skip_space();
        if self.take(b"null").is_some() {
            return Some(None);
        }
        self.digits().map(Some)
    }

    fn id(&mut self) -> Option<Id<Cow<'a, str>>> {
        self.skip_space();
        match self.peek(0)? {
            b'"' => self.text().filter(|text| text.len() <= ID_BYTES_MAX).map(|text| Id::Text(Cow::Borrowed(text))),
            _ => self.digits().map(Id::Number),
        }
    }

    /// A whole number as JSON writes it: no zero in front of another digit. What comes next is no digit.
    fn digits(&mut self) -> Option<u64> {
        let start = self.at;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek(0) {
            number = number * 10 + u64::from(digit - b'0');
            self.at += 1;
            if self.at - start > DIGITS_MAX {
                return None;
            }
        }
        let has_zero_in_front = self.line[start..self.at].starts_with(b"0") && self.at - start > 1;
        (self.at > start && !has_zero_in_front).then_some(number)
    }
}

/// The highest bit of each byte of the word that is a quote, a backslash or a control character. Above the lowest of
/// them other bits may be set as well, by a borrow.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHEST;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    use super::super::parse_in_full;
    use super::*;

    /// Whether the line was recognised; if so, it was read as the general parser reads it.
    #[track_caller]
    fn is_recognised(line: impl AsRef<[u8]>) -> bool {
        let line = line.as_ref();
        match recognise(line) {
            None => false,
            Some(request) => {
                assert_eq!(Ok(request), parse_in_full(line), "{}", line.escape_ascii());
                true
            }
        }
    }

    #[test]
    fn the_lines_that_clients_send_are_recognised() {
        for line in [
            r#"{"command":"lock","name":"boss:17"}"#,
            r#"{"command":"lock","name":"boss:17","timeout":null,"queue_max":null}"#,
            r#"{"command":"lock","name":"boss:17","timeout":5,"queue_max":3}"#,
            r#"{"command":"lock","name":"boss:17","timeout":0.25}"#,
            r#"{"command":"lock","id":7,"name":"boss:17","timeout":5.0}"#,
            r#"{"command":"unlock","id":8,"name":"boss:17"}"#,
            r#"{"command":"unlock","name":"boss:17"}"#,
            r#"{"command":"keep_alive"}"#,
            r#"{"command":"keep_alive","id":"k-1"}"#,
            r#"{"name":"boss:17","command":"lock"}"#,
            r#"{"command": "lock", "name": "boss:17", "timeout": 5, "queue_max": 1, "id": "x"}"#,
            r#"{"command":"lock","name":"café 🔒"}"#,
        ] {
            assert!(is_recognised(line), "{line}");
        }
    }

    #[test]
    fn what_needs_a_second_look_is_left_to_the_general_parser() {
        let name = |name: &str| format!(r#"{{"command":"lock","name":{name}}}"#);
        let timeout = |timeout: &str| format!(r#"{{"command":"lock","name":"a","timeout":{timeout}}}"#);
        let id = |id: &str| format!(r#"{{"command":"unlock","name":"a","id":{id}}}"#);
        let mut lines: Vec<String> = [
            "",
            "{}",
            "{",
            r#""command""#,
            r#"{"command":"lock"}"#,
            r#"{"command":"unlock"}"#,
            r#"{"name":"a"}"#,
            r#"{"command":"lick","name":"a"}"#,
            r#"{"command":"lock","name":"a"} "#,
            "{\"command\":\"lock\",\"name\":\"a\"}\r",
            r#" {"command":"lock","name":"a"}"#,
            r#"{ "command":"lock","name":"a"}"#,
            r#"{"command" :"lock","name":"a"}"#,
            r#"{"command":  "lock","name":"a"}"#,
            r#"{"command":"lock","name":"a",}"#,
            r#"{"command":"lock","name":"a"}}"#,
            r#"{"command":"lock","name":"a""#,
            r#"{"command":"lock","name":"a"#,
            r#"{"command":"lock","name":""#,
            r#"{"command":"lock","name":"a","name":"b"}"#,
            r#"{"command":"lock","command":"lock","name":"b"}"#,
            r#"{"command":"lock","name":"a","timeout":1,"timeout":null}"#,
            r#"{"command":"lock","name":"a","timeout":null,"timeout":1}"#,
            r#"{"command":"lock","name":"a","queue_max":null,"queue_max":1}"#,
            r#"{"command":"lock","name":"a","id":1,"id":1}"#,
            r#"{"command":"lock","name":"a","other":1}"#,
            r#"{"command":"lock","name":"a","id":null}"#,
            r#"{"command":"lock","name":"a","queue_max":1.0}"#,
            r#"{"command":"lock","name":"a","queue_max":-1}"#,
        ]
        .map(str::to_owned)
        .into();
        lines.extend(["null", "5", "\"\"", r#""\u0041""#, r#""a\n""#, "\"a\u{1}\"", "[]"].map(name));
        lines.extend([format!("\"{}\"", "x".repeat(1025))].iter().map(|text| name(text)));
        lines.extend(["-1", "1e3", "01", "1.", ".5", "\"1\"", "true", "1234567890123456", "nul", "1.5e3"].map(timeout));
        lines.extend(["-1", "01", "1.0", "1234567890123456", "true"].map(id));
        lines.extend([format!("\"{}\"", "x".repeat(65))].iter().map(|text| id(text)));
        for line in lines {
            assert!(!is_recognised(&line), "{line}");
        }
        assert!(!is_recognised(b"{\"command\":\"lock\",\"name\":\"\xff\"}"));
    }

    #[test]
    fn a_name_of_any_length_ends_at_its_quote_and_any_special_byte_in_it_is_seen() {
        for length in 1..=40 {
            for tail in ["}", r#","timeout":1}"#, r#","id":"abc","queue_max":2}"#] {
                let start = r#"{"command":"lock","name":""#;
                let line = format!("{start}{}\"{tail}", "x".repeat(length));
                assert!(is_recognised(&line), "{line}");
                for at in 0..length {
                    for byte in 0..=u8::MAX {
                        let mut line = line.clone().into_bytes();
                        line[start.len() + at] = byte;
                        let is_plain = byte.is_ascii() && byte >= 0x20 && !b"\"\\".contains(&byte);
                        assert_eq!(is_recognised(&line), is_plain, "{}", line.escape_ascii());
                    }
                }
            }
        }
    }

    /// Lines made of pieces that fit together more often than not, some of them then changed in one byte or cut.
    #[test]
    fn random_lines_are_read_as_the_general_parser_reads_them() {
        const COMMANDS: [&str; 4] = [r#""lock""#, r#""unlock""#, r#""keep_alive""#, r#""ping""#];
        const NAMES: [&str; 6] = [r#""a""#, r#""player:123456""#, r#""é: 🔒""#, r#""\u0041""#, r#""""#, "7"];
        const NUMBERS: [&str; 11] =
            ["0", "5", "100", "0.25", "2.0", "0.3000000001", "999999999999999", "null", "00", "-1", "9007199254740993"];
        const FIELDS: [(&str, &[&str]); 7] = [
            ("command", &COMMANDS),
            ("name", &NAMES),
            ("id", &NAMES),
            ("timeout", &NUMBERS),
            ("queue_max", &NUMBERS),
            ("id", &NUMBERS),
            ("prefix", &NAMES),
        ];
        let mut random = fastrand::Rng::with_seed(5);
        let (mut recognised, mut refused) = (0, 0);
        for _ in 0..200_000 {
            let mut fields = FIELDS.to_vec();
            random.shuffle(&mut fields[2..]);
            fields.truncate(random.usize(1..5));
            if random.u8(0..4) == 0 {
                random.shuffle(&mut fields);
            }
            let spaces = [[""; 10], ["", " ", "", " ", " ", " ", "", "", "", "  "]][random.usize(0..2)];
            let mut space = || spaces[random.usize(0..10)];
            let spaces: Vec<[&str; 2]> = fields.iter().map(|_| [space(), space()]).collect();
            let texts = fields.iter().zip(&spaces).map(|((key, values), [before, after])| {
                format!("{before}\"{key}\":{after}{}", values[random.usize(0..values.len())])
            });
            let mut line = format!("{{{}}}", texts.collect::<Vec<_>>().join(",")).into_bytes();
            match random.u8(0..8) {
                0 => {
                    let at = random.usize(0..line.len());
                    line[at] = random.u8(0..=u8::MAX);
                }
                1 => line.truncate(random.usize(0..line.len())),
                _ => {}
            }
            *(if is_recognised(&line) { &mut recognised } else { &mut refused }) += 1;
        }
        assert!(recognised > 20_000 && refused > 20_000, "both come often: {recognised} and {refused}");
    }
}
