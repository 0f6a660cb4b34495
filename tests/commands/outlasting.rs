//! `officer lock --session`: the lock outlives the connection.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use officer::client::Client;
use rustix::process::Signal;

use crate::support::address::own_host;
use crate::support::lines::LineReader;
use crate::support::patience::eventually;
use crate::support::program::{Program, is_alive, run};
use crate::support::proxy::Proxy;
use crate::support::server::{Server, officer};
use crate::{count_on, wait_for_count};

/// Does not care about SIGTERM, and says which process it is.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 0.01; done";

/// `officer lock`, through the network.
fn lock_through(proxy: &Proxy, args: &[&str], command: &[&str]) -> Command {
    let (_, port) = proxy.address().split_once(':').unwrap();
    officer(&[&["lock", "-p", port], args, &["--"], command].concat())
}

/// Waits until there are this many sessions, and this many of them have no connection.
#[track_caller]
fn wait_for_sessions(observer: &Client, all: u64, detached: u64) {
    eventually("there are as many sessions", || {
        let stats = observer.stats().unwrap();
        (stats.sessions, stats.detached_sessions) == (all, detached)
    });
}

#[test]
fn the_command_and_its_lock_survive_a_break_of_the_network() {
    let server = Server::tcp(&[]);
    let (observer, proxy) = (server.client(), Proxy::new(&server.client_address()));
    let script = "echo ready; read line; echo $line";
    let mut program = Program::start(&mut lock_through(&proxy, &["-v", "--session=300", "x"], &["sh", "-c", script]));
    assert_eq!(program.line(), "ready");
    assert!(program.said().starts_with("officer: acquired 'x' after "));
    for _ in 0..2 {
        proxy.set_down(true);
        let said = program.said();
        assert!(said.starts_with("officer: the connection was lost: "), "{said}");
        assert!(said.ends_with("; connecting again while the session lasts"), "{said}");
        wait_for_sessions(&observer, 1, 1);
        assert_eq!(observer.locks().unwrap()["x"], ["session:1"]);
        proxy.set_down(false);
        let said = program.said();
        assert!(said.starts_with("officer: connected again after ") && said.ends_with("; still holding 'x'"), "{said}");
        wait_for_sessions(&observer, 1, 0);
    }
    program.input("done\n");
    assert_eq!(program.line(), "done");
    assert!(program.said().starts_with("officer: released 'x' after "));
    assert_eq!(program.end().expect_success(), [""; 0]);
    wait_for_sessions(&observer, 0, 0);
    assert_eq!(count_on(&observer, "x"), 0);
}

#[test]
fn a_wait_survives_it_too_and_what_is_granted_meanwhile() {
    let server = Server::tcp(&[]);
    let (holder, proxy) = (server.client(), Proxy::new(&server.client_address()));
    let guard = holder.lock("x").unwrap();
    let program = Program::start(&mut lock_through(&proxy, &["--session", "x"], &["echo", "ran"]));
    wait_for_count(&holder, "x", 2);
    proxy.set_down(true);
    wait_for_sessions(&holder, 1, 1);
    guard.release().unwrap();
    assert_eq!(holder.locks().unwrap()["x"], ["session:1"]);
    proxy.set_down(false);
    assert_eq!(program.end().expect_success(), ["ran"]);
    wait_for_sessions(&holder, 0, 0);
}

#[test]
fn a_wait_that_timed_out_meanwhile_is_a_conflict() {
    let server = Server::tcp(&[]);
    let (holder, proxy) = (server.client(), Proxy::new(&server.client_address()));
    let _guard = holder.lock("x").unwrap();
    let program = Program::start(&mut lock_through(&proxy, &["--session", "-w", "3", "x"], &["echo", "ran"]));
    wait_for_count(&holder, "x", 2);
    proxy.set_down(true);
    wait_for_count(&holder, "x", 1);
    proxy.set_down(false);
    program.end().expect_failure(75, "timed out waiting for the lock");
}

