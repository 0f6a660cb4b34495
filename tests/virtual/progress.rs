//! Requests that are told their position when they begin to wait.

use std::time::Duration;

use officer::server::Limits;

use crate::words::{acquired, lock, queue_maxed, timed_out, unlock, with};
use crate::world::{Client, Received, World};

const PROGRESS: &str = r#""progress":true"#;

fn queued(name: &str, position: usize) -> String {
    format!(r#"{{"name":"{name}","result":"queued","position":{position}}}"#)
}

/// What the client is told of its request for `db` with these fields.
#[track_caller]
fn assert_queued(world: &mut World, client: Client, fields: &str, position: usize) {
    let comma = if fields.is_empty() { "" } else { "," };
    let line = lock("db", &format!("{PROGRESS}{comma}{fields}"));
    assert_eq!(world.say(client, &line), [(client, queued("db", position))], "{fields}");
}

#[test]
fn a_request_is_told_its_position_if_it_waits_and_asked_for_it() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    assert_eq!(world.say(ann, &lock("db", PROGRESS)), [(ann, acquired("db"))], "it does not wait");
    assert_queued(&mut world, bob, "", 0);
    assert_eq!(world.say(carl, &lock("db", r#""progress":false"#)), []);
    let line = lock("db", r#""progress":true,"owner":"o","id":7"#);
    let told = with(&queued("db", 2), r#""owner":"o","id":7"#);
    assert_eq!(world.say(dora, &line), [(dora, told)]);
    // Those who left are not counted.
    world.say(bob, &unlock("db"));
    assert_queued(&mut world, bob, r#""timeout":5"#, 2);
    assert_eq!(world.pass(Duration::from_secs(5)).len(), 1);
}

#[test]
fn a_request_that_is_turned_away_has_no_position() {
    let mut world = World::with_limits(Limits { lock_waits_max: 1, ..Limits::default() });
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    let queue = ["10.0.0.1:1"];
    for (fields, reply) in
        [(r#""timeout":0"#, timed_out("db", &queue)), (r#""queue_max":1"#, queue_maxed("db", &queue))]
    {
        assert_eq!(world.say(bob, &lock("db", &format!("{PROGRESS},{fields}"))), [(bob, reply)]);
    }
    world.say(bob, &lock("x", ""));
    world.say(ann, &lock("x", ""));
    let received = world.say(bob, &lock("db", r#""progress":true,"deadlock":"refuse""#));
    assert!(received.len() == 1 && received[0].1.contains(r#""result":"deadlock""#), "{received:?}");
    assert_queued(&mut world, bob, "", 0);
    let received = world.say(carl, &lock("db", PROGRESS));
    assert!(received.len() == 1 && received[0].1.contains("too_many_waits"), "{received:?}");
    // A second request for a wait with a field of this kind does not join it.
    let received = world.say(bob, &lock("db", PROGRESS));
    assert!(received.len() == 1 && received[0].1.contains("already_queued"), "{received:?}");
}

#[test]
fn only_those_of_the_same_priority_or_a_higher_one_are_before_a_request() {
    let mut world = World::new();
    let clients = world.connect_many(12);
    world.say(clients[0], &lock("db", ""));
    for (client, priority, position) in [(1, 0, 0), (2, 3, 0), (3, 3, 1), (4, 7, 0), (5, 1, 3), (6, 0, 5), (7, 3, 3)] {
        assert_queued(&mut world, clients[client], &format!(r#""priority":{priority}"#), position);
    }
    // One of each kind leaves: by an unlock, by a grant, by the end of its connection.
    world.say(clients[3], &unlock("db"));
    assert_eq!(world.say(clients[0], &unlock("db")).len(), 2);
    world.vanish(clients[5]);
    for (client, priority, position) in [(8, 3, 2), (9, 2, 3), (10, 7, 0), (11, 0, 7)] {
        assert_queued(&mut world, clients[client], &format!(r#""priority":{priority}"#), position);
    }
}

#[test]
fn several_names_are_told_the_longest_of_their_queues() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    for name in ["a", "b"] {
        world.say(ann, &lock(name, ""));
    }
    for (client, name) in [(bob, "b"), (carl, "b")] {
        world.say(client, &lock(name, ""));
    }
    let both = |position: usize| format!(r#"{{"names":["a","b"],"result":"queued","position":{position},"id":1}}"#);
    let request = |fields: &str| format!(r#"{{"command":"lock","names":["a","b"],"progress":true,"id":1{fields}}}"#);
    assert_eq!(world.say(dora, &request("")), [(dora, both(2))]);
    assert_eq!(
        world.say(dora, &request(r#","owner":7,"any":true"#)),
        [(dora, { both(3).replace(r#","id""#, r#","owner":7,"id""#) })]
    );
    // A name that is left out because its queue is full does not count.
    let received = world.say(dora, &request(r#","owner":8,"any":true,"queue_max":4"#));
    assert_eq!(received, [(dora, both(2).replace(r#","id""#, r#","owner":8,"id""#))]);
}

#[test]
fn those_left_over_for_the_next_turn_are_counted_whatever_their_priority() {
    let mut world = World::with_limits(Limits { turn_grants_max: 1, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("db", ""));
    for owner in 0..5 {
        world.say(bob, &lock("db", &format!(r#""mode":"shared","owner":{owner}"#)));
    }
    world.say(bob, &lock("db", r#""owner":5"#));
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.put(carl, format!("{}\n", lock("db", r#""progress":true,"priority":3"#)).as_bytes());
    world.put(dora, format!("{}\n", lock("db", r#""progress":true,"priority":4"#)).as_bytes());
    let received = world.step_once();
    let told: Vec<&Received> = received.iter().filter(|(client, _)| [carl, dora].contains(client)).collect();
    // One was granted for free and one out of the budget; three are left over, and nobody gets ahead of these.
    assert_eq!(told, [&(carl, queued("db", 3)), &(dora, queued("db", 3))], "{received:?}");
    world.step();
    assert_queued(&mut world, ann, r#""priority":3"#, 2);
}

#[test]
fn a_position_that_has_to_be_counted_in_a_long_queue_is_counted_once_in_a_turn() {
    let mut world = World::with_limits(Limits { turn_grants_max: 1, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("db", ""));
    let shared: String =
        (0..1100).map(|owner| lock("db", &format!(r#""mode":"shared","owner":{owner}"#)) + "\n").collect();
    world.send(bob, shared.as_bytes());
    // From now on some are left over, turn after turn.
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.turn();
    world.receive();
    let mut answered = Vec::new();
    for client in [carl, dora] {
        world.put(client, format!("{}\n", lock("db", r#""progress":true,"priority":3"#)).as_bytes());
    }
    for _ in 0..2 {
        let received = world.step_once();
        answered.push(received.into_iter().filter(|(client, _)| *client != bob).collect::<Vec<_>>());
    }
    // Two were granted at first, and one in each turn before the requests.
    assert_eq!(answered, [[(carl, queued("db", 1097))], [(dora, queued("db", 1097))]]);
}

#[test]
fn a_position_among_priorities_is_known_without_counting_however_long_the_queue_is() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("db", ""));
    let waits: String = (0..1100).map(|owner| lock("db", &format!(r#""priority":5,"owner":{owner}"#)) + "\n").collect();
    world.send(bob, waits.as_bytes());
    for client in [carl, dora] {
        world.put(client, format!("{}\n", lock("db", r#""progress":true,"priority":3"#)).as_bytes());
    }
    assert_eq!(world.step_once(), [(carl, queued("db", 1100)), (dora, queued("db", 1101))], "both in one turn");
}

#[test]
fn whoever_came_after_those_left_over_is_counted_in_the_order_of_the_queue_ever_after() {
    let mut world = World::with_limits(Limits { turn_grants_max: 1, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(ann, &lock("other", r#""owner":1"#));
    for owner in 0..3 {
        world.say(bob, &lock("db", &format!(r#""mode":"shared","owner":{owner}"#)));
    }
    // It waits on, for `other`, when those before it have been granted.
    world.say(bob, r#"{"command":"lock","names":["db","other"],"mode":"shared"}"#);
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.put(carl, format!("{}\n", lock("db", r#""progress":true,"priority":3"#)).as_bytes());
    let received = world.step_once();
    let told: Vec<&Received> = received.iter().filter(|(client, _)| *client == carl).collect();
    assert_eq!(told, [&(carl, queued("db", 2))], "one is left over: {received:?}");
    assert_eq!(world.step().len(), 1, "it is granted");
    assert_queued(&mut world, dora, r#""priority":2"#, 2);
}
