//! The transcript: to the log at debug, and always the last of it in memory, for the one time that matters.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::time::Moment;
use crate::wire::peer::Peer;
use crate::wire::transcript::{Event, Record};

/// Remembers what crossed the edge last. When the process ends by a contradiction of its own (a panic unwinds through
/// here), it writes that to the log.
///
/// What is read or written at once is remembered at once, and taken apart into lines only when it is wanted: line by line
/// it was a tenth of the instructions of a lock and its unlock.
pub(super) struct Recorder {
    /// The log takes every line. Asked once: it costs something on every line otherwise.
    is_logged: bool,
    pieces: VecDeque<Piece>,
    /// What the pieces consist of, one after the other.
    bytes: VecDeque<u8>,
}

/// Pieces that are remembered, at most, and the bytes of all of them.
const PIECES_MAX: usize = 128;
const BYTES_MAX: usize = 32 << 10;
/// More of one piece is not remembered: the rest of them would be forgotten for it.
const PIECE_BYTES_MAX: usize = 4 << 10;

/// Stands for the bytes of a secret, and of what is around it.
const BLANK: u8 = b'*';

/// Digits of the secret of a session.
const SECRET_DIGITS: usize = 32;

/// What a secret follows, whatever else is wrong with a line: the fields of a `hello`, and that of a request by HTTP.
const BEFORE_SECRETS: [&[u8]; 3] = [b"secret", b"resume", b"authorization"];

/// Whether a line, or a part of one, may have a secret in it: in its place, or where a client has put it by mistake.
pub(super) fn may_have_secret(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"session").is_some() || has_word_before_secrets(bytes)
}

/// Whether there is a word in a line, in upper or lower case, that a secret may follow.
pub(super) fn has_word_before_secrets(line: &[u8]) -> bool {
    first_secret(line) < line.len()
}

/// Where the first secret of a line may begin. The end of the line: nowhere.
fn first_secret(line: &[u8]) -> usize {
    let after = |word: &[u8]| {
        let mut starts = memchr::memchr3_iter(word[0], word[0].to_ascii_uppercase(), b'\\', line);
        starts.find_map(|start| Some(line.len() - after_word(&line[start..], word)?.len()))
    };
    BEFORE_SECRETS.into_iter().filter_map(after).min().unwrap_or(line.len())
}

/// What follows a word that text begins with: in upper or lower case, and each letter as it is or as `\u0073`.
fn after_word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    word.iter().try_fold(text, |rest, letter| {
        let (found, rest) = match rest {
            [b'\\', b'u', digits @ ..] => {
                let (digits, rest) = digits.split_at_checked(4)?;
                let code = u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
                (u8::try_from(code).ok()?, rest)
            }
            [found, rest @ ..] => (*found, rest),
            [] => return None,
        };
        found.eq_ignore_ascii_case(letter).then_some(rest)
    })
}

/// Whether a line has a field `secret`, of whatever command.
pub(super) fn has_secret_field(line: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"secret\"";
    // To make it costs as much as to search a line.
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(FIELD));
    let is_field = |after: &[u8]| after.trim_ascii_start().starts_with(b":");
    FINDER.find_iter(line).any(|start| is_field(&line[start + FIELD.len()..]))
        || (has_escaped_letter(line)
            && memchr::memchr_iter(b'"', line).any(|start| after_word(&line[start..], FIELD).is_some_and(is_field)))
}

/// Whether a letter may be written as an escape, which few lines have: only these are looked at closely.
fn has_escaped_letter(line: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', line).any(|start| matches!(line[start..], [_, b'u', b'0', b'0', b'4'..=b'7', ..]))
}

/// Whether a line has text that is not written as it reads, such as the name of a field.
pub(super) fn has_escaped_text(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"\\u").is_some()
}

/// As long as the line, and nothing of it.
pub(super) fn blanked(line: &[u8]) -> Vec<u8> {
    vec![BLANK; line.len()]
}

/// A line without the secret that it has in it, and without anything else that looks like one.
pub(super) fn masked(line: &[u8], secret: Option<&str>) -> Vec<u8> {
    let mut masked = line.to_vec();
    for run in masked.chunk_by_mut(|one, next| one.is_ascii_hexdigit() && next.is_ascii_hexdigit()) {
        if run.len() >= SECRET_DIGITS {
            run.fill(BLANK);
        }
    }
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        let found: Vec<usize> = memchr::memmem::find_iter(line, secret).collect();
        found.iter().for_each(|start| masked[*start..start + secret.len()].fill(BLANK));
        if found.is_empty() {
            // It is written with escapes.
            masked.fill(BLANK);
        }
    }
    masked
}

