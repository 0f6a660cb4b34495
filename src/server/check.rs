//! What always holds in the server between turns, checked as a whole.

use std::collections::HashMap;

use super::connection::Phase;
use super::connections::Connections;
use super::strangers::Address;
use super::{Server, Socket};
use crate::engine::ConnectionKey;

impl<S: Socket> Server<S> {
    /// Checks everything that always holds between turns, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub fn check_all(&self) {
        self.engine.check_all();
        self.connections.check_all();
        self.http.check_all();
        self.check_sessions();
        self.check_roles();
        assert!(self.spare.is_empty(), "the spare list is only memory");
    }

    fn check_roles(&self) {
        self.connections.roles.check(|role| {
            let connections = self.connections.iter().filter(|(_, connection)| connection.role == Some(role)).count();
            (connections, self.sessions.iter().filter(|(_, record)| record.role == role).count())
        });
        for (_, connection) in self.connections.iter() {
            let is_restricted = connection.role.is_some_and(|role| self.connections.roles.is_restricted(role));
            assert_eq!(is_restricted, connection.flags.is_restricted, "a connection knows whether it is restricted");
        }
    }

    fn check_sessions(&self) {
        for (key, record) in self.sessions.iter() {
            assert_eq!(self.sessions.of(record.session), Some(key), "a session has one record");
            let grace_left = self.engine.grace_left(record.session, self.connections.now);
            assert_eq!(grace_left.is_none(), record.connection.is_some(), "without a connection a grace runs");
            if let Some(connection) = record.connection {
                let connection = self.connections.get(connection).expect("a session knows when its connection goes");
                assert_eq!(connection.session, Some(record.session), "it is the session of its connection");
                assert!(connection.flags.has_session, "a connection knows that its session can be resumed");
            }
        }
        let marked = self.connections.iter().filter(|(_, connection)| connection.flags.has_session).count();
        let attached = self.sessions.iter().filter(|(_, record)| record.connection.is_some()).count();
        assert_eq!(marked, attached, "each mark is of a session");
        assert!(self.sessions.len() <= self.connections.limits.sessions_max, "the limit on sessions is kept");
        assert_eq!(self.lines, self.lines_counted, "all lines are counted");
    }

    /// Sessions that can be resumed, with a connection or without.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Connections of which that is not known yet: of those whose handshake is not done, and if there are users.
    pub fn strangers(&self) -> usize {
        self.connections.strangers.len()
    }

    /// Whether nothing is left of any connection.
    pub fn is_empty(&self) -> bool {
        let is_unused = self.connections.is_empty() && self.http.is_empty();
        is_unused && self.engine.is_empty() && self.sessions.len() == 0
    }
}

impl<S: Socket> Connections<S> {
    /// Whether nothing is left of any connection.
    fn is_empty(&self) -> bool {
        // A deadline without its connection is what check_all finds.
        self.slots.is_empty() && !self.has_work()
    }

    fn check_all(&self) {
        self.deadlines.check_all();
        let (mut kept, mut unsent, mut armed, mut turned_away) = (0, 0, 0, 0);
        for (key, connection) in self.slots.iter() {
            kept += connection.kept();
            unsent += connection.unsent();
            turned_away += usize::from(connection.flags.is_turned_away);
            armed += usize::from(connection.deadline.is_some());
            let times = |list: &[ConnectionKey]| list.iter().filter(|listed| **listed == key).count();
            assert_eq!(times(&self.listed), usize::from(connection.flags.is_listed), "listed once, or not at all");
            assert_eq!(times(&self.dirty), usize::from(connection.flags.is_dirty), "dirty once, or not at all");
            self.check_behind(key, connection);
            let is_doomed = matches!(connection.phase, Phase::Doomed { .. });
            assert_eq!(
                self.doomed.iter().any(|(doomed, _)| *doomed == key),
                is_doomed,
                "who is doomed waits for the end"
            );
            if let (Phase::Open, Some(due)) = (connection.phase, self.due(connection)) {
                let deadline = connection.deadline.map(|deadline| self.deadlines.at(deadline));
                assert!(deadline.is_some_and(|at| at <= due), "a limit on time has a deadline");
            }
            assert!(connection.outbox.as_ref().is_none_or(|outbox| !outbox.unsent().is_empty()), "no idle buffer");
            assert!(connection.inbox.as_ref().is_none_or(|inbox| !inbox.bytes.is_empty()), "no idle buffer");
            assert!(connection.inbox.is_none() || connection.phase == Phase::Open, "input that nobody executes");
            let can_move = connection.flags.is_dirty || connection.flags.is_blocked;
            assert!(connection.unsent() == 0 || can_move || is_doomed, "unsent output has nobody to send it");
            let has_input = connection.flags.is_readable || connection.has_unscanned();
            let is_served = connection.flags.is_listed || self.is_paused(connection);
            assert!(connection.phase != Phase::Open || !has_input || is_served, "a connection is deaf");
        }
        assert_eq!(kept, self.kept, "the sum of what is not executed");
        assert_eq!(unsent, self.unsent, "the sum of what is unsent");
        assert_eq!(armed, self.deadlines.len(), "every deadline has its connection");
        assert_eq!(turned_away, self.turned_away, "the number of those turned away");
        self.check_strangers();
    }

    fn check_strangers(&self) {
        let strangers =
            self.slots.iter().filter(|(_, connection)| connection.role.is_none() && !connection.flags.is_turned_away);
        let seats = strangers.map(|(key, connection)| {
            let is_held_up = connection.flags.is_held_up;
            assert!(
                !is_held_up || connection.phase == Phase::Open && connection.flags.is_listed,
                "it waits for a turn"
            );
            (Address::of(connection.peer), connection.seat(key), is_held_up)
        });
        self.strangers.check(seats);
        assert!(self.strangers.len() <= self.limits.strangers_max, "the limit on strangers is kept");
        let with_role = self.slots.iter().filter(|(_, connection)| connection.role.is_some()).count();
        assert_eq!(with_role, self.with_role, "the number of those who have a role");
        let mut addresses: HashMap<Address, usize> = HashMap::new();
        if self.limits.address_connections_max.is_some() {
            let all = self.slots.iter().map(|(_, connection)| Address::of(connection.peer));
            all.for_each(|address| *addresses.entry(address).or_default() += 1);
        }
        assert_eq!(addresses, self.addresses, "the connections of each address");
    }
}
