//! `officer restart`: `stop` and then `start`, if that is going to succeed as far as can be told.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use rustix::process::Pid;

use super::info::Info;
use super::pid_file::{State, look};
use super::start::{self, Plan};
use super::stop::{self, TimeoutOptions, say};
use crate::console::Failure;

const AFTER: &str = "\
First it checks, as far as it can while the old server runs, that the new one can start: the options, the log file, \
the users, the files for TLS, the state directory, the directory of the pid file and the addresses. If not, the old server goes on. Then it does what \
'officer stop' does, with the pid directory of these options, and what 'officer start' does with all of them. The new \
server keeps none of the options of the old one: give them again, or have them in the environment (OFFICER_PORT, ...). \
All locks are free after it.

Exit status:
  0  the new server listens
  1  the old one could not be stopped, or the new one can't be started
  2  the command line is wrong; nothing was done
  4  no permission to stop the old one, or to use the directory or the pid file";

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
    let plan = Plan::of(args)?;
    // Without a server nothing can be lost, and the start itself says what is wrong.
    if let State::Running(Some(pid)) | State::Removed(pid) = look(&plan.pid_file)? {
        let old = Info::of(pid, &plan.pid_file);
        plan.check(old.map(|old| old.bare_addresses()).as_deref())?;
    }
    let ended = stop::stop(&options.start.pid, &options.timeout)?;
    let started = start::run(args);
    if let Some(pid) = ended.filter(|_| !matches!(started, Ok(ExitCode::SUCCESS))) {
        say_lost(pid);
    }
    started
}

fn say_lost(pid: Pid) {
    say(&format!(
        "the old server, process {pid}, has ended and no new one has started: its locks are free, and clients can't connect \
         until there is one; start it with 'officer start'"
    ));
}
