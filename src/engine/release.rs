//! The way out: whatever ends a hold or a wait comes through here, and the lock passes on to whoever waits for it.

use std::hash::BuildHasher;

use super::place::{PlaceExtras, PlaceKey, Standing};
use super::table::LockKey;
use super::{Context, Engine, Replies, SessionKey};
use crate::time::Moment;
use crate::wire::reply::{Outcome, Subject};

impl<S: BuildHasher> Engine<S> {
    pub(super) fn unlock(&mut self, name: &str, context: &Context<'_>, replies: &mut impl Replies) {
        let outcome = match self.place_named(context.session, name) {
            Some(place) => {
                // The next holder is granted before the releaser is answered: that answer may overflow the releaser's
                // output and end its connection, and the waiter's turn must not depend on that.
                self.cancel_or_release(place, context.now, replies);
                Outcome::Released { subject: Subject::Lock(name) }
            }
            None => Outcome::ReleaseFailed { subject: Subject::Lock(name) },
        };
        self.answer(context, outcome, replies);
    }

    /// The place of a session on a lock. Most release what they took last, which is found without the hash and the index:
    /// an eighth of what a lock and its unlock cost in here.
    fn place_named(&self, session: SessionKey, name: &str) -> Option<PlaceKey> {
        let last = self.sessions.get(session).places.last();
        last.filter(|last| self.table.is_named(self.table.place(*last).lock, name)).or_else(|| {
            let lock = self.table.find(self.table.hash(name), name)?;
            self.table.place_of(lock, session)
        })
    }

    pub(super) fn leave_all(&mut self, context: &Context<'_>, replies: &mut impl Replies) {
        while let Some(place) = self.sessions.get(context.session).places.first() {
            self.cancel_or_release(place, context.now, replies);
        }
    }

    /// The session itself gives up a place. A wait that had an id is told so.
    fn cancel_or_release(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let place = self.table.place(key);
        if let (Standing::Waiting, Some(extras)) = (place.standing, &place.extras) {
            let outcome = Outcome::Cancelled { subject: Subject::Lock(self.table.name(place.lock)) };
            self.tell(place.session, Some(extras.id.as_ref()), outcome, replies);
        }
        self.leave(key, now, replies);
    }

    /// A wait ends without the lock.
    pub(super) fn time_out(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let (lock, session, extras) = self.take_off(key);
        self.stats.on_timeout();
        self.read_queue(lock);
        let outcome = Outcome::TimedOut { subject: Subject::Lock(self.table.name(lock)), queue: Some(&self.queue) };
        self.tell(session, extras.as_ref().map(|extras| extras.id.as_ref()), outcome, replies);
        self.settle(lock, now, replies);
    }

    pub(super) fn leave(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let (lock, ..) = self.take_off(key);
        self.settle(lock, now, replies);
    }

    /// Removes a place and its deadline. Whoever calls this settles the lock.
    fn take_off(&mut self, key: PlaceKey) -> (LockKey, SessionKey, Option<Box<PlaceExtras>>) {
        let session = self.table.place(key).session;
        let of_session = self.sessions.get_mut(session);
        let place = self.table.leave(key, &mut of_session.places);
        of_session.waiting -= u32::from(place.standing == Standing::Waiting);
        if let Some(deadline) = place.deadline {
            self.deadlines.cancel(deadline);
        }
        self.stats.on_leave(place.standing);
        (place.lock, session, place.extras)
    }

    /// After a place has left a lock, for whatever reason: grants the head of the queue for as long as it fits.
    fn settle(&mut self, lock: LockKey, now: Moment, replies: &mut impl Replies) {
        while let Some(key) = self.table.next_grant(lock) {
            self.table.grant(key, now);
            self.stats.on_grant();
            let place = self.table.place_mut(key);
            let (session, extras) = (place.session, place.extras.take());
            self.sessions.get_mut(session).waiting -= 1;
            if let Some(deadline) = place.deadline.take() {
                self.deadlines.cancel(deadline);
            }
            let outcome = Outcome::Acquired { subject: Subject::Lock(self.table.name(lock)), token: None, waited: None };
            self.tell(session, extras.as_ref().map(|extras| extras.id.as_ref()), outcome, replies);
        }
        self.table.remove_if_free(lock);
    }
}
