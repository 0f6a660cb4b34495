//! What a program is told about its holds.

use super::{Error, Owner};

/// A hold that has ended although the program did not end it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostHold {
    /// The lock.
    pub name: String,
    /// The token of the hold.
    pub token: Option<u64>,
    /// The [`owner`](super::LockOptions::owner) of the program that had it. None: a thread.
    pub owner: Option<Owner>,
}

/// Somebody else wants a lock that this client holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// The lock.
    pub name: String,
    /// The [`owner`](super::LockOptions::owner) of the program that has it. None: a thread.
    pub owner: Option<Owner>,
    /// The token of the hold.
    pub token: Option<u64>,
    /// How many wait for it. 0: somebody wanted it, and did not wait.
    pub waiters: u64,
}

/// Why a lock is lost, or not certainly held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The connection was lost, and with it everything: there was no [session](super::Options::session), or it is over.
    Connection(Error),
    /// Its lease has run out, or may have.
    Expired,
    /// Somebody has taken it away by a [`revoke`](super::Client::revoke).
    Revoked,
    /// This client has given it up: by a [`reset`](super::Client::reset), an [`unlock`](super::Client::unlock) or a
    /// [`transfer`](super::Guard::transfer).
    GivenUp,
}
