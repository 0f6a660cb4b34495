//! Connections that begin with another protocol: an error, the end, and nothing of them executed.

use std::time::Duration;

use officer::wire::peer::Peer;

use crate::logged::logged;
use crate::words::{MY_LOCKS, acquired, listing, lock};
use crate::world::{Client, World};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:11500\r\nContent-Type: text/plain\r\n\r\n\
    {\"command\":\"kick\",\"connection\":\"10.0.0.1:1\"}\n{\"command\":\"lock\",\"name\":\"boss:17\"}\n";

fn assert_refused(world: &mut World, client: Client, sent: &[u8]) {
    let received = world.receive();
    let [(to, reply)] = received.as_slice() else { panic!("one error for {sent:?}: {received:?}") };
    assert_eq!(*to, client);
    assert!(reply.contains(r#""reason":"wrong_protocol""#), "{reply}");
    world.vanish(client);
    assert!(world.is_closed(client), "{sent:?}");
}

#[test]
fn a_web_page_can_t_take_or_free_a_lock() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.say(ann, &lock("db", ""));
    let browser = world.connect_as(Peer::V4 { ip: [127, 0, 0, 1], port: 9 });
    world.put(browser, POST);
    world.turn();
    assert_refused(&mut world, browser, POST);
    assert_eq!(world.say(ann, r#"{"command":"locks"}"#), [(ann, listing("locks", r#"{"db":["10.0.0.1:1"]}"#))]);
}

#[test]
fn nothing_is_executed_however_the_bytes_are_cut() {
    for sent in [
        POST,
        b"\r\n\r\nGET / HTTP/1.0\r\n\r\n{\"command\":\"lock\",\"name\":\"x\"}\n",
        b"\x16\x03\x01\x02\n{\"command\":\"lock\",\"name\":\"x\"}\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n{\"command\":\"lock\",\"name\":\"x\"}\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c{\"command\":\"lock\",\"name\":\"x\"}\n",
    ] {
        for step in 1..20 {
            let mut world = World::new();
            let [client, ann] = world.connect();
            for piece in sent.chunks(step) {
                if !world.is_closed(client) {
                    world.put(client, piece);
                    world.turn();
                }
            }
            assert_refused(&mut world, client, sent);
            assert_eq!(world.say(ann, r#"{"command":"locks"}"#), [(ann, listing("locks", "{}"))], "{step}");
        }
    }
}

#[test]
fn only_the_beginning_counts() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.say(ann, &lock("GET / HTTP/1.1", ""));
    let received = world.send(ann, b"GET / HTTP/1.1\r\n");
    assert!(received[0].1.contains("invalid_json"), "{received:?}");
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", r#"["GET / HTTP/1.1"]"#))]);
    let [bob] = world.connect();
    assert!(world.send(bob, b"hello\n")[0].1.contains("invalid_json"));
    assert_eq!(world.say(bob, &lock("b", "")), [(bob, acquired("b"))]);
}

#[test]
fn a_few_of_them_are_logged_each_second_and_the_others_are_counted() {
    let log = logged(|| {
        let mut world = World::new();
        for count in [20, 2] {
            for _ in 0..count {
                let [client] = world.connect();
                world.send(client, b"GET / HTTP/1.1\r\n\r\n");
            }
            world.pass(Duration::from_secs(1));
        }
    });
    let told = log.lines().filter_map(|line| line.split_once("; closing its connection"));
    let left_out = " (and 15 more that speak other protocols)";
    assert_eq!(told.map(|(_, rest)| rest).collect::<Vec<_>>(), ["", "", "", "", "", left_out, ""], "{log}");
}
