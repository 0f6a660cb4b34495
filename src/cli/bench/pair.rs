//! `officer bench pair`: each connection locks and unlocks keys of its own.

use clap::Args;
use mio::Poll;

use super::closed_loop::ClosedLoop;
use super::drive::{self, Plan};
use super::options::{LoadOptions, TargetOptions, count, share};
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
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pairs: Option<u64>,

    /// What the server speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    options.load.prepare(options.load.connections)?;
    let target = options.target.target()?;
    let server = options.target.server(&target)?;
    let connections = options.load.connections;
    let mut poll = Poll::new().map_err(Failure::System)?;
    let mut load = ClosedLoop::new();
    let keys = options.keys();
    for number in 0..connections {
        let script = Script::pairs(options.protocol, number * keys..(number + 1) * keys, options.in_flight);
        let quota = options.pairs.map_or(u64::MAX, |pairs| share(pairs, connections, number));
        load.connect(&target, &poll, script, options.in_flight, quota)?;
    }
    let plan = Plan::new(options.pairs, &options.load);
    let mut tally = Tally::new();
    let spent = drive::drive(&mut load, &mut poll, plan, server, &mut tally)?;
    let report = options.report(&target).with_pairs(&tally, spent, server);
    report.print(options.load.json)?;
    report.verdict()
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
