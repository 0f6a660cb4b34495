//! One connection: its socket, what has arrived, what is to be sent, and how it ends. Knows no commands.

use std::{fmt, io};

use super::buffers::Buffer;
use crate::engine::SessionKey;
use crate::engine::deadline::{DeadlineKey, Nanos};
use crate::wire::line::LineScanner;
use crate::wire::peer::Peer;

/// A connection and what the loop has to remember of it. Buffers are out of line: most connections are idle.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) socket: S,
    pub(super) peer: Peer,
    /// None: never had one (there was no room), or it was ended.
    pub(super) session: Option<SessionKey>,
    /// What was received and not carried out: a partial line, or lines left when the output was too much.
    pub(super) inbox: Option<Box<Inbox>>,
    /// What was decided and not sent.
    pub(super) outbox: Option<Box<Outbox>>,
    /// When something was last received.
    pub(super) last_input: Nanos,
    /// When the peer last took output, or when there was output again after there had been none.
    pub(super) last_progress: Nanos,
    /// How long it may send nothing. The largest number: for ever.
    pub(super) max_idle: Nanos,
    /// Fires no later than the earliest of its limits on time. It may fire earlier: then it is armed anew.
    pub(super) deadline: Option<DeadlineKey>,
    pub(super) phase: Phase,
    pub(super) flags: Flags,
}

/// The way of a connection, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Requests are carried out.
    Open,
    /// It is to end, and waits for its turn; its session still holds what it holds.
    Doomed { leave: Leave },
    /// The session has ended. What was decided before is still sent.
    Draining { leave: Leave },
    /// All is sent and our side is closed. What still comes is dropped, so that no reset overtakes what was sent.
    Lingering { until: Nanos },
}

/// How the socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// At once, unsent output is dropped.
    Now,
    /// When all is sent.
    Sent,
    /// When all is sent and the peer had a moment to read it, although it may still be sending.
    Read,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the socket or a list")]
pub(super) struct Flags {
    /// The socket may have input that was not read.
    pub(super) is_readable: bool,
    /// The peer has closed its side: read on to the end although a read was short.
    pub(super) is_read_closed: bool,
    /// The socket takes nothing until the poll says so.
    pub(super) is_blocked: bool,
    /// It is on the list of those to be read.
    pub(super) is_listed: bool,
    /// It is on the list of those to be flushed.
    pub(super) is_dirty: bool,
    /// It is only there to be told that there is no room.
    pub(super) is_turned_away: bool,
}

impl<S> Connection<S> {
    pub(super) fn new(socket: S, peer: Peer, max_idle: Nanos, now: Nanos) -> Self {
        Connection {
            socket,
            peer,
            session: None,
            inbox: None,
            outbox: None,
            last_input: now,
            last_progress: now,
            max_idle,
            deadline: None,
            phase: Phase::Open,
            flags: Flags::default(),
        }
    }

    /// A TCP socket that gives less than was asked for is empty, and an event follows when it is not. A UNIX socket may
    /// give what was sent in one piece and have more.
    pub(super) fn is_drained_by_short_read(&self) -> bool {
        !matches!(self.peer, Peer::Unix(_)) && !self.flags.is_read_closed
    }

    pub(super) fn unsent(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.unsent().len())
    }

    /// Bytes received and not carried out.
    pub(super) fn kept(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.bytes.len())
    }

    /// Whether there is input to be carried out without reading.
    pub(super) fn has_unscanned(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.scanner.has_unscanned(&inbox.bytes))
    }
}

/// Bytes received, and how far they were looked at.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) bytes: Vec<u8>,
    pub(super) scanner: LineScanner,
}

impl Inbox {
    /// Drops what was carried out.
    pub(super) fn compact(&mut self) {
        let left = self.scanner.rest(&self.bytes).len();
        self.bytes.drain(..self.bytes.len() - left);
        self.scanner = self.scanner.rebased();
    }

    /// Gives back most of the memory that it had for more. `is_quiet`: nothing more is there to be read, so that it may stay
    /// as it is for long.
    pub(super) fn give_back(&mut self, is_quiet: bool) {
        give_back(&mut self.bytes, if is_quiet { QUIET_CAPACITY } else { BUSY_CAPACITY });
    }
}

impl Buffer for Inbox {
    fn clear(&mut self) {
        self.bytes.clear();
        self.scanner = LineScanner::default();
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Bytes to be sent. Invariant: `sent <= bytes.len()`.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    sent: usize,
}

/// Sent bytes at the front of an outbox are moved out from this many on, once they are half of it.
const COMPACT_BYTES: usize = 16 << 10;

impl Outbox {
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn mark_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(self.sent <= self.bytes.len(), "no more is sent than there was");
        if self.sent >= COMPACT_BYTES && self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
            give_back(&mut self.bytes, 2 * COMPACT_BYTES);
        }
    }
}

/// What an inbox may have, however little is in it: room for the rest of a line, and where more comes at once, for a
/// read and a rest.
const QUIET_CAPACITY: usize = 1 << 10;
const BUSY_CAPACITY: usize = 32 << 10;

/// Gives back the memory of a buffer that was much fuller than it is. A limit on what is in all buffers together is to be one
/// on their memory, and a buffer that never becomes empty would keep for ever what it once had.
fn give_back(bytes: &mut Vec<u8>, capacity: usize) {
    // A buffer that has grown has twice its content at most.
    if bytes.capacity() > capacity.max(2 * bytes.len()) {
        bytes.shrink_to(capacity);
    }
}

