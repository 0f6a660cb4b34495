//! Every sequence of operations in small worlds of two to four connections and one to three locks, on the real engine
//! beside the model.
//!
//! Breadth first, and a state that was seen before is not gone on from. Two sequences lead to the same state if the
//! model's future is the same after both ([`Model::state`]), and if the engine lists locks and connections in the same
//! order. The first is sound as the model is a function of that state; the second stands for the slots that the engine
//! keeps things in, so that two histories that leave its memory in another order are both gone on from. What remains
//! is the order of slots that are free: by it the engine's own future may differ, and that of its clients only if a slot
//! meant something to them. After every operation the replies, the listings, the counters, the next deadline and the
//! engine's `check_all` are compared, so a state is known to be right in all that, and not only to be reached.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
use officer::time::Moment;
use officer::wire::peer::Peer;
use officer::wire::reply::{HelloLimits, Outcome, Reply};
use officer::wire::request::{Command, parse};
use officer::wire::session::Resumed;
use serde_json::{Value, json};

use crate::model::{Ask, Extra, Greeting, Limits, Lock, Mode, Model, Request, Said, Target, is_same};
use crate::sizes::{Id, Span, Whole};
use crate::{from_environment, say};

/// Time passes in steps of this; a timed wait is two of them.
const STEP: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Operation {
    Ask(usize, Box<Request>),
    /// Who is connected goes, who has gone comes.
    Switch(usize),
    /// The session's connection is lost.
    Lose,
    /// The session is resumed on a new connection in this seat, also while it has another.
    Resume(usize),
    Pass,
}

/// No world has more seats.
const SEATS_MAX: usize = 8;

/// The grace of the session that some worlds begin with.
const GRACE: u64 = 2 * STEP;

#[test]
fn every_sequence_in_a_small_world_is_answered_as_the_model_says() {
    let asks = |seat| {
        let of_lock = |name| [plain(name, false), plain(name, true), unlock(name)];
        let asks = ["a", "b"].into_iter().flat_map(of_lock).chain([by(None, Ask::Reset)]);
        asks.map(move |request| Operation::Ask(seat, Box::new(request)))
    };
    let operations = (0..3).flat_map(asks).chain((0..3).map(Operation::Switch)).chain([Operation::Pass]);
    search("plain", 3, 7, operations.collect());
}

/// Shared holders and units of a semaphore on one lock, with who fits neither, and priorities.
#[test]
fn every_sequence_of_modes_is_answered_as_the_model_says() {
    let kinds = [shared(), units(2), Extra::default(), Extra { priority: Some(whole(1)), ..shared() }];
    let asks = |seat| {
        let asks = kinds.clone().map(|extra| lock("a", extra)).into_iter().chain([unlock("a")]);
        asks.map(move |request| Operation::Ask(seat, Box::new(request))).collect::<Vec<_>>()
    };
    let timed = Lock { timeout: Some(steps(1)), ..one("a", Extra::default()) };
    let timed = Operation::Ask(2, Box::new(by(None, Ask::Lock(Box::new(timed)))));
    let operations = (0..4).flat_map(asks).chain([Operation::Switch(0), Operation::Pass, timed]);
    search("modes", 4, 6, operations.collect());
}

/// Several names at once, all or any, and single ones, of two locks and of three.
#[test]
fn every_sequence_of_several_names_is_answered_as_the_model_says() {
    let asks = |seat| {
        let any = |names| several(names, Extra { any: Some(true), ..Extra::default() });
        let all = |names| several(names, Extra::default());
        let mut asks = vec![lock("a", Extra::default()), lock("b", Extra::default()), unlock("a"), unlock("b")];
        asks.extend([all(&["a", "b"]), any(&["b", "a"]), several(&["b", "c"], shared())]);
        asks.into_iter().map(move |request| Operation::Ask(seat, Box::new(request)))
    };
    let shared = Operation::Ask(2, Box::new(lock("b", shared())));
    let operations = (0..3).flat_map(asks).chain([Operation::Switch(0), Operation::Switch(1), Operation::Pass, shared]);
    search("names", 3, 5, operations.collect());
}

