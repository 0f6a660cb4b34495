//! Entries that are kept although their locks are free, and the shortcuts to recent ones.
//!
//! A lock that was wanted once is often wanted again, and to make and remove its entry each time took 400 of the 2,240
//! instructions of a pair. So the entry of a recent lock is kept when the lock becomes free, until another lock takes its spot
//! or the last session ends. It says so itself, and whoever looks at locks passes over it.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::list::{List, OfAsker};
use super::place::at;
use super::recent::{RECENT, Spot};
use super::table::{LockKey, Table};
use crate::time::Moment;

/// What is known of a lock that was wanted lately.
pub(super) enum Recent {
    /// It is not free.
    Taken(LockKey),
    /// It is free, and its entry is kept.
    Kept(LockKey),
    /// Nothing. It may be free or not.
    Unknown,
}

/// A hold that has ended: see [`Table::leave_recent`].
pub(super) struct Left {
    pub(super) lock: LockKey,
    pub(super) since: Moment,
}

impl<S: BuildHasher> Table<S> {
    /// A lock that is not free, by its name alone.
    #[inline]
    pub(super) fn find_by_name(&self, name: &str) -> Option<LockKey> {
        match self.find_recent(name) {
            Recent::Taken(lock) => Some(lock),
            Recent::Kept(_) => None,
            Recent::Unknown => self.find(self.hash(name), name),
        }
    }

    /// What is known of a lock without the hash of its name.
    #[inline(always)]
    pub(super) fn find_recent(&self, name: &str) -> Recent {
        let number = self.recent.get(Spot::of_name(name));
        match self.entries.get(number as usize) {
            Some(entry) if entry.is_named(name) && entry.is_kept => Recent::Kept(LockKey(number)),
            Some(entry) if entry.is_named(name) => Recent::Taken(LockKey(number)),
            _ => Recent::Unknown,
        }
    }

