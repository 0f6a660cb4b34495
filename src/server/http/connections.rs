//! The connections by HTTP: taking them in, reading, writing, and their time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::Duration;

use super::answer::{Answer, Way};
use super::connection::{Flags, HttpConnection, INPUT_BYTES_MAX, Phase};
use super::head::HeadScanner;
use super::{HTTP_CONNECTIONS_MAX, Http, HttpKey, REFUSED_MAX, inner, outer};
use crate::engine::ConnectionKey;
use crate::server::strangers::Address;
use crate::server::{Credentials, Limits, Readiness, Server, Socket};
use crate::time::Moment;
use crate::wire::peer::Peer;

/// How long a connection may have nothing to say: longer than a scraper of metrics pauses.
const IDLE_MAX: Duration = Duration::from_secs(65);
/// How long a request may take to come.
const READING_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take to be taken.
const ANSWERING_MAX: Duration = Duration::from_secs(30);

impl<S: Socket> Server<S> {
    /// Takes a new connection by HTTP. Its key is like that of any other, for [`Server::socket_mut`], [`Server::ready`] and
    /// [`Server::fail`]. Without room for it, it is told so and closed; with too many of these, it has no key.
    pub fn accept_http(&mut self, socket: S, peer: Peer, now: Moment) -> Option<ConnectionKey> {
        self.connections.now = now;
        let has_room = self.http.slots.len() - self.http.refused < HTTP_CONNECTIONS_MAX || self.http.make_way();
        let is_handshaking = socket.has_handshake();
        if !has_room && (is_handshaking || self.http.refused == REFUSED_MAX) {
            return None;
        }
        let key = self.http.insert(socket, peer, now, &self.connections.limits);
        let connection = self.http.known(key);
        if !has_room {
            connection.flags.is_refused = true;
            self.http.refused += 1;
            self.finish(key, &Answer::text(503, "too many connections by HTTP"), &Way::LAST);
        } else if !is_handshaking {
            connection.credentials = connection.socket.credentials();
        }
        Some(outer(key))
    }

    /// Sets the names that a request without credentials may have in `Host`, beside addresses and `localhost`.
    pub fn set_http_hosts(&mut self, hosts: &[String]) {
        self.http.set_hosts(hosts);
    }
}

impl<S: Socket> Http<S> {
    fn insert(&mut self, socket: S, peer: Peer, now: Moment, limits: &Limits) -> HttpKey {
        let phase = if socket.has_handshake() { Phase::Handshaking } else { Phase::Idle };
        let key = self.slots.insert(HttpConnection {
            socket,
            peer,
            credentials: Credentials::default(),
            input: Vec::new(),
            scanner: HeadScanner::default(),
            awaited: 0,
            output: Vec::new(),
            sent: 0,
            phase,
            since: now,
            deadline: None,
            flags: Flags::default(),
        });
        self.enter(key, phase, now, limits);
        key
    }

    pub(super) fn known(&mut self, key: HttpKey) -> &mut HttpConnection<S> {
        self.slots.get_mut(key).expect("the connection exists")
    }

    /// The socket of a connection with this key, if it is one of ours.
    pub(in crate::server) fn socket_mut(&mut self, key: ConnectionKey) -> Option<&mut S> {
        inner(key).and_then(|key| self.slots.get_mut(key)).map(|connection| &mut connection.socket)
    }

    /// Notes what the poll says of a connection, if it is one of ours.
    #[cold]
    pub(in crate::server) fn ready(&mut self, key: ConnectionKey, readiness: Readiness) {
        let Some(key) = inner(key) else { return };
        let Some(connection) = self.slots.get_mut(key) else { return };
        let flags = &mut connection.flags;
        let is_unblocked = readiness.is_writable && std::mem::take(&mut flags.is_blocked);
        let is_readable = readiness.is_readable || readiness.is_read_closed;
        flags.is_readable |= is_readable;
        match connection.phase {
            // Any event may be the one that it waits for.
            Phase::Handshaking => self.list(key),
            Phase::Answering { .. } if is_unblocked => self.mark_dirty(key),
            Phase::Idle | Phase::Reading | Phase::Lingering if is_readable => self.list(key),
            _ => {}
        }
    }

    /// The socket of a connection failed, if it is one of ours.
    pub(in crate::server) fn fail(&mut self, key: ConnectionKey) {
        if let Some(key) = inner(key).filter(|key| self.slots.get(*key).is_some()) {
            self.remove(key);
        }
    }

    /// It is served in the next turn.
    pub(super) fn list(&mut self, key: HttpKey) {
        if !std::mem::replace(&mut self.known(key).flags.is_listed, true) {
            self.listed.push(key);
        }
    }

    /// It is flushed at the end of the turn.
    pub(super) fn mark_dirty(&mut self, key: HttpKey) {
        if !std::mem::replace(&mut self.known(key).flags.is_dirty, true) {
            self.dirty.push(key);
        }
    }

