//! A shortcut for the lines that clients really send.
//!
//! The general parser took 4,400 of the 8,000 instructions of a lock and its unlock, as counted by `callgrind`. Most
//! lines are simple: `lock`, `unlock` or `keep_alive`, each field once, nothing escaped. These are recognised here in
//! less than an eighth of the time, a name eight bytes at a time. In case of doubt the line is left to the general
//! parser, which defines what a line means: the tests and the fuzz targets `plain` and `request` compare every result of this
//! with its result.

use std::borrow::Cow;

use super::{Command, ID_BYTES_MAX, Lock, LockName, LockRef, NAME_BYTES_MAX, Operation, Request, WHOLE_NUMBER_MAX};
use crate::time::Span;
use crate::wire::digits::{Digits, digits_in};
use crate::wire::json::special_bytes;
use crate::wire::{Id, IdRef, OwnerRef};

/// A plain request. It owns nothing, so it costs little to make, to look at and to drop: a [`Request`] costs more than a
/// field of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<'a> {
    /// As in [`Request`].
    pub id: Option<IdRef<'a>>,
    /// As in [`Request`].
    pub owner: Option<OwnerRef<'a>>,
    /// What is asked for.
    pub operation: PlainOperation<'a>,
}

/// What a plain request can ask for: the same as the [`Operation`] of this name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlainOperation<'a> {
    Lock(LockRef<'a>),
    Unlock { name: &'a str, token: Option<u64> },
    KeepAlive,
}

/// The request in the first line of `text`, and the length of that line with its `\n`, if the line is complete and
/// plain. None says nothing about the line.
///
/// A plain line is one object of the keys `command`, `id`, `owner`, `name`, `timeout`, `queue_max`, `fence` and `token`, in
/// any order, each once at most; with at most one space after each `:` and `,`, and no other white space; strings without
/// escapes; numbers without sign and exponent, or `null`.
///
/// If there are several lines in one buffer, the caller checks it for UTF-8 once, and need not search for line ends:
/// for a single line, these two are a third of the cost of recognising it.
///
/// All of it is here, and nothing of what it returns was something else before: the compiler copies a [`Plain`] that passes
/// from one result into another, once for each of them.
#[inline(always)]
pub fn recognise_line(text: &str) -> Option<(Plain<'_>, usize)> {
    let mut cursor = Cursor { rest: text };
    // The beginning of nearly all lines is compared at once.
    let word = if cursor.take("{\"command\":\"lock\",\"name\":\"") {
        Word::Lock
    } else if cursor.take("{\"command\":\"unlock\",\"name\":\"") {
        Word::Unlock
    } else {
        return cursor.object_of_line(text);
    };
    let name = cursor.rest_of_text().filter(|name| is_name(name))?;
    // Most lines end here, and then the compiler knows that all other fields are absent.
    if cursor.take("}\n") {
        return Some((word.plain(name, None, None, None), text.len() - cursor.rest.len()));
    }
    // This is what the next most frequent lines have, in this order. As bytes: a text may not be cut just anywhere, and that
    // is checked.
    let mut rest = cursor.rest.as_bytes();
    let owner = number_of(b",\"owner\":", &mut rest).map(Id::Number);
    let fence = rest.strip_prefix(b",\"fence\":true").map(|after| rest = after);
    let id = number_of(b",\"id\":", &mut rest).map(Id::Number);
    if let Some(next) = rest.strip_prefix(b"}\n") {
        return Some((word.plain(name, owner, fence.map(|()| true), id), text.len() - next.len()));
    }
    cursor.fields_of_line(Fields { command: Some(word), name: Some(name), ..Fields::default() }, text)
}

/// The value of a key, if both are next and it is a number of up to 15 digits, other than 0. Otherwise nothing is taken.
#[inline(always)]
fn number_of<const KEY: usize>(key: &[u8; KEY], rest: &mut &[u8]) -> Option<Digits> {
    let value = rest.strip_prefix(key)?;
    let word = match value.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        // The last eight bytes, of which the end of the key is shifted out.
        None if value.is_empty() => return None,
        None => u64::from_le_bytes(*rest.last_chunk()?) >> (8 * (8 - value.len())),
    };
    let (number, digits) = match Digits::short_in(word) {
        Some(short) => short,
        None => Digits::long_in(word, self::word(value.get(8..)?))?,
    };
    *rest = value.get(digits..)?;
    Some(number)
}

