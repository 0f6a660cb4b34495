//! How far time may be acted upon: a deadline waits for what its connection, or any other, may have sent before it.
//!
//! After a pause (a stopped process, a suspended machine, one long turn) the clock has jumped, and what clients sent
//! meanwhile lies unread in their sockets. If deadlines were executed by the clock alone, clients that were alive would be
//! closed as idle, and waits would time out although the release had been sent long before. So a deadline is executed
//! only after a poll that began at or after its moment, once everything that this poll reports has been read.

use crate::time::Moment;

/// Follows the polls.
///
/// A poll may return before it has reported everything: it was interrupted, or its buffer is full. Then time stands still
/// until one has reported all there was. So that a flood can't stop time for good, polls that left something out are
/// counted together, as a sweep: once it has brought as many events as there were sockets when it began, nothing of before
/// its beginning is unreported, as a poll reports sockets in the order in which they became ready, each at most once until
/// it is reported.
#[derive(Debug)]
pub(super) struct Horizon {
    sweep: Option<Sweep>,
    /// Events of the poll that is being reported.
    events: usize,
    reached: Moment,
}

#[derive(Debug)]
struct Sweep {
    begun: Moment,
    /// Events after which nothing of before the sweep can be unreported.
    left: usize,
}

impl Default for Horizon {
    fn default() -> Self {
        Horizon { sweep: None, events: 0, reached: Moment::START }
    }
}

impl Horizon {
    /// An event of the current poll.
    pub(super) fn on_event(&mut self) {
        self.events += 1;
    }

    /// A poll has returned, and its events have been noted. `sockets`: how many it could have reported.
    pub(super) fn on_poll(&mut self, begun: Moment, is_complete: bool, sockets: usize) {
        let events = std::mem::take(&mut self.events);
        if is_complete {
            self.reach(begun);
            return;
        }
        let sweep = self.sweep.get_or_insert(Sweep { begun, left: sockets });
        sweep.left = sweep.left.saturating_sub(events);
        if sweep.left == 0 {
            let begun = sweep.begun;
            self.reach(begun);
        }
    }

    fn reach(&mut self, moment: Moment) {
        self.reached = self.reached.max(moment);
        self.sweep = None;
    }

    /// Deadlines up to this moment may be executed, once all connections that are known to have input were read from.
    pub(super) fn reached(&self) -> Moment {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn a_complete_poll_reports_all_that_was_ready_when_it_began() {
        let mut horizon = Horizon::default();
        horizon.on_poll(at(5), false, 100);
        horizon.on_poll(at(9), false, 100);
        assert_eq!(horizon.reached(), Moment::START);
        horizon.on_poll(at(12), true, 100);
        assert_eq!(horizon.reached(), at(12), "what the others left out is among it");
    }

    #[test]
    fn a_flood_does_not_stop_time() {
        let mut horizon = Horizon::default();
        for poll in 1..=3 {
            assert_eq!(horizon.reached(), Moment::START);
            (0..34).for_each(|_| horizon.on_event());
            horizon.on_poll(at(poll), false, 100);
        }
        assert_eq!(horizon.reached(), at(1), "102 events of 100 sockets");
    }
}
