//! The commands that are about other connections, or name them.

use std::cell::Cell;
use std::net::IpAddr;

use super::access::RoleKey;
use super::connection::Connection;
use super::connections::Connections;
use super::farewell::Why;
use super::sessions::{Record, RecordKey};
use super::{Disconnect, Server, Socket};
use crate::engine::{
    ConnectionKey, Context, PAGE_BYTES, PAGE_PLACES, PAGE_SLOTS, Replies, SessionKey, in_order_of_names,
};
use crate::wire::listing::{ConnectionRow, Listing, ListingTooLarge, Written};
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, Reason, Reply, Subject};
use crate::wire::request::{ConnectionsPage, Revocation, Transfer};
use crate::wire::transcript::Escaped;

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

impl<S> Named<'_, S> {
    fn session(&self) -> Option<SessionKey> {
        match self {
            Named::Connection(connection) => connection.session,
            Named::Session(record) => Some(record.session),
        }
    }
}

/// Who asks for something that is about others: a connection of the protocol, or a request by HTTP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actor {
    pub(super) peer: Peer,
    /// None: nobody yet.
    pub(super) role: Option<RoleKey>,
    /// Its own session, of which it is shown everything.
    pub(super) session: Option<SessionKey>,
    /// The address that its connection has come to, unless that is unknown.
    pub(super) own_ip: Option<IpAddr>,
}

/// Who is to be ended: a connection, a session, or a connection with its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kicked {
    connection: Option<ConnectionKey>,
    record: Option<RecordKey>,
}

/// What is shown to whom.
struct Sight {
    session: Option<SessionKey>,
    role: Option<RoleKey>,
    sees_all: bool,
}

impl<S: Socket> Server<S> {
    /// A connection as somebody who asks.
    pub(super) fn actor(&self, key: ConnectionKey) -> Actor {
        let connection = self.connections.get(key).expect("a connection that is executed exists");
        let (peer, own_ip) = (connection.peer, connection.socket.own_ip());
        Actor { peer, role: connection.role, session: connection.session, own_ip }
    }

    /// Ends holds of others.
    pub(super) fn revoke<'a>(&mut self, actor: &Actor, request: &'a Revocation<'_>) -> Outcome<'a> {
        let name = request.name.as_str();
        if let Some(refusal) = self.refuse_without_admin(actor, "revoke") {
            return refusal;
        }
        if let Some(message) = self.refuse_to_end("revoke", actor) {
            let (message, subject) = (message.into(), Some(Subject::Lock(name)));
            return Outcome::Error { reason: Reason::NotAllowed, message, subject };
        }
        self.note_access(format_args!("{} revokes {}", actor.peer, Escaped(name.as_bytes())));
        let connection = request.connection.as_ref().map(|name| name.parse().ok());
        self.engine.revoke(request, connection, self.connections.now, &mut self.connections)
    }

    /// Why somebody may not end others, or what they hold.
    fn refuse_to_end(&self, command: &str, actor: &Actor) -> Option<String> {
        let Actor { peer: by, own_ip, .. } = *actor;
        // With users, the right of an admin decides.
        let has_users = self.connections.roles.has_users();
        if has_users || by.is_local(own_ip) || self.connections.limits.kick_from_anywhere {
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
        let actor = self.actor(key);
        let kicked = match self.find_kicked(&actor, name) {
            Ok(kicked) => kicked,
            Err(outcome) => return self.answer(key, *outcome, context),
        };
        // Who kicks itself is told so first; nothing is sent to it any more after that.
        if kicked.connection == Some(key) {
            self.answer(key, Outcome::Kicked { count: None }, context);
        }
        self.end_kicked(kicked, actor.peer);
        if kicked.connection != Some(key) {
            self.answer(key, Outcome::Kicked { count: None }, context);
        }
    }

    /// Whom somebody means to end. The error says why it is nobody.
    pub(super) fn find_kicked(&mut self, actor: &Actor, name: &str) -> Result<Kicked, Box<Outcome<'static>>> {
        if let Some(refusal) = self.refuse_without_admin(actor, "kick") {
            return Err(refusal.into());
        }
        if let Some(message) = self.refuse_to_end("kick", actor) {
            let outcome = Outcome::Error { reason: Reason::NotAllowed, message: message.into(), subject: None };
            return Err(outcome.into());
        }
        self.note_access(format_args!("{} kicks {}", actor.peer, Escaped(name.as_bytes())));
        let named = name.parse().ok();
        let record = named.and_then(|name| self.sessions.with_name(name));
        let connection_of = |record| self.sessions.get(record).connection;
        let connection = record.map_or_else(|| named.and_then(|peer| self.connections.find(peer)), connection_of);
        let is_nobody = connection.is_none() && record.is_none();
        if is_nobody { Err(Outcome::KickFailed.into()) } else { Ok(Kicked { connection, record }) }
    }

