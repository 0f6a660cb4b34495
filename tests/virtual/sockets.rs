//! What the system does with sockets: events that come late or never, ends, errors, and partial writes.

use std::io::ErrorKind;
use std::time::Duration;

use officer::server::{Limits, Readiness};
use officer::wire::peer::Peer;

use crate::words::{MY_LOCKS, RESET, RESET_SUCCEEDED, acquired, listing, lock, released, unlock};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);
const READABLE: Readiness = Readiness { is_readable: true, is_writable: false, is_read_closed: false };
const WRITABLE: Readiness = Readiness { is_readable: false, is_writable: true, is_read_closed: false };
const ALL: Readiness = Readiness { is_readable: true, is_writable: true, is_read_closed: true };

fn unix_and_tcp(world: &mut World) -> [Client; 2] {
    [world.connect_as(Peer::Unix(1)), world.connect_as(Peer::V4 { ip: [192, 0, 2, 1], port: 1 })]
}

#[test]
fn an_event_for_a_connection_that_is_gone_does_not_reach_the_new_owner_of_its_slot() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.vanish(ann);
    // The newcomer was accepted within the same poll, and its own first event has not come.
    let peer = world.next_peer();
    let bob = world.arrive(peer);
    world.put_silently(bob, b"{\"command\":\"reset\"}\n");
    world.event(ann, ALL);
    assert_eq!(world.step(), []);
    assert!(world.unread(bob) > 0, "nobody has read from it");
    world.event(bob, READABLE);
    assert_eq!(world.step(), [(bob, RESET_SUCCEEDED.to_owned())]);
    // Nor does an error that is detected late.
    world.fail(ann, ErrorKind::ConnectionReset);
    assert!(!world.is_at_end(bob));
}