/// The request in a line without its `\n`, if it is plain, as for [`recognise_line`].
pub fn recognise(line: &[u8]) -> Option<Request<'_>> {
    let (plain, rest) = Cursor { rest: std::str::from_utf8(line).ok()? }.object()?;
    rest.is_empty().then(|| plain.into())
}

#[inline(always)]
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
}

impl<'a> From<Plain<'a>> for Request<'a> {
    fn from(plain: Plain<'a>) -> Self {
        let named = |name| LockName(Cow::Borrowed(name));
        let operation = match plain.operation {
            PlainOperation::Lock(LockRef { name, timeout, queue_max, has_fence, is_plain }) => {
                Operation::Lock(Lock { name: named(name), timeout, queue_max, has_fence, is_plain })
            }
            PlainOperation::Unlock { name, token } => Operation::Unlock { name: named(name), token },
            PlainOperation::KeepAlive => Operation::KeepAlive,
        };
        Request { id: plain.id.map(in_line), owner: plain.owner.map(in_line), command: Command::Locks(operation) }
    }
}

fn in_line(id: IdRef<'_>) -> Id<Cow<'_, str>> {
    match id {
        Id::Number(number) => Id::Number(number.value()),
        Id::Text(text) => Id::Text(Cow::Borrowed(text)),
    }
}

/// The frequent commands.
#[derive(Clone, Copy)]
enum Word {
    Lock,
    Unlock,
    KeepAlive,
}

impl Word {
    /// A request with a name, and of the other fields only these.
    #[inline(always)]
    fn plain<'a>(
        self,
        name: &'a str,
        owner: Option<OwnerRef<'a>>,
        fence: Option<bool>,
        id: Option<IdRef<'a>>,
    ) -> Plain<'a> {
        let (has_fence, is_plain) = (fence == Some(true), fence.is_none());
        let lock = LockRef { name, timeout: None, queue_max: None, has_fence, is_plain };
        match self {
            Word::Lock => Plain { id, owner, operation: PlainOperation::Lock(lock) },
            Word::Unlock => Plain { id, owner, operation: PlainOperation::Unlock { name, token: None } },
            Word::KeepAlive => Plain { id, owner: None, operation: PlainOperation::KeepAlive },
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Fields<'a> {
    command: Option<Word>,
    name: Option<&'a str>,
    timeout: Option<Option<Span>>,
    queue_max: Option<Option<u64>>,
    fence: Option<Option<bool>>,
    token: Option<Option<u64>>,
    owner: Option<OwnerRef<'a>>,
    id: Option<IdRef<'a>>,
}

impl<'a> Fields<'a> {
    /// Fields that the command does not have are ignored. None also if it lacks one.
    fn plain(self) -> Option<Plain<'a>> {
        let Fields { command, name, timeout, queue_max, fence, token, owner, id } = self;
        let named = || name.filter(|name| is_name(name));
        let fence = fence.flatten();
        let operation = match command? {
            Word::Lock => PlainOperation::Lock(LockRef {
                name: named()?,
                timeout: timeout.flatten(),
                queue_max: queue_max.flatten(),
                has_fence: fence == Some(true),
                is_plain: fence.is_none(),
            }),
            Word::Unlock => PlainOperation::Unlock { name: named()?, token: token.flatten() },
            Word::KeepAlive => return Some(Plain { id, owner: None, operation: PlainOperation::KeepAlive }),
        };
        Some(Plain { id, owner, operation })
    }
}

