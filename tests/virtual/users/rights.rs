//! What a user may do.

use serde_json::json;

use super::*;
use crate::logged::logged;
use crate::words::{CONNECTIONS, LOCKS, MY_LOCKS, RESET, lock, unlock, with};

#[test]
fn a_user_locks_names_that_begin_with_one_of_its_prefixes() {
    let mut world = world(&[("game", "locks = [\"player:\", \"boss:\", \"ü\"]"), ("none", "locks = []"), ("left", "")]);
    let [game, ops] = ["game", "ops"].map(|user| log_in(&mut world, user));
    for name in ["player:", "player:1", "boss:player", "ü1"] {
        assert_eq!(try_lock(&mut world, game, name), "acquired", "{name}");
        assert_eq!(word(&mut world, game, &unlock(name)), "released");
    }
    for name in ["player", "Player:1", "p", " player:1", "xplayer:1", "bos", "u1", "\u{c3}"] {
        let reply = ask(&mut world, game, &lock(name, r#""id":3,"owner":"x""#));
        assert_eq!(
            (&reply["reason"], &reply["name"], &reply["id"], &reply["owner"]),
            (&json!("not_allowed"), &json!(name), &json!(3), &json!("x")),
            "{reply}"
        );
    }
    for user in ["none", "left"] {
        let nobody = log_in(&mut world, user);
        assert_eq!(try_lock(&mut world, nobody, "player:1"), "not_allowed", "{user}");
    }
    assert_eq!(try_lock(&mut world, ops, "anything"), "acquired", "left out for an admin: everything");
    assert_eq!(ask(&mut world, ops, LOCKS)["value"], json!({"anything": [world.name(ops)]}));
}

#[test]
fn of_several_names_each_has_to_be_allowed() {
    let mut world = world(&[("game", "locks = [\"a\"]")]);
    let [game, ops] = ["game", "ops"].map(|user| log_in(&mut world, user));
    for names in [r#"["a1","b1"]"#, r#"["b1","a1"]"#, r#"["b1","b2"]"#, r#"["a1","a2","a3","b"]"#] {
        for fields in ["", r#","any":true"#, r#","timeout":0"#, r#","deadlock":"refuse""#] {
            let fields = if names == r#"["b1","b2"]"# && fields.is_empty() { r#","owner":1"# } else { fields };
            let line = format!(r#"{{"command":"lock","names":{names}{fields}}}"#);
            assert_eq!(word(&mut world, game, &line), "not_allowed", "{line}");
        }
    }
    assert_eq!(ask(&mut world, ops, LOCKS)["value"], json!({}));
    assert_eq!(word(&mut world, game, r#"{"command":"lock","names":["a1","a2"]}"#), "acquired");
}

#[test]
fn priorities_and_closings_have_bounds_of_their_own() {
    let mut world = world(&[("game", "locks = [\"\"]\npriority_max = 3\nmin_hold_max = 5")]);
    let game = log_in(&mut world, "game");
    for (fields, word) in [
        (r#""priority":0"#, "acquired"),
        (r#""priority":3"#, "acquired"),
        (r#""priority":4"#, "not_allowed"),
        (r#""priority":7"#, "not_allowed"),
        (r#""priority":8"#, "invalid_request"),
        (r#""min_hold":5"#, "acquired"),
        (r#""min_hold":5.001"#, "not_allowed"),
        (r#""lost_delay":5"#, "acquired"),
        (r#""lost_delay":5.001"#, "not_allowed"),
        (r#""min_hold":1,"lost_delay":86400"#, "not_allowed"),
        (r#""lease":500"#, "acquired"),
    ] {
        let name = format!("lock {fields}").replace('"', "");
        assert_eq!(super::word(&mut world, game, &lock(&name, fields)), word, "{fields}");
    }
    let all = log_in(&mut world, "all");
    assert_eq!(word(&mut world, all, &lock("x", r#""priority":7,"min_hold":1,"lost_delay":86400"#)), "acquired");
    world.say(all, RESET);
    // The priority would have got it ahead.
    let others = [0, 1].map(|_| log_in(&mut world, "all"));
    world.say(others[0], &lock("q", ""));
    world.say(others[1], &lock("q", r#""priority":3"#));
    assert_eq!(word(&mut world, game, &lock("q", r#""priority":7"#)), "not_allowed");
}

#[test]
fn each_bound_counts_alone_says_what_it_is_and_all_but_the_rate_are_logged() {
    let bounds = [
        ("names", "locks = [\"a\"]", "", "this user may not lock that"),
        (
            "priorities",
            "locks = [\"\"]\npriority_max = 3",
            r#""priority":4"#,
            "this user may ask for a priority of at most 3",
        ),
        (
            "closings",
            "locks = [\"\"]\nmin_hold_max = 0.5",
            r#""min_hold":0.6"#,
            "this user may ask for a min_hold or lost_delay of at most 0.5 seconds",
        ),
        ("rate", "locks = [\"\"]\nrequests_per_second = 1", "", "this user makes more requests per second than it may"),
    ];
    let log = logged(|| {
        let mut world = world(&bounds.map(|(user, fields, ..)| (user, fields)));
        for (user, _, fields, message) in bounds {
            let client = log_in(&mut world, user);
            assert_eq!(try_lock(&mut world, client, &format!("a {user}")), "acquired");
            let reply = ask(&mut world, client, &lock("b", fields));
            assert_eq!(reply["message"], json!(message), "{reply}");
        }
    });
    let refused = log.lines().filter_map(|line| line.split_once(": a lock is refused: "));
    let messages = bounds.map(|(.., message)| message);
    assert_eq!(refused.map(|(_, message)| message).collect::<Vec<_>>(), messages[..3]);
}

#[test]
fn what_it_has_itself_needs_no_right() {
    let mut world = world(&[("none", "")]);
    let none = log_in(&mut world, "none");
    for (line, word) in [
        (unlock("a"), "release_failed"),
        (request("renew", "a", r#""lease":1"#), "renew_failed"),
        (request("transfer", "a", r#""to":"10.0.0.9:1""#), "transfer_failed"),
        (RESET.to_owned(), "reset_succeeded"),
        (MY_LOCKS.to_owned(), "my_locks"),
        (with(MY_LOCKS, r#""detail":true"#), "my_locks"),
        (LOCKS.to_owned(), "locks"),
        (CONNECTIONS.to_owned(), "connections"),
        (r#"{"command":"watch"}"#.to_owned(), "watching"),
        (r#"{"command":"unwatch"}"#.to_owned(), "unwatched"),
        (PING.to_owned(), "pong"),
    ] {
        assert_eq!(super::word(&mut world, none, &line), word, "{line}");
    }
}

#[test]
fn only_an_admin_ends_others_wherever_it_comes_from() {
    let mut world = world_with(
        Limits { kick_from_anywhere: true, ..Limits::default() },
        &(file(&[("game", "locks = [\"\"]\nsee = [\"\"]"), ("prom", "metrics = true")])
            + "[anonymous]\nfrom = [\"anywhere\"]\nlocks = [\"\"]"),
    );
    let [game, prom, all, ops] = ["game", "prom", "all", "ops"].map(|user| log_in(&mut world, user));
    let local = [ipv4([127, 0, 0, 1]), unix(3)].map(|peer| {
        let client = world.connect_as(peer);
        assert_eq!(ask(&mut world, client, &hello_as("game"))["user"], "game");
        client
    });
    let anonymous = [ipv4([127, 0, 0, 1]), unix(4)].map(|peer| world.connect_as(peer));
    world.say(all, &lock("a", ""));
    let kick = format!(r#"{{"command":"kick","connection":"{}"}}"#, world.name(all));
    let lines = [kick.as_str(), r#"{"command":"kick","user":"all"}"#, r#"{"command":"kick","user":"nobody"}"#];
    for client in [game, prom, all, local[0], local[1], anonymous[0], anonymous[1]] {
        for line in lines.into_iter().chain([&*request("revoke", "a", ""), &request("revoke", "free", ""), STATS]) {
            assert_eq!(word(&mut world, client, line), "not_allowed", "{line}");
        }
    }
    assert_eq!(word(&mut world, prom, &lock("x", "")), "not_allowed");
    assert_eq!(word(&mut world, ops, STATS), "stats");
    assert_eq!(word(&mut world, ops, &request("revoke", "a", "")), "revoked");
    assert_eq!(word(&mut world, ops, &kick), "kicked");
    assert!(world.is_at_end(all));
}

#[test]
fn an_admin_sees_everything_and_locks_what_its_table_says() {
    let mut world = world(&[("boss", "admin = true\nlocks = [\"x\"]\nsee = [\"x\"]")]);
    let [boss, all] = ["boss", "all"].map(|user| log_in(&mut world, user));
    world.say(all, &lock("a", ""));
    assert_eq!(try_lock(&mut world, boss, "a"), "not_allowed");
    assert_eq!(try_lock(&mut world, boss, "x"), "acquired");
    assert_eq!(ask(&mut world, boss, LOCKS)["value"], json!({"a": [world.name(all)], "x": [world.name(boss)]}));
    assert_eq!(word(&mut world, boss, r#"{"command":"watch"}"#), "watching");
    let received = world.say(all, &unlock("a"));
    assert_eq!(told(boss, &received)[0]["event"], "released");
}

#[test]
fn those_without_a_name_may_be_admins() {
    let mut world = world_with(Limits::default(), &(file(&[]) + "[anonymous]\nfrom = [\"unix\"]\nadmin = true"));
    let all = log_in(&mut world, "all");
    let ann = world.connect_as(unix(1));
    world.say(all, &lock("a", ""));
    assert_eq!(word(&mut world, ann, &request("revoke", "a", "")), "revoked");
    assert_eq!(word(&mut world, ann, r#"{"command":"kick","user":"all"}"#), "kicked");
    assert!(world.is_at_end(all));
}
