//! Locks while they are held.

use std::time::{Duration, Instant};

use super::error::Error;
use super::holds::Given;
use super::{Client, Loss};

/// A lock that is held, or several that were acquired together. It is released when the guard ends. (The few ways to get
/// more than one guard for a lock: calls within [`Client::with_lock`], and an [`owner`](super::LockOptions::owner) of the
/// program that asks again. It is then released with the last of them. What was asked for first counts: one more guard
/// brings no other lease, and no token.)
///
/// It can be sent to another thread, and released there. A thread that asks again for a lock that it has in a guard waits
/// in the queue like everybody else: as with [`std::sync::Mutex`], forever if it keeps the guard.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard {
    pub(super) client: Client,
    /// With the namespace; never empty.
    names: Vec<String>,
    token: Option<u64>,
    pub(super) hold: u64,
    pub(super) epoch: u64,
    is_scoped: bool,
    is_given: bool,
}

impl Guard {
    pub(super) fn new(
        client: Client,
        names: Vec<String>,
        token: Option<u64>,
        (hold, epoch): (u64, u64),
        is_scoped: bool,
    ) -> Self {
        Guard { client, names, token, hold, epoch, is_scoped, is_given: false }
    }

    /// The name of the lock, as it was asked for: of [`Client::lock_any`] the one that it got, of [`Client::lock_all`] the
    /// first.
    pub fn name(&self) -> &str {
        self.names().next().unwrap_or_default()
    }

    /// The names of the locks, as they were asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| self.client.without_namespace(name).unwrap_or(name))
    }

    /// The number of this grant, with [`LockOptions::fence`](super::LockOptions::fence). It is higher with every grant of
    /// the server, of whatever lock.
    pub fn token(&self) -> Option<u64> {
        self.token
    }

    /// Until when it is certain that the lock is held, if it has a lease: it is counted from before the lock, or the last
    /// renewal, was asked for, so that the server takes it back no sooner. None: it has no lease, or one of centuries, or
    /// [`Guard::is_lost`].
    ///
    /// The clock is [`Instant`], which on many systems stands still while the machine sleeps. Only a
    /// [`token`](Guard::token) that the resource checks is safe from that.
    pub fn held_until(&self) -> Option<Instant> {
        self.client.shared().state().holds.held_until(self.hold)
    }

    /// Whether the lock is perhaps not held any more, although the guard is there: the connection was lost (with a
    /// [session](super::Options::session), that is over too), the lease has run out, somebody
    /// [revoked](super::Options::on_revoked) it, or this client has given up everything by a `reset`. Of several locks:
    /// whether that is so for any of them.
    pub fn is_lost(&self) -> bool {
        self.lost_because().is_some()
    }

    /// Why the lock is perhaps not held any more, if [`Guard::is_lost`].
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock("boss:17")?;
    /// assert_eq!(guard.lost_because(), None);
    /// client.reset()?;
    /// assert_eq!(guard.lost_because(), Some(Loss::GivenUp));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn lost_because(&self) -> Option<Loss> {
        let state = self.client.shared().state();
        match state.check_link(self.epoch) {
            Ok(()) => state.holds.lost_because(self.hold),
            Err(error) => Some(Loss::Connection(error)),
        }
    }

    /// Whether somebody else has wanted the lock since it was granted, if that was to be told:
    /// [`LockOptions::hint`](super::LockOptions::hint).
    pub fn is_wanted(&self) -> bool {
        self.client.shared().state().holds.is_wanted(self.hold)
    }

    /// Renews the lease: it has its whole length again from now on. Says how many wait for the lock.
    ///
    /// # Errors
    /// [`Error::NotHeld`] if it has run out; [`Error::ConnectionLost`]; [`Error::Server`] if there is no lease.
    pub fn renew(&self) -> Result<u64, Error> {
        self.renew_with(None)
    }

    /// Renews the lease with another length, which later renewals have as well. A lock without a lease gets one, which only
    /// this call and [`Guard::renew`] renew.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock("boss:17")?;
    /// guard.renew_for(Duration::from_secs(60))?;
    /// assert!(guard.held_until().is_some());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotHeld`] if it has run out; [`Error::ConnectionLost`]; [`Error::Server`].
    pub fn renew_for(&self, lease: Duration) -> Result<u64, Error> {
        self.renew_with(Some(lease))
    }

    fn renew_with(&self, lease: Option<Duration>) -> Result<u64, Error> {
        let shared = self.client.shared();
        let turn = shared.turn(self.epoch)?;
        turn.state.check_features(["renew"])?;
        let answer = shared.renew(turn, self.hold, lease)?;
        let answer = shared.wait(&answer)?;
        match answer.result.as_str() {
            // Of several locks, some may be gone.
            "renewed" if answer.names.is_empty() || answer.names.len() == self.names.len() => Ok(answer.waiters),
            "renewed" | "renew_failed" => Err(Error::NotHeld),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }

    /// Releases the lock and waits until the server has said so. (Dropping the guard does not wait.) If it is not the
    /// last guard for this lock, only looks whether the lock is still held.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] or [`Error::NotHeld`] if the lock was lost before: then what it protected may have been
    /// touched by others.
    pub fn release(mut self) -> Result<(), Error> {
        self.is_given = true;
        let shared = self.client.shared();
        let mut turn = shared.turn(self.epoch)?;
        let subject = match turn.state.holds.give(self.hold, self.is_scoped) {
            Given::Gone => return Err(Error::NotHeld),
            Given::Inner => return Ok(()),
            Given::Last(subject) => subject,
        };
        let answer = shared.unlock(turn, &subject)?;
        let answer = shared.wait(&answer)?;
        let is_whole = !subject.is_broken && (answer.names.is_empty() || answer.names.len() == subject.names.len());
        if answer.result == "released" && is_whole { Ok(()) } else { Err(Error::NotHeld) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_given {
            return;
        }
        let shared = self.client.shared();
        let Ok(mut turn) = shared.turn(self.epoch) else { return };
        if let Given::Last(subject) = turn.state.holds.give(self.hold, self.is_scoped) {
            // Nobody waits for the answer. If it can't be sent the connection is lost, and the lock with it.
            let _ = shared.unlock(turn, &subject);
        }
    }
}
