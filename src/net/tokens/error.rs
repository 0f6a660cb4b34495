//! Why no tokens can be reserved.

use std::path::PathBuf;
use std::{fmt, io};

/// Why no tokens can be reserved. Each is one line that says what is wrong and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokensError {
    /// There is no such directory. It is not created: its path may be wrong, and then tokens could go back.
    DirectoryMissing {
        /// The directory.
        directory: PathBuf,
    },
    /// Another server uses the directory.
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The other server's process, if that is known.
        pid: Option<u32>,
    },
    /// The file does not say what was reserved before.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Any other error of the system about a file.
    File {
        /// The file.
        path: PathBuf,
        /// What we wanted to do with it.
        step: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// There is no file to continue from, and the clock is before 2020, or decades ahead.
    ClockOutOfRange,
    /// The next block would reach 2^53.
    Exhausted,
    /// There is no thread to reserve them in.
    Thread(io::Error),
}

/// Paths are shown with their control characters escaped, so that it stays one line.
impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokensError::DirectoryMissing { directory } => {
                write!(f, "there is no directory {directory:?}; create it or choose another with --state-dir")
            }
            TokensError::InUse { directory, pid } => {
                write!(f, "the state directory {directory:?} is in use by another server")?;
                if let Some(pid) = pid {
                    write!(f, ", process {pid}")?;
                }
                f.write_str("; stop it or choose another with --state-dir")
            }
            TokensError::Damaged { path } => write!(
                f,
                "the file of tokens {path:?} is damaged; move it away, and tokens begin at the clock, or choose another \
                 directory with --state-dir"
            ),
            TokensError::File { path, step, error } => {
                write!(f, "can't {step} {path:?} ({error}); make that possible or choose another with --state-dir")
            }
            TokensError::ClockOutOfRange => f.write_str("the system's clock is before 2020 or after 2090; set it"),
            TokensError::Exhausted => f.write_str("no tokens below 2^53 are left; start with a new --state-dir"),
            TokensError::Thread(error) => write!(f, "can't start a thread ({error}); give the process more room"),
        }
    }
}

impl std::error::Error for TokensError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TokensError::File { error, .. } | TokensError::Thread(error) => Some(error),
            _ => None,
        }
    }
}
