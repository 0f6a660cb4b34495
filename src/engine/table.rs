//! The lock table: who holds each lock, who waits for it, and who is next.

use std::hash::{BuildHasher, Hasher};

use smallvec::SmallVec;

use super::askers::Asker;
use super::contention::Contentions;
use super::crowd::{CROWDED, Crowd};
use super::index::Index;
use super::kept::Recent;
use super::list::{InQueue, List, OfAsker};
use super::place::{Place, PlaceKey, Places, Standing, at, at_mut};
use super::recent::{RECENT_NAME_BYTES_MAX, Spot, Spots};
use super::special::{Special, SpecialKey};
use crate::slots::Chunks;
use crate::time::Moment;
use crate::wire::{Id, OwnerRef};

/// Names a lock while it has an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LockKey(pub(super) u32);

impl LockKey {
    /// Where the lock is in the table for as long as it exists.
    pub(super) fn slot(self) -> u32 {
        self.0
    }
}

/// A lock that has holders or waiters, is closed, or has just been left by somebody who was left over. Any other lock is
/// an absent entry, or one that is kept for when the lock is wanted again.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    /// UTF-8. Most names live in here.
    pub(super) name: SmallVec<[u8; 32]>,
    pub(super) holders: List<InQueue>,
    pub(super) waiters: List<InQueue>,
    /// What most locks don't have: without it all places are exclusive, each alone, in the order of asking.
    pub(super) special: Option<SpecialKey>,
    /// Whether the places are in the crowd index. Once they are, they stay there until the lock is free.
    pub(super) is_crowded: bool,
    /// Whether the lock is free, and this is kept for when it is wanted again.
    pub(super) is_kept: bool,
    pub(super) spot: Spot,
}

const _: () = assert!(size_of::<Entry>() <= 80);

/// What follows for a lock that somebody has left.
pub(super) enum After {
    /// More has to be looked at.
    Special,
    /// Nobody is on it.
    Free,
    /// A waiter holds it now.
    Next(PlaceKey),
    /// It was a waiter who has left.
    Held,
}

impl Entry {
    #[inline(always)]
    pub(super) fn is_named(&self, name: &str) -> bool {
        is_same(&self.name, name.as_bytes())
    }

    pub(super) fn places(&self) -> usize {
        self.holders.len() + self.waiters.len()
    }
}

/// All locks that are not free, and all places on them, and some that were wanted lately.
///
/// The hash of names has a key, so nobody can choose names that collide.
#[derive(Debug)]
pub(super) struct Table<S> {
    pub(super) entries: Chunks<Entry>,
    pub(super) places: Places,
    pub(super) specials: Chunks<Special>,
    /// From the hash of a name to its entry.
    by_name: Index,
    /// The entries that were added lately.
    pub(super) recent: Spots,
    /// How many entries are kept although their locks are free.
    pub(super) kept: usize,
    /// The places of crowded locks.
    crowd: Crowd,
    /// The locks that are waited for.
    pub(super) contentions: Contentions,
    hasher: S,
}

impl<S: BuildHasher> Table<S> {
    /// A table without locks.
    pub(super) fn new(hasher: S) -> Self {
        Table {
            entries: Chunks::default(),
            places: Places::default(),
            specials: Chunks::default(),
            by_name: Index::default(),
            recent: Spots::default(),
            kept: 0,
            crowd: Crowd::default(),
            contentions: Contentions::default(),
            hasher,
        }
    }

    /// The hash of a name: taken once per request, and passed along.
    #[inline]
    pub(super) fn hash(&self, name: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// A lock that is not free, by the hash of its name.
    #[inline]
    pub(super) fn find(&self, hash: u64, name: &str) -> Option<LockKey> {
        let lock = self.by_name.find(hash, |number| self.is_named(LockKey(number), name)).map(LockKey);
        lock.filter(|lock| !self.entry(*lock).is_kept)
    }

    #[inline]
    pub(super) fn is_named(&self, lock: LockKey, name: &str) -> bool {
        self.entry(lock).is_named(name)
    }

    /// Makes an entry for a free lock. The caller joins it at once.
    #[inline(never)]
    pub(super) fn add(&mut self, hash: u64, name: &str) -> LockKey {
        if let Recent::Kept(lock) = self.find_recent(name) {
            return lock;
        }
        let spot = Spot::of_name(name);
        let before = self.recent.take(spot);
        if self.entries.get(before as usize).is_some_and(|entry| entry.is_kept) {
            self.remove(LockKey(before));
        }
        let entry = Entry {
            hash,
            name: SmallVec::from_slice(name.as_bytes()),
            holders: List::default(),
            waiters: List::default(),
            special: None,
            is_crowded: false,
            is_kept: false,
            spot,
        };
        let number = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 locks");
        self.by_name.insert(hash, number);
        if name.len() <= RECENT_NAME_BYTES_MAX {
            self.recent.put(spot, number);
        }
        LockKey(number)
    }

    /// Removes the entry of a free lock.
    #[inline(never)]
    pub(super) fn remove(&mut self, lock: LockKey) {
        let entry = self.entries.remove(lock.0 as usize);
        self.kept -= usize::from(entry.is_kept);
        self.by_name.remove(entry.hash, lock.0);
        if self.recent.get(entry.spot) == lock.0 {
            self.recent.take(entry.spot);
        }
        if let Some(special) = entry.special {
            self.specials.remove(special.index());
        }
    }

    /// How many locks are not free.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.kept
    }

