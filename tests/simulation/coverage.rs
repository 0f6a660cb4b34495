//! How often each thing happened that the simulation is there for. What never happened was never tested.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Ask, Extra, Lock, Mode, Target};

/// What may come together in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Accept,
    Input,
    End,
    Reset,
    Room,
    Stray,
    Timeout,
    Grace,
    Silence,
}

const EVENTS: [&str; 9] =
    ["accept", "input", "end", "reset", "room", "stray event", "timeout", "grace", "idle/stall/linger"];

/// All that has to happen in a run of many seeds.
const REQUIRED: &[&str] = &[
    "command lock",
    "command timed lock",
    "command unlock",
    "command reset",
    "command locks",
    "command page of locks",
    "command connections",
    "command page of connections",
    "command my_locks",
    "command keep_alive",
    "command ping",
    "command hello",
    "command kick",
    "command none of these",
    "reply acquired",
    "reply already_acquired",
    "reply timed_out",
    "reply queue_maxed",
    "reply released",
    "reply release_failed",
    "reply cancelled",
    "reply reset_succeeded",
    "reply kept_alive",
    "reply pong",
    "reply hello",
    "reply kicked",
    "reply kick_failed",
    "reply locks",
    "reply connections",
    "reply my_locks",
    "reply error not_allowed",
    "reply error already_queued",
    "reply error unknown_command",
    "reply error invalid_request",
    "reply error invalid_json",
    "reply error wrong_protocol",
    "limit connection_locks_max",
    "limit lock_waits_max",
    "limit reply_bytes_max",
    "limit line_bytes_max",
    "limit inboxes_bytes_max",
    "limit connections_max",
    "limit outbox_bytes_max",
    "limit outboxes_bytes_max",
    "limit max_idle",
    "limit outbox_stall",
    "limit linger",
    "cut turn_read_bytes",
    "cut turn_expiries_max",
    "cut turn_expiry_bytes",
    "cut turn_ends_max",
    "cut outbox_pause_bytes",
    "poll cut short",
    "poll interrupted",
    "poll begun long before its turn",
    "a turn that may not execute what is due",
    "end the peer closed",
    "end the socket failed",
    "end kicked",
    "end with a partial line",
    "a slot used again at once",
    "an event of a former connection",
    "a grant passed on by a connection that ended",
    "a second request joined a wait",
    "a part of a reply taken",
    "a page of connections after another",
    "a listing of one page",
    "a listing of several pages",
    "an unknown field on a strict connection",
    "an unknown field that is ignored",
    "another protocol in pieces",
    "another protocol after blank lines",
    "another protocol with more in the same read",
    "another protocol as a later line",
    "command lock, shared",
    "command lock of a unit",
    "command lock with a lease",
    "command lock of several",
    "command lock of several, shared",
    "command lock of any of several",
    "command lock that refuses deadlocks",
    "command unlock of several",
    "command unlock with a token",
    "command renew",
    "command revoke",
    "command locks of one name",
    "reply renewed",
    "reply renew_failed",
    "reply revoked",
    "reply revoke_failed",
    "reply deadlock",
    "reply error mode_conflict",
    "reply error slots_mismatch",
    "reply error already_held",
    "notice expired",
    "notice revoked",
    "limit closing_locks_max",
    "cut turn_grants_max",
    "a timeout that comes to nothing",
    "a grant of several",
    "a grant of several after a wait",
    "a grant of one of several after a wait",
    "a grant of a unit after a wait",
    "a grant to a higher priority",
    "a lock that is closed",
    "a closed lock that opens for a waiter",
    "a lease that ends in the turn of a renewal",
    "a lease and a timeout of the same moment",
    "a wait for several that times out",
    "a wait for several that its connection's end ends",
    "a token that is not that of the hold",
    "one name left out of any of several",
    "command transfer",
    "command page of my_locks",
    "command watch",
    "command unwatch",
    "command stats",
    "reply queued",
    "reply transferred",
    "reply transfer_failed",
    "reply watching",
    "reply unwatched",
    "reply stats",
    "reply error session_unknown",
    "reply error session_taken",
    "limit sessions_max",
    "notice wanted",
    "notice event",
    "a hint that nobody is there to get",
    "a transfer of what others hold as well",
    "a transfer while min_hold runs",
    "a transfer to a session without a connection",
    "a transfer to who waits for several",
    "a transfer out of turn",
    "a second transfer past the first who waits",
    "a hello with a session",
    "a hello without a session again",
    "a resumption of a session that has something",
    "a resumption that ends the session",
    "a resumption that has too much to list",
    "a session resumed within its grace",
    "a session resumed as its grace ends",
    "a session taken from a connection",
    "a session taken from a connection that ends",
    "a session taken from a connection with unsent output",
    "a session taken from a connection with more input",
    "a session kicked that has a connection",
    "a session kicked that has no connection",
    "a session listed that has no connection",
    "a grant while nobody is there",
    "a grace and a timeout of the same moment",
    "a grace that does not count a pause",
    "cut turn_ends_max by sessions",
    "a watch replaced",
    "an event that is missed",
];

