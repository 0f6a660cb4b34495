//! Who a connection is, and what that allows it to do.

use std::fmt;

use super::access::{Access, Identity, LoginFailed, RoleKey};
use super::connection::{Connection, Phase};
use super::farewell::Why;
use super::{Credentials, Disconnect, LOG_TARGET, Server, Socket};
use crate::engine::{ConnectionKey, Context, Replies, SessionKey};
use crate::wire::reply::{Outcome, Reason, Reply, Subject};
use crate::wire::request::{Command, Login, Operation, PlainOperation, Request};

/// Places that are kept for admins when there is none left for others.
const ADMIN_PLACES: usize = 10;

impl<S: Socket> Server<S> {
    /// Takes new rules. Who is connected as a user that is gone ends within the next turns, and so do that user's sessions;
    /// all others keep what they have, and what they may do from now on is what the new rules say.
    pub fn set_access(&mut self, access: Access) {
        let had_users = self.connections.roles.has_users();
        self.connections.roles.set(access);
        let all: Vec<(ConnectionKey, Option<RoleKey>)> =
            self.connections.iter().map(|(key, connection)| (key, connection.role)).collect();
        for (key, role) in all {
            let Some(role) = role else { continue };
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

    /// Looks at who a new connection is, as far as its socket tells. If nobody, it is a stranger until it says so.
    pub(super) fn identify(&mut self, key: ConnectionKey) {
        let has_users = self.connections.roles.has_users();
        let connection = self.connections.known(key);
        let peer = connection.peer;
        // Without users they prove nothing, and asking may take a call.
        let credentials = if has_users { connection.socket.credentials() } else { Credentials::default() };
        match self.connections.roles.identify(peer, &credentials) {
            Identity::Known(role) => {
                if let Err(message) = self.admit(key, role) {
                    self.connections.turn_away(key, &Reply::error(Reason::TooManyConnections, message));
                }
            }
            Identity::Stranger => {}
            Identity::Several => {
                self.note_access(format_args!(
                    "{peer} proves that it is several users at once; closing its connection"
                ));
                let message = "the certificate, or the peer of the socket, is that of several users";
                self.connections.push(key, &Reply::error(Reason::AuthFailed, message));
                self.connections.doom(key, Disconnect::AuthFailed);
            }
        }
    }

    /// Gives a connection its role, if there is a place for it.
    fn admit(&mut self, key: ConnectionKey, role: RoleKey) -> Result<(), &'static str> {
        let connections = &mut self.connections;
        let all = connections.limits.connections_max;
        let kept = if connections.roles.has_users() && connections.roles.is_admin(role) { ADMIN_PLACES } else { 0 };
        if connections.known_users() >= all + kept {
            return Err("connection limit reached");
        }
        if connections.roles.connections(role) >= connections.roles.connections_max(role, all) {
            return Err("connection limit of the user reached");
        }
        connections.roles.on_connection(role);
        let is_restricted = connections.roles.is_restricted(role);
        let connection = connections.known(key);
        let before = connection.role.replace(role);
        connection.flags.is_restricted = is_restricted;
        let session = connection.session.expect("only a connection that is open is admitted");
        match before {
            Some(before) => connections.roles.on_connection_end(before),
            None => connections.strangers -= 1,
        }
        self.set_group(session, role);
        Ok(())
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

    /// Whether a connection that is nobody yet may ask for that.
    pub(super) fn is_for_strangers(request: &Request<'_>) -> bool {
        matches!(&request.command, Command::Hello(_) | Command::Locks(Operation::Ping | Operation::KeepAlive))
    }

    /// Answers a stranger that it has to say who it is, and closes its connection.
    #[cold]
    pub(super) fn refuse_stranger(&mut self, key: ConnectionKey, context: &Context<'_>) {
        let message = "this server has users: say who you are, by hello with user and secret";
        let outcome = Outcome::Error { reason: Reason::NotAuthenticated, message: message.into(), subject: None };
        self.answer(key, outcome, context);
        self.connections.doom(key, Disconnect::NotAuthenticated);
    }

    /// Answers a plain request that the user may not make. Returns whether it did.
    pub(super) fn refuse_plain(
        &mut self,
        key: ConnectionKey,
        operation: &PlainOperation<'_>,
        context: &Context<'_>,
    ) -> bool {
        let role = self.connections.known(key).role.expect("a stranger makes no plain request");
        let PlainOperation::Lock(lock) = operation else {
            self.connections.roles.judge_plain(role, operation, context.now);
            return false;
        };
        match self.connections.roles.judge_plain(role, operation, context.now) {
            None => false,
            Some(refusal) => {
                self.refuse_lock(key, (refusal.reason(), refusal.message()), lock.name, context);
                true
            }
        }
    }

    /// The same for a request of any kind about locks.
    pub(super) fn refuse_operation(
        &mut self,
        key: ConnectionKey,
        operation: &Operation<'_>,
        context: &Context<'_>,
    ) -> bool {
        let Some(role) = self.connections.known(key).role else { return false };
        if !self.connections.roles.is_restricted(role) {
            return false;
        }
        match self.connections.roles.judge(role, operation, context.now) {
            None => false,
            Some((refusal, name)) => {
                self.refuse_lock(key, (refusal.reason(), refusal.message()), name, context);
                true
            }
        }
    }

    fn refuse_lock(
        &mut self,
        key: ConnectionKey,
        (reason, message): (Reason, std::borrow::Cow<'static, str>),
        name: &str,
        context: &Context<'_>,
    ) {
        if reason == Reason::NotAllowed {
            let peer = self.connections.known(key).peer;
            self.note_access(format_args!("{peer}: a lock is refused: {message}"));
        }
        self.answer(key, Outcome::Error { reason, message, subject: Some(Subject::Lock(name)) }, context);
    }

    /// Whether only an admin may do that, and this is none: users are configured.
    pub(super) fn lacks_admin(&self, key: ConnectionKey) -> bool {
        let roles = &self.connections.roles;
        let role = self.connections.get(key).and_then(|connection| connection.role);
        roles.has_users() && !role.is_some_and(|role| roles.is_admin(role))
    }

    /// Answers that only an admin may do that.
    pub(super) fn refuse_without_admin(&mut self, key: ConnectionKey, command: &str, context: &Context<'_>) {
        let peer = self.connections.known(key).peer;
        self.note_access(format_args!("{peer}: {command} is refused: only an admin may do that"));
        let message = format!("{command} needs a user with admin = true").into();
        self.answer(key, Outcome::Error { reason: Reason::NotAllowed, message, subject: None }, context);
    }

    /// Ends all connections and sessions of a user. Those of its connections end within the next turns.
    pub(super) fn kick_user(&mut self, key: ConnectionKey, user: &str, context: &Context<'_>) {
        let by = self.connections.known(key).peer;
        if !self.connections.roles.has_users() || self.lacks_admin(key) {
            return self.refuse_without_admin(key, "kick", context);
        }
        let Some(role) = self.connections.roles.of_user(user) else {
            return self.answer(key, Outcome::KickFailed, context);
        };
        let is_its = |connection: &Connection<S>| connection.role == Some(role) && connection.phase == Phase::Open;
        let kicked: Vec<ConnectionKey> =
            self.connections.iter().filter(|(_, connection)| is_its(connection)).map(|(key, _)| key).collect();
        let detached: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, record)| record.role == role && record.connection.is_none())
            .map(|(key, _)| key)
            .collect();
        let count = (kicked.len() + detached.len()) as u64;
        self.note_access(format_args!("{by} has kicked {count} connections and sessions of a user"));
        let outcome = if count > 0 { Outcome::Kicked { count: Some(count) } } else { Outcome::KickFailed };
        // Who kicks itself is told so first.
        self.answer(key, outcome, context);
        for kicked in kicked {
            self.connections.doom(kicked, Disconnect::Kicked { by });
        }
        self.ending.extend(detached.into_iter().map(|record| (record, "kicked")));
    }

    /// Ends some of the sessions that are to end and have no connection.
    pub(super) fn end_some_sessions(&mut self) {
        for _ in 0..self.connections.limits.turn_ends_max {
            let Some((record, why)) = self.ending.pop_front() else { break };
            // It may be over meanwhile, or have got a connection, which is told on its own.
            if self.sessions.is_detached(record) {
                self.end_detached(record, why);
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

impl Why {
    /// A reason that ends the session as well.
    pub(super) fn ends_session(why: &Disconnect) -> bool {
        matches!(why, Disconnect::Kicked { .. } | Disconnect::UserGone)
    }
}
