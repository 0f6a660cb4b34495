//! What a client knows: calls without an answer, what it holds, and whether the connection is there.
//!
//! All of it changes under one mutex. What the server says is applied in the order in which it came, by the thread that
//! reads, before the caller that it is for wakes up: so a release or a `reset` by another thread can't be overtaken.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::callback::Callback;
use super::error::{Error, Reason};
use super::holds::{Holds, Subject};
use super::link::Link;
use super::session::Session;
use super::{Loss, LostHold, Owner, Wanted};
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
    /// It outlives the connection.
    pub(super) session: Option<Session>,
    pub(super) calls: HashMap<u64, Call>,
    /// Calls that are still to be sent, in order: those made without a connection, and those that a lost one did not
    /// execute. While there are any, later ones are sent after them.
    pub(super) backlog: VecDeque<u64>,
    /// The last that was given out.
    last_id: u64,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(super) enum LinkState {
    /// There is.
    Up,
    /// The connection is gone, and its session is not: it is being resumed. If that has not succeeded at `give_up` it is
    /// lost.
    Away { error: Error, give_up: Instant },
    /// There was one. A client that held and waited for nothing may make a new one by itself.
    Lost { error: Error, was_busy: bool },
}

/// A request without its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: CallKind,
    answer: SyncSender<Answer>,
    /// Empty without a session.
    line: Vec<u8>,
    /// Which line of the session it was. None: it is in the backlog, or there is no session.
    pub(super) number: Option<u64>,
    sent_at: Instant,
}

/// What the answer to a request changes.
#[derive(Debug)]
pub(super) enum CallKind {
    /// By the number of the request in `holds`.
    Lock(u64),
    /// Until when the hold was certain, if it had a lease.
    Unlock(Option<Instant>),
    /// The number of a hold, and the same.
    Transfer(u64, Option<Instant>),
    /// The number of a hold, when it was asked for, and the lease that was asked for.
    Renew(u64, Instant, Option<Duration>),
    /// Of an owner of the program; None: of everything.
    Reset(Option<Owner>),
    /// It changes nothing, so it can be asked twice.
    Read,
    /// It changes something for others.
    Change,
}

/// What the program is to be told.
#[derive(Debug)]
pub(super) enum Notice {
    Expired(LostHold),
    Revoked(LostHold),
    Wanted(Callback<Wanted>, Wanted),
    /// How many are ahead in the queue.
    Queued(Callback<u64>, u64),
    /// Another client has resumed the session.
    SessionTaken,
}

