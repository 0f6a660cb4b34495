//! A TCP connection whose peer no longer answers: the limit that ends it, and what the log says about that.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;

use super::listen::{Inherited, TcpOptions};

/// A TCP connection that knows its limits on silence.
///
/// On Linux the user timeout replaces the number of keep-alive probes, and also ends a connection whose peer answers but
/// does not read. A peer that does not read has a limit of its own, the server's limit on stalled output. So unless the
/// user timeout was set on purpose, it is off while the system takes no more output.
#[derive(Debug)]
pub(crate) struct TcpSocket {
    stream: TcpStream,
    /// None: a connection that was not accepted by a listener.
    inherited: Option<Arc<Inherited>>,
    /// The last write found no room, and no write since has been taken whole.
    is_blocked: bool,
}

impl TcpSocket {
    /// An accepted connection. The options are already set on it.
    pub(super) fn accepted(stream: TcpStream, inherited: Arc<Inherited>) -> Self {
        TcpSocket { stream, inherited: Some(inherited), is_blocked: false }
    }

    /// The address of this machine that its listener listens on, if that is one.
    pub(super) fn inherited_ip(&self) -> Option<IpAddr> {
        self.inherited.as_ref()?.own_ip
    }

    /// The connection itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What a poll watches.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.stream
    }

    fn set_blocked(&mut self, is_blocked: bool) {
        if self.is_blocked == is_blocked {
            return;
        }
        self.is_blocked = is_blocked;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(Inherited { options, .. }) = self.inherited.as_deref()
            && options.user_timeout.is_none()
        {
            let timeout = (!is_blocked).then(|| options.user_timeout_in_force());
            // A failure leaves the limit as it was; the next read or write reports what is wrong with the socket.
            let _ = socket2::SockRef::from(&self.stream).set_tcp_user_timeout(timeout);
        }
    }

    /// Names the limit that was met, if the error says that the system gave the peer up.
    fn explain(&self, error: io::Error) -> io::Error {
        let is_silence =
            matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable);
        match &self.inherited {
            Some(inherited) if is_silence => {
                io::Error::new(error.kind(), Silence { inherited: Arc::clone(inherited), error })
            }
            _ => error,
        }
    }
}

impl From<TcpStream> for TcpSocket {
    fn from(stream: TcpStream) -> Self {
        TcpSocket { stream, inherited: None, is_blocked: false }
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for TcpSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).map_err(|error| self.explain(error))
    }
}

impl Write for TcpSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes);
        match &written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.set_blocked(true),
            Ok(count) if *count == bytes.len() => self.set_blocked(false),
            _ => {}
        }
        written.map_err(|error| self.explain(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is buffered on this side.
        Ok(())
    }
}

/// The system gave the peer up.
#[derive(Debug)]
struct Silence {
    inherited: Arc<Inherited>,
    error: io::Error,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TcpOptions { keepalive_idle: idle, keepalive_interval: interval, keepalive_probes: probes, .. } =
            &self.inherited.options;
        match self.inherited.options.user_timeout {
            Some(timeout) if !timeout.is_zero() => {
                write!(f, "the peer acknowledged nothing within {timeout:?} (--user-timeout-seconds)")?;
            }
            _ => write!(
                f,
                "the peer did not answer within {:?} (--keepalive-*: {idle:?} of silence, then {probes} probes, \
                 {interval:?} apart)",
                self.inherited.options.silent_after(),
            )?,
        }
        write!(f, ": {}", self.error)
    }
}

impl std::error::Error for Silence {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
