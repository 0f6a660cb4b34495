//! Sessions that outlive their connection: what stays, for how long, and who takes it over.

use std::time::Duration;

use officer::server::Limits;
use serde_json::{Value, json};

use crate::words::{acquired, listing, lock, released, timed_out, unlock};
use crate::world::{Client, Received, World};

const SECOND: Duration = Duration::from_secs(1);

fn patient_world() -> World {
    World::with_limits(Limits { max_idle: None, ..Limits::default() })
}

/// The client begins a session, and gets its secret.
fn begin(world: &mut World, client: Client, grace: &str) -> String {
    let received = world.say(client, &format!(r#"{{"command":"hello","session":{{"grace":{grace}}}}}"#));
    secret(&only(&received))
}

fn only(received: &[Received]) -> Value {
    assert_eq!(received.len(), 1, "{received:?}");
    serde_json::from_str(&received[0].1).expect("a reply is JSON")
}

fn secret(reply: &Value) -> String {
    reply["session"]["secret"].as_str().unwrap_or_else(|| panic!("no secret in {reply}")).to_owned()
}

fn resume_line(secret: &str) -> String {
    format!(r#"{{"command":"hello","resume":"{secret}"}}"#)
}

/// The client resumes a session; only it receives anything.
fn resume(world: &mut World, client: Client, secret: &str) -> Value {
    let received = world.say(client, &resume_line(secret));
    assert_eq!(received[0].0, client);
    let reply = only(&received);
    assert_eq!((&reply["result"], &reply["resumed"]), (&json!("hello"), &json!(true)), "{reply}");
    reply
}

fn reason(received: &[Received]) -> String {
    let reply = only(received);
    assert_eq!(reply["result"], "error", "{reply}");
    reply["reason"].as_str().expect("a reason is a string").to_owned()
}

fn holders(world: &mut World, client: Client, name: &str) -> Value {
    let reply = only(&world.say(client, &format!(r#"{{"command":"locks","name":"{name}"}}"#)));
    reply["value"][name].clone()
}

#[test]
fn locks_and_places_in_queues_stay_for_the_grace_and_not_longer() {
    for (fraction, grace) in [("30", 30_000), ("0.5", 500), ("300", 300_000), ("0.0001", 1)] {
        let grace = Duration::from_millis(grace);
        let mut world = patient_world();
        let [ann, bob, carl] = world.connect();
        begin(&mut world, ann, fraction);
        world.say(bob, &lock("b", ""));
        world.say(ann, &lock("a", ""));
        world.say(ann, &lock("b", ""));
        world.say(carl, &lock("a", ""));
        world.say(carl, &lock("b", ""));
        assert_eq!(world.vanish(ann), [], "nobody gets anything");
        assert!(world.is_closed(ann));
        assert_eq!(world.pass(grace - Duration::from_nanos(1)), []);
        assert_eq!(holders(&mut world, bob, "b"), json!([world.name(bob), "session:1", world.name(carl)]));
        assert_eq!(world.pass(Duration::from_nanos(1)), [(carl, acquired("a"))], "{fraction}");
        assert_eq!(holders(&mut world, bob, "b"), json!([world.name(bob), world.name(carl)]));
    }
}

#[test]
fn every_end_of_a_connection_but_a_kick_keeps_its_session() {
    type End = fn(&mut World, Client);
    let ends: [(&str, End); 5] = [
        ("the end of input", |world, client| drop(world.half_close(client))),
        ("a reset", |world, client| drop(world.vanish(client))),
        ("the idle limit", |world, client| {
            world.say(client, r#"{"command":"hello","max_idle":1}"#);
            world.pass(SECOND);
        }),
        ("a line too long", |world, client| drop(world.send(client, &vec![b'x'; (64 << 10) + 1]))),
        ("too much unsent output", |world, client| {
            world.take(client, Some(0));
            world.pass(SECOND * 31);
        }),
    ];
    for (what, end) in ends {
        let mut world = patient_world();
        let [ann, bob] = world.connect();
        let secret = begin(&mut world, ann, "300");
        world.say(ann, &lock("a", ""));
        if what.contains("output") {
            world.take(ann, Some(0));
            world.say(ann, r#"{"command":"ping"}"#);
        }
        end(&mut world, ann);
        world.pass(SECOND * 2);
        assert!(world.is_at_end(ann), "{what}");
        assert_eq!(holders(&mut world, bob, "a"), json!(["session:1"]), "{what}");
        let reply = resume(&mut world, bob, &secret);
        assert_eq!(reply["held"], json!([{"name": "a", "token": 1, "waiters": 0}]), "{what}");
    }
}

#[test]
fn a_kick_ends_a_session_with_or_without_its_connection_under_either_name() {
    for is_attached in [true, false] {
        for has_session_name in [true, false] {
            let mut world = patient_world();
            let [ann, bob] = world.connect();
            let operator = world.connect_as(officer::wire::peer::Peer::Unix(1));
            let secret = begin(&mut world, ann, "300");
            world.say(ann, &lock("a", ""));
            world.say(bob, &lock("a", ""));
            if !is_attached {
                world.vanish(ann);
            }
            let name = if has_session_name { "session:1" } else { world.name(ann) }.to_owned();
            let received = world.say(operator, &format!(r#"{{"command":"kick","connection":"{name}"}}"#));
            if !is_attached && !has_session_name {
                assert_eq!(received, [(operator, r#"{"result":"kick_failed"}"#.to_owned())]);
                continue;
            }
            assert_eq!(received, [(bob, acquired("a")), (operator, r#"{"result":"kicked"}"#.to_owned())], "{name}");
            assert!(world.is_closed(ann));
            let [carl] = world.connect();
            assert_eq!(reason(&world.say(carl, &resume_line(&secret))), "session_unknown");
        }
    }
}

#[test]
fn whoever_resumes_gets_everything_and_the_answers_of_its_waits() {
    let mut world = patient_world();
    let [ann, bob, carl] = world.connect();
    let secret = begin(&mut world, ann, "30");
    world.say(bob, &lock("b", ""));
    world.say(bob, &lock("c", ""));
    for line in [
        &lock("a", r#""lease":60,"owner":7"#),
        &lock("d", ""),
        &lock("b", r#""id":"wait","owner":7"#),
        r#"{"command":"lock","names":["c","b"],"any":true,"id":2}"#,
        "",
        " \t",
        "nonsense",
    ] {
        world.say(ann, line);
    }
    world.say(carl, &lock("a", ""));
    world.vanish(ann);
    world.pass(SECOND * 10);
    let [resumed] = world.connect();
    let reply = resume(&mut world, resumed, &secret);
    assert_eq!(reply["session"], json!({"secret": secret, "grace": 30}));
    assert_eq!(
        reply["held"],
        json!([
            {"name": "d", "token": 4, "waiters": 0},
            {"name": "a", "owner": 7, "token": 3, "waiters": 1, "lease_left": 50},
        ])
    );
    assert_eq!(
        reply["waiting"],
        json!([{"names": ["c", "b"], "any": true, "id": 2}, {"name": "b", "owner": 7, "id": "wait"}])
    );
    assert_eq!(reply["executed"], 6, "hello, four locks and an error; no blank lines");
    assert_eq!(
        world.say(bob, &unlock("c")),
        [(bob, released("c")), (resumed, r#"{"name":"c","result":"acquired","id":2}"#.to_owned())]
    );
    assert_eq!(
        world.say(bob, &unlock("b")),
        [(bob, released("b")), (resumed, r#"{"name":"b","result":"acquired","owner":7,"id":"wait"}"#.to_owned())]
    );
    // The lines of both connections are counted, but for the one that resumed.
    world.say(resumed, r#"{"command":"ping"}"#);
    world.vanish(resumed);
    let [resumed] = world.connect();
    assert_eq!(resume(&mut world, resumed, &secret)["executed"], 7);
}

#[test]
fn what_happens_without_a_connection_happens_and_is_told_to_nobody() {
    let mut world = patient_world();
    let [ann, bob, carl] = world.connect();
    let secret = begin(&mut world, ann, "30");
    world.say(bob, &lock("a", ""));
    world.say(bob, &lock("b", ""));
    world.say(ann, &lock("a", r#""id":1"#));
    world.say(ann, &lock("b", r#""id":2,"timeout":5"#));
    world.say(ann, &lock("c", r#""lease":6"#));
    world.say(carl, &lock("c", ""));
    world.vanish(ann);
    assert_eq!(world.say(bob, &unlock("a")), [(bob, released("a"))]);
    assert_eq!(world.pass(SECOND * 5), []);
    assert_eq!(world.pass(SECOND), [(carl, acquired("c"))]);
    let [resumed] = world.connect();
    let reply = resume(&mut world, resumed, &secret);
    assert_eq!(reply["held"], json!([{"name": "a", "token": 4, "waiters": 0}]), "and nothing else came before it");
    assert_eq!(reply["waiting"], json!([]));
}

#[test]
fn a_connection_that_is_alive_loses_its_session_to_whoever_has_the_secret() {
    let mut world = patient_world();
    let [ann, bob] = world.connect();
    let secret = begin(&mut world, ann, "30");
    world.say(ann, &lock("a", ""));
    // Both in one turn: what the new connection sent is read first.
    world.put(bob, format!("{}\n", resume_line(&secret)).as_bytes());
    world.put(ann, format!("{}\n", unlock("a")).as_bytes());
    let received = world.step();
    let (to_ann, to_bob): (Vec<_>, Vec<_>) = received.into_iter().partition(|(client, _)| *client == ann);
    assert_eq!(reason(&to_ann), "session_taken");
    assert_eq!(only(&to_bob)["held"], json!([{"name": "a", "token": 1, "waiters": 0}]), "the unlock was dropped");
    assert!(world.is_at_end(ann));
    assert_eq!(world.say(bob, &unlock("a")), [(bob, released("a"))]);
    // The other way round the unlock counts.
    let [carl] = world.connect();
    world.say(bob, &lock("a", ""));
    world.put(bob, format!("{}\n", unlock("a")).as_bytes());
    world.put(carl, format!("{}\n", resume_line(&secret)).as_bytes());
    let received = world.step();
    let to_carl: Vec<_> = received.into_iter().filter(|(client, _)| *client == carl).collect();
    assert_eq!((&only(&to_carl)["held"], &only(&to_carl)["executed"]), (&json!([]), &json!(5)));
}

#[test]
fn of_two_that_resume_at_once_the_second_has_it() {
    let mut world = patient_world();
    let [ann, bob, carl] = world.connect();
    let secret = begin(&mut world, ann, "30");
    world.say(ann, &lock("a", ""));
    world.vanish(ann);
    for client in [bob, carl] {
        world.put(client, format!("{}\n", resume_line(&secret)).as_bytes());
    }
    let received = world.step();
    let lines = |client| -> Vec<&str> {
        received.iter().filter(|(to, _)| *to == client).map(|(_, line)| line.as_str()).collect()
    };
    let (to_bob, to_carl) = (lines(bob), lines(carl));
    assert!(to_bob[0].contains(r#""resumed":true"#) && to_bob[1].contains("session_taken"), "{to_bob:?}");
    assert!(to_carl[0].contains(r#""resumed":true"#) && to_carl.len() == 1, "{to_carl:?}");
    assert_eq!(world.say(carl, &unlock("a")), [(carl, released("a"))]);
}

#[test]
fn a_resumption_counts_at_the_very_end_of_the_grace_and_not_after_it() {
    for is_late in [false, true] {
        let mut world = patient_world();
        let [ann, bob] = world.connect();
        let secret = begin(&mut world, ann, "0.5");
        world.say(ann, &lock("a", ""));
        world.vanish(ann);
        world.oversleep(Duration::from_millis(500));
        if is_late {
            world.turn();
        }
        let received = world.say(bob, &resume_line(&secret));
        let reply = only(&received);
        assert_eq!(reply["result"], if is_late { "error" } else { "hello" }, "{reply}");
    }
}

#[test]
fn a_server_that_stood_still_ends_no_grace_early() {
    let mut world = patient_world();
    let [ann, bob] = world.connect();
    begin(&mut world, ann, "10");
    world.say(ann, &lock("a", ""));
    world.say(ann, &lock("leased", r#""lease":8"#));
    world.say(bob, &lock("a", ""));
    world.say(bob, &lock("leased", ""));
    world.vanish(ann);
    world.pass(SECOND * 2);
    // Stopped for a minute, of which one second counts.
    world.oversleep(SECOND * 60);
    assert_eq!(world.step(), [(bob, acquired("leased"))], "leases run on");
    assert_eq!(world.pass(SECOND * 7 - Duration::from_nanos(1)), [], "two seconds, one, and these");
    assert_eq!(world.pass(Duration::from_nanos(1)), [(bob, acquired("a"))]);
}

#[test]
fn an_unknown_secret_changes_nothing() {
    let mut world = patient_world();
    let [ann, bob] = world.connect();
    let secret = begin(&mut world, ann, "30");
    let mut other = secret.clone().into_bytes();
    other[31] = if other[31] == b'0' { b'1' } else { b'0' };
    let other = String::from_utf8(other).unwrap();
    for wrong in [&other, "", &secret[1..], &format!("{secret}0"), &secret.replace(|c: char| c.is_ascii_digit(), "x")] {
        let line = format!(r#"{{"command":"hello","client":"x","max_idle":1,"resume":"{wrong}"}}"#);
        assert_eq!(reason(&world.say(bob, &line)), "session_unknown");
    }
    let all = r#"{"command":"connections","all":true,"detail":true}"#;
    let row = only(&world.say(bob, all))["value"][world.name(bob)].clone();
    assert_eq!(row.get("client"), None);
    assert_eq!(world.pass(SECOND * 2), []);
    assert!(!world.is_closed(bob), "its idle limit is the old one");
}

#[test]
fn only_a_fresh_connection_resumes() {
    let mut world = patient_world();
    let [ann, bob, carl, dora] = world.connect();
    let secret = begin(&mut world, ann, "30");
    world.say(bob, &lock("a", ""));
    world.say(carl, &lock("a", r#""owner":"x""#));
    let own = begin(&mut world, dora, "30");
    for client in [bob, carl, dora, ann] {
        assert_eq!(reason(&world.say(client, &resume_line(&secret))), "invalid_request");
    }
    assert_eq!(reason(&world.say(dora, &resume_line(&own))), "invalid_request", "not even its own");
    world.say(bob, &unlock("a"));
    world.say(carl, r#"{"command":"unlock","name":"a","owner":"x"}"#);
    world.vanish(ann);
    resume(&mut world, bob, &secret);
}

#[test]
fn the_grace_can_be_changed_and_taken_back() {
    let mut world = patient_world();
    let [ann, bob] = world.connect();
    let secret = begin(&mut world, ann, "30");
    let again = only(&world.say(ann, r#"{"command":"hello","session":{"grace":2.0001}}"#));
    assert_eq!(again["session"], json!({"secret": secret, "grace": 2.001}), "the same secret");
    assert_eq!(only(&world.say(ann, r#"{"command":"hello"}"#)).get("session"), None, "only who asks is told");
    world.say(ann, &lock("a", ""));
    world.say(bob, &lock("a", ""));
    let plain = only(&world.say(ann, r#"{"command":"hello","session":{"grace":0}}"#));
    assert_eq!((plain.get("session"), &plain["resumed"]), (None, &json!(false)));
    assert_eq!(world.vanish(ann), [(bob, acquired("a"))]);
    assert_eq!(
        reason(&{
            let [carl] = world.connect();
            world.say(carl, &resume_line(&secret))
        }),
        "session_unknown"
    );
}

#[test]
fn a_resumption_can_set_another_grace_or_make_the_connection_plain() {
    for (grace, shown) in [("5", Some(json!(5))), ("0", None)] {
        let mut world = patient_world();
        let [ann, bob, carl] = world.connect();
        let secret = begin(&mut world, ann, "30");
        world.say(ann, &lock("a", ""));
        world.vanish(ann);
        let line = format!(r#"{{"command":"hello","resume":"{secret}","session":{{"grace":{grace}}}}}"#);
        let reply = only(&world.say(bob, &line));
        assert_eq!(reply["held"], json!([{"name": "a", "token": 1, "waiters": 0}]));
        assert_eq!(reply.get("session").map(|session| session["grace"].clone()), shown);
        world.say(carl, &lock("a", ""));
        let expected: &[Received] = if grace == "0" { &[(carl, acquired("a"))] } else { &[] };
        assert_eq!(world.vanish(bob), expected);
        if grace != "0" {
            assert_eq!(world.pass(SECOND * 5), [(carl, acquired("a"))]);
        }
    }
}

#[test]
fn sessions_are_limited_with_and_without_a_connection() {
    let mut world = World::with_limits(Limits { sessions_max: 2, max_idle: None, ..Limits::default() });
    let [ann, bob, carl, dora] = world.connect();
    let secret = begin(&mut world, ann, "5");
    begin(&mut world, bob, "5");
    world.vanish(ann);
    let line = r#"{"command":"hello","client":"carl","session":{"grace":5}}"#;
    assert_eq!(reason(&world.say(carl, line)), "too_many_sessions");
    let row = only(&world.say(dora, r#"{"command":"connections","all":true,"detail":true}"#));
    assert_eq!(row["value"][world.name(carl)].get("client"), None, "nothing of it was executed");
    // Who has one, resumes one or wants none is not refused.
    begin(&mut world, bob, "6");
    assert_eq!(only(&world.say(carl, r#"{"command":"hello","session":{"grace":0}}"#))["result"], "hello");
    resume(&mut world, dora, &secret);
    world.say(dora, r#"{"command":"hello","session":{"grace":0}}"#);
    begin(&mut world, carl, "5");
}

#[test]
fn graces_come_before_leases_and_these_before_timeouts() {
    let mut world = patient_world();
    let [ann, bob, carl, dora] = world.connect();
    world.say(carl, &lock("leased", r#""lease":2"#));
    world.say(dora, &lock("a", r#""timeout":2,"id":1"#));
    begin(&mut world, ann, "2");
    world.say(ann, &lock("b", ""));
    world.say(bob, &lock("b", r#""timeout":2,"id":2"#));
    world.say(bob, &lock("leased", r#""timeout":2,"id":3"#));
    world.vanish(ann);
    let received: Vec<String> =
        world.pass(SECOND * 2).into_iter().filter(|(to, _)| *to == bob).map(|(_, l)| l).collect();
    assert_eq!(
        received,
        [r#"{"name":"b","result":"acquired","id":2}"#, r#"{"name":"leased","result":"acquired","id":3}"#]
    );
}

#[test]
fn a_turn_ends_a_limited_number_of_sessions() {
    let mut world = World::with_limits(Limits { turn_ends_max: 3, max_idle: None, ..Limits::default() });
    let clients = world.connect_many(8);
    for client in &clients[..7] {
        begin(&mut world, *client, "0.5");
    }
    for client in &clients[..7] {
        world.vanish(*client);
    }
    world.oversleep(Duration::from_millis(500));
    let counts: [usize; 4] = std::array::from_fn(|_| {
        // A turn executes requests first.
        world.put(clients[7], b"{\"command\":\"connections\",\"all\":true}\n");
        world.step_once().iter().map(|(_, line)| line.matches("session:").count()).sum()
    });
    assert_eq!(counts, [7, 4, 1, 0]);
}

#[test]
fn a_turn_resumes_one_session_that_has_very_much() {
    let mut world = patient_world();
    let [ann, bob, carl, dora] = world.connect();
    let secrets = [begin(&mut world, ann, "30"), begin(&mut world, bob, "30")];
    // Bob waits for some of Ann's.
    for (client, holder, count) in [(ann, ann, 1001), (bob, bob, 501), (bob, ann, 500)] {
        for number in 0..count {
            world.say(client, &lock(&format!("{} {number}", holder.0), ""));
        }
    }
    world.vanish(ann);
    world.vanish(bob);
    world.put(carl, format!("{}\n", resume_line(&secrets[0])).as_bytes());
    world.put(dora, format!("{}\n", resume_line(&secrets[1])).as_bytes());
    let turns: [Vec<Client>; 3] = std::array::from_fn(|_| world.step_once().iter().map(|(to, _)| *to).collect());
    assert_eq!(turns, [vec![carl], vec![dora], vec![]]);
}

#[test]
fn listings_name_sessions_without_a_connection() {
    let mut world = patient_world();
    let [ann, bob, carl] = world.connect();
    begin(&mut world, ann, "30");
    world.say(ann, r#"{"command":"hello","client":"zone-7"}"#);
    world.say(ann, &lock("a", ""));
    begin(&mut world, bob, "30");
    world.pass(SECOND * 3);
    world.vanish(ann);
    world.vanish(bob);
    world.pass(SECOND * 4);
    let all = only(&world.say(carl, r#"{"command":"connections"}"#));
    assert_eq!(all["value"], json!({"session:1": ["a"]}));
    let mut rows = serde_json::Map::new();
    let mut after = String::new();
    for _ in 0..3 {
        let line = format!(r#"{{"command":"connections","all":true,"detail":true,"limit":1{after}}}"#);
        let page = only(&world.say(carl, &line));
        rows.extend(page["value"].as_object().expect("rows").clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!(r#","after":"{next}""#);
    }
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["10.0.0.3:1", "session:1", "session:2"]);
    let row = &rows["session:1"];
    assert_eq!(
        *row,
        json!({
            "client": "zone-7", "holds": 1, "waits": 0, "unsent": 0, "age": 7, "silent_for": 7,
            "session": "session:1", "grace_left": 26
        })
    );
    assert_eq!(only(&world.say(carl, r#"{"command":"connections","limit":5}"#))["value"], json!({"session:1": ["a"]}));
    assert_eq!(
        world.say(carl, &lock("a", r#""timeout":0"#)),
        [(carl, timed_out("a", &["session:1"]))],
        "and queues do"
    );
    assert_eq!(world.say(carl, r#"{"command":"locks"}"#), [(carl, listing("locks", r#"{"a":["session:1"]}"#))]);
}

#[test]
fn a_secret_is_in_no_transcript() {
    let mut world = patient_world();
    let [ann, bob, carl] = world.connect();
    let secret = begin(&mut world, ann, "30");
    // Nor is a part of it, as pieces of a line have.
    let parts: Vec<&str> = (0..=secret.len() - 8).map(|start| &secret[start..start + 8]).collect();
    let shown = |world: &World| parts.iter().any(|part| world.transcript().contains(part));
    assert!(!shown(&world), "what was sent");
    world.take_only(ann, 0);
    world.say(ann, r#"{"command":"hello","session":{"grace":30}}"#);
    while world.take(ann, Some(16)).is_empty() {}
    assert!(!shown(&world), "what was sent in pieces");
    world.take(ann, None);
    world.say(bob, &resume_line(&secret));
    assert!(!shown(&world), "what was received");
    // In pieces, in a line that is no request, in one that never ends, and written with escapes.
    let line = resume_line(&secret);
    world.send(carl, &line.as_bytes()[..40]);
    world.send(carl, format!("{}\n", &line[40..]).as_bytes());
    let [dora, emil] = world.connect();
    world.say(dora, &line.replace("}", ""));
    world.say(dora, &line.replace("hello", "helo").replace("resume", "resume\":5,\"resume"));
    assert!(!shown(&world), "what was no request");
    for line in [
        format!(r#"{{"command":"ping","resume":"{secret}"}}"#),
        format!(r#"{{"command":"hello","resume":"{secret}","resume":"other"}}"#),
        format!(r#"{{"command":"hello","session":{{"grace":30,"secret":"{secret}"}}}}"#),
        format!(r#"{{"command":"hello","session":"{secret}"}}"#),
    ] {
        let [fritz] = world.connect();
        world.say(fritz, &line);
        assert!(!shown(&world), "{line}");
    }
    world.send(emil, line.as_bytes());
    world.vanish(emil);
    assert!(!shown(&world), "what was not a whole line");
    world.say(carl, r#"{"command":"ping","id":"legible}"#);
    assert!(world.transcript().contains("legible"), "what has no secret");
}
