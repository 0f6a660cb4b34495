//! Who a connection is, and what that allows it to do.

use std::fmt;

use super::access::{Access, Identity, LoginFailed, Refusal, RoleKey};
use super::commands::Actor;
use super::connection::{Connection, Phase};
use super::sessions::RecordKey;
use super::slice::Slice;
use super::{Credentials, Disconnect, LOG_TARGET, Server, Socket};
use crate::engine::{ConnectionKey, Context, Replies, SessionKey};
use crate::time::Moment;
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, Reason, Reply, Subject};
use crate::wire::request::{Command, Login, Operation, PlainOperation, Request};

/// Who comes, and whether there is a place for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Welcome {
    Known(RoleKey),
    /// Nobody yet: it has to say.
    Stranger,
    /// It proves that it is several users at once.
    Several,
    /// There is no place for it; the message says why.
    NoRoom(&'static str),
}

/// Places that are kept for admins when there is none left for others.
pub const ADMIN_PLACES: usize = 10;

/// All connections of a user, and its sessions that have none.
#[derive(Debug)]
pub(super) struct KickedUser {
    connections: Vec<ConnectionKey>,
    detached: Vec<RecordKey>,
}

impl KickedUser {
    fn count(&self) -> u64 {
        (self.connections.len() + self.detached.len()) as u64
    }

    pub(super) fn outcome(&self) -> Outcome<'static> {
        match self.count() {
            0 => Outcome::KickFailed,
            count => Outcome::Kicked { count: Some(count) },
        }
    }
}

fn without_admin(command: &str) -> Outcome<'static> {
    let message = format!("{command} needs a user with admin = true").into();
    Outcome::Error { reason: Reason::NotAllowed, message, subject: None }
}

impl<S: Socket> Server<S> {
    /// Takes new rules. Who is connected as a user that is gone ends within the next turns, and so do that user's sessions;
    /// all others keep what they have, and what they may do from now on is what the new rules say. A stranger that would be
    /// somebody if it came now is that from now on.
    pub fn set_access(&mut self, access: Access) {
        let had_users = self.connections.roles.has_users();
        self.connections.roles.set(access, |group| self.engine.closings_of(group));
        let all: Vec<(ConnectionKey, Option<RoleKey>)> =
            self.connections.iter().map(|(key, connection)| (key, connection.role)).collect();
        for (key, role) in all {
            let Some(role) = role else {
                self.judge_again(key);
                continue;
            };
            let peer = self.connections.known(key).peer;
            if had_users && self.connections.roles.is_over(role, peer) {
                self.connections.doom(key, Disconnect::UserGone);
            } else {
                self.connections.known(key).flags.is_restricted = self.connections.roles.is_restricted(role);
                self.connections.known(key).session.into_iter().for_each(|session| self.set_group(session, role));
            }
        }
        let sessions: Vec<(SessionKey, RoleKey)> =
            self.sessions.iter().map(|(_, record)| (record.session, record.role)).collect();
        sessions.into_iter().for_each(|(session, role)| self.set_group(session, role));
        let roles = &self.connections.roles;
        let is_over = |role: RoleKey, has_connection: bool| roles.is_gone(role) && !has_connection;
        self.ending.extend(
            self.sessions
                .iter()
                .filter(|(_, record)| is_over(record.role, record.connection.is_some()))
                .map(|(key, _)| (key, "its user is gone")),
        );
    }

    /// Who comes there, as far as its socket tells, and whether there is a place for it.
    pub(super) fn welcome(&self, peer: Peer, credentials: impl FnOnce() -> Credentials) -> Welcome {
        let roles = &self.connections.roles;
        // Without users they prove nothing, and asking may take a call.
        let credentials = if roles.has_users() { credentials() } else { Credentials::default() };
        let role = match roles.identify(peer, &credentials) {
            Identity::Known(role) => role,
            Identity::Stranger => return Welcome::Stranger,
            Identity::Several => return Welcome::Several,
        };
        match self.room_for(role) {
            Ok(()) => Welcome::Known(role),
            // There may be a place for the user that it says it is.
            Err(_) if roles.has_users() && roles.user(role).is_none() => Welcome::Stranger,
            Err(message) => Welcome::NoRoom(message),
        }
    }

