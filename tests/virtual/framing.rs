//! Bytes into lines, however they arrive: the server's part, including the end of the connection and the limit.

use std::time::Duration;

use officer::server::Limits;
use officer::wire::peer::Peer;

use crate::words::{RESET_SUCCEEDED, acquired, error, listing, lock, release_failed, released, unlock};
use crate::world::{Received, World};

const SECOND: Duration = Duration::from_secs(1);

/// Requests with everything that may occur between and inside them.
const SAID: &str = concat!(
    "{\"command\":\"lock\",\"name\":\"é🔒\"}\n",
    "\n",
    " \t\r\n",
    "{\"command\":\"my_locks\"}\r\n",
    "{\"command\":\"unlock\",\"name\":\"\\u00e9\\ud83d\\udd12\"}\n",
    "hello\n",
    "\r\n\n\n",
    " { \"command\" : \"reset\" } \n",
);

fn answers() -> Vec<String> {
    vec![
        acquired("é🔒"),
        listing("my_locks", "[\"é🔒\"]"),
        released("é🔒"),
        error("invalid_json", "the line is not JSON: expected value at line 1 column 1"),
        RESET_SUCCEEDED.to_owned(),
    ]
}

fn lines(received: Vec<Received>) -> Vec<String> {
    received.into_iter().map(|(_, line)| line).collect()
}

/// The same over each kind of socket.
fn peers() -> [Peer; 2] {
    [Peer::V4 { ip: [10, 0, 0, 1], port: 1 }, Peer::Unix(1)]
}

#[test]
fn many_lines_in_one_read_are_answered_in_their_order() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(lines(world.send(ann, SAID.as_bytes())), answers());
}

#[test]
fn invalid_utf_8_affects_only_its_own_line() {
    let mut world = World::new();
    let [ann] = world.connect();
    let mut said = format!("{}\n", lock("é", "")).into_bytes();
    said.extend_from_slice(b"{\"command\":\"lock\",\"name\":\"\xff\"}\n");
    said.extend_from_slice(format!("{}\n{}\n", unlock("é"), lock("🔒", "")).as_bytes());
    let received = lines(world.send(ann, &said));
    assert_eq!([&received[0], &received[2], &received[3]], [&acquired("é"), &released("é"), &acquired("🔒")]);
    assert!(received[1].contains("invalid_json"), "{}", received[1]);
    assert_eq!(received.len(), 4);
}

#[test]
fn a_line_may_be_cut_anywhere() {
    for peer in peers() {
        for cut in 1..SAID.len() {
            let mut world = World::new();
            let ann = world.connect_as(peer);
            let mut received = world.send(ann, &SAID.as_bytes()[..cut]);
            received.extend(world.pass(SECOND));
            received.extend(world.send(ann, &SAID.as_bytes()[cut..]));
            assert_eq!(lines(received), answers(), "cut at {cut}");
        }
    }
}

#[test]
fn lines_may_come_in_pieces_of_any_size() {
    for peer in peers() {
        for size in 1..50 {
            let mut world = World::new();
            let ann = world.connect_as(peer);
            let received = SAID.as_bytes().chunks(size).flat_map(|piece| world.send(ann, piece)).collect();
            assert_eq!(lines(received), answers(), "pieces of {size}");
        }
    }
}

#[test]
fn reads_may_give_pieces_of_any_size() {
    for size in 1..50 {
        // A read of a UNIX socket may return less than there is.
        let mut world = World::new();
        let ann = world.connect_as(Peer::Unix(1));
        world.read_in_pieces(ann, size);
        assert_eq!(lines(world.send(ann, SAID.as_bytes())), answers(), "pieces of {size}");
        // After a full buffer, any socket may have more.
        let mut world = World::with_limits(Limits { turn_read_bytes: size, ..Limits::default() });
        let [ann] = world.connect();
        assert_eq!(lines(world.send(ann, SAID.as_bytes())), answers(), "buffers of {size}");
    }
}

