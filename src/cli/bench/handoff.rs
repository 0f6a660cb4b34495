//! `officer bench handoff`: locks that go from hand to hand.

use clap::{Args, ValueEnum};
use mio::Poll;

use super::closed_loop::ClosedLoop;
use super::drive::{self, Plan};
use super::options::{LoadOptions, TargetOptions, count, pairs, prepare, share};
use super::report::Report;
use super::script::{Protocol, Script};
use super::tally::{HandOvers, Tally};
use crate::cli::Failure;

const MEASURED: &str = "\
What is measured: every connection asks for its lock, hands it on as soon as it has it, and asks again when that was \
answered; the connections share the locks evenly. A hand-over is the time from one grant of a lock to its next, to \
another connection: the unlock's way to the server, and the grant's way back. A pair's latency is that of the lock and \
unlock of one connection, most of which it stands in the queue. Against 'officer bench floor ring', with --protocol \
floor, the same is done by a server that hands on without looking at what it is sent.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    /// Locks that are handed around
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count(), help_heading = "Load")]
    locks: usize,

    /// Hand-overs to do, of all locks together, instead of a time
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds", help_heading = "Load")]
    #[arg(value_parser = pairs())]
    pairs: Option<usize>,

    /// What the server speaks; only these can wait
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Queueing,
}

/// The protocols in which a client can wait for a lock.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Queueing {
    /// Officer's own
    Officer,
    /// What 'officer bench floor ring' answers to Officer's requests
    Floor,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    prepare(options.load.pin, options.load.connections)?;
    let target = options.target.target()?;
    let server = options.target.server(&target)?;
    let connections = options.load.connections;
    let protocol = match options.protocol {
        Queueing::Officer => Protocol::Officer,
        Queueing::Floor => Protocol::Floor,
    };
    let mut poll = Poll::new().map_err(Failure::System)?;
    let mut load = ClosedLoop::new();
    for number in 0..connections {
        let lock = number % options.locks;
        let script = Script::pairs(protocol, lock..lock + 1, 1);
        let quota = options.pairs.map_or(usize::MAX, |pairs| share(pairs, connections, number));
        load.connect(&target, &poll, script, 1, quota)?;
    }
    let plan = Plan::new(options.pairs, &options.load);
    let mut tally = Tally::new();
    tally.hand_overs = Some(HandOvers::new(options.locks));
    let spent = drive::drive(&mut load, &mut poll, plan, server, &mut tally)?;
    let report = Report::new("handoff", target.shown())
        .with("protocol", protocol.name())
        .with("connections", connections)
        .with("locks", options.locks)
        .with_pairs(&tally, spent, server);
    report.print(options.load.json)?;
    report.verdict()
}
