//! Counters and gauges of the server, as `stats` answers them: always on, so each costs an instruction or two.

use std::io;

use super::commands::Actor;
use super::{Disconnect, Handshake, Server, Socket};
use crate::engine::Histogram;
use crate::time::{Moment, Span};
use crate::wire::reply::{Outcome, Reason};
use crate::wire::request::{Command, Operation, PlainOperation};
use crate::wire::stats::StatsValue;

/// The commands as they are counted.
const COMMANDS: [&str; 16] = [
    "hello",
    "lock",
    "unlock",
    "renew",
    "transfer",
    "revoke",
    "reset",
    "locks",
    "my_locks",
    "connections",
    "kick",
    "watch",
    "unwatch",
    "stats",
    "keep_alive",
    "ping",
];

/// The positions in [`COMMANDS`] of those that can be plain.
const LOCK: usize = 1;
const UNLOCK: usize = 2;
const KEEP_ALIVE: usize = 14;

/// The position of a command in [`COMMANDS`].
fn number_of(command: &Command<'_>) -> usize {
    match command {
        Command::Hello(_) => 0,
        Command::Locks(operation) => match operation {
            Operation::Lock(_) | Operation::LockWith(..) | Operation::LockMany(_) => LOCK,
            Operation::Unlock { .. } | Operation::UnlockMany { .. } => UNLOCK,
            Operation::Renew(_) => 3,
            Operation::Reset => 6,
            Operation::Locks | Operation::LocksPage(_) | Operation::OneLock { .. } => 7,
            Operation::MyLocks | Operation::MyLocksPage(_) => 8,
            Operation::Connections => 9,
            Operation::KeepAlive => KEEP_ALIVE,
            Operation::Ping => 15,
        },
        Command::Transfer(_) => 4,
        Command::Revoke(_) => 5,
        Command::ConnectionsPage(_) => 9,
        Command::Kick { .. } | Command::KickUser { .. } => 10,
        Command::Watch { .. } => 11,
        Command::Unwatch => 12,
        Command::Stats => 13,
    }
}

/// The reasons of errors.
const REASONS: [Reason; 21] = [
    Reason::InvalidJson,
    Reason::InvalidRequest,
    Reason::UnknownCommand,
    Reason::LineTooLong,
    Reason::TooManyConnections,
    Reason::TooManyLocks,
    Reason::TooManyWaits,
    Reason::ReplyTooLarge,
    Reason::AlreadyQueued,
    Reason::ShuttingDown,
    Reason::NotAllowed,
    Reason::WrongProtocol,
    Reason::ModeConflict,
    Reason::SlotsMismatch,
    Reason::AlreadyHeld,
    Reason::SessionTaken,
    Reason::SessionUnknown,
    Reason::TooManySessions,
    Reason::AuthFailed,
    Reason::NotAuthenticated,
    Reason::TooManyRequests,
];

/// What becomes of handshakes.
const HANDSHAKES: [&str; 5] = ["completed", "failed", "timed_out", "not_tls", "abandoned"];

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Figures {
    requests: [u64; COMMANDS.len()],
    /// Lines that are no requests.
    unknown: u64,
    errors: [u64; REASONS.len()],
    disconnects: [u64; Disconnect::WORDS.len()],
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    turns: u64,
    pub(super) resumptions: u64,
    longest_turn: Longest,
    pub(super) turn_durations: Histogram,
    pub(super) slow_holds: u64,
    handshakes: [u64; HANDSHAKES.len()],
}

impl Figures {
    /// Any request is executed.
    pub(super) fn on_request(&mut self, command: &Command<'_>) {
        self.requests[number_of(command)] += 1;
    }

    /// The same, for a plain line.
    #[inline(always)]
    pub(super) fn on_plain(&mut self, operation: &PlainOperation<'_>) {
        let number = match operation {
            PlainOperation::Lock(_) => LOCK,
            PlainOperation::Unlock { .. } => UNLOCK,
            PlainOperation::KeepAlive => KEEP_ALIVE,
        };
        self.requests[number] += 1;
    }

