//! `officer status`: whether a server runs in the background.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::info::Info;
use super::pid_file::{State, look};
use super::{PidOptions, ServiceError};
use crate::console::Failure;

const AFTER: &str = "\
It tells the process, since when it runs, its version, where it listens, and its pid file. That the process exists does not \
mean that it answers: 'officer ping' checks that.

Exit status:
  0  it is running
  1  it is not running, but has left its pid file: it did not end by itself
  2  the command line is wrong
  3  it is not running
  4  that can't be told";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pid: PidOptions,
}

pub(in crate::cli) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let known = options.pid.pid_file().and_then(|path| Ok((look(&path)?, path)));
    let unknown = |error| ServiceError::Unknown(Box::new(error));
    let (state, path) = known.map_err(unknown)?;
    let process = |pid| {
        let info = Info::of(pid, &path).map(|info| format!(" {info}")).unwrap_or_default();
        format!("running as process {pid}{info}")
    };
    let (code, told) = match state {
        State::Running(Some(pid)) => (0, format!("{} (pid file {path:?})", process(pid))),
        State::Running(None) => (0, format!("running, but its process can't be seen from here (pid file {path:?})")),
        State::Removed(pid) => (0, format!("{}; its pid file {path:?} was removed", process(pid))),
        State::Stale => (1, format!("not running, but it did not clean up: {path:?} is left")),
        State::Absent(search) if search.is_conclusive(&path) => {
            (3, format!("not running: there is no pid file {path:?}{search}"))
        }
        State::Absent(_) => return Err(unknown(ServiceError::Unseen { path }).into()),
    };
    // The exit status is the answer; an error of stdout would be taken for another one.
    let _ = writeln!(io::stdout(), "officer: {told}");
    Ok(ExitCode::from(code))
}
