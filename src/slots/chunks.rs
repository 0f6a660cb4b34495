//! A slab in chunks, which returns its memory.

use std::fmt;
use std::ops::{Index, IndexMut};

/// Values under small numbers, like a slab, for structures that may have a million values now and few later: a slab
/// keeps its memory forever, and this one returns a chunk when its last value is removed. It also grows by a chunk, so
/// that nothing is ever moved. All operations are O(1).
///
/// Most servers never have more than the first chunk, so it is looked at first: that takes half of the instructions.
///
/// Invariants: `open` contains exactly the numbers of those chunks that have memory with room in it, each at its
/// `position`; those without memory are a list from `unused` on. `empty` of the chunks with memory have no value, at most
/// [`EMPTY_KEPT`].
pub(crate) struct Chunks<T> {
    first: Chunk<T>,
    others: Vec<Chunk<T>>,
    open: Vec<u32>,
    unused: Option<u32>,
    empty: usize,
    len: usize,
}

struct Chunk<T> {
    slots: Vec<Slot<T>>,
    /// Slots with a value.
    len: u32,
    /// The free slot that is taken next; if there is none, the number of slots.
    free: u32,
    /// Its position in `open`, if it has room.
    position: u32,
    /// The next without memory, if this has none.
    next_unused: Option<u32>,
}

enum Slot<T> {
    /// Without a value. `next` is the one that is taken after it.
    Free {
        next: u32,
    },
    Value(T),
}

const CHUNK_BITS: u32 = 12;
/// Values in a chunk. Large enough that allocators return it to the system.
const CHUNK: usize = 1 << CHUNK_BITS;

/// Chunks that keep their memory when they become empty. With one, the places of 10,000 connections that all lock and then
/// all unlock had their memory returned and mapped again each time.
const EMPTY_KEPT: usize = 3;

/// Capacity for this many chunks is allocated at the beginning. A list that grew while much else was allocated would
/// stay after it in memory, and keep the allocator from returning that.
const CHUNKS_EXPECTED: usize = 512;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        let others = Vec::with_capacity(CHUNKS_EXPECTED);
        Chunks { first: Chunk::default(), others, open: Vec::new(), unused: Some(0), empty: 0, len: 0 }
    }
}

impl<T> Chunks<T> {
    /// Puts a value in, and returns its number.
    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> usize {
        let number = match self.open.last() {
            Some(number) => *number,
            None => self.open_another(),
        };
        let chunk = self.chunk_mut(number as usize);
        let place = chunk.insert(value);
        let len = chunk.len as usize;
        self.empty -= usize::from(len == 1);
        if len == CHUNK {
            self.open.pop();
        }
        self.len += 1;
        (number as usize) << CHUNK_BITS | place
    }

    #[cold]
    #[inline(never)]
    fn open_another(&mut self) -> u32 {
        let number = self.unused.unwrap_or_else(|| {
            self.others.push(Chunk::default());
            to_u32(self.others.len())
        });
        let position = to_u32(self.open.len());
        let chunk = self.chunk_mut(number as usize);
        chunk.position = position;
        // The first grows as it is used: most servers never have more.
        if number > 0 {
            chunk.slots.reserve_exact(CHUNK);
        }
        self.unused = chunk.next_unused.take();
        self.empty += 1;
        self.open.push(number);
        number
    }

    #[inline(always)]
    fn chunk_mut(&mut self, number: usize) -> &mut Chunk<T> {
        match number.checked_sub(1) {
            None => &mut self.first,
            Some(other) => &mut self.others[other],
        }
    }

    /// Takes a value out.
    ///
    /// # Panics
    /// If it is not there.
    #[inline(always)]
    pub(crate) fn remove(&mut self, key: usize) -> T {
        let number = key >> CHUNK_BITS;
        let chunk = self.chunk_mut(number);
        let value = chunk.remove(key % CHUNK);
        let left = chunk.len as usize;
        self.len -= 1;
        if left == CHUNK - 1 {
            self.open_again(number);
        }
        if left == 0 {
            self.empty += 1;
            if self.empty > EMPTY_KEPT {
                self.give_back(number);
            }
        }
        value
    }

