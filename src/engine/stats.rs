//! Plain counters of what the engine did, changed only through the names of what happened.

use super::histogram::Histogram;
use crate::time::Span;

/// Counters since the start, and gauges of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Grants made since the start, at once and after a wait.
    pub acquires: u64,
    /// Holds ended since the start.
    pub releases: u64,
    /// Requests answered `timed_out` since the start, those that never waited too.
    pub timeouts: u64,
    /// Requests answered `queue_maxed` since the start.
    pub queue_maxed: u64,
    /// Holds ended by their lease since the start.
    pub expiries: u64,
    /// Holds ended by `revoke` since the start.
    pub revocations: u64,
    /// Holds handed to a waiter since the start.
    pub transfers: u64,
    /// Requests answered `deadlock` since the start.
    pub deadlocks: u64,
    /// Holds now.
    pub held: u64,
    /// Waits now.
    pub waiting: u64,
    /// Closed locks now.
    pub closed: u64,
}

impl Stats {
    pub(super) fn on_acquire(&mut self) {
        self.acquires += 1;
        self.held += 1;
    }

    pub(super) fn on_wait(&mut self) {
        self.waiting += 1;
    }

    pub(super) fn on_grant(&mut self) {
        self.waiting -= 1;
        self.on_acquire();
    }

    pub(super) fn on_leave(&mut self, was_holding: bool) {
        if was_holding {
            self.held -= 1;
            self.releases += 1;
        } else {
            self.waiting -= 1;
        }
    }

    pub(super) fn on_expiry(&mut self) {
        self.expiries += 1;
    }

    pub(super) fn on_revocation(&mut self) {
        self.revocations += 1;
    }

    pub(super) fn on_transfer(&mut self) {
        self.transfers += 1;
    }

    pub(super) fn on_close(&mut self) {
        self.closed += 1;
    }

    pub(super) fn on_open(&mut self) {
        self.closed -= 1;
    }

    pub(super) fn on_deadlock(&mut self) {
        self.deadlocks += 1;
    }

    pub(super) fn on_timeout(&mut self) {
        self.timeouts += 1;
    }

    pub(super) fn on_queue_maxed(&mut self) {
        self.queue_maxed += 1;
    }
}

/// How long waits and holds took. Apart from the counters, which are copied more often.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Of the requests that waited before they were granted.
    waits: Histogram,
    holds: Histogram,
}

impl Spans {
    pub(super) fn on_grant(&mut self, waited: Span) {
        self.waits.add(waited);
    }

    #[inline(always)]
    pub(super) fn on_hold_end(&mut self, held: Span) {
        self.holds.add(held);
    }

    /// How long `grants` grants were waited for: those that were made at once are only counted there.
    pub(super) fn waits(&self, grants: u64) -> Histogram {
        let mut waits = self.waits;
        waits.add_zeros(grants - waits.counts().iter().sum::<u64>());
        waits
    }

    pub(super) fn holds(&self) -> Histogram {
        self.holds
    }
}
