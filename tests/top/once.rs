//! `officer top --once`, and where there is no terminal.

use crate::support::address::{free_port, own_host};
use crate::support::patience::eventually;
use crate::support::server::{PROGRAM, Server, officer, run};
use crate::terminal::Terminal;
use crate::{holder, waiter};

/// Runs it against a server, with a screen of this size. Returns what it printed.
#[track_caller]
fn once(server: &Server, size: (&str, &str), args: &[&str]) -> Vec<String> {
    let mut command = officer(&["top", "--once"]);
    command.args(server.options()).args(args).env("COLUMNS", size.0).env("LINES", size.1);
    let output = run(&mut command);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The cells of a line: a table has at least two spaces between columns.
fn words(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[test]
fn one_screen_is_printed_as_text() {
    for server in Server::of_every_kind() {
        let mut ann = holder(&server, "boss:17", "ann");
        let _others = [holder(&server, "mail", "bob"), waiter(&server, "boss:17"), waiter(&server, "boss:17")];
        let lines = once(&server, ("120", "20"), &[]);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].starts_with("2 locks, 2 waiters for 1 of them; "), "{lines:?}");
        assert_eq!(words(&lines[2]), ["LOCK", "HOLDER", "CLIENT", "HELD", "SILENT", "WAITERS", "LONGEST"]);
        let name = ann.locks()["boss:17"][0].as_str().unwrap().to_owned();
        let row = words(&lines[3]);
        assert_eq!((&row[..3], row[5]), (&["boss:17", &name, "ann"][..], "2"));
        assert!(row[4].ends_with('s'), "{row:?}");
        assert_eq!(words(&lines[4])[5..], ["0", "-"]);
    }
}

#[test]
fn those_who_wait_for_each_other_are_named() {
    let server = Server::tcp(&[]);
    let [mut ann, mut bob] = ["a", "b"].map(|name| holder(&server, name, name));
    ann.queue_for("b");
    assert!(once(&server, ("120", "20"), &[])[1].starts_with("live; "));
    bob.queue_for("a");
    let mut waits = [format!("{} for 'b'", ann.name()), format!("{} for 'a'", bob.name())];
    waits.sort();
    let said = format!("DEADLOCK: {}, {}; live; ", waits[0].replacen(" for", " waits for", 1), waits[1]);
    for (columns, is_wide) in [("120", true), ("80", false)] {
        let lines = once(&server, (columns, "20"), &[]);
        assert!(lines[1].starts_with(&said[..said.len().min(80)]), "{lines:?}");
        assert_eq!(lines[3..].iter().filter(|line| line.ends_with("  DEADLOCK")).count(), if is_wide { 2 } else { 0 });
    }
    ann.release("a");
    let lines = once(&server, ("120", "20"), &[]);
    assert!(!lines.concat().contains("DEADLOCK"), "{lines:?}");
}

#[test]
fn owners_leases_labels_and_closed_locks_are_shown() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "plain", "ann");
    for request in [
        r#"{"command":"lock","name":"x","owner":"o7","lease":1000,"label":"raid"}"#,
        r#"{"command":"lock","name":"y","mode":"shared"}"#,
        r#"{"command":"lock","name":"z","min_hold":1000}"#,
    ] {
        assert_eq!(ann.ask(request)["result"], "acquired");
    }
    ann.release("z");
    let lines = once(&server, ("140", "20"), &["--sort", "lock"]);
    assert!(lines[2].ends_with("  NOTES") && lines[3].ends_with("  -"), "{lines:?}");
    assert!(lines[4].contains("  owner o7, lease 16m") && lines[4].ends_with(" left, 'raid'"), "{lines:?}");
    assert!(lines[5].ends_with("  shared") && lines[6].contains("  closed, 16m"), "{lines:?}");
}

