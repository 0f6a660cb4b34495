//! `officer lock` as the first process of a container, for which signals have no default effect.

use std::process::Command;

use crate::support::program::{End, run};
use crate::support::server::{PROGRAM, Server, forget_options};
use crate::support::skip::skipped;

/// Runs `officer lock` as the first process of a namespace, where this machine lets us make one.
fn run_as_first(server: &Server, script: &str) -> Option<End> {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(unshare).arg("true").output().is_ok_and(|output| output.status.success()) {
        skipped("this machine lets us make no PID namespace");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(unshare).arg(PROGRAM).arg("lock").args(server.options()).args(["x", "--", "sh", "-c", script]);
    forget_options(&mut command);
    Some(run(&mut command))
}

#[test]
fn the_first_process_of_a_container_has_the_status_of_the_signal() {
    let server = Server::tcp(&[]);
    for (script, code) in [("kill -TERM $PPID; exec sleep 1000", 143), ("kill -INT $PPID; exec sleep 1000", 130)] {
        let Some(end) = run_as_first(&server, script) else { return };
        assert_eq!((end.status.code(), end.stderr.len()), (Some(code), 0), "{end:?}");
    }
    let Some(end) = run_as_first(&server, "exit 7") else { return };
    assert_eq!(end.code(), 7, "{end:?}");
}
