//! Clients of rustls, and the server over TLS over memory. The fuzz target `tls` has them too.
#![allow(dead_code, reason = "the tests and the fuzz target each use what they need")]

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use officer::engine::{ConnectionKey, TokenBlock};
use officer::net::tls::{HandshakeBudget, TlsOptions, TlsServer, TlsSocket};
use officer::server::{Limits, Readiness, Server};
use officer::time::{Moment, Span};
use officer::wire::peer::Peer;
use rustls::{ClientConfig, ClientConnection};

use crate::certificates::{Authority, Valid};
use crate::directory::Directory;
use crate::memory::{MemorySocket, Wire};

pub(super) use crate::certificates::client_config as config;

/// Longer than any handshake takes.
pub(super) const AMPLE: Duration = Duration::from_secs(3600);

/// The server's side.
pub(super) struct Host {
    pub(super) server: Server<TlsSocket<MemorySocket>>,
    pub(super) tls: TlsServer,
    pub(super) budget: Arc<HandshakeBudget>,
    now: Moment,
    accepted: u8,
}

/// A client and its connection.
pub(super) struct Client {
    pub(super) session: ClientConnection,
    pub(super) wire: Rc<RefCell<Wire>>,
    pub(super) key: ConnectionKey,
    /// Encrypted bytes that travel at a time.
    pub(super) piece: usize,
    /// What it has received, decrypted.
    pub(super) heard: String,
    /// What is wrong with what it has received.
    pub(super) error: Option<rustls::Error>,
}

impl Host {
    pub(super) fn new(options: &TlsOptions, turn_max: Duration) -> Self {
        Host::with_limits(options.load().unwrap(), turn_max, Limits::default())
    }

    pub(super) fn with_limits(tls: TlsServer, turn_max: Duration, limits: Limits) -> Self {
        Host {
            server: Server::new(limits, TokenBlock::all()),
            tls,
            budget: Arc::new(HandshakeBudget::new(turn_max)),
            now: Moment::START,
            accepted: 0,
        }
    }

    /// A host with a certificate for `localhost`, and a configuration of clients that trust it.
    pub(super) fn simple(directory: &Directory) -> (Self, Arc<ClientConfig>) {
        let authority = Authority::new(directory, "authority");
        let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
        let host = Host::new(&TlsOptions::new(identity.cert, identity.key), AMPLE);
        (host, config(&authority, None, rustls::ALL_VERSIONS))
    }

    pub(super) fn accept(&mut self) -> (Rc<RefCell<Wire>>, ConnectionKey) {
        let wire = Rc::new(RefCell::new(Wire::default()));
        let socket = self.tls.accept(MemorySocket::new(Rc::clone(&wire)), &self.budget);
        self.accepted += 1;
        let peer = Peer::V4 { ip: [127, 0, 0, self.accepted], port: 1 };
        let key = self.server.accept(socket, peer, self.now).expect("there is room");
        (wire, key)
    }

    pub(super) fn connect(&mut self, config: &Arc<ClientConfig>, name: &'static str) -> Client {
        let (wire, key) = self.accept();
        let session = ClientConnection::new(Arc::clone(config), name.try_into().unwrap()).unwrap();
        Client { session, wire, key, piece: usize::MAX, heard: String::new(), error: None }
    }

    pub(super) fn turn(&mut self) {
        self.budget.begin_turn();
        self.server.polled(self.now, true);
        self.server.turn(self.now);
        self.server.check_all();
    }

    /// Turns until there is nothing left to do without an event.
    pub(super) fn settle(&mut self) {
        self.turn();
        while self.server.next_turn() == Some(Moment::START) {
            self.turn();
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(Span::from(time));
        self.settle();
    }

    /// The client closes its side of the connection.
    pub(super) fn end(&mut self, client: &mut Client) {
        client.wire.borrow_mut().client_has_closed = true;
        self.server.ready(client.key, Readiness { is_readable: true, is_writable: true, is_read_closed: true });
        self.settle();
    }

    /// Moves bytes in both directions until none are left.
    pub(super) fn exchange(&mut self, client: &mut Client) {
        loop {
            let mut sent = Vec::new();
            while client.session.wants_write() {
                client.session.write_tls(&mut sent).unwrap();
            }
            let is_moving = !sent.is_empty() | client.take();
            for piece in sent.chunks(client.piece) {
                client.wire.borrow_mut().to_server.extend(piece);
                self.server.ready(client.key, Readiness { is_readable: true, ..Readiness::default() });
                self.settle();
            }
            if !is_moving {
                return;
            }
        }
    }

    /// A client that has shaken hands.
    pub(super) fn greeted(&mut self, config: &Arc<ClientConfig>) -> Client {
        let mut client = self.connect(config, "localhost");
        self.exchange(&mut client);
        assert!(!client.session.is_handshaking(), "{:?}", client.error);
        client
    }

    pub(super) fn say(&mut self, client: &mut Client, lines: &str) -> String {
        client.session.writer().write_all(lines.as_bytes()).unwrap();
        self.exchange(client);
        std::mem::take(&mut client.heard)
    }
}

impl Client {
    /// Takes what the server has sent, piece by piece. Says whether there was anything.
    pub(super) fn take(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.wire.borrow_mut().to_client);
        for piece in bytes.chunks(self.piece) {
            let mut piece = piece;
            while !piece.is_empty() && self.error.is_none() {
                self.session.read_tls(&mut piece).unwrap();
                self.error = self.session.process_new_packets().err();
                let mut plain = Vec::new();
                match self.session.reader().read_to_end(&mut plain) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                self.heard.push_str(std::str::from_utf8(&plain).unwrap());
            }
        }
        !bytes.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.wire.borrow().server_has_dropped
    }

    /// Whether the server has said that nothing more comes.
    pub(super) fn was_told_the_end(&mut self) -> bool {
        self.session.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }
}
