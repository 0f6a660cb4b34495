//! Turns a line into a request, or into an error that can be answered.
//!
//! What is wrong with a line is looked for in a fixed order: whether it is well-formed first, then its `id`, then its
//! `owner`, then its `name` or `names`, then the rest. So an error carries these wherever they could be read.
//!
//! [`general`] is the definition of what a line means; [`fast`] is a shortcut for plain ones.

mod fast;
mod fields;
mod general;
mod locking;
mod terms;
mod values;

use std::borrow::Cow;
use std::fmt;

pub use self::fast::{Plain, PlainOperation, Shapes, Start, recognise};
pub use self::general::{parse_in_full, parse_strictly};
pub use self::terms::{Fit, LockMany, Named, Names, Renewal, Revocation, Terms, Transfer};

use super::items::Items;
use super::reply::{Outcome, Reason, Reply, Subject};
use super::{Id, Owner};
use crate::time::Span;

/// The longest name of a lock, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 1024;
/// The longest `id` or `owner` that is a string, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 64;
/// The longest `label`, in bytes of UTF-8.
pub const LABEL_BYTES_MAX: usize = 128;
/// The most names in one request.
pub const NAMES_MAX: usize = 64;
/// The most units of a semaphore.
pub const SLOTS_MAX: u32 = 1 << 31;
/// The highest priority of a request.
pub const PRIORITY_MAX: u8 = 7;
/// The longest `min_hold` and `lost_delay`, in seconds.
pub const CLOSING_SECONDS_MAX: u32 = 86_400;
/// The longest grace of a session, in seconds.
pub const GRACE_SECONDS_MAX: u32 = 300;
/// The longest `user` and the longest `secret` of a `hello`, in bytes of UTF-8.
pub const LOGIN_BYTES_MAX: usize = 1024;
/// The longest `client` of a `hello`, in bytes of UTF-8.
pub const CLIENT_BYTES_MAX: usize = 128;
/// The most rows on one page of a listing.
pub const PAGE_ROWS_MAX: u64 = 1000;
/// The largest whole number that a double holds exactly, like all those below it: 2^53 - 1.
pub const WHOLE_NUMBER_MAX: u64 = (1 << 53) - 1;
/// How deep arrays and objects may be nested, including the request's own object.
pub const NESTING_MAX: usize = 128;

/// The name of a lock: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8, any characters. Borrowed from the line unless it was
/// written with an escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockName<'a>(Cow<'a, str>);

