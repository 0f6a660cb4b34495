//! The commands that are about other connections, or name them.

use super::connection::Connection;
use super::connections::Connections;
use super::farewell::Why;
use super::sessions::Record;
use super::{Disconnect, Server, Socket};
use crate::engine::{ConnectionKey, Context, PAGE_BYTES, PAGE_SLOTS, Replies, SessionKey};
use crate::wire::listing::{ConnectionRow, Listing, ListingTooLarge, Written};
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, Reason, Reply, Subject};
use crate::wire::request::{ConnectionsPage, Revocation, Transfer};

/// Names in one row of a page: the locks of one connection alone could fill several pages.
const ROW_NAMES_MAX: usize = 1000;
/// Where the sessions without a connection begin in the pages of `connections`. There are always fewer connections than that.
const FIRST_SESSION: u32 = 1 << 31;

/// What has a row in the pages of `connections`.
enum Named<'a, S> {
    Connection(&'a Connection<S>),
    /// It has no connection.
    Session(&'a Record),
}

impl<S: Socket> Server<S> {
    /// Ends holds of others.
    pub(super) fn revoke(&mut self, key: ConnectionKey, request: &Revocation<'_>, context: &Context<'_>) {
        let name = request.name.as_str();
        if let Some(message) = self.refuse_to_end("revoke", key) {
            let (message, subject) = (message.into(), Some(Subject::Lock(name)));
            return self.answer(key, Outcome::Error { reason: Reason::NotAllowed, message, subject }, context);
        }
        let connection = request.connection.as_ref().map(|name| name.parse().ok());
        self.engine.revoke(request, connection, context, &mut self.connections);
    }

    /// Why a connection may not end others, or what they hold.
    fn refuse_to_end(&mut self, command: &str, key: ConnectionKey) -> Option<String> {
        let connection = self.connections.known(key);
        let (by, own_ip) = (connection.peer, connection.socket.own_ip());
        if by.is_local(own_ip) || self.connections.limits.kick_from_anywhere {
            return None;
        }
        // Another address of the server's own machine is no proof of being there: it may be routed.
        let from = own_ip.map_or("127.0.0.1 or [::1]".to_owned(), |ip| ip.to_string());
        Some(format!(
            "{command} is only allowed from the server's own machine, by a connection that comes from {from}; \
             this one comes from {by}"
        ))
    }

    /// Ends a connection that somebody names. Its locks have passed on before the answer is given, so whoever gets the
    /// answer and asks next finds them so.
    pub(super) fn kick(&mut self, key: ConnectionKey, name: &str, context: &Context<'_>) {
        let by = self.connections.known(key).peer;
        if let Some(message) = self.refuse_to_end("kick", key) {
            let outcome = Outcome::Error { reason: Reason::NotAllowed, message: message.into(), subject: None };
            return self.answer(key, outcome, context);
        }
        let named = name.parse().ok();
        let record = named.and_then(|name| self.sessions.with_name(name));
        let connection_of = |record| self.sessions.get(record).connection;
        let kicked = record.map_or_else(|| named.and_then(|peer| self.connections.find(peer)), connection_of);
        // Who kicks itself is told so first; nothing is sent to it any more after that.
        if kicked == Some(key) {
            self.answer(key, Outcome::Kicked, context);
        }
        let text = Disconnect::Kicked { by }.to_string();
        match (kicked, record) {
            (Some(kicked), _) => {
                self.connections.doom(kicked, Disconnect::Kicked { by });
                self.end_session(kicked, &Why { text, is_ordinary: false, ends_session: true });
            }
            (None, Some(record)) => self.end_detached(record, &text),
            (None, None) => return self.answer(key, Outcome::KickFailed, context),
        }
        if kicked != Some(key) {
            self.answer(key, Outcome::Kicked, context);
        }
    }

    /// Hands a lock to a waiter that the holder names.
    pub(super) fn transfer(&mut self, request: &Transfer<'_>, context: &Context<'_>) {
        let to = request.to.as_ref().map(|name| name.parse().ok());
        self.engine.transfer(request, to, context, &mut self.connections);
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

    /// The connections by their slots; after them, by their own, the sessions that have none.
    fn write_connections(&self, page: ConnectionsPage) -> Written<(Listing, Option<u32>)> {
        let mut listing = Listing::new(self.connections.limits.reply_bytes_max);
        let (connections, end) = self.connections.slots.between(page.after, PAGE_SLOTS);
        let connections = connections.map(|(slot, connection)| (slot, Named::Connection(connection)));
        // Those on this page, if all connections are.
        let slots_left = if end.is_some() { 0 } else { PAGE_SLOTS };
        let (sessions, sessions_end) = self.sessions.between(page.after.saturating_sub(FIRST_SESSION), slots_left);
        let sessions = sessions.map(|(slot, record)| (slot + FIRST_SESSION, Named::Session(record)));
        let is_meant = |named: &Named<'_, S>| match named {
            Named::Connection(connection) => connection.session.is_some_and(|session| self.is_listed(session, page)),
            Named::Session(record) => record.connection.is_none() && self.is_listed(record.session, page),
        };
        let mut found = connections.chain(sessions).filter(|(_, named)| is_meant(named));
        let left = listing.object_within(PAGE_BYTES, found.by_ref().take(page.limit), |listing, (_, named)| {
            self.write_named(listing, &named, page.has_detail)
        })?;
        // The first that found no room, else the first over the limit, else the first slot that was not looked at.
        let next = left.or_else(|| found.next()).map(|(slot, _)| slot).or(end);
        Ok((listing, next.or(sessions_end.map(|slot| slot + FIRST_SESSION))))
    }

    fn write_named(&self, listing: &mut Listing, named: &Named<'_, S>, has_detail: bool) -> Written {
        let now = self.connections.now;
        let (session, name) = match named {
            Named::Connection(connection) => (connection.session.expect("it is listed"), connection.peer),
            Named::Session(record) => (record.session, record.name()),
        };
        if !has_detail {
            let names = self.engine.locks_of(session).map(|(name, _)| name);
            return listing.connection(name, names.take(ROW_NAMES_MAX));
        }
        let (unsent, since, last_input) = match named {
            Named::Connection(connection) => (connection.unsent(), connection.since, connection.last_input),
            Named::Session(record) => (0, record.since, record.last_input),
        };
        let summary = self.engine.summary(session);
        let row = ConnectionRow {
            client: summary.client,
            holds: summary.holds,
            waits: summary.waits,
            unsent,
            age: now.since(since),
            silent_for: now.since(last_input),
            session: self.sessions.of(session).map(|record| self.sessions.get(record).name()),
            grace_left: self.engine.grace_left(session, now),
        };
        listing.connection_in_detail(name, &row)
    }

    fn is_listed(&self, session: SessionKey, page: ConnectionsPage) -> bool {
        let summary = self.engine.summary(session);
        page.has_idle || summary.holds + summary.waits > 0
    }

    pub(super) fn answer(&mut self, key: ConnectionKey, outcome: Outcome<'_>, context: &Context<'_>) {
        self.connections.push(key, &Reply { id: context.id, owner: context.owner, outcome });
    }
}

impl<S: Socket> Connections<S> {
    /// The connection with this name, among those that clients know of.
    fn find(&self, peer: Peer) -> Option<ConnectionKey> {
        let matches = |connection: &Connection<S>| connection.peer == peer && connection.session.is_some();
        self.iter().find(|(_, connection)| matches(connection)).map(|(key, _)| key)
    }
}
