//! Encrypted output that the peer does not take.

use std::time::Duration;

use officer::net::TlsOptions;
use officer::server::Readiness;
use rustls::version::{TLS12, TLS13};

use super::pair::{AMPLE, Host, config};
use crate::certificates::{Authority, Valid};
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
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    // Who sends the last message depends on the version.
    for version in [&TLS12, &TLS13] {
        let mut host = Host::new(&TlsOptions::new(&identity.cert, &identity.key), AMPLE);
        let mut ann = host.connect(&config(&authority, None, &[version]), "localhost");
        for _ in 0..4000 {
            ann.wire.borrow_mut().room = Some(1);
            host.server.ready(ann.key, WRITABLE);
            host.settle();
            host.exchange(&mut ann);
            if !ann.session.is_handshaking() {
                break;
            }
        }
        assert!(!ann.session.is_handshaking(), "{version:?}");
        ann.wire.borrow_mut().room = None;
        host.server.ready(ann.key, WRITABLE);
        host.settle();
        assert_eq!(host.say(&mut ann, &(lock("a", "") + "\n")), acquired("a") + "\n");
    }
}

#[test]
fn a_handshake_and_a_request_go_on_when_every_second_call_is_interrupted() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    for version in [&TLS12, &TLS13] {
        let mut host = Host::new(&TlsOptions::new(&identity.cert, &identity.key), AMPLE);
        let mut ann = host.connect(&config(&authority, None, &[version]), "localhost");
        ann.wire.borrow_mut().has_signals = true;
        host.exchange(&mut ann);
        assert!(!ann.session.is_handshaking(), "{version:?}");
        assert_eq!(host.say(&mut ann, &(lock("a", "") + "\n")), acquired("a") + "\n");
    }
}

#[test]
fn after_the_end_of_output_nothing_is_written_even_if_the_goodbye_did_not_fit() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let mut ann = host.greeted(&config);
    ann.wire.borrow_mut().room = Some(0);
    assert_eq!(host.say(&mut ann, "GET / HTTP/1.1\r\n\r\n"), "");
    for _ in 0..10_000 {
        if ann.wire.borrow().server_has_closed_write {
            break;
        }
        ann.wire.borrow_mut().room = Some(1);
        host.server.ready(ann.key, WRITABLE);
        host.settle();
    }
    assert!(ann.wire.borrow().server_has_closed_write);
    // The socket of these tests fails if it is written to now.
    ann.wire.borrow_mut().room = None;
    let heard = host.say(&mut ann, "{\"command\":\"ping\"}\n");
    assert!(heard.contains("wrong_protocol"), "{heard}");
    assert!(!ann.is_closed(), "it lingers, so that the error arrives");
}
