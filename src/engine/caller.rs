//! What the caller of the engine and the engine give each other: keys, requests with what comes with them, replies, limits.

use super::{SessionKey, SlowHold};
use crate::slots::Key;
use crate::time::Moment;
use crate::wire::reply::{PlainOutcome, PlainReply, Reply};
use crate::wire::{IdRef, OwnerRef};

/// Keeps keys of connections apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionTag {}

/// Names a connection. The engine only hands it back with the replies.
pub type ConnectionKey = Key<ConnectionTag>;

impl ConnectionKey {
    /// No connection has this key.
    pub(super) const NOWHERE: Self = Key::NONE;
}

/// Where replies go.
pub trait Replies {
    /// Takes one reply for a connection. It may be one that is about to end, or none at all, and then the reply is dropped.
    fn push(&mut self, to: ConnectionKey, reply: &Reply<'_>);

    /// Takes one of the replies that there are most of, as [`Replies::push`] does.
    fn push_plain(&mut self, to: ConnectionKey, reply: &PlainReply<'_>) {
        self.push(to, &(*reply).into());
    }

    /// Something else has happened to a lock: the events that are taken from here on are about that.
    fn begin_event(&mut self) {}

    /// Takes what has happened to a lock for a connection that watches it. Returns whether it was taken: if not, the connection
    /// is not told of further events until [`Engine::catch_up`](super::Engine::catch_up).
    fn event(&mut self, to: ConnectionKey, event: &Reply<'_>) -> bool {
        self.push(to, event);
        true
    }

    /// Takes a hold that others wait for, and that has lasted for long.
    fn slow_hold(&mut self, _hold: &SlowHold<'_>) {}

    /// Whether a connection may be told who else is on a lock.
    fn may_see(&self, _to: ConnectionKey, _name: &str) -> bool {
        true
    }

    /// Whether that goes for all locks.
    fn may_see_all(&self, _to: ConnectionKey) -> bool {
        true
    }

    /// The group with which the requests of a connection are counted that may leave their lock closed, and how many of these it
    /// may have at a time. None: only [`EngineLimits::closing_locks_max`] counts.
    fn closing_share(&self, _of: ConnectionKey) -> Option<(u32, usize)> {
        None
    }
}

/// What comes with a request, whatever it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Who asks.
    pub session: SessionKey,
    /// Comes back with every reply to the request.
    pub id: Option<&'a IdRef<'a>>,
    /// The owner, one of the parties that share the session. None: the session itself.
    pub owner: Option<&'a OwnerRef<'a>>,
    /// Whether id, owner and name are known to need no escapes, as in [`PlainReply`].
    pub is_verbatim: bool,
    /// The time of the turn.
    pub now: Moment,
}

impl<'a> Context<'a> {
    #[inline(always)]
    pub(super) fn plain_reply(&self, name: &'a str, outcome: PlainOutcome) -> PlainReply<'a> {
        let Context { id, owner, is_verbatim, .. } = *self;
        PlainReply { id, owner, name, is_verbatim, outcome }
    }
}

/// The limits that the engine keeps.
#[derive(Clone, Copy, Debug)]
pub struct EngineLimits {
    /// Locks that one session may hold and wait for together.
    pub session_locks_max: usize,
    /// Askers that may wait for one lock.
    pub lock_waits_max: usize,
    /// Requests with `min_hold` or `lost_delay` that wait or hold, or whose lock is still closed.
    pub closing_locks_max: usize,
    /// Grants in one turn, not counting the first on each lock after a hold or wait ended.
    pub turn_grants_max: usize,
    /// Places that walks for deadlocks look at in one turn, and the most that one of them looks at. As many others are
    /// looked at to know whether waits that are due are left over.
    pub turn_walk_max: usize,
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
