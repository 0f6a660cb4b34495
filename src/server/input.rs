//! From the socket to the engine: reads, frames lines, and executes them.

use std::io::ErrorKind;

use super::access::RoleKey;
use super::connection::{Connection, Phase};
use super::connections::Connections;
use super::inbox::Inbox;
use super::recorder::{blanked, has_escaped_text, has_secret_field, has_word_before_secrets, masked, may_have_secret};
use super::{Disconnect, Server, Socket};
use crate::engine::{ConnectionKey, Context, Replies, SessionKey};
use crate::wire::Id;
use crate::wire::foreign::{Beginning, Foreign};
use crate::wire::line::{LineScanner, LineTooLong, is_blank};
use crate::wire::peer::Peer;
use crate::wire::reply::{Reason, Reply};
use crate::wire::request::{self, Command, Hello, Operation, Plain, Request, Start};
use crate::wire::transcript::Event;

/// Looking at more places or connections than this takes so long that it is not done for many requests in one turn. With
/// very many, once takes milliseconds.
const LOOKED_AT_AT_ONCE: u64 = 1000;

/// The longest line of a connection that has not said yet who it is.
const STRANGER_LINE_BYTES_MAX: usize = 1024;

/// What one read gave.
enum Input {
    /// Some bytes.
    Bytes(Received),
    /// Nothing now.
    Nothing,
    /// The end.
    End(Disconnect),
}

/// Bytes that were read, with what executing them needs to know of their connection.
struct Received {
    bytes: usize,
    peer: Peer,
    /// What came before and was not executed.
    inbox: Option<Box<Inbox>>,
    /// It is known that the connection does not speak another protocol.
    is_ours: bool,
}

/// Whose line is executed.
#[derive(Clone, Copy)]
struct Sender {
    key: ConnectionKey,
    session: SessionKey,
    peer: Peer,
    is_restricted: bool,
}

impl<S: Socket> Server<S> {
    /// Executes what a connection has sent: the lines that were left from before, then those of one read.
    pub(super) fn serve(&mut self, key: ConnectionKey) {
        let mut connection = self.connections.get(key).expect("a connection on the list exists");
        if connection.flags.is_handshaking {
            if !self.go_on_with_handshake(key) {
                return;
            }
            connection = self.connections.get(key).expect("a connection on the list exists");
        }
        let mut may_read = self.may_read(connection);
        let could_walk = self.engine.can_walk();
        if connection.has_unscanned() && !self.connections.is_paused(connection) {
            let inbox = self.connections.take_inbox(key).expect("lines are in an inbox");
            self.execute_kept(key, inbox, 0);
            may_read = self.connections.get(key).is_some_and(|connection| self.may_read(connection));
        }
        if may_read {
            self.read_and_execute(key);
        }
        if could_walk && !self.engine.can_walk() {
            self.last_walk_from = Some(key);
        } else if self.long_request_from != Some(key) {
            self.connections.resume(key);
        }
    }

    fn may_read(&self, connection: &Connection<S>) -> bool {
        let is_open = connection.phase == Phase::Open && !self.connections.is_paused(connection);
        is_open && connection.flags.is_readable && !connection.has_unscanned()
    }