/// What has become of a `lock` whose time is over.
#[derive(Debug)]
pub(super) enum Abandoned {
    /// There is a connection, or an answer: nothing was done.
    No,
    /// The server has not executed it, and does not get it any more.
    Unsent,
    /// The server may have executed it, and is to be told.
    Sent(Subject),
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
            session: None,
            calls: HashMap::new(),
            backlog: VecDeque::new(),
            // That of keep-alives, whose answers nobody waits for.
            last_id: 0,
        }
    }

    /// Fails unless the connection of this epoch, or its session, is still there: a call that began on one does not go on
    /// with another.
    pub(super) fn check_link(&self, epoch: u64) -> Result<(), Error> {
        match &self.link {
            LinkState::Lost { error, .. } => Err(error.clone()),
            _ if self.epoch != epoch => Err(self.loss()),
            LinkState::Away { error, give_up } if Instant::now() >= *give_up => Err(error.clone()),
            LinkState::Up | LinkState::Away { .. } => Ok(()),
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

    /// The connection is gone. Says whether its session is certainly there, to be resumed.
    pub(super) fn interrupt(&mut self, error: &Error) -> bool {
        let Some(give_up) = self.session.as_ref().map(Session::certain_until) else { return false };
        let is_certain = Instant::now() < give_up;
        if is_certain {
            self.link = LinkState::Away { error: error.clone(), give_up };
        }
        is_certain
    }

    /// The connection is gone: every call fails, every hold is gone. Waking the waiting threads is the caller's part.
    pub(super) fn lose(&mut self, error: Error) {
        // The program holds or waits for something.
        let was_busy = !(self.holds.is_empty() && self.calls.is_empty());
        self.last_loss = Some(error.clone());
        self.link = LinkState::Lost { error, was_busy };
        self.session = None;
        self.calls.clear();
        self.backlog.clear();
        self.holds.clear();
    }

    /// There is a new connection. Returns its epoch.
    pub(super) fn connected(&mut self, link: &mut Link) -> u64 {
        self.session = link.session.take();
        self.attached(link);
        self.epoch += 1;
        self.epoch
    }

    /// There is a connection.
    pub(super) fn attached(&mut self, link: &Link) {
        self.link = LinkState::Up;
        self.connection.clone_from(&link.connection);
        self.line_bytes_max = link.line_bytes_max;
        self.silent_after = link.silent_after;
        self.features.clone_from(&link.features);
    }

    /// An id for a request.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Notes a request. Says whether it is to be sent now; otherwise it is in the backlog.
    pub(super) fn call(&mut self, id: u64, kind: CallKind, answer: SyncSender<Answer>, line: &[u8]) -> bool {
        let is_sent_now = matches!(self.link, LinkState::Up) && self.backlog.is_empty();
        let mut number = None;
        let mut kept = Vec::new();
        if let Some(session) = &mut self.session {
            number = is_sent_now.then(|| session.count());
            kept = line.to_vec();
        }
        if !is_sent_now {
            self.backlog.push_back(id);
        }
        self.calls.insert(id, Call { kind, answer, line: kept, number, sent_at: Instant::now() });
        is_sent_now
    }

    /// The server has not executed a call, or it can execute it once more.
    pub(super) fn send_again(&mut self, id: u64) {
        self.calls.get_mut(&id).expect("it has no answer").number = None;
        self.backlog.push_back(id);
    }

    /// The next lines of the backlog, which are about to be sent: one, and more up to a limit.
    pub(super) fn take_backlog(&mut self, bytes_max: usize) -> Vec<u8> {
        let now = Instant::now();
        let mut lines = Vec::new();
        while lines.len() < bytes_max
            && let Some(id) = self.backlog.pop_front()
        {
            let call = self.calls.get_mut(&id).expect("what was not sent has no answer");
            call.number = self.session.as_mut().map(Session::count);
            call.sent_at = now;
            match &mut call.kind {
                CallKind::Lock(hold) => self.holds.sent_again(*hold, now),
                CallKind::Renew(_, sent_at, _) => *sent_at = now,
                _ => {}
            }
            lines.extend_from_slice(&call.line);
        }
        lines
    }

    /// The time of a `lock` is over. Without a connection it ends here. (The backlog is made of the calls when there is one.)
    pub(super) fn abandon(&mut self, hold: u64) -> Abandoned {
        if !matches!(self.link, LinkState::Away { .. }) {
            return Abandoned::No;
        }
        let own = self.calls.iter().find(|(_, call)| matches!(call.kind, CallKind::Lock(of) if of == hold));
        let (Some(id), Some(subject)) = (own.map(|(id, _)| *id), self.holds.subject(hold)) else {
            return Abandoned::No;
        };
        let call = self.calls.remove(&id).expect("it was found");
        self.holds.end(hold);
        if call.number.is_some() { Abandoned::Sent(subject) } else { Abandoned::Unsent }
    }

    /// Applies what the server says and passes answers on. Nothing happens for an id that nobody waits for. Returns what
    /// the program is to be told.
    pub(super) fn answer(&mut self, answer: Answer) -> Option<Notice> {
        if answer.notice.is_some() {
            return self.notice(answer);
        }
        let Some(id) = answer.id else {
            let is_taken = answer.result == "error" && answer.reason == Reason::SessionTaken;
            return is_taken.then_some(Notice::SessionTaken);
        };
        if id == 0
            && answer.result == "kept_alive"
            && let Some(session) = &mut self.session
        {
            session.kept_alive();
        }
        if answer.result == "queued" {
            let CallKind::Lock(hold) = self.calls.get(&id)?.kind else { return None };
            return Some(Notice::Queued(self.holds.on_queued(hold)?, answer.position));
        }
        if let (Some(session), Some(call)) = (&mut self.session, self.calls.get(&id)) {
            session.proven(call.sent_at);
        }
        self.settle(id, answer);
        None
    }

    /// What the server has said without being asked.
    fn notice(&mut self, answer: Answer) -> Option<Notice> {
        let (name, owner) = (answer.name.as_deref()?, answer.owner.as_ref());
        match answer.notice.as_deref()? {
            "expired" => self.holds.lose(name, owner, Loss::Expired, answer.token).map(Notice::Expired),
            "revoked" => self.holds.lose(name, owner, Loss::Revoked, answer.token).map(Notice::Revoked),
            "wanted" => self.holds.wanted(name, owner, answer.token, answer.waiters),
            _ => None,
        }
    }

    /// Applies the answer to a call and passes it on.
    pub(super) fn settle(&mut self, id: u64, answer: Answer) {
        let Some(call) = self.calls.remove(&id) else { return };
        match (call.kind, answer.result.as_str()) {
            (CallKind::Lock(hold), "acquired" | "already_acquired") => self.holds.grant(hold, &answer),
            (CallKind::Lock(hold), _) => self.holds.end(hold),
            (CallKind::Renew(hold, sent_at, lease), "renewed") => self.holds.renewed(hold, sent_at, lease, &answer),
            // Without a notice, so its lease has not run out.
            (CallKind::Renew(hold, ..), "renew_failed") => self.holds.lose_all_of(hold, Loss::Revoked),
            (CallKind::Transfer(hold, _), "transferred") => self.holds.lose_all_of(hold, Loss::GivenUp),
            (CallKind::Transfer(hold, _), "transfer_failed") if !answer.is_held() => {
                self.holds.lose_all_of(hold, Loss::Revoked)
            }
            // What is still being asked for was cancelled, and is answered so by itself.
            (CallKind::Reset(owner), "reset_succeeded") => self.holds.reset(owner.as_ref()),
            _ => {}
        }
        // The caller may be gone.
        let _ = call.answer.send(answer);
    }
}