impl<'a> LockName<'a> {
    /// Checks the length.
    ///
    /// # Errors The message says which of the two limits was missed.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Result<Self, &'static str> {
        let name = name.into();
        match name.len() {
            0 => Err("name must not be empty"),
            1..=NAME_BYTES_MAX => Ok(LockName(name)),
            _ => Err("name must have at most 1024 bytes"),
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request that can be executed as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// Returned with every reply to it.
    pub id: Option<Id<Cow<'a, str>>>,
    /// The owner that asks. None: the connection itself.
    pub owner: Option<Owner<Cow<'a, str>>>,
    /// The command.
    pub command: Command<'a>,
}

/// What is asked, by who executes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// About locks: for the engine.
    Locks(Operation<'a>),
    /// About the connection: sets the client's name and its idle limit, and returns the limits.
    Hello(Hello<'a>),
    /// List some connections, page by page.
    ConnectionsPage(ConnectionsPage),
    /// End a connection.
    Kick {
        /// Its name, as in listings.
        connection: Cow<'a, str>,
    },
    /// End all connections and sessions of a user.
    KickUser {
        /// The user's name.
        user: Cow<'a, str>,
    },
    /// End holds on one lock.
    Revoke(Revocation<'a>),
    /// Hand a lock to one of its waiters.
    Transfer(Transfer<'a>),
    /// Tell this connection from now on what happens to some locks.
    Watch {
        /// Only locks whose names start with this: at most [`NAME_BYTES_MAX`] bytes.
        prefix: Cow<'a, str>,
    },
    /// Tell it no more.
    Unwatch,
    /// The counters and gauges of the server.
    Stats,
}

/// A command for the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation<'a> {
    /// Acquire a lock, or wait for it.
    Lock(Lock<'a>),
    /// The same, with terms that are not the usual ones.
    LockWith(Lock<'a>, Terms<'a>),
    /// Acquire several locks, or one of several.
    LockMany(LockMany<'a>),
    /// Release a lock, or stop waiting for it.
    Unlock {
        /// The lock.
        name: LockName<'a>,
        /// Only a hold with this token.
        token: Option<u64>,
    },
    /// Release several locks, or stop waiting for them.
    UnlockMany {
        /// The locks.
        names: Names<'a>,
        /// Only holds with this token.
        token: Option<u64>,
    },
    /// Give holds a lease that runs from now.
    Renew(Renewal<'a>),
    /// Release every lock and leave every queue.
    Reset,
    /// List every lock with its connections.
    Locks,
    /// List some locks, page by page.
    LocksPage(Page<'a>),
    /// List one lock.
    OneLock {
        /// The lock.
        name: LockName<'a>,
        /// Whether to list more of it than the names of its connections.
        has_detail: bool,
    },
    /// List every connection with its locks.
    Connections,
    /// List the locks of this connection.
    MyLocks,
    /// List some locks of this connection, page by page. The prefix is empty.
    MyLocksPage(Page<'a>),
    /// Does nothing, but the connection is not idle.
    KeepAlive,
    /// Answers that the server is alive, in the order of the requests.
    Ping,
}

/// The fields of `lock`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock<'a> {
    /// The lock.
    pub name: LockName<'a>,
    /// The longest wait; none: forever. Zero never waits.
    pub timeout: Option<Span>,
    /// Do not wait if this many holders and waiters, or more, are on the lock.
    pub queue_max: Option<u64>,
    /// Whether the answer has the token of the hold.
    pub has_fence: bool,
    /// Whether it has no other field than the name, the timeout and `queue_max`: a second one like it joins a wait.
    pub is_plain: bool,
}

/// A [`Lock`] with its name wherever that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LockRef<'a> {
    /// As in [`LockName`].
    pub name: &'a str,
    /// As in [`Lock`].
    pub timeout: Option<Span>,
    /// As in [`Lock`].
    pub queue_max: Option<u64>,
    /// As in [`Lock`].
    pub has_fence: bool,
    /// As in [`Lock`].
    pub is_plain: bool,
}

impl Lock<'_> {
    /// The same with its name borrowed.
    #[inline]
    pub fn as_ref(&self) -> LockRef<'_> {
        let Lock { name, timeout, queue_max, has_fence, is_plain } = self;
        LockRef {
            name: name.as_str(),
            timeout: *timeout,
            queue_max: *queue_max,
            has_fence: *has_fence,
            is_plain: *is_plain,
        }
    }
}

/// The fields of `locks` and `my_locks`, if there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<'a> {
    /// Only locks whose names start with this.
    pub prefix: Cow<'a, str>,
    /// Only locks that somebody waits for.
    pub is_contended: bool,
    /// At most this many locks: 1 to [`PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Where the previous page ended. 0 is the beginning.
    pub after: u32,
    /// Whether to list more of each lock than the names of its connections.
    pub has_detail: bool,
}

/// The fields of `connections`, where there are any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionsPage {
    /// Whether to list those as well that hold nothing and wait for nothing.
    pub has_idle: bool,
    /// At most this many: 1 to [`PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Where the previous page ended. 0 is the beginning.
    pub after: u32,
    /// Whether to say more of each connection than the names of its locks.
    pub has_detail: bool,
}

/// The fields of `hello`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello<'a> {
    /// The label of the connection in listings: at most [`CLIENT_BYTES_MAX`] bytes. None leaves it unchanged.
    pub client: Option<Cow<'a, str>>,
    /// The connection's own idle limit. None leaves it unchanged.
    pub max_idle: Option<Span>,
    /// Whether it is told of holds that were revoked. None leaves it as it is.
    pub notices: Option<bool>,
    /// Whether fields that a command does not have are errors from now on. None leaves it as it is.
    pub strict: Option<bool>,
    /// How long the session goes on without a connection: at most [`GRACE_SECONDS_MAX`] seconds. Zero: not at all. None
    /// leaves it as it is.
    pub session: Option<Span>,
    /// The secret of the session that this connection takes over.
    pub resume: Option<Cow<'a, str>>,
    /// Who the client says it is.
    pub login: Option<Login<'a>>,
}

/// The name of a user, and what proves it: each at most [`LOGIN_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq)]
pub struct Login<'a> {
    /// The user's name.
    pub user: Cow<'a, str>,
    /// A secret of that user's.
    pub secret: Cow<'a, str>,
}

/// Without the secret, and without the user: people paste secrets there.
impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// A line that is not a request: what to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct BadRequest<'a> {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: Cow<'static, str>,
    /// The name or the names, if they could be read.
    pub named: Option<Named<'a>>,
    /// The owner, if it could be read.
    pub owner: Option<Owner<Cow<'a, str>>>,
    /// The id, if it could be read.
    pub id: Option<Id<Cow<'a, str>>>,
}

impl BadRequest<'_> {
    /// Sends the answer to the line.
    pub fn reply<R>(&self, send: impl FnOnce(&Reply<'_>) -> R) -> R {
        let names: Items;
        let subject = match &self.named {
            None => None,
            Some(Named::One(name)) => Some(Subject::Lock(name.as_str())),
            Some(Named::Several(several)) => {
                names = several.iter().map(LockName::as_str).collect();
                Some(Subject::Locks(&names))
            }
        };
        let (id, owner) = (self.id.as_ref().map(Id::as_ref), self.owner.as_ref().map(Id::as_ref));
        send(&Reply {
            id: id.as_ref(),
            owner: owner.as_ref(),
            outcome: Outcome::Error { reason: self.reason, message: Cow::Borrowed(&self.message), subject },
        })
    }
}

/// Parses one line, without its `\n`.
///
/// # Errors [`BadRequest`], which contains the answer.
#[inline]
pub fn parse(line: &[u8]) -> Result<Request<'_>, BadRequest<'_>> {
    match recognise(line) {
        Some(request) => Ok(request),
        None => parse_in_full(line),
    }
}

#[cfg(test)]
mod tests;
