//! What a user may do.

use std::time::Duration;

use super::prefixes::Prefixes;
use crate::time::{Moment, Span};
use crate::wire::request::{CLOSING_SECONDS_MAX, PRIORITY_MAX};

const SECOND: Span = Span::from_nanos(1_000_000_000);

/// What a user may do.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Rights {
    /// It may end others, and sees everything.
    pub(super) is_admin: bool,
    pub(super) may_see_metrics: bool,
    /// What it may lock.
    pub(super) locks: Prefixes,
    /// What it is shown.
    pub(super) see: Prefixes,
    /// The highest priority that it may ask for.
    pub(super) priority_max: u8,
    /// The longest `min_hold` and `lost_delay`.
    pub(super) min_hold_max: Span,
    pub(super) quotas: Quotas,
}

/// How much a user may use. None: as much as all may together, or half of that where the server has a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quotas {
    pub(super) connections_max: Option<usize>,
    pub(super) sessions_max: Option<usize>,
    /// Holds and waits of all its connections together.
    pub(super) locks_max: Option<usize>,
    pub(super) requests_per_second: Option<u32>,
    /// Requests of all its connections together that may leave their lock closed.
    pub(super) closing_locks_max: Option<usize>,
}

impl Rights {
    /// As without users: everything but what only an admin may.
    pub(super) fn of_everybody() -> Self {
        Rights {
            is_admin: false,
            may_see_metrics: false,
            locks: Prefixes::everything(),
            see: Prefixes::everything(),
            priority_max: PRIORITY_MAX,
            min_hold_max: Duration::from_secs(CLOSING_SECONDS_MAX.into()).into(),
            quotas: Quotas::default(),
        }
    }

    /// Whether some `lock` has to be refused to it, so that its requests must be looked at.
    pub(super) fn is_restricted(&self) -> bool {
        let all = Rights::of_everybody();
        !self.locks.has_everything()
            || self.priority_max < all.priority_max
            || self.min_hold_max < all.min_hold_max
            || self.quotas.requests_per_second.is_some()
    }
}

/// Counts requests against a rate. A second's worth of them may come at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Up to when the requests so far have used up the time.
    used_up_to: Moment,
}

impl Pace {
    /// Counts a request. Returns whether the rate allows for it.
    pub(super) fn take(&mut self, per_second: u32, now: Moment) -> bool {
        let each = (SECOND.as_nanos() / u64::from(per_second)).max(1);
        let used_up_to = self.used_up_to.max(now).after(Span::from_nanos(each));
        let is_allowed = used_up_to.since(now) <= SECOND;
        if is_allowed {
            self.used_up_to = used_up_to;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_a_second_at_once_and_then_as_time_passes() {
        let mut pace = Pace::default();
        let start = Moment::from_nanos(5_000_000_000);
        assert_eq!((0..100).filter(|_| pace.take(10, start)).count(), 10);
        assert!(!pace.take(10, start.after(Span::from_nanos(99_999_999))));
        let later = start.after(Span::from_nanos(300_000_000));
        assert_eq!((0..100).filter(|_| pace.take(10, later)).count(), 3);
        let much_later = later.after(Span::from_nanos(60_000_000_000));
        assert_eq!((0..100).filter(|_| pace.take(10, much_later)).count(), 10);
    }

    #[test]
    fn a_rate_beyond_what_a_clock_can_tell_still_counts() {
        let mut pace = Pace::default();
        assert!((0..1000).all(|_| pace.take(u32::MAX, Moment::START)));
    }
}
