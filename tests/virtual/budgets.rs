//! The most that one turn does, so that nobody waits long for others.

use std::time::Duration;

use officer::server::Limits;
use officer::time::Moment;

use crate::words::{MY_LOCKS, RESET, RESET_SUCCEEDED, acquired, lock, release_failed, released, timed_out, unlock};
use crate::world::{Client, Received, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn others_are_served_in_between_while_one_client_sends_much() {
    let line = unlock("x") + "\n";
    let lines_per_turn = 4;
    let turn_read_bytes = lines_per_turn * line.len();
    let mut world = World::with_limits(Limits { turn_read_bytes, ..Limits::default() });
    let [ann, bob] = world.connect();
    world.put(ann, line.repeat(20).as_bytes());
    for turn in 1..=5 {
        let mut expected = vec![(ann, release_failed("x")); lines_per_turn];
        world.put(bob, format!("{RESET}\n").as_bytes());
        expected.push((bob, RESET_SUCCEEDED.to_owned()));
        assert_eq!(world.step_once(), expected, "turn {turn}");
        assert_eq!(world.unread(ann), (20 - turn * lines_per_turn) * line.len());
    }
    assert_eq!(world.step(), []);
}

#[test]
fn a_connection_with_unread_input_is_served_again_without_an_event() {
    let mut world = World::with_limits(Limits { turn_read_bytes: 10, ..Limits::default() });
    let [ann, bob] = world.connect();
    world.put(ann, (unlock("x") + "\n").repeat(50).as_bytes());
    world.turn();
    assert_eq!(world.server.next_turn(), Some(Moment::START), "the poll must not sleep");
    assert_eq!(world.step(), vec![(ann, release_failed("x")); 50]);
    assert_eq!(world.say(bob, RESET).len(), 1);
    assert!(world.server.next_turn().is_some_and(|next| next > Moment::START), "except for the idle limit");
}

#[test]
fn nothing_is_read_while_lines_of_the_previous_read_are_left() {
    let line = unlock("x") + "\n";
    let reply = (release_failed("x") + "\n").len();
    let lines_per_read = 4;
    let mut world = World::with_limits(Limits {
        turn_read_bytes: lines_per_read * line.len(),
        // So that one line is executed whenever a reply is taken.
        outbox_pause_bytes: 1,
        ..Limits::default()
    });
    let [ann] = world.connect();
    world.take_only(ann, 0);
    assert_eq!(world.send(ann, line.repeat(2 * lines_per_read).as_bytes()), []);
    for _ in 0..lines_per_read {
        assert_eq!(world.unread(ann), lines_per_read * line.len());
        assert_eq!(world.take(ann, Some(reply)), [(ann, release_failed("x"))]);
    }
    assert_eq!(world.unread(ann), 0);
}

#[test]
fn a_turn_makes_one_long_listing_and_other_requests_do_not_wait_for_all_listings() {
    let mut world = World::new();
    let [ann, zoe] = world.connect();
    for number in 0..=1000 {
        assert_eq!(world.say(ann, &lock(&number.to_string(), "")).len(), 1);
    }
    let readers = world.connect_many(4);
    for (listing, client) in ["locks", "connections", "my_locks"].iter().cycle().zip(&readers) {
        world.put(*client, format!("{{\"command\":\"{listing}\"}}\n{RESET}\n").as_bytes());
        world.put_end(*client);
    }
    let mut listed = Vec::new();
    for turn in 0..readers.len() {
        world.put(zoe, format!("{RESET}\n").as_bytes());
        let mut received = world.step_once();
        received.retain(|(client, _)| *client != zoe);
        assert_eq!(received.len(), 2, "turn {turn}: {received:?}");
        assert_eq!(received[1], (received[0].0, RESET_SUCCEEDED.to_owned()));
        listed.push(received[0].0);
        world.server.check_all();
    }
    assert_eq!(listed, readers, "in the order in which they asked");
    assert_eq!(world.step(), []);
}

#[test]
fn holders_and_waiters_count_together_towards_a_long_listing() {
    let mut world = World::new();
    let [ann, bob, cid] = world.connect();
    let locks: String = (0..500).map(|number| lock(&number.to_string(), "") + "\n").collect();
    world.send(ann, locks.as_bytes());
    world.send(bob, locks.as_bytes());
    let listings_of_a_turn = |world: &mut World| {
        world.put(ann, format!("{MY_LOCKS}\n").as_bytes());
        world.put(cid, format!("{MY_LOCKS}\n").as_bytes());
        let listings = world.step_once().len();
        world.step();
        listings
    };
    assert_eq!(listings_of_a_turn(&mut world), 2);
    world.say(bob, &lock("one more", ""));
    assert_eq!(listings_of_a_turn(&mut world), 1);
}

#[test]
fn a_client_that_requests_long_listings_without_end_does_not_starve_those_of_others() {
    let mut world = World::new();
    let [ann, greedy, zoe] = world.connect();
    for number in 0..=1000 {
        assert_eq!(world.say(ann, &lock(&number.to_string(), "")).len(), 1);
    }
    // More than one read takes, so there is always a whole line left.
    let listings = "{\"command\":\"my_locks\"}\n".repeat(2000);
    world.put(greedy, listings.as_bytes());
    for _ in 0..3 {
        assert_eq!(world.step_once().len(), 1, "one listing in a turn");
    }
    world.put(zoe, format!("{{\"command\":\"my_locks\"}}\n{RESET}\n").as_bytes());
    let mut listed = Vec::new();
    for _ in 0..4 {
        listed.extend(world.step_once());
        world.server.check_all();
    }
    let of_zoe = listed.iter().filter(|(client, _)| *client == zoe).count();
    assert_eq!((listed.len(), of_zoe), (5, 2), "{listed:?}");
}

#[test]
fn a_page_and_a_kick_with_thousands_of_connections_are_limited_to_one_in_a_turn_too() {
    let page = r#"{"command":"locks","limit":1}"#;
    let kick = r#"{"command":"kick","connection":"unix:0"}"#;
    let mut world = World::new();
    let [ann] = world.connect();
    let answers = |world: &mut World, lines: [&str; 2]| {
        world.put(ann, format!("{}\n{}\n", lines[0], lines[1]).as_bytes());
        [world.step_once().len(), world.step_once().len()]
    };
    assert_eq!(answers(&mut world, [page, page]), [1, 1]);
    assert_eq!(answers(&mut world, [kick, kick]), [2, 0], "there are few");
    world.connect_many(1000);
    assert_eq!(answers(&mut world, [kick, kick]), [1, 1]);
    assert_eq!(answers(&mut world, [page, kick]), [1, 1]);
}

#[test]
fn a_kick_among_many_sessions_and_a_transfer_among_many_waiters_are_limited_to_one_in_a_turn_too() {
    let answers = |world: &mut World, client: Client, line: &str| {
        world.put(client, format!("{line}\n{line}\n").as_bytes());
        [world.step_once().len(), world.step_once().len()]
    };
    let mut world = World::new();
    let [ann, bob] = world.connect();
    for client in world.connect_many(500) {
        world.say(client, r#"{"command":"hello","session":{"grace":1}}"#);
    }
    let kick = r#"{"command":"kick","connection":"unix:0"}"#;
    assert_eq!(answers(&mut world, ann, kick), [1, 1], "connections and sessions count");
    let transfer = r#"{"command":"transfer","name":"db","to":"unix:0"}"#;
    world.say(ann, &lock("db", ""));
    for owner in 0..1000 {
        world.say(bob, &lock("db", &format!(r#""owner":{owner}"#)));
    }
    assert_eq!(answers(&mut world, ann, transfer), [2, 0], "there are few");
    world.say(bob, &lock("db", ""));
    assert_eq!(answers(&mut world, ann, transfer), [1, 1]);
}

#[test]
fn all_lines_of_one_read_are_executed_in_one_turn() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.put(ann, "{\"command\":\"unlock\",\"name\":\"x\"}\n".repeat(400).as_bytes());
    assert_eq!(world.step_once(), vec![(ann, release_failed("x")); 400]);
}

#[test]
fn a_turn_expires_a_limited_number_of_waits() {
    let mut world = World::with_limits(Limits { turn_expiries_max: 3, ..Limits::default() });
    let [ann, zoe] = world.connect();
    world.say(ann, &lock("db", ""));
    let waiters = world.connect_many(10);
    for client in &waiters {
        world.say(*client, &lock("db", r#""timeout":1"#));
    }
    world.oversleep(SECOND);
    let mut order = Vec::new();
    for expected in [3, 3] {
        // Requests go on in between.
        world.put(zoe, format!("{RESET}\n").as_bytes());
        let received = world.step_once();
        assert_eq!(received.len(), expected + 1);
        assert!(received.contains(&(zoe, RESET_SUCCEEDED.to_owned())));
        order.extend(received.into_iter().map(|(client, _)| client).filter(|client| *client != zoe));
        assert!(world.server.next_turn().is_some_and(|next| Duration::from_nanos(next.as_nanos()) <= world.now()));
    }
    // A waiter that is granted the lock in between does not time out, although its deadline has passed.
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    let received = world.step_once();
    assert_eq!(received[..2], [(ann, released("db")), (waiters[6], acquired("db"))]);
    let rest: Vec<Received> = world.step();
    order.extend(received[2..].iter().chain(&rest).map(|(client, _)| *client));
    let in_order: Vec<_> = waiters.iter().copied().filter(|client| *client != waiters[6]).collect();
    assert_eq!(order, in_order);
}

/// How many of a turn's ends there is time for, if each look at the clock takes 0.4 ms: one comes after each of them, and the
/// third is 1.2 ms after the one at the beginning.
const ENDS_OF_SLOW_TURN: usize = 3;
/// After shorter steps the clock is looked at after each fourth one.
const STEPS_OF_SLOW_TURN: usize = 4 * ENDS_OF_SLOW_TURN;
const SLOW: Duration = Duration::from_micros(400);

#[test]
fn a_turn_whose_expiries_take_long_leaves_the_others_for_the_next_one() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.say(ann, &lock("db", ""));
    let count = 3 * STEPS_OF_SLOW_TURN + 1;
    for owner in 0..count {
        world.say(ann, &lock("db", &format!(r#""timeout":1,"owner":{owner}"#)));
    }
    world.oversleep(SECOND);
    for expected in [STEPS_OF_SLOW_TURN, STEPS_OF_SLOW_TURN, STEPS_OF_SLOW_TURN, 1, 0] {
        world.slow_turn(SLOW);
        assert_eq!(world.receive().len(), expected);
    }
}

#[test]
fn a_turn_whose_ends_take_long_leaves_the_others_for_the_next_one() {
    for is_kept in [false, true] {
        let mut world = World::new();
        let clients = world.connect_many(ENDS_OF_SLOW_TURN + 1);
        for client in &clients {
            if is_kept {
                world.say(*client, r#"{"command":"hello","session":{"grace":1}}"#);
            }
            world.say(*client, &lock("db", ""));
        }
        clients.iter().for_each(|client| world.put_end(*client));
        if is_kept {
            world.step();
            world.oversleep(SECOND);
        }
        for expected in [1, 0] {
            world.slow_turn(SLOW);
            let stats = world.server.stats();
            assert_eq!(stats.held + stats.waiting, expected, "{is_kept}");
        }
    }
}

#[test]
fn a_turn_in_which_many_idle_connections_take_long_to_close_leaves_the_others_for_the_next_one() {
    let mut world = World::new();
    let count = STEPS_OF_SLOW_TURN + 1;
    world.connect_many(count);
    world.oversleep(60 * SECOND);
    for turn in 1..=5 {
        world.slow_turn(SLOW);
        assert_eq!(world.server.connections(), count.saturating_sub(turn * ENDS_OF_SLOW_TURN));
    }
}

#[test]
fn a_turn_closes_a_limited_number_of_idle_connections() {
    let mut world = World::with_limits(Limits { turn_expiries_max: 3, ..Limits::default() });
    world.connect_many(10);
    world.oversleep(60 * SECOND);
    for left in [7, 4, 1, 0, 0] {
        world.turn();
        assert_eq!(world.server.connections(), left);
    }
}

#[test]
fn idle_connections_do_not_use_up_the_budget_for_waits() {
    let mut world = World::with_limits(Limits { turn_expiries_max: 1, ..Limits::default() });
    let clients = world.connect_many(6);
    for client in &clients[..2] {
        world.say(*client, &lock("db", r#""timeout":70"#));
    }
    world.pass(30 * SECOND);
    for client in &clients[..2] {
        world.say(*client, r#"{"command":"keep_alive"}"#);
    }
    world.oversleep(45 * SECOND);
    let received = world.step_once();
    assert_eq!(received, [(clients[1], timed_out("db", &["10.0.0.1:1"]))]);
}

#[test]
fn deadlines_of_a_turn_write_a_limited_number_of_bytes_and_leave_the_rest() {
    let one = timed_out("db", &["10.0.0.1:1"]).len() + 1;
    // The limit is checked before each one: the one that exceeds it is the last.
    for (turn_expiry_bytes, per_turn) in [(1, 1), (one, 1), (one + 1, 2), (3 * one, 3)] {
        let mut world = World::with_limits(Limits { turn_expiry_bytes, ..Limits::default() });
        let [ann] = world.connect();
        let waiters = world.connect_many(6);
        for (number, client) in waiters.iter().enumerate() {
            let name = format!("d{number}");
            world.say(ann, &lock(&name, ""));
            world.say(*client, &lock(&name, r#""timeout":1"#));
        }
        world.oversleep(SECOND);
        let mut left = 6;
        while left > 0 {
            let received = world.step_once();
            assert_eq!(received.len(), per_turn.min(left));
            left -= received.len();
        }
    }
}

#[test]
fn a_turn_ends_a_limited_number_of_sessions_each_completely() {
    let mut world = World::with_limits(Limits { turn_ends_max: 2, ..Limits::default() });
    let holders = world.connect_many(5);
    let [zoe] = world.connect();
    for client in &holders {
        for number in 0..3 {
            world.say(*client, &lock(&format!("{} {number}", client.0), ""));
        }
    }
    for client in &holders {
        world.put_reset(*client);
    }
    // The first two end in the turn that detects them; then two in each.
    for left in [9, 3, 0] {
        world.put(zoe, format!("{RESET}\n").as_bytes());
        assert_eq!(world.step_once(), [(zoe, RESET_SUCCEEDED.to_owned())], "the others are served meanwhile");
        assert_eq!(world.server.stats().held, left);
        assert!(left == 0 || world.server.next_turn() == Some(Moment::START), "the poll must not sleep");
    }
    assert!(holders.iter().all(|client| world.is_closed(*client)));
}

#[test]
fn a_session_that_is_about_to_end_passes_on_a_lock_that_it_is_granted() {
    let mut world = World::with_limits(Limits { turn_ends_max: 1, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    for client in [ann, bob, carl, dora] {
        world.say(client, &lock("db", ""));
    }
    for client in [ann, bob, carl] {
        world.put_end(client);
    }
    assert_eq!(world.step_once(), []);
    assert_eq!(world.step_once(), []);
    assert_eq!(world.step_once(), [(dora, acquired("db"))]);
    assert_eq!(world.server.stats().acquires, 4);
}

#[test]
fn a_turn_that_has_answered_everything_leaves_nothing_to_do() {
    // Otherwise the loop would run once more for every reply, and find nothing to do.
    let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
    let [ann] = world.connect();
    world.put(ann, format!("{RESET}\n").as_bytes());
    assert_eq!(world.step_once(), [(ann, RESET_SUCCEEDED.to_owned())]);
    assert_eq!(world.server.next_turn(), None);
}
