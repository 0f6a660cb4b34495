//! Which locks are waited for most: a sketch of fixed size, by the time that requests wait.
//!
//! It is Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams,
//! 2005), weighted by time. There are [`COUNTERS`] counters. A name that has none takes over the smallest, and is known to
//! have at least what it adds from then on. So a counter is too low by at most the smallest counter of the time, and that is
//! at most 1/[`COUNTERS`] of all waiting. While there are no more names than counters, they are exact.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::time::Span;

/// Counters of each half. Names are up to 1,024 bytes long, so this limits the memory: two halves are half a megabyte at most.
pub(super) const COUNTERS: usize = 256;
/// Names that are told.
const ROWS: usize = 32;

/// Half a minute, in nanoseconds: what is told is about this one and the one before it.
pub(super) const HALF: u64 = 30_000_000_000;

/// A lock that was waited for in the last half minute to minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotLock {
    /// Its name.
    pub name: String,
    /// For how long all requests together waited for it. Never too much; too little by at most 1/256 of what all locks
    /// were waited for.
    pub waited: Span,
    /// Requests that began to wait for it, as far as they are known.
    pub waits: u64,
}

/// The waiting of this half minute and of the one before it.
#[derive(Debug, Default)]
pub(super) struct Hottest {
    /// The half minutes before this one.
    half: u64,
    now: Sketch,
    before: Sketch,
}

impl Hottest {
    /// Begins another half minute, if it is time.
    pub(super) fn move_to(&mut self, half: u64) {
        if half <= self.half {
            return;
        }
        std::mem::swap(&mut self.now, &mut self.before);
        if half > self.half + 1 {
            self.before.clear();
        }
        self.now.clear();
        self.half = half;
    }

    /// Some have waited in this half minute: nanoseconds together, and how many of them have begun to.
    pub(super) fn add(&mut self, hash: u64, name: &[u8], waited: u64, waits: u64) {
        self.now.add(hash, name, waited, waits);
    }

    /// The same, in the half minute before it.
    pub(super) fn add_before(&mut self, hash: u64, name: &[u8], waited: u64, waits: u64) {
        self.before.add(hash, name, waited, waits);
    }

    /// The names with most waiting, most first.
    pub(super) fn rows<'a>(&'a self) -> Vec<HotLock> {
        let of_now = self.now.counters.iter().map(|counter| (counter, self.before.find(counter)));
        let of_before = self.before.counters.iter().filter(|counter| self.now.find(counter).is_none());
        let both = of_now.chain(of_before.map(|counter| (counter, None)));
        let sum = |(counter, other): (&'a Counter, Option<&Counter>)| {
            let (waited, waits) = other.map_or((0, 0), |other| (other.known(), other.waits));
            (counter.known() + waited, counter.waits + waits, counter.name.as_slice())
        };
        let mut all: Vec<(u64, u64, &[u8])> = both.map(sum).filter(|(waited, ..)| *waited > 0).collect();
        all.sort_unstable_by(|one, other| other.0.cmp(&one.0).then_with(|| one.2.cmp(other.2)));
        all.truncate(ROWS);
        let row = |(waited, waits, name): (u64, u64, &[u8])| HotLock {
            name: String::from_utf8(name.to_vec()).expect("a name was a str"),
            waited: Span::from_nanos(waited),
            waits,
        };
        all.into_iter().map(row).collect()
    }
}

#[derive(Debug)]
struct Counter {
    hash: u64,
    name: SmallVec<[u8; 32]>,
    /// Nanoseconds: those of the name, and what it has taken over.
    waited: u64,
    /// What it has taken over.
    taken_over: u64,
    waits: u64,
    /// Its position in the heap.
    position: usize,
}

impl Counter {
    /// What the name has certainly waited.
    fn known(&self) -> u64 {
        self.waited - self.taken_over
    }
}

/// Invariants: `by_name` and `heap` have every counter once, and each counter knows its position in `heap`, where none is
/// smaller than its parent, the one at half its position.
#[derive(Debug)]
struct Sketch {
    counters: Vec<Counter>,
    /// Numbers of counters by the hash of the name.
    by_name: HashTable<usize>,
    /// Numbers of counters, the smallest first.
    heap: Vec<usize>,
}

impl Default for Sketch {
    /// With all of its memory, but that for long names: waiting allocates nothing. Twice the room in the table, so that it
    /// can rid itself of what was removed in place.
    fn default() -> Self {
        Sketch {
            counters: Vec::with_capacity(COUNTERS),
            by_name: HashTable::with_capacity(2 * COUNTERS),
            heap: Vec::with_capacity(COUNTERS),
        }
    }
}

impl Sketch {
    fn clear(&mut self) {
        self.counters.clear();
        self.by_name.clear();
        self.heap.clear();
    }

    fn find(&self, like: &Counter) -> Option<&Counter> {
        let is_it = |number: &usize| self.counters[*number].name == like.name;
        self.by_name.find(like.hash, is_it).map(|number| &self.counters[*number])
    }

    fn add(&mut self, hash: u64, name: &[u8], waited: u64, waits: u64) {
        let counters = &self.counters;
        let is_it = |number: &usize| counters[*number].hash == hash && counters[*number].name.as_slice() == name;
        let number = match self.by_name.find(hash, is_it) {
            Some(number) => *number,
            None if counters.len() < COUNTERS => self.begin(hash, name),
            None => self.take_over(hash, name),
        };
        let counter = &mut self.counters[number];
        counter.waited += waited;
        counter.waits += waits;
        let position = counter.position;
        self.sink(position);
    }

