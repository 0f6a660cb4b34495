//! `hello`: who the client is, what it may do, and whether its session goes on without a connection.

use super::sessions::RecordKey;
use super::{Disconnect, Server, Socket};
use crate::engine::{ConnectionKey, Context, Replies, SessionKey};
use crate::time::Span;
use crate::wire::peer::Peer;
use crate::wire::reply::{HelloLimits, Outcome, Reason, Reply};
use crate::wire::request::Hello;
use crate::wire::session::{HelloSession, Resumed};

impl<S: Socket> Server<S> {
    /// The client says who it is, and is told what it may do.
    pub(super) fn hello(&mut self, key: ConnectionKey, hello: &Hello<'_>, context: &Context<'_>) {
        // Including this line, which does not count in a session that it resumes.
        self.count_lines(key);
        if let Some(login) = &hello.login
            && let Err((reason, message, disconnect)) = self.log_in(key, login, context)
        {
            self.answer(key, Outcome::Error { reason, message: message.into(), subject: None }, context);
            if let Some(disconnect) = disconnect {
                self.connections.doom(key, disconnect);
            }
            return;
        }
        let is_stranger = self.connections.known(key).role.is_none();
        if is_stranger && (hello.session.is_some() || hello.resume.is_some()) {
            return self.refuse_stranger(key, context);
        }
        let resumed = match self.judge(key, hello, context) {
            Ok(resumed) => resumed,
            Err((reason, message)) => {
                let outcome = Outcome::Error { reason, message: message.into(), subject: None };
                return self.answer(key, outcome, context);
            }
        };
        if let Some(record) = resumed {
            self.resume(key, record, context);
        }
        let session = self.connections.known(key).session.expect("a connection that is executed has one");
        if let Some(client) = &hello.client {
            self.engine.set_client(session, client);
        }
        if let Some(wants_notices) = hello.notices {
            self.engine.set_notices(session, wants_notices);
        }
        let max_idle_of_all = self.connections.max_idle();
        let connection = self.connections.known(key);
        if let Some(max_idle) = hello.max_idle {
            connection.max_idle = max_idle.to_whole_milliseconds().min(max_idle_of_all);
        }
        if let Some(is_strict) = hello.strict {
            connection.flags.is_strict = is_strict;
        }
        self.connections.arm(key);
        let rows = resumed.map(|record| self.resumed_rows(session, record));
        if let Some(grace) = hello.session
            && let Err((reason, message)) = self.set_grace(key, session, grace)
        {
            return self.answer(key, Outcome::Error { reason, message: message.into(), subject: None }, context);
        }
        let is_about_session = hello.session.is_some() || resumed.is_some();
        self.answer_hello(key, session, is_about_session, rows.as_ref(), context);
    }

    /// Whether a `hello` can be executed, and which session it resumes. Nothing is changed.
    fn judge(
        &self,
        key: ConnectionKey,
        hello: &Hello<'_>,
        context: &Context<'_>,
    ) -> Result<Option<RecordKey>, (Reason, &'static str)> {
        let connection = self.connections.get(key).expect("it has sent this");
        let (has_session, role) = (connection.flags.has_session, connection.role);
        if let Some(secret) = &hello.resume {
            let summary = self.engine.summary(context.session);
            if has_session || summary.holds + summary.waits > 0 {
                let message = "only a connection that has no session and no locks can resume a session";
                return Err((Reason::InvalidRequest, message));
            }
            let record = self.sessions.with_secret(secret, role);
            let record = record.ok_or((Reason::SessionUnknown, "there is no session with this secret"))?;
            return Ok(Some(record));
        }
        let begins_one = !has_session && hello.session.is_some_and(|grace| grace > Span::ZERO);
        if begins_one && self.sessions.len() >= self.connections.limits.sessions_max {
            return Err((Reason::TooManySessions, "session limit reached"));
        }
        let roles = &self.connections.roles;
        let sessions_max = |role| roles.sessions_max(role, self.connections.limits.sessions_max);
        if begins_one && role.is_some_and(|role| roles.sessions(role) >= sessions_max(role)) {
            return Err((Reason::TooManySessions, "session limit of the user reached"));
        }
        Ok(None)
    }

    /// Takes a session over from the connection that it had, or that it still has.
    fn resume(&mut self, key: ConnectionKey, record: RecordKey, context: &Context<'_>) {
        let peer = self.connections.known(key).peer;
        let old = self.sessions.get_mut(record).connection.replace(key);
        let (session, name) = (self.sessions.get(record).session, self.sessions.get(record).name());
        if let Some(old) = old {
            let message = format!("the session was resumed by {peer}");
            self.connections.push(old, &Reply::error(Reason::SessionTaken, message));
            let connection = self.connections.known(old);
            connection.session = None;
            connection.flags.has_session = false;
            log::info!("{peer} has resumed {name}, which {} had", connection.peer);
            self.connections.doom(old, Disconnect::SessionTaken { by: peer });
        } else {
            log::info!("{peer} has resumed {name}");
        }
        self.connections.figures.on_resumption();
        self.engine.disconnect(context.session, context.now, &mut self.connections);
        self.engine.attach(session, key, peer);
        let connection = self.connections.known(key);
        connection.session = Some(session);
        connection.flags.has_session = true;
    }

    fn resumed_rows(&self, session: SessionKey, record: RecordKey) -> Resumed {
        let mut rows = Resumed::new(self.connections.limits.reply_bytes_max);
        rows.executed = self.sessions.get(record).executed;
        self.engine.write_resumed(session, self.connections.now, &mut rows);
        rows
    }

    /// Sets how long the session goes on without a connection. None at all: it ends with its connection, as others do.
    fn set_grace(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        grace: Span,
    ) -> Result<(), (Reason, &'static str)> {
        let grace = grace.to_whole_milliseconds();
        match self.sessions.of(session) {
            None if grace == Span::ZERO => {}
            None => {
                let role = self.connections.known(key).role.expect("a stranger begins no session");
                let begun = self.sessions.begin(session, role, key, grace, self.connections.now);
                let record = begun.ok_or((Reason::TooManySessions, "the system has no random bytes for a secret"))?;
                self.connections.roles.on_session(role);
                // This line is its first.
                self.sessions.get_mut(record).executed = 1;
                self.connections.known(key).flags.has_session = true;
            }
            Some(record) if grace == Span::ZERO => {
                self.forget_session(record);
                self.connections.known(key).flags.has_session = false;
            }
            Some(record) => self.sessions.get_mut(record).grace = grace,
        }
        Ok(())
    }

    fn answer_hello(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        is_about_session: bool,
        resumed: Option<&Resumed>,
        context: &Context<'_>,
    ) {
        let connection = self.connections.known(key);
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
        let record = self.sessions.of(session).filter(|_| is_about_session).map(|record| self.sessions.get(record));
        let secret = record.map(|record| record.secret().text());
        let own = record.zip(secret.as_deref());
        let own = own.map(|(record, secret)| HelloSession { secret, grace: record.grace });
        self.connections.known(key).flags.owes_secret |= own.is_some();
        let role = self.connections.known(key).role;
        let user = role.and_then(|role| self.connections.roles.user(role)).map(str::to_owned);
        let user = user.as_deref();
        self.answer(key, Outcome::Hello { connection: peer, limits, session: own, resumed, user }, context);
    }
}

fn finite(span: Span) -> Option<Span> {
    Some(span).filter(|span| *span < Span::FOREVER)
}
