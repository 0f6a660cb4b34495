//! A holder hands its lock to a waiter of its choice.

use std::time::Duration;

use crate::words::{acquired, lock, released, unlock};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);

fn transfer(world: &World, to: Client, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"command":"transfer","name":"a","to":"{}"{comma}{fields}}}"#, world.name(to))
}

fn transferred() -> String {
    r#"{"name":"a","result":"transferred"}"#.to_owned()
}

fn failed(held: bool) -> String {
    format!(r#"{{"name":"a","result":"transfer_failed","held":{held}}}"#)
}

/// A world in which the first client holds `a` and the others wait for it.
fn queue<const N: usize>(fields: [&str; N]) -> (World, [Client; N]) {
    let mut world = World::new();
    let clients = world.connect();
    for (client, fields) in clients.into_iter().zip(fields) {
        world.say(client, &lock("a", fields));
    }
    (world, clients)
}

#[test]
fn the_lock_passes_ahead_of_the_queue_with_a_new_token() {
    let (mut world, [ann, bob, carl]) = queue([r#""fence":true"#, "", r#""fence":true,"id":9,"lease":30"#]);
    world.pass(SECOND * 2);
    let line = transfer(&world, carl, r#""id":"t""#);
    assert_eq!(
        world.say(ann, &line),
        [
            (ann, r#"{"name":"a","result":"transferred","id":"t"}"#.to_owned()),
            (carl, r#"{"name":"a","result":"acquired","token":2,"waited":2,"id":9}"#.to_owned()),
        ]
    );
    // The lease of the waiter begins.
    assert_eq!(world.pass(SECOND * 29), []);
    let received = world.pass(SECOND);
    assert!(received.contains(&(bob, acquired("a"))), "{received:?}");
}

#[test]
fn it_goes_to_nobody_who_does_not_wait_for_it_alone() {
    let (mut world, [ann, bob, carl, dora]) = queue([r#""fence":true"#, "", "", ""]);
    let [emil] = world.connect();
    world.say(carl, &unlock("a"));
    world.say(emil, r#"{"command":"lock","names":["a","b"]}"#);
    world.say(dora, r#"{"command":"reset"}"#);
    world.say(dora, r#"{"command":"lock","names":["a","b"],"any":true}"#);
    world.say(dora, r#"{"command":"unlock","name":"b"}"#);
    for to in [ann, carl, emil] {
        let line = transfer(&world, to, "");
        assert_eq!(world.say(ann, &line), [(ann, failed(true))], "{}", world.name(to));
    }
    for to in [r#""to":"10.9.9.9:9""#, r#""to":"nobody""#, r#""to":"""#, r#""to_owner":3"#, r#""to":"session:1""#] {
        let line = format!(r#"{{"command":"transfer","name":"a",{to}}}"#);
        assert_eq!(world.say(ann, &line), [(ann, failed(true))], "{to}");
    }
    let stale = transfer(&world, bob, r#""token":2"#);
    assert_eq!(world.say(ann, &stale), [(ann, failed(false))], "that hold is gone");
    let line = transfer(&world, bob, "");
    assert_eq!(world.say(carl, &line), [(carl, failed(false))], "who does not hold it");
    let right = transfer(&world, bob, r#""token":1"#);
    assert_eq!(world.say(ann, &right), [(ann, transferred()), (bob, acquired("a"))]);
}

#[test]
fn only_exclusive_holds_are_handed_on() {
    for (fields, waiter) in [(r#""mode":"shared""#, ""), (r#""slots":1"#, r#""slots":1"#), (r#""slots":2"#, "")] {
        let (mut world, [ann, bob]) = queue([fields, waiter]);
        let line = transfer(&world, bob, "");
        assert_eq!(world.say(ann, &line), [(ann, failed(true))], "{fields}");
        assert_eq!(world.say(ann, &unlock("a")), [(ann, released("a")), (bob, acquired("a"))], "{fields}");
    }
}

#[test]
fn owners_of_one_connection_hand_on_to_each_other() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("a", r#""owner":1"#));
    world.say(bob, &lock("a", ""));
    world.say(ann, &lock("a", r#""owner":"x""#));
    world.say(ann, &lock("a", ""));
    let line = |from: &str, to: &str| format!(r#"{{"command":"transfer","name":"a"{from}{to}}}"#);
    assert_eq!(
        world.say(ann, &line(r#","owner":1"#, r#","to_owner":"x""#)),
        [
            (ann, r#"{"name":"a","result":"acquired","owner":"x"}"#.to_owned()),
            (ann, r#"{"name":"a","result":"transferred","owner":1}"#.to_owned()),
        ]
    );
    // Out of turn: not to the connection itself, but to the first in the queue.
    assert_eq!(
        world.say(ann, &line(r#","owner":"x""#, "")),
        [(ann, r#"{"name":"a","result":"transfer_failed","held":true,"owner":"x"}"#.to_owned())]
    );
    let first = transfer(&world, bob, r#""owner":"x""#);
    assert_eq!(
        world.say(ann, &first),
        [(ann, r#"{"name":"a","result":"transferred","owner":"x"}"#.to_owned()), (bob, acquired("a"))]
    );
    assert_eq!(world.say(bob, &unlock("a")), [(ann, acquired("a")), (bob, released("a"))]);
}

#[test]
fn two_cannot_pass_a_lock_between_them_while_a_third_waits() {
    let (mut world, [ann, bob, carl]) = queue(["", "", ""]);
    let to_carl = transfer(&world, carl, "");
    assert_eq!(world.say(ann, &to_carl), [(ann, transferred()), (carl, acquired("a"))]);
    world.say(ann, &lock("a", ""));
    let to_ann = transfer(&world, ann, "");
    assert_eq!(world.say(carl, &to_ann), [(carl, failed(true))]);
    let to_bob = transfer(&world, bob, "");
    assert_eq!(world.say(carl, &to_bob), [(bob, acquired("a")), (carl, transferred())]);
    // Who got it in turn may hand it on to anybody again.
    world.say(carl, &lock("a", ""));
    assert_eq!(world.say(bob, &to_carl), [(bob, transferred()), (carl, acquired("a"))]);
}

#[test]
fn a_lock_out_of_turn_does_not_pass_to_the_second_when_the_first_wants_more() {
    let (mut world, [ann, bob]) = queue(["", ""]);
    let [carl, dora] = world.connect();
    world.say(carl, &lock("a", ""));
    let to_carl = transfer(&world, carl, "");
    world.say(ann, &to_carl);
    world.say(bob, r#"{"command":"reset"}"#);
    world.say(dora, r#"{"command":"lock","names":["a","b"]}"#);
    world.say(bob, &lock("a", ""));
    for to in [dora, bob] {
        let line = transfer(&world, to, "");
        assert_eq!(world.say(carl, &line), [(carl, failed(true))]);
    }
}

#[test]
fn it_waits_for_min_hold_and_does_not_close_the_lock() {
    let (mut world, [ann, bob]) = queue([r#""min_hold":5,"lost_delay":50"#, r#""min_hold":1"#]);
    let line = transfer(&world, bob, "");
    assert_eq!(world.say(ann, &line), [(ann, failed(true))]);
    assert_eq!(world.pass(SECOND * 5 - Duration::from_nanos(1)), []);
    assert_eq!(world.say(ann, &line), [(ann, failed(true))]);
    assert_eq!(world.pass(Duration::from_nanos(1)), []);
    assert_eq!(world.say(ann, &line), [(ann, transferred()), (bob, acquired("a"))]);
    world.say(ann, &lock("a", ""));
    world.say(bob, &unlock("a"));
    assert_eq!(world.pass(SECOND), [(ann, acquired("a"))], "that of the waiter closes it");
}

#[test]
fn shared_waiters_and_units_that_fit_the_new_holder_follow() {
    for kind in [r#""mode":"shared""#, r#""slots":3"#] {
        let (mut world, [ann, bob, carl, dora]) = queue(["", kind, kind, ""]);
        let line = transfer(&world, carl, "");
        let received = world.say(ann, &line);
        let expected = [(ann, transferred()), (bob, acquired("a")), (carl, acquired("a"))];
        assert_eq!(received, expected, "{kind}");
        world.say(bob, &unlock("a"));
        assert_eq!(world.say(carl, &unlock("a")), [(carl, released("a")), (dora, acquired("a"))]);
    }
}

#[test]
fn a_session_without_a_connection_gets_nothing() {
    let (mut world, [ann, bob]) = queue(["", ""]);
    world.say(bob, r#"{"command":"hello","session":{"grace":30}}"#);
    world.vanish(bob);
    for to in ["session:1", "10.0.0.2:1"] {
        let line = format!(r#"{{"command":"transfer","name":"a","to":"{to}"}}"#);
        assert_eq!(world.say(ann, &line), [(ann, failed(true))]);
    }
}
