//! A connection as its client and the network see it: what was sent and read, decided and received, and how it ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Asked;
use super::watchers::{Events, Watch};
use crate::memory::Wire;

/// A connection as its client and the network see it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) name: String,
    /// Where the server keeps it. None: it was not accepted.
    pub(super) slot: Option<u32>,
    pub(super) is_near: bool,
    pub(super) is_strict: bool,
    pub(super) wire: Rc<RefCell<Wire>>,
    pub(super) phase: Phase,
    pub(super) has_session: bool,
    pub(super) is_turned_away: bool,
    /// What its client sent and the server has not executed yet, each line with where it begins and ends.
    pub(super) lines: VecDeque<Sent>,
    /// Its client sent a line that is not blank.
    pub(super) has_begun: bool,
    /// How many bytes its client sent, and the server read.
    pub(super) sent: u64,
    pub(super) read: u64,
    /// What it is to be sent, and how many bytes of that are outstanding.
    pub(super) replies: VecDeque<String>,
    pub(super) unsent: usize,
    pub(super) events: Events,
    pub(super) watch: Option<Watch>,
    /// Bytes that its client received, of a line that is not whole.
    pub(super) partial: Vec<u8>,
    /// How much of the wire was looked at.
    pub(super) looked: usize,
    /// The socket takes nothing, and the poll has not said that it does again.
    pub(super) is_blocked: bool,
    pub(super) max_idle: u64,
    pub(super) since: u64,
    pub(super) last_input: u64,
    pub(super) last_waiting: u64,
    pub(super) last_progress: u64,
}

#[derive(Clone)]
pub(super) struct Sent {
    pub(super) text: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Doomed(Leave),
    Draining(Leave),
    Lingering {
        until: u64,
    },
    /// The server must close the socket within the turn.
    Closing,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Now,
    Sent,
    Read,
}

impl Connection {
    /// The next line that has been read and is not blank, if it is whole or too long already.
    pub(super) fn next_line(&self, line_bytes_max: usize) -> Option<&Sent> {
        let line = self.lines.iter().find(|line| !line.is_blank())?;
        let read = self.read.saturating_sub(line.start);
        let is_over = read > line_bytes_max as u64 && line.is_over(line_bytes_max);
        (line.end <= self.read || is_over).then_some(line)
    }

    pub(super) fn skip_blank(&mut self) {
        while self.lines.front().is_some_and(Sent::is_blank) {
            self.lines.pop_front();
        }
    }

    /// Bytes that the server has read and not executed, at least and at most: whether it has passed blank lines is not seen.
    pub(super) fn kept(&self) -> (u64, u64) {
        let since = |line: Option<&Sent>| line.map_or(0, |line| self.read.saturating_sub(line.start));
        let mut lines = self.lines.iter().filter(|_| self.phase == Phase::Open);
        let at_most = since(lines.clone().next());
        (since(lines.find(|line| !line.is_blank() || line.end > self.read)), at_most)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.wire.borrow().to_client[self.looked..]).into_owned()
    }
}

impl Sent {
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.asked, Asked::Nothing) && self.text.trim().is_empty()
    }

    pub(super) fn is_over(&self, line_bytes_max: usize) -> bool {
        self.text.len() > line_bytes_max
    }
}
