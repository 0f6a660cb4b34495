//! Programs that end with the process that started them, however that ends: a killed benchmark leaves no server behind,
//! and no load generator.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::console::Failure;

/// The first argument of a process that becomes another program. It is followed by the process that it is tied to, the
/// program, and its arguments.
pub(crate) const TIED: &str = "tied";

/// A command that runs a program in a process which ends with this one.
///
/// The tie survives `exec` but not `fork`, so this program runs in between.
pub(super) fn command(program: impl AsRef<OsStr>) -> Result<Command, Failure> {
    let mut command = Command::new(env::current_exe().map_err(Failure::System)?);
    command.arg(TIED).arg(process::id().to_string()).arg(program);
    Ok(command)
}

/// This program again, tied to this process.
pub(super) fn officer() -> Result<Command, Failure> {
    command(env::current_exe().map_err(Failure::System)?)
}

/// In the process in between: returns only if it can't execute the program.
pub(crate) fn run(args: &[OsString]) -> Result<(), Failure> {
    let [parent, program, args @ ..] = args else {
        return Err(Failure::Usage("this is internal to 'officer bench'; see 'officer bench --help'".to_owned()));
    };
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| Failure::System(error.into()))?;
    // It may have ended already.
    if getppid().is_none_or(|pid| *parent != *pid.as_raw_nonzero().to_string()) {
        return Err(Failure::System(io::Error::other("the process that started this one has ended")));
    }
    let error = Command::new(program).args(args).exec();
    Err(Failure::NotStarted { command: program.display().to_string(), error })
}
