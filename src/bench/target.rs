//! The server under load.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Type};

use super::BenchError;
use super::opening::Opening;
use crate::client::resolve::{self, resolve};
use crate::client::{Address, Error, Options, check_hello};
use crate::console::Failure;
use crate::net::Socket;

/// How long one connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's address, looked up once, and how a client begins there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    options: Options,
    place: Place,
    encryption: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// What a connection has to say first.
    hello: Option<Arc<[u8]>>,
    /// The local address of connections: an address of this machine has a limited number of ports.
    source: Option<Ipv4Addr>,
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    pub(super) fn resolve(options: Options) -> Result<Target, Failure> {
        let failed = |error| failure(&options, options.connect_error(error));
        let place = match options.address() {
            Address::Unix(path) => Place::Unix(path.clone()),
            Address::Tcp(host, port) => {
                // Like the server: IPv4 first.
                let addresses = resolve(host, *port, Instant::now() + CONNECT_TIMEOUT, resolve::system);
                let first = addresses.and_then(|addresses| {
                    let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                    addresses.into_iter().min_by_key(SocketAddr::is_ipv6).ok_or_else(none)
                });
                Place::Tcp(first.map_err(failed)?)
            }
        };
        let encryption = options.encryption().map_err(failed)?;
        let hello = options.hello().map(Arc::from);
        Ok(Target { options, place, encryption, hello, source: None })
    }

    /// For the process with this number. On the loopback network each process connects from its own address, because
    /// there can be only about 28,000 connections from one address to one port.
    pub(super) fn from(mut self, process: usize) -> Self {
        let is_loopback = matches!(&self.place, Place::Tcp(SocketAddr::V4(address)) if address.ip().is_loopback());
        if let (true, Ok(process @ 1..)) = (is_loopback, u8::try_from(process)) {
            self.source = Some(Ipv4Addr::new(127, 0, 1, process));
        }
        self
    }

    /// For connections that come and go: the system uses ports again that it chooses with the connection, but for a minute none
    /// that was bound before.
    pub(super) fn with_any_port(mut self) -> Self {
        self.source = None;
        self
    }

    /// Each connection makes a full TLS handshake.
    pub(super) fn without_resumption(mut self) -> Self {
        if let Some((config, _)) = &mut self.encryption {
            Arc::make_mut(config).resumption = Resumption::disabled();
        }
        self
    }

    /// The address as messages show it.
    pub(super) fn shown(&self) -> String {
        self.options.address().to_string()
    }

    /// Whether connections are encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// Makes a connection, and waits until it is ready for requests.
    pub(super) fn connect(&self) -> Result<Socket, Failure> {
        let mut opening = self.open()?;
        if !self.advance(&mut opening)? {
            self.wait_for(&mut opening)?;
        }
        Ok(opening.into_socket())
    }

    fn wait_for(&self, opening: &mut Opening) -> Result<(), Failure> {
        let give_up = Instant::now() + CONNECT_TIMEOUT;
        let mut poll = Poll::new().map_err(Failure::System)?;
        let interests = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(opening.socket().source(), Token(0), interests).map_err(Failure::System)?;
        let mut events = Events::with_capacity(1);
        while !self.advance(opening)? {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.failure(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer")));
            }
            match poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(Failure::System(error)),
                _ => {}
            }
        }
        poll.registry().deregister(opening.socket().source()).map_err(Failure::System)
    }

    /// Makes a connection that still has to be [opened](Target::advance).
    pub(super) fn open(&self) -> Result<Opening, Failure> {
        let socket = self.try_open().map_err(|error| self.failure(error))?;
        Ok(Opening::new(socket, self.hello.clone()))
    }

    /// Goes on with a connection until there is something to wait for. Returns whether it is ready for requests.
    pub(super) fn advance(&self, opening: &mut Opening) -> Result<bool, Failure> {
        let is_done = opening.advance().map_err(|error| self.failure(error))?;
        if is_done && self.hello.is_some() {
            check_hello(opening.answer()).map_err(|error| failure(&self.options, error))?;
        }
        Ok(is_done)
    }

    fn failure(&self, error: io::Error) -> Failure {
        failure(&self.options, self.options.connect_error(error))
    }

    fn try_open(&self) -> io::Result<Socket> {
        match &self.place {
            Place::Tcp(address) => {
                let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
                if let Some(source) = self.source {
                    socket.bind(&SocketAddr::from((source, 0)).into())?;
                }
                socket.connect_timeout(&(*address).into(), CONNECT_TIMEOUT)?;
                let stream = TcpStream::from(socket);
                if self.encryption.is_none() {
                    self.options.check_secret_over(&stream)?;
                }
                // Requests are written completely: Nagle's algorithm would only add the server's delayed
                // acknowledgement.
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let stream = mio::net::TcpStream::from_std(stream);
                let Some((config, name)) = &self.encryption else { return Ok(Socket::Tcp(stream.into())) };
                let session = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                Ok(Socket::client(stream, session))
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Unix(mio::net::UnixStream::from_std(stream)))
            }
        }
    }

    /// The port or file, to find the process that owns it, if it is on this machine.
    pub(super) fn local(&self) -> Option<Local<'_>> {
        match &self.place {
            Place::Tcp(address) if address.ip().is_loopback() => Some(Local::Port(address.port())),
            Place::Tcp(_) => None,
            Place::Unix(path) => Some(Local::File(path)),
        }
    }
}

fn failure(options: &Options, error: Error) -> Failure {
    Failure::Server { address: options.address().to_string(), error }
}

/// What a process of this machine listens on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Local<'a> {
    /// A TCP port.
    Port(u16),
    /// A socket file.
    File(&'a std::path::Path),
}

/// Writes everything to a socket that may not take it at once.
pub(super) fn write_all(socket: &mut Socket, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let give_up = Instant::now() + patience;
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes a request so small that a server that reads takes it at once.
pub(super) fn send(socket: &mut Socket, request: &[u8]) -> Result<(), BenchError> {
    match socket.write(request) {
        Ok(count) if count == request.len() => Ok(()),
        Ok(_) => Err(BenchError::lost("the server does not read")),
        Err(error) => Err(BenchError::lost(error)),
    }
}

/// Reads what has arrived. None: nothing. The end of the connection is an error, described by `closed`.
pub(super) fn receive(socket: &mut Socket, buffer: &mut [u8], closed: &str) -> Result<Option<usize>, BenchError> {
    loop {
        match socket.read(buffer) {
            Ok(0) => return Err(BenchError::lost(closed)),
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BenchError::lost(error)),
        }
    }
}
