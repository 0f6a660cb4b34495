//! Names that a user may not see.

use serde_json::json;

use super::*;
use crate::words::{CONNECTIONS, LOCKS, MY_LOCKS, RESET, lock, unlock, with};

/// A user who may lock `a…` and `h…` and see `a…`, another who may everything, and an operator.
fn limited() -> (World, [Client; 3]) {
    let mut world = world(&[("game", "locks = [\"a\", \"h\"]\nsee = [\"a\"]")]);
    let clients = ["game", "all", "ops"].map(|user| log_in(&mut world, user));
    (world, clients)
}

#[test]
fn listings_have_the_visible_names_only() {
    let (mut world, [game, all, ops]) = limited();
    for name in ["a1", "a2", "h1", "h2", "x"] {
        world.say(all, &lock(name, ""));
    }
    let all_name = world.name(all).to_owned();
    let visible = json!({"a1": [all_name], "a2": [all_name]});
    assert_eq!(ask(&mut world, game, LOCKS)["value"], visible);
    assert_eq!(ask(&mut world, game, &with(LOCKS, r#""limit":1000"#))["value"], visible);
    assert_eq!(ask(&mut world, game, &with(LOCKS, r#""prefix":"h""#))["value"], json!({}));
    assert_eq!(ask(&mut world, game, &with(LOCKS, r#""prefix":"a2""#))["value"], json!({"a2": [all_name]}));
    let detail = ask(&mut world, game, &with(LOCKS, r#""detail":true"#));
    let names: Vec<&String> = detail["value"].as_object().expect("an object").keys().collect();
    assert_eq!(names, ["a1", "a2"]);
    assert_eq!(ask(&mut world, game, CONNECTIONS)["value"][&all_name], json!(["a1", "a2"]));
    assert_eq!(ask(&mut world, game, &with(CONNECTIONS, r#""limit":1000"#))["value"][&all_name], json!(["a1", "a2"]));
    let whole = ask(&mut world, ops, LOCKS);
    assert_eq!(whole["value"].as_object().map(serde_json::Map::len), Some(5));
    // Left out: as `locks`.
    let mut world = super::world(&[("game", "locks = [\"a\"]")]);
    let [game, all] = ["game", "all"].map(|user| log_in(&mut world, user));
    world.say(all, &lock("a", ""));
    world.say(all, &lock("b", ""));
    assert_eq!(ask(&mut world, game, LOCKS)["value"], json!({"a": [world.name(all)]}));
}

#[test]
fn who_is_only_on_hidden_locks_is_on_none() {
    let (mut world, [game, all, _]) = limited();
    world.say(all, &lock("h1", ""));
    assert_eq!(ask(&mut world, game, CONNECTIONS)["value"], json!({}));
    let rows = ask(&mut world, game, &with(CONNECTIONS, r#""all":true,"detail":true"#));
    assert_eq!(rows["value"].as_object().expect("an object").keys().collect::<Vec<_>>(), [world.name(game)]);
}

#[test]
fn a_row_counts_what_is_visible() {
    let (mut world, [game, all, ops]) = limited();
    for name in ["a3", "h3"] {
        world.say(ops, &lock(name, ""));
    }
    for name in ["a1", "a2", "a3", "h1", "h2", "h3"] {
        world.say(all, &lock(name, ""));
    }
    for (client, holds, waits) in [(game, 2, 1), (ops, 4, 2)] {
        let rows = ask(&mut world, client, &with(CONNECTIONS, r#""detail":true"#));
        let row = &rows["value"][world.name(all)];
        assert_eq!((&row["holds"], &row["waits"]), (&json!(holds), &json!(waits)), "{rows}");
    }
}

#[test]
fn a_page_ends_before_more_than_fifty_thousand_locks_are_looked_at_for_it() {
    let limits = Limits {
        connection_locks_max: 30_000,
        turn_read_bytes: 16 << 20,
        outbox_pause_bytes: 16 << 20,
        ..Limits::default()
    };
    let mut world = world_with(limits, &file(&[("game", "see = [\"a\"]")]));
    let [first, second, third, game] = ["all", "all", "all", "game"].map(|user| log_in(&mut world, user));
    // The holds and waits of the first two come to just as many.
    for (client, name, hidden) in [(first, "a1", 29_999), (second, "a2", 19_999), (third, "a3", 0)] {
        let lines: String = (0..hidden).map(|number| lock(&format!("h{number}"), "") + "\n").collect();
        world.send(client, (lines + &lock(name, "") + "\n").as_bytes());
    }
    let names = [first, second, third].map(|client| world.name(client).to_owned());
    let line = with(CONNECTIONS, r#""limit":9"#);
    let page = ask(&mut world, game, &line);
    let value = json!({names[0].clone(): ["a1"], names[1].clone(): ["a2"]});
    assert_eq!((&page["value"], &page["next"]), (&value, &json!("2")));
    let page = ask(&mut world, game, &with(&line, r#""after":"2""#));
    assert_eq!((&page["value"], &page["next"]), (&json!({names[2].clone(): ["a3"]}), &json!(null)));
}

#[test]
fn a_page_of_its_own_ends_before_more_than_fifty_thousand_of_others_are_looked_at_for_it() {
    let limits = Limits { connection_locks_max: 70_000, turn_read_bytes: 16 << 20, ..Limits::default() };
    let mut world = world_with(limits, &file(&[("game", "locks = [\"h\"]\nsee = [\"a\"]")]));
    let [game, all] = ["game", "all"].map(|user| log_in(&mut world, user));
    // With its own the first two come to just as many.
    for (name, others) in [("h1", 29_999), ("h2", 19_999), ("h3", 1)] {
        let shared = |owner: usize| lock(name, &format!(r#""mode":"shared","owner":{owner}"#)) + "\n";
        world.send(all, (0..others).map(shared).collect::<String>().as_bytes());
        world.say(game, &lock(name, r#""mode":"shared""#));
    }
    let line = with(MY_LOCKS, r#""limit":9"#);
    let page = ask(&mut world, game, &line);
    let own = world.name(game).to_owned();
    let row = json!([own]);
    assert_eq!((&page["value"], &page["next"]), (&json!({"h1": row, "h2": row}), &json!("2")));
    let page = ask(&mut world, game, &with(&line, r#""after":"2""#));
    assert_eq!((&page["value"], &page["next"]), (&json!({"h3": row}), &json!(null)));
    // How many others hold it is no more shown than who they are.
    let page = ask(&mut world, game, &with(&line, r#""detail":true"#));
    let lock = &page["value"]["h1"];
    assert_eq!((lock["holders"].as_array().expect("a list").len(), lock.get("holding")), (1, None), "{page}");
}

#[test]
fn a_hidden_lock_that_is_held_looks_free() {
    let (mut world, [game, all, _]) = limited();
    let line = request("locks", "h1", "");
    let detail = request("locks", "h1", r#""detail":true"#);
    let free = [ask(&mut world, game, &line), ask(&mut world, game, &detail)];
    world.say(all, &lock("h1", ""));
    assert_eq!([ask(&mut world, game, &line), ask(&mut world, game, &detail)], free, "as a lock that is free");
    assert_eq!(free[0]["value"], json!({}));
}

#[test]
fn of_its_own_hidden_lock_a_user_is_shown_itself() {
    let (mut world, [game, all, _]) = limited();
    world.say(all, &lock("h1", ""));
    world.say(game, &lock("h1", ""));
    let own = world.name(game).to_owned();
    assert_eq!(ask(&mut world, game, MY_LOCKS)["value"], json!(["h1"]));
    for is_held in [false, true] {
        if is_held {
            world.say(all, &unlock("h1"));
            world.say(all, &lock("h1", ""));
        }
        for fields in [r#""limit":9"#, r#""detail":true"#] {
            let page = ask(&mut world, game, &with(MY_LOCKS, fields)).to_string();
            assert!(page.contains("h1") && page.contains(&own) && !page.contains(world.name(all)), "{page}");
        }
        for line in [CONNECTIONS, &with(CONNECTIONS, r#""limit":9"#)] {
            let connections = ask(&mut world, game, line);
            assert_eq!(connections["value"], json!({own.clone(): ["h1"]}), "{connections}");
        }
    }
}

#[test]
fn queues_and_cycles_of_hidden_locks_are_empty() {
    let (mut world, [game, all, _]) = limited();
    for name in ["h1", "a1"] {
        world.say(all, &lock(name, ""));
    }
    for (name, queue) in [("h1", json!([])), ("a1", json!([world.name(all)]))] {
        for (fields, result) in [(r#""timeout":0"#, "timed_out"), (r#""queue_max":1"#, "queue_maxed")] {
            let reply = ask(&mut world, game, &lock(name, fields));
            assert_eq!((&reply["result"], &reply["queue"]), (&json!(result), &queue), "{reply}");
        }
        world.say(game, &lock(name, r#""timeout":1"#));
        let reply = &told(game, &world.pass(SECOND))[0];
        assert_eq!((&reply["result"], &reply["queue"]), (&json!("timed_out"), &queue), "{reply}");
    }
    // A circle goes through locks that were not named: only who may see everything is shown it.
    for (own, others) in [("a2", "a1"), ("a2", "h1"), ("h2", "h1")] {
        world.say(game, RESET);
        world.say(game, &lock(own, ""));
        world.say(all, &lock(own, ""));
        let reply = ask(&mut world, game, &lock(others, r#""deadlock":"refuse""#));
        assert_eq!((word_of(&reply), &reply["cycle"]), ("deadlock".to_owned(), &json!([])), "{reply}");
        world.say(all, &unlock(own));
    }
}

#[test]
fn what_is_about_its_own_lock_is_told() {
    let (mut world, [game, all, _]) = limited();
    world.say(game, &lock("h1", r#""hint":true,"lease":50,"owner":1"#));
    let received = world.say(all, &lock("h1", ""));
    let wanted = &told(game, &received)[0];
    assert_eq!((&wanted["notice"], &wanted["waiters"]), (&json!("wanted"), &json!(1)), "{wanted}");
    let renewed = ask(&mut world, game, &request("renew", "h1", r#""lease":50,"owner":1"#));
    assert_eq!((&renewed["result"], &renewed["waiters"]), (&json!("renewed"), &json!(1)));
    let received = world.say(game, &lock("h1", r#""progress":true,"owner":2"#));
    let queued = &told(game, &received)[0];
    assert_eq!((&queued["result"], &queued["position"]), (&json!("queued"), &json!(1)));
}

#[test]
fn a_watcher_is_told_of_visible_names_only() {
    let (mut world, [game, all, ops]) = limited();
    for (line, sees) in [
        (r#"{"command":"watch"}"#, true),
        (r#"{"command":"watch","prefix":"a"}"#, true),
        (r#"{"command":"watch","prefix":"a1"}"#, true),
        (r#"{"command":"watch","prefix":""}"#, true),
        (r#"{"command":"watch","prefix":"h"}"#, false),
        (r#"{"command":"watch","prefix":"h1"}"#, false),
    ] {
        assert_eq!(word(&mut world, game, line), "watching");
        world.say(ops, r#"{"command":"watch"}"#);
        let mut received = Vec::new();
        for name in ["a1", "h1", "x1"] {
            received.extend(world.say(all, &lock(name, "")));
            received.extend(world.say(all, &unlock(name)));
        }
        received.extend(world.say(all, r#"{"command":"lock","names":["a1","h1"]}"#));
        received.extend(world.say(all, RESET));
        let names: Vec<String> =
            told(game, &received).iter().map(|event| event["name"].as_str().unwrap_or("?").to_owned()).collect();
        let expected: &[&str] = if sees { &["a1", "a1", "a1", "a1"] } else { &[] };
        assert_eq!(names, expected, "{line}");
        assert_eq!(told(ops, &received).len(), 10, "{line}");
    }
    // Its own hidden locks are no exception: the replies tell it of them.
    world.say(game, r#"{"command":"watch"}"#);
    assert_eq!(told(game, &world.say(game, &lock("h5", ""))).len(), 1);
}

#[test]
fn missed_events_are_those_that_it_may_see() {
    let (mut world, [game, all, ops]) = limited();
    world.say(game, r#"{"command":"watch"}"#);
    world.take_only(game, 0);
    // Fills what it has unsent: from then on events are missed.
    let turns = |world: &mut World, name: &str, times: usize| {
        for _ in 0..times {
            world.say(all, &lock(name, ""));
            world.say(all, &unlock(name));
        }
    };
    let long = format!("a{}", "x".repeat(1_000));
    turns(&mut world, &long, 20);
    turns(&mut world, "h1", 50);
    turns(&mut world, "a1", 3);
    turns(&mut world, "x", 50);
    let received = world.take(game, None);
    let told = told(game, &received);
    let sent = told.iter().filter(|event| event["name"] == json!(long)).count();
    let missed: u64 = told.iter().filter_map(|event| event["count"].as_u64()).sum();
    // The last of those before it may have been missed too.
    assert!(sent < 40 && missed > 0, "{sent} {missed}");
    assert_eq!(sent as u64 + missed, 46, "{:?}", told.last());
    assert_eq!(ask(&mut world, ops, STATS)["value"]["events_missed"], json!(missed));
}

#[test]
fn what_was_missed_is_forgotten_with_the_watch() {
    for line in [r#"{"command":"watch"}"#, r#"{"command":"unwatch"}"#] {
        let (mut world, [game, all, _]) = limited();
        world.say(game, r#"{"command":"watch"}"#);
        world.take_only(game, 0);
        let long = format!("a{}", "x".repeat(1_000));
        for _ in 0..20 {
            world.say(all, &lock(&long, ""));
            world.say(all, &unlock(&long));
        }
        world.say(game, line);
        let received = world.take(game, None);
        let (last, events) = told(game, &received).split_last().map(|(last, rest)| (last.clone(), rest.len())).unwrap();
        assert!(events < 40, "it has missed some");
        assert!(["watching", "unwatched"].contains(&&*word_of(&last)), "{last}");
    }
}

#[test]
fn a_hidden_miss_alone_is_no_miss() {
    let (mut world, [game, all, _]) = limited();
    world.say(game, r#"{"command":"watch"}"#);
    world.take_only(game, 0);
    let pings = format!("{}\n", with(PING, &format!(r#""id":"{}""#, "x".repeat(64)))).repeat(600);
    world.send(game, pings.as_bytes());
    for _ in 0..20 {
        world.say(all, &lock("h1", ""));
        world.say(all, &unlock("h1"));
    }
    let received = world.take(game, None);
    assert!(told(game, &received).iter().all(|line| line["result"] == "pong"));
    let received = world.say(all, &lock("a1", ""));
    assert_eq!(told(game, &received).iter().map(|event| event["event"].clone()).collect::<Vec<_>>(), ["granted"]);
}
