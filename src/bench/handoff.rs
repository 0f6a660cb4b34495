//! `officer bench handoff`: locks that are handed around.

use clap::Args;
use mio::Poll;

use super::closed_loop::ClosedLoop;
use super::load::Load;
use super::options::{LoadOptions, TargetOptions, count};
use super::report::Report;
use super::script::{Fields, OfficerProtocol, Pair, Protocol, Script};
use super::target::Target;
use crate::console::Failure;

const MEASURED: &str = "\
What is measured: every connection requests its lock, hands it on as soon as it has it, and requests it again when \
that was answered; the connections share the locks evenly. A hand-over is the time from one grant of a lock to the \
next, to another connection: the unlock's way to the server, and the grant's way back. A pair's latency is that of \
the lock and unlock of one connection, most of which it spends in the queue. Several processes read the same clock \
and keep every grant, of which the first two million are put in order at the end: later hand-overs are left out of \
the percentiles of --processes. With --protocol floor, 'officer bench floor ring' does the same without looking at \
what it receives.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    #[command(flatten)]
    fields: Fields,

    /// Number of locks that are handed around
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count(), help_heading = "Load")]
    locks: usize,

    /// Protocol of the server; only these can wait
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: OfficerProtocol,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let (protocol, fields) = (Protocol::from(options.protocol), options.fields);
    let script = |number| {
        let lock = number % options.locks;
        Script::new(lock, &[Pair::of_key(protocol, lock, fields, 0, 0)], 1)
    };
    let report = Report::new("handoff").with("locks", options.locks).with_fields(fields);
    let (target, load, locks) = (&options.target, &options.load, Some(options.locks));
    let connect = |target: &Target, poll: &Poll, worker| ClosedLoop::connect(target, poll, (load, worker), script, 1);
    Load { target, options: load, protocol, connect: &connect, locks }.run(report)
}
