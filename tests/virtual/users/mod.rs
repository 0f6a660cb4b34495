//! Users: who a connection is, what it may do and see, and how much.

mod quotas;
mod reload;
mod rights;
mod secrets;
mod see;
mod strangers;
mod who;

use std::fmt::Write as _;
use std::time::Duration;

use officer::server::{Credentials, Limits};
use officer::wire::peer::Peer;
use serde_json::{Value, json};

use crate::words::request;
use crate::world::{Client, Received, World};

const SECOND: Duration = Duration::from_secs(1);
const HELLO: &str = r#"{"command":"hello"}"#;
const PING: &str = r#"{"command":"ping"}"#;
const STATS: &str = r#"{"command":"stats"}"#;
/// An operator and somebody who may lock everything, for files that are about others.
const OTHERS: [(&str, &str); 2] = [("ops", "admin = true"), ("all", "locks = [\"\"]")];

/// What a user of these tests has as its secret.
pub(crate) fn secret(user: &str) -> String {
    format!("secret-of-{user}")
}

fn digest(secret: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take all");
        text
    })
}

/// The table of a user who says who it is by its secret.
fn table(user: &str, fields: &str) -> String {
    format!("[users.{user}]\nsecret_sha256 = \"{}\"\n{fields}\n", digest(&secret(user)))
}

/// A users file.
pub(crate) fn file(users: &[(&str, &str)]) -> String {
    users.iter().chain(&OTHERS).map(|(user, fields)| table(user, fields)).collect()
}

/// A world with these users beside [`OTHERS`], in which nobody has to hurry.
fn world(users: &[(&str, &str)]) -> World {
    world_with(Limits::default(), &file(users))
}

fn world_with(limits: Limits, file: &str) -> World {
    let mut world = World::with_limits(Limits { max_idle: None, ..limits });
    world.set_users(file);
    world
}

fn hello(user: &str, secret: &str) -> String {
    json!({"command": "hello", "user": user, "secret": secret}).to_string()
}

fn hello_as(user: &str) -> String {
    hello(user, &secret(user))
}

/// A client who has said who it is.
fn log_in(world: &mut World, user: &str) -> Client {
    let [client] = world.connect();
    let reply = ask(world, client, &hello_as(user));
    assert_eq!((&reply["result"], &reply["user"]), (&json!("hello"), &json!(user)), "{reply}");
    client
}

/// What a client received, as JSON.
fn told(client: Client, received: &[Received]) -> Vec<Value> {
    let mine = received.iter().filter(|(to, _)| *to == client);
    mine.map(|(_, line)| serde_json::from_str(line).expect("JSON")).collect()
}

/// The one line that the client gets for a request, whatever others get.
fn ask(world: &mut World, client: Client, line: &str) -> Value {
    let received = world.say(client, line);
    let mut told = told(client, &received);
    assert_eq!(told.len(), 1, "one reply to {line}: {received:?}");
    told.remove(0)
}

/// The `result` of that, or the `reason` of an error.
fn word(world: &mut World, client: Client, line: &str) -> String {
    word_of(&ask(world, client, line))
}

fn word_of(reply: &Value) -> String {
    let word = if reply["result"] == "error" { &reply["reason"] } else { &reply["result"] };
    word.as_str().unwrap_or_else(|| panic!("no word in {reply}")).to_owned()
}

fn try_lock(world: &mut World, client: Client, name: &str) -> String {
    word(world, client, &request("lock", name, r#""timeout":0"#))
}

/// The client asks, gets this error, and is closed.
fn assert_closed_with(world: &mut World, client: Client, line: &str, reason: &str) {
    assert_eq!(word(world, client, line), reason, "{line}");
    assert!(world.is_at_end(client), "after {line}");
}

fn peer_ids(uid: u32, gid: u32) -> Credentials {
    Credentials { uid: Some(uid), gid: Some(gid), names: Vec::new() }
}

fn certificate(names: &[&str]) -> Credentials {
    Credentials { names: names.iter().map(|&name| name.to_owned()).collect(), ..Credentials::default() }
}

fn unix(number: u64) -> Peer {
    Peer::Unix(number)
}

fn ipv4(ip: [u8; 4]) -> Peer {
    Peer::V4 { ip, port: 1 }
}