    /// Ends the hold of an asker on a recent lock and releases that, if nobody else is on it and nothing has to be looked at
    /// besides. This looks up the place and the entry once, and [`Table::leave`] with what follows it five times; the result is
    /// the same. `of_asker`, which counts the end, is called if there is one.
    #[inline(always)]
    pub(super) fn leave_recent<'a>(
        &mut self,
        name: &str,
        token: Option<u64>,
        asker: Asker,
        of_asker: impl FnOnce() -> &'a mut List<OfAsker>,
    ) -> Option<Left> {
        let number = self.recent.get(Spot::of_name(name));
        let entry = self.entries.get_mut(number as usize).filter(|entry| entry.is_named(name))?;
        let key = entry.holders.first()?;
        let place = at(&self.places, key);
        let (lock, since) = (place.lock, place.since);
        let is_meant = place.asker == asker && token.is_none_or(|token| token == place.token);
        let is_left_free = entry.waiters.is_empty() && entry.special.is_none() && !entry.is_crowded;
        if !is_meant || !is_left_free || !place.is_plain_hold() {
            return None;
        }
        entry.holders.remove(&mut self.places, key);
        entry.is_kept = true;
        self.kept += 1;
        of_asker().remove(&mut self.places, key);
        self.places.remove(key.index() as usize);
        Some(Left { lock, since })
    }

    /// Releases the entry of a lock that nobody holds and nobody waits for, unless something else needs it.
    pub(super) fn release_if_free(&mut self, lock: LockKey) {
        let entry = self.entry(lock);
        if entry.places() == 0 && !entry.special.is_some_and(|key| self.specials[key.index()].keeps_entry()) {
            self.release(lock);
        }
    }

    /// A lock is free: its entry is kept or removed.
    #[inline]
    pub(super) fn release(&mut self, lock: LockKey) {
        let entry = &mut self.entries[lock.0 as usize];
        if self.recent.get(entry.spot) != lock.0 || entry.special.is_some() {
            return self.remove(lock);
        }
        (entry.is_kept, entry.is_crowded) = (true, false);
        self.kept += 1;
    }

    /// Removes all entries of free locks.
    pub(super) fn remove_kept(&mut self) {
        for number in 0..self.entries.end().min(RECENT) {
            if self.kept == 0 {
                break;
            }
            if self.entries.get(number).is_some_and(|entry| entry.is_kept) {
                self.remove(LockKey(u32::try_from(number).expect("it is below RECENT")));
            }
        }
    }

    /// Checks the entries that are kept, and the spots.
    #[cfg(feature = "unstable")]
    pub(super) fn check_kept(&self) {
        let mut kept = 0;
        for (number, entry) in self.entries.iter() {
            assert_eq!(Some(entry.spot), str::from_utf8(&entry.name).ok().map(Spot::of_name), "a lock knows its spot");
            if entry.is_kept {
                kept += 1;
                assert_eq!(self.recent.get(entry.spot) as usize, number, "only a recent entry is kept");
                assert!(entry.places() == 0 && entry.special.is_none(), "a free lock has nothing");
                assert!(!entry.is_crowded, "nor a crowd");
            }
        }
        assert_eq!(kept, self.kept, "the entries that are kept are counted");
        for (spot, number) in self.recent.iter() {
            let entry = self.entries.get(number as usize).expect("what is recent exists");
            assert_eq!(entry.spot, spot, "what is recent is at its spot");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::engine::SessionKey;
    use crate::engine::place::{Place, Standing};

    /// A table, and what one session has.
    struct World {
        table: Table<RandomState>,
        ann: Asker,
        of_ann: List<OfAsker>,
    }

    impl World {
        fn new() -> Self {
            let ann = Asker::session(SessionKey::from_bits(0));
            World { table: Table::new(RandomState::new()), ann, of_ann: List::default() }
        }

        fn lock(&mut self, name: &str) -> LockKey {
            let lock = self.table.add(self.table.hash(name), name);
            self.table.join(Place::new(lock, self.ann, Standing::Holding, Moment::START), &mut self.of_ann);
            self.table.check_all();
            lock
        }

        fn unlock(&mut self, name: &str, asker: Asker) -> bool {
            let is_left = self.table.leave_recent(name, None, asker, || &mut self.of_ann).is_some();
            self.table.check_all();
            is_left
        }

        /// The number of entries, and of locks that are not free.
        fn counts(&self) -> (usize, usize) {
            (self.table.entries.len(), self.table.len())
        }
    }

    /// Several names with the same spot.
    fn rivals() -> impl Iterator<Item = String> {
        let spot = Spot::of_name("0");
        (0..).map(|number: u32| number.to_string()).filter(move |name| Spot::of_name(name) == spot)
    }

    #[test]
    fn the_entry_of_a_free_lock_is_kept_until_it_is_wanted_and_counts_nowhere() {
        let mut world = World::new();
        let lock = world.lock("db");
        assert!(world.unlock("db", world.ann));
        assert_eq!(world.counts(), (1, 0));
        assert_eq!((world.table.find_by_name("db"), world.table.find(world.table.hash("db"), "db")), (None, None));
        assert!(world.table.locks().next().is_none() && !world.table.contains(lock));
        assert!(world.table.locks_between(0, 100).0.next().is_none());
        assert_eq!(world.lock("db"), lock);
        assert_eq!((world.counts(), world.table.find_by_name("db")), ((1, 1), Some(lock)));
    }

    #[test]
    fn of_locks_with_one_spot_the_last_is_kept() {
        let mut world = World::new();
        let names: Vec<String> = rivals().take(3).collect();
        names.iter().for_each(|name| _ = world.lock(name));
        let is_left: Vec<bool> = names.iter().map(|name| world.unlock(name, world.ann)).collect();
        assert_eq!(is_left, [false, false, true], "the others are no longer recent");
        assert_eq!(world.counts(), (3, 2));
        // A new one takes the spot, and the entry that was kept there goes.
        let next = rivals().nth(3).unwrap();
        world.lock(&next);
        assert_eq!(world.counts(), (3, 3));
    }

    #[test]
    fn only_the_holder_leaves_and_only_if_nobody_waits() {
        let mut world = World::new();
        let lock = world.lock("db");
        let bob = Asker::session(SessionKey::from_bits(1));
        assert!(!world.unlock("db", bob) && !world.unlock("dc", world.ann));
        assert!(world.table.leave_recent("db", Some(1), world.ann, || unreachable!("it has token 0")).is_none());
        let mut of_bob = List::default();
        let wait = world.table.join(Place::new(lock, bob, Standing::Waiting, Moment::START), &mut of_bob);
        assert!(!world.unlock("db", world.ann), "the lock passes on to him");
        world.table.leave(wait, Moment::START, &mut of_bob);
        assert!(world.unlock("db", world.ann));
    }

    #[test]
    fn all_that_are_kept_are_removed_and_no_other() {
        let mut world = World::new();
        let names: Vec<String> = (0..100).map(|number| format!("boss:{number}")).collect();
        names.iter().for_each(|name| _ = world.lock(name));
        let left = names[..50].iter().filter(|name| world.unlock(name, world.ann)).count();
        assert!(left > 40, "few share their spots");
        world.table.remove_kept();
        world.table.check_all();
        assert_eq!(world.counts(), (100 - left, 100 - left));
    }
}
