//! The server's replies, and their encoding.

use std::borrow::Cow;

use super::Id;
use super::json::{push_seconds, push_str, push_u64, push_unquoted};
use super::listing::Listing;
use super::peer::Peer;
pub use super::reason::Reason;
use crate::time::Span;

/// One reply: what happened, and the id of the request that it answers.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    /// The request's id, if it had one.
    pub id: Option<Id<&'a str>>,
    /// What happened.
    pub outcome: Outcome<'a>,
}

/// What happened to a request. The names are those of the field `result`.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// The connection holds the lock now.
    Acquired {
        /// The lock.
        name: &'a str,
    },
    /// The connection already held the lock.
    AlreadyAcquired {
        /// The lock.
        name: &'a str,
    },
    /// The wait ended without the lock.
    TimedOut {
        /// The lock.
        name: &'a str,
        /// The holder and the waiters, in order; only the first [`QUEUE_PEERS_MAX`].
        queue: &'a [Peer],
    },
    /// The lock's queue was full for this request, which did not wait.
    QueueMaxed {
        /// The lock.
        name: &'a str,
        /// The holder and the waiters, in order; only the first [`QUEUE_PEERS_MAX`].
        queue: &'a [Peer],
    },
    /// The connection no longer holds the lock, or no longer waits for it.
    Released {
        /// The lock.
        name: &'a str,
    },
    /// There was nothing to release.
    ReleaseFailed {
        /// The lock.
        name: &'a str,
    },
    /// The wait was ended by an `unlock` or `reset` of the same connection. Sent only for requests with an id.
    Cancelled {
        /// The lock.
        name: &'a str,
    },
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
    /// The server is alive.
    Pong,
    /// The server, and its name for the connection.
    Hello {
        /// The connection's name.
        connection: Peer,
        /// The limits of the connection.
        limits: HelloLimits,
    },
    /// The connection was ended.
    Kicked,
    /// There was no such connection.
    KickFailed,
    /// The request was refused.
    Error {
        /// For programs.
        reason: Reason,
        /// For people.
        message: Cow<'a, str>,
        /// The lock in the request, if it could be read.
        name: Option<&'a str>,
    },
}

/// The limits that a client learns.
#[derive(Clone, Copy, Debug)]
pub struct HelloLimits {
    /// The longest line, in bytes.
    pub line_bytes_max: usize,
    /// Locks that the connection may hold and wait for together.
    pub connection_locks_max: usize,
    /// Connections that may wait for one lock.
    pub lock_waits_max: usize,
    /// The largest listing, in bytes.
    pub reply_bytes_max: usize,
    /// The connection's idle limit. None: it has none.
    pub max_idle: Option<Span>,
    /// After this long without a sign of life the connection is given up, whatever the reason. None: never.
    pub silent_after: Option<Span>,
}

/// The most connections in `queue`.
pub const QUEUE_PEERS_MAX: usize = 1000;

impl<'a> Reply<'a> {
    /// An error without a request.
    pub fn error(reason: Reason, message: impl Into<Cow<'a, str>>) -> Self {
        Reply { id: None, outcome: Outcome::Error { reason, message: message.into(), name: None } }
    }