    pub(super) fn end_kicked(&mut self, kicked: Kicked, by: Peer) {
        let text = Disconnect::Kicked { by }.to_string();
        match (kicked.connection, kicked.record) {
            (Some(kicked), _) => {
                self.connections.doom(kicked, Disconnect::Kicked { by });
                self.end_session(kicked, &Why { text, is_ordinary: false, ends_session: true });
            }
            (None, Some(record)) => self.end_detached(record, &text),
            (None, None) => unreachable!("nobody is not kicked"),
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
        let written = self.write_connections(&self.actor(key), page);
        self.answer(key, connections_page(&written), context);
    }

    /// The connections by their slots; after them, by their own, the sessions that have none.
    /// Of those other than the asker's own only what it may see.
    pub(super) fn write_connections(&self, actor: &Actor, page: ConnectionsPage) -> Written<(Listing, Option<u32>)> {
        let sight = Sight { session: actor.session, role: actor.role, sees_all: self.sees_all(actor) };
        let mut listing = Listing::new(self.connections.limits.reply_bytes_max);
        let (connections, end) = self.connections.slots.between(page.after, PAGE_SLOTS);
        let connections = connections.map(|(slot, connection)| (slot, Named::Connection(connection)));
        // Those on this page, if all connections are.
        let slots_left = if end.is_some() { 0 } else { PAGE_SLOTS };
        let (sessions, sessions_end) = self.sessions.between(page.after.saturating_sub(FIRST_SESSION), slots_left);
        let sessions = sessions.map(|(slot, record)| (slot + FIRST_SESSION, Named::Session(record)));
        let is_meant = |named: &Named<'_, S>| match named {
            Named::Connection(connection) => {
                let is_somebody = connection.role.is_some();
                is_somebody && connection.session.is_some_and(|session| self.is_listed(session, page))
            }
            Named::Session(record) => record.connection.is_none() && self.is_listed(record.session, page),
        };
        // To find what may be shown of a connection, all that it has is looked at.
        let (looked_at, cut_off) = (Cell::new(0), Cell::new(None));
        let is_within_budget = |(slot, named): &(u32, Named<'_, S>)| {
            let places = if sight.sees_all { 0 } else { named.session().map_or(0, |session| self.places_of(session)) };
            let before = looked_at.replace(looked_at.get() + places);
            let is_within = before == 0 || before + places <= PAGE_PLACES;
            cut_off.set((!is_within).then_some(*slot));
            is_within
        };
        let candidates = connections.chain(sessions).take_while(is_within_budget);
        let mut found = candidates.filter(|(_, named)| is_meant(named) && self.is_shown(named, &sight));
        let left = listing.object_within(PAGE_BYTES, found.by_ref().take(page.limit), |listing, (_, named)| {
            self.write_named(listing, &named, page.has_detail, &sight)
        })?;
        // The first that found no room, else the first over the limit, else the first slot that was not looked at.
        let next = left.or_else(|| found.next()).map(|(slot, _)| slot).or_else(|| cut_off.get()).or(end);
        Ok((listing, next.or(sessions_end.map(|slot| slot + FIRST_SESSION))))
    }

    /// Whether somebody is shown everything.
    pub(super) fn sees_all(&self, actor: &Actor) -> bool {
        actor.role.is_some_and(|role| self.connections.roles.may_see_all(role))
    }

    fn places_of(&self, session: SessionKey) -> usize {
        let summary = self.engine.summary(session);
        summary.holds + summary.waits
    }

    /// The locks of a session that may be shown.
    fn shown_of(&self, session: SessionKey, sight: &Sight) -> impl Iterator<Item = (&str, bool)> {
        let (sees_all, role) = (sight.sees_all || sight.session == Some(session), sight.role);
        let roles = &self.connections.roles;
        let sees = move |name: &str| sees_all || role.is_some_and(|role| roles.may_see(role, name));
        self.engine.locks_of(session).filter(move |(name, _)| sees(name))
    }

    /// Whether a connection or session appears in a listing: who may not see everything is shown those that have something
    /// that it may see, and itself.
    fn is_shown(&self, named: &Named<'_, S>, sight: &Sight) -> bool {
        let Some(session) = named.session() else { return false };
        sight.sees_all || sight.session == Some(session) || self.shown_of(session, sight).next().is_some()
    }

    fn write_named(&self, listing: &mut Listing, named: &Named<'_, S>, has_detail: bool, sight: &Sight) -> Written {
        let now = self.connections.now;
        let (session, name) = match named {
            Named::Connection(connection) => (connection.session.expect("it is listed"), connection.peer),
            Named::Session(record) => (record.session, record.name()),
        };
        if !has_detail {
            let names = self.shown_of(session, sight).map(|(name, _)| name);
            return match sight.sees_all || sight.session == Some(session) {
                true => listing.connection(name, names.take(ROW_NAMES_MAX)),
                false => listing.connection(name, in_order_of_names(names).take(ROW_NAMES_MAX)),
            };
        }
        let (unsent, since, last_input) = match named {
            Named::Connection(connection) => (connection.unsent(), connection.since, connection.last_input),
            Named::Session(record) => (0, record.since, record.last_input),
        };
        let summary = self.engine.summary(session);
        let (holds, waits) = if sight.sees_all {
            (summary.holds, summary.waits)
        } else {
            let holds = self.shown_of(session, sight).filter(|(_, is_held)| *is_held).count();
            (holds, self.shown_of(session, sight).count() - holds)
        };
        let row = ConnectionRow {
            client: summary.client,
            holds,
            waits,
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

/// The answer to a request for a page of connections.
pub(super) fn connections_page(written: &Written<(Listing, Option<u32>)>) -> Outcome<'_> {
    match written {
        Ok((value, next)) => Outcome::ConnectionsPage { value, next: *next },
        Err(ListingTooLarge) => {
            let message = "a row of the listing is larger than a reply may be; request it with detail";
            Outcome::Error { reason: Reason::ReplyTooLarge, message: message.into(), subject: None }
        }
    }
}

impl<S: Socket> Connections<S> {
    /// The connection with this name, among those that clients know of.
    fn find(&self, peer: Peer) -> Option<ConnectionKey> {
        let matches = |connection: &Connection<S>| connection.peer == peer && connection.session.is_some();
        self.iter().find(|(_, connection)| matches(connection)).map(|(key, _)| key)
    }
}
