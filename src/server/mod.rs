//! The server without its sockets: connections, budgets, limits, and the turn that carries all of it out.
//!
//! Generic over the socket, so that tests run the very same server over sockets made of memory and a clock of their own.

mod buffers;
mod connection;
mod connections;
mod limits;
mod recorder;

use std::io::{self, Read, Write};

pub use self::connection::Disconnect;
pub use self::limits::Limits;

use self::connection::Phase;
use self::connections::{Connections, Input, whole_milliseconds};
use crate::engine::deadline::Nanos;
use crate::engine::{ConnectionKey, Engine, EngineLimits, Replies, SessionKey, Stats};
use crate::wire::Id;
use crate::wire::line::{LineScanner, LineTooLong, is_blank};
use crate::wire::peer::Peer;
use crate::wire::reply::{HelloLimits, Outcome, Reason, Reply};
use crate::wire::request::{self, Command, Hello, Operation, Request};
use crate::wire::transcript::What;

/// What the server needs of a socket. Reading and writing never wait: they fail with
/// [`WouldBlock`](io::ErrorKind::WouldBlock), and [`Server::ready`] is called when they may succeed.
pub trait Socket: Read + Write {
    /// Says to the peer that nothing more comes, while what it sends can still be read.
    ///
    /// # Errors
    /// Those of the system; the connection is then simply closed.
    fn close_write(&mut self) -> io::Result<()>;
}

/// What is known of a socket since the last turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// There may be something to read, or an error.
    pub is_readable: bool,
    /// It may take something again.
    pub is_writable: bool,
    /// The peer has closed its side; the end is behind whatever is still to be read.
    pub is_read_closed: bool,
}

/// Connections that are told that there is no room, at a time. More are closed without a word.
const TURNED_AWAY_MAX: usize = 64;

/// To look at more places than this, or connections, takes so long that it is not done for many requests in one turn. With
/// very many, once takes milliseconds.
const LOOKED_AT_AT_ONCE: u64 = 1000;

/// A lock server over sockets of type `S`.
///
/// Everything happens in [`Server::turn`]; what is called between turns only notes what the turn has to do.
#[derive(Debug)]
pub struct Server<S> {
    engine: Engine,
    connections: Connections<S>,
    /// Where all sockets are read into. Lines are carried out right from here.
    read_buffer: Vec<u8>,
    /// An empty list, kept for its memory.
    spare: Vec<ConnectionKey>,
    /// Whose long request was carried out in this turn. Whoever has another waits for the next turn, as those with requests
    /// of other kinds are not to wait for all of them.
    long_of: Option<ConnectionKey>,
    is_shutting_down: bool,
}

impl<S: Socket> Server<S> {
    /// A server without connections.
    pub fn new(limits: Limits) -> Self {
        let engine_limits = EngineLimits {
            session_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            reply_bytes_max: limits.reply_bytes_max,
        };
        Server {
            engine: Engine::new(engine_limits),
            read_buffer: vec![0; limits.turn_read_bytes],
            connections: Connections::new(limits),
            spare: Vec::new(),
            long_of: None,
            is_shutting_down: false,
        }
    }

    /// Takes a new connection. If there is no room it is told so and closed; if too many are being told so, it is closed
    /// without a word and has no key.
    pub fn accept(&mut self, socket: S, peer: Peer, now: Nanos) -> Option<ConnectionKey> {
        self.connections.now = now;
        let has_room = self.connections.len() < self.connections.limits.connections_max;
        if !has_room && self.connections.turned_away() >= TURNED_AWAY_MAX {
            return None;
        }
        let key = self.connections.insert(socket, peer);
        if has_room {
            self.connections.known(key).session = Some(self.engine.connect(key, peer));
            self.connections.arm(key);
        } else {
            let message = "the server has as many connections as it may have";
            self.connections.turn_away(key, &Reply::error(Reason::TooManyConnections, message));
        }
        Some(key)
    }

    /// The socket of a connection, if it is still there.
    pub fn socket_mut(&mut self, key: ConnectionKey) -> Option<&mut S> {
        self.connections.get_mut(key).map(|connection| &mut connection.socket)
    }