impl Buffer for Outbox {
    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Why a connection ends.
#[derive(Debug)]
pub enum Disconnect {
    /// End of input.
    PeerClosed,
    /// A line over the limit.
    LineTooLong,
    /// All together have sent too much that can't be carried out yet, and this one most.
    InboxesFull,
    /// There was no room for it.
    TooManyConnections,
    /// Nothing was received for the idle limit.
    Idle,
    /// Somebody ended it by `kick`.
    Kicked {
        /// Who.
        by: Peer,
    },
    /// It has too much unsent output.
    OutboxFull,
    /// All together have too much unsent output, and this one most.
    OutboxesFull,
    /// It took nothing of its output for the limit.
    Stalled,
    /// The socket failed.
    Io(io::Error),
}

impl Disconnect {
    pub(super) fn leave(&self) -> Leave {
        match self {
            Disconnect::PeerClosed | Disconnect::Kicked { .. } => Leave::Sent,
            Disconnect::LineTooLong | Disconnect::TooManyConnections => Leave::Read,
            Disconnect::InboxesFull
            | Disconnect::Idle
            | Disconnect::OutboxFull
            | Disconnect::OutboxesFull
            | Disconnect::Stalled
            | Disconnect::Io(_) => Leave::Now,
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnect::PeerClosed => f.write_str("the peer closed the connection"),
            Disconnect::LineTooLong => f.write_str("it sent a line over the limit"),
            Disconnect::InboxesFull => {
                f.write_str("what all have sent and can't be carried out yet is over the limit, and it had most of it")
            }
            Disconnect::TooManyConnections => f.write_str("there are as many connections as may be"),
            Disconnect::Idle => f.write_str("it sent nothing for the idle limit"),
            Disconnect::Kicked { by } => write!(f, "{by} kicked it"),
            Disconnect::OutboxFull => f.write_str("its unsent output is over the limit"),
            Disconnect::OutboxesFull => {
                f.write_str("the unsent output of all is over the limit, and it had most of it")
            }
            Disconnect::Stalled => f.write_str("it took nothing of its output for the limit"),
            Disconnect::Io(error) => write!(f, "the socket failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_has_grown_is_known_by_its_memory() {
        // Or the pool would keep it for ever.
        let (mut inbox, mut outbox) = (Inbox::default(), Outbox::default());
        inbox.bytes.reserve(1 << 20);
        outbox.bytes.reserve(1 << 20);
        assert!(inbox.capacity() >= 1 << 20 && outbox.capacity() >= 1 << 20);
    }

    #[test]
    fn an_inbox_of_which_all_was_carried_out_is_known_to_be_empty() {
        // Or every connection would keep one for ever.
        let mut inbox = Inbox { bytes: b"one\ntwo".to_vec(), scanner: LineScanner::default() };
        assert_eq!(inbox.scanner.next_line(&inbox.bytes, 100), Ok(Some(&b"one"[..])));
        inbox.compact();
        assert_eq!(inbox.bytes, b"two");
        inbox.bytes.push(b'\n');
        assert_eq!(inbox.scanner.next_line(&inbox.bytes, 100), Ok(Some(&b"two"[..])));
        inbox.compact();
        assert_eq!(inbox.bytes, b"");
    }

    #[test]
    fn a_buffer_that_was_fuller_gives_its_memory_back() {
        // Or clients could have any number of bytes that count against no limit.
        let mut inbox = Inbox { bytes: vec![b'x'; 1 << 20], scanner: LineScanner::default() };
        inbox.bytes.extend_from_slice(b"\nrest");
        assert!(inbox.scanner.next_line(&inbox.bytes, 2 << 20).is_ok_and(|line| line.is_some()));
        inbox.compact();
        inbox.give_back(false);
        assert_eq!((&inbox.bytes[..], inbox.capacity()), (&b"rest"[..], BUSY_CAPACITY));
        inbox.give_back(true);
        assert_eq!((&inbox.bytes[..], inbox.capacity()), (&b"rest"[..], QUIET_CAPACITY));
        inbox.bytes.resize(QUIET_CAPACITY + 1, b'x');
        let grown = inbox.capacity();
        inbox.give_back(true);
        assert_eq!(inbox.capacity(), grown, "what is in it needs it");

        let mut outbox = Outbox { bytes: vec![0; 1 << 20], sent: 0 };
        outbox.mark_sent((1 << 20) - 1);
        assert_eq!((outbox.unsent().len(), outbox.capacity()), (1, 2 * COMPACT_BYTES));
    }

    #[test]
    fn what_is_sent_is_moved_out_when_it_is_much_and_half_of_all() {
        let mut outbox = Outbox { bytes: vec![0; 100], sent: 0 };
        outbox.mark_sent(60);
        assert_eq!((outbox.bytes.len(), outbox.unsent().len()), (100, 40), "little is not worth it");
        let mut outbox = Outbox { bytes: vec![0; 1 << 20], sent: 0 };
        outbox.mark_sent(COMPACT_BYTES);
        assert_eq!(outbox.bytes.len(), 1 << 20, "nor is a move of much for little");
        outbox.mark_sent((1 << 19) - COMPACT_BYTES);
        assert_eq!((outbox.bytes.len(), outbox.unsent().len()), (1 << 19, 1 << 19));
    }
}
