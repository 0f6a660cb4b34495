//! `officer connections`.

use officer::client::Options;
use serde_json::Value;

use crate::support::program::{Program, run};
use crate::support::server::Server;
use crate::wait_for_count;

#[test]
fn connections_are_listed_with_what_they_hold_and_wait_for() {
    let server = Server::tcp(&[]);
    let ann = Options::new(server.client_address()).name("ann").connect().unwrap();
    let _guards = [ann.lock("a").unwrap(), ann.lock("b").unwrap()];
    let _waiter = Program::start(&mut server.lock(&["--client", "bob", "b"], &["true"]));
    wait_for_count(&ann, "b", 2);
    let name = ann.connection_name();

    let rows = |args: &[&str]| {
        let lines = run(&mut server.officer("connections", args)).expect_success();
        let words = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let head = ["CONNECTION", "CLIENT", "AGE", "SILENT", "UNSENT", "HOLDS", "WAITS", "FOR"];
        assert_eq!(words(&lines[0]), head);
        // Times differ, but nothing is unsent.
        let row = |line: &String| {
            let mut row = words(line);
            let life: Vec<String> = row.drain(2..5).collect();
            assert!(life[0].ends_with('s') && life[1].ends_with('s') && life[2] == "0", "{life:?}");
            row
        };
        let is_first = |line: &&String| !line.starts_with(' ');
        lines[1..].iter().filter(is_first).map(row).collect::<Vec<_>>()
    };
    let all = rows(&[]);
    assert_eq!(all.len(), 2);
    let first = &all.iter().find(|row| row[0] == name).unwrap()[1..];
    assert!(
        [["ann", "a", "and", "1", "more", "-"], ["ann", "b", "and", "1", "more", "-"]].iter().any(|row| row == first)
    );
    assert_eq!(all.iter().find(|row| row[0] != name).unwrap()[1..], ["bob", "-", "b"]);
    assert_eq!(rows(&["a"]), [[name.as_str(), "ann", "a", "-"]]);
    let lines = run(&mut server.officer("connections", &["--locks"])).expect_success();
    assert_eq!(lines.len(), 1 + 3, "{lines:?}");
    // The command's own connection is idle.
    assert_eq!(rows(&["--all"]).len(), 3);

    let lines = run(&mut server.officer("connections", &["--json"])).expect_success();
    let all: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = all.iter().find(|connection| connection["connection"] == name).unwrap();
    assert_eq!((&first["client"], first["holds"].as_array().unwrap().len()), (&"ann".into(), 2));
    let second = all.iter().find(|connection| connection["client"] == "bob").unwrap();
    assert_eq!(second["waits_for"][0]["name"], "b");
    assert!(second["waits_for"][0]["waited_for"].is_number());
    assert!(second["silent_for"].is_number() && second["age"].is_number() && second["unsent"] == 0, "{second}");
}

#[test]
fn where_nothing_is_locked_nobody_is_listed() {
    let server = Server::tcp(&[]);
    let end = run(&mut server.officer("connections", &[]));
    assert!(end.status.success() && end.stdout.is_empty() && end.stderr.len() == 1, "{end:?}");
}