    /// Gives a stranger the role that it has, or closes it.
    pub(super) fn follow(&mut self, key: ConnectionKey, welcome: Welcome) {
        match welcome {
            Welcome::Known(role) => self.give_role(key, role),
            Welcome::Stranger => {}
            Welcome::NoRoom(message) => self.connections.refuse_for_lack_of_room(key, message),
            Welcome::Several => {
                let peer = self.connections.known(key).peer;
                self.note_access(format_args!(
                    "{peer} proves that it is several users at once; closing its connection"
                ));
                let message = "the certificate, or the peer of the socket, is that of several users";
                self.connections.push(key, &Reply::error(Reason::AuthFailed, message));
                self.connections.doom(key, Disconnect::AuthFailed);
            }
        }
    }

    /// Looks again at a stranger after the rules have changed. Whoever is still nobody, or finds no place, stays a stranger.
    fn judge_again(&mut self, key: ConnectionKey) {
        let connection = self.connections.get(key).expect("it is there");
        if connection.phase != Phase::Open || connection.flags.is_handshaking {
            return;
        }
        if let Welcome::Known(role) = self.welcome(connection.peer, || connection.socket.credentials()) {
            self.connections.leave_strangers(key);
            self.give_role(key, role);
        }
    }

    /// Looks at who a connection is after its handshake. If nobody, it stays a stranger until it says so.
    pub(super) fn identify(&mut self, key: ConnectionKey) {
        let connection = self.connections.get(key).expect("its handshake is done");
        let welcome = self.welcome(connection.peer, || connection.socket.credentials());
        if matches!(welcome, Welcome::Known(_)) {
            self.connections.leave_strangers(key);
        }
        self.follow(key, welcome);
    }

