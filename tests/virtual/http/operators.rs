//! What operators ask and do by HTTP: the commands of the protocol.

use officer::server::Limits;
use officer::wire::peer::Peer;
use serde_json::{Value, json};

use super::{CHANGE, ask, connect, get, post};
use crate::world::World;

const LOCAL: Peer = Peer::V4 { ip: [127, 0, 0, 1], port: 8 };

#[test]
fn listings_are_the_pages_of_the_protocol() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, r#"{"command":"lock","name":"boss:1"}"#);
    world.say(bob, r#"{"command":"lock","name":"boss:1"}"#);
    world.say(bob, r#"{"command":"lock","name":"a b%\"<img src=x onerror=alert(1)>"}"#);
    let client = connect(&mut world);
    for (path, line) in [
        ("/api/locks", r#"{"command":"locks","limit":1000,"detail":true}"#),
        ("/api/locks?limit=1", r#"{"command":"locks","limit":1,"detail":true}"#),
        ("/api/locks?limit=1&after=1&detail=false", r#"{"command":"locks","limit":1,"after":"1"}"#),
        ("/api/locks?prefix=boss%3A", r#"{"command":"locks","prefix":"boss:","detail":true}"#),
        ("/api/locks?name=boss:1", r#"{"command":"locks","name":"boss:1","detail":true}"#),
        ("/api/locks?name=nothing", r#"{"command":"locks","name":"nothing","detail":true}"#),
        ("/api/connections?all=true", r#"{"command":"connections","all":true,"limit":1000,"detail":true}"#),
        ("/api/connections?detail=false&limit=1", r#"{"command":"connections","limit":1}"#),
        // They are pages as well.
        ("/api/locks?detail=false", r#"{"command":"locks","limit":1000}"#),
        ("/api/connections?detail=false", r#"{"command":"connections","limit":1000}"#),
        ("/api/locks?name=boss:1&detail=false", r#"{"command":"locks","name":"boss:1"}"#),
    ] {
        let mut said = world.say(ann, line);
        let answer = ask(&mut world, client, &get(path, ""));
        assert_eq!((answer.status, answer.body), (200, format!("{}\n", said.remove(0).1)), "{path}");
    }
    for (path, reason) in [
        ("/api/locks?limit=0", "invalid_request"),
        ("/api/locks?limit=1001", "invalid_request"),
        ("/api/locks?limit=ten", "invalid_request"),
        ("/api/locks?after=x", "invalid_request"),
        ("/api/locks?detail=1", "invalid_request"),
        ("/api/locks?colour=red", "invalid_request"),
        ("/api/locks?limit=1&limit=2", "invalid_request"),
        ("/api/locks?name=a&prefix=b", "invalid_request"),
        ("/api/locks?command=reset", "invalid_request"),
        ("/api/locks?prefix=%zz", "invalid_request"),
        ("/api/stats?all=true", "invalid_request"),
    ] {
        let answer = ask(&mut world, client, &get(path, ""));
        assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!(reason)), "{path}");
    }
}

#[test]
fn a_listing_over_the_limit_is_an_error_of_the_server() {
    let mut world = World::with_limits(Limits { reply_bytes_max: 10, ..Limits::default() });
    let [ann] = world.connect();
    world.say(ann, r#"{"command":"lock","name":"boss:1"}"#);
    let client = connect(&mut world);
    let answer = ask(&mut world, client, &get("/api/locks?name=boss:1", ""));
    assert_eq!((answer.status, &answer.json()["reason"]), (500, &json!("reply_too_large")));
}

#[test]
fn stats_and_metrics_are_told() {
    let mut world = World::new();
    let [ann] = world.connect();
    let client = connect(&mut world);
    let stats = ask(&mut world, client, &get("/api/stats", "")).json();
    let keys = |stats: &Value| stats["value"].as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let said: Value = serde_json::from_str(&world.say(ann, r#"{"command":"stats"}"#)[0].1).unwrap();
    assert_eq!(keys(&stats), keys(&said));
    let metrics = ask(&mut world, client, &get("/metrics", ""));
    assert_eq!(metrics.fields["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.body.lines().any(|line| line == "officer_connections 1"), "{}", metrics.body);
}

#[test]
fn a_kick_passes_the_locks_on_before_it_is_answered() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, r#"{"command":"lock","name":"boss"}"#);
    world.say(bob, r#"{"command":"lock","name":"boss"}"#);
    let client = connect(&mut world);
    let kick = |name: &str| post("/api/kick", CHANGE, &format!("{{\n \"connection\": {:?} }}", name));
    let request = kick(world.name(ann));
    world.put(client, request.as_bytes());
    let received = world.step();
    assert_eq!(received, [(bob, r#"{"name":"boss","result":"acquired"}"#.to_owned())]);
    let answers = super::answers(&world.take_bytes(client));
    assert_eq!((answers[0].status, answers[0].body.as_str()), (200, "{\"result\":\"kicked\"}\n"));
    assert!(world.is_closed(ann));
    assert_eq!(ask(&mut world, client, &request).status, 404);
    assert_eq!(ask(&mut world, client, &kick("nobody")).json()["result"], "kick_failed");
    let user = post("/api/kick", CHANGE, r#"{"user":"game"}"#);
    let answer = ask(&mut world, client, &user);
    assert!(answer.status == 403 && answer.body.contains("this server has no users"), "{answer:?}");
}

#[test]
fn a_lock_is_revoked_from_its_holder() {
    let mut world = World::new();
    let [ann, bob] = world.connect();
    world.say(ann, r#"{"command":"lock","name":"boss","token":true}"#);
    world.say(bob, r#"{"command":"lock","name":"boss"}"#);
    let client = connect(&mut world);
    let revoke = |body: Value| post("/api/revoke", CHANGE, &body.to_string());
    let other = ask(&mut world, client, &revoke(json!({"name": "boss", "token": 77})));
    assert_eq!((other.status, &other.json()["result"]), (404, &json!("revoke_failed")));
    let request = revoke(json!({"name": "boss", "connection": world.name(ann)}));
    world.put(client, request.as_bytes());
    assert_eq!(world.step(), [(bob, r#"{"name":"boss","result":"acquired"}"#.to_owned())]);
    let answers = super::answers(&world.take_bytes(client));
    assert_eq!(answers[0].json(), json!({"name": "boss", "result": "revoked", "count": 1}));
    for body in [json!({}), json!({"name": ""}), json!({"name": "a", "names": ["b"]}), json!({"name": "a", "x": 1})] {
        assert_eq!(ask(&mut world, client, &revoke(body.clone())).status, 400, "{body}");
    }
}

#[test]
fn what_is_asked_twice_in_one_body_is_asked_once() {
    let mut world = World::new();
    let ann = world.connect_as(LOCAL);
    world.say(ann, r#"{"command":"lock","name":"boss"}"#);
    let client = connect(&mut world);
    let twice = post("/api/revoke", CHANGE, r#"{"name":"x","name":"boss"}"#);
    assert_eq!(ask(&mut world, client, &twice).json()["name"], "boss");
}