    /// A line was no request.
    pub(super) fn on_unknown(&mut self) {
        self.unknown += 1;
    }

    /// An error is sent.
    #[cold]
    pub(super) fn on_error(&mut self, reason: Reason) {
        let number = REASONS.iter().position(|known| *known == reason).expect("all reasons are known");
        self.errors[number] += 1;
    }

    /// A hold that others wait for has lasted for long.
    pub(super) fn on_slow_hold(&mut self) {
        self.slow_holds += 1;
    }

    /// A handshake has gone on. Counted once it is over.
    pub(super) fn on_handshake(&mut self, outcome: &io::Result<Handshake>) {
        let result = match outcome {
            Ok(Handshake::Done) => 0,
            Err(_) => 1,
            Ok(Handshake::NotTls) => 3,
            Ok(Handshake::Closed) => 4,
            Ok(Handshake::Waiting | Handshake::Later) => return,
        };
        self.handshakes[result] += 1;
    }

    /// A handshake is over because the peer took too long.
    pub(super) fn on_handshake_timeout(&mut self) {
        self.handshakes[2] += 1;
    }

    /// A session is resumed.
    pub(super) fn on_resumption(&mut self) {
        self.resumptions += 1;
    }

    /// It is decided that a connection ends.
    pub(super) fn on_disconnect(&mut self, why: &Disconnect) {
        let number = Disconnect::WORDS.iter().position(|word| *word == why.word()).expect("all words are known");
        self.disconnects[number] += 1;
    }

    #[inline(always)]
    pub(super) fn on_received(&mut self, bytes: usize) {
        self.received_bytes += bytes as u64;
    }

    #[inline(always)]
    pub(super) fn on_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    pub(super) fn on_turn(&mut self) {
        self.turns += 1;
    }

    /// How many requests there were of each command, and how many lines that were none.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        COMMANDS.into_iter().zip(self.requests).chain([("unknown", self.unknown)])
    }

    /// How many errors there were of each reason.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.iter().map(|reason| reason.as_str()).zip(self.errors)
    }

    /// How many connections have ended for each reason.
    pub(super) fn disconnects(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Disconnect::WORDS.into_iter().zip(self.disconnects)
    }

    /// How many handshakes there were of each result.
    pub(super) fn handshakes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        HANDSHAKES.into_iter().zip(self.handshakes)
    }

    /// A turn that began at `begun` has taken this long.
    pub(super) fn on_turn_end(&mut self, begun: Moment, span: Span) {
        self.longest_turn.add(begun, span);
        self.turn_durations.add(span);
    }
}

/// The longest of the spans of the last 30 to 60 seconds: those of this half of a minute, and those of the one before it.
#[derive(Debug, Default)]
struct Longest {
    period: u64,
    now: Span,
    before: Span,
}

/// Half a minute, in nanoseconds.
const PERIOD: u64 = 30_000_000_000;

impl Longest {
    fn add(&mut self, at: Moment, span: Span) {
        self.move_to(at);
        self.now = self.now.max(span);
    }

    fn get(&mut self, at: Moment) -> Span {
        self.move_to(at);
        self.now.max(self.before)
    }

    fn move_to(&mut self, at: Moment) {
        let period = at.as_nanos() / PERIOD;
        if period > self.period {
            self.before = if period == self.period + 1 { self.now } else { Span::ZERO };
            (self.period, self.now) = (period, Span::ZERO);
        }
    }
}

