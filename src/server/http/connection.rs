//! One connection by HTTP: its socket, its buffers, and how far its life has come.

use std::fmt;

use super::head::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HeadScanner};
use crate::engine::deadline::DeadlineKey;
use crate::server::Credentials;
use crate::time::Moment;
use crate::wire::peer::Peer;

/// The most that is kept of what a connection has sent: one request, or the beginnings of several.
pub(super) const INPUT_BYTES_MAX: usize = HEAD_BYTES_MAX + BODY_BYTES_MAX;

/// A connection and what the loop has to remember of it.
pub(super) struct HttpConnection<S> {
    pub(super) socket: S,
    pub(super) peer: Peer,
    /// What the socket proves of the peer.
    pub(super) credentials: Credentials,
    /// What was received and not executed.
    pub(super) input: Vec<u8>,
    /// How far the head of the request was looked at.
    pub(super) scanner: HeadScanner,
    /// The bytes that the request is known to have, if its head is whole.
    pub(super) awaited: usize,
    /// What is to be sent. Invariant: `sent <= output.len()`.
    pub(super) output: Vec<u8>,
    pub(super) sent: usize,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: Moment,
    /// When the phase has taken too long. None: it has, and that is being looked at.
    pub(super) deadline: Option<DeadlineKey>,
    pub(super) flags: Flags,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Both sides agree on how to encrypt.
    Handshaking,
    /// It has nothing to say.
    Idle,
    /// Some of a request has come.
    Reading,
    /// The answer is not sent yet. `closes`: nothing comes after it.
    Answering { closes: bool },
    /// All is sent and our side is closed. What still comes is dropped, so that no reset overtakes what was sent.
    Lingering,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    /// The socket may have something to read, or an error.
    pub(super) is_readable: bool,
    /// The last write found no room.
    pub(super) is_blocked: bool,
    pub(super) is_listed: bool,
    pub(super) is_dirty: bool,
    /// A whole request is there, and waits for its turn.
    pub(super) is_waiting: bool,
    /// There was no room for it, and it stays only until it is told so.
    pub(super) is_refused: bool,
}

impl<S> HttpConnection<S> {
    pub(super) fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Drops the bytes of a request that was answered, and begins with the next one.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.input.drain(..bytes);
        if self.input.is_empty() {
            // Most connections are idle most of the time.
            self.input = Vec::new();
        }
        self.begin_request();
    }

    /// Nothing is known of the request that the input begins with.
    pub(super) fn begin_request(&mut self) {
        self.scanner = HeadScanner::default();
        self.awaited = 0;
    }

    /// Panics if anything of it contradicts.
    #[cfg(feature = "unstable")]
    pub(super) fn check(&self) {
        assert!(self.input.len() <= INPUT_BYTES_MAX, "no more is read than one request may have");
        assert!(self.sent <= self.output.len(), "no more is sent than there was");
        let is_answering = matches!(self.phase, Phase::Answering { .. });
        assert_eq!(is_answering, self.unsent() > 0, "who is answered has something to be sent");
        assert!(!self.flags.is_waiting || self.flags.is_listed, "who waits for its turn is on the list");
        assert!(!self.flags.is_blocked || is_answering, "who is blocked writes");
    }
}

/// Without what it has received: there are secrets in it.
impl<S: fmt::Debug> fmt::Debug for HttpConnection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection")
            .field("peer", &self.peer)
            .field("phase", &self.phase)
            .field("since", &self.since)
            .field("input", &self.input.len())
            .field("unsent", &self.unsent())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}
