//! How many seeds the simulation needs to find what is wrong with the server that it is linked to. For a server that was
//! broken on purpose, as `tests/known_faults` does.

use std::{env, thread};

use crate::http;
use crate::run::{Failure, Options, run_seed};
use crate::say;
use crate::users;

/// An odd number, so that one is in the middle.
const SERIES: usize = 9;
/// Seeds of a series. No seed is in two of them.
const SEEDS_MAX: u64 = 2_000;

/// How many seeds of a series it takes until the clients see that something is wrong, and what they see. That the server
/// stops itself does not count. `world`: the only one that is tried of those that a seed has.
fn seeds_until_found(series: usize, world: Option<&str>) -> Option<(u64, Failure)> {
    let options = Options { check_all: false, is_repeated: false, has_transcript: false, is_misled: false };
    let first = series as u64 * SEEDS_MAX;
    let has = |name| world.is_none_or(|world| world == name);
    let [has_users, has_http, has_large] = [has("users"), has("http"), world.is_none()];
    let found = |seed: u64| {
        let has_users = has_users && seed.is_multiple_of(users::SHARE);
        let has_http = has_http && seed % http::SHARE == http::FIRST;
        let with_users = || if has_users { users::run_seed(seed, options.check_all).err() } else { None };
        let with_http = || if has_http { http::run_seed(seed, options.check_all).err() } else { None };
        let is_seen = |failure: &Failure| !failure.is_own_assertion;
        let in_large = || if has_large { run_seed(seed, options).err() } else { None };
        with_users().or_else(with_http).filter(is_seen).or_else(|| in_large().filter(is_seen))
    };
    (1..=SEEDS_MAX).find_map(|count| Some((count, found(first + count - 1)?)))
}

#[test]
#[ignore = "for a server that was broken on purpose"]
fn clients_see_in_each_series_that_the_server_is_broken() {
    let world = env::var("OFFICER_WORLD").ok();
    let world = world.as_deref();
    let mut found: Vec<(u64, Failure)> = thread::scope(|scope| {
        let series: Vec<_> = (0..SERIES).map(|series| scope.spawn(move || seeds_until_found(series, world))).collect();
        series.into_iter().filter_map(|series| series.join().expect("panics of the server are caught")).collect()
    });
    found.sort_unstable_by_key(|(seeds, _)| *seeds);
    // Where it was not found stands at the end.
    let seeds = |series: usize| found.get(series).map_or("–".to_owned(), |(seeds, _)| seeds.to_string());
    say(&format!("| {} of {SERIES} | {} | {} |", found.len(), seeds(SERIES / 2), seeds(SERIES - 1)));
    if let Some((_, failure)) = found.first() {
        say(&format!("step {}: {}", failure.step, failure.message));
    }
    assert_eq!(found.len(), SERIES, "series of {SEEDS_MAX} seeds in which the clients see it");
}
