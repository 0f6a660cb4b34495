//! Options: flags, environment, help and errors.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::address::own_host;
use crate::support::client::Address;
use crate::support::directory::Directory;
use crate::support::server::{Server, officer, run};

fn stdout_of(args: &[&str]) -> String {
    let output = run(&mut officer(args));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_and_version_are_printed() {
    assert_eq!(stdout_of(&["--version"]), concat!("officer ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(stdout_of(&["--help"]).contains("run"));
    for args in [&["run", "--help"][..], &["run", "--", "--help"], &["help", "run"]] {
        let help = stdout_of(args);
        for option in ["-h, --host", "-p, --port", "-o, --socket-type", "-f, --socket-file", "-l, --log-level"] {
            assert!(help.contains(option), "{option} is missing: {help}");
        }
        for option in ["-s, --stats", "-m, --max-idle", "--socket-mode", "--help", "OFFICER_PORT"] {
            assert!(help.contains(option), "{option} is missing: {help}");
        }
    }
}

#[test]
fn only_a_server_is_offered_a_free_port() {
    for command in ["run", "start", "restart", "lock", "locks", "ping"] {
        let is_server = ["run", "start", "restart"].contains(&command);
        let help = stdout_of(&[command, "--help"]);
        let text = help.lines().find(|line| line.contains("TCP port")).unwrap_or_else(|| panic!("{help}"));
        assert_eq!(text.contains("; 0 picks a free one"), is_server, "{command}: {text}");
    }
}

/// The long names of all options, as the help lists them.
fn long_names() -> Vec<String> {
    let help = stdout_of(&["run", "--help"]);
    let lines = help.lines().map(|line| line.trim_start().trim_start_matches(|c: char| c != '-'));
    let names = lines.filter_map(|line| {
        let line = line.strip_prefix("--").or_else(|| line.split_once(", --").map(|(_, name)| name))?;
        Some(line.split([' ', '=']).next()?.to_owned())
    });
    // A check is not a setting.
    names.filter(|name| !["help", "version", "check"].contains(&name.as_str())).collect()
}

#[test]
fn each_option_can_come_from_the_environment() {
    let names = long_names();
    assert!(names.len() > 20, "{names:?}");
    let too_long = "x".repeat(1025);
    for name in names {
        let variable = format!("OFFICER_{}", name.to_ascii_uppercase().replace('-', "_"));
        let (value, part, status) = match name.as_str() {
            // Those that accept any text fail in other ways.
            "host" => ("no such host", "the host \"no such host\" can't be resolved".to_owned(), 1),
            "log-file" => ("/no/such/file", "the log file \"/no/such/file\" can't be written".to_owned(), 1),
            "state-dir" => ("/no/such/dir", "there is no directory \"/no/such/dir\"".to_owned(), 1),
            // What they need is missing.
            "tls-cert" => ("server.pem", "arguments were not provided: --tls-key".to_owned(), 2),
            "tls-key" => ("server.key.pem", "arguments were not provided: --tls-cert".to_owned(), 2),
            "tls-client-ca" => ("ca.pem", "arguments were not provided: --tls-key <PATH> --tls-cert".to_owned(), 2),
            "metrics-prefix" => (too_long.as_str(), "no name is longer than 1024 bytes".to_owned(), 2),
            "users" => ("/no/such/users", "there is no users file \"/no/such/users\"".to_owned(), 1),
            "socket-file" => ("/no/such/file", "there is no directory \"/no/such\"".to_owned(), 1),
            _ => ("so much", format!("the value is that of {variable} in the environment"), 2),
        };
        let args: &[&str] = match name.as_str() {
            "socket-file" => &["run", "-o", "UNIX"],
            // It is looked at after the address.
            "state-dir" => &["run", "-p", "0"],
            _ => &["run"],
        };
        let mut command = officer(args);
        let output = run(command.env(&variable, value));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{variable}: {stderr}");
        assert!(output.stdout.is_empty(), "{variable}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("officer: ") && stderr.contains(&part), "{variable}: {stderr}");
    }
}

#[test]
fn a_server_can_be_set_up_by_the_environment_alone() {
    let directory = Directory::new();
    let file = directory.file("from environment");
    let mut command = officer(&["run"]);
    command.env("OFFICER_SOCKET_TYPE", "UNIX").env("OFFICER_SOCKET_FILE", &file).env("OFFICER_SOCKET_MODE", "0640");
    command.env("OFFICER_MAX_IDLE", "0.5").env("OFFICER_LOG_LEVEL", "info").env("OFFICER_CONNECTION_LOCKS_MAX", "1");
    let server = Server::start(&mut command);
    assert_eq!(*server.address(), Address::Unix(file.clone()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
    let mut ann = server.connect();
    ann.acquire("one");
    assert_eq!(ann.ask(r#"{"command":"lock","name":"two"}"#)["reason"], "too_many_locks");
    ann.expect_end();
    server.log().wait_for("idle limit");
}

#[test]
fn a_flag_overrides_the_environment() {
    let mut command = officer(&["run", "-p", "0", "-h", "127.0.0.1", "-l", "error", "-m", "0", "-o", "TCP"]);
    command.env("OFFICER_PORT", "1").env("OFFICER_HOST", "127.0.0.9").env("OFFICER_LOG_LEVEL", "debug");
    command.env("OFFICER_MAX_IDLE", "0.01").env("OFFICER_SOCKET_TYPE", "UNIX");
    let server = Server::start(&mut command);
    assert!(matches!(server.address(), Address::Tcp(address) if address.ip().to_string() == "127.0.0.1"));
    let mut ann = server.connect();
    assert!(ann.is_silent_for(std::time::Duration::from_millis(100)));
    ann.acquire("db");
    assert_eq!(server.end(), Vec::<String>::new());
}

#[test]
fn the_separator_of_the_original_s_manual_has_no_effect() {
    let server = Server::start(&mut officer(&["run", "--", "-l", "debug", "-s", "-p", "0"]));
    server.connect().acquire("db");
    server.log().wait_for("\"acquired\"");
}

#[test]
#[cfg(target_os = "linux")]
fn the_port_is_11500_unless_another_is_given() {
    let host = own_host().to_string();
    let server = Server::start(&mut officer(&["run", "-h", &host]));
    assert_eq!(*server.address(), Address::Tcp(format!("{host}:11500").parse().unwrap()));
    server.connect().acquire("db");
}
