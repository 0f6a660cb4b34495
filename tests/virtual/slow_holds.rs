//! Holds that others wait for, and that last for long, in the log.

use std::time::Duration;

use officer::server::Limits;

use crate::logged::logged;
use crate::words::{lock, unlock};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    World::with_limits(Limits { slow_hold: Some(SECOND * 10), max_idle: None, ..Limits::default() })
}

/// The lines about slow holds that a conversation leads to.
fn slow_holds<T>(conversation: impl FnOnce() -> T) -> Vec<String> {
    let log = logged(|| drop(conversation()));
    log.lines().filter_map(|line| Some(line.split_once("slow hold: ")?.1.to_owned())).collect()
}

#[test]
fn a_hold_is_logged_once_when_it_has_lasted_too_long_and_others_wait() {
    let mut world = world();
    let [ann, bob, carl] = world.connect();
    world.say(ann, r#"{"command":"hello","client":"web1\n[ERROR] x"}"#);
    let quiet = slow_holds(|| {
        world.say(ann, &lock("db", r#""owner":"o","label":"raid""#));
        world.pass(SECOND * 60);
    });
    assert!(quiet.is_empty(), "nobody waits: {quiet:?}");
    let at_once = slow_holds(|| {
        world.say(bob, &lock("db", ""));
        world.pass(SECOND);
    });
    let by = format!(r#"by {}, client "web1\n[ERROR] x", owner "o", label "raid""#, world.name(ann));
    assert_eq!(at_once, [format!(r#""db" has been held for 60.0s {by}; 1 waits for it"#)]);
    let again = slow_holds(|| {
        world.say(carl, &lock("db", ""));
        world.pass(SECOND * 30);
        world.say(bob, &unlock("db"));
        world.say(carl, &unlock("db"));
        world.say(bob, &lock("db", ""));
        world.pass(SECOND * 30);
    });
    assert!(again.is_empty(), "once per hold, although others wait: {again:?}");
}

#[test]
fn each_hold_is_logged_when_its_own_time_is_over() {
    let mut world = world();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""owner":7"#));
    world.say(carl, &lock("db", ""));
    let quiet = slow_holds(|| world.pass(SECOND * 9));
    assert!(quiet.is_empty(), "{quiet:?}");
    world.say(ann, &unlock("db"));
    let early = slow_holds(|| world.pass(Duration::from_millis(9_999)));
    assert!(early.is_empty(), "{early:?}");
    let late = slow_holds(|| world.pass(Duration::from_millis(1)));
    assert_eq!(late, [format!(r#""db" has been held for 10.0s by {}, owner 7; 1 waits for it"#, world.name(bob))]);
    world.say(bob, r#"{"command":"unlock","name":"db","owner":7}"#);
    let alone = slow_holds(|| world.pass(SECOND * 60));
    assert!(alone.is_empty(), "nobody waits any longer: {alone:?}");
}

#[test]
fn of_several_holders_the_oldest_is_logged_and_a_closed_lock_has_none() {
    let mut world = world();
    let [ann, bob, carl] = world.connect();
    for client in [ann, bob] {
        world.say(client, &lock("db", r#""mode":"shared""#));
        world.pass(SECOND);
    }
    world.say(carl, &lock("db", ""));
    let first = slow_holds(|| world.pass(SECOND * 20));
    assert_eq!(first, [format!(r#""db" has been held for 10.0s by {}; 1 waits for it"#, world.name(ann))]);
    world.say(ann, &unlock("db"));
    let second = slow_holds(|| world.pass(SECOND * 10));
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(second[0].contains(&format!("by {}", world.name(bob))), "{second:?}");
    world.say(ann, &lock("shut", r#""min_hold":100"#));
    world.say(ann, &unlock("shut"));
    world.say(bob, &lock("shut", r#""timeout":50"#));
    let closed = slow_holds(|| world.pass(SECOND * 60));
    assert!(closed.is_empty(), "nobody holds it: {closed:?}");
}

#[test]
fn a_wait_that_is_refused_or_for_several_locks_leaves_no_deadline_behind() {
    let mut world = world();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("a", ""));
    world.say(bob, &lock("b", ""));
    world.say(ann, &lock("b", ""));
    world.say(bob, &lock("a", r#""deadlock":"refuse""#));
    world.say(bob, r#"{"command":"lock","names":["a","c"]}"#);
    let held = slow_holds(|| world.pass(SECOND * 10));
    assert_eq!(held.len(), 2, "a and b, of which somebody holds each: {held:?}");
    // The world checks after each step that no other deadline is armed.
    let over = slow_holds(|| {
        world.vanish(ann);
        world.vanish(bob);
        world.pass(SECOND * 60);
    });
    assert!(over.is_empty(), "{over:?}");
}

#[test]
fn a_flood_of_slow_holds_is_ten_lines_a_second_and_a_count() {
    let mut world = world();
    let [ann, bob] = world.connect();
    for number in 0..25 {
        world.say(ann, &lock(&format!("boss:{number}"), ""));
        world.say(bob, &lock(&format!("boss:{number}"), ""));
    }
    let lines = slow_holds(|| world.pass(SECOND * 10));
    assert_eq!(lines.len(), 10, "{lines:?}");
    world.say(ann, &lock("last", ""));
    world.say(bob, &lock("last", ""));
    let next = slow_holds(|| world.pass(SECOND * 10));
    assert_eq!(next.len(), 1, "{next:?}");
    assert!(next[0].ends_with("; 1 waits for it (and 15 more slow holds)"), "{next:?}");
}
