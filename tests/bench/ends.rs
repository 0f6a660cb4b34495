//! When it is interrupted: the results so far are printed, and no process is left.

use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive};
use crate::support::server::Server;
use crate::support::server::officer;
use crate::support::skip::skipped;
use crate::{expect_latency, number};

#[test]
fn ctrl_c_ends_it_with_the_results_so_far() {
    // Each connection takes its keys in turn: when more keys have been seen than there are connections, one of them is
    // at its second key, and has done a pair. A lock that is handed around has been handed on when a second holder is
    // seen.
    for (workload, locks, enough, processes) in [
        ("pair", ["--keys", "100"], 5, "1"),
        ("pair", ["--keys", "100"], 5, "2"),
        ("handoff", ["--locks", "1"], 2, "2"),
    ] {
        let server = Server::tcp(&[]);
        let args = ["-c", "4", "--seconds", "1000", "--warm-up", "0", "--json", "--processes", processes];
        let args = [&["bench", workload], server.options().as_slice(), &locks, &args].concat();
        let program = Program::start(&mut officer(&args));
        let client = server.client();
        let mut seen = HashSet::new();
        eventually("a pair is done", || {
            seen.extend(client.locks().unwrap().into_iter().map(|(lock, queue)| (lock, queue.first().cloned())));
            seen.len() >= enough
        });
        // To all, as a terminal does.
        program.signal_all(Signal::INT);
        let printed = program.end().expect_success();
        let figures: Value = serde_json::from_str(&printed[0]).unwrap();
        assert_eq!(figures["interrupted"], true, "{figures}");
        assert!(number(&figures, "/pairs") > 0.0, "{figures}");
        assert!(number(&figures, "/seconds") < 1000.0, "{figures}");
        eventually("nothing is held", || client.locks().unwrap().is_empty());
    }
}

#[test]
fn ctrl_c_before_a_storm_leaves_it_out() {
    let server = Server::tcp(&[]);
    let args = ["-c", "10", "--locks", "2", "--seconds", "1000", "--json"];
    let program = Program::start(&mut officer(&[&["bench", "storm"], server.options().as_slice(), &args].concat()));
    let client = server.client();
    // What the other client locks repeatedly: when it is held a second time, a pair has been done.
    for is_held in [true, false, true] {
        let what = if is_held { "the other client holds its lock" } else { "the other client has released its lock" };
        eventually(what, || client.locks().unwrap().contains_key("bench:00000020") == is_held);
    }
    program.signal_all(Signal::INT);
    let printed = program.end().expect_success();
    let figures: Value = serde_json::from_str(&printed[0]).unwrap();
    assert_eq!(figures["interrupted"], true, "{figures}");
    expect_latency(&figures, "before_us");
    for none in ["meanwhile_us", "storm_ms", "ends_per_second"] {
        assert!(figures[none].is_null(), "{none} in {figures}");
    }
    assert_eq!(figures["grants"], 0, "{figures}");
    eventually("nothing is held", || client.locks().unwrap().is_empty());
}

#[test]
fn ctrl_c_ends_a_table_with_the_rounds_that_were_measured() {
    let program = Program::start(&mut endless_table("handoff-1", &["--json"]));
    let mut seen = HashSet::new();
    // A server and a load for each figure: when there is a fifth process, two figures have been measured.
    eventually("something is measured", || {
        seen.extend(children(program.id()));
        seen.len() >= 5
    });
    program.signal_all(Signal::INT);
    let printed = program.end().expect_success();
    let figures: Value = serde_json::from_str(&printed[0]).unwrap();
    for server in ["officer", "floor"] {
        let runs = figures["rows"]["handoff-1"][server].as_array().unwrap();
        assert!(!runs.is_empty() && runs.iter().all(|run| number(run, "/pairs") > 0.0), "{figures}");
    }
    eventually("no process is left", || !seen.iter().any(|id| is_alive(id)));
}

#[test]
fn a_table_that_is_killed_leaves_no_server_behind() {
    for server in ["officer", "redis-server", "memcached"] {
        if server != "officer" && !is_installed(server) {
            skipped(&format!("there is no {server} on this machine"));
            continue;
        }
        let row = if server == "officer" { "handoff-1" } else { "pair-1" };
        let program = Program::start(&mut endless_table(row, &[]));
        let mut left = Vec::new();
        eventually("the server and its load are there", || {
            left = children(program.id());
            left.len() == 2 && left.iter().any(|id| name(id) == server)
        });
        program.signal(Signal::KILL);
        eventually("no process is left", || !left.iter().any(|id| is_alive(id)));
    }
}

#[test]
fn workers_end_with_the_process_that_started_them() {
    let server = Server::tcp(&[]);
    for (workload, args) in [
        ("pair", &["-c", "4", "--processes", "2", "--seconds", "1000"][..]),
        ("hold", &["-c", "4", "--processes", "2", "--seconds", "1000"]),
        ("handoff", &["-c", "4", "--processes", "2", "--seconds", "1000"]),
        ("storm", &["-c", "4", "--processes", "2", "--seconds", "1000"]),
    ] {
        let program = Program::start(&mut officer(&[&["bench", workload], server.options().as_slice(), args].concat()));
        let client = server.client();
        eventually("it is running", || !client.locks().unwrap().is_empty());
        let workers = children(program.id());
        assert_eq!(workers.len(), 2, "{workload}");
        program.signal(Signal::KILL);
        eventually("no worker is left", || !workers.iter().any(|id| is_alive(id)));
        eventually("nothing is held", || client.locks().unwrap().is_empty());
    }
}

/// A table with more rounds than any test waits for.
fn endless_table(row: &str, args: &[&str]) -> Command {
    let table = ["bench", "table", "--server-cpu", "0", "--load-cpu", "0", "--rounds", "10000", "--seconds", "0.1"];
    officer(&[&table, &["--only", row][..], args].concat())
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok()
}

/// The processes that a process has started and that have not exited.
pub(crate) fn children(parent: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let is_child = |fields: &str| fields.split(' ').nth(1) == Some(&parent.to_string());
        stat.rsplit_once(") ").is_some_and(|(_, fields)| is_child(fields)) && is_alive(id)
    })
    .collect()
}

/// The name of a process's program.
fn name(id: &str) -> String {
    fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default().trim_end().to_owned()
}
