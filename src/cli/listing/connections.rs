//! `officer connections`: what each connection holds and waits for.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::table::Table;
use super::{output, tell_empty, write_json};
use crate::client::{ConnectionDetail, LockDetail, PlaceDetail};
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::place::detached;
use crate::console::shown::{Shown, Span};

const AFTER: &str = r#"A session that has lost its connection is listed as session:N until it is resumed or its time to resume is over. 'officer kick session:N' ends it at once. NOTES show that time, and the session of a connection that has one.

With --json every connection is one JSON object on one line. Times are in seconds:
  {"connection":"127.0.0.1:40312","client":"4711@web1 deploy.sh",
   "age":61.5,"silent_for":4.2,"unsent":0,
   "holds":[{"name":"boss:17","held_for":12.5}],
   "waits_for":[{"name":"boss:18","waited_for":3.2}]}
These keys are there if they apply: client, session, grace_left (of a session that has lost its connection).

Exit status:
  0   the connections were listed, even if there were none
  1   the output could not be written
  2   the command line is wrong
  69  there is no connection to a server"#;

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(in crate::cli) struct Options {
    /// Look only at locks whose names start with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// List idle connections too: those that hold nothing and wait for nothing
    #[arg(long, conflicts_with = "prefix")]
    all: bool,

    /// List all locks of each connection, not only the first
    #[arg(long)]
    locks: bool,

    /// For programs: lines of JSON, including all locks
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,
}

/// The locks of one connection. The server lists them lock by lock, so they are collected: for a table without --locks,
/// only as many as are shown.
#[derive(Debug, Default)]
struct Connection {
    client: Option<String>,
    /// None: it was closed before the server told of it.
    life: Option<Life>,
    holds: Names,
    waits_for: Names,
}

/// Whether it is alive, as far as the server can tell.
#[derive(Clone, Debug, Serialize)]
struct Life {
    age: f64,
    silent_for: f64,
    unsent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_left: Option<f64>,
}

#[derive(Debug, Default)]
struct Names {
    /// Only the first, unless all are shown.
    names: Vec<Name>,
    count: usize,
}

#[derive(Debug, Serialize)]
struct Name {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_for: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_for: Option<f64>,
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    connection: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(flatten)]
    life: Option<&'a Life>,
    holds: &'a [Name],
    waits_for: &'a [Name],
}

pub(in crate::cli) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    let mut all = All { has_every_name: options.locks || options.json, ..All::default() };
    for lock in client.locks_with_detail(&options.prefix) {
        let (name, detail) = lock.map_err(|error| options.server.failure(error))?;
        all.add(&name, detail);
    }
    for connection in client.connections_with_detail(options.all) {
        let (name, detail) = connection.map_err(|error| options.server.failure(error))?;
        all.add_life(name, detail, options.all);
    }
    let mut out = output();
    if options.json {
        for (connection, of) in &all.connections {
            let (holds, waits_for) = (&of.holds.names, &of.waits_for.names);
            let line = Line { connection, client: of.client.as_deref(), life: of.life.as_ref(), holds, waits_for };
            write_json(&mut out, &line)?;
        }
        out.flush().map_err(Failure::Output)?;
    } else {
        let heads = ["CONNECTION", "CLIENT", "AGE", "SILENT", "UNSENT", "HOLDS", "WAITS FOR", "NOTES"];
        let mut table = Table::new(out, heads);
        for (connection, of) in &all.connections {
            of.rows(connection).try_for_each(|row| table.row(row)).map_err(Failure::Output)?;
        }
        if !table.finish().map_err(Failure::Output)? {
            tell_empty(&options.prefix);
        }
    }
    if all.unlisted > 0 {
        let unlisted = all.unlisted;
        let _ = writeln!(
            io::stderr(),
            "officer: {unlisted} more hold or wait; a server lists only the first 1,000 holders and waiters of each lock"
        );
    }
    Ok(())
}

/// The connections that hold or wait for locks.
#[derive(Debug, Default)]
struct All {
    connections: BTreeMap<String, Connection>,
    has_every_name: bool,
    /// Holders and waiters that the server did not list.
    unlisted: u64,
}

impl All {
    fn add(&mut self, name: &str, detail: LockDetail) {
        self.unlisted += detail.unlisted().iter().sum::<u64>();
        for place in detail.holders {
            self.add_place(name, place, |connection| &mut connection.holds);
        }
        for place in detail.waiters {
            self.add_place(name, place, |connection| &mut connection.waits_for);
        }
    }

