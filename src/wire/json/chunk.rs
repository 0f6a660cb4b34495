//! Sixteen bytes at a time, in a register of the processor.
//!
//! In words of eight bytes, the bytes of a string cost two instructions each to look at. This is the only place where lines
//! are looked at with unsafe code.

/// Where in 16 bytes the first is that needs an escape in a JSON string; 16 if none does.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline(always)]
pub(in crate::wire) fn first_special(chunk: &[u8; 16]) -> usize {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    // SAFETY: SSE2, which these need, is a part of x86-64. The first of them reads the 16 bytes of the chunk, wherever it is.
    let special = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let each = |byte: u8| _mm_set1_epi8(byte.cast_signed());
        let quotes = _mm_cmpeq_epi8(bytes, each(b'"'));
        let backslashes = _mm_cmpeq_epi8(bytes, each(b'\\'));
        let controls = _mm_cmpeq_epi8(bytes, _mm_min_epu8(bytes, each(0x1f)));
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls))
    };
    // The mask has 16 bits, and one more ends it.
    (special | 1 << 16).trailing_zeros() as usize
}

/// The same for other processors.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(in crate::wire) fn first_special(chunk: &[u8; 16]) -> usize {
    let (words, _) = chunk.as_chunks();
    let [first, second] = [0, 1].map(|word| super::special_bytes(u64::from_le_bytes(words[word])));
    let bits = if first != 0 { first.trailing_zeros() } else { 64 + second.trailing_zeros() };
    bits as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for byte in 0..=u8::MAX {
            let is_special = byte < 0x20 || b"\"\\".contains(&byte);
            for at in 0..16 {
                let mut chunk = [b'x'; 16];
                chunk[at] = byte;
                assert_eq!(first_special(&chunk), if is_special { at } else { 16 }, "{byte} at {at}");
                // Others after it make no difference.
                chunk[at..].fill(byte);
                assert_eq!(first_special(&chunk), if is_special { at } else { 16 }, "{byte} from {at} on");
            }
        }
    }
}
