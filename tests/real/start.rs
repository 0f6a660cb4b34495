//! How the server starts, and why it may not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::support::address::own_host;
use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::server::{Server, officer, run};

/// The error of a server that does not start: one line on stderr, nothing on stdout, and a non-zero status.
pub(crate) fn fault(command: &mut Command, status: i32) -> String {
    let output = run(command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    assert!(stderr.starts_with("officer: ") && stderr.ends_with('\n'), "{stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

fn fault_of_file(path: &Path) -> String {
    fault(officer(&["run", "-o", "UNIX"]).env("OFFICER_SOCKET_FILE", path), 1)
}

#[test]
fn a_port_in_use_is_reported_and_its_owner_goes_on() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    let port = server.port();
    assert_eq!(
        fault(&mut officer(&["run", "-p", &port]), 1),
        format!("officer: 127.0.0.1:{port} is in use by another program; stop it or choose another port with --port")
    );
    assert_eq!(server.connect().locks(), json!({"db": [ann.name()]}));
}

#[test]
fn an_unusable_address_is_reported() {
    // An address reserved for documentation, and names that need no lookup.
    assert!(fault(&mut officer(&["run", "-h", "192.0.2.1"]), 1).contains("not an address of this machine"));
    assert!(fault(&mut officer(&["run", "-h", ""]), 1).contains("can't be resolved"));
    assert!(fault(&mut officer(&["run", "-h", "a\nb"]), 1).contains("can't be resolved"));
}

#[test]
fn a_bad_command_line_is_reported_in_one_line() {
    for (args, part) in [
        (&[][..], "'officer --help'"),
        (&["rum"], "'rum'"),
        (&["run", "--prot", "1"], "'--port'"),
        (&["run", "-x"], "'-x'"),
        (&["run", "11500"], "'11500'"),
        (&["run", "-p"], "a value is required"),
        (&["run", "-p", "65536"], "'65536'"),
        (&["run", "-p", "a\nb"], "'--port <PORT>'"),
        (&["run", "-o", "UDP"], "'UDP'"),
        (&["run", "-l", "loud"], "'loud'"),
        (&["run", "-m", "soon"], "'soon'"),
        (&["run", "-m", "-1"], "'-1'"),
        (&["run", "--socket-mode", "999"], "'999'"),
        (&["run", "--connections-max", "0"], "'0'"),
        (&["run", "--outbox-stall-seconds", "0"], "'0'"),
    ] {
        let line = fault(&mut officer(args), 2);
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn an_unusable_socket_path_is_reported_and_nothing_is_touched() {
    let directory = Directory::new();
    let file = directory.file("precious");
    fs::write(&file, "precious").unwrap();
    assert!(fault_of_file(&file).contains("is not a socket"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(fault_of_file(&directory.file("missing/officer.sock")).contains("there is no directory"));
    assert!(fault_of_file(&directory.file("precious/officer.sock")).contains("there is no directory"));
    assert!(fault_of_file(&directory.file(&"x".repeat(120))).contains("too long"));
    assert!(fault(&mut officer(&["run", "-o", "UNIX", "-f", ""]), 2).contains("--socket-file"));
    assert!(fault_of_file(&directory.file("")).contains("is not a socket"));
    assert_eq!(fs::read_dir(directory.file("")).unwrap().count(), 1, "nothing was left there");
}

#[test]
fn the_socket_of_a_live_server_is_not_taken() {
    let server = Server::unix(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    assert!(fault_of_file(server.file()).contains("is in use by another server"));
    assert_eq!(server.connect().locks(), json!({"db": [ann.name()]}));
}

#[test]
fn the_socket_of_a_dead_server_is_replaced() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let start = || Server::start(officer(&["run", "-o", "UNIX", "-f"]).arg(&file));
    let mut killed = start();
    let mut ann = killed.connect();
    ann.acquire("db");
    killed.signal(Signal::KILL);
    killed.wait();
    ann.expect_end();
    assert!(file.exists(), "a killed process cleans up nothing");
    // A restart means that every lock is free.
    let server = start();
    assert_eq!(server.connect().locks(), json!({}));
    drop(server);
    assert!(!file.exists());
}

#[test]
fn a_stale_socket_of_another_program_is_replaced_too() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    // It never listened: a process that another test starts just then may have inherited it, and keep a listener alive.
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&file).unwrap()).unwrap();
    drop(socket);
    let server = Server::start(officer(&["run", "-o", "UNIX", "-f"]).arg(&file));
    server.connect().acquire("db");
}

#[test]
fn the_socket_file_has_the_given_mode() {
    for (options, mode) in [(&[][..], 0o600), (&["--socket-mode", "0660"], 0o660), (&["--socket-mode=666"], 0o666)] {
        let server = Server::unix(options);
        assert_eq!(fs::metadata(server.file()).unwrap().permissions().mode() & 0o7777, mode);
        server.connect().acquire("db");
    }
}

#[test]
fn a_server_can_be_started_again_on_its_port_at_once() {
    let host = own_host().to_string();
    let mut server = Server::tcp(&["-h", &host]);
    let port = server.port();
    for _ in 0..3 {
        let mut ann = server.connect();
        ann.acquire("db");
        server.end();
        ann.expect_end();
        server = Server::start(&mut officer(&["run", "-h", &host, "-p", &port]));
        assert_eq!(server.port(), port);
        assert_eq!(server.connect().locks(), json!({}));
    }
}

#[test]
fn a_socket_file_may_be_a_relative_path() {
    let directory = Directory::new();
    let mut command = officer(&["run", "-o", "unix", "-f", "officer.sock"]);
    let server = Server::start(command.current_dir(directory.file("")));
    assert_eq!(*server.address(), Address::Unix("officer.sock".into()));
    Client::connect(&Address::Unix(directory.file("officer.sock"))).unwrap().acquire("db");
}

#[test]
fn one_line_on_stdout_says_where_it_listens_and_nothing_else_is_written() {
    for options in [&["-l", "debug"][..], &[]] {
        let mut server = Server::tcp(options);
        let mut ann = server.connect();
        ann.acquire("db");
        ann.ask("rubbish");
        server.signal(Signal::TERM);
        let (status, stdout) = server.wait();
        assert!(status.success());
        assert_eq!(stdout, Vec::<String>::new());
        assert_eq!(server.log().lines().is_empty(), options.is_empty());
    }
}

#[test]
fn stdout_need_not_be_read() {
    // The pipe's other end is closed before the server writes to it.
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = officer(&["run", "-o", "UNIX", "-f"]);
    let mut child = command.arg(&file).stdout(writer).spawn().unwrap();
    let address = Address::Unix(file);
    crate::support::patience::eventually("it listens", || Client::connect(&address).is_ok());
    Client::connect(&address).unwrap().acquire("db");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}
