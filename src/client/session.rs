//! Sessions: what a client knows of its own, and what becomes of calls and holds when it is resumed.
//!
//! The server counts the lines that it has executed in the session. The client counts those that it has sent, so after a
//! break it knows of each call whether the server has executed it. What was not executed is sent again. Of what was, the
//! server says what is held and what waits; from that follows the answer that was lost.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Owner;
use super::state::{CallKind, Notice, State};
use crate::wire::answer::Answer;

/// The session of a connection.
pub(super) struct Session {
    /// Whoever has it can take the session, so it is shown nowhere.
    pub(super) secret: Box<str>,
    /// How long the client relies on the session after it was certainly there.
    room: Duration,
    /// The server had the connection at this moment, or later.
    proven_at: Instant,
    /// Lines sent. After a resumption, lines executed and those sent since.
    sent: u64,
    /// When the keep-alives without an answer were sent.
    keep_alives: VecDeque<Instant>,
    /// How many requests to resume it had no answer.
    unanswered: u32,
}

impl Session {
    /// Its first line is the `hello` that has made it, which was sent at `asked_at`.
    pub(super) fn new(secret: Box<str>, room: Duration, asked_at: Instant) -> Self {
        Session { secret, room, proven_at: asked_at, sent: 1, keep_alives: VecDeque::new(), unanswered: 0 }
    }

    /// How long a client relies on a session: for the grace, less the time that the program takes to stop.
    pub(super) fn room(grace: Duration, stop_within: Duration) -> Duration {
        grace.saturating_sub(stop_within).max(grace / 4)
    }

    /// A line is about to be sent. Returns its number.
    pub(super) fn count(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// A keep-alive is about to be sent.
    pub(super) fn keeps_alive(&mut self) {
        self.count();
        self.keep_alives.push_back(Instant::now());
    }

    /// The first keep-alive that had no answer has one.
    pub(super) fn kept_alive(&mut self) {
        if let Some(asked_at) = self.keep_alives.pop_front() {
            self.proven(asked_at);
        }
    }

    /// The server has answered what was sent at this moment.
    pub(super) fn proven(&mut self, asked_at: Instant) {
        self.proven_at = self.proven_at.max(asked_at);
    }

    /// A request to resume it was perhaps sent, and had no answer.
    pub(super) fn asked_in_vain(&mut self) {
        self.unanswered += 1;
    }

    /// The server says that somebody has resumed it. Says whether that may have been one of the requests that had no answer:
    /// the network can deliver them late.
    pub(super) fn is_taken_by_itself(&mut self) -> bool {
        let is_possible = self.unanswered > 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        is_possible
    }

    /// Until when it is certain that the session is there, whatever has become of the connection.
    pub(super) fn certain_until(&self) -> Instant {
        self.proven_at + self.room
    }

    fn resumed(&mut self, executed: u64, asked_at: Instant) {
        self.sent = executed;
        self.keep_alives.clear();
        self.proven(asked_at);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("room", &self.room).field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// The part of the answer to a `hello` that is about the session.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionAnswer {
    pub(super) session: Option<SessionTerms>,
    pub(super) resumed: bool,
    /// None: it would be too much for one reply.
    pub(super) held: Option<Vec<HeldRow>>,
    pub(super) waiting: Option<Vec<WaitingRow>>,
    pub(super) executed: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionTerms {
    pub(super) secret: Box<str>,
    pub(super) grace: f64,
}

impl fmt::Debug for SessionTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTerms").field("grace", &self.grace).finish_non_exhaustive()
    }
}

/// What a resumed session holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HeldRow {
    name: String,
    owner: Option<Owner>,
    pub(super) token: Option<u64>,
    pub(super) waiters: u64,
    pub(super) lease_left: Option<f64>,
}

/// A request of a resumed session that waits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WaitingRow {
    id: Option<Owner>,
}

/// What a resumed session holds and waits for.
pub(super) struct Resumption {
    held: HashMap<(String, Option<Owner>), HeldRow>,
    waiting: HashSet<u64>,
    executed: u64,
    /// When it was asked for. What it says was so at this moment or later.
    pub(super) asked_at: Instant,
}

impl Resumption {
    /// None: the lists were too long for the server.
    pub(super) fn of(answer: SessionAnswer, asked_at: Instant) -> Option<Self> {
        let held = answer.held?.into_iter().map(|row| ((row.name.clone(), row.owner.clone()), row)).collect();
        let number = |row: WaitingRow| match row.id {
            Some(Owner::Number(id)) => Some(id),
            _ => None,
        };
        let waiting = answer.waiting?.into_iter().filter_map(number).collect();
        Some(Resumption { held, waiting, executed: answer.executed, asked_at })
    }

    pub(super) fn row(&self, name: &str, owner: Option<&Owner>) -> Option<&HeldRow> {
        self.held.get(&(name.to_owned(), owner.cloned()))
    }
}

/// What an answer was that the server gave to a connection that was lost.
enum Verdict {
    Answer(Box<Answer>),
    /// It still waits.
    Waits,
    /// It has changed nothing, so it is asked again.
    Again,
}

/// The `result` of an executed request whose answer can't be known.
pub(super) const ANSWER_LOST: &str = "answer lost";
/// The `result` of an executed request about a hold that is gone.
pub(super) const NOT_HELD: &str = "not held";

impl State {
    /// The session goes on with another connection. Returns what the program is to be told.
    pub(super) fn resume(&mut self, resumption: &Resumption) -> Vec<Notice> {
        let mut ids: Vec<u64> = self.calls.keys().copied().collect();
        ids.sort_unstable();
        self.backlog.clear();
        for id in ids {
            let call = self.calls.get_mut(&id).expect("it was listed");
            let is_executed = call.number.is_some_and(|number| number <= resumption.executed);
            match if is_executed { self.verdict(id, resumption) } else { Verdict::Again } {
                Verdict::Waits => {}
                Verdict::Answer(answer) => self.settle(id, *answer),
                Verdict::Again => self.send_again(id),
            }
        }
        if let Some(session) = &mut self.session {
            session.resumed(resumption.executed, resumption.asked_at);
        }
        self.holds.resumed(resumption)
    }

    /// What has become of a call that was executed.
    fn verdict(&self, id: u64, resumption: &Resumption) -> Verdict {
        // A hold that has a lease may have ended before it was given up.
        let certain = |until: Option<Instant>| until.is_none_or(|until| resumption.asked_at < until);
        let given = |until, result| Answer::of_result(if certain(until) { result } else { ANSWER_LOST });
        Verdict::Answer(Box::new(match &self.calls[&id].kind {
            CallKind::Lock(_) if resumption.waiting.contains(&id) => return Verdict::Waits,
            CallKind::Lock(hold) => self.holds.granted_meanwhile(*hold, resumption),
            CallKind::Unlock(until) => given(*until, "released"),
            CallKind::Transfer(hold, until) => match self.holds.rows(*hold, resumption).next() {
                Some(_) => Answer { held: Some(true.into()), ..Answer::of_result("transfer_failed") },
                None => given(*until, "transferred"),
            },
            CallKind::Renew(hold, ..) => self.holds.renewed_meanwhile(*hold, resumption),
            CallKind::Reset(_) => Answer::of_result("reset_succeeded"),
            CallKind::Read => return Verdict::Again,
            CallKind::Change => Answer::of_result(ANSWER_LOST),
        }))
    }
}
