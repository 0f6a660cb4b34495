//! Waiting: who is next, who may wait, how long, and two requests for one wait.

use std::time::Duration;

use officer::server::Limits;

use crate::words::{
    LOCKS, MY_LOCKS, RESET, RESET_SUCCEEDED, acquired, already_acquired, listing, lock, queue_maxed, released,
    timed_out, unlock,
};
use crate::world::{Client, Received, World};

const SECOND: Duration = Duration::from_secs(1);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// Nobody here sends keep-alives.
fn patient_world() -> World {
    World::with_limits(Limits { max_idle: None, ..Limits::default() })
}

/// A world in which the first client holds `db` and the others wait for it.
fn queue_for_db<const N: usize>() -> (World, [Client; N]) {
    let mut world = patient_world();
    let clients = world.connect();
    for client in clients {
        world.say(client, &lock("db", ""));
    }
    (world, clients)
}

/// Passes `db` from one of `clients` to the next; the first has it already. Nobody else may be waiting.
fn hand_over(world: &mut World, clients: &[Client]) {
    for pair in clients.windows(2) {
        let mut expected = vec![(pair[0], released("db")), (pair[1], acquired("db"))];
        expected.sort_by_key(|(client, _)| client.0);
        assert_eq!(world.say(pair[0], &unlock("db")), expected);
    }
    let last = *clients.last().unwrap();
    assert_eq!(world.say(last, &unlock("db")), [(last, released("db"))]);
    assert_eq!(world.say(last, LOCKS), [(last, listing("locks", "{}"))]);
}

#[test]
fn the_lock_goes_to_the_waiters_in_the_order_of_their_requests() {
    let mut world = World::new();
    let [ann, bob, carl, dora, emil] = world.connect();
    for client in [dora, bob, emil, ann, carl] {
        world.say(client, &lock("db", ""));
    }
    hand_over(&mut world, &[dora, bob, emil, ann, carl]);
}