    /// A phase begins, and the time that it may take.
    pub(super) fn enter(&mut self, key: HttpKey, phase: Phase, now: Moment, limits: &Limits) {
        let connection = self.known(key);
        (connection.phase, connection.since) = (phase, now);
        let deadline = connection.deadline;
        let span = match phase {
            Phase::Handshaking => limits.handshake,
            Phase::Idle => IDLE_MAX,
            Phase::Reading => READING_MAX,
            Phase::Answering { .. } => ANSWERING_MAX,
            Phase::Lingering => limits.linger,
        };
        let due = now.after(span.into());
        match deadline {
            Some(deadline) => self.deadlines.rearm(deadline, due),
            None => self.known(key).deadline = Some(self.deadlines.arm(due, key)),
        }
    }

    /// Closes one of those that no request keeps: of the address that has most of these, the one whose phase is the oldest.
    /// Returns whether there was one.
    fn make_way(&mut self) -> bool {
        let is_free = |connection: &HttpConnection<S>| connection.unsent() == 0 && !connection.flags.is_waiting;
        let mut counts: HashMap<Address, usize> = HashMap::new();
        for (_, connection) in self.slots.iter() {
            *counts.entry(Address::of(connection.peer)).or_default() += 1;
        }
        let free = self.slots.iter().filter(|(_, connection)| is_free(connection) && !connection.flags.is_refused);
        let first = free.max_by_key(|(key, connection)| {
            let count = counts[&Address::of(connection.peer)];
            (count, Reverse((connection.since, key.to_bits())))
        });
        let Some(key) = first.map(|(key, _)| key) else { return false };
        self.remove(key);
        true
    }

    /// Reads once. Returns whether anything has come.
    pub(super) fn read(&mut self, key: HttpKey, buffer: &mut [u8]) -> bool {
        let connection = self.known(key);
        if !connection.flags.is_readable {
            return false;
        }
        let room = INPUT_BYTES_MAX - connection.input.len();
        let length = room.min(buffer.len());
        match connection.socket.read(&mut buffer[..length]) {
            Ok(0) => self.remove(key),
            Ok(bytes) => {
                connection.input.extend_from_slice(&buffer[..bytes]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.flags.is_readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.remove(key),
        }
        false
    }

    /// Reads on from a peer that was told to go, so that no reset overtakes what it was told.
    pub(super) fn drop_input(&mut self, key: HttpKey, buffer: &mut [u8]) {
        let connection = self.known(key);
        match connection.socket.read(buffer) {
            Ok(0) => self.remove(key),
            Ok(_) => self.list(key),
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.flags.is_readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.list(key),
            Err(_) => self.remove(key),
        }
    }

    /// Writes once.
    pub(super) fn flush(&mut self, key: HttpKey, now: Moment, limits: &Limits) {
        let connection = self.known(key);
        let Phase::Answering { closes } = connection.phase else { return };
        if connection.flags.is_blocked {
            return;
        }
        match connection.socket.write(&connection.output[connection.sent..]) {
            Ok(0) => self.remove(key),
            Ok(bytes) => {
                connection.sent += bytes;
                self.unsent -= bytes;
                let connection = self.known(key);
                if connection.unsent() > 0 {
                    // Not every socket announces that it takes more after it took a part.
                    return self.mark_dirty(key);
                }
                (connection.output, connection.sent) = (Vec::new(), 0);
                if closes { self.close_write(key, now, limits) } else { self.go_on(key, now, limits) }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.flags.is_blocked = true,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.mark_dirty(key),
            Err(_) => self.remove(key),
        }
    }

    /// All is sent, and the next request may come, or has come already.
    fn go_on(&mut self, key: HttpKey, now: Moment, limits: &Limits) {
        let connection = self.known(key);
        let has_input = !connection.input.is_empty();
        let is_readable = connection.flags.is_readable;
        self.enter(key, if has_input { Phase::Reading } else { Phase::Idle }, now, limits);
        if has_input || is_readable {
            self.list(key);
        }
    }

    /// All is sent, and nothing more comes.
    pub(super) fn close_write(&mut self, key: HttpKey, now: Moment, limits: &Limits) {
        let connection = self.known(key);
        if connection.socket.close_write().is_err() {
            return self.remove(key);
        }
        connection.input = Vec::new();
        connection.begin_request();
        self.enter(key, Phase::Lingering, now, limits);
        self.list(key);
    }

    /// Closes the socket and forgets the connection.
    pub(super) fn remove(&mut self, key: HttpKey) {
        let connection = self.slots.remove(key).expect("a connection is removed once");
        self.unsent -= connection.unsent();
        self.refused -= usize::from(connection.flags.is_refused);
        if let Some(deadline) = connection.deadline {
            self.deadlines.cancel(deadline);
        }
    }
}
