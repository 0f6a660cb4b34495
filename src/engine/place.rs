//! Places: the records of who holds or waits for what, and the two lists that each of them is in.

use std::marker::PhantomData;
use std::num::NonZeroU32;

use super::SessionKey;
use super::deadline::{DeadlineKey, Nanos};
use super::table::LockKey;
use crate::slots::Chunks;
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
    /// Since when it has stood so.
    pub(super) since: Nanos,
    /// What few places have. Out of line, so that the others stay small.
    pub(super) rare: Option<Box<Rare>>,
    in_queue: Links,
    in_session: Links,
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
pub(super) struct Rare {
    /// The request's id, to be sent with the answer when the wait ends.
    pub(super) id: Id<Box<str>>,
}

impl Place {
    pub(super) fn new(lock: LockKey, session: SessionKey, standing: Standing, since: Nanos) -> Self {
        Place {
            lock,
            session,
            standing,
            deadline: None,
            since,
            rare: None,
            in_queue: Links::default(),
            in_session: Links::default(),
        }
    }
}

pub(super) type Places = Chunks<Place>;

/// Neighbours in one list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    previous: Option<PlaceKey>,
    next: Option<PlaceKey>,
}

/// Which of a place's two pairs of links a list goes through.
pub(super) trait Through {
    fn links(place: &Place) -> &Links;
    fn links_mut(place: &mut Place) -> &mut Links;
}

/// The holders of a lock, or its waiters in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum InQueue {}

impl Through for InQueue {
    fn links(place: &Place) -> &Links {
        &place.in_queue
    }

    fn links_mut(place: &mut Place) -> &mut Links {
        &mut place.in_queue
    }
}

/// All that a session holds and waits for, in the order in which it asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum InSession {}

impl Through for InSession {
    fn links(place: &Place) -> &Links {
        &place.in_session
    }

    fn links_mut(place: &mut Place) -> &mut Links {
        &mut place.in_session
    }
}

/// A list of places, linked through the places themselves: every operation is O(1), leaving from the middle too.
#[derive(Debug)]
pub(super) struct List<T> {
    first: Option<PlaceKey>,
    last: Option<PlaceKey>,
    len: u32,
    through: PhantomData<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { first: None, last: None, len: 0, through: PhantomData }
    }
}

impl<T: Through> List<T> {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn first(&self) -> Option<PlaceKey> {
        self.first
    }

    pub(super) fn last(&self) -> Option<PlaceKey> {
        self.last
    }

    pub(super) fn push(&mut self, places: &mut Places, key: PlaceKey) {
        *T::links_mut(at_mut(places, key)) = Links { previous: self.last, next: None };
        match self.last.replace(key) {
            Some(last) => T::links_mut(at_mut(places, last)).next = Some(key),
            None => self.first = Some(key),
        }
        self.len += 1;
    }

    pub(super) fn remove(&mut self, places: &mut Places, key: PlaceKey) {
        let Links { previous, next } = std::mem::take(T::links_mut(at_mut(places, key)));
        let before = match previous {
            Some(previous) => &mut T::links_mut(at_mut(places, previous)).next,
            None => &mut self.first,
        };
        assert_eq!(std::mem::replace(before, next), Some(key), "a place is in the list that it leaves");
        let after = match next {
            Some(next) => &mut T::links_mut(at_mut(places, next)).previous,
            None => &mut self.last,
        };
        assert_eq!(std::mem::replace(after, previous), Some(key), "a place is in the list that it leaves");
        self.len -= 1;
    }

    pub(super) fn iter<'a>(&self, places: &'a Places) -> impl Iterator<Item = (PlaceKey, &'a Place)> + use<'a, T> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let key = next?;
            let place = at(places, key);
            next = T::links(place).next;
            Some((key, place))
        })
    }
}

pub(super) fn at(places: &Places, key: PlaceKey) -> &Place {
    &places[key.index() as usize]
}

pub(super) fn at_mut(places: &mut Places, key: PlaceKey) -> &mut Place {
    &mut places[key.index() as usize]
}
