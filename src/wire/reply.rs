//! The server's replies, and their encoding.

use std::borrow::Cow;

use super::items::Items;
use super::json::{push_member, push_seconds, push_str, push_u64, push_unquoted};
use super::listing::Listing;
use super::peer::Peer;
pub use super::reason::Reason;
use super::{Id, Owner};
use crate::time::Span;

/// One reply: what happened, and the id and the owner of the request that it answers.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    /// The request's id, if it had one.
    pub id: Option<Id<&'a str>>,
    /// The request's owner, if it had one.
    pub owner: Option<Owner<&'a str>>,
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
        token: Option<u64>,
        /// How long it was waited for, if the hold has a lease.
        waited: Option<Span>,
    },
    /// The asker already held the lock.
    AlreadyAcquired {
        /// The lock.
        subject: Subject<'a>,
        /// The token of the hold, if it was asked for.
        token: Option<u64>,
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
        /// What the request was about, if it could be read.
        subject: Option<Subject<'a>>,
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
/// The most parties in `cycle`.
pub const CYCLE_MAX: usize = 1000;

/// The names in `features`, as a part of the reply to `hello`.
const FEATURES: &[u8] =
    b",\"features\":[\"owner\",\"fence\",\"mode\",\"slots\",\"lease\",\"renew\",\"names\",\"any\",\"priority\",\
    \"deadlock\",\"min_hold\",\"lost_delay\",\"label\",\"token\",\"revoke\",\"one_lock\",\"notices\",\"strict\"]";

impl<'a> Reply<'a> {
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
    /// Appends an object without its end.
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Outcome::Acquired { subject, token, waited } => {
                push_subject(out, subject, b"\",\"result\":\"acquired\"");
                token.iter().for_each(|token| push_member(out, b",\"token\":", *token));
                if let Some(waited) = waited {
                    out.extend_from_slice(b",\"waited\":");
                    push_seconds(out, *waited);
                }
            }
            Outcome::AlreadyAcquired { subject, token } => {
                push_subject(out, subject, b"\",\"result\":\"already_acquired\"");
                token.iter().for_each(|token| push_member(out, b",\"token\":", *token));
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
                out.extend_from_slice(b",\"waiters\":");
                push_u64(out, *waiters);
            }
            Outcome::RenewFailed { subject } => push_subject(out, subject, b"\",\"result\":\"renew_failed\""),
            Outcome::Revoked { name, count } => {
                push_subject(out, &Subject::Lock(name), b"\",\"result\":\"revoked\"");
                push_member(out, b",\"count\":", *count);
            }
            Outcome::RevokeFailed { name } => {
                push_subject(out, &Subject::Lock(name), b"\",\"result\":\"revoke_failed\"")
            }
            Outcome::NoticeExpired { name, token } => {
                push_notice(out, name, b",\"notice\":\"expired\",\"token\":", *token)
            }
            Outcome::NoticeRevoked { name, token } => {
                push_notice(out, name, b",\"notice\":\"revoked\",\"token\":", *token)
            }
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
            Outcome::Error { reason, message, subject } => push_error(out, *reason, message, subject.as_ref()),
        }
    }
}

