//! The server's replies, and their encoding.

mod hello;
mod plain;

use std::borrow::Cow;

pub use self::hello::HelloLimits;
use self::hello::{push_hello, push_resumption};
pub use self::plain::{PlainOutcome, PlainReply};
use super::digits::{Digits, push_member, push_u64};
use super::items::Items;
use super::json::{push_seconds, push_str, push_unquoted};
use super::listing::Listing;
pub use super::notice::Happening;
use super::notice::{push_event, push_notice};
use super::peer::Peer;
pub use super::reason::Reason;
use super::session::{HelloSession, Resumed};
use super::stats::StatsValue;
use super::{Id, IdRef, OwnerRef};
use crate::time::Span;

/// One reply: what happened, and the id and the owner of the request that it answers.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    /// The request's id, if it had one. Borrowed, as the owner: both pass through several functions, and copying them again and
    /// again costs more than reading them.
    pub id: Option<&'a IdRef<'a>>,
    /// The request's owner, if it had one.
    pub owner: Option<&'a OwnerRef<'a>>,
    /// What happened.
    pub outcome: Outcome<'a>,
}

/// What a reply is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// One lock.
    Lock(&'a str),
    /// Several locks at once.
    Locks(&'a Items),
}

/// What happened to a request. The names are those of the field `result`, or `notice`.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// The asker holds the lock now.
    Acquired {
        /// The lock.
        subject: Subject<'a>,
        /// The token of the hold, if it was asked for.
        token: Option<Digits>,
        /// How long it was waited for, if the hold has a lease.
        waited: Option<Span>,
    },
    /// The asker already held the lock.
    AlreadyAcquired {
        /// The lock.
        subject: Subject<'a>,
        /// The token of the hold, if it was asked for.
        token: Option<Digits>,
    },
    /// The request waits from now on. Sent only if it asked for it.
    Queued {
        /// The lock.
        subject: Subject<'a>,
        /// How many requests wait before it: of several locks, at that with the most.
        position: u64,
    },
    /// The wait ended without the lock.
    TimedOut {
        /// The lock.
        subject: Subject<'a>,
        /// The holders and the waiters, in order; only the first [`QUEUE_PEERS_MAX`]. None: there were several locks.
        queue: Option<&'a [Peer]>,
    },
    /// The lock's queue was full for this request, which did not wait.
    QueueMaxed {
        /// The lock.
        name: &'a str,
        /// The holders and the waiters, in order; only the first [`QUEUE_PEERS_MAX`].
        queue: &'a [Peer],
    },
    /// The request did not wait: that would have closed a circle.
    Deadlock {
        /// The lock.
        subject: Subject<'a>,
        /// The parties, each of which waits for the next, from the asker on; only the first [`CYCLE_MAX`].
        cycle: &'a Items,
    },
    /// The asker no longer holds the lock, or no longer waits for it.
    Released {
        /// The lock.
        subject: Subject<'a>,
    },
    /// There was nothing to release.
    ReleaseFailed {
        /// The lock.
        subject: Subject<'a>,
    },
    /// The wait was ended by an `unlock` or `reset` of the same asker. Sent only for requests with an id.
    Cancelled {
        /// The lock.
        subject: Subject<'a>,
    },
    /// The lease runs from now.
    Renewed {
        /// The lock.
        subject: Subject<'a>,
        /// How many wait for it.
        waiters: u64,
    },
    /// There was no hold to renew.
    RenewFailed {
        /// The lock.
        subject: Subject<'a>,
    },
    /// Holds were ended.
    Revoked {
        /// The lock.
        name: &'a str,
        /// How many.
        count: u64,
    },
    /// There was no such hold.
    RevokeFailed {
        /// The lock.
        name: &'a str,
    },
    /// The holder handed the lock to a waiter.
    Transferred {
        /// The lock.
        name: &'a str,
    },
    /// It was handed to nobody.
    TransferFailed {
        /// The lock.
        name: &'a str,
        /// Whether the asker still holds it.
        held: bool,
    },
    /// A notice: the lease of a hold ran out.
    NoticeExpired {
        /// The lock.
        name: &'a str,
        /// The token of the hold.
        token: u64,
    },
    /// A notice: a hold was revoked.
    NoticeRevoked {
        /// The lock.
        name: &'a str,
        /// The token of the hold.
        token: u64,
    },
    /// A notice: somebody else wants the lock.
    NoticeWanted {
        /// The lock.
        name: &'a str,
        /// The token of the hold.
        token: u64,
        /// How many wait for it.
        waiters: u64,
    },
    /// A notice: what happened to a lock that the connection watches.
    NoticeEvent {
        /// What happened.
        event: Happening,
        /// The lock.
        name: &'a str,
        /// Who holds it or waits for it, or did until then. None: it closed or opened.
        party: Option<(Peer, Option<OwnerRef<'a>>)>,
    },
    /// A notice: events that the connection was not told.
    NoticeMissed {
        /// How many.
        count: u64,
    },
    /// The connection is told from now on what happens to locks.
    Watching,
    /// It is told so no more.
    Unwatched,
    /// The connection holds nothing and waits for nothing.
    ResetSucceeded,
    /// The answer to a `keep_alive` with an id.
    KeptAlive,
    /// Every lock with its connections.
    Locks(&'a Listing),
    /// Some locks with their connections.
    LocksPage {
        /// The locks.
        value: &'a Listing,
        /// Where the next page begins, if there may be more.
        next: Option<u32>,
    },
    /// Every connection with its locks.
    Connections(&'a Listing),
    /// Some connections.
    ConnectionsPage {
        /// The connections.
        value: &'a Listing,
        /// Where the next page begins, if there may be more.
        next: Option<u32>,
    },
    /// The locks of this connection.
    MyLocks(&'a Listing),
    /// Some locks of this connection.
    MyLocksPage {
        /// The locks.
        value: &'a Listing,
        /// Where the next page begins, if there may be more.
        next: Option<u32>,
    },
    /// The counters and gauges of the server.
    Stats(&'a StatsValue),
    /// The server is alive.
    Pong,
    /// The server, and its name for the connection.
    Hello {
        /// The connection's name.
        connection: Peer,
        /// The limits of the connection.
        limits: HelloLimits,
        /// The session, if that goes on without the connection and the request was about it.
        session: Option<HelloSession<'a>>,
        /// What the session still has, if it was resumed.
        resumed: Option<&'a Resumed>,
        /// The user that the connection is.
        user: Option<&'a str>,
    },
    /// The connection was ended, or what a user had.
    Kicked {
        /// How many connections and sessions a user had. None: it was about one connection.
        count: Option<u64>,
    },
    /// There was no such connection.
    KickFailed,
    /// The request was refused.
    Error {
        /// For programs.
        reason: Reason,
        /// For people.
        message: Cow<'a, str>,
        /// What the request was about, if it could be read.
        subject: Option<Subject<'a>>,
    },
}

/// The most connections in `queue`.
pub const QUEUE_PEERS_MAX: usize = 1000;
/// The most parties in `cycle`.
pub const CYCLE_MAX: usize = 1000;

impl<'a> Reply<'a> {
    /// The bytes of the listing in it, if there is one.
    pub fn listed_bytes(&self) -> usize {
        match self.outcome {
            Outcome::Locks(value)
            | Outcome::LocksPage { value, .. }
            | Outcome::Connections(value)
            | Outcome::ConnectionsPage { value, .. }
            | Outcome::MyLocks(value)
            | Outcome::MyLocksPage { value, .. } => value.text().len(),
            _ => 0,
        }
    }

    /// An error without a request.
    pub fn error(reason: Reason, message: impl Into<Cow<'a, str>>) -> Self {
        Reply { id: None, owner: None, outcome: Outcome::Error { reason, message: message.into(), subject: None } }
    }

    /// Appends the reply as one line, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.outcome.encode(out);
        if let Some(owner) = self.owner {
            push_id_member(out, b",\"owner\":", owner);
        }
        if let Some(id) = self.id {
            push_id_member(out, b",\"id\":", id);
        }
        out.extend_from_slice(b"}\n");
    }
}

impl Outcome<'_> {
    /// Appends an object without its end. The most frequent come first and the rest apart, so that the compiler takes time
    /// for these.
    #[inline(always)]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Outcome::Acquired { subject: Subject::Lock(name), token, waited: None } => {
                push_named(out, name, b"\",\"result\":\"acquired\"");
                token.iter().for_each(|token| token.push_long_member(out, b",\"token\":"));
            }
            Outcome::Released { subject: Subject::Lock(name) } => {
                push_named(out, name, b"\",\"result\":\"released\"");
            }
            _ => self.encode_other(out),
        }
    }

    #[inline(never)]
    fn encode_other(&self, out: &mut Vec<u8>) {
        match self {
            Outcome::Acquired { subject, token, waited } => {
                push_subject(out, subject, b"\",\"result\":\"acquired\"");
                token.iter().for_each(|token| token.push_long_member(out, b",\"token\":"));
                if let Some(waited) = waited {
                    out.extend_from_slice(b",\"waited\":");
                    push_seconds(out, *waited);
                }
            }
            Outcome::AlreadyAcquired { subject, token } => {
                push_subject(out, subject, b"\",\"result\":\"already_acquired\"");
                token.iter().for_each(|token| token.push_long_member(out, b",\"token\":"));
            }
            Outcome::Queued { subject, position } => {
                push_subject(out, subject, b"\",\"result\":\"queued\"");
                push_member(out, b",\"position\":", *position);
            }
            Outcome::TimedOut { subject, queue } => {
                push_subject(out, subject, b"\",\"result\":\"timed_out\"");
                queue.iter().for_each(|queue| push_queue(out, queue));
            }
            Outcome::QueueMaxed { name, queue } => {
                push_subject(out, &Subject::Lock(name), b"\",\"result\":\"queue_maxed\"");
                push_queue(out, queue);
            }
            Outcome::Deadlock { subject, cycle } => {
                push_subject(out, subject, b"\",\"result\":\"deadlock\"");
                out.extend_from_slice(b",\"cycle\":[");
                out.extend_from_slice(cycle.text());
                out.push(b']');
            }
            Outcome::Released { subject } => push_subject(out, subject, b"\",\"result\":\"released\""),
            Outcome::ReleaseFailed { subject } => push_subject(out, subject, b"\",\"result\":\"release_failed\""),
            Outcome::Cancelled { subject } => push_subject(out, subject, b"\",\"result\":\"cancelled\""),
            Outcome::Renewed { subject, waiters } => {
                push_subject(out, subject, b"\",\"result\":\"renewed\"");
                push_member(out, b",\"waiters\":", *waiters);
            }
            Outcome::RenewFailed { subject } => push_subject(out, subject, b"\",\"result\":\"renew_failed\""),
            Outcome::Revoked { name, count } => {
                push_subject(out, &Subject::Lock(name), b"\",\"result\":\"revoked\"");
                push_member(out, b",\"count\":", *count);
            }
            Outcome::RevokeFailed { name } => {
                push_subject(out, &Subject::Lock(name), b"\",\"result\":\"revoke_failed\"")
            }
            Outcome::Transferred { name } => push_subject(out, &Subject::Lock(name), b"\",\"result\":\"transferred\""),
            Outcome::TransferFailed { name, held } => {
                push_subject(out, &Subject::Lock(name), b"\",\"result\":\"transfer_failed\"");
                out.extend_from_slice(if *held { b",\"held\":true" } else { b",\"held\":false" });
            }
            Outcome::NoticeExpired { name, token } => {
                push_notice(out, name, b",\"notice\":\"expired\",\"token\":", *token)
            }
            Outcome::NoticeRevoked { name, token } => {
                push_notice(out, name, b",\"notice\":\"revoked\",\"token\":", *token)
            }
            Outcome::NoticeWanted { name, token, waiters } => {
                push_notice(out, name, b",\"notice\":\"wanted\",\"token\":", *token);
                push_member(out, b",\"waiters\":", *waiters);
            }
            Outcome::NoticeEvent { event, name, party } => push_event(out, *event, name, party.as_ref()),
            Outcome::NoticeMissed { count } => {
                out.extend_from_slice(b"{\"notice\":\"event\",\"event\":\"missed\",\"count\":");
                push_u64(out, *count);
            }
            Outcome::Watching => out.extend_from_slice(b"{\"result\":\"watching\""),
            Outcome::Unwatched => out.extend_from_slice(b"{\"result\":\"unwatched\""),
            Outcome::ResetSucceeded => out.extend_from_slice(b"{\"result\":\"reset_succeeded\""),
            Outcome::KeptAlive => out.extend_from_slice(b"{\"result\":\"kept_alive\""),
            Outcome::Locks(value) => push_listing(out, value, b"{\"result\":\"locks\""),
            Outcome::LocksPage { value, next } => {
                push_listing(out, value, b"{\"result\":\"locks\"");
                push_next(out, *next);
            }
            Outcome::ConnectionsPage { value, next } => {
                push_listing(out, value, b"{\"result\":\"connections\"");
                push_next(out, *next);
            }
            Outcome::Connections(value) => push_listing(out, value, b"{\"result\":\"connections\""),
            Outcome::MyLocks(value) => push_listing(out, value, b"{\"result\":\"my_locks\""),
            Outcome::MyLocksPage { value, next } => {
                push_listing(out, value, b"{\"result\":\"my_locks\"");
                push_next(out, *next);
            }
            Outcome::Stats(value) => {
                out.extend_from_slice(b"{\"result\":\"stats\",\"value\":");
                value.push_to(out);
            }
            Outcome::Pong => out.extend_from_slice(b"{\"result\":\"pong\""),
            Outcome::Hello { connection, limits, session, resumed, user } => {
                push_hello(out, *connection, limits);
                if let Some(user) = user {
                    out.extend_from_slice(b",\"user\":");
                    push_str(out, user);
                }
                push_resumption(out, session.as_ref(), *resumed);
            }
            Outcome::Kicked { count } => {
                out.extend_from_slice(b"{\"result\":\"kicked\"");
                count.iter().for_each(|count| push_member(out, b",\"count\":", *count));
            }
            Outcome::KickFailed => out.extend_from_slice(b"{\"result\":\"kick_failed\""),
            Outcome::Error { reason, message, subject } => push_error(out, *reason, message, subject.as_ref()),
        }
    }
}

