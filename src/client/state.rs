//! What a client knows: calls without an answer, what it holds, and whether the connection is there.
//!
//! All of it changes under one mutex. What the server says is applied in the order in which it came, by the thread that
//! reads, before the caller that it is for wakes up: so a release or a `reset` by another thread can't be overtaken.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::error::Error;
use super::holds::Holds;
use super::link::Link;
use super::lock_options::check_owner;
use super::{LostHold, Owner};
use crate::wire::answer::Answer;

/// Everything that the mutex protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) link: LinkState,
    /// Rises with every connection: what a thread of an old one says is not for the new one.
    pub(super) epoch: u64,
    /// What the server calls this connection.
    pub(super) connection: String,
    /// How the last connection that was lost was lost.
    last_loss: Option<Error>,
    /// The longest line that the server takes.
    pub(super) line_bytes_max: usize,
    /// How soon it gives us up if it hears nothing.
    pub(super) silent_after: Option<Duration>,
    /// What it can do beyond what every server can.
    pub(super) features: Vec<String>,
    pub(super) holds: Holds,
    calls: HashMap<u64, Call>,
    /// The last that was given out.
    last_id: u64,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(super) enum LinkState {
    /// There is.
    Up,
    /// There was one. A client that held and waited for nothing may make a new one by itself.
    Lost { error: Error, was_busy: bool },
}

/// A request without its answer.
#[derive(Debug)]
struct Call {
    kind: CallKind,
    answer: SyncSender<Answer>,
}

/// What the answer to a request changes.
#[derive(Debug)]
pub(super) enum CallKind {
    /// By the number of the request in `holds`.
    Lock(u64),
    Unlock,
    /// The number of a hold, when it was asked for, and the lease that was asked for.
    Renew(u64, Instant, Option<Duration>),
    /// Of an owner of the program; None: of everything.
    Reset(Option<Owner>),
    Other,
}

/// What the server has said without being asked.
#[derive(Debug)]
pub(super) enum Notice {
    Expired(LostHold),
    Revoked(LostHold),
}

impl State {
    /// Before the first connection.
    pub(super) fn new() -> Self {
        let error = Error::ConnectionLost { reason: "there was none yet".to_owned() };
        State {
            link: LinkState::Lost { error, was_busy: false },
            epoch: 0,
            connection: String::new(),
            last_loss: None,
            line_bytes_max: usize::MAX,
            silent_after: None,
            features: Vec::new(),
            holds: Holds::default(),
            calls: HashMap::new(),
            // That of keep-alives, whose answers nobody waits for.
            last_id: 0,
        }
    }

    /// Fails unless the connection of this epoch is still there: a call that began on one does not go on with another.
    pub(super) fn check_link(&self, epoch: u64) -> Result<(), Error> {
        match &self.link {
            LinkState::Up if self.epoch == epoch => Ok(()),
            LinkState::Up => Err(self.loss()),
            LinkState::Lost { error, .. } => Err(error.clone()),
        }
    }

    /// How the last connection was lost.
    pub(super) fn loss(&self) -> Error {
        let unknown = || Error::ConnectionLost { reason: "it was closed".to_owned() };
        self.last_loss.clone().unwrap_or_else(unknown)
    }

    pub(super) fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|listed| listed == feature)
    }

    /// Fails unless the server can do all of this. What it does not know it would take for nothing.
    pub(super) fn check_features(&self, features: impl IntoIterator<Item = &'static str>) -> Result<(), Error> {
        match features.into_iter().find(|feature| !self.has_feature(feature)) {
            Some(feature) => Err(Error::Unsupported { feature }),
            None => Ok(()),
        }
    }

    /// Whether a request has no answer yet.
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// The connection is gone: every call fails, every hold is gone. Waking the waiting threads is the caller's part.
    pub(super) fn lose(&mut self, error: Error) {
        // The program holds or waits for something.
        let was_busy = !(self.holds.is_empty() && self.calls.is_empty());
        self.last_loss = Some(error.clone());
        self.link = LinkState::Lost { error, was_busy };
        self.calls.clear();
        self.holds.clear();
    }

    /// There is a new connection. Returns its epoch.
    pub(super) fn connected(&mut self, link: &Link) -> u64 {
        self.link = LinkState::Up;
        self.connection.clone_from(&link.connection);
        self.line_bytes_max = link.line_bytes_max;
        self.silent_after = link.silent_after;
        self.features.clone_from(&link.features);
        self.epoch += 1;
        self.epoch
    }

    /// An id for a request.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Notes a request that is about to be sent.
    pub(super) fn call(&mut self, id: u64, kind: CallKind, answer: SyncSender<Answer>) {
        self.calls.insert(id, Call { kind, answer });
    }

    /// Applies an answer and passes it on. Nothing happens for an id that nobody waits for. Returns what the program wants
    /// to be told.
    pub(super) fn answer(&mut self, answer: Answer) -> Option<Notice> {
        if let Some(notice) = answer.notice {
            let (name, owner) = (answer.name?, answer.owner);
            let is_known = self.holds.lose(&name, owner.as_ref());
            // Numbers of threads mean nothing to the program.
            let owner = owner.filter(|owner| check_owner(owner).is_ok());
            let lost = LostHold { name, token: answer.token, owner };
            return match &*notice {
                "expired" if is_known => Some(Notice::Expired(lost)),
                "revoked" if is_known => Some(Notice::Revoked(lost)),
                _ => None,
            };
        }
        let call = answer.id.and_then(|id| self.calls.remove(&id))?;
        match (call.kind, answer.result.as_str()) {
            (CallKind::Lock(hold), "acquired" | "already_acquired") => self.holds.grant(hold, &answer),
            (CallKind::Lock(hold), _) => self.holds.end(hold),
            (CallKind::Renew(hold, sent_at, lease), "renewed") => self.holds.renewed(hold, sent_at, lease, &answer),
            (CallKind::Renew(hold, ..), "renew_failed") => self.holds.end(hold),
            // What is still being asked for was cancelled, and is answered so by itself.
            (CallKind::Reset(owner), "reset_succeeded") => self.holds.reset(owner.as_ref()),
            (CallKind::Unlock | CallKind::Renew(..) | CallKind::Reset(_) | CallKind::Other, _) => {}
        }
        // The caller may be gone.
        let _ = call.answer.send(answer);
        None
    }
}