/// What the reply is about, and the result: the text after the last name and its quote. In one piece that is known at
/// compile time it costs least.
#[inline(always)]
fn push_subject<const N: usize>(out: &mut Vec<u8>, subject: &Subject<'_>, result: &'static [u8; N]) {
    match subject {
        Subject::Lock(name) => {
            out.extend_from_slice(b"{\"name\":\"");
            push_unquoted(out, name);
            out.extend_from_slice(result);
        }
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

fn push_notice(out: &mut Vec<u8>, name: &str, notice: &[u8], token: u64) {
    out.extend_from_slice(b"{\"name\":");
    push_str(out, name);
    out.extend_from_slice(notice);
    push_u64(out, token);
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
fn push_id_member<const KEY: usize>(out: &mut Vec<u8>, key: &[u8; KEY], id: Id<&str>) {
    match id {
        Id::Number(number) => push_member(out, key, number),
        Id::Text(text) => {
            out.extend_from_slice(key);
            push_str(out, text);
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
    out.extend_from_slice(b"}");
    out.extend_from_slice(FEATURES);
    out.extend_from_slice(b",\"resumed\":false");
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

    #[track_caller]
    fn assert_encoded(id: Option<Id<&str>>, owner: Option<Owner<&str>>, outcome: Outcome<'_>, line: &str) {
        let mut out = Vec::new();
        Reply { id, owner, outcome }.encode(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
    }

    #[track_caller]
    fn assert_bare(outcome: Outcome<'_>, line: &str) {
        assert_encoded(None, None, outcome, line);
    }

    const BOSS: Subject<'static> = Subject::Lock("boss:17");

    #[test]
    fn a_reply_is_one_line_of_json() {
        assert_bare(
            Outcome::Acquired { subject: BOSS, token: None, waited: None },
            r#"{"name":"boss:17","result":"acquired"}"#,
        );
        assert_encoded(
            Some(Id::Number(7)),
            None,
            Outcome::TimedOut { subject: Subject::Lock("a\nb"), queue: Some(&[Peer::Unix(1), Peer::Unix(2)]) },
            r#"{"name":"a\nb","result":"timed_out","queue":["unix:1","unix:2"],"id":7}"#,
        );
        assert_encoded(
            Some(Id::Text("x\"y")),
            None,
            Outcome::ResetSucceeded,
            r#"{"result":"reset_succeeded","id":"x\"y"}"#,
        );
        let subject = Some(Subject::Lock("\u{1}"));
        assert_bare(
            Outcome::Error { reason: Reason::InvalidJson, message: "no".into(), subject },
            r#"{"result":"error","reason":"invalid_json","message":"no","name":"\u0001"}"#,
        );
    }

    #[test]
    fn the_owner_comes_before_the_id_in_every_reply() {
        let released = Outcome::Released { subject: BOSS };
        let line = r#"{"name":"boss:17","result":"released","owner":"a\"b","id":7}"#;
        assert_encoded(Some(Id::Number(7)), Some(Id::Text("a\"b")), released, line);
        let error = Outcome::Error { reason: Reason::AlreadyHeld, message: "no".into(), subject: Some(BOSS) };
        let line =
            r#"{"result":"error","reason":"already_held","message":"no","name":"boss:17","owner":9007199254740991}"#;
        assert_encoded(None, Some(Id::Number(9_007_199_254_740_991)), error, line);
    }

    #[test]
    fn what_a_hold_has_beyond_its_name_is_told_where_it_was_asked_for() {
        let (token, waited) = (Some(42), Some(Span::from_nanos(1_500_999_999)));
        assert_bare(
            Outcome::Acquired { subject: BOSS, token, waited },
            r#"{"name":"boss:17","result":"acquired","token":42,"waited":1.500}"#,
        );
        assert_bare(
            Outcome::Acquired { subject: BOSS, token: None, waited: Some(Span::ZERO) },
            r#"{"name":"boss:17","result":"acquired","waited":0}"#,
        );
        assert_bare(
            Outcome::AlreadyAcquired { subject: BOSS, token },
            r#"{"name":"boss:17","result":"already_acquired","token":42}"#,
        );
        assert_bare(
            Outcome::AlreadyAcquired { subject: BOSS, token: None },
            r#"{"name":"boss:17","result":"already_acquired"}"#,
        );
        assert_bare(
            Outcome::Renewed { subject: BOSS, waiters: 0 },
            r#"{"name":"boss:17","result":"renewed","waiters":0}"#,
        );
        assert_bare(Outcome::RenewFailed { subject: BOSS }, r#"{"name":"boss:17","result":"renew_failed"}"#);
        assert_bare(
            Outcome::Revoked { name: "boss:17", count: 2 },
            r#"{"name":"boss:17","result":"revoked","count":2}"#,
        );
        assert_bare(Outcome::RevokeFailed { name: "boss:17" }, r#"{"name":"boss:17","result":"revoke_failed"}"#);
    }

    #[test]
    fn a_notice_has_no_result() {
        assert_bare(
            Outcome::NoticeExpired { name: "a\nb", token: 42 },
            r#"{"name":"a\nb","notice":"expired","token":42}"#,
        );
        assert_encoded(
            None,
            Some(Id::Number(7)),
            Outcome::NoticeRevoked { name: "boss:17", token: 0 },
            r#"{"name":"boss:17","notice":"revoked","token":0,"owner":7}"#,
        );
    }

    #[test]
    fn a_reply_about_several_locks_has_their_names() {
        let names = Items::from_iter(["boss:17", "a\"b"]);
        let subject = Subject::Locks(&names);
        let with = |rest: &str| format!(r#"{{"names":["boss:17","a\"b"],{rest}}}"#);
        for (outcome, rest) in [
            (Outcome::Acquired { subject, token: Some(42), waited: None }, r#""result":"acquired","token":42"#),
            (Outcome::AlreadyAcquired { subject, token: None }, r#""result":"already_acquired""#),
            (Outcome::TimedOut { subject, queue: None }, r#""result":"timed_out""#),
            (Outcome::Released { subject }, r#""result":"released""#),
            (Outcome::ReleaseFailed { subject }, r#""result":"release_failed""#),
            (Outcome::Cancelled { subject }, r#""result":"cancelled""#),
            (Outcome::Renewed { subject, waiters: 3 }, r#""result":"renewed","waiters":3"#),
            (Outcome::RenewFailed { subject }, r#""result":"renew_failed""#),
        ] {
            assert_bare(outcome, &with(rest));
        }
        assert_bare(
            Outcome::Error { reason: Reason::AlreadyQueued, message: "no".into(), subject: Some(subject) },
            r#"{"result":"error","reason":"already_queued","message":"no","names":["boss:17","a\"b"]}"#,
        );
    }

    #[test]
    fn a_cycle_names_connections_and_their_parties() {
        let mut cycle = Items::default();
        cycle.push_party(Peer::Unix(1), None);
        cycle.push_party(Peer::V4 { ip: [127, 0, 0, 1], port: 80 }, Some(Id::Number(7)));
        cycle.push_party(Peer::Unix(2), Some(Id::Text("7")));
        let deadlock = Outcome::Deadlock { subject: BOSS, cycle: &cycle };
        assert_bare(
            deadlock,
            r#"{"name":"boss:17","result":"deadlock","cycle":["unix:1",{"connection":"127.0.0.1:80","owner":7},{"connection":"unix:2","owner":"7"}]}"#,
        );
        let names = Items::from_iter(["a", "b"]);
        cycle.clear();
        cycle.push_party(Peer::Unix(1), None);
        assert_bare(
            Outcome::Deadlock { subject: Subject::Locks(&names), cycle: &cycle },
            r#"{"names":["a","b"],"result":"deadlock","cycle":["unix:1"]}"#,
        );
    }

    #[test]
    fn the_features_are_those_that_the_protocol_lists() {
        let limits = HelloLimits {
            line_bytes_max: 1,
            connection_locks_max: 2,
            lock_waits_max: 3,
            reply_bytes_max: 4,
            max_idle: Some(Span::from_nanos(60_000_000_000)),
            silent_after: None,
        };
        assert_bare(
            Outcome::Hello { connection: Peer::Unix(1), limits },
            concat!(
                r#"{"result":"hello","server":"officer","version":""#,
                env!("CARGO_PKG_VERSION"),
                r#"","connection":"unix:1","limits":{"line_bytes_max":1,"connection_locks_max":2,"lock_waits_max":3,"#,
                r#""reply_bytes_max":4,"max_idle":60,"silent_after":0},"features":["owner","fence","mode","slots","lease","#,
                r#""renew","names","any","priority","deadlock","min_hold","lost_delay","label","token","revoke","one_lock","#,
                r#""notices","strict"],"resumed":false}"#,
            ),
        );
    }
}
