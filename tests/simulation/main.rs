//! The server in a world of its own: sockets made of memory, virtual time, and everything that may happen to them drawn
//! from one seed. The same `Server` and `Engine` that `officer run` runs; only the sockets, the time and the order of
//! events are replaced.
//!
//! ```sh
//! cargo test --release --test simulation                        # 10,000 seeds, and all sequences in a small world
//! OFFICER_SEED=17 cargo test --release --test simulation seeds  # one seed
//! OFFICER_SEEDS=1000000 cargo test --release --test simulation seeds
//! OFFICER_SEED=500000 OFFICER_SEEDS=500000 cargo test --release --test simulation seeds  # the second half of these
//! OFFICER_DEPTH=12 cargo test --release --test simulation sequence
//! ```
//!
//! What clients must see says [`expected`], around [`model`], the model of the locks that the fuzzers have as well. A
//! seed that fails is made smaller by [`shrink`], and its transcript is printed, for a test in `tests/virtual`. That the
//! simulation finds what is wrong with a server is shown by `tests/known_faults`, with [`series`].

#[path = "../support/answers.rs"]
mod answers;
mod counting;
mod coverage;
mod expected;
mod http;
mod limits;
mod lines;
mod links;
mod locks;
#[path = "../support/memory.rs"]
mod memory;
mod misfits;
#[expect(unreachable_pub, reason = "the fuzzers have it too, in another crate")]
mod model;
mod run;
mod scenario;
mod sequences;
mod series;
mod sessions;
mod shrink;
#[expect(unreachable_pub, reason = "the fuzzers have it too, in another crate")]
mod sizes;
#[path = "../virtual/world.rs"]
#[expect(dead_code, reason = "tests/virtual uses more of it")]
mod small_world;
mod steps;
mod users;
mod watch;

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::limits::Limits;
use crate::model::{Ask, Request};
use crate::run::{Failure, Options, run, run_seed};
use crate::scenario::{From, Line, Picks, Scenario, Step};

const SEEDS: u64 = 10_000;
/// One seed in this many is run again on the same server, to see that it keeps no memory.
const REPEATED: u64 = 16;
const NANOS_OF_A_YEAR: u128 = 365 * 86_400 * 1_000_000_000;
/// How long a failing seed is made smaller.
const SHRINK: Duration = Duration::from_secs(60);

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// Not by `println!`, which is swallowed when a test passes: these figures are what was done.
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").expect("somebody reads the figures");
}

fn options(seed: u64) -> Options {
    Options { check_all: true, is_repeated: seed.is_multiple_of(REPEATED), has_transcript: false, is_misled: false }
}

#[test]
fn what_clients_see_is_what_the_model_says_for_all_seeds() {
    let first = from_environment("OFFICER_SEED");
    // Of one that is named, no others are wanted; with both, a long run can be shared out.
    let count = from_environment("OFFICER_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let seeds = first.unwrap_or(0)..first.unwrap_or(0) + count;
    let start = Instant::now();
    let (coverage, failure) = run_all(seeds);
    if let Some((seed, failure)) = failure {
        // Before it is made smaller, which takes a while: .ci/mutants waits for no more than this.
        say(&format!("seed {seed} fails, and is made smaller"));
        panic!("{}", shrink::report(seed, &failure, options(seed), SHRINK));
    }
    say(&format!(
        "{count} seeds, {} steps, {} turns, {} years of virtual time in {:.1} s",
        coverage.steps,
        coverage.turns,
        coverage.time / NANOS_OF_A_YEAR,
        start.elapsed().as_secs_f64()
    ));
    say(&coverage.to_string());
    if count >= SEEDS {
        assert_eq!(coverage.missing(), Vec::<String>::new(), "these never happened");
    }
}

/// The model was once wrong about this. Only one seed in 100,000 brings it about.
#[test]
fn a_connection_whose_page_waits_for_its_turn_is_not_idle() {
    let page = || Ask::Page { prefix: String::new(), is_contended: false, has_detail: false };
    let ask = |seat| Step::Say {
        seat,
        line: Box::new(Line::Request {
            request: Request { ask: page(), owner: None, id: None },
            picks: Picks::default(),
            padding: 0,
            ending: "\n",
        }),
        arrives: usize::MAX,
    };
    let connect = |seat| Step::Connect { seat, from: From::Loopback, read_max: None, refuses_half_close: false };
    let second = 1_000_000_000;
    for order in 0..4 {
        let scenario = Scenario {
            limits: Limits { max_idle: Some(second), ..Limits::default() },
            seats: 2,
            steps: vec![
                connect(0),
                connect(1),
                Step::Settle(order),
                Step::Oversleep(second),
                ask(0),
                ask(1),
                Step::Settle(order),
            ],
        };
        if let Err(failure) = run(&scenario, options(1)) {
            panic!("{}", failure.message);
        }
    }
}

/// The model was once wrong about this, too: the transcript says nothing of the one that the server closes, which ends
/// already, and says in the same turn that another one ends.
#[test]
fn of_several_refused_connections_that_owe_the_same_any_may_be_closed_for_it() {
    let connect = |seat| Step::Connect { seat, from: From::Loopback, read_max: None, refuses_half_close: false };
    let takes_nothing = |seat| Step::Room { seat, bytes: Some(0) };
    let scenario = Scenario {
        // Two of the errors that there is no room have room.
        limits: Limits { connections_max: 0, outboxes_bytes_max: 200, ..Limits::default() },
        seats: 4,
        steps: vec![
            connect(0),
            Step::Settle(0),
            connect(1),
            takes_nothing(1),
            connect(2),
            takes_nothing(2),
            Step::End { seat: 0 },
            Step::Settle(0),
            // Into the slot of the first.
            connect(3),
            Step::Settle(0),
        ],
    };
    if let Err(failure) = run(&scenario, options(1)) {
        panic!("{}", failure.message);
    }
}

/// Runs seeds on all processors until they are done or one fails: the first of those that were begun.
fn run_all(seeds: std::ops::Range<u64>) -> (Coverage, Option<(u64, Failure)>) {
    let next = AtomicU64::new(seeds.start);
    let end = AtomicU64::new(seeds.end);
    let found = Mutex::new((Coverage::default(), None::<(u64, Failure)>));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut coverage = Coverage::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        break;
                    }
                    match run_seed(seed, options(seed)) {
                        Ok(seen) => coverage.add(&seen),
                        Err(failure) => {
                            end.fetch_min(seed, Ordering::Relaxed);
                            let first = &mut found.lock().expect("nobody panics with it").1;
                            if first.as_ref().is_none_or(|(other, _)| seed < *other) {
                                *first = Some((seed, failure));
                            }
                        }
                    }
                }
                found.lock().expect("nobody panics with it").0.add(&coverage);
            });
        }
    });
    found.into_inner().expect("nobody panics with it")
}