    /// `is_wanted`: also a connection without locks.
    fn add_life(&mut self, name: String, detail: ConnectionDetail, is_wanted: bool) {
        let connection = match self.connections.get_mut(&name) {
            Some(connection) => connection,
            None if is_wanted => self.connections.entry(name).or_default(),
            None => return,
        };
        let ConnectionDetail { client, age, silent_for, unsent, session, grace_left, .. } = detail;
        connection.client = client;
        connection.life = Some(Life { age, silent_for, unsent, session, grace_left });
    }

    fn add_place(&mut self, name: &str, place: PlaceDetail, names: impl Fn(&mut Connection) -> &mut Names) {
        let connection = self.connections.entry(place.connection).or_default();
        connection.client = place.client;
        let names = names(connection);
        names.count += 1;
        if self.has_every_name || names.count == 1 {
            let name = name.to_owned();
            names.names.push(Name { name, held_for: place.held_for, waited_for: place.waited_for });
        }
    }
}

impl Connection {
    /// A row with the first names, and further rows for the other ones that are shown.
    fn rows<'a>(&'a self, connection: &'a str) -> impl Iterator<Item = [String; 8]> + 'a {
        let rows = self.holds.names.len().max(self.waits_for.names.len()).max(1);
        (0..rows).map(move |index| {
            let [connection, client, age, silent, unsent, notes] = match index {
                0 => self.cells(connection),
                _ => Default::default(),
            };
            [connection, client, age, silent, unsent, self.holds.cell(index), self.waits_for.cell(index), notes]
        })
    }

    fn cells(&self, connection: &str) -> [String; 6] {
        let of_life = |cell: &dyn Fn(&Life) -> String| self.life.as_ref().map_or("-".to_owned(), cell);
        [
            Shown(connection).to_string(),
            Shown(self.client.as_deref().unwrap_or("-")).to_string(),
            of_life(&|life| Span::of_seconds(life.age).to_string()),
            of_life(&|life| Span::of_seconds(life.silent_for).to_string()),
            of_life(&|life| life.unsent.to_string()),
            self.life.as_ref().map(Life::notes).unwrap_or_default(),
        ]
    }
}

impl Life {
    fn notes(&self) -> String {
        match (self.grace_left, &self.session) {
            (Some(left), _) => detached(left),
            (None, Some(session)) => Shown(session).to_string(),
            (None, None) => String::new(),
        }
    }
}

impl Names {
    fn cell(&self, index: usize) -> String {
        match self.names.get(index) {
            Some(Name { name, .. }) if self.count > self.names.len() => {
                format!("{} and {} more", Shown(name), self.count - self.names.len())
            }
            Some(Name { name, .. }) => Shown(name).to_string(),
            None if index == 0 => "-".to_owned(),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(connection: &str) -> PlaceDetail {
        PlaceDetail { connection: connection.to_owned(), ..PlaceDetail::default() }
    }

    fn rows(has_every_name: bool) -> Vec<[String; 8]> {
        let mut all = All { has_every_name, ..All::default() };
        for (name, waiting) in [("a", 1), ("b", 3), ("c", 1)] {
            all.add(
                name,
                LockDetail {
                    holders: vec![place("ann")],
                    waiters: vec![place("bob")],
                    waiting,
                    ..LockDetail::default()
                },
            );
        }
        assert_eq!(all.unlisted, 2);
        all.add("d", LockDetail { holders: vec![place("bob")], ..LockDetail::default() });
        let life = |silent_for| ConnectionDetail { age: 61.0, silent_for, unsent: 7, ..ConnectionDetail::default() };
        all.add_life("ann".to_owned(), life(1.5), false);
        all.add_life("carl".to_owned(), life(2.5), false);
        all.connections.iter().flat_map(|(name, connection)| connection.rows(name)).collect()
    }

    #[test]
    fn a_connection_has_one_row_or_one_for_each_of_its_locks() {
        assert_eq!(
            rows(false),
            [
                ["ann", "-", "1m01s", "1.5s", "7", "a and 2 more", "-", ""],
                ["bob", "-", "-", "-", "-", "d", "a and 2 more", ""]
            ]
        );
        assert_eq!(
            rows(true),
            [
                ["ann", "-", "1m01s", "1.5s", "7", "a", "-", ""],
                ["", "", "", "", "", "b", "", ""],
                ["", "", "", "", "", "c", "", ""],
                ["bob", "-", "-", "-", "-", "d", "a", ""],
                ["", "", "", "", "", "", "b", ""],
                ["", "", "", "", "", "", "c", ""],
            ]
        );
    }
}
