//! The server without its sockets: connections, budgets, limits, and the turn that executes all of it.
//!
//! Generic over the socket, so that tests run the very same server over sockets made of memory and a clock of their own.
//! [`turn`] is the order of one turn; [`input`] reads, frames and executes; [`output`] takes the replies and writes them;
//! [`timers`] has the limits on time; [`connections`] keeps the connections and the lists of who has work.

mod access;
mod buffers;
#[cfg(feature = "unstable")]
mod check;
mod commands;
mod connection;
mod connections;
mod disconnect;
mod farewell;
mod figures;
mod handshake;
mod hello;
mod horizon;
mod http;
mod inbox;
mod input;
mod limits;
mod metrics;
mod outbox;
mod output;
mod recorder;
mod sessions;
mod slice;
mod slow_hold;
mod socket;
mod strangers;
mod throttle;
mod timers;
mod turn;
mod users;
mod watchers;

use std::collections::VecDeque;
use std::io;

pub use self::access::{Access, BadUsers, FILE_BYTES_MAX};
pub use self::disconnect::Disconnect;
pub use self::http::HTTP_CONNECTIONS_MAX;
pub use self::limits::Limits;
pub use self::metrics::{Outside, Process};
pub use self::socket::{Credentials, Handshake, Socket};
pub use self::users::ADMIN_PLACES;

use self::connections::Connections;
use self::horizon::Horizon;
use self::http::Http;
use self::sessions::{RecordKey, Sessions};
use self::throttle::Throttle;
use self::users::Welcome;
use crate::engine::{ConnectionKey, Engine, EngineLimits, Stats, TokenBlock};
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;
use crate::wire::request::Shapes;

/// What is known of a socket since the last turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// There may be something to read, or an error.
    pub is_readable: bool,
    /// It may take something again.
    pub is_writable: bool,
    /// The peer has closed its side; the end comes after whatever is still to be read.
    pub is_read_closed: bool,
}

/// The target of lines in the log about who gets in and who does not, which are shown at every log level.
pub const LOG_TARGET: &str = "officer::access";
/// How many of these are written in a second, and of those about connections that speak another protocol.
const ACCESS_LINES_MAX: u32 = 10;
const FOREIGN_LINES_MAX: u32 = 5;

/// The target of lines in the log about slow holds, which are shown at every log level: they are written only if that is asked
/// for.
pub const SLOW_HOLD_TARGET: &str = "officer::slow_hold";
/// How many lines about slow holds are written to the log in a second.
const SLOW_HOLD_LINES_MAX: u32 = 10;

/// Refused connections that are sent an error, at a time. Further ones are closed without one.
const TURNED_AWAY_MAX: usize = 64;

/// A lock server over sockets of type `S`.
///
/// Everything happens in [`Server::turn`]; what is called between turns only notes what the turn has to do.
#[derive(Debug)]
pub struct Server<S> {
    engine: Engine,
    connections: Connections<S>,
    sessions: Sessions,
    /// Connections by HTTP, which are none of those above.
    http: Http<S>,
    horizon: Horizon,
    /// All sockets are read into this buffer, and lines are executed right from it.
    read_buffer: Vec<u8>,
    /// What those lines have in common.
    shapes: Shapes,
    /// An empty list, kept for its memory.
    spare: Vec<ConnectionKey>,
    /// Whose long request was executed in this turn. Whoever has another waits for the next turn, so that requests of
    /// other kinds do not wait for all of them.
    long_request_from: Option<ConnectionKey>,
    /// Whose request has used up the walks for deadlocks of this turn.
    last_walk_from: Option<ConnectionKey>,
    /// Lines in the log about connections that speak another protocol.
    foreign_lines: Throttle,
    /// Lines in the log about who gets in and who does not.
    access_lines: Throttle,
    /// Sessions without a connection that are to end, and why.
    ending: VecDeque<(RecordKey, &'static str)>,
    /// Lines that were taken since the start, and how many of them are counted in a session, or need not be.
    lines: u64,
    lines_counted: u64,
    /// What only the process knows.
    outside: Outside,
    is_shutting_down: bool,
}

impl<S: Socket> Server<S> {
    /// A server without connections. The tokens of its grants begin with those of the block.
    pub fn new(limits: Limits, tokens: TokenBlock) -> Self {
        let engine_limits = EngineLimits {
            session_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            closing_locks_max: limits.closing_locks_max,
            turn_grants_max: limits.turn_grants_max,
            turn_walk_max: limits.turn_walk_max,
            reply_bytes_max: limits.reply_bytes_max,
        };
        let mut engine = Engine::new(engine_limits, tokens);
        engine.set_slow_hold(limits.slow_hold.map(Span::from));
        Server {
            engine,
            read_buffer: vec![0; limits.turn_read_bytes],
            shapes: Shapes::default(),
            connections: Connections::new(limits),
            sessions: Sessions::default(),
            http: Http::default(),
            horizon: Horizon::default(),
            spare: Vec::new(),
            long_request_from: None,
            last_walk_from: None,
            foreign_lines: Throttle::new(FOREIGN_LINES_MAX),
            access_lines: Throttle::new(ACCESS_LINES_MAX),
            ending: VecDeque::new(),
            lines: 0,
            lines_counted: 0,
            outside: Outside::default(),
            is_shutting_down: false,
        }
    }