    /// Appends the reply as one line, `\n` included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.outcome {
            Outcome::Acquired { name } => push_named(out, name, b"\",\"result\":\"acquired\""),
            Outcome::AlreadyAcquired { name } => push_named(out, name, b"\",\"result\":\"already_acquired\""),
            Outcome::TimedOut { name, queue } => {
                push_named(out, name, b"\",\"result\":\"timed_out\"");
                push_queue(out, queue);
            }
            Outcome::QueueMaxed { name, queue } => {
                push_named(out, name, b"\",\"result\":\"queue_maxed\"");
                push_queue(out, queue);
            }
            Outcome::Released { name } => push_named(out, name, b"\",\"result\":\"released\""),
            Outcome::ReleaseFailed { name } => push_named(out, name, b"\",\"result\":\"release_failed\""),
            Outcome::Cancelled { name } => push_named(out, name, b"\",\"result\":\"cancelled\""),
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
            Outcome::Pong => out.extend_from_slice(b"{\"result\":\"pong\""),
            Outcome::Hello { connection, limits } => push_hello(out, *connection, limits),
            Outcome::Kicked => out.extend_from_slice(b"{\"result\":\"kicked\""),
            Outcome::KickFailed => out.extend_from_slice(b"{\"result\":\"kick_failed\""),
            Outcome::Error { reason, message, name } => {
                out.extend_from_slice(b"{\"result\":\"error\",\"reason\":\"");
                out.extend_from_slice(reason.as_str().as_bytes());
                out.extend_from_slice(b"\",\"message\":");
                push_str(out, message);
                if let Some(name) = name {
                    out.extend_from_slice(b",\"name\":");
                    push_str(out, name);
                }
            }
        }
        match self.id {
            None => {}
            Some(Id::Number(number)) => {
                out.extend_from_slice(b",\"id\":");
                push_u64(out, number);
            }
            Some(Id::Text(text)) => {
                out.extend_from_slice(b",\"id\":");
                push_str(out, text);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

/// `rest` begins with the quote that ends the name: few long pieces cost less than many short ones.
fn push_named(out: &mut Vec<u8>, name: &str, rest: &[u8]) {
    out.extend_from_slice(b"{\"name\":\"");
    push_unquoted(out, name);
    out.extend_from_slice(rest);
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

fn push_hello(out: &mut Vec<u8>, connection: Peer, limits: &HelloLimits) {
    out.extend_from_slice(b"{\"result\":\"hello\",\"server\":\"officer\",\"version\":");
    push_str(out, env!("CARGO_PKG_VERSION"));
    out.extend_from_slice(b",\"connection\":");
    push_peer(out, connection);
    let counts = [
        (&b",\"limits\":{\"line_bytes_max\":"[..], limits.line_bytes_max),
        (b",\"connection_locks_max\":", limits.connection_locks_max),
        (b",\"lock_waits_max\":", limits.lock_waits_max),
        (b",\"reply_bytes_max\":", limits.reply_bytes_max),
    ];
    for (key, count) in counts {
        out.extend_from_slice(key);
        push_u64(out, count as u64);
    }
    out.extend_from_slice(b",\"max_idle\":");
    // 0 means never, as in the server's option.
    push_seconds(out, limits.max_idle.unwrap_or_default());
    out.extend_from_slice(b",\"silent_after\":");
    push_seconds(out, limits.silent_after.unwrap_or_default());
    out.extend_from_slice(b"},\"features\":[\"strict\"],\"resumed\":false");
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
mod tests {
    use super::*;

    fn encoded(id: Option<Id<&str>>, outcome: Outcome<'_>) -> String {
        let mut out = Vec::new();
        Reply { id, outcome }.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_is_one_line_of_json() {
        assert_eq!(
            encoded(None, Outcome::Acquired { name: "boss:17" }),
            "{\"name\":\"boss:17\",\"result\":\"acquired\"}\n"
        );
        assert_eq!(
            encoded(Some(Id::Number(7)), Outcome::TimedOut { name: "a\nb", queue: &[Peer::Unix(1), Peer::Unix(2)] }),
            "{\"name\":\"a\\nb\",\"result\":\"timed_out\",\"queue\":[\"unix:1\",\"unix:2\"],\"id\":7}\n"
        );
        assert_eq!(
            encoded(Some(Id::Text("x\"y")), Outcome::ResetSucceeded),
            "{\"result\":\"reset_succeeded\",\"id\":\"x\\\"y\"}\n"
        );
        assert_eq!(
            encoded(None, Outcome::Error { reason: Reason::InvalidJson, message: "no".into(), name: Some("\u{1}") }),
            "{\"result\":\"error\",\"reason\":\"invalid_json\",\"message\":\"no\",\"name\":\"\\u0001\"}\n"
        );
    }
}
