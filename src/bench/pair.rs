//! `officer bench pair`: each connection locks and unlocks keys of its own.

use clap::Args;
use mio::Poll;

use super::closed_loop::ClosedLoop;
use super::load::Load;
use super::options::{LoadOptions, TargetOptions, count};
use super::report::Report;
use super::script::{Fields, Pair, Protocol, Script};
use super::target::Target;
use crate::console::Failure;

const MEASURED: &str = "\
What is measured: a pair is a lock and its unlock. With one in flight, the unlock is sent when the lock has been \
answered, as by a program that does something in between; with more, both are written at once, and as many pairs \
again as were answered. A pair's latency is the time from writing its first request to having read its last answer. \
The load is a closed loop: a connection sends the next pair when one is answered, so a stalled server gets fewer \
requests meanwhile, and one stall is one slow pair for each that was in flight. The percentiles are those of clients \
that wait for their answers, not of requests that arrive at their own pace. With --owner there are as many owners on a \
connection as it has pairs in flight, and they take turns.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    #[command(flatten)]
    fields: Fields,

    /// Pairs that each connection has in flight
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count(), help_heading = "Load")]
    in_flight: usize,

    /// Keys that each connection uses in turn [default: as many as pairs in flight]
    #[arg(short, long, value_name = "COUNT", value_parser = count(), help_heading = "Load")]
    keys: Option<usize>,

    /// Protocol of the server
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Options { protocol, fields, in_flight, .. } = *options;
    if !fields.are_known_to(protocol) {
        let line = format!("--id, --owner and --fence are Officer's; --protocol {} has none of them", protocol.name());
        return Err(Failure::Usage(line));
    }
    let keys = options.keys.unwrap_or(in_flight);
    let script = |number| {
        let first_key = number * keys;
        let pair = |number| Pair::of_key(protocol, first_key + number, fields, number, number % in_flight);
        Script::new(first_key, &(0..keys).map(pair).collect::<Vec<_>>(), in_flight)
    };
    let report = Report::new("pair").with("in_flight", in_flight).with("keys", keys).with_fields(fields);
    let (target, load) = (&options.target, &options.load);
    let connect =
        |target: &Target, poll: &Poll, worker| ClosedLoop::connect(target, poll, (load, worker), script, in_flight);
    Load { target, options: load, protocol, connect: &connect, locks: None }.run(report)
}
