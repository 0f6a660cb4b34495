//! The engine beside the model.

use std::hash::{BuildHasherDefault, Hasher};

use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
use officer::time::Moment;
use officer::wire::peer::Peer;
use officer::wire::reply::{HelloLimits, Outcome, Reply};
use officer::wire::request::{Command, parse};
use officer::wire::session::Resumed;
use serde_json::{Value, json};

use super::{Operation, STEP};
use crate::model::{Ask, Greeting, Limits, Model, Request, Said, is_same};

/// No world has more seats.
const SEATS_MAX: usize = 8;

/// The grace of the session that some worlds begin with.
const GRACE: u64 = 2 * STEP;

/// The engine and the model.
pub(super) struct Pair {
    engine: Engine<BuildHasherDefault<Collision>>,
    pub(super) model: Model,
    sessions: Vec<Option<SessionKey>>,
    /// The session that stays when its connection is lost, and the seat that it has.
    lasting: Option<(SessionKey, Option<usize>)>,
    now: u64,
    /// Of the last operation.
    said: Vec<(usize, String)>,
    expected: Said,
}

/// A hash that is the same for all names: what the index finds by it may be another lock.
#[derive(Default)]
struct Collision;

impl Hasher for Collision {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

/// Records who was sent what.
#[derive(Default)]
struct Recorded(Vec<(usize, String)>);

impl Replies for Recorded {
    fn push(&mut self, to: ConnectionKey, reply: &Reply<'_>) {
        // Nothing is sent to a session without a connection.
        let Some(seat) = usize::try_from(to.to_bits()).ok().filter(|seat| *seat < SEATS_MAX) else { return };
        let mut line = Vec::new();
        reply.encode(&mut line);
        line.pop();
        self.0.push((seat, String::from_utf8(line).expect("replies are UTF-8")));
    }
}

/// Of the reply to a resumption, what the session still has.
fn kept(reply: &str) -> String {
    let reply: Value = serde_json::from_str(reply).expect("a reply is JSON");
    json!({ "held": reply["held"], "waiting": reply["waiting"] }).to_string()
}

impl Pair {
    /// `has_lasting`: seat 0 has a session that can be resumed, and seat 1 is empty.
    pub(super) fn new(seats: usize, has_lasting: bool) -> Self {
        let limits = Limits {
            connection_locks_max: 10,
            lock_waits_max: 10,
            reply_bytes_max: 10_000,
            closing_locks_max: 10,
            sessions_max: 10,
            turn_grants_max: 1,
            first_token: 1,
        };
        let of_engine = EngineLimits {
            session_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            reply_bytes_max: limits.reply_bytes_max,
            closing_locks_max: limits.closing_locks_max,
            turn_grants_max: limits.turn_grants_max,
            turn_walk_max: 50_000,
        };
        let tokens = TokenBlock::new(limits.first_token, 1 << 53);
        let engine = Engine::with_hasher(of_engine, tokens, BuildHasherDefault::default());
        let model = Model::new(limits);
        let (said, expected) = (Vec::new(), Vec::new());
        let sessions = vec![None; seats];
        let mut pair = Pair { engine, model, sessions, lasting: None, now: 0, said, expected };
        for seat in (0..seats).filter(|seat| !has_lasting || *seat != 1) {
            pair.execute_model(&Operation::Switch(seat));
            pair.execute_engine(&Operation::Switch(seat));
        }
        if has_lasting {
            let greeting = Greeting { grace: Some(GRACE), resume: None };
            pair.model.greet(0, greeting, 0).expect("there is room for one");
            pair.lasting = pair.sessions[0].map(|session| (session, Some(0)));
        }
        pair
    }

    /// Requests come from those who are there.
    pub(super) fn is_possible(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Ask(seat, _) => self.sessions[*seat].is_some(),
            Operation::Lose => matches!(self.lasting, Some((_, Some(_)))),
            Operation::Resume(seat) => self.lasting.is_some_and(|(_, now)| now != Some(*seat)),
            Operation::Switch(_) | Operation::Pass => true,
        }
    }

