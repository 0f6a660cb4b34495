//! What most locks don't have: shared holders, units, priorities, waits for several locks, closed times.
//!
//! The first waiters of such a lock may wait for nobody on it and not be granted all the same, because their request needs
//! other locks as well, or because the budget of a turn has left them over. These are marked as [`Standing::Ready`], from the
//! first on. All of them are, while one of the lock's waiters waits for several locks, because such a wait is over once each
//! of its places is marked. Otherwise only the first must be: there may be any number of them when a lock becomes free, so
//! the others are marked when somebody asks for them.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use super::deadline::DeadlineKey;
use super::fit::Kind;
use super::list::{List, OfAsker};
use super::place::{Place, PlaceKey, Standing, at, at_mut};
use super::table::{LockKey, Table};
use crate::wire::request::PRIORITY_MAX;

/// The key of a lock's [`Special`], while the lock has an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpecialKey(NonZeroU32);

impl SpecialKey {
    fn new(number: usize) -> Self {
        let number = u32::try_from(number + 1).expect("fewer than 2^32 locks");
        SpecialKey(NonZeroU32::new(number).expect("one more than a number is not 0"))
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// What is special about one lock.
#[derive(Debug, Default)]
pub(super) struct Special {
    /// Holders and waiters that are units of a semaphore.
    pub(super) units: u32,
    /// How many units it has, while there are any such.
    pub(super) slots: u32,
    /// Waiters that are part of a wait for several locks.
    pub(super) parts: u32,
    /// The last waiter that is marked as ready.
    pub(super) last_ready: Option<PlaceKey>,
    /// The last waiter of each priority above 0, from 1 on.
    levels: [Option<PlaceKey>; PRIORITY_MAX as usize],
    /// How many waiters there are of each.
    level_counts: [u32; PRIORITY_MAX as usize],
    /// Whether a waiter may come before others of a higher priority, because it was left over when they came.
    is_mixed: bool,
    /// While it is closed: the deadline at which it opens.
    pub(super) closing: Option<DeadlineKey>,
    /// With whom that is counted, if with anybody.
    pub(super) closing_group: Option<u32>,
    /// Whether it is on the list of locks with waiters that are left over for the next turn.
    pub(super) is_put_off: bool,
}

impl Special {
    /// Whether the lock has an entry although nobody is on it.
    pub(super) fn keeps_entry(&self) -> bool {
        self.closing.is_some() || self.is_put_off
    }

    /// The last waiter of this priority, if there is one, and of each higher one. The priority is above 0.
    fn level_ends(&self, priority: u8) -> impl Iterator<Item = PlaceKey> {
        self.levels[usize::from(priority) - 1..].iter().flatten().copied()
    }
}

impl<S: BuildHasher> Table<S> {
    /// What is special about a lock.
    #[inline]
    pub(super) fn special(&self, lock: LockKey) -> Option<&Special> {
        self.entry(lock).special.map(|key| &self.specials[key.index()])
    }

    /// The same, to change it. Adds an empty one if there was none.
    pub(super) fn special_mut(&mut self, lock: LockKey) -> &mut Special {
        let key = match self.entry(lock).special {
            Some(key) => key,
            None => {
                let key = SpecialKey::new(self.specials.insert(Special::default()));
                self.entry_mut(lock).special = Some(key);
                key
            }
        };
        &mut self.specials[key.index()]
    }

    /// Whether a new request would wait for nobody on this lock, if nobody is left over there. `slots` is for units.
    #[inline]
    pub(super) fn is_free_for(&self, lock: LockKey, kind: Kind, slots: u32, priority: u8) -> bool {
        let entry = self.entry(lock);
        let Some(special) = self.special(lock) else {
            // All places are exclusive.
            return entry.holders.is_empty() && entry.waiters.is_empty();
        };
        special.closing.is_none()
            && self.fits_holders(lock, kind, slots)
            && match entry.waiters.last() {
                None => true,
                // A waiter ahead of it waits for somebody, and the new request would have to wait for the same one.
                Some(_) if priority > 0 => special.level_ends(priority).next().is_none(),
                Some(last) => special.last_ready == Some(last) && kind.passes(at(&self.places, last).kind),
            }
    }

    /// Whether a request could hold the lock together with its holders.
    fn fits_holders(&self, lock: LockKey, kind: Kind, slots: u32) -> bool {
        let holders = &self.entry(lock).holders;
        holders.is_empty() || (self.fits_a_holder(lock, kind) && (kind != Kind::Unit || holders.len() < slots as usize))
    }

    /// Whether a request fits the holders. They are all of one kind.
    pub(super) fn fits_a_holder(&self, lock: LockKey, kind: Kind) -> bool {
        self.entry(lock).holders.first().is_none_or(|first| kind.fits(at(&self.places, first).kind))
    }

    /// Adds a waiter with a priority above 0: after the waiters with that priority or a higher one, and after those that are
    /// left over.
    pub(super) fn join_queue(&mut self, place: Place, has_left_over: bool, of_asker: &mut List<OfAsker>) -> PlaceKey {
        let (lock, priority) = (place.lock, place.priority());
        self.special_mut(lock);
        if has_left_over {
            self.look_to_the_end(lock);
        }
        let previous = self.last_ahead(lock, priority, has_left_over);
        let was_empty = self.entry(lock).waiters.is_empty();
        let key = self.join_after(previous, place, of_asker);
        let special = self.special_mut(lock);
        special.levels[usize::from(priority) - 1] = Some(key);
        special.level_counts[usize::from(priority) - 1] += 1;
        special.is_mixed = has_left_over || (special.is_mixed && !was_empty);
        key
    }

    /// The last waiter that stays ahead of a request with such a priority.
    fn last_ahead(&self, lock: LockKey, priority: u8, has_left_over: bool) -> Option<PlaceKey> {
        let special = self.special(lock)?;
        let mut ends = special.level_ends(priority);
        if has_left_over {
            // They come before all others, so a level that ends with one of them has no other.
            let is_left_over = |place: &PlaceKey| at(&self.places, *place).standing == Standing::Ready;
            ends.find(|last| !is_left_over(last)).or(special.last_ready)
        } else {
            ends.next()
        }
    }

    /// How many wait before a waiter that has just joined its queue.
    pub(super) fn position(&self, key: PlaceKey) -> u64 {
        let place = at(&self.places, key);
        let priority = place.priority();
        let Some(special) = self.special(place.lock).filter(|_| priority > 0) else {
            return self.waiters(place.lock) as u64 - 1;
        };
        if special.is_mixed {
            let previous = |key: &PlaceKey| at(&self.places, *key).in_queue.previous();
            return std::iter::successors(Some(key), previous).count() as u64 - 1;
        }
        special.level_counts[usize::from(priority) - 1..].iter().map(|count| u64::from(*count)).sum::<u64>() - 1
    }

    /// How many waiters [`Table::position`] may look at, for a request with a priority above 0.
    pub(super) fn waiters_for_position(&self, lock: LockKey) -> usize {
        if self.special(lock).is_some_and(|special| special.is_mixed || special.is_put_off) {
            self.waiters(lock)
        } else {
            0
        }
    }

    /// Marks the first waiter that is not yet ready as ready, if it waits for nobody on this lock.
    pub(super) fn next_ready(&mut self, lock: LockKey) -> Option<PlaceKey> {
        let special = self.special(lock)?;
        if special.closing.is_some() {
            return None;
        }
        let (last, slots) = (special.last_ready, special.slots);
        let next = match last {
            Some(last) => at(&self.places, last).in_queue.next(),
            None => self.entry(lock).waiters.first(),
        }?;
        let kind = at(&self.places, next).kind;
        // All that are ready are of one kind, or there is one.
        let passes = last.is_none_or(|last| kind.passes(at(&self.places, last).kind));
        if !passes || !self.fits_holders(lock, kind, slots) {
            return None;
        }
        at_mut(&mut self.places, next).standing = Standing::Ready;
        self.special_mut(lock).last_ready = Some(next);
        Some(next)
    }

    /// Counts a unit of a semaphore that is about to be added.
    pub(super) fn count_unit(&mut self, lock: LockKey, slots: u32) {
        let special = self.special_mut(lock);
        special.units += 1;
        special.slots = slots;
    }

    /// Checks again which waiters are ready, after a request got ahead of them. Nobody is granted by that.
    pub(super) fn look_again(&mut self, lock: LockKey) {
        if self.special(lock).is_some_and(|special| special.last_ready.is_some()) {
            self.forget_ready(lock);
            self.look_for_ready(lock);
        }
    }

    /// Counts a part of a wait for several locks that is about to be added.
    pub(super) fn count_part(&mut self, lock: LockKey) {
        self.special_mut(lock).parts += 1;
    }

    /// After a waiter was added: if it waits for nobody, and was not granted only because others are left over, it is left
    /// over too.
    #[inline]
    pub(super) fn join_left_over(&mut self, lock: LockKey) {
        if self.special(lock).is_some_and(|special| special.is_put_off) {
            self.look_for_ready(lock);
        }
    }

    /// Marks all further waiters as ready that wait for nobody on this lock, if any of its waiters waits for several locks.
    pub(super) fn look_for_ready(&mut self, lock: LockKey) {
        if self.has_parts(lock) {
            self.look_to_the_end(lock);
        }
    }

    /// Whether any of a lock's waiters waits for several locks.
    pub(super) fn has_parts(&self, lock: LockKey) -> bool {
        self.special(lock).is_some_and(|special| special.parts > 0)
    }

    /// Marks all further waiters as ready that wait for nobody on this lock.
    fn look_to_the_end(&mut self, lock: LockKey) {
        while self.next_ready(lock).is_some() {}
    }

    /// Marks waiters as ready up to this one, if it is, and takes each that it marks from `looks`. Returns false if these are
    /// used up before it is known whether it is ready.
    pub(super) fn look_up_to(&mut self, key: PlaceKey, looks: &mut usize) -> bool {
        let lock = at(&self.places, key).lock;
        // While somebody waits for several, all are marked.
        let are_some_marked = self.special(lock).is_some_and(|special| special.is_put_off && special.parts == 0);
        while are_some_marked && at(&self.places, key).standing == Standing::Waiting {
            if *looks == 0 {
                return false;
            }
            *looks -= 1;
            if self.next_ready(lock).is_none() {
                break;
            }
        }
        true
    }

    fn forget_ready(&mut self, lock: LockKey) {
        let mut last = self.special_mut(lock).last_ready.take();
        while let Some(key) = last {
            let place = at_mut(&mut self.places, key);
            if place.standing == Standing::Ready {
                place.standing = Standing::Waiting;
            }
            last = place.in_queue.previous();
        }
    }

    /// A waiter becomes a holder.
    #[inline]
    pub(super) fn on_grant(&mut self, lock: LockKey, key: PlaceKey) {
        if self.entry(lock).special.is_some() {
            self.leave_queue(lock, key);
        }
    }

    /// A place is about to be removed.
    #[inline]
    pub(super) fn on_leave(&mut self, lock: LockKey, key: PlaceKey) {
        if self.entry(lock).special.is_some() {
            self.leave_special(lock, key);
        }
    }

    #[inline(never)]
    fn leave_special(&mut self, lock: LockKey, key: PlaceKey) {
        let place = at(&self.places, key);
        if place.kind.is_unit() {
            self.special_mut(lock).units -= 1;
        }
        if !at(&self.places, key).is_holding() {
            self.leave_queue(lock, key);
        }
    }

    fn leave_queue(&mut self, lock: LockKey, key: PlaceKey) {
        let place = at(&self.places, key);
        let (previous, priority) = (place.in_queue.previous(), place.priority());
        let is_of_level = |place: &PlaceKey| at(&self.places, *place).priority() == priority;
        let before_in_level = previous.filter(is_of_level);
        let is_part = place.is_part();
        let special = self.special_mut(lock);
        special.parts -= u32::from(is_part);
        if special.last_ready == Some(key) {
            special.last_ready = previous;
        }
        if priority > 0 {
            special.level_counts[usize::from(priority) - 1] -= 1;
            let level = &mut special.levels[usize::from(priority) - 1];
            if *level == Some(key) {
                *level = before_in_level;
            }
        }
    }

    /// Checks a lock's holders and waiters against the rules above.
    ///
    /// # Panics
    /// If anything contradicts.
    #[cfg(feature = "unstable")]
    pub(super) fn check_special(&self, lock: LockKey) {
        let entry = self.entry(lock);
        let kinds: Vec<Kind> = entry.holders.iter(&self.places).map(|(_, place)| place.kind).collect();
        assert!(kinds.windows(2).all(|pair| pair[0].fits(pair[1])), "holders fit each other");
        let Some(special) = self.special(lock) else {
            assert_eq!(entry.holders.len(), 1, "a free lock is an absent entry, and an exclusive holder is alone");
            let is_plain = |(_, place): (_, &Place)| {
                let extras = place.extras.as_ref();
                place.standing == Standing::Waiting
                    && place.kind == Kind::Exclusive
                    && extras.is_none_or(|extras| extras.bundle.is_none() && extras.priority == 0)
            };
            assert!(entry.waiters.iter(&self.places).all(is_plain), "nothing is special about it");
            return;
        };
        assert!(
            special.keeps_entry() || !kinds.is_empty() || !entry.waiters.is_empty(),
            "a free lock is an absent entry"
        );
        assert!(special.closing.is_none() || kinds.is_empty(), "a closed lock has no holder");
        let units = self.on(lock).filter(|(_, place)| place.kind.is_unit()).count();
        assert_eq!(units, special.units as usize, "units are counted");
        assert!(
            kinds.first() != Some(&Kind::Unit) || kinds.len() <= special.slots as usize,
            "no more units than there are"
        );
        let parts = entry.waiters.iter(&self.places).filter(|(_, place)| place.is_part()).count();
        assert_eq!(parts, special.parts as usize, "parts of waits for several are counted");
        let mut ahead = Vec::new();
        let mut marked = None;
        let (mut is_beginning, mut are_all_marked) = (true, true);
        for (key, place) in entry.waiters.iter(&self.places) {
            let passes = ahead.iter().all(|kind| place.kind.passes(*kind));
            is_beginning &= special.closing.is_none() && passes && self.fits_holders(lock, place.kind, special.slots);
            let is_marked = place.standing == Standing::Ready;
            assert!(is_beginning || !is_marked, "only who waits for nobody is ready");
            if is_beginning {
                assert!(are_all_marked || !is_marked, "whoever is ready comes first");
                are_all_marked &= is_marked;
                marked = if is_marked { Some(key) } else { marked };
                ahead.push(place.kind);
            }
        }
        assert!(parts == 0 || are_all_marked, "where somebody waits for several, whoever waits for nobody is ready");
        let is_left_over = marked.is_some() && special.is_put_off;
        assert!(parts > 0 || ahead.is_empty() || is_left_over, "whoever waits for nobody is left over");
        for (count, level) in special.level_counts.iter().zip(1..) {
            let of_level = entry.waiters.iter(&self.places).filter(|(_, place)| place.priority() == level);
            assert_eq!(*count as usize, of_level.count(), "the waiters of each priority are counted");
        }
        let priorities = entry.waiters.iter(&self.places).map(|(_, place)| place.priority());
        assert!(special.is_mixed || priorities.is_sorted_by(|one, next| one >= next), "higher priorities come first");
        assert_eq!(special.last_ready, marked, "the last that is ready is known");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
    use crate::time::Moment;
    use crate::wire::Id;
    use crate::wire::peer::Peer;
    use crate::wire::reply::Reply;
    use crate::wire::request::{Command, parse};

    struct Nobody;

    impl Replies for Nobody {
        fn push(&mut self, _: ConnectionKey, _: &Reply<'_>) {}
    }

    fn say(engine: &mut Engine, session: SessionKey, line: &str) {
        let request = parse(line.as_bytes()).expect("it is valid");
        let Command::Locks(operation) = &request.command else { panic!("not for the engine: {line}") };
        let owner = request.owner.as_ref().map(Id::as_ref);
        let context = Context { session, id: None, owner: owner.as_ref(), is_verbatim: false, now: Moment::START };
        engine.request(operation, &context, &mut Nobody);
        engine.check_all();
    }

    /// How many are marked as ready, and how many wait.
    fn marked(engine: &Engine) -> (usize, usize) {
        let waits: Vec<Standing> = engine.table.places().iter().map(|(_, place)| place.standing).collect();
        let count = |wanted: Standing| waits.iter().filter(|standing| **standing == wanted).count();
        (count(Standing::Ready), count(Standing::Ready) + count(Standing::Waiting))
    }

    #[test]
    fn of_those_left_over_one_is_marked_until_somebody_asks_for_the_others() {
        let limits = EngineLimits {
            session_locks_max: 1000,
            lock_waits_max: 1000,
            closing_locks_max: 1,
            turn_grants_max: 10,
            turn_walk_max: 1,
            reply_bytes_max: 100,
        };
        let mut engine = Engine::new(limits, TokenBlock::new(1, 1000));
        let session = engine.connect(ConnectionKey::from_bits(0), Peer::Unix(0));
        say(&mut engine, session, r#"{"command":"lock","name":"db"}"#);
        for owner in 0..100 {
            say(&mut engine, session, &format!(r#"{{"command":"lock","name":"db","mode":"shared","owner":{owner}}}"#));
        }
        say(&mut engine, session, r#"{"command":"unlock","name":"db"}"#);
        assert_eq!(marked(&engine), (1, 89));
        engine.begin_turn(Moment::START);
        engine.settle_left_over(Moment::START, &mut Nobody, || false);
        assert_eq!(marked(&engine), (1, 79));
        // One more of them is no reason, but a priority has to come after all of them.
        say(&mut engine, session, r#"{"command":"lock","name":"db","mode":"shared","owner":100}"#);
        assert_eq!(marked(&engine), (1, 80));
        say(&mut engine, session, r#"{"command":"lock","name":"db","priority":3,"owner":101}"#);
        assert_eq!(marked(&engine), (80, 81));
    }
}
