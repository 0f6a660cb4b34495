//! The lock engine: who gets which lock, and when. No IO and no clock: requests and the time go in, replies come out.

pub mod deadline;
mod index;
mod listing;
mod place;
mod session;
mod stats;
mod table;

use self::deadline::{Deadlines, Nanos};
use self::place::{List, PlaceKey, Rare, Standing};
use self::session::{Session, Sessions};
use self::table::{LockKey, Table};
use crate::slots::Key;
use crate::wire::Id;
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, QUEUE_PEERS_MAX, Reason, Reply};
use crate::wire::request::{Lock, Operation};

pub use self::session::SessionTag;
pub use self::stats::Stats;

/// Names a session.
pub type SessionKey = Key<SessionTag>;

/// Keeps keys of connections apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionTag {}

/// Names a connection. The engine only hands it back with the replies.
pub type ConnectionKey = Key<ConnectionTag>;

/// Where replies go.
pub trait Replies {
    /// Takes one reply for a connection. It may be one that is about to end, and then the reply is dropped.
    fn push(&mut self, to: ConnectionKey, reply: &Reply<'_>);
}

/// The limits that the engine keeps.
#[derive(Clone, Copy, Debug)]
pub struct EngineLimits {
    /// Locks that one session may hold and wait for together.
    pub session_locks_max: usize,
    /// Sessions that may wait for one lock.
    pub lock_waits_max: usize,
    /// The largest listing, in bytes.
    pub reply_bytes_max: usize,
}

/// All locks, all sessions, and what is due when.
#[derive(Debug)]
pub struct Engine {
    limits: EngineLimits,
    table: Table,
    sessions: Sessions,
    deadlines: Deadlines<Due>,
    stats: Stats,
    /// Kept between requests, so that a reply with a queue allocates nothing.
    queue: Vec<Peer>,
}

/// What a deadline is of.
#[derive(Clone, Copy, Debug)]
enum Due {
    Wait(PlaceKey),
}

impl Engine {
    /// An engine in which every lock is free.
    pub fn new(limits: EngineLimits) -> Self {
        Engine {
            limits,
            table: Table::default(),
            sessions: Sessions::default(),
            deadlines: Deadlines::default(),
            stats: Stats::default(),
            queue: Vec::new(),
        }
    }

    /// Begins a session.
    pub fn connect(&mut self, connection: ConnectionKey, peer: Peer) -> SessionKey {
        self.sessions.insert(Session { connection, peer, client: None, places: List::default() })
    }

    /// What listings show for the session beside the connection's name.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn set_client(&mut self, session: SessionKey, client: &str) {
        self.sessions.get_mut(session).client = (!client.is_empty()).then(|| client.into());
    }

