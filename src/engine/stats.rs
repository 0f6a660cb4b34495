//! Plain counters of what the engine did, changed only through the names of what happened.

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
    /// Requests answered `deadlock` since the start.
    pub deadlocks: u64,
    /// Holds now.
    pub held: u64,
    /// Waits now.
    pub waiting: u64,
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
