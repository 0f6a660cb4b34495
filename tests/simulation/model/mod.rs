//! Who gets which lock, and what is answered, as the protocol has it: lists, searched from end to end.
//!
//! It takes requests in its own form and gives replies as text, so it can stand beside whatever speaks the protocol: the
//! engine, or a server behind sockets. It is written to be believed by reading it, and shares nothing with what it judges.
//! Nothing is remembered that can be worked out: whom a request waits for, who is left over, and what is due are functions
//! of who is on which lock.

mod deadlock;
mod due;
mod end;
mod fit;
mod grant;
mod judge;
mod line;
mod listing;
mod text;

#[cfg(test)]
mod tests;

use self::end::End;
use self::fit::Kind;
use self::text::result;
pub use self::text::{WORDING, array, error, error_on, is_same, object, seconds, with_id, with_owner};
use crate::sizes::{Id, Span, Whole};

/// A client's number, chosen by whoever uses the model.
pub type Seat = usize;

/// Replies without their `\n`, each with its receiver. The order counts for each receiver by itself.
pub type Said = Vec<(Seat, String)>;

/// The limits of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connection_locks_max: usize,
    pub lock_waits_max: usize,
    pub reply_bytes_max: usize,
    /// Requests with `min_hold` or `lost_delay`, on the whole server.
    pub closing_locks_max: usize,
    /// Grants of one turn beyond those that are free.
    pub turn_grants_max: usize,
    /// The next grant has this token.
    pub first_token: u64,
}

/// A request. [`Request::line`] is what a client would send.
#[derive(Clone, Debug)]
pub struct Request {
    pub ask: Ask,
    pub owner: Option<Id>,
    pub id: Option<Id>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Lock(Box<Lock>),
    Unlock {
        target: Target,
        token: Option<u64>,
    },
    Renew {
        target: Target,
        token: Option<u64>,
        lease: Option<Span>,
    },
    /// Whether it is allowed is another's business.
    Revoke {
        name: String,
        token: Option<u64>,
        /// As listings show it.
        connection: Option<String>,
    },
    Reset,
    Locks,
    /// A page that has room for all locks.
    Page {
        prefix: String,
        has_detail: bool,
    },
    /// One lock.
    One {
        name: String,
        has_detail: bool,
    },
    Connections,
    MyLocks,
    KeepAlive,
    Ping,
}

/// `name`, or `names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    One(String),
    Several(Vec<String>),
}

/// The fields of `lock`. None: the field is absent.
#[derive(Clone, Debug)]
pub struct Lock {
    pub target: Target,
    pub timeout: Option<Span>,
    pub queue_max: Option<Whole>,
    pub extra: Extra,
}

/// Those of its fields that the original did not have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub fence: Option<bool>,
    pub mode: Option<Mode>,
    pub slots: Option<Whole>,
    pub lease: Option<Span>,
    pub any: Option<bool>,
    pub priority: Option<Whole>,
    pub refuses_deadlock: bool,
    pub min_hold: Option<Span>,
    pub lost_delay: Option<Span>,
    pub label: Option<String>,
}

/// The values of `mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Exclusive,
    Shared,
}

impl Lock {
    /// With the fields of the original.
    pub fn plain(name: &str, timeout: Option<Span>, queue_max: Option<Whole>) -> Self {
        Lock { target: Target::One(name.to_owned()), timeout, queue_max, extra: Extra::default() }
    }
}

impl Target {
    pub fn names(&self) -> &[String] {
        match self {
            Target::One(name) => std::slice::from_ref(name),
            Target::Several(names) => names,
        }
    }
}

