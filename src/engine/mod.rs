//! The lock engine: who gets which lock, and when. No IO and no clock: requests and the time go in, replies come out.
//!
//! A request enters through [`Engine::request`]; [`caller`] has what comes with it, and where replies go. [`acquire`] judges
//! what becomes of a `lock`, [`bundle`] of one for several; [`fit`] says who may hold together, [`deadlock`] whether a wait
//! would close a circle. [`release`] is the way out of a lock, whatever the reason, and [`settle`] grants to the waiters.
//! [`table`] has the locks by name, [`askers`] who holds and waits, [`place`] the record that ties one of each together;
//! what only some locks and requests have is in [`special`] and [`extras`]. [`watch`] tells others what happens to locks;
//! [`contention`] has those that are waited for.

mod acquire;
mod askers;
mod bundle;
mod caller;
#[cfg(feature = "unstable")]
mod check;
mod closings;
mod contention;
mod crowd;
pub mod deadline;
mod deadlock;
mod due;
mod extras;
mod fit;
mod graces;
mod hint;
mod histogram;
mod hottest;
mod index;
mod kept;
mod lease;
mod list;
mod listing;
mod place;
mod prefixes;
mod recent;
mod release;
mod settle;
mod slow_hold;
mod special;
mod stats;
mod table;
mod token;
mod transfer;
mod watch;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use self::askers::{Asker, Askers, Session};
use self::bundle::{Bundle, Wanted};
use self::closings::Closings;
use self::deadline::Deadlines;
use self::deadlock::Walk;
use self::due::Due;
use self::extras::Pool;
use self::graces::Graces;
use self::prefixes::Prefixes;
use self::stats::Spans;
use self::table::{LockKey, Table};
use self::token::Tokens;
use self::watch::Watches;
use crate::slots::{Chunks, Key};
use crate::time::{Moment, Span};
use crate::wire::IdRef;
use crate::wire::items::Items;
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, Reason, Reply, Subject};
use crate::wire::request::{Operation, PlainOperation};

pub use self::askers::SessionTag;
pub use self::caller::{ConnectionKey, ConnectionTag, Context, EngineLimits, Replies, Summary};
pub use self::histogram::Histogram;
#[cfg(feature = "unstable")]
pub use self::hottest::HotLock;
pub use self::listing::{PAGE_BYTES, PAGE_PLACES, PAGE_SLOTS, in_order_of_names, outcome as listing_outcome};
#[cfg(feature = "unstable")]
pub use self::prefixes::PrefixFigures;
pub use self::slow_hold::SlowHold;
pub use self::stats::Stats;
pub use self::token::{TOKEN_END, TokenBlock};

/// Names a session.
pub type SessionKey = Key<SessionTag>;

/// All locks, all sessions, and what is due when. Names are hashed by `S`, with a key of this process unless a caller wants
/// another hash.
#[derive(Debug)]
pub struct Engine<S = RandomState> {
    limits: EngineLimits,
    table: Table<S>,
    askers: Askers,
    bundles: Chunks<Box<Bundle>>,
    deadlines: Deadlines<Due>,
    graces: Graces,
    tokens: Tokens,
    stats: Stats,
    spans: Spans,
    prefixes: Prefixes,
    watches: Watches,
    /// Longer holds are reported when others wait.
    slow_hold: Option<Span>,
    /// Requests that count towards [`EngineLimits::closing_locks_max`].
    closings: Closings,
    /// Locks with waiters that are left over for the next turn.
    put_off: VecDeque<LockKey>,
    /// What is left of the budget of this turn for grants.
    grants_left: usize,
    /// What is left of the budget of this turn for walks.
    walk_left: usize,
    /// The same for whether waits that are due are left over. Of its own: walks would hold up all that is due.
    looks_left: usize,
    /// What follows is kept between requests, so that they allocate nothing.
    ///
    /// Who is on a lock.
    queue: Vec<Peer>,
    /// The names of a request for several.
    wanted: Vec<Wanted>,
    /// Locks that a wait for several has left.
    left: Vec<LockKey>,
    /// Locks that a grant has left.
    touched: VecDeque<LockKey>,
    walk: Walk,
    cycle: Items,
    names: Items,
    pool: Pool,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare_bundles: Vec<Box<Bundle>>,
}

