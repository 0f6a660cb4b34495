//! The commands that are about connections, not locks.

use super::connection::Connection;
use super::connections::Connections;
use super::farewell::Why;
use super::{Disconnect, Server, Socket};
use crate::engine::{ConnectionKey, Context, PAGE_BYTES, PAGE_SLOTS, Replies};
use crate::time::Span;
use crate::wire::listing::{ConnectionRow, Listing, ListingTooLarge, Written};
use crate::wire::peer::Peer;
use crate::wire::reply::{HelloLimits, Outcome, Reason, Reply, Subject};
use crate::wire::request::{ConnectionsPage, Hello, Revocation};

/// Names in one row of a page: the locks of one connection alone could fill several pages.
const ROW_NAMES_MAX: usize = 1000;

impl<S: Socket> Server<S> {
    /// The client says who it is, and is told what it may do.
    pub(super) fn hello(&mut self, key: ConnectionKey, hello: &Hello<'_>, context: &Context<'_>) {
        if let Some(client) = &hello.client {
            self.engine.set_client(context.session, client);
        }
        if let Some(wants_notices) = hello.notices {
            self.engine.set_notices(context.session, wants_notices);
        }
        let max_idle_of_all = self.connections.max_idle();
        let connection = self.connections.known(key);
        if let Some(max_idle) = hello.max_idle {
            connection.max_idle = max_idle.to_whole_milliseconds().min(max_idle_of_all);
        }
        if let Some(is_strict) = hello.strict {
            connection.flags.is_strict = is_strict;
        }
        let (peer, max_idle) = (connection.peer, connection.max_idle);
        let limits = &self.connections.limits;
        let limits = HelloLimits {
            line_bytes_max: limits.line_bytes_max,
            connection_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            reply_bytes_max: limits.reply_bytes_max,
            max_idle: finite(max_idle),
            silent_after: finite(match (peer, limits.silent_after) {
                (Peer::V4 { .. } | Peer::V6 { .. }, Some(silent_after)) => max_idle.min(silent_after.into()),
                _ => max_idle,
            }),
        };
        self.connections.arm(key);
        self.answer(key, Outcome::Hello { connection: peer, limits, session: None, resumed: None }, context);
    }

    /// Ends holds of others.
    pub(super) fn revoke(&mut self, key: ConnectionKey, request: &Revocation<'_>, context: &Context<'_>) {
        let name = request.name.as_str();
        let by = self.connections.known(key).peer;
        if let Some(message) = self.refuse_to_end("revoke", by) {
            let (message, subject) = (message.into(), Some(Subject::Lock(name)));
            return self.answer(key, Outcome::Error { reason: Reason::NotAllowed, message, subject }, context);
        }
        let connection = request.connection.as_ref().map(|name| name.parse().ok());
        self.engine.revoke(request, connection, context, &mut self.connections);
    }

    /// Why a connection may not end others, or what they hold.
    fn refuse_to_end(&self, command: &str, by: Peer) -> Option<String> {
        let limits = &self.connections.limits;
        if by.is_local(limits.own_ip) || limits.kick_from_anywhere {
            return None;
        }
        // Another address of the server's own machine is no proof of being there: it may be routed.
        let from = limits.own_ip.map_or("127.0.0.1 or [::1]".to_owned(), |ip| ip.to_string());
        Some(format!(
            "{command} is only allowed from the server's own machine, by a connection that comes from {from}; \
             this one comes from {by}"
        ))
    }

    /// Ends a connection that somebody names. Its locks have passed on before the answer is given, so whoever gets the
    /// answer and asks next finds them so.
    pub(super) fn kick(&mut self, key: ConnectionKey, name: &str, context: &Context<'_>) {
        let by = self.connections.known(key).peer;
        if let Some(message) = self.refuse_to_end("kick", by) {
            let outcome = Outcome::Error { reason: Reason::NotAllowed, message: message.into(), subject: None };
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
        let text = Disconnect::Kicked { by }.to_string();
        self.end_session(kicked, &Why { text, is_ordinary: false });
        if kicked != key {
            self.answer(key, Outcome::Kicked, context);
        }
    }

    /// Some connections from a slot on, and the slot where to go on if there may be more. What a page costs is bounded by
    /// the slots that it looks at and the bytes that it writes.
    pub(super) fn list_connections(&mut self, key: ConnectionKey, page: ConnectionsPage, context: &Context<'_>) {
        let written = self.write_connections(page);
        let outcome = match &written {
            Ok((value, next)) => Outcome::ConnectionsPage { value, next: *next },
            Err(ListingTooLarge) => {
                let message = "a row of the listing is larger than a reply may be; request it with detail";
                Outcome::Error { reason: Reason::ReplyTooLarge, message: message.into(), subject: None }
            }
        };
        self.connections.push(key, &Reply { id: context.id, owner: context.owner, outcome });
    }

    fn write_connections(&self, page: ConnectionsPage) -> Written<(Listing, Option<u32>)> {
        let mut listing = Listing::new(self.connections.limits.reply_bytes_max);
        let (slots, end) = self.connections.slots.between(page.after, PAGE_SLOTS);
        let mut found = slots.filter_map(|(slot, connection)| {
            let session = connection.session?;
            let summary = self.engine.summary(session);
            let is_listed = page.has_idle || summary.holds + summary.waits > 0;
            is_listed.then_some((slot, connection, session, summary))
        });
        let rows = found.by_ref().take(page.limit);
        let left = listing.object_within(PAGE_BYTES, rows, |listing, (_, connection, session, summary)| {
            if !page.has_detail {
                let names = self.engine.locks_of(session).map(|(name, _)| name);
                return listing.connection(connection.peer, names.take(ROW_NAMES_MAX));
            }
            let now = self.connections.now;
            let row = ConnectionRow {
                client: summary.client,
                holds: summary.holds,
                waits: summary.waits,
                unsent: connection.unsent(),
                age: now.since(connection.since),
                silent_for: now.since(connection.last_input),
                session: None,
                grace_left: None,
            };
            listing.connection_in_detail(connection.peer, &row)
        })?;
        // The first that found no room, else the first over the limit, else the first slot that was not looked at.
        let next = left.or_else(|| found.next()).map(|(slot, ..)| slot).or(end);
        Ok((listing, next))
    }

    fn answer(&mut self, key: ConnectionKey, outcome: Outcome<'_>, context: &Context<'_>) {
        self.connections.push(key, &Reply { id: context.id, owner: context.owner, outcome });
    }
}

fn finite(span: Span) -> Option<Span> {
    Some(span).filter(|span| *span < Span::FOREVER)
}

impl<S: Socket> Connections<S> {
    /// The connection with this name, among those that clients know of.
    fn find(&self, peer: Peer) -> Option<ConnectionKey> {
        let matches = |connection: &Connection<S>| connection.peer == peer && connection.session.is_some();
        self.iter().find(|(_, connection)| matches(connection)).map(|(key, _)| key)
    }
}
