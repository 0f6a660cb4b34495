//! A request with an `id`: every reply to it carries the id, and there is exactly one final reply.

use std::time::Duration;

use officer::server::Limits;

use crate::words::{
    CONNECTIONS, KEEP_ALIVE, LOCKS, MY_LOCKS, RESET, RESET_SUCCEEDED, acquired, already_acquired, cancelled, error,
    listing, lock, queue_maxed, release_failed, released, timed_out, unlock, with,
};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// The line with an `id`.
fn with_id(line: &str, id: &str) -> String {
    with(line, &format!(r#""id":{id}"#))
}

#[test]
fn every_reply_carries_the_id_of_its_request() {
    let mut world = World::with_limits(Limits { connection_locks_max: 2, lock_waits_max: 1, ..Limits::default() });
    let [ann, bob, carl] = world.connect();
    let on_db = ["10.0.0.1:1"];
    let error_on = |reason, message, name: &str| with(&error(reason, message), &format!(r#""name":"{name}""#));
    for (client, request, reply) in [
        (ann, lock("db", ""), acquired("db")),
        (ann, lock("db", ""), already_acquired("db")),
        (bob, lock("db", r#""timeout":0"#), timed_out("db", &on_db)),
        (bob, lock("db", r#""queue_max":1"#), queue_maxed("db", &on_db)),
        (bob, unlock("db"), release_failed("db")),
        (bob, LOCKS.to_owned(), listing("locks", r#"{"db":["10.0.0.1:1"]}"#)),
        (bob, CONNECTIONS.to_owned(), listing("connections", r#"{"10.0.0.1:1":["db"]}"#)),
        (ann, MY_LOCKS.to_owned(), listing("my_locks", r#"["db"]"#)),
        (ann, KEEP_ALIVE.to_owned(), r#"{"result":"kept_alive"}"#.to_owned()),
        (ann, lock("b", ""), acquired("b")),
        (ann, lock("c", ""), error_on("too_many_locks", "per-connection lock limit reached", "c")),
        (
            ann,
            lock("d", r#""queue_max":-1"#),
            error_on("invalid_request", "queue_max must be a whole number, 0 or more", "d"),
        ),
        (
            ann,
            r#"{"command":"x","name":"n"}"#.to_owned(),
            error_on("unknown_command", r#"there is no command \"x\""#, "n"),
        ),
        (ann, unlock("b"), released("b")),
        (ann, RESET.to_owned(), RESET_SUCCEEDED.to_owned()),
    ] {
        for id in ["7", "\"seven\""] {
            let received = world.say(client, &with_id(&request, id));
            // Repeated, the first of these has another reply. The two differ only in the id.
            let is_second = id != "7";
            let expected = match () {
                () if is_second && reply.contains("\"acquired\"") => reply.replace("acquired", "already_acquired"),
                () if is_second && reply.contains("\"released\"") => reply.replace("released", "release_failed"),
                () => reply.clone(),
            };
            assert_eq!(received, [(client, with_id(&expected, id))]);
        }
    }
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    assert_eq!(
        world.say(carl, &with_id(&lock("db", ""), "1")),
        [(carl, with_id(&error_on("too_many_waits", "too many waiters for this lock", "db"), "1"))]
    );
}

#[test]
fn a_listing_that_is_too_large_is_refused_with_its_id() {
    let mut world = World::with_limits(Limits { reply_bytes_max: 10, ..Limits::default() });
    let [ann] = world.connect();
    world.say(ann, &lock("a long name", ""));
    let received = world.say(ann, &with_id(LOCKS, "3"));
    assert!(
        matches!(&received[..], [(_, reply)] if reply.contains("reply_too_large") && reply.ends_with(r#","id":3}"#))
    );
}

#[test]
fn an_id_is_returned_unchanged() {
    let mut world = World::new();
    let [ann] = world.connect();
    let longest = format!("\"{}\"", "é".repeat(32));
    for (sent, got) in [
        ("0", "0"),
        ("9007199254740991", "9007199254740991"),
        ("7.0", "7"),
        (r#""""#, r#""""#),
        (r#""a\"\\\n\u0001é""#, r#""a\"\\\n\u0001é""#),
        (r#""\u0041""#, r#""A""#),
        (longest.as_str(), longest.as_str()),
    ] {
        assert_eq!(world.say(ann, &with_id(RESET, sent)), [(ann, with_id(RESET_SUCCEEDED, got))]);
    }
    assert_eq!(world.say(ann, &with_id(RESET, "null")), [(ann, RESET_SUCCEEDED.to_owned())], "null is absent");
}

#[test]
fn an_invalid_id_is_refused_and_nothing_is_executed() {
    let mut world = World::new();
    let [ann] = world.connect();
    let number = "id must be a whole number from 0 to 9007199254740991, or a string";
    let too_long = format!("\"{}\"", "x".repeat(65));
    for (id, message) in [
        ("-1", number),
        ("1.5", number),
        ("9007199254740992", number),
        ("1e300", number),
        ("true", "id must be a string or a whole number"),
        ("[1]", "id must be a string or a whole number"),
        (too_long.as_str(), "id must have at most 64 bytes"),
    ] {
        let refused = with(&error("invalid_request", message), r#""name":"db""#);
        assert_eq!(world.say(ann, &with_id(&lock("db", ""), id)), [(ann, refused)]);
    }
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", "[]"))]);
}

#[test]
fn the_end_of_a_wait_carries_the_id_of_the_wait() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &with_id(&lock("db", ""), "1"));
    assert_eq!(world.say(bob, &with_id(&lock("db", ""), r#""b""#)), []);
    assert_eq!(world.say(carl, &with_id(&lock("db", r#""timeout":2"#), "3")), []);
    assert_eq!(
        world.say(ann, &with_id(&unlock("db"), "4")),
        [(ann, with_id(&released("db"), "4")), (bob, with_id(&acquired("db"), r#""b""#))]
    );
    assert_eq!(world.pass(2 * SECOND), [(carl, with_id(&timed_out("db", &["10.0.0.2:1"]), "3"))]);
    // Once granted, the wait's id is not used again.
    assert_eq!(world.say(bob, &unlock("db")), [(bob, released("db"))]);
}

#[test]
fn a_wait_that_the_client_ends_is_cancelled() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    for name in ["a", "b", "c"] {
        world.say(ann, &lock(name, ""));
    }
    world.say(bob, &with_id(&lock("a", r#""timeout":9"#), "1"));
    assert_eq!(world.say(bob, &unlock("a")), [(bob, with_id(&cancelled("a"), "1")), (bob, released("a"))]);
    world.say(bob, &with_id(&lock("a", ""), "2"));
    assert_eq!(
        world.say(bob, &with_id(&unlock("a"), "3")),
        [(bob, with_id(&cancelled("a"), "2")), (bob, with_id(&released("a"), "3"))]
    );
    // Held, waited for with an id, waited for without one.
    world.say(bob, &with_id(&lock("d", ""), "4"));
    world.say(bob, &with_id(&lock("a", ""), r#""five""#));
    world.say(bob, &lock("b", ""));
    world.say(bob, &with_id(&lock("c", ""), "6"));
    assert_eq!(
        world.say(bob, &with_id(RESET, "7")),
        [
            (bob, with_id(&cancelled("a"), r#""five""#)),
            (bob, with_id(&cancelled("c"), "6")),
            (bob, with_id(RESET_SUCCEEDED, "7")),
        ]
    );
    assert_eq!(world.pass(20 * SECOND), []);
}

#[test]
fn a_second_request_with_an_id_during_a_wait_is_refused_and_the_wait_goes_on() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &with_id(&lock("db", r#""timeout":5"#), "1"));
    let refused = with(&error("already_queued", "the connection already waits for this lock"), r#""name":"db","id":2"#);
    assert_eq!(world.say(bob, &with_id(&lock("db", r#""timeout":1"#), "2")), [(bob, refused.clone())]);
    assert_eq!(world.say(bob, &with_id(&lock("db", r#""timeout":0"#), "2")), [(bob, refused.clone())]);
    assert_eq!(world.pass(5 * SECOND), [(bob, with_id(&timed_out("db", &["10.0.0.1:1"]), "1"))]);
    // The same for a wait without an id, and the refused request leaves no timeout behind.
    world.say(bob, &lock("db", ""));
    assert_eq!(world.say(bob, &with_id(&lock("db", r#""timeout":1"#), "2")), [(bob, refused)]);
    assert_eq!(world.pass(5 * SECOND), []);
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
}

#[test]
fn a_second_request_without_an_id_joins_a_wait_that_has_one() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &with_id(&lock("db", ""), "1"));
    assert_eq!(world.say(bob, &lock("db", r#""timeout":3"#)), []);
    assert_eq!(world.pass(3 * SECOND), [(bob, with_id(&timed_out("db", &["10.0.0.1:1"]), "1"))]);
}

#[test]
fn waits_with_an_id_are_answered_that_the_server_shuts_down() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &with_id(&lock("db", ""), "1"));
    world.say(bob, &with_id(&lock("db", ""), r#""two""#));
    world.say(carl, &lock("db", r#""timeout":1"#));
    world.say(dora, &lock("other", ""));
    world.say(dora, &with_id(&lock("db", r#""timeout":9"#), "4"));
    let ending = with(&error("shutting_down", "the server is shutting down"), r#""name":"db""#);
    assert_eq!(world.shut_down(), [(bob, with_id(&ending, r#""two""#)), (dora, with_id(&ending, "4"))]);
    // Nothing is executed or expires any more.
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.oversleep(100 * SECOND);
    assert_eq!(world.step_once(), []);
}

#[test]
fn replies_decided_before_the_shutdown_are_still_sent() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.take_only(ann, 0);
    assert_eq!(world.say(ann, &lock("db", "")), []);
    assert_eq!(world.shut_down(), []);
    assert!(world.server.unsent() > 0);
    world.put_room(ann, Some(10));
    assert_eq!(world.step_once(), []);
    assert_eq!(world.step_once(), [], "the rest would block");
    world.put_room(ann, None);
    assert_eq!(world.step_once(), [(ann, acquired("db"))]);
    assert_eq!(world.server.unsent(), 0);
}

#[test]
fn a_client_without_ids_sees_nothing_of_the_ids_of_others() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(carl, &with_id(&lock("db", ""), "1"));
    assert_eq!(world.say(bob, &lock("db", "")), []);
    assert_eq!(world.say(bob, &lock("db", r#""timeout":5"#)), [], "it joins");
    assert_eq!(world.say(bob, &unlock("db")), [(bob, released("db"))], "no cancelled");
    assert_eq!(world.say(bob, &lock("db", "")), []);
    assert_eq!(world.say(bob, RESET), [(bob, RESET_SUCCEEDED.to_owned())], "no cancelled");
    assert_eq!(world.say(bob, KEEP_ALIVE), []);
    assert_eq!(world.say(bob, &lock("db", r#""timeout":1"#)), []);
    assert_eq!(
        world.pass(SECOND),
        [(bob, timed_out("db", &["10.0.0.1:1", "10.0.0.3:1"]))],
        "the ids of others are not shown"
    );
    assert_eq!(world.say(bob, &lock("db", "")), []);
    world.say(carl, RESET);
    assert_eq!(world.shut_down(), [], "no shutting_down");
}
