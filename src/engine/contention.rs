//! Which locks are waited for now, and for how long. Only waiting costs anything: a lock has a record here while somebody
//! waits for it, and each of its waiters knows the number of the record.
//!
//! The time that a lock was waited for goes to the sketch of the [hottest](super::hottest) when nobody waits for it any
//! longer, when a half minute has ended, and when somebody asks.

use std::hash::BuildHasher;

use super::deadline::DeadlineKey;
use super::hottest::{HALF, HotLock, Hottest};
use super::listing::PAGE_SLOTS;
use super::table::{LockKey, Table};
use super::{Engine, place};
use crate::slots::Chunks;
use crate::time::Moment;

/// A lock that is waited for.
#[derive(Debug)]
pub(super) struct Contention {
    lock: LockKey,
    waiters: u32,
    /// Until when the waiting is counted in `waited`.
    counted_to: Moment,
    /// What is not in the sketch yet, of the half minute of `counted_to`: nanoseconds of all waiters together, and how many
    /// of them have begun to wait.
    waited: u64,
    waits: u32,
    /// When to look whether its oldest hold has lasted for too long, if anybody wants to know.
    deadline: Option<DeadlineKey>,
}

/// All of them, and the sketch.
#[derive(Debug, Default)]
pub(super) struct Contentions {
    records: Chunks<Contention>,
    hottest: Hottest,
    /// The deadline of the record that was just removed, for the caller to cancel.
    pub(super) left_deadline: Option<DeadlineKey>,
    /// Where a look at the records begins.
    next_looked_at: usize,
}

impl Contentions {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn lock_of(&self, number: u64) -> LockKey {
        self.records[index(number)].lock
    }

    pub(super) fn deadline_mut(&mut self, number: u64) -> &mut Option<DeadlineKey> {
        &mut self.records[index(number)].deadline
    }

    /// How many of them have a deadline.
    #[cfg(feature = "unstable")]
    pub(super) fn deadlines(&self) -> usize {
        self.records.iter().filter(|(_, record)| record.deadline.is_some()).count()
    }

    /// One that was counted does not wait after all.
    pub(super) fn take_back(&mut self, number: u64) {
        self.records[index(number)].waits -= 1;
    }
}

/// The number of a record as waiters keep it, which is where a holder has its token.
fn index(number: u64) -> usize {
    usize::try_from(number).expect("it was an index")
}

fn half_of(moment: Moment) -> u64 {
    moment.as_nanos() / HALF
}

impl<S: BuildHasher> Table<S> {
    /// Somebody begins to wait for a lock, and is not in its queue yet. Returns the number that all its waiters know.
    pub(super) fn begin_wait(&mut self, lock: LockKey, now: Moment) -> u64 {
        let number = match self.entry(lock).waiters.first() {
            Some(first) => place::at(&self.places, first).token,
            None => {
                let record = Contention { lock, waiters: 0, counted_to: now, waited: 0, waits: 0, deadline: None };
                self.contentions.records.insert(record) as u64
            }
        };
        self.count_waiting(index(number), now);
        let record = &mut self.contentions.records[index(number)];
        record.waiters += 1;
        record.waits += 1;
        number
    }

    /// Somebody with this number waits no longer, with or without the lock.
    pub(super) fn end_wait(&mut self, number: u64, now: Moment) {
        self.count_waiting(index(number), now);
        let record = &mut self.contentions.records[index(number)];
        record.waiters -= 1;
        if record.waiters == 0 {
            self.charge(index(number));
            let record = self.contentions.records.remove(index(number));
            self.contentions.left_deadline = record.deadline;
        }
    }

    /// Counts the waiting up to now.
    fn count_waiting(&mut self, index: usize, now: Moment) {
        let record = &mut self.contentions.records[index];
        let half = half_of(now);
        let waiters = u64::from(record.waiters);
        if half_of(record.counted_to) == half {
            record.waited += waiters * now.since(record.counted_to).as_nanos();
            record.counted_to = now;
        } else {
            self.begin_half(index, now);
        }
    }

