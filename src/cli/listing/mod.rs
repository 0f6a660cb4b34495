//! `officer locks` and `officer connections`: who holds what, and who waits.
//!
//! Both go through the server's locks a page at a time, so neither holds up a server that has very many. What changes
//! meanwhile may or may not be seen.

pub(super) mod connections;
pub(super) mod locks;
mod table;

use std::io::{self, BufWriter, StdoutLock, Write};

use super::Failure;
use super::shown::{Shown, Span};
use crate::client::PlaceDetail;

/// Where the listing goes. Written in large pieces: a million lines are a million writes otherwise.
fn output() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(32 << 10, io::stdout().lock())
}

/// Writes one value as a line of JSON.
fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(|error| Failure::Output(error.into()))?;
    out.write_all(b"\n").map_err(Failure::Output)
}

/// An empty table says so to people, and nothing to programs that read it.
fn tell_empty(prefix: &str) {
    // Nobody has to read it.
    let _ = match prefix {
        "" => writeln!(io::stderr(), "officer: nobody holds a lock"),
        prefix => writeln!(io::stderr(), "officer: nobody holds a lock whose name begins with '{}'", Shown(prefix)),
    };
}

/// What a connection's client calls itself.
fn client_of(place: &PlaceDetail) -> String {
    place.client.as_deref().map_or_else(|| "-".to_owned(), |client| Shown(client).to_string())
}

/// For how long a place has been held, or waited in.
fn time_of(place: &PlaceDetail) -> String {
    place.held_for.or(place.waited_for).map_or_else(|| "-".to_owned(), |time| Span::of_seconds(time).to_string())
}
