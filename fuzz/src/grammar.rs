//! Changes to requests by someone who knows how they are written: a line stays nearly one that the shortcut for plain
//! lines takes, as its mistakes would be there.

use std::borrow::Cow;
use std::iter;

use fastrand::Rng;

/// A line to begin with.
const LINES: [&str; 14] = [
    "{\"command\":\"lock\",\"name\":\"boss:17\"}\n",
    "{\"command\":\"unlock\",\"name\":\"boss:17\"}\n",
    "{\"command\":\"lock\",\"name\":\"boss:17\",\"timeout\":0.25,\"queue_max\":3,\"id\":\"a-1\"}\n",
    "{\"command\": \"unlock\", \"id\": \"a-2\", \"name\": \"boss:17\"}\n",
    "{\"id\":7,\"name\":\"boss:17\",\"timeout\":null,\"command\":\"lock\"}\n",
    "{\"command\":\"keep_alive\",\"id\":\"k\"}\n",
    "{\"command\":\"lock\",\"name\":\"boss:17\",\"owner\":4711,\"fence\":true,\"id\":123456}\n",
    "{\"command\":\"unlock\",\"name\":\"boss:17\",\"owner\":\"ann\",\"token\":872654128374651}\n",
    "{\"command\":\"lock\",\"name\":\"a\",\"mode\":\"shared\",\"lease\":0.5,\"priority\":3,\"label\":\"x\"}\n",
    "{\"command\":\"lock\",\"names\":[\"a\",\"b\"],\"any\":true}\n",
    "{\"command\":\"lock\",\"name\":\"player:4711\",\"owner\":7,\"fence\":true,\"hint\":true,\"progress\":true}\n",
    "{\"id\": 1, \"command\": \"lock\", \"name\": \"boss:17\", \"owner\": \"player-5\", \"timeout\": 5.0}\n",
    "{\"command\":\"renew\",\"id\":7,\"names\":[\"a\", \"b\"],\"lease\":30,\"token\":5}\n",
    "{\"command\":\"lock\",\"name\":\"caf\\u00e9\",\"lease\":0.5}\n",
];

/// What may look like white space to one reader and not to another.
const SPACES: [&str; 9] = [" ", "  ", "\n", "\t", "\r", "\u{b}", "\u{c}", "\u{a0}", "\u{feff}"];

const STRINGS: [&str; 25] = [
    "\"command\"",
    "\"name\"",
    "\"timeout\"",
    "\"queue_max\"",
    "\"id\"",
    "\"owner\"",
    "\"fence\"",
    "\"token\"",
    "\"names\"",
    "\"lease\"",
    "\"mode\"",
    "\"slots\"",
    "\"renew\"",
    "\"lock\"",
    "\"unlock\"",
    "\"keep_alive\"",
    "\"ping\"",
    "\"transfer\"",
    "\"hint\"",
    "\"progress\"",
    "\"to\"",
    "\"prefix\"",
    "\"contended\"",
    "\"n\"",
    "\"\"",
];

const SCALARS: [&str; 24] = [
    "0",
    "7",
    "10",
    "-0",
    "-1",
    "00",
    "1.0",
    "0.1",
    "1.",
    ".5",
    "1e3",
    "2E-1",
    "4294967296",
    "999999999999999",
    "99999999",
    "100000000",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "18446744073709551616",
    "null",
    "true",
    "false",
    "nul",
];

const FIELDS: [&str; 22] = [
    ",\"timeout\":0.5",
    ",\"timeout\":null",
    ",\"queue_max\":2",
    ",\"id\":9",
    ",\"id\":\"x\"",
    ",\"id\":null",
    ",\"name\":\"x\"",
    ",\"command\":\"lock\"",
    ",\"owner\":7",
    ",\"owner\":\"7\"",
    ",\"fence\":true",
    ",\"fence\":null",
    ",\"token\":12345678901234",
    ",\"names\":[\"x\",\"y\"]",
    ",\"lease\":30",
    ",\"lease\":0.0",
    ",\"mode\":\"exclusive\"",
    ",\"slots\":3",
    ",\"hint\":true",
    ",\"progress\":false",
    ",\"to_owner\":7",
    ",\"x\":{\"y\":[1]}",
];

const ESCAPES: [&str; 7] = ["\\n", "\\\"", "\\\\", "\\u0041", "\\ud83d\\udd12", "\\ud800", "\\x"];

