//! What can go wrong for a client.

use std::{fmt, io};

use super::Asker;
use crate::wire::reason;

/// Why the server refused a request. What a newer server has for it, and this version does not know, is kept as text.
pub type Reason = reason::Reason<Box<str>>;

/// Why a call of the client did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The wait ended without the lock.
    TimedOut {
        /// The connections on the lock, holders first; one that is several parties is listed for each. It may be empty: for
        /// several locks, if a [`min_hold`](super::LockOptions::min_hold) keeps the lock closed, or if there was no
        /// connection when the time was over.
        queue: Vec<String>,
    },
    /// The lock's queue was full, so the call did not wait.
    QueueMaxed {
        /// The connections on the lock, holders first; of several locks on the first that is full.
        queue: Vec<String>,
    },
    /// The wait would have closed a circle of waits, and the call was to
    /// [refuse that](super::LockOptions::refuse_deadlock).
    Deadlock {
        /// Who waits for whom: each for the next, and the last for the first, who is the caller.
        cycle: Vec<Asker>,
    },
    /// The wait was ended by a [`reset`](super::Client::reset) of this client, or the lock was lost in the moment in which
    /// it was acquired.
    Cancelled,
    /// The hold that the call was about is gone: by a `reset` or an `unlock`, because its lease has run out, or because
    /// somebody revoked it.
    NotHeld,
    /// The server is too old for what was asked, so that it was not asked.
    Unsupported {
        /// What the server lacks, by its name in the protocol. `owner`: the server takes all threads of this client for
        /// one, so that it can't keep them apart.
        feature: &'static str,
    },
    /// The server refused the request.
    Server {
        /// For programs.
        reason: Reason,
        /// For people.
        message: String,
    },
    /// There is no connection to the server.
    Connect {
        /// Its address.
        address: String,
        /// The system's error.
        message: String,
        /// The kind of that.
        kind: io::ErrorKind,
    },
    /// The connection was lost, and with it every lock that the client held: it had no [session](super::Options::session), or
    /// that is over too. The client does not reconnect by itself for a program that held or waited for something: see
    /// [`reconnect`](super::Client::reconnect).
    ConnectionLost {
        /// How.
        reason: String,
    },
    /// The connection was lost and the [session](super::Options::session) resumed, and meanwhile the server has executed the
    /// request. Its answer is lost. A lock that was asked for is not held and not waited for: the wait has ended in one of
    /// the ways in which it can, or the hold has. A lock that was released is no longer held, but its lease may have run out
    /// before. Of a [`kick`](super::Client::kick) or [`revoke`](super::Client::revoke) it is not known whether there was
    /// anything to end.
    AnswerLost,
    /// The server sent what no Officer server sends.
    Unexpected {
        /// The line, cut at 200 characters.
        line: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TimedOut { queue } => {
                write!(f, "timed out waiting for the lock")?;
                write_queue(f, queue)
            }
            Error::QueueMaxed { queue } => {
                write!(f, "the lock's queue is full")?;
                write_queue(f, queue)
            }
            Error::Deadlock { cycle } => {
                f.write_str("waiting for the lock would be a deadlock")?;
                for (index, asker) in cycle.iter().enumerate() {
                    write!(f, "{} {asker}", [":", ","][usize::from(index > 0)])?;
                }
                Ok(())
            }
            Error::Unsupported { feature } => {
                write!(f, "the server does not support '{feature}'; it needs a newer version of Officer")
            }
            Error::Cancelled => f.write_str("the wait was cancelled"),
            Error::NotHeld => f.write_str("the lock is no longer held"),
            Error::Server { reason, message } => write!(f, "the server refuses: {message} ({reason})"),
            Error::Connect { address, message, .. } => write!(f, "no connection to {address}: {message}"),
            Error::ConnectionLost { reason } => write!(f, "the connection was lost, and all locks with it: {reason}"),
            Error::AnswerLost => f.write_str("the answer was lost with the connection"),
            Error::Unexpected { line } => write!(f, "unexpected line from the server: {line}"),
        }
    }
}

/// Says who holds the lock, and how many wait for it.
pub(crate) fn write_queue(f: &mut impl fmt::Write, queue: &[String]) -> fmt::Result {
    match queue {
        [] => Ok(()),
        [holder] => write!(f, "; it is held by {holder}"),
        [holder, _] => write!(f, "; it is held by {holder}, and 1 waits for it"),
        [holder, waiters @ ..] => write!(f, "; it is held by {holder}, and {} wait for it", waiters.len()),
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(super) fn unexpected(line: &str) -> Self {
        Error::Unexpected { line: line.chars().take(200).collect() }
    }
}
