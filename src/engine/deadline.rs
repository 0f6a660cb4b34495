//! Points in time at which something is due, in order. Never reads the clock.

use std::num::NonZeroU32;

use crate::slots::Chunks;
use crate::time::Moment;

/// Names one armed deadline until it is cancelled or has been popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineKey(NonZeroU32);

impl DeadlineKey {
    fn new(slot: usize) -> Self {
        let number = u32::try_from(slot + 1).expect("fewer than 2^32 deadlines");
        DeadlineKey(NonZeroU32::new(number).expect("one more than a slot is not 0"))
    }

    fn slot(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A binary heap that knows where each of its elements is: arming, moving and cancelling are O(log n), the next one due
/// is O(1). Deadlines of the same moment come out in the order in which they were armed.
///
/// Invariant: `armed[heap[i].slot].position == i` for every `i`, and nothing else is in `armed`.
#[derive(Debug)]
pub struct Deadlines<T> {
    heap: Vec<Node>,
    armed: Chunks<Armed<T>>,
    next_order: u64,
}

/// The heap keeps this capacity, however few deadlines are armed.
const HEAP_KEPT: usize = 4096;

/// Set in the order of those that are not early.
const LATE: u64 = 1 << 63;

/// What is compared stands in the heap itself, so that a comparison touches no other memory.
#[derive(Clone, Copy, Debug)]
struct Node {
    at: Moment,
    order: u64,
    slot: u32,
}

impl Node {
    fn is_before(&self, other: &Node) -> bool {
        (self.at, self.order) < (other.at, other.order)
    }
}

#[derive(Debug)]
struct Armed<T> {
    position: u32,
    due: T,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Deadlines { heap: Vec::new(), armed: Chunks::default(), next_order: 0 }
    }
}

impl<T: Copy> Deadlines<T> {
    /// From `at` on, `due` is due.
    pub fn arm(&mut self, at: Moment, due: T) -> DeadlineKey {
        self.arm_in(at, due, LATE)
    }

    /// The same, but before all of that moment that were armed by [`Deadlines::arm`].
    pub fn arm_early(&mut self, at: Moment, due: T) -> DeadlineKey {
        self.arm_in(at, due, 0)
    }

    fn arm_in(&mut self, at: Moment, due: T, class: u64) -> DeadlineKey {
        let position = self.heap.len();
        let key = DeadlineKey::new(self.armed.insert(Armed { position: 0, due }));
        let order = self.take_order() | class;
        self.heap.push(Node { at, order, slot: key.0.get() - 1 });
        self.rise(position);
        key
    }

    /// Moves a deadline; among those of the same moment it comes last, or last of the early ones.
    ///
    /// # Panics
    /// If it is not armed.
    pub fn rearm(&mut self, key: DeadlineKey, at: Moment) {
        let position = self.position(key);
        let order = self.take_order();
        let node = &mut self.heap[position];
        (node.at, node.order) = (at, order | node.order & LATE);
        self.sink(position);
        self.rise(self.position(key));
    }

    /// When it is due.
    ///
    /// # Panics
    /// If it is not armed.
    pub fn at(&self, key: DeadlineKey) -> Moment {
        self.heap[self.position(key)].at
    }

    /// Takes a deadline out before it is due.
    ///
    /// # Panics
    /// If it is not armed.
    pub fn cancel(&mut self, key: DeadlineKey) -> T {
        let position = self.position(key);
        self.remove(position)
    }

    /// What is due next, if it is at or before `now`.
    pub fn next_due(&self, now: Moment) -> Option<T> {
        let first = self.heap.first().filter(|first| first.at <= now)?;
        Some(self.armed[first.slot as usize].due)
    }

    /// Takes out the next deadline if it is at or before `now`.
    pub fn pop_due(&mut self, now: Moment) -> Option<T> {
        (self.next()? <= now).then(|| self.remove(0))
    }

    /// The earliest moment at which something is due.
    pub fn next(&self) -> Option<Moment> {
        self.heap.first().map(|node| node.at)
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is armed.
    #[cfg(feature = "unstable")]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn take_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    fn position(&self, key: DeadlineKey) -> usize {
        let position = self.armed[key.slot()].position as usize;
        assert_eq!(self.heap[position].slot as usize, key.slot(), "the heap and its index disagree");
        position
    }