    /// The same, with the first change of the record in this half minute.
    #[inline(never)]
    fn begin_half(&mut self, index: usize, now: Moment) {
        let Table { contentions, entries, .. } = self;
        let record = &mut contentions.records[index];
        let (half, counted_half) = (half_of(now), half_of(record.counted_to));
        let waiters = u64::from(record.waiters);
        let (waited_before, waits_before) = match half - counted_half {
            1 => (record.waited + waiters * (half * HALF - record.counted_to.as_nanos()), record.waits),
            _ => (waiters * HALF, 0),
        };
        (record.waited, record.waits) = (waiters * (now.as_nanos() - half * HALF), 0);
        record.counted_to = now;
        contentions.hottest.move_to(half);
        let entry = &entries[record.lock.slot() as usize];
        contentions.hottest.add_before(entry.hash, &entry.name, waited_before, waits_before.into());
    }

    /// Takes what was counted of one lock to the sketch.
    fn charge(&mut self, index: usize) {
        let Table { contentions, entries, .. } = self;
        let record = &mut contentions.records[index];
        let (waited, waits) = (std::mem::take(&mut record.waited), std::mem::take(&mut record.waits));
        if waited > 0 || waits > 0 {
            let entry = &entries[record.lock.slot() as usize];
            contentions.hottest.move_to(half_of(record.counted_to));
            contentions.hottest.add(entry.hash, &entry.name, waited, waits.into());
        }
    }

    /// Takes what was counted of all locks to the sketch: of those in some slots, if there are more.
    fn charge_all(&mut self, now: Moment) {
        self.contentions.hottest.move_to(half_of(now));
        let end = self.contentions.records.end();
        for _ in 0..end.min(PAGE_SLOTS as usize) {
            let index = self.contentions.next_looked_at % end;
            self.contentions.next_looked_at = index + 1;
            if self.contentions.records.contains(index) {
                self.count_waiting(index, now);
                self.charge(index);
            }
        }
    }

    /// The locks that are waited for in at most so many `records` from `first` on, with the numbers of these, and the number
    /// after them if there are any further ones.
    pub(super) fn contended_between(
        &self,
        first: u32,
        records: u32,
    ) -> (impl Iterator<Item = (u32, LockKey)>, Option<u32>) {
        let all = u32::try_from(self.contentions.records.end()).expect("there are no more than locks");
        let end = first.saturating_add(records).min(all);
        let lock_of = |number: u32| self.contentions.records.get(number as usize).map(|record| (number, record.lock));
        ((first..end).filter_map(lock_of), (end < all).then_some(end))
    }

    /// Checks the records against the queues.
    ///
    /// # Panics
    /// If they contradict.
    #[cfg(feature = "unstable")]
    pub(super) fn check_contentions(&self) {
        let contended = self.locks().filter(|lock| !self.entry(*lock).waiters.is_empty());
        assert_eq!(contended.count(), self.contentions.len(), "exactly the locks that are waited for have a record");
        for (index, record) in self.contentions.records.iter() {
            let waiters = &self.entry(record.lock).waiters;
            assert_eq!(waiters.len(), record.waiters as usize, "a record counts the waiters of its lock");
            for (_, place) in waiters.iter(&self.places) {
                assert_eq!(place.token, index as u64, "a waiter knows the record of its lock");
            }
        }
    }
}

impl<S: BuildHasher> Engine<S> {
    /// The locks that were waited for most in the last half minute to minute, most first. Waiting that still lasts is counted
    /// up to now, unless more locks are waited for than a page of a listing looks at: then that of some is counted up to
    /// when this was asked before.
    pub fn hottest(&mut self, now: Moment) -> Vec<HotLock> {
        self.table.charge_all(now);
        self.table.contentions.hottest.rows()
    }

    /// Locks that are waited for.
    pub fn contended(&self) -> usize {
        self.table.contentions.len()
    }
}