#[test]
fn sessions_without_a_connection_are_shown_with_the_time_to_resume() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "x", "ann");
    assert_eq!(ann.ask(r#"{"command":"hello","session":{"grace":300}}"#)["result"], "hello");
    assert!(!once(&server, ("140", "20"), &[])[2].contains("NOTES"));
    drop(ann);
    eventually("the connection is gone", || once(&server, ("140", "20"), &[])[3].contains("session:1"));
    let lines = once(&server, ("140", "20"), &[]);
    let row = words(&lines[3]);
    assert_eq!((row[0], row[1], row[2]), ("x", "session:1", "ann"));
    assert!(lines[2].ends_with("  NOTES") && row.last().unwrap().starts_with("disconnected, 4m"), "{lines:?}");
}

#[test]
fn the_screen_shows_the_first_rows_and_how_many_more_there_are() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "first", "ann");
    (0..30).for_each(|number| ann.acquire(&format!("lock {number:02}")));
    let _waiter = waiter(&server, "lock 20");
    let lines = once(&server, ("80", "10"), &[]);
    assert_eq!((lines.len(), lines[9].as_str()), (10, "and 25 more"));
    assert!(lines[3].starts_with("lock 20 "), "{lines:?}");
    assert!(lines.iter().all(|line| line.len() <= 80), "{lines:?}");
    let lines = once(&server, ("80", "100"), &["--sort", "lock", "--reverse"]);
    assert_eq!(lines.len(), 3 + 31);
    assert!(lines[3].starts_with("lock 29 ") && lines[33].starts_with("first "), "{lines:?}");
    let lines = once(&server, ("80", "100"), &["--sort", "lock", "--filter", "CK 0", "lock"]);
    assert_eq!(lines.len(), 3 + 10);
    assert!(lines[0].starts_with("30 locks 'lock...'") && lines[1].ends_with("10 with 'CK 0'"), "{lines:?}");
    assert_eq!(once(&server, ("80", "24"), &["nothing"])[3], "Nobody holds a lock whose name starts with this.");
}

#[test]
fn locks_beyond_the_largest_screen_are_counted() {
    let server = Server::tcp(&[]);
    let mut ann = holder(&server, "first", "ann");
    (0..2999).for_each(|number| ann.acquire(&format!("lock {number:04}")));
    let lines = once(&server, ("80", "5000"), &["--sort", "lock"]);
    assert!(lines[0].starts_with("3,000 locks"), "{:?}", lines[0]);
    assert_eq!((lines.len(), lines.last().unwrap().as_str()), (3 + 1000 + 1, "and 2,000 more"));
    assert!(lines[1002].starts_with("lock 0998 "), "{:?}", lines[1002]);
}

#[test]
fn a_name_can_break_neither_the_terminal_nor_the_table() {
    let server = Server::tcp(&[]);
    let wide = "\u{9f8d}".repeat(100);
    let _holders = [holder(&server, "a\nb\x1b[2J\u{202e}", "me\x07"), holder(&server, &wide, &wide[..60])];
    let lines = once(&server, ("80", "24"), &["--sort", "lock"]);
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[3].starts_with(r"a\nb\u") && lines[3].contains(r"me\u{7}"), "{lines:?}");
    // Half as many characters as columns.
    assert!(lines[4].chars().count() < 70 && lines[4].contains('~'), "{lines:?}");
    assert!(!lines.concat().contains(char::is_control));
}

#[test]
fn without_a_server_it_says_so_in_one_line() {
    let host = own_host();
    let (host, port) = (host.to_string(), free_port(host).to_string());
    let output = run(officer(&["top", "--once", "-h", &host, "-p", &port]).env("COLUMNS", "80"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len(), said.lines().count()), (Some(69), 0, 1), "{said}");
    assert!(said.contains("start a server there with 'officer run'"), "{said}");
}

#[test]
fn without_a_terminal_there_is_no_full_screen() {
    let server = Server::tcp(&[]);
    let output = run(officer(&["top"]).args(server.options()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len(), said.lines().count()), (Some(2), 0, 1), "{said}");
    assert!(said.contains("'officer top --once'"), "{said}");
}

#[test]
fn an_unsuitable_terminal_is_reported_at_once() {
    let server = Server::tcp(&[]);
    let Some(terminal) = Terminal::start((80, 24), "TERM=dumb", &server.options()) else { return };
    terminal.wait_for("officer: TERM is 'dumb'");
    terminal.expect_end(2);
}

#[test]
fn a_terminal_of_unknown_size_gets_the_usual_size() {
    let server = Server::tcp(&[]);
    let _ann = holder(&server, "boss:17", "ann");
    let Some(terminal) = Terminal::of_shell((80, 24)) else { return };
    terminal.press(&["stty rows 0 cols 0", "Enter"]);
    terminal.press(&[&format!("{PROGRAM} top --once {}", server.options().join(" ")), "Enter"]);
    let heads = terminal.wait_for("LOCK ");
    assert!(heads.ends_with(" LONGEST"), "{heads:?}");
}

#[test]
fn an_unwritable_output_is_a_failure() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let server = Server::tcp(&[]);
    let line = "exec > /dev/full;";
    let args = [&["top", "--once"], server.options().as_slice()].concat();
    let output = run(&mut crate::support::server::officer_after(line, &args));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the output can't be written: "), "{said}");
}
