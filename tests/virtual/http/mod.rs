//! HTTP: what is answered to whom, in whatever pieces requests come, and how long clients may take.

mod counted;
mod guard;
mod operators;
mod page;
mod refused;
mod requests;
mod slow;
mod sockets;
mod together;

use officer::wire::peer::Peer;
use serde_json::Value;

use crate::answers::{Answer, answer};
use crate::memory::Wire;
use crate::world::{Client, World};

const HEALTH: &str = "GET /health HTTP/1.1\r\n\r\n";

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.fields["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A client on this machine.
fn connect(world: &mut World) -> Client {
    connect_from(world, "127.0.0.1:7")
}

fn connect_from(world: &mut World, peer: &str) -> Client {
    let client = world.accept_http(peer.parse().expect("a name of a connection"), Wire::default());
    world.step();
    client
}

/// A client on another machine, the only one there with this number.
fn far(number: u8) -> Peer {
    Peer::V4 { ip: [10, 9, 9, number], port: 9 }
}

/// Reads answers to requests of which none was HEAD.
fn answers(bytes: &[u8]) -> Vec<Answer> {
    let mut rest = bytes;
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (answer, length) = answer(rest, true).unwrap_or_else(|wrong| panic!("{wrong}"));
        answers.push(answer);
        rest = &rest[length..];
    }
    answers
}

/// A client sends something. Returns what it is answered.
fn send(world: &mut World, client: Client, request: &str) -> Vec<Answer> {
    world.send(client, request.as_bytes());
    answers(&world.take_bytes(client))
}

/// The same, for one answer.
#[track_caller]
fn ask(world: &mut World, client: Client, request: &str) -> Answer {
    let mut answers = send(world, client, request);
    assert_eq!(answers.len(), 1, "{request:?}: {answers:?}");
    answers.remove(0)
}

/// A request for a path, with more fields.
fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// The fields that a change needs.
const CHANGE: &str = "X-Officer: 1\r\nContent-Type: application/json\r\n";
