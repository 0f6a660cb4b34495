//! Numbers and texts of every size: at, below and above each power of two and each limit of the protocol, and texts of
//! every length in bytes and in scripts of one to four bytes a character.
//!
//! The limits are written down here a second time, from the protocol.

use serde_json::json;

use crate::model::error;

/// Draws a number below the given one. The simulation draws from a seed, the fuzzers from their input.
pub type Draw<'a> = &'a mut dyn FnMut(u64) -> u64;

/// The longest name of a lock, `id` and `client`, in bytes.
const NAME_BYTES_MAX: u64 = 1024;
const ID_BYTES_MAX: u64 = 64;
const CLIENT_BYTES_MAX: u64 = 128;
/// The largest `id` that is a number.
const ID_MAX: u64 = 9_007_199_254_740_991;

/// An `id` as a request has it, and as its replies do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    pub written: String,
    pub returned: String,
}

impl Id {
    pub fn number(number: u64) -> Self {
        Id { written: number.to_string(), returned: number.to_string() }
    }

    pub fn text(text: &str) -> Self {
        Id { written: quoted(text), returned: quoted(text) }
    }
}

/// A time in seconds as it is written, and how long that is. The largest number stands for ever.
#[derive(Clone, Debug)]
pub struct Span {
    pub written: String,
    pub nanos: u64,
}

/// A whole number as it is written, and what it is.
#[derive(Clone, Debug)]
pub struct Whole {
    pub written: String,
    pub value: u128,
}

/// 0, or a number around a power of two of at most `bits` bits.
pub fn number(bits: u64, draw: Draw<'_>) -> u64 {
    let power = 1_u64 << draw(bits);
    match draw(4) {
        0 => power - 1,
        1 => power.saturating_add(1),
        2 => power.saturating_add(draw(power)),
        _ => power,
    }
}

/// A length up to `most`: around a power of two, around the limit, or any.
fn length(most: u64, draw: Draw<'_>) -> u64 {
    match draw(4) {
        0 => most,
        1 => most - 1,
        2 => draw(most + 1),
        _ => number(11, draw).min(most),
    }
}

/// A text of `bytes` bytes.
pub fn text(bytes: u64, draw: Draw<'_>) -> String {
    const SCRIPTS: [&str; 7] =
        ["abc", "ñéß", "жλא", "語한あ", "🔒𝄞😀", "a\"\\\n\u{1}\u{7f}", "e\u{301}\u{2028}\u{200d}x"];
    let script: Vec<char> = SCRIPTS[index(SCRIPTS.len(), draw)].chars().collect();
    let mut text = String::new();
    let mut left = usize::try_from(bytes).expect("texts are short");
    while left > 0 {
        let character = script[index(script.len(), draw)];
        // Where no further character of the script fits, the rest is filled up.
        let character = if character.len_utf8() <= left { character } else { 'z' };
        text.push(character);
        left -= character.len_utf8();
    }
    text
}

/// A name that a lock may have.
pub fn name(draw: Draw<'_>) -> String {
    let bytes = length(NAME_BYTES_MAX, draw).max(1);
    text(bytes, draw)
}

/// What a client may call itself. It may be nothing.
pub fn label(draw: Draw<'_>) -> String {
    let bytes = length(CLIENT_BYTES_MAX, draw);
    text(bytes, draw)
}

/// An `id` that a request may have.
pub fn id(draw: Draw<'_>) -> Id {
    if draw(2) == 0 {
        let number = number(54, draw).min(ID_MAX);
        let written = if draw(4) == 0 { format!("{number}.0") } else { number.to_string() };
        return Id { written, returned: number.to_string() };
    }
    let bytes = length(ID_BYTES_MAX, draw);
    let text = text(bytes, draw);
    let written = if draw(4) == 0 { escaped(&text) } else { quoted(&text) };
    Id { written, returned: quoted(&text) }
}

/// A time from nothing to longer than a server lives.
pub fn span(draw: Draw<'_>) -> Span {
    match draw(16) {
        0 => Span { written: "0".to_owned(), nanos: 0 },
        1 => Span { written: "1e300".to_owned(), nanos: u64::MAX },
        // More than nothing, however little.
        2 => Span { written: "1e-300".to_owned(), nanos: 1 },
        _ => span_of_parts(number(44, draw)),
    }
}

