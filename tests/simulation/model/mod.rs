//! Who gets which lock, and what is answered, as the protocol has it: lists, searched from end to end.
//!
//! It takes requests in its own form and gives replies as text, so it can stand beside whatever speaks the protocol: the
//! engine, or a server behind sockets. It is written to be believed by reading it, and shares nothing with what it judges.
//! Nothing is remembered that can be worked out: whom a request waits for, who is left over, and what is due are functions
//! of who is on which lock.

mod ask;
mod deadlock;
mod due;
mod end;
mod fit;
mod grant;
mod hint;
mod judge;
mod line;
mod listing;
mod session;
mod text;
mod transfer;
mod watch;

#[cfg(test)]
mod tests;

pub use self::ask::{Ask, Extra, Lock, Mode, Request, Target};
use self::end::End;
use self::fit::Kind;
use self::session::Session;
pub use self::session::{Greeted, Greeting, secret};
use self::text::result;
pub use self::text::{WORDING, array, error, error_on, is_same, object, seconds, with_id, with_owner};
pub use self::watch::WATCHERS;

/// A client's number, chosen by whoever uses the model.
pub type Seat = usize;

/// Replies without their `\n`, each with its receiver, or [`WATCHERS`]. The order counts for each receiver by itself.
pub type Said = Vec<(Seat, String)>;

/// The limits of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connection_locks_max: usize,
    pub lock_waits_max: usize,
    pub reply_bytes_max: usize,
    /// Requests with `min_hold` or `lost_delay`, on the whole server.
    pub closing_locks_max: usize,
    pub sessions_max: usize,
    /// Grants of one turn beyond those that are free.
    pub turn_grants_max: usize,
    /// The next grant has this token.
    pub first_token: u64,
}

/// All there is.
#[derive(Clone, Debug)]
pub struct Model {
    limits: Limits,
    clients: Vec<Client>,
    /// In the order of their grants; those of one grant in the order of its names.
    holds: Vec<Hold>,
    waits: Vec<Wait>,
    /// Those with waiters. There are no others in the list.
    queues: Vec<Queue>,
    closings: Vec<Closing>,
    /// Locks whose waiters were left over for a later turn, in the order in which that happened.
    behind: Vec<String>,
    /// How many grants this turn may still make, but for those that are free.
    grants_left: usize,
    next_token: u64,
    next_number: u64,
    /// Leases, closings and timeouts that were set so far.
    armed: u64,
    /// The number of the session that was made last.
    last_session: u64,
    /// When the last turn began.
    turned_at: u64,
    pub counts: Counts,
    has_watchers: bool,
    /// What is rare and happened since it was last taken, for counting.
    met: Vec<&'static str>,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub acquires: u64,
    pub releases: u64,
    pub timeouts: u64,
    pub queue_maxed: u64,
    pub expiries: u64,
    pub revocations: u64,
    pub transfers: u64,
    pub deadlocks: u64,
    pub resumptions: u64,
    pub sessions_ended: u64,
}

#[derive(Clone, Debug)]
struct Client {
    seat: Seat,
    /// As replies and listings show it.
    connection: String,
    /// What it calls itself.
    label: String,
    wants_notices: bool,
    /// Those that hold or wait for something, in the order in which they came.
    owners: Vec<String>,
    session: Option<Session>,
}

/// Who holds and waits: a connection itself, or one of its owners, as replies have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    seat: Seat,
    owner: Option<String>,
}

/// One lock that somebody holds.
#[derive(Clone, Debug)]
struct Hold {
    name: String,
    who: Who,
    kind: Kind,
    token: u64,
    since: u64,
    terms: Terms,
    /// When it ends by itself. The second number orders those of the same moment.
    until: Option<(u64, u64)>,
    /// The request's number, and the name's place in it: the order of asking.
    asked: (u64, usize),
    /// The holder was told that somebody wants it, and has not renewed it since.
    is_told: bool,
    /// It was transferred past somebody who had waited for longer.
    is_out_of_turn: bool,
}

/// A request that waits.
#[derive(Clone, Debug)]
struct Wait {
    who: Who,
    id: Option<String>,
    target: Target,
    is_any: bool,
    /// The locks that it waits for, of those in the target.
    queues: Vec<String>,
    kind: Kind,
    priority: u128,
    /// It has none of the fields that the original did not have.
    is_plain: bool,
    terms: Terms,
    since: u64,
    /// When its time is up. The second number orders those of the same moment.
    until: Option<(u64, u64)>,
    number: u64,
}

