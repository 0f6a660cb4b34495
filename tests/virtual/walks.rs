//! What looking for deadlocks costs, in places looked at, and that a turn has a limit on it.

use officer::server::Limits;
use officer::time::Moment;

use crate::words::{RESET, RESET_SUCCEEDED, lock, with};
use crate::world::{Client, Received, World};

/// A world whose clients may have any number of places, and send them all at once.
fn world(turn_walk_max: usize) -> World {
    World::with_limits(Limits {
        turn_walk_max,
        connection_locks_max: 1_000_000,
        turn_read_bytes: 16 << 20,
        ..Limits::default()
    })
}

/// A `lock` request of one of a connection's owners.
fn lock_of(owner: usize, name: &str, fields: &str) -> String {
    with(&lock(name, fields), &format!(r#""owner":{owner}"#)) + "\n"
}

fn lock_if_safe(owner: usize, name: &str) -> String {
    lock_of(owner, name, r#""deadlock":"refuse""#)
}

/// Each of the owners from 1 on holds the lock with its number, and waits for that of the next. The last one waits for
/// lock 0, which owner 0 holds.
fn make_chain(world: &mut World, client: Client, length: usize) {
    let mut lines: String = (0..=length).map(|owner| lock_of(owner, &owner.to_string(), "")).collect();
    lines.extend((1..=length).map(|owner| lock_of(owner, &((owner + 1) % (length + 1)).to_string(), "")));
    assert_eq!(world.send(client, lines.as_bytes()).len(), length + 1, "all hold, and nobody gets more");
}

/// Whether the replies are one error.
fn is_too_many(received: &[Received]) -> bool {
    matches!(received, [(_, line)] if line.contains(r#""reason":"too_many_waits""#))
}

fn is_deadlock(received: &[Received]) -> bool {
    matches!(received, [(_, line)] if line.contains(r#""result":"deadlock""#))
}

/// Requests of owner 0 that would wait for a chain.
fn closing_requests() -> [String; 2] {
    let several = r#"{"command":"lock","names":["free","1"],"deadlock":"refuse","owner":0}"#;
    [lock_if_safe(0, "1"), several.to_owned() + "\n"]
}

/// How many places are looked at to find the circle that a chain is about to close.
fn cost_of_chain(length: usize) -> usize {
    cost_of(&lock_if_safe(0, "1"), length)
}

/// The same, for a request of owner 0.
fn cost_of(request: &str, length: usize) -> usize {
    (1..)
        .find(|&turn_walk_max| {
            let mut world = world(turn_walk_max);
            let [ann] = world.connect();
            make_chain(&mut world, ann, length);
            let received = world.send(ann, request.as_bytes());
            assert!(is_deadlock(&received) || is_too_many(&received), "{received:?}");
            is_deadlock(&received)
        })
        .expect("it is found at some cost")
}

#[test]
fn each_link_of_a_chain_costs_the_same() {
    let [one, two, ten] = [1, 2, 10].map(cost_of_chain);
    let link = two - one;
    assert_eq!(ten, one + 9 * link);
    assert!(link <= 3, "its hold, its wait, and who is waited for: {link}");
}

#[test]
fn ten_thousand_waiting_owners_in_a_chain_are_walked_within_the_limit_of_a_turn() {
    let mut world = world(Limits::default().turn_walk_max);
    let [ann] = world.connect();
    make_chain(&mut world, ann, 10_000);
    assert!(is_deadlock(&world.send(ann, lock_if_safe(0, "1").as_bytes())));
}

#[test]
fn a_dense_graph_costs_each_place_a_few_looks_however_many_ways_lead_there() {
    const ASKERS: usize = 100;
    // Everybody waits for all the locks above the own one. The last is the holder of one more.
    let mut lines: String = (0..=ASKERS).map(|owner| lock_of(owner, &owner.to_string(), "")).collect();
    for owner in 0..ASKERS {
        lines.extend((owner + 1..ASKERS).map(|lock| lock_of(owner, &lock.to_string(), "")));
    }
    let places = ASKERS + ASKERS * (ASKERS - 1) / 2;
    for (turn_walk_max, is_enough) in [(places, false), (3 * places, true)] {
        let mut world = world(turn_walk_max);
        let [ann] = world.connect();
        assert_eq!(world.send(ann, lines.as_bytes()).len(), ASKERS + 1);
        let received = world.send(ann, lock_if_safe(ASKERS, "0").as_bytes());
        assert_eq!((received.is_empty(), is_too_many(&received)), (is_enough, !is_enough), "{received:?}");
        assert_eq!(is_deadlock(&world.send(ann, lock_if_safe(0, &ASKERS.to_string()).as_bytes())), is_enough);
    }
}

#[test]
fn a_queue_of_two_thousand_in_which_everybody_holds_something_forms_over_many_turns() {
    const ASKERS: usize = 2_000;
    let mut world = world(Limits::default().turn_walk_max);
    let [ann, bob, zoe] = world.connect();
    world.say(bob, &lock("queue", ""));
    let holds: String = (0..ASKERS).map(|owner| lock_of(owner, &owner.to_string(), "")).collect();
    assert_eq!(world.send(ann, holds.as_bytes()).len(), ASKERS);
    let waits: String = (0..ASKERS).map(|owner| lock_if_safe(owner, "queue")).collect();
    world.put(ann, waits.as_bytes());
    let mut turns = 0;
    while world.server.stats().waiting < ASKERS as u64 {
        let before = waiting(&world);
        world.put(zoe, format!("{RESET}\n").as_bytes());
        assert_eq!(world.step_once(), [(zoe, RESET_SUCCEEDED.to_owned())], "others are served meanwhile");
        let after = waiting(&world);
        // Each that joins has looked at all those before it, and at their holds and waits: three places for each of them.
        let looks: usize = (before..after).map(|ahead| 3 * ahead).sum();
        let largest = 3 * ASKERS + 2;
        assert!(looks <= Limits::default().turn_walk_max + largest, "{looks} in turn {turns}");
        assert!(after > before, "a turn gets on");
        turns += 1;
    }
    assert!(turns >= 100, "{turns} turns");
    // Nobody has got ahead of another.
    let mut received = world.say(bob, r#"{"command":"unlock","name":"queue"}"#);
    received.retain(|(client, _)| *client == ann);
    assert_eq!(received, [(ann, r#"{"name":"queue","result":"acquired","owner":0}"#.to_owned())]);
}

#[test]
fn a_request_that_needs_more_than_a_turn_may_look_at_is_an_error() {
    for request in closing_requests() {
        let cost = cost_of(&request, 20);
        for (turn_walk_max, is_enough) in [(cost - 1, false), (cost, true)] {
            let mut world = world(turn_walk_max);
            let [ann] = world.connect();
            make_chain(&mut world, ann, 20);
            for _ in 0..2 {
                let received = world.send(ann, request.as_bytes());
                assert_eq!((is_deadlock(&received), is_too_many(&received)), (is_enough, !is_enough), "{request}");
            }
            // Nothing was changed: it does not wait.
            assert_eq!(world.server.stats().waiting, 20);
        }
    }
}

#[test]
fn what_comes_when_the_walks_of_a_turn_are_used_up_is_executed_in_the_next_before_later_lines() {
    for request in closing_requests() {
        are_executed_turn_by_turn(request.trim_end());
    }
}

fn are_executed_turn_by_turn(request: &str) {
    let cost = cost_of(&format!("{request}\n"), 20);
    // What is left of the limit of a turn does not limit a request that begins.
    for (turn_walk_max, per_turn) in [(cost, 1), (cost + 1, 2), (2 * cost, 2), (2 * cost + 1, 3)] {
        let mut world = world(turn_walk_max);
        let [ann, zoe] = world.connect();
        make_chain(&mut world, ann, 20);
        let line = |number: usize| {
            let request = with(request, &format!(r#""id":{number}"#));
            format!("{request}\n{{\"command\":\"ping\",\"id\":{number}}}\n")
        };
        world.put(ann, (0..6).map(line).collect::<String>().as_bytes());
        for turn in 0..6 / per_turn {
            world.put(zoe, format!("{RESET}\n").as_bytes());
            let received = world.step_once();
            assert_eq!(received.last(), Some(&(zoe, RESET_SUCCEEDED.to_owned())), "others are served");
            let results: Vec<String> = received[..received.len() - 1].iter().map(|(_, line)| result(line)).collect();
            let expected: Vec<String> = (turn * per_turn..(turn + 1) * per_turn)
                .flat_map(|number| [format!("deadlock {number}"), format!("pong {number}")])
                .collect();
            assert_eq!(results, expected, "turn {turn} of those with {per_turn}");
            let is_over = turn + 1 == 6 / per_turn;
            assert_eq!(world.server.next_turn() == Some(Moment::START), !is_over, "the poll must not sleep");
        }
    }
}

/// The result and the id of a reply.
fn result(line: &str) -> String {
    let reply: serde_json::Value = serde_json::from_str(line).expect("JSON");
    format!("{} {}", reply["result"].as_str().expect("a result"), reply["id"])
}

#[test]
fn a_client_that_makes_the_server_look_for_deadlocks_without_end_does_not_starve_others_that_do() {
    let cost = cost_of_chain(20);
    let mut world = World::with_limits(Limits { turn_walk_max: cost, ..Limits::default() });
    let [greedy, zoe] = world.connect();
    make_chain(&mut world, greedy, 20);
    world.say(zoe, &lock("own", ""));
    world.put(greedy, lock_if_safe(0, "1").repeat(1000).as_bytes());
    for _ in 0..3 {
        assert!(is_deadlock(&world.step_once()), "one in a turn");
    }
    let request = lock("1", r#""deadlock":"refuse","timeout":1"#);
    world.put(zoe, format!("{request}\n{{\"command\":\"ping\"}}\n").as_bytes());
    let received: Vec<Received> = (0..2).flat_map(|_| world.step_once()).collect();
    assert!(received.contains(&(zoe, r#"{"result":"pong"}"#.to_owned())), "{received:?}");
}

fn waiting(world: &World) -> usize {
    usize::try_from(world.server.stats().waiting).expect("few wait")
}
