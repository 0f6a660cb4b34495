//! Owners and locks that came lately: found without their hash, and not forgotten as soon as nobody needs them.
//!
//! The owners of a connection often take turns. A new record for each lock, with the hash of its owner and an entry in an
//! index, cost a third of the pair. With locks it is the same: one that has just become free is often wanted again at once.

use crate::wire::json::short_word;
use crate::wire::{Id, OwnerRef};

/// How many are recent at most: their numbers are below this, so that such records are all in the first chunks. Otherwise a few
/// that are kept would keep the memory of many.
pub(super) const RECENT: usize = 16_384;

/// Locks with longer names are not recent: nobody should be able to have megabytes of names kept.
pub(super) const RECENT_NAME_BYTES_MAX: usize = 128;

/// Twice as many as may be recent, so that few share one. Not more, and two bytes each: every request looks at one, and only
/// what is small stays in the cache beside thousands of sockets.
const SPOTS: usize = 2 * RECENT;

/// Nothing has this number.
#[cfg(feature = "unstable")]
const NOBODY: u32 = u32::MAX;

/// The number of one owner or lock at each spot. Which spot that is depends on what it is, so that finding one is one step.
/// What is at a spot may be another one.
///
/// A client can choose owners and names that have the same spot. They are found by their hash then, as if none of this existed.
///
/// Each number is one higher here than it is, and nothing is 0: spots that were never used have no memory of the system.
#[derive(Debug)]
pub(super) struct Spots(Box<[u16; SPOTS]>);

impl Default for Spots {
    fn default() -> Self {
        let spots = vec![0; SPOTS].into_boxed_slice();
        Spots(spots.try_into().expect("it has this length"))
    }
}

impl Spots {
    /// What is at a spot. Nothing: a number that nothing has.
    #[inline(always)]
    pub(super) fn get(&self, spot: Spot) -> u32 {
        u32::from(self.0[usize::from(spot.0) % SPOTS]).wrapping_sub(1)
    }

    /// The same, and nothing is there afterwards.
    pub(super) fn take(&mut self, spot: Spot) -> u32 {
        u32::from(std::mem::take(&mut self.0[usize::from(spot.0) % SPOTS])).wrapping_sub(1)
    }

    /// Everything, and where it is.
    #[cfg(feature = "unstable")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (Spot, u32)> {
        let spots = (0..=u16::MAX).take(SPOTS).map(Spot).map(|spot| (spot, self.get(spot)));
        spots.filter(|(_, number)| *number != NOBODY)
    }

    /// Puts something at its spot, if its number is low enough.
    pub(super) fn put(&mut self, spot: Spot, number: u32) {
        if (number as usize) < RECENT {
            self.0[usize::from(spot.0) % SPOTS] = u16::try_from(number + 1).expect("it is below RECENT");
        }
    }
}

/// Where an owner or a lock is, if it is recent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot(u16);

impl Spot {
    /// That of an owner of the session in this slot. Not a hash that nobody can foresee, but a tenth of the cost of one.
    #[inline(always)]
    pub(super) fn of(session: u32, owner: &OwnerRef<'_>) -> Self {
        let name = match owner {
            Id::Number(number) => {
                let [first, rest] = number.words();
                first ^ rest.rotate_left(32)
            }
            Id::Text(text) => mixed(text.as_bytes()),
        };
        Spot::of_word(name ^ u64::from(session).wrapping_mul(ODD))
    }

    /// That of the lock of this name.
    #[inline(always)]
    pub(super) fn of_name(name: &str) -> Self {
        Spot::of_word(mixed(name.as_bytes()))
    }

    #[inline(always)]
    fn of_word(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "these are its highest bits")]
        Spot((word.wrapping_mul(ODD) >> (64 - SPOTS.ilog2())) as u16)
    }
}

