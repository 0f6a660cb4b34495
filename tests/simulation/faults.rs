//! Does the simulation find anything? The server with known faults, one at a time and with its own assertions off, in
//! series of seeds, until its clients see in each series that something is wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use officer::faults::{Fault, switch};

use crate::run::{Options, run_seed};
use crate::say;

/// Series of seeds for each fault, with no seed in two of them. An odd number, so that one is in the middle.
const SERIES: usize = 9;
/// Seeds of a series. A fault that is not found by then is not found.
const SEEDS_MAX: u64 = 2_000;
/// Seeds that must find nothing while there is no fault.
const SEEDS_WITHOUT: u64 = 1_000;

const OPTIONS: Options = Options { check_all: false, is_repeated: false, has_transcript: false, is_misled: false };

/// How many seeds of a series it takes until the clients see the fault. A server that stopped itself, which it may also
/// do without an assertion, is no finding of theirs.
fn seeds_until_found(fault: Fault, series: usize) -> Option<u64> {
    switch(Some(fault));
    let first = series as u64 * SEEDS_MAX;
    let is_found = |seed| run_seed(seed, OPTIONS).is_err_and(|failure| !failure.is_own_assertion);
    (1..=SEEDS_MAX).find(|count| is_found(first + count - 1))
}

/// Does so many jobs on all processors.
fn do_all<T: Send>(jobs: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs {
                        break;
                    }
                    let result = job(number);
                    done.lock().expect("nobody panics with it").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn each_known_fault_is_found_by_what_the_clients_saw() {
    let start = Instant::now();
    say("| fault | found in series | seeds it took: median | at most |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let mut seeds = do_all(SERIES, |series| seeds_until_found(*fault, series).unwrap_or(u64::MAX));
        seeds.sort_unstable();
        let found = seeds.iter().filter(|seeds| **seeds < u64::MAX).count();
        let shown = |seeds: u64| if seeds == u64::MAX { "–".to_owned() } else { seeds.to_string() };
        let (median, most) = (shown(seeds[SERIES / 2]), shown(seeds[SERIES - 1]));
        say(&format!("| {} | {found} of {SERIES} | {median} | {most} |", fault.text()));
        if found < SERIES {
            missed.push(fault.text());
        }
    }
    say(&format!("{} faults in {:.1} s", Fault::ALL.len(), start.elapsed().as_secs_f64()));
    assert!(Fault::ALL.len() >= 20, "{} faults are too few to say much", Fault::ALL.len());
    assert_eq!(missed, Vec::<&str>::new(), "these were not found in each series of {SEEDS_MAX} seeds");
}

#[test]
fn without_a_fault_nothing_is_found() {
    let seeds = usize::try_from(SEEDS_WITHOUT).expect("few seeds");
    let found = do_all(seeds, |seed| {
        switch(None);
        Some((seed, run_seed(seed as u64, OPTIONS).err()?.message))
    });
    let found: Vec<(usize, String)> = found.into_iter().flatten().collect();
    assert_eq!(found, [], "no fault is on, and seeds fail");
    say(&format!("without a fault, {SEEDS_WITHOUT} seeds find nothing"));
}
