//! Every limit of the server, with its unit in its name.

use std::time::Duration;

/// What a connection, a lock and the server as a whole may use. The defaults are those of the command line.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct Limits {
    /// The longest line, in bytes before its `\n`. A longer one is answered with an error and the connection is closed.
    pub line_bytes_max: usize,
    /// Bytes received on all connections together and not executed, most of them of lines whose end has not come. Past
    /// it, the connection that has sent most of them is closed.
    pub inboxes_bytes_max: usize,
    /// Connections at a time, strangers not counted. One more is told so and closed.
    pub connections_max: usize,
    /// Connections of which it is not known yet who they are. When one more comes, one of them makes way.
    pub strangers_max: usize,
    /// How long a connection has to say who it is, from when it was accepted.
    pub auth: Duration,
    /// How long a handshake may wait for the peer.
    pub handshake: Duration,
    /// Connections of one IP address (IPv6: of one /64), strangers included. One more is told so and closed. None: as many
    /// as there may be.
    pub address_connections_max: Option<usize>,
    /// Sessions that can be resumed, with a connection or without. One more is refused.
    pub sessions_max: usize,
    /// Locks that one connection may hold and wait for together.
    pub connection_locks_max: usize,
    /// Connections that may wait for one lock.
    pub lock_waits_max: usize,
    /// Requests with `min_hold` or `lost_delay` that wait or hold, or whose lock is still closed.
    pub closing_locks_max: usize,
    /// A connection that has sent nothing for this long is closed. None: never.
    pub max_idle: Option<Duration>,
    /// How soon the system gives up a TCP connection whose peer has vanished: clients are told of it. None: never, or
    /// unknown.
    pub silent_after: Option<Duration>,
    /// With this many bytes unsent, the requests of a connection are not executed until it takes some.
    pub outbox_pause_bytes: usize,
    /// With more bytes unsent, a connection is closed.
    pub outbox_bytes_max: usize,
    /// Bytes unsent on all connections together. Past it, the connection that owes most is closed.
    pub outboxes_bytes_max: usize,
    /// A connection that takes nothing of its output for this long is closed.
    pub outbox_stall: Duration,
    /// The largest listing, in bytes. A larger one is answered with an error.
    pub reply_bytes_max: usize,
    /// How long a connection that was closed with an error is still read from, so that the error reaches the peer.
    pub linger: Duration,
    /// Holds that last longer than this while others wait are logged. None: they are not.
    pub slow_hold: Option<Duration>,
    /// Whether connections from other machines may end others.
    pub kick_from_anywhere: bool,
    /// Bytes read from one connection in one turn.
    pub turn_read_bytes: usize,
    /// Deadlines executed in one turn, if these take no longer than a millisecond.
    pub turn_expiries_max: usize,
    /// Once the deadlines of one turn have written this many bytes, the others wait for the next turn.
    pub turn_expiry_bytes: usize,
    /// Grants in one turn, not counting the first on each lock after a hold or wait ended.
    pub turn_grants_max: usize,
    /// Places that walks for deadlocks look at in one turn, before further requests that need one wait for the next turn;
    /// also the most that one of them may look at. As many others are looked at to know whether waits that are due are left
    /// over.
    pub turn_walk_max: usize,
    /// Connections ended in one turn, and as many sessions that have none, if these take no longer than a millisecond each. What
    /// such a connection held is released, however much it is. Closing a socket is what takes long: 10 to 20 µs.
    pub turn_ends_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_bytes_max: 64 << 10,
            inboxes_bytes_max: 256 << 20,
            connections_max: 10_000,
            strangers_max: 1_000,
            auth: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            address_connections_max: None,
            sessions_max: 10_000,
            connection_locks_max: 10_000,
            lock_waits_max: 100_000,
            closing_locks_max: 100_000,
            max_idle: Some(Duration::from_secs(60)),
            silent_after: None,
            outbox_pause_bytes: 64 << 10,
            outbox_bytes_max: 16 << 20,
            outboxes_bytes_max: 256 << 20,
            outbox_stall: Duration::from_secs(30),
            reply_bytes_max: 4 << 20,
            linger: Duration::from_secs(1),
            slow_hold: None,
            kick_from_anywhere: false,
            turn_read_bytes: 16 << 10,
            turn_expiries_max: 256,
            turn_expiry_bytes: 1 << 20,
            turn_grants_max: 1000,
            turn_walk_max: 50_000,
            turn_ends_max: 32,
        }
    }
}
