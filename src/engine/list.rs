//! Intrusive lists of places: each place is in its lock's queue and in its session's list.

use std::marker::PhantomData;

use super::place::{Place, PlaceKey, Places, at, at_mut};

/// Neighbours in one list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    previous: Option<PlaceKey>,
    next: Option<PlaceKey>,
}

impl Links {
    pub(super) fn previous(&self) -> Option<PlaceKey> {
        self.previous
    }

    pub(super) fn next(&self) -> Option<PlaceKey> {
        self.next
    }
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

/// All that an asker holds and waits for, in the order in which it asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum OfAsker {}

impl Through for OfAsker {
    fn links(place: &Place) -> &Links {
        &place.of_asker
    }

    fn links_mut(place: &mut Place) -> &mut Links {
        &mut place.of_asker
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

    /// Adds a place, which is in no such list, at the end.
    #[inline]
    pub(super) fn push(&mut self, places: &mut Places, key: PlaceKey) {
        self.len += 1;
        // Most lists have one place, and the links of that one stay as they are: it has none.
        match self.last.replace(key) {
            Some(last) => Self::link(places, last, key),
            None => self.first = Some(key),
        }
    }

    #[inline(never)]
    fn link(places: &mut Places, last: PlaceKey, key: PlaceKey) {
        T::links_mut(at_mut(places, last)).next = Some(key);
        T::links_mut(at_mut(places, key)).previous = Some(last);
    }

    /// Inserts a place after one that is in the list. None: at the beginning.
    pub(super) fn insert_after(&mut self, places: &mut Places, previous: Option<PlaceKey>, key: PlaceKey) {
        let next = match previous {
            Some(previous) => T::links_mut(at_mut(places, previous)).next.replace(key),
            None => self.first.replace(key),
        };
        match next {
            Some(next) => T::links_mut(at_mut(places, next)).previous = Some(key),
            None => self.last = Some(key),
        }
        *T::links_mut(at_mut(places, key)) = Links { previous, next };
        self.len += 1;
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, places: &mut Places, key: PlaceKey) {
        if self.len > 1 {
            return self.unlink(places, key);
        }
        assert_eq!((self.first, self.last), (Some(key), Some(key)), "a place is in the list that it leaves");
        *self = List::default();
    }

    #[inline(never)]
    fn unlink(&mut self, places: &mut Places, key: PlaceKey) {
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
