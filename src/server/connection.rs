//! One connection: its socket, its buffers, and how far its life has come. Knows no commands.

use super::Socket;
use super::access::RoleKey;
use super::inbox::Inbox;
use super::outbox::Outbox;
use crate::engine::SessionKey;
use crate::engine::deadline::DeadlineKey;
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;

/// A connection and what the loop has to remember of it. Buffers are out of line: most connections are idle.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) socket: S,
    pub(super) peer: Peer,
    /// None: never had one (there was no room), or it was ended.
    pub(super) session: Option<SessionKey>,
    /// What was received and not executed: a partial line, or lines left when the output was too much.
    pub(super) inbox: Option<Box<Inbox>>,
    /// What was decided and not sent.
    pub(super) outbox: Option<Box<Outbox>>,
    /// When it was accepted, or later by the time that its handshake waited for us.
    pub(super) since: Moment,
    /// When something was last received.
    pub(super) last_input: Moment,
    /// When the peer last took output, or when there was output again after there had been none. During the handshake: when
    /// it began to wait for the peer, but for the times that it waited for us.
    pub(super) last_progress: Moment,
    /// How long it may send nothing.
    pub(super) max_idle: Span,
    /// Fires no later than the earliest of its limits on time. It may fire earlier: then it is armed again.
    pub(super) deadline: Option<DeadlineKey>,
    pub(super) phase: Phase,
    pub(super) flags: Flags,
    /// Who it is. None: a stranger, who has not said so yet.
    pub(super) role: Option<RoleKey>,
}

/// The way of a connection, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Requests are executed.
    Open,
    /// It is to end, and waits for its turn; its session still holds what it holds.
    Doomed { leave: Leave },
    /// The session has ended. What was decided before is still sent.
    Draining { leave: Leave },
    /// All is sent and our side is closed. What still comes is dropped, so that no reset overtakes what was sent.
    /// This began with the last progress.
    Lingering,
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
    /// It has input, or the end of it, that was not read: the poll has said so since the last read, or that read filled the
    /// buffer. What a short read of a UNIX socket may have left was sent before that read, and is no news.
    pub(super) has_unread: bool,
    /// The peer has closed its side: read on to the end although a read was short.
    pub(super) is_read_closed: bool,
    /// The socket takes nothing until the poll says so.
    pub(super) is_blocked: bool,
    /// It is on the list of those to be read.
    pub(super) is_listed: bool,
    /// It is on the list of those to be flushed.
    pub(super) is_dirty: bool,
    /// Its handshake is not done yet.
    pub(super) is_handshaking: bool,
    /// It has sent something of its handshake, and we have looked at it.
    pub(super) has_begun: bool,
    /// Its handshake waits for us: this turn had no time left for it.
    pub(super) is_held_up: bool,
    /// It was refused for lack of room, and stays only until its error is sent.
    pub(super) is_turned_away: bool,
    /// It has sent a line that does not belong to another protocol.
    pub(super) is_ours: bool,
    /// It wants fields that a command does not have to be errors.
    pub(super) is_strict: bool,
    /// Some of its requests may have to be refused.
    pub(super) is_restricted: bool,
    /// Its session can be resumed on another connection.
    pub(super) has_session: bool,
    /// The secret of its session is among what is not sent yet.
    pub(super) owes_secret: bool,
    /// It watches, has missed events, and has had no room since.
    pub(super) has_missed: bool,
    /// It is on the list of watchers that may be told that they have missed events.
    pub(super) is_behind: bool,
}

impl<S: Socket> Connection<S> {
    pub(super) fn new(socket: S, peer: Peer, max_idle: Span, now: Moment) -> Self {
        let is_handshaking = socket.has_handshake();
        Connection {
            socket,
            peer,
            session: None,
            inbox: None,
            outbox: None,
            since: now,
            last_input: now,
            last_progress: now,
            max_idle,
            deadline: None,
            phase: Phase::Open,
            flags: Flags { is_handshaking, ..Flags::default() },
            role: None,
        }
    }

    /// A TCP socket that gives less than was asked for is empty, and an event follows when it is not. A UNIX socket may
    /// give what was sent in one piece and have more.
    pub(super) fn is_drained_by_short_read(&self) -> bool {
        !matches!(self.peer, Peer::Unix(_)) && !self.flags.is_read_closed && self.socket.is_drained_by_short_read()
    }

    pub(super) fn unsent(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.unsent().len())
    }

    /// Bytes received and not executed.
    pub(super) fn kept(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.bytes.len())
    }

    /// Whether there is input to be executed without reading.
    pub(super) fn has_unscanned(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.scanner.has_unscanned(&inbox.bytes))
    }
}
