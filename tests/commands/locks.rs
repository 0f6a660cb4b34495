//! `officer locks`.

use std::collections::BTreeSet;
use std::time::Duration;

use officer::client::{Guard, LockOptions, Options};
use serde_json::Value;

use crate::support::program::{Program, run};
use crate::support::server::Server;
use crate::wait_for_count;

/// The words of a line, where a table has at least two spaces between columns.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn json(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn locks_are_listed_with_their_holders_and_waiters() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let holder = server.client();
        let _guards = [holder.lock("boss:17").unwrap(), holder.lock("mail").unwrap()];
        let waiter = Program::start(&mut server.lock(&["--client", "raid 7", "boss:17"], &["true"]));
        wait_for_count(&holder, "boss:17", 2);
        let holder = holder.connection_name();

        let lines = run(&mut server.officer("locks", &[])).expect_success();
        assert_eq!(cells(&lines[0]), ["LOCK", "HOLDER", "CLIENT", "FOR", "WAITERS"]);
        let rows: Vec<_> = lines[1..].iter().map(|line| cells(line)).collect();
        let [boss, mail] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((&boss[..3], boss[4]), (&["boss:17", &holder, "-"][..], "1"));
        assert_eq!((&mail[..3], mail[4]), (&["mail", &holder, "-"][..], "0"));

        let lines = run(&mut server.officer("locks", &["--waiters", "boss"])).expect_success();
        assert_eq!(lines.len(), 3, "{lines:?}");
        let row = cells(&lines[2]);
        assert_eq!((row[0], row[2], row.len()), ("waiter 1", "raid 7", 4));
        assert!(lines[2].starts_with("  waiter 1  "));

        let locks = json(&run(&mut server.officer("locks", &["--json", "boss"])).expect_success());
        let [boss] = locks.as_slice() else { panic!("{locks:?}") };
        assert_eq!((&boss["name"], &boss["waiting"]), (&"boss:17".into(), &1.into()));
        assert_eq!(boss["holders"][0]["connection"], holder);
        assert!(boss["holders"][0]["held_for"].is_number());
        assert_eq!(boss["waiters"][0]["client"], "raid 7");
        assert!(boss["waiters"][0]["waited_for"].is_number());
        drop(waiter);
    }
}

#[test]
fn what_is_not_plain_about_a_lock_is_noted() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let _plain = client.lock("plain").unwrap();
    let options = LockOptions::no_wait().owner("7").lease(Duration::from_secs(1000)).label("raid\n").fence();
    let leased = client.lock_with("leased", options).unwrap();
    let units = LockOptions::no_wait().semaphore(2);
    let _units = [client.lock_with("pool", units.clone()).unwrap(), client.lock_with("pool", units).unwrap()];
    let _waiter = Program::start(&mut server.lock(&["--priority", "3", "--label", "urgent", "plain"], &["true"]));
    wait_for_count(&client, "plain", 2);
    run(&mut server.lock(&["--min-hold", "1000", "closed"], &["true"])).expect_success();

    let lines = run(&mut server.officer("locks", &["--waiters"])).expect_success();
    assert_eq!(cells(&lines[0]), ["LOCK", "HOLDER", "CLIENT", "FOR", "WAITERS", "NOTES"]);
    let row =
        |name: &str| cells(lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{lines:?}")));
    let closed = row("closed ");
    assert_eq!(closed[1..5], ["-", "-", "-", "0"]);
    assert!(closed[5].starts_with("closed, 16m"), "{closed:?}");
    assert!(row("leased ")[5].starts_with("owner \"7\", lease 16m"), "{lines:?}");
    assert!(row("leased ")[5].ends_with(r" left, 'raid\n'"), "{lines:?}");
    assert!(row("pool ")[5].starts_with("1 of 2 units"), "{lines:?}");
    assert_eq!(row("plain ").len(), 5);
    assert_eq!(row("  waiter 1 ").last(), Some(&"priority 3, 'urgent'"));

    let lines = run(&mut server.officer("locks", &["--tokens", "leased"])).expect_success();
    assert!(lines[1].contains(&format!("token {}", leased.token().unwrap())), "{lines:?}");
    let locks = json(&run(&mut server.officer("locks", &["--json", "leased"])).expect_success());
    assert_eq!((&locks[0]["holders"][0]["label"], &locks[0]["holders"][0]["owner"]), (&"raid\n".into(), &"7".into()));
    let locks = json(&run(&mut server.officer("locks", &["--json", "closed"])).expect_success());
    assert!(locks[0]["closed_for"].is_number(), "{locks:?}");
}