/// Holds that end by themselves, locks that are closed, and revocations.
#[test]
fn every_sequence_of_leases_and_closings_is_answered_as_the_model_says() {
    let closing = |min_hold, lost_delay| {
        let span = |count: u64| (count > 0).then(|| steps(count));
        Extra { min_hold: span(min_hold), lost_delay: span(lost_delay), ..Extra::default() }
    };
    let leased = |count| Extra { lease: Some(steps(count)), ..Extra::default() };
    let renew = || by(None, Ask::Renew { target: Target::One("a".to_owned()), token: None, lease: Some(steps(2)) });
    let revoke = || by(None, Ask::Revoke { name: "a".to_owned(), token: None, connection: None });
    let asks = |seat| {
        let both = Extra { lease: Some(steps(1)), ..closing(2, 1) };
        let extras = [leased(1), leased(2), closing(2, 0), closing(0, 1), both];
        let mut asks: Vec<Request> = extras.into_iter().map(|extra| lock("a", extra)).collect();
        asks.extend([plain("a", true), unlock("a"), renew(), revoke()]);
        asks.into_iter().map(move |request| Operation::Ask(seat, Box::new(request)))
    };
    let operations = (0..3).flat_map(asks).chain([Operation::Switch(0), Operation::Switch(1), Operation::Pass]);
    search("leases", 3, 5, operations.collect());
}

/// Owners of two connections, and circles that are refused.
#[test]
fn every_sequence_of_owners_is_answered_as_the_model_says() {
    let refuse = || Extra { refuses_deadlock: true, ..Extra::default() };
    let asks = |(seat, owner): (usize, Option<&str>)| {
        let owner = owner.map(Id::text);
        let mut asks = vec![lock("a", refuse()), lock("b", refuse()), several(&["a", "b"], refuse())];
        asks.extend([lock("a", Extra { priority: Some(whole(1)), ..refuse() }), unlock("a"), by(None, Ask::Reset)]);
        asks.into_iter().map(move |request| Operation::Ask(seat, Box::new(Request { owner: owner.clone(), ..request })))
    };
    let askers = [(0, None), (0, Some("x")), (1, Some("x")), (1, Some("y"))];
    let operations = askers.into_iter().flat_map(asks).chain([Operation::Switch(0), Operation::Switch(1)]);
    search("owners", 2, 5, operations.collect());
}

/// A session that sits in seat 0 or 1, and two plain connections. Locks are handed on, also to the session and by it.
#[test]
fn every_sequence_of_a_session_is_answered_as_the_model_says() {
    let transfer = |seat: usize, to_seat: usize| {
        let to = Some(Peer::Unix(to_seat as u64).to_string());
        let ask = Ask::Transfer { name: "a".to_owned(), to, to_owner: None, token: None };
        Operation::Ask(seat, Box::new(by(None, ask)))
    };
    let asks = |seat| {
        let leased = Extra { lease: Some(steps(1)), ..Extra::default() };
        let asks = [plain("a", false), lock("a", leased), unlock("a")];
        asks.map(move |request| Operation::Ask(seat, Box::new(request)))
    };
    let transfers = [(0, 2), (2, 0), (2, 3), (3, 2), (1, 2), (2, 1)].map(|(from, to)| transfer(from, to));
    let others = [
        Operation::Ask(0, Box::new(several(&["b", "a"], Extra::default()))),
        Operation::Ask(3, Box::new(plain("b", true))),
        Operation::Lose,
        Operation::Resume(0),
        Operation::Resume(1),
        Operation::Switch(2),
        Operation::Pass,
    ];
    let operations = (0..4).flat_map(asks).chain(transfers).chain(others);
    search("session", 4, 5, operations.collect());
}

fn by(owner: Option<Id>, ask: Ask) -> Request {
    Request { ask, owner, id: None }
}

fn steps(count: u64) -> Span {
    Span { written: count.to_string(), nanos: count * STEP }
}

fn whole(value: u128) -> Whole {
    Whole { written: value.to_string(), value }
}

fn shared() -> Extra {
    Extra { mode: Some(Mode::Shared), ..Extra::default() }
}

fn units(count: u128) -> Extra {
    Extra { slots: Some(whole(count)), ..Extra::default() }
}

fn one(name: &str, extra: Extra) -> Lock {
    Lock { extra, ..Lock::plain(name, None, None) }
}

fn lock(name: &str, extra: Extra) -> Request {
    by(None, Ask::Lock(Box::new(one(name, extra))))
}

fn several(names: &[&str], extra: Extra) -> Request {
    let target = Target::Several(names.iter().map(|name| (*name).to_owned()).collect());
    by(None, Ask::Lock(Box::new(Lock { target, ..one("", extra) })))
}

fn plain(name: &str, is_timed: bool) -> Request {
    by(None, Ask::Lock(Box::new(Lock::plain(name, is_timed.then(|| steps(2)), None))))
}

fn unlock(name: &str) -> Request {
    by(None, Ask::Unlock { target: Target::One(name.to_owned()), token: None })
}