    fn read_and_execute(&mut self, key: ConnectionKey) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        match self.connections.read(key, &mut buffer) {
            Input::Bytes(received) => self.execute_input(key, &buffer[..received.bytes], received),
            Input::Nothing => {}
            Input::End(why) => self.connections.doom(key, why),
        }
        self.read_buffer = buffer;
    }

    /// Executes what was just read, right from the buffer unless a part of a line came before.
    fn execute_input(&mut self, key: ConnectionKey, input: &[u8], received: Received) {
        self.connections.figures.on_received(input.len());
        let is_rest = received.inbox.is_some();
        self.connections.recorder.remember(self.connections.now, received.peer, Event::Received, input, is_rest);
        if let Some(mut inbox) = received.inbox {
            inbox.bytes.extend_from_slice(input);
            if !received.is_ours {
                self.check_beginning(key, &inbox.bytes);
            }
            return self.execute_kept(key, inbox, input.len());
        }
        if !received.is_ours {
            self.check_beginning(key, input);
        }
        let mut scanner = LineScanner::default();
        self.execute_lines(key, input, input.len(), &mut scanner);
        let rest = scanner.rest(input);
        if !rest.is_empty() {
            let mut inbox = self.connections.inboxes.take();
            inbox.bytes.extend_from_slice(rest);
            inbox.scanner = scanner.rebased();
            self.connections.keep_inbox(key, inbox);
        }
    }

    /// Executes the lines in an inbox, of which the last `new` bytes were not there before, and keeps the rest.
    fn execute_kept(&mut self, key: ConnectionKey, mut inbox: Box<Inbox>, new: usize) {
        self.execute_lines(key, &inbox.bytes, new, &mut inbox.scanner);
        inbox.compact();
        self.connections.keep_inbox(key, inbox);
    }

    /// Closes a connection that begins with another protocol, before anything of it is executed.
    fn check_beginning(&mut self, key: ConnectionKey, bytes: &[u8]) {
        match Beginning::of(bytes, self.connections.limits.line_bytes_max) {
            Beginning::Ours => self.connections.known(key).flags.is_ours = true,
            Beginning::Unknown => {}
            Beginning::Foreign(foreign) => self.refuse_protocol(key, foreign),
        }
    }

    #[cold]
    fn refuse_protocol(&mut self, key: ConnectionKey, foreign: Foreign) {
        let message = format!("this port speaks the protocol of Officer (lines of JSON), not {foreign}");
        self.connections.push(key, &Reply::error(Reason::WrongProtocol, message));
        self.log_foreign(key, foreign);
        // It may have credentials.
        let peer = self.connections.known(key).peer;
        self.connections.recorder.blank(peer, Event::Received);
        self.connections.doom(key, Disconnect::WrongProtocol(foreign));
    }

    pub(super) fn log_foreign(&mut self, key: ConnectionKey, foreign: Foreign) {
        if let Some(left_out) = self.foreign_lines.take(self.connections.now) {
            let peer = self.connections.known(key).peer;
            let rest =
                if left_out > 0 { format!(" (and {left_out} more that speak other protocols)") } else { String::new() };
            log::warn!("{peer} speaks {foreign}; closing its connection{rest}");
        }
    }

    /// Executes the whole lines in `bytes`, until the connection is to end or has too much unsent. The last `new` of the
    /// bytes were not there before.
    fn execute_lines(&mut self, key: ConnectionKey, bytes: &[u8], new: usize, scanner: &mut LineScanner) {
        self.execute_each_line(key, bytes, new, scanner);
        self.count_lines(key);
    }

    /// Counts the lines that were taken since the last call in the session of their connection, if it can be resumed.
    pub(super) fn count_lines(&mut self, key: ConnectionKey) {
        let lines = self.lines - std::mem::replace(&mut self.lines_counted, self.lines);
        let connection = self.connections.known(key);
        if connection.flags.has_session {
            let session = connection.session.expect("the flag says so");
            let record = self.sessions.of(session).expect("the flag says so");
            self.sessions.get_mut(record).executed += lines;
        }
    }

    fn execute_each_line(&mut self, key: ConnectionKey, bytes: &[u8], new: usize, scanner: &mut LineScanner) {
        let connection = self.connections.known(key);
        // A stranger's lines are never plain.
        let is_strict = connection.flags.is_strict || connection.role.is_none();
        let (peer, mut is_restricted) = (connection.peer, connection.flags.is_restricted);
        // In one go for all lines, but not again and again for one that drips in. The shortcut does not look for stray
        // fields, so nothing is left to it while the connection is strict.
        let mut text = if bytes.len() <= 2 * new && !is_strict { valid_prefix(bytes) } else { "" };
        let all_bytes_max = self.connections.limits.line_bytes_max;
        let Some(mut session) = self.session_for_line(key) else { return };
        let mut rest = scanner.rest_of(text);
        let mut plain = Plain::default();
        loop {
            if self.connections.has_stopped {
                self.connections.has_stopped = false;
                let Some(going_on) = self.session_for_line(key) else { return };
                session = going_on;
            }
            let sender = Sender { key, session, peer, is_restricted };
            // Executed apart, the most frequent lines cost 8 % less: the compiler knows what they do not have.
            let start = Start::of(rest);
            if let Start::Lock(name, after) = start
                && let Some(line) = line_before(rest, after, all_bytes_max)
            {
                scanner.step_over(line.len());
                rest = after;
                self.execute_plain(sender, &Plain::lock(name), line);
                continue;
            }
            if let Start::Unlock(name, after) = start
                && let Some(line) = line_before(rest, after, all_bytes_max)
            {
                scanner.step_over(line.len());
                rest = after;
                self.execute_plain(sender, &Plain::unlock(name), line);
                continue;
            }
            if let Some(after) = start.recognise(rest, &mut self.shapes, &mut plain)
                && let Some(line) = line_before(rest, after, all_bytes_max)
            {
                scanner.step_over(line.len());
                rest = after;
                self.execute_plain(sender, &plain, line);
                continue;
            }
            let before = *scanner;
            let connection = self.connections.known(key);
            let role = connection.role;
            let is_strict = connection.flags.is_strict;
            let is_stranger = role.is_none();
            let line_bytes_max = if is_stranger { all_bytes_max.min(STRANGER_LINE_BYTES_MAX) } else { all_bytes_max };
            let line = match scanner.next_line(bytes, line_bytes_max) {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(LineTooLong) => {
                    self.lines += 1;
                    if may_have_secret(bytes) {
                        self.connections.recorder.blank(peer, Event::Received);
                    }
                    let message = format!("a line may have at most {line_bytes_max} bytes");
                    self.connections.push(key, &Reply::error(Reason::LineTooLong, message));
                    return self.connections.doom(key, Disconnect::LineTooLong);
                }
            };
            if is_blank(line) {
                rest = scanner.rest_of(text);
                continue;
            }
            let parsed = if is_strict { request::parse_strictly(line) } else { request::parse(line) };
            if parsed.as_ref().is_ok_and(|request| self.is_for_next_turn(request)) {
                *scanner = before;
                return;
            }
            if parsed.as_ref().is_ok_and(|request| self.is_long(request, role)) {
                if self.long_request_from.is_some() {
                    *scanner = before;
                    return;
                }
                self.long_request_from = Some(key);
            }
            self.lines += 1;
            self.record(peer, line, parsed.as_ref().ok());
            match parsed {
                Ok(request) => self.dispatch(key, session, &request),
                Err(bad) => {
                    self.connections.figures.on_unknown();
                    bad.reply(|reply| self.connections.push(key, reply));
                    if is_stranger {
                        self.connections.doom(key, Disconnect::NotAuthenticated);
                    }
                }
            }
            let Some(going_on) = self.session_for_line(key) else { return };
            session = going_on;
            // A hello may have made it strict, and the shortcut is for lines of which every field counts or is passed over.
            let flags = &self.connections.known(key).flags;
            if flags.is_strict {
                text = "";
            }
            rest = scanner.rest_of(text);
            is_restricted = flags.is_restricted;
        }
    }

    /// Executes a plain line.
    #[inline(always)]
    fn execute_plain(&mut self, sender: Sender, plain: &Plain<'_>, line: &[u8]) {
        let Sender { key, session, peer, is_restricted } = sender;
        let Plain { id, owner, operation } = plain;
        let now = self.connections.now;
        self.lines += 1;
        self.connections.recorder.log(now, peer, Event::Received, line);
        self.connections.figures.on_plain(operation);
        let context = Context { session, id: id.as_ref(), owner: owner.as_ref(), is_verbatim: true, now };
        if is_restricted {
            let (operation, context) = (*operation, context);
            if self.refuse_plain(key, &operation, &context) {
                return;
            }
        }
        self.engine.request_plain(operation, &context, &mut self.connections);
    }

    /// The session of a connection, if its next line may be executed.
    fn session_for_line(&self, key: ConnectionKey) -> Option<SessionKey> {
        let connection = self.connections.get(key).expect("a doomed connection stays until its turn");
        let may_go_on = connection.phase == Phase::Open && !self.connections.is_paused(connection);
        connection.session.filter(|_| may_go_on)
    }

    /// Writes a line to the log. Secrets are left out, there and in what is remembered.
    fn record(&mut self, peer: Peer, line: &[u8], request: Option<&Request<'_>>) {
        let (now, recorder) = (self.connections.now, &mut self.connections.recorder);
        let hello = match request {
            Some(Request { command: Command::Hello(hello), .. }) => Some(hello),
            _ => None,
        };
        let resume = hello.and_then(|hello| hello.resume.as_deref());
        // What a line without a request was meant to be is unknown.
        let has_login = hello.is_some_and(|hello| hello.login.is_some())
            || has_secret_field(line)
            || (request.is_none() && (has_escaped_text(line) || has_word_before_secrets(line)));
        if has_login || resume.is_some() || (request.is_none() && may_have_secret(line)) {
            recorder.blank(peer, Event::Received);
        }
        if !recorder.is_logged() {
            return;
        }
        if has_login {
            // The user's name as well: people paste secrets there.
            recorder.log(now, peer, Event::Received, &blanked(line));
        } else if resume.is_some() || request.is_none() || may_have_secret(line) {
            recorder.log(now, peer, Event::Received, &masked(line, resume));
        } else {
            recorder.log(now, peer, Event::Received, line);
        }
    }

    /// A function of its own, so that the compiler keeps that for plain lines small.
    #[inline(never)]
    fn dispatch(&mut self, key: ConnectionKey, session: SessionKey, request: &Request<'_>) {
        let (id, owner) = (request.id.as_ref().map(Id::as_ref), request.owner.as_ref().map(Id::as_ref));
        let (id, owner, now) = (id.as_ref(), owner.as_ref(), self.connections.now);
        let context = Context { session, id, owner, is_verbatim: false, now };
        self.connections.figures.on_request(&request.command);
        if self.connections.known(key).role.is_none() && !self.is_for_strangers(key, request) {
            return self.refuse_stranger(key, &context);
        }
        if self.connections.known(key).flags.is_restricted
            && let Command::Locks(operation) = &request.command
            && self.refuse_operation(key, operation, &context)
        {
            return;
        }
        match &request.command {
            Command::Locks(operation) => self.engine.request(operation, &context, &mut self.connections),
            Command::Hello(hello) => self.hello(key, hello, &context),
            Command::ConnectionsPage(page) => self.list_connections(key, *page, &context),
            Command::Kick { connection } => self.kick(key, connection, &context),
            Command::KickUser { user } => self.kick_user(key, user, &context),
            Command::Revoke(revocation) => {
                let outcome = self.revoke(&self.actor(key), revocation);
                self.answer(key, outcome, &context);
            }
            Command::Transfer(transfer) => self.transfer(transfer, &context),
            Command::Watch { prefix } => self.watch(key, prefix, &context),
            Command::Unwatch => self.unwatch(key, &context),
            Command::Stats => {
                self.tell_stats(&self.actor(key), |server, outcome| server.answer(key, outcome, &context));
            }
        }
    }

    fn is_for_next_turn(&self, request: &Request<'_>) -> bool {
        matches!(&request.command, Command::Locks(operation) if self.engine.is_for_next_turn(operation))
    }

    /// Whether it may take long, however short the answer is.
    fn is_long(&self, request: &Request<'_>, role: Option<RoleKey>) -> bool {
        match request.command {
            Command::Locks(
                Operation::Locks | Operation::Connections | Operation::MyLocks | Operation::MyLocksPage(_),
            ) => {
                let stats = self.engine.stats();
                stats.held + stats.waiting > LOOKED_AT_AT_ONCE
            }
            // It looks at slots, and there are as many as there ever were locks at a time.
            Command::Locks(Operation::LocksPage(_)) | Command::ConnectionsPage(_) => true,
            Command::Kick { .. } | Command::KickUser { .. } => {
                (self.connections.len() + self.sessions.len()) as u64 > LOOKED_AT_AT_ONCE
            }
            Command::Transfer(ref transfer) => self.engine.waiters_for_transfer(transfer) as u64 > LOOKED_AT_AT_ONCE,
            Command::Locks(Operation::LockWith(ref lock, ref terms)) => {
                self.engine.waiters_for_position(lock.name.as_str(), terms) as u64 > LOOKED_AT_AT_ONCE
            }
            Command::Hello(Hello { resume: Some(ref secret), .. }) => {
                let record = self.sessions.with_secret(secret, role).map(|record| self.sessions.get(record));
                let summary = record.map(|record| self.engine.summary(record.session));
                summary.is_some_and(|summary| (summary.holds + summary.waits) as u64 > LOOKED_AT_AT_ONCE)
            }
            Command::Locks(_) | Command::Hello(_) | Command::Revoke(_) | Command::Watch { .. } | Command::Unwatch => {
                false
            }
            // It looks at the locks that are waited for.
            Command::Stats => self.engine.contended() as u64 > LOOKED_AT_AT_ONCE,
        }
    }

    /// Reads on from a peer that was told to go, so that no reset overtakes what it was told.
    pub(super) fn drop_input(&mut self, key: ConnectionKey) {
        let input = self.connections.read(key, &mut self.read_buffer);
        if let Input::Bytes(received) = &input {
            self.connections.figures.on_received(received.bytes);
        }
        match input {
            Input::Bytes(_) | Input::Nothing if self.connections.known(key).flags.is_readable => {
                self.connections.list(key);
            }
            Input::Bytes(_) | Input::Nothing => {}
            Input::End(_) => self.connections.remove(key),
        }
    }
}

