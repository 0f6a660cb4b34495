//! What people and programs ask about the server itself: `ping`, `hello`, `kick`, and the locks page by page.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use officer::server::Limits;
use officer::wire::peer::Peer;
use serde_json::{Value, json};

use crate::words::{LOCKS, acquired, error, listing, lock, unlock, with};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);
const PING: &str = r#"{"command":"ping"}"#;
const PONG: &str = r#"{"result":"pong"}"#;
const KICKED: &str = r#"{"result":"kicked"}"#;
const KICK_FAILED: &str = r#"{"result":"kick_failed"}"#;

fn kick(connection: &str) -> String {
    format!(r#"{{"command":"kick","connection":"{connection}"}}"#)
}

/// The one reply that a request gets, as JSON.
fn ask(world: &mut World, client: Client, line: &str) -> Value {
    let received = world.say(client, line);
    let [(to, reply)] = received.as_slice() else { panic!("one reply to {line}: {received:?}") };
    assert_eq!(*to, client);
    serde_json::from_str(reply).expect("a reply is JSON")
}

/// A client on the machine of the server.
fn local(world: &mut World, port: u16) -> Client {
    world.connect_as(Peer::V4 { ip: [127, 0, 0, 1], port })
}

#[test]
fn a_ping_is_answered_in_turn() {
    let mut world = World::new();
    let [ann] = world.connect();
    let lines = format!("{}\n{PING}\n{}\n", lock("db", ""), with(PING, r#""id":"x""#));
    let pong_with_id = with(PONG, r#""id":"x""#);
    assert_eq!(world.send(ann, lines.as_bytes()), [(ann, acquired("db")), (ann, PONG.to_owned()), (ann, pong_with_id)]);
}

#[test]
fn hello_reports_the_server_the_connection_and_its_limits() {
    let mut world = World::with_limits(Limits { connection_locks_max: 7, ..Limits::default() });
    let [ann] = world.connect();
    assert_eq!(
        ask(&mut world, ann, r#"{"command":"hello","id":4}"#),
        json!({
            "result": "hello",
            "id": 4,
            "server": "officer",
            "version": env!("CARGO_PKG_VERSION"),
            "connection": "10.0.0.1:1",
            "resumed": false,
            "limits": {
                "line_bytes_max": 65536,
                "connection_locks_max": 7,
                "lock_waits_max": 100_000,
                "reply_bytes_max": 4_194_304,
                "max_idle": 60,
                "silent_after": 60
            },
            "features": ["owner","fence","mode","slots","lease","renew","names","any","priority","deadlock","min_hold","lost_delay","label","token","revoke","one_lock","contended","my_locks_page","notices","progress","hint","transfer","session","watch","stats","users","strict"]
        })
    );
}

#[test]
fn a_client_shortens_its_own_idle_limit_and_can_not_lengthen_it() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    let mut max_idle_after = |client, seconds: &str| {
        let line = format!(r#"{{"command":"hello","max_idle":{seconds}}}"#);
        ask(&mut world, client, &line)["limits"]["max_idle"].clone()
    };
    assert_eq!(max_idle_after(ann, "2.5"), json!(2.5));
    assert_eq!(max_idle_after(ann, "null"), json!(2.5), "what is absent stays as it is");
    assert_eq!(max_idle_after(bob, "1e300"), json!(60));
    world.pass(SECOND * 2);
    assert!(!world.is_closed(ann));
    world.pass(SECOND / 2);
    assert!(world.is_closed(ann));
    world.pass(SECOND * 57);
    assert!(!world.is_closed(bob) && !world.is_closed(carl));
    world.pass(SECOND);
    assert!(world.is_closed(bob) && world.is_closed(carl));
}

#[test]
fn the_idle_limit_is_the_one_reported_however_short() {
    const MILLISECOND: Duration = Duration::from_millis(1);
    for (asked, milliseconds, told) in [("1e-9", 1, 0.001), ("5e-324", 1, 0.001), ("0.0021", 3, 0.003)] {
        let mut world = World::new();
        let [ann] = world.connect();
        let line = format!(r#"{{"command":"hello","max_idle":{asked}}}"#);
        assert_eq!(ask(&mut world, ann, &line)["limits"]["max_idle"], json!(told), "0 would be never");
        world.pass(MILLISECOND * milliseconds - Duration::from_nanos(1));
        assert!(!world.is_closed(ann), "{asked}");
        world.pass(Duration::from_nanos(1));
        assert!(world.is_closed(ann), "{asked}");
    }
    // The same for the server's own.
    let mut world = World::with_limits(Limits { max_idle: Some(Duration::from_nanos(1)), ..Limits::default() });
    let [ann] = world.connect();
    assert_eq!(ask(&mut world, ann, r#"{"command":"hello"}"#)["limits"]["max_idle"], json!(0.001));
}

#[test]
fn an_idle_limit_can_be_set_where_the_server_has_none() {
    let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
    let [ann, bob] = world.connect();
    assert_eq!(ask(&mut world, bob, r#"{"command":"hello"}"#)["limits"]["max_idle"], json!(0));
    ask(&mut world, ann, r#"{"command":"hello","max_idle":5}"#);
    world.pass(SECOND * 5);
    assert!(world.is_closed(ann) && !world.is_closed(bob));
}

#[test]
fn an_invalid_hello_is_refused() {
    let mut world = World::new();
    let [ann] = world.connect();
    for (fields, message) in [
        (r#""max_idle":0"#.to_owned(), "max_idle must be a number of seconds above 0"),
        (r#""max_idle":-1"#.to_owned(), "max_idle must be a number of seconds above 0"),
        (r#""max_idle":"5""#.to_owned(), "max_idle must be a number of seconds above 0"),
        (r#""client":5"#.to_owned(), "client must be a string"),
        (format!(r#""client":"{}""#, "x".repeat(129)), "client must have at most 128 bytes"),
    ] {
        let line = with(r#"{"command":"hello"}"#, &fields);
        assert_eq!(world.say(ann, &line), [(ann, error("invalid_request", message))]);
    }
}

#[test]
fn a_kick_passes_the_locks_on_before_it_is_answered() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    let admin = local(&mut world, 9);
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    let lines = format!("{}\n{LOCKS}\n", kick("10.0.0.1:1"));
    assert_eq!(
        world.send(admin, lines.as_bytes()),
        [(bob, acquired("db")), (admin, KICKED.to_owned()), (admin, listing("locks", r#"{"db":["10.0.0.2:1"]}"#)),]
    );
    assert!(world.is_closed(ann));
    assert_eq!(world.say(admin, &kick("10.0.0.1:1")), [(admin, KICK_FAILED.to_owned())], "it is gone");
}

#[test]
fn a_kicked_waiter_leaves_its_queues() {
    let mut world = World::new();
    let [ann, bob, carl] = world.connect();
    let admin = local(&mut world, 9);
    for client in [ann, bob, carl] {
        world.say(client, &lock("db", ""));
    }
    assert_eq!(world.say(admin, &kick("10.0.0.2:1")), [(admin, KICKED.to_owned())]);
    assert_eq!(world.say(ann, &unlock("db"))[1], (carl, acquired("db")));
}

#[test]
fn a_connection_that_does_not_exist_is_not_kicked() {
    let mut world = World::new();
    let admin = local(&mut world, 9);
    for name in ["10.0.0.1:1", "unix:1", "nonsense", ""] {
        assert_eq!(world.say(admin, &kick(name)), [(admin, KICK_FAILED.to_owned())], "{name}");
    }
    // Nor by a name that only a lenient reader would take for his.
    world.connect_as(Peer::Unix(5));
    for name in ["unix:+5", "unix:05", "127.0.0.1:09", "127.0.0.1:+9"] {
        assert_eq!(world.say(admin, &kick(name)), [(admin, KICK_FAILED.to_owned())], "{name}");
    }
    assert_eq!(world.say(admin, &kick("unix:5")), [(admin, KICKED.to_owned())]);
    let line = r#"{"command":"kick"}"#;
    assert_eq!(world.say(admin, line), [(admin, error("invalid_request", "connection is missing"))]);
    let line = r#"{"command":"kick","connection":5}"#;
    assert_eq!(world.say(admin, line), [(admin, error("invalid_request", "connection must be a string"))]);
}

#[test]
fn a_connection_that_kicks_itself_is_told_so_and_ended() {
    let mut world = World::new();
    let [ann] = world.connect();
    let admin = local(&mut world, 9);
    world.say(admin, &lock("db", ""));
    world.say(ann, &lock("db", ""));
    let lines = format!("{}\n{PING}\n", kick("127.0.0.1:9"));
    assert_eq!(world.send(admin, lines.as_bytes()), [(ann, acquired("db")), (admin, KICKED.to_owned())]);
    assert!(world.is_closed(admin));
}

#[test]
fn a_kick_does_not_cut_off_the_error_of_a_connection_that_is_being_closed() {
    let mut world = World::with_limits(Limits { line_bytes_max: 100, ..Limits::default() });
    let admin = local(&mut world, 9);
    let [ann] = world.connect();
    // Both in one turn: her session has not ended when she is kicked.
    world.put(ann, &[b'x'; 101]);
    let line = kick(world.name(ann));
    world.put(admin, format!("{line}\n").as_bytes());
    let why = error("line_too_long", "a line may have at most 100 bytes");
    assert_eq!(world.step(), [(admin, KICKED.to_owned()), (ann, why)]);
    assert!(!world.is_closed(ann), "she has time to read that");
}

#[test]
fn kicking_is_for_this_machine_unless_the_server_is_told_otherwise() {
    let v4 = |ip| Peer::V4 { ip, port: 9 };
    let v6 = |ip: &str| format!("[{ip}]:9").parse::<Peer>().expect("a name");
    let on = |ip: &str| Some(ip.parse::<IpAddr>().expect("an address"));
    for (own_ip, peer, is_allowed) in [
        (None, v4([127, 3, 2, 1]), true),
        (None, v6("::1"), true),
        (None, Peer::Unix(9), true),
        (None, v4([10, 0, 0, 9]), false),
        (None, v6("2001:db8::1"), false),
        // A listener on a network address can't be reached by another address, not even from its own machine.
        (on("10.0.0.9"), v4([10, 0, 0, 9]), true),
        (on("10.0.0.9"), v4([10, 0, 0, 8]), false),
        (on("2001:db8::1"), v6("2001:db8::1"), true),
        (on("2001:db8::1"), v6("2001:db8::2"), false),
    ] {
        for kick_from_anywhere in [false, true] {
            let mut world = World::with_limits(Limits { kick_from_anywhere, ..Limits::default() });
            let [ann] = world.connect();
            let admin = world.arrive_at(own_ip, peer);
            let is_allowed = is_allowed || kick_from_anywhere;
            let reply = ask(&mut world, admin, &with(&kick("10.0.0.1:1"), r#""id":1"#));
            let expected = if is_allowed { "kicked" } else { "error" };
            assert_eq!((&reply["result"], &reply["id"]), (&json!(expected), &json!(1)), "{peer}");
            assert_eq!(reply["reason"], if is_allowed { Value::Null } else { json!("not_allowed") });
            assert_eq!(world.is_closed(ann), is_allowed);
        }
    }
}

/// Lists all pages. `fields` is what each request contains besides `after`.
fn all_pages(
    world: &mut World,
    client: Client,
    fields: &str,
    mut between: impl FnMut(&mut World),
) -> HashMap<String, u32> {
    let mut seen = HashMap::new();
    let mut after = String::new();
    // A bound only so that a server whose pages never end fails instead of hanging.
    for _ in 0..1_000 {
        let page = ask(world, client, &format!(r#"{{"command":"locks",{fields}{after}}}"#));
        for name in page["value"].as_object().expect("a page").keys() {
            *seen.entry(name.clone()).or_insert(0) += 1;
        }
        match page["next"].as_str() {
            Some(next) => after = format!(r#","after":"{next}""#),
            None => return seen,
        }
        between(world);
    }
    panic!("the pages never end, after {} locks", seen.len());
}

#[test]
fn a_page_has_as_many_locks_as_requested() {
    let mut world = World::new();
    let [ann] = world.connect();
    (0..5).for_each(|number| drop(world.say(ann, &lock(&format!("n{number}"), ""))));
    let page = ask(&mut world, ann, r#"{"command":"locks","limit":2}"#);
    assert_eq!(page["value"].as_object().expect("a page").len(), 2);
    let whole = ask(&mut world, ann, r#"{"command":"locks","limit":5}"#);
    assert_eq!(whole["value"].as_object().expect("a page").len(), 5);
    assert_eq!(whole["next"], Value::Null, "there is no more");
    assert_eq!(ask(&mut world, ann, LOCKS)["next"], Value::Null, "without any field the listing is complete");
}

#[test]
fn a_lock_that_exists_throughout_is_on_exactly_one_page() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    (0..50).for_each(|number| drop(world.say(ann, &lock(&format!("stays{number}"), ""))));
    for number in 0..50 {
        world.say(bob, &lock(&format!("goes{number}"), ""));
    }
    let mut number = 0;
    let seen = all_pages(&mut world, ann, r#""limit":7"#, |world| {
        world.say(bob, &unlock(&format!("goes{number}")));
        world.say(bob, &lock(&format!("comes{number}"), ""));
        number += 1;
    });
    for number in 0..50 {
        assert_eq!(seen.get(&format!("stays{number}")), Some(&1));
    }
    assert!(number > 5, "there was something between the pages");
}

#[test]
fn a_page_lists_only_locks_with_the_prefix() {
    let mut world = World::new();
    let [ann] = world.connect();
    for name in ["boss:1", "boss:2", "chest:1", "bos"] {
        world.say(ann, &lock(name, ""));
    }
    let seen = all_pages(&mut world, ann, r#""prefix":"boss:","limit":1"#, |_| {});
    assert_eq!(seen, HashMap::from([("boss:1".to_owned(), 1), ("boss:2".to_owned(), 1)]));
    assert_eq!(all_pages(&mut world, ann, r#""prefix":"""#, |_| {}).len(), 4);
}

#[test]
fn a_page_ends_early_before_it_costs_too_much() {
    let mut world = World::with_limits(Limits { connection_locks_max: 100_000, ..Limits::default() });
    let [ann] = world.connect();
    for number in 0..25_000 {
        world.put(ann, format!("{}\n", lock(&format!("n{number}"), "")).as_bytes());
    }
    world.step();
    // No lock has this prefix, and yet it takes more than one page.
    let page = ask(&mut world, ann, r#"{"command":"locks","prefix":"x"}"#);
    assert_eq!(page["value"], json!({}));
    assert!(page["next"].is_string(), "{page}");
    assert_eq!(all_pages(&mut world, ann, r#""prefix":"x""#, |_| {}).len(), 0);
    // Each name is longer than a hundredth of the size of a page.
    let long = "y".repeat(1000);
    (0..200).for_each(|number| drop(world.say(ann, &lock(&format!("{long}{number}"), ""))));
    let mut pages = 0;
    let seen = all_pages(&mut world, ann, r#""prefix":"y""#, |_| pages += 1);
    assert_eq!(seen.len(), 200);
    assert!(pages >= 3, "{pages}");
}

#[test]
fn a_page_of_connections_ends_early_too_and_the_next_goes_on() {
    let mut world = World::with_limits(Limits { connections_max: 20_000, turn_ends_max: 20_000, ..Limits::default() });
    // As many as a page looks at, and none of them has a lock.
    for _ in 0..10_000 {
        world.arrive(world.next_peer());
    }
    let [ann] = world.connect();
    world.say(ann, &lock("db", ""));
    let page = ask(&mut world, ann, r#"{"command":"connections","limit":5}"#);
    assert_eq!(page["value"], json!({}));
    let next = page["next"].as_str().expect("there may be more");
    let page = ask(&mut world, ann, &format!(r#"{{"command":"connections","limit":5,"after":"{next}"}}"#));
    let name = world.name(ann);
    assert_eq!(page, json!({"result": "connections", "value": {name: ["db"]}}));
}

#[test]
fn detail_reports_who_holds_and_waits_and_for_how_long() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    ask(&mut world, ann, r#"{"command":"hello","client":"crafting \"7\""}"#);
    world.say(ann, &lock("db", ""));
    world.pass(SECOND);
    world.say(bob, &lock("db", ""));
    world.pass(SECOND * 3 / 2);
    assert_eq!(
        ask(&mut world, bob, r#"{"command":"locks","detail":true}"#),
        json!({"result": "locks", "value": {"db": {
            "holders": [{"connection": "10.0.0.1:1", "client": "crafting \"7\"", "mode": "exclusive", "token": 1, "held_for": 2.5}],
            "waiters": [{"connection": "10.0.0.2:1", "mode": "exclusive", "waited_for": 1.5}],
            "waiting": 1
        }}})
    );
    ask(&mut world, ann, r#"{"command":"hello","client":""}"#);
    let page = ask(&mut world, bob, r#"{"command":"locks","detail":true}"#);
    assert_eq!(page["value"]["db"]["holders"][0]["client"], Value::Null, "a name can be taken back");
    world.say(ann, &unlock("db"));
    let page = ask(&mut world, bob, r#"{"command":"locks","detail":true}"#);
    assert_eq!(page["value"]["db"]["holders"][0]["held_for"], json!(0), "counted from the grant");
}

#[test]
fn detail_lists_a_thousand_waiters_and_counts_all() {
    let mut world = World::new();
    let [ann] = world.connect();
    world.say(ann, &lock("db", ""));
    for client in world.connect_many(1001) {
        world.put(client, format!("{}\n", lock("db", "")).as_bytes());
    }
    world.step();
    let page = ask(&mut world, ann, r#"{"command":"locks","detail":true}"#);
    let detail = &page["value"]["db"];
    assert_eq!(detail["waiters"].as_array().expect("a list").len(), 1000);
    assert_eq!(detail["waiting"], json!(1001));
}

#[test]
fn an_invalid_page_is_refused() {
    let mut world = World::new();
    let [ann] = world.connect();
    for (field, message) in [
        (r#""prefix":5"#, "prefix must be a string"),
        (r#""limit":0"#, "limit must be a whole number from 1 to 1000"),
        (r#""limit":1001"#, "limit must be a whole number from 1 to 1000"),
        (r#""limit":"5""#, "limit must be a whole number from 1 to 1000"),
        (r#""after":"x""#, "after must be the next of a page"),
        (r#""after":"+5""#, "after must be the next of a page"),
        (r#""after":"007""#, "after must be the next of a page"),
        (r#""after":5"#, "after must be the next of a page"),
        (r#""detail":1"#, "detail must be true or false"),
    ] {
        assert_eq!(world.say(ann, &with(LOCKS, field)), [(ann, error("invalid_request", message))], "{field}");
    }
    for field in [r#""after":"4294967295""#, r#""limit":1000.0"#, r#""detail":false"#] {
        assert_eq!(ask(&mut world, ann, &with(LOCKS, field))["value"], json!({}), "{field}");
    }
}

#[test]
fn hello_says_how_soon_a_silent_client_is_given_up() {
    let limits = Limits { silent_after: Some(SECOND * 30), ..Limits::default() };
    for (limits, peer, fields, silent_after) in [
        (limits.clone(), Peer::V4 { ip: [10, 0, 0, 9], port: 1 }, "", json!(30)),
        (limits.clone(), Peer::V4 { ip: [10, 0, 0, 9], port: 1 }, r#","max_idle":7"#, json!(7)),
        (limits.clone(), Peer::Unix(1), "", json!(60)),
        (Limits { max_idle: None, ..limits.clone() }, Peer::Unix(1), "", json!(0)),
        (Limits { max_idle: None, ..limits }, Peer::V6 { ip: [9; 16], port: 1 }, "", json!(30)),
        (Limits::default(), Peer::V4 { ip: [10, 0, 0, 9], port: 1 }, "", json!(60)),
    ] {
        let mut world = World::with_limits(limits);
        let client = world.connect_as(peer);
        let reply = ask(&mut world, client, &format!(r#"{{"command":"hello"{fields}}}"#));
        assert_eq!(reply["limits"]["silent_after"], silent_after, "{peer} {fields}");
    }
}

#[test]
fn a_strict_connection_is_told_of_fields_that_a_command_does_not_have() {
    let mut world = World::new();
    let [ann] = world.connect();
    let typo = lock("db", r#""timeuot":5"#);
    assert_eq!(world.say(ann, &typo), [(ann, acquired("db"))], "others are not");
    world.say(ann, &unlock("db"));
    // In one piece with what comes after it.
    let hello = r#"{"command":"hello","strict":true}"#;
    let received = world.send(ann, format!("{hello}\n{typo}\n{}\n", lock("db", "")).as_bytes());
    let refused = with(&error("invalid_request", r#"this command has no field \"timeuot\""#), r#""name":"db""#);
    assert_eq!(received[1..], [(ann, refused), (ann, acquired("db"))]);
    for (line, field) in [
        (r#"{"command":"unlock","name":"db","timeout":5}"#, "timeout"),
        (r#"{"command":"keep_alive","name":"db"}"#, "name"),
        (r#"{"id":1,"queue_max":1,"command":"ping"}"#, "queue_max"),
        (r#"{"command":"locks","all":true}"#, "all"),
    ] {
        let reply = ask(&mut world, ann, line);
        assert_eq!(reply["reason"], "invalid_request", "{line}");
        assert!(reply["message"].as_str().is_some_and(|message| message.contains(field)), "{reply}");
    }
    // What is null is absent, and what is no text hides nothing.
    assert_eq!(ask(&mut world, ann, r#"{"command":"keep_alive","id":1,"a":null}"#)["result"], "kept_alive");
    for line in [r#"{"command":"ping","\ud800":1}"#, r#"{"command":"ping","\ud800":null,"a":1}"#] {
        assert_eq!(ask(&mut world, ann, line)["reason"], "invalid_request", "{line}");
    }
    assert_eq!(ask(&mut world, ann, r#"{"command":"unlock","name":"db","timeout":null}"#)["result"], "released");
    assert_eq!(ask(&mut world, ann, r#"{"command":"hello","strict":false}"#)["result"], "hello");
    assert_eq!(world.say(ann, &typo), [(ann, acquired("db"))]);
    assert_eq!(
        ask(&mut world, ann, r#"{"command":"hello"}"#)["features"],
        json!([
            "owner",
            "fence",
            "mode",
            "slots",
            "lease",
            "renew",
            "names",
            "any",
            "priority",
            "deadlock",
            "min_hold",
            "lost_delay",
            "label",
            "token",
            "revoke",
            "one_lock",
            "contended",
            "my_locks_page",
            "notices",
            "progress",
            "hint",
            "transfer",
            "session",
            "watch",
            "stats",
            "users",
            "strict"
        ])
    );
}

#[test]
fn a_page_of_connections_has_idle_ones_and_their_age() {
    let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
    let [ann, bob] = world.connect();
    ask(&mut world, ann, r#"{"command":"hello","client":"raid"}"#);
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", ""));
    world.say(bob, &lock("b", ""));
    world.pass(SECOND * 2);
    let [carl] = world.connect();
    world.pass(SECOND);
    let page = |world: &mut World, fields: &str| ask(world, carl, &format!(r#"{{"command":"connections",{fields}}}"#));
    assert_eq!(
        page(&mut world, r#""detail":true"#)["value"],
        json!({
            "10.0.0.1:1": {"client": "raid", "holds": 1, "waits": 0, "unsent": 0, "age": 3, "silent_for": 3},
            "10.0.0.2:1": {"holds": 1, "waits": 1, "unsent": 0, "age": 3, "silent_for": 3},
        })
    );
    assert_eq!(
        page(&mut world, r#""all":true"#)["value"],
        json!({"10.0.0.1:1": ["db"], "10.0.0.2:1": ["db", "b"], "10.0.0.3:1": []})
    );
    assert_eq!(page(&mut world, r#""all":true,"detail":true"#)["value"]["10.0.0.3:1"]["silent_for"], json!(0));
    let first = page(&mut world, r#""all":true,"limit":1"#);
    assert_eq!(first["value"], json!({"10.0.0.1:1": ["db"]}));
    let rest = page(&mut world, &format!(r#""all":true,"after":{}"#, first["next"]));
    assert_eq!(rest["value"], json!({"10.0.0.2:1": ["db", "b"], "10.0.0.3:1": []}));
    assert_eq!(rest["next"], Value::Null);
    for fields in [r#""all":1"#, r#""limit":0"#, r#""after":"x""#, r#""detail":"no""#] {
        assert_eq!(page(&mut world, fields)["reason"], "invalid_request", "{fields}");
    }
}

#[test]
fn a_refused_kick_says_which_address_would_do() {
    for (own_ip, address) in [(None, "127.0.0.1"), (Some([10, 0, 0, 7].into()), "10.0.0.7")] {
        let mut world = World::new();
        let admin = world.arrive_at(own_ip, Peer::V4 { ip: [10, 0, 0, 9], port: 1 });
        let reply = ask(&mut world, admin, &kick("10.0.0.9:1"));
        assert!(reply["message"].as_str().is_some_and(|message| message.contains(address)), "{reply}");
    }
}
