//! Who is granted after something has ended.
//!
//! When a hold or a wait ends, its lock is settled: every waiter that waits for nobody is granted, in the order of the queue.
//! A grant of one of several locks leaves the queues of the others, so these are settled as well. They go on a list, never
//! into a recursion.
//!
//! One end can free any number of shared waiters, so grants have a budget for each turn. The first grant on each lock that
//! was left is free. Waiters beyond the budget are left over for the next turn: meanwhile they don't time out, and new
//! requests for their locks wait after them.

use std::hash::BuildHasher;

use super::bundle::BundleKey;
use super::place::{PlaceKey, Standing};
use super::table::{After, LockKey};
use super::{Due, Engine, Replies};
use crate::time::Moment;
use crate::wire::reply::{Happening, Outcome, Subject};

/// What is known of the waiters of a lock that are marked as ready already.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    /// None of them can be granted: they wait for other locks.
    Waiting,
    /// Those that can be granted are left over, on all locks that they are to get. When one of them is so again, the others
    /// need not be looked at: they may be very many, and this is done after each end.
    LeftOver,
    Any,
}

/// Grants to those that were left over before there is a look at the clock.
const GRANTS_AT_ONCE: usize = 16;

impl<S: BuildHasher> Engine<S> {
    /// After a place has left a lock, for whatever reason.
    #[inline(always)]
    pub(super) fn settle(&mut self, lock: LockKey, now: Moment, replies: &mut impl Replies) {
        match self.table.after_leave(lock) {
            After::Free => self.table.release(lock),
            After::Next(key) => self.grant_one(key, now, replies),
            After::Held => {}
            After::Special => self.settle_special(lock, now, replies),
        }
    }

    fn settle_special(&mut self, lock: LockKey, now: Moment, replies: &mut impl Replies) {
        // Waiters that were ready before need other locks as well, unless they are left over.
        let is_put_off = self.table.special(lock).is_some_and(|special| special.is_put_off);
        let known = if is_put_off { Known::LeftOver } else { Known::Waiting };
        self.grant_from(known, lock, true, now, replies);
        self.settle_touched(now, replies);
    }

    /// After a holder has handed its lock to a waiter: that was the grant which is not counted.
    pub(super) fn settle_handed_over(&mut self, lock: LockKey, now: Moment, replies: &mut impl Replies) {
        self.grant_from(Known::Waiting, lock, false, now, replies);
        self.settle_touched(now, replies);
    }

    /// Settles several locks that one request has left at once, in order, and then those that the grants have left.
    pub(super) fn settle_together(&mut self, locks: &[LockKey], now: Moment, replies: &mut impl Replies) {
        // Before any grant, because another request for several of these locks may wait for nobody now.
        locks.iter().for_each(|lock| self.table.look_for_ready(*lock));
        for lock in locks {
            self.grant_from(Known::Any, *lock, true, now, replies);
        }
        self.settle_touched(now, replies);
    }

    /// Grants to the waiters that earlier turns have left over, as many as the budget allows, or until `is_over`, which is
    /// asked after each few of them.
    pub fn settle_left_over(&mut self, now: Moment, replies: &mut impl Replies, mut is_over: impl FnMut() -> bool) {
        while !self.put_off.is_empty() && self.grants_left > 0 {
            let later = self.grants_left.saturating_sub(GRANTS_AT_ONCE);
            self.grants_left -= later;
            self.settle_put_off(now, replies);
            self.grants_left += later;
            if is_over() {
                // Or whoever leaves such a lock in this turn would have them all granted.
                self.grants_left = 0;
            }
        }
    }

    /// Continues where the last budget ended, in the order of the locks.
    fn settle_put_off(&mut self, now: Moment, replies: &mut impl Replies) {
        let mut locks = std::mem::take(&mut self.put_off);
        while self.grants_left > 0
            && let Some(lock) = locks.pop_front()
        {
            self.table.special_mut(lock).is_put_off = false;
            self.grant_from(Known::LeftOver, lock, false, now, replies);
            self.settle_touched(now, replies);
            if self.put_off.contains(&lock) {
                // The budget is used up. The next one continues with this lock.
                self.put_off.retain(|other| *other != lock);
                locks.push_front(lock);
            }
        }
        locks.append(&mut self.put_off);
        self.put_off = locks;
    }

