//! The server under load.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Type};

use super::BenchError;
use crate::client::Address;
use crate::client::resolve::{self, resolve};
use crate::net::Socket;

/// How long one connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's address, looked up once.
#[derive(Debug)]
pub(super) struct Target {
    shown: String,
    place: Place,
    /// The local address of connections: an address of this machine has a limited number of ports.
    source: Option<Ipv4Addr>,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    pub(super) fn resolve(address: &Address) -> Result<Target, BenchError> {
        let shown = address.to_string();
        let place = match address {
            Address::Unix(path) => Place::Unix(path.clone()),
            Address::Tcp(host, port) => {
                // Like the server: IPv4 first.
                let addresses = resolve(host, *port, Instant::now() + CONNECT_TIMEOUT, resolve::system);
                let first = addresses.and_then(|addresses| {
                    let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                    addresses.into_iter().min_by_key(SocketAddr::is_ipv6).ok_or_else(none)
                });
                Place::Tcp(first.map_err(|error| BenchError::Connect { address: shown.clone(), error })?)
            }
        };
        Ok(Target { shown, place, source: None })
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

    /// The address as messages show it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes a connection, and waits until it is established.
    pub(super) fn connect(&self) -> Result<Socket, BenchError> {
        self.try_connect().map_err(|error| BenchError::Connect { address: self.shown.clone(), error })
    }

    fn try_connect(&self) -> io::Result<Socket> {
        match &self.place {
            Place::Tcp(address) => {
                let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
                if let Some(source) = self.source {
                    socket.bind(&SocketAddr::from((source, 0)).into())?;
                }
                socket.connect_timeout(&(*address).into(), CONNECT_TIMEOUT)?;
                let stream = TcpStream::from(socket);
                // Requests are written completely: Nagle's algorithm would only add the server's delayed
                // acknowledgement.
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Tcp(mio::net::TcpStream::from_std(stream).into()))
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
