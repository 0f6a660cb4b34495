//! A connected socket of any kind. UNIX sockets are there where the system has them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::{Address, Options};
use super::request::{Grace, Request};
use super::{connect, resolve};
#[cfg(feature = "tls")]
use super::{options::bare_host, tls::TlsStream};

/// How long the end of a session may take to be written.
const FAREWELL: Duration = Duration::from_millis(250);

/// A connected socket of any kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Shared by its clones.
    #[cfg(feature = "tls")]
    Tls(Arc<TlsStream>),
}

impl Stream {
    pub(super) fn connect(options: &Options, give_up: Instant) -> io::Result<Self> {
        match &options.address {
            Address::Tcp(host, port) => {
                let stream = connect::tcp(host, *port, give_up, resolve::system)?;
                #[cfg(feature = "tls")]
                if let Some(tls) = &options.tls {
                    return Ok(Stream::Tls(Arc::new(tls.connect(stream, bare_host(host), give_up)?)));
                }
                options.check_secret_over(&stream)?;
                Ok(Stream::Tcp(stream))
            }
            #[cfg(feature = "tls")]
            Address::Unix(_) if options.tls.is_some() => Err(tls_over_unix()),
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
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => Ok(Stream::Tls(Arc::clone(stream))),
        }
    }

    pub(super) fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
        self.set_read_timeout(read)?;
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(write)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_write_timeout(Some(write)),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.tcp().set_write_timeout(Some(write)),
        }
    }

    pub(super) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_read_timeout(Some(timeout)),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.tcp().set_read_timeout(Some(timeout)),
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
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.end(directions),
        };
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.write_all(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write_all(bytes),
        }
    }
}

impl Options {
    /// Refuses to send the user's secret over a connection in clear, unless it stays on this machine or that is allowed.
    pub(crate) fn check_secret_over(&self, stream: &TcpStream) -> io::Result<()> {
        if self.user.is_some() && !self.has_plain_secrets && is_elsewhere(stream)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the secret would be sent to another machine in clear; use TLS, or allow plain secrets",
            ));
        }
        Ok(())
    }
}

#[cfg(feature = "tls")]
pub(super) fn tls_over_unix() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "TLS is for TCP, not for UNIX sockets; leave one of them out")
}

/// Whether a connection leads to another machine.
fn is_elsewhere(stream: &TcpStream) -> io::Result<bool> {
    let (peer, own) = (stream.peer_addr()?.ip().to_canonical(), stream.local_addr()?.ip().to_canonical());
    Ok(!peer.is_loopback() && peer != own)
}
