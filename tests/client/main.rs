//! The blocking client: against the server as it is released, and against servers that do what no real one does.

mod alive;
mod calls;
mod fake;
mod losses;
mod misfits;
mod namespaces;
mod server;
mod threads;

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{Client, Error, Guard, LockOptions};

/// Some call of a client, of which only matters whether it fails.
type Call = fn(&Client) -> Result<(), Error>;

/// What should happen at once may take so long on a busy machine. Only a test that fails waits for it.
const LIMIT: Duration = Duration::from_secs(20);

/// A thread whose end is waited for, but not for ever.
struct Task<T>(Receiver<T>);

fn task<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(work()));
    Task(receiver)
}

impl<T> Task<T> {
    fn end(self) -> T {
        match self.0.recv_timeout(LIMIT) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => panic!("the thread hangs"),
            Err(RecvTimeoutError::Disconnected) => panic!("the thread panicked"),
        }
    }
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "it never came: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Asks for a lock in a thread of its own, and gives it back.
fn lock_in_a_thread(client: &Client, name: &str, options: LockOptions) -> Task<Result<(), Error>> {
    let (client, name) = (client.clone(), name.to_owned());
    task(move || client.lock_with(&name, options).and_then(Guard::release))
}

/// How many threads of a client are on a lock that one of them holds.
fn threads_on(client: &Client, name: &str) -> usize {
    match lock_in_a_thread(client, name, LockOptions::no_wait()).end() {
        Err(Error::TimedOut { queue }) => queue.len(),
        other => panic!("nobody holds {name}: {other:?}"),
    }
}

/// Who is on a lock, as the server sees it.
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