#[test]
fn a_waiter_that_leaves_the_queue_anywhere_and_in_any_way_leaves_the_others_in_order() {
    type Leave = fn(&mut World, Client) -> Vec<Received>;
    type Answer = fn(&[&str]) -> Option<String>;
    let ways: [(Leave, Answer); 5] = [
        (|world, client| world.say(client, &unlock("db")), |_| Some(released("db"))),
        (|world, client| world.say(client, RESET), |_| Some(RESET_SUCCEEDED.to_owned())),
        (World::half_close, |_| None),
        (World::vanish, |_| None),
        (
            |world, client| {
                assert_eq!(world.say(client, &lock("db", r#""timeout":1"#)), []);
                world.pass(SECOND)
            },
            |others| Some(timed_out("db", others)),
        ),
    ];
    for place in 1..5 {
        for (leave, answer) in ways {
            let (mut world, clients) = queue_for_db::<5>();
            let mut left = clients.to_vec();
            let leaver = left.remove(place);
            let names: Vec<String> = left.iter().map(|client| world.name(*client).to_owned()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let expected: Vec<Received> = answer(&names).map(|answer| (leaver, answer)).into_iter().collect();
            assert_eq!(leave(&mut world, leaver), expected);
            hand_over(&mut world, &left);
        }
    }
}

#[test]
fn each_of_a_crowd_finds_its_place() {
    let mut world = patient_world();
    let clients = world.connect_many(40);
    for client in &clients {
        world.say(*client, &lock("db", ""));
        world.say(*client, &lock("db", ""));
    }
    // Every third leaves, some from the front, some from the back.
    let (leavers, left): (Vec<_>, Vec<_>) = clients[1..].iter().partition(|client| client.0 % 3 == 0);
    for leaver in leavers {
        assert_eq!(world.say(leaver, &unlock("db")), [(leaver, released("db"))]);
    }
    let in_order: Vec<Client> = [clients[0]].into_iter().chain(left).collect();
    hand_over(&mut world, &in_order);
}

#[test]
fn queue_max_counts_the_holder_and_the_waiters() {
    let (mut world, [_, _, carl]) = queue_for_db();
    world.say(carl, &unlock("db"));
    for queue_max in ["0", "1", "2", "2.0"] {
        assert_eq!(
            world.say(carl, &lock("db", &format!(r#""queue_max":{queue_max}"#))),
            [(carl, queue_maxed("db", &["10.0.0.1:1", "10.0.0.2:1"]))]
        );
    }
    assert_eq!(world.say(carl, MY_LOCKS), [(carl, listing("my_locks", "[]"))], "it does not wait");
    assert_eq!(world.say(carl, &lock("db", r#""queue_max":3"#)), [], "one below the limit");
    assert_eq!(world.say(carl, MY_LOCKS), [(carl, listing("my_locks", r#"["db"]"#))]);
}

#[test]
fn queue_max_1_waits_for_nobody_and_the_largest_always_waits() {
    let (mut world, [_, bob]) = queue_for_db();
    world.say(bob, &unlock("db"));
    assert_eq!(world.say(bob, &lock("db", r#""queue_max":1"#)), [(bob, queue_maxed("db", &["10.0.0.1:1"]))]);
    assert_eq!(world.say(bob, &lock("db", r#""queue_max":1e300"#)), []);
}

#[test]
fn a_free_lock_is_acquired_whatever_queue_max_says() {
    let mut world = World::new();
    let [ann] = world.connect();
    assert_eq!(world.say(ann, &lock("a", r#""queue_max":0"#)), [(ann, acquired("a"))]);
    assert_eq!(world.say(ann, &lock("b", r#""queue_max":1"#)), [(ann, acquired("b"))]);
}

#[test]
fn queue_max_is_ignored_if_the_connection_holds_or_awaits_the_lock_already() {
    let (mut world, [ann, bob]) = queue_for_db();
    assert_eq!(world.say(ann, &lock("db", r#""queue_max":0"#)), [(ann, already_acquired("db"))]);
    assert_eq!(world.say(bob, &lock("db", r#""queue_max":0"#)), [], "it joins its wait");
    hand_over(&mut world, &[ann, bob]);
}

#[test]
fn a_full_queue_is_reported_before_a_timeout_of_0() {
    let (mut world, [_, bob]) = queue_for_db();
    world.say(bob, &unlock("db"));
    let queue = ["10.0.0.1:1"];
    let both = r#""timeout":0,"queue_max":1"#;
    assert_eq!(world.say(bob, &lock("db", both)), [(bob, queue_maxed("db", &queue))]);
    assert_eq!(world.say(bob, &lock("db", r#""timeout":0,"queue_max":2"#)), [(bob, timed_out("db", &queue))]);
}

#[test]
fn replies_contain_the_first_thousand_of_a_queue_and_listings_all_of_it() {
    let mut world = patient_world();
    let clients = world.connect_many(1_003);
    let (&last, on_it) = clients.split_last().unwrap();
    for client in on_it {
        world.say(*client, &lock("db", ""));
    }
    let names: Vec<String> = on_it.iter().map(|client| world.name(*client).to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(world.say(last, &lock("db", r#""queue_max":1002"#)), [(last, queue_maxed("db", &names[..1_000]))]);
    assert_eq!(world.say(last, &lock("db", r#""timeout":0"#)), [(last, timed_out("db", &names[..1_000]))]);
    world.say(last, &lock("db", r#""timeout":1"#));
    assert_eq!(world.pass(SECOND), [(last, timed_out("db", &names[..1_000]))]);
    assert_eq!(world.say(last, LOCKS), [(last, listing("locks", &serde_json::json!({ "db": names }).to_string()))]);
}

#[test]
fn a_wait_times_out_at_its_deadline_with_the_queue_at_that_moment() {
    let (mut world, [ann, bob, carl]) = queue_for_db();
    world.say(bob, &unlock("db"));
    assert_eq!(world.say(bob, &lock("db", r#""timeout":2.5"#)), []);
    world.say(ann, &unlock("db"));
    assert_eq!(world.pass(Duration::from_millis(2_500) - NANOSECOND), []);
    assert_eq!(world.pass(NANOSECOND), [(bob, timed_out("db", &["10.0.0.3:1"]))]);
    assert_eq!(world.say(bob, MY_LOCKS), [(bob, listing("my_locks", "[]"))]);
    hand_over(&mut world, &[carl]);
}

#[test]
fn waits_time_out_in_the_order_of_their_deadlines_and_then_of_their_requests() {
    let mut world = patient_world();
    let [ann, bob, carl, dora, emil] = world.connect();
    world.say(ann, &lock("db", ""));
    for (client, timeout) in [(bob, "3"), (carl, "1"), (dora, "0.25"), (emil, "1.0")] {
        assert_eq!(world.say(client, &lock("db", &format!(r#""timeout":{timeout}"#))), []);
    }
    // Each sees in its queue who left before it.
    assert_eq!(
        world.pass(3 * SECOND),
        [
            (dora, timed_out("db", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.5:1"])),
            (carl, timed_out("db", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.5:1"])),
            (emil, timed_out("db", &["10.0.0.1:1", "10.0.0.2:1"])),
            (bob, timed_out("db", &["10.0.0.1:1"])),
        ]
    );
}

#[test]
fn a_waiter_that_was_granted_in_time_does_not_time_out() {
    let (mut world, [ann, bob]) = queue_for_db();
    world.say(bob, &lock("db", r#""timeout":1"#));
    world.pass(SECOND - NANOSECOND);
    assert_eq!(world.say(ann, &unlock("db")), [(ann, released("db")), (bob, acquired("db"))]);
    assert_eq!(world.pass(10 * SECOND), []);
    assert_eq!(world.say(bob, &lock("db", "")), [(bob, already_acquired("db"))]);
}

#[test]
fn a_timeout_of_0_or_less_never_waits() {
    let (mut world, [_, bob, carl]) = queue_for_db();
    world.say(carl, &unlock("db"));
    for timeout in ["0", "0.0", "-0", "-1", "-0.5", "-1e300", "-9999999999999999999"] {
        assert_eq!(
            world.say(carl, &lock("db", &format!(r#""timeout":{timeout}"#))),
            [(carl, timed_out("db", &["10.0.0.1:1", "10.0.0.2:1"]))],
            "{timeout}"
        );
    }
    assert_eq!(world.say(bob, MY_LOCKS), [(bob, listing("my_locks", r#"["db"]"#))]);
}

#[test]
fn the_smallest_timeout_above_0_does_wait() {
    let (mut world, [_, bob]) = queue_for_db();
    world.say(bob, &unlock("db"));
    world.put(bob, format!("{}\n{MY_LOCKS}\n", lock("db", r#""timeout":1e-300"#)).as_bytes());
    assert_eq!(world.step(), [(bob, listing("my_locks", r#"["db"]"#))]);
    assert_eq!(world.pass(NANOSECOND), [(bob, timed_out("db", &["10.0.0.1:1"]))]);
}

#[test]
fn timeouts_of_days_and_years_end_in_their_nanosecond() {
    // At limits of 32 and 64 bits: 2^31 milliseconds are 24.8 days, 2^32 seconds are 136 years, 2^63 nanoseconds are 292.
    for (written, timeout) in [
        ("2147483.5", Duration::from_millis(2_147_483_500)),
        ("2147483.75", Duration::from_millis(2_147_483_750)),
        ("4294967", Duration::from_secs(4_294_967)),
        ("4294968", Duration::from_secs(4_294_968)),
        ("2147483648", Duration::from_secs(1 << 31)),
        ("4294967296", Duration::from_secs(1 << 32)),
        ("8589934592", Duration::from_secs(1 << 33)),
        ("17179869184", Duration::from_secs(1 << 34)),
    ] {
        // The timeout of a new wait, and that of one that had none.
        for first in ["", written] {
            let mut world = patient_world();
            let [ann, bob] = world.connect();
            world.say(ann, &lock("db", ""));
            if first.is_empty() {
                assert_eq!(world.say(bob, &lock("db", "")), []);
            }
            assert_eq!(world.say(bob, &lock("db", &format!(r#""timeout":{written}"#))), []);
            assert_eq!(world.pass(timeout - NANOSECOND), [], "{written}");
            assert_eq!(world.pass(NANOSECOND), [(bob, timed_out("db", &["10.0.0.1:1"]))], "{written}");
        }
    }
}

#[test]
fn timeouts_of_centuries_are_as_good_as_none() {
    let mut world = patient_world();
    let [ann, bob, carl, dora, emil] = world.connect();
    world.say(ann, &lock("db", ""));
    let timeouts =
        [(bob, "1e300"), (carl, "1.7976931348623157e308"), (dora, "99999999999999999999999"), (emil, "2e10")];
    for (client, timeout) in timeouts {
        assert_eq!(world.say(client, &lock("db", &format!(r#""timeout":{timeout}"#))), []);
    }
    assert_eq!(world.pass(Duration::from_secs(500 * 365 * 86_400)), [], "five hundred years");
    hand_over(&mut world, &[ann, bob, carl, dora, emil]);
}

#[test]
fn a_timeout_of_0_is_answered_in_the_order_of_the_requests() {
    let (mut world, [ann, bob]) = queue_for_db();
    world.say(bob, &unlock("db"));
    let lines =
        [lock("x", ""), lock("db", r#""timeout":0"#), MY_LOCKS.to_owned(), lock("db", r#""timeout":0"#), unlock("x")];
    assert_eq!(
        world.say(bob, &lines.join("\n")),
        [
            (bob, acquired("x")),
            (bob, timed_out("db", &["10.0.0.1:1"])),
            (bob, listing("my_locks", r#"["x"]"#)),
            (bob, timed_out("db", &["10.0.0.1:1"])),
            (bob, released("x")),
        ]
    );
    // So is one that joins a wait, and ends it.
    let lines = [lock("db", ""), lock("db", r#""timeout":0"#), MY_LOCKS.to_owned()];
    let [end, mine] = [timed_out("db", &["10.0.0.1:1"]), listing("my_locks", "[]")];
    assert_eq!(world.say(bob, &lines.join("\n")), [(bob, end), (bob, mine)]);
    hand_over(&mut world, &[ann]);
}

#[test]
fn a_second_request_joins_the_wait_and_the_first_timeout_counts_from_its_own_arrival() {
    // The timeouts of requests one second apart, and when the wait ends.
    for (timeouts, ends_after) in [
        (&["", ""][..], None),
        (&["", "5"], Some(6)),
        (&["5", ""], Some(5)),
        (&["5", "1"], Some(5)),
        (&["5", "100"], Some(5)),
        (&["5", "0"], Some(5)),
        (&["5", "-1"], Some(5)),
        (&["", "0"], Some(1)),
        (&["", "-1"], Some(1)),
        (&["", "", "7", "1"], Some(9)),
        (&["", "1e300", "1"], None),
    ] {
        let mut world = patient_world();
        let [ann, bob] = world.connect();
        world.say(ann, &lock("db", ""));
        let end = vec![(bob, timed_out("db", &["10.0.0.1:1"]))];
        for (at, timeout) in timeouts.iter().enumerate() {
            let fields = if timeout.is_empty() { String::new() } else { format!(r#""timeout":{timeout}"#) };
            let is_end = ends_after == Some(at as u64);
            assert_eq!(world.say(bob, &lock("db", &fields)), if is_end { end.clone() } else { vec![] }, "{timeouts:?}");
            if !is_end {
                assert_eq!(world.pass(SECOND), [], "{timeouts:?}");
            }
        }
        match ends_after.map(Duration::from_secs) {
            Some(ends_after) if ends_after > world.now() => {
                assert_eq!(world.pass(ends_after - world.now() - NANOSECOND), [], "{timeouts:?}");
                assert_eq!(world.pass(NANOSECOND), end, "{timeouts:?}");
            }
            Some(_) => {}
            None => assert_eq!(world.pass(1_000_000 * SECOND), [], "{timeouts:?}"),
        }
        // One reply for all of them, whichever it is.
        let is_granted = ends_after.is_none();
        let grant = is_granted.then(|| (bob, acquired("db")));
        let expected: Vec<Received> = [(ann, released("db"))].into_iter().chain(grant).collect();
        assert_eq!(world.say(ann, &unlock("db")), expected, "{timeouts:?}");
        assert_eq!(world.pass(1_000_000 * SECOND), [], "{timeouts:?}");
    }
}

#[test]
fn a_second_request_keeps_the_place_of_the_first() {
    let (mut world, [ann, bob, carl]) = queue_for_db();
    assert_eq!(world.say(bob, &lock("db", r#""timeout":60"#)), []);
    hand_over(&mut world, &[ann, bob, carl]);
}

#[test]
fn a_grant_and_a_timeout_within_one_turn_give_one_answer() {
    // Both are there in the same turn: requests come before deadlines.
    let (mut world, [ann, bob, carl]) = queue_for_db();
    world.say(bob, &lock("db", r#""timeout":1"#));
    world.oversleep(SECOND);
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    assert_eq!(world.step(), [(ann, released("db")), (bob, acquired("db"))]);
    assert_eq!(world.pass(SECOND), []);
    hand_over(&mut world, &[bob, carl]);
}

#[test]
fn a_release_and_the_end_of_the_next_within_one_turn_pass_the_lock_on() {
    for is_ann_first in [true, false] {
        let (mut world, [ann, bob, carl]) = queue_for_db();
        let release = format!("{}\n", unlock("db"));
        if is_ann_first {
            world.put(ann, release.as_bytes());
            world.put_reset(bob);
        } else {
            world.put_reset(bob);
            world.put(ann, release.as_bytes());
        }
        assert_eq!(world.step(), [(ann, released("db")), (carl, acquired("db"))]);
        hand_over(&mut world, &[carl]);
    }
}

#[test]
fn the_end_of_the_holder_and_of_all_waiters_within_one_turn_leaves_the_lock_free() {
    let (mut world, clients) = queue_for_db::<5>();
    for client in clients {
        world.put_end(client);
    }
    assert_eq!(world.step(), []);
    let [late] = world.connect();
    assert_eq!(world.say(late, &lock("db", r#""timeout":0"#)), [(late, acquired("db"))]);
}
