//! Where the load goes.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::BenchError;
use crate::client::Address;
use crate::net::Socket;

/// How long one connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's address, looked up once.
#[derive(Debug)]
pub(super) struct Target {
    shown: String,
    place: Place,
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
                let addresses = (host.as_str(), *port).to_socket_addrs();
                let first = addresses.and_then(|addresses| {
                    let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                    addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(none)
                });
                Place::Tcp(first.map_err(|error| BenchError::Connect { address: shown.clone(), error })?)
            }
        };
        Ok(Target { shown, place })
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
                let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
                // Requests are written whole: Nagle would only add the server's delayed acknowledgement.
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Socket::Tcp(mio::net::TcpStream::from_std(stream)))
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
