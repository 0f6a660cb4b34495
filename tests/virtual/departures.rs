//! Where the server differs from the original on purpose, case by case.

use std::time::Duration;

use officer::wire::peer::Peer;

use crate::words::{
    CONNECTIONS, LOCKS, RESET, RESET_SUCCEEDED, acquired, error, listing, lock, release_failed, released, timed_out,
    unlock, with,
};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_line_that_is_not_a_request_is_answered_and_the_connection_keeps_its_locks() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    for line in ["hello", "{", "[]", "{}", r#"{"command":"nonsense"}"#, r#"{"command":"lock"}"#] {
        let received = world.say(ann, line);
        assert!(matches!(&received[..], [(to, reply)] if *to == ann && reply.contains(r#""result":"error""#)));
    }
    assert!(!world.is_at_end(ann));
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
}

#[test]
fn unlock_before_the_first_lock_fails_like_any_other() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    assert_eq!(world.say(bob, &unlock("db")), [(bob, release_failed("db"))]);
    assert_eq!(world.say(bob, &lock("other", "")), [(bob, acquired("other"))]);
}

#[test]
fn a_name_or_a_timeout_of_another_type_is_refused_and_queue_max_0_is_not() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(
        world.say(ann, r#"{"command":"lock","name":5}"#),
        [(ann, error("invalid_request", "name must be a string"))]
    );
    assert_eq!(
        world.say(ann, &lock("db", r#""timeout":"0.1""#)),
        [(ann, with(&error("invalid_request", "timeout must be a number of seconds"), r#""name":"db""#))]
    );
    assert_eq!(world.say(ann, &lock("db", r#""queue_max":0"#)), [(ann, acquired("db"))]);
}

#[test]
fn reset_while_waiting_is_answered_by_one_line() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    for name in ["a", "b"] {
        world.say(ann, &lock(name, ""));
        world.say(bob, &lock(name, ""));
    }
    assert_eq!(world.say(bob, RESET), [(bob, RESET_SUCCEEDED.to_owned())]);
    assert_eq!(world.pass(SECOND), []);
}

#[test]
fn the_timer_of_a_wait_is_cancelled_with_the_wait() {
    for leave in [unlock("db"), RESET.to_owned()] {
        let mut world = World::new();
        let [ann, bob] = world.connect();
        world.say(ann, &lock("db", ""));
        world.say(bob, &lock("db", r#""timeout":5"#));
        world.pass(SECOND);
        world.say(bob, &leave);
        assert_eq!(world.say(bob, &lock("db", "")), []);
        assert_eq!(world.pass(30 * SECOND), [], "the timer of the first wait is gone");
        assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
    }
}

#[test]
fn a_timed_wait_on_the_same_name_after_a_reset_times_out() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":5"#));
    world.pass(SECOND);
    world.say(bob, RESET);
    assert_eq!(world.say(bob, &lock("db", r#""timeout":5"#)), []);
    assert_eq!(world.pass(5 * SECOND - Duration::from_nanos(1)), []);
    assert_eq!(world.pass(Duration::from_nanos(1)), [(bob, timed_out("db", &["10.0.0.1:1"]))]);
}

#[test]
fn a_timeout_of_0_never_enters_the_queue() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    // Both arrive together, and the lock is released right after: in neither order does the request with timeout 0 get
    // the lock.
    world.put(bob, format!("{}\n{LOCKS}\n", lock("db", r#""timeout":0"#)).as_bytes());
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    assert_eq!(
        world.step(),
        [
            (ann, released("db")),
            (bob, timed_out("db", &["10.0.0.1:1"])),
            (bob, listing("locks", r#"{"db":["10.0.0.1:1"]}"#)),
        ]
    );
}

#[test]
fn an_idle_connection_that_never_locked_is_closed_like_any_other() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.pass(60 * SECOND);
    assert!(world.is_closed(ann) && world.is_closed(bob));
}

#[test]
fn connections_on_a_unix_socket_have_names_of_their_own_and_ipv6_has_brackets() {
    let mut world = World::new();
    let ann = world.connect_as(Peer::Unix(1));
    let bob = world.connect_as(Peer::Unix(2));
    let carl = world.connect_as(Peer::V6 { ip: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], port: 80 });
    for client in [ann, bob, carl] {
        world.say(client, &lock("db", ""));
    }
    assert_eq!(world.say(carl, LOCKS), [(carl, listing("locks", r#"{"db":["unix:1","unix:2","[2001:db8::1]:80"]}"#))]);
}

#[test]
fn connections_lists_only_those_that_hold_or_wait() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    assert_eq!(world.say(ann, CONNECTIONS), [(ann, listing("connections", "{}"))]);
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":0"#));
    assert_eq!(world.say(bob, CONNECTIONS), [(bob, listing("connections", r#"{"10.0.0.1:1":["db"]}"#))]);
    world.say(ann, &unlock("db"));
    assert_eq!(world.say(ann, CONNECTIONS), [(ann, listing("connections", "{}"))], "without a reset");
}