/// Counters, and sums of what was simulated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    pairs: [[u64; EVENTS.len()]; EVENTS.len()],
    of_turn: [u64; EVENTS.len()],
    pub(crate) steps: u64,
    pub(crate) turns: u64,
    /// Nanoseconds of virtual time.
    pub(crate) time: u128,
}

impl Coverage {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Something that will be dealt with in the next turn.
    pub(crate) fn event(&mut self, event: Event) {
        self.of_turn[event as usize] += 1;
    }

    /// The turn is over: what it dealt with came together.
    pub(crate) fn end_turn(&mut self) {
        self.turns += 1;
        let counts = std::mem::take(&mut self.of_turn);
        for (one, row) in self.pairs.iter_mut().enumerate().filter(|(one, _)| counts[*one] > 0) {
            for (other, pair) in row.iter_mut().enumerate() {
                let needed = if one == other { 2 } else { 1 };
                *pair += u64::from(counts[other] >= needed);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Coverage) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (row, others) in self.pairs.iter_mut().zip(&other.pairs) {
            row.iter_mut().zip(others).for_each(|(sum, count)| *sum += count);
        }
        self.steps += other.steps;
        self.turns += other.turns;
        self.time += other.time;
    }

    /// What never happened.
    pub(crate) fn missing(&self) -> Vec<String> {
        let counted = REQUIRED.iter().filter(|what| !self.counts.contains_key(**what));
        let mut missing: Vec<String> = counted.map(|what| (*what).to_owned()).collect();
        for (one, row) in self.pairs.iter().enumerate() {
            for (other, count) in row.iter().enumerate().skip(one) {
                if *count == 0 {
                    missing.push(format!("{} and {} in the same turn", EVENTS[one], EVENTS[other]));
                }
            }
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>12}  {what}")?;
        }
        writeln!(f, "in the same turn:")?;
        write!(f, "{:18}", "")?;
        EVENTS.iter().try_for_each(|event| write!(f, "{event:>18}"))?;
        for (one, row) in self.pairs.iter().enumerate() {
            write!(f, "\n{:18}", EVENTS[one])?;
            row.iter().try_for_each(|count| write!(f, "{count:>18}"))?;
        }
        writeln!(f)
    }
}

/// What a request counts as.
pub(crate) fn command(ask: &Ask) -> &'static str {
    match ask {
        Ask::Lock(lock) => command_lock(lock),
        Ask::Unlock { target: Target::Several(_), .. } => "command unlock of several",
        Ask::Unlock { token: Some(_), .. } => "command unlock with a token",
        Ask::Unlock { .. } => "command unlock",
        Ask::Renew { .. } => "command renew",
        Ask::Revoke { .. } => "command revoke",
        Ask::Transfer { .. } => "command transfer",
        Ask::MyLocksPage { .. } => "command page of my_locks",
        Ask::One { .. } => "command locks of one name",
        Ask::Reset => "command reset",
        Ask::Locks => "command locks",
        Ask::Page { .. } => "command page of locks",
        Ask::Connections => "command connections",
        Ask::MyLocks => "command my_locks",
        Ask::KeepAlive => "command keep_alive",
        Ask::Ping => "command ping",
    }
}

