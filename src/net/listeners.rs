//! All listeners: whose clients are accepted when, and what happens when there are no descriptors for them.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Interest, Registry, Token};
use rustix::io::Errno;

#[cfg(feature = "cli")]
use super::Listen;
use super::listen::{BindError, Listener, Place};
use super::silence::TcpSocket;
use super::socket::Socket;
use super::tls::{HandshakeBudget, TlsServer, TlsSocket};
use super::{Config, FIRST_LISTENER, TlsOptions};
use crate::engine::ConnectionKey;
use crate::server::Server;
use crate::time::Moment;

/// After descriptors ran out, accepting is tried again after this time, or when a connection ends.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// After a turn in which all clients of a listener failed, it is tried again after this time.
const FAILURES_RETRY: Duration = Duration::from_millis(50);

/// What handshakes may take of a turn. They are hundreds of times as dear as a lock.
const TURN_HANDSHAKES_MAX: Duration = Duration::from_millis(2);

/// What a server listens on; never empty.
#[derive(Debug)]
pub(super) struct Listeners {
    list: Vec<Queue>,
    /// Whose turn it is to be first, so that none has to do with what the others leave of the last descriptors.
    first: usize,
    shortage: Option<Shortage>,
    /// Some of them have clients that wait to be accepted. Looked at in every turn, so it is kept.
    has_pending: bool,
    /// None: no listener is for TLS.
    tls: Option<TlsServer>,
    handshakes: Arc<HandshakeBudget>,
}

#[derive(Debug)]
struct Queue {
    listener: Listener,
    /// More may be waiting. The poll announces only that some have come, once.
    is_pending: bool,
    /// All clients that a turn had time for failed, and no other was accepted since. It is tried again at this time.
    fails_until: Option<Moment>,
}

/// More are waiting, but there were no descriptors for them. It is tried again at this time, or with fewer connections than
/// this.
#[derive(Clone, Copy, Debug)]
struct Shortage {
    retry_at: Moment,
    connections: usize,
}

impl Listeners {
    /// Takes the sockets that a service manager has passed to this process, or binds the addresses.
    pub(super) fn bind(config: &Config) -> Result<Listeners, BindError> {
        let mut listeners = Listener::passed(&config.tcp, config.must_be_named())?;
        if listeners.is_empty() {
            for listen in &config.listen {
                let bound = Listener::bind(listen, &config.tcp)
                    .map_err(|error| error.or_twice(listen.scheme(), listeners.iter().map(Listener::place)))?;
                listeners.extend(bound);
            }
        }
        if listeners.is_empty() {
            return Err(BindError::NoListener);
        }
        let tls = config.tls.as_ref().map(TlsOptions::load).transpose().map_err(BindError::Tls)?;
        if tls.is_none() && listeners.iter().any(Listener::is_tls) {
            return Err(BindError::NoCertificate);
        }
        let list =
            listeners.into_iter().map(|listener| Queue { listener, is_pending: true, fails_until: None }).collect();
        let handshakes = Arc::new(HandshakeBudget::new(TURN_HANDSHAKES_MAX));
        Ok(Listeners { list, has_pending: true, first: 0, shortage: None, tls, handshakes })
    }

    /// Fails as [`Listeners::bind`] would, as [`Listener::check`] has it. Returns where it would listen.
    #[cfg(feature = "cli")]
    pub(super) fn check(config: &Config, old: Option<&[String]>) -> Result<Vec<Place>, BindError> {
        let mut places: Vec<Place> = Vec::new();
        for listen in &config.listen {
            for place in Listener::check(listen, &config.tcp, old)? {
                if let Some(other) = places.iter().find(|other| other.covers(&place)) {
                    return Err(BindError::Twice { place: place.to_string(), other: other.to_string() });
                }
                places.push(place);
            }
        }
        match &config.tls {
            Some(tls) => _ = tls.load().map_err(BindError::Tls)?,
            None if config.listen.iter().any(Listen::is_tls) => return Err(BindError::NoCertificate),
            None => {}
        }
        Ok(places)
    }