/// A line of which nobody knows what it is meant to be, or a part of one, as long as it was.
fn without_secrets(line: &[u8], event: Event) -> Vec<u8> {
    if !may_have_secret(line) {
        return line.to_vec();
    }
    let mut masked = masked(line, None);
    // Secrets of users can be anything, and only clients send them.
    if event == Event::Received {
        let end = line.strip_suffix(b"\n").unwrap_or(line).len();
        masked[first_secret(line).min(end)..end].fill(BLANK);
    }
    masked
}

#[derive(Clone, Copy)]
struct Piece {
    at: Moment,
    peer: Peer,
    event: Event,
    len: usize,
    /// Whether it begins within a line.
    is_rest: bool,
    /// Whether the line that it ends within has more bytes that were read and not remembered.
    is_cut: bool,
}

/// What is remembered of one direction of a connection.
struct Text {
    of: (Peer, Event),
    /// Where its bytes are.
    places: Vec<usize>,
    /// Whether the next byte is in a line of which something before was forgotten. That may be what a secret follows.
    is_without_name: bool,
}

impl Text {
    /// Adds a piece, which is here in these bytes, and blanks what may be a secret in it for all that is known.
    fn add(&mut self, piece: &Piece, range: Range<usize>, bytes: &mut [u8]) {
        self.places.extend(range.clone());
        if self.is_without_name {
            let line_end = bytes[range.clone()].iter().position(|byte| *byte == b'\n');
            bytes[range.start..line_end.map_or(range.end, |end| range.start + end)].fill(BLANK);
            self.is_without_name = line_end.is_none();
        }
        self.is_without_name |= piece.is_cut && piece.event == Event::Received;
    }
}

impl Recorder {
    pub(super) fn new() -> Self {
        Recorder {
            is_logged: log::log_enabled!(target: "officer::transcript", log::Level::Debug),
            pieces: VecDeque::with_capacity(PIECES_MAX),
            bytes: VecDeque::with_capacity(BYTES_MAX),
        }
    }

    /// Remembers what was read or written at once, or something that happened. `is_rest`: it was read, and begins within a
    /// line.
    pub(super) fn remember(&mut self, at: Moment, peer: Peer, event: Event, bytes: &[u8], is_rest: bool) {
        let kept = &bytes[..bytes.len().min(PIECE_BYTES_MAX)];
        while self.pieces.len() == PIECES_MAX || self.bytes.len() + kept.len() > BYTES_MAX {
            let oldest = self.pieces.pop_front().expect("one piece has room when there is no other");
            self.bytes.drain(..oldest.len);
        }
        let is_cut = kept.len() < bytes.len() && !bytes.ends_with(b"\n");
        self.pieces.push_back(Piece { at, peer, event, len: kept.len(), is_rest, is_cut });
        self.bytes.extend(kept);
    }

    /// Makes what is remembered of one direction of a connection unreadable, because there is a secret in it.
    pub(super) fn blank(&mut self, peer: Peer, event: Event) {
        let mut start = 0;
        for piece in &self.pieces {
            if (piece.peer, piece.event) == (peer, event) {
                self.bytes.range_mut(start..start + piece.len).for_each(|byte| *byte = BLANK);
            }
            start += piece.len;
        }
    }

    /// Whether [`Recorder::log`] does anything.
    pub(super) fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// Writes one line, without or with its `\n`, or something that happened, to the log if that takes it.
    #[inline]
    pub(super) fn log(&self, at: Moment, peer: Peer, event: Event, line: &[u8]) {
        if self.is_logged {
            log_line(at, peer, event, line);
        }
    }

