//! The same bytes to the same server, in clear and within TLS.

use std::sync::Arc;

use officer::net::tls::{TlsOptions, TlsServer};
use officer::server::Readiness;
use officer::wire::peer::Peer;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};

use crate::certificates::{Authority, Valid};
use crate::directory::Directory;
use crate::pair::{AMPLE, Client, Host, config};
use crate::pieces::{AFTER, BEFORE, Outcome, Sent};

/// The client and the other connection.
pub const PEERS: [Peer; 2] = [Peer::V4 { ip: [127, 0, 0, 1], port: 1 }, Peer::V4 { ip: [127, 0, 0, 2], port: 1 }];

/// What a client sends within TLS, and how.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// The same in clear. Its way is that of the ciphertext, its pieces are cut without regard to records.
    pub sent: Sent<'a>,
    is_tls12: bool,
    /// The session is not resumed.
    is_new: bool,
    /// The first records follow the handshake at once.
    is_early: bool,
    /// New keys before each record.
    has_key_updates: bool,
    /// The end is announced, and the connection stays open.
    stays_open: bool,
    /// What follows the announced end counts as nothing.
    has_rest: bool,
    /// The lengths of the records, repeated. 0: all that is left.
    records: &'a [u8],
}

/// What is made once: certificates and keys take long.
pub struct Parties {
    server: TlsServer,
    /// For each version, with sessions that can be resumed.
    clients: [Arc<ClientConfig>; 2],
}

impl Parties {
    /// With new keys.
    pub fn new() -> Self {
        let directory = Directory::new();
        let authority = Authority::new(&directory, "authority");
        let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
        let server = TlsOptions::new(identity.cert, identity.key).load().expect("the files are good");
        let clients = [&TLS12, &TLS13].map(|version| config(&authority, None, &[version]));
        Parties { server, clients }
    }
}

impl Default for Parties {
    fn default() -> Self {
        Parties::new()
    }
}

impl<'a> Sealed<'a> {
    /// The first line has flags, and then the lengths of the records. The others are those of [`Sent`].
    pub fn of(data: &'a [u8]) -> Self {
        let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
        let (head, rest) = (&data[..end], data.get(end + 1..).unwrap_or_default());
        let has_flag = |flag: u8| head.first().is_some_and(|flags| flags & flag != 0);
        Sealed {
            sent: Sent::of(rest),
            is_tls12: has_flag(1),
            is_new: has_flag(2),
            is_early: has_flag(4),
            has_key_updates: has_flag(8),
            stays_open: has_flag(16),
            has_rest: has_flag(32),
            records: head.get(1..).filter(|lengths| !lengths.is_empty()).unwrap_or(&[0]),
        }
    }

    /// The outcome, which has to be that of the same bytes in clear.
    pub fn answers(&self, parties: &Parties) -> Outcome {
        let mut config = Arc::clone(&parties.clients[usize::from(!self.is_tls12)]);
        if self.is_new {
            Arc::make_mut(&mut config).resumption = Resumption::disabled();
        }
        let way = &self.sent.way;
        let mut host = Host::with_limits(parties.server.clone(), AMPLE, self.sent.limits(way));
        let mut client = host.connect(&config, "localhost");
        let mut other = host.greeted(&parties.clients[1]);
        let mut to_other = String::new();
        if self.sent.has_other() {
            to_other += &host.say(&mut other, BEFORE);
        }
        {
            let mut wire = client.wire.borrow_mut();
            wire.has_signals = way.has_signals;
            wire.read_max = Some(way.read_max).filter(|&bytes| bytes < usize::MAX);
            wire.room = Some(way.window);
        }
        let mut travel = Travel { sealed: self, cuts: Cuts(way.pieces.iter().cycle()), waiting: Vec::new() };
        if !self.is_early {
            travel.go(&mut host, &mut client, false);
        }
        self.write(&mut client, &mut travel.waiting);
        let has_rest = self.finish(&mut client, &mut travel.waiting);
        travel.go(&mut host, &mut client, has_rest);
        self.close(&mut host, &mut client);
        travel.go(&mut host, &mut client, false);
        if self.sent.has_other() {
            AFTER.iter().for_each(|lines| to_other += &host.say(&mut other, lines));
            travel.go(&mut host, &mut client, false);
        }
        let stats = host.server.stats();
        let are_connected = [&client, &other].map(|client| host.server.socket_mut(client.key).is_some());
        let ended = {
            let wire = client.wire.borrow();
            wire.server_has_closed_write || wire.server_has_dropped
        };
        // An announcement that the system does not take at once is lost.
        let may_be_lost = way.window < usize::MAX || self.sent.is_cut;
        let was_told_the_end = if may_be_lost { ended } else { client.was_told_the_end() };
        assert_eq!(client.error, None, "the client understands what it receives");
        for client in [&client, &other] {
            client.wire.borrow_mut().is_reset = true;
            host.server.ready(client.key, EVERYTHING);
        }
        host.settle();
        assert!(host.server.is_empty(), "everybody is gone, and something is left");
        Outcome { to_client: client.heard, to_other, are_connected, was_told_the_end, stats }
    }

