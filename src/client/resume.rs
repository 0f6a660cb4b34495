//! A new connection for the session of one that was lost.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::error::Error;
use super::link::{Link, LinkUser, NotResumed};
use super::session::{Resumption, Session};
use super::shared::Shared;
use super::state::{LinkState, Notice};

/// The pause after the first attempt that fails. It doubles each time, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An attempt to connect may take a quarter of the time that was left at first, and no less than this: an address that
/// answers nothing must not use all of it up.
const ATTEMPT_MIN: Duration = Duration::from_millis(500);

impl Shared {
    /// Tries until the session is resumed, or over. Returns the connection that it goes on with.
    pub(super) fn resume_session(&self, epoch: u64) -> Option<Link> {
        let reason = self.away_because(epoch)?;
        if let Some(on_interrupted) = &self.options.on_interrupted {
            on_interrupted(&reason);
        }
        let mut pause = PAUSE_MIN;
        let mut next_at = Instant::now();
        let mut attempt_max = None;
        loop {
            let (secret, give_up) = self.wait_to_resume(epoch, next_at, &reason)?;
            let left = give_up.saturating_duration_since(Instant::now());
            let attempt = *attempt_max.get_or_insert((left / 4).max(ATTEMPT_MIN).min(self.options.connect_timeout));
            let outcome = match Link::resume(&self.options, &secret, Instant::now() + attempt.min(left)) {
                Ok((link, resumption)) => self.attach(epoch, link, resumption),
                Err(not_resumed) => Err(not_resumed),
            };
            match outcome {
                Ok(link) => return link,
                Err(NotResumed::Over(over)) => self.lose_session(epoch, &format!("{reason}; {over}")),
                Err(NotResumed::NotYet) => {}
                Err(NotResumed::Unanswered) => {
                    self.state().session.iter_mut().for_each(Session::asked_in_vain);
                }
            }
            next_at = Instant::now() + pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// How the connection was lost whose session is to be resumed.
    fn away_because(&self, epoch: u64) -> Option<String> {
        let state = self.state();
        match &state.link {
            LinkState::Away { error, .. } if state.epoch == epoch => Some(match error {
                Error::ConnectionLost { reason } => reason.clone(),
                other => other.to_string(),
            }),
            _ => None,
        }
    }

    /// Waits until it is time for the next attempt: also for the program to ask for something, if it is the one who says
    /// that it is alive. Returns the secret, and when to give up. None: nothing is to be resumed any more.
    fn wait_to_resume(&self, epoch: u64, next_at: Instant, reason: &str) -> Option<(Box<str>, Instant)> {
        let mut state = self.state();
        loop {
            let LinkState::Away { give_up, .. } = state.link else { return None };
            if state.epoch != epoch {
                return None;
            }
            let now = Instant::now();
            if now >= give_up {
                drop(state);
                self.lose_session(epoch, &format!("{reason}; no new connection in time"));
                return None;
            }
            let may_resume = !self.options.is_keep_alive_by_program || state.has_calls();
            if may_resume && now >= next_at {
                let secret = state.session.as_ref().map(|session| session.secret.clone())?;
                return Some((secret, give_up));
            }
            let wake_at = if may_resume { next_at.min(give_up) } else { give_up };
            let waited = self.changed().wait_timeout(state, wake_at - now);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The session goes on with this connection. None: it was closed meanwhile.
    fn attach(&self, epoch: u64, link: Link, resumption: Option<Resumption>) -> Result<Option<Link>, NotResumed> {
        let writer = link.writer().map_err(|_| NotResumed::NotYet)?;
        let mut slot = self.writer();
        let mut state = self.state();
        let is_wanted = matches!(state.link, LinkState::Away { .. }) && state.epoch == epoch;
        // Guards may have said already that they are lost, so they stay so.
        let is_late = state.check_link(epoch).is_err();
        let resumption = match resumption {
            Some(resumption) if !is_late => resumption,
            too_much => {
                drop((slot, state));
                link.end_session();
                if !is_wanted {
                    return Ok(None);
                }
                let over = if too_much.is_some() { "no new connection in time" } else { "the session holds too much" };
                return Err(NotResumed::Over(over.to_owned()));
            }
        };
        let notices = state.resume(&resumption);
        state.attached(&link);
        *slot = Some((epoch, writer));
        drop((slot, state));
        self.changed().notify_all();
        if let Some(on_resumed) = &self.options.on_resumed {
            on_resumed();
        }
        notices.into_iter().for_each(|notice| self.tell(epoch, notice));
        Ok(Some(link))
    }

    /// The session is over, and everything with it.
    fn lose_session(&self, epoch: u64, reason: &str) {
        let error = Error::ConnectionLost { reason: reason.to_owned() };
        let mut state = self.state();
        if state.epoch != epoch || !matches!(state.link, LinkState::Away { .. }) {
            return;
        }
        state.lose(error.clone());
        drop(state);
        self.changed().notify_all();
        self.tell_lost(&error);
    }

    /// Somebody has resumed the session. It is not taken back, or two clients would take it from each other forever.
    fn session_taken(&self, epoch: u64) {
        let mut state = self.state();
        let is_own = state.session.as_mut().is_some_and(Session::is_taken_by_itself);
        let reason = if is_own {
            "an earlier attempt to resume the session has overtaken this one"
        } else {
            state.session = None;
            "another client has resumed the session"
        };
        drop(state);
        self.lose(epoch, Error::ConnectionLost { reason: reason.to_owned() });
    }

    /// Tells the program.
    pub(super) fn tell(&self, epoch: u64, notice: Notice) {
        let named = |name: &mut String| {
            if let Some(bare) = self.options.without_namespace(name) {
                *name = bare.to_owned();
            }
        };
        let (callback, mut lost) = match notice {
            Notice::Expired(lost) => (&self.options.on_expired, lost),
            Notice::Revoked(lost) => (&self.options.on_revoked, lost),
            Notice::Wanted(callback, mut wanted) => {
                named(&mut wanted.name);
                return callback.call(&wanted);
            }
            Notice::Queued(callback, position) => return callback.call(&position),
            Notice::SessionTaken => return self.session_taken(epoch),
        };
        if let Some(callback) = callback {
            named(&mut lost.name);
            callback(&lost);
        }
    }
}
