//! Every sequence of operations in a small world: three connections, two locks, on the real engine beside the model.
//!
//! Breadth first, and a state that was seen before is not gone on from. Two sequences lead to the same state if the
//! model's future is the same after both ([`Model::state`]), and if the engine lists locks and connections in the same
//! order. The first is sound as the model is a function of that state; the second stands for the slots that the engine
//! keeps things in, so that two histories that leave its memory in another order are both gone on from. What remains
//! is the order of slots that are free: by it the engine's own future may differ, and that of its clients only if a slot
//! meant something to them. After every operation the replies, the listings, the counters, the next deadline and the
//! engine's `check_all` are compared, so a state is known to be right in all that, and not only to be reached.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
use officer::time::Moment;
use officer::wire::Id;
use officer::wire::peer::Peer;
use officer::wire::reply::Reply;
use officer::wire::request::{Command, parse};

use crate::model::{Ask, Limits, Model, Request, Said, is_same};
use crate::sizes::Span;
use crate::{from_environment, say};

const DEPTH: u64 = 7;
const SEATS: usize = 3;
const LOCKS: [&str; 2] = ["a", "b"];
/// Time passes in steps of this; a timed wait is two of them.
const STEP: u64 = 1_000_000_000;

fn timeout() -> Span {
    Span { written: "2".to_owned(), nanos: 2 * STEP }
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Lock(usize, &'static str),
    TimedLock(usize, &'static str),
    Unlock(usize, &'static str),
    Reset(usize),
    /// Who is connected goes, who has gone comes.
    Switch(usize),
    Pass,
}

fn operations() -> Vec<Operation> {
    let mut operations = vec![Operation::Pass];
    for seat in 0..SEATS {
        operations.extend([Operation::Reset(seat), Operation::Switch(seat)]);
        for name in LOCKS {
            operations.extend([
                Operation::Lock(seat, name),
                Operation::TimedLock(seat, name),
                Operation::Unlock(seat, name),
            ]);
        }
    }
    operations
}

#[test]
fn every_sequence_in_a_small_world_is_answered_as_the_model_says() {
    let depth = from_environment("OFFICER_DEPTH").unwrap_or(DEPTH);
    let operations = operations();
    let start = Instant::now();
    let mut seen = HashSet::from([Pair::new().state()]);
    // Sequences as the operations' numbers, each of them to another state.
    let mut frontier: Vec<Vec<u8>> = vec![Vec::new()];
    let mut tried: u64 = 0;
    for length in 1..=depth {
        let mut next = Vec::new();
        for sequence in &frontier {
            for number in 0..operations.len() {
                let mut pair = Pair::new();
                for earlier in sequence {
                    pair.execute(operations[usize::from(*earlier)]);
                }
                let operation = operations[number];
                if !pair.is_possible(operation) {
                    continue;
                }
                tried += 1;
                pair.execute(operation);
                let done = || sequence.iter().map(|number| operations[usize::from(*number)]).collect::<Vec<_>>();
                if let Err(why) = pair.check() {
                    panic!("after {:?} and {operation:?}: {why}", done());
                }
                if seen.insert(pair.state()) {
                    let number = u8::try_from(number).expect("few operations");
                    next.push([sequence.as_slice(), &[number]].concat());
                }
            }
        }
        say(&format!(
            "depth {length}: {} states, {} of them new, {tried} operations tried, {:.1} s",
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
    assert!(seen.len() > 1_000, "the world is not as small as that");
}

/// The engine and the model.
struct Pair {
    engine: Engine<BuildHasherDefault<Collision>>,
    model: Model,
    sessions: [Option<SessionKey>; SEATS],
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
        let mut line = Vec::new();
        reply.encode(&mut line);
        line.pop();
        let seat = usize::try_from(to.to_bits()).expect("a seat");
        self.0.push((seat, String::from_utf8(line).expect("replies are UTF-8")));
    }
}

impl Pair {
    fn new() -> Self {
        let limits = Limits { connection_locks_max: 10, lock_waits_max: 10, reply_bytes_max: 10_000 };
        let of_engine = EngineLimits {
            session_locks_max: 10,
            lock_waits_max: 10,
            closing_locks_max: 100_000,
            turn_grants_max: 1000,
            turn_walk_max: 50_000,
            reply_bytes_max: 10_000,
        };
        let (engine, model) =
            (Engine::with_hasher(of_engine, TokenBlock::all(), BuildHasherDefault::default()), Model::new(limits));
        let mut pair = Pair { engine, model, sessions: [None; SEATS], now: 0, said: Vec::new(), expected: Vec::new() };
        (0..SEATS).for_each(|seat| pair.switch(seat));
        pair
    }

    /// Requests come from those who are there.
    fn is_possible(&self, operation: Operation) -> bool {
        match operation {
            Operation::Lock(seat, _)
            | Operation::TimedLock(seat, _)
            | Operation::Unlock(seat, _)
            | Operation::Reset(seat) => self.sessions[seat].is_some(),
            Operation::Switch(_) | Operation::Pass => true,
        }
    }

    fn execute(&mut self, operation: Operation) {
        self.said.clear();
        self.expected.clear();
        let lock = |name: &str, timeout| Ask::Lock { name: name.to_owned(), timeout, queue_max: None };
        match operation {
            Operation::Lock(seat, name) => self.ask(seat, lock(name, None)),
            Operation::TimedLock(seat, name) => self.ask(seat, lock(name, Some(timeout()))),
            Operation::Unlock(seat, name) => self.ask(seat, Ask::Unlock { name: name.to_owned() }),
            Operation::Reset(seat) => self.ask(seat, Ask::Reset),
            Operation::Switch(seat) => self.switch(seat),
            Operation::Pass => {
                self.now += STEP;
                let mut replies = Recorded::default();
                while self.engine.expire_next(Moment::from_nanos(self.now), Moment::from_nanos(self.now), &mut replies)
                {
                }
                self.said = replies.0;
                while let Some(said) = self.model.time_out_next(self.now) {
                    self.expected.extend(said);
                }
            }
        }
    }

    fn ask(&mut self, seat: usize, ask: Ask) {
        let request = Request { ask, id: None };
        self.said = self.say(seat, &request.line());
        self.expected = self.model.request(seat, &request, self.now);
    }

    fn say(&mut self, seat: usize, line: &str) -> Vec<(usize, String)> {
        let request = parse(line.as_bytes()).expect("the model's requests are in order");
        let Command::Locks(operation) = &request.command else { unreachable!("the model knows nothing else") };
        let session = self.sessions[seat].expect("it is connected");
        let mut replies = Recorded::default();
        let context = Context {
            session,
            id: request.id.as_ref().map(Id::as_ref),
            owner: request.owner.as_ref().map(Id::as_ref),
            now: Moment::from_nanos(self.now),
        };
        self.engine.request(operation, &context, &mut replies);
        replies.0
    }

    fn switch(&mut self, seat: usize) {
        if let Some(session) = self.sessions[seat].take() {
            let mut replies = Recorded::default();
            self.engine.disconnect(session, Moment::from_nanos(self.now), &mut replies);
            self.said = replies.0;
            self.expected = self.model.disconnect(seat, self.now);
            return;
        }
        let peer = Peer::Unix(seat as u64);
        self.sessions[seat] = Some(self.engine.connect(ConnectionKey::from_bits(seat as u64), peer));
        self.model.connect(seat, peer.to_string());
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
        if self.engine.next_deadline().map(Moment::as_nanos) != self.model.next_timeout() {
            return Err("the next deadline".to_owned());
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
        let Some(seat) = (0..SEATS).find(|seat| self.sessions[*seat].is_some()) else {
            return if self.engine.is_empty() { Ok(()) } else { Err("all are gone, and something is left".to_owned()) };
        };
        for ask in [Ask::Locks, Ask::Connections] {
            let request = Request { ask, id: None };
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
        if let Some(seat) = (0..SEATS).find(|seat| self.sessions[*seat].is_some()) {
            for line in [r#"{"command":"locks"}"#, r#"{"command":"connections"}"#] {
                state += &self.say(seat, line)[0].1;
            }
        }
        state
    }
}
