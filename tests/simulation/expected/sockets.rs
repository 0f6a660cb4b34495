//! What the server does to its sockets, and what it says of their ends: whether it may, and what follows.

use super::connection::{Connection, Leave, Phase};
use super::{Expected, Number, broken, ensure, nanos};
use crate::coverage::Event as Happening;
use crate::memory::Call;
use crate::model::is_same;

pub(super) const SILENT: &str = "idle limit reached";
pub(super) const STALLED: &str = "output stalled: the peer read nothing for the stall limit";
pub(super) const OUTBOX_FULL: &str = "output limit exceeded";
pub(super) const OUTBOXES_FULL: &str = "total output limit exceeded; this connection held the most";
pub(super) const INBOXES_FULL: &str = "total input limit exceeded; this connection held the most";
pub(super) const TOO_LONG: &str = "line too long";

impl Expected {
    pub(super) fn on_call(&mut self, number: Number, call: Call) {
        let now = self.now;
        let pause = self.limits.outbox_pause_bytes;
        let connection = &mut self.connections[number];
        let name = &connection.name;
        match call {
            Call::Read { bytes, room } => {
                let is_paused = connection.phase == Phase::Open && connection.unsent >= pause;
                ensure!(!is_paused, "{name} is read from although its output is full");
                connection.read += bytes as u64;
                connection.last_input = now;
                if bytes == room && !connection.wire.borrow().to_server.is_empty() {
                    self.coverage.count("cut turn_read_bytes");
                }
                if self.is_too_long(number) {
                    self.answer_too_long(number);
                }
            }
            Call::ReadNothing => connection.last_waiting = now,
            Call::ReadEnd if connection.phase == Phase::Open => {
                let line = connection.next_line(self.limits.line_bytes_max);
                ensure!(line.is_none(), "{name} ended, and a line of before is not carried out");
                if connection.lines.front().is_some_and(|line| line.start < connection.read) {
                    self.coverage.count("end with a partial line");
                }
                self.doom(number, "the peer closed the connection", Leave::Sent);
            }
            Call::ReadFailed if connection.phase == Phase::Open => self.on_failure(number),
            Call::ReadEnd | Call::ReadFailed => {
                let is_lingering = matches!(connection.phase, Phase::Lingering { .. });
                ensure!(is_lingering, "{name} is read from although it ended");
                connection.phase = Phase::Closing;
            }
            Call::Wrote(bytes) => self.on_written(number, bytes),
            Call::WriteBlocked => connection.is_blocked = true,
            Call::WriteInterrupted => connection.is_blocked = false,
            Call::WriteFailed => self.doom(number, "socket error", Leave::Now),
            Call::ClosedWrite => {
                let is_done = connection.phase == Phase::Draining(Leave::Read) && connection.unsent == 0;
                ensure!(is_done, "our side of {name} is closed too early");
                connection.phase = Phase::Lingering { until: now.saturating_add(nanos(self.limits.linger)) };
            }
            Call::Dropped => self.on_drop(number),
        }
    }

    pub(super) fn on_drop(&mut self, number: Number) {
        let connection = &self.connections[number];
        let may_be = match connection.phase {
            Phase::Closing => true,
            Phase::Draining(_) => connection.unsent == 0 || self.is_stalled(connection),
            Phase::Lingering { until } => until <= self.now,
            Phase::Open | Phase::Doomed(_) | Phase::Gone => false,
        };
        ensure!(may_be, "{} is closed for no reason", connection.name);
        if matches!(connection.phase, Phase::Lingering { .. }) {
            self.coverage.count("limit linger");
        }
        self.drop_output(number);
        self.connections[number].phase = Phase::Gone;
        self.there.retain(|there| *there != number);
    }

