//! `officer restart` ends nothing before it knows that the new server can start, as far as that can be known.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use crate::background::{Background, address_of, connect};
use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::patience::eventually;

/// A server with a client that holds a lock, in the background.
fn server_in_use() -> (Background, Address, Client) {
    let background = Background::new();
    let address = background.start(&[]);
    let mut ann = connect(&address);
    ann.acquire("db");
    (background, address, ann)
}

#[test]
fn a_server_goes_on_if_the_new_one_could_not_start() {
    let (background, _, mut ann) = server_in_use();
    let pid = background.pid();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = Directory::new();
    let [flat, live, new, state] =
        ["flat", "live.sock", "new.sock", "state"].map(|name| directory.file(name).display().to_string());
    fs::write(&flat, "precious").unwrap();
    let _live = std::os::unix::net::UnixListener::bind(&live).unwrap();
    fs::create_dir(&state).unwrap();
    fs::write(directory.file("state/tokens"), "precious").unwrap();
    let (below_flat, long) = (format!("{flat}/officer.sock"), format!("{new}{}", "x".repeat(200)));
    let pid_file = background.pid_file().display().to_string();
    for (line, said) in [
        (&["-p", &port][..], "is in use by another program"),
        (&["-h", "192.0.2.1", "-p", "0"], "this machine"),
        (&["-h", "host.invalid"], "can't be resolved"),
        (&["-p", "0", "--log-file", "/no/such/log"], "--log-file"),
        (&["-p", "0", "--log-file", &pid_file], "it is the pid file"),
        (&["-p", "0", "--log-file", "/dev/stderr"], "it would end with 'officer start'"),
        (&["-p", "0", "--state-dir", "/no/such/dir"], "there is no directory \"/no/such/dir\""),
        (&["-p", "0", "--state-dir", &state], "is damaged"),
        (&["-o", "UNIX", "-f", &flat], "is not a socket"),
        (&["-o", "UNIX", "-f", &live], "is in use by another server"),
        (&["-o", "UNIX", "-f", &below_flat], "there is no directory"),
        (&["-o", "UNIX", "-f", &long], "is too long"),
    ] {
        background.run("restart", line).expect_failure(1, said);
        assert_eq!((background.status(), background.pid()), (0, pid), "{line:?}");
    }
    assert_eq!(ann.locks()["db"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_to_string(&flat).unwrap(), "precious");
}

#[test]
fn a_restart_on_the_same_address_is_possible() {
    let (background, address, mut ann) = server_in_use();
    let Address::Tcp(tcp) = address else { panic!("TCP") };
    let port = tcp.port().to_string();
    let file = background.file("officer.sock");
    let unix = ["-o", "UNIX", "-f", file.to_str().unwrap()];
    let everywhere = ["-h", "0.0.0.0", "-p", &port, "--open"];
    for line in [&["-p", &port][..], &everywhere, &["-p", &port], &unix, &unix] {
        let end = background.run("restart", line);
        assert_eq!(end.code, 0, "{line:?}: {end:?}");
        ann.expect_end();
        ann = match address_of(&end.stdout) {
            Address::Tcp(tcp) => connect(&Address::Tcp(([127, 0, 0, 1], tcp.port()).into())),
            unix => connect(&unix),
        };
        ann.acquire("db");
    }
}

#[test]
fn a_restart_with_the_same_state_directory_is_possible_and_tokens_rise() {
    let background = Background::new();
    let state = background.file("");
    let options = ["-p", "0", "-l", "info", "--state-dir", state.to_str().unwrap()];
    background.run("start", &options).expect_success();
    let pid = background.pid();
    background.run("start", &options).expect_failure(1, "already running");
    let other = Background::new();
    let said = format!("is in use by another server, process {pid}; ");
    other.run("start", &options).expect_failure(1, &said);
    for _ in 0..3 {
        background.run("restart", &options).expect_success();
    }
    // 'officer start' returns before the log says it.
    let mut firsts: Vec<u64> = Vec::new();
    eventually("the log says where the tokens of each server begin", || {
        let log = background.log();
        let of_line = |line: &str| line.split_once("] tokens ")?.1.split(' ').next()?.parse().ok();
        firsts = log.lines().filter_map(of_line).collect();
        firsts.len() == 4
    });
    assert!(firsts.is_sorted_by(|one, next| one + (1 << 32) <= *next), "{firsts:?}");
}

#[test]
fn what_is_lost_is_said_if_the_new_one_does_not_start_all_the_same() {
    // In the way of one that listens on all addresses, which can't be told while the old one is. The port is the server's
    // choice, for which only its own address had to be free.
    let in_use_and_in_the_way = || {
        let (background, address, ann) = server_in_use();
        let port = address.tcp().port();
        match TcpListener::bind(("127.0.0.2", port)) {
            Ok(other) => Some((background, port.to_string(), ann, other)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => None,
            Err(error) => panic!("{error}"),
        }
    };
    let found = std::iter::repeat_with(in_use_and_in_the_way).take(10).flatten().next();
    let (background, port, mut ann, _other) = found.expect("a port that is free on both addresses");
    let pid = background.pid();
    let end = background.run("restart", &["-h", "0.0.0.0", "-p", &port, "--open"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("is in use by another program"), "{end:?}");
    let lost =
        format!("officer: the old server, process {pid}, has ended and no new one has started: its locks are free");
    assert!(end.stderr.contains(&lost), "{end:?}");
    ann.expect_end();
    assert_eq!(background.status(), 3);

    // Where there was none, nothing is lost.
    let end = background.run("restart", &["-h", "192.0.2.1", "-p", "0"]);
    assert!(end.code == 1 && !end.stderr.contains("the old server"), "{end:?}");
}
