//! What can go wrong with a server in the background.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::{fmt, io};

use rustix::process::Pid;

use crate::console::Failure;
use crate::console::shown::Shown;

/// Why it can't be started, stopped or asked about. Each is one line that says what to do.
#[derive(Debug)]
pub(in crate::cli) enum ServiceError {
    /// The directory of the pid file can't be used.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no such directory for the pid file.
    DirectoryMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The directory that would be ours belongs to somebody else, or others may write to it.
    DirectoryOfOthers {
        /// The directory.
        path: PathBuf,
    },
    /// The pid file can't be read, written or locked.
    PidFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A server is already running.
    Running {
        /// The process; none when it can't be seen from here.
        pid: Option<Pid>,
        /// Its pid file.
        path: PathBuf,
    },
    /// A server is running where this process can't see it, such as in another container.
    OutOfSight {
        /// Its pid file.
        path: PathBuf,
    },
    /// The pid file can't be locked, and not because of a server.
    Busy {
        /// The process that has a lock on it, if it can be seen.
        pid: Option<Pid>,
        /// The pid file.
        path: PathBuf,
    },
    /// There is no pid file, and not all processes that could be its server can be seen.
    Unseen {
        /// The pid file.
        path: PathBuf,
    },
    /// Whether a server is running can't be told, for this reason.
    Unknown(Box<ServiceError>),
    /// Somebody else's server can't be sent a signal.
    NotAllowed {
        /// The process.
        pid: Pid,
    },
    /// Not even SIGKILL has ended it.
    Survives {
        /// The process.
        pid: Pid,
    },
    /// There is no server that could reload.
    NotRunning {
        /// Where its pid file would be.
        path: PathBuf,
    },
    /// The server doesn't say what it does: it has only just begun, or what it writes for that was removed.
    Mute {
        /// The process.
        pid: Pid,
        /// The file that it writes.
        path: PathBuf,
    },
    /// The server did not reload, and goes on as before.
    Refused {
        /// Why.
        reason: String,
    },
    /// The server has not said in time whether it has reloaded.
    NoAnswer {
        /// The process.
        pid: Pid,
    },
    /// The server ended while it was to reload.
    Ended {
        /// The process.
        pid: Pid,
    },
    /// The new server ended before it listened, without saying why.
    NoReason {
        /// How it ended.
        status: ExitStatus,
    },
}

impl ServiceError {
    /// As init scripts have it: 4 means that the privileges don't suffice.
    fn exit_code(&self) -> u8 {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match self {
            ServiceError::NotAllowed { .. } | ServiceError::Unknown(_) => 4,
            ServiceError::NotRunning { .. } => 3,
            ServiceError::Directory { error, .. } | ServiceError::PidFile { error, .. } if is_denied(error) => 4,
            _ => 1,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Directory { path, error } => {
                write!(
                    f,
                    "the directory {path:?} can't be used for a pid file ({error}); choose another with --pid-dir"
                )
            }
            ServiceError::DirectoryMissing { path } => {
                write!(f, "there is no directory {path:?} for the pid file; create it or choose another with --pid-dir")
            }
            ServiceError::DirectoryOfOthers { path } => write!(
                f,
                "{path:?} is not a directory of yours that nobody else can write to; choose another with --pid-dir"
            ),
            ServiceError::PidFile { path, error } => {
                write!(f, "the pid file {path:?} can't be used ({error}); choose another directory with --pid-dir")
            }
            ServiceError::Running { pid, path } => {
                f.write_str("already running")?;
                if let Some(pid) = pid {
                    write!(f, ", as process {pid}")?;
                }
                write!(f, " (pid file {path:?}); use 'officer restart', or choose another directory with --pid-dir")
            }
            ServiceError::OutOfSight { path } => write!(
                f,
                "the server of {path:?} is running, but its process can't be seen from here; do this where it was started"
            ),
            ServiceError::Busy { pid, path } => {
                write!(f, "no server is running with the pid file {path:?}, but ")?;
                match pid {
                    Some(pid) => write!(f, "process {pid} has a lock on it; end that process, or remove the file"),
                    None => f.write_str("somebody has a lock on it; remove the file"),
                }
            }
            ServiceError::Unseen { path } => write!(
                f,
                "there is no pid file {path:?}, but it may have been removed, and not all processes that could be its server \
                 can be seen from here; do this as the user who started it, or as root"
            ),
            ServiceError::Unknown(error) => error.fmt(f),
            ServiceError::NotAllowed { pid } => {
                write!(f, "no permission to signal process {pid}; do this as the user who started it, or as root")
            }
            ServiceError::Survives { pid } => {
                write!(
                    f,
                    "process {pid} is still there after SIGKILL; the system keeps it, see 'ps -o stat,wchan -p {pid}'"
                )
            }
            ServiceError::NotRunning { path } => write!(
                f,
                "no server is running with the pid file {path:?}; start it with 'officer start', or send SIGHUP to a server in \
                 the foreground"
            ),
            ServiceError::Mute { pid, path } => write!(
                f,
                "process {pid} has not written {path:?}, so it can't say how a reload goes; try again, or send it SIGHUP and \
                 look at its log"
            ),
            ServiceError::Refused { reason } => {
                write!(f, "not reloaded, the server goes on as before: {}", Shown(reason))
            }
            ServiceError::NoAnswer { pid } => {
                write!(
                    f,
                    "process {pid} has not said whether it has reloaded; look at its log, and whether it is stopped"
                )
            }
            ServiceError::Ended { pid } => {
                write!(f, "process {pid} has ended; start the server with 'officer start'")
            }
            ServiceError::NoReason { status } => {
                write!(
                    f,
                    "the server ended before it listened ({status}); 'officer run' in the foreground may show why"
                )
            }
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Failure::Specific { exit_code: error.exit_code(), error: Box::new(error) }
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServiceError::Directory { error, .. } | ServiceError::PidFile { error, .. } => Some(error),
            _ => None,
        }
    }
}
