//! `officer bench pair`: each connection locks and unlocks keys of its own.

use std::env;
use std::ffi::OsString;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use mio::Poll;
use serde_json::json;

use super::closed_loop::ClosedLoop;
use super::crew::{self, Crew, Worker};
use super::drive::{self, Marks, Plan, Spent, nanos};
use super::options::{LoadOptions, TargetOptions, count, pairs, prepare, processes, share};
use super::report::Report;
use super::script::{Protocol, Script};
use super::tally::Tally;
use super::target::Target;
use crate::cli::Failure;

const MEASURED: &str = "\
What is measured: a pair is a lock and its unlock. With one in flight, the unlock is sent when the lock was answered, as \
by a program that does something in between; with more, both are written at once, and as many pairs again as were \
answered. A pair's latency is the time from writing its first request to having read its last answer. The load is a \
closed loop: a connection sends the next pair when one is answered, so a server that stalls is asked less meanwhile, and \
one stall is one slow pair for each that was in flight. The percentiles are those of clients that wait for their answers, \
not of requests that come at their own pace.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    /// Pairs that each connection has in flight
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count(), help_heading = "Load")]
    in_flight: usize,

    /// Keys that each connection takes in turn [default: as many as pairs in flight]
    #[arg(short, long, value_name = "COUNT", value_parser = count(), help_heading = "Load")]
    keys: Option<usize>,

    /// Pairs to do, of all connections together, instead of a time
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds", help_heading = "Load")]
    #[arg(value_parser = pairs())]
    pairs: Option<usize>,

    /// Processes that share the connections: one may have only so many descriptors, and use only one CPU
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = processes(), help_heading = "Load")]
    processes: usize,

    #[arg(long, hide = true)]
    worker: Option<Worker>,

    /// What the server speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    match options.worker {
        Some(worker) => work(options, worker),
        None => measure(options),
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    prepare(options.load.pin, options.load.connections.div_ceil(options.processes))?;
    let target = options.target.target()?;
    let server = options.target.server(&target)?;
    let mut tally = Tally::new();
    let spent = if options.processes > 1 {
        share_out(options, server, &mut tally)?
    } else {
        let (mut load, mut poll) = connect(options, &target, Worker { number: 0, of: 1 })?;
        let plan = Plan::new(options.pairs, &options.load);
        drive::drive(&mut load, &mut poll, plan, server, &mut tally)?
    };
    let report = options.report(&target).with_pairs(&tally, spent, server);
    report.print(options.load.json)?;
    report.verdict()
}

/// Makes a worker's part of the connections.
fn connect(options: &Options, target: &Target, worker: Worker) -> Result<(ClosedLoop, Poll), Failure> {
    let poll = Poll::new().map_err(Failure::System)?;
    let mut load = ClosedLoop::new();
    let (connections, keys) = (options.load.connections, options.keys());
    for number in worker.part(0..connections) {
        let script = Script::pairs(options.protocol, number * keys..(number + 1) * keys, options.in_flight);
        let quota = options.pairs.map_or(usize::MAX, |pairs| share(pairs, connections, number));
        load.connect(target, &poll, script, options.in_flight, quota)?;
    }
    Ok((load, poll))
}

/// Has several processes make the load, and adds up what they have measured.
fn share_out(options: &Options, server: Option<u32>, tally: &mut Tally) -> Result<Spent, Failure> {
    let interrupted = drive::interruption().map_err(Failure::System)?;
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let mut crew = Crew::start(&args, options.processes)?;
    crew.ask("connect")?;
    crew.order("go")?;
    // Who meets with nothing but wrong answers ends before its time.
    crew.dismiss();
    if options.pairs.is_none() {
        drive::pass(options.load.warm_up.0, "warming up", || interrupted.load(Ordering::Relaxed) || crew.have_ended());
    }
    let begun = Marks::take(server);
    if options.pairs.is_none() {
        drive::pass(options.load.seconds.0, "measuring", || interrupted.load(Ordering::Relaxed) || crew.have_ended());
    }
    let ended = begun.spent(server);
    let mut spent = Spent { own: Duration::ZERO, time: Duration::ZERO, processes: options.processes, ..ended };
    for answer in crew.answers()? {
        spent.own += Duration::from_nanos(answer["own"].as_u64().unwrap_or(0));
        spent.time = spent.time.max(Duration::from_nanos(answer["time"].as_u64().unwrap_or(0)));
        spent.is_interrupted |= answer["interrupted"].as_bool().unwrap_or(false);
        tally.add(&answer);
    }
    if options.pairs.is_some() {
        spent.server = begun.spent(server).server;
    }
    Ok(spent)
}

/// Measures a part, when it is told to.
fn work(options: &Options, worker: Worker) -> Result<(), Failure> {
    prepare(options.load.pin, options.load.connections.div_ceil(worker.of))?;
    let target = options.target.target()?.from(worker.number);
    let (mut load, mut poll) = connect(options, &target, worker)?;
    crew::obey(|order| {
        if order == "connect" {
            return Ok(json!({}));
        }
        let plan = match options.pairs {
            Some(pairs) => Plan::Count(worker.part(0..pairs).len()),
            None => Plan::new(None, &options.load),
        };
        let mut tally = Tally::new();
        let spent = drive::drive(&mut load, &mut poll, plan, None, &mut tally)?;
        let mut answer = tally.to_json();
        answer["own"] = nanos(spent.own).into();
        answer["time"] = nanos(spent.time).into();
        answer["interrupted"] = spent.is_interrupted.into();
        Ok(answer)
    })
}

impl Options {
    fn keys(&self) -> usize {
        self.keys.unwrap_or(self.in_flight)
    }

    fn report(&self, target: &Target) -> Report {
        Report::new("pair", target.shown())
            .with("protocol", self.protocol.name())
            .with("connections", self.load.connections)
            .with("in_flight", self.in_flight)
            .with("keys", self.keys())
    }
}