impl Engine {
    /// An engine in which every lock is free. The tokens of its grants begin with those of the block.
    pub fn new(limits: EngineLimits, tokens: TokenBlock) -> Self {
        Engine::with_hasher(limits, tokens, RandomState::new())
    }
}

impl<S: BuildHasher> Engine<S> {
    /// An engine in which every lock is free, and that hashes by `hasher`. Names that collide cost a walk past each other,
    /// so it should have a key that clients don't know.
    pub fn with_hasher(limits: EngineLimits, tokens: TokenBlock, hasher: S) -> Self {
        Engine {
            table: Table::new(hasher),
            askers: Askers::default(),
            bundles: Chunks::default(),
            deadlines: Deadlines::default(),
            graces: Graces::default(),
            tokens: Tokens::new(tokens),
            stats: Stats::default(),
            spans: Spans::default(),
            prefixes: Prefixes::default(),
            watches: Watches::default(),
            slow_hold: None,
            closings: Closings::default(),
            put_off: VecDeque::new(),
            grants_left: limits.turn_grants_max,
            walk_left: limits.turn_walk_max,
            looks_left: limits.turn_walk_max,
            queue: Vec::new(),
            wanted: Vec::new(),
            left: Vec::new(),
            touched: VecDeque::new(),
            walk: Walk::default(),
            cycle: Items::default(),
            names: Items::default(),
            pool: Pool::default(),
            spare_bundles: Vec::new(),
            limits,
        }
    }

    /// Begins a turn: starts new budgets. If there [is left-over work](Engine::has_left_over_work), that comes before any
    /// request: see [`Engine::settle_left_over`].
    pub fn begin_turn(&mut self, now: Moment) {
        self.grants_left = self.limits.turn_grants_max;
        (self.walk_left, self.looks_left) = (self.limits.turn_walk_max, self.limits.turn_walk_max);
        self.graces.begin_turn(now);
    }

    /// Whether another turn has something to do at once.
    pub fn has_left_over_work(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// Whether a request has to be executed in another turn: the walks for deadlocks of this one have taken long enough.
    pub fn is_for_next_turn(&self, operation: &Operation<'_>) -> bool {
        let refuses_deadlock = match operation {
            Operation::LockWith(_, terms) => terms.refuses_deadlock,
            Operation::LockMany(request) => request.terms.refuses_deadlock,
            _ => false,
        };
        refuses_deadlock && !self.can_walk()
    }

    /// Whether the walks for deadlocks of this turn are not used up.
    #[inline]
    pub fn can_walk(&self) -> bool {
        self.walk_left > 0
    }

    /// Takes a block of tokens for when those that it has are used up.
    ///
    /// # Panics
    /// If they are not higher than all before, or there is a block for later already.
    pub fn add_tokens(&mut self, block: TokenBlock) {
        self.tokens.add(block);
    }

    /// Whether it is time to reserve another block of tokens.
    pub fn wants_tokens(&self) -> bool {
        self.tokens.wants_block()
    }

    /// Grants that there are tokens for.
    pub fn tokens_left(&self) -> u64 {
        self.tokens.left()
    }

    /// Begins a session.
    pub fn connect(&mut self, connection: ConnectionKey, peer: Peer) -> SessionKey {
        self.askers.insert(Session::new(connection, peer))
    }

    /// Counts the session's holds and waits with those of other sessions in a group from now on, of which there are few. None:
    /// with nobody's.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn set_group(&mut self, session: SessionKey, group: Option<u32>) {
        self.askers.set_group(session, group);
    }

    /// The holds and waits that the sessions of a group may have together. It may have more already.
    pub fn set_group_locks_max(&mut self, group: u32, locks_max: usize) {
        self.askers.group(group).locks_max = locks_max;
    }

    /// How many requests of a group there are that may leave their lock closed, with those whose lock is closed.
    pub fn closings_of(&self, group: u32) -> usize {
        self.closings.of(group)
    }

