//! `officer lock` on a terminal.

use crate::support::program::Program;
use crate::support::server::PROGRAM;
use crate::support::server::Server;
use crate::support::terminal::on_a_terminal;
use crate::wait_for_count;

#[test]
fn a_line_shows_how_long_it_waits_and_is_erased() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let guard = holder.lock("x").unwrap();
    let line = format!("exec {PROGRAM} lock {} x -- echo ran", server.options().join(" "));
    let Some(mut command) = on_a_terminal(&line) else { return };
    let program = Program::start(&mut command);
    wait_for_count(&holder, "x", 2);
    assert_eq!(program.line(), "officer: waiting for 'x' for 1s\x1b[K");
    assert_eq!(program.line(), "officer: waiting for 'x' for 2s\x1b[K");
    guard.release().unwrap();
    let drawn = program.end().expect_success();
    assert_eq!(drawn.last().unwrap(), "\x1b[Kran", "{drawn:?}");
}

#[test]
fn the_line_tells_how_many_were_ahead() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let guard = holder.lock("x").unwrap();
    let first = Program::start(&mut server.lock(&["x"], &["true"]));
    wait_for_count(&holder, "x", 2);
    let line = format!("exec {PROGRAM} lock {} x -- echo ran", server.options().join(" "));
    let Some(mut command) = on_a_terminal(&line) else { return };
    let program = Program::start(&mut command);
    assert_eq!(program.line(), "officer: waiting for 'x', 1 was ahead, for 1s\x1b[K");
    guard.release().unwrap();
    first.end().expect_success();
    program.end().expect_success();
}

#[test]
fn ctrl_c_reaches_a_command_once() {
    let server = Server::tcp(&[]);
    let script = "trap \"echo got INT\" INT; echo ready; read line; echo read $line";
    let line = format!("exec {PROGRAM} lock {} x -- sh -c '{script}'", server.options().join(" "));
    let Some(mut command) = on_a_terminal(&line) else { return };
    let mut program = Program::start(&mut command);
    assert_eq!(program.line(), "ready");
    // In one piece: after a signal some shells read on, and some do not, and then there is nobody to type for.
    program.input("\x03\n");
    let end = program.end();
    let count = end.stdout.iter().filter(|line| line.ends_with("got INT")).count();
    assert_eq!(count, 1, "{end:?}");
}

#[test]
fn ctrl_c_ends_a_wait_and_the_loop_that_it_is_in() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let line = format!("for i in 1 2 3; do {PROGRAM} lock {} x -- echo ran; done", server.options().join(" "));
    let Some(mut command) = on_a_terminal(&line) else { return };
    let mut program = Program::start(&mut command);
    wait_for_count(&holder, "x", 2);
    program.input("\x03");
    let end = program.end();
    assert!(!end.status.success() && !end.stdout.join("\n").contains("ran"), "{end:?}");
    wait_for_count(&holder, "x", 1);
}
