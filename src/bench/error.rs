//! Why a measurement can't be made, or can't be trusted.

use std::fmt;
use std::io;

use crate::console::Failure;
use crate::console::shown::Shown;

/// Why a measurement can't be made, or can't be trusted. `Display` gives one line that says what to do.
#[derive(Debug)]
pub(super) enum BenchError {
    /// More connections than the limit on descriptors allows.
    Descriptors {
        /// The requested number of connections.
        wanted: usize,
        /// The limit on descriptors.
        limit: usize,
    },
    /// The server's process can't be inspected.
    Process {
        /// Its id.
        pid: u32,
        /// The error of the system.
        error: io::Error,
    },
    /// The CPU to run on does not exist, or is not ours.
    Pin {
        /// Its number.
        cpu: usize,
        /// The error of the system.
        error: io::Error,
    },
    /// The server gave wrong answers.
    WrongAnswers {
        /// How often.
        count: u64,
        /// The first of them.
        first: String,
    },
    /// A worker process failed, with this message.
    Worker(String),
    /// Connections were lost.
    Lost {
        /// How many.
        count: u64,
        /// How the first of them ended.
        first: String,
    },
}

impl BenchError {
    /// One connection, without which nothing can be measured.
    pub(super) fn lost(how: impl fmt::Display) -> Self {
        BenchError::Lost { count: 1, first: how.to_string() }
    }

    /// One answer that was not the expected one.
    pub(super) fn wrong(answer: &[u8]) -> Self {
        let first = String::from_utf8_lossy(answer).lines().next().unwrap_or_default().to_owned();
        BenchError::WrongAnswers { count: 1, first }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Descriptors { wanted, limit } => write!(
                f,
                "{wanted} connections are too many for one process, which may have {limit} here; \
                 raise the limit ('ulimit -n'), or share them among several with --processes"
            ),
            BenchError::Process { pid, error } => {
                write!(f, "process {pid} can't be inspected: {error}; --server-pid must be that of the server")
            }
            BenchError::Pin { cpu, error } => {
                write!(f, "can't run on CPU {cpu}: {error}; 'nproc' prints how many there are")
            }
            BenchError::WrongAnswers { count, first } => write!(
                f,
                "the server gave wrong answers ({count}), so the figures mean nothing; the first was: {}",
                Shown(first)
            ),
            BenchError::Worker(said) => write!(f, "{}", Shown(said)),
            BenchError::Lost { count, first } => {
                write!(
                    f,
                    "connections were lost ({count}), so the figures mean little; the first one: {}",
                    Shown(first)
                )
            }
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        Failure::Specific { exit_code: 1, error: Box::new(error) }
    }
}

impl std::error::Error for BenchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BenchError::Process { error, .. } | BenchError::Pin { error, .. } => Some(error),
            BenchError::Worker(_)
            | BenchError::Descriptors { .. }
            | BenchError::WrongAnswers { .. }
            | BenchError::Lost { .. } => None,
        }
    }
}
