//! An accepted connection, of either kind.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};

use mio::event::Source;
use mio::net::UnixStream;

use super::silence::TcpSocket;

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

    fn own_ip(&self) -> Option<IpAddr> {
        match self {
            Socket::Tcp(socket) => socket.own_ip(),
            Socket::Unix(_) => None,
        }
    }
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
