//! What the commands of the program share: common options, how they show names and times, and how they end.

pub(crate) mod address;
pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod shown;
pub(crate) mod values;

use std::io::{self, Write};

pub use self::failure::Failure;

/// Tells whoever started the server, which may be a script that waits for just this line, where it is.
pub(crate) fn announce(address: &str) {
    // Not println!, which panics when nobody reads stdout: the server is there for its clients.
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "officer: listening on {address}").and_then(|()| stdout.flush());
}