    /// Whether there is the entry of a lock that is not free under this key.
    pub(super) fn contains(&self, lock: LockKey) -> bool {
        self.entries.get(lock.0 as usize).is_some_and(|entry| !entry.is_kept)
    }

    #[inline]
    pub(super) fn name(&self, lock: LockKey) -> &str {
        std::str::from_utf8(&self.entry(lock).name).expect("a name was a str")
    }

    /// How many hold a lock or wait for it.
    pub(super) fn places_on(&self, lock: LockKey) -> usize {
        self.entry(lock).places()
    }

    pub(super) fn holders(&self, lock: LockKey) -> usize {
        self.entry(lock).holders.len()
    }

    pub(super) fn waiters(&self, lock: LockKey) -> usize {
        self.entry(lock).waiters.len()
    }

    #[inline]
    pub(super) fn place(&self, key: PlaceKey) -> &Place {
        at(&self.places, key)
    }

    #[inline]
    pub(super) fn place_mut(&mut self, key: PlaceKey) -> &mut Place {
        at_mut(&mut self.places, key)
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// The place of an asker on a lock, in O(1) however many others there are.
    #[inline]
    pub(super) fn place_of(&self, lock: LockKey, asker: Asker) -> Option<PlaceKey> {
        let entry = self.entry(lock);
        if entry.is_crowded {
            return self.crowd.find(&self.hasher, &self.places, lock, asker);
        }
        self.on(lock).find(|(_, place)| place.asker == asker).map(|(key, _)| key)
    }

    /// All places on a lock: the holders, then the waiters in order.
    pub(super) fn on(&self, lock: LockKey) -> impl Iterator<Item = (PlaceKey, &Place)> {
        let [holders, waiters] = self.lists_on(lock);
        holders.chain(waiters)
    }

    /// The holders of a lock, and its waiters in order.
    pub(super) fn lists_on(&self, lock: LockKey) -> [impl Iterator<Item = (PlaceKey, &Place)>; 2] {
        let entry = self.entry(lock);
        [&entry.holders, &entry.waiters].map(|list| list.iter(&self.places))
    }

    /// All locks that are not free.
    pub(super) fn locks(&self) -> impl Iterator<Item = LockKey> {
        let locks = self.entries.iter().filter(|(_, entry)| !entry.is_kept);
        locks.map(|(number, _)| LockKey(u32::try_from(number).expect("checked on insert")))
    }

    /// The locks in at most `slots` slots from `first` on, and the slot after these if there are any further ones.
    pub(super) fn locks_between(&self, first: u32, slots: u32) -> (impl Iterator<Item = LockKey>, Option<u32>) {
        let all = u32::try_from(self.entries.end()).expect("checked on insert");
        let end = first.saturating_add(slots).min(all);
        let locks = (first..end).map(LockKey).filter(|lock| self.contains(*lock));
        (locks, (end < all).then_some(end))
    }

    /// Adds a place for an asker who has none on its lock: at the end of the holders, or of the waiters.
    #[inline(always)]
    pub(super) fn join(&mut self, mut place: Place, of_asker: &mut List<OfAsker>) -> PlaceKey {
        let (lock, is_holding) = (place.lock, place.is_holding());
        if !is_holding {
            place.token = self.begin_wait(lock, place.since);
        }
        let key = self.insert(place, of_asker);
        let entry = &mut self.entries[lock.0 as usize];
        self.kept -= usize::from(std::mem::take(&mut entry.is_kept));
        let list = if is_holding { &mut entry.holders } else { &mut entry.waiters };
        list.push(&mut self.places, key);
        if entry.is_crowded || entry.places() > CROWDED {
            self.join_crowd(lock, key);
        }
        key
    }

    /// Adds a waiter after another one. None: before all others.
    pub(super) fn join_after(
        &mut self,
        previous: Option<PlaceKey>,
        mut place: Place,
        of_asker: &mut List<OfAsker>,
    ) -> PlaceKey {
        let lock = place.lock;
        place.token = self.begin_wait(lock, place.since);
        let key = self.insert(place, of_asker);
        let entry = &mut self.entries[lock.0 as usize];
        self.kept -= usize::from(std::mem::take(&mut entry.is_kept));
        entry.waiters.insert_after(&mut self.places, previous, key);
        if entry.is_crowded || entry.places() > CROWDED {
            self.join_crowd(lock, key);
        }
        key
    }

    #[inline(always)]
    fn insert(&mut self, place: Place, of_asker: &mut List<OfAsker>) -> PlaceKey {
        let index = self.places.insert(place);
        let key = PlaceKey::new(u32::try_from(index).expect("fewer than 2^32 places"));
        of_asker.push(&mut self.places, key);
        key
    }

    /// Takes a place off its lock and out of its asker's list. The lock's entry stays, for the caller to grant or remove.
    #[inline(always)]
    pub(super) fn leave(&mut self, key: PlaceKey, now: Moment, of_asker: &mut List<OfAsker>) -> Place {
        let Place { lock, asker, standing, token, .. } = *self.place(key);
        self.on_leave(lock, key);
        if standing != Standing::Holding {
            self.end_wait(token, now);
        }
        let entry = &mut self.entries[lock.0 as usize];
        let list = if standing == Standing::Holding { &mut entry.holders } else { &mut entry.waiters };
        list.remove(&mut self.places, key);
        if entry.is_crowded {
            self.crowd.remove(&self.hasher, lock, asker, key);
        }
        of_asker.remove(&mut self.places, key);
        self.places.remove(key.index() as usize)
    }

    /// What follows for a lock that somebody has left.
    #[inline]
    pub(super) fn after_leave(&self, lock: LockKey) -> After {
        let entry = self.entry(lock);
        if entry.special.is_some() {
            return After::Special;
        }
        // One exclusive holder, or none.
        if entry.holders.is_empty() { entry.waiters.first().map_or(After::Free, After::Next) } else { After::Held }
    }

    /// Makes a waiter a holder.
    pub(super) fn grant(&mut self, key: PlaceKey, token: u64, now: Moment) {
        let place = self.place(key);
        let (lock, kind, contention) = (place.lock, place.kind, place.token);
        assert!(!place.is_holding(), "only a waiter is granted");
        self.end_wait(contention, now);
        self.on_grant(lock, key);
        let entry = &mut self.entries[lock.0 as usize];
        let is_alone = entry.holders.is_empty();
        let place = at_mut(&mut self.places, key);
        (place.standing, place.since, place.token) = (Standing::Holding, now, token);
        entry.waiters.remove(&mut self.places, key);
        entry.holders.push(&mut self.places, key);
        assert!(is_alone || self.fits_a_holder(lock, kind), "holders fit each other");
    }

    pub(super) fn hash_of_owner(&self, session: u32, owner: &OwnerRef<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        match owner {
            Id::Number(number) => {
                // In one piece, which costs half of two.
                let [first, rest] = number.words();
                let both = u128::from(session) << 64 | u128::from(first);
                hasher.write(&both.to_ne_bytes()[..12]);
                if rest != 0 {
                    hasher.write_u64(rest);
                }
            }
            Id::Text(text) => {
                hasher.write_u32(session);
                hasher.write(text.as_bytes());
            }
        }
        hasher.finish()
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, lock: LockKey) -> &mut Entry {
        &mut self.entries[lock.0 as usize]
    }

    #[inline]
    pub(super) fn entry(&self, lock: LockKey) -> &Entry {
        &self.entries[lock.0 as usize]
    }

    /// After a place was added: from a certain number on, all are in the index of crowds.
    #[inline(never)]
    fn join_crowd(&mut self, lock: LockKey, key: PlaceKey) {
        let entry = &mut self.entries[lock.0 as usize];
        if entry.is_crowded {
            self.crowd.insert(&self.hasher, at(&self.places, key), key);
        } else {
            entry.is_crowded = true;
            for (key, place) in entry.holders.iter(&self.places).chain(entry.waiters.iter(&self.places)) {
                self.crowd.insert(&self.hasher, place, key);
            }
        }
    }

    /// Checks the whole table against itself.
    ///
    /// # Panics
    /// If anything contradicts.
    #[cfg(feature = "unstable")]
    pub(super) fn check_all(&self) {
        assert_eq!(self.by_name.len(), self.entries.len(), "the index has every lock once");
        self.check_kept();
        self.check_contentions();
        let (mut seen, mut crowd) = (0, 0);
        for lock in self.locks() {
            let entry = self.entry(lock);
            self.check_special(lock);
            assert_eq!(entry.hash, self.hash(self.name(lock)), "the hash is that of the name");
            assert_eq!(self.find(entry.hash, self.name(lock)), Some(lock), "a lock is found by its name");
            assert!(entry.is_crowded || entry.places() <= CROWDED, "a crowd is in its index");
            for (list, is_holding) in [(&entry.holders, true), (&entry.waiters, false)] {
                assert_eq!(list.iter(&self.places).count(), list.len(), "a list is as long as it says");
                for (key, place) in list.iter(&self.places) {
                    assert_eq!((place.lock, place.is_holding()), (lock, is_holding), "a place is where it says");
                    assert_eq!(self.place_of(lock, place.asker), Some(key), "an asker finds its place");
                    seen += 1;
                }
            }
            crowd += if entry.is_crowded { entry.places() } else { 0 };
        }
        assert_eq!(seen, self.places.len(), "every place is on a lock");
        assert_eq!(crowd, self.crowd.len(), "the crowd index has the places of crowded locks");
    }

    /// Whether there is no entry at all.
    #[cfg(feature = "unstable")]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.places.is_empty()
    }
}

