//! The options that say where the server is, for every command alike.

use std::process::Command;

use crate::support::address::{free_port, own_host};
use crate::support::directory::Directory;
use crate::support::program::run;
use crate::support::server::{Server, officer};

/// A command of each kind, without what says where the server is.
const COMMANDS: [&[&str]; 7] = [
    &["ping"],
    &["lock", "x", "--", "true"],
    &["locks"],
    &["connections"],
    &["top", "--once"],
    &["kick", "127.0.0.1:1"],
    &["bench", "pair", "--pairs", "1", "--warm-up", "0"],
];

/// The command with options right after its name.
fn with_options(command: &[&str], options: &[&str]) -> Command {
    let name = if command[0] == "bench" { 2 } else { 1 };
    officer(&[&command[..name], options, &command[name..]].concat())
}

/// Runs every command with these options and variables. Each has to reach the server.
#[track_caller]
fn every_command_reaches_it(options: &[&str], variables: &[(&str, &str)]) {
    for command in COMMANDS {
        let end = run(with_options(command, options).envs(variables.iter().copied()));
        // The server says that there is no such connection.
        let expected = if command[0] == "kick" { 1 } else { 0 };
        assert_eq!(end.code(), expected, "{command:?} {end:?}");
    }
}

/// An address on which nobody listens, and its port.
fn dead() -> (String, String) {
    let host = own_host();
    (host.to_string(), free_port(host).to_string())
}

#[test]
fn a_socket_file_on_the_command_line_means_unix() {
    let server = Server::unix(&[]);
    let file = server.file().to_str().unwrap();
    let (host, port) = dead();
    let elsewhere = [("OFFICER_HOST", host.as_str()), ("OFFICER_PORT", &port), ("OFFICER_SOCKET_TYPE", "TCP")];
    every_command_reaches_it(&["-f", file], &elsewhere);
    every_command_reaches_it(&["-o", "unix", "-f", file], &elsewhere);
    every_command_reaches_it(&[], &[("OFFICER_SOCKET_TYPE", "UNIX"), ("OFFICER_SOCKET_FILE", file)]);
}

#[test]
fn a_socket_file_in_the_environment_alone_does_not() {
    let server = Server::tcp(&[]);
    let [_, host, _, port] = server.options()[..] else { panic!("a host and a port") };
    let file = ("OFFICER_SOCKET_FILE", "/no/such/directory/officer.sock");
    every_command_reaches_it(&[], &[("OFFICER_HOST", host), ("OFFICER_PORT", port), file]);
}

#[test]
fn a_host_or_port_on_the_command_line_means_tcp() {
    let server = Server::tcp(&[]);
    let [_, host, _, port] = server.options()[..] else { panic!("a host and a port") };
    let unix = [("OFFICER_SOCKET_TYPE", "UNIX"), ("OFFICER_SOCKET_FILE", "/no/such/directory/officer.sock")];
    every_command_reaches_it(&["-h", host, "-p", port], &unix);
    every_command_reaches_it(&["-p", port], &unix);
    let with_port = [unix[0], unix[1], ("OFFICER_PORT", port)];
    every_command_reaches_it(&["-h", host], &with_port);
}

#[test]
fn a_server_goes_by_the_same_rules() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let file = file.to_str().unwrap();
    let server = Server::start(&mut officer(&["run", "-f", file]));
    assert_eq!(server.file().to_str(), Some(file));
    let unix = [("OFFICER_SOCKET_TYPE", "UNIX"), ("OFFICER_SOCKET_FILE", "/no/such/directory/officer.sock")];
    Server::start(officer(&["run", "-p", "0"]).envs(unix)).port();
    Server::start(officer(&["run"]).envs([("OFFICER_PORT", "0"), unix[1]])).port();
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let servers: [&[&str]; 3] = [&["run"], &["start"], &["restart"]];
    for command in COMMANDS.into_iter().chain(servers) {
        for (options, said) in [
            (&["-o", "TCP", "-f", "x"][..], "--socket-file is for the socket type UNIX, not for TCP"),
            (&["-o", "UNIX", "-p", "1"], "--port is for the socket type TCP, not for UNIX"),
            (&["-f", "x", "-o", "UNIX", "-h", "::1"], "--host is for the socket type TCP, not for UNIX"),
            (&["-f", "x", "-h", "db1"], "--host is for TCP, --socket-file for a UNIX socket; leave one of them out"),
            (&["-p", "1", "-f", "x"], "--port is for TCP, --socket-file for a UNIX socket; leave one of them out"),
        ] {
            run(&mut with_options(command, options)).expect_failure(2, said);
        }
    }
}