    fn begin(&mut self, hash: u64, name: &[u8]) -> usize {
        let number = self.counters.len();
        self.counters.push(Counter {
            hash,
            name: SmallVec::from_slice(name),
            waited: 0,
            taken_over: 0,
            waits: 0,
            position: self.heap.len(),
        });
        self.index(hash, number);
        self.heap.push(number);
        // It is 0, so all of those above it change places with it.
        let mut position = self.heap.len() - 1;
        while position > 0 {
            self.swap(position, (position - 1) / 2);
            position = (position - 1) / 2;
        }
        number
    }

    /// Gives the smallest counter to another name.
    fn take_over(&mut self, hash: u64, name: &[u8]) -> usize {
        let number = self.heap[0];
        let counter = &mut self.counters[number];
        let old = self.by_name.find_entry(counter.hash, |other| *other == number);
        old.expect("every counter has an entry").remove();
        counter.hash = hash;
        counter.name.clear();
        counter.name.extend_from_slice(name);
        (counter.taken_over, counter.waits) = (counter.waited, 0);
        self.index(hash, number);
        number
    }

    fn index(&mut self, hash: u64, number: usize) {
        let counters = &self.counters;
        self.by_name.insert_unique(hash, number, |number| counters[*number].hash);
    }

    /// A counter has grown: moves it down in the heap.
    fn sink(&mut self, mut position: usize) {
        let waited = |sketch: &Self, position: usize| sketch.counters[sketch.heap[position]].waited;
        loop {
            let children = [2 * position + 1, 2 * position + 2].into_iter().filter(|child| *child < self.heap.len());
            let Some(child) = children.min_by_key(|child| waited(self, *child)) else { break };
            if waited(self, position) <= waited(self, child) {
                break;
            }
            self.swap(position, child);
            position = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for position in [one, other] {
            self.counters[self.heap[position]].position = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    /// Names as clients use them: the n-th is waited for about 1/n as long as the first.
    fn zipf(random: &mut fastrand::Rng, names: u32) -> f64 {
        f64::from(names).powf(random.f64()).floor()
    }

    fn check(sketch: &Sketch) {
        assert!(sketch.counters.len() <= COUNTERS, "no more than there is room for");
        assert_eq!((sketch.heap.len(), sketch.by_name.len()), (sketch.counters.len(), sketch.counters.len()));
        for (position, number) in sketch.heap.iter().enumerate() {
            let counter = &sketch.counters[*number];
            assert_eq!(counter.position, position);
            assert!(position == 0 || sketch.counters[sketch.heap[(position - 1) / 2]].waited <= counter.waited);
            assert!(sketch.find(counter).is_some_and(|found| found.position == position), "a name is found");
        }
    }

    #[test]
    fn with_skewed_names_no_figure_is_too_high_or_too_low_by_more_than_is_promised() {
        let hasher = RandomState::new();
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let names = [100, 1000, 100_000][random.usize(0..3)];
            let mut hottest = Hottest::default();
            let mut exact: HashMap<String, u64> = HashMap::new();
            let mut all = 0;
            for step in 0..20_000 {
                hottest.move_to(step / 10_000);
                let name = format!("boss:{:.0}", zipf(&mut random, names));
                let waited = random.u64(0..1_000_000_000);
                hottest.add(hasher.hash_one(&name), name.as_bytes(), waited, 1);
                *exact.entry(name).or_default() += waited;
                all += waited;
                // Later steps mend what an earlier one leaves behind.
                if step % 100 == 0 {
                    check(&hottest.now);
                }
            }
            check(&hottest.now);
            check(&hottest.before);
            let rows = hottest.rows();
            assert!(rows.is_sorted_by(|one, other| one.waited >= other.waited), "most first");
            let error = if exact.len() <= COUNTERS { 0 } else { all / COUNTERS as u64 };
            assert_eq!(rows.len(), ROWS);
            for row in &rows {
                let (told, waited) = (row.waited.as_nanos(), exact[&row.name]);
                assert!(told <= waited && waited <= told + error, "{}: {told} of {waited}, seed {seed}", row.name);
            }
            let least = rows.last().expect("there are some").waited.as_nanos();
            for (name, waited) in &exact {
                let is_told = rows.iter().any(|row| row.name == *name);
                assert!(is_told || *waited <= least + error, "{name} has waited {waited}, seed {seed}");
            }
        }
    }

    #[test]
    fn waiting_is_forgotten_after_half_a_minute_to_a_minute() {
        let mut hottest = Hottest::default();
        let told = |hottest: &Hottest| {
            hottest.rows().into_iter().map(|row| (row.name, row.waited.as_nanos(), row.waits)).collect::<Vec<_>>()
        };
        // Their hashes may be equal.
        hottest.add(1, b"a", 5, 1);
        hottest.add(1, b"b", 7, 2);
        hottest.move_to(1);
        hottest.add(1, b"a", 3, 0);
        hottest.add_before(3, b"c", 1, 1);
        assert_eq!(told(&hottest), [("a".into(), 8, 1), ("b".into(), 7, 2), ("c".into(), 1, 1)]);
        hottest.move_to(2);
        assert_eq!(told(&hottest), [("a".into(), 3, 0)]);
        hottest.move_to(1);
        assert_eq!(told(&hottest), [("a".into(), 3, 0)], "time goes forward");
        hottest.add(1, b"a", 2, 1);
        hottest.move_to(4);
        assert_eq!(told(&hottest), [], "nothing happened for a whole half minute");
    }
}
