//! The commands that a person has in hand, as they are released: `officer lock`, `locks`, `connections`, `watch`, `stats`,
//! `kick`, `revoke` and `ping`, each in a process of its own, against a server in another.

mod address;
mod connections;
mod containers;
mod descendants;
mod inherited;
mod kick;
mod kinds;
mod lease;
mod lock;
mod locks;
mod losses;
mod outlasting;
mod ping;
mod revoke;
mod sessions;
mod signals;
mod silence;
mod stats;
mod stuck;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tls;
mod unreachable;
mod waiting;
mod watch;

use officer::client::Client;

use crate::support::patience::eventually;

/// How many hold and wait for a lock. For tests that count: an observer that takes part in nothing.
fn count_on(client: &Client, name: &str) -> usize {
    client.locks().unwrap().get(name).map_or(0, Vec::len)
}

/// Waits until so many hold and wait for a lock.
#[track_caller]
fn wait_for_count(client: &Client, name: &str, count: usize) {
    eventually(&format!("{count} are on {name:?}"), || count_on(client, name) == count);
}
