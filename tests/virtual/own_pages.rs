//! `my_locks` page by page.

use serde_json::{Value, json};

use crate::words::{MY_LOCKS, lock, unlock, with};
use crate::world::{Client, World};

fn ask(world: &mut World, client: Client, fields: &str) -> Value {
    let received = world.say(client, &with(MY_LOCKS, fields));
    assert_eq!(received.len(), 1, "{fields}: {received:?}");
    serde_json::from_str(&received[0].1).expect("JSON")
}

/// All that the pages list, and how many pages there were.
fn all_pages(world: &mut World, client: Client, fields: &str) -> (Vec<String>, usize) {
    let (mut names, mut after) = (Vec::new(), String::new());
    // A bound only so that a server whose pages never end fails instead of hanging.
    for pages in 1..1000 {
        let page = ask(world, client, &format!("{fields}{after}"));
        assert_eq!(page["result"], "my_locks");
        names.extend(page["value"].as_object().expect("a page").keys().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!(r#","after":"{next}""#),
            None => return (names, pages),
        }
    }
    panic!("the pages never end, after {} locks", names.len());
}

#[test]
fn a_page_has_as_many_locks_as_requested_and_each_lock_is_on_one() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    let mut expected = Vec::new();
    for number in 0..10 {
        let name = number.to_string();
        world.say(if number % 3 == 0 { bob } else { ann }, &lock(&name, ""));
        // Several owners on one lock, as holders and waiters, list it once.
        world.say(ann, &lock(&name, r#""owner":1"#));
        world.say(ann, &lock(&name, r#""owner":2,"mode":"shared""#));
        expected.push(name);
    }
    for (limit, pages) in [(1, 10), (3, 4), (5, 2), (10, 1), (1000, 1)] {
        let (mut names, found) = all_pages(&mut world, ann, &format!(r#""limit":{limit}"#));
        names.sort();
        assert_eq!((&names, found), (&expected, pages), "{limit}");
    }
    let (names, _) = all_pages(&mut world, bob, r#""limit":2"#);
    assert_eq!(names.len(), 4, "{names:?}");
    for (owner, locks) in [("1", 10), ("3", 0)] {
        assert_eq!(all_pages(&mut world, ann, &format!(r#""limit":4,"owner":{owner}"#)).0.len(), locks);
    }
    world.say(ann, r#"{"command":"reset"}"#);
    assert_eq!(ask(&mut world, ann, r#""limit":1,"id":7"#), json!({"result": "my_locks", "value": {}, "id": 7}));
}

#[test]
fn a_row_is_the_same_as_in_a_page_of_all_locks() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("a", r#""label":"x","lease":30,"fence":true"#));
    world.say(bob, &lock("a", r#""timeout":9"#));
    world.say(bob, &lock("b", ""));
    assert_eq!(ask(&mut world, ann, r#""limit":9"#)["value"], json!({"a": ["10.0.0.1:1", "10.0.0.2:1"]}));
    let detail = ask(&mut world, ann, r#""detail":true"#);
    let received = world.say(ann, r#"{"command":"locks","prefix":"a","detail":true}"#);
    let of_all: Value = serde_json::from_str(&received[0].1).expect("JSON");
    assert_eq!(detail["value"], of_all["value"]);
    assert_eq!(detail["value"]["a"]["holders"][0]["label"], "x");
    assert_eq!(
        world.say(ann, &with(MY_LOCKS, r#""detail":false"#)),
        [(ann, r#"{"result":"my_locks","value":["a"]}"#.to_owned())]
    );
}

#[test]
fn a_label_is_that_of_the_wait_and_then_of_the_hold() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, &lock("a", ""));
    // One that has nothing else, and one whose request has no label.
    for fields in [r#""owner":1,"label":"x""#, r#""owner":2,"lease":9"#] {
        assert_eq!(world.say(bob, &lock("a", fields)), []);
    }
    let row = |world: &mut World| ask(world, bob, r#""detail":true"#)["value"]["a"].clone();
    let waiting = row(&mut world);
    assert_eq!([&waiting["waiters"][0]["label"], &waiting["waiters"][1]["label"]], [&json!("x"), &Value::Null]);
    assert_eq!(world.say(ann, &unlock("a")).len(), 2);
    assert_eq!(row(&mut world)["holders"][0]["label"], "x");
    world.say(bob, &with(&unlock("a"), r#""owner":1"#));
    assert_eq!(row(&mut world)["holders"][0]["label"], Value::Null);
}

#[test]
fn a_page_ends_early_before_it_costs_too_much() {
    let mut world = World::new();
    let [ann] = world.connect();
    let names: Vec<String> = (0..200).map(|number| format!("{number:0>1000}")).collect();
    names.iter().for_each(|name| drop(world.say(ann, &lock(name, ""))));
    let (mut found, pages) = all_pages(&mut world, ann, r#""limit":1000"#);
    found.sort();
    assert_eq!(found, names);
    assert!((3..10).contains(&pages), "{pages}");
}

#[test]
fn an_invalid_page_is_refused() {
    let mut world = World::new();
    let [ann] = world.connect();
    for fields in [r#""limit":0"#, r#""limit":1001"#, r#""after":7"#, r#""after":"x""#, r#""detail":1"#] {
        assert_eq!(ask(&mut world, ann, fields)["reason"], "invalid_request", "{fields}");
    }
    // Beyond the last there is nothing.
    assert_eq!(ask(&mut world, ann, r#""after":"4000000000""#), json!({"result": "my_locks", "value": {}}));
}