    /// The client's side took bytes: they must be the next of what it is to be sent.
    pub(super) fn on_written(&mut self, number: Number, bytes: usize) {
        let connection = &mut self.connections[number];
        let name = &connection.name;
        ensure!(bytes <= connection.unsent, "{name} is sent more than was decided: {}", connection.text());
        if bytes < connection.unsent {
            self.coverage.count("a part of a reply taken");
        }
        if connection.unsent >= self.limits.outbox_pause_bytes {
            connection.last_waiting = self.now;
        }
        connection.unsent -= bytes;
        self.unsent -= bytes;
        connection.last_progress = self.now;
        connection.is_blocked = false;
        let wire = connection.wire.borrow();
        connection.partial.extend_from_slice(&wire.to_client[connection.looked..connection.looked + bytes]);
        connection.looked += bytes;
        while let Some(expected) = connection.replies.front()
            && connection.partial.len() >= expected.len()
        {
            let end = expected.len();
            let is_line = connection.partial[..end].ends_with(b"\n");
            let received = String::from_utf8_lossy(&connection.partial[..end]).into_owned();
            let is_right = is_line && (received == *expected || is_same(received.trim_end(), expected.trim_end()));
            ensure!(is_right, "{name} received {}, not {expected}", String::from_utf8_lossy(&connection.partial));
            connection.partial.drain(..end);
            connection.replies.pop_front();
        }
    }

    /// The server says that a connection ends.
    pub(super) fn on_end(&mut self, number: Number, why: &str) {
        let said = |(ended, reason): &(Number, &str)| *ended == number && why.contains(reason);
        if let Some(index) = self.ends.iter().position(said) {
            self.ends.remove(index);
            return;
        }
        let connection = &self.connections[number];
        let name = connection.name.clone();
        let is_open = connection.phase == Phase::Open;
        match why {
            // Lines that were left as the output was full: nothing is read before this is found.
            TOO_LONG | OUTBOX_FULL | OUTBOXES_FULL => {
                let mut numbers = std::iter::once(number).chain(self.there.clone());
                let Some(too_long) = numbers.find(|number| self.is_too_long(*number)) else {
                    broken(format!("{name} ended for no reason: {why}"))
                };
                self.answer_too_long(too_long);
                let is_told = |(ended, reason): &(Number, &str)| *ended == number && *reason == why;
                ensure!(self.ends.iter().any(is_told), "{name} ended for another reason than {why}");
            }
            INBOXES_FULL => {
                let at_most = self.there.iter().map(|number| self.connections[*number].kept().1).sum::<u64>();
                ensure!(
                    at_most > self.limits.inboxes_bytes_max as u64,
                    "{name} ended, and only {at_most} bytes are kept"
                );
                let most = self.there.iter().map(|number| self.connections[*number].kept().0).max();
                ensure!(Some(connection.kept().1) >= most, "{name} ended, and another has sent more");
                self.coverage.count("limit inboxes_bytes_max");
                self.doom(number, INBOXES_FULL, Leave::Now);
            }
            SILENT => {
                let is_due = connection.last_input.saturating_add(connection.max_idle) <= self.now;
                ensure!(is_open && is_due, "{name} is closed for its silence before its time");
                self.coverage.count("limit max_idle");
                self.coverage.event(Happening::Silence);
                self.doom(number, SILENT, Leave::Now);
            }
            STALLED => {
                ensure!(is_open && self.is_stalled(connection), "{name} is closed for taking nothing before its time");
                self.coverage.count("limit outbox_stall");
                self.coverage.event(Happening::Silence);
                self.doom(number, STALLED, Leave::Now);
            }
            _ => broken(format!("{name} ended for no reason: {why}")),
        }
        // That is what was just told.
        let told = self.ends.iter().position(|(ended, _)| *ended == number).expect("it ends");
        self.ends.remove(told);
    }

    pub(super) fn is_stalled(&self, connection: &Connection) -> bool {
        connection.last_progress.saturating_add(nanos(self.limits.outbox_stall)) <= self.now
    }
}