/// Tries all sequences of these operations.
fn search(world: &str, seats: usize, depth: u64, operations: Vec<Operation>) {
    let depth = from_environment("OFFICER_DEPTH").unwrap_or(depth);
    let start = Instant::now();
    let has_lasting = operations.iter().any(|operation| matches!(operation, Operation::Lose));
    let new = || Pair::new(seats, has_lasting);
    let mut seen = HashSet::from([new().state()]);
    // Sequences as the operations' numbers, each of them to another state, and the model in that state.
    let mut frontier: Vec<(Vec<u8>, Model)> = vec![(Vec::new(), new().model)];
    let mut tried: u64 = 0;
    for length in 1..=depth {
        let mut next = Vec::new();
        for (sequence, model) in &frontier {
            for number in 0..operations.len() {
                let mut pair = new();
                for earlier in sequence {
                    pair.execute_engine(&operations[usize::from(*earlier)]);
                }
                pair.model = model.clone();
                let operation = &operations[number];
                if !pair.is_possible(operation) {
                    continue;
                }
                tried += 1;
                pair.execute_model(operation);
                pair.execute_engine(operation);
                let done = || sequence.iter().map(|number| operations[usize::from(*number)].to_string());
                if let Err(why) = pair.check() {
                    panic!("after {:#?} and {operation}: {why}", done().collect::<Vec<_>>());
                }
                if seen.insert(pair.state()) {
                    let number = u8::try_from(number).expect("few operations");
                    next.push(([sequence.as_slice(), &[number]].concat(), pair.model));
                }
            }
        }
        say(&format!(
            "{world}, depth {length}: {} states, {} of them new, {tried} operations tried, {:.1} s",
            seen.len(),
            next.len(),
            start.elapsed().as_secs_f64()
        ));
        if next.is_empty() {
            say("there are no further states: every sequence of any length leads to one of these");
            break;
        }
        frontier = next;
    }
    assert!(seen.len() > 500, "the world is not as small as that");
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Ask(seat, request) => write!(f, "{seat} < {}", request.line()),
            Operation::Switch(seat) => write!(f, "{seat} goes or comes"),
            Operation::Lose => write!(f, "the session loses its connection"),
            Operation::Resume(seat) => write!(f, "the session is resumed by {seat}"),
            Operation::Pass => write!(f, "time passes"),
        }
    }
}

/// The engine and the model.
struct Pair {
    engine: Engine<BuildHasherDefault<Collision>>,
    model: Model,
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
    fn new(seats: usize, has_lasting: bool) -> Self {
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
    fn is_possible(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Ask(seat, _) => self.sessions[*seat].is_some(),
            Operation::Lose => matches!(self.lasting, Some((_, Some(_)))),
            Operation::Resume(seat) => self.lasting.is_some_and(|(_, now)| now != Some(*seat)),
            Operation::Switch(_) | Operation::Pass => true,
        }
    }

    /// Each operation has a turn of its own.
    fn execute_engine(&mut self, operation: &Operation) {
        if matches!(operation, Operation::Pass) {
            self.now += STEP;
        }
        let now = Moment::from_nanos(self.now);
        let mut replies = Recorded::default();
        self.engine.begin_turn(now, &mut replies);
        match operation {
            Operation::Ask(seat, request) => replies.0.extend(self.say(*seat, &request.line())),
            Operation::Switch(seat) => self.switch(*seat, &mut replies),
            Operation::Lose => self.lose(),
            Operation::Resume(seat) => self.resume(*seat, &mut replies),
            Operation::Pass => self.expire(&mut replies),
        }
        self.said = replies.0;
    }

    fn execute_model(&mut self, operation: &Operation) {
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
        let context = Context {
            session,
            id: request.id.as_ref().map(officer::wire::Id::as_ref),
            owner: request.owner.as_ref().map(officer::wire::Id::as_ref),
            now: Moment::from_nanos(self.now),
        };
        match &request.command {
            Command::Locks(operation) => self.engine.request(operation, &context, &mut replies),
            Command::Transfer(transfer) => {
                let to = transfer.to.as_ref().map(|name| name.parse().ok());
                self.engine.transfer(transfer, to, &context, &mut replies);
            }
            Command::Revoke(revocation) => self.engine.revoke(revocation, None, &context, &mut replies),
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
        let outcome = Outcome::Hello { connection: peer, limits, session: None, resumed: Some(&rows) };
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
    fn check(&mut self) -> Result<(), String> {
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
        for ask in [Ask::Page { prefix: String::new(), has_detail: true }, Ask::Connections] {
            let request = Request { ask, owner: None, id: None };
            let said = self.say(seat, &request.line());
            let expected = self.model.request(seat, &request, self.now);
            if said.len() != 1 || !is_same(&said[0].1, &expected[0].1) {
                return Err(format!("listed was {said:?}, and should have been {expected:?}"));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> String {
        let mut state = self.model.state(self.now);
        if let Some(seat) = self.sessions.iter().position(Option::is_some) {
            for line in [r#"{"command":"locks"}"#, r#"{"command":"connections"}"#] {
                state += &self.say(seat, line)[0].1;
            }
        }
        state
    }
}
