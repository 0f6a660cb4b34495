//! Requests for several locks whose asker has some of them already.

use crate::words::{LOCKS, acquired, already_acquired, error, listing, lock, released, unlock, with};
use crate::world::{Client, World};

const FENCE: &str = r#","fence":true"#;

fn several(names: &str, fields: &str) -> String {
    format!(r#"{{"command":"lock","names":{names}{fields}}}"#)
}

fn answer(names: &str, result: &str, fields: &str) -> String {
    format!(r#"{{"names":{names},"result":"{result}"{fields}}}"#)
}

/// The refusal with all names of the request.
fn already_queued(names: &str) -> String {
    let refused = error("already_queued", "the asker already waits for these locks");
    with(&refused, &format!(r#""names":{names}"#))
}

fn already_held(name: &str) -> String {
    with(&error("already_held", "the asker already holds this lock, or waits for it"), &format!(r#""name":"{name}""#))
}

fn mode_conflict(name: &str) -> String {
    let message = "the asker is on this lock in another mode, or with other slots";
    with(&error("mode_conflict", message), &format!(r#""name":"{name}""#))
}

#[track_caller]
fn assert_told(world: &mut World, client: Client, line: &str, reply: String) {
    assert_eq!(world.say(client, line), [(client, reply)], "{line}");
}

#[test]
fn locks_that_one_grant_gave_are_already_acquired_together() {
    let mut world = World::new();
    let [ann] = world.connect();
    let both = r#"["a","b"]"#;
    assert_told(&mut world, ann, &several(both, FENCE), answer(both, "acquired", r#","token":1"#));
    assert_told(&mut world, ann, &several(both, FENCE), answer(both, "already_acquired", r#","token":1"#));
    let other_order = r#"["b","a"]"#;
    assert_told(&mut world, ann, &several(other_order, ""), answer(other_order, "already_acquired", ""));
    // Neither in part, nor in another mode.
    assert_told(&mut world, ann, &several(r#"["c","b"]"#, ""), already_held("b"));
    assert_told(&mut world, ann, &several(both, r#","mode":"shared""#), mode_conflict("a"));
    assert_told(&mut world, ann, &several(r#"["c","b"]"#, r#","mode":"shared""#), mode_conflict("b"));
}

#[test]
fn locks_of_several_grants_are_held_but_not_together() {
    let mut world = World::new();
    let [ann] = world.connect();
    for name in ["a", "b"] {
        assert_told(&mut world, ann, &lock(name, ""), acquired(name));
    }
    assert_told(&mut world, ann, &several(r#"["a","b"]"#, ""), already_held("a"));
    assert_told(&mut world, ann, &several(r#"["b","a"]"#, ""), already_held("b"));
}

#[test]
fn a_wait_for_all_is_repeated_in_vain() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("a", ""));
    let both = r#"["a","b"]"#;
    assert_eq!(world.say(bob, &several(both, "")), []);
    assert_told(&mut world, bob, &several(both, ""), already_queued(both));
    let three = r#"["a","b","c"]"#;
    assert_told(&mut world, bob, &several(three, ""), already_held("a"));
    let any = r#","any":true"#;
    assert_told(&mut world, bob, &several(both, any), already_held("a"));
    assert_told(&mut world, bob, &several(both, r#","mode":"shared""#), mode_conflict("a"));
    // A wait for any of them is not one for all of them.
    let [carl] = world.connect();
    assert_eq!(world.say(carl, &several(both, any)), []);
    assert_told(&mut world, carl, &several(both, ""), already_held("a"));
}

#[test]
fn of_any_the_first_that_is_held_is_already_acquired() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(bob, &lock("c", ""));
    for name in ["a", "b"] {
        assert_told(&mut world, ann, &lock(name, ""), acquired(name));
    }
    let any = |names: &str, fields: &str| several(names, &format!(r#","any":true{fields}"#));
    let with_token = with(&already_acquired("b"), r#""token":3"#);
    assert_told(&mut world, ann, &any(r#"["d","b","a"]"#, FENCE), with_token);
    assert_told(&mut world, ann, &any(r#"["a","b"]"#, ""), already_acquired("a"));
    assert_told(&mut world, ann, &any(r#"["d","b"]"#, r#","mode":"shared""#), mode_conflict("b"));
    // One that is waited for is not held.
    assert_eq!(world.say(ann, &lock("c", "")), []);
    assert_told(&mut world, ann, &any(r#"["c","b"]"#, ""), already_acquired("b"));
    assert_told(&mut world, ann, &any(r#"["d","c"]"#, ""), already_held("c"));
}

#[test]
fn a_request_for_all_waits_for_none_whom_it_fits() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    let both = r#"["a","b"]"#;
    world.say(ann, &lock("a", r#""mode":"shared""#));
    world.say(bob, &lock("b", ""));
    assert_eq!(world.say(carl, &several(both, r#","mode":"shared""#)), []);
    let received = world.say(bob, &unlock("b"));
    assert_eq!(received, [(bob, released("b")), (carl, answer(both, "acquired", ""))]);
}

#[test]
fn those_who_waited_after_a_request_for_any_move_up_when_it_got_another() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("a", r#""mode":"shared""#));
    world.say(bob, &lock("b", ""));
    assert_eq!(world.say(carl, &several(r#"["a","b"]"#, r#","any":true"#)), []);
    assert_eq!(world.say(dora, &lock("a", r#""mode":"shared""#)), []);
    let received = world.say(bob, &unlock("b"));
    assert_eq!(received, [(bob, released("b")), (carl, acquired("b")), (dora, acquired("a"))]);
}

#[test]
fn a_renewal_of_several_counts_the_waiters_of_all_and_renews_all_or_nothing() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    let renew = |names: &str, fields: &str| format!(r#"{{"command":"renew","names":{names}{fields}}}"#);
    world.say(ann, &several(r#"["a","b"]"#, r#","lease":9"#));
    world.say(ann, &lock("c", ""));
    for (client, name) in [(bob, "a"), (carl, "a"), (bob, "b"), (carl, "c")] {
        assert_eq!(world.say(client, &lock(name, "")), []);
    }
    let both = r#"["a","b"]"#;
    assert_told(&mut world, ann, &renew(r#"["a","x","b"]"#, ""), answer(both, "renewed", r#","waiters":3"#));
    // `c` has no lease, and the request has none for it, wherever it is among the others.
    for names in [r#"["c","a"]"#, r#"["a","c"]"#] {
        let refused = error("invalid_request", "lease is missing, and there is none to renew");
        assert_told(&mut world, ann, &renew(names, ""), with(&refused, &format!(r#""names":{names}"#)));
    }
    let with_one = renew(r#"["a","c"]"#, r#","lease":9"#);
    assert_told(&mut world, ann, &with_one, answer(r#"["a","c"]"#, "renewed", r#","waiters":3"#));
    assert_told(&mut world, ann, &renew(r#"["x","y"]"#, ""), answer(r#"["x","y"]"#, "renew_failed", ""));
}

#[test]
fn a_lock_that_a_request_for_any_leaves_may_be_free_and_forgotten_by_then() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("c", ""));
    assert_eq!(world.say(bob, &several(r#"["a","b","c"]"#, "")), []);
    assert_eq!(world.say(carl, &several(r#"["a","b"]"#, r#","any":true"#)), []);
    assert_eq!(world.vanish(bob), [(carl, acquired("a"))]);
    let all = r#"{"c":["10.0.0.1:1"],"a":["10.0.0.3:1"]}"#;
    assert_eq!(world.say(carl, LOCKS), [(carl, listing("locks", all))]);
}
