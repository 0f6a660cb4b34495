//! `officer locks`: every lock with its holder.

use clap::Args;
use serde::Serialize;

use super::table::Table;
use super::{client_of, output, tell_empty, time_of, write_json};
use crate::client::{LockDetail, PlaceDetail};
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::shown::Shown;

use std::io::Write;

const AFTER: &str = r#"With --json every lock is one JSON object on one line. Times are in seconds:
  {"name":"boss:17",
   "holders":[{"connection":"127.0.0.1:40312",
               "client":"4711@web1 deploy.sh",
               "mode":"exclusive","held_for":12.5}],
   "waiters":[{"connection":"127.0.0.1:40314",
               "mode":"exclusive","waited_for":3.2}],
   "waiting":1}

A server lists the first 1,000 waiters of a lock; "waiting" is their number.

Exit status:
  0   the locks were listed, even if there were none
  1   the output could not be written
  2   the command line is wrong
  69  there is no connection to a server"#;

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(in crate::cli) struct Options {
    /// Only locks whose names start with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// List the waiters of each lock, in order
    #[arg(long)]
    waiters: bool,

    /// For programs: lines of JSON, including waiters
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    #[serde(flatten)]
    detail: &'a LockDetail,
}

pub(in crate::cli) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.connect()?;
    let locks = client.locks_with_detail(&options.prefix);
    let locks = locks.map(|lock| lock.map_err(|error| options.server.failure(error)));
    let mut out = output();
    if options.json {
        for lock in locks {
            let (name, detail) = lock?;
            write_json(&mut out, &Line { name: &name, detail: &detail })?;
        }
        return out.flush().map_err(Failure::Output);
    }
    let mut table = Table::new(out, ["LOCK", "HOLDER", "CLIENT", "FOR", "WAITERS"]);
    for lock in locks {
        let (name, detail) = lock?;
        rows(&name, &detail, options.waiters).try_for_each(|row| table.row(row)).map_err(Failure::Output)?;
    }
    if !table.finish().map_err(Failure::Output)? {
        tell_empty(&options.prefix);
    }
    Ok(())
}

/// The rows of a lock: one for each holder, then the waiters.
fn rows<'a>(name: &'a str, detail: &'a LockDetail, has_waiters: bool) -> impl Iterator<Item = [String; 5]> + 'a {
    let holders = detail.holders.iter().enumerate().map(move |(index, holder)| {
        let count = if index == 0 { detail.waiting.to_string() } else { String::new() };
        row(Shown(name).to_string(), holder, count)
    });
    let listed = if has_waiters { detail.waiters.as_slice() } else { &[] };
    let waiters =
        (1..).zip(listed).map(|(position, waiter)| row(format!("  waiter {position}"), waiter, String::new()));
    let hidden = detail.waiting.saturating_sub(detail.waiters.len() as u64);
    let more = (has_waiters && hidden > 0)
        .then(|| [format!("  and {hidden} more"), String::new(), String::new(), String::new(), String::new()]);
    holders.chain(waiters).chain(more)
}

fn row(first: String, place: &PlaceDetail, last: String) -> [String; 5] {
    [first, Shown(&place.connection).to_string(), client_of(place), time_of(place), last]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(connection: &str, waited_for: f64) -> PlaceDetail {
        PlaceDetail { connection: connection.to_owned(), waited_for: Some(waited_for), ..PlaceDetail::default() }
    }

    #[test]
    fn a_lock_has_a_row_for_each_holder_and_waiter() {
        let detail = LockDetail {
            holders: vec![place("unix:1", 70.0), place("unix:2", 1.0)],
            waiters: vec![place("unix:3", 0.5)],
            waiting: 1001,
            ..LockDetail::default()
        };
        let all: Vec<_> = rows("a\n", &detail, true).collect();
        assert_eq!(
            all,
            [
                ["a\\n", "unix:1", "-", "1m10s", "1001"],
                ["a\\n", "unix:2", "-", "1.0s", ""],
                ["  waiter 1", "unix:3", "-", "0.5s", ""],
                ["  and 1000 more", "", "", "", ""],
            ]
        );
        assert_eq!(rows("a", &detail, false).count(), 2);
    }
}
