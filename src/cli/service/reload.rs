//! `officer reload`: has the server in the background read its files again, and waits for the result.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::Signal;

use super::info::{self, Info};
use super::pid_file::{ATTEMPTS, PAUSE, State, anybody, is_held_by, look};
use super::stop::Process;
use super::{PidOptions, ServiceError};
use crate::console::Failure;

const AFTER: &str = "\
The server opens its log file again, as at SIGHUP, and reads its users and its files for TLS. If something is wrong with \
them, it goes on as before, and this command says what. All locks stay. Under a service manager use its own command, such as 'systemctl reload'.

Exit status:
  0  the server uses what it has read
  1  it goes on as before, or has not answered within 10 s
  2  the command line is wrong
  3  no server is running
  4  no permission to signal it, or it can't be told whether it is running";

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pid: PidOptions,
}

pub(in crate::cli) fn run(options: &Options) -> Result<(), Failure> {
    let path = options.pid.pid_file()?;
    let process = find(&path)?;
    reload(&process, &path)?;
    // Done is done.
    let _ = writeln!(io::stdout(), "officer: process {} has reloaded", process.pid);
    Ok(())
}

/// The server of this pid file.
fn find(path: &Path) -> Result<Process, ServiceError> {
    for _ in 0..ATTEMPTS {
        match look(path)? {
            State::Stale => return Err(ServiceError::NotRunning { path: path.to_owned() }),
            State::Absent(search) if search.is_conclusive(path) => {
                return Err(ServiceError::NotRunning { path: path.to_owned() });
            }
            State::Absent(_) => {
                return Err(ServiceError::Unknown(Box::new(ServiceError::Unseen { path: path.to_owned() })));
            }
            State::Running(None) => return Err(ServiceError::OutOfSight { path: path.to_owned() }),
            State::Running(Some(pid)) | State::Removed(pid) => {
                if let Some(process) = Process::of(pid, path)? {
                    return Ok(process);
                }
            }
        }
        // Another one has it by now.
        thread::sleep(PAUSE);
    }
    Err(ServiceError::Busy { pid: anybody(path), path: path.to_owned() })
}

/// The server counts its reloads when they begin and when they are over. A reload that has begun before we look may have read
/// its files before they were changed, and its result says nothing; one that begins later has read them after that.
fn reload(process: &Process, path: &Path) -> Result<(), ServiceError> {
    let pid = process.pid;
    let give_up = Instant::now() + TIMEOUT;
    // One that has only just begun would be ended by the signal. What it writes once it listens is the sign that it is not.
    let begun = loop {
        match Info::of(pid, path) {
            Some(info) => break info.reloads_begun,
            None if !is_held_by(path, pid)? => return Err(ServiceError::Ended { pid }),
            None if Instant::now() >= give_up => return Err(ServiceError::Mute { pid, path: info::path(path) }),
            None => thread::sleep(PAUSE),
        }
    };
    process.signal(Signal::HUP)?;
    loop {
        match Info::of(pid, path) {
            Some(Info { reloads, refused, .. }) if reloads > begun => {
                return refused.map_or(Ok(()), |reason| Err(ServiceError::Refused { reason }));
            }
            _ if !is_held_by(path, pid)? => return Err(ServiceError::Ended { pid }),
            _ if Instant::now() >= give_up => return Err(ServiceError::NoAnswer { pid }),
            _ => thread::sleep(PAUSE),
        }
    }
}
