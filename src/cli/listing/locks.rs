//! `officer locks`: every lock with its holder.

use clap::Args;
use serde::Serialize;

use super::graces::Graces;
use super::table::Table;
use super::{client_of, output, tell, tell_empty, time_of, write_json};
use crate::client::{Client, Error, LockDetail, PlaceDetail};
use crate::console::address::ServerOptions;
use crate::console::place::{closed, notes};
use crate::console::shown::Shown;
use crate::console::{Failure, one_lock};

use std::io::Write;

const AFTER: &str = r#"NOTES, if there are any, show what is not plain: shared locks, units, owners, priorities, leases, labels. A holder or waiter called session:N has lost its connection: NOTES show for how long it can be resumed, and 'officer kick session:N' ends it. A lock that --min-hold or --lost-delay keeps closed has '-' for a holder.

With --json every lock is one JSON object on one line. Times are in seconds:
  {"name":"boss:17",
   "holders":[{"connection":"127.0.0.1:40312",
               "client":"4711@web1 deploy.sh",
               "mode":"exclusive","token":872167092039846,
               "held_for":12.5}],
   "waiters":[{"connection":"127.0.0.1:40314",
               "mode":"exclusive","waited_for":3.2}],
   "waiting":1}
These keys are there if they apply: client, owner, mode, slots, priority, lease_left,
timeout_left, label, and closed_for of the lock.

A server lists the first 1,000 holders and the first 1,000 waiters of a lock.
"waiting" is the number of waiters, and "holding" that of holders, if there are more.

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

    /// Only the lock of this name, not all whose names start with it
    #[arg(long, requires = "prefix")]
    exact: bool,

    /// List the waiters of each lock, in order
    #[arg(long)]
    waiters: bool,

    /// Show the token of each hold, which 'officer revoke' takes
    #[arg(long)]
    tokens: bool,

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
    let failure = |error| options.server.failure(error);
    let locks = locks(&client, options).map(|lock| lock.map_err(failure));
    let mut out = output();
    if options.json {
        for lock in locks {
            let (name, detail) = lock?;
            write_json(&mut out, &Line { name: &name, detail: &detail })?;
        }
        return out.flush().map_err(Failure::Output);
    }
    let mut table = Table::new(out, ["LOCK", "HOLDER", "CLIENT", "FOR", "WAITERS", "NOTES"]);
    let mut graces = Graces::default();
    for lock in locks {
        let (name, detail) = lock?;
        graces.look(&client, &detail).map_err(failure)?;
        let write = |row: [String; 6]| table.row(row).map_err(Failure::Output);
        rows(&name, &detail, (options.waiters, options.tokens), &graces).try_for_each(write)?;
    }
    if !table.finish().map_err(Failure::Output)? {
        match options.exact {
            true => tell(&format!("'{}' is free", Shown(&options.prefix))),
            false => tell_empty(&options.prefix),
        }
    }
    Ok(())
}

/// The locks to list, fetched as they are asked for.
fn locks<'a>(
    client: &'a Client,
    options: &'a Options,
) -> Box<dyn Iterator<Item = Result<(String, LockDetail), Error>> + 'a> {
    if !options.exact {
        return Box::new(client.locks_with_detail(&options.prefix));
    }
    let found = one_lock(client, &options.prefix).transpose();
    Box::new(found.map(|lock| lock.map(|lock| (options.prefix.clone(), lock))).into_iter())
}

/// The rows of a lock: one for each holder, then the waiters.
fn rows<'a>(
    name: &'a str,
    detail: &'a LockDetail,
    (has_waiters, has_tokens): (bool, bool),
    graces: &'a Graces,
) -> impl Iterator<Item = [String; 6]> + 'a {
    let row = move |first: String, place: &PlaceDetail, count: String| {
        let notes = [graces.note(&place.connection), notes(place, has_tokens, 0.0)];
        let notes = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(", ");
        [first, Shown(&place.connection).to_string(), client_of(place), time_of(place), count, notes]
    };
    let waiting = detail.waiting.to_string();
    let nobody = detail.holders.is_empty().then(|| {
        let notes = detail.closed_for.map(closed).unwrap_or_default();
        [Shown(name).to_string(), "-".to_owned(), "-".to_owned(), "-".to_owned(), waiting.clone(), notes]
    });
    let holders = detail.holders.iter().enumerate().map(move |(index, holder)| {
        let count = if index == 0 { waiting.clone() } else { String::new() };
        row(Shown(name).to_string(), holder, count)
    });
    let listed = if has_waiters { detail.waiters.as_slice() } else { &[] };
    let waiters =
        (1..).zip(listed).map(move |(position, waiter)| row(format!("  waiter {position}"), waiter, String::new()));
    let [unlisted_holders, unlisted_waiters] = detail.unlisted();
    let more = |count: u64, what: &str| {
        (count > 0).then(|| {
            let mut cells = <[String; 6]>::default();
            cells[0] = format!("  and {count} more{what}");
            cells
        })
    };
    let more_holders = more(unlisted_holders, " holders");
    let more_waiters = more(if has_waiters { unlisted_waiters } else { 0 }, "");
    nobody.into_iter().chain(holders).chain(more_holders).chain(waiters).chain(more_waiters)
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
        let all: Vec<_> = rows("a\n", &detail, (true, false), &Graces::default()).collect();
        assert_eq!(
            all,
            [
                ["a\\n", "unix:1", "-", "1m10s", "1001", ""],
                ["a\\n", "unix:2", "-", "1.0s", "", ""],
                ["  waiter 1", "unix:3", "-", "0.5s", "", ""],
                ["  and 1000 more", "", "", "", "", ""],
            ]
        );
        assert_eq!(rows("a", &detail, (false, false), &Graces::default()).count(), 2);
        let crowd = LockDetail { holding: Some(1002), ..detail };
        let all: Vec<_> = rows("a", &crowd, (true, false), &Graces::default()).map(|[first, ..]| first).collect();
        assert_eq!(all, ["a", "a", "  and 1000 more holders", "  waiter 1", "  and 1000 more"]);
    }

    #[test]
    fn a_closed_lock_has_a_row_of_its_own() {
        let detail = LockDetail {
            waiters: vec![place("unix:3", 0.5)],
            waiting: 1,
            closed_for: Some(75.0),
            ..LockDetail::default()
        };
        let all: Vec<_> = rows("a", &detail, (true, true), &Graces::default()).collect();
        let expected = [["a", "-", "-", "-", "1", "closed, 1m15s left"], ["  waiter 1", "unix:3", "-", "0.5s", "", ""]];
        assert_eq!(all, expected);
    }
}
