//! What watchers are sent, and what they are not: events have a budget, and a watcher that does not keep up is told how many
//! it has missed.

use std::collections::{HashMap, VecDeque};

#[cfg(feature = "unstable")]
use super::connection::Connection;
use super::connection::Phase;
use super::connections::Connections;
use super::{Server, Socket};
use crate::engine::{ConnectionKey, Context, Replies};
use crate::wire::reply::{Outcome, Reply};

/// All watchers together get at most this many bytes of events in a turn.
const TURN_BYTES_MAX: usize = 1 << 20;
/// A watcher with this many bytes unsent gets no event.
const UNSENT_BYTES_MAX: usize = 32 << 10;
/// The longest notice that events were missed.
const MISSED_BYTES_MAX: usize = 80;
/// As many watchers are told in one turn that they have missed events: these notices fit into what all get.
const NOTICES_MAX: usize = TURN_BYTES_MAX / MISSED_BYTES_MAX;

/// The budget of events, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// Bytes of events that may still be sent in this turn.
    bytes_left: usize,
    /// Those that have missed events and may have room to be told so, each once.
    behind: VecDeque<ConnectionKey>,
    /// Of watchers that may not see everything: how many events each has missed that it may see. The engine, which does not
    /// know what they may see, takes them for ones that keep up.
    missed: HashMap<ConnectionKey, u64>,
    /// All that were missed so, since the start.
    missed_in_all: u64,
    /// Events that were sent since the start.
    sent: u64,
    /// The event that is being sent. Empty: it was not encoded yet.
    line: Vec<u8>,
}

impl Watchers {
    /// Begins the budget of a turn.
    pub(super) fn begin_turn(&mut self) {
        self.bytes_left = TURN_BYTES_MAX;
    }

    /// The next event is another one.
    pub(super) fn begin_event(&mut self) {
        self.line.clear();
    }

    /// Whether somebody may be told at once that it has missed events.
    pub(super) fn has_work(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Events that were missed by watchers that may not see everything.
    pub(super) fn missed(&self) -> u64 {
        self.missed_in_all
    }

    /// Events that were sent since the start.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }
}

impl<S: Socket> Server<S> {
    /// The connection is told of what happens to locks.
    pub(super) fn watch(&mut self, key: ConnectionKey, prefix: &str, context: &Context<'_>) {
        self.engine.watch(key, prefix);
        self.connections.forget_missed(key);
        self.answer(key, Outcome::Watching, context);
    }

    /// The connection is no longer told.
    pub(super) fn unwatch(&mut self, key: ConnectionKey, context: &Context<'_>) {
        self.engine.unwatch(key);
        self.connections.forget_missed(key);
        self.answer(key, Outcome::Unwatched, context);
    }

    /// Tells those that have missed events, before anything else happens in a turn.
    #[cold]
    pub(super) fn tell_missed(&mut self) {
        for _ in 0..self.connections.watchers.behind.len().min(NOTICES_MAX) {
            let Some(key) = self.connections.watchers.behind.pop_front() else { return };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.flags.is_behind = false;
            if connection.unsent() >= UNSENT_BYTES_MAX {
                connection.flags.has_missed = true;
                continue;
            }
            let missed = self.connections.watchers.missed.remove(&key);
            if let Some(count) = self.engine.catch_up(key).map_or(missed, |count| Some(count + missed.unwrap_or(0))) {
                self.connections.watchers.begin_event();
                let notice = Reply { id: None, owner: None, outcome: Outcome::NoticeMissed { count } };
                let is_sent = self.connections.push_event(key, &notice);
                assert!(is_sent, "there is room for the notice");
            }
        }
    }
}

impl<S: Socket> Connections<S> {
    /// Sends an event to a watcher that has missed none. Returns false if it has to miss this one.
    pub(super) fn offer_event(&mut self, to: ConnectionKey, event: &Reply<'_>) -> bool {
        let connection = self.slots.get_mut(to).expect("a watch ends with its connection");
        if connection.phase != Phase::Open {
            // It is about to end, and is sent nothing more.
            return true;
        }
        let has_room = connection.unsent() < UNSENT_BYTES_MAX;
        if self.may_see_all(to) {
            self.known(to).flags.has_missed |= !has_room;
            return has_room && self.send_event(to, event);
        }
        let is_visible = matches!(event.outcome, Outcome::NoticeEvent { name, .. } if self.may_see(to, name));
        if is_visible && (self.watchers.missed.contains_key(&to) || !has_room || !self.send_event(to, event)) {
            *self.watchers.missed.entry(to).or_default() += 1;
            self.watchers.missed_in_all += 1;
            self.known(to).flags.has_missed |= !has_room;
        }
        true
    }

    fn send_event(&mut self, to: ConnectionKey, event: &Reply<'_>) -> bool {
        let is_sent = self.push_event(to, event);
        self.watchers.sent += u64::from(is_sent);
        is_sent
    }

    /// Its watch is over, or another one.
    pub(super) fn forget_missed(&mut self, key: ConnectionKey) {
        self.watchers.missed.remove(&key);
        self.known(key).flags.has_missed = false;
    }

    fn push_event(&mut self, to: ConnectionKey, event: &Reply<'_>) -> bool {
        let mut line = std::mem::take(&mut self.watchers.line);
        if line.is_empty() {
            event.encode(&mut line);
        }
        let is_sent = line.len() <= self.watchers.bytes_left;
        if is_sent {
            self.watchers.bytes_left -= line.len();
            self.push_with(to, None, Some(0), |out| out.extend_from_slice(&line));
        } else {
            self.list_behind(to);
        }
        self.watchers.line = line;
        is_sent
    }

    /// After some of its output was sent: a watcher that has missed events is told so in the next turn, if it has room now.
    pub(super) fn notice_room(&mut self, key: ConnectionKey) {
        let Some(connection) = self.get_mut(key) else { return };
        if connection.flags.has_missed && connection.unsent() < UNSENT_BYTES_MAX {
            connection.flags.has_missed = false;
            self.list_behind(key);
        }
    }

    fn list_behind(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        if !std::mem::replace(&mut connection.flags.is_behind, true) {
            self.watchers.behind.push_back(key);
        }
    }

    /// Checks who is told next that it has missed events.
    #[cfg(feature = "unstable")]
    pub(super) fn check_behind(&self, key: ConnectionKey, connection: &Connection<S>) {
        let times = self.watchers.behind.iter().filter(|behind| **behind == key).count();
        assert_eq!(times, usize::from(connection.flags.is_behind), "listed once, or not at all");
        let can_be_told = connection.phase == Phase::Open && connection.unsent() < UNSENT_BYTES_MAX;
        assert!(!connection.flags.has_missed || !can_be_told, "who has room is told that it has missed events");
    }
}
