//! The options that set limits. Each is named after its field, with the unit in the name, and has the field's default.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::console::values::{Seconds, interval, seconds_above_zero};
use crate::net::{ADMIN_PLACES, Limits, TURN_ACCEPTS_MAX, TcpOptions, descriptors};

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitOptions {
    /// Longest line of a client, not counting its line end
    #[arg(long, value_name = "BYTES", env = "OFFICER_LINE_BYTES_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().line_bytes_max, value_parser = from_1_to(1 << 30))]
    line_bytes_max: usize,

    /// Connections at a time [default: the limit on descriptors, less a reserve]
    #[arg(long, value_name = "COUNT", env = "OFFICER_CONNECTIONS_MAX", hide_env_values = true)]
    #[arg(value_parser = count())]
    connections_max: Option<usize>,

    /// Connections that have not said yet who they are, which are not counted among the others; when one more comes, one
    /// of the address with most makes way [default: 1000, or a quarter of the limit on descriptors]
    #[arg(long, value_name = "COUNT", env = "OFFICER_STRANGERS_MAX", hide_env_values = true)]
    #[arg(value_parser = count())]
    strangers_max: Option<usize>,

    /// Time that a connection has to say who it is
    #[arg(long, value_name = "SECONDS", env = "OFFICER_AUTH_SECONDS", hide_env_values = true)]
    #[arg(default_value_t = Seconds(Limits::default().auth), value_parser = seconds_above_zero)]
    auth_seconds: Seconds,

    /// Time that a handshake may wait for the client
    #[arg(long, value_name = "SECONDS", env = "OFFICER_HANDSHAKE_SECONDS", hide_env_values = true)]
    #[arg(default_value_t = Seconds(Limits::default().handshake), value_parser = seconds_above_zero)]
    handshake_seconds: Seconds,

    /// Connections of one IP address, or of one /64 of IPv6 [default: as many as there may be]
    #[arg(long, value_name = "COUNT", env = "OFFICER_ADDRESS_CONNECTIONS_MAX", hide_env_values = true)]
    #[arg(value_parser = count())]
    address_connections_max: Option<usize>,

    /// Sessions that clients can resume, with a connection or without
    #[arg(long, value_name = "COUNT", env = "OFFICER_SESSIONS_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().sessions_max, value_parser = count())]
    sessions_max: usize,

    /// Locks that one connection may hold and wait for
    #[arg(long, value_name = "COUNT", env = "OFFICER_CONNECTION_LOCKS_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().connection_locks_max, value_parser = count())]
    connection_locks_max: usize,

    /// Connections that may wait for one lock
    #[arg(long, value_name = "COUNT", env = "OFFICER_LOCK_WAITS_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().lock_waits_max, value_parser = count())]
    lock_waits_max: usize,

    /// Requests with min_hold or lost_delay that wait or hold, or whose lock is still closed
    #[arg(long, value_name = "COUNT", env = "OFFICER_CLOSING_LOCKS_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().closing_locks_max, value_parser = count())]
    closing_locks_max: usize,

    /// Input of all connections that is not executed yet, after which the connection with the most is closed
    #[arg(long, value_name = "BYTES", env = "OFFICER_INBOXES_BYTES_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().inboxes_bytes_max, value_parser = bytes())]
    inboxes_bytes_max: usize,

    /// Unsent bytes after which a connection's requests wait
    #[arg(long, value_name = "BYTES", env = "OFFICER_OUTBOX_PAUSE_BYTES", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().outbox_pause_bytes, value_parser = bytes())]
    outbox_pause_bytes: usize,

    /// Unsent bytes above which a connection is closed
    #[arg(long, value_name = "BYTES", env = "OFFICER_OUTBOX_BYTES_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().outbox_bytes_max, value_parser = bytes())]
    outbox_bytes_max: usize,

    /// Unsent bytes of all connections, after which the connection with the most is closed
    #[arg(long, value_name = "BYTES", env = "OFFICER_OUTBOXES_BYTES_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().outboxes_bytes_max, value_parser = bytes())]
    outboxes_bytes_max: usize,

    /// Time after which a connection that reads nothing of its output is closed
    #[arg(long, value_name = "SECONDS", env = "OFFICER_OUTBOX_STALL_SECONDS", hide_env_values = true)]
    #[arg(default_value_t = Seconds(Limits::default().outbox_stall), value_parser = seconds_above_zero)]
    outbox_stall_seconds: Seconds,

    /// Largest listing; a larger one is answered with an error
    #[arg(long, value_name = "BYTES", env = "OFFICER_REPLY_BYTES_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().reply_bytes_max, value_parser = bytes())]
    reply_bytes_max: usize,

    /// Time that a connection closed with an error has to read it; 0: none
    #[arg(long, value_name = "SECONDS", env = "OFFICER_LINGER_SECONDS", hide_env_values = true)]
    #[arg(default_value_t = Seconds(Limits::default().linger))]
    linger_seconds: Seconds,

    /// Log holds that last longer than this while others wait, at least 0.1 [default: off]
    #[arg(long, value_name = "SECONDS", env = "OFFICER_SLOW_HOLD_SECONDS", hide_env_values = true)]
    #[arg(value_parser = interval)]
    slow_hold_seconds: Option<Seconds>,

    /// Let connections from other machines kick connections (`officer kick`)
    #[arg(long, env = "OFFICER_KICK_FROM_ANYWHERE", hide_env_values = true)]
    #[arg(value_parser = clap::builder::BoolishValueParser::new())]
    kick_from_anywhere: bool,

    /// Bytes read from one connection in one turn
    #[arg(long, value_name = "BYTES", env = "OFFICER_TURN_READ_BYTES", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().turn_read_bytes, value_parser = from_1_to(64 << 20))]
    turn_read_bytes: usize,

    /// Deadlines executed in one turn, at most
    #[arg(long, value_name = "COUNT", env = "OFFICER_TURN_EXPIRIES_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().turn_expiries_max, value_parser = count())]
    turn_expiries_max: usize,

    /// Bytes written by deadlines in one turn; further deadlines wait for the next turn
    #[arg(long, value_name = "BYTES", env = "OFFICER_TURN_EXPIRY_BYTES", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().turn_expiry_bytes, value_parser = bytes())]
    turn_expiry_bytes: usize,

    /// Grants in one turn, not counting the first on each lock after a hold or wait ended
    #[arg(long, value_name = "COUNT", env = "OFFICER_TURN_GRANTS_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().turn_grants_max, value_parser = count())]
    turn_grants_max: usize,

    /// Places on locks that are looked at for deadlocks in one turn, and as many for waits that are due
    #[arg(long, value_name = "COUNT", env = "OFFICER_TURN_WALK_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().turn_walk_max, value_parser = count())]
    turn_walk_max: usize,

    /// Connections closed in one turn, at most
    #[arg(long, value_name = "COUNT", env = "OFFICER_TURN_ENDS_MAX", hide_env_values = true)]
    #[arg(default_value_t = Limits::default().turn_ends_max, value_parser = count())]
    turn_ends_max: usize,

    /// Connections accepted in one turn
    #[arg(long, value_name = "COUNT", env = "OFFICER_TURN_ACCEPTS_MAX", hide_env_values = true)]
    #[arg(default_value_t = TURN_ACCEPTS_MAX, value_parser = count())]
    pub(super) turn_accepts_max: usize,

    /// TCP: silence after which the system starts to send keep-alive probes
    #[arg(long, value_name = "SECONDS", env = "OFFICER_KEEPALIVE_IDLE_SECONDS", hide_env_values = true)]
    #[arg(default_value_t = TcpOptions::default().keepalive_idle.as_secs(), value_parser = keepalive_seconds())]
    keepalive_idle_seconds: u64,

    /// TCP: time between two probes
    #[arg(long, value_name = "SECONDS", env = "OFFICER_KEEPALIVE_INTERVAL_SECONDS", hide_env_values = true)]
    #[arg(default_value_t = TcpOptions::default().keepalive_interval.as_secs(), value_parser = keepalive_seconds())]
    keepalive_interval_seconds: u64,

    /// TCP: unanswered probes after which a client counts as gone
    #[arg(long, value_name = "COUNT", env = "OFFICER_KEEPALIVE_PROBES", hide_env_values = true)]
    #[arg(default_value_t = TcpOptions::default().keepalive_probes)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=127))]
    keepalive_probes: u32,

    /// TCP: time after which a client that acknowledges nothing is gone; on Linux this replaces the number of probes, and
    /// limits clients that read nothing; 0 leaves it to the system [default: as long as the probes take]
    #[arg(long, value_name = "SECONDS", env = "OFFICER_USER_TIMEOUT_SECONDS", hide_env_values = true)]
    user_timeout_seconds: Option<Seconds>,
}

