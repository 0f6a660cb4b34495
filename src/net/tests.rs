//! Blocks of tokens that the loop has reserved while it serves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::tokens::tests::{Reserved, Told, full};
use super::{Config, Listen, Net, RunError, TokensError};
use crate::engine::TokenBlock;

type Client = BufReader<TcpStream>;

/// A server with a client.
struct World {
    source: Sender<Reserved>,
    asked: Receiver<()>,
    client: Client,
    address: String,
    server: JoinHandle<Result<(), RunError>>,
}

/// With fewer tokens than this the server ends.
const LEFT_MIN: u64 = 10;

const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// The first block has the tokens from 1 up to `end`.
    fn new(end: u64) -> World {
        let (told, source, asked) = Told::new();
        source.send(Ok(TokenBlock::new(1, end))).unwrap();
        let config = Config::new(Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 });
        let mut net = Net::bind_with(config, |_| Ok(Box::new(told)), LEFT_MIN).unwrap();
        asked.try_recv().expect("the first block is there before anybody can have a token of it");
        let address = net.addresses().remove(0);
        let server = thread::spawn(move || net.run(|_| ControlFlow::Break(())));
        World { source, asked, client: connect(&address), address, server }
    }

    /// Takes and releases a lock so often. Returns the last token.
    #[track_caller]
    fn take(&mut self, times: usize) -> u64 {
        const PAIR: &str =
            "{\"command\":\"lock\",\"name\":\"db\",\"fence\":true}\n{\"command\":\"unlock\",\"name\":\"db\"}\n";
        self.client.get_mut().write_all(PAIR.repeat(times).as_bytes()).unwrap();
        let token = |granted: &str| granted.split_once("\"token\":")?.1.trim_end().strip_suffix('}')?.parse().ok();
        let mut last = 0;
        for _ in 0..times {
            let [granted, released] = [line(&mut self.client), line(&mut self.client)];
            last = token(&granted).unwrap_or_else(|| panic!("{granted:?}"));
            assert!(released.contains("\"released\""), "{released:?}");
        }
        last
    }

    /// Waits until the source is asked for a block.
    #[track_caller]
    fn wait_until_asked(&self) {
        self.asked.recv_timeout(PATIENCE).expect("a block is wanted");
    }

    /// The server ends, after the last reply.
    #[track_caller]
    fn end(mut self) -> RunError {
        assert_eq!(line(&mut self.client), "", "the connection ends");
        self.server.join().unwrap().expect_err("an error")
    }
}

fn connect(address: &str) -> Client {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(client)
}

fn line(client: &mut Client) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

#[test]
fn a_block_is_reserved_from_half_on_and_used_after_the_present_one() {
    let mut world = World::new(20_001);
    world.source.send(Ok(TokenBlock::new(100_000, 100_100))).unwrap();
    assert_eq!((0..99).map(|_| world.take(101)).last(), Some(9_999));
    assert!(world.asked.try_recv().is_err(), "half is not used up yet");
    // Turn by turn, so that the thread has its time.
    let first = (10_000..=20_001).map(|expected| (world.take(1), expected)).find(|(token, expected)| token != expected);
    assert_eq!(first, Some((100_000, 20_001)));
    world.wait_until_asked();
}

#[test]
fn while_a_reservation_takes_long_the_server_goes_on_and_ends_before_the_last_token() {
    let mut world = World::new(101);
    assert_eq!(world.take(80), 80);
    world.wait_until_asked();
    let [mut ann, mut bob] = [connect(&world.address), connect(&world.address)];
    ann.get_mut().write_all(b"{\"command\":\"lock\",\"name\":\"held\"}\n").unwrap();
    assert!(line(&mut ann).contains("acquired"));
    let wait = b"{\"command\":\"lock\",\"name\":\"held\",\"id\":7}\n{\"command\":\"ping\"}\n";
    bob.get_mut().write_all(wait).unwrap();
    assert!(line(&mut bob).contains("pong"));
    for token in 82..=91 {
        assert_eq!(world.take(1), token);
    }
    // As at any other end of the server.
    assert!(line(&mut bob).contains("shutting_down"));
    let ended = world.end();
    assert!(matches!(ended, RunError::OutOfTokens(None)), "{ended:?}");
}

#[test]
fn a_reservation_that_fails_is_tried_again_without_any_event_until_the_server_ends() {
    let mut world = World::new(101);
    assert_eq!(world.take(60), 60);
    world.wait_until_asked();
    world.source.send(Err(full())).unwrap();
    // Nothing else happens meanwhile.
    world.wait_until_asked();
    assert_eq!(world.take(1), 61);
    world.take(30);
    let ended = world.end();
    assert!(matches!(ended, RunError::OutOfTokens(Some(TokensError::File { .. }))), "{ended:?}");
    assert!(ended.to_string().contains("can't write \"tokens\" (no storage space); "), "{ended}");
}
