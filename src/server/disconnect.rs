//! Why a connection ends, and how its socket is closed then.

use std::{fmt, io};

use super::connection::Leave;
use crate::wire::foreign::Foreign;
use crate::wire::peer::Peer;

/// Why a connection ends.
#[derive(Debug)]
pub enum Disconnect {
    /// End of input.
    PeerClosed,
    /// A line over the limit.
    LineTooLong,
    /// It began with another protocol.
    WrongProtocol(Foreign),
    /// All together have sent too much that can't be executed yet, and this one most.
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
    /// Its session was resumed on another connection.
    SessionTaken {
        /// That connection.
        by: Peer,
    },
    /// It did not prove who it says it is.
    AuthFailed,
    /// It asked for something before it said who it is.
    NotAuthenticated,
    /// It did not say in time who it is.
    AuthTimeout,
    /// Its handshake waited for the peer for too long.
    HandshakeTimeout,
    /// It had not said who it is, and made way for another.
    StrangerEvicted,
    /// Its user is no longer in the users file.
    UserGone,
    /// It has too much unsent output.
    OutboxFull,
    /// All together have too much unsent output, and this one most.
    OutboxesFull,
    /// It took nothing of its output for the limit.
    Stalled,
    /// The socket failed.
    Io(io::Error),
    /// It and the server did not agree on how to encrypt, or one did not accept the other's certificate.
    HandshakeFailed(io::Error),
}

impl Disconnect {
    /// What each is counted as.
    pub(super) const WORDS: [&str; 19] = [
        "peer_closed",
        "line_too_long",
        "wrong_protocol",
        "inboxes_full",
        "too_many_connections",
        "idle",
        "kicked",
        "session_taken",
        "auth_failed",
        "not_authenticated",
        "auth_timeout",
        "handshake_timeout",
        "stranger_evicted",
        "user_gone",
        "outbox_full",
        "outboxes_full",
        "stalled",
        "socket_error",
        "handshake_failed",
    ];

    /// One of [`Disconnect::WORDS`].
    pub(super) fn word(&self) -> &'static str {
        match self {
            Disconnect::PeerClosed => "peer_closed",
            Disconnect::LineTooLong => "line_too_long",
            Disconnect::WrongProtocol(_) => "wrong_protocol",
            Disconnect::InboxesFull => "inboxes_full",
            Disconnect::TooManyConnections => "too_many_connections",
            Disconnect::Idle => "idle",
            Disconnect::Kicked { .. } => "kicked",
            Disconnect::SessionTaken { .. } => "session_taken",
            Disconnect::AuthFailed => "auth_failed",
            Disconnect::NotAuthenticated => "not_authenticated",
            Disconnect::AuthTimeout => "auth_timeout",
            Disconnect::HandshakeTimeout => "handshake_timeout",
            Disconnect::StrangerEvicted => "stranger_evicted",
            Disconnect::UserGone => "user_gone",
            Disconnect::OutboxFull => "outbox_full",
            Disconnect::OutboxesFull => "outboxes_full",
            Disconnect::Stalled => "stalled",
            Disconnect::Io(_) => "socket_error",
            Disconnect::HandshakeFailed(_) => "handshake_failed",
        }
    }

    pub(super) fn leave(&self) -> Leave {
        match self {
            Disconnect::PeerClosed | Disconnect::Kicked { .. } | Disconnect::UserGone => Leave::Sent,
            Disconnect::LineTooLong
            | Disconnect::WrongProtocol(_)
            | Disconnect::TooManyConnections
            | Disconnect::HandshakeFailed(_)
            | Disconnect::SessionTaken { .. }
            | Disconnect::AuthFailed
            | Disconnect::NotAuthenticated => Leave::Read,
            Disconnect::InboxesFull
            | Disconnect::AuthTimeout
            | Disconnect::HandshakeTimeout
            | Disconnect::StrangerEvicted
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
            Disconnect::LineTooLong => f.write_str("line too long"),
            Disconnect::WrongProtocol(foreign) => write!(f, "wrong protocol: it speaks {foreign}"),
            Disconnect::InboxesFull => f.write_str("total input limit exceeded; this connection held the most"),
            Disconnect::TooManyConnections => f.write_str("connection limit reached"),
            Disconnect::Idle => f.write_str("idle limit reached"),
            Disconnect::Kicked { by } => write!(f, "kicked by {by}"),
            Disconnect::SessionTaken { by } => write!(f, "its session was resumed by {by}"),
            Disconnect::AuthFailed => f.write_str("authentication failed"),
            Disconnect::NotAuthenticated => f.write_str("it did not say who it is"),
            Disconnect::AuthTimeout => f.write_str("it did not say in time who it is"),
            Disconnect::HandshakeTimeout => f.write_str("the handshake took too long"),
            Disconnect::StrangerEvicted => f.write_str("it had not said who it is, and made way for another"),
            Disconnect::UserGone => f.write_str("its user is gone"),
            Disconnect::OutboxFull => f.write_str("output limit exceeded"),
            Disconnect::OutboxesFull => f.write_str("total output limit exceeded; this connection held the most"),
            Disconnect::Stalled => f.write_str("output stalled: the peer read nothing for the stall limit"),
            Disconnect::Io(error) => write!(f, "socket error: {error}"),
            Disconnect::HandshakeFailed(error) => write!(f, "handshake failed: {error}"),
        }
    }
}
