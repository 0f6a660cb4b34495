//! `officer locks` and `officer connections`: who holds and waits for what.
//!
//! Both fetch the server's locks page by page, so neither holds up a server with many locks. Changes in the meantime
//! may or may not be listed.

pub(super) mod connections;
mod graces;
pub(super) mod locks;
mod table;

use std::io::{self, BufWriter, StdoutLock, Write};

use crate::client::PlaceDetail;
use crate::console::Failure;
use crate::console::shown::{Shown, Span};

/// The output of a listing. Buffered: otherwise a million lines would be a million writes.
fn output() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(32 << 10, io::stdout().lock())
}

/// Writes one value as a line of JSON.
fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(|error| Failure::Output(error.into()))?;
    out.write_all(b"\n").map_err(Failure::Output)
}

/// Reports an empty table to people, but not to programs that read stdout.
fn tell_empty(prefix: &str) {
    match prefix {
        "" => tell("nobody holds a lock"),
        prefix => tell(&format!("nobody holds a lock whose name starts with '{}'", Shown(prefix))),
    }
}

fn tell(line: &str) {
    // It need not be read.
    let _ = writeln!(io::stderr(), "officer: {line}");
}

/// The client name of a connection.
fn client_of(place: &PlaceDetail) -> String {
    place.client.as_deref().map_or_else(|| "-".to_owned(), |client| Shown(client).to_string())
}

/// For how long the lock has been held or waited for.
fn time_of(place: &PlaceDetail) -> String {
    place.held_for.or(place.waited_for).map_or_else(|| "-".to_owned(), |time| Span::of_seconds(time).to_string())
}
