//! How much a user may have.

use serde_json::json;

use super::*;
use crate::words::{LOCKS, RESET, lock, unlock, with};

#[test]
fn connections_have_a_limit_per_user() {
    let mut world = world(&[("game", "connections_max = 2")]);
    let [first, _] = [0, 1].map(|_| log_in(&mut world, "game"));
    for _ in 0..2 {
        let [third] = world.connect();
        assert_closed_with(&mut world, third, &hello_as("game"), "too_many_connections");
    }
    log_in(&mut world, "all");
    world.vanish(first);
    log_in(&mut world, "game");
    // Saying it again is no further connection.
    let mut world = super::world(&[("game", "connections_max = 1")]);
    let game = log_in(&mut world, "game");
    assert_eq!(ask(&mut world, game, &hello_as("game"))["user"], "game");
}

#[test]
fn connections_that_need_no_secret_count_as_well() {
    let mut world = world_with(Limits::default(), "[users.game]\nuid = 5\nconnections_max = 1\nlocks = [\"\"]\n");
    let first = world.connect_proving(unix(1), peer_ids(5, 5));
    let second = world.connect_proving(unix(2), peer_ids(5, 5));
    let told = told(second, &world.receive());
    assert_eq!(told.iter().map(word_of).collect::<Vec<_>>(), ["too_many_connections"]);
    assert!(world.is_at_end(second));
    assert_eq!(try_lock(&mut world, first, "a"), "acquired");
}

#[test]
fn without_a_quota_a_user_takes_half_of_all() {
    let limits = Limits { connections_max: 6, sessions_max: 4, ..Limits::default() };
    let mut world = world_with(limits, &file(&[]));
    let clients = [0; 3].map(|_| log_in(&mut world, "all"));
    let [fourth] = world.connect();
    assert_closed_with(&mut world, fourth, &hello_as("all"), "too_many_connections");
    log_in(&mut world, "ops");
    let session = r#"{"command":"hello","session":{"grace":5}}"#;
    let words = clients.map(|client| word(&mut world, client, session));
    assert_eq!(words, ["hello", "hello", "too_many_sessions"]);
}

#[test]
fn sessions_have_a_limit_per_user() {
    let mut world = world(&[("game", "sessions_max = 1\nlocks = [\"\"]")]);
    let [first, second, other] = ["game", "game", "all"].map(|user| log_in(&mut world, user));
    let session = r#"{"command":"hello","session":{"grace":5}}"#;
    assert_eq!(word(&mut world, first, session), "hello");
    assert_eq!(word(&mut world, first, session), "hello", "the same session");
    assert_eq!(word(&mut world, second, session), "too_many_sessions");
    assert_eq!(word(&mut world, other, session), "hello");
    // Lost, it still counts; over, it doesn't.
    world.vanish(first);
    assert_eq!(word(&mut world, second, session), "too_many_sessions");
    world.pass(SECOND * 5);
    assert_eq!(word(&mut world, second, session), "hello");
}

