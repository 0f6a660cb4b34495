//! `officer lock` with locks of other kinds than one exclusive lock.

use rustix::process::Signal;

use crate::support::program::{Program, run};
use crate::support::server::{Server, officer};
use crate::wait_for_count;

/// Prints its locks, and runs until its input ends.
const TELL: [&str; 3] = ["sh", "-c", r#"echo "$OFFICER_LOCK" && exec cat"#];

#[test]
fn several_names_are_taken_together_or_not_at_all() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let guard = observer.lock("b").unwrap();
    let mut program = Program::start(&mut server.lock(&["a", "b"], &TELL));
    wait_for_count(&observer, "b", 2);
    // It does not hold the other one meanwhile.
    let status = observer.lock_status("a").unwrap().unwrap();
    assert_eq!((status.holders.len(), status.waiting), (0, 1));
    let said = format!("'a' and 'b': not all of the locks are free; 'b' is held by {}", observer.connection_name());
    run(&mut server.lock(&["-n", "a", "b"], &["true"])).expect_failure(75, &said);
    for (limit, said) in [
        (["-w", "0.02"], "'a' and 'b': timed out waiting for the locks;"),
        (["-q", "1"], "'a' and 'b': the queue of one of the locks is full;"),
    ] {
        run(&mut server.lock(&[&limit[..], &["a", "b"]].concat(), &["true"])).expect_failure(75, said);
    }

    guard.release().unwrap();
    assert_eq!([program.line(), program.line()], ["a", "b"]);
    for name in ["a", "b"] {
        assert_eq!(observer.lock_status(name).unwrap().unwrap().holders.len(), 1, "{name}");
        run(&mut server.lock(&["-n", name], &["true"])).expect_failure(75, "the lock is not free");
    }
    drop(program.take_input());
    assert!(program.end().expect_success().is_empty());
    assert!(observer.locks().unwrap().is_empty());
    // Options may stand between names, which may look like options.
    assert_eq!(
        run(&mut server.officer("lock", &["a", "-n", "b", "--", "sh", "-c", "echo $OFFICER_LOCK"])).expect_success(),
        ["a b"]
    );
    assert_eq!(
        run(&mut server.officer("lock", &["--", "-a", "-b", "--", "sh", "-c", "echo $OFFICER_LOCK"])).expect_success(),
        ["-a -b"]
    );
}

#[test]
fn any_takes_one_of_the_names_and_says_which() {
    let server = Server::tcp(&[]);
    let names = ["--any", "arena:1", "arena:2", "arena:3"];
    let mut programs: Vec<_> = Vec::new();
    for name in &names[1..] {
        let program = Program::start(&mut server.lock(&names, &TELL));
        assert_eq!(program.line(), *name);
        programs.push(program);
    }
    let no_wait = [&["-n"], &names[..]].concat();
    run(&mut server.lock(&no_wait, &["true"]))
        .expect_failure(75, "'arena:1', 'arena:2' or 1 more: none of the locks is");
    let last = Program::start(&mut server.lock(&[&["-v"], &names[..]].concat(), &TELL[..]));
    let said = last.said();
    assert!(said.contains("waiting for 'arena:1', 'arena:2' or 1 more, 'arena:1' is held by "), "{said}");
    drop(programs[1].take_input());
    assert_eq!(last.line(), "arena:2");
    let said = last.said();
    assert!(said.starts_with("officer: acquired 'arena:2' after "), "{said}");
}

#[test]
fn shared_locks_are_held_together_and_units_up_to_their_number() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let readers = [(); 2].map(|()| Program::start(&mut server.lock(&["--shared", "map"], &TELL)));
    readers.iter().for_each(|reader| assert_eq!(reader.line(), "map"));
    run(&mut server.lock(&["-n", "map"], &["true"])).expect_failure(75, "the lock is not free");
    let units = [(); 2].map(|()| Program::start(&mut server.lock(&["--slots", "2", "licence"], &TELL)));
    units.iter().for_each(|unit| assert_eq!(unit.line(), "licence"));
    run(&mut server.lock(&["-n", "--slots", "2", "licence"], &["true"])).expect_failure(75, "the lock is not free");
    run(&mut server.lock(&["--slots", "3", "licence"], &["true"])).expect_failure(69, "give the same --slots");
    assert_eq!((observer.locks().unwrap()["map"].len(), observer.locks().unwrap()["licence"].len()), (2, 2));
}

