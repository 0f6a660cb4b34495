//! Sessions without a connection: how long they go on.
//!
//! A client can't resume its session while the server stands still, so the time of a grace is the running time of the server:
//! of the time between two turns, what is beyond [`TURN_GAP_MAX`] does not count. While a grace runs, there is a turn
//! more often than that.

use std::hash::BuildHasher;

use super::deadline::{DeadlineKey, Deadlines};
use super::{ConnectionKey, Engine, SessionKey};
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;
use crate::wire::reply::Subject;
use crate::wire::session::{HeldRow, Resumed, WaitRow};

/// More time between two turns is a pause, and its excess does not count for graces.
const TURN_GAP_MAX: Span = Span::from_nanos(1_000_000_000);
/// While a grace runs, the next turn is at most this long after the last.
const TURN_GAP: Span = Span::from_nanos(900_000_000);

/// The ends of the graces, on the running time of the server.
#[derive(Debug, Default)]
pub(super) struct Graces {
    deadlines: Deadlines<SessionKey>,
    /// By how much the running time lags the clock.
    paused: Span,
    last_turn: Moment,
}

impl Graces {
    /// A turn begins.
    #[inline]
    pub(super) fn begin_turn(&mut self, now: Moment) {
        if self.deadlines.next().is_some() {
            let gap = now.since(self.last_turn).as_nanos();
            let excess = gap.saturating_sub(TURN_GAP_MAX.as_nanos());
            self.paused = Span::from_nanos(self.paused.as_nanos().saturating_add(excess));
        }
        self.last_turn = now;
    }

    fn arm(&mut self, session: SessionKey, now: Moment, grace: Span) -> DeadlineKey {
        self.deadlines.arm(self.running(now).after(grace), session)
    }

    fn running(&self, moment: Moment) -> Moment {
        Moment::START.after(moment.since(Moment::START.after(self.paused)))
    }

    /// When the next grace ends, if there is no pause before that.
    fn next(&self) -> Option<Moment> {
        self.deadlines.next().map(|at| at.after(self.paused))
    }

    /// When there has to be a turn because of a grace.
    pub(super) fn next_turn(&self) -> Option<Moment> {
        self.next().map(|at| at.min(self.last_turn.after(TURN_GAP)))
    }

    #[cfg(feature = "unstable")]
    pub(super) fn len(&self) -> usize {
        self.deadlines.check_all();
        self.deadlines.len()
    }
}

impl<S: BuildHasher> Engine<S> {
    /// The session goes on without its connection, under another name. It is told nothing until it has one again.
    ///
    /// # Panics
    /// If the session has ended, or has no connection.
    pub fn detach(&mut self, session: SessionKey, name: Peer, grace: Span, now: Moment) {
        let deadline = self.graces.arm(session, now, grace);
        let session = self.askers.session_mut(session);
        let before = session.extras_mut().grace.replace(deadline);
        assert!(before.is_none(), "a session has one connection to lose");
        (session.connection, session.peer) = (ConnectionKey::NOWHERE, name);
    }

    /// The session goes on with this connection, whatever it had before.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn attach(&mut self, session: SessionKey, connection: ConnectionKey, peer: Peer) {
        let record = self.askers.session_mut(session);
        (record.connection, record.peer) = (connection, peer);
        if let Some(grace) = record.extras_mut().grace.take() {
            self.graces.deadlines.cancel(grace);
        }
        self.renew_hints(session);
    }

    /// The next session whose grace is over at `due_by`, unless other deadlines come before. The caller ends it by
    /// [`Engine::disconnect`].
    pub fn next_over(&mut self, due_by: Moment) -> Option<SessionKey> {
        let at = self.graces.next()?;
        if at > due_by || self.deadlines.next().is_some_and(|other| other < at) {
            return None;
        }
        let session = self.graces.deadlines.pop_due(Moment::NEVER)?;
        // It is no longer armed, so the end must not cancel it.
        self.askers.session_mut(session).extras_mut().grace = None;
        Some(session)
    }

    /// How much of its grace a session has left. None: it has a connection.
    ///
    /// # Panics
    /// If the session has ended.
    pub fn grace_left(&self, session: SessionKey, now: Moment) -> Option<Span> {
        let grace = self.askers.session(session).grace()?;
        Some(self.graces.deadlines.at(grace).since(self.graces.running(now)))
    }

    /// How many sessions have no connection.
    pub fn detached(&self) -> usize {
        self.graces.deadlines.len()
    }

    /// A session that ends has no grace any more.
    pub(super) fn drop_grace(&mut self, session: SessionKey) {
        if let Some(grace) = self.askers.session(session).grace() {
            self.graces.deadlines.cancel(grace);
        }
    }

    /// Writes what a session holds and waits for, in the order of [`Engine::locks_of`].
    ///
    /// # Panics
    /// If the session has ended.
    pub fn write_resumed(&self, session: SessionKey, now: Moment, rows: &mut Resumed) {
        for asker in self.askers.of_session(session) {
            let owner = self.askers.name(asker);
            for (key, place) in self.askers.party(asker).places.iter(self.table.places()) {
                let (name, extras) = (self.table.name(place.lock), place.extras.as_ref());
                if place.is_holding() {
                    rows.hold(&HeldRow {
                        name,
                        owner,
                        token: place.token,
                        waiters: self.table.waiters(place.lock) as u64,
                        lease_left: place.deadline.map(|deadline| self.deadlines.at(deadline).since(now)),
                    });
                    continue;
                }
                let (subject, is_any, id) = match self.bundle_of(key).map(|bundle| self.bundle(bundle)) {
                    None => (Subject::Lock(name), false, extras.and_then(|extras| extras.id.get())),
                    Some(bundle) if bundle.places[0] != key => continue,
                    Some(bundle) => (Subject::Locks(&bundle.names), bundle.is_any, bundle.id.get()),
                };
                rows.wait(&WaitRow { subject, is_any, owner, id });
            }
        }
    }
}