#[test]
fn the_command_ends_while_its_session_surely_goes_on() {
    let server = Server::tcp(&[]);
    let (observer, proxy) = (server.client(), Proxy::new(&server.client_address()));
    let program = Program::start(&mut lock_through(&proxy, &["--session=8", "-k", "1", "x"], &["sh", "-c", STUBBORN]));
    let command = program.line();
    proxy.set_down(true);
    eventually("the command is killed", || !is_alive(&command));
    assert_eq!(count_on(&observer, "x"), 1, "the session still holds it");
    program.end().expect_failure(73, "the lock 'x' was lost while the command ran");
    wait_for_count(&observer, "x", 0);
}

#[test]
fn it_survives_no_restart_of_the_server() {
    for is_started_again in [false, true] {
        let host = own_host().to_string();
        let server = Server::tcp(&["-h", &host]);
        let port = server.port();
        let args = ["--session=3", "-k", "0.1", "x"];
        let program = Program::start(&mut server.lock(&args, &["sh", "-c", STUBBORN]));
        let command = program.line();
        server.signal(Signal::KILL);
        drop(server);
        let _server = is_started_again.then(|| Server::tcp(&["-h", &host, "-p", &port]));
        program.end().expect_failure(73, "the lock 'x' was lost while the command ran");
        assert!(!is_alive(&command));
    }
}

#[test]
fn whoever_kicks_the_session_ends_the_command_at_once() {
    let server = Server::tcp(&[]);
    let program = Program::start(&mut server.lock(&["--session=300", "x"], &["sh", "-c", "echo ready; exec cat"]));
    assert_eq!(program.line(), "ready");
    run(&mut server.officer("kick", &["session:1"])).expect_success();
    program.end().expect_failure(73, "the lock 'x' was lost while the command ran");
}

#[test]
fn the_session_ends_with_the_wait_however_that_ends() {
    let server = Server::tcp(&[]);
    let holder = server.client();
    let _guard = holder.lock("x").unwrap();
    let lock = |args: &[&str]| server.lock(&[args, &["--session=300", "x"]].concat(), &["echo", "ran"]);
    for args in [&["-n"][..], &["-w", "0.01"], &["-q", "1"]] {
        run(&mut lock(args)).expect_failure(75, "'x': ");
        wait_for_sessions(&holder, 0, 0);
    }
    for signal in [Signal::INT, Signal::TERM] {
        let program = Program::start(&mut lock(&[]));
        wait_for_count(&holder, "x", 2);
        program.signal(signal);
        assert_eq!(program.end().status.signal(), Some(signal.as_raw()));
        wait_for_sessions(&holder, 0, 0);
        wait_for_count(&holder, "x", 1);
    }
}

#[test]
fn a_server_without_room_or_without_sessions_is_told_before_the_command_starts() {
    let server = Server::tcp(&["--sessions-max", "1"]);
    let mut first = Program::start(&mut server.lock(&["--session", "x"], &["sh", "-c", "echo ready; exec cat"]));
    assert_eq!(first.line(), "ready");
    run(&mut server.lock(&["--session", "y"], &["echo", "ran"])).expect_failure(69, "too_many_sessions");
    drop(first.take_input());
    first.end().expect_success();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let program = Program::start(&mut officer(&["lock", "-p", &port, "--session", "x", "--", "echo", "ran"]));
    let mut lines = LineReader::new(listener.accept().unwrap().0);
    assert!(!lines.line().contains("session"));
    writeln!(lines.socket_mut(), r#"{{"result":"hello","connection":"me","features":["owner"]}}"#).unwrap();
    program.end().expect_failure(69, "the server does not support 'session'");
}

#[test]
fn times_that_make_no_sense_are_refused() {
    let refused = |args: &[&str], said: &str| {
        run(&mut officer(&[&["lock"], args, &["--", "echo", "ran"]].concat())).expect_failure(2, said);
    };
    refused(&["--session=0.5", "x"], "must be from 1 to 300 seconds");
    refused(&["--session=301", "x"], "must be from 1 to 300 seconds");
    refused(&["--session=30", "-k", "21", "x"], "with a --session of 30 seconds --kill-after is at most 20");
    // A blank in place of the '='.
    refused(&["--session", "60", "x"], "as in --session=60");
}