    /// Takes a new connection. Without room for it, it is sent an error and closed; with too many of these, it is closed
    /// without an error and has no key.
    pub fn accept(&mut self, socket: S, peer: Peer, now: Moment) -> Option<ConnectionKey> {
        self.connections.now = now;
        let welcome = if self.connections.is_crowded(peer) {
            Welcome::NoRoom("connection limit of the address reached")
        } else if socket.has_handshake() {
            Welcome::Stranger
        } else {
            self.welcome(peer, || socket.credentials())
        };
        match welcome {
            Welcome::Known(_) => {}
            Welcome::Stranger | Welcome::Several => self.make_way(),
            Welcome::NoRoom(message) => {
                let is_told = self.connections.turned_away() < TURNED_AWAY_MAX;
                return is_told.then(|| {
                    let key = self.connections.insert(socket, peer);
                    self.connections.turn_away(key, message);
                    key
                });
            }
        }
        let key = self.connections.insert(socket, peer);
        self.connections.known(key).session = Some(self.engine.connect(key, peer));
        if !matches!(welcome, Welcome::Known(_)) {
            self.connections.join_strangers(key);
        }
        self.follow(key, welcome);
        self.connections.arm(key);
        Some(key)
    }

    /// The socket of a connection, if it is still there.
    pub fn socket_mut(&mut self, key: ConnectionKey) -> Option<&mut S> {
        match self.connections.get_mut(key) {
            Some(connection) => Some(&mut connection.socket),
            None => self.http.socket_mut(key),
        }
    }

    /// Notes what the poll says of a connection. If it is gone, nothing happens, whoever has its slot now.
    pub fn ready(&mut self, key: ConnectionKey, readiness: Readiness) {
        self.horizon.on_event();
        let Some(connection) = self.connections.get_mut(key) else { return self.http.ready(key, readiness) };
        let flags = &mut connection.flags;
        let is_unblocked = readiness.is_writable && std::mem::take(&mut flags.is_blocked);
        flags.is_read_closed |= readiness.is_read_closed;
        // A handshake waits for either.
        let is_awaited = is_unblocked && flags.is_handshaking;
        let is_readable = readiness.is_readable || readiness.is_read_closed || is_awaited;
        flags.is_readable |= is_readable;
        flags.has_unread |= is_readable;
        if is_readable && !std::mem::replace(&mut flags.is_listed, true) {
            self.connections.listed.push(key);
        }
        if is_unblocked {
            self.connections.mark_dirty(key);
        }
    }

    /// A poll that began at `begun` has returned, and [`Server::ready`] was called for each of its events. `is_complete`:
    /// it has reported every socket that was ready; false if it was interrupted, or took as many events as it had room
    /// for. A poll reports sockets in the order in which they became ready.
    ///
    /// Deadlines are executed up to the beginning of polls, never by the clock alone: what a client sent before a deadline
    /// counts, however late this server comes to read it.
    pub fn polled(&mut self, begun: Moment, is_complete: bool) {
        self.horizon.on_poll(begun, is_complete, self.sockets());
    }

    /// The socket of a connection failed outside of reading and writing.
    pub fn fail(&mut self, key: ConnectionKey, error: io::Error) {
        match self.connections.get(key) {
            Some(_) => self.connections.doom(key, Disconnect::Io(error)),
            None => self.http.fail(key),
        }
    }

    /// When the next turn has something to do if no event comes before. The past means at once; none: never.
    pub fn next_turn(&self) -> Option<Moment> {
        let has_work = self.connections.has_work() || self.engine.has_left_over_work() || !self.ending.is_empty();
        if has_work || self.http.has_work() {
            return Some(Moment::START);
        }
        let deadlines = [self.http.next_deadline(), self.connections.deadlines.next(), self.engine.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// From now on no request is executed; what is decided is still written, turn by turn.
    pub fn shut_down(&mut self) {
        self.engine.announce_shutdown(&mut self.connections);
        self.is_shutting_down = true;
    }

    /// Bytes that are decided and not sent.
    pub fn unsent(&self) -> usize {
        self.connections.unsent() + self.http.unsent()
    }

    /// Connections of which it is known who they are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// All sockets, with those of connections that are refused or on their way out.
    pub fn sockets(&self) -> usize {
        self.connections.sockets() + self.http.sockets()
    }

    /// Takes a block of tokens for when those that it has are used up.
    ///
    /// # Panics
    /// If they are not higher than all before, or there is a block for later already.
    pub fn add_tokens(&mut self, block: TokenBlock) {
        self.engine.add_tokens(block);
    }

    /// Whether it is time to reserve another block of tokens.
    pub fn wants_tokens(&self) -> bool {
        self.engine.wants_tokens()
    }

    /// Grants that there are tokens for.
    pub fn tokens_left(&self) -> u64 {
        self.engine.tokens_left()
    }

    /// Counters and gauges of the locks.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }
}
