//! A lock while it is held.

use std::marker::PhantomData;

use super::Client;
use super::error::Error;
use super::state::Given;

/// A lock that this thread holds. It is released when the last guard for it ends; a thread that asks again for what it
/// holds gets one more guard.
///
/// It stays with its thread: to the server all threads of a client are one holder, so the client itself keeps them apart.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard {
    client: Client,
    /// With the namespace.
    name: String,
    hold: u64,
    epoch: u64,
    is_given: bool,
    stays_with_its_thread: PhantomData<*const ()>,
}

impl Guard {
    pub(super) fn new(client: Client, name: String, hold: u64, epoch: u64) -> Self {
        Guard { client, name, hold, epoch, is_given: false, stays_with_its_thread: PhantomData }
    }

    /// The name of the lock, as it was asked for.
    pub fn name(&self) -> &str {
        self.client.without_namespace(&self.name).unwrap_or(&self.name)
    }

    /// Whether the lock is not held any more, although the guard is there: the connection was lost, or this client has
    /// given up everything by a `reset`.
    pub fn is_lost(&self) -> bool {
        let state = self.client.shared().state();
        state.check_link(self.epoch).is_err() || !state.is_held(&self.name, self.hold)
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
        let mut state = shared.state();
        state.check_link(self.epoch)?;
        match state.give(&self.name, self.hold) {
            Given::Gone => Err(Error::NotHeld),
            Given::Inner => Ok(()),
            Given::Last => {
                let answer = shared.unlock(self.epoch, state, &self.name)?;
                match shared.wait(&answer)?.result.as_str() {
                    "released" => Ok(()),
                    _ => Err(Error::NotHeld),
                }
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_given {
            return;
        }
        let shared = self.client.shared();
        let mut state = shared.state();
        if state.check_link(self.epoch).is_ok() && state.give(&self.name, self.hold) == Given::Last {
            // Nobody waits for the answer. If it can't be sent the connection is lost, and the lock with it.
            let _ = shared.unlock(self.epoch, state, &self.name);
        }
    }
}
