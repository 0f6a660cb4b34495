//! TCP: addresses of a host, and options that accepted connections inherit.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpListener;
use socket2::{Domain, SockRef, TcpKeepalive, Type};

#[cfg(feature = "cli")]
use super::place::{Place, covers};
use super::{BACKLOG, BindError, Inherited, Kind, Listener, Scheme};

/// How soon a TCP connection is found dead whose peer went without a word, so that what it holds becomes free.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// Silence before the system asks whether the peer is still there (a probe); whole seconds.
    pub keepalive_idle: Duration,
    /// Time between two probes; whole seconds.
    pub keepalive_interval: Duration,
    /// Probes without an answer after which the connection is dead.
    pub keepalive_probes: u32,
    /// How long data may stay unacknowledged, on systems that have such a limit (Linux, Android). While data is on its
    /// way no keep-alive is sent, so without it a peer that died just then is found after a quarter of an hour. None:
    /// as long as keep-alive takes. Zero leaves it to the system.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions {
            keepalive_idle: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(5),
            keepalive_probes: 3,
            user_timeout: None,
        }
    }
}

impl TcpOptions {
    /// How long keep-alive takes to find out that a peer is gone.
    pub fn keepalive_total(&self) -> Duration {
        self.keepalive_idle + self.keepalive_interval * self.keepalive_probes
    }

    /// The user timeout that a connection has, unless its output is blocked.
    pub(in crate::net) fn user_timeout_in_force(&self) -> Duration {
        self.user_timeout.unwrap_or_else(|| self.keepalive_total())
    }

    /// When a peer that says nothing and is sent nothing is found to be gone.
    ///
    /// On Linux the user timeout decides instead of the number of probes; it is looked at when a probe is due, from the
    /// second one on.
    pub fn silent_after(&self) -> Duration {
        let timeout = self.user_timeout_in_force();
        if timeout.is_zero() || !cfg!(any(target_os = "linux", target_os = "android")) {
            return self.keepalive_total();
        }
        let beyond_idle = timeout.saturating_sub(self.keepalive_idle).as_nanos();
        let intervals = beyond_idle.div_ceil(self.keepalive_interval.as_nanos().max(1)).max(1);
        self.keepalive_idle + self.keepalive_interval.saturating_mul(u32::try_from(intervals).unwrap_or(u32::MAX))
    }

    pub(super) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        // Replies are written once per turn, already gathered: Nagle would only add the peer's delayed acknowledgement.
        socket.set_tcp_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(self.keepalive_idle).with_interval(self.keepalive_interval);
        socket.set_tcp_keepalive(&keepalive.with_retries(self.keepalive_probes))?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            // The system takes milliseconds as an int and refuses what does not fit.
            let longest = Duration::from_millis(i32::MAX as u64);
            socket.set_tcp_user_timeout(Some(self.user_timeout_in_force().min(longest)))?;
        }
        Ok(())
    }
}

/// Listens on the first addresses of a host that this machine has, up to `count_max`; never on none.
pub(super) fn bind(host: &str, port: u16, count_max: usize, options: &TcpOptions) -> Result<Vec<Listener>, BindError> {
    on_host(host, port, count_max, |address| {
        let socket = bound(address, options)?;
        socket.listen(BACKLOG)?;
        listener(TcpListener::from_std(socket.into()), options)
    })
}

#[cfg(feature = "cli")]
pub(super) fn check(
    host: &str,
    port: u16,
    count_max: usize,
    options: &TcpOptions,
    old: Option<&[String]>,
) -> Result<Vec<Place>, BindError> {
    on_host(host, port, count_max, |address| {
        match bound(address, options) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && old.is_none_or(|old| is_taken_by(old, address)) => {}
            bound => _ = bound?,
        }
        Ok(Place::tcp(address))
    })
}

/// Whether what listens on these keeps others from an address.
#[cfg(feature = "cli")]
fn is_taken_by(listening: &[String], address: SocketAddr) -> bool {
    listening.iter().filter_map(|listening| listening.parse().ok()).any(|listening| covers(listening, address))
}

/// Tries the addresses of a host in turn.
fn on_host<T>(
    host: &str,
    port: u16,
    count_max: usize,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> Result<Vec<T>, BindError> {
    let (mut done, mut first_error) = (Vec::new(), None);
    for address in resolve(host, port)? {
        match attempt(address) {
            Ok(result) => done.push(result),
            // Only an address that this machine does not have is passed over. Were one that is in use passed over too,
            // a second server on `localhost` would take ::1, and each of the two would give away the same locks.
            Err(error) if is_elsewhere(&error) => _ = first_error.get_or_insert((address, error)),
            Err(error) => return Err(BindError::tcp(address, error)),
        }
        if done.len() == count_max {
            break;
        }
    }
    match first_error {
        Some((address, error)) if done.is_empty() => Err(BindError::tcp(address, error)),
        _ => Ok(done),
    }
}

/// IPv4 first, otherwise in the resolver's order; never empty.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, BindError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |error| BindError::HostUnknown { host: host.to_owned(), error };
    let mut addresses: Vec<SocketAddr> = (bare, port).to_socket_addrs().map_err(unknown)?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    // The hosts file may have one twice.
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    if addresses.is_empty() {
        return Err(unknown(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(addresses)
}

fn bound(address: SocketAddr, options: &TcpOptions) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // A restarted server must not wait until the connections of the one before it have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Linux and Android hand these down to every accepted socket, which saves six system calls per connection; elsewhere
    // they are set once more after each accept.
    options.apply(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// `options` are already those of the listener.
pub(super) fn listener(listener: TcpListener, options: &TcpOptions) -> io::Result<Listener> {
    let address = listener.local_addr()?;
    let own_ip = Some(address.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
    let inherited = Arc::new(Inherited { options: options.clone(), own_ip });
    Ok(Listener { scheme: Scheme::Plain, kind: Kind::Tcp { address, listener, inherited } })
}

/// The address is not of this machine, or of a family that its kernel does not have.
pub(super) fn is_elsewhere(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
        || error.raw_os_error() == Some(Errno::PROTONOSUPPORT.raw_os_error())
}