fn from_1_to(max: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=max)
}

/// Counted things are numbered with 32 bits.
fn count() -> RangedU64ValueParser<usize> {
    from_1_to(1 << 30)
}

/// More than a machine has, and small enough that sums don't overflow.
fn bytes() -> RangedU64ValueParser<usize> {
    from_1_to(1 << 40)
}

/// The range that Linux accepts.
fn keepalive_seconds() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=32_767)
}

impl LimitOptions {
    /// `descriptors` is the current limit on descriptors. `has_strangers`: there may be connections that have not said yet
    /// who they are. `beside`: connections of another kind.
    pub(super) fn limits(
        &self,
        max_idle: Option<Duration>,
        descriptors: u64,
        has_strangers: bool,
        beside: usize,
    ) -> Limits {
        let strangers_max = self.strangers_max.unwrap_or_else(|| descriptors::strangers_max_default(descriptors));
        let beside = beside + if has_strangers { strangers_max + ADMIN_PLACES } else { 0 };
        let connections_max = descriptors::connections_max_default(descriptors, beside);
        Limits {
            line_bytes_max: self.line_bytes_max,
            inboxes_bytes_max: self.inboxes_bytes_max,
            connections_max: self.connections_max.unwrap_or(connections_max),
            strangers_max,
            auth: self.auth_seconds.0,
            handshake: self.handshake_seconds.0,
            address_connections_max: self.address_connections_max,
            sessions_max: self.sessions_max,
            connection_locks_max: self.connection_locks_max,
            lock_waits_max: self.lock_waits_max,
            closing_locks_max: self.closing_locks_max,
            max_idle,
            outbox_pause_bytes: self.outbox_pause_bytes,
            outbox_bytes_max: self.outbox_bytes_max,
            outboxes_bytes_max: self.outboxes_bytes_max,
            outbox_stall: self.outbox_stall_seconds.0,
            reply_bytes_max: self.reply_bytes_max,
            linger: self.linger_seconds.0,
            kick_from_anywhere: self.kick_from_anywhere,
            slow_hold: self.slow_hold_seconds.map(|seconds| seconds.0),
            // Follows from the options of TCP.
            silent_after: None,
            turn_read_bytes: self.turn_read_bytes,
            turn_expiries_max: self.turn_expiries_max,
            turn_expiry_bytes: self.turn_expiry_bytes,
            turn_grants_max: self.turn_grants_max,
            turn_walk_max: self.turn_walk_max,
            turn_ends_max: self.turn_ends_max,
        }
    }

    pub(super) fn tcp(&self) -> TcpOptions {
        TcpOptions {
            keepalive_idle: Duration::from_secs(self.keepalive_idle_seconds),
            keepalive_interval: Duration::from_secs(self.keepalive_interval_seconds),
            keepalive_probes: self.keepalive_probes,
            user_timeout: self.user_timeout_seconds.map(|seconds| seconds.0),
        }
    }
}
