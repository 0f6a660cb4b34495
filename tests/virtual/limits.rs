//! How many connections, locks and waits there may be, how large a reply, and how long a silence.

use std::time::Duration;

use officer::server::Limits;
use officer::wire::peer::Peer;

use crate::words::{
    CONNECTIONS, KEEP_ALIVE, LOCKS, MY_LOCKS, RESET, RESET_SUCCEEDED, acquired, already_acquired, error, listing, lock,
    queue_maxed, released, timed_out, unlock, with,
};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);
const NANOSECOND: Duration = Duration::from_nanos(1);

fn no_room() -> String {
    error("too_many_connections", "connection limit reached")
}

#[test]
fn one_connection_too_many_gets_an_error_and_is_closed() {
    let mut world = World::with_limits(Limits { connections_max: 2, ..Limits::default() });
    let [ann, bob, carl] = world.connect();
    assert_eq!(world.step(), [(carl, no_room())]);
    assert!(world.is_at_end(carl) && !world.is_closed(carl), "it has time to read that");
    assert_eq!(world.server.connections(), 2);
    assert_eq!(world.say(carl, &lock("db", "")), [], "it is not served");
    assert_eq!(world.say(ann, &lock("db", "")), [(ann, acquired("db"))]);
    world.pass(SECOND);
    assert!(world.is_closed(carl) && !world.is_at_end(ann) && !world.is_at_end(bob));
}

#[test]
fn there_is_room_again_when_a_connection_has_ended() {
    let mut world = World::with_limits(Limits { connections_max: 2, ..Limits::default() });
    let [ann, _, _] = world.connect();
    world.step();
    world.vanish(ann);
    let [dora, emil] = world.connect();
    assert_eq!(world.step(), [(emil, no_room())]);
    assert_eq!(world.say(dora, RESET), [(dora, RESET_SUCCEEDED.to_owned())], "refused connections take no room");
}