#[test]
fn a_room_event_for_a_connection_that_is_gone_does_not_make_the_new_owner_of_its_slot_writable() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.vanish(ann);
    let [bob] = world.connect();
    world.take_only(bob, 0);
    assert_eq!(world.say(bob, RESET), []);
    world.take_only(bob, 1_000);
    world.event(ann, ALL);
    assert_eq!(world.step(), [], "it waits for its own event");
    world.event(bob, WRITABLE);
    assert_eq!(world.step(), [(bob, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn the_deadlines_of_an_ended_connection_do_not_affect_the_new_owner_of_its_slot() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":90"#));
    world.pass(50 * SECOND);
    world.vanish(bob);
    let [carl] = world.connect();
    assert_eq!(world.say(carl, &lock("db", "")), []);
    world.say(ann, RESET);
    world.say(ann, &lock("db", ""));
    world.say(carl, &lock("other", ""));
    // At 60 s the first owner of the slot would have been idle, at 90 s its wait would have ended.
    world.pass(59 * SECOND);
    assert!(!world.is_closed(carl));
    assert_eq!(world.say(carl, MY_LOCKS), [(carl, listing("my_locks", r#"["db","other"]"#))]);
    world.pass(SECOND);
    assert!(world.is_closed(ann), "110 s after 50 s");
    world.pass(59 * SECOND);
    assert!(world.is_closed(carl));
}

#[test]
fn an_ended_wait_leaves_no_deadline_to_the_next_wait() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":5"#));
    world.vanish(bob);
    assert_eq!(world.say(carl, &lock("db", "")), [], "its place is the one that was freed");
    assert_eq!(world.pass(50 * SECOND), []);
    assert_eq!(world.vanish(ann), [(carl, acquired("db"))]);
}

#[test]
fn spurious_events_change_nothing() {
    let mut world = World::new();
    for client in unix_and_tcp(&mut world) {
        for readiness in [Readiness::default(), READABLE, WRITABLE, ALL] {
            for _ in 0..3 {
                world.event(client, readiness);
            }
            assert_eq!(world.step(), []);
            assert!(!world.is_at_end(client));
        }
    }
}

#[test]
fn an_announced_end_is_found_after_a_short_read() {
    let mut world = World::new();
    let [bob] = world.connect();
    for ann in unix_and_tcp(&mut world) {
        world.say(ann, &lock("db", ""));
        world.say(bob, &lock("db", ""));
        // One event reports both, and no other follows.
        world.put_silently(ann, b"{\"command\":\"my_locks\"}\n");
        world.put_end_silently(ann);
        world.event(ann, Readiness { is_read_closed: true, ..READABLE });
        assert_eq!(world.step(), [(ann, listing("my_locks", r#"["db"]"#)), (bob, acquired("db"))]);
        assert!(world.is_closed(ann));
        world.say(bob, RESET);
    }
}

#[test]
fn an_end_that_only_its_closing_event_announces_is_found() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.put_end_silently(ann);
    world.event(ann, Readiness { is_read_closed: true, ..Readiness::default() });
    world.step();
    assert!(world.is_closed(ann));
}

#[test]
fn a_unix_socket_is_read_until_it_would_block_and_a_tcp_socket_until_a_read_is_short() {
    let mut world = World::new();
    let [unix, tcp] = unix_and_tcp(&mut world);
    for client in [unix, tcp] {
        world.put(client, b"{\"command\":\"reset\"}\n");
        assert_eq!(world.step_once(), [(client, RESET_SUCCEEDED.to_owned())]);
        world.put_silently(client, b"{\"command\":\"reset\"}\n");
        let is_read_on = world.step() == [(client, RESET_SUCCEEDED.to_owned())];
        assert_eq!(is_read_on, client == unix, "TCP reports what arrives after a short read");
    }
    world.event(tcp, READABLE);
    assert_eq!(world.step(), [(tcp, RESET_SUCCEEDED.to_owned())]);
    // The same with an end that no event reports.
    for client in [unix, tcp] {
        world.put(client, b"{\"command\":\"reset\"}\n");
        world.step_once();
        world.put_end_silently(client);
        world.step();
        assert_eq!(world.is_closed(client), client == unix);
    }
}

#[test]
fn a_full_read_is_followed_by_another_without_an_event() {
    let mut world = World::with_limits(Limits { turn_read_bytes: 10, ..Limits::default() });
    for client in unix_and_tcp(&mut world) {
        // 20 bytes: the second read is full as well, and the third finds nothing.
        assert_eq!(world.send(client, b"{\"command\":\"reset\"}\n"), [(client, RESET_SUCCEEDED.to_owned())]);
        world.put_silently(client, b"{\"command\":\"reset\"}\n");
        assert_eq!(world.step(), [], "it would block, so the next one is announced");
        world.event(client, READABLE);
        assert_eq!(world.step(), [(client, RESET_SUCCEEDED.to_owned())]);
    }
}

#[test]
fn a_read_error_ends_the_connection_and_its_locks_pass_on() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    // What was received before the error but not read is lost.
    world.put_silently(ann, format!("{}\n", lock("never", "")).as_bytes());
    world.put_reset_silently(ann);
    world.event(ann, READABLE);
    assert_eq!(world.step(), [(bob, acquired("db"))]);
    assert!(world.is_closed(ann));
    assert_eq!(world.say(bob, MY_LOCKS), [(bob, listing("my_locks", r#"["db"]"#))]);
    assert_eq!(world.server.stats().acquires, 2);
}

#[test]
fn a_read_error_drops_what_is_unsent() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.say(ann, RESET);
    assert!(world.server.unsent() > 0);
    world.put_reset_silently(ann);
    world.event(ann, READABLE);
    world.step();
    assert!(world.is_closed(ann));
    assert_eq!(world.server.unsent(), 0);
}

#[test]
fn a_write_error_ends_the_connection_and_its_locks_pass_on() {
    type Break = fn(&mut World, Client);
    let ways: [Break; 2] = [World::put_reset_silently, World::take_nothing_for_ever];
    for break_it in ways {
        let mut world = World::new();
        let [ann, bob, carl] = world.connect();
        world.say(ann, &lock("db", ""));
        world.say(bob, &lock("db", ""));
        world.say(bob, &lock("b", ""));
        world.say(carl, &lock("db", ""));
        world.say(carl, &lock("b", ""));
        // Bob is granted db, and the reply can't be sent.
        break_it(&mut world, bob);
        assert_eq!(
            world.say(ann, &unlock("db")),
            [(ann, released("db")), (carl, acquired("db")), (carl, acquired("b"))]
        );
        assert!(world.is_closed(bob));
        assert_eq!(world.server.unsent(), 0);
    }
}

#[test]
fn a_write_error_after_the_end_of_input_closes_the_connection() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.put(ann, b"{\"command\":\"reset\"}\n");
    assert_eq!(world.half_close(ann), []);
    assert!(!world.is_closed(ann), "its reply is not yet sent");
    world.vanish(ann);
    assert!(world.is_closed(ann));
}

#[test]
fn a_socket_that_fails_outside_of_reading_and_writing_ends_its_connection() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    assert_eq!(world.fail(ann, ErrorKind::OutOfMemory), [(bob, acquired("db"))]);
    assert!(world.is_closed(ann));
}

#[test]
fn a_connection_about_to_end_whose_socket_fails_keeps_nothing_to_send() {
    let mut world = World::with_limits(Limits { turn_ends_max: 1, ..Limits::default() });
    let [ann, bob] = world.connect();
    world.take_only(bob, 0);
    world.say(bob, RESET);
    // Two ends in one turn, of which the second has to wait.
    world.put_end(ann);
    world.put_end(bob);
    world.turn();
    assert!(world.server.unsent() > 0, "his reply would still be sent");
    world.fail(bob, ErrorKind::ConnectionReset);
    assert!(world.is_closed(bob));
    assert_eq!(world.server.unsent(), 0);
}

#[test]
fn interrupted_reads_and_writes_are_retried_without_an_event() {
    let mut world = World::new();
    for client in unix_and_tcp(&mut world) {
        for times in [1, 5] {
            world.interrupt(client, times);
            assert_eq!(world.say(client, RESET), [(client, RESET_SUCCEEDED.to_owned())]);
        }
        // Interrupted after the read.
        world.put(client, b"{\"command\":\"reset\"}\n");
        world.take_only(client, 0);
        assert_eq!(world.step(), []);
        world.interrupt(client, 3);
        assert_eq!(world.take(client, None), [(client, RESET_SUCCEEDED.to_owned())]);
    }
}

#[test]
fn a_partial_write_is_continued_when_there_is_room() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.take_only(ann, 10);
    assert_eq!(world.say(ann, RESET), []);
    assert_eq!(world.partial(ann), 10);
    assert_eq!(world.say(ann, &lock("db", "")), [], "what comes later queues after it");
    assert_eq!(world.take(ann, Some(5)), []);
    assert_eq!(world.partial(ann), 15);
    assert_eq!(world.take(ann, None), [(ann, RESET_SUCCEEDED.to_owned()), (ann, acquired("db"))]);
    assert_eq!(world.server.unsent(), 0);
}

#[test]
fn a_socket_that_took_a_part_is_tried_again_before_waiting_for_an_event() {
    // Not every socket reports room after it took a part without ever reporting that it would block.
    let mut world = World::new();
    let [ann] = world.connect();
    world.take_only(ann, 10);
    world.put(ann, b"{\"command\":\"reset\"}\n");
    world.turn();
    assert_eq!(world.partial(ann), 10);
    world.take_only(ann, 1_000);
    assert_eq!(world.step(), [(ann, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn a_socket_that_would_block_is_not_tried_before_it_reports_room() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.take_only(ann, 0);
    world.say(ann, RESET);
    world.take_only(ann, 1_000);
    assert_eq!(world.say(ann, RESET), []);
    world.event(ann, WRITABLE);
    assert_eq!(world.step().len(), 2);
}

#[test]
fn replies_that_the_peer_reads_late_are_sent_before_the_connection_is_closed() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.take_only(ann, 3);
    world.put(ann, format!("{}\n{}\n", lock("a", ""), lock("b", "")).as_bytes());
    world.half_close(ann);
    assert!(!world.is_closed(ann));
    assert_eq!(world.say(bob, &lock("a", "")), [(bob, acquired("a"))], "its session has ended all the same");
    assert_eq!(world.take(ann, None), [(ann, acquired("a")), (ann, acquired("b"))]);
    assert!(world.is_closed(ann));
}

#[test]
fn a_reply_of_any_size_gets_through_a_narrow_window() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    let names: Vec<String> = (0..200).map(|number| format!("{number} {}", "x".repeat(1_000))).collect();
    for name in &names {
        world.say(bob, &lock(name, ""));
    }
    world.take_only(ann, 0);
    world.say(ann, r#"{"command":"connections"}"#);
    // Pieces larger and smaller than what the outbox moves at a time.
    let mut received = Vec::new();
    for pieces in 1.. {
        received.extend(world.take(ann, Some(9_973 * pieces % 50_000 + 1)));
        if world.server.unsent() == 0 {
            break;
        }
    }
    let value = serde_json::json!({ "10.0.0.2:1": names }).to_string();
    assert_eq!(received, [(ann, listing("connections", &value))]);
}
