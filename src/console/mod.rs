//! What the commands of the program share: common options, how they show names and times, and how they exit.

pub(crate) mod access;
pub(crate) mod address;
pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod place;
pub(crate) mod shown;
pub(crate) mod signals;
pub(crate) mod utc;
pub(crate) mod values;

use std::io::{self, Write};

pub use self::failure::Failure;
use crate::client::{Client, Error, LockDetail};

/// One lock with its holders and waiters; None: it is free. A server that can't look one up lists those whose names begin
/// so.
pub(crate) fn one_lock(client: &Client, name: &str) -> Result<Option<LockDetail>, Error> {
    match client.lock_status(name) {
        Err(Error::Unsupported { .. }) => {}
        result => return result,
    }
    for lock in client.locks_with_detail(name) {
        match lock? {
            (found, detail) if found == name => return Ok(Some(detail)),
            _ => {}
        }
    }
    Ok(None)
}

/// Prints the server's addresses, a line each, for whoever started it: a script may wait for these.
pub(crate) fn announce(addresses: &[String]) {
    // Not println!, which panics if stdout is closed: the server must serve its clients anyway.
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(announced(addresses).as_bytes()).and_then(|()| stdout.flush());
}

/// What a server says when it listens. In one write, so that whoever reads the first line has the others as well.
pub(crate) fn announced(addresses: &[String]) -> String {
    addresses.iter().map(|address| format!("officer: listening on {address}\n")).collect()
}
