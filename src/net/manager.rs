//! The service manager, if one started us: it is told when we are ready, that we are alive, and when we end, in the way
//! of `sd_notify(3)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use std::{env, io, process};

use crate::time::{Moment, Span};

/// How long a message may wait for room in the manager's queue. The one that says that we are ready must arrive.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// What the manager is told. Without a manager nothing happens.
#[derive(Debug)]
pub(super) struct Manager {
    // Not connected: a manager may create its socket again under the same name.
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
}

/// The manager ends a service that is silent for twice this interval.
#[derive(Debug)]
struct Watchdog {
    interval: Span,
    due: Moment,
}

impl Manager {
    /// The manager that the environment names. If it can't be reached, that is logged and nothing else: it will notice itself.
    pub(super) fn of_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            socket(&name).inspect_err(|error| log::warn!("the service manager's {name:?} can't be used: {error}")).ok()
        });
        let variable = |name| env::var(name).ok();
        let interval = watchdog_interval(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), process::id());
        let watchdog = interval
            .filter(|_| socket.is_some())
            .map(|interval| Watchdog { interval, due: Moment::START.after(interval) });
        Manager { socket, watchdog }
    }

    /// Clients can connect.
    pub(super) fn ready(&self, address: &str) {
        self.tell(&format!("READY=1\nSTATUS=listening on {}", address.escape_debug()));
        if let Some((socket, _)) = &self.socket {
            // Later messages are not worth a wait: clients are waiting.
            let _ = socket.set_nonblocking(true);
        }
    }

    /// A reload begins; [`Manager::reloaded`] says that it is done.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// A reload is over. After one that was refused nothing has changed.
    pub(super) fn reloaded(&self, address: &str, is_done: bool) {
        let refused = if is_done { "" } else { "; the last reload was refused, see the log" };
        self.tell(&format!("READY=1\nSTATUS=listening on {}{refused}", address.escape_debug()));
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=writing what is decided");
    }

    /// When the next sign of life is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due)
    }

    /// Says that we are alive. The loop itself calls it, so that it is true.
    pub(super) fn tell_alive_if_due(&mut self, now: Moment) {
        if let Some(watchdog) = &mut self.watchdog
            && now >= watchdog.due
        {
            watchdog.due = now.after(watchdog.interval);
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            log::warn!("the service manager was not told {message:?}: {error}");
        }
    }
}

/// A socket to write from, and the address to write to: a path, or the name of an abstract socket after `@`.
fn socket(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract socket")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok((socket, address))
}

/// Half of the time that the manager waits, as it recommends, if it watches this process.
fn watchdog_interval(micros: Option<String>, pid: Option<String>, our_pid: u32) -> Option<Span> {
    if pid.is_some_and(|pid| pid.parse() != Ok(our_pid)) {
        return None;
    }
    let micros: u64 = micros?.parse().ok().filter(|micros| *micros > 0)?;
    Some(Span::from(Duration::from_micros(micros) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_told_twice_in_its_time_if_it_watches_us() {
        let interval =
            |micros: &str, pid: Option<&str>| watchdog_interval(Some(micros.to_owned()), pid.map(str::to_owned), 17);
        assert_eq!(interval("3000000", Some("17")), Some(Span::from_nanos(1_500_000_000)));
        assert_eq!(interval("3000000", None), Some(Span::from_nanos(1_500_000_000)));
        for (micros, pid) in [("3000000", Some("18")), ("3000000", Some("")), ("0", None), ("", None), ("-1", None)] {
            assert_eq!(interval(micros, pid), None, "{micros} {pid:?}");
        }
        assert_eq!(interval("18446744073709551615", None), Some(Span::FOREVER), "forever");
        assert_eq!(watchdog_interval(None, None, 17), None);
    }

    #[test]
    fn what_is_no_address_of_a_socket_is_refused() {
        for name in ["", "run/notify", "vsock:2:1"] {
            assert!(socket(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
