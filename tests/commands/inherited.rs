//! `officer lock`: what the command inherits, and which commands the system can run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::directory::Directory;
use crate::support::program::run;
use crate::support::server::{PROGRAM, Server, forget_options};
use crate::support::skip::skipped;
use crate::wait_for_count;

/// A file that can be run. Not written by us: a process that another test starts just then would have it open.
fn script(directory: &Directory, name: &str, text: &str) -> PathBuf {
    let (source, file) = (directory.file("source"), directory.file(name));
    fs::write(&source, text).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("cp").arg("-p").arg(&source).arg(&file).status().unwrap().success());
    file
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn signals_that_the_caller_ignores_are_ignored_by_the_command_and_no_others() {
    let server = Server::tcp(&[]);
    let ignored = |signals: &str| {
        let mut command = Command::new("env");
        command.arg(format!("--ignore-signal={signals}")).args([PROGRAM, "lock"]).args(server.options());
        forget_options(&mut command);
        let end = run(command.args(["x", "--", "grep", "SigIgn", "/proc/self/status"]));
        if end.code() == 125 {
            skipped("this machine's env can't ignore signals");
            return None;
        }
        let printed = end.expect_success();
        Some(u64::from_str_radix(printed[0].split_whitespace().nth(1).unwrap(), 16).unwrap())
    };
    // Those that nobody can use are left out.
    let mask = 0x7fff_ffff;
    for (name, number) in [("PIPE", 13), ("CHLD", 17), ("HUP", 1), ("TERM", 15), ("WINCH", 28)] {
        let Some(ignored) = ignored(name) else { return };
        assert_eq!(ignored & mask, 1 << (number - 1), "{name}");
    }
}

#[test]
fn a_script_without_a_first_line_that_says_so_is_run_by_a_shell() {
    let server = Server::tcp(&[]);
    let directory = Directory::new();
    let file = script(&directory, "deploy", "echo \"ran with $1\"\n");
    assert_eq!(run(&mut server.lock(&["x"], &[text(&file), "a b"])).expect_success(), ["ran with a b"]);
    let mut found = server.lock(&["x"], &["deploy", "a b"]);
    found.env("PATH", format!("{}:{}", text(&directory.file("")), std::env::var("PATH").unwrap()));
    assert_eq!(run(&mut found).expect_success(), ["ran with a b"]);
}

#[test]
fn a_script_whose_interpreter_is_missing_is_not_said_to_be_missing_itself() {
    let server = Server::tcp(&[]);
    let directory = Directory::new();
    for (line, said) in [
        ("#!/no/such/interpreter", "its first line names '/no/such/interpreter', which does not exist"),
        ("#! /no/such/interpreter -x\necho", "its first line names '/no/such/interpreter', which does not exist"),
        // As an editor of Windows leaves it.
        ("#!/bin/sh\r\necho", r"its first line names '/bin/sh\r', which does not exist"),
    ] {
        let file = script(&directory, "script", line);
        run(&mut server.lock(&["x"], &[text(&file)])).expect_failure(126, said);
        let mut found = server.lock(&["x"], &["script"]);
        found.env("PATH", directory.file(""));
        run(&mut found).expect_failure(126, said);
    }
    run(&mut server.lock(&["x"], &[text(&directory.file("none"))])).expect_failure(127, "can't be started");
    // A directory is not what is looked for.
    let mut found = server.lock(&["x"], &["directory"]);
    fs::create_dir(directory.file("directory")).unwrap();
    found.env("PATH", directory.file(""));
    run(&mut found).expect_failure(126, "'directory' can't be started");
    wait_for_count(&server.client(), "x", 0);
}
