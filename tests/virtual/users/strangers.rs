//! Those who have not said yet who they are.

use serde_json::json;

use super::*;
use crate::words::{CONNECTIONS, KEEP_ALIVE, LOCKS, MY_LOCKS, RESET, lock, unlock, with};

#[test]
fn a_stranger_may_say_hello_ping_and_keep_alive() {
    let mut world = world(&[]);
    let [stranger] = world.connect();
    assert_eq!(word(&mut world, stranger, PING), "pong");
    let reply = ask(&mut world, stranger, r#"{"command":"hello","client":"x","max_idle":50,"id":1}"#);
    assert_eq!((&reply["result"], &reply["user"], &reply["id"]), (&json!("hello"), &json!(null), &json!(1)));
    assert_eq!(world.say(stranger, KEEP_ALIVE), []);
    assert_eq!(word(&mut world, stranger, &with(KEEP_ALIVE, r#""id":1"#)), "kept_alive");
    assert_eq!(world.send(stranger, b" \r\n\n\t\n"), []);
    assert_eq!(ask(&mut world, stranger, &hello_as("all"))["user"], "all");
    assert_eq!(try_lock(&mut world, stranger, "a"), "acquired");
}

#[test]
fn anything_else_ends_it_and_nothing_of_it_happens() {
    let mut world = world(&[]);
    let [ops, all] = ["ops", "all"].map(|user| log_in(&mut world, user));
    world.say(all, &lock("held", ""));
    let kick = format!(r#"{{"command":"kick","connection":"{}"}}"#, world.name(all));
    for line in [
        &lock("a", ""),
        &lock("held", r#""timeout":0"#),
        r#"{"command":"lock","names":["a","b"]}"#,
        &unlock("held"),
        &request("renew", "held", r#""lease":1"#),
        &request("transfer", "held", r#""to_owner":1"#),
        RESET,
        LOCKS,
        MY_LOCKS,
        CONNECTIONS,
        STATS,
        r#"{"command":"watch"}"#,
        r#"{"command":"unwatch"}"#,
        &request("revoke", "held", ""),
        &kick,
        r#"{"command":"kick","user":"all"}"#,
        r#"{"command":"hello","session":{"grace":5}}"#,
        r#"{"command":"hello","resume":"00000000000000000000000000000000"}"#,
    ] {
        // On the server's machine, too.
        for peer in [world.next_peer(), ipv4([127, 0, 0, 1]), unix(5)] {
            let stranger = world.connect_as(peer);
            assert_closed_with(&mut world, stranger, line, "not_authenticated");
        }
    }
    assert_eq!(ask(&mut world, ops, LOCKS)["value"], json!({"held": [world.name(all)]}));
}

#[test]
fn the_first_error_of_any_kind_is_the_last() {
    for (line, reason) in [
        ("{", "invalid_json"),
        ("[]", "invalid_request"),
        (r#"{"command":"dance"}"#, "unknown_command"),
        (r#"{"command":"hello","max_idle":0}"#, "invalid_request"),
        (r#"{"command":"ping","id":{}}"#, "invalid_request"),
        (&hello("all", "wrong"), "auth_failed"),
        (&lock("a", ""), "not_authenticated"),
    ] {
        let mut world = world(&[]);
        let [stranger] = world.connect();
        let lines = format!("{PING}\n{line}\n{}\n{PING}\n{}\n", hello_as("all"), lock("a", ""));
        let words: Vec<String> = told(stranger, &world.send(stranger, lines.as_bytes())).iter().map(word_of).collect();
        let is_unknown = line.contains("dance") && words == ["pong", "not_authenticated"];
        assert!(is_unknown || words == ["pong", reason], "{line}: {words:?}");
        assert!(world.is_at_end(stranger), "{line}");
    }
}

#[test]
fn lines_of_a_stranger_have_a_thousand_and_24_bytes() {
    let padded = |bytes: usize| format!("{}{}", " ".repeat(bytes - PING.len()), PING);
    let mut world = world(&[]);
    let [ann, bob, carl] = world.connect();
    assert_eq!(word(&mut world, ann, &padded(1_024)), "pong");
    assert_closed_with(&mut world, ann, &padded(1_025), "line_too_long");
    // Without its end as well.
    let received = world.send(bob, &[b'x'; 1_025]);
    assert_eq!(told(bob, &received).iter().map(word_of).collect::<Vec<_>>(), ["line_too_long"]);
    // And once it is known who it is, lines are as long as anybody's, even in the same read.
    let lines = format!("{}\n{}\n", hello_as("all"), padded(10_000));
    let words: Vec<String> = told(carl, &world.send(carl, lines.as_bytes())).iter().map(word_of).collect();
    assert_eq!(words, ["hello", "pong"]);
}

#[test]
fn what_comes_with_the_secret_in_one_read_is_judged_by_the_rights_of_the_user() {
    let mut world = world(&[("game", "locks = [\"a\"]")]);
    let [client] = world.connect();
    let lines = format!("{}\n{}\n{}\n{STATS}\n", hello_as("game"), lock("a", ""), lock("b", ""));
    let words: Vec<String> = told(client, &world.send(client, lines.as_bytes())).iter().map(word_of).collect();
    assert_eq!(words, ["hello", "acquired", "not_allowed", "not_allowed"]);
}

#[test]
fn a_session_begins_with_the_secret() {
    let mut world = world(&[]);
    let [client] = world.connect();
    let reply = ask(&mut world, client, &with(&hello_as("all"), r#""session":{"grace":5}"#));
    assert!(reply["session"]["secret"].is_string() && reply["user"] == "all", "{reply}");
}