#[test]
fn a_line_is_executed_when_its_end_arrives_and_not_before() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(world.send(ann, br#"{"command":"reset"}"#), []);
    assert_eq!(world.pass(30 * SECOND), []);
    assert_eq!(world.send(ann, b"\r"), []);
    assert_eq!(world.send(ann, b"\n"), [(ann, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn a_partial_last_line_is_discarded_and_the_lines_before_it_are_executed() {
    for peer in peers() {
        let mut world = World::new();
        let ann = world.connect_as(peer);
        let [bob] = world.connect();
        world.say(ann, &lock("db", ""));
        world.say(bob, &lock("db", ""));
        // Everything is there when the server reads.
        let input = format!("{}\n{}\n{}", lock("a", ""), unlock("b"), unlock("db"));
        world.put(ann, input.as_bytes());
        world.put_end(ann);
        assert_eq!(
            world.step(),
            [(ann, acquired("a")), (ann, release_failed("b")), (bob, acquired("db"))],
            "and db passes on because of the end, not the unlock"
        );
        assert!(world.is_closed(ann));
        assert_eq!(world.say(bob, r#"{"command":"locks"}"#).len(), 1);
        assert_eq!(world.say(bob, &lock("a", r#""timeout":0"#)), [(bob, acquired("a"))]);
    }
}

#[test]
fn the_end_right_after_a_line_or_in_the_middle_of_the_first_one_is_an_end() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    assert_eq!(world.half_close(ann), []);
    world.send(bob, b"{\"command\":");
    assert_eq!(world.half_close(bob), []);
    world.put(carl, b"{\"command\":\"reset\"}\n");
    world.put_end(carl);
    assert_eq!(world.step(), [(carl, RESET_SUCCEEDED.to_owned())]);
    assert!([ann, bob, carl].into_iter().all(|client| world.is_closed(client)));
}

/// A `reset` of exactly this many bytes.
fn reset_of(bytes: usize) -> String {
    let frame = r#"{"command":"reset","x":""}"#;
    format!(r#"{{"command":"reset","x":"{}"}}"#, "x".repeat(bytes - frame.len()))
}

#[test]
fn a_line_of_exactly_the_limit_is_accepted() {
    for (limits, bytes) in [(Limits::default(), 65_536), (Limits { line_bytes_max: 100, ..Limits::default() }, 100)] {
        for step in [1_000, 40, bytes + 1] {
            let mut world = World::with_limits(limits.clone());
            let [ann] = world.connect();
            let line = reset_of(bytes) + "\n" + &reset_of(bytes) + "\n";
            let received: Vec<Received> =
                line.as_bytes().chunks(step).flat_map(|piece| world.send(ann, piece)).collect();
            assert_eq!(lines(received), [RESET_SUCCEEDED, RESET_SUCCEEDED]);
            assert!(!world.is_at_end(ann));
        }
    }
}

#[test]
fn the_limit_also_applies_to_a_plain_request() {
    let line = lock("db", "");
    for (line_bytes_max, answer) in [
        (line.len(), acquired("db")),
        (line.len() - 1, error("line_too_long", &format!("a line may have at most {} bytes", line.len() - 1))),
    ] {
        let mut world = World::with_limits(Limits { line_bytes_max, ..Limits::default() });
        let [ann] = world.connect();
        assert_eq!(world.say(ann, &line), [(ann, answer)]);
    }
}

#[test]
fn a_line_over_the_limit_is_refused_after_earlier_replies_and_ends_the_connection() {
    for step in [1, 7, 1_000] {
        let mut world = World::with_limits(Limits { line_bytes_max: 100, ..Limits::default() });
        let [ann, bob] = world.connect();
        world.say(bob, &lock("wanted", ""));
        let input = format!("{}\n{}\n{}\n{}\n", lock("db", ""), lock("wanted", ""), reset_of(101), lock("never", ""));
        assert_eq!(world.say(bob, &lock("other", "")), [(bob, acquired("other"))]);
        let received: Vec<Received> = input.as_bytes().chunks(step).flat_map(|piece| world.send(ann, piece)).collect();
        assert_eq!(
            received,
            [(ann, acquired("db")), (ann, error("line_too_long", "a line may have at most 100 bytes"))]
        );
        // The server's side is closed, the locks and waits are gone at once, and further input is discarded.
        assert!(world.is_at_end(ann) && !world.is_closed(ann));
        assert_eq!(
            world.say(bob, r#"{"command":"locks"}"#),
            [(bob, listing("locks", r#"{"wanted":["10.0.0.2:1"],"other":["10.0.0.2:1"]}"#))]
        );
        assert_eq!(world.say(ann, &lock("never", "")), []);
        assert_eq!(world.unread(ann), 0);
        assert_eq!(world.pass(SECOND - Duration::from_nanos(1)), []);
        assert!(!world.is_closed(ann));
        assert_eq!(world.pass(Duration::from_nanos(1)), []);
        assert!(world.is_closed(ann));
    }
}

#[test]
fn a_line_over_the_limit_is_refused_before_its_end_arrives() {
    let mut world = World::with_limits(Limits { line_bytes_max: 100, ..Limits::default() });
    let [ann] = world.connect();
    assert_eq!(world.send(ann, &[b'x'; 100]), []);
    assert_eq!(world.send(ann, b"x"), [(ann, error("line_too_long", "a line may have at most 100 bytes"))]);
}

#[test]
fn a_connection_with_a_refused_line_is_closed_when_its_peer_has_closed_too() {
    let mut world = World::with_limits(Limits { line_bytes_max: 100, ..Limits::default() });
    let [ann, bob, carl] = world.connect();
    for client in [ann, bob, carl] {
        world.send(client, &[b'x'; 200]);
        assert!(world.is_at_end(client) && !world.is_closed(client));
    }
    world.half_close(ann);
    world.vanish(bob);
    assert!(world.is_closed(ann) && world.is_closed(bob) && !world.is_closed(carl));
    // The end may already be there with the line.
    let [dora] = world.connect();
    world.put(dora, &[b'x'; 200]);
    world.put_end(dora);
    assert_eq!(world.step(), [(dora, error("line_too_long", "a line may have at most 100 bytes"))]);
    assert!(world.is_closed(dora));
}

#[test]
fn the_partial_line_of_an_ended_connection_does_not_start_a_line_of_another() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.send(ann, b"{\"command\":\"lock\",\"name\":\"hers");
    world.vanish(ann);
    // He gets the buffer that her line was in.
    assert_eq!(world.send(bob, b"{\"command\":"), []);
    assert_eq!(world.send(bob, b"\"reset\"}\n"), [(bob, RESET_SUCCEEDED.to_owned())]);
}

#[test]
fn a_refused_connection_is_read_for_the_whole_linger_time_although_it_was_nearly_idle() {
    let mut world = World::with_limits(Limits {
        line_bytes_max: 100,
        max_idle: Some(60 * SECOND),
        linger: 2 * SECOND,
        ..Limits::default()
    });
    let [ann] = world.connect();
    world.pass(59 * SECOND);
    world.send(ann, &[b'x'; 101]);
    world.pass(2 * SECOND - Duration::from_nanos(1));
    assert!(!world.is_closed(ann), "her idle deadline no longer counts");
    world.pass(Duration::from_nanos(1));
    assert!(world.is_closed(ann));
}

#[test]
fn input_does_not_extend_how_long_a_refused_connection_is_read() {
    let linger = Duration::from_millis(70);
    let mut world = World::with_limits(Limits { line_bytes_max: 100, linger, ..Limits::default() });
    let [ann] = world.connect();
    world.send(ann, &[b'x'; 200]);
    for _ in 0..6 {
        assert_eq!(world.pass(linger / 7), []);
        assert_eq!(world.send(ann, &[b'x'; 200]), []);
        assert!(!world.is_closed(ann));
    }
    world.pass(linger / 7);
    assert!(world.is_closed(ann));
}

#[test]
fn a_refused_connection_is_closed_at_once_if_its_side_cannot_be_closed_alone() {
    let mut world = World::with_limits(Limits { line_bytes_max: 100, ..Limits::default() });
    let [ann] = world.connect();
    world.refuse_half_close(ann);
    assert_eq!(world.send(ann, &[b'x'; 200]).len(), 1);
    assert!(world.is_closed(ann));
}

#[test]
fn a_line_that_never_ends_takes_little_memory() {
    let mut world = World::with_limits(Limits { line_bytes_max: 1_000, turn_read_bytes: 100, ..Limits::default() });
    let [ann] = world.connect();
    // Everything that the server keeps, as debug output.
    let remembered = |world: &World| format!("{:?}", world.server).len();
    let before = remembered(&world);
    world.put(ann, &vec![b'x'; 1 << 20]);
    let mut most = 0;
    while !world.is_at_end(ann) {
        world.turn();
        most = most.max(remembered(&world));
        assert!((1 << 20) - world.unread(ann) <= 1_100, "it stops reading once the line is too long");
    }
    // A byte is printed as `120, `, and as itself in the last traffic.
    let enough = before + (5 + 1) * 1_100 + 1_000;
    assert!(most <= enough, "{most} of {before}");
    while world.unread(ann) > 0 {
        assert!(!world.is_closed(ann), "it is read until the peer has closed");
        world.turn();
        assert!(remembered(&world) <= enough, "discarded input is not kept");
    }
    assert_eq!(world.step().len(), 1);
}
