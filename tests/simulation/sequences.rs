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

mod pair;

use std::collections::HashSet;
use std::fmt;
use std::time::Instant;

use officer::wire::peer::Peer;

use self::pair::Pair;
use crate::model::{Ask, Extra, Lock, Mode, Model, Request, Target};
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