/// What a reply counts as.
pub(crate) fn reply(reply: &str) -> &'static str {
    const KINDS: [(&str, &str); 47] = [
        ("\"notice\":\"event\"", "notice event"),
        ("\"notice\":\"wanted\"", "notice wanted"),
        ("\"result\":\"stats\"", "reply stats"),
        ("\"queued\"", "reply queued"),
        ("\"transferred\"", "reply transferred"),
        ("\"transfer_failed\"", "reply transfer_failed"),
        ("\"watching\"", "reply watching"),
        ("\"unwatched\"", "reply unwatched"),
        ("\"session_unknown\"", "reply error session_unknown"),
        ("\"session_taken\"", "reply error session_taken"),
        ("\"too_many_sessions\"", "limit sessions_max"),
        ("\"notice\":\"expired\"", "notice expired"),
        ("\"notice\":\"revoked\"", "notice revoked"),
        ("\"result\":\"deadlock\"", "reply deadlock"),
        ("\"renewed\"", "reply renewed"),
        ("\"renew_failed\"", "reply renew_failed"),
        ("\"revoked\"", "reply revoked"),
        ("\"revoke_failed\"", "reply revoke_failed"),
        ("\"mode_conflict\"", "reply error mode_conflict"),
        ("\"slots_mismatch\"", "reply error slots_mismatch"),
        ("\"already_held\"", "reply error already_held"),
        ("\"acquired\"", "reply acquired"),
        ("\"released\"", "reply released"),
        ("\"already_acquired\"", "reply already_acquired"),
        ("\"timed_out\"", "reply timed_out"),
        ("\"queue_maxed\"", "reply queue_maxed"),
        ("\"release_failed\"", "reply release_failed"),
        ("\"cancelled\"", "reply cancelled"),
        ("\"reset_succeeded\"", "reply reset_succeeded"),
        ("\"kept_alive\"", "reply kept_alive"),
        ("\"pong\"", "reply pong"),
        ("\"hello\"", "reply hello"),
        ("\"kicked\"", "reply kicked"),
        ("\"kick_failed\"", "reply kick_failed"),
        ("\"too_many_locks\"", "limit connection_locks_max"),
        ("\"too_many_waits\"", "limit lock_waits_max"),
        ("\"reply_too_large\"", "limit reply_bytes_max"),
        ("\"not_allowed\"", "reply error not_allowed"),
        ("\"already_queued\"", "reply error already_queued"),
        ("\"unknown_command\"", "reply error unknown_command"),
        ("\"invalid_request\"", "reply error invalid_request"),
        ("\"invalid_json\"", "reply error invalid_json"),
        ("\"wrong_protocol\"", "reply error wrong_protocol"),
        ("\"result\":\"locks\"", "reply locks"),
        ("\"result\":\"connections\"", "reply connections"),
        ("\"result\":\"my_locks\"", "reply my_locks"),
        ("\"result\":\"error\"", "reply another error"),
    ];
    KINDS.iter().find(|(part, _)| reply.contains(part)).expect("a reply has a result").1
}

fn command_lock(lock: &Lock) -> &'static str {
    let Extra { mode, slots, any, refuses_deadlock, lease, .. } = &lock.extra;
    let is_several = matches!(lock.target, Target::Several(_));
    match (&lock.timeout, is_several) {
        _ if *refuses_deadlock => "command lock that refuses deadlocks",
        (_, true) if *any == Some(true) => "command lock of any of several",
        (_, true) if *mode == Some(Mode::Shared) => "command lock of several, shared",
        (_, true) => "command lock of several",
        _ if slots.is_some() => "command lock of a unit",
        _ if *mode == Some(Mode::Shared) => "command lock, shared",
        _ if lease.is_some() => "command lock with a lease",
        (None, false) => "command lock",
        (Some(_), false) => "command timed lock",
    }
}
