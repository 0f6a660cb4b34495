//! A slab in chunks, which returns its memory.

use std::ops::{Index, IndexMut};

use slab::Slab;

/// Values under small numbers, like [`Slab`], for structures that may have a million values now and few later: a slab
/// keeps its memory forever, and this one returns a chunk when its last value is removed. It also grows by a chunk, so
/// that nothing is ever moved. All operations are O(1).
///
/// Invariants: `open` contains exactly the numbers of those chunks that have memory with room in it, each at its
/// `position`; those without memory are a list from `unused` on. At most one chunk with memory is empty, so that
/// inserting and removing one value repeatedly allocates nothing.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Chunk<T>>,
    open: Vec<u32>,
    unused: Option<u32>,
    len: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    values: Slab<T>,
    /// Its position in `open`, if it has room.
    position: u32,
    /// The next without memory, if this has none.
    next_unused: Option<u32>,
}

const CHUNK_BITS: u32 = 12;
/// Values in a chunk. Large enough that allocators return it to the system.
const CHUNK: usize = 1 << CHUNK_BITS;

/// Capacity for this many chunks is allocated at the beginning. A list that grew while much else was allocated would
/// stay after it in memory, and keep the allocator from returning that.
const CHUNKS_EXPECTED: usize = 512;

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Chunks { chunks: Vec::with_capacity(CHUNKS_EXPECTED), open: Vec::new(), unused: None, len: 0 }
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
        let values = &mut self.chunks[number as usize].values;
        let place = values.insert(value);
        if values.len() == CHUNK {
            self.open.pop();
        }
        self.len += 1;
        (number as usize) << CHUNK_BITS | place
    }

    #[cold]
    #[inline(never)]
    fn open_another(&mut self) -> u32 {
        let number = self.unused.unwrap_or_else(|| {
            self.chunks.push(Chunk { values: Slab::new(), position: 0, next_unused: None });
            to_u32(self.chunks.len() - 1)
        });
        let chunk = &mut self.chunks[number as usize];
        self.unused = chunk.next_unused.take();
        // The first grows as it is used: most servers never have more.
        if number > 0 {
            chunk.values.reserve_exact(CHUNK);
        }
        chunk.position = to_u32(self.open.len());
        self.open.push(number);
        number
    }

    /// Takes a value out.
    ///
    /// # Panics
    /// If it is not there.
    #[inline(always)]
    pub(crate) fn remove(&mut self, key: usize) -> T {
        let number = key >> CHUNK_BITS;
        let chunk = &mut self.chunks[number];
        let value = chunk.values.remove(key % CHUNK);
        self.len -= 1;
        let left = chunk.values.len();
        if left == CHUNK - 1 {
            self.open_again(number);
        }
        if left == 0 && self.open.len() > 1 {
            self.give_back(number);
        }
        value
    }

    /// A chunk has room again.
    #[cold]
    #[inline(never)]
    fn open_again(&mut self, number: usize) {
        self.chunks[number].position = to_u32(self.open.len());
        self.open.push(to_u32(number));
    }

    /// Returns the memory of a chunk that is empty.
    #[cold]
    #[inline(never)]
    fn give_back(&mut self, number: usize) {
        let chunk = &mut self.chunks[number];
        let position = chunk.position as usize;
        chunk.values = Slab::new();
        self.open.swap_remove(position);
        if let Some(moved) = self.open.get(position) {
            self.chunks[*moved as usize].position = to_u32(position);
        }
        let next_unused = self.unused.replace(to_u32(number));
        self.chunks[number].next_unused = next_unused;
    }

    pub(crate) fn get(&self, key: usize) -> Option<&T> {
        self.chunks.get(key >> CHUNK_BITS)?.values.get(key % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        self.chunks.get_mut(key >> CHUNK_BITS)?.values.get_mut(key % CHUNK)
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
        match &self.chunks[..] {
            [] => 0,
            [first] => first.values.capacity().min(CHUNK),
            chunks => chunks.len() << CHUNK_BITS,
        }
    }

    /// All values, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let of_chunk = |(number, chunk)| {
            let Chunk { values, .. }: &Chunk<T> = chunk;
            values.iter().map(move |(place, value)| (number << CHUNK_BITS | place, value))
        };
        self.chunks.iter().enumerate().flat_map(of_chunk)
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    fn index(&self, key: usize) -> &T {
        &self.chunks[key >> CHUNK_BITS].values[key % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    fn index_mut(&mut self, key: usize) -> &mut T {
        &mut self.chunks[key >> CHUNK_BITS].values[key % CHUNK]
    }
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 chunks")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check<T>(chunks: &Chunks<T>) {
        let has_memory = |chunk: &Chunk<T>| chunk.values.capacity() > 0;
        for (number, chunk) in chunks.chunks.iter().enumerate() {
            let is_open = chunks.open.get(chunk.position as usize).is_some_and(|open| *open as usize == number);
            assert_eq!(is_open, has_memory(chunk) && chunk.values.len() < CHUNK, "{number}");
            let mut unused = std::iter::successors(chunks.unused, |unused| chunks.chunks[*unused as usize].next_unused);
            assert_eq!(unused.any(|unused| unused as usize == number), !has_memory(chunk), "{number}");
        }
        assert_eq!(chunks.open.len(), chunks.chunks.iter().filter(|c| has_memory(c) && c.values.len() < CHUNK).count());
        let empty = chunks.chunks.iter().filter(|chunk| has_memory(chunk) && chunk.values.is_empty());
        assert!(empty.count() <= 1, "an empty chunk keeps its memory");
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
            let with_memory = chunks.chunks.iter().filter(|chunk| chunk.values.capacity() > 0).count();
            assert!(
                with_memory <= target.div_ceil(CHUNK) + 20.min(target) + 1,
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
        let memory = chunks.chunks[1].values.capacity();
        for _ in 0..3 {
            chunks.remove(key);
            assert_eq!(chunks.chunks[1].values.capacity(), memory);
            assert_eq!(chunks.insert(0), key);
        }
        check(&chunks);
    }

    #[test]
    fn the_first_chunk_grows_as_it_is_used_and_the_others_have_all_of_their_memory_at_once() {
        let mut chunks = Chunks::default();
        chunks.insert(0);
        assert!(chunks.chunks[0].values.capacity() < CHUNK);
        (0..CHUNK).for_each(|value| _ = chunks.insert(value));
        assert_eq!(chunks.chunks[1].values.capacity(), CHUNK);
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
