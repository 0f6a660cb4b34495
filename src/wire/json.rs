//! The few pieces of JSON that the server writes itself, directly into an existing buffer.

pub(super) mod chunk;

use super::digits::push_u64;
use crate::time::Span;

/// Appends `text` as a JSON string: quoted, with `"`, `\` and the control characters escaped, everything else as it is.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_unquoted(out, text);
    out.push(b'"');
}

/// Like [`push_str`], without the quotes.
#[inline(always)]
pub fn push_unquoted(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_escaped(out, bytes);
    }
}

/// Whether nothing has to be escaped. Checks eight bytes at a time: most names are a few such words, and need no
/// escapes.
#[inline(always)]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let special = |word: &[u8; 8]| special_bytes(u64::from_le_bytes(*word));
    let Some(last) = bytes.last_chunk() else { return special_bytes(short_word(bytes)) == 0 };
    // Some of the last have been checked already; that costs less than checking the others one by one.
    bytes.as_chunks().0.iter().fold(special(last), |found, word| found | special(word)) == 0
}

/// All of fewer than eight bytes in a word, some of them more than once. No bytes are a word of spaces.
#[inline(always)]
pub(crate) fn short_word(bytes: &[u8]) -> u64 {
    let half = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
    match (bytes.first_chunk(), bytes.last_chunk(), bytes) {
        (Some(first), Some(last), _) => half(first) | half(last) << 32,
        (_, _, [first, .., last]) => u64::from_le_bytes([*first, bytes[1], *last, b' ', b' ', b' ', b' ', b' ']),
        (_, _, [only]) => u64::from_le_bytes([*only; 8]),
        (_, _, []) => u64::from_le_bytes([b' '; 8]),
    }
}

/// The highest bit of each byte of the word that needs an escape in a JSON string: quotes, backslashes and control
/// characters. Above the lowest of them other bits may be set too, by a borrow.
pub(super) fn special_bytes(word: u64) -> u64 {
    let each = |byte: u8| u64::from_le_bytes([byte; 8]);
    // With the second bit flipped, quotes and everything below a space become less than 0x21, and nothing else does.
    // Bytes that are not ASCII need no escape.
    let quote_or_control = (word ^ each(0x02)).wrapping_sub(each(0x21));
    let backslash = (word ^ each(b'\\')).wrapping_sub(each(1));
    (quote_or_control | backslash) & !word & each(0x80)
}

#[cold]
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

/// Appends a span as a number of seconds, with milliseconds: `12.345`.
pub fn push_seconds(out: &mut Vec<u8>, span: Span) {
    let milliseconds = span.as_nanos() / 1_000_000;
    push_u64(out, milliseconds / 1000);
    let thousandths = milliseconds % 1000;
    if thousandths > 0 {
        out.push(b'.');
        for unit in [100, 10, 1] {
            out.push(b'0' + u8::try_from(thousandths / unit % 10).expect("a digit"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_survives_being_written_and_read() {
        let mut all: String = (0..0x300).filter_map(char::from_u32).collect();
        all.push_str("\u{2028}\u{fffd}\u{1f512}");
        // The same special character at the same place in two words.
        let twice = "\"nothing\"nothing, nothing";
        let texts = ["", "boss:17", "boss:171", "player:123456789", "\u{0}", "\\\"\\", twice].map(str::to_owned);
        // Each special character at each place in short and longer strings.
        let special = ["\"", "\\", "\n", "\u{1f}", "\u{0}"].into_iter().flat_map(|special| {
            (0..20).flat_map(move |before| (0..20).map(move |after| "é".repeat(before) + special + &"x".repeat(after)))
        });
        for text in texts.into_iter().chain(special).chain([all]) {
            let mut out = Vec::new();
            push_str(&mut out, &text);
            assert!(!out.iter().any(|&byte| byte < 0x20), "an unescaped control character: {out:?}");
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn control_characters_are_written_in_their_short_form_where_they_have_one() {
        let mut out = Vec::new();
        push_str(&mut out, "\n\r\t\u{1f}");
        assert_eq!(String::from_utf8(out).unwrap(), r#""\n\r\t\u001f""#);
    }

    #[test]
    fn seconds_are_written_down_to_milliseconds() {
        for (nanos, written) in
            [(0, "0"), (999_999, "0"), (1_000_000, "0.001"), (12_345_678_901, "12.345"), (60_000_000_000, "60")]
        {
            let mut out = Vec::new();
            push_seconds(&mut out, Span::from_nanos(nanos));
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }
}
