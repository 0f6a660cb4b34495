//! The options that all workloads have.

use std::ffi::OsString;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::script::Protocol;
use super::target::Target;
use super::worker::Worker;
use super::{BenchError, process};
use crate::client::Options;
use crate::console::Failure;
use crate::console::access::AccessOptions;
use crate::console::address::AddressOptions;
use crate::console::values::{Seconds, seconds_above_zero};
use crate::net::descriptors;

/// Descriptors that are not connections: the standard streams, the poll, files of /proc.
const DESCRIPTORS_RESERVED: usize = 32;

#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct TargetOptions {
    #[command(flatten)]
    pub(super) address: AddressOptions,

    #[command(flatten)]
    pub(super) access: AccessOptions,

    /// Process id of the server, to show its processor time and memory [default: the process that listens there, if it
    /// is on this machine and can be found]
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
}

impl TargetOptions {
    /// Where the server is, how a client begins there, and whether the two fit the protocol.
    pub(super) fn target(&self, protocol: Protocol) -> Result<Target, Failure> {
        let (has_user, is_encrypted) = (self.access.has_user(), self.access.is_encrypted());
        if has_user && protocol != Protocol::Officer {
            return Err(Failure::Usage(format!("--user is for Officer; --protocol {} has no users", protocol.name())));
        }
        if is_encrypted && protocol == Protocol::Floor {
            return Err(Failure::Usage("--tls: the floor does not encrypt; leave one of them out".to_owned()));
        }
        Target::resolve(self.access.of(Options::new(self.address.address().clone()))?)
    }

    /// As another process of this program has to be given it.
    pub(super) fn to_args(&self) -> Vec<OsString> {
        [self.address.to_args(), self.access.to_args()].concat()
    }

    /// The server's process, if known.
    pub(super) fn server(&self, target: &Target) -> Result<Option<u32>, BenchError> {
        match self.server_pid {
            Some(pid) => match process::cpu_time(pid) {
                Ok(_) => Ok(Some(pid)),
                Err(error) => Err(BenchError::Process { pid, error }),
            },
            None => Ok(target.local().and_then(process::listener)),
        }
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Load")]
pub(super) struct LoadOptions {
    /// Connections
    #[arg(short, long, value_name = "COUNT", default_value = "50", value_parser = count())]
    pub(super) connections: usize,

    /// Duration of the measurement
    #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = seconds_above_zero)]
    pub(super) seconds: Seconds,

    /// Duration of the warm-up before it
    #[arg(long, value_name = "SECONDS", default_value = "0.5")]
    pub(super) warm_up: Seconds,

    /// Total number of pairs to do, instead of a duration
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds", value_parser = pairs())]
    pub(super) pairs: Option<usize>,

    /// Processes that share the connections: each has its own limit on descriptors, and uses one CPU
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = processes())]
    pub(super) processes: usize,

    #[arg(long, hide = true)]
    pub(super) worker: Option<Worker>,

    /// CPU that the load generator runs on
    #[arg(long, value_name = "CPU")]
    pub(super) pin: Option<usize>,

    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl LoadOptions {
    /// How many pairs the connection with this number does.
    pub(super) fn quota(&self, number: usize) -> usize {
        self.pairs.map_or(usize::MAX, |pairs| share(pairs, self.connections, number))
    }
}

/// The options of workloads whose connections hold locks.
#[derive(Args, Debug)]
#[command(next_help_heading = "Load")]
pub(super) struct HoldOptions {
    /// Connections that hold locks
    #[arg(short, long, value_name = "COUNT", default_value = "15000", value_parser = count())]
    pub(super) connections: usize,

    /// Processes that share the connections
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = processes())]
    pub(super) processes: usize,

    /// CPU that the load generator runs on
    #[arg(long, value_name = "CPU")]
    pub(super) pin: Option<usize>,

    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Locks that a connection holds.
pub(super) fn locks() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=64)
}

/// The share of the connection with this number.
fn share(whole: usize, connections: usize, number: usize) -> usize {
    whole / connections + usize::from(number < whole % connections)
}

pub(super) fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=10_000_000)
}

fn pairs() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 50)
}

/// Processes that make the load.
fn processes() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=256)
}

/// Prepares this process for this many connections: CPU and descriptors.
pub(super) fn prepare(pin: Option<usize>, connections: usize) -> Result<(), BenchError> {
    if let Some(cpu) = pin {
        process::pin(cpu).map_err(|error| BenchError::Pin { cpu, error })?;
    }
    let limit = usize::try_from(descriptors::raise_limit()).unwrap_or(usize::MAX);
    if connections.saturating_add(DESCRIPTORS_RESERVED) > limit {
        return Err(BenchError::Descriptors { wanted: connections, limit });
    }
    Ok(())
}
