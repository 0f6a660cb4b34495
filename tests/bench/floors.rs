//! The servers that only answer.

use std::io::Write;
use std::net::SocketAddr;

use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::program::Program;
use crate::support::server::officer;
use crate::{bench, expect_latency, number};

fn start(args: &[&str]) -> (Program, String) {
    let program = Program::start(&mut officer(&[&["bench", "floor"], args, &["-p", "0"]].concat()));
    let line = program.line();
    let port = line.strip_prefix("officer: listening on 127.0.0.1:").unwrap_or_else(|| panic!("{line}"));
    let port = port.to_owned();
    (program, port)
}

fn connect(port: &str) -> Client {
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    Client::connect(&Address::Tcp(address)).unwrap()
}

/// Nothing more arrives until the server closes its side, in response to our closing ours.
fn expect_no_more(mut client: Client) {
    client.close_write();
    client.expect_end();
}

#[test]
fn the_echo_answers_every_line_with_the_same_line() {
    let (_floor, port) = start(&["echo"]);
    let mut client = connect(&port);
    client.write(b"anything\nthat ends");
    let line = client.receive_line();
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    client.write(b"\n\n");
    assert_eq!([client.receive_line(), client.receive_line()], [line.clone(), line]);
    expect_no_more(client);
}

#[test]
fn the_echo_answers_more_lines_than_a_socket_takes() {
    let (_floor, port) = start(&["echo"]);
    let mut client = connect(&port);
    const LINES: usize = 300_000;
    let mut writer = client.writer();
    let sender = std::thread::spawn(move || writer.write_all("\n".repeat(LINES).as_bytes()).unwrap());
    let first = client.receive_line();
    for _ in 1..LINES {
        assert_eq!(client.receive_line(), first);
    }
    sender.join().unwrap();
    expect_no_more(client);
}

#[test]
fn the_ring_hands_its_token_on_in_order() {
    let (_floor, port) = start(&["ring"]);
    let [mut ann, mut bob, mut eve] = std::array::from_fn(|_| connect(&port));
    ann.send("lock");
    let line = ann.receive_line();
    // The first to ask is the first in line. An answer shows that a request has arrived, so all requests are answered
    // to one client.
    bob.send("lock");
    ann.send("unlock");
    assert_eq!([ann.receive_line(), bob.receive_line()], [line.clone(), line.clone()]);
    eve.send("lock");
    ann.send("lock");
    // Bob has it: each line of his hands it on, to each of the others once.
    bob.send("unlock");
    assert_eq!(bob.receive_line(), line);
    bob.send("lock");
    drop(eve);
    assert_eq!(ann.receive_line(), line);
    ann.send("unlock");
    assert_eq!([ann.receive_line(), bob.receive_line()], [line.clone(), line]);
}

#[test]
fn the_ring_keeps_waiters_in_the_order_of_their_requests() {
    let directory = Directory::new();
    let file = directory.file("ring.sock");
    let ring = Program::start(officer(&["bench", "floor", "ring", "-o", "UNIX", "-f"]).arg(&file));
    ring.line();
    // On a UNIX socket written data is there at once, so the first to write is the first to be read.
    let mut all: Vec<_> = (0..5).map(|_| Client::connect(&Address::Unix(file.clone())).unwrap()).collect();
    all[0].send("lock");
    all[0].receive_line();
    for waiter in &mut all[1..] {
        waiter.send("lock");
    }
    for turn in 0..all.len() {
        all[turn].send("unlock");
        all[turn].receive_line();
        if let Some(next) = all.get_mut(turn + 1) {
            next.receive_line();
        }
    }
}

#[test]
fn the_load_also_works_with_the_floors() {
    let (echo, port) = start(&["echo"]);
    let figures =
        bench(&["pair", "--protocol", "floor", "-p", &port, "-c", "5", "--in-flight", "4", "--pairs", "2000"]);
    assert_eq!(figures["pairs"], 2000);
    assert_eq!(figures["server"]["pid"], echo.id());
    let fields = ["--id", "--owner", "--fence", "--pairs", "2000"];
    let figures = bench(&[&["pair", "--protocol", "floor", "-p", &port][..], &fields].concat());
    assert_eq!(figures["pairs"], 2000);
    let figures = bench(&[&["bundle", "--protocol", "floor", "-p", &port, "--locks", "10"][..], &fields].concat());
    assert_eq!(figures["pairs"], 2000);
    let (_ring, port) = start(&["ring", "--locks", "3"]);
    let figures =
        bench(&["handoff", "--protocol", "floor", "-p", &port, "-c", "12", "--locks", "3", "--pairs", "2000"]);
    assert_eq!(figures["pairs"], 2000);
    expect_latency(&figures, "hand_over_us");
    assert!(number(&figures, "/latency_us/p50") > number(&figures, "/hand_over_us/p50"), "{figures}");
}
