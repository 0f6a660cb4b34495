//! Host names into addresses, within a time limit.
//!
//! The system's resolver blocks for as long as it likes, and a lookup can't be cancelled. So each runs in a thread of its
//! own, and whoever asks for the same name meanwhile waits for the same lookup: however often a program tries while the
//! name server is silent, there is one thread for each name.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::options::bare_host;

/// The addresses of a host, without a port, or why there are none. Cloned for everybody who waits.
type Outcome = Result<Vec<SocketAddr>, (ErrorKind, String)>;

#[derive(Debug)]
struct Lookup {
    host: String,
    outcome: Mutex<Option<Outcome>>,
    is_done: Condvar,
}

/// Those in progress.
static LOOKUPS: Mutex<Vec<Arc<Lookup>>> = Mutex::new(Vec::new());

/// No code that could panic runs while these are locked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The system's resolver.
pub(crate) fn system(host: &str) -> io::Result<Vec<SocketAddr>> {
    (host, 0).to_socket_addrs().map(Iterator::collect)
}

/// The addresses of a host, in the order in which the resolver wants them tried.
pub(crate) fn resolve<R>(host: &str, port: u16, give_up: Instant, resolver: R) -> io::Result<Vec<SocketAddr>>
where
    R: FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
{
    let host = bare_host(host);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let mut addresses = joined(host, resolver)?.wait(give_up)?;
    addresses.iter_mut().for_each(|address| address.set_port(port));
    Ok(addresses)
}

/// The lookup of a host that is in progress, or a new one.
fn joined<R>(host: &str, resolver: R) -> io::Result<Arc<Lookup>>
where
    R: FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
{
    let mut lookups = lock(&LOOKUPS);
    if let Some(lookup) = lookups.iter().find(|lookup| lookup.host == host) {
        return Ok(Arc::clone(lookup));
    }
    let lookup = Arc::new(Lookup { host: host.to_owned(), outcome: Mutex::new(None), is_done: Condvar::new() });
    let running = Arc::clone(&lookup);
    thread::Builder::new().name("officer-resolve".to_owned()).spawn(move || {
        let outcome = resolver(&running.host).map_err(|error| (error.kind(), error.to_string()));
        lock(&LOOKUPS).retain(|lookup| !Arc::ptr_eq(lookup, &running));
        *lock(&running.outcome) = Some(outcome);
        running.is_done.notify_all();
    })?;
    lookups.push(Arc::clone(&lookup));
    Ok(lookup)
}

impl Lookup {
    fn wait(&self, give_up: Instant) -> io::Result<Vec<SocketAddr>> {
        let timeout = give_up.saturating_duration_since(Instant::now());
        let waited = self.is_done.wait_timeout_while(lock(&self.outcome), timeout, |outcome| outcome.is_none());
        let (outcome, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match outcome.clone() {
            Some(outcome) => outcome.map_err(|(kind, message)| io::Error::new(kind, message)),
            None => Err(io::Error::new(ErrorKind::TimedOut, "timed out resolving the host name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_literal_address_is_not_looked_up() {
        for (host, expected) in [("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7"), ("[::1]", "[::1]:7")] {
            let found = resolve(host, 7, soon(), |host| panic!("{host} is looked up")).unwrap();
            assert_eq!(found, [expected.parse().unwrap()], "{host}");
        }
    }

    #[test]
    fn what_the_resolver_says_is_passed_on() {
        let addresses = ["127.0.0.2:0", "[::1]:0"].map(|address| address.parse().unwrap()).to_vec();
        let found = resolve("passed.on", 7, later(), move |_| Ok(addresses)).unwrap();
        assert_eq!(found, ["127.0.0.2:7".parse().unwrap(), "[::1]:7".parse().unwrap()]);

        let error = resolve("passed.on", 7, later(), |_| Err(ErrorKind::NotFound.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_silent_name_server_is_given_up_and_not_asked_again_meanwhile() {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (answer, answered) = channel::<()>();
        let silent = move |_: &str| {
            COUNT.fetch_add(1, Ordering::Relaxed);
            let _ = answered.recv();
            Ok(vec!["127.0.0.3:0".parse().unwrap()])
        };
        let error = resolve("silent.example", 7, soon(), silent).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::TimedOut, "timed out resolving the host name")
        );
        let second = |_: &str| -> io::Result<Vec<SocketAddr>> { panic!("a second lookup runs beside the first") };
        assert_eq!(resolve("silent.example", 7, soon(), second).unwrap_err().kind(), ErrorKind::TimedOut);

        let lookup = joined("silent.example", second).unwrap();
        drop(answer);
        assert_eq!(lookup.wait(later()).unwrap(), ["127.0.0.3:0".parse().unwrap()]);
        assert_eq!(COUNT.load(Ordering::Relaxed), 1);
        // What is over is not kept.
        let renewed = resolve("silent.example", 7, later(), |_| Ok(vec!["127.0.0.4:0".parse().unwrap()])).unwrap();
        assert_eq!(renewed, ["127.0.0.4:7".parse().unwrap()]);
    }
}