/// What a request says about its hold.
#[derive(Clone, Debug, Default)]
struct Terms {
    fence: bool,
    lease: Option<u64>,
    min_hold: u64,
    lost_delay: u64,
    label: Option<String>,
    hint: bool,
    progress: bool,
}

impl Terms {
    /// Whether it counts against the limit on such locks.
    fn may_close(&self) -> bool {
        self.min_hold > 0 || self.lost_delay > 0
    }
}

#[derive(Clone, Debug)]
struct Queue {
    name: String,
    /// The numbers of the waits.
    waits: Vec<u64>,
}

/// A lock that nobody gets for a while.
#[derive(Clone, Debug)]
struct Closing {
    name: String,
    /// The second number orders those of the same moment.
    until: (u64, u64),
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Model {
            limits,
            clients: Vec::new(),
            holds: Vec::new(),
            waits: Vec::new(),
            queues: Vec::new(),
            closings: Vec::new(),
            behind: Vec::new(),
            grants_left: limits.turn_grants_max,
            next_token: limits.first_token,
            next_number: 0,
            armed: 0,
            last_session: 0,
            turned_at: 0,
            counts: Counts::default(),
            has_watchers: false,
            met: Vec::new(),
        }
    }

    pub fn is_connected(&self, seat: Seat) -> bool {
        self.clients.iter().any(|client| client.seat == seat)
    }

    pub fn connect(&mut self, seat: Seat, connection: String) {
        assert!(!self.is_connected(seat));
        let (label, owners) = (String::new(), Vec::new());
        self.clients.push(Client { seat, connection, label, wants_notices: false, owners, session: None });
    }

    /// What the client calls itself.
    pub fn set_label(&mut self, seat: Seat, label: &str) {
        self.client(seat).label = label.to_owned();
    }

    /// Whether the client is told of holds that were revoked.
    pub fn set_notices(&mut self, seat: Seat, wants_notices: bool) {
        self.client(seat).wants_notices = wants_notices;
    }

    /// A client sends a request.
    pub fn request(&mut self, seat: Seat, request: &Request, now: u64) -> Said {
        let mut said = Vec::new();
        let who = Who { seat, owner: request.owner.as_ref().map(|owner| owner.returned.clone()) };
        let id = request.id.as_ref().map(|id| id.returned.as_str());
        let answer = match &request.ask {
            Ask::Lock(lock) => self.lock(&who, lock, id, now, &mut said),
            Ask::Unlock { target, token } => Some(self.unlock(&who, target, *token, now, &mut said)),
            Ask::Renew { target, token, lease } => {
                Some(self.renew(&who, target, *token, lease.as_ref().map(|lease| lease.nanos), now))
            }
            Ask::Revoke { name, token, connection } => {
                let owner = who.owner.as_deref();
                Some(self.revoke(name, *token, connection.as_deref(), owner, now, &mut said))
            }
            Ask::Transfer { name, to, to_owner, token } => {
                let to_owner = to_owner.as_ref().map(|owner| owner.returned.as_str());
                Some(self.transfer(&who, name, (to.as_deref(), to_owner), *token, now, &mut said))
            }
            Ask::Reset => {
                self.end_places(seat, who.owner.as_deref(), End::Given, now, &mut said);
                Some(result("reset_succeeded"))
            }
            Ask::Locks => Some(self.listing("locks", &object(self.pages("", false, now)))),
            Ask::Page { prefix, is_contended, has_detail } => {
                let mut pages = self.pages(prefix, *has_detail, now);
                pages.retain(|(name, _)| !is_contended || self.is_contended(name));
                Some(self.listing("locks", &object(pages)))
            }
            Ask::One { name, has_detail } => {
                let mut one = self.pages(name, *has_detail, now);
                one.retain(|(listed, _)| listed == name);
                Some(self.listing("locks", &object(one)))
            }
            Ask::Connections => Some(self.listing("connections", &self.value_of_connections())),
            Ask::MyLocks => {
                let names = array(&self.names_of(seat, who.owner.as_deref()));
                Some(self.listing("my_locks", &names))
            }
            Ask::MyLocksPage { has_detail } => {
                let mine = self.names_of(seat, who.owner.as_deref());
                let mut pages = self.pages("", *has_detail, now);
                pages.retain(|(name, _)| mine.contains(name));
                Some(self.listing("my_locks", &object(pages)))
            }
            Ask::KeepAlive => id.map(|_| result("kept_alive")),
            Ask::Ping => Some(result("pong")),
        };
        said.extend(answer.map(|answer| (seat, with_id(with_owner(answer, request.known_owner()), id))));
        self.forget();
        heard(said)
    }

    /// A client goes, and its session with it. Its waits end without a word.
    pub fn disconnect(&mut self, seat: Seat, now: u64) -> Said {
        let mut said = Vec::new();
        self.end_places(seat, None, End::Lost, now, &mut said);
        if self.shown(seat).session.is_some() {
            self.counts.sessions_ended += 1;
        }
        self.clients.retain(|client| client.seat != seat);
        // It is not there any more to hear of what its own end brought it for a moment.
        said.retain(|(to, _)| *to != seat);
        heard(said)
    }

    /// What those who wait with an id are told when the server ends.
    pub fn shut_down(&self) -> Said {
        let with_ids = self.waits.iter().filter(|wait| wait.id.is_some());
        let told = |wait: &Wait| (wait.who.seat, wait.form(error_on("shutting_down", &wait.target)));
        heard(with_ids.map(told).collect())
    }

    /// How many holds there are now, and how many places in queues.
    pub fn held_and_waiting(&self) -> (usize, usize) {
        (self.holds.len(), self.queues.iter().map(|queue| queue.waits.len()).sum())
    }

    /// How many wait for each lock that is waited for.
    pub fn queue_lengths(&self) -> impl Iterator<Item = (&str, u64)> {
        self.queues.iter().map(|queue| (queue.name.as_str(), queue.waits.len() as u64))
    }

    /// Whether nobody is on any lock, none is closed, and no session waits for its client.
    pub fn is_empty(&self) -> bool {
        let is_away = |client: &Client| session::is_away(client.seat);
        let is_free = self.holds.is_empty() && self.waits.is_empty() && self.closings.is_empty();
        is_free && !self.clients.iter().any(is_away)
    }

    /// What is rare and happened since the last call.
    pub fn take_met(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.met)
    }

    /// The token of the next grant.
    pub fn next_token(&self) -> u64 {
        self.next_token
    }

    /// The token of the newest hold on a lock, or else the last that was used up.
    pub fn token_of(&self, name: &str) -> u64 {
        let newest = self.holds.iter().rev().find(|hold| hold.name == name);
        newest.map_or(self.next_token.saturating_sub(1), |hold| hold.token)
    }

    /// Only owners that have something are remembered, and only queues with somebody in them.
    fn forget(&mut self) {
        let Model { holds, waits, .. } = self;
        for client in &mut self.clients {
            let is_it = |who: &Who, owner: &String| who.seat == client.seat && who.owner.as_ref() == Some(owner);
            let holds = |owner: &String| holds.iter().any(|hold| is_it(&hold.who, owner));
            let waits = |owner: &String| waits.iter().any(|wait| is_it(&wait.who, owner));
            client.owners.retain(|owner| holds(owner) || waits(owner));
        }
        self.queues.retain(|queue| !queue.waits.is_empty());
    }

    fn client(&mut self, seat: Seat) -> &mut Client {
        self.clients.iter_mut().find(|client| client.seat == seat).expect("the client is connected")
    }

    fn shown(&self, seat: Seat) -> &Client {
        self.clients.iter().find(|client| client.seat == seat).expect("the client is connected")
    }

    fn wait(&self, number: u64) -> &Wait {
        self.waits.iter().find(|wait| wait.number == number).expect("it waits")
    }

    fn wait_mut(&mut self, number: u64) -> &mut Wait {
        self.waits.iter_mut().find(|wait| wait.number == number).expect("it waits")
    }

    fn queue(&self, name: &str) -> &[u64] {
        self.queues.iter().find(|queue| queue.name == name).map_or(&[], |queue| &queue.waits)
    }

    fn holders(&self, name: &str) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(move |hold| hold.name == name)
    }

    fn hold_of(&self, who: &Who, name: &str) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.who == *who && hold.name == name)
    }

    fn wait_of(&self, who: &Who, name: &str) -> Option<&Wait> {
        self.waits.iter().find(|wait| wait.who == *who && wait.queues.iter().any(|on| on == name))
    }

    /// A new place among the leases, closings and timeouts of the same moment.
    fn arm(&mut self, at: u64) -> (u64, u64) {
        self.armed += 1;
        (at, self.armed)
    }
}

/// Nothing is sent to a session that has no connection.
fn heard(mut said: Said) -> Said {
    said.retain(|(to, _)| !session::is_away(*to));
    said
}

impl Wait {
    /// A reply to this request.
    fn form(&self, reply: String) -> String {
        with_id(with_owner(reply, self.who.owner.as_deref()), self.id.as_deref())
    }

    fn is_several(&self) -> bool {
        matches!(self.target, Target::Several(_))
    }
}
