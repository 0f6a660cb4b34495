//! What the server writes to stderr, and that nothing depends on whether it is read.

use std::process::Stdio;

use officer::wire::transcript::{Event, Record};
use rustix::process::Signal;
use serde_json::json;

use crate::support::client::lock;
use crate::support::patience::eventually;
use crate::support::server::{Server, officer, officer_after};

/// The records of one connection in a log.
fn records_of(name: &str, log: &[String]) -> Vec<(Event, String)> {
    let records = log.iter().filter_map(|line| Record::parse(line));
    let of_it = records.filter(|record| record.peer == name);
    of_it.map(|record| (record.event, String::from_utf8(record.bytes).unwrap())).collect()
}

#[test]
fn at_debug_every_line_that_is_received_and_sent_is_a_record() {
    for server in [Server::tcp(&["-l", "debug"]), Server::unix(&["-l", "DEBUG"])] {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        // The connections on a UNIX socket are numbered in the order in which they are made.
        let names = match server.address() {
            crate::support::client::Address::Tcp(_) => [ann.tcp_name(), bob.tcp_name()],
            crate::support::client::Address::Unix(_) => ["unix:1".to_owned(), "unix:2".to_owned()],
        };
        let mut said = [vec![], vec![]];
        {
            let [by_ann, by_bob] = &mut said;
            let mut say = |request: &str| {
                ann.send(request);
                let reply = ann.receive_line();
                by_ann.extend([(Event::Received, request.to_owned()), (Event::Sent, reply)]);
            };
            say(r#"{"command":"lock","name":"db"}"#);
            say(r#"{"command":"lock","name":"line\nbreak \u001b[31m é 🔒 \\x41"}"#);
            say("{\"command\":\"lock\",\"name\":\"\u{2028}\u{85}\"}");
            say("rubbish \u{1b}[31m \\x41\t");
            say(r#"{"command":"my_locks"}"#);
            bob.send(lock("db"));
            by_bob.push((Event::Received, lock("db").to_string()));
            bob.expect_nothing_before_now();
            say(r#"{"command":"unlock","name":"db"}"#);
            let granted = bob.receive_line();
            by_bob.push((Event::Sent, granted));
        }
        ann.close_write();
        ann.expect_end();
        let log = server.end();
        for line in &log {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line:?}");
            let is_record = Record::parse(line).is_some();
            let is_start = line.contains("] officer ") || line.contains("] tokens ");
            assert!(is_record || is_start || line.contains(" ended: ") || line.contains("told to end"), "{line}");
        }
        let of_ann = records_of(&names[0], &log);
        assert_eq!(of_ann[0], (Event::Opened, String::new()));
        assert_eq!(of_ann[1..of_ann.len() - 1], said[0]);
        assert_eq!(of_ann.last().unwrap(), &(Event::Closed, "the peer closed the connection".to_owned()));
        let of_bob = records_of(&names[1], &log);
        assert!(said[1].iter().all(|record| of_bob.contains(record)), "{of_bob:?}");
    }
}

#[test]
fn at_debug_a_record_preserves_bytes_that_are_not_text() {
    let server = Server::tcp(&["-l", "debug"]);
    let mut ann = server.connect();
    let line: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    ann.write(&[&line, &b"\n"[..]].concat());
    assert_eq!(ann.receive()["reason"], "invalid_json");
    let log = server.end();
    let received: Vec<_> =
        log.iter().filter_map(|line| Record::parse(line)).filter(|record| record.event == Event::Received).collect();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].bytes, line);
}

#[test]
fn at_info_it_logs_why_a_connection_ended_and_none_of_its_lines() {
    let server = Server::tcp(&["-l", "info", "--line-bytes-max", "50", "--connections-max", "2"]);
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    ann.acquire("db");
    assert_eq!(server.connect().receive()["reason"], "too_many_connections");
    server.log().wait_for("connection limit reached");
    bob.send("x".repeat(51));
    server.log().wait_for(&format!("{} ended: line too long", bob.tcp_name()));
    let name = ann.tcp_name();
    drop(ann);
    server.log().wait_for(&format!("{name} ended: the peer closed the connection"));
    let mut eve = server.connect();
    eve.acquire("db");
    let name = eve.tcp_name();
    eve.cut();
    server.log().wait_for(&format!("{name} ended: socket error"));
    let log = server.end();
    assert!(!log.iter().any(|line| line.contains("\"db\"") || Record::parse(line).is_some()), "{log:?}");
}

#[test]
fn at_the_default_level_ordinary_operation_logs_nothing() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    ann.ask("rubbish");
    ann.cut();
    assert_eq!(server.end(), Vec::<String>::new());
}

#[test]
fn opening_the_server_to_other_machines_logs_a_warning() {
    for level in ["error", "warn", "debug"] {
        let server = Server::start(&mut officer(&["run", "-h", "0.0.0.0", "-p", "0", "--open", "-l", level]));
        let port = server.port();
        let warning = server.log().wait_for("WARN");
        assert!(warning.contains(&format!("0.0.0.0:{port}")), "{warning}");
        assert!(warning.contains("can take locks"), "{warning}");
        let local = crate::support::client::Address::Tcp(format!("127.0.0.1:{port}").parse().unwrap());
        crate::support::client::Client::connect(&local).unwrap().acquire("db");
    }
    for server in Server::of_every_kind() {
        server.connect().acquire("db");
        assert_eq!(server.end(), Vec::<String>::new());
    }
}