/// All bytes of a text in one word.
#[inline(always)]
fn mixed(text: &[u8]) -> u64 {
    // Some of the last are in another word as well, which costs less than a word of the rest.
    let last = text.last_chunk().map_or_else(|| short_word(text), |last| u64::from_le_bytes(*last));
    let mixed = |all: u64, word: &[u8; 8]| (all.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
    text.as_chunks().0.iter().fold(last ^ text.len() as u64, mixed)
}

/// 2^64 divided by the golden ratio: its multiples differ in their highest bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
    use crate::time::Moment;
    use crate::wire::peer::Peer;
    use crate::wire::reply::{Outcome, Reply};
    use crate::wire::request::{LockRef, PlainOperation};

    /// Counts what was granted and released.
    #[derive(Default)]
    struct Counted(usize);

    impl Replies for Counted {
        fn push(&mut self, _: ConnectionKey, reply: &Reply<'_>) {
            assert!(matches!(reply.outcome, Outcome::Acquired { .. } | Outcome::Released { .. }), "{reply:?}");
            self.0 += 1;
        }
    }

    struct Owners {
        engine: Engine,
        replies: Counted,
    }

    impl Owners {
        fn new() -> Self {
            let limits = EngineLimits {
                session_locks_max: 100_000,
                lock_waits_max: 1000,
                closing_locks_max: 1000,
                turn_grants_max: 1000,
                turn_walk_max: 1000,
                reply_bytes_max: 1000,
            };
            Owners { engine: Engine::new(limits, TokenBlock::new(1, 1_000_000)), replies: Counted::default() }
        }

        fn connect(&mut self) -> SessionKey {
            self.engine.connect(ConnectionKey::from_bits(0), Peer::Unix(0))
        }

        /// The owner locks something of its own, or unlocks it.
        fn ask(&mut self, session: SessionKey, owner: u64, is_lock: bool) {
            let name = &format!("{session:?} {owner}");
            let lock = LockRef { name, timeout: None, queue_max: None, has_fence: false, is_plain: true };
            let unlock = PlainOperation::Unlock { name, token: None };
            let owner = Id::Number(owner.into());
            let context = Context { session, id: None, owner: Some(&owner), is_verbatim: false, now: Moment::START };
            let operation = if is_lock { PlainOperation::Lock(lock) } else { unlock };
            let before = self.replies.0;
            self.engine.request_plain(&operation, &context, &mut self.replies);
            assert_eq!(self.replies.0, before + 1);
        }
    }

    #[test]
    fn an_owner_is_at_its_own_spot_if_its_number_is_low_enough() {
        let mut recent = Spots::default();
        let [none, one, last, too_high] = [4, 5, 6, 7].map(Spot);
        let end = u32::try_from(RECENT).unwrap();
        for (spot, number) in [(one, 2), (last, end - 1), (too_high, end)] {
            recent.put(spot, number);
        }
        let all = [none, one, last, too_high].map(|spot| recent.get(spot));
        assert_eq!(all, [NOBODY, 2, end - 1, NOBODY]);
        assert_eq!((recent.take(one), recent.get(one)), (2, NOBODY));
    }

    #[test]
    fn more_owners_than_are_recent_come_and_go() {
        let mut owners = Owners::new();
        let all: Vec<u64> = (0..2 * RECENT as u64).collect();
        for round in 0..3 {
            let session = owners.connect();
            let mut order = all.clone();
            fastrand::Rng::with_seed(round).shuffle(&mut order);
            order.iter().for_each(|owner| owners.ask(session, *owner, true));
            owners.engine.check_all();
            order.iter().rev().for_each(|owner| owners.ask(session, *owner, false));
            owners.engine.check_all();
            // One after the other, so that each is where another one was.
            for owner in &all {
                owners.ask(session, *owner, true);
                owners.ask(session, *owner, false);
            }
            owners.engine.check_all();
            owners.engine.disconnect(session, Moment::START, &mut owners.replies);
            owners.engine.check_all();
            assert!(owners.engine.is_empty());
        }
    }

    #[test]
    fn owners_at_one_spot_are_told_apart() {
        let mut owners = Owners::new();
        let session = owners.connect();
        let of = |owner: &u64| Spot::of(session.slot(), &Id::Number((*owner).into()));
        let same: Vec<u64> = (0..1_000_000).filter(|owner| of(owner) == of(&0)).take(5).collect();
        assert_eq!(same.len(), 5);
        let mut random = fastrand::Rng::with_seed(1);
        let mut holds = [false; 5];
        for _ in 0..1000 {
            let one = random.usize(0..5);
            owners.ask(session, same[one], !holds[one]);
            holds[one] = !holds[one];
            owners.engine.check_all();
            assert_eq!(owners.engine.locks(), holds.iter().filter(|holds| **holds).count());
        }
    }

    #[test]
    fn owners_of_many_sessions_are_at_different_spots() {
        let spots = |owners: &dyn Fn(u32) -> String, is_text: bool| {
            let all = (0..1000).map(|number| {
                let (session, name) = (number / 20, owners(number % 20));
                match name.parse::<u64>() {
                    Ok(number) if !is_text => Spot::of(session, &Id::Number(number.into())),
                    _ => Spot::of(session, &Id::Text(&name)),
                }
            });
            all.collect::<HashSet<_>>().len()
        };
        // Of 1,000 that are thrown at random, 887 different spots are hit on average; here it is a little less.
        for first in [0, 95, 4_711, 100_000, 12_345_678, 99_999_999, 123_456_789_012, 9_007_199_254_740_900] {
            let owner = move |number: u32| (first + u64::from(number)).to_string();
            assert!(spots(&owner, false) > 700, "{first}: {}", spots(&owner, false));
            assert!(spots(&owner, true) > 700, "'{first}': {}", spots(&owner, true));
        }
        let names: [fn(u32) -> String; 3] = [
            |number| format!("player-{number}"),
            |number| format!("{number}-player of the game"),
            |number| format!("{}{number:02}", "x".repeat(62)),
        ];
        for owner in names {
            assert!(spots(&owner, true) > 700, "{}: {}", owner(1), spots(&owner, true));
        }
    }
}
