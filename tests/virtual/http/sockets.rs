//! Sockets that fail, or whose calls are interrupted, in each phase of a connection.

use std::io::ErrorKind;

use officer::server::Handshake;

use super::{HEALTH, answers, ask, connect, far, get};
use crate::memory::Wire;
use crate::world::{Client, World};

/// A client that was told to go, and may still send something.
fn lingering(world: &mut World) -> Client {
    let client = connect(world);
    world.send(client, b"hello\n");
    assert!(world.is_at_end(client) && !world.is_closed(client));
    client
}

#[test]
fn a_signal_ends_nothing() {
    let mut world = World::new();
    let client = connect(&mut world);
    // The read, and then the write, which no event announces.
    for _ in 0..2 {
        world.interrupt(client, 1);
        assert_eq!(ask(&mut world, client, HEALTH).status, 200);
    }
    world.interrupt(client, 2);
    assert_eq!(ask(&mut world, client, HEALTH).status, 200);
    let client = lingering(&mut world);
    world.interrupt(client, 1);
    world.send(client, b"more");
    assert!(!world.is_closed(client));
    assert_eq!(world.unread(client), 0, "so that no reset overtakes what it was told");
    world.half_close(client);
    assert!(world.is_closed(client));
}

#[test]
fn a_connection_whose_socket_fails_is_closed() {
    let mut world = World::new();
    let reading = connect(&mut world);
    world.send(reading, b"GET /hea");
    let told_to_go = lingering(&mut world);
    for client in [reading, told_to_go] {
        world.vanish(client);
        assert!(world.is_closed(client));
    }
    let [reset, full] = [connect(&mut world), connect(&mut world)];
    for client in [reset, full] {
        world.take_only(client, 1);
        world.send(client, get("/metrics", "").as_bytes());
    }
    world.put_reset_silently(reset);
    world.take_nothing_for_ever(full);
    for client in [reset, full] {
        world.take(client, Some(1));
        assert!(world.is_closed(client));
    }
    assert_eq!(world.server.unsent(), 0, "their answers are not unsent any more");
    let failed = connect(&mut world);
    world.fail(failed, ErrorKind::ConnectionReset);
    assert!(world.is_closed(failed));
    let unshut = connect(&mut world);
    world.refuse_half_close(unshut);
    world.send(unshut, b"hello\n");
    assert_eq!(answers(&world.take_bytes(unshut)).len(), 1);
    assert!(world.is_closed(unshut), "its side can't be closed");
}

#[test]
fn a_handshake_that_fails_ends_with_what_tells_the_client() {
    let mut world = World::new();
    let client = world.accept_http(far(1), Wire { handshake: Some(Handshake::Waiting), ..Wire::default() });
    world.step();
    world.put_reset(client);
    world.turn();
    assert!(world.is_at_end(client), "the alert is sent");
}
