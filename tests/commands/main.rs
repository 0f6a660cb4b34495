//! The commands that a person has in hand, as they are released: `officer lock`, `locks`, `connections`, `kick` and
//! `ping`, each in a process of its own, against a server in another.

mod connections;
mod kick;
mod lock;
mod locks;
mod losses;
mod ping;
mod program;
mod server;
mod signals;
mod terminal;
mod unreachable;
mod waiting;

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is going to happen. Far more than it needs: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until something is so, which it has to be soon.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "in {PATIENCE:?} it did not come about that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
