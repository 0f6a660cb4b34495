//! A slab whose keys carry a generation.
//!
//! A plain slab gives the number of a freed slot to the next value at once. A stale copy of the number (in an event of
//! the same poll, a deadline, a lock's holder) would then refer to an unrelated value. Here a key is the slot and the
//! number of the insertion that filled it: a key that outlived its value finds nothing.

mod chunks;

use std::fmt;
use std::marker::PhantomData;

pub(crate) use self::chunks::Chunks;

/// Identifies one value of a [`Slots<Tag, T>`](Slots). `Tag` keeps keys of different kinds apart at compile time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<Tag> {
    slot: u32,
    generation: u32,
    tag: PhantomData<Tag>,
}

impl<Tag> Key<Tag> {
    /// The slot alone: enough for as long as the value is known to be there.
    pub(crate) fn slot(self) -> u32 {
        self.slot
    }

    /// A key under which there never is a value: a slot has this number only with 2^32 values.
    pub(crate) const NONE: Self = Key { slot: u32::MAX, generation: u32::MAX, tag: PhantomData };

    /// The key as one number, for interfaces that carry a number along (a poll's token).
    #[allow(clippy::wrong_self_convention, reason = "a key is Copy, whatever its tag is")]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The inverse of [`Key::to_bits`]. Bits that never were a key find nothing.
    pub fn from_bits(bits: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "splits the two halves")]
        Key { slot: bits as u32, generation: (bits >> 32) as u32, tag: PhantomData }
    }
}

impl<Tag> fmt::Debug for Key<Tag> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Values of type `T` under keys of type [`Key<Tag>`]. All operations are O(1).
///
/// One counter numbers the generations of all slots. It wraps after 2^32 insertions: a key could be mistaken for
/// another only if it is kept while exactly a multiple of that many values come and go.
#[derive(Debug)]
pub struct Slots<Tag, T> {
    slab: Chunks<(u32, T)>,
    next_generation: u32,
    tag: PhantomData<Tag>,
}

impl<Tag, T> Default for Slots<Tag, T> {
    fn default() -> Self {
        Slots { slab: Chunks::default(), next_generation: 0, tag: PhantomData }
    }
}

impl<Tag: Copy, T> Slots<Tag, T> {
    /// Puts a value in and returns its key.
    ///
    /// # Panics
    /// With 2^32 values in it.
    pub fn insert(&mut self, value: T) -> Key<Tag> {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let slot = u32::try_from(self.slab.insert((generation, value))).expect("fewer than 2^32 values");
        Key { slot, generation, tag: PhantomData }
    }

    /// The value, if it is still there.
    pub fn get(&self, key: Key<Tag>) -> Option<&T> {
        match self.slab.get(key.slot as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The value, if it is still there, to change it.
    pub fn get_mut(&mut self, key: Key<Tag>) -> Option<&mut T> {
        match self.slab.get_mut(key.slot as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The value in a slot of which the caller knows that it is filled.
    ///
    /// # Panics
    /// If it is not.
    pub(crate) fn at(&self, slot: u32) -> &T {
        &self.slab[slot as usize].1
    }

    /// The same, to change it.
    ///
    /// # Panics
    /// If the slot is not filled.
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        &mut self.slab[slot as usize].1
    }

    /// Takes the value out, if it is still there.
    pub fn remove(&mut self, key: Key<Tag>) -> Option<T> {
        self.get(key)?;
        Some(self.slab.remove(key.slot as usize).1)
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is no value.
    #[cfg(feature = "unstable")]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// The values in at most `slots` slots from `first` on, and the slot after these if there may be further values.
    pub fn between(&self, first: u32, slots: u32) -> (impl Iterator<Item = (u32, &T)>, Option<u32>) {
        let all = u32::try_from(self.slab.end()).expect("checked on insert");
        let end = first.saturating_add(slots).min(all);
        let value = |slot: u32| self.slab.get(slot as usize).map(|(_, value)| (slot, value));
        ((first..end).filter_map(value), (end < all).then_some(end))
    }

    /// All values, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Key<Tag>, &T)> {
        self.slab.iter().map(|(slot, (generation, value))| {
            let slot = u32::try_from(slot).expect("checked on insert");
            (Key { slot, generation: *generation, tag: PhantomData }, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Tag {}

    #[test]
    fn a_key_that_outlived_its_value_finds_nothing_although_the_slot_is_reused() {
        let mut slots: Slots<Tag, &str> = Slots::default();
        let ann = slots.insert("ann");
        assert_eq!(slots.remove(ann), Some("ann"));
        let bob = slots.insert("bob");
        assert_eq!(bob.slot, ann.slot, "the slot is reused, or this test shows nothing");
        assert_eq!(slots.get(ann), None);
        assert_eq!(slots.get_mut(ann), None);
        assert_eq!(slots.remove(ann), None);
        assert_eq!(slots.get(bob), Some(&"bob"));
        assert_eq!(slots.get_mut(bob), Some(&mut "bob"));
        assert!(slots.iter().eq([(bob, &"bob")]) && !slots.is_empty());
        assert_eq!(slots.remove(bob), Some("bob"));
        assert!(slots.is_empty());
    }

    #[test]
    fn some_slots_are_followed_by_others_up_to_the_last() {
        let mut slots: Slots<Tag, u32> = Slots::default();
        for value in 0..5 {
            slots.insert(value);
        }
        for (first, count, values, next) in
            [(0, 4, 0..4, Some(4)), (0, u32::MAX, 0..5, None), (3, u32::MAX, 3..5, None)]
        {
            let (found, end) = slots.between(first, count);
            assert!(
                found.map(|(slot, value)| (slot, *value)).eq(values.map(|value| (value, value))),
                "{first} {count}"
            );
            assert_eq!(end, next, "{first} {count}");
        }
    }

    #[test]
    fn a_key_survives_the_conversion_to_a_number() {
        let mut slots: Slots<Tag, u8> = Slots::default();
        for value in 0..5 {
            let key = slots.insert(value);
            assert_eq!(slots.get(Key::from_bits(key.to_bits())), Some(&value));
        }
        assert_eq!(slots.get(Key::from_bits(u64::MAX)), None);
    }
}
