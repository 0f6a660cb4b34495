//! `officer bench handoff`: locks that are handed around.

use clap::{Args, ValueEnum};

use super::load::Load;
use super::options::{LoadOptions, TargetOptions, count};
use super::report::Report;
use super::script::{Protocol, Script};
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

    /// Number of locks that are handed around
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count(), help_heading = "Load")]
    locks: usize,

    /// Protocol of the server; only these can wait
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Queueing,
}

/// The protocols in which a client can wait for a lock.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Queueing {
    /// Officer's own
    Officer,
    /// The answers of 'officer bench floor ring' to Officer's requests
    Floor,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let protocol = match options.protocol {
        Queueing::Officer => Protocol::Officer,
        Queueing::Floor => Protocol::Floor,
    };
    let script = |number| {
        let lock = number % options.locks;
        Script::pairs(protocol, lock..lock + 1, 1)
    };
    let report = Report::new("handoff").with("protocol", protocol.name()).with("locks", options.locks);
    let (target, load, locks) = (&options.target, &options.load, Some(options.locks));
    Load { target, options: load, script: &script, in_flight: 1, locks }.run(report)
}
