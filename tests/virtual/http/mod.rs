//! HTTP: what is answered to whom, in whatever pieces requests come, and how long clients may take.

mod guard;
mod operators;
mod page;
mod refused;
mod requests;
mod slow;
mod together;

use std::collections::BTreeMap;

use officer::wire::peer::Peer;
use serde_json::Value;

use crate::memory::Wire;
use crate::world::{Client, World};

const HEALTH: &str = "GET /health HTTP/1.1\r\n\r\n";

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// By their names in lower case.
    fields: BTreeMap<String, String>,
    body: String,
}

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
        let (answer, length) = answer(rest, true);
        answers.push(answer);
        rest = &rest[length..];
    }
    answers
}

/// The answer at the beginning, and how long it is.
fn answer(bytes: &[u8], has_body: bool) -> (Answer, usize) {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let end =
        bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no end: {}", shown()));
    let head = str::from_utf8(&bytes[..end]).expect("a head is UTF-8");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head:?}");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).unwrap_or_else(|| panic!("{}", shown()));
    assert!(status.len() > 4, "a phrase follows the status: {status}");
    let fields: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no field: {line}")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let count = fields.len();
    let fields: BTreeMap<String, String> = fields.into_iter().collect();
    assert_eq!(fields.len(), count, "each field once: {head}");
    let length: usize = fields["content-length"].parse().expect("a number");
    let length = if has_body { length } else { 0 };
    let body = bytes.get(end + 4..end + 4 + length).unwrap_or_else(|| panic!("the body is cut off: {}", shown()));
    let body = String::from_utf8(body.to_vec()).expect("a body is UTF-8");
    (Answer { status: status[..3].parse().expect("a number"), fields, body }, end + 4 + length)
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
