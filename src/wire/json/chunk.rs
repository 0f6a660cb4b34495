//! Sixteen bytes at a time, in a register of the processor, or in two of them.
//!
//! In words of eight bytes, the bytes of a string cost two instructions each to look at. This is the only place where lines
//! are looked at with unsafe code.

/// Where in 16 bytes the first is that needs an escape in a JSON string; 16 if none does.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(in crate::wire) fn first_special(chunk: &[u8; 16]) -> usize {
    // The mask has 16 bits, and one more ends it.
    (specials(chunk) | 1 << 16).trailing_zeros() as usize
}

/// The same for other processors, where a mask of all costs more than the first.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(in crate::wire) fn first_special(chunk: &[u8; 16]) -> usize {
    let (words, _) = chunk.as_chunks();
    let [first, second] = [0, 1].map(|word| super::special_bytes(u64::from_le_bytes(words[word])));
    let bits = if first != 0 { first.trailing_zeros() } else { 64 + second.trailing_zeros() };
    bits as usize / 8
}

/// Which of 16 bytes need an escape in a JSON string: a bit for each, the lowest for the first.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline(always)]
pub(in crate::wire) fn specials(chunk: &[u8; 16]) -> u32 {
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
    special.cast_unsigned()
}

/// The same for other processors.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(in crate::wire) fn specials(chunk: &[u8; 16]) -> u32 {
    let bit = |byte: &u8| u32::from(*byte < 0x20 || b"\"\\".contains(byte));
    chunk.iter().rev().fold(0, |bits, byte| bits << 1 | bit(byte))
}

/// How many bytes a [`Pattern`] is compared with.
pub(in crate::wire) const WINDOW: usize = 32;

/// Bytes of which some must be these, and others may be any.
#[derive(Debug)]
#[repr(C, align(16))]
pub(in crate::wire) struct Pattern {
    bytes: [u8; WINDOW],
    /// All bits are set where any byte will do.
    any: [u8; WINDOW],
}

impl Default for Pattern {
    fn default() -> Self {
        Pattern { bytes: [0; WINDOW], any: [0xff; WINDOW] }
    }
}

impl Pattern {
    /// These bytes, from `start` on.
    ///
    /// # Panics
    /// If they go beyond the window.
    pub(in crate::wire) fn new(start: usize, bytes: &[u8]) -> Self {
        let mut pattern = Pattern::default();
        pattern.bytes[start..][..bytes.len()].copy_from_slice(bytes);
        pattern.any[start..][..bytes.len()].fill(0);
        pattern
    }

    /// Whether these are such bytes.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(in crate::wire) fn matches(&self, window: &[u8; WINDOW]) -> bool {
        use std::arch::x86_64::{
            __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_load_si128, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        };

        // SAFETY: SSE2, which these need, is a part of x86-64. Each load reads one of the two halves of 16 bytes that each of
        // these has, and both halves of those of a pattern are aligned to 16 bytes, as it is.
        let is_right = unsafe {
            let half = |of: &[u8; WINDOW], number| of.as_ptr().cast::<__m128i>().add(number);
            let is_right = |number| {
                let of_pattern = _mm_load_si128(half(&self.bytes, number));
                let is_same = _mm_cmpeq_epi8(_mm_loadu_si128(half(window, number)), of_pattern);
                _mm_or_si128(is_same, _mm_load_si128(half(&self.any, number)))
            };
            _mm_movemask_epi8(_mm_and_si128(is_right(0), is_right(1)))
        };
        is_right == 0xffff
    }

    /// The same for other processors.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(in crate::wire) fn matches(&self, window: &[u8; WINDOW]) -> bool {
        let bytes = window.iter().zip(&self.bytes).zip(&self.any);
        bytes.fold(0, |found, ((byte, expected), any)| found | ((byte ^ expected) & !any)) == 0
    }
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
                assert_eq!(specials(&chunk), u32::from(is_special) << at, "{byte} at {at}");
                // Others after it make no difference.
                chunk[at..].fill(byte);
                assert_eq!(first_special(&chunk), if is_special { at } else { 16 }, "{byte} from {at} on");
            }
        }
    }
}
