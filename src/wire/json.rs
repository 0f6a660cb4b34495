//! The few pieces of JSON that the server writes itself, straight into bytes that are already there.

/// Appends `text` as a JSON string: quoted, with `"`, `\` and the control characters escaped, everything else as it is.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // One pass without an early exit: the compiler makes vector code of it, and most names need no escape.
    if bytes.iter().fold(false, |found, &byte| found | needs_escape(byte)) {
        push_escaped(out, bytes);
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
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
pub fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    // 2^64 has 20 digits.
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a length of time as a number of seconds, down to milliseconds: `12.345`.
pub fn push_seconds(out: &mut Vec<u8>, nanos: u64) {
    let milliseconds = nanos / 1_000_000;
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
    fn every_character_comes_back_from_its_string() {
        let mut all: String = (0..0x300).filter_map(char::from_u32).collect();
        all.push_str("\u{2028}\u{fffd}\u{1f512}");
        for text in [all.as_str(), "", "boss:17", "\u{0}", "\\\"\\"] {
            let mut out = Vec::new();
            push_str(&mut out, text);
            assert!(!out.iter().any(|&byte| byte < 0x20), "a control character got out: {out:?}");
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn seconds_are_written_down_to_milliseconds() {
        for (nanos, written) in
            [(0, "0"), (999_999, "0"), (1_000_000, "0.001"), (12_345_678_901, "12.345"), (60_000_000_000, "60")]
        {
            let mut out = Vec::new();
            push_seconds(&mut out, nanos);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }

    #[test]
    fn numbers_are_written_as_std_writes_them() {
        for number in [0, 7, 10, 99, 100, 65_535, (1 << 53) - 1, u64::MAX] {
            let mut out = Vec::new();
            push_u64(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
