//! `officer restart`: `stop` and then `start`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use super::start;
use super::stop::{self, TimeoutOptions};
use crate::cli::Failure;

const AFTER: &str = "\
It does what 'officer stop' does, with the pid directory of these options, and then what 'officer start' does with all of \
them. Nothing is kept of the options that the server had before: give them again, or have them in the environment \
(OFFICER_PORT, ...). All locks are free after it.

Exit status:
  0  the new server listens
  1  the old one could not be ended, or the new one can't be started
  2  the command line is wrong; nothing was done
  4  no permission to end the old one, or to use the directory or the pid file";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
#[group(skip)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pub(super) start: start::Options,

    #[command(flatten)]
    timeout: TimeoutOptions,
}

/// `args` are those that the options were made of.
pub(in crate::cli) fn run(options: &Options, args: &[OsString]) -> Result<ExitCode, Failure> {
    stop::stop(&options.start.pid, &options.timeout)?;
    start::run(args)
}