    /// What listings show for the session beside the connection's name. An empty text takes it back.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn set_client(&mut self, session: SessionKey, client: &str) {
        self.askers.session_mut(session).set_client((!client.is_empty()).then(|| client.into()));
    }

    /// Whether the session is told of holds that are taken away.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn set_notices(&mut self, session: SessionKey, wants_notices: bool) {
        self.askers.session_mut(session).set_notices(wants_notices);
    }

    /// Executes one request.
    ///
    /// # Panics
    /// If the session has ended.
    #[inline]
    pub fn request(&mut self, operation: &Operation<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        match operation {
            Operation::Lock(lock) => self.lock(&lock.as_ref(), None, context, replies),
            Operation::Unlock { name, token } => self.unlock(name.as_str(), *token, context, replies),
            _ => self.request_other(operation, context, replies),
        }
    }

    /// Executes one plain request, as [`Engine::request`] does.
    ///
    /// # Panics
    /// If the session has ended.
    #[inline(always)]
    pub fn request_plain(&mut self, operation: &PlainOperation<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        match operation {
            PlainOperation::Lock(lock) => self.lock(lock, None, context, replies),
            PlainOperation::Unlock { name, token } => self.unlock(name, *token, context, replies),
            PlainOperation::KeepAlive => self.request_other(&Operation::KeepAlive, context, replies),
        }
    }

    /// What is asked for less often: apart, so that the compiler keeps what is in front of it small.
    #[inline(never)]
    fn request_other(&mut self, operation: &Operation<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        match operation {
            Operation::Lock(_) | Operation::Unlock { .. } => unreachable!("these are executed above"),
            Operation::LockWith(lock, terms) => self.lock_with(&lock.as_ref(), terms, context, replies),
            Operation::LockMany(request) => self.lock_many(request, context, replies),
            Operation::UnlockMany { names, token } => self.unlock_many(names, *token, context, replies),
            Operation::Renew(request) => self.renew(request, context, replies),
            Operation::Reset => {
                self.leave_all(context, replies);
                self.answer(context, Outcome::ResetSucceeded, replies);
            }
            Operation::Locks => {
                let listing = self.list_locks(&self.sight(context, replies));
                self.answer(context, listing::outcome(&listing, Outcome::Locks), replies);
            }
            Operation::LocksPage(page) => {
                let page = self.list_page(page, context.now, &self.sight(context, replies));
                let outcome = listing::outcome(&page, |(value, next)| Outcome::LocksPage { value, next: *next });
                self.answer(context, outcome, replies);
            }
            Operation::OneLock { name, has_detail } => {
                let listing = self.list_one(name.as_str(), *has_detail, context.now, &self.sight(context, replies));
                let outcome = listing::outcome(&listing, |value| Outcome::LocksPage { value, next: None });
                self.answer(context, outcome, replies);
            }
            Operation::Connections => {
                let sees_all = replies.may_see_all(self.askers.session(context.session).connection);
                let listing = self.list_connections(context.session, sees_all, &self.sight(context, replies));
                self.answer(context, listing::outcome(&listing, Outcome::Connections), replies);
            }
            Operation::MyLocksPage(page) => {
                let page = self.list_page_of(page, context, &self.sight(context, replies));
                let outcome = listing::outcome(&page, |(value, next)| Outcome::MyLocksPage { value, next: *next });
                self.answer(context, outcome, replies);
            }
            Operation::MyLocks => {
                let listing = self.list_locks_of(context);
                self.answer(context, listing::outcome(&listing, Outcome::MyLocks), replies);
            }
            Operation::KeepAlive if context.id.is_some() => self.answer(context, Outcome::KeptAlive, replies),
            Operation::KeepAlive => {}
            Operation::Ping => self.answer(context, Outcome::Pong, replies),
        }
    }

    /// Which locks the asker may be shown.
    fn sight<'a, R: Replies>(&self, context: &Context<'_>, replies: &'a R) -> impl Fn(&str) -> bool + use<'a, R, S> {
        let connection = self.askers.session(context.session).connection;
        let sees_all = replies.may_see_all(connection);
        move |name| sees_all || replies.may_see(connection, name)
    }

    /// Ends a session: its locks pass on, its waits end unanswered.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn disconnect(&mut self, session: SessionKey, now: Moment, replies: &mut impl Replies) {
        self.drop_grace(session);
        self.lose_all(session, now, replies);
        self.askers.remove(session);
        if self.askers.len() == 0 {
            self.table.remove_kept();
        }
    }

    /// Tells those who wait with an id that their wait ends with the server. Nothing else changes.
    pub fn announce_shutdown(&self, replies: &mut impl Replies) {
        let tell = |asker, id, subject, replies: &mut _| {
            let message = "the server is shutting down".into();
            let outcome = Outcome::Error { reason: Reason::ShuttingDown, message, subject: Some(subject) };
            self.tell(asker, id, outcome, replies);
        };
        for (_, place) in self.table.places().iter().filter(|(_, place)| !place.is_holding()) {
            if let Some(id) = place.extras.as_ref().and_then(|extras| extras.id.get()) {
                tell(place.asker, Some(id), Subject::Lock(self.table.name(place.lock)), replies);
            }
        }
        for (_, bundle) in self.bundles.iter() {
            if let Some(id) = bundle.id.get() {
                let asker = self.table.place(bundle.places[0]).asker;
                tell(asker, Some(id), Subject::Locks(&bundle.names), replies);
            }
        }
    }

    /// What a session holds and waits for.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn summary(&self, session: SessionKey) -> Summary<'_> {
        let session = self.askers.session(session);
        let waits = session.waits();
        Summary { client: session.client(), holds: session.places() - waits, waits }
    }

    /// The names of all that a session holds and waits for, and whether it holds each: what it asked for itself, in that
    /// order, then the same of each of its owners.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn locks_of(&self, session: SessionKey) -> impl Iterator<Item = (&str, bool)> {
        self.askers.of_session(session).flat_map(|asker| self.locks_of_asker(asker))
    }

    fn locks_of_asker(&self, asker: Asker) -> impl Iterator<Item = (&str, bool)> {
        let places = self.askers.party(asker).places.iter(self.table.places());
        places.map(|(_, place)| (self.table.name(place.lock), place.is_holding()))
    }

    /// What was done so far, and what there is now.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How long each grant was waited for.
    pub fn waits(&self) -> Histogram {
        self.spans.waits(self.stats.acquires)
    }

    /// How long each hold that has ended lasted.
    pub fn holds(&self) -> Histogram {
        self.spans.holds()
    }

    /// Locks that are held, waited for or closed.
    pub fn locks(&self) -> usize {
        self.table.len()
    }

    /// Answers the request that is being executed.
    #[inline(always)]
    fn answer(&self, context: &Context<'_>, outcome: Outcome<'_>, replies: &mut impl Replies) {
        let to = self.askers.session(context.session).connection;
        replies.push(to, &Reply { id: context.id, owner: context.owner, outcome });
    }

    /// The one way out for everything that the engine tells holders and waiters.
    #[inline]
    fn tell(&self, asker: Asker, id: Option<IdRef<'_>>, outcome: Outcome<'_>, replies: &mut impl Replies) {
        let to = self.askers.session_of(asker).connection;
        let owner = self.askers.name(asker);
        replies.push(to, &Reply { id: id.as_ref(), owner: owner.as_ref(), outcome });
    }
}

fn refusal<'a>(reason: Reason, message: &'static str, name: &'a str) -> Outcome<'a> {
    Outcome::Error { reason, message: message.into(), subject: Some(Subject::Lock(name)) }
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
        let limits = EngineLimits {
            session_locks_max: 1,
            lock_waits_max: 1,
            closing_locks_max: 1,
            turn_grants_max: 1,
            turn_walk_max: 1,
            reply_bytes_max: 100,
        };
        let mut engine = Engine::new(limits, TokenBlock::new(1, 2));
        assert!(engine.is_empty());
        let session = engine.connect(ConnectionKey::from_bits(0), Peer::Unix(0));
        assert!(!engine.is_empty());
        engine.disconnect(session, Moment::START, &mut Nobody);
        assert!(engine.is_empty());
    }
}
