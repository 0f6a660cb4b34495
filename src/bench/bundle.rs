//! `officer bench bundle`: each connection locks and unlocks several keys at once.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use mio::Poll;

use super::closed_loop::ClosedLoop;
use super::load::Load;
use super::options::{LoadOptions, TargetOptions, count};
use super::report::Report;
use super::script::{Fields, OfficerProtocol, Pair, Script};
use super::target::Target;
use crate::console::Failure;

const MEASURED: &str = "\
What is measured: a pair is a lock of several names at once and its unlock. Without --locks nobody else wants them, and \
it is as with 'officer bench pair'. With --locks, a connection takes some of the shared locks, hands them on as soon as \
it has them all, and takes others; it has one pair in flight, and its latency is mostly the wait for other connections. \
Which it takes is random, but the same in every run. With --protocol floor, 'officer bench floor echo' answers the same \
requests without looking at them, and nobody waits for anybody.";

/// Bundles of shared locks that a connection takes before it begins again.
const SHARED_ROUND: usize = 64;

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    #[command(flatten)]
    fields: Fields,

    /// Locks that are taken at once
    #[arg(short, long, value_name = "COUNT", default_value = "2", value_parser = names(), help_heading = "Load")]
    names: usize,

    /// Number of locks that the connections share [default: each has locks of its own]
    #[arg(short, long, value_name = "COUNT", value_parser = count(), help_heading = "Load")]
    locks: Option<usize>,

    /// Pairs that each connection has in flight
    #[arg(
        short,
        long,
        value_name = "COUNT",
        default_value = "1",
        value_parser = count(),
        conflicts_with = "locks",
        help_heading = "Load"
    )]
    in_flight: usize,

    /// Protocol of the server; only these take several locks at once
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: OfficerProtocol,
}

/// As many as a request may have.
fn names() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(2..=64)
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Options { names, locks, in_flight, fields, protocol, .. } = *options;
    if let Some(locks) = locks
        && locks < names
    {
        return Err(Failure::Usage(format!("--locks must be at least as many as --names, which is {names}")));
    }
    let script = |connection| {
        let bundles: Vec<Vec<usize>> = match locks {
            Some(locks) => shared(connection, names, locks),
            None => (connection * in_flight..(connection + 1) * in_flight)
                .map(|bundle| (bundle * names..(bundle + 1) * names).collect())
                .collect(),
        };
        let pair = |(number, bundle): (usize, &Vec<usize>)| {
            Pair::of_keys(protocol, bundle, fields, number, number % in_flight)
        };
        Script::new(bundles[0][0], &bundles.iter().enumerate().map(pair).collect::<Vec<_>>(), in_flight)
    };
    let report = Report::new("bundle")
        .with("names", names)
        .with("locks", locks)
        .with("in_flight", in_flight)
        .with_fields(fields);
    let (target, load) = (&options.target, &options.load);
    let connect =
        |target: &Target, poll: &Poll, worker| ClosedLoop::connect(target, poll, (load, worker), script, in_flight);
    Load { target, options: load, protocol: protocol.into(), connect: &connect, locks: None }.run(report)
}

/// The bundles that a connection takes of shared locks: random, without repetition within one.
fn shared(connection: usize, names: usize, locks: usize) -> Vec<Vec<usize>> {
    let random = BuildHasherDefault::<DefaultHasher>::default();
    let bundle = |number: usize| {
        let mut bundle = Vec::with_capacity(names);
        for draw in 0_u64.. {
            let lock =
                usize::try_from(random.hash_one((connection, number, draw)) % locks as u64).expect("below locks");
            if !bundle.contains(&lock) {
                bundle.push(lock);
            }
            if bundle.len() == names {
                break;
            }
        }
        bundle
    };
    (0..SHARED_ROUND).map(bundle).collect()
}
