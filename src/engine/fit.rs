//! Who may hold a lock together. Grants, the order of queues and the search for deadlocks all follow these rules.

use crate::wire::request::Fit;

/// What a place is, beside the others on its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exclusive,
    Shared,
    /// A unit of a semaphore of more than one.
    Unit,
    /// The unit of a semaphore of one.
    OnlyUnit,
}

impl Kind {
    pub(super) fn of(fit: Fit) -> Self {
        match fit {
            Fit::Exclusive => Kind::Exclusive,
            Fit::Shared => Kind::Shared,
            Fit::Unit(1) => Kind::OnlyUnit,
            Fit::Unit(_) => Kind::Unit,
        }
    }

    /// Whether both may hold together. In a queue, one that fits does not wait for the other, with an exception for units:
    /// see [`Kind::passes`].
    pub(super) fn fits(self, other: Kind) -> bool {
        matches!((self, other), (Kind::Shared, Kind::Shared) | (Kind::Unit, Kind::Unit))
    }

    /// Whether it does not wait for a waiter that is ahead of it in the queue. A unit waits for everybody ahead of it.
    pub(super) fn passes(self, ahead: Kind) -> bool {
        self != Kind::Unit && self.fits(ahead)
    }

    /// Whether it is a unit of a semaphore.
    pub(super) fn is_unit(self) -> bool {
        matches!(self, Kind::Unit | Kind::OnlyUnit)
    }
}
