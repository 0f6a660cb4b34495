//! What is answered to a `hello`.

use super::push_peer;
use crate::time::Span;
use crate::wire::digits::push_u64;
use crate::wire::json::{push_seconds, push_str};
use crate::wire::peer::Peer;
use crate::wire::session::{HelloSession, Resumed};

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

/// The names in `features`, as a part of the reply to `hello`.
const FEATURES: &[u8] =
    b",\"features\":[\"owner\",\"fence\",\"mode\",\"slots\",\"lease\",\"renew\",\"names\",\"any\",\"priority\",\
    \"deadlock\",\"min_hold\",\"lost_delay\",\"label\",\"token\",\"revoke\",\"one_lock\",\"contended\",\"my_locks_page\",\
    \"notices\",\"progress\",\"hint\",\"transfer\",\"session\",\"watch\",\"stats\",\"users\",\"strict\"]";

/// Who the server is, and what it can do.
pub(super) fn push_hello(out: &mut Vec<u8>, connection: Peer, limits: &HelloLimits) {
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
}

/// The session, and what it still has.
pub(super) fn push_resumption(out: &mut Vec<u8>, session: Option<&HelloSession<'_>>, resumed: Option<&Resumed>) {
    out.extend_from_slice(if resumed.is_some() { b",\"resumed\":true" } else { b",\"resumed\":false" });
    if let Some(session) = session {
        session.push_to(out);
    }
    if let Some(resumed) = resumed {
        resumed.push_to(out);
    }
}
