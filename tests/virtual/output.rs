//! Peers that do not read their replies: first their requests wait, then they are closed.

use std::time::Duration;

use officer::server::Limits;

use crate::words::{RESET, RESET_SUCCEEDED, acquired, listing, lock, release_failed, unlock};
use crate::world::{Client, Received, World};

const SECOND: Duration = Duration::from_secs(1);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// No connection is closed as idle, unless a test sets the limit.
fn limits() -> Limits {
    Limits { max_idle: None, ..Limits::default() }
}

/// One reply as bytes on the wire.
fn wire_bytes(reply: &str) -> usize {
    reply.len() + 1
}

/// Makes the output of `client` grow by one reply per name, by grants, which need no further request. Returns their
/// bytes.
fn owe(world: &mut World, client: Client, names: &[&str]) -> usize {
    let [holder] = world.connect();
    for name in names {
        assert_eq!(world.say(holder, &lock(name, "")), [(holder, acquired(name))]);
        assert_eq!(world.say(client, &lock(name, "")), []);
    }
    world.take_only(client, 0);
    world.vanish(holder);
    names.iter().map(|name| wire_bytes(&acquired(name))).sum()
}

#[test]
fn requests_are_not_executed_while_too_much_is_unsent() {
    let reply = wire_bytes(&release_failed("x"));
    for (outbox_pause_bytes, executed) in [(1, 1), (reply, 1), (reply + 1, 2), (3 * reply, 3)] {
        let mut world = World::with_limits(Limits { outbox_pause_bytes, turn_read_bytes: 200, ..limits() });
        let [ann, bob] = world.connect();
        world.take_only(ann, 0);
        let line = unlock("x") + "\n";
        let sent = 100;
        world.put(ann, line.repeat(sent).as_bytes());
        assert_eq!(world.step(), []);
        assert_eq!(world.server.unsent(), executed * reply);
        assert!(world.unread(ann) >= (sent - 10) * line.len(), "the peer's window fills: what it sends is left unread");
        world.event(ann, officer::server::Readiness { is_readable: true, ..Default::default() });
        assert_eq!(world.step(), []);
        assert_eq!(world.server.unsent(), executed * reply, "an event changes nothing");
        assert_eq!(world.say(bob, RESET), [(bob, RESET_SUCCEEDED.to_owned())], "the others are served");
        // Each reply that it takes makes room for another.
        let received = world.take(ann, Some(2 * reply));
        assert_eq!(received, [(ann, release_failed("x")), (ann, release_failed("x"))]);
        assert!(world.server.unsent() < outbox_pause_bytes + reply);
        let received = world.take(ann, None);
        assert_eq!(received, vec![(ann, release_failed("x")); sent - 2], "nothing is lost, and no event was needed");
        assert_eq!(world.unread(ann), 0);
    }
}

#[test]
fn lines_already_read_are_executed_when_there_is_room_before_later_ones() {
    let mut world = World::with_limits(Limits { outbox_pause_bytes: 1, ..limits() });
    let [ann] = world.connect();
    world.take_only(ann, 0);
    // One read takes everything, including the beginning of a line.
    world.send(ann, format!("{}\n{}\n{{\"command\"", lock("a", ""), lock("b", "")).as_bytes());
    assert_eq!(world.unread(ann), 0);
    world.send(ann, format!(":\"reset\"}}\n{}\n", lock("c", "")).as_bytes());
    assert!(world.unread(ann) > 0);
    assert_eq!(
        world.take(ann, None),
        [(ann, acquired("a")), (ann, acquired("b")), (ann, RESET_SUCCEEDED.to_owned()), (ann, acquired("c"))]
    );
}

#[test]
fn a_pause_that_ends_within_the_turn_leaves_nobody_deaf() {
    // Each reply pauses the connection, and each flush resumes it.
    let mut world = World::with_limits(Limits { outbox_pause_bytes: 1, ..limits() });
    let [ann] = world.connect();
    let received = world.send(ann, (RESET.to_owned() + "\n").repeat(500).as_bytes());
    assert_eq!(received, vec![(ann, RESET_SUCCEEDED.to_owned()); 500]);
}

#[test]
fn a_paused_connection_whose_input_has_ended_is_served_to_the_end() {
    let mut world = World::with_limits(Limits { outbox_pause_bytes: 1, turn_read_bytes: 30, ..limits() });
    let [ann, bob] = world.connect();
    world.take_only(ann, 0);
    world.put(ann, format!("{}\n{}\n{}\n", lock("a", ""), lock("b", ""), lock("c", "")).as_bytes());
    world.half_close(ann);
    assert_eq!(world.say(bob, &lock("c", "")), [(bob, acquired("c"))], "that line is not executed yet");
    assert_eq!(world.take(ann, None), [(ann, acquired("a")), (ann, acquired("b"))]);
    assert!(world.is_closed(ann));
}

