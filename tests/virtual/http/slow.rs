//! Clients that are slow, silent or many, and what they cost the others.

use std::time::Duration;

use officer::server::{Limits, Readiness};

use super::{HEALTH, answers, ask, connect, connect_from, far, get, send};
use crate::memory::Wire;
use crate::words::lock;
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_that_does_not_come_in_time_is_given_up_however_it_trickles() {
    let mut world = World::new();
    for beginning in [
        "G",
        "GET /health HTTP/1.1\r\nX: ",
        "POST /api/kick HTTP/1.1\r\nHost: [::1]\r\nX-Officer: 1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
    ] {
        let client = connect(&mut world);
        world.send(client, beginning.as_bytes());
        for _ in 0..9 {
            world.pass(SECOND);
            assert_eq!(send(&mut world, client, "x"), [], "{beginning}");
        }
        world.pass(SECOND - Duration::from_millis(1));
        assert!(!world.is_at_end(client), "{beginning}");
        world.pass(Duration::from_millis(1));
        let answers = answers(&world.take_bytes(client));
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [408], "{beginning}");
        assert!(world.is_at_end(client), "{beginning}");
        world.pass(SECOND);
        assert!(world.is_closed(client), "{beginning}");
    }
}

#[test]
fn blank_lines_buy_no_time() {
    let mut world = World::new();
    let client = connect(&mut world);
    for second in 0..=10 {
        assert!(!world.is_closed(client), "after {second} seconds");
        // They are there whenever its time could be over.
        world.put(client, b"\r\n");
        world.step();
        world.oversleep(SECOND);
    }
    world.put(client, b"\r\n");
    world.step();
    assert!(world.is_closed(client));
    assert_eq!(world.take_bytes(client), b"", "it has asked for nothing");
}

#[test]
fn a_request_that_waits_for_its_turn_is_in_time_however_late_we_come_to_it() {
    let mut world = World::new();
    let [first, second] = [connect(&mut world), connect(&mut world)];
    for client in [first, second] {
        world.put(client, get("/metrics", "").as_bytes());
    }
    world.turn();
    assert_eq!((answers(&world.take_bytes(first)).len(), world.take_bytes(second).len()), (1, 0));
    world.oversleep(11 * SECOND);
    world.step();
    assert_eq!(answers(&world.take_bytes(second))[0].status, 200);
}

#[test]
fn a_connection_that_has_nothing_to_say_is_closed_without_a_word() {
    let mut world = World::new();
    let silent = connect(&mut world);
    let idle = connect(&mut world);
    world.pass(SECOND);
    assert_eq!(ask(&mut world, idle, HEALTH).status, 200);
    world.pass(63 * SECOND);
    assert!(!world.is_at_end(silent) && !world.is_at_end(idle));
    world.pass(SECOND);
    assert!(world.is_closed(silent) && !world.is_at_end(idle));
    world.pass(SECOND);
    assert!(world.is_closed(idle));
    assert_eq!(world.take_bytes(idle), b"");
}

#[test]
fn an_answer_that_is_not_taken_is_given_up_however_it_trickles() {
    let mut world = World::new();
    let client = connect(&mut world);
    world.take_only(client, 10);
    world.send(client, get("/metrics", "").as_bytes());
    for _ in 0..29 {
        world.pass(SECOND);
        world.take(client, Some(1));
        assert!(!world.is_closed(client));
    }
    world.pass(SECOND);
    assert!(world.is_closed(client));
    assert_eq!(world.take_bytes(client).len(), 39);
}

#[test]
fn an_answer_goes_on_where_it_was_blocked_and_the_next_request_after_it() {
    let mut world = World::new();
    let [client, other] = [connect(&mut world), connect(&mut world)];
    let requests = format!("{}{}", get("/api/stats", ""), get("/nothing", ""));
    world.send(other, requests.as_bytes());
    let expected = answers(&world.take_bytes(other));
    world.take_only(client, 0);
    world.send(client, requests.as_bytes());
    let mut bytes = Vec::new();
    for _ in 0..2000 {
        world.interrupt(client, 1);
        world.take(client, Some(7));
        bytes.extend(world.take_bytes(client));
    }
    let statuses = |answers: &[super::Answer]| answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
    assert_eq!(statuses(&answers(&bytes)), statuses(&expected));
}

#[test]
fn an_answer_that_was_taken_in_part_goes_on_without_an_event() {
    let mut world = World::new();
    let client = connect(&mut world);
    world.take_only(client, 10);
    world.put(client, HEALTH.as_bytes());
    world.turn();
    assert_eq!(world.take_bytes(client).len(), 10);
    // Whoever takes more while the server writes is not announced.
    world.take_only(client, 10_000);
    world.turn();
    assert!(world.take_bytes(client).ends_with(b"ok\n"));
}

#[test]
fn of_what_comes_before_an_answer_is_taken_no_more_is_read_than_one_request_may_have() {
    let mut world = World::new();
    let client = connect(&mut world);
    world.take_only(client, 0);
    let requests = HEALTH.repeat(1000);
    let (beginning, rest) = requests.as_bytes().split_at(20);
    world.send(client, beginning);
    world.send(client, rest);
    assert_eq!(requests.len() - world.unread(client), (8 << 10) + (4 << 10));
}