    /// Notes what the poll says of a connection. If it is gone, nothing happens, whoever has its slot now.
    pub fn ready(&mut self, key: ConnectionKey, readiness: Readiness) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let flags = &mut connection.flags;
        if readiness.is_writable && std::mem::take(&mut flags.is_blocked) {
            self.connections.mark_dirty(key);
        }
        let flags = &mut self.connections.known(key).flags;
        flags.is_read_closed |= readiness.is_read_closed;
        if readiness.is_readable || readiness.is_read_closed {
            flags.is_readable = true;
            self.connections.list(key);
        }
    }

    /// The socket of a connection failed outside of reading and writing.
    pub fn fail(&mut self, key: ConnectionKey, error: io::Error) {
        if self.connections.get(key).is_some() {
            self.connections.doom(key, Disconnect::Io(error));
        }
    }

    /// One turn. The order decides what clients see of things that come together: a release that was read grants a
    /// waiter before that one's timeout is looked at, and all that is decided is written at the end, once per connection.
    pub fn turn(&mut self, now: Nanos) {
        self.connections.now = now;
        if !self.is_shutting_down {
            self.read_ready();
            self.expire();
            self.close_doomed();
        }
        self.connections.flush_dirty(&mut self.spare);
    }

    /// When the next turn has something to do if no event comes before. The past means at once; none: never.
    pub fn next_turn(&self) -> Option<Nanos> {
        if self.connections.has_work() {
            return Some(0);
        }
        [self.connections.deadlines.next(), self.engine.next_deadline()].into_iter().flatten().min()
    }

    /// From now on no request is carried out; what is decided is still written, turn by turn.
    pub fn shut_down(&mut self) {
        self.engine.announce_shutdown(&mut self.connections);
        self.is_shutting_down = true;
    }

    /// Bytes that are decided and not sent.
    pub fn unsent(&self) -> usize {
        self.connections.unsent()
    }

    /// Connections there are, without those that are told that there is no room.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Counters and gauges of the locks.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    fn read_ready(&mut self) {
        let mut listed = self.connections.take_listed(std::mem::take(&mut self.spare));
        for key in listed.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.flags.is_listed = false;
            match connection.phase {
                Phase::Open => self.serve(key),
                Phase::Lingering { .. } => self.drop_input(key),
                Phase::Doomed { .. } | Phase::Draining { .. } => {}
            }
        }
        self.spare = listed;
        // Behind all that wait with theirs: before them its next one would be carried out too, for as long as it has any.
        if let Some(key) = self.long_of.take() {
            self.connections.resume(key);
        }
    }

    /// Carries out what a connection has sent: the lines that were left from before, or else those of one read.
    fn serve(&mut self, key: ConnectionKey) {
        let connection = self.connections.get(key).expect("it is there");
        if self.connections.is_paused(connection) {
            return;
        }
        let has_lines_left = connection.has_unscanned();
        let is_readable = connection.flags.is_readable;
        let peer = connection.peer;

        let inbox = self.connections.take_inbox(key);
        let mut input = 0;
        if !has_lines_left && is_readable {
            match self.connections.read(key, &mut self.read_buffer) {
                Input::Bytes(bytes) => {
                    input = bytes;
                    let Connections { now, recorder, .. } = &mut self.connections;
                    recorder.remember(*now, peer, What::Received, &self.read_buffer[..bytes]);
                }
                Input::Nothing => {}
                Input::End(why) => self.connections.doom(key, why),
            }
        }
        match inbox {
            Some(mut inbox) => {
                inbox.bytes.extend_from_slice(&self.read_buffer[..input]);
                self.carry_out(key, &inbox.bytes, input, &mut inbox.scanner);
                inbox.compact();
                self.connections.keep_inbox(key, inbox);
            }
            None => {
                let buffer = std::mem::take(&mut self.read_buffer);
                let mut scanner = LineScanner::default();
                self.carry_out(key, &buffer[..input], input, &mut scanner);
                let rest = scanner.rest(&buffer[..input]);
                if !rest.is_empty() {
                    let mut inbox = self.connections.inboxes.take();
                    inbox.bytes.extend_from_slice(rest);
                    inbox.scanner = scanner.rebased();
                    self.connections.keep_inbox(key, inbox);
                }
                self.read_buffer = buffer;
            }
        }
        if self.long_of != Some(key) {
            self.connections.resume(key);
        }
    }

    /// Carries out the whole lines in `bytes`, until the connection is to end or has too much unsent. The last `new` of the
    /// bytes were not there before.
    fn carry_out(&mut self, key: ConnectionKey, bytes: &[u8], new: usize, scanner: &mut LineScanner) {
        let now = self.connections.now;
        // In one go for all lines, but not again and again for one that drips in.
        let text = if bytes.len() <= 2 * new { valid_prefix(bytes) } else { "" };
        let line_bytes_max = self.connections.limits.line_bytes_max;
        loop {
            let connection = self.connections.get(key).expect("a doomed connection stays until its turn");
            let Some(session) = connection.session else { return };
            if connection.phase != Phase::Open || self.connections.is_paused(connection) {
                return;
            }
            let peer = connection.peer;
            let text = scanner.rest_of(text);
            if let Some((request, len)) = request::recognise_line(text).filter(|(_, len)| *len <= line_bytes_max) {
                debug_assert!(!self.is_long(&request), "what is plain is quick");
                scanner.step_over(len);
                self.connections.recorder.log(now, peer, What::Received, &text.as_bytes()[..len]);
                self.obey(key, session, &request);
                continue;
            }
            let before = *scanner;
            let line = match scanner.next_line(bytes, line_bytes_max) {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(LineTooLong) => {
                    let message = format!("a line may have at most {line_bytes_max} bytes");
                    self.connections.push(key, &Reply::error(Reason::LineTooLong, message));
                    return self.connections.doom(key, Disconnect::LineTooLong);
                }
            };
            if is_blank(line) {
                continue;
            }
            let parsed = request::parse(line);
            if parsed.as_ref().is_ok_and(|request| self.is_long(request)) {
                if self.long_of.is_some() {
                    *scanner = before;
                    return;
                }
                self.long_of = Some(key);
            }
            self.connections.recorder.log(now, peer, What::Received, line);
            match parsed {
                Ok(request) => self.obey(key, session, &request),
                Err(bad) => self.connections.push(key, &bad.reply()),
            }
        }
    }

    /// Carries out one request.
    #[inline]
    fn obey(&mut self, key: ConnectionKey, session: SessionKey, request: &Request<'_>) {
        let id = request.id.as_ref().map(Id::as_ref);
        match &request.command {
            Command::Locks(operation) => {
                self.engine.request(session, operation, id, self.connections.now, &mut self.connections);
            }
            Command::Hello(hello) => self.hello(key, session, hello, id),
            Command::Kick { connection } => self.kick(key, connection, id),
        }
    }

    /// Whether it may take long, however short the answer is.
    fn is_long(&self, request: &Request<'_>) -> bool {
        match request.command {
            Command::Locks(Operation::Locks | Operation::Connections | Operation::MyLocks) => {
                let stats = self.engine.stats();
                stats.held + stats.waiting > LOOKED_AT_AT_ONCE
            }
            // It looks at slots, and there are as many as there ever were locks at a time.
            Command::Locks(Operation::LocksPage(_)) => true,
            Command::Kick { .. } => self.connections.len() as u64 > LOOKED_AT_AT_ONCE,
            Command::Locks(_) | Command::Hello(_) => false,
        }
    }

    /// The client says who it is, and is told what it may do.
    fn hello(&mut self, key: ConnectionKey, session: SessionKey, hello: &Hello<'_>, id: Option<Id<&str>>) {
        if let Some(client) = &hello.client {
            self.engine.set_client(session, client);
        }
        let limits = &self.connections.limits;
        let max_idle_of_all = self.connections.max_idle();
        let mut hello_limits = HelloLimits {
            line_bytes_max: limits.line_bytes_max,
            connection_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            reply_bytes_max: limits.reply_bytes_max,
            max_idle_ns: None,
        };
        let connection = self.connections.known(key);
        if let Some(max_idle) = hello.max_idle_ns {
            connection.max_idle = whole_milliseconds(max_idle).min(max_idle_of_all);
        }
        hello_limits.max_idle_ns = Some(connection.max_idle).filter(|max_idle| *max_idle < Nanos::MAX);
        let outcome = Outcome::Hello { connection: connection.peer, limits: hello_limits };
        self.connections.arm(key);
        self.connections.push(key, &Reply { id, outcome });
    }

    /// Ends a connection that somebody names. Its locks have passed on before the answer is given, so whoever gets the
    /// answer and asks next finds them so.
    fn kick(&mut self, key: ConnectionKey, name: &str, id: Option<Id<&str>>) {
        let by = self.connections.known(key).peer;
        let limits = &self.connections.limits;
        if !by.is_local(limits.own_ip) && !limits.kick_from_anywhere {
            let message = "kick is only for connections from this machine, unless the server is told otherwise";
            let outcome = Outcome::Error { reason: Reason::NotAllowed, message: message.into(), name: None };
            return self.connections.push(key, &Reply { id, outcome });
        }
        let kicked = name.parse().ok().and_then(|peer| self.connections.find(peer));
        // Who kicks itself is told so first; nothing is sent to it any more after that.
        if kicked.is_none() || kicked == Some(key) {
            let outcome = if kicked.is_some() { Outcome::Kicked } else { Outcome::KickFailed };
            self.connections.push(key, &Reply { id, outcome });
        }
        let Some(kicked) = kicked else { return };
        self.connections.doom(kicked, Disconnect::Kicked { by });
        self.end_session(kicked);
        if kicked != key {
            self.connections.push(key, &Reply { id, outcome: Outcome::Kicked });
        }
    }

    /// Reads on from a peer that was told to go, so that no reset overtakes what it was told.
    fn drop_input(&mut self, key: ConnectionKey) {
        match self.connections.read(key, &mut self.read_buffer) {
            Input::Bytes(_) | Input::Nothing if self.connections.known(key).flags.is_readable => {
                self.connections.list(key);
            }
            Input::Bytes(_) | Input::Nothing => {}
            Input::End(_) => self.connections.remove(key),
        }
    }

    /// Connections that were silent or deaf for too long, then waits. The rest of what is due comes in the next turn.
    fn expire(&mut self) {
        let now = self.connections.now;
        let (expiries_max, bytes_max) =
            (self.connections.limits.turn_expiries_max, self.connections.limits.turn_expiry_bytes);
        for _ in 0..expiries_max {
            let Some(key) = self.connections.deadlines.pop_due(now) else { break };
            self.connections.on_deadline(key);
        }
        let bytes_before = self.connections.bytes_pushed;
        for _ in 0..expiries_max {
            let bytes = self.connections.bytes_pushed - bytes_before;
            if bytes >= bytes_max as u64 || !self.engine.expire_next(now, &mut self.connections) {
                break;
            }
        }
    }

    /// Ends the sessions of those that are to end, some per turn, each of them whole.
    fn close_doomed(&mut self) {
        for _ in 0..self.connections.limits.turn_ends_max {
            let Some(key) = self.connections.next_doomed() else { break };
            self.end_session(key);
            self.connections.begin_drain(key);
        }
    }

    fn end_session(&mut self, key: ConnectionKey) {
        if let Some(session) = self.connections.known(key).session.take() {
            self.engine.disconnect(session, self.connections.now, &mut self.connections);
        }
    }

    /// Checks everything that always holds between turns, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub fn check_all(&self) {
        self.engine.check_all();
        self.connections.check_all();
        assert!(self.spare.is_empty(), "the spare list is only memory");
    }

    /// Whether nothing is left of any connection.
    pub fn is_empty(&self) -> bool {
        self.engine.is_empty() && self.connections.is_empty()
    }
}

/// As much from the beginning as is UTF-8.
fn valid_prefix(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_else(|_| bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_to_the_first_byte_that_is_none() {
        // Whatever is behind that is read line by line, which takes longer and comes to the same.
        for (bytes, text) in
            [(&b"a\xc3\xa9b"[..], "aéb"), (b"a\xc3\xa9\xffb", "aé"), (b"a\xc3", "a"), (b"\xff", ""), (b"", "")]
        {
            assert_eq!(valid_prefix(bytes), text);
        }
    }
}