    /// Settles the locks that grants have left. This can lead to further grants that leave further locks.
    fn settle_touched(&mut self, now: Moment, replies: &mut impl Replies) {
        while let Some(lock) = self.touched.pop_front() {
            // It may have been on the list twice, and be gone.
            if self.table.contains(lock) {
                self.grant_from(Known::Any, lock, false, now, replies);
            }
        }
    }

    /// Grants the waiters of a lock that wait for nobody: those already marked as ready, then those that become ready.
    /// `is_free`: the first grant is not counted.
    fn grant_from(&mut self, marked: Known, lock: LockKey, mut is_free: bool, now: Moment, replies: &mut impl Replies) {
        let mut next = if marked == Known::Waiting { None } else { self.table.entry(lock).waiters.first() };
        loop {
            let known = next.filter(|key| self.table.place(*key).standing == Standing::Ready);
            let Some(key) = known.or_else(|| self.table.next_ready(lock)) else { break };
            next = known.and_then(|key| self.table.place(key).in_queue.next());
            if !self.is_grantable(key) {
                continue;
            }
            if std::mem::take(&mut is_free) || self.spend_grant() {
                self.grant(key, now, replies);
                continue;
            }
            self.leave_over(key);
            if !self.table.has_parts(lock) {
                // All others who wait for nobody are left over with it.
                break;
            }
            if marked == Known::LeftOver {
                next = None;
            }
        }
        self.table.release_if_free(lock);
    }

    /// Takes one grant out of the budget, if there is one left.
    fn spend_grant(&mut self) -> bool {
        let has_one = self.grants_left > 0;
        self.grants_left -= usize::from(has_one);
        has_one
    }

    /// Whether a place that is ready on its lock can be granted: a request for all of several locks needs every place ready.
    fn is_grantable(&self, key: PlaceKey) -> bool {
        let Some(bundle) = self.bundle_of(key) else { return true };
        let bundle = self.bundle(bundle);
        let is_ready = |key: &PlaceKey| self.table.place(*key).standing == Standing::Ready;
        bundle.is_any || bundle.places.iter().all(is_ready)
    }

    /// Whether a wait was not granted only because of the budget. None: the turn has looked at the most places that it may
    /// look at, so a later one will know.
    pub(super) fn is_left_over(&mut self, key: PlaceKey) -> Option<bool> {
        self.table.look_up_to(key, &mut self.looks_left).then(|| self.is_known_left_over(key))
    }

    /// The same of a place that is marked if it waits for nobody on its lock.
    pub(super) fn is_known_left_over(&self, key: PlaceKey) -> bool {
        self.table.place(key).standing == Standing::Ready && self.is_grantable(key)
    }

    /// Whether a wait for several was not granted only because of the budget.
    pub(super) fn is_bundle_left_over(&self, key: BundleKey) -> bool {
        self.bundle(key).places.iter().any(|place| self.is_known_left_over(*place))
    }

    /// Whether somebody on a lock is left over.
    #[inline]
    pub(super) fn has_left_over(&self, lock: LockKey) -> bool {
        if !self.table.special(lock).is_some_and(|special| special.is_put_off) {
            return false;
        }
        let waiters = self.table.entry(lock).waiters.iter(self.table.places());
        let mut ready = waiters.take_while(|(_, place)| place.standing == Standing::Ready);
        ready.any(|(key, _)| self.is_grantable(key))
    }

    /// Leaves a waiter over for the next turn, on each lock that it is to get.
    pub(super) fn leave_over(&mut self, key: PlaceKey) {
        match self.bundle_of(key) {
            Some(bundle) if !self.bundle(bundle).is_any => {
                for index in 0..self.bundle(bundle).places.len() {
                    self.put_off(self.table.place(self.bundle(bundle).places[index]).lock);
                }
            }
            _ => self.put_off(self.table.place(key).lock),
        }
    }

