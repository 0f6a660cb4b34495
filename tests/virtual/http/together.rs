//! Clients of HTTP beside those of the protocol: what they may take of a turn.

use super::{HEALTH, answers, connect, get};
use crate::world::{Client, World};

const PAGE: &str = r#"{"command":"locks","limit":1}"#;

#[test]
fn of_many_that_ask_one_is_answered_in_every_other_turn_and_a_lock_waits_for_none() {
    let mut world = World::new();
    let [ann] = world.connect();
    let crowd: Vec<Client> = (0..64).map(|_| connect(&mut world)).collect();
    for client in &crowd {
        world.put(*client, get("/metrics", "").as_bytes());
    }
    let mut turns = 0;
    let mut served: Vec<usize> = Vec::new();
    while served.len() < 64 {
        world.put(ann, b"{\"command\":\"ping\"}\n");
        let received = world.step_once();
        assert_eq!(received.len(), 1, "each turn answers {received:?}");
        let before = served.len();
        for (index, client) in crowd.iter().enumerate() {
            served.extend(answers(&world.take_bytes(*client)).iter().map(|_| index));
        }
        assert!(served.len() <= before + 1, "one in a turn");
        turns += 1;
        assert!(turns <= 130, "{served:?}");
    }
    assert!(turns >= 127, "one in every other turn, and not in each: {turns} turns");
    assert_eq!(served, (0..64).collect::<Vec<_>>(), "in their order");
}

#[test]
fn a_request_that_takes_no_time_waits_for_none_that_does() {
    let mut world = World::new();
    let [first, second, quick] = [connect(&mut world), connect(&mut world), connect(&mut world)];
    for client in [first, second] {
        world.put(client, get("/metrics", "").as_bytes());
    }
    world.turn();
    world.put(quick, HEALTH.as_bytes());
    world.turn();
    let counts = [first, second, quick].map(|client| answers(&world.take_bytes(client)).len());
    assert_eq!(counts, [1, 0, 1]);
}

#[test]
fn long_requests_of_the_protocol_get_every_other_turn() {
    let mut world = World::new();
    let clients: [Client; 20] = world.connect();
    let crowd: Vec<Client> = (0..20).map(|_| connect(&mut world)).collect();
    for (client, other) in crowd.iter().zip(clients) {
        world.put(*client, get("/api/locks", "").as_bytes());
        world.put(other, format!("{PAGE}\n").as_bytes());
    }
    let turns: Vec<(usize, usize)> = (0..40)
        .map(|_| {
            let pages = world.step_once().len();
            (pages, crowd.iter().map(|client| answers(&world.take_bytes(*client)).len()).sum())
        })
        .collect();
    assert_eq!(turns, [(0, 1), (1, 0)].repeat(20), "pages and answers of each turn");
}

#[test]
fn they_count_as_no_connection_of_the_protocol() {
    let mut world = World::new();
    assert_eq!(world.server.sockets(), 0);
    let client = connect(&mut world);
    let [ann] = world.connect();
    assert_eq!((world.server.connections(), world.server.sockets()), (1, 2));
    let listing = world.say(ann, r#"{"command":"connections","all":true}"#);
    assert_eq!(listing[0].1, r#"{"result":"connections","value":{"10.0.0.2:1":[]}}"#);
    // A peer of the same name is not meant.
    let name = world.name(client).to_owned();
    let kicked = world.say(ann, &format!(r#"{{"command":"kick","connection":"{name}"}}"#));
    assert!(kicked[0].1.contains("not_allowed") || kicked[0].1.contains("kick_failed"), "{kicked:?}");
    assert!(!world.is_at_end(client));
}
