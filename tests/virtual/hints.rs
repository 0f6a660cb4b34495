//! Holders that are told when somebody else wants their lock.

use std::time::Duration;

use crate::words::{acquired, cancelled, lock, queue_maxed, request, timed_out, unlock, with};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);

fn wanted(name: &str, token: u64, waiters: usize) -> String {
    format!(r#"{{"name":"{name}","notice":"wanted","token":{token},"waiters":{waiters}}}"#)
}

/// A world in which the first client holds `db` with a hint.
fn held<const N: usize>(fields: &str) -> (World, [Client; N]) {
    let mut world = World::new();
    let clients = world.connect();
    let received = world.say(clients[0], &lock("db", &format!(r#""hint":true{fields}"#)));
    assert_eq!(received.len(), 1, "nobody wants it yet: {received:?}");
    (world, clients)
}

#[test]
fn a_holder_is_told_once_when_the_first_waiter_comes() {
    let (mut world, [ann, bob, carl]) = held(r#","owner":7"#);
    assert_eq!(world.say(bob, &lock("db", "")), [(ann, with(&wanted("db", 1, 1), r#""owner":7"#))]);
    assert_eq!(world.say(carl, &lock("db", "")), []);
    world.say(bob, &unlock("db"));
    world.say(carl, &unlock("db"));
    assert_eq!(world.say(carl, &lock("db", "")), [], "once per hold");
}

#[test]
fn who_asks_is_answered_before_the_holder_is_told() {
    for (fields, reply, waiters) in [
        (r#""progress":true"#, r#"{"name":"db","result":"queued","position":0}"#.to_owned(), 1),
        (r#""timeout":0"#, timed_out("db", &["10.0.0.1:1"]), 0),
        (r#""queue_max":1"#, queue_maxed("db", &["10.0.0.1:1"]), 0),
    ] {
        let (mut world, [ann]) = held("");
        // The same connection, so that the order shows.
        let asks = lock("db", &format!(r#"{fields},"owner":"x""#));
        let answer = with(&reply, r#""owner":"x""#);
        assert_eq!(world.say(ann, &asks), [(ann, answer), (ann, wanted("db", 1, waiters))], "{fields}");
    }
}

#[test]
fn requests_that_are_refused_for_other_reasons_tell_nobody() {
    let (mut world, [ann, bob]) = held("");
    assert_eq!(world.say(ann, &lock("db", "")), [(ann, r#"{"name":"db","result":"already_acquired"}"#.to_owned())]);
    world.say(bob, &lock("x", ""));
    world.say(ann, &lock("x", ""));
    for line in [
        lock("db", r#""deadlock":"refuse""#),
        lock("db", r#""slots":0"#),
        request("lock", "db", r#""mode":"none""#),
        r#"{"command":"lock","names":["x","db"]}"#.to_owned(),
        r#"{"command":"lock","names":["db","y"],"deadlock":"refuse"}"#.to_owned(),
    ] {
        let received = world.say(bob, &line);
        assert!(received.len() == 1 && received[0].0 == bob, "{line}: {received:?}");
    }
    assert_eq!(world.say(bob, &lock("db", "")), [(ann, wanted("db", 1, 1))]);
    assert_eq!(world.say(bob, &lock("db", "")), [], "it joins its wait");
}

#[test]
fn a_grant_is_told_before_that_it_is_wanted_already() {
    let (mut world, [ann, bob, carl]) = held("");
    world.say(bob, &lock("db", r#""hint":true,"id":5"#));
    world.say(carl, &lock("db", r#""hint":true"#));
    let received = world.say(ann, &unlock("db"));
    assert_eq!(received[1..], [(bob, with(&acquired("db"), r#""id":5"#)), (bob, wanted("db", 2, 1))]);
    assert_eq!(world.say(bob, &unlock("db"))[1..], [(carl, acquired("db"))], "nobody waits any more");
    assert_eq!(world.say(bob, &lock("db", "")), [(carl, wanted("db", 3, 1))]);
}

#[test]
fn who_gets_ahead_of_waiters_is_told_at_once() {
    let (mut world, [ann, bob, carl]) = held("");
    world.say(ann, &unlock("db"));
    world.say(ann, &lock("other", ""));
    world.say(bob, r#"{"command":"lock","names":["db","other"]}"#);
    let received = world.say(carl, &lock("db", r#""hint":true,"priority":1"#));
    assert_eq!(received, [(carl, acquired("db")), (carl, wanted("db", 3, 1))]);
}

#[test]
fn who_did_not_ask_to_be_told_is_not() {
    for fields in ["", r#""hint":false"#, r#""hint":null,"lease":9"#] {
        let mut world = World::new();
        let [ann, bob] = world.connect();
        world.say(ann, &lock("db", fields));
        assert_eq!(world.say(bob, &lock("db", "")), [], "{fields}");
        assert_eq!(world.say(ann, &unlock("db")).len(), 2);
    }
    // Nor whoever comes after a holder that was told.
    let (mut world, [ann, bob, carl]) = held("");
    world.say(ann, &unlock("db"));
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""id":1"#));
    assert_eq!(world.say(ann, &unlock("db")).len(), 2);
    assert_eq!(world.say(carl, &lock("db", "")), []);
}

#[test]
fn a_renewal_makes_the_hint_new_and_says_how_many_wait() {
    let (mut world, [ann, bob, carl]) = held("");
    let renew = request("renew", "db", r#""lease":30"#);
    let renewed = |waiters: usize| format!(r#"{{"name":"db","result":"renewed","waiters":{waiters}}}"#);
    world.say(bob, &lock("db", ""));
    assert_eq!(world.say(ann, &renew), [(ann, renewed(1))]);
    assert_eq!(world.say(carl, &lock("db", "")), [(ann, wanted("db", 1, 2))]);
    assert_eq!(world.say(ann, &renew), [(ann, renewed(2))]);
    let received = world.say(carl, &lock("db", r#""timeout":0,"owner":1"#));
    assert_eq!(received[0], (ann, wanted("db", 1, 2)));
    assert_eq!(world.say(carl, &lock("db", r#""timeout":0,"owner":1"#)).len(), 1, "it has been told");
}

#[test]
fn each_of_several_holds_has_its_own_hint() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, r#"{"command":"lock","names":["a","b","c"],"hint":true}"#);
    assert_eq!(world.say(bob, &lock("b", "")), [(ann, wanted("b", 1, 1))]);
    // In the order of the request; whoever has been told is not told again.
    let received = world.say(carl, r#"{"command":"lock","names":["c","b","a"],"timeout":0}"#);
    assert_eq!(received[..2], [(ann, wanted("c", 1, 0)), (ann, wanted("a", 1, 0))]);
    world.say(ann, r#"{"command":"renew","names":["a","b","c"],"lease":30}"#);
    let received = world.say(carl, r#"{"command":"lock","names":["x","a","b","c"],"queue_max":2,"progress":true}"#);
    assert_eq!(
        received,
        [
            (ann, wanted("a", 1, 0)),
            (ann, wanted("b", 1, 1)),
            (ann, wanted("c", 1, 0)),
            (carl, queue_maxed("b", &["10.0.0.1:1", "10.0.0.2:1"])),
        ]
    );
    world.say(ann, r#"{"command":"renew","names":["a","c"],"lease":30}"#);
    let received = world.say(carl, r#"{"command":"lock","names":["a","b","c"],"any":true,"progress":true,"id":1}"#);
    assert_eq!(
        received,
        [
            (ann, wanted("a", 1, 1)),
            (ann, wanted("c", 1, 1)),
            (carl, r#"{"names":["a","b","c"],"result":"queued","position":1,"id":1}"#.to_owned()),
        ]
    );
}

#[test]
fn a_wait_for_several_has_a_hint_for_each_hold_that_it_gets() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    world.say(ann, &lock("a", ""));
    world.say(bob, r#"{"command":"lock","names":["a","b"],"hint":true}"#);
    for name in ["b", "a"] {
        world.say(carl, &lock(name, ""));
    }
    let received = world.say(ann, &unlock("a"));
    let all = r#"{"names":["a","b"],"result":"acquired"}"#.to_owned();
    assert_eq!(received[1..], [(bob, all), (bob, wanted("a", 2, 1)), (bob, wanted("b", 2, 1))]);
    // One of several: only the one that it got.
    world.say(ann, r#"{"command":"lock","names":["a","b"],"any":true,"hint":true}"#);
    world.say(carl, &lock("b", r#""owner":1"#));
    let received = world.say(carl, r#"{"command":"reset"}"#);
    assert_eq!(received.len(), 1);
    world.say(carl, &lock("b", ""));
    let received = world.say(bob, &unlock("b"));
    assert_eq!(received[..2], [(ann, acquired("b")), (ann, wanted("b", 3, 1))]);
}

#[test]
fn a_transfer_gives_a_hold_with_a_hint_of_its_own() {
    let (mut world, [ann, bob, carl]) = held("");
    world.say(bob, &lock("db", ""));
    world.say(carl, &lock("db", r#""hint":true"#));
    let received = world.say(ann, &request("transfer", "db", r#""to":"10.0.0.3:1""#));
    assert!(received.ends_with(&[(carl, acquired("db")), (carl, wanted("db", 2, 1))]), "{received:?}");
}

#[test]
fn a_hint_is_not_used_up_while_its_session_has_no_connection() {
    let mut world = World::new();
    let [ann, bob, again] = world.connect();
    let hello = world.say(ann, r#"{"command":"hello","session":{"grace":60}}"#);
    let (_, secret) = hello[0].1.split_once(r#""secret":""#).expect("it has a session");
    world.say(ann, &lock("db", r#""hint":true"#));
    world.vanish(ann);
    assert_eq!(world.say(bob, &lock("db", r#""id":1"#)), []);
    let resume = format!(r#"{{"command":"hello","resume":"{}"}}"#, &secret[..32]);
    let received = world.say(again, &resume);
    assert!(received[0].1.contains(r#""held":[{"name":"db","token":1,"waiters":1}]"#), "{received:?}");
    assert_eq!(world.say(bob, &unlock("db"))[0], (bob, with(&cancelled("db"), r#""id":1"#)));
    assert_eq!(world.say(bob, &lock("db", "")), [(again, wanted("db", 1, 1))]);
    // Nobody knows what the lost connection was told.
    let [last] = world.connect();
    assert_eq!(world.say(last, &resume).len(), 2, "the old one is told so");
    assert_eq!(world.say(again, &lock("db", "")), [], "it is closed");
    assert_eq!(world.say(bob, &lock("db", r#""timeout":0,"owner":2"#))[1..], [(last, wanted("db", 1, 1))]);
}

#[test]
fn a_grant_while_nobody_is_attached_leaves_the_hint_for_later() {
    let (mut world, [ann, bob, carl]) = held("");
    let hello = world.say(bob, r#"{"command":"hello","session":{"grace":60}}"#);
    let (_, secret) = hello[0].1.split_once(r#""secret":""#).expect("it has a session");
    world.say(bob, &lock("db", r#""hint":true"#));
    world.say(carl, &lock("db", ""));
    world.vanish(bob);
    assert_eq!(world.say(ann, &unlock("db")).len(), 1);
    world.pass(SECOND);
    let [again] = world.connect();
    world.say(again, &format!(r#"{{"command":"hello","resume":"{}"}}"#, &secret[..32]));
    assert_eq!(world.say(ann, &lock("db", "")), [(again, wanted("db", 2, 2))]);
}
