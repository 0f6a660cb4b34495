//! `officer bench connect`: each pair has a connection of its own.

use clap::Args;
use mio::Poll;

use super::load::Load;
use super::options::{LoadOptions, TargetOptions};
use super::reconnecting::Reconnecting;
use super::report::Report;
use super::script::{Fields, Pair, Protocol, Script};
use super::target::Target;
use crate::console::Failure;

const MEASURED: &str = "\
What is measured: a connection is made, with TLS and a user if they are asked for, writes a lock and its unlock at once, \
and is closed when both are answered. Then the next is made in its place. The latency is the time from beginning to \
connect to the last answer. With --tls a connection resumes the TLS session of an earlier one, as clients that reconnect \
do, and the figures say how many did; with --full-handshake none does. What a handshake costs the server is the \
difference of its processor time for a pair from that without --tls.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    /// Resume no TLS session of an earlier connection
    #[arg(long, help_heading = "Load")]
    full_handshake: bool,

    /// Protocol of the server
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Options { protocol, full_handshake, .. } = *options;
    if full_handshake && !options.target.access.is_encrypted() {
        return Err(Failure::Usage("--full-handshake is for TLS; add --tls".to_owned()));
    }
    let script = |number| Script::new(number, &[Pair::of_key(protocol, number, Fields::default(), 0, 0)], 1);
    let (target, load) = (&options.target, &options.load);
    let connect = |target: &Target, poll: &Poll, worker| {
        let target = if full_handshake { target.clone().without_resumption() } else { target.clone() };
        Reconnecting::new(target, poll, (load, worker), script)
    };
    let report = Report::new("connect").with("full_handshake", full_handshake);
    Load { target, options: load, protocol, connect: &connect, locks: None }.run(report)
}
