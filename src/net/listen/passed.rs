//! A socket that a service manager made, and passed to this process.

use std::os::unix::net::SocketAddr;
use std::{env, process};

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use socket2::SockRef;

use super::{BindError, Kind, Listener, TcpOptions, tcp};

pub(super) fn take(options: &TcpOptions) -> Result<Option<Listener>, BindError> {
    // First: listenfd makes a list of as many as there are said to be, whatever that is.
    if let Some(count @ 2..) = promised() {
        return Err(BindError::PassedTooMany { count });
    }
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Ok(None);
    }
    // An error here means that it is of another kind.
    if let Ok(Some(listener)) = passed.take_tcp_listener(0) {
        check(&SockRef::from(&listener))?;
        // The manager knows nothing of our options; accepted sockets inherit them.
        options.apply(&SockRef::from(&listener)).map_err(BindError::Passed)?;
        return tcp::listener(TcpListener::from_std(listener), options).map(Some).map_err(BindError::Passed);
    }
    if let Ok(Some(listener)) = passed.take_unix_listener(0) {
        check(&SockRef::from(&listener))?;
        let address = shown(&listener.local_addr().map_err(BindError::Passed)?);
        let listener = UnixListener::from_std(listener);
        return Ok(Some(Listener { kind: Kind::Unix { _file: None, address, listener, accepted: 0 } }));
    }
    Err(BindError::PassedUnusable)
}

/// How many sockets the environment promises to this process; LISTEN_PID may be left out, as in listenfd.
fn promised() -> Option<usize> {
    let is_for_us = match env::var("LISTEN_PID") {
        Ok(pid) => pid.is_empty() || pid.parse() == Ok(process::id()),
        Err(error) => error == env::VarError::NotPresent,
    };
    env::var("LISTEN_FDS").ok().filter(|_| is_for_us)?.parse().ok()
}

/// That it listens, and is set up as we need it.
fn check(socket: &SockRef<'_>) -> Result<(), BindError> {
    // A manager can be told to accept connections itself and to pass each to a process of its own.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if !socket.is_listener().map_err(BindError::Passed)? {
        return Err(BindError::PassedUnusable);
    }
    socket.set_nonblocking(true).map_err(BindError::Passed)
}

/// The path, or the name of an abstract socket after `@`.
fn shown(address: &SocketAddr) -> String {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return format!("@{}", name.escape_ascii());
    }
    address.as_pathname().map_or_else(|| "a socket without a name".to_owned(), |path| path.display().to_string())
}
