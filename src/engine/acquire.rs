//! The way in: a `lock` is granted, joins the queue, or is refused.

use std::hash::BuildHasher;

use super::place::{PlaceExtras, PlaceKey, Standing};
use super::table::LockKey;
use super::{Context, Due, Engine, Replies, SessionKey, refusal};
use crate::time::{Moment, Span};
use crate::wire::Id;
use crate::wire::reply::{Outcome, Reason, Subject};
use crate::wire::request::Lock;

/// What becomes of a request for a lock that others are on.
enum Verdict {
    QueueMaxed,
    TimedOut,
    TooManyWaits,
    Wait,
}

impl<S: BuildHasher> Engine<S> {
    pub(super) fn lock(&mut self, request: &Lock<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        let session = context.session;
        let name = request.name.as_str();
        let hash = self.table.hash(name);
        let lock = self.table.find(hash, name);
        let place = lock.and_then(|lock| self.table.place_of(lock, session));
        let outcome = match (lock, place) {
            (Some(lock), Some(place)) => match self.table.place(place).standing {
                Standing::Holding => Outcome::AlreadyAcquired { subject: Subject::Lock(name), token: None },
                Standing::Waiting if context.id.is_some() => {
                    refusal(Reason::AlreadyQueued, "the connection already waits for this lock", name)
                }
                Standing::Waiting => {
                    debug_assert_eq!(self.table.place(place).lock, lock, "the place is on the lock");
                    return self.join_wait(place, request.timeout, context.now, replies);
                }
            },
            _ if self.sessions.get(session).places.len() >= self.limits.session_locks_max => {
                refusal(Reason::TooManyLocks, "per-connection lock limit reached", name)
            }
            (None, _) => {
                let lock = self.table.add(hash, name);
                self.hold(lock, session, context.now);
                Outcome::Acquired { subject: Subject::Lock(name), token: None, waited: None }
            }
            (Some(lock), None) => match self.judge(lock, request) {
                Verdict::QueueMaxed => {
                    self.stats.on_queue_maxed();
                    self.read_queue(lock);
                    Outcome::QueueMaxed { name, queue: &self.queue }
                }
                Verdict::TimedOut => {
                    self.stats.on_timeout();
                    self.read_queue(lock);
                    Outcome::TimedOut { subject: Subject::Lock(name), queue: Some(&self.queue) }
                }
                Verdict::TooManyWaits => refusal(Reason::TooManyWaits, "too many waiters for this lock", name),
                Verdict::Wait => return self.wait(lock, request.timeout, context),
            },
        };
        self.answer(context, outcome, replies);
    }

    /// What becomes of a request for a lock that is not free, from a session that is not on it.
    fn judge(&self, lock: LockKey, request: &Lock<'_>) -> Verdict {
        let places = self.table.places_on(lock) as u64;
        if request.queue_max.is_some_and(|queue_max| places >= queue_max) {
            Verdict::QueueMaxed
        } else if request.timeout == Some(Span::ZERO) {
            Verdict::TimedOut
        } else if self.table.waiters(lock) >= self.limits.lock_waits_max {
            Verdict::TooManyWaits
        } else {
            Verdict::Wait
        }
    }

    fn hold(&mut self, lock: LockKey, session: SessionKey, now: Moment) {
        let of_session = &mut self.sessions.get_mut(session).places;
        self.table.join(lock, session, of_session, Standing::Holding, now);
        self.stats.on_acquire();
    }

    fn wait(&mut self, lock: LockKey, timeout: Option<Span>, context: &Context<'_>) {
        let &Context { session, id, now } = context;
        let of_session = self.sessions.get_mut(session);
        of_session.waiting += 1;
        let key = self.table.join(lock, session, &mut of_session.places, Standing::Waiting, now);
        self.stats.on_wait();
        let place = self.table.place_mut(key);
        place.deadline = timeout.map(|timeout| self.deadlines.arm(now.after(timeout), Due::Wait(key)));
        place.extras = id.map(|id| Box::new(PlaceExtras { id: owned(id) }));
    }

    /// A second request for a lock that the session waits for: one answer for both. The first timeout that comes counts.
    fn join_wait(&mut self, key: PlaceKey, timeout: Option<Span>, now: Moment, replies: &mut impl Replies) {
        let place = self.table.place_mut(key);
        match (place.deadline, timeout) {
            (Some(_), _) | (None, None) => {}
            (None, Some(Span::ZERO)) => self.time_out(key, now, replies),
            (None, Some(timeout)) => {
                place.deadline = Some(self.deadlines.arm(now.after(timeout), Due::Wait(key)));
            }
        }
    }
}

fn owned(id: Id<&str>) -> Id<Box<str>> {
    match id {
        Id::Number(number) => Id::Number(number),
        Id::Text(text) => Id::Text(text.into()),
    }
}
