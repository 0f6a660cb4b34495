//! `officer bench`: load for a lock server, and what it costs there. Also for other servers, and for servers that only
//! answer, so that there is something to compare the figures with.

mod bundle;
mod closed_loop;
mod connect;
mod connection;
mod crew;
mod drive;
mod error;
mod floor;
mod hand_overs;
mod handoff;
mod hold;
mod holders;
mod holding;
mod latency;
mod load;
mod opening;
mod options;
mod pair;
mod process;
mod progress;
mod reconnecting;
mod report;
mod script;
mod storm;
mod table;
mod tally;
mod target;
mod tied;
mod worker;

use clap::{Args, Subcommand};

pub(super) use self::tied::{TIED, run as run_tied};

use self::error::BenchError;
use crate::console::Failure;

#[derive(Args, Debug)]
#[command(arg_required_else_help = false)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each connection locks and unlocks keys of its own
    Pair(pair::Options),
    /// Each connection locks and unlocks several keys at once
    Bundle(bundle::Options),
    /// Each pair has a connection of its own
    Connect(connect::Options),
    /// Connections hand locks around
    Handoff(handoff::Options),
    /// Many connections hold a lock each and are silent
    Hold(hold::Options),
    /// Many connections end at once while another client continues
    Storm(storm::Options),
    /// Measure all of this next to Redis, memcached and the floors, as a table
    Table(table::Options),
    /// Run a server that only answers, to measure what the system allows
    #[command(subcommand, arg_required_else_help = false)]
    Floor(floor::Command),
}

pub(super) fn run(options: Options) -> Result<(), Failure> {
    match options.command {
        Command::Pair(options) => pair::run(&options),
        Command::Bundle(options) => bundle::run(&options),
        Command::Connect(options) => connect::run(&options),
        Command::Handoff(options) => handoff::run(&options),
        Command::Hold(options) => hold::run(&options),
        Command::Storm(options) => storm::run(&options),
        Command::Table(options) => table::run(&options),
        Command::Floor(command) => floor::run(command),
    }
}
