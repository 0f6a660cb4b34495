//! The blocking client: against the release server, and against servers that do what no real one does.

mod alive;
mod calls;
mod fake;
mod features;
mod guide;
mod hints;
mod kinds;
mod leases;
mod losses;
mod misfits;
mod namespaces;
mod notices;
mod owners;
mod resumption;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod tls;
mod watching;

use std::net::Ipv4Addr;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use officer::client::{Client, Error, Guard, LockOptions};

use self::support::patience::PATIENCE;

/// Some call of a client, whose result matters only in whether it fails.
type Call = fn(&Client) -> Result<(), Error>;

/// A thread that is joined with a time limit.
struct Task<T>(Receiver<T>);

fn task<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(work()));
    Task(receiver)
}

impl<T> Task<T> {
    fn end(self) -> T {
        match self.0.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => panic!("the thread hangs"),
            Err(RecvTimeoutError::Disconnected) => panic!("the thread panicked"),
        }
    }
}

/// Acquires a lock in a thread of its own, and releases it.
fn lock_in_a_thread(client: &Client, name: &str, options: LockOptions) -> Task<Result<(), Error>> {
    let (client, name) = (client.clone(), name.to_owned());
    task(move || client.lock_with(&name, options).and_then(Guard::release))
}

/// The connections that hold or wait for a lock, as the server sees it.
fn connections_on(observer: &Client, name: &str) -> Vec<String> {
    observer.locks().expect("a listing").remove(name).unwrap_or_default()
}

fn is_lost<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::ConnectionLost { .. }))
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(is_lost(&result), "{result:?}");
}

/// An address of this machine that no other test listens on, where a port stays free while its server is down.
fn own_host() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, u8::try_from(count % 200).expect("a small number") + 2)
}
