//! The one relation: which requests fit, and whom one waits for.

use super::{Model, Wait};

/// What is asked of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exclusive,
    Shared,
    /// One unit of so many.
    Units(u128),
}

impl Kind {
    pub(super) fn fits(self, other: Kind) -> bool {
        match (self, other) {
            (Kind::Shared, Kind::Shared) => true,
            (Kind::Units(all), Kind::Units(_)) => all > 1,
            _ => false,
        }
    }
}

impl Model {
    /// Whether a request with these places ahead of it in the queue waits for anybody on this lock.
    pub(super) fn is_held_back(&self, name: &str, kind: Kind, ahead: &[u64]) -> bool {
        let is_closed = self.closings.iter().any(|closing| closing.name == name);
        let is_taken = match kind {
            Kind::Units(all) => self.holders(name).count() as u128 >= all || !ahead.is_empty(),
            Kind::Exclusive | Kind::Shared => false,
        };
        is_closed
            || is_taken
            || self.holders(name).any(|hold| !hold.kind.fits(kind))
            || ahead.iter().any(|number| !self.wait(*number).kind.fits(kind))
    }

    /// The same of one that is in the queue.
    pub(super) fn waits_on(&self, wait: &Wait, name: &str) -> bool {
        let queue = self.queue(name);
        let place = queue.iter().position(|number| *number == wait.number).expect("it waits there");
        self.is_held_back(name, wait.kind, &queue[..place])
    }

    /// Whether somebody in a lock's queue can be granted now, as far as this lock counts: one that wants all of several
    /// waits for nobody on any of them.
    pub(super) fn is_ready(&self, wait: &Wait, name: &str) -> bool {
        if wait.is_any { !self.waits_on(wait, name) } else { wait.queues.iter().all(|on| !self.waits_on(wait, on)) }
    }

    /// Whether a request waits for nobody. Once everything was granted that a turn may grant, these are left over.
    pub(super) fn is_left_over(&self, wait: &Wait) -> bool {
        wait.queues.iter().any(|name| self.is_ready(wait, name))
    }

    /// The first in a lock's queue that can be granted.
    pub(super) fn first_ready(&self, name: &str) -> Option<u64> {
        self.queue(name).iter().copied().find(|number| self.is_ready(self.wait(*number), name))
    }

    /// Where in a lock's queue a new request has its place: ahead of those of lower priority, but after everybody who
    /// waits for nobody there if somebody is left over.
    pub(super) fn place(&self, name: &str, priority: u128) -> usize {
        let queue = self.queue(name);
        let behind = |is_ahead: &dyn Fn(&Wait) -> bool| {
            queue.iter().rposition(|number| is_ahead(self.wait(*number))).map_or(0, |last| last + 1)
        };
        let by_priority = behind(&|wait| wait.priority >= priority);
        if self.first_ready(name).is_none() {
            return by_priority;
        }
        by_priority.max(behind(&|wait| !self.waits_on(wait, name)))
    }

    /// Whether a new request for this lock would be granted at once. While anybody is left over it waits after them.
    pub(super) fn is_free_for(&self, name: &str, kind: Kind, priority: u128) -> bool {
        let ahead = &self.queue(name)[..self.place(name, priority)];
        self.first_ready(name).is_none() && !self.is_held_back(name, kind, ahead)
    }
}
