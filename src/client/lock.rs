//! Acquiring a lock: first in line among the threads of this client, then at the server.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::request::Request;
use super::shared::Shared;
use super::state::{CallKind, State, Turn};
use super::{Client, Guard, LockOptions};

impl Client {
    /// `name` includes the namespace.
    pub(super) fn acquire(&self, name: String, options: LockOptions) -> Result<Guard, Error> {
        // A deadline too far away to be represented is no limit.
        let deadline = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let shared = self.shared();
        let epoch = shared.ensure_link()?;
        let (mut state, turn) = shared.wait_for_turn(&name, epoch, options.queue_max, deadline);
        match turn {
            Ok(Some(hold)) => {
                state.nest(&name);
                drop(state);
                Ok(Guard::new(self.clone(), name, hold, epoch))
            }
            Ok(None) => self.ask_for_lock(name, epoch, state, options.queue_max, deadline),
            Err(error) => {
                drop(state);
                // The thread that was next after this one may be the first now.
                shared.changed().notify_all();
                Err(error)
            }
        }
    }

    /// Requests the lock from the server. No other thread of this client does.
    fn ask_for_lock(
        &self,
        name: String,
        epoch: u64,
        state: MutexGuard<'_, State>,
        queue_max: Option<u64>,
        deadline: Option<Instant>,
    ) -> Result<Guard, Error> {
        let shared = self.shared();
        let timeout = deadline.map(|deadline| left(deadline).as_secs_f64());
        let request = Request { command: "lock", name: Some(&name), timeout, queue_max, ..Request::default() };
        let answer = shared.send(epoch, state, CallKind::Lock { name: name.clone() }, request);
        // If it was not sent, the thread that was next after this one may be the first now.
        let answer = shared.wait(&answer.inspect_err(|_| shared.changed().notify_all())?)?;
        match answer.result.as_str() {
            "acquired" | "already_acquired" => {
                let state = shared.state();
                // It may be gone again: with the connection, or by a reset of another thread.
                state.check_link(epoch)?;
                let hold = state.hold_of_this_thread(&name).ok_or(Error::Cancelled)?;
                drop(state);
                Ok(Guard::new(self.clone(), name, hold, epoch))
            }
            "timed_out" => Err(Error::TimedOut { queue: answer.queue }),
            "queue_maxed" => Err(Error::QueueMaxed { queue: answer.queue }),
            "cancelled" => Err(Error::Cancelled),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }
}

impl Shared {
    /// Waits until no other thread of this client is in the way. Returns the hold that this thread has already, if it has
    /// one.
    fn wait_for_turn(
        &self,
        name: &str,
        epoch: u64,
        queue_max: Option<u64>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'_, State>, Result<Option<u64>, Error>) {
        let mut state = self.state();
        let ticket = state.line_up(name);
        let mut is_newcomer = true;
        let turn = loop {
            if let Err(error) = state.check_link(epoch) {
                break Err(error);
            }
            let ahead = match state.turn(name, ticket) {
                Turn::Nested(hold) => break Ok(Some(hold)),
                Turn::Ask => break Ok(None),
                Turn::Cancelled => break Err(Error::Cancelled),
                Turn::Wait { ahead } => ahead,
            };
            let queue = || vec![state.connection.clone(); ahead];
            if is_newcomer && queue_max.is_some_and(|queue_max| ahead as u64 >= queue_max) {
                break Err(Error::QueueMaxed { queue: queue() });
            }
            is_newcomer = false;
            state = match deadline.map(left) {
                Some(Duration::ZERO) => break Err(Error::TimedOut { queue: queue() }),
                Some(left) => {
                    let woken = self.changed().wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed().wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        };
        state.step_out(name, ticket);
        (state, turn)
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