    /// What is remembered, without secrets. Those of lines that were executed are blanked already; the others are in parts of
    /// lines, and in lines that wait.
    fn without_secrets(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.bytes.iter().copied().collect();
        // Of each connection and direction, where its bytes are: a line may be in several pieces.
        let mut texts: Vec<Text> = Vec::new();
        let mut start = 0;
        for piece in &self.pieces {
            let range = start..start + piece.len;
            start = range.end;
            let of = (piece.peer, piece.event);
            let known = texts.iter().position(|text| text.of == of);
            let text = known.unwrap_or_else(|| {
                texts.push(Text { of, places: Vec::new(), is_without_name: piece.is_rest });
                texts.len() - 1
            });
            texts[text].add(piece, range, &mut bytes);
        }
        for Text { of: (_, event), places, .. } in texts {
            let text: Vec<u8> = places.iter().map(|place| bytes[*place]).collect();
            let lines = text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| without_secrets(line, event));
            places.iter().zip(lines).for_each(|(place, byte)| bytes[*place] = byte);
        }
        bytes
    }

    /// What is remembered, line by line, the oldest first. A line of which there is only a part is marked.
    fn last_lines(&self) -> Vec<String> {
        let mut bytes = self.without_secrets();
        let mut lines = Vec::new();
        for &Piece { at, peer, event, len, .. } in &self.pieces {
            let rest = bytes.split_off(len);
            let piece = std::mem::replace(&mut bytes, rest);
            let show = |bytes: &[u8]| Record { at, peer, event, bytes }.to_string();
            match event {
                Event::Opened | Event::Closed => lines.push(show(&piece)),
                Event::Received | Event::Sent => {
                    lines.extend(piece.split_inclusive(|byte| *byte == b'\n').map(|line| match line {
                        [line @ .., b'\n'] => show(line),
                        part => show(part) + " [cut]",
                    }));
                }
            }
        }
        lines
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!("internal error; last traffic:");
            self.last_lines().iter().for_each(|line| log::error!(target: "officer::transcript", "{line}"));
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.last_lines()).finish()
    }
}

