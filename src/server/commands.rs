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
/// Where the sessions without a connection begin in the pages of `connections`. There are never so many connections.
const FIRST_SESSION: u32 = 1 << 31;

impl<S: Socket> Server<S> {
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
        let next = match page.after.checked_sub(FIRST_SESSION) {
            None => match self.write_attached(&mut listing, page)? {
                None if !self.engine.are_all_attached() => Some(FIRST_SESSION),
                next => next,
            },
            Some(first) => self.write_detached(&mut listing, first, page)?.map(|slot| slot + FIRST_SESSION),
        };
        Ok((listing, next))
    }

    fn write_attached(&self, listing: &mut Listing, page: ConnectionsPage) -> Written<Option<u32>> {
        let now = self.connections.now;
        let (slots, end) = self.connections.slots.between(page.after, PAGE_SLOTS);
        let mut found = slots.filter_map(|(slot, connection)| {
            let session = connection.session?;
            self.is_listed(session, page).then_some((slot, connection, session))
        });
        let rows = found.by_ref().take(page.limit);
        let left = listing.object_within(PAGE_BYTES, rows, |listing, (_, connection, session)| {
            if !page.has_detail {
                return self.write_names(listing, connection.peer, session);
            }
            let record = self.sessions.of(session).map(|record| self.sessions.get(record));
            let summary = self.engine.summary(session);
            let row = ConnectionRow {
                client: summary.client,
                holds: summary.holds,
                waits: summary.waits,
                unsent: connection.unsent(),
                age: now.since(connection.since),
                silent_for: now.since(connection.last_input),
                session: record.map(Record::name),
                grace_left: None,
            };
            listing.connection_in_detail(connection.peer, &row)
        })?;
        // The first that found no room, else the first over the limit, else the first slot that was not looked at.
        Ok(left.or_else(|| found.next()).map(|(slot, ..)| slot).or(end))
    }

    fn write_detached(&self, listing: &mut Listing, first: u32, page: ConnectionsPage) -> Written<Option<u32>> {
        let now = self.connections.now;
        let (slots, end) = self.sessions.between(first, PAGE_SLOTS);
        let is_meant = |record: &Record| record.connection.is_none() && self.is_listed(record.session, page);
        let mut found = slots.filter(|(_, record)| is_meant(record));
        let rows = found.by_ref().take(page.limit);
        let left = listing.object_within(PAGE_BYTES, rows, |listing, (_, record)| {
            if !page.has_detail {
                return self.write_names(listing, record.name(), record.session);
            }
            let summary = self.engine.summary(record.session);
            let row = ConnectionRow {
                client: summary.client,
                holds: summary.holds,
                waits: summary.waits,
                unsent: 0,
                age: now.since(record.since),
                silent_for: now.since(record.last_input),
                session: Some(record.name()),
                grace_left: self.engine.grace_left(record.session, now),
            };
            listing.connection_in_detail(record.name(), &row)
        })?;
        Ok(left.or_else(|| found.next()).map(|(slot, _)| slot).or(end))
    }

    fn is_listed(&self, session: SessionKey, page: ConnectionsPage) -> bool {
        let summary = self.engine.summary(session);
        page.has_idle || summary.holds + summary.waits > 0
    }

    fn write_names(&self, listing: &mut Listing, name: Peer, session: SessionKey) -> Written {
        let names = self.engine.locks_of(session).map(|(name, _)| name);
        listing.connection(name, names.take(ROW_NAMES_MAX))
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
