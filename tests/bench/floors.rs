//! The servers that only answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
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

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: &str) -> Client {
        let socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(socket))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// What arrives until the server has closed its side, in response to our closing ours.
    fn rest(mut self) -> String {
        self.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

#[test]
fn the_echo_answers_every_line_with_the_same_line() {
    let (_floor, port) = start(&["echo"]);
    let mut client = Client::connect(&port);
    client.send("anything\nthat ends");
    let line = client.line();
    assert!(line.starts_with('{') && line.ends_with("}\n"), "{line}");
    client.send("\n\n");
    assert_eq!([client.line(), client.line()], [line.clone(), line]);
    assert_eq!(client.rest(), "");
}

#[test]
fn the_echo_answers_more_lines_than_a_socket_takes() {
    let (_floor, port) = start(&["echo"]);
    let mut client = Client::connect(&port);
    const LINES: usize = 300_000;
    let mut writer = client.0.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all("\n".repeat(LINES).as_bytes()).unwrap());
    let first = client.line();
    for _ in 1..LINES {
        assert_eq!(client.line(), first);
    }
    sender.join().unwrap();
    assert_eq!(client.rest(), "");
}

#[test]
fn the_ring_hands_its_token_on_in_order() {
    let (_floor, port) = start(&["ring"]);
    let [mut ann, mut bob, mut eve] = std::array::from_fn(|_| Client::connect(&port));
    ann.send("lock\n");
    let line = ann.line();
    // The first to ask is the first in line. An answer shows that a request has arrived, so all requests are answered
    // to one client.
    bob.send("lock\n");
    ann.send("unlock\n");
    assert_eq!([ann.line(), bob.line()], [line.clone(), line.clone()]);
    eve.send("lock\n");
    ann.send("lock\n");
    // Bob has it: each line of his hands it on, to each of the others once.
    bob.send("unlock\n");
    assert_eq!(bob.line(), line);
    bob.send("lock\n");
    drop(eve);
    assert_eq!(ann.line(), line);
    ann.send("unlock\n");
    assert_eq!([ann.line(), bob.line()], [line.clone(), line]);
}

#[test]
fn the_ring_keeps_waiters_in_the_order_of_their_requests() {
    let directory = Directory::new();
    let file = directory.file("ring.sock");
    let ring = Program::start(officer(&["bench", "floor", "ring", "-o", "UNIX", "-f"]).arg(&file));
    ring.line();
    // On a UNIX socket written data is there at once, so the first to write is the first to be read.
    let mut all: Vec<_> = (0..5).map(|_| BufReader::new(UnixStream::connect(&file).unwrap())).collect();
    let hear = |client: &mut BufReader<UnixStream>| {
        client.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{line:?}");
    };
    all[0].get_mut().write_all(b"lock\n").unwrap();
    hear(&mut all[0]);
    for waiter in &mut all[1..] {
        waiter.get_mut().write_all(b"lock\n").unwrap();
    }
    for turn in 0..all.len() {
        all[turn].get_mut().write_all(b"unlock\n").unwrap();
        hear(&mut all[turn]);
        if let Some(next) = all.get_mut(turn + 1) {
            hear(next);
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
    let (_ring, port) = start(&["ring", "--locks", "3"]);
    let figures =
        bench(&["handoff", "--protocol", "floor", "-p", &port, "-c", "12", "--locks", "3", "--pairs", "2000"]);
    assert_eq!(figures["pairs"], 2000);
    expect_latency(&figures, "hand_over_us");
    assert!(number(&figures, "/latency_us/p50") > number(&figures, "/hand_over_us/p50"), "{figures}");
}
