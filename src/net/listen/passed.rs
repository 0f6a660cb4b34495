//! Sockets that a service manager made, and passed to this process.

use std::os::unix::net::SocketAddr;
use std::{env, process};

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use socket2::SockRef;

use super::{BindError, Kind, Listener, Scheme, TcpOptions, tcp};

/// More is a mistake. listenfd makes a list of as many as there are said to be, whatever that is.
const COUNT_MAX: usize = 64;

pub(super) fn take(options: &TcpOptions, must_be_named: bool) -> Result<Vec<Listener>, BindError> {
    let promised = promised().unwrap_or_default();
    if promised > COUNT_MAX {
        return Err(BindError::PassedTooMany { count: promised, max: COUNT_MAX });
    }
    // Before listenfd takes it out of the environment.
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .map(|index| {
            let name = names.next().unwrap_or_default();
            let scheme = scheme(name, must_be_named)?;
            match listener(&mut passed, index, options)? {
                Listener { kind: Kind::Unix { .. }, .. } if scheme.is_tls() => {
                    Err(BindError::PassedName { name: name.to_owned() })
                }
                listener => Ok(Listener { scheme, ..listener }),
            }
        })
        .collect()
}

/// What the name of a socket says about its use. Without users, any other name is plain: systemd gives a socket its unit's
/// name unless it is told one.
fn scheme(name: &str, must_be_named: bool) -> Result<Scheme, BindError> {
    match name {
        "plain" => Ok(Scheme::Plain),
        "tls" => Ok(Scheme::Tls),
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ if must_be_named => Err(BindError::PassedName { name: name.to_owned() }),
        _ => Ok(Scheme::Plain),
    }
}

fn listener(passed: &mut ListenFd, index: usize, options: &TcpOptions) -> Result<Listener, BindError> {
    // An error here means that it is of another kind.
    if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
        check(&SockRef::from(&listener))?;
        // The manager knows nothing of our options; accepted sockets inherit them.
        options.apply(&SockRef::from(&listener)).map_err(BindError::Passed)?;
        return tcp::listener(TcpListener::from_std(listener), options).map_err(BindError::Passed);
    }
    if let Ok(Some(listener)) = passed.take_unix_listener(index) {
        check(&SockRef::from(&listener))?;
        let address = shown(&listener.local_addr().map_err(BindError::Passed)?);
        let listener = UnixListener::from_std(listener);
        let kind = Kind::Unix { _file: None, address, listener, accepted: 0 };
        return Ok(Listener { scheme: Scheme::Plain, kind });
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
