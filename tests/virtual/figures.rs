//! The figures of `stats`: each moves when it should, and only then.

use std::collections::BTreeMap;
use std::time::Duration;

use officer::server::Limits;
use officer::time::{Moment, Span};
use officer::wire::peer::Peer;
use serde_json::Value;

use crate::words::{RESET, lock, request, unlock};
use crate::world::{Client, World};

const SECOND: Duration = Duration::from_secs(1);
const STATS: &str = r#"{"command":"stats"}"#;

/// The figures as one who asks sees them: numbers by their paths, like `requests.lock`. Arrays are left out, and so is what
/// changes with every request and every turn.
fn figures(world: &mut World, asker: Client) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    collect(&mut figures, "", &stats(world, asker));
    for moving in ["uptime", "received_bytes", "sent_bytes", "turns", "requests.stats"] {
        assert!(figures.remove(moving).is_some(), "{moving}");
    }
    figures
}

fn stats(world: &mut World, asker: Client) -> Value {
    let received = world.say(asker, STATS);
    let (_, line) = received.iter().find(|(to, line)| *to == asker && line.contains("stats")).expect("an answer");
    let reply: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(reply["result"], "stats");
    reply["value"].clone()
}

fn collect(figures: &mut BTreeMap<String, f64>, path: &str, value: &Value) {
    match value {
        Value::Number(number) => {
            figures.insert(path.to_owned(), number.as_f64().expect("a number"));
        }
        Value::Object(members) => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(figures, &path, value);
            }
        }
        Value::Array(_) => {}
        other => panic!("{path}: {other}"),
    }
}

/// A world, and one of its connections who asks for figures.
struct Seen {
    world: World,
    asker: Client,
    before: BTreeMap<String, f64>,
}

impl Seen {
    fn new(limits: Limits) -> Self {
        let mut world = World::with_limits(limits);
        let [asker] = world.connect();
        let before = figures(&mut world, asker);
        Seen { world, asker, before }
    }

    /// The figures that are different than when this was last asked, with the difference.
    fn moved(&mut self) -> Vec<(String, f64)> {
        let now = figures(&mut self.world, self.asker);
        assert!(now.keys().eq(self.before.keys()), "all figures are always there");
        let before = std::mem::replace(&mut self.before, now);
        let moved = self.before.iter().map(|(path, now)| (path.clone(), now - before[path]));
        moved.filter(|(_, difference)| *difference != 0.0).collect()
    }

    #[track_caller]
    fn assert_moved(&mut self, expected: &[(&str, i32)]) {
        let moved = self.moved();
        let moved: Vec<(&str, f64)> = moved.iter().map(|(path, difference)| (path.as_str(), *difference)).collect();
        let expected: Vec<(&str, f64)> = expected.iter().map(|(path, moved)| (*path, f64::from(*moved))).collect();
        assert_eq!(moved, expected);
    }

    #[track_caller]
    fn say(&mut self, client: Client, line: &str, expected: &[(&str, i32)]) {
        self.world.say(client, line);
        self.assert_moved(expected);
    }
}

/// No connection is closed as idle.
fn limits() -> Limits {
    Limits { max_idle: None, ..Limits::default() }
}

