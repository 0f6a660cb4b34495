//! Every command, where there is no server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use rustix::process::Signal;

use crate::support::directory::Directory;
use crate::support::program::run;
use crate::support::server::Server;
use crate::support::server::officer;

/// Each command, with these options.
#[track_caller]
fn every_command_fails(options: &[&str], said: &str) {
    for args in [
        &["lock", "x", "--", "echo", "ran"][..],
        &["locks"],
        &["locks", "--json"],
        &["connections"],
        &["kick", "127.0.0.1:1"],
        &["ping"],
        &["top", "--once"],
    ] {
        let args = [&args[..1], options, &args[1..]].concat();
        run(&mut officer(&args)).expect_failure(69, said);
    }
}

/// A server of another kind, on a port of its own, that says this and closes.
fn stranger(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(says.as_bytes());
        }
    });
    port
}

#[test]
fn a_server_that_is_down_is_told() {
    // Nobody else listens there, so the port stays free.
    let port = TcpListener::bind("127.67.89.10:0").unwrap().local_addr().unwrap().port().to_string();
    every_command_fails(&["-h", "127.67.89.10", "-p", &port], "start a server there with 'officer run', or say where");
}

#[test]
fn a_socket_file_that_is_not_there_is_told() {
    let directory = Directory::new();
    let file = directory.file("none.sock");
    let file = file.to_str().unwrap();
    every_command_fails(&["-o", "UNIX", "-f", file], &format!("no connection to {file}: "));
}

#[test]
fn a_host_that_is_not_there_is_told() {
    every_command_fails(&["-h", "no such host", "-p", "1"], "no connection to no such host:1: ");
}

#[test]
fn a_server_of_another_kind_is_told() {
    let port = stranger("HTTP/1.1 400 Bad Request\r\n\r\n");
    every_command_fails(
        &["-p", &port],
        &format!("127.0.0.1:{port} is no Officer server, check the address; it sent: HTTP"),
    );
    let port = stranger("{\"result\":\"pong\"}\n");
    every_command_fails(&["-p", &port], "is no Officer server");
    let port = stranger("\x1b[2J\n");
    every_command_fails(&["-p", &port], r"\u{1b}[2J");
    let port = stranger("");
    every_command_fails(&["-p", &port], "no connection to");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_longer_than_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    every_command_fails(&["-p", &port, "--connect-timeout", "0.05"], "the server does not answer; check that");
}

#[test]
fn a_server_without_room_refuses() {
    let server = Server::tcp(&["--connections-max", "1"]);
    let _client = server.client();
    every_command_fails(&server.options(), "too_many_connections); try again later");
}

#[test]
fn a_server_that_stands_still_is_not_alive() {
    let server = Server::tcp(&[]);
    server.signal(Signal::STOP);
    let end = run(&mut server.officer("ping", &["--connect-timeout", "0.05"]));
    server.signal(Signal::CONT);
    end.expect_failure(69, "the server does not answer");
}