#[test]
fn an_address_of_ipv6_may_stand_in_brackets() {
    let Some(server) = Server::ipv6(&[]) else { return };
    let port = server.port();
    every_command_reaches_it(&["-h", "[::1]", "-p", &port], &[]);
    every_command_reaches_it(&["-h", "::1", "-p", &port], &[]);
    every_command_reaches_it(&[], &[("OFFICER_HOST", "[::1]"), ("OFFICER_PORT", &port)]);
}

#[test]
fn what_kubernetes_puts_into_the_variable_for_the_port_is_ignored_with_a_word() {
    const SAID: &str = "officer: OFFICER_PORT is 'tcp://10.0.0.3:11500', as Kubernetes sets it for a service called \
                        officer: ignored, the port is 11500; ";
    let link = ("OFFICER_PORT", "tcp://10.0.0.3:11500");
    let host = own_host().to_string();
    let server = Server::start(officer(&["run", "-h", &host]).env(link.0, link.1));
    assert_eq!(server.options(), ["-h", &host, "-p", "11500"]);
    server.log().wait_for(SAID);
    for command in COMMANDS {
        let end = run(with_options(command, &["-h", &host]).env(link.0, link.1));
        let said: Vec<_> = end.stderr.iter().filter(|line| line.starts_with(SAID)).collect();
        assert_eq!(said.len(), 1, "{end:?}");
    }
    // Whoever gives a port has it.
    let end = run(officer(&["ping", "-h", &host, "-p", "11500"]).env(link.0, link.1));
    assert_eq!(end.expect_success().len(), 1);
    let end = run(officer(&["ping", "-f", "/no/such/directory/officer.sock"]).env(link.0, link.1));
    end.expect_failure(69, "no connection to /no/such/directory/officer.sock");
    run(&mut officer(&["ping", "-p", link.1])).expect_failure(2, "not a port number from 0 to 65535");
}

#[test]
fn what_cannot_be_seen_in_a_value_is_shown() {
    for (variable, value, said) in [
        ("OFFICER_PORT", "11500\r", r"invalid value '11500\r' for '--port <PORT>'"),
        ("OFFICER_SOCKET_TYPE", "UNIX\r", r"invalid value 'UNIX\r' for '--socket-type <TYPE>'"),
        ("OFFICER_HOST", "127.0.0.1\r", r"the host "),
        ("OFFICER_LOG_LEVEL", "info\n", r"invalid value 'info\n' for '--log-level <LEVEL>'"),
        ("OFFICER_STATS", "true\u{200b}", r"invalid value 'true\u{200b}' for '--stats"),
        ("OFFICER_MAX_IDLE", "60\r", r"invalid value '60\r' for '--max-idle <SECONDS>'"),
        ("OFFICER_LINE_BYTES_MAX", "100\t", r"invalid value '100\t' for '--line-bytes-max <BYTES>'"),
        ("OFFICER_SOCKET_MODE", "0600\r", r"invalid value '0600\r' for '--socket-mode <MODE>'"),
    ] {
        let end = run(officer(&["run"]).env(variable, value));
        let code = if variable == "OFFICER_HOST" { 1 } else { 2 };
        end.expect_failure(code, said);
        let shown = value.escape_default().to_string();
        assert!(end.stderr[0].contains(&shown), "{end:?}");
    }
    run(&mut officer(&["ping", "-h", "127.0.0.1\r"])).expect_failure(69, r"no connection to 127.0.0.1\r:11500: ");
    run(&mut officer(&["ping", "-f", "/tmp/none\r"])).expect_failure(69, r"no connection to /tmp/none\r: ");
    run(&mut officer(&["ping\r"])).expect_failure(2, r"unrecognized subcommand 'ping\r'");
    run(&mut officer(&["ping", "now\u{202e}"])).expect_failure(2, r"unexpected argument 'now\u{202e}'");
}

#[test]
fn a_value_that_is_not_utf_8_is_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let bad = OsStr::from_bytes(b"db\xff1");
    let said = r#"invalid UTF-8 in OFFICER_HOST in the environment: "db\xFF1""#;
    run(officer(&["ping"]).env("OFFICER_HOST", bad)).expect_failure(2, said);
    run(officer(&["ping", "-h"]).arg(bad)).expect_failure(2, r#"invalid UTF-8 in the argument "db\xFF1""#);
}
