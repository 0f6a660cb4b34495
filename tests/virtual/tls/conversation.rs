//! What is said over TLS is what is said without.

use officer::server::Readiness;
use rustls::version::{TLS12, TLS13};

use super::pair::{AMPLE, Client, Host, config};
use crate::certificates::{Authority, Valid};
use crate::directory::Directory;
use crate::words::{RESET, acquired, lock, released, unlock};
use crate::world::World;
use officer::net::TlsOptions;

/// Lines of which some wait for others, with a long one among them.
fn script() -> Vec<String> {
    let long = "x".repeat(20_000);
    let mut lines: Vec<String> = ["a", "b", "a", "c"].iter().map(|name| lock(name, r#""timeout":0"#)).collect();
    lines.push(format!(r#"{{"command":"ping","id":"{}"}}"#, "i".repeat(64)));
    lines.push(format!(r#"{{"command":"lock","name":"{long}"}}"#));
    lines.extend((0..100).map(|number| lock(&format!("name {number}"), "")));
    lines.extend([unlock("a"), unlock("b"), unlock("nothing"), RESET.to_owned()]);
    lines
}

#[test]
fn a_conversation_over_tls_equals_one_without() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let mut world = World::new();
    let [ann] = world.connect();
    let mut expected = String::new();
    for line in script() {
        world.say(ann, &line).into_iter().for_each(|(_, reply)| expected += &format!("{reply}\n"));
    }
    let lines: String = script().iter().map(|line| format!("{line}\n")).collect();
    // In one piece, byte by byte, and in pieces of any size that arrive, are read and are taken in ways of their own.
    let mut ways = vec![(usize::MAX, None, None), (1, None, None), (1000, Some(1), None)];
    let mut random = fastrand::Rng::with_seed(17);
    let mut size = || 1 << random.u32(0..12) | random.usize(0..64);
    ways.extend((0..8).map(|_| (size(), Some(size()), Some(size()))));
    for version in [&TLS12, &TLS13] {
        let config = config(&authority, None, &[version]);
        for &(piece, read_max, room) in &ways {
            let case = format!("{version:?}, pieces of {piece}, {read_max:?}, {room:?}");
            let mut host = Host::new(&TlsOptions::new(&identity.cert, &identity.key), AMPLE);
            let mut client = host.connect(&config, "localhost");
            client.piece = piece;
            client.wire.borrow_mut().read_max = read_max;
            client.wire.borrow_mut().room = room;
            let mut heard = host.say(&mut client, &lines);
            // The rest comes as the client takes it, and with it the handshake goes on.
            while let Some(room) = room
                && heard.len() < expected.len()
            {
                make_room(&mut host, &client, room);
                assert_ne!(client.wire.borrow().room, Some(room), "{case}: nothing comes after {} bytes", heard.len());
                heard += &host.say(&mut client, "");
            }
            let agreed = heard.bytes().zip(expected.bytes()).take_while(|(heard, expected)| heard == expected).count();
            assert!(heard == expected, "{case}: {agreed} of {} bytes agree: {}", expected.len(), &heard[agreed..]);
        }
    }
}

fn make_room(host: &mut Host, client: &Client, room: usize) {
    client.wire.borrow_mut().room = Some(room);
    host.server.ready(client.key, Readiness { is_writable: true, ..Readiness::default() });
    host.settle();
}

#[test]
fn requests_that_came_with_the_end_are_answered_and_the_end_is_announced() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let mut ann = host.greeted(&config);
    ann.session.writer().write_all_lines(&[&lock("a", ""), &unlock("a")]);
    ann.session.send_close_notify();
    host.exchange(&mut ann);
    assert_eq!(ann.heard, format!("{}\n{}\n", acquired("a"), released("a")));
    assert!(ann.was_told_the_end(), "{:?}", ann.error);
    assert!(ann.is_closed());
}

#[test]
fn an_end_that_was_not_announced_is_an_error_and_frees_the_locks() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let [mut ann, mut bob] = [host.greeted(&config), host.greeted(&config)];
    assert_eq!(host.say(&mut ann, &(lock("a", "") + "\n")), acquired("a") + "\n");
    assert_eq!(host.say(&mut bob, &(lock("a", "") + "\n")), "");
    host.end(&mut ann);
    assert!(ann.is_closed());
    host.exchange(&mut bob);
    assert_eq!(bob.heard, acquired("a") + "\n");
    let stats = host.say(&mut bob, "{\"command\":\"stats\"}\n");
    assert!(stats.contains(r#""socket_error":1"#) && stats.contains(r#""peer_closed":0"#), "{stats}");
}

#[test]
fn garbage_after_the_handshake_ends_the_connection_after_what_came_before() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let mut ann = host.greeted(&config);
    ann.session.writer().write_all_lines(&[&lock("a", "")]);
    let mut sent = Vec::new();
    ann.session.write_tls(&mut sent).unwrap();
    // A record that nobody has encrypted.
    sent.extend(b"\x17\x03\x03\0\x20________________________________");
    ann.wire.borrow_mut().to_server.extend(sent);
    host.server.ready(ann.key, Readiness { is_readable: true, ..Readiness::default() });
    host.settle();
    host.exchange(&mut ann);
    assert_eq!(ann.error, Some(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)));
    assert!(ann.is_closed());
}

trait Lines {
    fn write_all_lines(&mut self, lines: &[&str]);
}

impl<W: std::io::Write> Lines for W {
    fn write_all_lines(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| writeln!(self, "{line}").unwrap());
    }
}