/// A number of 512ths of a second. A double holds it exactly, and its nanoseconds as well, so that nothing depends on
/// rounding; if it does not fit, it is made smaller.
fn span_of_parts(mut parts: u64) -> Span {
    const NANOS: u64 = 1_000_000_000 / 512;
    let is_exact = |parts: u64| (parts >> parts.trailing_zeros().min(63)) <= (1 << 53) / NANOS;
    while !is_exact(parts) {
        parts &= parts - 1;
    }
    let nanos = u128::from(parts) * u128::from(NANOS);
    let written = match (parts / 512, parts % 512 * NANOS) {
        (seconds, 0) => seconds.to_string(),
        (seconds, nanos) => format!("{seconds}.{nanos:09}"),
    };
    Span { written, nanos: u64::try_from(nanos).unwrap_or(u64::MAX) }
}

/// A `queue_max`.
pub fn queue_max(draw: Draw<'_>) -> Whole {
    let value = match draw(8) {
        0..4 => u128::from(draw(5)),
        4 => (1 << 64) + u128::from(draw(2)),
        _ => u128::from(number(64, draw)),
    };
    let written = if draw(4) == 0 { format!("{value}.0") } else { value.to_string() };
    Whole { written, value }
}

/// A request with something in it that is beyond a limit or of the wrong kind, and the answer.
pub fn bad_request(name: &str, draw: Draw<'_>) -> (String, String) {
    let beyond = |limit: u64, draw: Draw<'_>| {
        let bytes = limit + 1 + draw(2) * draw(100);
        quoted(&text(bytes, draw))
    };
    let name = quoted(name);
    let (request, reason, echo) = match draw(13) {
        0 => (r#""command":"nonsense""#.to_owned(), "unknown_command", String::new()),
        1 => (format!(r#""name":{name}"#), "invalid_request", format!(r#","name":{name}"#)),
        2 => (r#""command":"lock","id":5"#.to_owned(), "invalid_request", r#","id":5"#.to_owned()),
        3 => (r#""command":"unlock","name":"""#.to_owned(), "invalid_request", String::new()),
        4 => {
            let name = beyond(NAME_BYTES_MAX, draw);
            (format!(r#""command":"lock","id":"x","name":{name}"#), "invalid_request", r#","id":"x""#.to_owned())
        }
        5 => (
            format!(r#""command":"hello","client":{}"#, beyond(CLIENT_BYTES_MAX, draw)),
            "invalid_request",
            String::new(),
        ),
        6 => {
            let max_idle = ["0", "-1", "\"1\""][index(3, draw)];
            (format!(r#""command":"hello","max_idle":{max_idle}"#), "invalid_request", String::new())
        }
        7..10 => {
            let too_large = u128::from(ID_MAX) + 1 + u128::from(draw(2) * number(64, draw));
            let id = match draw(4) {
                0 => beyond(ID_BYTES_MAX, draw),
                1 => ["-1", "1.5", "true", "[1]", "1e300"][index(5, draw)].to_owned(),
                _ => too_large.to_string(),
            };
            (format!(r#""command":"lock","name":{name},"id":{id}"#), "invalid_request", format!(r#","name":{name}"#))
        }
        10 => {
            let timeout = ["\"1\"", "true", "[]"][index(3, draw)];
            let request = format!(r#""command":"lock","name":{name},"timeout":{timeout}"#);
            (request, "invalid_request", format!(r#","name":{name}"#))
        }
        11 => {
            let queue_max = ["-1", "0.5", "\"1\""][index(3, draw)];
            let request = format!(r#""command":"lock","name":{name},"queue_max":{queue_max}"#);
            (request, "invalid_request", format!(r#","name":{name}"#))
        }
        _ => {
            let limit = ["0", "1001", "4294967297", "1.5"][index(4, draw)];
            (format!(r#""command":"locks","limit":{limit}"#), "invalid_request", String::new())
        }
    };
    let reply = error(reason, None);
    let reply = format!("{}{echo}}}", &reply[..reply.len() - 1]);
    (format!("{{{request}}}"), reply)
}

/// A text as JSON has it.
pub fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':' || byte == b'.') {
        return format!("\"{text}\"");
    }
    json!(text).to_string()
}

/// A text as JSON may have it as well: nothing but escapes.
fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

fn index(of: usize, draw: Draw<'_>) -> usize {
    usize::try_from(draw(of as u64)).expect("below a small number")
}
