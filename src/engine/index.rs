//! A hash index: from a 64-bit hash to a number of whoever keeps the values.

use hashbrown::HashTable;

/// Finds numbers by hash. What a number stands for is compared by the caller.
///
/// It is split into 64 tables by the highest bits of the hash. Each grows by itself, and an entry is 8 bytes with its
/// hash in it, so that growth reads nothing else: with a million entries the longest halt is that of moving 16,000.
#[derive(Debug)]
pub(super) struct Index {
    shards: Box<[HashTable<Entry>; SHARDS]>,
}

const SHARDS: usize = 64;
/// A table of this capacity is kept even when it is empty.
const SHARD_KEPT: usize = 64;
/// One with more shrinks with its entries.
const SHARD_LARGE: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The lower half of the hash. The tables see it twice over, as they take bucket and tag from the two ends.
    hash: u32,
    number: u32,
}

impl Entry {
    fn spread(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

impl Default for Index {
    fn default() -> Self {
        Index { shards: Box::new([const { HashTable::new() }; SHARDS]) }
    }
}

impl Index {
    /// The number with this hash for which `matches` holds.
    pub(super) fn find(&self, hash: u64, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let wanted = Entry { hash: lower(hash), number: 0 };
        let shard = &self.shards[shard(hash)];
        shard
            .find(wanted.spread(), |entry| entry.hash == wanted.hash && matches(entry.number))
            .map(|entry| entry.number)
    }

    /// Adds a number that is not in it.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let entry = Entry { hash: lower(hash), number };
        self.shards[shard(hash)].insert_unique(entry.spread(), entry, Entry::spread);
    }

    /// Takes a number out.
    ///
    /// # Panics
    /// If it is not in it: the index and what it is an index of disagree.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let wanted = Entry { hash: lower(hash), number };
        let shard = &mut self.shards[shard(hash)];
        shard
            .find_entry(wanted.spread(), |entry| entry.number == number)
            .expect("the index knows what is removed")
            .remove();
        // A fourth of what it has is enough for long, so this is as rare as growing. A small one is kept until it is empty: a
        // smaller one instead would be new memory, in the way of the old that is given back to the system.
        if shard.is_empty() && shard.capacity() > SHARD_KEPT {
            *shard = HashTable::new();
        } else if shard.capacity() > SHARD_LARGE && shard.len() < shard.capacity() / 8 {
            shard.shrink_to(shard.len() * 2, Entry::spread);
        }
    }

    /// How many numbers are in it.
    #[cfg(feature = "unstable")]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }
}

fn shard(hash: u64) -> usize {
    usize::try_from(hash >> 58).expect("6 bits")
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn lower(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_of_one_hash_are_kept_apart() {
        let mut index = Index::default();
        for number in 0..1000 {
            index.insert(7, number);
        }
        assert_eq!(index.len(), 1000);
        for number in 0..1000 {
            assert_eq!(index.find(7, |found| found == number), Some(number));
            index.remove(7, number);
            assert_eq!(index.find(7, |found| found == number), None);
        }
        assert_eq!(index.len(), 0);
    }

    /// As different as those of a good hash function.
    fn hash(number: u32) -> u64 {
        u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn growth_loses_nothing_and_no_part_of_it_is_large() {
        let mut index = Index::default();
        for number in 0..100_000 {
            index.insert(hash(number), number);
        }
        for number in 0..100_000 {
            assert_eq!(index.find(hash(number), |found| found == number), Some(number));
        }
        // A table moves all that is in it when it grows, and everybody waits.
        assert!(index.shards.iter().all(|shard| shard.len() < 2 * 100_000 / SHARDS));
    }

    #[test]
    fn what_has_another_hash_is_not_looked_at() {
        let mut index = Index::default();
        for number in 0..1_000 {
            index.insert(hash(number), number);
        }
        for number in 0..1_000 {
            let mut looked_at = Vec::new();
            index.find(hash(number), |found| {
                looked_at.push(found);
                true
            });
            assert_eq!(looked_at, [number]);
        }
        assert_eq!(index.find(hash(1_000), |_| true), None);
    }

    #[test]
    fn both_ends_of_what_the_tables_see_differ_with_the_hash() {
        // They take the bucket from the lower end and the tag from the upper one; with either always the same, finding
        // becomes a walk.
        let spread: Vec<u64> = (0..1_000).map(|number| Entry { hash: lower(hash(number)), number }.spread()).collect();
        let different = |end: fn(u64) -> u64| spread.iter().map(|&spread| end(spread)).collect::<HashSet<u64>>().len();
        assert!(different(|spread| spread >> 57) > 100, "of 128");
        assert!(different(|spread| spread & 0xfff) > 800, "of 1,000 or a little less");
    }

    #[test]
    fn what_was_large_once_becomes_small_again_and_loses_nothing() {
        let mut index = Index::default();
        let hash = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let memory = |index: &Index| index.shards.iter().map(HashTable::capacity).sum::<usize>();
        for number in 0..100_000 {
            index.insert(hash(number), number);
        }
        let full = memory(&index);
        for number in 200..100_000 {
            index.remove(hash(number), number);
        }
        assert!(memory(&index) < full / 3, "{} of {full}", memory(&index));
        for number in 0..200 {
            assert_eq!(index.find(hash(number), |found| found == number), Some(number));
            index.remove(hash(number), number);
        }
        assert_eq!(memory(&index), 0);
    }
}
