//! A failing scenario becomes a smaller one that still fails, and its transcript a beginning for a test.

use std::time::{Duration, Instant};

use crate::run::{Failure, Options, run};
use crate::scenario::{Scenario, Step};

/// Makes the scenario of a failing seed smaller for as long as `time`, and says all there is to say about it.
pub(crate) fn report(seed: u64, failure: &Failure, options: Options, time: Duration) -> String {
    let options = Options { has_transcript: true, ..options };
    let scenario = Scenario::from_seed(seed);
    let (smaller, failed) = shrink(&scenario, failure.step, options, time);
    let Failure { message, is_own_assertion, transcript, .. } = failed.as_ref().unwrap_or(failure);
    let by = if *is_own_assertion { "by an assertion of its own" } else { "by what the clients saw" };
    let steps: Vec<String> = smaller.steps.iter().map(|step| format!("    {step:?}")).collect();
    format!(
        "seed {seed} fails, found {by}: {message}\n\
         again: OFFICER_SEED={seed} cargo test --release --test simulation seeds\n\n\
         {} of {} steps do:\n{}\n\nwith {:#?}\n\n\
         What should happen (for `replay_within` in tests/virtual, where the server is to say the same):\n{}\n",
        smaller.steps.len(),
        scenario.steps.len(),
        steps.join("\n"),
        smaller.limits,
        transcript.join("\n"),
    )
}

/// Leaves out what is not needed for a failure: the steps after it, then whole seats, then runs of steps.
pub(crate) fn shrink(
    scenario: &Scenario,
    failed_at: usize,
    options: Options,
    time: Duration,
) -> (Scenario, Option<Failure>) {
    let until = Instant::now() + time;
    let mut best = (scenario.clone(), None);
    let attempt = |best: &mut (Scenario, Option<Failure>), steps: Vec<Step>| {
        let smaller = Scenario { steps, ..best.0.clone() };
        let failure = run(&smaller, options).err();
        let is_failing = failure.is_some();
        if is_failing {
            *best = (smaller, failure);
        }
        is_failing
    };
    let first: Vec<Step> = scenario.steps.iter().take(failed_at + 1).cloned().collect();
    attempt(&mut best, first);
    for seat in 0..scenario.seats {
        if Instant::now() < until {
            let others = best.0.steps.iter().filter(|step| step.seat() != Some(seat)).cloned().collect();
            attempt(&mut best, others);
        }
    }
    let mut size = best.0.steps.len() / 2;
    while size > 0 && Instant::now() < until {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < best.0.steps.len() && Instant::now() < until {
            let mut steps = best.0.steps.clone();
            steps.drain(at..(at + size).min(steps.len()));
            if attempt(&mut best, steps) {
                has_shrunk = true;
            } else {
                at += size;
            }
        }
        if !has_shrunk || size > 1 {
            size /= 2;
        }
    }
    best
}

mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_and_made_small() {
        let options = Options { check_all: true, is_repeated: false, has_transcript: true, is_misled: true };
        let (seed, failure) = (0..1000)
            .find_map(|seed| Some((seed, run(&Scenario::from_seed(seed), options).err()?)))
            .expect("some client is told the limit, or meets it");
        assert!(!failure.is_own_assertion, "{}", failure.message);
        let scenario = Scenario::from_seed(seed);
        let (smaller, failed) = shrink(&scenario, failure.step, options, Duration::from_secs(600));
        // A connection, and a `hello` that is told the limit or a lock more than it may have: no more is needed.
        assert!(smaller.steps.len() <= 10, "{:#?}", smaller.steps);
        let again = run(&smaller, options).expect_err("it still fails");
        let failed = failed.expect("it was made smaller");
        assert_eq!((&again.message, &again.transcript), (&failed.message, &failed.transcript), "and in the same way");
        assert!(again.transcript[0].ends_with(" +"), "{:?}", again.transcript);
        let report = report(seed, &failure, options, Duration::ZERO);
        assert!(report.contains(&format!("OFFICER_SEED={seed} ")), "{report}");
    }
}