/// The name, and the result: the text after the name and its quote. In one piece that is known at compile time it costs
/// least.
#[inline(always)]
fn push_named<const N: usize>(out: &mut Vec<u8>, name: &str, result: &'static [u8; N]) {
    out.extend_from_slice(b"{\"name\":\"");
    push_unquoted(out, name);
    out.extend_from_slice(result);
}

/// The same for a reply about several locks.
fn push_subject<const N: usize>(out: &mut Vec<u8>, subject: &Subject<'_>, result: &'static [u8; N]) {
    match subject {
        Subject::Lock(name) => push_named(out, name, result),
        Subject::Locks(names) => {
            push_names(out, b"{\"names\":[", names);
            out.extend_from_slice(&result[1..]);
        }
    }
}

fn push_names(out: &mut Vec<u8>, head: &[u8], names: &Items) {
    out.extend_from_slice(head);
    out.extend_from_slice(names.text());
    out.push(b']');
}

fn push_error(out: &mut Vec<u8>, reason: Reason, message: &str, subject: Option<&Subject<'_>>) {
    out.extend_from_slice(b"{\"result\":\"error\",\"reason\":\"");
    out.extend_from_slice(reason.as_str().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    push_str(out, message);
    match subject {
        None => {}
        Some(Subject::Lock(name)) => {
            out.extend_from_slice(b",\"name\":");
            push_str(out, name);
        }
        Some(Subject::Locks(names)) => push_names(out, b",\"names\":[", names),
    }
}

#[inline(always)]
fn push_id_member<const KEY: usize>(out: &mut Vec<u8>, key: &[u8; KEY], id: &IdRef<'_>) {
    match id {
        Id::Number(number) => number.push_member(out, key),
        Id::Text(text) => {
            // With the quote in one piece of a length that is known, as for a name.
            let mut piece = [b'"'; 16];
            piece[..KEY].copy_from_slice(key);
            out.extend_from_slice(&piece[..KEY + 1]);
            push_unquoted(out, text);
            out.push(b'"');
        }
    }
}

fn push_queue(out: &mut Vec<u8>, queue: &[Peer]) {
    out.extend_from_slice(b",\"queue\":[");
    for (index, peer) in queue.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_peer(out, *peer);
    }
    out.push(b']');
}

fn push_peer(out: &mut Vec<u8>, peer: Peer) {
    out.push(b'"');
    peer.push_to(out);
    out.push(b'"');
}

fn push_next(out: &mut Vec<u8>, next: Option<u32>) {
    if let Some(next) = next {
        out.extend_from_slice(b",\"next\":\"");
        push_u64(out, next.into());
        out.push(b'"');
    }
}

fn push_listing(out: &mut Vec<u8>, listing: &Listing, head: &[u8]) {
    out.extend_from_slice(head);
    out.extend_from_slice(b",\"value\":");
    out.extend_from_slice(listing.text());
}

#[cfg(test)]
mod tests;
