//! Acquiring locks.

use std::time::{Duration, Instant};

use super::error::{Error, Reason};
use super::holds::{Asked, Wish};
use super::lock_options::{Mode, check_owner};
use super::request::Request;
use super::state::CallKind;
use super::{Client, Guard, LockOptions};

/// How much longer than the timeout of a lock the connection may be broken before the lock times out. Most breaks are over by
/// then, even for a lock that is not to wait.
const BREAK: Duration = Duration::from_secs(1);

/// Which of several locks are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    Any,
}

impl Client {
    /// `names` are without the namespace. `is_scoped`: the guard stays on this thread until a closure ends.
    pub(super) fn acquire(
        &self,
        names: &[&str],
        which: Which,
        options: &LockOptions,
        is_scoped: bool,
    ) -> Result<Guard, Error> {
        self.check(names, options)?;
        let names: Vec<String> = names.iter().map(|name| self.with_namespace(name)).collect();
        let is_any = which == Which::Any && names.len() != 1;
        let is_many = names.len() != 1;
        let shared = self.shared();
        let epoch = shared.ensure_link()?;
        let mut turn = shared.turn(epoch)?;
        let by_names = [("names", is_many), ("any", is_any)].into_iter().filter_map(|(name, is)| is.then_some(name));
        turn.state.check_features(options.features().chain(by_names))?;
        let has_owners = turn.state.has_feature("owner");
        let wish = Wish {
            names: names.clone(),
            is_any,
            mode: options.mode,
            owner: options.owner.clone(),
            is_scoped,
            lease: options.lease,
            is_renewed: !options.is_renewed_by_program,
            has_fence: options.has_fence,
            on_wanted: options.on_wanted.clone(),
            on_queued: options.on_queued.clone(),
        };
        let (hold, owner) = match turn.state.holds.ask(wish, has_owners)? {
            Asked::Nested(hold) => {
                drop(turn);
                return self.guard(hold, epoch, is_scoped);
            }
            Asked::New(hold, owner) => (hold, owner),
        };
        let request = Request { any: is_any.then_some(true), ..Request::about("lock", &names, owner.as_ref()) };
        // A time too long to be represented is no limit.
        let give_up = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout)?.checked_add(BREAK));
        let answer = shared.send(turn, CallKind::Lock(hold), options.request(request))?;
        let answer = shared.wait_for_lock(&answer, epoch, hold, give_up)?;
        match answer.result.as_str() {
            "acquired" | "already_acquired" => self.guard(hold, epoch, is_scoped),
            "timed_out" => Err(Error::TimedOut { queue: answer.queue }),
            "queue_maxed" => Err(Error::QueueMaxed { queue: answer.queue }),
            "deadlock" => Err(Error::Deadlock { cycle: answer.cycle }),
            "cancelled" => Err(Error::Cancelled),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }

    /// What the server could not see.
    fn check(&self, names: &[&str], options: &LockOptions) -> Result<(), Error> {
        // With a namespace in front, it would not see that the name is empty.
        if names.contains(&"") && self.shared().options.namespace.is_some() {
            let message = "name must not be empty".to_owned();
            return Err(Error::Server { reason: Reason::InvalidRequest, message });
        }
        options.owner.as_ref().map_or(Ok(()), check_owner)
    }

    fn guard(&self, hold: u64, epoch: u64, is_scoped: bool) -> Result<Guard, Error> {
        let mut state = self.shared().state();
        // It may be gone again: with the connection, or by a reset of another thread.
        state.check_link(epoch)?;
        let (names, token) = state.holds.granted_of(hold).ok_or(Error::Cancelled)?;
        drop(state);
        Ok(Guard::new(self.clone(), names, token, (hold, epoch), is_scoped))
    }
}

impl LockOptions {
    /// The fields of a request.
    fn request<'a>(&'a self, request: Request<'a>) -> Request<'a> {
        let (mode, slots) = match self.mode {
            Mode::Exclusive => (None, None),
            Mode::Shared => (Some("shared"), None),
            Mode::Semaphore(units) => (None, Some(units)),
        };
        // A time too long to be represented is no limit.
        let timeout = self.timeout.filter(|timeout| Instant::now().checked_add(*timeout).is_some());
        let seconds = |time: Duration| time.as_secs_f64();
        Request {
            timeout: timeout.map(seconds),
            queue_max: self.queue_max,
            mode,
            slots,
            priority: (self.priority > 0).then_some(self.priority),
            lease: self.lease.map(seconds),
            fence: self.has_fence.then_some(true),
            deadlock: self.refuses_deadlock.then_some("refuse"),
            min_hold: self.min_hold.map(seconds),
            lost_delay: self.lost_delay.map(seconds),
            label: self.label.as_deref(),
            progress: self.on_queued.is_some().then_some(true),
            hint: self.has_hint.then_some(true),
            ..request
        }
    }
}