impl<S: Socket> Connections<S> {
    /// Reads once, and takes the inbox if anything came.
    fn read(&mut self, key: ConnectionKey, buffer: &mut [u8]) -> Input {
        let now = self.now;
        let connection = self.known(key);
        match connection.socket.read(buffer) {
            Ok(0) => Input::End(Disconnect::PeerClosed),
            Ok(bytes) => {
                connection.last_input = now;
                if bytes < buffer.len() && connection.is_drained_by_short_read() {
                    connection.flags.is_readable = false;
                }
                connection.flags.has_unread = bytes == buffer.len() || connection.flags.is_read_closed;
                let Connection { peer, flags, .. } = connection;
                let (peer, is_ours, inbox) = (*peer, flags.is_ours, connection.inbox.take());
                self.kept -= inbox.as_ref().map_or(0, |inbox| inbox.bytes.len());
                Input::Bytes(Received { bytes, peer, inbox, is_ours })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.flags.is_readable = false;
                connection.flags.has_unread = false;
                Input::Nothing
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Input::Nothing,
            Err(error) => Input::End(Disconnect::Io(error)),
        }
    }

    /// Takes what is left from before, for as long as lines of it are executed.
    pub(super) fn take_inbox(&mut self, key: ConnectionKey) -> Option<Box<Inbox>> {
        let inbox = self.known(key).inbox.take();
        self.kept -= inbox.as_ref().map_or(0, |inbox| inbox.bytes.len());
        inbox
    }

    /// Keeps what is left now, if anything is.
    pub(super) fn keep_inbox(&mut self, key: ConnectionKey, mut inbox: Box<Inbox>) {
        let connection = self.known(key);
        if inbox.bytes.is_empty() || connection.phase != Phase::Open {
            return self.inboxes.put(inbox);
        }
        inbox.give_back(!connection.flags.is_readable);
        let bytes = inbox.bytes.len();
        connection.inbox = Some(inbox);
        self.kept += bytes;
        while self.kept > self.limits.inboxes_bytes_max {
            self.doom_largest(Connection::kept, Disconnect::InboxesFull);
        }
    }

    pub(super) fn drop_inbox(&mut self, key: ConnectionKey) {
        if let Some(inbox) = self.take_inbox(key) {
            self.inboxes.put(inbox);
        }
    }

    /// Goes on in the next turn with what it has sent, unless it is paused.
    #[inline]
    pub(super) fn resume(&mut self, key: ConnectionKey) {
        let Some(connection) = self.get(key) else { return };
        let has_input = connection.flags.is_readable || connection.has_unscanned();
        if connection.phase == Phase::Open && has_input && !self.is_paused(connection) {
            self.list(key);
        }
    }
}

/// The line with its `\n` at the beginning of a text, if it is not too long. `after` is what comes after it.
#[inline(always)]
fn line_before<'a>(text: &'a str, after: &str, bytes_max: usize) -> Option<&'a [u8]> {
    let bytes = text.len() - after.len();
    text.as_bytes().get(..bytes).filter(|_| bytes <= bytes_max)
}

