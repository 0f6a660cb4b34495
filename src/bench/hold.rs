//! `officer bench hold`: what silent connections cost that hold a lock.

use std::sync::atomic::Ordering;

use clap::Args;
use serde_json::{Value, json};

use super::crew;
use super::holders::Holders;
use super::holding::Holding;
use super::options::{self, HoldOptions, TargetOptions, count};
use super::script::Protocol;
use super::worker::Worker;
use super::{drive, process};
use crate::console::Failure;
use crate::console::values::{Seconds, seconds_above_zero};

const MEASURED: &str = "\
What is measured: each connection takes its locks and is then silent. The rate is that of connections with one lock \
taken, of which at most 64 are not answered yet. The memory of a connection is the difference of the server's \
resident memory between all connections and the first of them, divided by their number. The server's processor time \
is that while all are silent, the load generator's that of making them. At the end everything is released, which \
shows that it was held.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: HoldOptions,

    /// Number of connections after which memory is counted [default: an eighth]
    #[arg(long, value_name = "COUNT", value_parser = count(), help_heading = "Load")]
    first: Option<usize>,

    /// Locks that each connection holds, at most 64
    #[arg(short, long, value_name = "COUNT", default_value = "1", help_heading = "Load")]
    #[arg(value_parser = options::locks())]
    locks: usize,

    /// How long the connections are silent
    #[arg(short, long, value_name = "SECONDS", default_value = "3", help_heading = "Load")]
    #[arg(value_parser = seconds_above_zero)]
    seconds: Seconds,

    /// Protocol of the server
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,

    #[arg(long, hide = true)]
    worker: Option<Worker>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match options.worker {
        Some(worker) => work(options, worker),
        None => measure(options),
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let (load, connections) = (&options.load, options.load.connections);
    let mut crew = Holding::start(&options.target, load, options.locks, options.protocol)?;
    let server = crew.server;
    let first = options.first.unwrap_or(connections / 8).clamp(1, connections);
    let memory = || server.and_then(|pid| process::resident_bytes(pid).ok());
    let interrupted = drive::interruption().map_err(Failure::System)?;

    let begun = crew.marks();
    crew.open(0..first)?;
    let first_memory = memory();
    crew.open(first..connections)?;
    let made = crew.spent(begun);
    let all_memory = memory();
    let begun = crew.marks();
    drive::pass(options.seconds.0, "silent", || interrupted.load(Ordering::Relaxed));
    let silent = crew.spent(begun);
    crew.release()?;

    let mut report = crew
        .report("hold")
        .with("protocol", options.protocol.name())
        .with("first", first)
        .with("interrupted", interrupted.load(Ordering::Relaxed));
    let more = connections - first;
    let slope = all_memory.zip(first_memory).filter(|_| more > 0);
    let slope = slope.map(|(all, first)| (all as f64 - first as f64) / more as f64);
    if let Some(slope) = slope {
        let text = format!("{slope:.0} bytes per connection (from {first} to {connections})");
        report = report.line("memory", text);
    }
    let idle_share = silent.server.map(|idle| idle.as_secs_f64() / silent.time.as_secs_f64());
    if let Some(share) = idle_share {
        report = report.line("idle", format!("{:.2} % of a CPU in {:.1} s", share * 100.0, silent.time.as_secs_f64()));
    }
    let process = server.map(|pid| {
        json!({
            "pid": pid,
            "bytes_per_connection": slope,
            "idle_cpu": idle_share,
            "idle_cpu_ms": silent.server.map(|idle| idle.as_secs_f64() * 1e3),
            "cpu_us_per_connection_made": made.server.map(|time| time.as_secs_f64() * 1e6 / connections as f64),
            "resident_bytes": all_memory,
        })
    });
    report.with("server", process.unwrap_or(Value::Null)).with_generator(made).print(load.json)
}

/// Holds locks as ordered.
fn work(options: &Options, worker: Worker) -> Result<(), Failure> {
    options::prepare(options.load.pin, options.load.connections.div_ceil(worker.of))?;
    let target = options.target.target(options.protocol)?.from(worker.number);
    let mut holders = Holders::new(options.protocol, options.locks)?;
    // Ctrl-C at a terminal is sent to all processes; the main one decides, and its next order says so.
    crew::serve_orders(|order| {
        let words: Vec<&str> = order.split(' ').collect();
        match words.as_slice() {
            ["open", start, end] => {
                let (start, end) = (start.parse().unwrap_or(0), end.parse().unwrap_or(0));
                let took = holders.open(&target, worker.part(start..end))?;
                Ok(json!({ "seconds": took.as_secs_f64() }))
            }
            _ => holders.release().map(|()| json!({})),
        }
    })
}