/// Characters of one to four bytes.
const CHARACTERS: [&str; 4] = ["x", "\u{e9}", "\u{20ac}", "\u{1f512}"];

/// Where the protocol, or reading eight bytes at a time, has a limit on the length of a string.
const LENGTHS: [usize; 6] = [0, 8, 16, 64, 64, 1024];

/// Bytes that mean something, or come right before or after those that do.
const BYTES: [u8; 14] = [0, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', b'0', b'9', 0x7f, 0x80, 0xff];

/// Some lines, changed in one place, or in a few.
pub fn mutated(lines: &[u8], random: &mut Rng) -> Vec<u8> {
    let start = if lines.is_empty() || random.u8(0..32) == 0 { chosen(&LINES, random).as_bytes() } else { lines };
    let mut tokens: Vec<Cow<'_, [u8]>> = tokens(start).map(Cow::Borrowed).collect();
    loop {
        change(&mut tokens, random);
        if random.bool() {
            return tokens.concat();
        }
    }
}

fn change(tokens: &mut Vec<Cow<'_, [u8]>>, random: &mut Rng) {
    let gap = random.usize(0..=tokens.len());
    let mut insert = |text: &'static str| tokens.insert(gap, Cow::Borrowed(text.as_bytes()));
    match random.u8(0..8) {
        0 | 1 => insert(chosen(&SPACES, random)),
        2 => insert(chosen(&FIELDS, random)),
        // Everything else needs a token.
        _ if gap == tokens.len() => {}
        3 => drop(tokens.remove(gap)),
        4 => {
            let other = random.usize(0..tokens.len());
            tokens.swap(gap, other);
        }
        5 => {
            let other = random.usize(0..tokens.len());
            tokens.insert(gap, tokens[other].clone());
        }
        6 => replace_byte(tokens[gap].to_mut(), random),
        _ => {
            tokens[gap] = match tokens[gap].first() {
                Some(b'"') => string(&tokens[gap], random),
                _ => Cow::Borrowed(chosen(&SCALARS, random).as_bytes()),
            };
        }
    }
}

fn replace_byte(token: &mut [u8], random: &mut Rng) {
    if let Some(byte) = token.get_mut(random.usize(0..token.len().max(1))) {
        *byte = if random.bool() { BYTES[random.usize(0..BYTES.len())] } else { *byte ^ 1 << random.u8(0..8) };
    }
}

/// Another string in place of one.
fn string(old: &[u8], random: &mut Rng) -> Cow<'static, [u8]> {
    match random.u8(0..4) {
        0 => Cow::Borrowed(chosen(&STRINGS, random).as_bytes()),
        1 => {
            let mut escaped = old.to_vec();
            let at = random.usize(1..=escaped.len());
            escaped.splice(at..at, chosen(&ESCAPES, random).bytes());
            Cow::Owned(escaped)
        }
        _ => Cow::Owned(format!("\"{}\"", at_a_limit(random)).into_bytes()),
    }
}

/// A text as long as some limit, or a little shorter or longer, counted in bytes or in characters.
fn at_a_limit(random: &mut Rng) -> String {
    let character = chosen(&CHARACTERS, random);
    let length = (LENGTHS[random.usize(0..LENGTHS.len())] + random.usize(0..3)).saturating_sub(1);
    if random.bool() {
        return character.repeat(length);
    }
    let rest = iter::repeat_n("x", length % character.len());
    iter::repeat_n(character, length / character.len()).chain(rest).collect()
}

fn chosen(from: &[&'static str], random: &mut Rng) -> &'static str {
    from[random.usize(0..from.len())]
}

/// Strings, marks and what is between them, as far as the bytes are JSON.
fn tokens(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let length = match bytes.first()? {
            b'"' => string_length(bytes),
            first if is_mark(*first) => 1,
            _ => bytes.iter().position(|&byte| byte == b'"' || is_mark(byte)).unwrap_or(bytes.len()),
        };
        let (token, rest) = bytes.split_at(length);
        bytes = rest;
        Some(token)
    })
}

fn is_mark(byte: u8) -> bool {
    b"{}[]:, \n\r\t".contains(&byte)
}

/// Up to the quote that ends it, or to the end.
fn string_length(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    let is_end = |&byte: &u8| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    };
    bytes[1..].iter().position(is_end).map_or(bytes.len(), |end| end + 2)
}
