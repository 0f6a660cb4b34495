//! Locks in conversations: each request of the original's protocol with each of its replies.

use officer::wire::peer::Peer;

use crate::words::{
    CONNECTIONS, KEEP_ALIVE, LOCKS, MY_LOCKS, RESET, RESET_SUCCEEDED, acquired, already_acquired, listing, lock,
    queue_maxed, release_failed, released, timed_out, unlock,
};
use crate::world::World;

#[test]
fn a_free_lock_is_acquired() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(world.say(ann, &lock("db", "")), [(ann, acquired("db"))]);
    assert_eq!(world.say(ann, &lock("other", r#""timeout":0"#)), [(ann, acquired("other"))]);
}

#[test]
fn a_lock_that_is_held_twice_is_released_once() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    assert_eq!(world.say(ann, &lock("db", "")), [(ann, already_acquired("db"))]);
    assert_eq!(world.say(bob, &lock("db", "")), []);
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
    assert_eq!(world.say(ann, &unlock("db")), [(ann, release_failed("db"))]);
}

#[test]
fn a_waiter_is_granted_when_the_holder_unlocks() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    assert_eq!(world.say(bob, &lock("db", "")), []);
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
    assert_eq!(world.say(bob, &unlock("db")), [(bob, released("db"))]);
    assert_eq!(world.say(ann, LOCKS), [(ann, listing("locks", "{}"))]);
}

#[test]
fn a_waiter_is_granted_when_the_holder_vanishes() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    assert_eq!(world.vanish(ann), [(bob, acquired("db"))]);
}

#[test]
fn waiters_are_granted_when_the_holder_of_several_locks_ends_its_input() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("a", ""));
    world.say(ann, &lock("b", ""));
    world.say(bob, &lock("a", ""));
    world.say(carl, &lock("b", ""));
    assert_eq!(world.half_close(ann), [(bob, acquired("a")), (carl, acquired("b"))]);
    assert!(world.is_closed(ann));
}

#[test]
fn a_lock_that_somebody_else_holds_is_not_released() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    assert_eq!(world.say(bob, &unlock("db")), [(bob, release_failed("db"))]);
    assert_eq!(world.say(bob, &unlock("unknown")), [(bob, release_failed("unknown"))]);
    assert_eq!(world.say(bob, LOCKS), [(bob, listing("locks", r#"{"db":["10.0.0.1:1"]}"#))]);
}

#[test]
fn unlock_during_a_wait_leaves_the_queue_and_the_wait_gets_no_reply() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    world.say(carl, &lock("db", ""));
    assert_eq!(world.say(bob, &unlock("db")), [(bob, released("db"))]);
    assert_eq!(world.say(bob, &unlock("db")), [(bob, release_failed("db"))]);
    assert_eq!(world.say(bob, &lock("db", "")), [], "it waits again, at the end");
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (carl, acquired("db"))]);
    assert_eq!(world.say(carl, &unlock("db")), [(bob, acquired("db")), (carl, released("db"))]);
}

#[test]
fn reset_releases_every_lock_leaves_every_queue_and_answers_once() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    for name in ["a", "b"] {
        world.say(ann, &lock(name, ""));
        world.say(carl, &lock(name, ""));
    }
    world.say(bob, &lock("c", ""));
    assert_eq!(world.say(ann, &lock("c", "")), []);
    assert_eq!(
        world.say(ann, RESET),
        [(ann, RESET_SUCCEEDED.to_owned()), (carl, acquired("a")), (carl, acquired("b"))]
    );
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", "[]"))]);
    assert_eq!(world.say(bob, &unlock("c")), [(bob, released("c"))], "nobody waits for it any more");
    assert_eq!(world.say(ann, &lock("c", "")), [(ann, acquired("c"))], "the connection still works");
}

