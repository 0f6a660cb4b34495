//! Sessions that have lost their connection, in listings and to be kicked.

use serde_json::Value;

use crate::support::client::Client;
use crate::support::patience::eventually;
use crate::support::program::run;
use crate::support::server::Server;
use crate::wait_for_count;

/// A connection with a session, which lasts for ten minutes without it.
fn with_session(server: &Server, client: &str) -> Client {
    let mut connection = Client::connect(server.address()).unwrap();
    let hello = serde_json::json!({ "command": "hello", "client": client, "session": { "grace": 300 } });
    assert_eq!(connection.ask(hello)["session"]["grace"], 300);
    connection
}

/// Waits until a session is without its connection. Returns its name.
fn lost(server: &Server, mut connection: Client) -> String {
    let (observer, name) = (server.client(), connection.name());
    drop(connection);
    let mut session = String::new();
    eventually("the session is without a connection", || {
        let all: Vec<_> = observer.connections_with_detail(true).map(Result::unwrap).collect();
        session = all.iter().find(|(_, of)| of.grace_left.is_some()).map_or_else(String::new, |(name, _)| name.clone());
        !session.is_empty() && all.iter().all(|(found, _)| *found != name)
    });
    session
}

fn words(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[test]
fn a_session_without_a_connection_is_listed_with_the_time_to_resume() {
    let server = Server::tcp(&[]);
    let mut ann = with_session(&server, "ann");
    ann.acquire("a");
    ann.acquire("b");
    let connected = run(&mut server.officer("connections", &[])).expect_success();
    assert_eq!(words(&connected[0]).last(), Some(&"NOTES"), "{connected:?}");
    assert_eq!(words(&connected[1]).last(), Some(&"session:1"), "{connected:?}");
    assert_eq!(lost(&server, ann), "session:1");
    let mut bob = with_session(&server, "bob");
    bob.queue_for("a");
    lost(&server, bob);
    wait_for_count(&server.client(), "a", 2);

    let lines = run(&mut server.officer("connections", &[])).expect_success();
    let row = words(&lines[1]);
    assert_eq!((&row[..2], &row[5..7]), (&["session:1", "ann"][..], &["a and 1 more", "-"][..]), "{lines:?}");
    assert!(row[7].starts_with("disconnected, 4m") && row[7].ends_with("s to resume"), "{lines:?}");
    assert!(words(&lines[2])[7].starts_with("disconnected, 4m"), "{lines:?}");

    let lines = run(&mut server.officer("locks", &["--waiters"])).expect_success();
    assert_eq!(words(&lines[0]).last(), Some(&"NOTES"));
    for (line, first, session) in [(1, "a", "session:1"), (2, "waiter 1", "session:2"), (3, "b", "session:1")] {
        let row = words(&lines[line]);
        assert_eq!(&row[..2], [first, session], "{lines:?}");
        assert!(row.last().unwrap().starts_with("disconnected, 4m"), "{lines:?}");
    }

    let lines = run(&mut server.officer("connections", &["--json"])).expect_success();
    let all: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&all[0]["connection"], &all[0]["session"]), (&"session:1".into(), &"session:1".into()));
    let left = all[0]["grace_left"].as_f64().unwrap();
    assert!((200.0..=300.0).contains(&left), "{left}");
}

#[test]
fn connections_without_a_session_have_no_notes() {
    let server = Server::tcp(&[]);
    let ann = server.client();
    let _guard = ann.lock("a").unwrap();
    for command in ["connections", "locks"] {
        let lines = run(&mut server.officer(command, &[])).expect_success();
        assert!(!lines[0].contains("NOTES"), "{lines:?}");
    }
    let lines = run(&mut server.officer("connections", &["--json"])).expect_success();
    assert!(!lines[0].contains("session") && !lines[0].contains("grace_left"), "{lines:?}");
}

#[test]
fn a_session_is_kicked_by_its_name_with_a_connection_or_without() {
    let server = Server::tcp(&[]);
    let mut connected = with_session(&server, "ann");
    connected.acquire("a");
    let mut other = with_session(&server, "bob");
    other.acquire("b");
    assert_eq!(lost(&server, other), "session:2");
    for (session, lock) in [("session:1", "a"), ("session:2", "b")] {
        let lines = run(&mut server.officer("kick", &[session])).expect_success();
        assert_eq!(lines, [format!("{session} was kicked: its locks have passed on, and it has left all queues")]);
        wait_for_count(&server.client(), lock, 0);
        run(&mut server.officer("kick", &[session])).expect_failure(1, session);
    }
    connected.expect_end();
}