/// The longest beginning that is UTF-8.
fn valid_prefix(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_else(|_| bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use super::*;
    use crate::server::Limits;
    use crate::wire::peer::Peer;

    /// Has nothing to read, and takes nothing.
    struct Idle;

    impl Read for Idle {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Idle {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Socket for Idle {
        fn close_write(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_connection_that_waits_for_the_rest_of_a_line_has_little_memory_and_one_that_reads_on_has_more() {
        let mut connections = Connections::new(Limits::default());
        let key = connections.insert(Idle, Peer::Unix(1));
        let mut capacity = |is_readable| {
            connections.known(key).flags.is_readable = is_readable;
            let mut inbox = Box::<Inbox>::default();
            inbox.bytes.reserve_exact(1 << 20);
            inbox.bytes.push(b'{');
            connections.keep_inbox(key, inbox);
            connections.take_inbox(key).expect("a byte is left").bytes.capacity()
        };
        assert_eq!((capacity(false), capacity(true)), (1 << 10, 32 << 10));
    }

    #[test]
    fn text_ends_at_the_first_byte_that_is_not_utf_8() {
        // Whatever comes after that is read line by line, which takes longer and comes to the same.
        for (bytes, text) in
            [(&b"a\xc3\xa9b"[..], "aéb"), (b"a\xc3\xa9\xffb", "aé"), (b"a\xc3", "a"), (b"\xff", ""), (b"", "")]
        {
            assert_eq!(valid_prefix(bytes), text);
        }
    }
}