    fn remove(&mut self, position: usize) -> T {
        let node = self.heap.swap_remove(position);
        if position < self.heap.len() {
            let moved = self.heap[position].slot as usize;
            self.armed[moved].position = to_u32(position);
            self.sink(position);
            self.rise(self.armed[moved].position as usize);
        }
        // Half of what it has is more than enough for long, so this is as rare as growing.
        if self.heap.capacity() > HEAP_KEPT && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.capacity() / 2);
        }
        self.armed.remove(node.slot as usize).due
    }

    /// Brings the node at `position` up to where its parent is before it.
    fn rise(&mut self, mut position: usize) {
        let node = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / 2;
            if !node.is_before(&self.heap[parent]) {
                break;
            }
            self.put(position, self.heap[parent]);
            position = parent;
        }
        self.put(position, node);
    }

    /// Brings the node at `position` down to where it is before its children.
    fn sink(&mut self, mut position: usize) {
        let node = self.heap[position];
        loop {
            let mut child = 2 * position + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1].is_before(&self.heap[child]) {
                child += 1;
            }
            if !self.heap[child].is_before(&node) {
                break;
            }
            self.put(position, self.heap[child]);
            position = child;
        }
        self.put(position, node);
    }

    fn put(&mut self, position: usize, node: Node) {
        self.heap[position] = node;
        self.armed[node.slot as usize].position = to_u32(position);
    }

    /// Checks the whole structure.
    ///
    /// # Panics
    /// If the heap is out of order, or its index disagrees with it.
    #[cfg(feature = "unstable")]
    pub fn check_all(&self) {
        assert_eq!(self.heap.len(), self.armed.len(), "as many nodes as armed deadlines");
        for (position, node) in self.heap.iter().enumerate() {
            assert_eq!(self.armed[node.slot as usize].position as usize, position, "the index knows the node");
            if position > 0 {
                assert!(!node.is_before(&self.heap[(position - 1) / 2]), "a child is before its parent");
            }
        }
    }
}

fn to_u32(position: usize) -> u32 {
    u32::try_from(position).expect("there are as many positions as slots")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn deadlines_come_out_as_from_a_sorted_map_whatever_is_armed_moved_and_cancelled() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut deadlines = Deadlines::default();
        // (at, order of arming) -> what
        let mut model: BTreeMap<(Moment, u64), u64> = BTreeMap::new();
        let mut keys: Vec<(DeadlineKey, (Moment, u64))> = Vec::new();
        let mut now = 0;
        for step in 0..20_000_u64 {
            // Few different times, so that many are equal.
            let at = Moment::from_nanos(now + random.u64(0..20));
            match random.u8(0..10) {
                0..4 => {
                    keys.push((deadlines.arm(at, step), (at, step)));
                    model.insert((at, step), step);
                }
                4..6 if !keys.is_empty() => {
                    let (key, in_model) = keys.swap_remove(random.usize(0..keys.len()));
                    assert_eq!(Some(deadlines.cancel(key)), model.remove(&in_model));
                }
                6..8 if !keys.is_empty() => {
                    let chosen = random.usize(0..keys.len());
                    let (key, in_model) = &mut keys[chosen];
                    deadlines.rearm(*key, at);
                    let what = model.remove(in_model).unwrap();
                    *in_model = (at, step);
                    model.insert(*in_model, what);
                    assert_eq!(deadlines.at(*key), at);
                }
                _ => {
                    now += random.u64(0..3);
                    while let Some(what) = deadlines.next_due(Moment::from_nanos(now)) {
                        assert_eq!(deadlines.pop_due(Moment::from_nanos(now)), Some(what));
                        let first = *model.first_key_value().unwrap().0;
                        assert!(first.0 <= Moment::from_nanos(now));
                        assert_eq!(model.remove(&first), Some(what));
                        keys.retain(|(_, in_model)| *in_model != first);
                    }
                    assert!(model.first_key_value().is_none_or(|(first, _)| first.0 > Moment::from_nanos(now)));
                }
            }
            deadlines.check_all();
            assert_eq!(deadlines.next(), model.first_key_value().map(|(first, _)| first.0));
            assert_eq!(deadlines.len(), model.len());
            assert_eq!(deadlines.is_empty(), model.is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "invalid key")]
    fn a_deadline_is_cancelled_once() {
        let mut deadlines = Deadlines::default();
        let key = deadlines.arm(Moment::from_nanos(5), 'x');
        deadlines.cancel(key);
        deadlines.cancel(key);
    }

    #[test]
    fn little_memory_and_memory_that_is_used_are_kept() {
        for (armed, ended) in [(100, 99), (10_000, 100)] {
            let mut deadlines = Deadlines::default();
            (0..armed).for_each(|at| _ = deadlines.arm(Moment::from_nanos(at), 'x'));
            let before = deadlines.heap.capacity();
            (0..ended).for_each(|at| _ = deadlines.pop_due(Moment::from_nanos(at)).expect("it is due"));
            assert_eq!(deadlines.heap.capacity(), before, "{ended} of {armed} ended");
        }
    }

    #[test]
    fn a_million_deadlines_leave_little_behind() {
        let mut deadlines = Deadlines::default();
        (0..1_000_000).for_each(|at| _ = deadlines.arm(Moment::from_nanos(at), 'x'));
        let full = deadlines.heap.capacity();
        while deadlines.pop_due(Moment::from_nanos(999_990)).is_some() {}
        deadlines.check_all();
        assert_eq!(deadlines.len(), 9);
        assert!(deadlines.heap.capacity() < full / 64, "{} of {full}", deadlines.heap.capacity());
    }
}
