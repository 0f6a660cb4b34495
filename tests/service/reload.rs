//! `officer reload`, and what a reload takes over.

use std::fs;

use rustix::process::{Signal, kill_process};

use crate::background::{Background, End, connect, suspend};
use crate::support::patience::eventually;
use crate::support::server::{officer, spawn};

#[test]
fn a_reload_is_waited_for_and_takes_no_lock_away() {
    let background = Background::new();
    let mut ann = connect(&background.start(&["-l", "info"]));
    ann.acquire("db");
    let pid = background.pid();
    for _ in 0..3 {
        // As log rotation does it.
        let (log, moved) = (background.file("officer.log"), background.file("officer.log.1"));
        fs::rename(&log, &moved).unwrap();
        let said = background.run("reload", &[]).expect_success();
        assert_eq!(said, format!("officer: process {pid} has reloaded\n"));
        assert!(log.exists());
    }
    ann.release("db");
    assert!(background.run("status", &[]).expect_success().contains("running as process"));
}

#[test]
fn reloads_at_the_same_time_are_all_answered() {
    let background = Background::new();
    background.start(&[]);
    for _ in 0..5 {
        let reloads: Vec<_> = (0..8).map(|_| spawn(&mut background.officer("reload", &[]))).collect();
        for reload in reloads {
            let output = reload.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}

#[test]
fn without_a_server_nothing_is_reloaded() {
    let background = Background::new();
    background.run("reload", &[]).expect_failure(3, "no server is running with the pid file");
    background.start(&[]);
    background.kill();
    background.run("reload", &[]).expect_failure(3, "no server is running with the pid file");
}

#[test]
fn a_server_that_does_not_answer_is_reported() {
    let background = Background::new();
    background.start(&[]);
    let pid = background.pid();
    suspend(pid);
    background.run("reload", &[]).expect_failure(1, &format!("process {pid} has not said whether it has reloaded"));
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn a_server_that_is_killed_meanwhile_is_not_waited_for() {
    let background = Background::new();
    background.start(&[]);
    let pid = background.pid();
    suspend(pid);
    let reload = spawn(background.officer("reload", &[]).stderr(std::process::Stdio::piped()));
    eventually("the signal is there", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().any(|line| line.starts_with("ShdPnd:") && line.ends_with('1'))
    });
    kill_process(pid, Signal::KILL).unwrap();
    let output = reload.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("has ended"), "{said}");
}

#[test]
fn a_server_that_has_written_nothing_is_sent_no_signal() {
    let background = Background::new();
    let mut ann = connect(&background.start(&["-l", "info"]));
    fs::remove_file(background.file("officer.info")).unwrap();
    background.run("reload", &[]).expect_failure(1, "so it can't say how a reload goes");
    assert!(!background.log().contains("reopened"));
    ann.acquire("db");
}

#[test]
fn a_check_finds_what_a_start_would_and_starts_nothing() {
    let background = Background::new();
    let address = background.start(&[]);
    let port = address.tcp().port().to_string();
    let file = background.file("officer.sock");
    // The address of the server that this one would replace counts as free.
    for options in [&["-p", "0"][..], &["-p", &port], &["-f", file.to_str().unwrap()], &["--listen", "tcp://[::1]:0"]] {
        let end = End::of(&mut officer(&[&["run", "--check"], options].concat()));
        assert!(end.expect_success().is_empty());
    }
    assert!(!file.exists());
    for (options, code, said) in [
        (&["-h", "192.0.2.1"][..], 1, "192.0.2.1 is not an address of this machine"),
        (&["-h", "0.0.0.0", "-p", "0"], 1, "or allow it with --open"),
        (&["-f", "/nowhere/x"], 1, "there is no directory"),
        (&["-p", "0", "--log-file", "/nowhere/log"], 1, "choose another with --log-file"),
        (&["-p", "0", "--state-dir", "/nowhere"], 1, "--state-dir"),
        (&["-p", "loud"], 2, "'loud'"),
    ] {
        End::of(&mut officer(&[&["run", "--check"], options].concat())).expect_failure(code, said);
    }
}