#[test]
fn while_64_refused_connections_read_their_error_more_are_closed_without_one() {
    let mut world = World::with_limits(Limits { connections_max: 1, ..Limits::default() });
    let [ann] = world.connect();
    let turned_away = world.connect_many(64);
    assert_eq!(world.step().len(), 64);
    let [late] = world.connect();
    assert_eq!(world.step(), []);
    assert!(world.is_closed(late));
    assert!(turned_away.iter().all(|client| !world.is_closed(*client)));
    // One of them reads its error and disconnects, so another can get one.
    world.half_close(turned_away[10]);
    let [told, not_told] = world.connect();
    assert_eq!(world.step(), [(told, no_room())]);
    assert!(world.is_closed(not_told));
    world.pass(SECOND);
    assert!(turned_away.iter().all(|client| world.is_closed(*client)));
    let [told] = world.connect();
    assert_eq!(world.step(), [(told, no_room())]);
    assert_eq!(world.say(ann, RESET), [(ann, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn locks_held_and_waited_for_count_together_against_the_limit_of_a_connection() {
    let mut world = World::with_limits(Limits { connection_locks_max: 3, ..Limits::default() });
    let [ann, bob] = world.connect();
    let refused = |name: &str| {
        let message = "per-connection lock limit reached";
        with(&error("too_many_locks", message), &format!(r#""name":"{name}""#))
    };
    world.say(bob, &lock("b", ""));
    world.say(ann, &lock("a", ""));
    world.say(ann, &lock("c", ""));
    assert_eq!(world.say(ann, &lock("b", r#""timeout":9"#)), [], "the third, which waits");
    assert_eq!(world.say(ann, &lock("d", "")), [(ann, refused("d"))]);
    assert_eq!(world.say(ann, &lock("d", r#""timeout":0,"queue_max":0"#)), [(ann, refused("d"))]);
    // Locks that it already has don't count twice.
    assert_eq!(world.say(ann, &lock("a", "")), [(ann, already_acquired("a"))]);
    assert_eq!(world.say(ann, &lock("b", "")), []);
    assert_eq!(world.say(bob, &lock("d", "")), [(bob, acquired("d"))], "the limit is each connection's own");
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", r#"["a","c","b"]"#))]);
    // Room again, by an unlock and by a timeout.
    world.say(ann, &unlock("a"));
    assert_eq!(world.say(ann, &lock("e", "")), [(ann, acquired("e"))]);
    assert_eq!(world.pass(9 * SECOND), [(ann, timed_out("b", &["10.0.0.2:1"]))]);
    assert_eq!(world.say(ann, &lock("f", "")), [(ann, acquired("f"))]);
    assert_eq!(world.say(ann, &lock("g", "")), [(ann, refused("g"))]);
}

#[test]
fn a_lock_has_no_more_waiters_than_the_limit() {
    let mut world = World::with_limits(Limits { lock_waits_max: 2, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    for client in [ann, bob, carl] {
        world.say(client, &lock("db", ""));
    }
    let refused = with(&error("too_many_waits", "too many waiters for this lock"), r#""name":"db""#);
    assert_eq!(world.say(dora, &lock("db", "")), [(dora, refused.clone())]);
    assert_eq!(world.say(dora, &lock("db", r#""timeout":5,"queue_max":100"#)), [(dora, refused)]);
    // A request that would not wait is not refused, nor is one that waits already.
    let queue = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];
    assert_eq!(world.say(dora, &lock("db", r#""timeout":0"#)), [(dora, timed_out("db", &queue))]);
    assert_eq!(world.say(dora, &lock("db", r#""queue_max":3"#)), [(dora, queue_maxed("db", &queue))]);
    assert_eq!(world.say(bob, &lock("db", "")), []);
    assert_eq!(world.say(dora, &lock("other", "")), [(dora, acquired("other"))]);
    // Room again.
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
    assert_eq!(world.say(dora, &lock("db", "")), []);
}

#[test]
fn a_listing_over_the_limit_is_refused_and_one_of_exactly_the_limit_is_not() {
    let value_of_locks = r#"{"db":["10.0.0.1:1"]}"#;
    let value_of_connections = r#"{"10.0.0.1:1":["db"]}"#;
    let value_of_my_locks = r#"["db"]"#;
    for (request, result, value) in [
        (LOCKS, "locks", value_of_locks),
        (CONNECTIONS, "connections", value_of_connections),
        (MY_LOCKS, "my_locks", value_of_my_locks),
    ] {
        for (reply_bytes_max, is_refused) in [(value.len(), false), (value.len() - 1, true)] {
            let mut world = World::with_limits(Limits { reply_bytes_max, ..Limits::default() });
            let [ann] = world.connect();
            world.say(ann, &lock("db", ""));
            let received = world.say(ann, request);
            if is_refused {
                let [(_, reply)] = &received[..] else { panic!("one answer") };
                assert!(reply.starts_with(r#"{"result":"error","reason":"reply_too_large","message":""#), "{reply}");
            } else {
                assert_eq!(received, [(ann, listing(result, value))]);
            }
            assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db"))], "the connection stays");
            assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", "[]"))], "the rest is within the limit");
        }
    }
}

#[test]
fn a_silent_connection_is_closed_at_the_idle_limit_and_its_locks_pass_on() {
    let mut world = World::with_limits(Limits { max_idle: Some(20 * SECOND), ..Limits::default() });
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.pass(SECOND);
    world.say(bob, &lock("db", ""));
    assert_eq!(world.pass(19 * SECOND - NANOSECOND), []);
    assert!(!world.is_closed(ann));
    assert_eq!(world.pass(NANOSECOND), [(bob, acquired("db"))]);
    assert!(world.is_closed(ann));
    world.pass(SECOND - NANOSECOND);
    assert!(!world.is_closed(bob), "a grant is neither activity nor a reason to close");
    world.pass(NANOSECOND);
    assert!(world.is_closed(bob));
}

#[test]
fn any_input_counts_as_activity() {
    let mut world = World::with_limits(Limits { max_idle: Some(20 * SECOND), ..Limits::default() });
    let [ann, bob] = world.connect();
    for sent in [KEEP_ALIVE, "nonsense", "", r#"{"command":"lock","name":"db"}"#, LOCKS, "\r"] {
        world.pass(20 * SECOND - NANOSECOND);
        world.send(ann, format!("{sent}\n").as_bytes());
    }
    // A partial line too.
    world.pass(20 * SECOND - NANOSECOND);
    world.send(ann, b"{");
    world.pass(20 * SECOND - NANOSECOND);
    assert!(!world.is_closed(ann) && world.is_closed(bob));
    world.pass(NANOSECOND);
    assert!(world.is_closed(ann));
}

#[test]
fn what_arrives_at_the_last_moment_counts() {
    let mut world = World::with_limits(Limits { max_idle: Some(20 * SECOND), ..Limits::default() });
    let [ann] = world.connect();
    world.oversleep(30 * SECOND);
    assert_eq!(world.say(ann, RESET), [(ann, RESET_SUCCEEDED.to_owned())], "it was there when the server looked");
    world.pass(20 * SECOND - NANOSECOND);
    assert!(!world.is_closed(ann));
}

#[test]
fn neither_a_wait_nor_its_reply_is_activity() {
    let mut world = World::with_limits(Limits { max_idle: Some(20 * SECOND), ..Limits::default() });
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    world.say(carl, &lock("db", r#""timeout":15"#));
    for _ in 0..3 {
        world.pass(5 * SECOND);
        world.say(ann, KEEP_ALIVE);
    }
    assert_eq!(world.step(), []);
    world.pass(5 * SECOND);
    assert!(world.is_closed(bob) && world.is_closed(carl) && !world.is_closed(ann));
    assert_eq!(world.say(ann, LOCKS), [(ann, listing("locks", r#"{"db":["10.0.0.1:1"]}"#))]);
}

#[test]
fn without_an_idle_limit_nobody_is_idle() {
    let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
    let [ann] = world.connect();
    world.say(ann, &lock("db", ""));
    world.pass(100 * 365 * 86_400 * SECOND);
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db"))]);
}

#[test]
fn a_paused_connection_with_unread_input_is_not_idle() {
    // It has sent something; not reading replies has its own limit.
    let mut world = World::with_limits(Limits {
        max_idle: Some(20 * SECOND),
        outbox_stall: 1_000 * SECOND,
        outbox_pause_bytes: 1,
        ..Limits::default()
    });
    let paused = |world: &mut World, sent: &str| -> Client {
        let [client] = world.connect();
        world.take_only(client, 0);
        world.send(client, sent.as_bytes());
        client
    };
    let reset = RESET.to_owned() + "\n";
    let has_everything_executed = paused(&mut world, &reset);
    let has_lines_left = paused(&mut world, &reset.repeat(2));
    let has_unread_input = paused(&mut world, &reset);
    world.send(has_unread_input, reset.as_bytes());
    world.send(has_unread_input, reset.as_bytes());
    let [has_ended_its_input] = world.connect();
    world.take_only(has_ended_its_input, 0);
    world.put(has_ended_its_input, reset.as_bytes());
    world.half_close(has_ended_its_input);
    assert!(world.unread(has_unread_input) > 0 && world.unread(has_lines_left) == 0);
    world.pass(100 * SECOND);
    assert!(world.is_closed(has_everything_executed), "this one is silent");
    assert!(!world.is_closed(has_lines_left) && !world.is_closed(has_unread_input));
    assert!(!world.is_closed(has_ended_its_input), "it can send nothing more, and its end was not read");
    assert_eq!(world.take(has_ended_its_input, None).len(), 1);
    assert_eq!(world.take(has_lines_left, None).len(), 2);
    assert_eq!(world.take(has_unread_input, None).len(), 3);
    world.pass(20 * SECOND);
    assert!(world.is_closed(has_lines_left) && world.is_closed(has_unread_input), "now they are silent");
}

#[test]
fn a_paused_connection_of_which_a_turn_read_only_a_part_is_not_idle() {
    // What is left may keep the client from sending more.
    let request = RESET.to_owned() + "\n";
    let mut world = World::with_limits(Limits {
        max_idle: Some(20 * SECOND),
        outbox_stall: 1_000 * SECOND,
        outbox_pause_bytes: 1,
        turn_read_bytes: request.len(),
        ..Limits::default()
    });
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.send(ann, request.repeat(2).as_bytes());
    assert_eq!(world.unread(ann), request.len());
    world.pass(100 * SECOND);
    assert!(!world.is_closed(ann));
    assert_eq!(world.take(ann, None).len(), 2);
}

#[test]
fn a_paused_connection_on_a_unix_socket_is_silent_since_it_was_read_from() {
    // A short read of such a socket does not prove that nothing is left, and while it is paused it is not read again.
    let mut world = World::with_limits(Limits {
        max_idle: Some(20 * SECOND),
        outbox_stall: 1_000 * SECOND,
        outbox_pause_bytes: 1,
        ..Limits::default()
    });
    let silent = world.connect_as(Peer::Unix(1));
    world.take_only(silent, 0);
    world.pass(5 * SECOND);
    world.say(silent, RESET);
    world.pass(16 * SECOND);
    let [ann] = world.connect();
    let listed = world.say(ann, r#"{"command":"connections","all":true,"detail":true}"#);
    assert!(
        listed[0].1.contains(r#""unix:1":{"holds":0,"waits":0,"unsent":29,"age":21,"silent_for":16}"#),
        "{listed:?}"
    );
    world.pass(3 * SECOND);
    assert!(!world.is_closed(silent));
    world.pass(SECOND);
    assert!(world.is_closed(silent));
}

#[test]
fn a_server_with_a_connection_is_not_empty_whatever_the_connection_has() {
    // Every conversation ends with a check that nothing is left, which proves something only if the check can fail.
    for max_idle in [None, Some(60 * SECOND)] {
        let mut world = World::with_limits(Limits { max_idle, connections_max: 1, ..Limits::default() });
        assert!(world.server.is_empty());
        let [ann] = world.connect();
        assert!(!world.server.is_empty());
        world.take_only(ann, 0);
        world.put(ann, format!("{RESET}\n").as_bytes());
        world.half_close(ann);
        assert!(!world.server.is_empty() && world.server.stats().held == 0, "it has a reply to take");
        world.take(ann, None);
        assert!(world.is_closed(ann) && world.server.is_empty());
    }
    let mut world = World::with_limits(Limits { connections_max: 0, ..Limits::default() });
    let [ann] = world.connect();
    assert!(!world.is_closed(ann) && !world.server.is_empty(), "it is there to get the error that there is no room");
}
