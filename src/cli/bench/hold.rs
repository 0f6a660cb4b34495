//! `officer bench hold`: what connections cost that hold a lock and are silent.

use std::ffi::OsString;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::crew::{self, Crew, Worker};
use super::drive;
use super::holders::Holders;
use super::options::{self, TargetOptions, count};
use super::process;
use super::report::Report;
use super::script::Protocol;
use crate::cli::Failure;
use crate::cli::values::{Seconds, seconds_above_zero};

const MEASURED: &str = "\
What is measured: connections are made, each of which takes its locks and then is silent. The rate is that of connections \
with one lock taken, of which at most 64 are not answered yet. The memory of a connection is the difference of the \
server's resident memory between all connections and the first of them, divided by their number. The server's processor \
time is that of the time in which all are silent. In the end everything is released, which shows that it was held.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    /// Connections
    #[arg(short, long, value_name = "COUNT", default_value = "15000", value_parser = count(), help_heading = "Load")]
    connections: usize,

    /// The first of them, from which on memory is counted [default: an eighth]
    #[arg(long, value_name = "COUNT", value_parser = count(), help_heading = "Load")]
    first: Option<usize>,

    /// Locks that each of them holds
    #[arg(short, long, value_name = "COUNT", default_value = "1", help_heading = "Load")]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    locks: usize,

    /// How long they are silent
    #[arg(short, long, value_name = "SECONDS", default_value = "3", help_heading = "Load")]
    #[arg(value_parser = seconds_above_zero)]
    seconds: Seconds,

    /// What the server speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,

    /// Processes that share the connections
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = options::processes(), help_heading = "Load")]
    processes: usize,

    /// CPU that the load generator keeps to
    #[arg(long, value_name = "CPU", help_heading = "Load")]
    pin: Option<usize>,

    /// Print one line of JSON
    #[arg(long, help_heading = "Load")]
    json: bool,

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
    options::prepare(options.pin, options.connections.div_ceil(options.processes))?;
    let target = options.target.target()?;
    let server = options.target.server(&target)?;
    let interrupted = drive::interruption().map_err(Failure::System)?;
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut crew = Crew::start(&args, options.processes)?;
    let first = options.first.unwrap_or(options.connections / 8).clamp(1, options.connections);
    let memory = |server: Option<u32>| server.and_then(|pid| process::resident_bytes(pid).ok());
    let cpu = |server: Option<u32>| server.and_then(|pid| process::cpu_time(pid).ok());

    let start_cpu = cpu(server);
    let mut took = open(&mut crew, 0..first)?;
    let first_memory = memory(server);
    took += open(&mut crew, first..options.connections)?;
    let (all_memory, open_cpu) = (memory(server), cpu(server));
    let silent = drive::pass(options.seconds.0, "silent", || interrupted.load(Ordering::Relaxed));
    let idle = cpu(server).zip(open_cpu).map(|(now, then)| now.saturating_sub(then));
    crew.ask("release")?;

    let rate = options.connections as f64 / took.as_secs_f64();
    let mut report = Report::new("hold")
        .with("address", target.shown())
        .with("protocol", options.protocol.name())
        .with("connections", options.connections)
        .with("first", first)
        .with("locks", options.locks)
        .with("interrupted", interrupted.load(Ordering::Relaxed))
        .with("connections_per_second", rate)
        .line("made", format!("{rate:.0} connections per second, a lock taken by each"));
    let more = options.connections - first;
    let slope = all_memory.zip(first_memory).filter(|_| more > 0);
    let slope = slope.map(|(all, first)| (all as f64 - first as f64) / more as f64);
    if let Some(slope) = slope {
        let text = format!("{slope:.0} bytes per connection (from {first} to {})", options.connections);
        report = report.line("memory", text);
    }
    let idle_share = idle.map(|idle| idle.as_secs_f64() / silent.as_secs_f64());
    if let Some(share) = idle_share {
        report = report.line("idle", format!("{:.2} % of a CPU in {:.1} s", share * 100.0, silent.as_secs_f64()));
    }
    let making = open_cpu.zip(start_cpu).map(|(now, then)| now.saturating_sub(then));
    let process = server.map(|pid| {
        json!({
            "pid": pid,
            "bytes_per_connection": slope,
            "idle_cpu": idle_share,
            "idle_cpu_ms": idle.map(|idle| idle.as_secs_f64() * 1e3),
            "cpu_us_per_connection_made": making.map(|time| time.as_secs_f64() * 1e6 / options.connections as f64),
            "resident_bytes": all_memory,
        })
    });
    report.with("server", process.unwrap_or(Value::Null)).print(options.json)
}

/// Has the connections of these numbers made. Returns how long that took.
pub(super) fn open(crew: &mut Crew, numbers: Range<usize>) -> Result<Duration, Failure> {
    let answers = crew.ask(&format!("open {} {}", numbers.start, numbers.end))?;
    // They work at the same time, so it took as long as the slowest.
    let seconds = answers.iter().filter_map(|answer| answer["seconds"].as_f64()).fold(0.0, f64::max);
    Ok(Duration::from_secs_f64(seconds))
}

/// Holds what it is told to.
fn work(options: &Options, worker: Worker) -> Result<(), Failure> {
    options::prepare(options.pin, options.connections.div_ceil(worker.of))?;
    let target = options.target.target()?.from(worker.number);
    let mut holders = Holders::new(options.protocol, options.locks)?;
    // Ctrl-C at a terminal is sent to all processes; the first of them decides.
    let _ignored = drive::interruption().map_err(Failure::System)?;
    crew::obey(|order| {
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
