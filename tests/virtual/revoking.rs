//! Holds that an operator takes from their holders, and those that the request does not mean.

use std::time::Duration;

use officer::wire::peer::Peer;

use crate::words::{acquired, lock, request, unlock, with};
use crate::world::World;

#[test]
fn a_revocation_ends_the_holds_that_it_picks_and_no_others() {
    let mut world = World::new();
    let operator = world.connect_as(Peer::V4 { ip: [127, 0, 0, 1], port: 9 });
    let [ann, bob] = world.connect();
    let [anns, bobs] = [ann, bob].map(|client| format!(r#""connection":"{}""#, world.name(client)));
    // Three holders, with the tokens 1, 2 and 3.
    let hold = |owner: &str| lock("db", &format!(r#""mode":"shared"{owner}"#));
    world.say(ann, &hold(""));
    world.say(ann, &hold(r#","owner":7"#));
    world.say(bob, &hold(r#","owner":7"#));
    let mut revoke = |fields: &str| match world.say(operator, &request("revoke", "db", fields)).as_slice() {
        [(client, reply)] if *client == operator => {
            let reply: serde_json::Value = serde_json::from_str(reply).expect("JSON");
            if reply["result"] == "revoke_failed" { 0 } else { reply["count"].as_u64().expect("a count") }
        }
        other => panic!("one reply, not {other:?}"),
    };
    assert_eq!(revoke(r#""token":4"#), 0);
    assert_eq!(revoke(r#""token":2,"owner":8"#), 0);
    assert_eq!(revoke(&format!(r#""token":2,{bobs}"#)), 0);
    assert_eq!(revoke(r#""token":2"#), 1);
    assert_eq!(revoke(&format!(r#"{anns},"owner":7"#)), 0, "that was it");
    assert_eq!(revoke(r#""owner":7"#), 1, "Bob's");
    assert_eq!(revoke(&bobs), 0);
    assert_eq!(revoke(&anns), 1);
    assert_eq!(revoke(""), 0);
}

#[test]
fn a_closed_lock_is_opened_by_a_revocation_of_everything_and_listed_in_detail_alone() {
    let mut world = World::new();
    let operator = world.connect_as(Peer::V4 { ip: [127, 0, 0, 1], port: 9 });
    let [ann, bob] = world.connect();
    assert_eq!(world.say(ann, &lock("db", r#""min_hold":9"#)), [(ann, acquired("db"))]);
    world.say(ann, &unlock("db"));
    world.pass(Duration::from_secs(1));
    // It is free and has nobody, but for its closing.
    for line in [r#"{"command":"locks"}"#, r#"{"command":"locks","limit":9}"#] {
        assert_eq!(world.say(bob, line), [(bob, r#"{"result":"locks","value":{}}"#.to_owned())], "{line}");
    }
    let detail = r#"{"db":{"holders":[],"waiters":[],"waiting":0,"closed_for":8}}"#;
    let listed = format!(r#"{{"result":"locks","value":{detail}}}"#);
    assert_eq!(world.say(bob, r#"{"command":"locks","detail":true}"#), [(bob, listed)]);
    let failed = r#"{"name":"db","result":"revoke_failed"}"#.to_owned();
    assert_eq!(world.say(operator, &request("revoke", "db", r#""token":1"#)), [(operator, failed)]);
    assert_eq!(world.say(bob, &lock("db", "")), [], "still closed");
    let opened = with(r#"{"name":"db","result":"revoked"}"#, r#""count":0"#);
    let received = world.say(operator, &request("revoke", "db", ""));
    assert!(received.contains(&(operator, opened)) && received.contains(&(bob, acquired("db"))), "{received:?}");
    world.say(bob, &unlock("db"));
}
