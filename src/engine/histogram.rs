//! How long things took, as counts in fixed buckets: always on, so a value costs a few instructions.

use crate::time::Span;

/// The upper bounds of the buckets, in nanoseconds, each at least twice the one before it: then a value is in one of two
/// buckets, by its number of bits.
const NANOS: [u64; 20] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
    3_600_000_000_000,
];

/// The same, and one that no value is above.
const LIMITS: [u64; NANOS.len() + 1] = {
    let mut limits = [u64::MAX; NANOS.len() + 1];
    let mut index = 0;
    while index < NANOS.len() {
        assert!(index == 0 || NANOS[index] >= 2 * NANOS[index - 1], "a number of bits has at most one bound");
        limits[index] = NANOS[index];
        index += 1;
    }
    limits
};

/// By the number of bits of a value: the first bucket that it can be in.
const FIRST: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits <= 64 {
        first[bits] = first[bits - 1];
        if LIMITS[first[bits] as usize] < 1 << (bits - 1) {
            first[bits] += 1;
        }
        bits += 1;
    }
    first
};

/// Counts of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; NANOS.len() + 1],
    /// In nanoseconds. 2^64 spans of the longest kind are not too much for it.
    sum: u128,
}

impl Histogram {
    /// Counts one.
    #[inline(always)]
    pub(crate) fn add(&mut self, span: Span) {
        let nanos = span.as_nanos();
        self.sum += u128::from(nanos);
        if nanos <= NANOS[0] {
            self.counts[0] += 1;
        } else {
            self.count_long(nanos);
        }
    }

    fn count_long(&mut self, nanos: u64) {
        let first = usize::from(FIRST[(u64::BITS - nanos.leading_zeros()) as usize]);
        self.counts[first + usize::from(nanos > LIMITS[first])] += 1;
    }

    /// Counts some that took no time.
    pub(super) fn add_zeros(&mut self, count: u64) {
        self.counts[0] += count;
    }

    /// The upper bounds of all buckets but the last, which has none. A span that is equal to a bound is in its bucket.
    pub fn bounds() -> impl Iterator<Item = Span> {
        NANOS.into_iter().map(Span::from_nanos)
    }

    /// How many spans are in each bucket.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All spans together, in nanoseconds.
    pub fn sum(&self) -> u128 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let around = |nanos: u64| [nanos.saturating_sub(1), nanos, nanos.saturating_add(1)];
        let powers = (0..64).map(|bit| 1 << bit);
        for nanos in powers.chain(NANOS).chain([0, u64::MAX]).flat_map(around) {
            let mut histogram = Histogram::default();
            histogram.add(Span::from_nanos(nanos));
            let expected = NANOS.iter().position(|bound| nanos <= *bound).unwrap_or(NANOS.len());
            assert_eq!(histogram.counts().iter().position(|count| *count == 1), Some(expected), "{nanos}");
            assert_eq!((histogram.counts().iter().sum::<u64>(), histogram.sum()), (1, u128::from(nanos)));
        }
    }

    #[test]
    fn the_sum_does_not_overflow() {
        let mut histogram = Histogram::default();
        (0..5).for_each(|_| histogram.add(Span::FOREVER));
        assert_eq!(histogram.sum(), 5 * u128::from(u64::MAX));
    }
}