impl<S: Socket> Server<S> {
    /// Tells somebody all figures, if it may know them.
    pub(super) fn tell_stats<T>(&mut self, actor: &Actor, tell: impl FnOnce(&mut Self, Outcome<'_>) -> T) -> T {
        match self.refuse_without_admin(actor, "stats") {
            Some(refusal) => tell(self, refusal),
            None => {
                let value = self.figures(self.connections.now);
                tell(self, Outcome::Stats(&value))
            }
        }
    }

    /// Events that watchers were too slow for.
    pub(super) fn events_missed(&self) -> u64 {
        self.engine.events_missed() + self.connections.watchers.missed()
    }

    fn figures(&mut self, now: Moment) -> StatsValue {
        let mut value = StatsValue::default();
        let stats = self.engine.stats();
        let connections = &self.connections;
        value.seconds("uptime", now.since(Moment::START));
        for (name, count) in [
            ("connections", connections.len() as u64),
            ("strangers", connections.strangers.len() as u64),
            ("sessions", self.sessions.len() as u64),
            ("detached_sessions", self.engine.detached() as u64),
            ("locks", self.engine.locks() as u64),
            ("holds", stats.held),
            ("waiters", stats.waiting),
            ("closed_locks", stats.closed),
            ("watchers", self.engine.watchers() as u64),
            ("grants", stats.acquires),
            ("releases", stats.releases),
            ("timeouts", stats.timeouts),
            ("queue_maxed", stats.queue_maxed),
            ("expiries", stats.expiries),
            ("revocations", stats.revocations),
            ("transfers", stats.transfers),
            ("deadlocks", stats.deadlocks),
            ("resumptions", connections.figures.resumptions),
            ("sessions_ended", self.sessions.ended()),
        ] {
            value.count(name, count);
        }
        let events_missed = self.events_missed();
        let connections = &mut self.connections;
        let figures = &mut connections.figures;
        value.counts("requests", figures.requests());
        value.counts("errors", figures.errors());
        value.counts("disconnects", figures.disconnects());
        value.count("received_bytes", figures.received_bytes);
        value.count("sent_bytes", figures.sent_bytes);
        value.count("events_sent", connections.watchers.sent());
        value.count("events_missed", events_missed);
        value.count("turns", figures.turns);
        value.seconds("longest_turn", figures.longest_turn.get(now));
        for (name, histogram) in [("wait", self.engine.waits()), ("hold", self.engine.holds())] {
            value.histogram(name, Histogram::bounds(), histogram.counts(), histogram.sum());
        }
        let hottest = self.engine.hottest(now);
        value.hottest("hottest", hottest.iter().map(|lock| (lock.name.as_str(), lock.waited, lock.waits)));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_is_forgotten_after_half_a_minute_to_a_minute() {
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let span = Span::from_nanos;
        let mut longest = Longest::default();
        longest.add(at(1), span(5));
        longest.add(at(2), span(3));
        assert_eq!((longest.get(at(29)), longest.get(at(59))), (span(5), span(5)));
        longest.add(at(59), span(4));
        assert_eq!((longest.get(at(60)), longest.get(at(89)), longest.get(at(90))), (span(4), span(4), Span::ZERO));
        longest.add(at(91), span(7));
        assert_eq!(longest.get(at(1000)), Span::ZERO, "nothing happened for long");
    }

    #[test]
    fn every_reason_is_counted() {
        // A reason that is missing in the list makes this incomplete, which the compiler sees.
        let is_listed = |reason: Reason| match reason {
            Reason::InvalidJson
            | Reason::InvalidRequest
            | Reason::UnknownCommand
            | Reason::LineTooLong
            | Reason::TooManyConnections
            | Reason::TooManyLocks
            | Reason::TooManyWaits
            | Reason::ReplyTooLarge
            | Reason::AlreadyQueued
            | Reason::ShuttingDown
            | Reason::NotAllowed
            | Reason::WrongProtocol
            | Reason::ModeConflict
            | Reason::SlotsMismatch
            | Reason::AlreadyHeld
            | Reason::SessionTaken
            | Reason::SessionUnknown
            | Reason::TooManySessions
            | Reason::AuthFailed
            | Reason::NotAuthenticated
            | Reason::TooManyRequests => REASONS.contains(&reason),
        };
        let mut figures = Figures::default();
        for reason in REASONS {
            assert!(is_listed(reason));
            figures.on_error(reason);
        }
        assert_eq!(figures.errors, [1; REASONS.len()], "each has a counter of its own");
    }
}