    /// A chunk has room again.
    #[cold]
    #[inline(never)]
    fn open_again(&mut self, number: usize) {
        self.chunk_mut(number).position = to_u32(self.open.len());
        self.open.push(to_u32(number));
    }

    /// Returns the memory of a chunk that is empty.
    #[cold]
    #[inline(never)]
    fn give_back(&mut self, number: usize) {
        self.empty -= 1;
        let next_unused = self.unused.replace(to_u32(number));
        let emptied = Chunk { next_unused, ..Chunk::default() };
        let position = std::mem::replace(self.chunk_mut(number), emptied).position;
        self.open.swap_remove(position as usize);
        if let Some(moved) = self.open.get(position as usize) {
            self.chunk_mut(*moved as usize).position = position;
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, key: usize) -> Option<&T> {
        match self.first.slots.get(key) {
            Some(slot) => slot.value(),
            None => self.get_other(key),
        }
    }

    #[inline(never)]
    fn get_other(&self, key: usize) -> Option<&T> {
        self.others.get((key >> CHUNK_BITS).checked_sub(1)?)?.slots.get(key % CHUNK)?.value()
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        if key < self.first.slots.len() { self.first.slots[key].value_mut() } else { self.get_other_mut(key) }
    }

    #[inline(never)]
    fn get_other_mut(&mut self, key: usize) -> Option<&mut T> {
        self.others.get_mut((key >> CHUNK_BITS).checked_sub(1)?)?.slots.get_mut(key % CHUNK)?.value_mut()
    }

    pub(crate) fn contains(&self, key: usize) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(feature = "unstable")]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// No number is as large as this.
    pub(crate) fn end(&self) -> usize {
        match self.others.len() {
            0 => self.first.slots.capacity().min(CHUNK),
            others => (others + 1) << CHUNK_BITS,
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk<T>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// All values, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.chunks().enumerate().flat_map(|(number, chunk)| {
            let slots = chunk.slots.iter().enumerate();
            slots.filter_map(move |(place, slot)| Some((number << CHUNK_BITS | place, slot.value()?)))
        })
    }
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Chunk { slots: Vec::new(), len: 0, free: 0, position: 0, next_unused: None }
    }
}

/// What a slab does, but inlined: a value is made where it stays, and each copy on the way there would have to wait for what
/// was just written.
impl<T> Chunk<T> {
    #[inline(always)]
    fn insert(&mut self, value: T) -> usize {
        let place = self.free as usize;
        self.len += 1;
        match self.slots.get_mut(place) {
            Some(slot) => {
                let Slot::Free { next } = *slot else { unreachable!("a free slot has no value") };
                self.free = next;
                *slot = Slot::Value(value);
            }
            None => self.grow(value),
        }
        place
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, value: T) {
        self.slots.push(Slot::Value(value));
        self.free += 1;
    }

    #[inline(always)]
    fn remove(&mut self, place: usize) -> T {
        let slot = std::mem::replace(&mut self.slots[place], Slot::Free { next: self.free });
        let Slot::Value(value) = slot else { invalid_key() };
        self.free = to_u32(place);
        self.len -= 1;
        value
    }
}

