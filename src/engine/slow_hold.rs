//! Holds that others wait for, and that have lasted for long: each is reported once.
//!
//! While somebody waits for a lock, its record in [`super::contention`] has a deadline: when its oldest holder will have
//! held it for too long. A holder that came meanwhile gets a deadline of its own then, so neither a grant nor a release pays
//! for this.

use std::hash::BuildHasher;

use super::place::PlaceKey;
use super::{Due, Engine, Replies};
use crate::time::{Moment, Span};
use crate::wire::listing::PlaceRow;

/// A hold that others wait for, and that has lasted for long.
#[derive(Clone, Copy, Debug)]
pub struct SlowHold<'a> {
    /// The name of the lock.
    pub name: &'a str,
    /// Its holder: the oldest, if there are several.
    pub holder: PlaceRow<'a>,
    /// For how long it has held the lock.
    pub held_for: Span,
    /// How many wait for the lock.
    pub waiters: usize,
}

impl<S: BuildHasher> Engine<S> {
    /// From now on holds that others wait for are reported to [`Replies::slow_hold`] when they have lasted for so long. None:
    /// never. To be set before the first request.
    pub fn set_slow_hold(&mut self, slow_hold: Option<Span>) {
        self.slow_hold = slow_hold;
    }

    /// Somebody has begun to wait.
    #[inline]
    pub(super) fn expect_slow_hold(&mut self, waiter: PlaceKey) {
        if let Some(limit) = self.slow_hold {
            self.arm_slow_hold(waiter, limit);
        }
    }

    #[inline(never)]
    fn arm_slow_hold(&mut self, waiter: PlaceKey, limit: Span) {
        let place = self.table.place(waiter);
        let (number, now) = (place.token, place.since);
        let holder = self.table.entry(place.lock).holders.first();
        let since = holder.map_or(now, |holder| self.table.place(holder).since);
        let deadline = self.table.contentions.deadline_mut(number);
        if deadline.is_none() {
            *deadline = Some(self.deadlines.arm(since.after(limit).max(now), Due::SlowHold(number)));
        }
    }

    /// After a place was taken off or granted: nobody waits for its lock any longer, if it was the last.
    #[inline]
    pub(super) fn forget_slow_hold(&mut self) {
        if let Some(deadline) = self.table.contentions.left_deadline.take() {
            self.deadlines.cancel(deadline);
        }
    }

    /// The deadline of a record has come. It is no longer armed.
    pub(super) fn look_for_slow_hold(&mut self, number: u64, due_by: Moment, now: Moment, replies: &mut impl Replies) {
        let limit = self.slow_hold.expect("only then there is a deadline");
        let lock = self.table.contentions.lock_of(number);
        let mut next_at = now.after(limit);
        if let Some(holder) = self.table.entry(lock).holders.first() {
            let place = self.table.place(holder);
            let slow_at = place.since.after(limit);
            if slow_at > due_by {
                next_at = slow_at;
            } else if place.extras.as_ref().is_none_or(|extras| !extras.is_reported) {
                let holder_row = self.row(place, now);
                let (held_for, waiters) = (now.since(place.since), self.table.waiters(lock));
                replies.slow_hold(&SlowHold { name: self.table.name(lock), holder: holder_row, held_for, waiters });
                let extras = &mut self.table.place_mut(holder).extras;
                extras.get_or_insert_with(|| self.pool.take()).is_reported = true;
            }
        }
        *self.table.contentions.deadline_mut(number) = Some(self.deadlines.arm(next_at, Due::SlowHold(number)));
    }
}
