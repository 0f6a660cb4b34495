//! How latencies are kept.

use hdrhistogram::Histogram;

/// Latencies beyond this are counted as this: a minute.
const LATENCY_MAX: u64 = 60_000_000_000;
/// Latencies are kept to a thousandth.
const DIGITS: u8 = 3;

/// A histogram of latencies in nanoseconds.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("the bounds are in order")
}
