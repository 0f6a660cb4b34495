//! Places: the records of who holds or waits for what.

use std::num::NonZeroU32;

use super::SessionKey;
use super::deadline::DeadlineKey;
use super::list::Links;
use super::table::LockKey;
use crate::slots::Chunks;
use crate::time::Moment;
use crate::wire::Id;

/// Names a place while it exists. The engine removes a place and all that points to it in one step, so these need no
/// generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlaceKey(NonZeroU32);

impl PlaceKey {
    pub(super) fn new(index: u32) -> Self {
        PlaceKey(NonZeroU32::new(index + 1).expect("one more than an index is not 0"))
    }

    pub(super) fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// One holder's or waiter's record on one lock.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) lock: LockKey,
    pub(super) session: SessionKey,
    pub(super) standing: Standing,
    /// Waiting: when the wait times out.
    pub(super) deadline: Option<DeadlineKey>,
    /// When it began to hold, or to wait.
    pub(super) since: Moment,
    /// What few places have. Out of line, so that the others stay small.
    pub(super) extras: Option<Box<PlaceExtras>>,
    pub(super) in_queue: Links,
    pub(super) in_session: Links,
}

// A million locks held are a million of these.
const _: () = assert!(size_of::<Place>() <= 56);

/// Whether a place holds its lock or waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Holding,
    Waiting,
}

/// What only some requests bring.
#[derive(Debug)]
pub(super) struct PlaceExtras {
    /// The request's id, to be sent with the answer when the wait ends.
    pub(super) id: Id<Box<str>>,
}

impl Place {
    pub(super) fn new(lock: LockKey, session: SessionKey, standing: Standing, since: Moment) -> Self {
        Place {
            lock,
            session,
            standing,
            deadline: None,
            since,
            extras: None,
            in_queue: Links::default(),
            in_session: Links::default(),
        }
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
