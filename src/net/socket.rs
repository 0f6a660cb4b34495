//! An accepted connection, of either kind.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};

use mio::event::Source;
use mio::net::UnixStream;

use super::silence::TcpSocket;
use crate::server::Credentials;

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over TCP.
    Tcp(TcpSocket),
    /// Over a UNIX socket.
    Unix(UnixStream),
}

impl Socket {
    /// What a poll watches.
    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(socket) => socket.source(),
            Socket::Unix(stream) => stream,
        }
    }
}

impl crate::server::Socket for Socket {
    fn close_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.stream().shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    fn credentials(&self) -> Credentials {
        match self {
            Socket::Tcp(_) => Credentials::default(),
            Socket::Unix(stream) => of_peer(stream),
        }
    }

    fn own_ip(&self) -> Option<IpAddr> {
        match self {
            Socket::Tcp(socket) => socket.own_ip(),
            Socket::Unix(_) => None,
        }
    }
}

/// The user and the group of the process at the other end when it connected. A peer that the system says nothing about is
/// nobody.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn of_peer(stream: &UnixStream) -> Credentials {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.map_or_else(
        |_| Credentials::default(),
        |peer| Credentials { uid: Some(peer.uid.as_raw()), gid: Some(peer.gid.as_raw()), names: Vec::new() },
    )
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn of_peer(_: &UnixStream) -> Credentials {
    Credentials::default()
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is buffered on this side.
        Ok(())
    }
}
