//! A connected socket of either kind. UNIX sockets are there where the system has them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::options::Address;
use super::request::{Grace, Request};
use super::{connect, resolve};

/// How long the end of a session may take to be written.
const FAREWELL: Duration = Duration::from_millis(250);

/// A connected socket of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn connect(address: &Address, give_up: Instant) -> io::Result<Self> {
        match address {
            Address::Tcp(host, port) => connect::tcp(host, *port, give_up, resolve::system).map(Stream::Tcp),
            #[cfg(unix)]
            Address::Unix(path) => connect::unix(path, give_up).map(Stream::Unix),
            #[cfg(not(unix))]
            Address::Unix(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "UNIX sockets need a UNIX system; use TCP"))
            }
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
        }
    }

    pub(super) fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
        self.set_read_timeout(read)?;
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(write)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_write_timeout(Some(write)),
        }
    }

    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// Ends both directions, for all clones: whoever reads finds the end.
    pub(super) fn shut_down(&self) {
        self.end(Shutdown::Both);
    }

    /// Tells the server that the session ends with the connection. If that fails, the server keeps it for its grace.
    pub(super) fn end_session(&mut self) {
        let hello = Request { command: "hello", session: Some(Grace { grace: 0.0 }), ..Request::default() };
        if self.set_timeouts(FAREWELL, FAREWELL).and_then(|()| self.write_all(&hello.line())).is_ok() {
            // Without the other direction: a reset, because of something that was not read, could overtake the line.
            self.end(Shutdown::Write);
        } else {
            self.shut_down();
        }
    }

    fn end(&self, directions: Shutdown) {
        // A socket that is no longer connected counts as shut down.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(directions),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.shutdown(directions),
        };
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }
}