#[test]
fn holds_and_waits_of_all_connections_of_a_user_count_together() {
    let mut world = world(&[("game", "locks_max = 3\nlocks = [\"\"]")]);
    let [one, two, all] = ["game", "game", "all"].map(|user| log_in(&mut world, user));
    world.say(all, &lock("held", ""));
    assert_eq!(word(&mut world, one, &lock("a", r#""owner":1"#)), "acquired");
    world.say(two, &lock("held", ""));
    assert_eq!(word(&mut world, two, r#"{"command":"lock","names":["b","c"]}"#), "too_many_locks");
    assert_eq!(word(&mut world, one, &lock("b", r#""owner":2"#)), "acquired");
    for (client, line) in [
        (one, lock("c", "")),
        (two, lock("c", "")),
        (one, lock("a", r#""owner":3"#)),
        (two, r#"{"command":"lock","names":["c","d"],"any":true}"#.to_owned()),
        (two, lock("held", r#""owner":3"#)),
    ] {
        assert_eq!(word(&mut world, client, &line), "too_many_locks", "{line}");
    }
    assert_eq!(word(&mut world, one, &lock("a", r#""owner":1"#)), "already_acquired");
    assert_eq!(word(&mut world, all, &lock("c", "")), "acquired", "it is nobody else's quota");
    // A wait that ends makes a place, and so does a hold.
    assert_eq!(word(&mut world, two, &unlock("held")), "released");
    assert_eq!(word(&mut world, one, &lock("e", "")), "acquired");
    assert_eq!(word(&mut world, one, RESET), "reset_succeeded");
    assert_eq!(word(&mut world, two, r#"{"command":"lock","names":["b","d","e"]}"#), "acquired");
    assert_eq!(word(&mut world, one, &lock("f", "")), "too_many_locks");
    world.vanish(two);
    assert_eq!(word(&mut world, one, &lock("f", "")), "acquired");
}

#[test]
fn requests_that_may_close_their_lock_have_a_limit_per_user() {
    let limits = Limits { closing_locks_max: 5, ..Limits::default() };
    let table = |fields: &str| file(&[("game", &format!("{fields}locks = [\"\"]"))]);
    let mut world = world_with(limits, &table(""));
    let [one, two, all, ops] = ["game", "game", "all", "ops"].map(|user| log_in(&mut world, user));
    let closing = |name: &str| lock(name, r#""min_hold":30"#);
    let full = "limit of the user on locks with min_hold or lost_delay reached";
    let refused = |world: &mut World, client, name: &str, message: &str| {
        let reply = ask(world, client, &closing(name));
        assert_eq!((word_of(&reply), &reply["message"]), ("too_many_locks".to_owned(), &json!(message)), "{reply}");
    };
    // Half of five, of all its connections; one that is closed counts, and so does a wait.
    assert_eq!(word(&mut world, one, &closing("a")), "acquired");
    assert_eq!(word(&mut world, one, &unlock("a")), "released");
    world.say(two, &closing("a"));
    refused(&mut world, one, "b", full);
    refused(&mut world, two, "b", full);
    assert_eq!(try_lock(&mut world, one, "b"), "acquired", "it may not close");
    world.say(two, RESET);
    assert_eq!(word(&mut world, one, &lock("c", r#""lost_delay":30"#)), "acquired");
    // Others have theirs, and all have the server's.
    assert_eq!(word(&mut world, all, &closing("d")), "acquired");
    assert_eq!(word(&mut world, all, &closing("e")), "acquired");
    refused(&mut world, all, "f", full);
    assert_eq!(word(&mut world, ops, &closing("f")), "acquired");
    refused(&mut world, ops, "g", "limit on locks with min_hold or lost_delay reached");
    // It counts for its user although that is gone, and for nobody who comes.
    world.vanish(one);
    world.set_users(&file(&[]));
    world.set_users(&file(&[("new", "locks = [\"\"]")]));
    world.say(all, RESET);
    assert_eq!(word(&mut world, ops, &request("revoke", "d", "")), "revoked");
    let new = log_in(&mut world, "new");
    assert_eq!(word(&mut world, new, &closing("g")), "acquired");
    world.pass(30 * SECOND);
    assert_eq!(word(&mut world, new, &closing("h")), "acquired");
    refused(&mut world, new, "i", full);
    world.set_users(&(file(&[("new", "locks = [\"\"]\nclosing_locks_max = 3")])));
    assert_eq!(word(&mut world, new, &closing("i")), "acquired");
    refused(&mut world, new, "j", full);
}

#[test]
fn locks_of_a_lost_session_count_on() {
    let mut world = world(&[("game", "locks_max = 1\nlocks = [\"\"]")]);
    let [lost, other] = ["game", "game"].map(|user| log_in(&mut world, user));
    world.say(lost, r#"{"command":"hello","session":{"grace":5}}"#);
    world.say(lost, &lock("a", ""));
    world.vanish(lost);
    assert_eq!(word(&mut world, other, &lock("b", "")), "too_many_locks");
    world.pass(SECOND * 5);
    assert_eq!(word(&mut world, other, &lock("b", "")), "acquired");
}

#[test]
fn requests_per_second_are_counted_per_user_and_only_lock_is_refused() {
    let (game, few) = ("requests_per_second = 10\nlocks = [\"\"]", "requests_per_second = 2\nlocks = [\"a\"]");
    let mut world = world(&[("game", game), ("few", few)]);
    let [one, two, all, few] = ["game", "game", "all", "few"].map(|user| log_in(&mut world, user));
    let burst = |world: &mut World, clients: &[Client]| {
        let mut words = Vec::new();
        for number in 0..100 {
            let client = clients[number % clients.len()];
            words.push(try_lock(world, client, &format!("{}", world.now().as_nanos() * 100 + number as u128)));
        }
        words.iter().filter(|word| *word == "too_many_requests").count()
    };
    let refused = burst(&mut world, &[one, two]);
    assert!((80..=90).contains(&refused), "{refused} of 100");
    assert_eq!(burst(&mut world, &[one, two]), 100, "the same moment");
    for line in [
        r#"{"command":"lock","names":["x","y"]}"#,
        r#"{"command":"lock","names":["x","y"],"any":true,"owner":4}"#,
        &lock("x", r#""id":1"#),
        &lock("x", r#""slots":3,"owner":"y""#),
    ] {
        assert_eq!(word(&mut world, two, line), "too_many_requests", "{line}");
    }
    // A right that is lacking comes first, of whichever name.
    assert_eq!(word(&mut world, few, r#"{"command":"lock","names":["a","b"],"timeout":0}"#), "not_allowed");
    assert_eq!(word(&mut world, few, r#"{"command":"lock","names":["a","aa"],"timeout":0}"#), "acquired");
    assert_eq!(word(&mut world, few, r#"{"command":"lock","names":["ab","b"],"timeout":0}"#), "not_allowed");
    assert_eq!(word(&mut world, few, r#"{"command":"lock","names":["ab","ac"],"timeout":0}"#), "too_many_requests");
    for (line, word) in [(unlock("0"), "released"), (PING.to_owned(), "pong"), (LOCKS.to_owned(), "locks")] {
        assert_eq!(super::word(&mut world, one, &line), word, "{line}");
    }
    assert_eq!(burst(&mut world, &[all]), 0);
    world.pass(SECOND);
    let refused = burst(&mut world, &[two]);
    assert!((80..=90).contains(&refused), "{refused} of 100 a second later");
}

#[test]
fn a_session_belongs_to_its_user() {
    let mut world = world_with(Limits::default(), &(file(&[]) + "[anonymous]\nfrom = [\"anywhere\"]\nlocks = [\"\"]"));
    let owner = log_in(&mut world, "all");
    let begin = r#"{"command":"hello","session":{"grace":50}}"#;
    let secret = ask(&mut world, owner, begin)["session"]["secret"].as_str().expect("a secret").to_owned();
    let resume = format!(r#"{{"command":"hello","resume":"{secret}"}}"#);
    world.say(owner, &lock("a", ""));
    // While its connection lives, and after.
    for is_lost in [false, true] {
        if is_lost {
            world.vanish(owner);
        }
        let [anonymous] = world.connect();
        let ops = log_in(&mut world, "ops");
        for client in [anonymous, ops] {
            assert_eq!(word(&mut world, client, &resume), "session_unknown");
            assert!(!world.is_at_end(client));
        }
        assert_eq!(is_lost, world.is_at_end(owner));
    }
    let [again] = world.connect();
    let reply = ask(&mut world, again, &with(&hello_as("all"), &format!(r#""resume":"{secret}""#)));
    assert_eq!((&reply["resumed"], &reply["held"][0]["name"]), (&json!(true), &json!("a")), "{reply}");
    // Nobody's session is nobody else's either.
    let [ann] = world.connect();
    let secret = ask(&mut world, ann, begin)["session"]["secret"].as_str().expect("a secret").to_owned();
    let other = log_in(&mut world, "all");
    let resume = format!(r#"{{"command":"hello","resume":"{secret}"}}"#);
    assert_eq!(word(&mut world, other, &resume), "session_unknown");
    let [bob] = world.connect();
    assert_eq!(ask(&mut world, bob, &resume)["resumed"], true);
}

#[test]
fn a_user_is_kicked_whole() {
    let mut world = world(&[("game", "locks = [\"\"]")]);
    let [one, two, lost, ops, all] = ["game", "game", "game", "ops", "all"].map(|user| log_in(&mut world, user));
    for (client, name) in [(one, "a"), (two, "b"), (lost, "c")] {
        world.say(client, r#"{"command":"hello","session":{"grace":50}}"#);
        world.say(client, &lock(name, ""));
        world.say(all, &lock(name, ""));
    }
    world.vanish(lost);
    for line in [
        r#"{"command":"kick"}"#.to_owned(),
        format!(r#"{{"command":"kick","user":"game","connection":"{}"}}"#, world.name(one)),
        r#"{"command":"kick","user":5}"#.to_owned(),
    ] {
        assert_eq!(word(&mut world, ops, &line), "invalid_request", "{line}");
    }
    assert_eq!(word(&mut world, ops, r#"{"command":"kick","user":"nobody"}"#), "kick_failed");
    let received = world.say(ops, r#"{"command":"kick","user":"game","id":7}"#);
    let reply = &told(ops, &received)[0];
    assert_eq!((&reply["result"], &reply["count"], &reply["id"]), (&json!("kicked"), &json!(3), &json!(7)), "{reply}");
    assert!(world.is_at_end(one) && world.is_at_end(two) && !world.is_at_end(all));
    let mine = [world.name(all).to_owned()];
    assert_eq!(ask(&mut world, ops, LOCKS)["value"], json!({"a": mine, "b": mine, "c": mine}));
    assert_eq!(word(&mut world, ops, r#"{"command":"kick","user":"game"}"#), "kick_failed");
    // It may come again.
    log_in(&mut world, "game");
    assert_eq!(word(&mut world, ops, r#"{"command":"kick","user":"ops"}"#), "kicked");
    assert!(world.is_at_end(ops));
}

#[test]
fn a_session_that_is_over_or_has_a_connection_when_its_turn_to_be_kicked_comes_is_not() {
    let limits = Limits { turn_ends_max: 1, ..Limits::default() };
    let mut world = world_with(limits, &file(&[("game", "locks = [\"\"]")]));
    let ops = log_in(&mut world, "ops");
    let mut lost = |name: &str, grace: u64| {
        let client = log_in(&mut world, "game");
        let reply = ask(&mut world, client, &format!(r#"{{"command":"hello","session":{{"grace":{grace}}}}}"#));
        world.say(client, &lock(name, ""));
        world.vanish(client);
        reply["session"]["secret"].as_str().expect("a secret").to_owned()
    };
    let [_, _, secret] = [lost("kicked", 50), lost("over", 5), lost("resumed", 50)];
    let [again] = world.connect();
    world.put(ops, b"{\"command\":\"kick\",\"user\":\"game\"}\n");
    assert_eq!(told(ops, &world.step_once())[0]["count"], json!(3));
    // In the turn of the second its grace is over as well, and the third is resumed.
    world.oversleep(5 * SECOND);
    let reply = ask(&mut world, again, &with(&hello_as("game"), &format!(r#""resume":"{secret}""#)));
    assert_eq!((&reply["resumed"], &reply["held"][0]["name"]), (&json!(true), &json!("resumed")), "{reply}");
    assert_eq!(ask(&mut world, ops, LOCKS)["value"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(word(&mut world, again, &unlock("resumed")), "released");
}
