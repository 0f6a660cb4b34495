//! The lock engine: who gets which lock, and when. No IO and no clock: requests and the time go in, replies come out.
//!
//! A request enters through [`Engine::request`]. [`acquire`] judges what becomes of a `lock`; [`release`] is the way out
//! of a lock, whatever the reason, and grants to those who waited. [`table`] has the locks by name, [`sessions`] the
//! clients, [`place`] the record that ties one of each together.

mod acquire;
#[cfg(feature = "unstable")]
mod check;
mod crowd;
pub mod deadline;
mod index;
mod list;
mod listing;
mod place;
mod release;
mod sessions;
mod stats;
mod table;
#[allow(dead_code, reason = "the engine is about to take them")]
mod token;

use std::hash::{BuildHasher, RandomState};

use self::deadline::Deadlines;
use self::list::List;
use self::place::{PlaceKey, Standing};
use self::sessions::{Session, Sessions};
use self::table::Table;
use crate::slots::Key;
use crate::time::Moment;
use crate::wire::Id;
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, Reason, Reply};
use crate::wire::request::Operation;

pub use self::listing::{PAGE_BYTES, PAGE_SLOTS};
pub use self::sessions::SessionTag;
pub use self::stats::Stats;
pub use self::token::{TOKEN_END, TokenBlock};

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

/// What comes with a request, whatever it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who asks.
    pub session: SessionKey,
    /// Comes back with every reply to the request.
    pub id: Option<Id<&'a str>>,
    /// The time of the turn.
    pub now: Moment,
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

/// What one session holds and waits for, in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// What the client calls itself.
    pub client: Option<&'a str>,
    /// Locks that it holds.
    pub holds: usize,
    /// Locks that it waits for.
    pub waits: usize,
}

/// All locks, all sessions, and what is due when. Names are hashed by `S`, with a key of this process unless a caller wants
/// another hash.
#[derive(Debug)]
pub struct Engine<S = RandomState> {
    limits: EngineLimits,
    table: Table<S>,
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
        Engine::with_hasher(limits, RandomState::new())
    }
}

impl<S: BuildHasher> Engine<S> {
    /// An engine in which every lock is free, and that hashes by `hasher`. Names that collide cost a walk past each other,
    /// so it should have a key that clients don't know.
    pub fn with_hasher(limits: EngineLimits, hasher: S) -> Self {
        Engine {
            limits,
            table: Table::new(hasher),
            sessions: Sessions::default(),
            deadlines: Deadlines::default(),
            stats: Stats::default(),
            queue: Vec::new(),
        }
    }

    /// Begins a session.
    pub fn connect(&mut self, connection: ConnectionKey, peer: Peer) -> SessionKey {
        self.sessions.insert(Session { connection, peer, client: None, places: List::default(), waiting: 0 })
    }

    /// What listings show for the session beside the connection's name. An empty text takes it back.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn set_client(&mut self, session: SessionKey, client: &str) {
        self.sessions.get_mut(session).client = (!client.is_empty()).then(|| client.into());
    }

    /// Executes one request.
    ///
    /// # Panics
    /// If the session has ended.
    #[inline]
    pub fn request(&mut self, operation: &Operation<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        match operation {
            Operation::Lock(lock) => self.lock(lock, context, replies),
            Operation::Unlock { name } => self.unlock(name.as_str(), context, replies),
            Operation::Reset => {
                self.leave_all(context, replies);
                self.answer(context, Outcome::ResetSucceeded, replies);
            }
            Operation::Locks => {
                let listing = self.list_locks();
                self.answer(context, listing::outcome(&listing, Outcome::Locks), replies);
            }
            Operation::LocksPage(page) => {
                let page = self.list_page(page, context.now);
                let outcome = listing::outcome(&page, |(value, next)| Outcome::LocksPage { value, next: *next });
                self.answer(context, outcome, replies);
            }
            Operation::Connections => {
                let listing = self.list_connections();
                self.answer(context, listing::outcome(&listing, Outcome::Connections), replies);
            }
            Operation::MyLocks => {
                let listing = self.list_locks_of(context.session);
                self.answer(context, listing::outcome(&listing, Outcome::MyLocks), replies);
            }
            Operation::KeepAlive if context.id.is_some() => self.answer(context, Outcome::KeptAlive, replies),
            Operation::KeepAlive => {}
            Operation::Ping => self.answer(context, Outcome::Pong, replies),
        }
    }

    /// Ends a session: its locks pass on, its waits end unanswered.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn disconnect(&mut self, session: SessionKey, now: Moment, replies: &mut impl Replies) {
        while let Some(place) = self.sessions.get(session).places.first() {
            self.leave(place, now, replies);
        }
        self.sessions.remove(session);
    }

    /// Executes the next deadline, if there is one at or before `due_by`, at the moment `now`. Says whether there was.
    pub fn expire_next(&mut self, due_by: Moment, now: Moment, replies: &mut impl Replies) -> bool {
        match self.deadlines.pop_due(due_by) {
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
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Tells those who wait with an id that their wait ends with the server. Nothing else changes.
    pub fn announce_shutdown(&self, replies: &mut impl Replies) {
        for (_, place) in self.table.places().iter() {
            if let (Standing::Waiting, Some(extras)) = (place.standing, &place.extras) {
                let outcome = refusal(Reason::ShuttingDown, "the server is shutting down", self.table.name(place.lock));
                self.tell(place.session, Some(extras.id.as_ref()), outcome, replies);
            }
        }
    }

    /// What a session holds and waits for.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn summary(&self, session: SessionKey) -> Summary<'_> {
        let Session { client, places, waiting, .. } = self.sessions.get(session);
        Summary { client: client.as_deref(), holds: places.len() - *waiting as usize, waits: *waiting as usize }
    }

    /// The names of all that a session holds and waits for, in the order in which it asked, and whether it holds each.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn locks_of(&self, session: SessionKey) -> impl Iterator<Item = (&str, bool)> {
        let places = self.sessions.get(session).places.iter(self.table.places());
        places.map(|(_, place)| (self.table.name(place.lock), place.standing == Standing::Holding))
    }

    /// What was done so far, and what there is now.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Answers the request that is being executed.
    fn answer(&self, context: &Context<'_>, outcome: Outcome<'_>, replies: &mut impl Replies) {
        self.tell(context.session, context.id, outcome, replies);
    }

    /// The one way out: all that the engine says to a session.
    #[inline]
    fn tell(&self, session: SessionKey, id: Option<Id<&str>>, outcome: Outcome<'_>, replies: &mut impl Replies) {
        replies.push(self.sessions.get(session).connection, &Reply { id, outcome });
    }
}

fn refusal<'a>(reason: Reason, message: &'static str, name: &'a str) -> Outcome<'a> {
    Outcome::Error { reason, message: message.into(), name: Some(name) }
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
        engine.disconnect(session, Moment::START, &mut Nobody);
        assert!(engine.is_empty());
    }
}
