//! Watchers: what they are told, and what those are told that do not keep up.

use std::time::Duration;

use officer::server::Limits;
use officer::wire::peer::Peer;

use crate::words::{RESET, acquired, lock, request, unlock, with};
use crate::world::{Client, Received, World};

const SECOND: Duration = Duration::from_secs(1);
const WATCH: &str = r#"{"command":"watch"}"#;
const UNWATCH: &str = r#"{"command":"unwatch"}"#;
const WATCHING: &str = r#"{"result":"watching"}"#;
const UNWATCHED: &str = r#"{"result":"unwatched"}"#;
/// With this many bytes unsent a watcher gets no event.
const UNSENT_MAX: usize = 32 << 10;

/// A world with a watcher of everything and three others.
fn watched() -> (World, Client, [Client; 3]) {
    let mut world = World::with_limits(Limits { max_idle: None, ..Limits::default() });
    let [watcher, ann, bob, carl] = world.connect();
    assert_eq!(world.say(watcher, WATCH), [(watcher, WATCHING.to_owned())]);
    (world, watcher, [ann, bob, carl])
}

fn watch(prefix: &str) -> String {
    format!(r#"{{"command":"watch","prefix":{}}}"#, serde_json::json!(prefix))
}

fn event(event: &str, name: &str, connection: &str) -> String {
    let name = serde_json::json!(name);
    format!(r#"{{"name":{name},"notice":"event","event":"{event}","connection":"{connection}"}}"#)
}

fn missed(count: usize) -> String {
    format!(r#"{{"notice":"event","event":"missed","count":{count}}}"#)
}

fn lines_to(client: Client, received: Vec<Received>) -> Vec<String> {
    received.into_iter().filter(|(to, _)| *to == client).map(|(_, line)| line).collect()
}

/// What a watcher was told, each event in a few words: what happened, the name, and the last number of the connection's
/// address with the owner after it.
fn told(watcher: Client, received: Vec<Received>) -> Vec<String> {
    lines_to(watcher, received).iter().filter_map(|line| words_of(line)).collect()
}

fn words_of(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let by = text("connection");
    let by = by.strip_prefix("10.0.0.").and_then(|by| by.strip_suffix(":1")).unwrap_or(by);
    let words = format!("{} {} {by} {}", text("event"), text("name"), text("owner"));
    (event["notice"] == "event").then(|| words.trim_end().to_owned())
}

#[test]
fn every_hold_and_wait_is_told_when_it_begins_and_when_it_ends() {
    let (mut world, watcher, [ann, bob, carl]) = watched();
    let mut say = |client, line: &str| {
        let received = world.say(client, line);
        told(watcher, received)
    };
    assert_eq!(say(ann, &lock("db", "")), ["granted db 2"]);
    assert_eq!(say(bob, &lock("db", r#""timeout":5"#)), ["queued db 3"]);
    assert_eq!(say(carl, &lock("db", r#""id":1"#)), ["queued db 4"]);
    assert_eq!(say(carl, &unlock("db")), ["left db 4"]);
    assert_eq!(say(carl, &lock("db", r#""owner":"x""#)), ["queued db 4 x"]);
    assert_eq!(say(ann, &unlock("db")), ["released db 2", "granted db 3"]);
    assert_eq!(say(bob, RESET), ["released db 3", "granted db 4 x"]);
    assert_eq!(say(carl, &request("unlock", "db", r#""owner":"x""#)), ["released db 4 x"]);
    // What changes no hold and no wait is not told.
    assert_eq!(say(ann, &lock("db", "")), ["granted db 2"]);
    for line in [lock("db", r#""timeout":0"#), lock("db", r#""queue_max":1"#), unlock("db"), RESET.to_owned()] {
        assert!(say(bob, &line).is_empty(), "{line}");
    }
    for line in [lock("db", ""), request("renew", "db", r#""lease":100"#), request("unlock", "db", r#""token":1"#)] {
        assert!(say(ann, &line).is_empty(), "{line}");
    }
    // An owner without places is forgotten at once if another comes: the event still names it.
    assert_eq!(say(carl, &lock("a", r#""owner":1"#)), ["granted a 4"]);
    assert_eq!(say(carl, &lock("b", r#""owner":"y""#)), ["granted b 4 y"]);
    assert_eq!(say(carl, &lock("a", r#""owner":"z""#)), ["queued a 4 z"]);
    assert_eq!(say(carl, &request("reset", "a", r#""owner":"z""#)), ["left a 4 z"]);
}

#[test]
fn a_wait_that_times_out_has_left_and_a_connection_that_ends_releases_and_leaves() {
    let (mut world, watcher, [ann, bob, carl]) = watched();
    world.say(ann, &lock("db", ""));
    world.say(bob, &lock("db", r#""timeout":5"#));
    let received = world.pass(SECOND * 5);
    assert_eq!(told(watcher, received), ["left db 3"]);
    world.say(bob, &lock("db", ""));
    world.say(carl, &lock("db", ""));
    let received = world.vanish(bob);
    assert_eq!(told(watcher, received), ["left db 3"]);
    let received = world.vanish(ann);
    assert_eq!(told(watcher, received), ["released db 2", "granted db 4"]);
}

#[test]
fn a_lease_a_revocation_and_a_closed_lock_are_told_as_what_they_are() {
    let (mut world, watcher, [ann, bob, _]) = watched();
    world.say(ann, &lock("db", r#""lease":5"#));
    world.say(bob, &lock("db", r#""min_hold":60"#));
    let received = world.pass(SECOND * 5);
    assert_eq!(told(watcher, received), ["expired db 2", "granted db 3"]);
    let received = world.say(bob, &unlock("db"));
    assert_eq!(told(watcher, received), ["released db 3", "closed db"]);
    let received = world.pass(SECOND * 60);
    assert_eq!(told(watcher, received), ["opened db"]);
    world.say(ann, &lock("db", r#""lease":5,"lost_delay":60"#));
    let received = world.pass(SECOND * 5);
    assert_eq!(told(watcher, received), ["expired db 2", "closed db"]);
    let received = world.say(bob, &lock("db", ""));
    assert_eq!(told(watcher, received), ["queued db 3"]);
    let operator = world.connect_as(Peer::Unix(1));
    let received = world.say(operator, &request("revoke", "db", ""));
    assert_eq!(told(watcher, received), ["opened db", "granted db 3"]);
    let received = world.say(operator, &request("revoke", "db", ""));
    assert_eq!(told(watcher, received), ["revoked db 3"]);
}

#[test]
fn a_request_for_several_locks_is_told_for_each_of_them() {
    let (mut world, watcher, [ann, bob, carl]) = watched();
    let mut say = |client, line: &str| {
        let received = world.say(client, line);
        told(watcher, received)
    };
    let many = |fields: &str| format!(r#"{{"command":"lock","names":["a","b","c"]{fields}}}"#);
    assert_eq!(say(ann, &many("")), ["granted a 2", "granted b 2", "granted c 2"]);
    assert_eq!(say(bob, &many("")), ["queued a 3", "queued b 3", "queued c 3"]);
    assert_eq!(say(bob, &unlock("b")), ["left a 3", "left b 3", "left c 3"]);
    assert_eq!(say(bob, &many(r#","any":true"#)), ["queued a 3", "queued b 3", "queued c 3"]);
    assert_eq!(say(carl, &many("")), ["queued a 4", "queued b 4", "queued c 4"]);
    assert_eq!(say(ann, &unlock("b")), ["released b 2", "granted b 3", "left a 3", "left c 3"]);
    assert!(say(ann, &many(r#","timeout":0,"owner":7"#)).is_empty(), "it does not wait");
    let received = world.vanish(ann);
    assert_eq!(told(watcher, received), ["released a 2", "released c 2"]);
    let received = world.say(bob, &unlock("b"));
    assert_eq!(told(watcher, received), ["released b 3", "granted a 4", "granted b 4", "granted c 4"]);
}

#[test]
fn a_request_that_is_refused_for_a_deadlock_is_not_told() {
    let (mut world, watcher, [ann, bob, _]) = watched();
    world.say(ann, &lock("a", ""));
    world.say(bob, &lock("b", ""));
    world.say(bob, &lock("a", ""));
    let received = world.say(ann, &lock("b", r#""deadlock":"refuse""#));
    assert_eq!(told(watcher, received), [""; 0]);
    let received = world.say(ann, r#"{"command":"lock","names":["b","c"],"deadlock":"refuse"}"#);
    assert_eq!(told(watcher, received), [""; 0]);
}

#[test]
fn a_transfer_is_told_as_an_end_and_a_grant() {
    let (mut world, watcher, [ann, bob, carl]) = watched();
    world.say(ann, &lock("db", r#""owner":"x""#));
    world.say(bob, &lock("db", ""));
    world.say(carl, &lock("db", ""));
    let line = request("transfer", "db", r#""owner":"x","to":"10.0.0.4:1""#);
    let received = world.say(ann, &line);
    assert_eq!(told(watcher, received), ["released db 2 x", "granted db 4"]);
    let received = world.say(ann, &line);
    assert_eq!(told(watcher, received), [""; 0], "it fails");
}

#[test]
fn a_session_without_a_connection_is_told_by_its_name_and_a_watch_stays_with_its_connection() {
    let (mut world, watcher, [ann, bob, carl]) = watched();
    let hello = |world: &mut World, client: Client| {
        let received = world.say(client, r#"{"command":"hello","session":{"grace":20}}"#);
        let reply: serde_json::Value = serde_json::from_str(&received[0].1).expect("JSON");
        reply["session"]["secret"].as_str().expect("a session has a secret").to_owned()
    };
    let secret = hello(&mut world, ann);
    world.say(ann, WATCH);
    world.say(ann, &lock("db", ""));
    world.say(ann, &lock("other", r#""lease":10"#));
    let received = world.vanish(ann);
    assert_eq!(told(watcher, received), [""; 0], "nothing has ended yet");
    world.say(bob, &lock("db", ""));
    let received = world.pass(SECOND * 10);
    assert_eq!(told(watcher, received), ["expired other session:1"]);
    // The new connection has the watch that it had before, which is none.
    assert_eq!(world.say(carl, &format!(r#"{{"command":"hello","resume":"{secret}"}}"#)).len(), 1);
    let received = world.say(carl, &lock("other", ""));
    assert_eq!(told(watcher, received.clone()), ["granted other 4"]);
    assert_eq!(told(carl, received), [""; 0]);
    world.vanish(carl);
    let received = world.pass(SECOND * 20);
    assert_eq!(told(watcher, received), ["released db session:1", "granted db 3", "released other session:1"]);
    // One that watches and resumes goes on watching.
    let [dora, emil] = world.connect();
    let secret = hello(&mut world, dora);
    world.vanish(dora);
    world.say(emil, WATCH);
    world.say(emil, &format!(r#"{{"command":"hello","resume":"{secret}"}}"#));
    let received = world.say(emil, &lock("new", ""));
    assert_eq!(told(emil, received), ["granted new 6"]);
}

#[test]
fn a_watcher_is_told_of_its_prefix_only_and_of_what_it_does_itself() {
    let mut world = World::new();
    let [all, players, one, zones] = world.connect();
    for (client, prefix) in [(all, ""), (players, "player:"), (one, "player:7"), (zones, "zone:")] {
        assert_eq!(world.say(client, &watch(prefix)), [(client, WATCHING.to_owned())]);
    }
    let mut received = world.say(one, &lock("player:70", ""));
    let granted = event("granted", "player:70", world.name(one));
    let expected = [all, players, one].map(|client| (client, granted.clone()));
    assert_eq!(received.iter().filter(|(_, line)| *line == acquired("player:70")).count(), 1);
    received.retain(|(_, line)| *line != acquired("player:70"));
    assert_eq!(received, expected);
    for (name, told_of) in [("player:", 2), ("player:8", 2), ("zone:1", 2), ("player", 1), ("z", 1), ("player:7", 3)] {
        let received = world.say(one, &lock(name, ""));
        assert_eq!(received.len() - 1, told_of, "{name}: {received:?}");
    }
    // Names are compared as they are, not as they are written.
    world.say(zones, &watch("\"é"));
    let received = world.say(one, r#"{"command":"lock","name":"\u0022\u00e9\n"}"#);
    assert_eq!(lines_to(zones, received), [event("granted", "\"é\n", "10.0.0.3:1")]);
}

#[test]
fn a_watch_ends_when_it_is_told_to_or_with_its_connection() {
    let (mut world, watcher, [ann, bob, _]) = watched();
    assert_eq!(world.say(watcher, UNWATCH), [(watcher, UNWATCHED.to_owned())]);
    assert_eq!(world.say(ann, &lock("a", "")), [(ann, acquired("a"))]);
    assert_eq!(world.say(watcher, UNWATCH), [(watcher, UNWATCHED.to_owned())], "without a watch nothing happens");
    world.say(watcher, WATCH);
    assert_eq!(world.say(ann, &lock("b", "")).len(), 2);
    world.vanish(watcher);
    assert_eq!(world.say(ann, &lock("c", "")), [(ann, acquired("c"))]);
    // What a watcher holds itself passes on after its watch has ended.
    world.say(bob, WATCH);
    world.say(bob, &lock("d", ""));
    world.say(ann, &lock("d", ""));
    assert_eq!(world.half_close(bob), [(ann, acquired("d"))]);
}

#[test]
fn a_watch_is_replaced_between_two_events_of_a_burst() {
    let (mut world, watcher, _) = watched();
    let lines = [
        lock("a:1", ""),
        watch("b"),
        lock("a:2", ""),
        lock("b:1", ""),
        UNWATCH.to_owned(),
        lock("b:2", ""),
        watch(""),
        lock("a:3", ""),
    ];
    let received = world.send(watcher, (lines.join("\n") + "\n").as_bytes());
    let granted = |name| event("granted", name, "10.0.0.1:1");
    let (received, replies): (Vec<String>, Vec<String>) =
        lines_to(watcher, received).into_iter().partition(|line| !line.contains("acquired"));
    assert_eq!(replies.len(), 5);
    let expected = [
        granted("a:1"),
        WATCHING.to_owned(),
        granted("b:1"),
        UNWATCHED.to_owned(),
        WATCHING.to_owned(),
        granted("a:3"),
    ];
    assert_eq!(received, expected);
}

/// One locks and unlocks a lock this often: each time two events.
fn bustle(world: &mut World, client: Client, times: usize) {
    for _ in 0..times {
        world.say(client, &lock("db", ""));
        world.say(client, &unlock("db"));
    }
}

#[test]
fn a_watcher_that_stalls_is_told_how_many_events_it_has_missed_and_slows_nobody() {
    let (mut world, watcher, [ann, other, _]) = watched();
    world.say(other, WATCH);
    world.take_only(watcher, 0);
    let mut seen_by_other = 0;
    let length = |what| event(what, "db", "10.0.0.2:1").len() + 1;
    let (granted, released) = (length("granted"), length("released"));
    for _ in 0..500 {
        for line in [lock("db", ""), unlock("db")] {
            let received = world.say(ann, &line);
            seen_by_other += lines_to(other, received).len();
        }
    }
    assert_eq!(seen_by_other, 1000, "the other one misses nothing");
    let pair = granted + released;
    let unsent = world.server.unsent();
    assert!((UNSENT_MAX..UNSENT_MAX + pair).contains(&unsent), "events end at the limit: {unsent}");
    let sent = unsent / pair * 2 + usize::from(unsent % pair > 0);
    // One byte more than the limit leaves: it has no room yet.
    assert_eq!(world.take(watcher, Some(unsent - UNSENT_MAX)).len(), (unsent - UNSENT_MAX) / granted);
    bustle(&mut world, ann, 1);
    world.take(watcher, Some(1));
    assert_eq!(
        world.server.unsent(),
        UNSENT_MAX - 1 + missed(1002 - sent).len() + 1,
        "now it has, and is told at once"
    );
    bustle(&mut world, ann, 1);
    let received = lines_to(watcher, world.take(watcher, None));
    let last = &received[received.len() - 1];
    // The notice itself left no room for more.
    assert_eq!(*last, missed(2), "{received:?}");
    assert_eq!(received[received.len() - 2], missed(1002 - sent));
    assert!(received[..received.len() - 2].iter().all(|line| line.contains("\"db\"")));
    let received = world.say(ann, &lock("db", ""));
    assert_eq!(lines_to(watcher, received), [event("granted", "db", "10.0.0.2:1")], "it is told of everything again");
}

#[test]
fn a_watcher_with_a_byte_less_than_the_limit_unsent_is_told() {
    let told = event("granted", "db", "10.0.0.2:1");
    for (unsent, expected) in [(UNSENT_MAX - 1, told), (UNSENT_MAX, missed(1))] {
        let (mut world, watcher, [ann, ..]) = watched();
        world.take_only(watcher, 0);
        // Replies of 18 bytes, and one with an id that makes up for what is left.
        let (ping, count) = (r#"{"command":"ping"}"#, unsent / 18 - 4);
        let id = "x".repeat(unsent - count * 18 - r#"{"result":"pong","id":""}"#.len() - 1);
        let last = with(ping, &format!(r#""id":"{id}""#));
        world.send(watcher, format!("{}{last}\n", format!("{ping}\n").repeat(count)).as_bytes());
        assert_eq!(world.server.unsent(), unsent);
        world.say(ann, &lock("db", ""));
        let received = lines_to(watcher, world.take(watcher, None));
        assert_eq!(received.last(), Some(&expected));
    }
}

#[test]
fn what_was_missed_is_forgotten_with_the_watch_that_missed_it() {
    for line in [watch(""), UNWATCH.to_owned()] {
        let (mut world, watcher, [ann, ..]) = watched();
        world.take_only(watcher, 0);
        bustle(&mut world, ann, 500);
        let unsent = world.server.unsent();
        assert!(unsent >= UNSENT_MAX);
        assert!(world.say(watcher, &line).is_empty());
        bustle(&mut world, ann, 1);
        let received = lines_to(watcher, world.take(watcher, None));
        let reply = received.iter().position(|line| line.contains("result")).expect("it is answered");
        let rest = &received[reply + 1..];
        let expected = if line == UNWATCH { vec![] } else { vec![missed(2)] };
        assert_eq!(rest, expected, "after {line}");
    }
}

#[test]
fn all_watchers_together_get_a_mebibyte_in_a_turn_and_the_next_tells_the_others_what_they_missed() {
    let mut world = World::with_limits(Limits { turn_read_bytes: 64 << 10, ..Limits::default() });
    let [ann] = world.connect();
    let watchers = world.connect_many(100);
    for watcher in &watchers {
        world.say(*watcher, WATCH);
    }
    let names: Vec<String> = (0..20).map(|number| format!("{number:1000}")).collect();
    let lines: String = names.iter().map(|name| lock(name, "") + "\n").collect();
    world.put(ann, lines.as_bytes());
    let received = world.step_once();
    let is_event = |line: &str| line.contains("granted");
    let bytes: usize = received.iter().filter(|(_, line)| is_event(line)).map(|(_, line)| line.len() + 1).sum();
    let one = event("granted", &names[0], "10.0.0.1:1").len() + 1;
    assert!(bytes <= 1 << 20 && bytes + one > 1 << 20, "{bytes}");
    assert!(received.iter().all(|(_, line)| !line.contains("missed")));
    let events_of = |received: &[Received], watcher: Client| {
        received.iter().filter(|(to, line)| *to == watcher && is_event(line)).count()
    };
    // Nobody does anything, and no event comes.
    let rest = world.step_once();
    for watcher in &watchers {
        let count = events_of(&received, *watcher);
        let expected = if count < 20 { vec![missed(20 - count)] } else { vec![] };
        assert_eq!(lines_to(*watcher, rest.clone()), expected);
    }
    assert!(rest.iter().all(|(_, line)| line.contains("missed")) && !rest.is_empty());
    // All of them are told of everything again.
    world.put(ann, (unlock(&names[0]) + "\n").as_bytes());
    let received = world.step_once();
    assert!(watchers.iter().all(|watcher| lines_to(*watcher, received.clone()).len() == 1));
}

#[test]
fn the_limits_on_output_hold_for_watchers() {
    // At the limit on what one may have unsent.
    let mut world = World::with_limits(Limits { outbox_bytes_max: 10_000, ..Limits::default() });
    let [watcher, ann, bob] = world.connect();
    world.say(watcher, &lock("mine", ""));
    world.say(bob, &lock("mine", ""));
    world.say(watcher, WATCH);
    world.take_only(watcher, 0);
    bustle(&mut world, ann, 200);
    assert!(world.is_closed(watcher));
    assert!(world.say(bob, &lock("mine", "")).len() == 1, "its lock has passed on");
    // At the limit on time.
    let (mut world, watcher, [ann, ..]) = watched();
    world.take_only(watcher, 0);
    bustle(&mut world, ann, 500);
    world.pass(Limits::default().outbox_stall);
    assert!(world.is_closed(watcher));
}

#[test]
fn a_watcher_that_is_about_to_end_is_told_nothing_and_misses_nothing() {
    let (mut world, watcher, [ann, ..]) = watched();
    // The end and a lock in one turn, in both orders.
    world.put_end(watcher);
    world.put(ann, format!("{}\n{}\n", lock("a", ""), lock("b", "")).as_bytes());
    assert_eq!(world.step(), [(ann, acquired("a")), (ann, acquired("b"))]);
    assert!(world.is_closed(watcher));
    let (mut world, watcher, [ann, ..]) = watched();
    world.put(ann, format!("{}\n", lock("a", "")).as_bytes());
    world.put_end(watcher);
    let received = world.step();
    assert_eq!(lines_to(watcher, received), [event("granted", "a", "10.0.0.2:1")]);
    // One that has missed events, and is on the list of those to be told.
    let (mut world, watcher, [ann, ..]) = watched();
    world.take_only(watcher, 0);
    bustle(&mut world, ann, 500);
    world.put_room(watcher, None);
    world.turn();
    world.put_reset(watcher);
    world.step();
    assert!(world.is_closed(watcher));
}
