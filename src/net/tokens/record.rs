//! What the file of tokens says: text that is whole, or not taken for anything.

use crate::engine::TOKEN_END;

/// More than any record has.
pub(super) const RECORD_BYTES_MAX: u64 = 1024;

/// The record that all tokens below `reserved` may have been given out.
pub(super) fn encode(reserved: u64) -> String {
    let said = format!("officer tokens 1\nreserved below {reserved}\n");
    let checksum = checksum(&said);
    format!("{said}checksum {checksum:016x}\n")
}

/// What a record says. None: it is damaged, or not a record.
pub(super) fn decode(bytes: &[u8]) -> Option<u64> {
    let text = str::from_utf8(bytes).ok()?;
    let reserved = text.lines().nth(1)?.strip_prefix("reserved below ")?.parse().ok()?;
    // To the byte: nothing else could have written it.
    (reserved <= TOKEN_END && encode(reserved) == text).then_some(reserved)
}

/// FNV-1a. Texts that differ in one byte never have the same.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        // A file of today has to be understood by every later version.
        let text = "officer tokens 1\nreserved below 872415236294656\nchecksum 4f4bbeb0140f6279\n";
        assert_eq!(encode(872_415_236_294_656), text);
        for reserved in [1, 872_415_236_294_656, TOKEN_END] {
            let text = encode(reserved);
            assert!((text.len() as u64) < RECORD_BYTES_MAX);
            assert_eq!(decode(text.as_bytes()), Some(reserved));
        }
    }

    #[test]
    fn a_record_with_any_byte_missing_added_or_changed_is_damaged() {
        let whole = encode(872_415_236_294_656).into_bytes();
        for at in 0..whole.len() {
            assert_eq!(decode(&whole[..at]), None, "cut at {at}");
            let mut bytes = whole.clone();
            for changed in 0..=u8::MAX {
                bytes[at] = changed;
                let expected = (changed == whole[at]).then_some(872_415_236_294_656);
                assert_eq!(decode(&bytes), expected, "{changed} at {at}");
            }
            for added in [0, b' ', b'0', b'\n'] {
                let mut bytes = whole.clone();
                bytes.insert(at, added);
                assert_eq!(decode(&bytes), None, "{added} before {at}");
            }
        }
        for added in ["\n", " ", "\0", "x", &encode(5)] {
            assert_eq!(decode(&[&whole, added.as_bytes()].concat()), None, "{added:?} at the end");
        }
        assert_eq!(decode(encode(TOKEN_END + 1).as_bytes()), None, "there are no such tokens");
    }
}
