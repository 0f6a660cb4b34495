//! How far time may be acted upon: a deadline waits for what its connection, or any other, may have sent before it.
//!
//! After a pause (a stopped process, a suspended machine, one long turn) the clock has jumped, and what clients sent
//! meanwhile lies unread in their sockets. If deadlines were executed by the clock alone, clients that were alive would be
//! closed as idle, and waits would time out although the release had been sent long before. So a deadline is executed
//! only after a poll that began at or after its moment, once everything that this poll reports has been read.

use crate::time::Moment;

/// Follows the polls.
///
/// A poll may return before it has reported everything: it was interrupted, or its buffer is full. What it left out comes
/// with the following ones, so these belong together: they are one sweep, as old as the first of them. A sweep ends with a
/// poll that has reported all there was. It also ends, so that a flood can't stop time, once it has brought as many events
/// as there were sockets when it began: a poll reports sockets in the order in which they became ready, each at most once
/// until it is reported, so whatever was ready when the sweep began is among these events.
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
        let sweep = self.sweep.get_or_insert(Sweep { begun, left: sockets });
        sweep.left = sweep.left.saturating_sub(events);
        if is_complete || sweep.left == 0 {
            self.reached = self.reached.max(sweep.begun);
            self.sweep = None;
        }
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
    fn a_sweep_is_as_old_as_its_first_poll() {
        let mut horizon = Horizon::default();
        horizon.on_poll(at(5), false, 100);
        horizon.on_poll(at(9), false, 100);
        assert_eq!(horizon.reached(), Moment::START);
        horizon.on_poll(at(12), true, 100);
        assert_eq!(horizon.reached(), at(5), "what was left out by the first may be older than the others");
        horizon.on_poll(at(13), true, 100);
        assert_eq!(horizon.reached(), at(13));
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
