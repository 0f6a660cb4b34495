//! The order of one turn.

use super::connection::Phase;
use super::farewell::{Farewell, Why};
use super::sessions::{Record, RecordKey};
use super::slice::Slice;
use super::{Server, Socket};
use crate::engine::ConnectionKey;
use crate::time::Moment;

impl<S: Socket> Server<S> {
    /// One turn. The order decides what clients see of things that come together: a release that was read grants a
    /// waiter before that one's timeout is looked at, and all that is decided is written at the end, once per connection.
    /// Deadlines are executed up to the last complete poll: see [`Server::polled`].
    pub fn turn(&mut self, now: Moment) {
        self.turn_by(now, &|| now);
    }

    /// The same on a clock that goes on meanwhile: who is left over, what is due and who is to end wait for the next turn when
    /// these have taken long enough.
    pub fn turn_by(&mut self, now: Moment, clock: &dyn Fn() -> Moment) {
        self.connections.now = now;
        self.connections.figures.on_turn();
        if !self.is_shutting_down {
            self.connections.watchers.begin_turn();
            if self.connections.watchers.has_work() {
                self.tell_missed();
            }
            self.engine.begin_turn(now);
            if self.engine.has_left_over_work() {
                let slice = Slice::new(clock);
                self.engine.settle_left_over(now, &mut self.connections, || slice.is_over());
            }
            if self.http.has_listed() {
                self.serve_http();
            }
            self.read_ready();
            self.expire(clock);
            if !self.ending.is_empty() {
                self.end_some_sessions(clock);
            }
            if self.connections.has_doomed() {
                self.close_doomed(clock);
            }
        }
        self.connections.flush_dirty(&mut self.spare);
        if self.http.has_dirty() {
            self.flush_http();
        }
    }

    /// The last turn has ended now.
    pub fn ended(&mut self, now: Moment) {
        let begun = self.connections.now;
        self.connections.figures.on_turn_end(begun, now.since(begun));
    }

    fn read_ready(&mut self) {
        let mut listed = self.connections.take_listed(std::mem::take(&mut self.spare));
        for key in listed.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.flags.is_listed = false;
            match connection.phase {
                Phase::Open => self.serve(key),
                Phase::Lingering => self.drop_input(key),
                Phase::Doomed { .. } | Phase::Draining { .. } => {}
            }
        }
        self.spare = listed;
        // Requeue last, or their next long requests and walks starve the others that wait with theirs.
        for key in [self.long_request_from.take(), self.last_walk_from.take()].into_iter().flatten() {
            self.connections.resume(key);
        }
    }

    /// Whatever is due, some of it per turn: first connections that were silent or deaf for too long, then graces, leases and
    /// waits. Each part looks whether it has anything to do before it begins, because that is rare.
    #[inline(always)]
    fn expire(&mut self, clock: &dyn Fn() -> Moment) {
        // Everything that a complete poll reported has been read by now, but for input that is held up on purpose: of a
        // connection that is paused by its unsent output, or after a long request that waits for another turn.
        let due_by = self.horizon.reached();
        let is_due = |at: Option<Moment>| at.is_some_and(|at| at <= due_by);
        if is_due(self.connections.deadlines.next()) {
            self.expire_connections(due_by, clock);
        }
        if is_due(self.http.next_deadline()) {
            self.expire_http(due_by);
        }
        if is_due(self.engine.next_deadline()) {
            self.expire_places(due_by, clock);
        }
    }

    fn expire_connections(&mut self, due_by: Moment, clock: &dyn Fn() -> Moment) {
        let mut slice = Slice::new(clock);
        for _ in 0..self.connections.limits.turn_expiries_max {
            let Some(key) = self.connections.deadlines.pop_due(due_by) else { break };
            self.connections.on_deadline(key, due_by);
            if slice.is_over_after_short_step() {
                break;
            }
        }
    }

    fn expire_places(&mut self, due_by: Moment, clock: &dyn Fn() -> Moment) {
        let (expiries_max, bytes_max) =
            (self.connections.limits.turn_expiries_max, self.connections.limits.turn_expiry_bytes);
        let bytes_before = self.connections.bytes_pushed;
        let mut ends_left = self.connections.limits.turn_ends_max;
        let mut slice = Slice::new(clock);
        for _ in 0..expiries_max {
            if self.connections.bytes_pushed - bytes_before >= bytes_max as u64 {
                break;
            }
            if let Some(session) = self.engine.next_over(due_by) {
                let record = self.sessions.of(session).expect("only such a session has a grace");
                self.end_detached(record, "not resumed within its grace");
                ends_left -= 1;
                if ends_left == 0 || slice.is_over() {
                    break;
                }
            } else if !self.engine.expire_next(due_by, self.connections.now, &mut self.connections)
                || slice.is_over_after_short_step()
            {
                break;
            }
        }
    }

    /// Ends the sessions of those that are to end, some per turn, each of them whole.
    fn close_doomed(&mut self, clock: &dyn Fn() -> Moment) {
        let slice = Slice::new(clock);
        let mut ends_left = self.connections.limits.turn_ends_max;
        while ends_left > 0
            && let Some((key, why)) = self.connections.next_doomed()
        {
            if self.connections.get(key).is_none() {
                // It had to make way meanwhile.
                continue;
            }
            ends_left -= 1;
            self.end_session(key, &why);
            self.connections.begin_drain(key);
            if slice.is_over() {
                break;
            }
        }
    }

    /// What follows for the session of a connection that ends: it ends too, unless it can be resumed.
    pub(super) fn end_session(&mut self, key: ConnectionKey, why: &Why) {
        self.engine.unwatch(key);
        self.connections.forget_missed(key);
        let connection = self.connections.known(key);
        let (peer, last_input, is_nobody) = (connection.peer, connection.last_input, connection.is_nobody());
        let Some(session) = connection.session.take() else { return };
        let record = std::mem::take(&mut connection.flags.has_session)
            .then(|| self.sessions.of(session).expect("the flag says so"));
        let kept = record.filter(|_| !why.ends_session).map(|record| {
            let record = self.sessions.get_mut(record);
            (record.connection, record.last_input) = (None, last_input);
            (record.name(), record.grace)
        });
        if log::log_enabled!(log::Level::Info) && !is_nobody {
            let farewell = Farewell::of(peer, why, kept, &self.engine, session);
            log::log!(farewell.level(), "{farewell}");
        }
        let now = self.connections.now;
        match (kept, record) {
            (Some((name, grace)), _) => self.engine.detach(session, name, grace, now),
            (None, record) => {
                self.engine.disconnect(session, now, &mut self.connections);
                record.map(|record| self.forget_session(record));
            }
        }
    }

    /// A session can be resumed no more.
    pub(super) fn forget_session(&mut self, record: RecordKey) -> Record {
        let record = self.sessions.end(record);
        self.connections.roles.on_session_end(record.role);
        record
    }

    /// Ends a session that has no connection.
    pub(super) fn end_detached(&mut self, record: RecordKey, why: &str) {
        let record = self.forget_session(record);
        let why = Why { text: why.to_owned(), is_ordinary: false, ends_session: true };
        if log::log_enabled!(log::Level::Info) {
            let farewell = Farewell::of(record.name(), &why, None, &self.engine, record.session);
            log::log!(farewell.level(), "{farewell}");
        }
        self.engine.disconnect(record.session, self.connections.now, &mut self.connections);
    }
}