    fn put_off(&mut self, lock: LockKey) {
        if !std::mem::replace(&mut self.table.special_mut(lock).is_put_off, true) {
            self.put_off.push_back(lock);
        }
    }

    fn grant(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        match self.bundle_of(key) {
            None => self.grant_one(key, now, replies),
            Some(bundle) => self.grant_many(bundle, key, now, replies),
        }
    }

    pub(super) fn grant_one(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let token = self.tokens.take();
        let since = self.table.place(key).since;
        self.make_holder(key, token, now, replies);
        let place = self.table.place(key);
        let extras = place.extras.as_ref();
        let outcome = Outcome::Acquired {
            subject: Subject::Lock(self.table.name(place.lock)),
            token: place.has_fence.then(|| token.into()),
            waited: extras.and_then(|extras| extras.lease).map(|_| now.since(since)),
        };
        self.tell(place.asker, extras.and_then(|extras| extras.id.get()), outcome, replies);
        self.trim(key);
        self.tell_if_awaited(key, replies);
    }

    /// Grants a request for several locks: all its places, or the one that is ready.
    fn grant_many(&mut self, key: BundleKey, granted: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let token = self.tokens.take();
        let since = self.table.place(granted).since;
        let bundle = self.take_bundle(key);
        for place in &bundle.places {
            if !bundle.is_any || *place == granted {
                self.make_holder(*place, token, now, replies);
            }
        }
        let place = self.table.place(granted);
        let outcome = Outcome::Acquired {
            subject: match bundle.is_any {
                true => Subject::Lock(self.table.name(place.lock)),
                false => Subject::Locks(&bundle.names),
            },
            token: place.has_fence.then(|| token.into()),
            waited: place.extras.as_ref().and_then(|extras| extras.lease).map(|_| now.since(since)),
        };
        self.tell(place.asker, bundle.id.get(), outcome, replies);
        for place in &bundle.places {
            if !bundle.is_any || *place == granted {
                self.trim(*place);
                self.tell_if_awaited(*place, replies);
            } else {
                let place = self.take_off(*place, now);
                self.happen(Happening::Left, place.lock, Some(place.asker), replies);
                self.touched.push_back(place.lock);
                self.give_back(place);
            }
        }
        // Only once all are left, because another request may wait for several of them.
        for index in 0..self.touched.len() {
            if self.table.contains(self.touched[index]) {
                self.table.look_for_ready(self.touched[index]);
            }
        }
        self.keep_bundle(bundle);
    }

    fn make_holder(&mut self, key: PlaceKey, token: u64, now: Moment, replies: &mut impl Replies) {
        let waited = now.since(self.table.place(key).since);
        self.spans.on_grant(waited);
        if !self.prefixes.is_empty() {
            self.prefixes.on_grant(self.table.name(self.table.place(key).lock), waited);
        }
        self.table.grant(key, token, now);
        self.forget_slow_hold();
        self.stats.on_grant();
        let place = self.table.place_mut(key);
        let (lock, asker) = (place.lock, place.asker);
        if let Some(deadline) = place.deadline.take() {
            self.deadlines.cancel(deadline);
        }
        if let Some(extras) = &mut place.extras {
            extras.bundle = None;
            if let Some(lease) = extras.lease {
                place.deadline = Some(self.deadlines.arm_early(now.after(lease), Due::Lease(key)));
            }
        }
        self.askers.on_grant(asker);
        self.happen(Happening::Granted, lock, Some(asker), replies);
    }

    /// Removes what only a waiter needs.
    fn trim(&mut self, key: PlaceKey) {
        let place = self.table.place_mut(key);
        if let Some(extras) = &mut place.extras {
            extras.priority = 0;
            extras.id.clear();
            if !extras.is_of_a_hold()
                && let Some(extras) = place.extras.take()
            {
                self.pool.put(extras);
            }
        }
    }
}
