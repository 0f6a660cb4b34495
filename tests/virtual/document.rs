//! The examples in `src/docs/protocol.md` and `src/docs/recipes.md` are what a server says.
//!
//! A section is one conversation. A block that begins with "```json ann" is what the connection ann sends and receives next;
//! "```json ann after 6 s" is the same after some time. "```json bob after ann is lost" is the same after the connection ann
//! was closed; she has a new one from then on. `…` stands for anything, and in `"resume":"…"` for the last secret that she was
//! sent.

use std::collections::HashMap;
use std::time::Duration;

use officer::wire::peer::Peer;

use crate::world::{Client, World};

const PROTOCOL: &str = include_str!("../../src/docs/protocol.md");
const RECIPES: &str = include_str!("../../src/docs/recipes.md");

/// The connections of the examples.
const CONNECTIONS: [(&str, Peer); 4] = [
    ("ann", Peer::V4 { ip: [192, 0, 2, 1], port: 40_001 }),
    ("bob", Peer::V4 { ip: [192, 0, 2, 2], port: 40_002 }),
    ("carl", Peer::V4 { ip: [192, 0, 2, 3], port: 40_003 }),
    ("operator", Peer::Unix(1)),
];

/// One section's conversation.
struct Conversation {
    world: World,
    clients: HashMap<&'static str, Client>,
    /// What each client has received and no block has shown yet.
    received: HashMap<Client, Vec<String>>,
    /// The last secret that each of them was sent.
    secrets: HashMap<String, String>,
}

impl Conversation {
    fn new() -> Self {
        let mut world = World::new();
        let clients = CONNECTIONS.map(|(name, peer)| (name, world.connect_as(peer)));
        Conversation { world, clients: HashMap::from(clients), received: HashMap::new(), secrets: HashMap::new() }
    }

    fn block(&mut self, head: &str, lines: &[&str]) {
        let mut words = head.split(' ');
        let name = words.next().expect("there is a name");
        let client = *self.clients.get(name).unwrap_or_else(|| panic!("{head}: who is {name}?"));
        if let Some("after") = words.next() {
            let what = words.next().expect("after something");
            match what.parse() {
                Ok(seconds) => {
                    let received = self.world.pass(Duration::from_secs(seconds));
                    self.keep(received);
                }
                Err(_) => self.lose(what),
            }
        }
        for line in lines {
            if line.starts_with(r#"{"command""#) {
                let secret = self.secrets.get(name).map_or("", String::as_str);
                let line = line.replace(r#""resume":"…""#, &format!(r#""resume":"{secret}""#));
                let received = self.world.say(client, &line);
                self.keep(received);
            }
        }
        let shown = lines.iter().filter(|line| !line.starts_with(r#"{"command""#));
        let received = self.received.remove(&client).unwrap_or_default();
        for (number, line) in shown.clone().enumerate() {
            let found = received.get(number).unwrap_or_else(|| panic!("{name} does not receive {line}"));
            assert!(matches(line, found), "the document says\n{line}\nand the server\n{found}");
        }
        assert_eq!(received.len(), shown.count(), "{name} receives {received:?}");
    }

    /// The connection of a client is closed; it has a new one.
    fn lose(&mut self, name: &str) {
        let (name, client) = self.clients.remove_entry(name).unwrap_or_else(|| panic!("who is {name}?"));
        let received = self.world.vanish(client);
        self.keep(received);
        self.clients.insert(name, self.world.connect_as(Peer::V4 { ip: [192, 0, 2, 1], port: 40_101 }));
    }

    fn keep(&mut self, received: Vec<(Client, String)>) {
        for (client, line) in received {
            if let Some((_, secret)) = line.split_once(r#""secret":""#) {
                let name = self.clients.iter().find(|(_, known)| **known == client).expect("it is one of them").0;
                self.secrets.insert((*name).to_owned(), secret[..32].to_owned());
            }
            self.received.entry(client).or_default().push(line);
        }
    }

    /// Nothing was received that the section does not show.
    fn end(mut self) {
        assert!(self.received.is_empty(), "the section does not show {:?}", self.received);
        // A closed lock stays when everybody is gone.
        self.world.pass(Duration::from_secs(86_400));
    }
}

fn matches(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let mut rest = line.strip_prefix(parts.next().expect("there is one"));
    for part in parts {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, rest)| rest);
    }
    rest == Some("")
}

/// Has all conversations of a document, and returns how many blocks they are made of.
fn run(document: &str) -> usize {
    let mut blocks = 0;
    for section in document.split("\n## ") {
        let mut conversation = Conversation::new();
        for block in section.split("\n```json ").skip(1) {
            let (block, _) = block.split_once("\n```").expect("a block ends");
            let mut lines = block.lines();
            conversation.block(lines.next().expect("there is a head"), &lines.collect::<Vec<_>>());
            blocks += 1;
        }
        conversation.end();
    }
    blocks
}

#[test]
fn the_server_says_what_the_protocol_document_shows() {
    let blocks = run(PROTOCOL);
    assert!(blocks > 30, "only {blocks} blocks were found");
}

#[test]
fn the_server_says_what_the_recipes_show() {
    let blocks = run(RECIPES);
    assert!(blocks > 20, "only {blocks} blocks were found");
}
