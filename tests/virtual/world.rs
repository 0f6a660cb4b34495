//! A server, its clients and a clock, all in memory.
//!
//! When a [`World`] is dropped, all its clients disconnect, and nothing may be left of them: every conversation ends
//! this way.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use officer::engine::{ConnectionKey, TokenBlock};
use officer::server::{Access, Credentials, Handshake, Limits, Readiness, Server};
use officer::time::Moment;
use officer::wire::peer::Peer;

use crate::memory::{MemorySocket, Wire};

/// One of the clients of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client(pub(crate) usize);

/// What a client received: which client, and the line without its `\n`.
pub(crate) type Received = (Client, String);

/// A server with clients. After each step the server has done everything it can do at that moment, and has been checked
/// in between.
pub(crate) struct World {
    pub(crate) server: Server<MemorySocket>,
    now: Duration,
    clients: Vec<Remote>,
    /// Lines that clients have received and no step has returned yet.
    received: Vec<Received>,
    is_shut_down: bool,
    /// Whether the server checks itself after every turn.
    pub(crate) check_all: bool,
}

/// The clients' end of a connection.
struct Remote {
    key: Option<ConnectionKey>,
    wire: Rc<RefCell<Wire>>,
    /// Received, but not a complete line yet.
    partial: Vec<u8>,
    name: String,
    is_http: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        World {
            server: Server::new(limits, TokenBlock::all()),
            now: Duration::ZERO,
            clients: Vec::new(),
            received: Vec::new(),
            is_shut_down: false,
            check_all: true,
        }
    }

    /// New clients on TCP: `10.0.0.1:1`, `10.0.0.2:1` and so on. (Only names: nothing leaves the process.)
    pub(crate) fn connect<const N: usize>(&mut self) -> [Client; N] {
        std::array::from_fn(|_| self.connect_as(self.next_peer()))
    }

    /// Like [`World::connect`], for a number of clients that is not a constant.
    pub(crate) fn connect_many(&mut self, count: usize) -> Vec<Client> {
        (0..count).map(|_| self.connect_as(self.next_peer())).collect()
    }

    pub(crate) fn connect_as(&mut self, peer: Peer) -> Client {
        let client = self.arrive(peer);
        self.settle();
        client
    }

    /// A client is accepted, but the server has not had its turn.
    pub(crate) fn arrive(&mut self, peer: Peer) -> Client {
        self.arrive_at(None, peer)
    }

    /// The same through a listener on one address.
    pub(crate) fn arrive_at(&mut self, own_ip: Option<IpAddr>, peer: Peer) -> Client {
        self.accept(peer, Wire { own_ip, ..Wire::default() })
    }

    /// A client whose socket proves something of it.
    pub(crate) fn connect_proving(&mut self, peer: Peer, credentials: Credentials) -> Client {
        let client = self.accept(peer, Wire { credentials, ..Wire::default() });
        self.settle();
        client
    }

    /// From now on these are the users.
    pub(crate) fn set_users(&mut self, text: &str) -> Vec<Received> {
        self.server.set_access(Access::parse(text).unwrap_or_else(|bad| panic!("{bad}: {text}")));
        self.step()
    }

    /// A client is accepted on a socket of which some things are known, but the server has not had its turn.
    pub(crate) fn accept(&mut self, peer: Peer, wire: Wire) -> Client {
        let wire = Rc::new(RefCell::new(wire));
        let key = self.server.accept(MemorySocket::new(Rc::clone(&wire)), peer, self.moment());
        // As the poll does, to watch it.
        assert_eq!(key.is_some(), key.is_some_and(|key| self.server.socket_mut(key).is_some()));
        self.add(key, wire, peer, false)
    }

    /// A client of HTTP is accepted, but the server has not had its turn.
    pub(crate) fn accept_http(&mut self, peer: Peer, wire: Wire) -> Client {
        let wire = Rc::new(RefCell::new(wire));
        let key = self.server.accept_http(MemorySocket::new(Rc::clone(&wire)), peer, self.moment());
        assert_eq!(key.is_some(), key.is_some_and(|key| self.server.socket_mut(key).is_some()));
        self.add(key, wire, peer, true)
    }

    fn add(&mut self, key: Option<ConnectionKey>, wire: Rc<RefCell<Wire>>, peer: Peer, is_http: bool) -> Client {
        self.clients.push(Remote { key, wire, partial: Vec::new(), name: peer.to_string(), is_http });
        Client(self.clients.len() - 1)
    }

    /// What a client of HTTP has received and nobody has taken yet.
    pub(crate) fn take_bytes(&mut self, client: Client) -> Vec<u8> {
        std::mem::take(&mut self.clients[client.0].partial)
    }

    /// The next client on TCP.
    pub(crate) fn next_peer(&self) -> Peer {
        let [_, high, middle, low] = u32::try_from(self.clients.len() + 1).expect("few clients").to_be_bytes();
        Peer::V4 { ip: [10, high, middle, low], port: 1 }
    }

    /// What the server calls the client's connection.
    pub(crate) fn key(&self, client: Client) -> ConnectionKey {
        self.clients[client.0].key.expect("it was accepted")
    }

    /// The client's name in replies.
    pub(crate) fn name(&self, client: Client) -> &str {
        &self.clients[client.0].name
    }

    /// A client sends one line. Returns what all clients received after that.
    pub(crate) fn say(&mut self, client: Client, line: &str) -> Vec<Received> {
        self.send(client, format!("{line}\n").as_bytes())
    }

    /// A client sends any bytes.
    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) -> Vec<Received> {
        self.put(client, bytes);
        self.step()
    }

    /// Bytes arrive, but the server has not had its turn.
    pub(crate) fn put(&mut self, client: Client, bytes: &[u8]) {
        self.put_silently(client, bytes);
        self.event(client, Readiness { is_readable: true, ..Readiness::default() });
    }

    /// Bytes arrive, and no event reports them.
    pub(crate) fn put_silently(&mut self, client: Client, bytes: &[u8]) {
        self.clients[client.0].wire.borrow_mut().to_server.extend(bytes);
    }

    /// The client ends its input, but keeps reading.
    pub(crate) fn half_close(&mut self, client: Client) -> Vec<Received> {
        self.put_end(client);
        self.step()
    }

    /// The end of input arrives, but the server has not had its turn.
    pub(crate) fn put_end(&mut self, client: Client) {
        self.put_end_silently(client);
        self.event(client, Readiness { is_readable: true, is_read_closed: true, ..Readiness::default() });
    }

    /// The end of input arrives, and no event reports it.
    pub(crate) fn put_end_silently(&mut self, client: Client) {
        self.clients[client.0].wire.borrow_mut().client_has_closed = true;
    }

    /// The client disconnects abruptly.
    pub(crate) fn vanish(&mut self, client: Client) -> Vec<Received> {
        self.put_reset(client);
        self.step()
    }

    /// The connection is reset, but the server has not had its turn.
    pub(crate) fn put_reset(&mut self, client: Client) {
        self.put_reset_silently(client);
        self.event(client, Readiness { is_readable: true, is_writable: true, is_read_closed: true });
    }

    /// The connection is reset, and no event reports it: the next read or write fails.
    pub(crate) fn put_reset_silently(&mut self, client: Client) {
        self.clients[client.0].wire.borrow_mut().is_reset = true;
    }

    /// the next `times` reads and writes of the client's connection are interrupted.
    pub(crate) fn interrupt(&mut self, client: Client, times: usize) {
        self.clients[client.0].wire.borrow_mut().interruptions = times;
    }

    /// From now on a step of the client's handshake leads to that.
    pub(crate) fn put_handshake(&mut self, client: Client, handshake: Handshake) {
        self.clients[client.0].wire.borrow_mut().handshake = Some(handshake);
        self.event(client, Readiness { is_readable: true, ..Readiness::default() });
    }

    /// From now on a write to the client succeeds with no bytes at all.
    pub(crate) fn take_nothing_for_ever(&mut self, client: Client) {
        self.clients[client.0].wire.borrow_mut().takes_nothing_for_ever = true;
    }

    /// The system can't close only the server's side of this connection.
    pub(crate) fn refuse_half_close(&mut self, client: Client) {
        self.clients[client.0].wire.borrow_mut().refuses_half_close = true;
    }

    /// The socket fails outside of reading and writing.
    pub(crate) fn fail(&mut self, client: Client, error: ErrorKind) -> Vec<Received> {
        let key = self.key(client);
        self.server.fail(key, error.into());
        self.step()
    }

    /// From now on the client takes only this many bytes.
    pub(crate) fn take_only(&mut self, client: Client, bytes: usize) {
        self.clients[client.0].wire.borrow_mut().room = Some(bytes);
    }

    /// The client takes this many more bytes (none: everything).
    pub(crate) fn take(&mut self, client: Client, bytes: Option<usize>) -> Vec<Received> {
        self.put_room(client, bytes);
        self.step()
    }

    /// There is room in the client's window, but the server has not had its turn.
    pub(crate) fn put_room(&mut self, client: Client, bytes: Option<usize>) {
        self.clients[client.0].wire.borrow_mut().room = bytes;
        self.event(client, Readiness { is_writable: true, ..Readiness::default() });
    }

    /// A read returns at most this many bytes, as a UNIX socket may.
    pub(crate) fn read_in_pieces(&mut self, client: Client, bytes: usize) {
        self.clients[client.0].wire.borrow_mut().read_max = Some(bytes);
    }

    /// An event of the poll, which may come late.
    pub(crate) fn event(&mut self, client: Client, readiness: Readiness) {
        if let Some(key) = self.clients[client.0].key {
            self.server.ready(key, readiness);
        }
    }

    /// Time passes. What becomes due meanwhile happens at its own moment.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Received> {
        let end = self.now + time;
        self.settle();
        while let Some(next) = self.server.next_turn().map(|next| Duration::from_nanos(next.as_nanos()))
            && next <= end
        {
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = end;
        self.step()
    }

    /// What becomes due meanwhile is left for the next turn, as on a machine that was asleep.
    pub(crate) fn oversleep(&mut self, time: Duration) {
        self.now += time;
    }

    /// The server is told to shut down, and has written what it can.
    pub(crate) fn shut_down(&mut self) -> Vec<Received> {
        self.server.shut_down();
        self.is_shut_down = true;
        self.turn();
        std::mem::take(&mut self.received)
    }

    /// One turn of the server, no more.
    pub(crate) fn turn(&mut self) {
        self.turn_after_poll(self.moment(), true);
    }

    /// One turn after a poll that began at `begun`. `is_complete`: nothing else is ready.
    pub(crate) fn turn_after_poll(&mut self, begun: Moment, is_complete: bool) {
        self.server.polled(begun, is_complete);
        self.server.turn(self.moment());
        if self.check_all {
            self.server.check_all();
        }
        self.collect();
    }

    /// One turn in which the clock goes on by so much whenever it is looked at.
    pub(crate) fn slow_turn(&mut self, time: Duration) {
        let now = self.moment();
        let clock = Cell::new(now);
        self.server.polled(now, true);
        self.server.turn_by(now, &|| clock.replace(clock.get().after(time.into())));
        self.collect();
    }

    /// One turn. Returns what was received since the last step.
    pub(crate) fn step_once(&mut self) -> Vec<Received> {
        self.turn();
        std::mem::take(&mut self.received)
    }

    /// Turns until there is nothing to do. Returns what was received since the last step.
    pub(crate) fn step(&mut self) -> Vec<Received> {
        self.settle();
        std::mem::take(&mut self.received)
    }

    /// What was received since the last step, without a turn.
    pub(crate) fn receive(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.received)
    }

    /// Whether the server has closed the socket.
    pub(crate) fn is_closed(&self, client: Client) -> bool {
        self.clients[client.0].wire.borrow().server_has_dropped
    }

    /// Whether the server has closed its side, or all of the socket.
    pub(crate) fn is_at_end(&self, client: Client) -> bool {
        self.is_closed(client) || self.clients[client.0].wire.borrow().server_has_closed_write
    }

    /// Bytes that arrived at the server's socket and were not read.
    pub(crate) fn unread(&self, client: Client) -> usize {
        self.clients[client.0].wire.borrow().to_server.len()
    }

    /// Bytes that a client has received of an incomplete line.
    pub(crate) fn partial(&self, client: Client) -> usize {
        self.clients[client.0].partial.len()
    }

    /// All that the server shows of itself when it is debugged, with the last traffic.
    pub(crate) fn transcript(&self) -> String {
        format!("{:#?}", self.server)
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    fn settle(&mut self) {
        // A bound only so that a server that never rests fails instead of hanging.
        for _ in 0..1_000_000 {
            self.turn();
            if self.server.next_turn().is_none_or(|next| u128::from(next.as_nanos()) > self.now.as_nanos()) {
                return;
            }
        }
        panic!("the server never comes to rest: {:?}", self.server);
    }

    fn collect(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.partial.append(&mut client.wire.borrow_mut().to_client);
            if client.is_http {
                continue;
            }
            while let Some(end) = client.partial.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = client.partial.drain(..=end).collect();
                let line = String::from_utf8(line[..end].to_vec()).expect("replies are UTF-8");
                self.received.push((Client(number), line));
            }
        }
    }

    /// The time, as the server counts it.
    pub(crate) fn moment(&self) -> Moment {
        Moment::START.after(self.now.into())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() || self.is_shut_down {
            return;
        }
        (0..self.clients.len()).for_each(|number| self.put_reset(Client(number)));
        self.settle();
        if !self.server.is_empty() {
            // No session goes on for longer than that without a connection, and then no lock stays closed for longer.
            self.pass(Duration::from_secs(301));
            self.pass(Duration::from_secs(86_400));
        }
        assert!(self.server.is_empty(), "everybody is gone, and something is left: {:?}", self.server);
        let is_closed = |client: &Remote| client.wire.borrow().server_has_dropped;
        assert!(self.clients.iter().all(is_closed), "everybody is gone, and a socket is open");
    }
}
