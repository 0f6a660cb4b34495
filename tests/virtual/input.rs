//! Input that can't be executed yet: how much of it may be kept for all connections together.

use officer::server::Limits;

use crate::words::{RESET, RESET_SUCCEEDED, acquired, lock};
use crate::world::{Client, World};

/// Four connections with a limit of 100 bytes on all.
fn world() -> (World, [Client; 4]) {
    let mut world = World::with_limits(Limits { inboxes_bytes_max: 100, ..Limits::default() });
    let clients = world.connect();
    (world, clients)
}

#[test]
fn over_the_limit_on_all_input_the_connection_with_most_is_closed_and_its_locks_pass_on() {
    let (mut world, [ann, bob, carl, dora]) = world();
    world.say(bob, &lock("db", ""));
    world.say(dora, &lock("db", ""));
    world.send(ann, &[b'a'; 30]);
    world.send(bob, &[b'b'; 41]);
    world.send(carl, &[b'c'; 29]);
    assert!(![ann, bob, carl].into_iter().any(|client| world.is_closed(client)), "exactly the limit");
    // One byte more, and the connection with most is closed, not the one that sent the byte.
    assert_eq!(world.send(carl, b"c"), [(dora, acquired("db"))]);
    assert!(world.is_closed(bob));
    assert!(![ann, carl, dora].into_iter().any(|client| world.is_closed(client)));
}

#[test]
fn a_connection_that_exceeds_the_limit_alone_is_closed_and_its_earlier_lines_are_executed() {
    let (mut world, [ann, bob, ..]) = world();
    world.say(bob, &lock("db", ""));
    let mut bytes = format!("{}\n{RESET}\n", lock("db", "")).into_bytes();
    bytes.extend([b'x'; 101]);
    world.send(ann, &bytes);
    assert!(world.is_closed(ann) && !world.is_closed(bob));
    assert_eq!(world.server.stats().waiting, 0, "it has left the queue");
    assert_eq!(world.server.stats().held, 1);
}

#[test]
fn executed_and_discarded_input_no_longer_counts() {
    let (mut world, [ann, bob, carl, dora]) = world();
    for _ in 0..100 {
        world.send(ann, &RESET.as_bytes()[..RESET.len() - 1]);
        world.send(bob, &[b'b'; 50]);
        assert_eq!(world.send(ann, b"}\n"), [(ann, RESET_SUCCEEDED.to_owned())]);
        assert_eq!(world.send(bob, b"\n").len(), 1, "an error");
    }
    world.send(bob, &[b'b'; 100]);
    world.vanish(bob);
    world.send(carl, &[b'c'; 100]);
    world.half_close(carl);
    world.send(dora, &[b'd'; 100]);
    assert!(!world.is_closed(dora));
}

#[test]
fn lines_that_wait_because_of_unread_replies_count_too() {
    let limits = Limits { inboxes_bytes_max: 100, outbox_pause_bytes: 1, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let [ann, bob] = world.connect();
    world.take_only(ann, 0);
    let line = format!("{RESET}\n");
    let kept = 100 / line.len() * line.len();
    world.send(ann, line.repeat(1 + kept / line.len()).as_bytes());
    assert!(!world.is_closed(ann), "{kept} are kept");
    world.send(bob, &vec![b'b'; 101 - kept]);
    assert!(world.is_closed(ann) && !world.is_closed(bob));
}
