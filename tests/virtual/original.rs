//! Conversations recorded with the original server: ours must give the same replies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::world::{Client, World};

/// One line of a recording: what was sent on a connection, what was received on it, or that it was cut and made again.
#[derive(Deserialize)]
struct Step {
    on: usize,
    send: Option<Value>,
    got: Option<Value>,
    #[serde(default)]
    drop: bool,
}

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/original");
    let mut paths: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_recorded_conversation_is_answered_as_the_original_answered_it() {
    let paths = recordings();
    assert_eq!(paths.len(), 40);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<Step> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        replay(&steps, &path);
    }
}

fn replay(steps: &[Step], path: &Path) {
    let mut world = World::new();
    let mut clients: [Client; 4] = world.connect();
    for (number, action) in steps.iter().enumerate().filter(|(_, step)| step.got.is_none()) {
        let received = if action.drop {
            let received = world.half_close(clients[action.on]);
            let [reconnected] = world.connect();
            clients[action.on] = reconnected;
            received
        } else {
            world.say(clients[action.on], &action.send.as_ref().unwrap().to_string())
        };
        // The order between connections has no meaning, the order on each one does.
        let mut ours: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for (client, line) in received {
            let on = clients.iter().position(|known| *known == client).expect("a live client");
            ours.entry(on).or_default().push(normal(named(&world, &clients, line)));
        }
        let mut theirs: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        for reply in steps[number + 1..].iter().take_while(|step| step.got.is_some()) {
            theirs.entry(reply.on).or_default().push(normal(reply.got.clone().unwrap()));
        }
        assert_eq!(ours, theirs, "{}, after line {}", path.display(), number + 1);
    }
}

/// With the connections' names as in the recordings.
fn named(world: &World, clients: &[Client; 4], line: String) -> Value {
    let rename = |line: String, (on, client): (usize, &Client)| {
        line.replace(&format!("\"{}\"", world.name(*client)), &format!("\"conn{on}\""))
    };
    serde_json::from_str(&clients.iter().enumerate().fold(line, rename)).unwrap()
}

/// The recordings have the names of each connection sorted.
fn normal(mut reply: Value) -> Value {
    if reply["result"] == "connections" {
        for names in reply["value"].as_object_mut().unwrap().values_mut() {
            names.as_array_mut().unwrap().sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
    }
    reply
}
