//! `officer bench`, as it is released: each workload for a moment, with figures that have to agree with each other and
//! with what the server saw. How fast anything is is not tested.

mod ends;
mod faults;
mod floors;
mod others;
#[path = "../commands/program.rs"]
#[expect(dead_code, reason = "it is shared, and not all of it is needed here")]
mod program;
#[path = "../commands/server.rs"]
#[expect(dead_code, reason = "it is shared, and not all of it is needed here")]
mod server;
mod stand_in;
mod table;
mod terminal;
mod workloads;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{officer, run};

/// How long anything may take that is going to happen. Far more than it needs: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until something is so, which it has to be soon.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "in {PATIENCE:?} it did not come about that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `officer bench` with these arguments, and returns the figures that it prints.
#[track_caller]
fn bench(args: &[&str]) -> Value {
    let printed = run(&mut officer(&[&["bench"], args, &["--json"]].concat())).expect_success();
    let [line] = printed.as_slice() else { panic!("not one line: {printed:?}") };
    serde_json::from_str(line).unwrap()
}

/// A figure that is a number.
#[track_caller]
fn number(figures: &Value, path: &str) -> f64 {
    figures.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {figures}"))
}

/// Checks that percentiles are in order, and that there are any.
#[track_caller]
fn expect_latency(figures: &Value, name: &str) {
    let steps = ["p50", "p99", "p99_9", "max"].map(|step| number(figures, &format!("/{name}/{step}")));
    assert!(steps[0] > 0.0 && steps.is_sorted(), "{figures}");
}
