//! What is due at a moment, and what follows then.

use std::hash::BuildHasher;

use super::bundle::BundleKey;
use super::place::PlaceKey;
use super::table::LockKey;
use super::{Engine, Replies};
use crate::time::Moment;

/// What a deadline is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// A wait times out.
    Wait(PlaceKey),
    /// A wait for several times out.
    WaitForMany(BundleKey),
    /// A lease runs out.
    Lease(PlaceKey),
    /// A closed lock opens.
    Opening(LockKey),
    /// The oldest hold of a lock that is waited for may have lasted for too long: the number of the lock's record.
    SlowHold(u64),
}

impl<S: BuildHasher> Engine<S> {
    /// Executes the next deadline, if there is one at or before `due_by`, at the moment `now`. Says whether there was one that
    /// this turn may execute.
    pub fn expire_next(&mut self, due_by: Moment, now: Moment, replies: &mut impl Replies) -> bool {
        let Some(due) = self.deadlines.next_due(due_by) else { return false };
        let is_left_over = match due {
            Due::Wait(place) => self.is_left_over(place),
            Due::WaitForMany(bundle) => Some(self.is_bundle_left_over(bundle)),
            Due::Lease(_) | Due::Opening(_) | Due::SlowHold(_) => Some(false),
        };
        let Some(is_left_over) = is_left_over else { return false };
        // It is no longer armed then, so what follows must not cancel it.
        self.deadlines.pop_due(due_by);
        match due {
            Due::Wait(place) => {
                self.table.place_mut(place).deadline = None;
                if !is_left_over {
                    self.time_out(place, now, replies);
                }
            }
            Due::WaitForMany(bundle) => {
                self.bundle_mut(bundle).deadline = None;
                if !is_left_over {
                    self.time_out_many(bundle, now, replies);
                }
            }
            Due::Lease(place) => self.expire(place, now, replies),
            Due::Opening(lock) => self.open(lock, now, replies),
            Due::SlowHold(number) => self.look_for_slow_hold(number, due_by, now, replies),
        }
        true
    }

    /// When [`Engine::next_over`] or [`Engine::expire_next`] has something to do next, or a turn is needed to see that time
    /// passes.
    pub fn next_deadline(&self) -> Option<Moment> {
        [self.graces.next_turn(), self.deadlines.next()].into_iter().flatten().min()
    }
}