#[test]
fn reset_of_nothing_succeeds() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(world.say(ann, RESET), [(ann, RESET_SUCCEEDED.to_owned())]);
    assert_eq!(world.say(ann, RESET), [(ann, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn locks_lists_the_holder_first_then_the_waiters_in_order() {
    let mut world = World::new();
    let [ann, bob, carl, dora] = world.connect();
    assert_eq!(world.say(dora, LOCKS), [(dora, listing("locks", "{}"))]);
    for client in [bob, ann, carl] {
        world.say(client, &lock("db", ""));
    }
    assert_eq!(
        world.say(dora, LOCKS),
        [(dora, listing("locks", r#"{"db":["10.0.0.2:1","10.0.0.1:1","10.0.0.3:1"]}"#))]
    );
    world.say(bob, &unlock("db"));
    world.say(bob, &lock("db", ""));
    world.say(dora, &lock("x\"y", ""));
    assert_eq!(
        world.say(dora, LOCKS),
        [(dora, listing("locks", r#"{"db":["10.0.0.1:1","10.0.0.3:1","10.0.0.2:1"],"x\"y":["10.0.0.4:1"]}"#))]
    );
}

#[test]
fn connections_and_my_locks_list_held_and_awaited_locks() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("a", ""));
    world.say(bob, &lock("b", ""));
    world.say(bob, &lock("a", ""));
    world.say(ann, &lock("c", ""));
    assert_eq!(
        world.say(carl, CONNECTIONS),
        [(carl, listing("connections", r#"{"10.0.0.1:1":["a","c"],"10.0.0.2:1":["b","a"]}"#))]
    );
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", r#"["a","c"]"#))]);
    assert_eq!(world.say(bob, MY_LOCKS), [(bob, listing("my_locks", r#"["b","a"]"#))]);
    assert_eq!(world.say(carl, MY_LOCKS), [(carl, listing("my_locks", "[]"))]);
    world.say(ann, &unlock("a"));
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", r#"["c"]"#))]);
    assert_eq!(world.say(bob, MY_LOCKS), [(bob, listing("my_locks", r#"["b","a"]"#))]);
}

#[test]
fn keep_alive_is_not_answered() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(world.say(ann, KEEP_ALIVE), []);
    assert_eq!(world.say(ann, &lock("db", "")), [(ann, acquired("db"))]);
}

#[test]
fn a_connection_is_named_after_its_address() {
    let mut world = World::new();
    let ann = world.connect_as(Peer::V4 { ip: [192, 0, 2, 255], port: 65_535 });
    let mut loopback = [0; 16];
    loopback[15] = 1;
    let bob = world.connect_as(Peer::V6 { ip: loopback, port: 51_216 });
    let carl = world.connect_as(Peer::Unix(7));
    let dora = world.connect_as(Peer::Unix(8));
    for client in [ann, bob, carl] {
        world.say(client, &lock("db", ""));
    }
    let queue = ["192.0.2.255:65535", "[::1]:51216", "unix:7"];
    assert_eq!(world.say(dora, &lock("db", r#""timeout":0"#)), [(dora, timed_out("db", &queue))]);
    assert_eq!(world.say(dora, &lock("db", r#""queue_max":3"#)), [(dora, queue_maxed("db", &queue))]);
    assert_eq!(
        world.say(dora, LOCKS),
        [(dora, listing("locks", r#"{"db":["192.0.2.255:65535","[::1]:51216","unix:7"]}"#))]
    );
    assert_eq!(
        world.say(dora, CONNECTIONS),
        [(dora, listing("connections", r#"{"192.0.2.255:65535":["db"],"[::1]:51216":["db"],"unix:7":["db"]}"#))]
    );
}

#[test]
fn a_name_is_any_text_of_1_to_1024_bytes() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    let longest = "é".repeat(512);
    for name in ["x", " ", "\"\\/", "\0\n\r\u{7f}", "🔒é", "\u{2028}", "null", longest.as_str()] {
        assert_eq!(world.say(ann, &lock(name, "")), [(ann, acquired(name))]);
        assert_eq!(world.say(bob, &lock(name, r#""timeout":0"#)), [(bob, timed_out(name, &["10.0.0.1:1"]))]);
        assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", &serde_json::json!([name]).to_string()))]);
        assert_eq!(world.say(ann, &unlock(name)), [(ann, released(name))]);
    }
}

#[test]
fn a_name_is_the_same_however_it_is_written() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    assert_eq!(world.say(ann, r#"{"name":"d\u0062","command":"lock"}"#), [(ann, acquired("db"))]);
    assert_eq!(world.say(ann, r#"{ "command" : "\u006cock" , "name" : "db" }"#), [(ann, already_acquired("db"))]);
    assert_eq!(world.say(bob, &lock("db", r#""timeout":0"#)), [(bob, timed_out("db", &["10.0.0.1:1"]))]);
    assert_eq!(world.say(bob, r#"{"command":"lock","name":"\ud83d\udd12"}"#), [(bob, acquired("🔒"))]);
    assert_eq!(world.say(bob, r#"{"command":"unlock","name":"🔒"}"#), [(bob, released("🔒"))]);
    // Neither case nor composition makes names equal.
    for name in ["DB", "e\u{301}", "\u{e9}"] {
        assert_eq!(world.say(bob, &lock(name, "")), [(bob, acquired(name))]);
    }
}

#[test]
fn unknown_fields_are_ignored_null_is_absent_and_the_last_of_a_repeated_key_counts() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    let line =
        r#"{"x":[{"name":"no"}],"name":5,"command":"reset","name":"db","command":"lock","timeout":null,"id":null}"#;
    assert_eq!(world.say(ann, line), [(ann, acquired("db"))]);
    assert_eq!(world.say(bob, &lock("db", r#""timeout":0,"timeout":null,"queue_max":1,"queue_max":null"#)), []);
    // Fields of other commands count as unknown.
    let line = r#"{"command":"reset","name":5,"timeout":"x","queue_max":-1}"#;
    assert_eq!(world.say(ann, line), [(ann, RESET_SUCCEEDED.to_owned()), (bob, acquired("db"))]);
}

#[test]
fn a_connection_waits_for_several_locks_at_once_and_is_answered_in_the_order_of_the_grants() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    for name in ["a", "b", "c"] {
        world.say(ann, &lock(name, ""));
        assert_eq!(world.say(bob, &lock(name, "")), []);
    }
    assert_eq!(world.say(bob, &lock("d", "")), [(bob, acquired("d"))], "others are answered meanwhile");
    assert_eq!(world.say(ann, &unlock("c")), [(ann, released("c")), (bob, acquired("c"))]);
    assert_eq!(world.say(ann, &unlock("a")), [(ann, released("a")), (bob, acquired("a"))]);
    assert_eq!(world.say(bob, MY_LOCKS), [(bob, listing("my_locks", r#"["a","b","c","d"]"#))]);
}

#[test]
fn the_counters_say_what_happened() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("a", ""));
    world.say(ann, &lock("a", ""));
    world.say(bob, &lock("a", r#""timeout":0"#));
    world.say(bob, &lock("a", r#""queue_max":1"#));
    world.say(bob, &lock("a", r#""timeout":1"#));
    let stats = world.server.stats();
    assert_eq!((stats.held, stats.waiting, stats.acquires, stats.releases), (1, 1, 1, 0));
    world.say(ann, &unlock("a"));
    world.say(bob, RESET);
    let stats = world.server.stats();
    assert_eq!((stats.held, stats.waiting, stats.acquires, stats.releases), (0, 0, 2, 2));
    assert_eq!((stats.timeouts, stats.queue_maxed, world.server.connections()), (1, 1, 2));
}
