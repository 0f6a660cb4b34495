//! `officer lock`, when stderr takes nothing: a pipe that nobody reads, or a terminal after Ctrl-S.

use std::io::{PipeReader, Read, Write, pipe};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::process::Signal;
use rustix::termios::{Action, tcflow};

use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive};
use crate::support::server::Server;
use crate::support::terminal::on_a_terminal;
use crate::{count_on, wait_for_count};

/// Starts a program whose stderr is a pipe with no room left. The pipe is open for as long as its reader is kept.
fn start_with_full_pipe(command: &mut Command) -> (Program, PipeReader) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    for bytes in [4096, 1] {
        while writer.write(&vec![b'x'; bytes]).is_ok() {}
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (Program::start_with_stderr(command, Stdio::from(writer)), reader)
}

#[test]
fn a_command_that_has_lost_its_lock_is_ended_whether_or_not_that_can_be_said() {
    let server = Server::tcp(&[]);
    let script = "echo $$; exec cat 2> /dev/null";
    let (program, _reader) = start_with_full_pipe(&mut server.lock(&["x"], &["sh", "-c", script]));
    let command = program.line();
    server.signal(Signal::KILL);
    eventually("the command ends", || !is_alive(&command));
    // It waits for somebody to read why, but not for ever.
    program.signal(Signal::TERM);
    assert_eq!(program.end().code(), 73);
}

#[test]
fn the_reason_of_a_loss_is_said_as_soon_as_there_is_room_for_it() {
    let server = Server::tcp(&[]);
    let script = "echo $$; exec cat 2> /dev/null";
    let (program, mut reader) = start_with_full_pipe(&mut server.lock(&["x"], &["sh", "-c", script]));
    let command = program.line();
    server.signal(Signal::KILL);
    eventually("the command ends", || !is_alive(&command));
    let mut said = String::new();
    // Until the program has ended.
    reader.read_to_string(&mut said).unwrap();
    assert!(said.contains("the lock 'x' was lost while the command ran"));
    assert_eq!(program.end().code(), 73);
}

#[test]
fn a_command_is_started_and_its_lock_released_whether_or_not_that_can_be_said() {
    let server = Server::tcp(&[]);
    let observer = server.client();
    let script = "echo started; exec cat 2> /dev/null";
    let (mut program, _reader) = start_with_full_pipe(&mut server.lock(&["-v", "x"], &["sh", "-c", script]));
    assert_eq!(program.line(), "started");
    drop(program.take_input());
    assert_eq!(program.end().code(), 0);
    assert_eq!(count_on(&observer, "x"), 0);
}

#[test]
fn a_lock_is_free_again_before_it_is_said_that_the_command_can_not_be_started() {
    let server = Server::tcp(&["-l", "debug"]);
    let observer = server.client();
    let (program, _reader) = start_with_full_pipe(&mut server.lock(&["x"], &["no such command"]));
    server.log().wait_for(r#""result":"acquired""#);
    wait_for_count(&observer, "x", 0);
    program.signal(Signal::TERM);
    assert_eq!(program.end().code(), 127);
}

#[test]
fn a_signal_ends_a_wait_whose_messages_nobody_reads() {
    let server = Server::tcp(&["-l", "debug"]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let (program, _reader) = start_with_full_pipe(&mut server.lock(&["-v", "x"], &["echo", "ran"]));
    // It has asked who is ahead, and is about to say so.
    server.log().wait_for(r#""detail":true"#);
    wait_for_count(&holder, "x", 2);
    program.signal(Signal::TERM);
    assert_eq!(program.end().status.signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn a_terminal_that_is_held_holds_up_nothing() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let guard = holder.lock("x").unwrap();
    // Without its output the command shows by another lock that it runs.
    let options = server.options().join(" ");
    let officer = crate::support::server::PROGRAM;
    let line = format!("exec {officer} lock {options} x -- {officer} lock {options} y -- cat");
    let Some(mut command) = on_a_terminal(&line) else { return };
    let program = Program::start(&mut command);
    assert_eq!(program.line(), "officer: waiting for 'x' for 1s\x1b[K");
    let (_, lock) = holder.locks_with_detail("x").next().unwrap().unwrap();
    let client = lock.waiters[0].client.clone().unwrap();
    let terminal = format!("/proc/{}/fd/2", client.split('@').next().unwrap());
    let terminal = rustix::fs::open(terminal, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    // As Ctrl-S does it.
    tcflow(&terminal, Action::OOff).unwrap();
    guard.release().unwrap();
    wait_for_count(&holder, "y", 1);
    let inner = holder.locks().unwrap()["x"][0].clone();
    assert_eq!(holder.kick(&inner), Ok(true));
    wait_for_count(&holder, "y", 0);
}
