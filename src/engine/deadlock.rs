//! The walk that looks for a circle of waits.
//!
//! Its nodes are askers. An asker waits for whoever its waiting requests wait for: the holders of each lock, and those ahead
//! in its queue, with which the request does not fit. Requests for one of several locks and for units of a semaphore of more
//! than one don't count: several others could end such a wait.
//!
//! The walk begins with who has just asked, and goes breadth first, so the circle that it finds is a short one. Each waiting
//! asker is visited once, and each place ahead of several is looked at once: the marks below say from where on a queue
//! was looked through before.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::BuildHasher;

use super::Engine;
use super::acquire::Verdict;
use super::askers::Asker;
use super::fit::Kind;
use super::place::PlaceKey;
use super::table::LockKey;
use crate::wire::reply::CYCLE_MAX;

/// What one walk has seen. Kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Each asker that was met, and who waits for it.
    met: HashMap<Asker, Asker>,
    /// Those whose waits are still to be looked at.
    next: VecDeque<Asker>,
    /// Places from which on, towards the head, a queue was looked through: by one that nobody fits, or by a shared one.
    passed: HashMap<PlaceKey, Passed>,
    /// Locks whose holders were looked at, in the same way.
    held: HashMap<LockKey, Passed>,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    ByShared,
    ByAll,
}

/// What came of looking at one place.
enum Step {
    GoOn,
    Found(Asker),
    OutOfBudget,
}

impl<S: BuildHasher> Engine<S> {
    /// Whether the last `new` waits of an asker, which have their places already, close a circle. If so, it is in
    /// `self.cycle`. `ahead_of` is a place that may have got ahead of others.
    pub(super) fn look_for_circle(&mut self, asker: Asker, new: usize, ahead_of: Option<PlaceKey>) -> Verdict {
        // Whoever holds nothing, waits for nothing else, and gets ahead of nobody is waited for by nobody.
        let is_last = ahead_of.is_none_or(|key| self.table.place(key).in_queue.next().is_none());
        if self.askers.party(asker).places.len() == new && is_last {
            return Verdict::Wait;
        }
        let mut walk = std::mem::take(&mut self.walk);
        walk.met.clear();
        walk.next.clear();
        walk.passed.clear();
        walk.held.clear();
        walk.left = self.limits.turn_walk_max;
        let step = self.walk_from(asker, &mut walk);
        self.walk_left = self.walk_left.saturating_sub(self.limits.turn_walk_max - walk.left);
        let verdict = match step {
            Step::GoOn => Verdict::Wait,
            Step::OutOfBudget => Verdict::TooManyToLookAt,
            Step::Found(last) => {
                self.write_cycle(asker, last, &walk);
                Verdict::Deadlock
            }
        };
        self.walk = walk;
        verdict
    }

    fn walk_from(&self, asker: Asker, walk: &mut Walk) -> Step {
        walk.next.push_back(asker);
        while let Some(waiter) = walk.next.pop_front() {
            let party = self.askers.party(waiter);
            if party.waiting == 0 {
                continue;
            }
            for (key, place) in party.places.iter(self.table.places()) {
                // A hold that is passed over costs as much as a place that is looked at.
                if walk.left == 0 {
                    return Step::OutOfBudget;
                }
                walk.left -= 1;
                if place.is_holding() || !self.counts(key) {
                    continue;
                }
                match self.look_ahead(asker, waiter, key, walk) {
                    Step::GoOn => {}
                    step => return step,
                }
            }
        }
        Step::GoOn
    }

    /// Whether a wait is for one lock that only others' ends can give.
    fn counts(&self, key: PlaceKey) -> bool {
        self.table.place(key).kind != Kind::Unit && self.bundle_of(key).is_none_or(|bundle| !self.bundle(bundle).is_any)
    }

    /// Looks at all for whom one place waits.
    fn look_ahead(&self, asker: Asker, waiter: Asker, key: PlaceKey, walk: &mut Walk) -> Step {
        let place = self.table.place(key);
        let (lock, kind) = (place.lock, place.kind);
        let as_what = if kind == Kind::Shared { Passed::ByShared } else { Passed::ByAll };
        let mut ahead = place.in_queue.previous();
        while let Some(key) = ahead {
            if !mark(&mut walk.passed, key, as_what) {
                // From here on others have looked already.
                return Step::GoOn;
            }
            let place = self.table.place(key);
            match self.look_at(asker, waiter, kind, place, walk) {
                Step::GoOn => {}
                step => return step,
            }
            ahead = place.in_queue.previous();
        }
        let holders = &self.table.entry(lock).holders;
        let fits = holders.first().is_some_and(|first| kind.fits(self.table.place(first).kind));
        if fits || !mark(&mut walk.held, lock, as_what) {
            return Step::GoOn;
        }
        for (_, place) in holders.iter(self.table.places()) {
            match self.look_at(asker, waiter, kind, place, walk) {
                Step::GoOn => {}
                step => return step,
            }
        }
        Step::GoOn
    }

    fn look_at(&self, asker: Asker, waiter: Asker, kind: Kind, place: &super::place::Place, walk: &mut Walk) -> Step {
        if walk.left == 0 {
            return Step::OutOfBudget;
        }
        walk.left -= 1;
        if kind.fits(place.kind) {
            return Step::GoOn;
        }
        if place.asker == asker {
            return Step::Found(waiter);
        }
        if let Entry::Vacant(vacant) = walk.met.entry(place.asker) {
            vacant.insert(waiter);
            walk.next.push_back(place.asker);
        }
        Step::GoOn
    }

    /// From the asker to the last, who waits for the asker.
    fn write_cycle(&mut self, asker: Asker, last: Asker, walk: &Walk) {
        let mut parties = vec![last];
        while let Some(before) = parties.last().and_then(|party| walk.met.get(party)) {
            parties.push(*before);
        }
        debug_assert_eq!(parties.last(), Some(&asker), "a walk begins with who asks");
        self.cycle.clear();
        for party in parties.into_iter().rev().take(CYCLE_MAX) {
            self.cycle.push_party(self.askers.session_of(party).peer, self.askers.name(party));
        }
    }
}

/// Notes what was looked through, and says whether it was not before.
fn mark<K: Eq + std::hash::Hash>(marks: &mut HashMap<K, Passed>, key: K, passed: Passed) -> bool {
    match marks.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(passed);
            true
        }
        Entry::Occupied(occupied) if *occupied.get() == Passed::ByAll || passed == Passed::ByShared => false,
        Entry::Occupied(mut occupied) => {
            occupied.insert(passed);
            true
        }
    }
}
