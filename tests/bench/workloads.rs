//! Each workload, against a server of ours and against one that counts.

use std::collections::{HashMap, HashSet};

use rustix::process::Signal;
use serde_json::Value;

use crate::ends::children;
use crate::support::patience::eventually;
use crate::support::program::{Program, run, shell};
use crate::support::server::Server;
use crate::support::server::officer;
use crate::{bench, expect_latency, number, stand_in};

fn bench_of(server: &Server, workload: &str, args: &[&str]) -> Value {
    bench(&[&[workload], server.options().as_slice(), args].concat())
}

#[test]
fn exactly_the_requested_number_of_pairs_is_done() {
    for args in [
        &["-c", "7", "--pairs", "1000"][..],
        &["-c", "3", "--pairs", "1000", "--in-flight", "16"],
        &["-c", "3", "--pairs", "1000", "--in-flight", "16", "--keys", "5"],
        &["-c", "1", "--pairs", "1000", "--in-flight", "3000"],
        &["-c", "20", "--pairs", "3"],
        &["-c", "7", "--pairs", "1000", "--processes", "3"],
    ] {
        let (port, heard) = stand_in::start(stand_in::grant);
        let figures = bench(&[&["pair", "-p", &port], args].concat());
        let wanted: u64 = args[3].parse().unwrap();
        assert_eq!(figures["pairs"], wanted, "{args:?}: {figures}");
        assert_eq!(figures["wrong_answers"], 0);
        assert_eq!(figures["lost_connections"], 0);
        expect_latency(&figures, "latency_us");
        // The server has seen that many, each key locked and unlocked in turn.
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len() as u64, 2 * wanted, "{args:?}");
        let mut held: HashMap<String, bool> = HashMap::new();
        for line in heard.iter() {
            let request: Value = serde_json::from_str(line).unwrap();
            let is_lock = request["command"] == "lock";
            let before = held.insert(request["name"].to_string(), is_lock);
            assert_eq!(before.unwrap_or(false), !is_lock, "{args:?}: {line}");
        }
        assert!(held.values().all(|is_held| !is_held), "{args:?}: {held:?}");
    }
}

/// Fields that requests may have, alone and together.
const FIELDS: [&[&str]; 5] =
    [&["--id"], &["--owner"], &["--fence"], &["--owner", "--fence"], &["--id", "--owner", "--fence"]];

#[test]
fn requests_have_the_fields_that_were_asked_for_and_answers_are_compared_with_them() {
    let server = Server::tcp(&[]);
    for fields in FIELDS {
        for (workload, args) in [
            ("pair", &["-c", "3", "--pairs", "200"][..]),
            ("pair", &["-c", "3", "--pairs", "500", "--in-flight", "16"]),
            ("pair", &["-c", "2", "--pairs", "500", "--in-flight", "5", "--keys", "7", "--processes", "2"]),
            ("handoff", &["-c", "6", "--locks", "2", "--pairs", "300"]),
            ("bundle", &["-c", "3", "--pairs", "200"]),
            ("bundle", &["-c", "2", "--pairs", "300", "--names", "3", "--in-flight", "16"]),
        ] {
            let figures = bench_of(&server, workload, &[args, fields].concat());
            assert_eq!(figures["pairs"].to_string(), args[3 + usize::from(workload == "handoff") * 2], "{figures}");
            assert_eq!(figures["wrong_answers"], 0, "{figures}");
            for field in ["id", "owner", "fence"] {
                assert_eq!(figures[field], fields.contains(&format!("--{field}").as_str()), "{figures}");
            }
        }
    }
    assert_eq!(server.client().locks().unwrap().len(), 0);
}

