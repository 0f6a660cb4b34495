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
        self.end_of_work(|| 0)
    }

    /// For work of many steps, which may take long as a whole on a busy machine: the limit is for the next step of any thread.
    fn end_of_work(self, steps: impl Fn() -> u64) -> T {
        let mut done = 0;
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if steps() > done => done = steps(),
                Err(RecvTimeoutError::Timeout) => panic!("the thread hangs"),
                Err(RecvTimeoutError::Disconnected) => panic!("the thread panicked"),
            }
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
