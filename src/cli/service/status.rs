//! `officer status`: whether a server runs in the background.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::pid_file::{State, look};
use super::{PidOptions, ServiceError};
use crate::cli::Failure;

const AFTER: &str = "\
That the process is there says little about whether it answers: for that there is 'officer ping'.

Exit status:
  0  it runs
  1  it does not run, but has left its pid file: it did not end by itself
  2  the command line is wrong
  3  it does not run
  4  that can't be told";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pid: PidOptions,
}

pub(in crate::cli) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let known = options.pid.pid_file().and_then(|path| Ok((look(&path)?, path)));
    let (state, path) = known.map_err(|error| ServiceError::Unknown(Box::new(error)))?;
    let (code, told) = match state {
        State::Running(Some(pid)) => (0, format!("it runs, as process {pid}")),
        State::Running(None) => (0, "it runs, where its process can't be seen from here".to_owned()),
        State::Stale => (1, format!("it does not run, but did not clean up either: {path:?} is left")),
        State::Absent => (3, "it does not run".to_owned()),
    };
    // The exit status is the answer; an error of stdout's would be taken for another one.
    let _ = writeln!(io::stdout(), "officer: {told}");
    Ok(ExitCode::from(code))
}