#[test]
fn grants_reach_a_paused_connection() {
    let mut world = World::with_limits(Limits { outbox_pause_bytes: 1, ..limits() });
    let [ann] = world.connect();
    owe(&mut world, ann, &["a", "b"]);
    assert_eq!(world.take(ann, None), [(ann, acquired("a")), (ann, acquired("b"))]);
}

#[test]
fn pipelined_listings_exceed_the_pause_by_at_most_one_reply() {
    let outbox_pause_bytes = 2_000;
    let mut world = World::with_limits(Limits { outbox_pause_bytes, ..limits() });
    let [ann, bob] = world.connect();
    let names: Vec<String> = (0..50).map(|number| format!("a name that takes some room {number}")).collect();
    for name in &names {
        world.say(bob, &lock(name, ""));
    }
    let reply = listing("connections", &serde_json::json!({ "10.0.0.2:1": names }).to_string());
    world.take_only(ann, 0);
    world.put(ann, "{\"command\":\"connections\"}\n".repeat(100).as_bytes());
    for _ in 0..100 {
        world.turn();
        assert!(world.server.unsent() < outbox_pause_bytes + wire_bytes(&reply));
    }
    let mut received: Vec<Received> = Vec::new();
    while received.len() < 100 {
        received.extend(world.take(ann, Some(wire_bytes(&reply))));
        assert!(world.server.unsent() < outbox_pause_bytes + wire_bytes(&reply));
    }
    assert!(received.iter().all(|(to, line)| *to == ann && *line == reply));
}

#[test]
fn a_connection_with_too_much_unsent_output_is_closed_and_its_locks_pass_on() {
    let names = ["a", "b", "c", "d"];
    let all = 4 * wire_bytes(&acquired("a"));
    for (outbox_bytes_max, is_closed) in [(all, false), (all - 1, true)] {
        let mut world = World::with_limits(Limits { outbox_bytes_max, ..limits() });
        let [ann, bob] = world.connect();
        world.say(ann, &lock("mine", ""));
        world.say(bob, &lock("mine", ""));
        assert_eq!(owe(&mut world, ann, &names), all);
        assert_eq!(world.is_closed(ann), is_closed, "at exactly the limit it stays");
        assert_eq!(world.server.unsent(), if is_closed { 0 } else { all });
        if is_closed {
            assert_eq!(world.say(bob, &lock("d", "")), [(bob, acquired("d"))]);
            assert_eq!(world.say(bob, &lock("mine", "")).len(), 1, "it was granted before");
            assert_eq!(world.take(ann, None), [], "nothing more is sent to it");
        } else {
            assert_eq!(world.take(ann, None).len(), 4);
        }
    }
}

#[test]
fn a_grant_that_overflows_the_output_of_its_receiver_passes_on_at_once() {
    let one = wire_bytes(&acquired("db"));
    let mut world = World::with_limits(Limits { outbox_bytes_max: one, ..limits() });
    let [ann, bob, carl] = world.connect();
    world.say(carl, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    world.say(ann, &lock("db", ""));
    owe(&mut world, bob, &["a"]);
    assert_eq!(world.vanish(carl), [(ann, acquired("db"))]);
    assert!(world.is_closed(bob));
}

#[test]
fn after_too_much_output_no_further_line_of_a_read_is_executed() {
    let mut world = World::with_limits(Limits { outbox_bytes_max: 10, ..limits() });
    let [ann] = world.connect();
    world.send(ann, format!("{RESET}\n{}\n", lock("db", "")).as_bytes());
    assert!(world.is_closed(ann));
    assert_eq!(world.server.stats().acquires, 0);
}

#[test]
fn over_the_limit_on_all_output_the_connection_with_most_is_closed() {
    let one = wire_bytes(&acquired("a"));
    let mut world = World::with_limits(Limits { outboxes_bytes_max: 6 * one, ..limits() });
    let [ann, bob, carl, dora] = world.connect();
    owe(&mut world, ann, &["a"]);
    owe(&mut world, bob, &["b", "c", "d"]);
    owe(&mut world, carl, &["e", "f"]);
    assert_eq!(world.server.unsent(), 6 * one, "exactly the limit");
    assert!(![ann, bob, carl].into_iter().any(|client| world.is_closed(client)));
    // One reply more, and the connection with most is closed, not the one that gets the reply.
    world.say(dora, &lock("b", ""));
    world.take_only(dora, 0);
    assert_eq!(world.say(dora, RESET), []);
    assert!(world.is_closed(bob));
    assert!(![ann, carl, dora].into_iter().any(|client| world.is_closed(client)));
    assert_eq!(world.server.unsent(), 3 * one + wire_bytes(RESET_SUCCEEDED));
    assert_eq!(world.take(carl, None), [(carl, acquired("e")), (carl, acquired("f"))]);
}

#[test]
fn the_connection_with_most_output_may_already_have_ended_its_input() {
    let one = wire_bytes(&acquired("a"));
    let mut world = World::with_limits(Limits { outboxes_bytes_max: 4 * one, ..limits() });
    let [ann, bob] = world.connect();
    owe(&mut world, ann, &["a", "b", "c"]);
    world.half_close(ann);
    assert!(!world.is_closed(ann), "its output is still sent");
    owe(&mut world, bob, &["d", "e"]);
    assert!(world.is_closed(ann) && !world.is_closed(bob));
    assert_eq!(world.server.unsent(), 2 * one);
}

#[test]
fn a_connection_that_takes_nothing_is_closed_at_the_limit_and_its_locks_pass_on() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, ..limits() });
    let [ann, bob] = world.connect();
    world.pass(100 * SECOND);
    world.take_only(ann, 0);
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    // What it sends does not help it.
    world.pass(5 * SECOND);
    world.say(ann, RESET.replace("reset", "keep_alive").as_str());
    assert_eq!(world.pass(5 * SECOND - NANOSECOND), []);
    assert!(!world.is_closed(ann));
    assert_eq!(world.pass(NANOSECOND), [(bob, acquired("db"))]);
    assert!(world.is_closed(ann));
}

