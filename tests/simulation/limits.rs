//! The limits that a server is run with, in the terms of the protocol and in nanoseconds.

use std::time::Duration;

use fastrand::Rng;
use officer::server;

#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The longest line.
    pub(crate) line_bytes_max: usize,
    pub(crate) connections_max: usize,
    /// Locks that a connection may hold and wait for.
    pub(crate) connection_locks_max: usize,
    /// Connections that may wait for one lock.
    pub(crate) lock_waits_max: usize,
    /// The largest listing.
    pub(crate) reply_bytes_max: usize,
    /// What all connections together may have sent that is not executed yet.
    pub(crate) inboxes_bytes_max: usize,
    /// With so much unsent a connection's requests are not executed,
    pub(crate) outbox_pause_bytes: usize,
    /// and with more than this it is closed.
    pub(crate) outbox_bytes_max: usize,
    /// The same for all connections together.
    pub(crate) outboxes_bytes_max: usize,
    /// Whoever takes nothing for this long is closed.
    pub(crate) outbox_stall: u64,
    /// Whoever sends nothing for this long is closed. None: nobody is.
    pub(crate) max_idle: Option<u64>,
    /// How long what is sent after a fatal error is read and dropped.
    pub(crate) linger: u64,
    pub(crate) kick_from_anywhere: bool,
    /// How much of one connection's input is read in a turn.
    pub(crate) turn_read_bytes: usize,
    /// How many timeouts are executed in a turn, and after how many bytes of their answers the others wait for the next.
    pub(crate) turn_expiries_max: usize,
    pub(crate) turn_expiry_bytes: usize,
    /// How many connections are ended in a turn.
    pub(crate) turn_ends_max: usize,
    /// How many grants a turn makes beyond those that are free.
    pub(crate) turn_grants_max: usize,
    /// How many locks of all connections may be closed, or may come to be.
    pub(crate) closing_locks_max: usize,
    pub(crate) sessions_max: usize,
    /// The token of the first grant.
    pub(crate) first_token: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Limits {
    /// Limits that nobody meets but by being silent.
    fn default() -> Self {
        Limits {
            line_bytes_max: 1000,
            connections_max: 1000,
            connection_locks_max: 1000,
            lock_waits_max: 1000,
            reply_bytes_max: 1 << 16,
            inboxes_bytes_max: 1 << 20,
            outbox_pause_bytes: 1 << 16,
            outbox_bytes_max: 1 << 20,
            outboxes_bytes_max: 1 << 20,
            outbox_stall: 30 * SECOND,
            max_idle: Some(60 * SECOND),
            linger: SECOND,
            kick_from_anywhere: false,
            turn_read_bytes: 2048,
            turn_expiries_max: 256,
            turn_expiry_bytes: 1 << 16,
            turn_ends_max: 128,
            turn_grants_max: 1000,
            closing_locks_max: 100_000,
            sessions_max: 10_000,
            first_token: 1,
        }
    }
}

impl Limits {
    /// Limits so small that they are met, each of them or not. Those that are not met are of any size: whoever cuts one
    /// short makes it small.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let usual = Limits::default();
        let mut seconds = |usual: u64| match random.u8(0..12) {
            0..4 => random.u64(1..6) * SECOND,
            4 => SECOND << random.u8(0..34),
            _ => usual,
        };
        let max_idle = seconds(60 * SECOND);
        let (outbox_stall, linger) = (seconds(usual.outbox_stall), seconds(usual.linger));
        // Where nobody is closed for being silent, the longest waits come to their end.
        let max_idle = (random.u8(0..4) > 0).then_some(max_idle);
        let mut small = |from: usize, to: usize, usual: usize| match random.u8(0..6) {
            0 | 1 => random.usize(from..to),
            2 => usual.max(1 << random.u8(0..53)) + random.usize(0..2),
            _ => usual,
        };
        let limits = Limits {
            connections_max: small(2, 8, usual.connections_max),
            connection_locks_max: small(1, 4, usual.connection_locks_max),
            lock_waits_max: small(1, 4, usual.lock_waits_max),
            reply_bytes_max: small(20, 200, usual.reply_bytes_max),
            inboxes_bytes_max: small(60, 400, usual.inboxes_bytes_max),
            outbox_pause_bytes: small(1, 300, usual.outbox_pause_bytes),
            outbox_bytes_max: small(200, 2000, usual.outbox_bytes_max),
            outboxes_bytes_max: small(600, 4000, usual.outboxes_bytes_max),
            turn_expiries_max: small(1, 3, usual.turn_expiries_max),
            turn_expiry_bytes: small(1, 300, usual.turn_expiry_bytes),
            turn_ends_max: small(1, 3, usual.turn_ends_max),
            turn_grants_max: small(1, 3, usual.turn_grants_max),
            closing_locks_max: small(0, 4, usual.closing_locks_max),
            sessions_max: small(0, 4, usual.sessions_max),
            ..usual
        };
        // These two are memory that is really there.
        let mut small = |from: usize, to: usize, usual: usize| {
            if random.u8(0..3) == 0 { random.usize(from..to) } else { usual }
        };
        Limits {
            line_bytes_max: small(60, 140, limits.line_bytes_max),
            turn_read_bytes: small(1, 100, limits.turn_read_bytes),
            outbox_stall,
            linger,
            max_idle,
            kick_from_anywhere: random.bool(),
            first_token: ((1 << random.u8(0..53)) - random.u64(0..2)).max(1),
            ..limits
        }
    }

    /// The same as the server has them.
    pub(crate) fn of_server(&self) -> server::Limits {
        server::Limits {
            line_bytes_max: self.line_bytes_max,
            connections_max: self.connections_max,
            connection_locks_max: self.connection_locks_max,
            lock_waits_max: self.lock_waits_max,
            reply_bytes_max: self.reply_bytes_max,
            inboxes_bytes_max: self.inboxes_bytes_max,
            outbox_pause_bytes: self.outbox_pause_bytes,
            outbox_bytes_max: self.outbox_bytes_max,
            outboxes_bytes_max: self.outboxes_bytes_max,
            outbox_stall: Duration::from_nanos(self.outbox_stall),
            max_idle: self.max_idle.map(Duration::from_nanos),
            linger: Duration::from_nanos(self.linger),
            kick_from_anywhere: self.kick_from_anywhere,
            turn_read_bytes: self.turn_read_bytes,
            turn_expiries_max: self.turn_expiries_max,
            turn_expiry_bytes: self.turn_expiry_bytes,
            turn_ends_max: self.turn_ends_max,
            turn_grants_max: self.turn_grants_max,
            closing_locks_max: self.closing_locks_max,
            sessions_max: self.sessions_max,
            ..server::Limits::default()
        }
    }
}
