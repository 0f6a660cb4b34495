//! `officer bench table`: all comparisons in one command.

mod rows;
mod servers;
mod shown;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::atomic::Ordering;

use clap::Args;
use serde_json::{Value, json};

use self::rows::{ROWS, Row};
use self::servers::{DESCRIPTORS_RESERVED, Kind};
use super::options::count;
use super::progress::Progress;
use super::{BenchError, Failure, drive};
use crate::console::values::{Seconds, seconds_above_zero};
use crate::net::descriptors;

const MEASURED: &str = "\
What is measured: for each row the servers are started one at a time, each on one CPU, and the load is made on \
another; every round measures each server once. The figures are medians of the rounds: pairs of lock and unlock per \
second, the server's processor time for each, and the 99th percentile of their latency ('handoff': of the hand-over). \
Redis and memcached are measured if 'redis-server' and 'memcached' are installed. See 'officer bench pair --help' for \
what a pair is.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    /// Rounds
    #[arg(short, long, value_name = "COUNT", default_value = "3", value_parser = count())]
    rounds: usize,

    /// Duration of each measurement in each round
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds_above_zero)]
    seconds: Seconds,

    /// Only the rows with these names, such as pair-50; a text that is not the name of a row, such as handoff, selects
    /// all rows that contain it
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,

    /// CPU of the servers
    #[arg(long, value_name = "CPU", default_value = "0")]
    server_cpu: usize,

    /// CPU of the load generator
    #[arg(long, value_name = "CPU", default_value = "1")]
    load_cpu: usize,

    /// Print one line of JSON, with the figures of every run
    #[arg(long)]
    json: bool,
}

/// All runs of one server in one row.
struct Cell {
    kind: Kind,
    runs: Vec<Value>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let limit = descriptors::raise_limit();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| is_wanted(row, &options.only)).collect();
    if rows.is_empty() {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        let line = format!("there is no such row; the rows are {}; see 'officer bench table --help'", names.join(", "));
        return Err(Failure::Usage(line));
    }
    let interrupted = drive::interruption().map_err(Failure::System)?;
    let mut measured: Vec<(&Row, Vec<Cell>)> = Vec::new();
    for row in rows {
        if row.connections + DESCRIPTORS_RESERVED > limit {
            say(&format!("{} is skipped: the limit here is {limit} descriptors; see 'ulimit -n'", row.name));
            continue;
        }
        let installed = row.servers.iter().filter(|kind| kind.version().is_some());
        measured.push((row, installed.map(|kind| Cell { kind: *kind, runs: Vec::new() }).collect()));
    }
    let steps = measured.iter().map(|(_, cells)| cells.len() * options.rounds).sum::<usize>() as u64;
    let mut progress = Progress::new("measuring", steps);
    let mut step = 0;
    'all: for round in 0..options.rounds {
        for (row, cells) in &mut measured {
            for cell in cells {
                progress
                    .tick(drive::now(), step, || format!("round {}: {}, {}", round + 1, row.name, cell.kind.name()));
                let run = measure(row, cell.kind, options, limit);
                if interrupted.load(Ordering::Relaxed) {
                    break 'all;
                }
                cell.runs.push(run?);
                step += 1;
            }
        }
    }
    drop(progress);
    let text = if options.json { to_json(&measured).to_string() } else { shown::markdown(&measured, options.rounds) };
    writeln!(io::stdout(), "{}", text.trim_end()).map_err(Failure::Output)
}

/// `pair-1` is the row of that name, not all rows whose names start with it; `pair` is all of them.
fn is_wanted(row: &Row, only: &[String]) -> bool {
    let is_name = |text: &String| ROWS.iter().any(|row| row.name == text);
    only.is_empty() || only.iter().any(|text| row.name == text || (!is_name(text) && row.name.contains(text.as_str())))
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "officer: {line}");
}

/// Measures one server once.
fn measure(row: &Row, kind: Kind, options: &Options, descriptors: u64) -> Result<Value, Failure> {
    let server = kind.start(Some(options.server_cpu), descriptors)?;
    let mut args: Vec<OsString> =
        std::iter::once("bench").chain(row.args.iter().copied()).map(OsString::from).collect();
    if row.name != "storm" {
        args.extend(["--protocol".into(), kind.protocol().name().into()]);
    }
    for (option, value) in [
        ("-h", "127.0.0.1".to_owned()),
        ("-p", server.port.to_string()),
        ("--seconds", options.seconds.to_string()),
        ("--pin", options.load_cpu.to_string()),
        ("--server-pid", server.pid().to_string()),
    ] {
        args.extend([option.into(), value.into()]);
    }
    args.push("--json".into());
    let output = servers::officer()?.args(args).stdin(Stdio::null()).output().map_err(Failure::System)?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    match serde_json::from_str(&line) {
        Ok(figures) if output.status.success() => Ok(figures),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let said = said.lines().next().unwrap_or("it ended without a message").trim_start_matches("officer: ");
            Err(BenchError::Worker(format!("{}, {}: {said}", row.name, kind.name())).into())
        }
    }
}

fn to_json(measured: &[(&Row, Vec<Cell>)]) -> Value {
    let mut rows = serde_json::Map::new();
    for (row, cells) in measured {
        let runs: serde_json::Map<String, Value> =
            cells.iter().map(|cell| (cell.kind.name().to_owned(), cell.runs.clone().into())).collect();
        rows.insert(row.name.to_owned(), runs.into());
    }
    json!({ "machine": shown::machine(), "rows": rows })
}
