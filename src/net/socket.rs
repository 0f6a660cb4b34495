//! An accepted connection, of any kind.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};

use mio::event::Source;
use mio::net::UnixStream;
#[cfg(feature = "cli")]
use rustls::ClientConnection;

use super::silence::TcpSocket;
use super::tls::TlsSocket;
use crate::server::{Credentials, Handshake};

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over TCP.
    Tcp(TcpSocket),
    /// Over a UNIX socket.
    Unix(UnixStream),
    /// Over TLS. Out of line, so that the others are small.
    Tls(Box<TlsSocket<TcpSocket>>),
}

#[cfg(feature = "cli")]
impl Socket {
    /// A connection to a server that is to be encrypted. What comes first is its [handshake](crate::server::Socket::handshake).
    pub(crate) fn client(stream: mio::net::TcpStream, session: ClientConnection) -> Self {
        Socket::Tls(Box::new(TlsSocket::client(stream.into(), session)))
    }

    /// Whether TLS has resumed the session of an earlier connection.
    pub(crate) fn is_resumed(&self) -> bool {
        matches!(self, Socket::Tls(socket) if socket.is_resumed())
    }
}

impl Socket {
    /// What a poll watches.
    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(socket) => socket.source(),
            Socket::Unix(stream) => stream,
            Socket::Tls(socket) => socket.raw_mut().source(),
        }
    }
}

impl crate::server::Socket for TcpSocket {
    fn close_write(&mut self) -> io::Result<()> {
        self.stream().shutdown(Shutdown::Write)
    }

    fn own_ip(&self) -> Option<IpAddr> {
        self.inherited_ip()
    }
}

impl crate::server::Socket for Socket {
    fn close_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.close_write(),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Tls(socket) => socket.close_write(),
        }
    }

    fn has_handshake(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    fn handshake(&mut self) -> io::Result<Handshake> {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => Ok(Handshake::Done),
            Socket::Tls(socket) => socket.handshake(),
        }
    }

    fn credentials(&self) -> Credentials {
        match self {
            Socket::Tcp(_) => Credentials::default(),
            Socket::Unix(stream) => peer_of(stream),
            Socket::Tls(socket) => socket.credentials(),
        }
    }

    fn is_drained_by_short_read(&self) -> bool {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => true,
            Socket::Tls(socket) => socket.is_drained_by_short_read(),
        }
    }

    fn unsent(&self) -> usize {
        match self {
            Socket::Tcp(_) | Socket::Unix(_) => 0,
            Socket::Tls(socket) => socket.unsent(),
        }
    }

    fn own_ip(&self) -> Option<IpAddr> {
        match self {
            Socket::Tcp(socket) => socket.own_ip(),
            Socket::Unix(_) => None,
            Socket::Tls(socket) => socket.own_ip(),
        }
    }
}

/// Whose process has connected, as the system says. Nobody's, where it can't tell.
fn peer_of(stream: &UnixStream) -> Credentials {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) {
        let (uid, gid) = (Some(peer.uid.as_raw()), Some(peer.gid.as_raw()));
        return Credentials { uid, gid, ..Credentials::default() };
    }
    let _ = stream;
    Credentials::default()
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
            Socket::Tls(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Tls(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is buffered on this side.
        Ok(())
    }
}