#[test]
fn one_lock_can_be_listed_by_its_whole_name() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let _guards = ["a", "ab"].map(|name| client.lock(name).unwrap());
    let lines = run(&mut server.officer("locks", &["--exact", "a"])).expect_success();
    assert_eq!((lines.len(), cells(&lines[1])[0]), (2, "a"));
    assert_eq!(json(&run(&mut server.officer("locks", &["--exact", "--json", "ab"])).expect_success()).len(), 1);
    let end = run(&mut server.officer("locks", &["--exact", "b\n"]));
    assert!(end.status.success() && end.stdout.is_empty(), "{end:?}");
    assert_eq!(end.stderr, [r"officer: 'b\n' is free"]);
    run(&mut server.officer("locks", &["--exact"])).expect_failure(2, "<PREFIX>");
}

#[test]
fn where_nothing_is_locked_nothing_is_printed() {
    let server = Server::tcp(&[]);
    for (args, said) in [(&[][..], "officer: nobody holds a lock"), (&["x\n"], r"name starts with 'x\n'")] {
        let end = run(&mut server.officer("locks", args));
        assert!(end.status.success() && end.stdout.is_empty(), "{end:?}");
        assert!(end.stderr.len() == 1 && end.stderr[0].contains(said), "{end:?}");
    }
    assert!(run(&mut server.officer("locks", &["--json"])).expect_success().is_empty());
}

#[test]
fn very_many_locks_come_page_by_page() {
    const COUNT: usize = 3000;
    let server = Server::tcp(&[]);
    let holder = server.client();
    let names: BTreeSet<String> = (0..COUNT).map(|number| format!("lock {number}")).collect();
    let _guards: Vec<Guard> = names.iter().map(|name| holder.lock(name).unwrap()).collect();

    let lines = run(&mut server.officer("locks", &[])).expect_success();
    assert_eq!(lines.len(), COUNT + 1);
    let listed: BTreeSet<String> = lines[1..].iter().map(|line| cells(line)[0].to_owned()).collect();
    assert_eq!(listed, names);

    let lines = run(&mut server.officer("locks", &["--json"])).expect_success();
    let listed = json(&lines).iter().map(|lock| lock["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!((lines.len(), &names), (COUNT, &listed));

    let lines = run(&mut server.officer("locks", &["lock 29"])).expect_success();
    assert_eq!(lines.len(), 1 + 111, "lock 29, 29x, 29xx");

    let lines = run(&mut server.officer("connections", &[])).expect_success();
    assert_eq!(
        cells(&lines[1])[5],
        format!("{} and {} more", cells(&lines[1])[5].split(" and ").next().unwrap(), COUNT - 1)
    );
}

#[test]
fn who_closes_the_output_has_read_enough() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    // More than a pipe holds.
    let _guards: Vec<Guard> = (0..2000).map(|number| holder.lock(&format!("{number:0>200}")).unwrap()).collect();
    for args in [&[][..], &["--json"]] {
        let options = server.options().join(" ");
        let script = format!("(officer locks {options} {}; echo $? >&2) | head -1", args.join(" "));
        let end = run(&mut crate::support::program::shell(&script));
        assert_eq!((end.stdout.len(), end.stderr.as_slice()), (1, &["0".to_owned()][..]), "{end:?}");
    }
}

#[test]
fn an_output_that_can_not_be_written_is_a_failure() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let options = server.options().join(" ");
    for command in ["locks", "locks --json", "connections", "connections --json", "ping"] {
        if !std::path::Path::new("/dev/full").exists() {
            return;
        }
        let end = run(&mut crate::support::program::shell(&format!("officer {command} {options} > /dev/full")));
        end.expect_failure(1, "the output can't be written: ");
    }
}

#[test]
fn a_name_stays_in_its_line_and_leaves_the_terminal_as_it_is() {
    let server = Server::tcp(&[]);
    let name = "a\nb\x1b[2J\u{202e}";
    let holder = Options::new(server.client_address()).name("me\x07").connect().unwrap();
    let _guard = holder.lock(name).unwrap();
    let shown = r"a\nb\u{1b}[2J\u{202e}";
    let lines = run(&mut server.officer("locks", &[])).expect_success();
    assert_eq!(lines.len(), 2);
    assert_eq!(cells(&lines[1])[0], shown);
    assert_eq!(cells(&lines[1])[2], r"me\u{7}");
    let lines = run(&mut server.officer("connections", &[])).expect_success();
    assert_eq!([cells(&lines[1])[1], cells(&lines[1])[5]], [r"me\u{7}", shown]);
    // For programs it is the name itself.
    let locks = json(&run(&mut server.officer("locks", &["--json", name])).expect_success());
    assert_eq!(locks[0]["name"], name);
}