    /// Each operation has a turn of its own.
    pub(super) fn execute_engine(&mut self, operation: &Operation) {
        if matches!(operation, Operation::Pass) {
            self.now += STEP;
        }
        let now = Moment::from_nanos(self.now);
        let mut replies = Recorded::default();
        self.engine.begin_turn(now);
        self.engine.settle_left_over(now, &mut replies, || false);
        match operation {
            Operation::Ask(seat, request) => replies.0.extend(self.say(*seat, &request.line())),
            Operation::Switch(seat) => self.switch(*seat, &mut replies),
            Operation::Lose => self.lose(),
            Operation::Resume(seat) => self.resume(*seat, &mut replies),
            Operation::Pass => self.expire(&mut replies),
        }
        self.said = replies.0;
    }

    pub(super) fn execute_model(&mut self, operation: &Operation) {
        let now = self.now + if matches!(operation, Operation::Pass) { STEP } else { 0 };
        let model = &mut self.model;
        let mut said = model.begin_turn(now);
        match operation {
            Operation::Ask(seat, request) => said.extend(model.request(*seat, request, now)),
            Operation::Switch(seat) if model.is_connected(*seat) => said.extend(model.disconnect(*seat, now)),
            Operation::Switch(seat) => model.connect(*seat, Peer::Unix(*seat as u64).to_string()),
            Operation::Lose => {
                let seat = self.lasting.and_then(|(_, seat)| seat).expect("it is possible");
                said.extend(model.lose(seat, now));
            }
            Operation::Resume(seat) => {
                model.connect(*seat, Peer::Unix(*seat as u64).to_string());
                let greeted = model.greet(*seat, Greeting { grace: None, resume: Some(Some(1)) }, now);
                let keys = greeted.expect("it is not refused").keys;
                said.push((*seat, kept(&format!("{{{}}}", &keys[1..]))));
            }
            Operation::Pass => said.extend(std::iter::from_fn(|| model.expire_next(now)).flatten()),
        }
        self.expected = said;
        self.model.take_met();
    }

    fn say(&mut self, seat: usize, line: &str) -> Vec<(usize, String)> {
        let request = parse(line.as_bytes()).expect("the model's requests are in order");
        let session = self.sessions[seat].expect("it is connected");
        let mut replies = Recorded::default();
        let (id, owner) =
            (request.id.as_ref().map(officer::wire::Id::as_ref), request.owner.as_ref().map(officer::wire::Id::as_ref));
        let (id, owner, now) = (id.as_ref(), owner.as_ref(), Moment::from_nanos(self.now));
        let context = Context { session, id, owner, is_verbatim: false, now };
        match &request.command {
            Command::Locks(operation) => self.engine.request(operation, &context, &mut replies),
            Command::Transfer(transfer) => {
                let to = transfer.to.as_ref().map(|name| name.parse().ok());
                self.engine.transfer(transfer, to, &context, &mut replies);
            }
            Command::Revoke(revocation) => {
                let outcome = self.engine.revoke(revocation, None, context.now, &mut replies);
                let reply = Reply { id: context.id, owner: context.owner, outcome };
                replies.push(ConnectionKey::from_bits(seat as u64), &reply);
            }
            other => unreachable!("the model does not know {other:?}"),
        }
        replies.0
    }

    fn lose(&mut self) {
        let (session, seat) = self.lasting.as_mut().expect("it is possible");
        let seat = seat.take().expect("it is possible");
        self.sessions[seat] = None;
        let grace = officer::time::Span::from_nanos(GRACE);
        self.engine.detach(*session, Peer::Session(1), grace, Moment::from_nanos(self.now));
    }

    fn resume(&mut self, seat: usize, replies: &mut Recorded) {
        let (session, before) = self.lasting.as_mut().expect("it is possible");
        if let Some(before) = before.replace(seat) {
            self.sessions[before] = None;
        }
        self.sessions[seat] = Some(*session);
        let (connection, peer) = (ConnectionKey::from_bits(seat as u64), Peer::Unix(seat as u64));
        self.engine.attach(*session, connection, peer);
        let mut rows = Resumed::new(10_000);
        self.engine.write_resumed(*session, Moment::from_nanos(self.now), &mut rows);
        let limits = HelloLimits {
            line_bytes_max: 0,
            connection_locks_max: 0,
            lock_waits_max: 0,
            reply_bytes_max: 0,
            max_idle: None,
            silent_after: None,
        };
        let outcome = Outcome::Hello { connection: peer, limits, session: None, resumed: Some(&rows), user: None };
        let mut line = Recorded::default();
        line.push(connection, &Reply { id: None, owner: None, outcome });
        replies.0.push((seat, kept(&line.0[0].1)));
    }