#[test]
fn a_higher_priority_is_served_first_and_a_label_says_what_for() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let guard = observer.lock("x").unwrap();
    let low = Program::start(&mut server.lock(&["x"], &TELL));
    wait_for_count(&observer, "x", 2);
    let high = Program::start(&mut server.lock(&["--priority", "7", "--label", "hot\tfix", "x"], &TELL));
    wait_for_count(&observer, "x", 3);
    guard.release().unwrap();
    assert_eq!(high.line(), "x");
    let status = observer.lock_status("x").unwrap().unwrap();
    assert_eq!((status.holders[0].label.as_deref(), status.waiting), (Some("hot\tfix"), 1));
    drop(high);
    assert_eq!(low.line(), "x");
}

#[test]
fn the_token_of_a_fence_rises_and_is_not_handed_on_without_one() {
    let server = Server::tcp(&[]);
    let show = ["sh", "-c", "echo ${OFFICER_TOKEN-none}"];
    let token = |name: &str| -> u64 {
        let lines = run(&mut server.lock(&["--fence", name], &show)).expect_success();
        lines[0].parse().expect("a number")
    };
    let tokens = ["x", "x", "y"].map(token);
    assert!(tokens[0] < tokens[1] && tokens[1] < tokens[2], "{tokens:?}");
    // That of an officer around this one is about another lock.
    let mut command = server.lock(&["x"], &show);
    assert_eq!(run(command.env("OFFICER_TOKEN", "17")).expect_success(), ["none"]);
}

#[test]
fn a_job_runs_once_in_a_period_on_any_number_of_machines() {
    let server = Server::tcp(&[]);
    let job = ["--no-wait", "--min-hold", "3600", "nightly"];
    assert_eq!(run(&mut server.lock(&job, &["echo", "ran"])).expect_success(), ["ran"]);
    let said = "officer: 'nightly': the lock is not free; it is closed for another 59m";
    run(&mut server.lock(&job, &["echo", "ran"])).expect_failure(75, said);
    // A shorter period ends by itself.
    let job = ["--min-hold", "0.2", "often"];
    assert_eq!(run(&mut server.lock(&job, &["echo", "ran"])).expect_success(), ["ran"]);
    assert_eq!(run(&mut server.lock(&job, &["echo", "ran"])).expect_success(), ["ran"]);
}

#[test]
fn a_lock_that_was_lost_stays_closed_for_a_while() {
    let server = Server::tcp(&[]);
    let program = Program::start(&mut server.lock(&["--lost-delay", "3600", "x"], &TELL));
    assert_eq!(program.line(), "x");
    program.signal(Signal::KILL);
    wait_for_count(&server.client(), "x", 0);
    run(&mut server.lock(&["-n", "x"], &["true"])).expect_failure(75, "it is closed for another 59m");
}

#[test]
fn what_does_not_go_together_is_told_before_anything_is_connected() {
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["--", "ls"]).collect();
    for (args, said) in [
        (&["a", "b", "a", "--", "ls"][..], "the lock 'a' is named twice"),
        (&many, "at most 64 locks can be taken together, these are 65"),
        (&["--slots", "2", "a", "b", "--", "ls"], "--slots can't be used with several names"),
        (&["--priority", "2", "a", "b", "--", "ls"], "--priority can't be used with several names"),
        (&["--min-hold", "2", "--any", "a", "b", "--", "ls"], "--min-hold can't be used with several names"),
        (&["--lost-delay", "2", "a", "b", "--", "ls"], "--lost-delay can't be used with several names"),
        (&["--slots", "2", "--shared", "a", "--", "ls"], "'--slots <COUNT>' cannot be used with '--shared'"),
        (&["--slots", "2", "--any", "a", "--", "ls"], "'--slots <COUNT>' cannot be used with '--any'"),
        (&["--min-hold", "2", "--shared", "a", "--", "ls"], "'--min-hold <SECONDS>' cannot be used with '--shared'"),
        (&["--lost-delay", "2", "--slots", "2", "a", "--", "ls"], "cannot be used with '--slots <COUNT>'"),
        (&["--slots", "0", "a", "--", "ls"], "must be from 1 to 2147483648"),
        (&["--priority", "8", "a", "--", "ls"], "must be from 0 to 7"),
        (&["--lease", "0", "a", "--", "ls"], "must be more than 0 seconds"),
        (&["--min-hold", "86401", "a", "--", "ls"], "must be at most 86400 seconds"),
        (&["a", "", "--", "ls"], "the name of a lock is not empty"),
        (&["--label", &"x".repeat(129), "a", "--", "ls"], "a label has at most 128 bytes, this has 129"),
        (&["a", "b", "ls"], "the command to run goes after '--'"),
    ] {
        run(officer(&[&["lock", "-h", "127.0.0.1", "-p", "1"], args].concat()).env("PATH", "")).expect_failure(2, said);
    }
}