#[test]
fn figures_of_locks_move_with_holds_and_waits() {
    let mut seen = Seen::new(Limits { lock_waits_max: 1, ..limits() });
    let [ann, bob, carl] = seen.world.connect();
    seen.assert_moved(&[("connections", 3)]);
    seen.say(ann, &lock("db", ""), &[("grants", 1), ("holds", 1), ("locks", 1), ("requests.lock", 1)]);
    seen.say(ann, &lock("db", ""), &[("requests.lock", 1)]);
    seen.say(bob, &lock("db", r#""timeout":0"#), &[("requests.lock", 1), ("timeouts", 1)]);
    seen.say(bob, &lock("db", r#""queue_max":1"#), &[("queue_maxed", 1), ("requests.lock", 1)]);
    seen.say(bob, &lock("db", r#""timeout":5"#), &[("requests.lock", 1), ("waiters", 1)]);
    seen.say(carl, &lock("db", ""), &[("errors.too_many_waits", 1), ("requests.lock", 1)]);
    seen.world.pass(SECOND * 2);
    seen.assert_moved(&[]);
    let handed_over =
        [("grants", 1), ("hold.sum", 2), ("releases", 1), ("requests.unlock", 1), ("wait.sum", 2), ("waiters", -1)];
    seen.say(ann, &unlock("db"), &handed_over);
    seen.say(ann, &unlock("db"), &[("requests.unlock", 1)]);
    seen.say(ann, &lock("db", r#""timeout":5"#), &[("requests.lock", 1), ("waiters", 1)]);
    seen.world.pass(SECOND * 5);
    seen.assert_moved(&[("timeouts", 1), ("waiters", -1)]);
    let ended = [("hold.sum", 5), ("holds", -1), ("locks", -1), ("releases", 1), ("requests.reset", 1)];
    seen.say(bob, RESET, &ended);
    let all = r#"{"command":"lock","names":["a","b","c"]}"#;
    seen.say(ann, all, &[("grants", 3), ("holds", 3), ("locks", 3), ("requests.lock", 1)]);
    seen.say(bob, all, &[("requests.lock", 1), ("waiters", 3)]);
    seen.say(bob, &unlock("a"), &[("requests.unlock", 1), ("waiters", -3)]);
    let at_once = r#"{"command":"lock","names":["a","b"],"timeout":0}"#;
    seen.say(bob, at_once, &[("requests.lock", 1), ("timeouts", 1)]);
    let maxed = r#"{"command":"lock","names":["a","b"],"queue_max":1}"#;
    seen.say(bob, maxed, &[("queue_maxed", 1), ("requests.lock", 1)]);
    seen.world.vanish(ann);
    let ended = [("connections", -1), ("disconnects.socket_error", 1), ("holds", -3), ("locks", -3), ("releases", 3)];
    seen.assert_moved(&ended);
}

#[test]
fn figures_of_leases_closed_locks_revocations_and_deadlocks() {
    let mut seen = Seen::new(limits());
    let [ann, bob] = seen.world.connect();
    let operator = seen.world.connect_as(Peer::Unix(1));
    seen.moved();
    seen.world.say(ann, &lock("a", r#""lease":5,"lost_delay":60"#));
    seen.moved();
    seen.world.pass(SECOND * 5);
    seen.assert_moved(&[("closed_locks", 1), ("expiries", 1), ("hold.sum", 5), ("holds", -1), ("releases", 1)]);
    seen.say(operator, &request("revoke", "a", ""), &[("closed_locks", -1), ("locks", -1), ("requests.revoke", 1)]);
    seen.say(bob, &lock("a", r#""min_hold":9"#), &[("grants", 1), ("holds", 1), ("locks", 1), ("requests.lock", 1)]);
    seen.say(bob, &unlock("a"), &[("closed_locks", 1), ("holds", -1), ("releases", 1), ("requests.unlock", 1)]);
    seen.world.pass(SECOND * 9);
    seen.assert_moved(&[("closed_locks", -1), ("locks", -1)]);
    seen.world.say(ann, &lock("a", ""));
    seen.world.say(bob, &lock("b", ""));
    seen.world.say(bob, &lock("a", ""));
    seen.moved();
    let line = lock("b", r#""deadlock":"refuse""#);
    seen.say(ann, &line, &[("deadlocks", 1), ("requests.lock", 1)]);
    let revoked = [("grants", 1), ("releases", 1), ("requests.revoke", 1), ("revocations", 1), ("waiters", -1)];
    seen.say(operator, &request("revoke", "a", ""), &revoked);
}

#[test]
fn figures_of_sessions_and_transfers() {
    let mut seen = Seen::new(limits());
    let [ann, bob] = seen.world.connect();
    seen.moved();
    let hello = r#"{"command":"hello","session":{"grace":30}}"#;
    let received = seen.world.say(ann, hello);
    let reply: Value = serde_json::from_str(&received[0].1).expect("JSON");
    let secret = reply["session"]["secret"].as_str().expect("a session has a secret");
    seen.assert_moved(&[("requests.hello", 1), ("sessions", 1)]);
    seen.say(ann, &lock("db", ""), &[("grants", 1), ("holds", 1), ("locks", 1), ("requests.lock", 1)]);
    seen.world.vanish(ann);
    seen.assert_moved(&[("connections", -1), ("detached_sessions", 1), ("disconnects.socket_error", 1)]);
    let [again] = seen.world.connect();
    seen.assert_moved(&[("connections", 1)]);
    let resumed = [("detached_sessions", -1), ("requests.hello", 1), ("resumptions", 1)];
    seen.say(again, &format!(r#"{{"command":"hello","resume":"{secret}"}}"#), &resumed);
    // Taken over from a connection that looks alive.
    let [third] = seen.world.connect();
    seen.moved();
    seen.world.say(third, &format!(r#"{{"command":"hello","resume":"{secret}"}}"#));
    let taken = [
        ("connections", -1),
        ("disconnects.session_taken", 1),
        ("errors.session_taken", 1),
        ("requests.hello", 1),
        ("resumptions", 1),
    ];
    seen.world.pass(SECOND);
    seen.assert_moved(&taken);
    seen.world.say(bob, &lock("db", ""));
    seen.moved();
    let line = request("transfer", "db", &format!(r#""to":"{}""#, seen.world.name(bob)));
    let moved =
        [("grants", 1), ("hold.sum", 1), ("releases", 1), ("requests.transfer", 1), ("transfers", 1), ("waiters", -1)];
    seen.say(third, &line, &moved);
    seen.say(third, &line, &[("requests.transfer", 1)]);
    seen.world.vanish(third);
    seen.moved();
    let half = SECOND * 15;
    seen.world.pass(half);
    seen.world.say(seen.asker, r#"{"command":"keep_alive"}"#);
    seen.moved();
    seen.world.pass(half);
    seen.assert_moved(&[("detached_sessions", -1), ("sessions", -1), ("sessions_ended", 1)]);
}

#[test]
fn each_command_and_each_line_that_is_none_is_counted_as_what_it_is() {
    let mut seen = Seen::new(limits());
    let [ann] = seen.world.connect();
    seen.moved();
    for command in ["hello", "reset", "locks", "my_locks", "connections", "keep_alive", "ping", "unwatch"] {
        let name = format!("requests.{command}");
        seen.say(ann, &format!(r#"{{"command":"{command}"}}"#), &[(&name, 1)]);
    }
    for (command, fields) in [("locks", r#""limit":1"#), ("locks", r#""name":"x""#), ("connections", r#""limit":1"#)] {
        seen.say(ann, &format!(r#"{{"command":"{command}",{fields}}}"#), &[(&format!("requests.{command}"), 1)]);
    }
    for (line, command) in [
        (request("renew", "x", r#""lease":1"#), "renew"),
        (r#"{"command":"unlock","names":["a","b"]}"#.to_owned(), "unlock"),
        (r#"{"command":"ping","id":1}"#.to_owned(), "ping"),
    ] {
        seen.say(ann, &line, &[(&format!("requests.{command}"), 1)]);
    }
    for (line, reason) in [
        ("{", "invalid_json"),
        ("{}", "invalid_request"),
        (r#"{"command":"lock"}"#, "invalid_request"),
        (r#"{"command":"dance"}"#, "unknown_command"),
    ] {
        seen.say(ann, line, &[(&format!("errors.{reason}"), 1), ("requests.unknown", 1)]);
    }
    seen.say(ann, " \r", &[]);
    // Errors of requests are counted as both.
    let errors = [("errors.not_allowed", 1), ("requests.kick", 1)];
    seen.say(ann, r#"{"command":"kick","connection":"unix:7"}"#, &errors);
    seen.say(ann, r#"{"command":"watch"}"#, &[("requests.watch", 1), ("watchers", 1)]);
}

#[test]
fn ends_of_connections_are_counted_by_their_reason() {
    let mut seen = Seen::new(Limits { line_bytes_max: 1000, connections_max: 3, ..Limits::default() });
    let ended = |seen: &mut Seen, end: &dyn Fn(&mut World, Client), expected: &[(&str, i32)]| {
        let [client] = seen.world.connect();
        seen.moved();
        end(&mut seen.world, client);
        seen.assert_moved(expected);
    };
    let half_close = |world: &mut World, client| drop(world.half_close(client));
    ended(&mut seen, &half_close, &[("connections", -1), ("disconnects.peer_closed", 1)]);
    let reset = |world: &mut World, client| drop(world.vanish(client));
    ended(&mut seen, &reset, &[("connections", -1), ("disconnects.socket_error", 1)]);
    let long = |world: &mut World, client| {
        world.send(client, &[b'x'; 1001]);
        world.pass(SECOND);
    };
    let expected = [("connections", -1), ("disconnects.line_too_long", 1), ("errors.line_too_long", 1)];
    ended(&mut seen, &long, &expected);
    let http = |world: &mut World, client| {
        world.send(client, b"GET / HTTP/1.1\r\n\r\n");
        world.pass(SECOND);
    };
    let expected = [("connections", -1), ("disconnects.wrong_protocol", 1), ("errors.wrong_protocol", 1)];
    ended(&mut seen, &http, &expected);
    let kick = |world: &mut World, client: Client| {
        let operator = world.connect_as(Peer::Unix(1));
        world.say(operator, &format!(r#"{{"command":"kick","connection":"{}"}}"#, world.name(client)));
        world.half_close(operator);
    };
    let expected =
        [("connections", -1), ("disconnects.kicked", 1), ("disconnects.peer_closed", 1), ("requests.kick", 1)];
    ended(&mut seen, &kick, &expected);
    let one_too_many = |world: &mut World, client: Client| {
        world.connect::<2>();
        world.vanish(client);
        world.pass(SECOND);
    };
    let expected =
        [("disconnects.socket_error", 1), ("disconnects.too_many_connections", 1), ("errors.too_many_connections", 1)];
    ended(&mut seen, &one_too_many, &expected);
}

#[test]
fn bytes_are_counted_as_they_come_and_go() {
    let mut world = World::new();
    let [asker, ann] = world.connect();
    let before = stats(&mut world, asker);
    world.say(ann, &lock("db", ""));
    world.put_end(ann);
    world.step();
    let after = stats(&mut world, asker);
    let moved = |key: &str| usize::try_from(after[key].as_u64().unwrap() - before[key].as_u64().unwrap()).unwrap();
    assert_eq!(moved("received_bytes"), lock("db", "").len() + 1 + STATS.len() + 1);
    let reply = format!("{}\n", serde_json::json!({ "result": "stats", "value": before }));
    // The reply to the first request was not sent when its figures were taken.
    assert_eq!(moved("sent_bytes"), reply.len() + r#"{"name":"db","result":"acquired"}"#.len() + 1);
    assert!(moved("turns") >= 3);
}

#[test]
fn events_are_counted_as_they_are_sent_and_missed() {
    let mut seen = Seen::new(limits());
    let [watcher, stalled, ann] = seen.world.connect();
    for client in [watcher, stalled] {
        seen.world.say(client, r#"{"command":"watch"}"#);
    }
    seen.world.take_only(stalled, 0);
    seen.moved();
    let (mut sent, mut missed) = (0.0, 0.0);
    for _ in 0..300 {
        for line in [lock("db", ""), unlock("db")] {
            seen.world.say(ann, &line);
            for (path, moved) in seen.moved() {
                sent += if path == "events_sent" { moved } else { 0.0 };
                missed += if path == "events_missed" { moved } else { 0.0 };
            }
        }
    }
    assert_eq!(sent + missed, 1200.0, "each of 600 events was for two");
    assert!(missed > 100.0 && sent > 600.0, "{missed} missed, {sent} sent");
    seen.world.vanish(stalled);
    seen.world.vanish(watcher);
    let ended = [("connections", -2), ("disconnects.socket_error", 2), ("watchers", -2)];
    seen.assert_moved(&ended);
}

#[test]
fn waits_and_holds_are_in_the_buckets_of_their_lengths() {
    let mut world = World::with_limits(limits());
    let [asker, ann, bob] = world.connect();
    let counts = |stats: &Value, key: &str| {
        let (bounds, counts) = (stats[key]["bounds"].as_array().unwrap(), stats[key]["counts"].as_array().unwrap());
        assert_eq!(counts.len(), bounds.len() + 1);
        assert!(bounds.is_sorted_by(|one, next| one.as_f64() < next.as_f64()));
        let bound = |index: usize| bounds.get(index).map_or(f64::INFINITY, |bound| bound.as_f64().unwrap());
        let counts = counts.iter().enumerate().map(|(index, count)| (bound(index), count.as_u64().unwrap()));
        counts.filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    };
    for (hold, wait) in [(0, 0), (100, 0), (101, 40), (5_000_000, 2_000_000), (7_200_000_000, 7_000_000_000)] {
        world.say(ann, &lock("db", ""));
        world.pass(Duration::from_micros(hold - wait));
        world.say(bob, &lock("db", ""));
        world.pass(Duration::from_micros(wait));
        world.say(ann, &unlock("db"));
        world.say(bob, &unlock("db"));
    }
    let stats = stats(&mut world, asker);
    let infinite = f64::INFINITY;
    // Of each round one grant was made at once, and one hold was over at once.
    assert_eq!(counts(&stats, "wait"), [(0.0001, 8), (2.5, 1), (infinite, 1)]);
    assert_eq!(counts(&stats, "hold"), [(0.0001, 7), (0.00025, 1), (5.0, 1), (infinite, 1)]);
    assert_eq!(stats["wait"]["sum"].as_f64(), Some(7002.00004));
    assert_eq!(stats["hold"]["sum"].as_f64(), Some(7205.000201));
}

#[test]
fn the_longest_turn_is_that_of_the_last_half_minute_to_minute() {
    let mut world = World::with_limits(limits());
    let clients = world.connect_many(20);
    let longest = |world: &mut World| stats(world, clients[0])["longest_turn"].as_f64().unwrap();
    assert_eq!(longest(&mut world), 0.0);
    let busy = |world: &mut World, millis: u64| {
        world.turn();
        let span = Span::from_nanos(millis * 1_000_000);
        world.server.ended(world.moment().after(span));
    };
    busy(&mut world, 7);
    busy(&mut world, 3);
    assert_eq!(longest(&mut world), 0.007);
    world.pass(SECOND * 29);
    assert_eq!(longest(&mut world), 0.007);
    world.pass(SECOND * 31);
    assert_eq!(longest(&mut world), 0.0);
    busy(&mut world, 5);
    assert_eq!(longest(&mut world), 0.005);
    assert!(world.moment() >= Moment::START.after(Span::from(SECOND * 60)));
}

/// The hottest locks as one who asks sees them: name, seconds and waits.
fn hottest(world: &mut World, asker: Client) -> Vec<(String, f64, u64)> {
    let value = stats(world, asker)["hottest"].take();
    let row = |row: &Value| {
        let name = row["name"].as_str().expect("a name").to_owned();
        (name, row["waited"].as_f64().expect("seconds"), row["waits"].as_u64().expect("a number"))
    };
    value.as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn hottest_locks_are_those_that_were_waited_for_longest_in_this_half_minute_and_the_one_before() {
    let mut world = World::with_limits(limits());
    let [asker, ann, bob, carl] = world.connect();
    let told = |world: &mut World, expected: &[(&str, f64, u64)]| {
        let expected: Vec<_> =
            expected.iter().map(|(name, waited, waits)| ((*name).to_owned(), *waited, *waits)).collect();
        assert_eq!(hottest(world, asker), expected);
    };
    for name in ["a", "b", "c"] {
        world.say(ann, &lock(name, ""));
    }
    told(&mut world, &[]);
    world.say(bob, &lock("a", ""));
    world.say(carl, &lock("a", ""));
    world.say(carl, r#"{"command":"lock","names":["b","c"],"timeout":4}"#);
    world.say(bob, &lock("b", r#""timeout":0"#));
    world.say(bob, &lock("c", r#""priority":3"#));
    // That they have begun to wait is not forgotten because somebody asks.
    told(&mut world, &[]);
    world.pass(SECOND * 3);
    // While they wait.
    told(&mut world, &[("a", 6.0, 2), ("c", 6.0, 2), ("b", 3.0, 1)]);
    world.pass(SECOND * 2);
    world.say(ann, &unlock("a"));
    world.pass(SECOND);
    told(&mut world, &[("a", 11.0, 2), ("c", 10.0, 2), ("b", 4.0, 1)]);
    // The wait that would close a circle was none.
    world.say(ann, &lock("a", r#""deadlock":"refuse""#));
    told(&mut world, &[("a", 11.0, 2), ("c", 10.0, 2), ("b", 4.0, 1)]);
    world.vanish(ann);
    // From 6 s to 30 s carl waits for a, then from 30 s to 45 s.
    world.pass(SECOND * 39);
    told(&mut world, &[("a", 11.0 + 24.0 + 15.0, 2), ("c", 10.0, 2), ("b", 4.0, 1)]);
    world.pass(SECOND * 15);
    told(&mut world, &[("a", 30.0, 0)]);
    world.pass(SECOND * 600);
    told(&mut world, &[("a", 30.0, 0)]);
    world.say(bob, &unlock("a"));
    world.pass(SECOND * 60);
    told(&mut world, &[]);
}

#[test]
fn of_very_many_hot_names_what_is_told_is_within_its_bounds() {
    const NAMES: u32 = 2000;
    let mut world = World::with_limits(limits());
    let [asker, ann, bob] = world.connect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut exact: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..1500 {
        // The n-th name is waited for about 1/n as long as the first.
        let name = format!("boss:{:.0}", f64::from(NAMES).powf(random.f64()).floor());
        let millis = random.u32(1..10);
        world.say(ann, &lock(&name, ""));
        world.say(bob, &lock(&name, ""));
        world.pass(Duration::from_millis(millis.into()));
        world.say(bob, &unlock(&name));
        world.say(ann, &unlock(&name));
        *exact.entry(name).or_default() += f64::from(millis) / 1e3;
    }
    assert!(exact.len() > 256, "so many that not all have a counter");
    let (all, told) = (exact.values().sum::<f64>(), hottest(&mut world, asker));
    assert!(all < 30.0, "all of it is in one half minute");
    let error = all / 256.0 + 1e-9;
    for (name, waited, _) in &told {
        assert!(*waited <= exact[name] + 1e-9 && exact[name] <= waited + error, "{name}: {waited} of {}", exact[name]);
    }
    let least = told[31].1;
    for (name, waited) in &exact {
        assert!(told.iter().any(|row| row.0 == *name) || *waited <= least + error, "{name} has waited {waited}");
    }
}