    /// What is due happens, as the server has it.
    fn expire(&mut self, replies: &mut Recorded) {
        let now = Moment::from_nanos(self.now);
        loop {
            if let Some(session) = self.engine.next_over(now) {
                self.engine.disconnect(session, now, replies);
                self.lasting = None;
            } else if !self.engine.expire_next(now, now, replies) {
                return;
            }
        }
    }

    fn switch(&mut self, seat: usize, replies: &mut Recorded) {
        if let Some(session) = self.sessions[seat].take() {
            let mut last = Recorded::default();
            self.engine.disconnect(session, Moment::from_nanos(self.now), &mut last);
            // Nobody is there any more to hear of it.
            replies.0.extend(last.0.into_iter().filter(|(to, _)| *to != seat));
            return;
        }
        let peer = Peer::Unix(seat as u64);
        self.sessions[seat] = Some(self.engine.connect(ConnectionKey::from_bits(seat as u64), peer));
    }

    /// Compares all that can be seen from outside, and the engine with itself.
    pub(super) fn check(&mut self) -> Result<(), String> {
        // Stable: only the order of each receiver's own counts.
        self.said.sort_by_key(|(seat, _)| *seat);
        self.expected.sort_by_key(|(seat, _)| *seat);
        let same = |(one, other): (&(usize, String), &(usize, String))| one.0 == other.0 && is_same(&one.1, &other.1);
        if self.said.len() != self.expected.len() || !self.said.iter().zip(&self.expected).all(same) {
            return Err(format!("said was {:?}, and should have been {:?}", self.said, self.expected));
        }
        self.engine.check_all();
        let (next, due) = (self.engine.next_deadline().map(Moment::as_nanos), self.model.next_due());
        // While a grace runs there is a turn more often than once a second.
        let is_step = self.model.next_step().is_some_and(|step| next.is_some_and(|next| next <= step));
        // The timeout of a wait that is left over comes to nothing.
        let is_early = next.is_some_and(|next| due.is_none_or(|due| next < due));
        if next != due && !(self.model.has_left_over() && is_early) && !is_step {
            return Err(format!("the next deadline is {next:?}, and should be {due:?}"));
        }
        let (stats, counts) = (self.engine.stats(), self.model.counts);
        let of_engine = (stats.acquires, stats.releases, stats.timeouts, stats.queue_maxed);
        if of_engine != (counts.acquires, counts.releases, counts.timeouts, counts.queue_maxed) {
            return Err("the counters".to_owned());
        }
        let (held, waiting) = self.model.held_and_waiting();
        if (stats.held, stats.waiting) != (held as u64, waiting as u64) {
            return Err("the gauges".to_owned());
        }
        let mut told = Recorded::default();
        self.engine.announce_shutdown(&mut told);
        if told.0 != self.model.shut_down() {
            return Err(format!("at the end of the server these would be told: {:?}", told.0));
        }
        let Some(seat) = self.sessions.iter().position(Option::is_some) else {
            // A lock may be closed.
            let is_right = self.engine.is_empty() == self.model.is_empty();
            return if is_right { Ok(()) } else { Err("all are gone, and something is left".to_owned()) };
        };
        let page = Ask::Page { prefix: String::new(), is_contended: false, has_detail: true };
        for ask in [page, Ask::Connections] {
            let request = Request { ask, owner: None, id: None };
            let said = self.say(seat, &request.line());
            let expected = self.model.request(seat, &request, self.now);
            if said.len() != 1 || !is_same(&said[0].1, &expected[0].1) {
                return Err(format!("listed was {said:?}, and should have been {expected:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn state(&mut self) -> String {
        let mut state = self.model.state(self.now);
        if let Some(seat) = self.sessions.iter().position(Option::is_some) {
            for line in [r#"{"command":"locks"}"#, r#"{"command":"connections"}"#] {
                state += &self.say(seat, line)[0].1;
            }
        }
        state
    }
}
