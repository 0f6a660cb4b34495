//! Where clients come in: TCP and UNIX sockets, made so that each accepted connection is ready for use.

mod error;
mod passed;
mod place;
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

pub(crate) use self::place::Place;

use self::place::At;
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
    /// TCP, on all addresses of the host that this machine has.
    TcpAll {
        /// As above.
        host: String,
        /// The port; 0 takes a free one for each address.
        port: u16,
    },
    /// TLS over TCP, on all addresses of the host that this machine has.
    Tls {
        /// As above.
        host: String,
        /// The port; 0 takes a free one for each address.
        port: u16,
    },
    /// HTTP over TCP, on all addresses of the host that this machine has.
    Http {
        /// As above.
        host: String,
        /// The port; 0 takes a free one for each address.
        port: u16,
    },
    /// HTTP within TLS, on all addresses of the host that this machine has.
    Https {
        /// As above.
        host: String,
        /// The port; 0 takes a free one for each address.
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

impl Listen {
    /// What clients speak there.
    pub(in crate::net) fn scheme(&self) -> Scheme {
        match self {
            Listen::Tcp { .. } | Listen::TcpAll { .. } | Listen::Unix { .. } => Scheme::Plain,
            Listen::Tls { .. } => Scheme::Tls,
            Listen::Http { .. } => Scheme::Http,
            Listen::Https { .. } => Scheme::Https,
        }
    }

    /// Whether it needs a certificate.
    #[cfg(feature = "cli")]
    pub(in crate::net) fn is_tls(&self) -> bool {
        self.scheme().is_tls()
    }

    /// Whether clients speak HTTP there.
    #[cfg(feature = "cli")]
    pub(crate) fn is_http(&self) -> bool {
        self.scheme().is_http()
    }
}

/// What clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The protocol as it is.
    Plain,
    /// The protocol within TLS.
    Tls,
    /// HTTP.
    Http,
    /// HTTP within TLS.
    Https,
}

impl Scheme {
    fn is_tls(self) -> bool {
        matches!(self, Scheme::Tls | Scheme::Https)
    }

    fn is_http(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Https)
    }
}

/// Bound, listening and nonblocking. A socket file goes when the listener does, unless it is somebody else's.
#[derive(Debug)]
pub(crate) struct Listener {
    scheme: Scheme,
    kind: Kind,
}

/// What accepted connections have of their listener.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// How their sockets are set up.
    pub(crate) options: TcpOptions,
    /// The one address that it listens on. None: all of them.
    pub(crate) own_ip: Option<IpAddr>,
}

#[derive(Debug)]
enum Kind {
    Tcp {
        listener: TcpListener,
        address: SocketAddr,
        inherited: Arc<Inherited>,
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
    /// Binds and listens: on one address, or on several if the host has several and all of them are meant. Blocks while a
    /// name is resolved, and for a few seconds if another server is about to use the same directory for its socket file.
    ///
    /// # Errors
    /// [`BindError`] says what is in the way, and what to do about it.
    pub(crate) fn bind(listen: &Listen, options: &TcpOptions) -> Result<Vec<Listener>, BindError> {
        match listen {
            Listen::Tcp { host, port } => tcp::bind(host, *port, 1, options),
            Listen::TcpAll { host, port }
            | Listen::Tls { host, port }
            | Listen::Http { host, port }
            | Listen::Https { host, port } => {
                let (listeners, scheme) = (tcp::bind(host, *port, usize::MAX, options)?, listen.scheme());
                Ok(listeners.into_iter().map(|listener| Listener { scheme, ..listener }).collect())
            }
            Listen::Unix { path, mode } => Ok(vec![unix::bind(path, *mode)?]),
        }
    }

    /// Fails as [`Listener::bind`] would, as far as that can be told without listening and while a server that is to make way
    /// still listens. That one listens on `old`, as its [`Listener::address`]es have it; if they are not known, whoever
    /// listens is taken for it. Returns what it would listen on.
    ///
    /// # Errors
    /// [`BindError`], as for `bind`.
    #[cfg(feature = "cli")]
    pub(crate) fn check(
        listen: &Listen,
        options: &TcpOptions,
        old: Option<&[String]>,
    ) -> Result<Vec<Place>, BindError> {
        match listen {
            Listen::Tcp { host, port } => tcp::check(host, *port, 1, options, old),
            Listen::TcpAll { host, port }
            | Listen::Tls { host, port }
            | Listen::Http { host, port }
            | Listen::Https { host, port } => {
                let (places, scheme) = (tcp::check(host, *port, usize::MAX, options, old)?, listen.scheme());
                Ok(places.into_iter().map(|place| Place { scheme, ..place }).collect())
            }
            Listen::Unix { path, .. } => unix::check(path, old).map(|()| vec![Place::unix(path)]),
        }
    }

    /// The sockets that a service manager has passed to this process (`LISTEN_FDS` and `LISTEN_PID` in the environment, as
    /// `sd_listen_fds(3)` has it). They can be taken once. Their files, if they have some, stay at the end. `must_be_named`:
    /// a socket whose name says nothing about its use is refused.
    ///
    /// # Errors
    /// [`BindError`] says why what was passed can't be used.
    pub(crate) fn passed(options: &TcpOptions, must_be_named: bool) -> Result<Vec<Listener>, BindError> {
        passed::take(options, must_be_named)
    }

    /// Whether its clients speak TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.scheme.is_tls()
    }

    /// Whether its clients speak HTTP.
    pub(crate) fn is_http(&self) -> bool {
        self.scheme.is_http()
    }

    /// Accepts a connection, nonblocking as well, and not encrypted yet.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; otherwise what the system says, which may concern only this one connection.
    pub(crate) fn accept(&mut self) -> io::Result<(Socket, Peer)> {
        match &mut self.kind {
            Kind::Tcp { listener, inherited, .. } => {
                let (stream, address) = listener.accept()?;
                // Some systems refuse options on a connection that the peer has reset. Its first read will say so.
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                if let Err(error) = inherited.options.apply(&socket2::SockRef::from(&stream)) {
                    log::debug!("{address}: socket options: {error}");
                }
                Ok((Socket::Tcp(TcpSocket::accepted(stream, Arc::clone(inherited))), Peer::from(address)))
            }
            Kind::Unix { listener, accepted, .. } => {
                let (stream, _) = listener.accept()?;
                *accepted += 1;
                Ok((Socket::Unix(stream), Peer::Unix(*accepted)))
            }
        }
    }

    /// Where clients reach it, and how.
    pub(crate) fn place(&self) -> Place {
        let at = match &self.kind {
            Kind::Tcp { address, .. } => At::Tcp(*address),
            Kind::Unix { address, .. } => At::Unix(address.clone()),
        };
        Place { scheme: self.scheme, at }
    }

    /// What a poll watches.
    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match &mut self.kind {
            Kind::Tcp { listener, .. } => listener,
            Kind::Unix { listener, .. } => listener,
        }
    }
}