#[test]
fn when_there_are_too_many_the_oldest_of_the_address_that_has_most_makes_way() {
    let mut world = World::new();
    let first = world.accept_http(far(1), Wire::default());
    world.step();
    let crowd: Vec<Client> = (0..63).map(|port| connect_from(&mut world, &format!("10.0.0.1:{}", port + 1))).collect();
    assert!(!crowd.iter().any(|client| world.is_at_end(*client)));
    // Who has just been answered is not the oldest any more.
    world.pass(SECOND);
    assert_eq!(ask(&mut world, crowd[0], HEALTH).status, 200);
    world.send(crowd[1], b"GET /hea");
    let late = connect_from(&mut world, "10.0.0.2:1");
    let closed: Vec<usize> = (0..63).filter(|index| world.is_closed(crowd[*index])).collect();
    assert_eq!(closed, [2]);
    assert!(!world.is_closed(first), "its address has only one");
    assert_eq!(ask(&mut world, late, HEALTH).status, 200);
}

#[test]
fn when_all_are_being_answered_another_is_told_so_and_further_ones_are_not() {
    let mut world = World::new();
    let crowd: Vec<Client> = (0..64).map(|_| connect(&mut world)).collect();
    for client in &crowd {
        world.take_only(*client, 0);
        world.send(*client, HEALTH.as_bytes());
    }
    let told: Vec<Client> = (0..16).map(|_| world.accept_http(far(1), Wire::default())).collect();
    let further = world.accept_http(far(1), Wire::default());
    assert!(world.is_closed(further));
    world.step();
    for client in &told {
        let answers = answers(&world.take_bytes(*client));
        assert_eq!((answers.len(), answers[0].status, answers[0].fields["retry-after"].as_str()), (1, 503, "1"));
        assert!(world.is_at_end(*client));
    }
    for client in &crowd {
        world.take(*client, None);
        assert_eq!(answers(&world.take_bytes(*client))[0].status, 200);
    }
    world.pass(SECOND);
    assert_eq!(ask(&mut world, crowd[0], HEALTH).status, 200);
}

#[test]
fn answers_that_nobody_takes_are_few() {
    let mut world = World::with_limits(Limits::default());
    // The listing of one lock with many waiters is large.
    let [ann] = world.connect();
    for owner in 0..1000 {
        world.say(ann, &lock("db", &format!(r#""owner":{owner},"label":"{}""#, "x".repeat(128))));
    }
    let crowd: Vec<Client> = (0..64).map(|_| connect(&mut world)).collect();
    for client in &crowd {
        world.take_only(*client, 0);
        world.send(*client, get("/api/locks?name=db", "").as_bytes());
    }
    let unsent = world.server.unsent();
    assert!(unsent > 4 << 20 && unsent < 5 << 20, "{unsent}");
    let statuses: Vec<u16> = crowd
        .iter()
        .map(|client| {
            world.take(*client, None);
            answers(&world.take_bytes(*client))[0].status
        })
        .collect();
    let refused = statuses.iter().position(|status| *status == 503).expect("some are refused");
    assert!(refused > 0 && statuses[..refused].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses[refused..].iter().all(|status| *status == 503), "{statuses:?}");
    assert_eq!(ask(&mut world, crowd[63], &get("/api/locks?name=db", "")).status, 200, "there is room again");
}

#[test]
fn a_handshake_has_its_time_and_its_end() {
    use officer::server::Handshake;
    let mut world = World::new();
    let wire = |handshake| Wire { handshake: Some(handshake), ..Wire::default() };
    let slow = world.accept_http(far(1), wire(Handshake::Waiting));
    let clear = world.accept_http(far(2), wire(Handshake::Waiting));
    let good = world.accept_http(far(3), wire(Handshake::Waiting));
    let gone = world.accept_http(far(4), wire(Handshake::Closed));
    world.step();
    world.put_handshake(clear, Handshake::NotTls);
    world.put_silently(good, HEALTH.as_bytes());
    world.put_handshake(good, Handshake::Done);
    world.event(gone, Readiness { is_read_closed: true, ..Readiness::default() });
    world.pass(9 * SECOND);
    let answers_of = |world: &mut World, client| answers(&world.take_bytes(client));
    let refusal = answers_of(&mut world, clear);
    assert_eq!((refusal.len(), refusal[0].status, refusal[0].body.as_str()), (1, 400, "this port speaks HTTPS\n"));
    assert!(world.is_at_end(clear));
    assert_eq!(answers_of(&mut world, good)[0].status, 200);
    assert!(world.is_closed(gone) && !world.is_closed(slow));
    world.pass(SECOND);
    assert!(world.is_closed(slow) && !world.is_closed(good));
    let answer = ask(&mut world, good, &get("/metrics", ""));
    assert_eq!(answer.status, 403, "it is on another machine");
    let mut text = Vec::new();
    world.server.write_metrics(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    for (result, count) in [("completed", 1), ("failed", 0), ("timed_out", 1), ("not_tls", 1), ("abandoned", 1)] {
        let line = format!("\nofficer_tls_handshakes_total{{result=\"{result}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn the_last_answers_are_written_before_the_end() {
    let mut world = World::new();
    let client = connect(&mut world);
    world.take_only(client, 0);
    world.send(client, HEALTH.as_bytes());
    world.put(client, get("/metrics", "").as_bytes());
    world.shut_down();
    assert!(world.server.unsent() > 0);
    world.put_room(client, None);
    world.turn();
    world.turn();
    assert_eq!(world.server.unsent(), 0);
    assert_eq!(answers(&world.take_bytes(client)).len(), 1, "nothing more is executed");
}
