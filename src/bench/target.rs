//! Where the load goes.

use std::io::{self, Write};
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
    /// Where connections come from: an address of this machine has only so many ports.
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
                // As the server does it: IPv4 first.
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

    /// For the process of this number. On the loopback network each has an address of its own to connect from, for from
    /// one address there are about 28,000 connections to one port.
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

    /// Makes a connection, and waits until it is there.
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
                // Requests are written whole: Nagle would only add the server's delayed acknowledgement.
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

    /// The port, for finding out whose it is, if it is one of this machine.
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

/// Writes all of it to a socket that may not take it at once.
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