    /// Whether there is a place for one more connection with a role. If not, the error says which limit is reached.
    fn room_for(&self, role: RoleKey) -> Result<(), &'static str> {
        let (all, roles) = (self.connections.limits.connections_max, &self.connections.roles);
        let kept = if roles.has_users() && roles.is_admin(role) { ADMIN_PLACES } else { 0 };
        if self.connections.len() >= all + kept {
            return Err("connection limit reached");
        }
        if roles.connections(role) >= roles.connections_max(role, all) {
            return Err("connection limit of the user reached");
        }
        Ok(())
    }

    /// Gives a connection its role, if there is a place for it.
    fn admit(&mut self, key: ConnectionKey, role: RoleKey) -> Result<(), &'static str> {
        self.room_for(role)?;
        if self.connections.known(key).role.is_none() {
            self.connections.leave_strangers(key);
        }
        self.give_role(key, role);
        Ok(())
    }

    /// Gives a connection that is no stranger any more its role.
    fn give_role(&mut self, key: ConnectionKey, role: RoleKey) {
        let connections = &mut self.connections;
        connections.roles.on_connection(role);
        let is_restricted = connections.roles.is_restricted(role);
        let connection = connections.known(key);
        let before = connection.role.replace(role);
        connection.flags.is_restricted = is_restricted;
        let session = connection.session.expect("only a connection that is open is admitted");
        match before {
            Some(before) => connections.roles.on_connection_end(before),
            None => connections.with_role += 1,
        }
        self.set_group(session, role);
    }

    /// Gives a stranger the role of those who don't say who they are, if it may have it and there is a place by now.
    pub(super) fn admit_silent(&mut self, key: ConnectionKey) -> bool {
        let peer = self.connections.known(key).peer;
        self.connections.roles.anonymous(peer).is_some_and(|role| self.admit(key, role).is_ok())
    }

    /// Counts what a session holds and awaits with what others of its role do, if there is a limit.
    fn set_group(&mut self, session: SessionKey, role: RoleKey) {
        let group = self.connections.roles.group(role);
        self.engine.set_group(session, group.map(|(group, _)| group));
        if let Some((group, locks_max)) = group {
            self.engine.set_group_locks_max(group, locks_max);
        }
    }

    /// A client says who it is. The error is answered; if it says so, the connection is closed.
    pub(super) fn log_in(
        &mut self,
        key: ConnectionKey,
        login: &Login<'_>,
        context: &Context<'_>,
    ) -> Result<(), (Reason, &'static str, Option<Disconnect>)> {
        let connection = self.connections.known(key);
        let (peer, role, has_session) = (connection.peer, connection.role, connection.flags.has_session);
        let logged_in = self.connections.roles.log_in(login);
        let is_user = role.is_some_and(|role| self.connections.roles.user(role).is_some());
        let user = match logged_in {
            Ok(user) if is_user && role != Some(user) => Err("the connection is another user already"),
            Ok(user) => Ok(user),
            Err(LoginFailed) if !self.connections.roles.has_users() => Err("this server has no users"),
            Err(LoginFailed) => Err("there is no such user, or that is not its secret"),
        };
        let user = user.map_err(|message| {
            self.note_access(format_args!("{peer}: authentication failed; closing its connection"));
            (Reason::AuthFailed, message, Some(Disconnect::AuthFailed))
        })?;
        if role == Some(user) {
            return Ok(());
        }
        let summary = self.engine.summary(context.session);
        if has_session || summary.holds + summary.waits > 0 {
            let message = "only a connection that has no session and no locks can become a user";
            return Err((Reason::InvalidRequest, message, None));
        }
        self.admit(key, user)
            .map_err(|message| (Reason::TooManyConnections, message, Some(Disconnect::TooManyConnections)))
    }

    /// Whether a connection that was nobody yet may ask for that.
    #[cold]
    pub(super) fn is_for_strangers(&mut self, key: ConnectionKey, request: &Request<'_>) -> bool {
        let says_who = matches!(&request.command, Command::Hello(hello) if hello.login.is_some());
        let is_harmless =
            matches!(&request.command, Command::Hello(_) | Command::Locks(Operation::Ping | Operation::KeepAlive));
        says_who || self.admit_silent(key) || is_harmless
    }

    /// Answers a stranger that it has to say who it is, and closes its connection.
    #[cold]
    pub(super) fn refuse_stranger(&mut self, key: ConnectionKey, context: &Context<'_>) {
        let peer = self.connections.known(key).peer;
        let (reason, message, disconnect) = match self.connections.roles.anonymous(peer) {
            Some(_) => (Reason::TooManyConnections, "connection limit reached", Disconnect::TooManyConnections),
            None => {
                let message = "this server has users: say who you are, by hello with user and secret";
                (Reason::NotAuthenticated, message, Disconnect::NotAuthenticated)
            }
        };
        self.answer(key, Outcome::Error { reason, message: message.into(), subject: None }, context);
        self.connections.doom(key, disconnect);
    }

    /// Answers a plain request that the user may not make. Returns whether it did.
    #[inline(never)]
    pub(super) fn refuse_plain(
        &mut self,
        key: ConnectionKey,
        operation: &PlainOperation<'_>,
        context: &Context<'_>,
    ) -> bool {
        let role = self.connections.known(key).role.expect("a stranger makes no plain request");
        let refused = self.connections.roles.judge_plain(role, operation, context.now);
        refused.inspect(|(refusal, name)| self.refuse_lock(key, *refusal, name, context)).is_some()
    }

    /// The same for a request of any kind about locks.
    pub(super) fn refuse_operation(
        &mut self,
        key: ConnectionKey,
        operation: &Operation<'_>,
        context: &Context<'_>,
    ) -> bool {
        let Some(role) = self.connections.known(key).role else { return false };
        let refused = self.connections.roles.judge(role, operation, context.now);
        refused.inspect(|(refusal, name)| self.refuse_lock(key, *refusal, name, context)).is_some()
    }

    fn refuse_lock(&mut self, key: ConnectionKey, refusal: Refusal, name: &str, context: &Context<'_>) {
        let (reason, message) = (refusal.reason(), refusal.message());
        if reason == Reason::NotAllowed {
            let peer = self.connections.known(key).peer;
            self.note_access(format_args!("{peer}: a lock is refused: {message}"));
        }
        self.answer(key, Outcome::Error { reason, message, subject: Some(Subject::Lock(name)) }, context);
    }

    /// Whether only an admin may do that, and this is none: users are configured.
    pub(super) fn lacks_admin(&self, role: Option<RoleKey>) -> bool {
        let roles = &self.connections.roles;
        roles.has_users() && !role.is_some_and(|role| roles.is_admin(role))
    }

    /// The answer to somebody who asks for what only an admin may do, and is none.
    pub(super) fn refuse_without_admin(&mut self, actor: &Actor, command: &str) -> Option<Outcome<'static>> {
        if !self.lacks_admin(actor.role) {
            return None;
        }
        self.note_access(format_args!("{}: {command} is refused: only an admin may do that", actor.peer));
        Some(without_admin(command))
    }

    /// Ends all connections and sessions of a user. Those of its connections end within the next turns.
    pub(super) fn kick_user(&mut self, key: ConnectionKey, user: &str, context: &Context<'_>) {
        let by = self.connections.known(key).peer;
        let actor = self.actor(key);
        match self.find_kicked_user(&actor, user) {
            Ok(kicked) => {
                // Who kicks itself is told so first.
                self.answer(key, kicked.outcome(), context);
                self.end_kicked_user(kicked, by);
            }
            Err(outcome) => self.answer(key, *outcome, context),
        }
    }

    /// Whom somebody means to end by the name of a user. The error says why that is nobody.
    pub(super) fn find_kicked_user(&mut self, actor: &Actor, user: &str) -> Result<KickedUser, Box<Outcome<'static>>> {
        if let Some(refusal) = self.refuse_without_admin(actor, "kick") {
            return Err(refusal.into());
        }
        if !self.connections.roles.has_users() {
            let message = "this server has no users; it gets them from a file, with --users".into();
            return Err(Outcome::Error { reason: Reason::NotAllowed, message, subject: None }.into());
        }
        let role = self.connections.roles.of_user(user).ok_or(Box::new(Outcome::KickFailed))?;
        let is_its = |connection: &Connection<S>| connection.role == Some(role) && connection.phase == Phase::Open;
        let connections: Vec<ConnectionKey> =
            self.connections.iter().filter(|(_, connection)| is_its(connection)).map(|(key, _)| key).collect();
        let detached: Vec<RecordKey> = self
            .sessions
            .iter()
            .filter(|(_, record)| record.role == role && record.connection.is_none())
            .map(|(key, _)| key)
            .collect();
        let kicked = KickedUser { connections, detached };
        let count = kicked.count();
        self.note_access(format_args!("{} has kicked {count} connections and sessions of a user", actor.peer));
        Ok(kicked)
    }

    pub(super) fn end_kicked_user(&mut self, kicked: KickedUser, by: Peer) {
        for connection in kicked.connections {
            self.connections.doom(connection, Disconnect::Kicked { by });
        }
        self.ending.extend(kicked.detached.into_iter().map(|record| (record, "kicked")));
    }

    /// Ends some of the sessions that are to end and have no connection.
    pub(super) fn end_some_sessions(&mut self, clock: &dyn Fn() -> Moment) {
        let slice = Slice::new(clock);
        for _ in 0..self.connections.limits.turn_ends_max {
            let Some((record, why)) = self.ending.pop_front() else { break };
            // It may be over meanwhile, or have got a connection, which is told on its own.
            if self.sessions.is_detached(record) {
                self.end_detached(record, why);
            }
            if slice.is_over() {
                break;
            }
        }
    }

    /// Writes a line about who gets in and who does not, whatever is logged otherwise, but for a flood of them.
    pub(super) fn note_access(&mut self, line: fmt::Arguments<'_>) {
        if !self.connections.roles.has_users() {
            return;
        }
        match self.access_lines.take(self.connections.now) {
            Some(0) => log::warn!(target: LOG_TARGET, "{line}"),
            Some(left_out) => log::warn!(target: LOG_TARGET, "{line} (and {left_out} more of such lines)"),
            None => {}
        }
    }
}