/// The answer of a server on which every lock is free, to requests with all fields. Tokens rise from 98 to 101.
fn grant_with_fields(line: &str) -> Option<String> {
    let mut answer: Value = serde_json::from_str(&stand_in::grant(line).unwrap()).unwrap();
    let request: Value = serde_json::from_str(line).unwrap();
    let token = 98 + request["id"].as_u64().unwrap() / 2 % 4;
    let token = if request["fence"] == true { format!(r#","token":{token}"#) } else { String::new() };
    let result = answer["result"].take();
    let [name, owner, id] = ["name", "owner", "id"].map(|field| &request[field]);
    Some(format!(r#"{{"name":{name},"result":{result}{token},"owner":{owner},"id":{id}}}"#) + "\n")
}

#[test]
fn each_pair_in_flight_has_an_owner_of_its_own() {
    let (port, heard) = stand_in::start(grant_with_fields);
    let args = ["--id", "--owner", "--fence", "-c", "2", "--in-flight", "3", "--keys", "6", "--pairs", "24"];
    let figures = bench(&[&["pair", "-p", &port], &args[..]].concat());
    assert_eq!(figures["pairs"], 24, "{figures}");
    let mut owners: HashMap<u64, HashSet<String>> = HashMap::new();
    let mut ids = HashSet::new();
    for line in heard.lock().unwrap().iter() {
        let request: Value = serde_json::from_str(line).unwrap();
        assert_eq!(request["fence"] == true, request["command"] == "lock", "{line}");
        owners.entry(request["owner"].as_u64().unwrap()).or_default().insert(request["name"].to_string());
        ids.insert(request["id"].as_u64().unwrap());
    }
    assert_eq!(owners.len(), 3, "{owners:?}");
    assert!(owners.values().all(|names| names.len() == 4), "two of the keys on each connection: {owners:?}");
    assert_eq!(ids.len(), 12, "each request of a round has an id of its own");
}

#[test]
fn bundles_are_of_different_locks_and_are_taken_at_once() {
    let server = Server::tcp(&[]);
    for (args, pairs) in [
        (&["-c", "5", "--names", "3", "--locks", "4", "--pairs", "400"][..], 400),
        (&["-c", "5", "--names", "64", "--locks", "64", "--pairs", "50", "--processes", "2"], 50),
        (&["-c", "5", "--locks", "1000", "--owner", "--pairs", "400"], 400),
    ] {
        let figures = bench_of(&server, "bundle", args);
        assert_eq!(figures["pairs"], pairs, "{figures}");
        assert_eq!(figures["wrong_answers"], 0, "{figures}");
        expect_latency(&figures, "latency_us");
        assert_eq!(server.client().locks().unwrap().len(), 0);
    }
    let (port, heard) = stand_in::start(|line| {
        let request: Value = serde_json::from_str(line).unwrap();
        let result = if request["command"] == "lock" { "acquired" } else { "released" };
        Some(format!("{{\"names\":{},\"result\":\"{result}\"}}\n", request["names"]))
    });
    let figures = bench(&["bundle", "-p", &port, "-c", "2", "--names", "5", "--locks", "8", "--pairs", "256"]);
    assert_eq!([&figures["names"], &figures["locks"]], [5, 8]);
    let mut bundles = HashSet::new();
    for line in heard.lock().unwrap().iter() {
        let request: Value = serde_json::from_str(line).unwrap();
        let names: HashSet<&str> = request["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        assert_eq!(names.len(), 5, "{line}");
        assert!(names.iter().all(|name| ("bench:00000000"..="bench:00000007").contains(name)), "{line}");
        bundles.insert(request["names"].to_string());
    }
    assert!(bundles.len() > 100, "they are random: {}", bundles.len());
}

#[test]
fn bundles_of_own_locks_are_of_different_ones() {
    let (port, heard) = stand_in::start(|line| {
        let request: Value = serde_json::from_str(line).unwrap();
        let result = if request["command"] == "lock" { "acquired" } else { "released" };
        Some(format!("{{\"names\":{},\"result\":\"{result}\"}}\n", request["names"]))
    });
    bench(&["bundle", "-p", &port, "-c", "3", "--names", "4", "--in-flight", "2", "--pairs", "60"]);
    let mut bundles = HashSet::new();
    for line in heard.lock().unwrap().iter() {
        let request: Value = serde_json::from_str(line).unwrap();
        bundles.insert(request["names"].to_string());
    }
    let names: HashSet<String> =
        bundles.iter().flat_map(|names| serde_json::from_str::<Vec<String>>(names).unwrap()).collect();
    assert_eq!((bundles.len(), names.len()), (3 * 2, 3 * 2 * 4), "{bundles:?}");
}

#[test]
fn keys_are_used_in_turn_and_belong_to_one_connection() {
    let (port, heard) = stand_in::start(stand_in::grant);
    bench(&["pair", "-p", &port, "-c", "2", "--keys", "3", "--pairs", "60"]);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for line in heard.lock().unwrap().iter() {
        *counts.entry(line.clone()).or_default() += 1;
    }
    assert_eq!(counts.len(), 2 * 2 * 3, "{counts:?}");
    assert!(counts.values().all(|count| *count == 10), "{counts:?}");
}

#[test]
fn the_figures_of_a_timed_run_agree_with_each_other() {
    for (server, args) in [
        (Server::tcp(&[]), &["-c", "5"][..]),
        (Server::unix(&[]), &["-c", "5", "--in-flight", "16"]),
        (Server::tcp(&[]), &["-c", "6", "--processes", "2"]),
    ] {
        let figures = bench_of(&server, "pair", &[args, &["--seconds", "0.3", "--warm-up", "0.1"]].concat());
        let [pairs, seconds, rate] = ["/pairs", "/seconds", "/pairs_per_second"].map(|path| number(&figures, path));
        assert!(pairs > 0.0 && seconds >= 0.3, "{figures}");
        assert!((pairs / seconds / rate - 1.0).abs() < 1e-6, "{figures}");
        expect_latency(&figures, "latency_us");
        assert_eq!(figures["wrong_answers"], 0);
        assert_eq!(figures["interrupted"], false);
        // The server process is found by its listening socket.
        assert_eq!(figures["server"]["pid"], server.id(), "{figures}");
        let micros = number(&figures, "/server/cpu_us_per_pair");
        let cpu = number(&figures, "/server/cpu");
        assert!(micros > 0.0 && (micros * pairs / 1e6 / seconds / cpu - 1.0).abs() < 1e-6, "{figures}");
        assert!(number(&figures, "/server/resident_bytes") > 1e5, "{figures}");
        assert!(number(&figures, "/generator/cpu") > 0.0, "{figures}");
        // Connections in the middle of a pair have finished it.
        assert_eq!(server.client().locks().unwrap().len(), 0);
    }
}

#[test]
fn people_get_lines_that_are_not_json() {
    let server = Server::tcp(&[]);
    let mut command =
        officer(&[&["bench", "pair"], server.options().as_slice(), &["-c", "2", "--pairs", "50"]].concat());
    let printed = run(&mut command);
    assert!(printed.status.success(), "{printed:?}");
    let names: Vec<_> = printed.stdout.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["throughput", "latency", "server", "generator"], "{printed:?}");
    assert!(printed.stdout[0].contains("(50 in "), "{printed:?}");
}

#[test]
fn locks_are_handed_around() {
    let server = Server::tcp(&[]);
    for processes in ["1", "3"] {
        let args = ["-c", "10", "--locks", "3", "--pairs", "500", "--processes", processes];
        let figures = bench_of(&server, "handoff", &args);
        assert_eq!(figures["pairs"], 500);
        expect_latency(&figures, "hand_over_us");
        expect_latency(&figures, "latency_us");
        // Every grant except the first of each lock ends a hand-over, between whichever processes.
        assert_eq!(figures["hand_overs"], 497, "{figures}");
        // One that ends before it began would count as the longest possible.
        assert!(number(&figures, "/hand_over_us/max") < 6e7, "{figures}");
        // A connection waits in the queue while others hold the lock.
        assert!(number(&figures, "/latency_us/p50") > number(&figures, "/hand_over_us/p50"), "{figures}");
        let args = ["-c", "6", "--seconds", "0.2", "--warm-up", "0.1", "--processes", processes];
        let figures = bench_of(&server, "handoff", &args);
        assert!(number(&figures, "/pairs") > 0.0, "{figures}");
        assert_eq!(figures["generator"]["processes"].to_string(), processes);
        assert_eq!(server.client().locks().unwrap().len(), 0);
    }
}

#[test]
fn the_connections_of_a_lock_are_those_of_several_processes() {
    let server = Server::tcp(&[]);
    let args = ["-c", "6", "--locks", "2", "--seconds", "1000", "--processes", "3"];
    let _program = Program::start(&mut officer(&[&["bench", "handoff"], server.options().as_slice(), &args].concat()));
    let client = server.client();
    for lock in ["bench:00000000", "bench:00000001"] {
        // On the loopback network every process has an address of its own.
        let mut hosts = HashSet::new();
        eventually("every process has waited in the queue", || {
            let queue = client.locks().unwrap().remove(lock).unwrap_or_default();
            hosts.extend(queue.iter().filter_map(|name| Some(name.to_string().rsplit_once(':')?.0.to_owned())));
            hosts.len() == 3
        });
    }
}

#[test]
fn connections_hold_their_locks_while_they_are_silent() {
    for (processes, locks) in [("1", 1), ("3", 4)] {
        let server = Server::tcp(&[]);
        let per_connection = locks.to_string();
        let args = ["-c", "40", "--first", "10", "--seconds", "1000", "--json"];
        let more = ["--locks", &per_connection, "--processes", processes];
        let program =
            Program::start(&mut officer(&[&["bench", "hold"], server.options().as_slice(), &args, &more].concat()));
        let client = server.client();
        eventually("all are held", || client.locks().unwrap().len() == 40 * locks);
        let holders = client.connections().unwrap();
        assert_eq!(holders.len(), 40);
        assert!(holders.values().all(|held| held.len() == locks), "{holders:?}");
        // To all, as a terminal does.
        program.signal_all(Signal::INT);
        let printed = program.end().expect_success();
        let figures: Value = serde_json::from_str(&printed[0]).unwrap();
        assert_eq!(figures["interrupted"], true);
        assert!(number(&figures, "/connections_per_second") > 0.0);
        assert!(number(&figures, "/server/idle_cpu") >= 0.0);
        assert!(figures["server"]["bytes_per_connection"].is_number(), "{figures}");
        assert_eq!(figures["generator"]["processes"].to_string(), processes);
        assert!(number(&figures, "/generator/cpu") > 0.0, "{figures}");
        eventually("all are released", || client.locks().unwrap().is_empty());
    }
}

#[test]
fn the_load_generator_is_all_of_its_processes() {
    let server = Server::tcp(&[]);
    let args = ["-c", "2000", "--processes", "2", "--seconds", "1000", "--json"];
    let program = Program::start(&mut officer(&[&["bench", "hold"], server.options().as_slice(), &args].concat()));
    let client = server.client();
    eventually("all are held", || client.locks().unwrap().len() == 2000);
    let workers = children(program.id());
    assert_eq!(workers.len(), 2);
    let used: f64 = workers.iter().map(|id| cpu_ms(id)).sum();
    program.signal(Signal::INT);
    let printed = program.end().expect_success();
    let figures: Value = serde_json::from_str(&printed[0]).unwrap();
    // The others have only started and made the connections, which takes far more.
    let counted = number(&figures, "/generator/cpu_ms");
    assert!(counted > used / 2.0, "{used} ms of the workers, and {figures}");
}

/// The processor time that a process of one thread has used.
fn cpu_ms(id: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/schedstat")).unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

#[test]
fn every_waiter_gets_its_lock_when_the_holders_end() {
    for processes in [1, 3] {
        let server = Server::tcp(&[]);
        let args = ["-c", "30", "--locks", "3", "--seconds", "0.2", "--processes", &processes.to_string()];
        let figures = bench_of(&server, "storm", &args);
        assert_eq!(figures["grants"], 90);
        assert_eq!(figures["wrong_answers"], 0);
        expect_latency(&figures, "before_us");
        expect_latency(&figures, "meanwhile_us");
        assert!(number(&figures, "/storm_ms") > 0.0);
        assert!(number(&figures, "/server/cpu_us_per_connection") >= 0.0);
        // The holders, and the one that waits.
        assert_eq!(figures["generator"]["processes"], processes + 1);
        assert!(number(&figures, "/generator/cpu") > 0.0, "{figures}");
        let client = server.client();
        eventually("nothing is held", || client.locks().unwrap().is_empty());
    }
}

#[test]
fn a_storm_has_more_connections_than_one_process_may_have() {
    let server = Server::tcp(&[]);
    let line = |processes: usize| {
        let options = server.options().join(" ");
        let storm = format!("officer bench storm {options} -c 200 --locks 1 --seconds 0.1 --json");
        run(&mut shell(&format!("ulimit -n 100; {storm} --processes {processes}")))
    };
    line(1).expect_failure(1, "may have 100 here");
    let printed = line(4).expect_success();
    let figures: Value = serde_json::from_str(&printed[0]).unwrap();
    assert_eq!(figures["grants"], 200, "{figures}");
}
