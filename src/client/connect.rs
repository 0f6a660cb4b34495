//! A socket that is connected to the server, within a time limit.
//!
//! A host may have several addresses, some of which are dead. They are tried as RFC 8305 ("Happy Eyeballs") says: one
//! after the other, the next as soon as the one before has failed or a quarter of a second has passed; whichever connects
//! first is taken.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::{fd::OwnedFd, unix::net::UnixStream};
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use socket2::SockAddr;
use socket2::{Domain, Socket, Type};

use super::resolve::resolve;

/// How long an attempt may be pending before the next address is tried as well.
const STAGGER: Duration = Duration::from_millis(250);

/// The time left. Sockets take no 0.
pub(super) fn until(give_up: Instant) -> Duration {
    give_up.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Connects to a UNIX socket.
#[cfg(unix)]
pub(super) fn unix(path: &Path, give_up: Instant) -> io::Result<UnixStream> {
    let address = SockAddr::unix(path)?;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Limits connecting, too: a server that accepts nobody has a queue of connections.
        socket.set_write_timeout(Some(until(give_up)))?;
        match socket.connect(&address) {
            Ok(()) => return Ok(OwnedFd::from(socket).into()),
            // With a timeout set, Linux interrupts the call when the process is stopped and continued.
            Err(error) if error.kind() == ErrorKind::Interrupted && Instant::now() < give_up => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "the server accepts no connection"));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Connects to a host, whose name the resolver turns into addresses.
pub(super) fn tcp<R>(host: &str, port: u16, give_up: Instant, resolver: R) -> io::Result<TcpStream>
where
    R: FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
{
    let addresses = alternating(resolve(host, port, give_up, resolver)?);
    let socket = match *addresses {
        [] => return Err(io::Error::new(ErrorKind::NotFound, "the host has no address")),
        [address] => {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            attempt(&socket, address, give_up)?;
            socket
        }
        _ => race(addresses, give_up)?,
    };
    // Requests are small, and each is waited for.
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// In the resolver's order, but the two families take turns: a network on which one of them leads nowhere costs one
/// attempt.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_first_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    while first.len() + second.len() > 0 {
        for address in [first.next(), second.next()].into_iter().flatten() {
            // A resolver with several sources may give an address twice.
            if !order.contains(&address) {
                order.push(address);
            }
        }
    }
    order
}

fn attempt(socket: &Socket, address: SocketAddr, give_up: Instant) -> io::Result<()> {
    socket.connect_timeout(&address.into(), until(give_up)).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => timed_out(),
        _ => error,
    })
}

fn timed_out() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "connection timed out")
}

/// Attempts in progress, each in a thread of its own. Whatever is pending when this is dropped is cancelled.
struct Attempts {
    /// By the number of the attempt; None: it is over.
    sockets: Vec<Option<Arc<Socket>>>,
    sender: Sender<(usize, io::Result<()>)>,
}

impl Attempts {
    fn new() -> (Self, Receiver<(usize, io::Result<()>)>) {
        let (sender, outcomes) = channel();
        (Attempts { sockets: Vec::new(), sender }, outcomes)
    }

    fn start(&mut self, address: SocketAddr, give_up: Instant) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None);
        // A system without IPv6 says so here.
        let socket = Arc::new(socket.map_err(|error| io::Error::new(ErrorKind::Unsupported, error))?);
        let (number, sender, connecting) = (self.sockets.len(), self.sender.clone(), Arc::clone(&socket));
        thread::Builder::new().name("officer-connect".to_owned()).spawn(move || {
            let outcome = attempt(&connecting, address, give_up);
            drop(connecting);
            // Nobody listens if another attempt was faster.
            let _ = sender.send((number, outcome));
        })?;
        self.sockets.push(Some(socket));
        Ok(())
    }

    fn are_pending(&self) -> bool {
        self.sockets.iter().any(Option::is_some)
    }

    /// The socket of an attempt that is over.
    fn take(&mut self, number: usize) -> Socket {
        let socket = self.sockets[number].take().expect("an attempt ends once");
        Arc::into_inner(socket).expect("its thread has let go of the socket")
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        for socket in self.sockets.iter().flatten() {
            // On Linux this ends the attempt and its thread; elsewhere both end with the timeout at the latest.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// The first of several addresses to connect.
fn race(addresses: Vec<SocketAddr>, give_up: Instant) -> io::Result<Socket> {
    // However little time there is, every address gets some of it.
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let stagger = STAGGER.min(until(give_up) / count);
    let mut addresses = addresses.into_iter();
    let (mut attempts, outcomes) = Attempts::new();
    let mut failure = None;
    let mut start_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= start_at
            && let Some(address) = addresses.next()
        {
            start_at = now + stagger;
            if let Err(error) = attempts.start(address, give_up) {
                failure = Some(more_telling(failure, error));
                start_at = now;
            }
        }
        let wake_at = match addresses.len() {
            0 if !attempts.are_pending() => return Err(failure.unwrap_or_else(timed_out)),
            0 => give_up,
            _ => start_at.min(give_up),
        };
        if now >= give_up {
            return Err(more_telling(failure, timed_out()));
        }
        // Otherwise it is time for the next attempt, or to give up.
        if let Ok((number, outcome)) = outcomes.recv_timeout(wake_at.saturating_duration_since(now)) {
            let socket = attempts.take(number);
            match outcome {
                Ok(()) => return Ok(socket),
                Err(error) => failure = Some(more_telling(failure, error)),
            }
            start_at = now;
        }
    }
}

/// Of the errors of several addresses the one that helps most: a machine that refuses is there, but no server listens on
/// it; a network that can't be reached is often just IPv6 where there is none.
fn more_telling(before: Option<io::Error>, new: io::Error) -> io::Error {
    let rank = |error: &io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => 0,
        ErrorKind::TimedOut => 2,
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable | ErrorKind::Unsupported => 3,
        _ => 1,
    };
    match before {
        Some(before) if rank(&before) <= rank(&new) => before,
        _ => new,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
