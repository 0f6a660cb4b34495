//! What the server does to its sockets, and what it says of their ends: whether it may, and what follows.

use super::connection::{Connection, Leave, Phase};
use super::watchers::is_change;
use super::{Expected, Number, broken, ensure};
use crate::coverage::Event as Happening;
use crate::memory::Call;
use crate::model::is_same;

/// Why a connection ends although its client did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// All together have sent too much that is not executed, and nobody more than this one.
    SentMost,
    TookNothing,
    WasSilent,
}

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
                self.figures.received_bytes += bytes as u64;
                connection.last_input = now;
                if bytes == room && !connection.wire.borrow().to_server.is_empty() {
                    self.coverage.count("cut turn_read_bytes");
                }
                if self.is_foreign(number, bytes) {
                    self.answer_foreign(number);
                } else if self.is_too_long(number) {
                    self.answer_too_long(number);
                }
            }
            Call::ReadNothing => connection.last_waiting = now,
            Call::ReadEnd if connection.phase == Phase::Open => {
                let line = connection.next_line(self.limits.line_bytes_max);
                ensure!(line.is_none(), "{name} ended, and a line sent before that is not executed");
                if connection.lines.front().is_some_and(|line| line.start < connection.read) {
                    self.coverage.count("end with a partial line");
                }
                self.coverage.count("end the peer closed");
                self.doom(number, Leave::Sent);
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
            Call::WriteFailed => self.on_failure(number),
            Call::ClosedWrite => {
                let is_done = connection.phase == Phase::Draining(Leave::Read) && connection.unsent == 0;
                ensure!(is_done, "our side of {name} is closed too early");
                connection.phase = Phase::Lingering { until: now.saturating_add(self.limits.linger) };
            }
            Call::Dropped => self.on_drop(number),
        }
    }

    pub(super) fn on_drop(&mut self, number: Number) {
        let connection = &self.connections[number];
        let may_be = match connection.phase {
            Phase::Closing => true,
            Phase::Draining(_) => connection.unsent == 0 || self.is_stalled(connection),
            Phase::Lingering { until } => until <= self.horizon,
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
        self.figures.sent_bytes += bytes as u64;
        connection.last_progress = self.now;
        connection.is_blocked = false;
        let wire = connection.wire.borrow();
        connection.partial.extend_from_slice(&wire.to_client[connection.looked..connection.looked + bytes]);
        connection.looked += bytes;
        drop(wire);
        while let Some(end) = self.connections[number].partial.iter().position(|byte| *byte == b'\n') {
            let connection = &mut self.connections[number];
            let name = connection.name.clone();
            let received: Vec<u8> = connection.partial.drain(..=end).collect();
            let received = String::from_utf8_lossy(&received).into_owned();
            let is_event = received.contains("\"notice\":\"event\"");
            let due = if is_event { connection.events.receive() } else { connection.replies.pop_front() };
            let Some(expected) = due else { broken(format!("{name} received {received}, and nothing should be")) };
            if !is_event && is_change(&expected) {
                let has_all = connection.events.receive_change();
                ensure!(has_all, "{name} received {received}, and events of the watch before it are to come");
            }
            let received = self.unsealed(&received, &expected);
            let is_right = received == expected
                || received.len() == expected.len() && is_same(received.trim_end(), expected.trim_end());
            ensure!(is_right, "{name} received {received}, not {expected}");
        }
    }

    /// The server says that it refuses something. A line over the limit may have been left while the output was full; then
    /// nothing is read before it is refused.
    pub(super) fn on_refusal(&mut self, number: Number) {
        if self.is_too_long(number) {
            self.answer_too_long(number);
        }
    }

    /// The server says that a connection ends.
    pub(super) fn on_end(&mut self, number: Number, text: &str) {
        if let Some(index) = self.ends.iter().position(|ended| *ended == number) {
            self.ends.remove(index);
            return self.tell(number, '-', text);
        }
        let why = self.why(number);
        ensure!(why.is_some(), "{} ended for no reason: {text}", self.name(number));
        match why {
            Some(Why::SentMost) => self.coverage.count("limit inboxes_bytes_max"),
            Some(Why::TookNothing) => self.coverage.count("limit outbox_stall"),
            Some(Why::WasSilent) | None => self.coverage.count("limit max_idle"),
        }
        if why != Some(Why::SentMost) {
            self.coverage.event(Happening::Silence);
        }
        self.doom(number, Leave::Now);
        self.ends.pop();
        self.tell(number, '-', text);
    }

    /// Why a connection may end now, if it may.
    pub(super) fn why(&self, number: Number) -> Option<Why> {
        let connection = &self.connections[number];
        if connection.phase != Phase::Open {
            return None;
        }
        let kept = || self.there.iter().map(|number| self.connections[*number].kept());
        if kept().map(|(_, at_most)| at_most).sum::<u64>() > self.limits.inboxes_bytes_max as u64
            && Some(connection.kept().1) >= kept().map(|(at_least, _)| at_least).max()
        {
            Some(Why::SentMost)
        } else if connection.unsent > 0 && self.is_stalled(connection) {
            Some(Why::TookNothing)
        } else if connection.last_input.saturating_add(connection.max_idle) <= self.horizon {
            Some(Why::WasSilent)
        } else {
            None
        }
    }

    pub(super) fn is_stalled(&self, connection: &Connection) -> bool {
        connection.last_progress.saturating_add(self.limits.outbox_stall) <= self.horizon
    }
}
