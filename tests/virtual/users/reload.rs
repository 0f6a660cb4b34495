//! Users that change while they are connected.

use serde_json::json;

use super::*;
use crate::words::{LOCKS, MY_LOCKS, lock, unlock};

#[test]
fn a_user_that_is_gone_ends_with_its_sessions() {
    let mut world = world(&[("game", "locks = [\"\"]")]);
    let [here, lost, other] = ["game", "game", "all"].map(|user| log_in(&mut world, user));
    let session = r#"{"command":"hello","session":{"grace":300}}"#;
    let secret = ask(&mut world, lost, session)["session"]["secret"].as_str().expect("a secret").to_owned();
    world.say(here, session);
    world.say(here, &lock("a", ""));
    world.say(lost, &lock("b", ""));
    world.say(other, &lock("a", ""));
    world.say(other, &lock("b", ""));
    world.vanish(lost);
    let received = world.set_users(&file(&[]));
    assert!(world.is_at_end(here));
    assert_eq!(told(other, &received).iter().map(word_of).collect::<Vec<_>>(), ["acquired", "acquired"]);
    assert!(!world.is_at_end(other));
    let [again] = world.connect();
    assert_closed_with(&mut world, again, &hello_as("game"), "auth_failed");
    // Back, it is not the user whose sessions these were.
    world.set_users(&file(&[("game", "locks = [\"\"]")]));
    let again = log_in(&mut world, "game");
    let resume = format!(r#"{{"command":"hello","resume":"{secret}"}}"#);
    assert_eq!(word(&mut world, again, &resume), "session_unknown");
}

#[test]
fn sessions_of_a_user_who_is_gone_end_in_several_turns_if_that_takes_long() {
    let mut world = world_with(Limits::default(), &file(&[("game", "locks = [\"\"]")]));
    let other = log_in(&mut world, "all");
    for number in 0..4 {
        let lost = log_in(&mut world, "game");
        ask(&mut world, lost, r#"{"command":"hello","session":{"grace":300}}"#);
        world.say(lost, &lock(&format!("db{number}"), ""));
        world.vanish(lost);
    }
    world.server.set_access(officer::server::Access::parse(&file(&[])).expect("it is valid"));
    // The clock is looked at after each, and the third look is 1.2 ms after the one at the beginning.
    for left in [1, 0] {
        world.slow_turn(Duration::from_micros(400));
        assert_eq!(world.server.stats().held, left);
    }
    world.say(other, &lock("db3", ""));
}

#[test]
fn a_lost_session_of_a_user_who_stays_outlives_a_reload() {
    let users = file(&[("game", "locks = [\"\"]")]);
    let mut world = world_with(Limits::default(), &users);
    let lost = log_in(&mut world, "game");
    let reply = ask(&mut world, lost, r#"{"command":"hello","session":{"grace":300}}"#);
    let secret = reply["session"]["secret"].as_str().expect("a secret").to_owned();
    world.say(lost, &lock("a", ""));
    world.vanish(lost);
    world.set_users(&users);
    let again = log_in(&mut world, "game");
    let reply = ask(&mut world, again, &format!(r#"{{"command":"hello","resume":"{secret}"}}"#));
    assert_eq!((&reply["resumed"], &reply["held"][0]["name"]), (&json!(true), &json!("a")), "{reply}");
}

#[test]
fn those_who_did_not_say_who_they_are_end_when_they_may_no_more() {
    let anonymous = |from: &str| format!("{}[anonymous]\nfrom = [\"{from}\"]\nlocks = [\"\"]", file(&[]));
    let mut world = world_with(Limits::default(), &anonymous("anywhere"));
    let [far, other] = world.connect();
    let near = world.connect_as(unix(1));
    world.say(far, &lock("a", ""));
    world.say(near, &lock("b", ""));
    assert_eq!(ask(&mut world, other, &hello_as("all"))["user"], "all");
    world.set_users(&anonymous("unix"));
    assert!(world.is_at_end(far) && !world.is_at_end(near) && !world.is_at_end(other));
    assert_eq!(try_lock(&mut world, near, "b"), "already_acquired");
    world.set_users(&file(&[]));
    assert!(world.is_at_end(near) && !world.is_at_end(other));
}

#[test]
fn a_stranger_is_whoever_it_would_be_if_it_came_now() {
    let user = |name: &str, fields: &str| format!("[users.{name}]\n{fields}\nlocks = [\"\"]\n");
    let mut world = world_with(Limits::default(), &file(&[]));
    let mut prove = |number, uid, gid| world.connect_proving(unix(number), peer_ids(uid, gid));
    let [one, again, several, near] = [prove(1, 1, 50), prove(2, 1, 50), prove(3, 3, 60), prove(4, 4, 50)];
    let [far] = world.connect();
    // The half of a line that it has sent stays what it is.
    world.send(one, br#"{"command":"lock","na"#);
    let users = user("one", "uid = 1\nconnections_max = 1") + &user("three", "uid = 3") + &user("sixty", "gid = 60");
    assert_eq!(world.set_users(&(file(&[]) + &users)), [], "nobody is told");
    assert_eq!((world.server.connections(), world.server.strangers()), (1, 4));
    world.send(one, b"me\":\"a\"}\n");
    assert_eq!(try_lock(&mut world, one, "a"), "already_acquired");
    // There was no place for it, so it is still nobody. So is who would be two users.
    for stranger in [again, several] {
        assert_closed_with(&mut world, stranger, LOCKS, "not_authenticated");
    }
    world.set_users(&(file(&[]) + &users + "[anonymous]\nfrom = [\"unix\"]\nlocks = [\"n\"]\n"));
    assert_eq!(try_lock(&mut world, near, "n"), "acquired");
    assert_eq!(try_lock(&mut world, near, "a"), "not_allowed");
    assert_closed_with(&mut world, far, LOCKS, "not_authenticated");
    // It has all the time of a user.
    world.pass(30 * SECOND);
    assert!(!world.is_at_end(one) && !world.is_at_end(near));
}

#[test]
fn many_that_are_gone_end_within_the_budget_of_each_turn() {
    let limits = Limits { turn_ends_max: 3, ..Limits::default() };
    let mut world = world_with(limits, &file(&[("game", "locks = [\"\"]")]));
    let clients: Vec<Client> = (0..20).map(|_| log_in(&mut world, "game")).collect();
    for (number, &client) in clients.iter().enumerate() {
        world.say(client, r#"{"command":"hello","session":{"grace":300}}"#);
        world.say(client, &lock(&number.to_string(), ""));
        if number % 2 == 0 {
            world.vanish(client);
        }
    }
    world.set_users(&file(&[]));
    assert!(clients.iter().all(|&client| world.is_at_end(client)));
    let ops = log_in(&mut world, "ops");
    assert_eq!(ask(&mut world, ops, LOCKS)["value"], json!({}));
}

#[test]
fn rights_count_from_the_next_request_and_take_nothing_away() {
    let mut world = world(&[("game", "locks = [\"a\", \"b\"]\nadmin = true")]);
    let [game, all] = ["game", "all"].map(|user| log_in(&mut world, user));
    world.say(all, &lock("b", ""));
    world.say(game, &lock("a", ""));
    world.say(game, &lock("b", ""));
    assert_eq!(word(&mut world, game, STATS), "stats");
    world.set_users(&file(&[("game", "locks = [\"c\"]")]));
    assert_eq!(word(&mut world, game, STATS), "not_allowed");
    assert_eq!(try_lock(&mut world, game, "a2"), "not_allowed");
    assert_eq!(try_lock(&mut world, game, "c"), "acquired");
    assert_eq!(ask(&mut world, game, MY_LOCKS)["value"], json!(["a", "b", "c"]));
    let received = world.say(all, &unlock("b"));
    assert_eq!(told(game, &received).iter().map(word_of).collect::<Vec<_>>(), ["acquired"], "the wait stays");
    assert_eq!(word(&mut world, game, &unlock("a")), "released");
}

#[test]
fn another_secret_does_not_end_who_is_connected() {
    let mut world = world(&[("game", "locks = [\"\"]")]);
    let game = log_in(&mut world, "game");
    world.set_users(&format!("[users.game]\nsecret_sha256 = \"{}\"\nlocks = [\"\"]", digest("new")));
    assert_eq!(try_lock(&mut world, game, "a"), "acquired");
    let [old, new] = world.connect();
    assert_closed_with(&mut world, old, &hello_as("game"), "auth_failed");
    assert_eq!(ask(&mut world, new, &hello("game", "new"))["user"], "game");
}

#[test]
fn watches_are_filtered_anew() {
    let see = |prefix: &str| file(&[("game", &format!("see = [\"{prefix}\"]"))]);
    let mut world = world_with(Limits::default(), &see("a"));
    let [game, all] = ["game", "all"].map(|user| log_in(&mut world, user));
    world.say(game, r#"{"command":"watch"}"#);
    let names = |world: &mut World| {
        let mut received = Vec::new();
        for name in ["a", "b"] {
            received.extend(world.say(all, &lock(name, "")));
            received.extend(world.say(all, &unlock(name)));
        }
        told(game, &received).iter().map(|event| event["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut world), ["a", "a"]);
    world.set_users(&see("b"));
    assert_eq!(names(&mut world), ["b", "b"]);
    world.set_users(&file(&[("game", "admin = true")]));
    assert_eq!(names(&mut world), ["a", "a", "b", "b"]);
    world.set_users(&file(&[("game", "see = []")]));
    assert_eq!(names(&mut world), [""; 0]);
}

#[test]
fn what_was_missed_with_other_rights_is_told_with_what_was_missed_since() {
    let mut world = world(&[("game", "see = [\"a\"]")]);
    let [game, all] = ["game", "all"].map(|user| log_in(&mut world, user));
    world.say(game, r#"{"command":"watch"}"#);
    world.take_only(game, 0);
    let bustle = |world: &mut World, name: &str, times: usize| {
        for _ in 0..times {
            world.say(all, &lock(name, ""));
            world.say(all, &unlock(name));
        }
    };
    // More than a watcher may have unsent.
    let long = format!("a{}", "x".repeat(1_000));
    bustle(&mut world, &long, 20);
    world.set_users(&file(&[("game", "admin = true")]));
    bustle(&mut world, "b", 5);
    let told = told(game, &world.take(game, None));
    let (last, events) = told.split_last().expect("it is told");
    assert!(events.iter().all(|event| event["name"] == json!(long)), "{events:?}");
    assert_eq!(last["count"], json!(50 - events.len()), "{last}");
}

#[test]
fn a_quota_below_what_is_there_refuses_only_more() {
    let quotas = |fields: &str| file(&[("game", &format!("locks = [\"\"]\n{fields}"))]);
    let mut world = world_with(Limits::default(), &quotas(""));
    let [one, two] = ["game", "game"].map(|user| log_in(&mut world, user));
    for name in ["a", "b", "c"] {
        world.say(one, &lock(name, ""));
    }
    world.set_users(&quotas("locks_max = 2\nconnections_max = 1"));
    assert!(!world.is_at_end(one) && !world.is_at_end(two));
    assert_eq!(ask(&mut world, one, MY_LOCKS)["value"], json!(["a", "b", "c"]));
    for (gone, word) in [("a", "too_many_locks"), ("b", "acquired")] {
        world.say(one, &unlock(gone));
        assert_eq!(try_lock(&mut world, two, "d"), word);
    }
    let [third] = world.connect();
    assert_closed_with(&mut world, third, &hello_as("game"), "too_many_connections");
}

#[test]
fn what_is_there_counts_once_towards_a_quota_however_often_that_comes_goes_and_is_read() {
    let quota = |fields: &str| file(&[("game", &format!("locks = [\"\"]\n{fields}"))]);
    let mut world = world_with(Limits::default(), &quota("locks_max = 4"));
    let game = log_in(&mut world, "game");
    for name in ["a", "b", "c"] {
        world.say(game, &lock(name, ""));
    }
    for fields in ["locks_max = 4", "", "locks_max = 4"] {
        world.set_users(&quota(fields));
    }
    assert_eq!(try_lock(&mut world, game, "d"), "acquired");
    assert_eq!(try_lock(&mut world, game, "e"), "too_many_locks");
}
