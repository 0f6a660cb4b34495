//! What the commands of the program share: common options, how they show names and times, and how they exit.

pub(crate) mod address;
pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod shown;
pub(crate) mod signals;
pub(crate) mod values;

use std::io::{self, Write};

pub use self::failure::Failure;

/// Prints the server's address, for whoever started it: a script may wait for this line.
pub(crate) fn announce(address: &str) {
    // Not println!, which panics if stdout is closed: the server must serve its clients anyway.
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "officer: listening on {address}").and_then(|()| stdout.flush());
}
