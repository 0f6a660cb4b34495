//! The commands that are about connections, not locks.

use super::connections::Connections;
use super::{Disconnect, Server, Socket};
use crate::engine::{ConnectionKey, Context, Replies};
use crate::time::Span;
use crate::wire::peer::Peer;
use crate::wire::reply::{HelloLimits, Outcome, Reason, Reply};
use crate::wire::request::Hello;

impl<S: Socket> Server<S> {
    /// The client says who it is, and is told what it may do.
    pub(super) fn hello(&mut self, key: ConnectionKey, hello: &Hello<'_>, context: &Context<'_>) {
        if let Some(client) = &hello.client {
            self.engine.set_client(context.session, client);
        }
        let max_idle_of_all = self.connections.max_idle();
        let connection = self.connections.known(key);
        if let Some(max_idle) = hello.max_idle {
            connection.max_idle = max_idle.to_whole_milliseconds().min(max_idle_of_all);
        }
        let (peer, max_idle) = (connection.peer, connection.max_idle);
        let limits = &self.connections.limits;
        let limits = HelloLimits {
            line_bytes_max: limits.line_bytes_max,
            connection_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            reply_bytes_max: limits.reply_bytes_max,
            max_idle: Some(max_idle).filter(|max_idle| *max_idle < Span::FOREVER),
        };
        self.connections.arm(key);
        self.answer(key, Outcome::Hello { connection: peer, limits }, context);
    }

    /// Ends a connection that somebody names. Its locks have passed on before the answer is given, so whoever gets the
    /// answer and asks next finds them so.
    pub(super) fn kick(&mut self, key: ConnectionKey, name: &str, context: &Context<'_>) {
        let by = self.connections.known(key).peer;
        let limits = &self.connections.limits;
        if !by.is_local(limits.own_ip) && !limits.kick_from_anywhere {
            let message = "kick is only allowed from the server's machine, unless the server is configured otherwise";
            let outcome = Outcome::Error { reason: Reason::NotAllowed, message: message.into(), name: None };
            return self.answer(key, outcome, context);
        }
        let kicked = name.parse().ok().and_then(|peer| self.connections.find(peer));
        // Who kicks itself is told so first; nothing is sent to it any more after that.
        if kicked.is_none() || kicked == Some(key) {
            let outcome = if kicked.is_some() { Outcome::Kicked } else { Outcome::KickFailed };
            self.answer(key, outcome, context);
        }
        let Some(kicked) = kicked else { return };
        self.connections.doom(kicked, Disconnect::Kicked { by });
        self.end_session(kicked);
        if kicked != key {
            self.answer(key, Outcome::Kicked, context);
        }
    }

    fn answer(&mut self, key: ConnectionKey, outcome: Outcome<'_>, context: &Context<'_>) {
        self.connections.push(key, &Reply { id: context.id, outcome });
    }
}

impl<S: Socket> Connections<S> {
    /// The connection with this name, among those that clients know of.
    fn find(&self, peer: Peer) -> Option<ConnectionKey> {
        let matches =
            |connection: &super::connection::Connection<S>| connection.peer == peer && connection.session.is_some();
        self.iter().find(|(_, connection)| matches(connection)).map(|(key, _)| key)
    }
}
