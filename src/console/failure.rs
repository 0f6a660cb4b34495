//! Why the program ends otherwise than well: one line for people, and an exit status for programs.

use std::{fmt, io};

use super::shown::Shown;
use crate::client::{Error, Reason, write_queue};
use crate::net::{BindError, RunError};

/// The exit status of commands that reach no server, or that it refuses (`EX_UNAVAILABLE` of `sysexits.h`).
pub(crate) const UNAVAILABLE: u8 = 69;
/// That of `officer lock` when the lock was lost.
pub(crate) const LOST: u8 = 73;
/// That of `officer kick` where it is not allowed (`EX_NOPERM`).
pub(crate) const NOT_ALLOWED: u8 = 77;

/// Why the program ends otherwise than well. `Display` gives one line that says what to do.
#[derive(Debug)]
pub enum Failure {
    /// The command line, or the environment, asks for what does not exist.
    Usage(String),
    /// The server can't start.
    Listen(BindError),
    /// The server could not continue.
    Run(RunError),
    /// The server can't be reached, or refuses the request.
    Server {
        /// Its address.
        address: String,
        /// The client's error.
        error: Error,
    },
    /// The wait for the lock timed out, or its queue was full, or it was held and not to be waited for.
    Conflict {
        /// What was asked for.
        locks: Locks,
        /// Whether it was to be waited for.
        may_wait: bool,
        /// The client's error.
        error: Box<Error>,
        /// What is in the way, beyond what the error tells.
        in_the_way: Option<InTheWay>,
        /// The requested exit status.
        exit_code: u8,
    },
    /// The lock was lost.
    Lost {
        /// The lock, or several that were held together.
        locks: Locks,
        /// When, and what follows from it.
        when: &'static str,
        /// How.
        reason: String,
    },
    /// The command that was to run with the lock could not be started.
    NotStarted {
        /// The command.
        command: String,
        /// The system's error.
        error: io::Error,
    },
    /// The command that was to run with the lock is there, and what runs it is not.
    NoInterpreter {
        /// The command.
        command: String,
        /// What its `#!` line names; None: it has none, so the loader of programs is missing.
        interpreter: Option<String>,
    },
    /// A system call failed that should not.
    System(io::Error),
    /// There is no such connection to kick.
    NoConnection(String),
    /// The output can't be written.
    Output(io::Error),
    /// The terminal can't be drawn on, or its keys can't be read.
    Terminal(io::Error),
    /// An error of only one part of the program. Its `Display` is the line.
    Specific {
        /// What went wrong.
        error: Box<dyn std::error::Error + Send + Sync>,
        /// The exit status that it stands for.
        exit_code: u8,
    },
}

/// What is in the way of locks that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// What the first in the queue calls itself.
    Client(String),
    /// What keeps the lock from being free, ready to be shown, where there is no queue.
    Lock(String),
}

/// The locks that a failure is about. `Display` gives `'a'`, `'a' and 'b'`, or `'a', 'b' and 7 more`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locks {
    /// Their names.
    pub names: Vec<String>,
    /// One of them is enough.
    pub is_any: bool,
}

impl Locks {
    fn not_free(&self) -> &'static str {
        match (self.names.len(), self.is_any) {
            (1, _) => "the lock is not free",
            (_, true) => "none of the locks is free",
            (_, false) => "not all of the locks are free",
        }
    }
}

impl fmt::Display for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let and = if self.is_any { "or" } else { "and" };
        match self.names.as_slice() {
            [] => Ok(()),
            [name] => write!(f, "'{}'", Shown(name)),
            [first, second] => write!(f, "'{}' {and} '{}'", Shown(first), Shown(second)),
            [first, second, others @ ..] => {
                write!(f, "'{}', '{}' {and} {} more", Shown(first), Shown(second), others.len())
            }
        }
    }
}

impl Failure {
    /// The exit status. Help texts list those of each command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Server { error: Error::Server { reason: Reason::NotAllowed, .. }, .. } => NOT_ALLOWED,
            Failure::Server { .. } => UNAVAILABLE,
            Failure::Conflict { exit_code, .. } | Failure::Specific { exit_code, .. } => *exit_code,
            Failure::Lost { .. } => LOST,
            // Like shells.
            Failure::NotStarted { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            Failure::NotStarted { .. } | Failure::NoInterpreter { .. } => 126,
            Failure::Listen(_)
            | Failure::Run(_)
            | Failure::System(_)
            | Failure::NoConnection(_)
            | Failure::Output(_)
            | Failure::Terminal(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(line) => f.write_str(line),
            Failure::Listen(error) => error.fmt(f),
            Failure::Run(error) => error.fmt(f),
            Failure::Server { address, error } => write_server(f, address, error),
            Failure::Conflict { locks, may_wait, error, in_the_way, .. } => {
                let mut reason = match &**error {
                    Error::TimedOut { queue } if !may_wait => {
                        let mut reason = locks.not_free().to_owned();
                        write_queue(&mut reason, queue)?;
                        reason
                    }
                    Error::TimedOut { .. } if locks.names.len() > 1 => "timed out waiting for the locks".to_owned(),
                    Error::QueueMaxed { queue } if locks.names.len() > 1 => {
                        let mut reason = "the queue of one of the locks is full".to_owned();
                        write_queue(&mut reason, queue)?;
                        reason
                    }
                    error => error.to_string(),
                };
                if let Error::TimedOut { queue } | Error::QueueMaxed { queue } = &**error
                    && let (Some(holder), Some(InTheWay::Client(client))) = (queue.first(), in_the_way)
                {
                    reason = reason.replacen(holder, &format!("{holder} ({client})"), 1);
                }
                write!(f, "{locks}: {}", Shown(&reason))?;
                if let Some(InTheWay::Lock(line)) = in_the_way {
                    write!(f, "; {line}")?;
                }
                f.write_str("; see 'officer locks --waiters'")
            }
            Failure::Lost { locks, when, reason } => {
                let (noun, verb) = if locks.names.len() == 1 { ("lock", "was") } else { ("locks", "were") };
                write!(f, "the {noun} {locks} {verb} lost {when}: {}", Shown(reason))
            }
            Failure::NotStarted { command, error } => {
                write!(f, "the command '{}' can't be started: {error}", Shown(command))
            }
            Failure::NoInterpreter { command, interpreter: Some(interpreter) } => write!(
                f,
                "the command '{}' can't be started: its first line names '{}', which does not exist",
                Shown(command),
                Shown(interpreter)
            ),
            Failure::NoInterpreter { command, interpreter: None } => {
                write!(f, "the command '{}' can't be started: the loader that it needs does not exist", Shown(command))
            }
            Failure::System(error) => write!(f, "a system call failed: {error}"),
            Failure::NoConnection(connection) => write!(
                f,
                "there is no connection '{}'; 'officer connections' lists those that hold or wait for locks",
                Shown(connection)
            ),
            Failure::Specific { error, .. } => error.fmt(f),
            Failure::Output(error) => write!(f, "the output can't be written: {error}"),
            Failure::Terminal(error) => {
                write!(f, "the terminal can't be used: {error}; 'officer top --once' prints one screen as text")
            }
        }
    }
}