/// What of the text is not read yet.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// Skips `literal`, if it is next. It is known at compile time, so it is compared in a few words.
    #[inline(always)]
    fn take(&mut self, literal: &str) -> bool {
        match self.rest.strip_prefix(literal) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The same as a step that can fail.
    #[inline(always)]
    fn expect(&mut self, literal: &str) -> Option<()> {
        self.take(literal).then_some(())
    }

    #[inline]
    fn skip_space(&mut self) {
        self.take(" ");
    }

    /// An object, and what follows it.
    fn object(mut self) -> Option<(Plain<'a>, &'a str)> {
        self.expect("{")?;
        let mut fields = Fields::default();
        self.field(&mut fields)?;
        self.fields(fields)
    }

    /// The rest of an object, of which some fields were read, and what follows it.
    fn fields(mut self, mut fields: Fields<'a>) -> Option<(Plain<'a>, &'a str)> {
        while !self.take("}") {
            self.expect(",")?;
            self.skip_space();
            self.field(&mut fields)?;
        }
        Some((fields.plain()?, self.rest))
    }

    /// An object that is a line of its own, and the length of that line.
    #[inline(never)]
    fn object_of_line(self, text: &str) -> Option<(Plain<'a>, usize)> {
        let (plain, rest) = self.object()?;
        Some((plain, text.len() - rest.strip_prefix('\n')?.len()))
    }

    /// The same for the rest of an object.
    #[inline(never)]
    fn fields_of_line(self, fields: Fields<'a>, text: &str) -> Option<(Plain<'a>, usize)> {
        let (plain, rest) = self.fields(fields)?;
        Some((plain, text.len() - rest.strip_prefix('\n')?.len()))
    }

    /// A key and its value. None also if the key occurred before.
    fn field(&mut self, fields: &mut Fields<'a>) -> Option<()> {
        // The first letter tells which key it can be; `replace` tells whether it occurred before.
        let is_repeated = match self.rest.as_bytes().get(1)? {
            b'c' => {
                self.expect("\"command\":")?;
                fields.command.replace(self.command()?).is_some()
            }
            b'n' => {
                self.expect("\"name\":")?;
                fields.name.replace(self.text()?).is_some()
            }
            b't' => {
                if self.take("\"token\":") {
                    fields.token.replace(self.whole_number()?).is_some()
                } else {
                    self.expect("\"timeout\":")?;
                    fields.timeout.replace(self.timeout()?).is_some()
                }
            }
            b'q' => {
                self.expect("\"queue_max\":")?;
                fields.queue_max.replace(self.whole_number()?).is_some()
            }
            b'i' => {
                self.expect("\"id\":")?;
                self.skip_space();
                fields.id.replace(self.id()?).is_some()
            }
            b'o' => {
                self.expect("\"owner\":")?;
                self.skip_space();
                fields.owner.replace(self.id()?).is_some()
            }
            b'f' => {
                self.expect("\"fence\":")?;
                fields.fence.replace(self.truth()?).is_some()
            }
            _ => return None,
        };
        (!is_repeated).then_some(())
    }

    fn command(&mut self) -> Option<Word> {
        self.skip_space();
        if self.take("\"lock\"") {
            return Some(Word::Lock);
        }
        if self.take("\"unlock\"") {
            return Some(Word::Unlock);
        }
        self.expect("\"keep_alive\"").map(|()| Word::KeepAlive)
    }

    /// A string that contains only ordinary bytes.
    fn text(&mut self) -> Option<&'a str> {
        self.skip_space();
        self.expect("\"")?;
        self.rest_of_text()
    }

    /// The same, after its first quote has been taken.
    #[inline(always)]
    fn rest_of_text(&mut self) -> Option<&'a str> {
        let mut end = 0;
        let special = loop {
            let special = special_bytes(word(self.rest.as_bytes().get(end..)?));
            if special != 0 {
                break special;
            }
            end += 8;
        };
        end += special.trailing_zeros() as usize / 8;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        self.expect("\"")?;
        Some(text)
    }

    fn timeout(&mut self) -> Option<Option<Span>> {
        self.skip_space();
        if self.take("null") {
            return Some(None);
        }
        let start = self.rest;
        let whole = self.digits()?.value();
        if !self.take(".") {
            #[expect(clippy::cast_precision_loss, reason = "it is at most WHOLE_NUMBER_MAX")]
            return Some(Some(Span::from_secs_f64(whole as f64)));
        }
        let after = self.rest.trim_start_matches(|char: char| char.is_ascii_digit());
        // std would accept what JSON forbids.
        if after.len() == self.rest.len() {
            return None;
        }
        self.rest = after;
        start[..start.len() - after.len()].parse().ok().map(|seconds| Some(Span::from_secs_f64(seconds)))
    }

    fn whole_number(&mut self) -> Option<Option<u64>> {
        self.skip_space();
        if self.take("null") {
            return Some(None);
        }
        self.digits().map(|number| Some(number.value()))
    }

    fn truth(&mut self) -> Option<Option<bool>> {
        self.skip_space();
        if self.take("true") {
            return Some(Some(true));
        }
        if self.take("false") {
            return Some(Some(false));
        }
        self.expect("null").map(|()| None)
    }

    /// An id, or an owner.
    fn id(&mut self) -> Option<IdRef<'a>> {
        if !self.take("\"") {
            return self.digits().map(Id::Number);
        }
        self.rest_of_text().filter(|text| text.len() <= ID_BYTES_MAX).map(Id::Text)
    }

    /// A whole number as in JSON, without a leading zero, and at most [`WHOLE_NUMBER_MAX`]: the general parser, which reads
    /// a double, reads the same. The next byte is not a digit.
    fn digits(&mut self) -> Option<Digits> {
        let word = word(self.rest.as_bytes());
        let length = digits_in(word);
        // The first byte is the lowest.
        if length == 0 || (length > 1 && word & 0xff == u64::from(b'0')) {
            return None;
        }
        self.rest = self.rest.get(length..)?;
        if length == 8 { self.more_digits(word) } else { Some(Digits::short(word, length)) }
    }

    /// The rest of a number that has eight digits or more.
    fn more_digits(&mut self, first: u64) -> Option<Digits> {
        let rest = word(self.rest.as_bytes());
        let length = digits_in(rest);
        self.rest = self.rest.get(length..)?;
        let number = Digits::long(first, rest, length);
        if length < 8 {
            return Some(number);
        }
        let ends = !self.rest.starts_with(|next: char| next.is_ascii_digit());
        (ends && number.value() <= WHOLE_NUMBER_MAX).then_some(number)
    }
}

