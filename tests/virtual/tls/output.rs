//! Encrypted output that the peer does not take.

use std::time::Duration;

use officer::server::Readiness;

use super::pair::Host;
use crate::directory::Directory;
use crate::words::{acquired, lock};

const WRITABLE: Readiness = Readiness { is_readable: false, is_writable: true, is_read_closed: false };

#[test]
fn a_peer_that_takes_a_little_now_and_then_is_served_and_one_that_takes_nothing_is_not() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let [mut slow, mut deaf] = [host.greeted(&config), host.greeted(&config)];
    for client in [&mut slow, &mut deaf] {
        client.wire.borrow_mut().room = Some(0);
        host.say(client, &"{\"command\":\"ping\"}\n".repeat(1000));
    }
    // A record has thousands of bytes, and whoever takes 100 of them within the limit of 30 s is not deaf.
    for _ in 0..3 {
        host.pass(Duration::from_secs(19));
        slow.wire.borrow_mut().room = Some(100);
        host.server.ready(slow.key, WRITABLE);
        host.settle();
    }
    assert!(!slow.is_closed());
    assert!(deaf.is_closed());
    slow.wire.borrow_mut().room = None;
    host.server.ready(slow.key, WRITABLE);
    host.settle();
    assert_eq!(host.say(&mut slow, ""), "{\"result\":\"pong\"}\n".repeat(1000));
}

#[test]
fn what_the_system_does_not_take_is_unsent() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let mut ann = host.greeted(&config);
    ann.wire.borrow_mut().room = Some(0);
    host.say(&mut ann, &(lock("a", "") + "\n"));
    let reply = acquired("a").len() + 1;
    assert_eq!(host.server.unsent(), reply);
    // Of the record, which is longer than what it stands for.
    ann.wire.borrow_mut().room = Some(reply);
    host.server.ready(ann.key, WRITABLE);
    host.settle();
    assert!((1..reply).contains(&host.server.unsent()), "{}", host.server.unsent());
    ann.wire.borrow_mut().room = None;
    host.server.ready(ann.key, WRITABLE);
    host.settle();
    assert_eq!(host.server.unsent(), 0);
    assert_eq!(host.say(&mut ann, ""), acquired("a") + "\n");
}

#[test]
fn a_handshake_goes_on_when_its_peer_takes_output_again() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let mut ann = host.connect(&config, "localhost");
    for _ in 0..2000 {
        ann.wire.borrow_mut().room = Some(1);
        host.server.ready(ann.key, WRITABLE);
        host.settle();
        host.exchange(&mut ann);
        if !ann.session.is_handshaking() {
            break;
        }
    }
    assert!(!ann.session.is_handshaking());
    ann.wire.borrow_mut().room = None;
    host.server.ready(ann.key, WRITABLE);
    host.settle();
    assert_eq!(host.say(&mut ann, &(lock("a", "") + "\n")), acquired("a") + "\n");
}
