//! `officer stats`.

use officer::client::LockOptions;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::program::{Program, run, shell};
use crate::support::server::{Server, officer};

/// The cells of the row with this name.
#[track_caller]
fn row(lines: &[String], name: &str) -> Vec<String> {
    let found = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let row = found.unwrap_or_else(|| panic!("{name:?} in {lines:?}"));
    row.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_the_server_counts_is_shown() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let guard = client.lock("a").unwrap();
    client.lock("b").unwrap().release().unwrap();
    assert!(server.client().lock_with("a", LockOptions::no_wait()).is_err());
    let lines = run(&mut server.officer("stats", &[])).expect_success();
    assert!(lines[0].starts_with(&format!("127.0.0.1:{}, up ", server.port())), "{lines:?}");
    for (name, value) in [
        ("locks", "1"),
        ("holds", "1"),
        ("waiters", "0"),
        ("grants", "2"),
        ("releases", "1"),
        ("timeouts", "1"),
        ("requests lock", "3"),
        ("requests unlock", "1"),
    ] {
        assert_eq!(row(&lines, name), [value], "{name}");
    }
    assert_eq!((&row(&lines, "wait")[0], &row(&lines, "hold")[0]), (&"2".to_owned(), &"1".to_owned()));
    assert!(!lines.iter().any(|line| line.starts_with("errors") || line.contains("PER SECOND")), "{lines:?}");
    drop(guard);
}

#[test]
fn for_programs_it_is_the_value_that_the_server_answers() {
    let server = Server::tcp(&[]);
    let mut client = Client::connect(server.address()).unwrap();
    client.acquire("a");
    let answer = client.ask(r#"{"command":"stats"}"#);
    let lines = run(&mut server.officer("stats", &["--json"])).expect_success();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let value: Value = serde_json::from_str(line).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&value), keys(&answer["value"]));
    for key in ["locks", "holds", "grants", "errors"] {
        assert_eq!(value[key], answer["value"][key], "{key}");
    }
    assert_eq!(value["wait"]["counts"], answer["value"]["wait"]["counts"]);
}

#[test]
fn again_and_again_it_shows_rates_beside_the_totals() {
    let server = Server::tcp(&[]);
    let program = Program::start(&mut server.officer("stats", &["--every", "0.1"]));
    // The program leaves out empty lines.
    let block = |program: &Program, end: &str| {
        let mut lines = vec![program.line()];
        while !lines.last().unwrap().starts_with(end) {
            lines.push(program.line());
        }
        lines
    };
    let first = block(&program, "hold ");
    assert_eq!(row(&first, "grants").len(), 1, "{first:?}");
    let client = server.client();
    let mut granted = 0.0;
    while granted == 0.0 {
        drop(client.lock("x").unwrap());
        let lines = block(&program, "hold ");
        assert!(lines.iter().any(|line| line.ends_with(" PER SECOND")), "{lines:?}");
        granted = row(&lines, "grants")[1].replace(',', "").parse::<f64>().unwrap();
    }
    // What it counts is the server's, so it ends with that.
    drop(client);
    server.end();
    let end = program.end();
    assert_eq!(end.code(), 69, "{end:?}");
    assert_eq!(end.stderr.len(), 1, "{end:?}");
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let server = Server::tcp(&[]);
    let options = server.options().join(" ");
    let line = format!("officer stats {options} --json --every 1000 | head -n 1 > /dev/null; echo over");
    assert_eq!(Program::start(&mut shell(&line)).end().expect_success(), ["over"]);
}

#[test]
fn what_it_can_not_do_is_told_in_one_line() {
    run(&mut officer(&["stats", "-p", "1"])).expect_failure(69, "no connection to 127.0.0.1:1");
    run(&mut officer(&["stats", "--every", "0"])).expect_failure(2, "must be at least 0.1 seconds");
}
