//! How latencies are recorded.

use hdrhistogram::Histogram;

/// Longer latencies count as this: a minute.
const LATENCY_MAX: u64 = 60_000_000_000;
/// Latencies are kept with three significant digits.
const DIGITS: u8 = 3;

/// A histogram of latencies in nanoseconds.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("the bounds are in order")
}