impl Extra {
    /// Whether it has none of them.
    pub fn is_empty(&self) -> bool {
        let Extra { fence, mode, slots, lease, any, priority, refuses_deadlock, min_hold, lost_delay, label } = self;
        fence.is_none()
            && mode.is_none()
            && slots.is_none()
            && lease.is_none()
            && any.is_none()
            && priority.is_none()
            && !refuses_deadlock
            && min_hold.is_none()
            && lost_delay.is_none()
            && label.is_none()
    }
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
    pub counts: Counts,
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
            counts: Counts::default(),
            met: Vec::new(),
        }
    }

    pub fn is_connected(&self, seat: Seat) -> bool {
        self.clients.iter().any(|client| client.seat == seat)
    }

    pub fn connect(&mut self, seat: Seat, connection: String) {
        assert!(!self.is_connected(seat));
        let (label, owners) = (String::new(), Vec::new());
        self.clients.push(Client { seat, connection, label, wants_notices: false, owners });
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
            Ask::Reset => {
                self.end_places(seat, who.owner.as_deref(), End::Given, now, &mut said);
                Some(result("reset_succeeded"))
            }
            Ask::Locks => Some(self.listing("locks", &object(self.pages("", false, now)))),
            Ask::Page { prefix, has_detail } => {
                Some(self.listing("locks", &object(self.pages(prefix, *has_detail, now))))
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
            Ask::KeepAlive => id.map(|_| result("kept_alive")),
            Ask::Ping => Some(result("pong")),
        };
        said.extend(answer.map(|answer| (seat, with_id(with_owner(answer, request.known_owner()), id))));
        self.forget();
        said
    }

    /// A client goes. Its waits end without a word.
    pub fn disconnect(&mut self, seat: Seat, now: u64) -> Said {
        let mut said = Vec::new();
        self.end_places(seat, None, End::Lost, now, &mut said);
        self.clients.retain(|client| client.seat != seat);
        // It is not there any more to hear of what its own end brought it for a moment.
        said.retain(|(to, _)| *to != seat);
        said
    }

    /// What those who wait with an id are told when the server ends.
    pub fn shut_down(&self) -> Said {
        let with_ids = self.waits.iter().filter(|wait| wait.id.is_some());
        let told = |wait: &Wait| (wait.who.seat, wait.form(error_on("shutting_down", &wait.target)));
        with_ids.map(told).collect()
    }

    /// How many holds there are now, and how many places in queues.
    pub fn held_and_waiting(&self) -> (usize, usize) {
        (self.holds.len(), self.queues.iter().map(|queue| queue.waits.len()).sum())
    }

    /// Whether nobody is on any lock, and none is closed.
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty() && self.waits.is_empty() && self.closings.is_empty()
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

impl Wait {
    /// A reply to this request.
    fn form(&self, reply: String) -> String {
        with_id(with_owner(reply, self.who.owner.as_deref()), self.id.as_deref())
    }

    fn is_several(&self) -> bool {
        matches!(self.target, Target::Several(_))
    }
}

impl Request {
    /// The owner, if the command knows that field.
    pub fn known_owner(&self) -> Option<&str> {
        let knows = match &self.ask {
            Ask::Lock(_) | Ask::Unlock { .. } | Ask::Renew { .. } | Ask::Revoke { .. } | Ask::Reset | Ask::MyLocks => {
                true
            }
            Ask::Locks | Ask::Page { .. } | Ask::One { .. } | Ask::Connections | Ask::KeepAlive | Ask::Ping => false,
        };
        self.owner.as_ref().filter(|_| knows).map(|owner| owner.returned.as_str())
    }

    /// The lock or locks that it names.
    pub fn target(&self) -> Option<Target> {
        match &self.ask {
            Ask::Lock(lock) => Some(lock.target.clone()),
            Ask::Unlock { target, .. } | Ask::Renew { target, .. } => Some(target.clone()),
            Ask::Revoke { name, .. } | Ask::One { name, .. } => Some(Target::One(name.clone())),
            Ask::Reset | Ask::Locks | Ask::Page { .. } | Ask::Connections | Ask::MyLocks => None,
            Ask::KeepAlive | Ask::Ping => None,
        }
    }
}
