//! What comes before a connection's first request: both sides agree on how to encrypt, if they do.

use super::connection::Phase;
use super::{Disconnect, Handshake, Server, Socket};
use crate::engine::{ConnectionKey, Replies};
use crate::wire::foreign::Foreign;
use crate::wire::reply::{Reason, Reply};

impl<S: Socket> Server<S> {
    /// Goes on with a handshake. Says whether it is done, and requests may be read.
    pub(super) fn go_on_with_handshake(&mut self, key: ConnectionKey) -> bool {
        let now = self.connections.now;
        let connection = self.connections.known(key);
        let outcome = connection.socket.handshake();
        if connection.flags.is_held_up {
            connection.last_progress = connection.last_progress.after(now.since(connection.last_input));
        }
        connection.last_input = now;
        let (is_later, has_begun) = (matches!(outcome, Ok(Handshake::Later)), connection.flags.has_begun);
        self.connections.note_handshake(key, has_begun || !is_later, is_later);
        self.connections.figures.on_handshake(&outcome);
        let connection = self.connections.known(key);
        match outcome {
            Ok(Handshake::Done) => {
                connection.flags.is_handshaking = false;
                connection.flags.is_blocked = false;
                // The first request may have come with the last message.
                connection.flags.is_readable = true;
                self.connections.forgive_handshake(key);
                self.identify(key);
                if self.connections.known(key).phase == Phase::Open {
                    self.connections.arm(key);
                }
                return true;
            }
            Ok(Handshake::Waiting) => {
                connection.flags.is_readable = false;
                connection.flags.has_unread = false;
                connection.flags.is_blocked = connection.socket.unsent() > 0;
                self.connections.arm(key);
            }
            Ok(Handshake::Later) => self.connections.list(key),
            Ok(Handshake::Closed) => self.connections.doom(key, Disconnect::PeerClosed),
            Ok(Handshake::NotTls) => self.refuse_clear(key),
            Err(error) => self.connections.doom(key, Disconnect::HandshakeFailed(error)),
        }
        false
    }

    #[cold]
    fn refuse_clear(&mut self, key: ConnectionKey) {
        let message = "this port speaks TLS (Officer's own clients: --tls)";
        self.connections.push(key, &Reply::error(Reason::WrongProtocol, message));
        self.log_foreign(key, Foreign::Clear);
        self.connections.doom(key, Disconnect::WrongProtocol(Foreign::Clear));
    }
}