/// Whether two names are the same. Up to 32 bytes are compared as their first and their last ones: that takes half of what a
/// call does.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && match one.len() {
            8..=16 => have_same_ends::<8>(one, other),
            4..8 => have_same_ends::<4>(one, other),
            17..=32 => have_same_ends::<16>(one, other),
            _ => one == other,
        }
}

#[inline(always)]
fn have_same_ends<const WORD: usize>(one: &[u8], other: &[u8]) -> bool {
    one.first_chunk::<WORD>() == other.first_chunk() && one.last_chunk::<WORD>() == other.last_chunk()
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, RandomState};

    use super::*;
    use crate::engine::SessionKey;

    #[test]
    fn different_names_and_different_tables_have_different_hashes() {
        // Otherwise somebody could choose names that all collide, and every request would look at each of them.
        let (one, other) = (Table::new(RandomState::new()), Table::new(RandomState::new()));
        assert_eq!(one.hash("boss:17"), one.hash("boss:17"));
        assert_ne!(one.hash("boss:17"), one.hash("boss:18"));
        assert_ne!(one.hash("boss:17"), other.hash("boss:17"));
    }

    #[test]
    fn a_lock_costs_no_index_of_its_places_until_it_is_crowded() {
        let mut table = Table::new(RandomState::new());
        let lock = table.add(table.hash("db"), "db");
        let mut of_session: Vec<List<OfAsker>> = (0..=CROWDED).map(|_| List::default()).collect();
        let mut places = Vec::new();
        for (number, of_session) in (0..).zip(&mut of_session) {
            assert_eq!(table.crowd.len(), 0, "with {} places", places.len());
            let standing = if number == 0 { Standing::Holding } else { Standing::Waiting };
            let asker = Asker::session(SessionKey::from_bits(number));
            places.push(table.join(Place::new(lock, asker, standing, Moment::START), of_session));
        }
        table.check_all();
        assert_eq!(table.crowd.len(), CROWDED + 1, "every place is found by hash, those that were there before too");
        for (place, of_session) in places.into_iter().zip(&mut of_session).rev() {
            table.leave(place, Moment::START, of_session);
        }
        assert_eq!(table.crowd.len(), 0);
    }

    /// The same hash for everything.
    #[derive(Default)]
    struct Collision;

    impl Hasher for Collision {
        fn write(&mut self, _: &[u8]) {}

        fn finish(&self) -> u64 {
            0
        }
    }

    #[test]
    fn names_and_places_are_told_apart_although_their_hashes_collide() {
        let mut table = Table::new(BuildHasherDefault::<Collision>::default());
        let locks = ["a", "b"].map(|name| table.add(table.hash(name), name));
        let mut of_session: Vec<List<OfAsker>> = (0..=CROWDED).map(|_| List::default()).collect();
        for (number, of_session) in (0..).zip(&mut of_session) {
            let standing = if number == 0 { Standing::Holding } else { Standing::Waiting };
            for lock in locks {
                let asker = Asker::session(SessionKey::from_bits(number));
                table.join(Place::new(lock, asker, standing, Moment::START), of_session);
            }
        }
        // That each name finds its lock, and each session its place.
        table.check_all();
        assert_eq!(table.find(table.hash("c"), "c"), None);
    }
}
