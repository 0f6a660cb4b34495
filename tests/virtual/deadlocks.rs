//! Which circles of waits a request is refused for, and which it is not.

use crate::words::{acquired, lock};
use crate::world::{Client, World};

const REFUSE: &str = r#""deadlock":"refuse""#;
const SHARED: &str = r#""mode":"shared""#;

/// The client gets these locks, with these fields.
#[track_caller]
fn hold(world: &mut World, client: Client, names: &[&str], fields: &str) {
    for name in names {
        assert_eq!(world.say(client, &lock(name, fields)), [(client, acquired(name))]);
    }
}

/// The client waits for a lock.
#[track_caller]
fn wait(world: &mut World, client: Client, name: &str, fields: &str) {
    assert_eq!(world.say(client, &lock(name, fields)), [], "{name} {fields}");
}

/// The client's request is refused, since these would wait for each other.
#[track_caller]
fn assert_refused(world: &mut World, client: Client, name: &str, fields: &str, cycle: &[Client]) {
    let cycle: Vec<_> = cycle.iter().map(|client| world.name(*client)).collect();
    let reply = format!(r#"{{"name":"{name}","result":"deadlock","cycle":{}}}"#, serde_json::json!(cycle));
    assert_eq!(world.say(client, &lock(name, fields)), [(client, reply)]);
}

#[test]
fn a_request_that_gets_ahead_of_somebody_closes_a_circle() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    hold(&mut world, bob, &["x"], "");
    hold(&mut world, carl, &["db"], "");
    wait(&mut world, ann, "x", "");
    wait(&mut world, bob, "db", "");
    // Bob would wait for Ann, who waits for Bob.
    assert_refused(&mut world, ann, "db", r#""priority":1,"deadlock":"refuse""#, &[ann, bob]);
    wait(&mut world, ann, "db", REFUSE);
}

#[test]
fn a_circle_that_was_there_before_refuses_nothing_else() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    hold(&mut world, ann, &["a"], "");
    hold(&mut world, bob, &["b"], "");
    wait(&mut world, ann, "b", "");
    wait(&mut world, bob, "a", "");
    hold(&mut world, carl, &["db", "other"], "");
    wait(&mut world, dora, "db", "");
    wait(&mut world, ann, "other", REFUSE);
    wait(&mut world, ann, "db", r#""priority":1,"deadlock":"refuse""#);
}

#[test]
fn waits_that_more_than_one_could_end_are_not_counted() {
    for (held, wanted) in [
        (lock("s", r#""slots":2"#), lock("s", r#""slots":2"#)),
        (lock("s", ""), r#"{"command":"lock","names":["s","t"],"any":true}"#.to_owned()),
    ] {
        let mut world = World::new();
        let [ann, bob, carl] = world.connect();
        hold(&mut world, bob, &["b"], "");
        assert_eq!(world.say(ann, &held), [(ann, acquired("s"))]);
        assert_eq!(world.say(carl, &held).len(), usize::from(held.contains("slots")));
        hold(&mut world, carl, &["t"], "");
        assert_eq!(world.say(bob, &wanted), [], "{wanted}");
        wait(&mut world, ann, "b", REFUSE);
    }
}

#[test]
fn a_wait_for_the_only_unit_counts() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    hold(&mut world, ann, &["s"], r#""slots":1"#);
    hold(&mut world, bob, &["b"], "");
    wait(&mut world, bob, "s", r#""slots":1"#);
    assert_refused(&mut world, ann, "b", REFUSE, &[ann, bob]);
}

#[test]
fn a_shared_request_waits_for_no_shared_one_but_an_exclusive_one_after_it_does() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    hold(&mut world, dora, &["db"], "");
    hold(&mut world, bob, &["x", "y"], SHARED);
    wait(&mut world, ann, "db", SHARED);
    wait(&mut world, bob, "db", SHARED);
    // Bob waits for Dora alone.
    wait(&mut world, ann, "y", REFUSE);
    hold(&mut world, carl, &["x"], SHARED);
    wait(&mut world, carl, "db", "");
    // Bob comes first, and passes Ann's request by; Carl does not.
    assert_refused(&mut world, ann, "x", REFUSE, &[ann, carl]);
}
