//! `officer lock`, when all goes well with the lock: the command, its status, and what others see.

use crate::support::program::{Program, run, shell};
use crate::support::server::Server;
use crate::support::server::officer;
use crate::wait_for_count;

#[test]
fn the_status_is_that_of_the_command() {
    let server = Server::tcp(&[]);
    for (script, code) in
        [("true", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let end = run(&mut server.lock(&["x"], &["sh", "-c", script]));
        // Nobody has sent us a signal, so this is a status and no death.
        assert_eq!((end.status.code(), end.stderr.len()), (Some(code), 0), "{script}: {end:?}");
    }
}

#[test]
fn a_command_that_can_not_be_started_has_the_status_that_shells_give_it() {
    let server = Server::tcp(&[]);
    run(&mut server.lock(&["x"], &["no such command"])).expect_failure(127, "'no such command' can't be started");
    run(&mut server.lock(&["x"], &["/etc/passwd"])).expect_failure(126, "'/etc/passwd' can't be started");
    wait_for_count(&server.client(), "x", 0);
}

#[test]
fn a_command_line_that_is_wrong_is_told_in_one_line() {
    for (args, said) in [
        (&["x"][..], "<COMMAND>"),
        (&["x", "ls", "-l"], "the command to run goes after '--'"),
        (&["", "--", "ls"], "the name of a lock is not empty"),
        (&["--", "", "--", "ls"], "the name of a lock is not empty"),
        (&["--", "ls", "-l"], "the name of the lock is missing before '--'"),
        (&["--", "x", "--"], "the name of the lock is missing before '--'"),
        (&["--"], "<COMMAND>"),
        (&["-n", "-w", "5", "x", "--", "ls"], "'--no-wait' cannot be used with '--timeout <SECONDS>'"),
        (&["-w", "-1", "x", "--", "ls"], "invalid value '-1' for '--timeout <SECONDS>'"),
        (&["-E", "256", "x", "--", "ls"], "invalid value '256' for '--conflict-exit-code <STATUS>'"),
    ] {
        run(&mut officer(&[&["lock"], args].concat())).expect_failure(2, said);
    }
}

#[test]
fn a_name_that_looks_like_an_option_comes_after_a_separator() {
    let server = Server::tcp(&[]);
    for (args, printed) in [
        (&["--", "-x", "--", "sh", "-c", "echo $OFFICER_LOCK"][..], "-x"),
        (&["-n", "--", "--timeout", "--", "sh", "-c", "echo $OFFICER_LOCK"], "--timeout"),
        (&["--", "y", "--", "echo", "--", "-x"], "-- -x"),
        (&["y", "--", "echo", "-x", "--", "z"], "-x -- z"),
        // As with `flock`, and others that run commands.
        (&["-5", "--", "echo", "five"], "five"),
    ] {
        assert_eq!(run(&mut server.officer("lock", args)).expect_success(), [printed]);
    }
}

#[test]
fn the_command_has_the_name_of_the_lock_its_arguments_and_the_input() {
    for server in [Server::tcp(&[]), Server::unix(&[])] {
        let script = r#"printf '%s|' "$OFFICER_LOCK" "$@"; cat"#;
        let mut program =
            Program::start(&mut server.lock(&["boss:17 é"], &["sh", "-c", script, "-", "--", "-v", "a b"]));
        program.input("typed\n");
        drop(program.take_input());
        assert_eq!(program.end().expect_success(), ["boss:17 é|--|-v|a b|typed"]);
    }
}

#[test]
fn the_server_is_found_by_the_environment_as_well() {
    let server = Server::tcp(&[]);
    let options = server.options();
    let mut command = officer(&["lock", "x", "--", "echo", "held"]);
    command.env("OFFICER_HOST", options[1]).env("OFFICER_PORT", options[3]);
    assert_eq!(run(&mut command).expect_success(), ["held"]);
}

#[test]
fn the_lock_is_held_while_the_command_runs_and_free_when_it_has_ended() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let mut program = Program::start(&mut server.lock(&["x"], &["cat"]));
    wait_for_count(&observer, "x", 1);
    let (_, lock) = observer.locks_with_detail("x").next().unwrap().unwrap();
    let client = lock.holders[0].client.clone().unwrap();
    assert!(client.starts_with(&format!("{}@", program.id())) && client.ends_with(" cat"), "{client}");

    drop(program.take_input());
    assert!(program.end().expect_success().is_empty());
    // Not only soon: the release was answered.
    assert_eq!(observer.locks().unwrap().len(), 0);
}

#[test]
fn a_client_is_called_what_it_is_told() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let _program = Program::start(&mut server.lock(&["--client", "nightly backup", "x"], &["cat"]));
    wait_for_count(&observer, "x", 1);
    let (_, lock) = observer.locks_with_detail("x").next().unwrap().unwrap();
    assert_eq!(lock.holders[0].client.as_deref(), Some("nightly backup"));
}

#[test]
fn only_one_of_many_is_inside() {
    let server = Server::tcp(&[]);
    // A directory can be made only once, so two that are inside together fail.
    let directory = crate::support::directory::Directory::new();
    let inside = directory.file("inside");
    let script = format!("mkdir {0} && rmdir {0}", inside.display());
    let programs: Vec<_> = (0..20).map(|_| Program::start(&mut server.lock(&["x"], &["sh", "-c", &script]))).collect();
    for program in programs {
        program.end().expect_success();
    }
}

#[test]
fn locks_nest() {
    let server = Server::tcp(&[]);
    let options = server.options().join(" ");
    let line = format!(
        "officer lock {options} a -- {0} lock {options} b -- sh -c 'echo $OFFICER_LOCK'",
        crate::support::server::PROGRAM
    );
    assert_eq!(run(&mut shell(&line)).expect_success(), ["b"]);
}
