//! Where clients come in: TCP and UNIX sockets, made so that each accepted connection is ready for use.

mod error;
mod passed;
mod tcp;
#[cfg(test)]
mod tests;
mod unix;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};

pub use self::error::BindError;
pub use self::tcp::TcpOptions;

use self::unix::SocketFile;
use super::silence::TcpSocket;
use super::socket::Socket;
use crate::wire::peer::Peer;

/// Clients that the system keeps for us between two turns; after a restart of the network they all come at once. The
/// system lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// What to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listen {
    /// TCP, on the first address of the host that this machine has.
    Tcp {
        /// A name or an address; an IPv6 address may stand in brackets.
        host: String,
        /// The port; 0 takes a free one.
        port: u16,
    },
    /// A UNIX socket.
    Unix {
        /// The socket file.
        path: PathBuf,
        /// Its permissions, such as `0o600`. Who may write to the file may connect.
        mode: u32,
    },
}

/// Bound, listening and nonblocking. A socket file goes when the listener does, unless it is somebody else's.
#[derive(Debug)]
pub(crate) struct Listener {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp {
        listener: TcpListener,
        address: SocketAddr,
        options: Arc<TcpOptions>,
    },
    Unix {
        // In front of the listener, so that it is dropped first: while the listener lives, no successor takes the file
        // for a stale one and the file's inode number is given to no other.
        // None: the socket was passed to us, and its file is that of whoever made it.
        _file: Option<SocketFile>,
        address: String,
        listener: UnixListener,
        accepted: u64,
    },
}

impl Listener {
    /// Binds and listens. Blocks while a name is resolved, and for a few seconds if another server is about to use the
    /// same directory for its socket file.
    ///
    /// # Errors
    /// [`BindError`] says what is in the way, and what to do about it.
    pub(crate) fn bind(listen: &Listen, options: &TcpOptions) -> Result<Listener, BindError> {
        match listen {
            Listen::Tcp { host, port } => tcp::bind(host, *port, options),
            Listen::Unix { path, mode } => unix::bind(path, *mode),
        }
    }

    /// Fails as [`Listener::bind`] would, as far as that can be told without listening and while a server that is to make way
    /// still listens. That one listens on `old`, as its [`Listener::address`] has it; if that is not known, whoever
    /// listens is taken for it.
    ///
    /// # Errors
    /// [`BindError`], as for `bind`.
    #[cfg(feature = "cli")]
    pub(crate) fn check(listen: &Listen, options: &TcpOptions, old: Option<&str>) -> Result<(), BindError> {
        match listen {
            Listen::Tcp { host, port } => tcp::check(host, *port, options, old),
            Listen::Unix { path, .. } => unix::check(path, old),
        }
    }

    /// The socket that a service manager has passed to this process (`LISTEN_FDS` and `LISTEN_PID` in the environment, as
    /// `sd_listen_fds(3)` has it), if there is one. It can be taken once. Its file, if it has one, stays at the end.
    ///
    /// # Errors
    /// [`BindError`] says why what was passed can't be used.
    pub(crate) fn passed(options: &TcpOptions) -> Result<Option<Listener>, BindError> {
        passed::take(options)
    }

    /// Accepts a connection, nonblocking as well.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; otherwise what the system says, which may concern only this one connection.
    pub(crate) fn accept(&mut self) -> io::Result<(Socket, Peer)> {
        match &mut self.kind {
            Kind::Tcp { listener, options, .. } => {
                let (stream, address) = listener.accept()?;
                // Some systems refuse options on a connection that the peer has reset. Its first read will say so.
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                if let Err(error) = options.apply(&socket2::SockRef::from(&stream)) {
                    log::debug!("{address}: socket options: {error}");
                }
                Ok((Socket::Tcp(TcpSocket::accepted(stream, Arc::clone(options))), Peer::from(address)))
            }
            Kind::Unix { listener, accepted, .. } => {
                let (stream, _) = listener.accept()?;
                *accepted += 1;
                Ok((Socket::Unix(stream), Peer::Unix(*accepted)))
            }
        }
    }

    /// Where clients reach it: `127.0.0.1:11500`, `[::1]:11500` or the socket's path.
    pub(crate) fn address(&self) -> String {
        match &self.kind {
            Kind::Tcp { address, .. } => address.to_string(),
            Kind::Unix { address, .. } => address.clone(),
        }
    }

    /// The one address that it listens on. None: all of them, or a socket file.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match &self.kind {
            Kind::Tcp { address, .. } => Some(address.ip().to_canonical()).filter(|ip| !ip.is_unspecified()),
            Kind::Unix { .. } => None,
        }
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.kind {
            Kind::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Kind::Unix { .. } => true,
        }
    }

    /// What a poll watches.
    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp { listener, .. } => listener,
            Kind::Unix { listener, .. } => listener,
        }
    }
}
