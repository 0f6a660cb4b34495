//! More who are to be granted at once than a turn grants.

use std::time::{Duration, Instant};

use officer::server::Limits;
use officer::time::Moment;

use crate::words::{lock, released, timed_out, unlock, with};
use crate::world::{Client, Received, World};

const WAITERS: usize = 2_500;
const SHARED: &str = r#""mode":"shared""#;

/// The owners who were granted the lock, in order.
fn granted(received: &[Received], client: Client) -> Vec<usize> {
    let of_client = received.iter().filter(|(other, _)| *other == client);
    of_client
        .map(|(_, line)| {
            let owner = line.strip_prefix(r#"{"name":"db","result":"acquired","owner":"#).expect("it is granted");
            owner.strip_suffix('}').and_then(|owner| owner.parse().ok()).expect("a number")
        })
        .collect()
}

/// Lines of one client's owners, each of whom asks for a shared hold.
fn shared_of_owners() -> String {
    (0..WAITERS).map(|owner| with(&lock("db", SHARED), &format!(r#""owner":{owner}"#)) + "\n").collect()
}

#[test]
fn two_thousand_five_hundred_shared_waiters_are_granted_in_three_turns_and_nobody_passes_them() {
    let mut world = World::new();
    let [ann, bob, late, eager, last] = world.connect();
    world.say(ann, &lock("db", ""));
    assert_eq!(world.send(bob, shared_of_owners().as_bytes()), []);
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());

    let received = world.step_once();
    assert!(received.contains(&(ann, released("db"))));
    // The first is free, as it is at once for every end.
    assert_eq!(granted(&received, bob), (0..1001).collect::<Vec<_>>());
    assert_eq!(world.server.next_turn(), Some(Moment::START), "the poll must not sleep");

    // One that would fit all the holders comes between the turns, after the grants of its turn.
    world.put(late, format!("{}\n", lock("db", SHARED)).as_bytes());
    world.put(eager, format!("{}\n", lock("db", r#""mode":"shared","timeout":0"#)).as_bytes());
    world.put(last, format!("{}\n", lock("db", "")).as_bytes());
    let received = world.step_once();
    assert_eq!(granted(&received, bob), (1001..2001).collect::<Vec<_>>());
    let others: Vec<&Received> = received.iter().filter(|(client, _)| *client != bob).collect();
    let queue: Vec<&str> = std::iter::repeat_n("10.0.0.2:1", 1000).collect();
    assert_eq!(others, [&(eager, timed_out("db", &queue))], "it waits for those before it");

    let received = world.step_once();
    assert_eq!(granted(&received, bob), (2001..2500).collect::<Vec<_>>());
    assert_eq!(received.last(), Some(&(late, r#"{"name":"db","result":"acquired"}"#.to_owned())));
    assert_eq!(received.len(), 500);
    assert_eq!(world.step(), [], "the exclusive one waits for all of them");
    assert_eq!((world.server.stats().held, world.server.stats().waiting), (2501, 1));
}

#[test]
fn a_turn_whose_grants_take_long_leaves_the_others_for_the_next_one() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.send(bob, shared_of_owners().as_bytes());
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    let mut granted_to_bob = granted(&world.step_once(), bob);
    assert_eq!(granted_to_bob.len(), 1001);
    world.put(carl, format!("{}\n", lock("db", SHARED)).as_bytes());
    // The clock is looked at after each 16 grants, and the third look is 1.2 ms after the one at the beginning. Who leaves the
    // lock later in such a turn has one more granted, and not all that the turn grants otherwise.
    for has_unlock in [false, true] {
        if has_unlock {
            world.put(bob, format!("{}\n", with(&unlock("db"), r#""owner":0"#)).as_bytes());
        }
        world.slow_turn(Duration::from_micros(400));
        let mut received = world.receive();
        received.retain(|(_, line)| !line.contains("released"));
        let of_slow_turn = granted(&received, bob);
        assert_eq!(of_slow_turn.len(), 48 + usize::from(has_unlock));
        granted_to_bob.extend(of_slow_turn);
    }
    assert_eq!(world.server.next_turn(), Some(Moment::START), "the poll must not sleep");
    let rest = world.step();
    granted_to_bob.extend(granted(&rest[..rest.len() - 1], bob));
    assert_eq!(granted_to_bob, (0..WAITERS).collect::<Vec<_>>());
    assert_eq!(rest.last(), Some(&(carl, r#"{"name":"db","result":"acquired"}"#.to_owned())));
}

#[test]
fn those_that_a_turn_has_left_over_do_not_time_out() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("db", ""));
    world.send(bob, shared_of_owners().replace(SHARED, r#""mode":"shared","timeout":1"#).as_bytes());
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.oversleep(Duration::from_secs(1));
    let received: Vec<Received> = world.step().into_iter().filter(|(client, _)| *client == bob).collect();
    assert_eq!(granted(&received, bob), (0..WAITERS).collect::<Vec<_>>());
}

#[test]
fn who_waits_for_somebody_behind_those_left_over_times_out_as_ever() {
    for walk in [Limits::default().turn_walk_max, 5] {
        let mut world = World::with_limits(Limits { turn_grants_max: 1, turn_walk_max: walk, ..Limits::default() });
        let [ann, bob, carl, dora] = world.connect();
        world.say(ann, &lock("db", ""));
        let owners: Vec<usize> = (0..30).collect();
        let lines: String = owners
            .iter()
            .map(|owner| with(&lock("db", SHARED), &format!(r#""owner":{owner},"timeout":1"#)) + "\n")
            .collect();
        world.send(bob, lines.as_bytes());
        world.say(carl, &lock("db", ""));
        world.say(dora, &lock("db", r#""mode":"shared","timeout":1"#));
        world.put(ann, format!("{}\n", unlock("db")).as_bytes());
        world.oversleep(Duration::from_secs(1));
        let (mut of_bob, mut timed_out_in) = (Vec::new(), None);
        for turn in 1..=owners.len() {
            let received = world.step_once();
            world.server.check_all();
            of_bob.extend(received.iter().filter(|(client, _)| *client == bob).cloned());
            if received.iter().any(|(client, line)| *client == dora && line.contains(r#""result":"timed_out""#)) {
                assert_eq!(timed_out_in.replace(turn), None);
            }
        }
        assert_eq!(granted(&of_bob, bob), owners, "none of them has timed out");
        // To see that she waits for Carl, all before him are looked at: the first three are because two of them are granted and
        // one is left over, and the other 27 by five in a turn, if there is little to spend.
        let expected = if walk == 5 { 6 } else { 1 };
        assert_eq!(timed_out_in, Some(expected));
    }
}

#[test]
fn a_request_that_is_refused_for_a_deadlock_grants_nobody_who_is_left_over() {
    let mut world = World::with_limits(Limits { turn_grants_max: 1, ..Limits::default() });
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("db", ""));
    world.say(carl, &lock("b", ""));
    for owner in 1..=4 {
        world.say(bob, &with(&lock("db", SHARED), &format!(r#""owner":{owner}"#)));
    }
    // The first to hold db waits for carl, so carl must not wait for db.
    world.say(bob, &lock("b", r#""owner":1"#));
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.put(carl, format!("{}\n", lock("db", r#""deadlock":"refuse""#)).as_bytes());
    let received = world.step_once();
    assert_eq!(granted(&received, bob), [1, 2]);
    assert!(received.iter().any(|(client, line)| *client == carl && line.contains(r#""result":"deadlock""#)));
    assert_eq!(granted(&world.step_once(), bob), [3]);
    assert_eq!(granted(&world.step_once(), bob), [4]);
}

#[test]
fn a_request_for_several_that_is_left_over_is_ahead_of_later_ones_on_each_of_its_locks() {
    for names in [r#"["b","db"]"#, r#"["db","b"]"#] {
        let mut world = World::with_limits(Limits { turn_grants_max: 1, ..Limits::default() });
        let [ann, bob, carl, dora] = world.connect();
        world.say(ann, &lock("db", ""));
        for owner in 1..=3 {
            world.say(bob, &with(&lock("db", SHARED), &format!(r#""owner":{owner}"#)));
        }
        world.put(ann, format!("{}\n", unlock("db")).as_bytes());
        // It waits for nobody, but for the last of these, and Dora fits everybody.
        world.put(carl, format!("{{\"command\":\"lock\",\"names\":{names},{SHARED}}}\n").as_bytes());
        world.put(dora, format!("{}\n", lock("b", SHARED)).as_bytes());
        let received = world.step_once();
        assert_eq!(granted(&received, bob), [1, 2]);
        assert!(received.iter().all(|(client, _)| [ann, bob].contains(client)), "{names}: {received:?}");
        assert_eq!(granted(&world.step_once(), bob), [3]);
        let later: Vec<Client> = (0..2).flat_map(|_| world.step_once()).map(|(client, _)| client).collect();
        assert_eq!(later, [carl, dora], "{names}");
    }
}

/// A request for several has to know of all who wait for nobody, so all of them are marked while it waits.
#[test]
fn a_crowd_with_a_request_for_several_in_it_is_not_looked_at_again_for_each_who_leaves() {
    const EACH: usize = 10_000;
    let mut world = World::with_limits(Limits {
        connection_locks_max: EACH,
        turn_read_bytes: 64 << 20,
        outbox_bytes_max: 256 << 20,
        ..Limits::default()
    });
    world.check_all = false;
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("db", ""));
    for client in [bob, dora] {
        let owners = 0..EACH;
        let lines: String =
            owners.map(|owner| with(&lock("db", SHARED), &format!(r#""owner":{owner}"#)) + "\n").collect();
        world.send(client, lines.as_bytes());
    }
    world.say(carl, r#"{"command":"lock","names":["db","other"]}"#);
    let begun = Instant::now();
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.put(dora, b"{\"command\":\"reset\"}\n");
    let received = world.step();
    assert_eq!(
        granted(&received.into_iter().filter(|(client, _)| *client == bob).collect::<Vec<_>>(), bob).len(),
        EACH
    );
    assert_eq!((world.server.stats().held, world.server.stats().waiting), (EACH as u64, 2));
    // With a look at each of those left over it takes hundreds of times as long: a minute, and 0.1 s as it is.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.shut_down();
}

#[test]
fn a_priority_comes_after_higher_ones_that_are_not_left_over_whatever_those_left_over_have() {
    let mut world = World::with_limits(Limits { turn_grants_max: 1, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    world.say(ann, &lock("db", ""));
    let shared = |owner: usize| with(&lock("db", r#""mode":"shared","priority":1"#), &format!(r#""owner":{owner}"#));
    (0..3).for_each(|owner| _ = world.say(bob, &shared(owner)));
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.put(carl, format!("{}\n", lock("db", r#""priority":3"#)).as_bytes());
    world.put(dora, format!("{}\n", shared(3)).as_bytes());
    let received = world.step();
    assert_eq!(granted(&received[1..], bob), [0, 1, 2]);
    assert_eq!(received.len(), 4, "dora waits for carl, who waits for bob: {received:?}");
    world.say(bob, r#"{"command":"reset"}"#);
    assert_eq!(world.server.stats().waiting, 1, "carl holds it");
    assert_eq!(world.say(carl, &unlock("db")).last().map(|(client, _)| *client), Some(dora));
}

#[test]
fn walks_for_deadlocks_hold_up_nothing_that_is_due() {
    let mut world = World::with_limits(Limits { turn_grants_max: 1, turn_walk_max: 5, ..Limits::default() });
    let [ann, bob, carl, dora, walker, eve] = world.connect();
    world.say(ann, &lock("db", ""));
    let shared =
        |owner: usize| with(&lock("db", r#""mode":"shared","priority":1"#), &format!(r#""owner":{owner}"#)) + "\n";
    (0..5).for_each(|owner| _ = world.send(bob, shared(owner).as_bytes()));
    // It waits for who comes before it, which has to be found out when it is due.
    world.say(carl, &lock("db", r#""timeout":1"#));
    (0..10).for_each(|owner| _ = world.say(dora, &lock("long", &format!(r#""owner":{owner}"#))));
    world.say(walker, &lock("own", ""));
    world.say(eve, &lock("leased", r#""lease":1.5"#));
    world.put(ann, format!("{}\n", unlock("db")).as_bytes());
    world.oversleep(Duration::from_secs(2));
    // More are left over after each turn, and each has a walk that uses up what walks may look at.
    for turn in 0..3 {
        world.put(walker, format!("{}\n", lock("long", r#""deadlock":"refuse""#)).as_bytes());
        world.put(bob, (shared(5 + 2 * turn) + &shared(6 + 2 * turn)).as_bytes());
        world.turn();
    }
    assert_eq!(world.server.stats().expiries, 1);
    assert_eq!(world.server.stats().timeouts, 1);
}
