//! Places: the records of who holds or waits for what.

use std::num::NonZeroU32;

use super::askers::Asker;
use super::deadline::DeadlineKey;
use super::extras::PlaceExtras;
use super::fit::Kind;
use super::list::Links;
use super::table::LockKey;
use crate::slots::Chunks;
use crate::time::Moment;

/// Names a place while it exists. The engine removes a place and all that points to it in one step, so these need no
/// generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlaceKey(NonZeroU32);

impl PlaceKey {
    #[inline]
    pub(super) fn new(index: u32) -> Self {
        PlaceKey(NonZeroU32::new(index + 1).expect("one more than an index is not 0"))
    }

    #[inline]
    pub(super) fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// One holder's or waiter's record on one lock.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) lock: LockKey,
    pub(super) asker: Asker,
    /// Waiting alone: when the wait times out. Holding: when the lease runs out.
    pub(super) deadline: Option<DeadlineKey>,
    pub(super) standing: Standing,
    pub(super) kind: Kind,
    /// Whether the answer to its request has the token.
    pub(super) has_fence: bool,
    /// Whether a second request like it joins its wait.
    pub(super) is_plain: bool,
    /// When it began to hold, or to wait.
    pub(super) since: Moment,
    /// Holding: what the grant was numbered. Waiting: the number of the lock's record in [`super::contention`].
    pub(super) token: u64,
    /// What few places have. Out of line, so that the others stay small.
    pub(super) extras: Option<Box<PlaceExtras>>,
    pub(super) in_queue: Links,
    pub(super) of_asker: Links,
}

// A million locks held are a million of these.
const _: () = assert!(size_of::<Place>() <= 56);

/// Whether a place holds its lock or waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Holding,
    /// Waits for somebody on this lock.
    Waiting,
    /// Waits for nobody on this lock, but was not granted: it needs other locks as well, or is left over for the next turn.
    /// Not all of these are marked: see [`super::special`].
    Ready,
}

impl Place {
    /// One that is exclusive and has nothing special.
    pub(super) fn new(lock: LockKey, asker: Asker, standing: Standing, since: Moment) -> Self {
        Place {
            lock,
            asker,
            deadline: None,
            standing,
            kind: Kind::Exclusive,
            has_fence: false,
            is_plain: true,
            since,
            token: 0,
            extras: None,
            in_queue: Links::default(),
            of_asker: Links::default(),
        }
    }

    pub(super) fn is_holding(&self) -> bool {
        self.standing == Standing::Holding
    }

    /// Whether it is a hold of which nothing has to be looked at when it ends.
    #[inline(always)]
    pub(super) fn is_plain_hold(&self) -> bool {
        self.is_holding() && self.extras.is_none() && self.deadline.is_none()
    }

    /// Whether it is a part of a wait for several locks.
    pub(super) fn is_part(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.bundle.is_some())
    }

    /// Its priority among those who wait: 0, unless it was asked for with another.
    pub(super) fn priority(&self) -> u8 {
        self.extras.as_ref().map_or(0, |extras| extras.priority)
    }
}

pub(super) type Places = Chunks<Place>;

#[inline]
pub(super) fn at(places: &Places, key: PlaceKey) -> &Place {
    &places[key.index() as usize]
}

#[inline]
pub(super) fn at_mut(places: &mut Places, key: PlaceKey) -> &mut Place {
    &mut places[key.index() as usize]
}
