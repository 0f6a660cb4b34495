//! The few pieces of JSON that the server writes itself, directly into an existing buffer.

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
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let special = |word: &[u8; 8]| special_bytes(u64::from_le_bytes(*word));
    let Some(last) = bytes.last_chunk() else { return special_bytes(short_word(bytes)) == 0 };
    // Some of the last have been checked already; that costs less than checking the others one by one.
    bytes.as_chunks().0.iter().fold(special(last), |found, word| found | special(word)) == 0
}

/// All of fewer than eight bytes in a word, some of them more than once. No bytes are a word of spaces.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
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

/// Appends a whole number in decimal.
#[inline(always)]
pub fn push_u64(out: &mut Vec<u8>, number: u64) {
    if number < EIGHT_DIGITS {
        push_up_to_eight(out, number);
    } else {
        push_long(out, number);
    }
}

#[inline(always)]
fn push_up_to_eight(out: &mut Vec<u8>, number: u64) {
    let digits = eight_digits(number);
    // Appending a fixed eight bytes costs less than appending a variable number.
    let zeros = (digits | (1 << 56)).trailing_zeros() / 8;
    let end = out.len() + 8 - zeros as usize;
    out.extend_from_slice(&((digits | ZEROS) >> (8 * zeros)).to_le_bytes());
    out.truncate(end);
}

#[inline(never)]
fn push_long(out: &mut Vec<u8>, number: u64) {
    let (high, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    if high < EIGHT_DIGITS {
        push_up_to_eight(out, high);
    } else {
        push_long(out, high);
    }
    out.extend_from_slice(&(eight_digits(low) | ZEROS).to_le_bytes());
}

/// Appends a key, with what is in front of it and its colon, and a number. All of most is appended in one piece of a fixed
/// length, of which the end is taken back: that costs less than two.
#[inline(always)]
pub fn push_member<const KEY: usize>(out: &mut Vec<u8>, key: &[u8; KEY], number: u64) {
    if KEY + 7 <= 16 && number < 10_000_000 {
        let digits = eight_digits(number);
        let zeros = (digits | (1 << 56)).trailing_zeros() / 8;
        let digits = (digits | ZEROS) >> (8 * zeros);
        let mut piece = [0; 16];
        piece[..KEY].copy_from_slice(key);
        let end = out.len() + KEY + 8 - zeros as usize;
        out.extend_from_slice(&(u128::from_le_bytes(piece) | u128::from(digits) << (8 * KEY)).to_le_bytes());
        out.truncate(end);
    } else {
        out.extend_from_slice(key);
        push_u64(out, number);
    }
}

/// The first number that has more than eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The digit 0, eight times.
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The digits of a number below [`EIGHT_DIGITS`] as the bytes of a word, the first one lowest. The number is split in two,
/// then both parts at once, then all four. `high | low << bits` is written as `all << bits - high * ((base << bits) - 1)`,
/// which is the same in fewer steps.
#[inline]
fn eight_digits(number: u64) -> u64 {
    let fours = (number << 32) - number / 10_000 * ((10_000 << 32) - 1);
    // Below 10,000, a hundredth is 10,486 / 2^20; below 100, a tenth is 103 / 2^10.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = (fours << 16) - hundreds * ((100 << 16) - 1);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (pairs << 8) - tens * ((10 << 8) - 1)
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

    #[test]
    fn numbers_are_written_as_by_std() {
        let powers = (1..20).map(|exponent| 10_u64.pow(exponent));
        let edges = powers.flat_map(|power| [power - 1, power, power + 1, power / 2 * 3]);
        for number in (0..20_000).chain(edges).chain([12_345_678, 87_654_321, (1 << 53) - 1, u64::MAX]) {
            let mut out = Vec::new();
            push_u64(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn a_number_follows_its_key_however_long_it_is() {
        for digits in 1..=20_u32 {
            let number: u64 = "12345678901234567890"[..digits as usize].parse().unwrap();
            for number in [number, 10_u64.pow(digits - 1), 10_u64.pow(digits - 1) - 1] {
                let mut out = b"{".to_vec();
                push_member(&mut out, b"\"a\":", number);
                push_member(&mut out, b",\"owner\":", number);
                assert_eq!(String::from_utf8(out).unwrap(), format!(r#"{{"a":{number},"owner":{number}"#));
            }
        }
    }
}
