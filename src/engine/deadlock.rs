//! The walk that looks for a circle of waits.
//!
//! Its nodes are askers. An asker waits for everybody that its waiting requests wait for: the holders of each lock, and the
//! waiters ahead in its queue, if the request does not fit them. Requests for any of several locks, and for units of a
//! semaphore that has more than one, don't count, because more than one other asker could end such a wait.
//!
//! The walk is breadth first, so it finds a short circle. It visits each waiting asker once, and looks at each place once,
//! however many wait for it: the marks below tell which part of a queue it has already looked through.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::BuildHasher;

use super::Engine;
use super::askers::Asker;
use super::fit::Kind;
use super::place::{Place, PlaceKey};
use super::table::LockKey;
use crate::wire::reply::CYCLE_MAX;

/// Whether a new wait closes a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Circle {
    None,
    /// It does: the parties are in `Engine::cycle`.
    Closed,
    /// The walk has looked at the most places that it may look at.
    Unknown,
}

/// What one walk has seen. Kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Each asker that was met, and the one that waits for it.
    met: HashMap<Asker, Asker>,
    /// Askers whose waits are still to be looked at.
    next: VecDeque<Asker>,
    /// Places from which a queue was looked through up to its head, and on behalf of which kind of waiter.
    passed: HashMap<PlaceKey, Passed>,
    /// Locks whose holders were looked at, and on behalf of which kind of waiter.
    held: HashMap<LockKey, Passed>,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    ByShared,
    ByAll,
}

/// What a walk looks for: a path from the asker back to the asker.
#[derive(Clone, Copy)]
struct Search {
    asker: Asker,
    by: By,
}

/// How the path goes through one of the new places.
#[derive(Clone, Copy)]
enum By {
    /// It begins with what the asker waits for there. The new places are the last of the asker's; this is their number.
    New(usize),
    /// It ends with somebody that waits for the asker there, and begins with anything that the asker waits for.
    Old { ahead: PlaceKey },
}

impl Search {
    fn is_end(&self, key: PlaceKey) -> bool {
        match self.by {
            By::New(_) => true,
            By::Old { ahead } => key == ahead,
        }
    }
}

impl Walk {
    fn begin(&mut self) {
        self.met.clear();
        self.next.clear();
        self.passed.clear();
        self.held.clear();
    }

    /// Takes one place out of the budget, if there is one left.
    fn spend(&mut self) -> bool {
        let may_go_on = self.left > 0;
        self.left -= usize::from(may_go_on);
        may_go_on
    }
}

/// The result of looking at one place.
enum Step {
    GoOn,
    Found(Asker),
    OutOfBudget,
}

impl<S: BuildHasher> Engine<S> {
    /// Whether the last `new` waits of an asker, whose places are in their queues already, close a circle. If so,
    /// `self.cycle` has its parties. `ahead` is a new place that may have got ahead of others.
    ///
    /// A circle that existed before does not count: it must go through a new place, either from the asker to those that it
    /// waits for there, or from those that wait there for the asker.
    pub(super) fn look_for_circle(&mut self, asker: Asker, new: usize, ahead: Option<PlaceKey>) -> Circle {
        let ahead = ahead.filter(|key| self.table.place(*key).in_queue.next().is_some());
        // Whoever holds nothing, waits for nothing else, and gets ahead of nobody is waited for by nobody.
        if self.askers.party(asker).places.len() == new && ahead.is_none() {
            return Circle::None;
        }
        let mut walk = std::mem::take(&mut self.walk);
        walk.left = self.limits.turn_walk_max;
        let mut step = self.walk_from(Search { asker, by: By::New(new) }, &mut walk);
        if let (Step::GoOn, Some(ahead)) = (&step, ahead) {
            step = self.walk_from(Search { asker, by: By::Old { ahead } }, &mut walk);
        }
        self.walk_left = self.walk_left.saturating_sub(self.limits.turn_walk_max - walk.left);
        let circle = match step {
            Step::GoOn => Circle::None,
            Step::OutOfBudget => Circle::Unknown,
            Step::Found(last) => {
                self.write_cycle(asker, last, &walk);
                Circle::Closed
            }
        };
        self.walk = walk;
        circle
    }

    fn walk_from(&self, search: Search, walk: &mut Walk) -> Step {
        walk.begin();
        let places = &self.askers.party(search.asker).places;
        let old = match search.by {
            By::New(new) => places.len() - new,
            By::Old { .. } => 0,
        };
        match self.look_from(search, search.asker, places.iter(self.table.places()).skip(old), walk) {
            Step::GoOn => {}
            step => return step,
        }
        while let Some(waiter) = walk.next.pop_front() {
            let party = self.askers.party(waiter);
            if party.waiting == 0 {
                continue;
            }
            match self.look_from(search, waiter, party.places.iter(self.table.places()), walk) {
                Step::GoOn => {}
                step => return step,
            }
        }
        Step::GoOn
    }

    /// Looks at everybody that one asker waits for.
    fn look_from<'a>(
        &self,
        search: Search,
        waiter: Asker,
        places: impl Iterator<Item = (PlaceKey, &'a Place)>,
        walk: &mut Walk,
    ) -> Step {
        for (key, place) in places {
            // A hold that is passed over costs as much as a place that is looked at.
            if !walk.spend() {
                return Step::OutOfBudget;
            }
            if place.is_holding() || !self.counts(key) {
                continue;
            }
            match self.look_ahead(search, waiter, key, walk) {
                Step::GoOn => {}
                step => return step,
            }
        }
        Step::GoOn
    }

    /// Whether a wait counts: see the head of this file.
    fn counts(&self, key: PlaceKey) -> bool {
        self.table.place(key).kind != Kind::Unit && self.bundle_of(key).is_none_or(|bundle| !self.bundle(bundle).is_any)
    }

    /// Looks at everybody that one place waits for.
    fn look_ahead(&self, search: Search, waiter: Asker, key: PlaceKey, walk: &mut Walk) -> Step {
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
            match self.look_at(search, (waiter, kind), (key, place), walk) {
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
        for (key, place) in holders.iter(self.table.places()) {
            match self.look_at(search, (waiter, kind), (key, place), walk) {
                Step::GoOn => {}
                step => return step,
            }
        }
        Step::GoOn
    }

    fn look_at(
        &self,
        search: Search,
        (waiter, kind): (Asker, Kind),
        (key, place): (PlaceKey, &Place),
        walk: &mut Walk,
    ) -> Step {
        if !walk.spend() {
            return Step::OutOfBudget;
        }
        if kind.fits(place.kind) {
            return Step::GoOn;
        }
        if place.asker == search.asker {
            return if search.is_end(key) { Step::Found(waiter) } else { Step::GoOn };
        }
        if let Entry::Vacant(vacant) = walk.met.entry(place.asker) {
            vacant.insert(waiter);
            walk.next.push_back(place.asker);
        }
        Step::GoOn
    }

    /// Writes the parties from the asker to `last`, which waits for the asker.
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

/// Sets a mark. Returns whether it is new.
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