#[test]
fn the_log_begins_with_what_runs_where_and_how() {
    let server = Server::tcp(&["-l", "info", "--max-idle", "5"]);
    server.connect().acquire("db");
    let (port, version) = (server.port(), env!("CARGO_PKG_VERSION"));
    let log = server.end();
    let options = "--port 0 --log-level info --max-idle 5";
    let said = format!("officer {version} listens on 127.0.0.1:{port}; options: {options}");
    assert!(log[0].ends_with(&said), "{log:?}");
    assert_eq!(log.iter().filter(|line| line.contains(" listens on ")).count(), 1, "{log:?}");
}

#[test]
fn whoever_starts_it_with_limits_that_contradict_each_other_is_warned() {
    for level in ["error", "info"] {
        let options =
            ["-l", level, "--outbox-pause-bytes", "2000", "--outbox-bytes-max", "1000", "--reply-bytes-max", "9"];
        let server = Server::tcp(&options);
        let warning = server.log().wait_for("WARN");
        let said = "--outbox-pause-bytes 2000 is above --outbox-bytes-max 1000: a connection is closed before its requests pause";
        assert!(warning.ends_with(said), "{warning}");
        server.connect().acquire("db");
        assert_eq!(server.log().count("WARN"), 1, "{:?}", server.log().lines());
    }
    if cfg!(target_os = "linux") {
        let options = ["run", "-p", "0", "--connections-max", "1000"];
        let server = Server::start(&mut officer_after("ulimit -n 64 &&", &options));
        server.log().wait_for("--connections-max 1000 is more than 64 descriptors have room for");
    }
}

/// The seconds of the day at which a line was logged.
fn time_of(line: &str) -> f64 {
    let time = line.split_once('T').unwrap().1.split_once('Z').unwrap().0;
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

#[test]
fn statistics_are_logged_every_five_seconds() {
    const LINE: &str = "acquires per second";
    let mut command = officer(&["run", "-p", "0", "-l", "info"]);
    let server = Server::start(command.env("OFFICER_STATS", "true"));
    let silent = Server::tcp(&["-s"]);
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    let nth_line = |count: usize| {
        eventually("there is a line", || server.log().count(LINE) >= count);
        server.log().lines().into_iter().filter(|line| line.contains(LINE)).nth(count - 1).unwrap()
    };
    let rate_of = |line: &str, gauges: &str| {
        let said = line.split_once("] ").unwrap().1;
        let rate = said.strip_prefix(gauges).unwrap_or_else(|| panic!("{line}"));
        rate.strip_suffix(" acquires per second").unwrap().parse::<f64>().unwrap()
    };
    let mut acquire = |times: usize| {
        for _ in 0..times {
            ann.acquire("db");
            ann.release("db");
        }
    };
    acquire(100);
    let first = nth_line(1);
    // 100 in 5 seconds; a loaded machine may have been late.
    let rate = rate_of(&first, "0 locks held, 0 waiters, 2 connections, ");
    assert!((5.0..=20.1).contains(&rate), "{first}");

    // The second one counts from the first.
    acquire(48);
    ann.acquire("db");
    ann.acquire("other");
    bob.queue_for("db");
    let second = nth_line(2);
    let rate = rate_of(&second, "2 locks held, 1 waiters, 2 connections, ");
    assert!((2.5..=10.1).contains(&rate), "{second}");
    let third = nth_line(3);
    assert_eq!(rate_of(&third, "2 locks held, 1 waiters, 2 connections, "), 0.0, "{third}");
    for (earlier, later) in [(first, &second), (second.clone(), &third)] {
        // At midnight it begins again.
        let between = (time_of(later) - time_of(&earlier)).rem_euclid(86_400.0);
        assert!((4.9..7.5).contains(&between), "{earlier} {later}");
    }
    // Only at info.
    let said = silent.end();
    let [warning] = said.as_slice() else { panic!("{said:?}") };
    assert!(warning.contains("--log-level error leaves out"), "{warning}");
}

#[test]
fn the_log_need_not_be_read() {
    // Closed from the start.
    let server = Server::start_without_log(&mut officer_after("exec 2>&-;", &["run", "-p", "0", "-l", "debug"]));
    let mut ann = server.connect();
    ann.acquire("db");
    drop(ann);
    server.connect().acquire("other");
    drop(server);

    // A pipe whose reader has gone.
    let mut command = officer(&["run", "-p", "0", "-l", "debug"]);
    let mut server = Server::start_without_log(command.stderr(Stdio::piped()));
    drop(server.take_stderr());
    let mut ann = server.connect();
    for _ in 0..100 {
        ann.acquire("db");
        ann.release("db");
    }
    drop(ann);
    server.connect().acquire("db");
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_server() {
    let mut command = officer(&["run", "-p", "0", "-l", "debug"]);
    let mut server = Server::start_without_log(command.stderr(Stdio::piped()));
    let stderr = server.take_stderr();
    // More than fits into a pipe. Then the reader goes away.
    let mut ann = server.connect();
    ann.write("{\"command\":\"lock\",\"name\":\"db\"}\n".repeat(2000).as_bytes());
    drop(stderr);
    ann.expect_acquired("db");
    for _ in 1..2000 {
        assert_eq!(ann.receive(), json!({"name": "db", "result": "already_acquired"}));
    }
    drop(ann);
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}
