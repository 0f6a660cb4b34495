//! Listings page by page of more than one page looks at.

use officer::server::Limits;
use serde_json::{Value, json};

use crate::words::lock;
use crate::world::{Client, World};

#[test]
fn a_page_that_has_looked_at_ten_thousand_locks_says_where_to_go_on() {
    let limits = Limits { connection_locks_max: 20_000, turn_read_bytes: 16 << 20, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let [ann] = world.connect();
    let mut lines: String = (0..10_000).map(|number| lock(&number.to_string(), "") + "\n").collect();
    lines += &(lock("last", "") + "\n");
    assert_eq!(world.send(ann, lines.as_bytes()).len(), 10_001);
    let mut page = |after: &str| -> Value {
        let line = format!(r#"{{"command":"locks","prefix":"l"{after}}}"#);
        serde_json::from_str(&world.say(ann, &line)[0].1).expect("JSON")
    };
    let first = page("");
    assert_eq!(first["value"], json!({}));
    let next = first["next"].as_str().expect("there is more");
    let second = page(&format!(r#","after":"{next}""#));
    assert_eq!(second, json!({"result": "locks", "value": {"last": ["10.0.0.1:1"]}}));
}

#[test]
fn a_page_of_contended_locks_has_those_that_somebody_waits_for() {
    let limits = Limits { connection_locks_max: 20_000, turn_read_bytes: 16 << 20, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let [ann, bob] = world.connect();
    let lines: String = (0..11_000).map(|number| lock(&number.to_string(), "") + "\n").collect();
    assert_eq!(world.send(ann, lines.as_bytes()).len(), 11_000);
    for name in ["10999", "7", "70"] {
        assert!(world.say(bob, &lock(name, "")).is_empty());
    }
    let page = |world: &mut World, fields: &str| -> (Vec<String>, Option<String>) {
        let line = format!(r#"{{"command":"locks","contended":true{fields}}}"#);
        let page: Value = serde_json::from_str(&world.say(ann, &line)[0].1).expect("JSON");
        let names = page["value"].as_object().expect("a page").keys().cloned().collect();
        (names, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(page(&mut world, "").0, ["10999", "7", "70"], "of the last lock as well, in one page");
    assert_eq!(page(&mut world, r#","prefix":"7""#).0, ["7", "70"]);
    let (first, next) = page(&mut world, r#","limit":2"#);
    let (second, end) = page(&mut world, &format!(r#","limit":2,"after":"{}""#, next.expect("there is more")));
    assert_eq!(([first, second].concat(), end), (vec!["10999".into(), "7".into(), "70".into()], None));
    assert!(world.say(bob, r#"{"command":"unlock","name":"7"}"#).len() == 1);
    // Of more than ten thousand it says where to go on.
    world.send(bob, lines.as_bytes());
    let (none, next) = page(&mut world, r#","prefix":"10998""#);
    let after = format!(r#","prefix":"10998","after":"{}""#, next.expect("there is more"));
    assert_eq!((none, page(&mut world, &after)), (Vec::new(), (vec!["10998".into()], None)));
}

#[test]
fn a_session_without_a_connection_is_found_behind_ten_thousand_others() {
    let all = 10_001;
    let limits = Limits { connections_max: all, sessions_max: all, turn_ends_max: all, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let clients: Vec<Client> = (0..all).map(|_| world.arrive(world.next_peer())).collect();
    let hello = b"{\"command\":\"hello\",\"session\":{\"grace\":50}}\n";
    clients.iter().for_each(|client| world.put(*client, hello));
    assert_eq!(world.step().len(), all);
    let last = clients[all - 1];
    world.say(last, &lock("a", ""));
    world.vanish(last);
    let (mut rows, mut after) = (Vec::new(), String::new());
    // A bound only so that a server whose pages never end fails instead of hanging.
    for _ in 0..10 {
        let line = format!(r#"{{"command":"connections","limit":9{after}}}"#);
        let page: Value = serde_json::from_str(&world.say(clients[0], &line)[0].1).expect("JSON");
        rows.extend(page["value"].as_object().expect("a page").values().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!(r#","after":"{next}""#),
            None => return assert_eq!(rows, [json!(["a"])]),
        }
    }
    panic!("the pages never end, after {rows:?}");
}

#[test]
fn a_lock_of_fifty_thousand_holders_and_as_many_waiters_fits_into_a_page() {
    const COUNT: usize = 50_000;
    let limits = Limits { connection_locks_max: 2 * COUNT + 1, turn_read_bytes: 16 << 20, ..Limits::default() };
    let mut world = World::with_limits(limits);
    let [ann, bob] = world.connect();
    let lines = |mode: &str, owners: std::ops::Range<usize>| -> String {
        owners.map(|owner| lock("db", &format!(r#""mode":"{mode}","owner":{owner}"#)) + "\n").collect()
    };
    assert_eq!(world.send(ann, lines("shared", 0..COUNT).as_bytes()).len(), COUNT);
    assert_eq!(world.send(ann, lines("exclusive", COUNT..2 * COUNT).as_bytes()), []);
    world.say(ann, &lock("other", ""));
    let mut ask = |line: &str| -> Value { serde_json::from_str(&world.say(bob, line)[0].1).expect("JSON") };
    let page = ask(r#"{"command":"locks","limit":9,"detail":true}"#);
    let db = &page["value"]["db"];
    let [holders, waiters] = ["holders", "waiters"].map(|key| db[key].as_array().expect("a list"));
    assert_eq!((holders.len(), waiters.len()), (1000, 1000));
    assert_eq!((&holders[999]["owner"], &waiters[999]["owner"]), (&json!(999), &json!(COUNT + 999)));
    assert_eq!((&db["holding"], &db["waiting"]), (&json!(COUNT), &json!(COUNT)));
    let one = ask(r#"{"command":"locks","name":"db","detail":true}"#);
    assert_eq!(one["value"]["db"], *db);
    // What is listed after it comes in the next page.
    assert_eq!(page["value"].as_object().expect("a page").len(), 1);
    let next = page["next"].as_str().expect("there is more");
    let after = ask(&format!(r#"{{"command":"locks","detail":true,"after":"{next}"}}"#));
    assert_eq!(after["value"]["other"]["holders"].as_array().expect("a list").len(), 1);
    for line in [r#"{"command":"locks","limit":1}"#, r#"{"command":"locks","name":"db"}"#] {
        assert_eq!(ask(line)["value"]["db"].as_array().expect("a list").len(), 1000);
    }
    // The whole listing, as the original had it, has all of them.
    assert_eq!(ask(r#"{"command":"locks"}"#)["value"]["db"].as_array().expect("a list").len(), 2 * COUNT);
}

#[test]
fn holders_are_counted_only_if_they_are_not_all_listed() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    for (owners, counted) in [(0..1000, None), (1000..1001, Some(1001))] {
        let lines: String =
            owners.map(|owner| lock("db", &format!(r#""slots":2000,"owner":{owner}"#)) + "\n").collect();
        world.send(ann, lines.as_bytes());
        let line = r#"{"command":"locks","name":"db","detail":true}"#;
        let one: Value = serde_json::from_str(&world.say(bob, line)[0].1).expect("JSON");
        assert_eq!(one["value"]["db"]["holders"].as_array().expect("a list").len(), 1000);
        assert_eq!(one["value"]["db"].get("holding").and_then(Value::as_u64), counted);
    }
}
