//! Time as an argument: a point and a length of it are different types, so that neither is taken for the other.
//!
//! Nothing here reads a clock. Arithmetic saturates: the largest value stands for never, or forever.

use std::time::Duration;

/// A point in time, in nanoseconds since the server's start. 2^64 of them are 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The server's start.
    pub const START: Moment = Moment(0);
    /// Later than any other.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// This many nanoseconds after the start.
    #[cfg(feature = "unstable")]
    pub const fn from_nanos(nanos: u64) -> Self {
        Moment(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `span` after this one.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Moment(self.0.saturating_add(span.0))
    }

    /// The time from `earlier` until this moment; none if `earlier` is the later of the two.
    pub const fn since(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time.
    pub const ZERO: Span = Span(0);
    /// Longer than any other.
    pub const FOREVER: Span = Span(u64::MAX);

    /// This many nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Span(nanos)
    }

    /// Seconds as a client writes them. Rounded up, so that a time above 0 does not become none. Below 0 is 0, and
    /// centuries are forever.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, as intended")]
    pub fn from_secs_f64(seconds: f64) -> Self {
        Span((seconds * 1e9).ceil() as u64)
    }

    /// Its nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Rounded up to whole milliseconds, which is the precision of replies: 0 would mean no limit.
    #[must_use]
    pub fn to_whole_milliseconds(self) -> Self {
        self.0.checked_next_multiple_of(1_000_000).map_or(Span::FOREVER, Span)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        u64::try_from(duration.as_nanos()).map_or(Span::FOREVER, Span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Moment::NEVER.after(Span::from_nanos(5));
        assert_eq!(late, Moment::NEVER);
        assert_eq!(Moment::from_nanos(5).since(Moment::from_nanos(9)), Span::ZERO);
        assert_eq!(Moment::from_nanos(9).since(Moment::from_nanos(5)), Span::from_nanos(4));
        assert_eq!(Span::from(Duration::MAX), Span::FOREVER);
        assert_eq!(Span::FOREVER.to_whole_milliseconds(), Span::FOREVER);
    }

    #[test]
    fn a_time_above_zero_does_not_become_none() {
        for (seconds, nanos) in [(0.0, 0), (-1.0, 0), (1e-30, 1), (0.25, 250_000_000), (1e300, u64::MAX)] {
            assert_eq!(Span::from_secs_f64(seconds), Span::from_nanos(nanos), "{seconds}");
        }
        assert_eq!(Span::from_nanos(1).to_whole_milliseconds(), Span::from_nanos(1_000_000));
        assert_eq!(Span::from_nanos(2_000_000).to_whole_milliseconds(), Span::from_nanos(2_000_000));
    }
}