    /// Encrypts, a record for each length.
    fn write(&self, client: &mut Client, waiting: &mut Vec<u8>) {
        use std::io::Write as _;

        let mut left = self.sent.bytes;
        let mut lengths = Cuts(self.records.iter().cycle());
        while !left.is_empty() {
            let (record, rest) = left.split_at(lengths.next_of(left.len()));
            if self.has_key_updates && !client.session.is_handshaking() {
                // TLS 1.2 has none.
                let _ = client.session.refresh_traffic_keys();
            }
            client.session.writer().write_all(record).expect("it keeps what it can't send yet");
            seal(client, waiting);
            left = rest;
        }
    }

    /// The end, if it comes at once. Says whether there is one.
    fn finish(&self, client: &mut Client, waiting: &mut Vec<u8>) -> bool {
        // While hands are shaken nothing is encrypted, and the end comes in its own time.
        let is_here = self.sent.has_end && self.sent.way.ends_at_once && !client.session.is_handshaking();
        if is_here {
            self.say_the_end(client, waiting);
        }
        is_here && !self.stays_open
    }

    fn say_the_end(&self, client: &mut Client, waiting: &mut Vec<u8>) {
        client.session.send_close_notify();
        seal(client, waiting);
        if self.has_rest {
            waiting.extend(b"{\"command\":\"ping\"}\n");
        }
    }

    /// The end, announced or not, when all else has been executed.
    fn close(&self, host: &mut Host, client: &mut Client) {
        let mut last = Vec::new();
        if self.sent.has_end && !self.sent.is_cut {
            self.say_the_end(client, &mut last);
        }
        client.wire.borrow_mut().to_server.extend(last);
        client.wire.borrow_mut().client_has_closed = self.sent.is_cut || self.sent.has_end && !self.stays_open;
        host.server.ready(client.key, Readiness { is_readable: true, ..Readiness::default() });
    }
}

const EVERYTHING: Readiness = Readiness { is_readable: true, is_writable: true, is_read_closed: true };

fn seal(client: &mut Client, waiting: &mut Vec<u8>) {
    while client.session.wants_write() {
        client.session.write_tls(waiting).expect("memory takes everything");
    }
}

/// Lengths of pieces, repeated.
struct Cuts<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Cuts<'_> {
    /// The next one, of something of this length.
    fn next_of(&mut self, length: usize) -> usize {
        let cut = self.0.next().copied().map_or(0, usize::from);
        if cut == 0 { length } else { cut.min(length) }
    }
}

/// How ciphertext gets to the server, and back.
struct Travel<'a> {
    sealed: &'a Sealed<'a>,
    cuts: Cuts<'a>,
    /// Not sent yet.
    waiting: Vec<u8>,
}

impl Travel<'_> {
    /// Until nothing moves any more. With the last piece the client closes its side, if it `ends`.
    fn go(&mut self, host: &mut Host, client: &mut Client, ends: bool) {
        let way = &self.sealed.sent.way;
        // Bounded only so that a server that never comes to rest fails instead of hanging.
        for _ in 0..1_000_000 {
            seal(client, &mut self.waiting);
            let piece: Vec<u8> = self.waiting.drain(..self.cuts.next_of(self.waiting.len())).collect();
            let is_last = self.waiting.is_empty();
            let has_room = {
                let mut wire = client.wire.borrow_mut();
                wire.to_server.extend(&piece);
                wire.client_has_closed |= ends && is_last;
                let has_room = wire.room != Some(0);
                wire.room = Some(way.window);
                has_room
            };
            let is_read_closed = client.wire.borrow().client_has_closed;
            if !piece.is_empty() || is_read_closed {
                host.server.ready(client.key, Readiness { is_readable: true, is_read_closed, is_writable: false });
            }
            if !has_room {
                host.server.ready(client.key, Readiness { is_writable: true, ..Readiness::default() });
            }
            if way.is_hurried && !is_last {
                host.turn();
            } else {
                host.settle();
            }
            let has_taken = client.take();
            if piece.is_empty() && !has_taken && has_room && !client.session.wants_write() {
                return;
            }
        }
        panic!("the server never comes to rest");
    }
}
