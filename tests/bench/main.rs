//! The released `officer bench`: each workload for a moment, with figures that must agree with each other and with what
//! the server saw. Speed is not tested.

mod access;
mod ends;
mod faults;
mod floors;
mod others;
mod stand_in;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod terminal;
mod workloads;

use serde_json::Value;

use crate::support::program::run;
use crate::support::server::officer;

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

/// Checks that there are percentiles, and that they are in order.
#[track_caller]
fn expect_latency(figures: &Value, name: &str) {
    let steps = ["p50", "p99", "p99_9", "max"].map(|step| number(figures, &format!("/{name}/{step}")));
    assert!(steps[0] > 0.0 && steps.is_sorted(), "{figures}");
}
