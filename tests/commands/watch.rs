//! `officer watch`.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;

use officer::client::LockOptions;
use rustix::process::Signal;

use crate::support::address::own_host;
use crate::support::client::Client;
use crate::support::lines::LineReader;
use crate::support::patience::eventually;
use crate::support::program::{Program, run, shell};
use crate::support::server::{Server, officer};
use crate::wait_for_count;

fn wait_for_watchers(server: &Server, count: u64) {
    let observer = server.client();
    eventually("the locks are watched", || observer.stats().unwrap().watchers == count);
}

fn start(server: &Server, args: &[&str]) -> Program {
    let before = server.client().stats().unwrap().watchers;
    let program = Program::start(&mut server.officer("watch", args));
    wait_for_watchers(server, before + 1);
    program
}

/// What follows the time of a line.
fn event(line: &str) -> String {
    let (time, event) = line.split_once(' ').unwrap();
    let digits = time.replace(|character: char| character.is_ascii_digit(), "0");
    assert_eq!(digits, "0000-00-00T00:00:00.000Z", "{line}");
    event.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_event_is_a_line_with_its_time_lock_connection_and_owner() {
    for server in Server::of_every_kind() {
        let watch = start(&server, &["boss:"]);
        let client = server.client();
        let name = client.connection_name();
        let _other = client.lock("loot").unwrap();
        let guard = client.lock_with("boss:\n", LockOptions::default().owner("ann")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| client.lock_with("boss:\n", LockOptions::default().owner(7)).unwrap().release().unwrap());
            wait_for_count(&server.client(), "boss:\n", 2);
            guard.release().unwrap();
        });
        for (happening, owner) in
            [("granted", "ann"), ("queued", "7"), ("released", "ann"), ("granted", "7"), ("released", "7")]
        {
            assert_eq!(event(&watch.line()), format!(r"{happening} boss:\n {name} owner {owner}"));
        }
        // It did not wait for more.
        watch.signal(Signal::INT);
        let end = watch.end();
        assert_eq!(end.status.signal(), Some(Signal::INT.as_raw()), "{end:?}");
        assert!(end.stdout.is_empty() && end.stderr.is_empty(), "{end:?}");
    }
}

#[test]
fn for_programs_every_event_is_the_line_that_the_server_sends() {
    let server = Server::tcp(&[]);
    let mut watcher = Client::connect(server.address()).unwrap();
    watcher.send(r#"{"command":"watch"}"#);
    assert_eq!(watcher.receive_line(), r#"{"result":"watching"}"#);
    let watch = start(&server, &["--json"]);
    assert_eq!(watch.line(), r#"{"result":"watching"}"#);
    let mut client = Client::connect(server.address()).unwrap();
    for request in [
        r#"{"command":"lock","name":"a\"\u00e9","owner":"o7"}"#,
        r#"{"command":"lock","name":"b","min_hold":0.1}"#,
        r#"{"command":"unlock","name":"b"}"#,
        r#"{"command":"lock","name":"a\"\u00e9","owner":8,"timeout":0.01}"#,
    ] {
        client.ask(request);
    }
    // The last one is that the lock is open again.
    loop {
        let line = watcher.receive_line();
        assert_eq!(watch.line(), line);
        if line.contains("opened") {
            break;
        }
    }
}

#[test]
fn it_ends_when_nobody_reads_any_more_even_if_nothing_happens() {
    let server = Server::tcp(&[]);
    let options = server.options().join(" ");
    let start = |args: &str| {
        let line = format!("officer watch {options} {args} | head -n 1 > /dev/null; echo over");
        Program::start(&mut shell(&line))
    };
    let watch = start("");
    wait_for_watchers(&server, 1);
    let client = server.client();
    let _guard = client.lock("x").unwrap();
    assert_eq!(watch.end().expect_success(), ["over"]);
    // For programs there is a line before the first event.
    assert_eq!(start("--json").end().expect_success(), ["over"]);
    wait_for_watchers(&server, 0);
}

#[test]
fn a_lost_connection_is_told_and_made_again() {
    let host = own_host().to_string();
    let server = Server::tcp(&["-h", &host]);
    let port = server.port();
    let [text, json] = [&[][..], &["--json"]].map(|args| start(&server, args));
    assert_eq!(json.line(), r#"{"result":"watching"}"#);
    server.client().lock("x").unwrap().release().unwrap();
    for happening in ["granted", "released"] {
        assert!(event(&text.line()).starts_with(happening));
        assert!(json.line().contains(happening));
    }
    server.end();
    for program in [&text, &json] {
        let said = program.said();
        assert!(said.starts_with(&format!("officer: the connection to {host}:{port} was lost: ")), "{said}");
        assert!(said.ends_with("; events may be missing until there is a new one"), "{said}");
    }
    let line = json.line();
    assert!(line.starts_with(r#"{"notice":"interrupted","reason":""#), "{line}");

    let server = Server::tcp(&["-h", &host, "-p", &port]);
    wait_for_watchers(&server, 2);
    for program in [&text, &json] {
        assert_eq!(program.said(), "officer: watching again; what happened in between is not shown");
    }
    assert_eq!(json.line(), r#"{"result":"watching"}"#);
    server.client().lock("y").unwrap().release().unwrap();
    assert!(event(&text.line()).starts_with("granted y "));
    assert!(json.line().starts_with(r#"{"name":"y","notice":"event","event":"granted","#));
}

#[test]
fn missed_events_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let program = Program::start(&mut officer(&["watch", "-p", &port]));
    let hello = r#"{"result":"hello","connection":"me","features":["watch"]}"#;
    // The second connection is that of the watch.
    let mut connections: Vec<_> = (0..2)
        .map(|_| {
            let mut lines = LineReader::new(listener.accept().unwrap().0);
            assert!(lines.line().contains(r#""command":"hello""#));
            writeln!(lines.socket_mut(), "{hello}").unwrap();
            lines
        })
        .collect();
    let watcher = &mut connections[1];
    let line = watcher.line();
    assert!(line.contains(r#""command":"watch""#) && line.contains(r#""prefix":"""#), "{line}");
    let events = "{\"result\":\"watching\"}\n{\"notice\":\"event\",\"event\":\"missed\",\"count\":17}";
    writeln!(watcher.socket_mut(), "{events}").unwrap();
    assert_eq!(event(&program.line()), "missed 17 events");
}

#[test]
fn a_server_that_is_not_there_or_can_not_be_watched_is_told_in_one_line() {
    run(&mut officer(&["watch", "-p", "1"])).expect_failure(69, "no connection to 127.0.0.1:1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for (command, connections) in [("watch", 2), ("stats", 1)] {
        let program = Program::start(&mut officer(&[command, "-p", &port]));
        let greet = |_| {
            let mut lines = LineReader::new(listener.accept().unwrap().0);
            lines.line();
            writeln!(lines.socket_mut(), r#"{{"result":"hello","connection":"me","features":[]}}"#).unwrap();
            lines
        };
        let _connections: Vec<_> = (0..connections).map(greet).collect();
        program.end().expect_failure(69, &format!("does not support '{command}'"));
    }
}