#[test]
fn a_connection_that_takes_a_little_in_time_is_not_closed() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, ..limits() });
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.say(ann, &lock("db", ""));
    for _ in 0..5 {
        world.pass(10 * SECOND - NANOSECOND);
        assert_eq!(world.take(ann, Some(1)), []);
    }
    assert!(!world.is_closed(ann));
    world.pass(10 * SECOND - NANOSECOND);
    assert!(!world.is_closed(ann), "since the last byte");
    world.pass(NANOSECOND);
    assert!(world.is_closed(ann));
}

#[test]
fn a_connection_that_made_room_unnoticed_by_the_poll_is_not_closed() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, ..limits() });
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.say(ann, &lock("db", ""));
    // A system reports room only when a good part of the buffer is free.
    world.take_only(ann, 1);
    world.pass(10 * SECOND);
    assert!(!world.is_closed(ann));
    world.pass(10 * SECOND);
    assert!(world.is_closed(ann));
}

#[test]
fn a_connection_that_took_everything_unnoticed_still_has_its_idle_limit() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, max_idle: Some(60 * SECOND), ..limits() });
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.say(ann, &lock("db", ""));
    world.take_only(ann, 1_000);
    assert_eq!(world.pass(10 * SECOND), [(ann, acquired("db"))]);
    world.pass(50 * SECOND - NANOSECOND);
    assert!(!world.is_closed(ann));
    world.pass(NANOSECOND);
    assert!(world.is_closed(ann));
}

#[test]
fn the_time_counts_from_when_there_was_output() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, ..limits() });
    let [ann] = world.connect();
    // It took everything long ago; then the same again.
    for _ in 0..2 {
        world.say(ann, RESET);
        world.pass(1_000 * SECOND);
        world.take_only(ann, 0);
        world.say(ann, RESET);
        world.pass(10 * SECOND - NANOSECOND);
        assert_eq!(world.take(ann, None), [(ann, RESET_SUCCEEDED.to_owned())]);
    }
    world.pass(1_000 * SECOND);
    assert!(!world.is_closed(ann));
}

#[test]
fn more_output_is_not_progress() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, ..limits() });
    let [ann, bob] = world.connect();
    world.say(bob, &lock("db", ""));
    world.say(ann, &lock("db", ""));
    world.take_only(ann, 0);
    world.say(ann, RESET);
    world.pass(9 * SECOND);
    world.say(ann, RESET);
    world.pass(SECOND);
    assert!(world.is_closed(ann));
}

#[test]
fn after_the_end_of_input_a_connection_that_takes_nothing_is_closed_at_the_limit_too() {
    let mut world = World::with_limits(Limits { outbox_stall: 10 * SECOND, line_bytes_max: 100, ..limits() });
    let [ann, bob] = world.connect();
    world.take_only(ann, 5);
    world.take_only(bob, 5);
    world.put(ann, b"{\"command\":\"reset\"}\n");
    world.put_end(ann);
    world.put(bob, &[b'x'; 101]);
    world.step();
    world.pass(10 * SECOND - NANOSECOND);
    assert!(!world.is_closed(ann) && !world.is_at_end(bob));
    world.pass(NANOSECOND);
    assert!(world.is_closed(ann) && world.is_closed(bob));
}