fn write_server(f: &mut fmt::Formatter<'_>, address: &str, error: &Error) -> fmt::Result {
    let address = Shown(address);
    match error {
        Error::Connect { message, kind, .. } => {
            write!(f, "no connection to {address}: {}", Shown(message))?;
            // What the message says is what to do.
            if matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) {
                return Ok(());
            }
            f.write_str("; ")?;
            f.write_str(match kind {
                io::ErrorKind::InvalidData => "check --tls, --tls-ca and --tls-server-name",
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    "start a server there with 'officer run', or say where it is with -h and -p, or -f"
                }
                io::ErrorKind::PermissionDenied => "the server's --socket-mode says who may connect",
                _ => "check that it is the address of an Officer server, and that it is running",
            })
        }
        Error::Unexpected { line } => {
            write!(f, "{address} is not an Officer server; check the address. It sent: {}", Shown(line))
        }
        Error::ConnectionLost { reason } => {
            write!(f, "the connection to {address} was lost: {}; try again", Shown(reason))
        }
        Error::Server { reason, message } => {
            write!(f, "the server at {address} refuses: {} ({})", Shown(message), Shown(reason.as_str()))?;
            f.write_str(match reason {
                Reason::NotAllowed => "; run this on the server's own machine, or as a user who may (--user)",
                Reason::AuthFailed | Reason::NotAuthenticated => {
                    "; give the user with --user, and its secret in OFFICER_SECRET or with --secret-file"
                }
                Reason::TooManyConnections | Reason::TooManySessions | Reason::ShuttingDown => "; try again later",
                Reason::SlotsMismatch => "; all who use a semaphore at a time give the same --slots",
                _ => "",
            })
        }
        error => write!(f, "{}", Shown(&error.to_string())),
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Usage(_) | Failure::NoConnection(_) | Failure::NoInterpreter { .. } | Failure::Lost { .. } => None,
            Failure::Listen(error) => Some(error),
            Failure::Specific { error, .. } => Some(error.as_ref()),
            Failure::Server { error, .. } => Some(error),
            Failure::Conflict { error, .. } => Some(error.as_ref()),
            Failure::Run(error) => Some(error),
            Failure::NotStarted { error, .. }
            | Failure::System(error)
            | Failure::Output(error)
            | Failure::Terminal(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_their_exit_status() {
        let other = || io::Error::from(io::ErrorKind::Other);
        let server = |reason| Failure::Server {
            address: String::new(),
            error: Error::Server { reason, message: String::new() },
        };
        let not_started = |kind: io::ErrorKind| Failure::NotStarted { command: String::new(), error: kind.into() };
        for (failure, exit_code) in [
            (Failure::Usage(String::new()), 2),
            (Failure::Run(RunError::Poll(other())), 1),
            (Failure::Listen(BindError::Setup(other())), 1),
            (Failure::Output(other()), 1),
            (Failure::NoConnection(String::new()), 1),
            (server(Reason::NotAllowed), 77),
            (server(Reason::TooManyConnections), 69),
            (not_started(io::ErrorKind::NotFound), 127),
            (not_started(io::ErrorKind::PermissionDenied), 126),
            (Failure::NoInterpreter { command: String::new(), interpreter: None }, 126),
        ] {
            assert_eq!(failure.exit_code(), exit_code, "{failure}");
        }
    }

    #[test]
    fn who_is_refused_is_told_how_to_say_who_it_is() {
        for (reason, advice) in [
            (Reason::NotAllowed, "or as a user who may (--user)"),
            (Reason::AuthFailed, "OFFICER_SECRET"),
            (Reason::NotAuthenticated, "--user"),
        ] {
            let error = Error::Server { reason, message: "why".to_owned() };
            let line = Failure::Server { address: "db1:80".to_owned(), error }.to_string();
            assert!(line.starts_with("the server at db1:80 refuses: why (") && line.contains(advice), "{line}");
        }
    }

    #[test]
    fn whatever_a_peer_sends_a_failure_is_one_line() {
        let error = Error::Unexpected { line: "\x1b[2J\nHTTP/1.1".to_owned() };
        let line = Failure::Server { address: "db1:80".to_owned(), error }.to_string();
        assert!(line.ends_with(r"It sent: \u{1b}[2J\nHTTP/1.1"), "{line}");
    }
}
