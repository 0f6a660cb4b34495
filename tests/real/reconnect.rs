//! Thousands of clients of one machine that lose their connections and come again at once, over TLS, beside one that works.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use ring::digest::{SHA256, digest};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use serde_json::json;

use crate::support::certificates::{Authority, Valid};
use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::server::{Server, officer};
use crate::support::skip::skipped;

/// Clients without optimisation take several times as long for a handshake.
const CLIENTS: usize = if cfg!(debug_assertions) { 1_500 } else { 5_000 };
/// A fifth of them.
const STRANGERS_MAX: usize = CLIENTS / 5;
const FIRST_WORDS: &[u8] = b"{\"command\":\"hello\",\"user\":\"game\",\"secret\":\"secret\"}\n{\"command\":\"ping\"}\n";

/// A client, and the connection that it has now.
struct Peer {
    config: Arc<ClientConfig>,
    stream: TcpStream,
    session: ClientConnection,
    heard: Vec<u8>,
}

/// What a client says first, as soon as it may.
fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let mut session = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
    session.writer().write_all(FIRST_WORDS).unwrap();
    session
}

impl Peer {
    fn connect(config: &Arc<ClientConfig>, session: ClientConnection, server: &Address) -> Peer {
        let stream = TcpStream::connect(server.tcp()).unwrap();
        let mut peer = Peer { config: Arc::clone(config), stream, session, heard: Vec::new() };
        // It says something at once, as one of its own process would: all of them share one thread here, and the server throws
        // out those that are silent. If it is not connected yet, or no more, an event says so.
        let _ = peer.go_on();
        peer
    }

    /// Both of its requests are answered.
    fn is_in(&self) -> bool {
        self.heard.ends_with(b"{\"result\":\"pong\"}\n")
    }

    /// Reads and writes what there is. An error: the server has closed the connection.
    fn go_on(&mut self) -> io::Result<()> {
        let is_later = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected);
        loop {
            while self.session.wants_write() {
                match self.session.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if is_later(&error) => break,
                    Err(error) => return Err(error),
                }
            }
            match self.session.read_tls(&mut self.stream) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => _ = self.session.process_new_packets().map_err(io::Error::other)?,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            if let Err(error) = self.session.reader().read_to_end(&mut self.heard)
                && !is_later(&error)
            {
                return Err(error);
            }
        }
    }
}

/// What became of a storm.
#[derive(Debug, Default)]
struct Storm {
    taken: Duration,
    /// Connections that the server closed, and that were made again.
    lost: usize,
    resumed: usize,
}

/// All connect at once, and again when they are closed, until all are in.
fn storm(server: &Address, configs: &[Arc<ClientConfig>]) -> (Storm, Vec<Peer>) {
    let mut poll = Poll::new().unwrap();
    let watch = |poll: &Poll, peer: &mut Peer, index: usize| {
        let interests = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut peer.stream, Token(index), interests).unwrap();
    };
    let sessions: Vec<ClientConnection> = configs.iter().map(session).collect();
    let (begun, mut storm) = (Instant::now(), Storm::default());
    let clients = configs.iter().zip(sessions);
    let mut peers: Vec<Peer> = clients.map(|(config, session)| Peer::connect(config, session, server)).collect();
    peers.iter_mut().enumerate().for_each(|(index, peer)| watch(&poll, peer, index));
    let mut events = Events::with_capacity(1024);
    let mut left = peers.len();
    while left > 0 {
        assert!(begun.elapsed() < PATIENCE, "{left} of {} are not in: {storm:?}", peers.len());
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        for event in &events {
            let index = event.token().0;
            let peer = &mut peers[index];
            let was_in = peer.is_in();
            match peer.go_on() {
                Ok(()) if peer.is_in() && !was_in => {
                    storm.resumed += usize::from(peer.session.handshake_kind() == Some(HandshakeKind::Resumed));
                    left -= 1;
                }
                Ok(()) => {}
                Err(error) => {
                    assert!(!was_in, "whoever is in stays: {error}");
                    storm.lost += 1;
                    *peer = Peer::connect(&peer.config, session(&peer.config), server);
                    watch(&poll, &mut peers[index], index);
                }
            }
        }
    }
    storm.taken = begun.elapsed();
    (storm, peers)
}

/// Whether this process may have so many descriptors.
fn has_descriptors(count: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let is_enough = maximum.is_none_or(|maximum| maximum >= count);
    if !is_enough || setrlimit(Resource::Nofile, Rlimit { current: Some(maximum.unwrap_or(count)), maximum }).is_err() {
        skipped("too few descriptors");
        return false;
    }
    true
}

/// Locks and unlocks until it is told that it is over. Returns the 99th percentile of a pair.
fn work(plain: &Address, is_over: &AtomicBool) -> Duration {
    let mut worker = Client::connect(plain).unwrap();
    let reply = worker.ask(r#"{"command":"hello","user":"game","secret":"secret"}"#);
    assert_eq!(reply["user"], json!("game"), "{reply}");
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        worker.acquire("db");
        worker.release("db");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn thousands_that_come_again_at_once_all_get_in_and_hold_nobody_up() {
    if !has_descriptors(CLIENTS as u64 + 200) {
        return;
    }
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let users = directory.file("users.toml");
    let hex: String = digest(&SHA256, b"secret").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let table = format!("secret_sha256 = \"{hex}\"\nadmin = true\nconnections_max = {}", 2 * CLIENTS);
    fs::write(&users, format!("[users.game]\n{table}\n")).unwrap();

    let mut command = officer(&["run", "--listen", "tcp://127.0.0.1:0", "--listen", "tls://127.0.0.1:0"]);
    command.arg("--tls-cert").arg(&identity.cert).arg("--tls-key").arg(&identity.key).arg("--users").arg(&users);
    let mut server = Server::start(command.arg("--strangers-max").arg(STRANGERS_MAX.to_string()));
    let (plain, tls) = (server.address().clone(), server.next_address());

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.pem()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Half of them keep what they need to resume their sessions.
    let configs: Vec<Arc<ClientConfig>> = (0..CLIENTS)
        .map(|number| {
            let keeps = number % 2 == 0;
            let resumption = if keeps { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
            let mut config = config.clone();
            config.resumption = resumption;
            Arc::new(config)
        })
        .collect();

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = scope.spawn(|| work(&plain, &is_over));
        let (first, peers) = storm(&tls, &configs);
        drop(peers);
        let (again, peers) = storm(&tls, &configs);
        is_over.store(true, Ordering::Relaxed);
        let p99 = worker.join().unwrap();

        let mut ops = Client::connect(&plain).unwrap();
        ops.ask(r#"{"command":"hello","user":"game","secret":"secret"}"#);
        let stats = ops.ask(r#"{"command":"stats"}"#);
        let longest_turn = stats["value"]["longest_turn"].as_f64().unwrap();
        println!(
            "{CLIENTS} connect: {first:?}; and again: {again:?}; others p99 {p99:?}, longest turn {longest_turn} s"
        );
        // Who is thrown out and comes again may have no ticket left.
        let resumed =
            first.resumed == 0 && (CLIENTS / 2 - again.lost.min(CLIENTS / 2)..=CLIENTS / 2).contains(&again.resumed);
        assert!(resumed, "those that can resume their sessions do");
        // Far more than it takes: this machine may have other things to do.
        assert!(p99 < Duration::from_millis(500) && longest_turn < 0.5, "p99 {p99:?}, longest turn {longest_turn} s");
        assert!(first.lost + again.lost < CLIENTS, "{} and {} were thrown out", first.lost, again.lost);
        drop(peers);
    });
}
