//! The index of crowds: on a lock with many places, an asker's own is found by hash, not by looking at each.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::index::Index;
use super::place::{Place, PlaceKey, Places, at};
use super::table::LockKey;

/// A lock with more places than this is crowded. Looking at that many costs no more than the hash.
pub(super) const CROWDED: usize = 8;

/// From lock and asker to the place, for crowded locks only.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    index: Index,
}

impl Crowd {
    pub(super) fn find(
        &self,
        hasher: &impl BuildHasher,
        places: &Places,
        lock: LockKey,
        asker: Asker,
    ) -> Option<PlaceKey> {
        let matches = |number| {
            let place = at(places, PlaceKey::new(number));
            place.lock == lock && place.asker == asker
        };
        self.index.find(hash(hasher, lock, asker), matches).map(PlaceKey::new)
    }

    pub(super) fn insert(&mut self, hasher: &impl BuildHasher, place: &Place, key: PlaceKey) {
        self.index.insert(hash(hasher, place.lock, place.asker), key.index());
    }

    pub(super) fn remove(&mut self, hasher: &impl BuildHasher, lock: LockKey, asker: Asker, key: PlaceKey) {
        self.index.remove(hash(hasher, lock, asker), key.index());
    }

    #[cfg(feature = "unstable")]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

fn hash(hasher: &impl BuildHasher, lock: LockKey, asker: Asker) -> u64 {
    hasher.hash_one((lock.slot(), asker.to_bits()))
}