    /// Has the poll watch them.
    pub(super) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (index, queue) in self.list.iter_mut().enumerate() {
            registry.register(queue.listener.source(), Token(FIRST_LISTENER.0 - index), Interest::READABLE)?;
        }
        Ok(())
    }

    /// Where clients reach them.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.list.iter().map(|queue| queue.listener.place())
    }

    /// Whether a token of the poll is one of theirs.
    pub(super) fn has(&self, token: Token) -> bool {
        FIRST_LISTENER.0.checked_sub(token.0).is_some_and(|index| index < self.list.len())
    }

    /// The poll has announced clients at one of them.
    pub(super) fn announced(&mut self, token: Token) {
        self.list[FIRST_LISTENER.0 - token.0].is_pending = true;
        self.has_pending = true;
    }

    /// When to accept again. None: not before another event, or a turn that the server has work for anyway.
    #[inline]
    pub(super) fn due(&self, server: &Server<Socket>) -> Option<Moment> {
        if self.has_pending { self.pending_due(server) } else { None }
    }

    fn pending_due(&self, server: &Server<Socket>) -> Option<Moment> {
        match self.shortage {
            Some(shortage) if server.sockets() >= shortage.connections => return Some(shortage.retry_at),
            _ => {}
        }
        self.list.iter().filter(|queue| queue.is_pending).filter_map(|queue| queue.due(server)).min()
    }

    /// What encrypts connections from now on, if there are listeners for TLS. Those that there are stay as they are.
    pub(super) fn set_tls(&mut self, tls: TlsServer) {
        self.tls = Some(tls);
    }

    /// What encrypts connections.
    pub(super) fn tls(&self) -> Option<&TlsServer> {
        self.tls.as_ref()
    }

    /// A turn begins, and there is time for handshakes again.
    #[inline]
    pub(super) fn begin_turn(&self) {
        if self.tls.is_some() {
            self.handshakes.begin_turn();
        }
    }

    /// Accepts those that have come, up to `turn_max` at each listener: a flood at one does not keep out those of another.
    #[inline]
    pub(super) fn accept(&mut self, server: &mut Server<Socket>, registry: &Registry, turn_max: usize, now: Moment) {
        if self.has_pending {
            self.accept_pending(server, registry, turn_max, now);
        }
    }

    #[inline(never)]
    fn accept_pending(&mut self, server: &mut Server<Socket>, registry: &Registry, turn_max: usize, now: Moment) {
        if self.due(server).is_none_or(|due| due > now) {
            return;
        }
        let count = self.list.len();
        self.first = (self.first + 1) % count;
        for index in 0..count {
            let queue = &mut self.list[(self.first + index) % count];
            let encrypt = |socket| {
                let tls = self.tls.as_ref().expect("a listener for TLS has a certificate");
                tls.accept(socket, &self.handshakes)
            };
            if let Err(error) = queue.accept(server, registry, turn_max, encrypt, now) {
                if self.shortage.is_none() {
                    log::error!(
                        "cannot accept more connections: {error}; trying again when one ends and every {ACCEPT_RETRY:?}"
                    );
                }
                let (retry_at, connections) = (now.after(ACCEPT_RETRY.into()), server.sockets());
                self.shortage = Some(Shortage { retry_at, connections });
                return;
            }
        }
        self.has_pending = self.list.iter().any(|queue| queue.is_pending);
        // Until all are accepted a shortage goes on: one success does not make the next failure worth a line.
        if !self.has_pending {
            self.shortage = None;
        }
    }
}

impl Queue {
    /// Whether its clients begin with a handshake in a place of a stranger, and may as well wait for that here. Those of HTTP
    /// have places of their own.
    fn can_wait(&self) -> bool {
        self.listener.is_tls() && !self.listener.is_http()
    }

    /// When to accept its clients again, of which there are some. None: not before another event.
    fn due(&self, server: &Server<Socket>) -> Option<Moment> {
        let at = if self.can_wait() { server.welcomes_handshakes_at()? } else { Moment::START };
        Some(self.fails_until.map_or(at, |until| until.max(at)))
    }

    /// An error concerns all connections that are still to come, at whatever listener.
    fn accept(
        &mut self,
        server: &mut Server<Socket>,
        registry: &Registry,
        turn_max: usize,
        encrypt: impl Fn(TcpSocket) -> TlsSocket<TcpSocket>,
        now: Moment,
    ) -> io::Result<()> {
        let mut failed = 0;
        for _ in 0..if self.is_pending { turn_max } else { 0 } {
            if self.due(server).is_none_or(|at| at > now) {
                break;
            }
            match self.listener.accept() {
                Ok((socket, peer)) => {
                    self.fails_until = None;
                    let socket = match socket {
                        Socket::Tcp(socket) if self.listener.is_tls() => Socket::Tls(Box::new(encrypt(socket))),
                        socket => socket,
                    };
                    let key = match self.listener.is_http() {
                        true => server.accept_http(socket, peer, now),
                        false => server.accept(socket, peer, now),
                    };
                    if let Some(key) = key {
                        register(server, registry, key);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    (self.is_pending, self.fails_until) = (false, None);
                }
                Err(error) if is_shortage(&error) => return Err(error),
                // The peer was gone before it was accepted, its network or a firewall is in the way, or a signal came; the next
                // one may be there all the same. But an error without an end must not keep the processor busy.
                Err(error) => {
                    failed += 1;
                    if failed == turn_max {
                        self.rest(&error, now);
                    }
                }
            }
            if !self.is_pending {
                break;
            }
        }
        Ok(())
    }

    /// Lets its clients wait for a moment, because they fail.
    #[cold]
    fn rest(&mut self, error: &io::Error, now: Moment) {
        if self.fails_until.is_none() {
            let place = self.listener.place();
            log::warn!("cannot accept connections at {place}: {error}; trying again every {FAILURES_RETRY:?}");
        }
        self.fails_until = Some(now.after(FAILURES_RETRY.into()));
    }
}

fn register(server: &mut Server<Socket>, registry: &Registry, key: ConnectionKey) {
    let token = Token(usize::try_from(key.to_bits()).expect("64 bits, as the poll loop asserts"));
    let socket = server.socket_mut(key).expect("it was just accepted");
    // Both at once and for good: edges cost nothing while nothing changes, and changing interests costs a call.
    let interests = Interest::READABLE | Interest::WRITABLE;
    if let Err(error) = registry.register(socket.source(), token, interests) {
        server.fail(key, error);
    }
}

/// Whether an error of accept is about this process or its machine, so that the next connection would fail as well. All others
/// are taken for those of one connection: Linux passes on whatever has happened to it.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}