    /// Carries out one request. Its id comes back with every reply to it.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn request(
        &mut self,
        session: SessionKey,
        operation: &Operation<'_>,
        id: Option<Id<&str>>,
        now: Nanos,
        replies: &mut impl Replies,
    ) {
        let connection = self.sessions.get(session).connection;
        let mut answer = |outcome| replies.push(connection, &Reply { id, outcome });
        match operation {
            Operation::Lock(lock) => self.lock(session, lock, id, now, replies),
            Operation::Unlock { name } => self.unlock(session, name.as_str(), id, now, replies),
            Operation::Reset => {
                self.leave_all(session, now, replies);
                replies.push(connection, &Reply { id, outcome: Outcome::ResetSucceeded });
            }
            Operation::Locks => answer(listing::outcome(&self.list_locks(), Outcome::Locks)),
            Operation::LocksPage(page) => {
                let page = self.list_page(page, now);
                answer(listing::outcome(&page, |(value, next)| Outcome::LocksPage { value, next: *next }));
            }
            Operation::Connections => answer(listing::outcome(&self.list_connections(), Outcome::Connections)),
            Operation::MyLocks => answer(listing::outcome(&self.list_locks_of(session), Outcome::MyLocks)),
            Operation::KeepAlive if id.is_some() => answer(Outcome::KeptAlive),
            Operation::KeepAlive => {}
            Operation::Ping => answer(Outcome::Pong),
        }
    }

    /// Ends a session: its locks pass on, its waits end unanswered.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn disconnect(&mut self, session: SessionKey, now: Nanos, replies: &mut impl Replies) {
        while let Some(place) = self.sessions.get(session).places.first() {
            self.leave(place, now, replies);
        }
        self.sessions.remove(session);
    }

    /// Carries out the next deadline, if there is one at or before `now`. Says whether there was.
    pub fn expire_next(&mut self, now: Nanos, replies: &mut impl Replies) -> bool {
        match self.deadlines.pop_due(now) {
            Some(Due::Wait(place)) => {
                // It is no longer armed, so leaving must not cancel it.
                self.table.place_mut(place).deadline = None;
                self.time_out(place, now, replies);
                true
            }
            None => false,
        }
    }

    /// When [`Engine::expire_next`] has something to do next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.deadlines.next()
    }

    /// Tells those who wait with an id that their wait ends with the server. Nothing else changes.
    pub fn announce_shutdown(&self, replies: &mut impl Replies) {
        for (_, place) in self.table.places().iter() {
            if let (Standing::Waiting, Some(rare)) = (place.standing, &place.rare) {
                let outcome = Outcome::Error {
                    reason: Reason::ShuttingDown,
                    message: "the server shuts down".into(),
                    name: Some(self.table.name(place.lock)),
                };
                let to = self.sessions.get(place.session).connection;
                replies.push(to, &Reply { id: Some(rare.id.as_ref()), outcome });
            }
        }
    }

    /// What was done so far, and what there is now.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn lock(
        &mut self,
        session: SessionKey,
        request: &Lock<'_>,
        id: Option<Id<&str>>,
        now: Nanos,
        replies: &mut impl Replies,
    ) {
        let name = request.name.as_str();
        let hash = self.table.hash(name);
        let lock = self.table.find(hash, name);
        let place = lock.and_then(|lock| self.table.place_of(lock, session));
        let outcome = match (lock, place) {
            (Some(lock), Some(place)) => match self.table.place(place).standing {
                Standing::Holding => Outcome::AlreadyAcquired { name },
                Standing::Waiting if id.is_some() => {
                    refusal(Reason::AlreadyQueued, "the connection waits for this lock already", name)
                }
                Standing::Waiting => {
                    debug_assert_eq!(self.table.place(place).lock, lock, "the place is on the lock");
                    return self.join_wait(place, request.timeout_ns, now, replies);
                }
            },
            _ if self.sessions.get(session).places.len() >= self.limits.session_locks_max => {
                refusal(Reason::TooManyLocks, "the connection holds and waits for as many locks as it may", name)
            }
            (None, _) => {
                let lock = self.table.add(hash, name);
                self.acquire(lock, session, now);
                Outcome::Acquired { name }
            }
            (Some(lock), None) => match self.verdict(lock, request) {
                Verdict::QueueMaxed => {
                    self.stats.on_queue_maxed();
                    self.read_queue(lock);
                    Outcome::QueueMaxed { name, queue: &self.queue }
                }
                Verdict::TimedOut => {
                    self.stats.on_timeout();
                    self.read_queue(lock);
                    Outcome::TimedOut { name, queue: &self.queue }
                }
                Verdict::TooManyWaits => refusal(Reason::TooManyWaits, "as many wait for this lock as may", name),
                Verdict::Wait => return self.wait(lock, session, request.timeout_ns, id, now),
            },
        };
        let connection = self.sessions.get(session).connection;
        replies.push(connection, &Reply { id, outcome });
    }

    /// What becomes of a request for a lock that is not free, from a session that is not on it.
    fn verdict(&self, lock: LockKey, request: &Lock<'_>) -> Verdict {
        let waiters = self.table.waiters(lock);
        let places = self.table.places_on(lock);
        if request.queue_max.is_some_and(|queue_max| places as u64 >= queue_max) {
            Verdict::QueueMaxed
        } else if request.timeout_ns == Some(0) {
            Verdict::TimedOut
        } else if waiters >= self.limits.lock_waits_max {
            Verdict::TooManyWaits
        } else {
            Verdict::Wait
        }
    }

    fn acquire(&mut self, lock: LockKey, session: SessionKey, now: Nanos) {
        let of_session = &mut self.sessions.get_mut(session).places;
        self.table.join(lock, session, of_session, Standing::Holding, now);
        self.stats.on_acquire();
    }

    fn wait(
        &mut self,
        lock: LockKey,
        session: SessionKey,
        timeout_ns: Option<Nanos>,
        id: Option<Id<&str>>,
        now: Nanos,
    ) {
        let of_session = &mut self.sessions.get_mut(session).places;
        let key = self.table.join(lock, session, of_session, Standing::Waiting, now);
        self.stats.on_wait();
        let place = self.table.place_mut(key);
        place.deadline = timeout_ns.map(|timeout| self.deadlines.arm(now.saturating_add(timeout), Due::Wait(key)));
        place.rare = id.map(|id| Box::new(Rare { id: owned(id) }));
    }

    /// A second request for a lock that the session waits for: one answer for both. The first timeout that comes counts.
    fn join_wait(&mut self, key: PlaceKey, timeout_ns: Option<Nanos>, now: Nanos, replies: &mut impl Replies) {
        let place = self.table.place_mut(key);
        match (place.deadline, timeout_ns) {
            (Some(_), _) | (None, None) => {}
            (None, Some(0)) => self.time_out(key, now, replies),
            (None, Some(timeout)) => {
                place.deadline = Some(self.deadlines.arm(now.saturating_add(timeout), Due::Wait(key)));
            }
        }
    }

    fn unlock(
        &mut self,
        session: SessionKey,
        name: &str,
        id: Option<Id<&str>>,
        now: Nanos,
        replies: &mut impl Replies,
    ) {
        let outcome = match self.place_named(session, name) {
            Some(place) => {
                // The next holder is granted before the releaser is answered: that answer may overflow the releaser's
                // output and end its connection, and the waiter's turn must not hang on that.
                self.cancel_or_release(place, now, replies);
                Outcome::Released { name }
            }
            None => Outcome::ReleaseFailed { name },
        };
        let connection = self.sessions.get(session).connection;
        replies.push(connection, &Reply { id, outcome });
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

    fn leave_all(&mut self, session: SessionKey, now: Nanos, replies: &mut impl Replies) {
        while let Some(place) = self.sessions.get(session).places.first() {
            self.cancel_or_release(place, now, replies);
        }
    }

    /// The session itself gives up a place. A wait that had an id is told so.
    fn cancel_or_release(&mut self, key: PlaceKey, now: Nanos, replies: &mut impl Replies) {
        let place = self.table.place(key);
        if let (Standing::Waiting, Some(rare)) = (place.standing, &place.rare) {
            let outcome = Outcome::Cancelled { name: self.table.name(place.lock) };
            let to = self.sessions.get(place.session).connection;
            replies.push(to, &Reply { id: Some(rare.id.as_ref()), outcome });
        }
        self.leave(key, now, replies);
    }

    /// A wait ends without the lock.
    fn time_out(&mut self, key: PlaceKey, now: Nanos, replies: &mut impl Replies) {
        let (lock, session, rare) = self.take_off(key);
        self.stats.on_timeout();
        self.read_queue(lock);
        let outcome = Outcome::TimedOut { name: self.table.name(lock), queue: &self.queue };
        let id = rare.as_ref().map(|rare| rare.id.as_ref());
        replies.push(self.sessions.get(session).connection, &Reply { id, outcome });
        self.settle(lock, now, replies);
    }

    fn leave(&mut self, key: PlaceKey, now: Nanos, replies: &mut impl Replies) {
        let (lock, ..) = self.take_off(key);
        self.settle(lock, now, replies);
    }

    /// Removes a place and its deadline. Whoever calls this settles the lock.
    fn take_off(&mut self, key: PlaceKey) -> (LockKey, SessionKey, Option<Box<Rare>>) {
        let session = self.table.place(key).session;
        let place = self.table.leave(key, &mut self.sessions.get_mut(session).places);
        if let Some(deadline) = place.deadline {
            self.deadlines.cancel(deadline);
        }
        self.stats.on_leave(place.standing);
        (place.lock, session, place.rare)
    }

    /// After a place has left a lock, for whatever reason: grants the head of the queue for as long as it fits.
    fn settle(&mut self, lock: LockKey, now: Nanos, replies: &mut impl Replies) {
        while let Some(key) = self.table.next_grant(lock) {
            self.table.grant(key, now);
            self.stats.on_grant();
            let place = self.table.place_mut(key);
            let (session, rare) = (place.session, place.rare.take());
            if let Some(deadline) = place.deadline.take() {
                self.deadlines.cancel(deadline);
            }
            let outcome = Outcome::Acquired { name: self.table.name(lock) };
            let id = rare.as_ref().map(|rare| rare.id.as_ref());
            replies.push(self.sessions.get(session).connection, &Reply { id, outcome });
        }
        self.table.remove_if_free(lock);
    }

    /// Reads who is on a lock, as many as a reply shows, into `self.queue`.
    fn read_queue(&mut self, lock: LockKey) {
        let mut queue = std::mem::take(&mut self.queue);
        queue.clear();
        let peers = self.table.on(lock).map(|(_, place)| self.sessions.get(place.session).peer);
        queue.extend(peers.take(QUEUE_PEERS_MAX));
        self.queue = queue;
    }

    /// Checks everything that always holds, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub fn check_all(&self) {
        self.table.check_all();
        self.deadlines.check_all();
        let (mut held, mut waiting, mut timed, mut listed) = (0, 0, 0, 0);
        for (_, place) in self.table.places().iter() {
            match place.standing {
                Standing::Holding => {
                    held += 1;
                    assert!(place.deadline.is_none() && place.rare.is_none(), "only a wait has a timeout and an id");
                }
                Standing::Waiting => waiting += 1,
            }
            timed += usize::from(place.deadline.is_some());
        }
        for (key, session) in self.sessions.iter() {
            assert!(session.places.len() <= self.limits.session_locks_max, "a session keeps to its limit");
            for (_, place) in session.places.iter(self.table.places()) {
                assert_eq!(place.session, key, "a session's list has its own places");
                listed += 1;
            }
        }
        assert_eq!(listed, self.table.places().len(), "every place is in a session's list");
        assert_eq!((held, waiting), (self.stats.held, self.stats.waiting), "the gauges are what there is");
        assert_eq!(timed, self.deadlines.len(), "exactly the waits with a timeout have a deadline");
    }

    /// Whether nothing is left: no session, no lock, no deadline.
    pub fn is_empty(&self) -> bool {
        self.sessions.len() == 0
            && self.table.places().is_empty()
            && self.table.locks().next().is_none()
            && self.deadlines.is_empty()
    }
}

/// What becomes of a request for a lock that others are on.
enum Verdict {
    QueueMaxed,
    TimedOut,
    TooManyWaits,
    Wait,
}

fn refusal<'a>(reason: Reason, message: &'static str, name: &'a str) -> Outcome<'a> {
    Outcome::Error { reason, message: message.into(), name: Some(name) }
}

fn owned(id: Id<&str>) -> Id<Box<str>> {
    match id {
        Id::Number(number) => Id::Number(number),
        Id::Text(text) => Id::Text(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Replies for Nobody {
        fn push(&mut self, _: ConnectionKey, _: &Reply<'_>) {}
    }

    #[test]
    fn an_engine_with_a_session_is_not_empty_although_nothing_is_held() {
        // Tests rely on it to find what is left behind.
        let limits = EngineLimits { session_locks_max: 1, lock_waits_max: 1, reply_bytes_max: 100 };
        let mut engine = Engine::new(limits);
        assert!(engine.is_empty());
        let session = engine.connect(ConnectionKey::from_bits(0), Peer::Unix(0));
        assert!(!engine.is_empty());
        engine.disconnect(session, 0, &mut Nobody);
        assert!(engine.is_empty());
    }
}
