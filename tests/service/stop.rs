//! `officer stop` waits, but not forever.

use std::process::Stdio;

use rustix::process::{Signal, kill_process};

use crate::background::{Background, End, connect, suspend};
use crate::support::lines::{Arriving, lines_of_pipe};
use crate::support::server::{officer, officer_after};

#[test]
fn stop_waits_for_a_slow_server() {
    let background = Background::new();
    // Replies that nobody reads keep it for as long as it may take.
    let limits =
        ["--outbox-pause-bytes", "--outbox-bytes-max", "--outboxes-bytes-max"].map(|name| [name, "1000000000"]);
    let mut deaf = connect(&background.start(limits.as_flattened()));
    let names: Vec<String> = (0..50).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
    names.iter().for_each(|name| deaf.acquire(name));
    deaf.write("{\"command\":\"my_locks\"}\n".repeat(500).as_bytes());
    deaf.wait_for_output();
    background.run("stop", &[]).expect_success();
    assert!(!background.pid_file().exists());
    assert_eq!(background.status(), 3);
}

#[test]
fn a_server_that_does_not_exit_is_killed_with_a_message() {
    let background = Background::new();
    let mut ann = connect(&background.start(&[]));
    let pid = background.pid();
    suspend(pid);
    assert_eq!(background.status(), 0);
    let end = background.run("stop", &["--stop-timeout", "0.1"]);
    assert_eq!((end.code, end.stdout), (0, format!("officer: process {pid} has ended\n")));
    assert!(
        end.stderr.ends_with(&format!("officer: process {pid} has not ended in 100ms; killing it\n")),
        "{}",
        end.stderr
    );
    ann.expect_end();
    assert_eq!(background.status(), 3);
}

#[test]
fn a_delayed_server_that_exits_in_time_is_not_killed() {
    let background = Background::new();
    background.start(&["-l", "info"]);
    let pid = background.pid();
    suspend(pid);
    let mut stop = background.officer("stop", &["--stop-timeout", "1000"]);
    let mut stop = stop.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = Arriving::of(lines_of_pipe(stop.stderr.take().unwrap()));
    assert_eq!(said.next(), Some(format!("officer: process {pid} takes long to end; waiting")));
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(said.next(), None);
    assert!(stop.wait().unwrap().success());
    assert!(background.log().contains("told to end"));
}

#[test]
fn an_unwritable_stderr_does_not_change_what_stop_does() {
    let background = Background::new();
    background.start(&[]);
    let old = background.pid();
    let code = |command: &str, args: &[&str]| {
        let directory = background.file("");
        let line = [&[command, "--pid-dir", directory.to_str().unwrap()], args].concat();
        End::of(&mut officer_after("exec >/dev/full;", &line)).code
    };
    assert_eq!(code("status", &[]), 0);
    assert_eq!(code("restart", &["-p", "0"]), 0);
    assert_eq!(background.status(), 0);
    assert_ne!(background.pid(), old);
    assert_eq!(code("stop", &[]), 0);
    assert_eq!(code("status", &[]), 3);
}

#[test]
fn bad_command_lines_are_one_line() {
    let background = Background::new();
    background.run("stop", &["--stop-timeout", "0"]).expect_failure(2, "'0'");
    background.run("stop", &["-p", "1"]).expect_failure(2, "see 'officer stop --help'");
    background.run("status", &["now"]).expect_failure(2, "'now'");
    End::of(&mut officer(&["status", "-d", "/dev/null"])).expect_failure(4, "/dev/null");
}
