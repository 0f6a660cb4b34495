//! The tests themselves, where signals are ignored.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::Signal;

use crate::support::server::{officer_after, run};

/// Set in the environment of the tests that this one runs.
const IS_WITHIN: &str = "OFFICER_TESTS_WITHIN_A_SCRIPT";

#[test]
fn signals_that_a_script_ignores_are_not_ignored_by_what_its_tests_start() {
    if env::var_os(IS_WITHIN).is_some() {
        let output = run(&mut officer_after("kill -INT $$;", &["--version"]));
        assert_eq!(output.status.signal(), Some(Signal::INT.as_raw()), "{output:?}");
        return;
    }
    let name = "signals::signals_that_a_script_ignores_are_not_ignored_by_what_its_tests_start";
    let mut script = Command::new("sh");
    script.args(["-c", "trap '' HUP INT QUIT TERM; exec \"$0\" --exact \"$1\""]);
    let output = run(script.arg(env::current_exe().unwrap()).arg(name).env(IS_WITHIN, "yes"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
