//! The limits on time of each connection: idle, stalled, lingering, and those of strangers.
//!
//! Each connection has at most one deadline armed, no later than the earliest of its limits. Activity does not move it:
//! one that fires too early finds nothing due, and is armed again.

use super::connection::{Connection, Phase};
use super::connections::Connections;
use super::{Disconnect, Socket};
use crate::engine::ConnectionKey;
use crate::time::{Moment, Span};

impl<S: Socket> Connections<S> {
    /// The idle limit of all.
    pub(super) fn max_idle(&self) -> Span {
        self.limits.max_idle.map_or(Span::FOREVER, |max_idle| Span::from(max_idle).to_whole_milliseconds())
    }

    /// Sees to it that a deadline is armed no later than the earliest limit on time of this connection.
    pub(super) fn arm(&mut self, key: ConnectionKey) {
        let due = self.due(self.get(key).expect("only a connection that exists is armed"));
        let armed = self.known(key).deadline;
        match (armed, due) {
            (None, Some(due)) => self.known(key).deadline = Some(self.deadlines.arm(due, key)),
            (Some(deadline), Some(due)) if due < self.deadlines.at(deadline) => self.deadlines.rearm(deadline, due),
            (Some(_) | None, _) => {}
        }
    }

    /// When the earliest limit on time is reached if nothing happens until then.
    pub(super) fn due(&self, connection: &Connection<S>) -> Option<Moment> {
        let stalled = || connection.last_progress.after(self.limits.outbox_stall.into());
        let idle = Some(connection.last_input.after(connection.max_idle)).filter(|at| *at < Moment::NEVER);
        match connection.phase {
            Phase::Open if connection.flags.is_handshaking => self.stranger_due(connection),
            Phase::Open => {
                let stalled = (connection.unsent() > 0).then(stalled);
                [idle, stalled, self.stranger_due(connection)].into_iter().flatten().min()
            }
            Phase::Doomed { .. } => None,
            Phase::Draining { .. } => Some(stalled()),
            Phase::Lingering => Some(connection.last_progress.after(self.limits.linger.into())),
        }
    }

    /// Looks at a connection whose deadline has come. What is due by `due_by` is executed.
    pub(super) fn on_deadline(&mut self, key: ConnectionKey, due_by: Moment) {
        let now = self.now;
        let connection = self.known(key);
        connection.deadline = None;
        if connection.flags.has_unread || connection.has_unscanned() {
            // It has sent something; that we have not looked at it yet does not make it idle.
            connection.last_input = now;
        }
        let connection = self.get(key).expect("its deadline is cancelled when it goes");
        let stalled_for = due_by.since(connection.last_progress);
        let is_stalled = connection.unsent() > 0 && stalled_for >= self.limits.outbox_stall.into();
        let is_due = self.due(connection).is_some_and(|due| due <= due_by);
        // What it sends before it says who it is buys no time.
        let is_late = self.stranger_due(connection).is_some_and(|due| due <= due_by);
        let is_handshaking = connection.flags.is_handshaking;
        match connection.phase {
            Phase::Open if is_late && is_handshaking => {
                self.figures.on_handshake_timeout();
                self.doom(key, Disconnect::HandshakeTimeout);
            }
            Phase::Open if is_late => self.doom(key, Disconnect::AuthTimeout),
            Phase::Open | Phase::Draining { .. } if is_stalled => self.end_if_stalled(key),
            Phase::Open if is_due => self.doom(key, Disconnect::Idle),
            Phase::Lingering if is_due => self.remove(key),
            _ => self.arm(key),
        }
    }

    /// The poll says that a socket takes something only when a good part of its buffer is free, and a slow peer may not
    /// have come so far: it is tried once before the peer counts as one that takes nothing.
    fn end_if_stalled(&mut self, key: ConnectionKey) {
        self.known(key).flags.is_blocked = false;
        self.flush(key);
        match self.get(key) {
            Some(connection) if connection.unsent() > 0 && connection.last_progress < self.now => {
                self.doom(key, Disconnect::Stalled);
            }
            Some(_) => self.arm(key),
            None => {}
        }
    }
}