/// A function of its own, so that the check in front of it is all that a line costs that is not logged.
#[cold]
fn log_line(at: Moment, peer: Peer, event: Event, line: &[u8]) {
    let bytes = line.strip_suffix(b"\n").unwrap_or(line);
    log::debug!(target: "officer::transcript", "{}", Record { at, peer, event, bytes });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_stands_and_however_it_is_written() {
        let secret = "0123456789abcdef0123456789abcdef";
        let blank = "*".repeat(32);
        for line in
            [r#"{"resume":"S"}"#, r#"{"resume":"S","resume":"S"}"#, r#"{"session":{"secret":"S"}}"#, r#"{"x":"S"#]
        {
            let shown = masked(line.replace('S', secret).as_bytes(), None);
            assert_eq!(String::from_utf8(shown).unwrap(), line.replace('S', &blank));
        }
        // One that is none, as people would choose it.
        assert_eq!(masked(br#"{"resume":"swordfish"}"#, Some("swordfish")), br#"{"resume":"*********"}"#);
        let escaped = br#"{"resume":"s\u0077ordfish"}"#;
        assert_eq!(masked(escaped, Some("swordfish")), vec![b'*'; escaped.len()]);
        let short = r#"{"resume":"","id":"0123456789abcdef"}"#;
        assert_eq!(masked(short.as_bytes(), Some("")), short.as_bytes());
    }

    #[test]
    fn a_field_is_found_however_its_name_is_written() {
        for (line, is_field) in [
            (r#"{"secret":1}"#, true),
            (r#"{"x":"secret"}"#, false),
            (r#"{"secret" : 1}"#, true),
            (r#"{"\u0073ecret":1}"#, true),
            (r#"{"secre\u0074" : 1}"#, true),
            (r#"{"\u0073\u0065\u0063\u0072\u0065\u0074":1}"#, true),
            (r#"{"x":"\n","s\u0065cret":1}"#, true),
            (r#"{"x":"\u0073ecret"}"#, false),
            (r#"{"\u0073ecrets":1}"#, false),
            (r#"{"\u0173ecret":1}"#, false),
            (r#"{"\u007"#, false),
            (r#"{"\u0073ecre"#, false),
        ] {
            assert_eq!(has_secret_field(line.as_bytes()), is_field, "{line}");
        }
    }

    #[test]
    fn what_follows_the_name_of_a_secret_is_blanked_however_it_is_written() {
        for name in ["secret", r"S\u0065cret", r"\u0052\u0065\u0073ume", r"Authorizatio\u006E", r"\\u0073ecret"] {
            let line = format!("{{\"é\\u00e9\\\":{name}");
            let (secret, blank) = ([&line, "\":123\n"].concat(), [&line, "*****\n"].concat());
            let shown = without_secrets(secret.as_bytes(), Event::Received);
            assert_eq!(String::from_utf8(shown).unwrap(), blank);
        }
    }

    const ANN: Peer = Peer::Unix(1);

    #[test]
    fn what_was_last_is_kept_in_order_and_taken_apart_into_lines() {
        let mut recorder = Recorder::new();
        for number in 0..PIECES_MAX as u64 {
            recorder.remember(
                Moment::from_nanos(number),
                ANN,
                Event::Received,
                format!("line {number}\n").as_bytes(),
                false,
            );
        }
        recorder.remember(Moment::from_nanos(997), ANN, Event::Sent, b"one\ntwo\n\npart", false);
        recorder.remember(Moment::from_nanos(998), ANN, Event::Closed, b"why", false);
        let lines = recorder.last_lines();
        assert_eq!(lines.len(), PIECES_MAX - 2 + 4 + 1);
        assert_eq!(lines[0], "@0.000000002 unix:1 < line 2");
        assert_eq!(
            lines[lines.len() - 5..],
            [
                "@0.000000997 unix:1 > one",
                "@0.000000997 unix:1 > two",
                "@0.000000997 unix:1 >",
                "@0.000000997 unix:1 > part [cut]",
                "@0.000000998 unix:1 - why"
            ]
        );
    }

    #[test]
    fn memory_is_bounded_whatever_is_read_and_written() {
        let mut recorder = Recorder::new();
        let memory = recorder.bytes.capacity();
        for number in 0..100 {
            recorder.remember(Moment::from_nanos(number), ANN, Event::Received, &vec![b'x'; 1 << 20], false);
            recorder.remember(Moment::from_nanos(number), ANN, Event::Sent, &[b'y'; 1000], false);
        }
        assert_eq!(recorder.bytes.capacity(), memory);
        let lines = recorder.last_lines();
        assert_eq!(lines.last(), Some(&format!("@0.000000099 unix:1 > {} [cut]", "y".repeat(1000))));
        // It continues a line of which something was not remembered.
        assert!(lines.contains(&format!("@0.000000099 unix:1 < {} [cut]", "*".repeat(PIECE_BYTES_MAX))));
    }

    #[test]
    fn what_may_follow_the_name_of_a_secret_that_is_forgotten_is_blanked_up_to_the_end_of_its_line() {
        const BOB: Peer = Peer::Unix(2);
        let mut recorder = Recorder::new();
        let mut receive = |peer, bytes: &[u8], is_rest| {
            recorder.remember(Moment::from_nanos(1), peer, Event::Received, bytes, is_rest);
        };
        // The name was in a piece that is forgotten.
        receive(ANN, b"swordfish", true);
        // It was in what is not remembered of a piece, which was not the end of its line.
        let begun = [b"x".repeat(PIECE_BYTES_MAX).as_slice(), b",\"secret\":"].concat();
        receive(BOB, &begun, false);
        receive(ANN, b"\"}\none\ntwo", true);
        receive(BOB, b"swordfish", true);
        receive(BOB, b"\"}\nthree\n", true);
        // Here it was.
        receive(BOB, &[b"y".repeat(PIECE_BYTES_MAX).as_slice(), b"\n"].concat(), false);
        receive(BOB, b"four\n", false);
        let shown = |line: &String| line.split_once(" < ").unwrap().1.to_owned();
        assert_eq!(
            recorder.last_lines().iter().map(shown).collect::<Vec<_>>(),
            [
                "********* [cut]",
                &("x".repeat(PIECE_BYTES_MAX) + " [cut]"),
                "**",
                "one",
                "two [cut]",
                "********* [cut]",
                "**",
                "three",
                &("y".repeat(PIECE_BYTES_MAX) + " [cut]"),
                "four",
            ]
        );
    }

    #[test]
    fn pieces_are_forgotten_only_when_there_is_no_room() {
        let mut recorder = Recorder::new();
        let full = BYTES_MAX / PIECE_BYTES_MAX;
        for number in 0..=full as u64 {
            let before = recorder.pieces.len();
            recorder.remember(Moment::from_nanos(number), ANN, Event::Received, &[b'x'; PIECE_BYTES_MAX], false);
            assert_eq!(recorder.pieces.len(), (before + 1).min(full));
        }
    }
}
