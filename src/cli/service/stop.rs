//! `officer stop`: ends the server in the background, and waits until it is gone.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::pid_file::{ATTEMPTS, PAUSE, PidFile, State, anybody, is_held_by, look};
use super::{PidOptions, ServiceError};
use crate::console::Failure;
use crate::console::values::{Seconds, seconds_above_zero};

const AFTER: &str = "\
The server gets SIGTERM, and ends within a second unless something is wrong. A server that is still there after \
--stop-timeout gets SIGKILL. Either way its locks are free, and its clients find their connections closed.

Exit status:
  0  the server has ended, or was not running
  1  it could not be stopped
  2  the command line is wrong
  4  no permission to stop it, or it can't be told whether it is running";

/// When to say that it takes long.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long SIGKILL may take: the system frees the memory and closes the connections.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pid: PidOptions,

    #[command(flatten)]
    timeout: TimeoutOptions,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Background")]
pub(super) struct TimeoutOptions {
    /// How long the server may take to end after SIGTERM, before it gets SIGKILL
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds_above_zero)]
    stop_timeout: Seconds,
}

pub(in crate::cli) fn run(options: &Options) -> Result<(), Failure> {
    stop(&options.pid, &options.timeout).map(|_| ())
}

/// Returns the process that has ended, if there was one.
pub(super) fn stop(pid: &PidOptions, timeout: &TimeoutOptions) -> Result<Option<Pid>, Failure> {
    let path = pid.pid_file()?;
    let end = end(&path, timeout.stop_timeout.0)?;
    // Done is done, and there may be a start to come.
    let _ = writeln!(io::stdout(), "officer: {end}");
    Ok(end.process())
}

/// How the server of a pid file was found, or how it ended.
enum End {
    /// There was none, and perhaps something else to tell.
    Absent(String),
    /// There was none, and the pid file that it had left is removed.
    Stale,
    Ended(Pid),
}

impl End {
    fn process(&self) -> Option<Pid> {
        match self {
            End::Ended(pid) => Some(*pid),
            End::Absent(_) | End::Stale => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Absent(why) => write!(f, "no server is running: {why}"),
            End::Stale => f.write_str("no server is running; removed the pid file of a server that did not clean up"),
            End::Ended(pid) => write!(f, "process {pid} has ended"),
        }
    }
}

/// Ends the server of this pid file, if there is one.
fn end(path: &Path, timeout: Duration) -> Result<End, ServiceError> {
    let mut attempts = 0..ATTEMPTS;
    let process = loop {
        match look(path)? {
            State::Absent(search) if search.is_conclusive(path) => {
                return Ok(End::Absent(format!("there is no pid file {path:?}{search}")));
            }
            State::Absent(_) => {
                return Err(ServiceError::Unknown(Box::new(ServiceError::Unseen { path: path.to_owned() })));
            }
            State::Stale => match take_stale(path) {
                // Removed, for the lock is now ours.
                Ok(_) => return Ok(End::Stale),
                Err(ServiceError::Running { .. }) => {}
                Err(error) => return Err(error),
            },
            State::Running(None) => return Err(ServiceError::OutOfSight { path: path.to_owned() }),
            State::Running(Some(pid)) | State::Removed(pid) => {
                if let Some(process) = Process::of(pid, path)? {
                    break process;
                }
            }
        }
        // Somebody else has it by now, and could go on so.
        attempts.next().ok_or_else(|| ServiceError::Busy { pid: anybody(path), path: path.to_owned() })?;
        thread::sleep(PAUSE);
    };
    let pid = process.pid;
    process.signal(Signal::TERM)?;
    if !is_gone(path, pid, timeout.min(PATIENCE))? {
        say(&format!("process {pid} takes long to end; waiting"));
        if !is_gone(path, pid, timeout.saturating_sub(PATIENCE))? {
            say(&format!("process {pid} has not ended in {timeout:?}; killing it"));
            process.signal(Signal::KILL)?;
            if !is_gone(path, pid, KILL_TIMEOUT)? {
                return Err(ServiceError::Survives { pid });
            }
        }
    }
    // A server that was killed, or had only just begun, could not clean up. If another is there by now, its file stays.
    if look(path)? == State::Stale {
        let _ = take_stale(path);
    }
    Ok(End::Ended(pid))
}

/// Takes a file that a server has left. For a moment this process holds it, and another 'officer stop' may take it for a
/// server: its signal must not end this process, which may have a server to start.
fn take_stale(path: &Path) -> Result<(PidFile, Option<String>), ServiceError> {
    let _ = signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::default());
    PidFile::take(path)
}

/// Waits until this process no longer has the file.
fn is_gone(path: &Path, pid: Pid, timeout: Duration) -> Result<bool, ServiceError> {
    let give_up = Instant::now() + timeout;
    while is_held_by(path, pid)? {
        if Instant::now() >= give_up {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "officer: {line}");
}

/// The process that holds a pid file.
pub(super) struct Process {
    pub(super) pid: Pid,
    /// Stands for this process even when it is gone and its number is another's.
    #[cfg(target_os = "linux")]
    handle: Option<rustix::fd::OwnedFd>,
}

impl Process {
    /// None: it has ended just now, or is another process.
    pub(super) fn of(pid: Pid, path: &Path) -> Result<Option<Process>, ServiceError> {
        let process = Process {
            pid,
            // Old kernels have none.
            #[cfg(target_os = "linux")]
            handle: rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok(),
        };
        // If the lock still belongs to this number, the process that was just opened is the one that holds it.
        Ok(is_held_by(path, pid)?.then_some(process))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), ServiceError> {
        #[cfg(target_os = "linux")]
        let sent = match &self.handle {
            Some(handle) => rustix::process::pidfd_send_signal(handle, signal),
            None => rustix::process::kill_process(self.pid, signal),
        };
        #[cfg(not(target_os = "linux"))]
        let sent = rustix::process::kill_process(self.pid, signal);
        match sent {
            Err(Errno::PERM) => Err(ServiceError::NotAllowed { pid: self.pid }),
            // Otherwise it is gone, which is what was wanted.
            _ => Ok(()),
        }
    }
}