/// The first eight bytes, the first of them lowest. Those after the end are 0, which no string contains.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => last_word(bytes),
    }
}

#[inline(never)]
fn last_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::super::parse_in_full;
    use super::*;

    /// Whether the line was recognised; if so, checks that the general parser reads the same.
    #[track_caller]
    fn is_recognised(line: impl AsRef<[u8]>) -> bool {
        let line = line.as_ref();
        // Whatever follows it, the line is read as it is alone, and only when its end is there.
        if let Ok(text) = std::str::from_utf8(line) {
            assert_eq!(recognise_line(text), None, "{text}");
            for next in ["", "}", "\n", "9999", text] {
                let lines = format!("{text}\n{next}");
                let alone = recognise(line).map(|request| (request, line.len() + 1));
                let in_lines = recognise_line(&lines).map(|(plain, len)| (plain.into(), len));
                assert_eq!(in_lines, alone, "{lines}");
            }
        }
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
            r#"{"command":"lock","name":"boss:17","owner":4711,"fence":true,"id":7}"#,
            r#"{"command":"lock","name":"boss:17","owner":"player-5","fence":false}"#,
            r#"{"command":"lock","name":"boss:17","fence": null, "owner": 9007199254740991}"#,
            r#"{"owner":"","command":"unlock","name":"boss:17","token":1234567890123456}"#,
            r#"{"command":"unlock","name":"boss:17","token":null}"#,
            // Fields of other commands.
            r#"{"command":"keep_alive","owner":7,"fence":true,"token":5}"#,
            r#"{"command":"unlock","name":"boss:17","fence":true,"timeout":1}"#,
            r#"{"command":"lock","name":"boss:17","token":5}"#,
        ] {
            assert!(is_recognised(line), "{line}");
        }
    }

    #[test]
    fn unusual_lines_are_left_to_the_general_parser() {
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
            r#"{"command":"lock","name":"a","owner":1,"owner":1}"#,
            r#"{"command":"lock","name":"a","fence":null,"fence":true}"#,
            r#"{"command":"unlock","name":"a","token":1,"token":null}"#,
            r#"{"command":"lock","name":"a","owner":null}"#,
            r#"{"command":"lock","name":"a","owner":true}"#,
            r#"{"command":"lock","name":"a","fence":1}"#,
            r#"{"command":"lock","name":"a","fence":truee}"#,
            r#"{"command":"lock","name":"a","fence":"true"}"#,
            r#"{"command":"unlock","name":"a","token":"1"}"#,
            r#"{"command":"lock","name":"a","mode":"shared"}"#,
            r#"{"command":"unlock","names":["a","b"]}"#,
            r#"{"command":"lock","name":"a","other":1}"#,
            r#"{"command":"lock","name":"a","id":null}"#,
            r#"{"command":"lock","name":"a","queue_max":1.0}"#,
            r#"{"command":"lock","name":"a","queue_max":-1}"#,
        ]
        .map(str::to_owned)
        .into();
        lines.extend(["null", "5", "\"\"", r#""\u0041""#, r#""a\n""#, "\"a\u{1}\"", "[]"].map(name));
        lines.extend([format!("\"{}\"", "x".repeat(1025))].iter().map(|text| name(text)));
        lines.extend(
            ["-1", "1e3", "01", "1.", ".5", "\"1\"", "true", "9007199254740992", "12345678901234567", "nul", "1.5e3"]
                .map(timeout),
        );
        lines.extend(["-1", "01", "1.0", "9007199254740992", "12345678901234567", "true"].map(id));
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

    #[test]
    fn numbers_of_every_length_are_read_after_the_name_and_at_the_end_of_the_text() {
        let all = "1234567890123456";
        for digits in 1..=all.len() {
            let number = &all[..digits];
            for fields in [
                format!(r#","owner":{number}"#),
                format!(r#","id":{number}"#),
                format!(r#","owner":{number},"id":{number}"#),
                format!(r#","owner":{number},"fence":true,"id":{number}"#),
                format!(r#","id":{number},"owner":{number},"timeout":1"#),
            ] {
                for command in ["lock", "unlock"] {
                    let line = format!(r#"{{"command":"{command}","name":"a"{fields}}}"#);
                    assert!(is_recognised(&line), "{line}");
                    // A number that ends with the text ends no line.
                    assert!(!is_recognised(line.strip_suffix('}').unwrap()), "{line}");
                }
            }
        }
        for number in ["0", "01", "00000001", "0123456789", "", "-1", "1.0", "9007199254740992"] {
            let line = format!(r#"{{"command":"lock","name":"a","owner":{number},"id":{number}}}"#);
            assert_eq!(is_recognised(&line), number == "0", "{line}");
        }
    }

    /// Lines made of pieces that mostly fit together, some of them changed in one byte or truncated.
    #[test]
    fn random_lines_are_read_as_the_general_parser_reads_them() {
        const COMMANDS: [&str; 4] = [r#""lock""#, r#""unlock""#, r#""keep_alive""#, r#""ping""#];
        const NAMES: [&str; 6] = [r#""a""#, r#""player:123456""#, r#""é: 🔒""#, r#""\u0041""#, r#""""#, "7"];
        const NUMBERS: [&str; 11] =
            ["0", "5", "100", "0.25", "2.0", "0.3000000001", "999999999999999", "null", "00", "-1", "9007199254740993"];
        const TRUTHS: [&str; 5] = ["true", "false", "null", "tru", "1"];
        const FIELDS: [(&str, &[&str]); 11] = [
            ("command", &COMMANDS),
            ("name", &NAMES),
            ("id", &NAMES),
            ("timeout", &NUMBERS),
            ("queue_max", &NUMBERS),
            ("id", &NUMBERS),
            ("owner", &NAMES),
            ("owner", &NUMBERS),
            ("token", &NUMBERS),
            ("fence", &TRUTHS),
            ("prefix", &NAMES),
        ];
        let mut random = fastrand::Rng::with_seed(5);
        let (mut recognised, mut refused) = (0, 0);
        for _ in 0..200_000 {
            let mut fields = FIELDS.to_vec();
            random.shuffle(&mut fields[2..]);
            fields.truncate(random.usize(1..6));
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
