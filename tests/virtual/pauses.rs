//! A server that was paused, or whose polls do not report everything at once: what clients sent before a deadline counts,
//! however late the server comes to read it.

use std::time::Duration;

use officer::server::{Limits, Readiness};
use officer::time::Moment;

use crate::words::{KEEP_ALIVE, acquired, lock, released, timed_out, unlock};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);
const READABLE: Readiness = Readiness { is_readable: true, is_writable: false, is_read_closed: false };

fn world() -> World {
    World::with_limits(Limits { max_idle: Some(3 * SECOND), ..Limits::default() })
}

/// The server stands still while time passes, and the poll that it was in returns without an event.
fn stop(world: &mut World, time: Duration) {
    let begun = world.moment();
    world.oversleep(time);
    world.turn_after_poll(begun, false);
}

/// A poll that began now reports these, and then the turn comes. `is_complete`: there is nothing else to report.
fn poll(world: &mut World, readable: &[Client], is_complete: bool) {
    for client in readable {
        world.event(*client, READABLE);
    }
    world.turn_after_poll(world.moment(), is_complete);
}

#[test]
fn clients_that_sent_keep_alives_while_the_server_was_stopped_are_not_idle() {
    let mut world = world();
    let clients: [Client; 5] = world.connect();
    for client in clients {
        world.put_silently(client, format!("{KEEP_ALIVE}\n").as_bytes());
    }
    stop(&mut world, 5 * SECOND);
    // What the poll reports at first is not all there is.
    poll(&mut world, &clients[..2], false);
    poll(&mut world, &clients[2..4], false);
    assert!(clients.iter().all(|client| !world.is_closed(*client)), "nobody knows yet that the last one is silent");
    poll(&mut world, &clients[4..], true);
    poll(&mut world, &[], true);
    assert!(clients.iter().all(|client| !world.is_closed(*client)));
    world.oversleep(3 * SECOND);
    poll(&mut world, &[], true);
    world.step();
    assert!(clients.iter().all(|client| world.is_closed(*client)), "from then on they were silent");
}

#[test]
fn a_client_that_sent_nothing_while_the_server_was_stopped_is_idle() {
    let mut world = world();
    let [ann, bob] = world.connect();
    world.put_silently(ann, format!("{KEEP_ALIVE}\n").as_bytes());
    stop(&mut world, 5 * SECOND);
    poll(&mut world, &[ann], true);
    world.step();
    assert!(!world.is_closed(ann) && world.is_closed(bob));
}

#[test]
fn a_release_sent_before_a_timeout_grants_the_lock_although_both_come_late() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":2"#));
    world.put_silently(ann, format!("{}\n", unlock("db")).as_bytes());
    stop(&mut world, 10 * SECOND);
    assert_eq!(world.receive(), []);
    poll(&mut world, &[ann], true);
    assert_eq!(world.receive(), [(ann, released("db")), (bob, acquired("db"))]);
}

#[test]
fn a_timeout_waits_for_the_end_of_the_poll_that_began_after_it() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":2"#));
    let begun = world.moment();
    world.oversleep(2 * SECOND);
    world.turn_after_poll(begun, true);
    assert_eq!(world.receive(), [], "what the poll did not report may have come after it began");
    assert!(world.server.next_turn().is_some_and(|next| next <= world.moment()), "the next poll must not sleep");
    poll(&mut world, &[], true);
    assert_eq!(world.receive(), [(bob, timed_out("db", &["10.0.0.1:1"]))]);
}

#[test]
fn a_flood_does_not_stop_time() {
    let mut world = World::new();
    let [ann, bob, flood] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":2"#));
    world.oversleep(2 * SECOND);
    for polls in 1.. {
        // Each poll is full, so that none is complete.
        world.put(flood, format!("{KEEP_ALIVE}\n").as_bytes());
        world.turn_after_poll(world.moment(), false);
        if world.receive() == [(bob, timed_out("db", &["10.0.0.1:1"]))] {
            break;
        }
        assert!(polls < 3, "as many events as there are sockets");
    }
}

#[test]
fn input_that_the_peer_itself_holds_up_delays_nobody_else() {
    let mut world = World::with_limits(Limits { outbox_pause_bytes: 1, ..Limits::default() });
    let [ann, bob, deaf] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":2"#));
    world.take_only(deaf, 0);
    world.say(deaf, r#"{"command":"ping"}"#);
    world.put_silently(deaf, format!("{KEEP_ALIVE}\n").as_bytes());
    world.oversleep(2 * SECOND);
    poll(&mut world, &[deaf], true);
    assert_eq!(world.receive(), [(bob, timed_out("db", &["10.0.0.1:1"]))]);
}

#[test]
fn lines_left_over_do_not_take_the_place_of_a_read() {
    let mut world = World::with_limits(Limits { outbox_pause_bytes: 1, ..world_without_idle() });
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":2"#));
    // The second line waits until the first reply is taken.
    world.take_only(ann, 0);
    world.send(ann, b"{\"command\":\"ping\"}\n{\"command\":\"keep_alive\"}\n");
    world.put_silently(ann, format!("{}\n", unlock("db")).as_bytes());
    world.oversleep(2 * SECOND);
    world.take_only(ann, 10_000);
    world.event(ann, Readiness { is_readable: true, is_writable: true, is_read_closed: false });
    world.turn_after_poll(Moment::START, true);
    poll(&mut world, &[ann], true);
    let granted = world.receive();
    assert!(granted.contains(&(bob, acquired("db"))), "{granted:?}");
}

fn world_without_idle() -> Limits {
    Limits { max_idle: None, ..Limits::default() }
}