impl<T> Slot<T> {
    #[inline(always)]
    fn value(&self) -> Option<&T> {
        match self {
            Slot::Value(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    #[inline(always)]
    fn value_mut(&mut self) -> Option<&mut T> {
        match self {
            Slot::Value(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }
}

/// The values under their numbers.
impl<T: fmt::Debug> fmt::Debug for Chunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, key: usize) -> &T {
        match self.get(key) {
            Some(value) => value,
            None => invalid_key(),
        }
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    #[inline(always)]
    fn index_mut(&mut self, key: usize) -> &mut T {
        match self.get_mut(key) {
            Some(value) => value,
            None => invalid_key(),
        }
    }
}

#[cold]
#[inline(never)]
fn invalid_key() -> ! {
    panic!("invalid key")
}

#[inline(always)]
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 chunks")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check<T>(chunks: &Chunks<T>) {
        let has_memory = |chunk: &Chunk<T>| chunk.slots.capacity() > 0;
        for (number, chunk) in chunks.chunks().enumerate() {
            let is_open = chunks.open.get(chunk.position as usize).is_some_and(|open| *open as usize == number);
            assert_eq!(is_open, has_memory(chunk) && (chunk.len as usize) < CHUNK, "{number}");
            let mut unused =
                std::iter::successors(chunks.unused, |unused| chunks.chunks().nth(*unused as usize)?.next_unused);
            assert_eq!(unused.any(|unused| unused as usize == number), !has_memory(chunk), "{number}");
        }
        assert_eq!(chunks.open.len(), chunks.chunks().filter(|c| has_memory(c) && (c.len as usize) < CHUNK).count());
        let empty = chunks.chunks().filter(|chunk| has_memory(chunk) && chunk.len == 0).count();
        assert_eq!(empty, chunks.empty);
        assert!(empty <= EMPTY_KEPT, "{empty} empty chunks keep their memory");
    }

    #[test]
    fn values_are_found_as_in_a_map_and_memory_is_returned_with_them() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut chunks = Chunks::default();
        let mut model = BTreeMap::new();
        let mut next = 0_u32;
        for phase in 0..12 {
            // Up to ten chunks and down to a few values.
            let target = if phase % 2 == 0 { random.usize(1..10 * CHUNK) } else { random.usize(0..20) };
            while model.len() != target {
                if model.len() < target {
                    next += 1;
                    let key = chunks.insert(next);
                    assert!(key < chunks.end());
                    assert_eq!(model.insert(key, next), None, "a number is given once");
                } else {
                    let from = random.usize(0..chunks.end());
                    let near = model.range(from..).next().or_else(|| model.iter().next_back());
                    let key = *near.expect("there is one").0;
                    assert_eq!(Some(chunks.remove(key)), model.remove(&key));
                    assert_eq!(chunks.get(key), None);
                    assert!(chunks.get_mut(key).is_none() && !chunks.contains(key));
                }
            }
            check(&chunks);
            assert_eq!((chunks.len(), chunks.is_empty()), (model.len(), model.is_empty()));
            assert!(chunks.iter().eq(model.iter().map(|(key, value)| (*key, value))));
            for (key, value) in &model {
                assert_eq!((chunks.get(*key), chunks[*key]), (Some(value), *value));
                assert!(chunks.contains(*key));
                chunks[*key] += 1;
                *chunks.get_mut(*key).expect("it is there") -= 1;
                assert_eq!(chunks[*key], *value);
            }
            let with_memory = chunks.chunks().filter(|chunk| chunk.slots.capacity() > 0).count();
            assert!(
                with_memory <= target.div_ceil(CHUNK) + 20.min(target) + EMPTY_KEPT,
                "{with_memory} chunks for {target} values"
            );
        }
    }

    #[test]
    fn one_value_at_the_border_of_a_chunk_is_inserted_and_removed_without_an_allocation() {
        let mut chunks = Chunks::default();
        (0..CHUNK).for_each(|value| assert_eq!(chunks.insert(value), value));
        let key = chunks.insert(0);
        assert_eq!(key, CHUNK);
        let memory = chunks.others[0].slots.capacity();
        for _ in 0..3 {
            chunks.remove(key);
            assert_eq!(chunks.others[0].slots.capacity(), memory);
            assert_eq!(chunks.insert(0), key);
        }
        check(&chunks);
    }

    #[test]
    fn the_first_chunk_grows_as_it_is_used_and_the_others_have_all_of_their_memory_at_once() {
        let mut chunks = Chunks::default();
        chunks.insert(0);
        assert!(chunks.first.slots.capacity() < CHUNK);
        (0..CHUNK).for_each(|value| _ = chunks.insert(value));
        assert_eq!(chunks.others[0].slots.capacity(), CHUNK);
    }

    #[test]
    #[should_panic(expected = "invalid key")]
    fn a_value_can_be_removed_only_once() {
        let mut chunks = Chunks::default();
        let key = chunks.insert('x');
        chunks.remove(key);
        chunks.remove(key);
    }
}
