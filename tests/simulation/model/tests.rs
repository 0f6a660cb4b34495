//! Small conversations, and what the protocol's text says about them.

use serde_json::Value;

use super::*;
use crate::sizes::{Id, Span, Whole};

mod sessions;

const SECOND: u64 = 1_000_000_000;

/// The model, with clients `unix:0` to `unix:5`. The first grant has the token 1.
struct Talk {
    model: Model,
    now: u64,
}

impl Talk {
    fn new() -> Self {
        Talk::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            connection_locks_max: 100,
            lock_waits_max: 100,
            reply_bytes_max: 10_000,
            closing_locks_max: 100,
            sessions_max: 100,
            turn_grants_max: 1000,
            first_token: 1,
        };
        change(&mut limits);
        let mut model = Model::new(limits);
        for seat in 0..6 {
            model.connect(seat, format!("unix:{seat}"));
        }
        Talk { model, now: 0 }
    }

    /// A client sends a line, the rest of which is `fields`; everybody is told this, client by client.
    #[track_caller]
    fn say(&mut self, seat: Seat, command: &str, fields: &str, expected: &[(Seat, &str)]) {
        let line = format!(r#"{{"command":"{command}"{fields}}}"#);
        let request = read(&line);
        let written: Value = serde_json::from_str(&request.line()).expect("requests are JSON");
        assert_eq!(written, serde_json::from_str::<Value>(&line).expect("so is this"), "read and written");
        let said = self.model.request(seat, &request, self.now);
        compare(said, expected);
        self.check();
    }

    #[track_caller]
    fn leave(&mut self, seat: Seat, expected: &[(Seat, &str)]) {
        let said = self.model.disconnect(seat, self.now);
        compare(said, expected);
        self.check();
    }

    /// A turn begins so much later, and executes what is due.
    #[track_caller]
    fn pass(&mut self, seconds: u64, expected: &[(Seat, &str)]) {
        self.now += seconds * SECOND;
        let mut said = self.model.begin_turn(self.now);
        while let Some(more) = self.model.expire_next(self.now) {
            said.extend(more);
        }
        compare(said, expected);
        self.check();
    }

    #[track_caller]
    fn check(&self) {
        for wait in &self.model.waits {
            let is_behind = |name: &String| self.model.behind.contains(name);
            let is_remembered = wait.queues.iter().any(|name| self.model.is_ready(wait, name) && is_behind(name));
            assert!(!self.model.is_left_over(wait) || is_remembered, "nobody thinks of {wait:?}");
        }
    }
}

#[track_caller]
fn compare(mut said: Said, expected: &[(Seat, &str)]) {
    said.sort_by_key(|(seat, _)| *seat);
    let is_as_expected = said.len() == expected.len()
        && said.iter().zip(expected).all(|(one, other)| one.0 == other.0 && is_alike(&one.1, other.1));
    assert!(is_as_expected, "said was {said:#?}, and should have been {expected:#?}");
}

/// Of an error only its reason and its names count.
fn is_alike(said: &str, expected: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("replies are JSON");
    let (mut said, expected) = (read(said), read(expected));
    said.as_object_mut().expect("an object").remove("message");
    said == expected
}

fn read(line: &str) -> Request {
    let line: Value = serde_json::from_str(line).expect("a line is JSON");
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    let number = |key: &str| line[key].as_u64();
    let id = |key: &str| {
        let value = line.get(key)?;
        Some(Id { written: value.to_string(), returned: value.to_string() })
    };
    let span = |key: &str| {
        let written = line.get(key)?.to_string();
        let seconds = line[key].as_u64().expect("whole seconds");
        Some(Span { written, nanos: seconds * SECOND })
    };
    let whole = |key: &str| Some(Whole { written: line.get(key)?.to_string(), value: u128::from(number(key)?) });
    let names = line["names"].as_array();
    let several = names.map(|names| names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect());
    let target = several.map(Target::Several).or(text("name").map(Target::One));
    let target = || target.clone().expect("a name");
    let ask = match line["command"].as_str().expect("a command") {
        "lock" => Ask::Lock(Box::new(Lock {
            target: target(),
            timeout: span("timeout"),
            queue_max: whole("queue_max"),
            extra: Extra {
                fence: line["fence"].as_bool(),
                mode: text("mode").map(|mode| if mode == "shared" { Mode::Shared } else { Mode::Exclusive }),
                slots: whole("slots"),
                lease: span("lease"),
                any: line["any"].as_bool(),
                priority: whole("priority"),
                refuses_deadlock: line["deadlock"] == "refuse",
                min_hold: span("min_hold"),
                lost_delay: span("lost_delay"),
                label: text("label"),
                progress: line["progress"].as_bool(),
                hint: line["hint"].as_bool(),
            },
        })),
        "unlock" => Ask::Unlock { target: target(), token: number("token") },
        "renew" => Ask::Renew { target: target(), token: number("token"), lease: span("lease") },
        "revoke" => {
            let name = text("name").expect("a name");
            Ask::Revoke { name, token: number("token"), connection: text("connection") }
        }
        "transfer" => {
            let name = text("name").expect("a name");
            Ask::Transfer { name, to: text("to"), to_owner: id("to_owner"), token: number("token") }
        }
        "locks" if line.get("name").is_some() => {
            Ask::One { name: text("name").expect("a name"), has_detail: line["detail"] == true }
        }
        "reset" => Ask::Reset,
        "locks" => Ask::Locks,
        "connections" => Ask::Connections,
        "my_locks" => Ask::MyLocks,
        other => panic!("{other} is not said here"),
    };
    Request { ask, owner: id("owner"), id: id("id") }
}

#[test]
fn two_owners_of_one_connection_exclude_each_other() {
    let mut talk = Talk::new();
    let acquired = r#"{"name":"a","result":"acquired","owner":7}"#;
    talk.say(0, "lock", r#","name":"a","owner":7"#, &[(0, acquired)]);
    talk.say(0, "lock", r#","name":"a","owner":"7","id":1"#, &[]);
    talk.say(0, "lock", r#","name":"a""#, &[]);
    talk.say(1, "lock", r#","name":"a","owner":"7""#, &[]);
    let listed = r#"{"result":"locks","value":{"a":["unix:0","unix:0","unix:0","unix:1"]}}"#;
    talk.say(5, "locks", "", &[(5, listed)]);
    let failed = r#"{"name":"a","result":"release_failed","owner":"x"}"#;
    talk.say(0, "unlock", r#","name":"a","owner":"x""#, &[(0, failed)]);
    let granted = r#"{"name":"a","result":"acquired","owner":"7","id":1}"#;
    let released = r#"{"name":"a","result":"released","owner":7}"#;
    talk.say(0, "unlock", r#","name":"a","owner":7"#, &[(0, granted), (0, released)]);
    let reset = r#"{"result":"reset_succeeded","owner":"7"}"#;
    talk.say(0, "reset", r#","owner":"7""#, &[(0, r#"{"name":"a","result":"acquired"}"#), (0, reset)]);
    talk.leave(0, &[(1, r#"{"name":"a","result":"acquired","owner":"7"}"#)]);
}

#[test]
fn shared_holders_hold_together_and_an_exclusive_waiter_holds_later_ones_back() {
    let mut talk = Talk::new();
    let acquired = r#"{"name":"a","result":"acquired"}"#;
    let shared = r#","name":"a","mode":"shared""#;
    talk.say(0, "lock", shared, &[(0, acquired)]);
    talk.say(1, "lock", shared, &[(1, acquired)]);
    talk.say(2, "lock", r#","name":"a""#, &[]);
    talk.say(3, "lock", shared, &[]);
    talk.say(4, "lock", shared, &[]);
    let conflict = r#"{"result":"error","reason":"mode_conflict","name":"a"}"#;
    talk.say(0, "lock", r#","name":"a""#, &[(0, conflict)]);
    // The exclusive waiter leaves, so the shared ones after it no longer wait for anybody.
    talk.leave(2, &[(3, acquired), (4, acquired)]);
}

#[test]
fn a_plain_lock_on_a_semaphore_waits_its_turn() {
    let mut talk = Talk::new();
    let acquired = r#"{"name":"a","result":"acquired"}"#;
    let unit = r#","name":"a","slots":2"#;
    talk.say(0, "lock", unit, &[(0, acquired)]);
    talk.say(1, "lock", r#","name":"a""#, &[]);
    // A unit waits for all that are ahead of it.
    talk.say(2, "lock", unit, &[]);
    let mismatch = r#"{"result":"error","reason":"slots_mismatch","name":"a"}"#;
    talk.say(3, "lock", r#","name":"a","slots":3"#, &[(3, mismatch)]);
    let conflict = r#"{"result":"error","reason":"mode_conflict","name":"a"}"#;
    talk.say(0, "lock", r#","name":"a","slots":3"#, &[(0, conflict)]);
    let released = r#"{"name":"a","result":"released"}"#;
    talk.say(0, "unlock", r#","name":"a""#, &[(0, released), (1, acquired)]);
    talk.say(1, "unlock", r#","name":"a""#, &[(1, released), (2, acquired)]);
}

#[test]
fn tokens_rise_and_a_stale_one_releases_nothing() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a","fence":true"#, &[(0, r#"{"name":"a","result":"acquired","token":1}"#)]);
    let already = r#"{"name":"a","result":"already_acquired","token":1}"#;
    talk.say(0, "lock", r#","name":"a","fence":true"#, &[(0, already)]);
    talk.say(0, "lock", r#","name":"a""#, &[(0, r#"{"name":"a","result":"already_acquired"}"#)]);
    talk.say(1, "lock", r#","name":"b""#, &[(1, r#"{"name":"b","result":"acquired"}"#)]);
    talk.say(0, "unlock", r#","name":"a","token":2"#, &[(0, r#"{"name":"a","result":"release_failed"}"#)]);
    talk.say(0, "unlock", r#","name":"a","token":1"#, &[(0, r#"{"name":"a","result":"released"}"#)]);
    talk.say(0, "lock", r#","name":"a","fence":true"#, &[(0, r#"{"name":"a","result":"acquired","token":3}"#)]);
    talk.say(0, "unlock", r#","name":"a","token":1"#, &[(0, r#"{"name":"a","result":"release_failed"}"#)]);
}

#[test]
fn a_lease_runs_out_and_a_renewal_lets_it_run_from_now() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a","lease":2"#, &[(0, r#"{"name":"a","result":"acquired","waited":0}"#)]);
    talk.say(1, "lock", r#","name":"a","lease":5,"timeout":9"#, &[]);
    talk.pass(1, &[]);
    talk.say(0, "renew", r#","name":"a""#, &[(0, r#"{"name":"a","result":"renewed","waiters":1}"#)]);
    talk.pass(1, &[]);
    let expired = r#"{"name":"a","notice":"expired","token":1}"#;
    talk.pass(1, &[(0, expired), (1, r#"{"name":"a","result":"acquired","waited":3}"#)]);
    talk.say(0, "renew", r#","name":"a""#, &[(0, r#"{"name":"a","result":"renew_failed"}"#)]);
    talk.say(2, "lock", r#","name":"b""#, &[(2, r#"{"name":"b","result":"acquired"}"#)]);
    let refused = r#"{"result":"error","reason":"invalid_request","name":"b"}"#;
    talk.say(2, "renew", r#","name":"b""#, &[(2, refused)]);
    talk.say(2, "renew", r#","name":"b","lease":1"#, &[(2, r#"{"name":"b","result":"renewed","waiters":0}"#)]);
    talk.pass(1, &[(2, r#"{"name":"b","notice":"expired","token":3}"#)]);
}

#[test]
fn several_are_granted_together_and_hold_others_back_meanwhile() {
    let mut talk = Talk::new();
    let acquired = |name: &str| format!(r#"{{"name":"{name}","result":"acquired"}}"#);
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","names":["b","a"],"fence":true,"id":1"#, &[]);
    // Nobody holds b, and yet it is not free.
    talk.say(
        2,
        "lock",
        r#","name":"b","timeout":0"#,
        &[(2, r#"{"name":"b","result":"timed_out","queue":["unix:1"]}"#)],
    );
    talk.say(2, "lock", r#","name":"b""#, &[]);
    let queued = r#"{"result":"error","reason":"already_queued","names":["a","b"]}"#;
    talk.say(1, "lock", r#","names":["a","b"]"#, &[(1, queued)]);
    let held = r#"{"result":"error","reason":"already_held","name":"b"}"#;
    talk.say(1, "lock", r#","name":"b""#, &[(1, held)]);
    let released = r#"{"name":"a","result":"released"}"#;
    let both = r#"{"names":["b","a"],"result":"acquired","token":2,"id":1}"#;
    talk.say(0, "unlock", r#","name":"a""#, &[(0, released), (1, both)]);
    let already = r#"{"names":["a","b"],"result":"already_acquired"}"#;
    talk.say(1, "lock", r#","names":["a","b"]"#, &[(1, already)]);
    let released = r#"{"names":["b"],"result":"released"}"#;
    talk.say(1, "unlock", r#","names":["c","b"]"#, &[(1, released), (2, &acquired("b"))]);
    let held = r#"{"result":"error","reason":"already_held","name":"a"}"#;
    talk.say(1, "lock", r#","names":["c","a"]"#, &[(1, held)]);
}

#[test]
fn a_bundle_that_times_out_leaves_all_queues() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a""#, &[(0, r#"{"name":"a","result":"acquired"}"#)]);
    talk.say(1, "lock", r#","names":["a","b"],"timeout":1"#, &[]);
    talk.say(2, "lock", r#","name":"b""#, &[]);
    talk.say(3, "lock", r#","name":"a","timeout":1"#, &[]);
    let timed_out = r#"{"names":["a","b"],"result":"timed_out"}"#;
    let other = r#"{"name":"a","result":"timed_out","queue":["unix:0"]}"#;
    talk.pass(1, &[(1, timed_out), (2, r#"{"name":"b","result":"acquired"}"#), (3, other)]);
}

#[test]
fn a_shared_place_of_a_bundle_holds_back_who_does_not_fit() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a""#, &[(0, r#"{"name":"a","result":"acquired"}"#)]);
    talk.say(1, "lock", r#","names":["a","b"],"mode":"shared""#, &[]);
    talk.say(2, "lock", r#","name":"b","mode":"shared""#, &[(2, r#"{"name":"b","result":"acquired"}"#)]);
    talk.say(3, "lock", r#","name":"b""#, &[]);
    let both = r#"{"names":["a","b"],"result":"acquired"}"#;
    talk.leave(0, &[(1, both)]);
    talk.leave(2, &[]);
    talk.leave(1, &[(3, r#"{"name":"b","result":"acquired"}"#)]);
}

#[test]
fn one_of_several_is_granted_and_the_other_queues_are_left() {
    let mut talk = Talk::new();
    let any = r#","names":["a","b"],"any":true"#;
    talk.say(0, "lock", any, &[(0, r#"{"name":"a","result":"acquired"}"#)]);
    talk.say(1, "lock", any, &[(1, r#"{"name":"b","result":"acquired"}"#)]);
    talk.say(2, "lock", any, &[]);
    talk.say(3, "lock", r#","name":"a""#, &[]);
    talk.say(0, "lock", any, &[(0, r#"{"name":"a","result":"already_acquired"}"#)]);
    let held = r#"{"result":"error","reason":"already_held","name":"a"}"#;
    talk.say(2, "lock", any, &[(2, held)]);
    talk.say(4, "lock", r#","name":"b""#, &[]);
    // It gets b, so the waiter after it in the queue of a is now the first there.
    talk.leave(1, &[(2, r#"{"name":"b","result":"acquired"}"#)]);
    talk.leave(0, &[(3, r#"{"name":"a","result":"acquired"}"#)]);
    let maxed = r#"{"name":"a","result":"queue_maxed","queue":["unix:3"]}"#;
    talk.say(5, "lock", r#","names":["a","b"],"any":true,"queue_max":1"#, &[(5, maxed)]);
}

#[test]
fn a_higher_priority_comes_first_but_not_before_who_is_left_over() {
    let mut talk = Talk::with(|limits| limits.turn_grants_max = 1);
    let acquired = r#"{"name":"a","result":"acquired"}"#;
    talk.say(0, "lock", r#","name":"a""#, &[(0, acquired)]);
    for seat in 1..4 {
        talk.say(seat, "lock", r#","name":"a","mode":"shared""#, &[]);
    }
    talk.say(4, "lock", r#","name":"a","priority":1"#, &[]);
    talk.say(4, "unlock", r#","name":"a""#, &[(4, r#"{"name":"a","result":"released"}"#)]);
    // One grant is free, and one is what the turn may make.
    let released = r#"{"name":"a","result":"released"}"#;
    talk.say(0, "unlock", r#","name":"a""#, &[(0, released), (1, acquired), (2, acquired)]);
    talk.say(4, "lock", r#","name":"a","priority":7"#, &[]);
    let timed_out = r#"{"name":"a","result":"timed_out","queue":["unix:1","unix:2","unix:3","unix:4"]}"#;
    talk.say(5, "lock", r#","name":"a","mode":"shared","timeout":0"#, &[(5, timed_out)]);
    talk.pass(0, &[(3, acquired)]);
}

#[test]
fn a_circle_is_refused_also_through_names_that_nobody_holds() {
    let mut talk = Talk::new();
    let acquired = |name: &str| format!(r#"{{"name":"{name}","result":"acquired"}}"#);
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","name":"b""#, &[(1, &acquired("b"))]);
    talk.say(0, "lock", r#","name":"b","deadlock":"refuse""#, &[]);
    let refused = r#"{"name":"a","result":"deadlock","cycle":["unix:1","unix:0"]}"#;
    talk.say(1, "lock", r#","name":"a","deadlock":"refuse""#, &[(1, refused)]);
    // Nobody holds d, but who waits for c and d keeps it from others.
    talk.say(2, "lock", r#","name":"c""#, &[(2, &acquired("c"))]);
    talk.say(3, "lock", r#","names":["c","d"]"#, &[]);
    let refused = r#"{"name":"d","result":"deadlock","cycle":[{"connection":"unix:2","owner":1},"unix:3"],"owner":1}"#;
    talk.say(2, "lock", r#","name":"e","owner":1"#, &[(2, r#"{"name":"e","result":"acquired","owner":1}"#)]);
    talk.say(3, "lock", r#","name":"e""#, &[]);
    talk.say(2, "lock", r#","name":"d","deadlock":"refuse","owner":1"#, &[(2, refused)]);
}

#[test]
fn who_gets_ahead_of_others_makes_them_wait() {
    let mut talk = Talk::new();
    let acquired = |name: &str| format!(r#"{{"name":"{name}","result":"acquired"}}"#);
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","name":"b""#, &[(1, &acquired("b"))]);
    talk.say(1, "lock", r#","name":"a""#, &[]);
    talk.say(2, "lock", r#","name":"b""#, &[]);
    // It waits for 1 by b already, and 1 would wait for it.
    let refused = r#"{"name":"a","result":"deadlock","cycle":["unix:2","unix:1"]}"#;
    talk.say(2, "lock", r#","name":"a","deadlock":"refuse","priority":1"#, &[(2, refused)]);
    talk.say(2, "lock", r#","name":"a","deadlock":"refuse""#, &[]);
}

#[test]
fn a_lock_is_closed_for_its_min_hold_also_for_its_holder() {
    let mut talk = Talk::with(|limits| limits.closing_locks_max = 1);
    let acquired = r#"{"name":"a","result":"acquired"}"#;
    let released = r#"{"name":"a","result":"released"}"#;
    talk.say(0, "lock", r#","name":"a","min_hold":60"#, &[(0, acquired)]);
    talk.say(0, "unlock", r#","name":"a""#, &[(0, released)]);
    let timed_out = r#"{"name":"a","result":"timed_out","queue":[]}"#;
    talk.say(0, "lock", r#","name":"a","timeout":0"#, &[(0, timed_out)]);
    let too_many = r#"{"result":"error","reason":"too_many_locks","name":"b"}"#;
    talk.say(0, "lock", r#","name":"b","lost_delay":1"#, &[(0, too_many)]);
    talk.pass(20, &[]);
    talk.say(0, "locks", "", &[(0, r#"{"result":"locks","value":{}}"#)]);
    let detail = r#"{"result":"locks","value":{"a":{"holders":[],"waiters":[],"waiting":0,"closed_for":40}}}"#;
    talk.say(0, "locks", r#","name":"a","detail":true"#, &[(0, detail)]);
    talk.say(1, "lock", r#","name":"a","timeout":40"#, &[]);
    talk.say(2, "lock", r#","name":"a","timeout":39"#, &[]);
    let timed_out = r#"{"name":"a","result":"timed_out","queue":["unix:1"]}"#;
    talk.pass(39, &[(2, timed_out)]);
    talk.pass(1, &[(1, acquired)]);
}

#[test]
fn a_revocation_ends_what_is_meant_and_opens_what_is_closed() {
    let mut talk = Talk::new();
    let acquired = r#"{"name":"a","result":"acquired"}"#;
    let shared = r#","name":"a","mode":"shared""#;
    talk.model.set_notices(0, true);
    talk.say(0, "lock", shared, &[(0, acquired)]);
    talk.say(1, "lock", shared, &[(1, acquired)]);
    talk.say(2, "lock", r#","name":"a","lost_delay":5"#, &[]);
    let failed = r#"{"name":"a","result":"revoke_failed"}"#;
    talk.say(5, "revoke", r#","name":"a","token":2,"connection":"unix:0""#, &[(5, failed)]);
    let revoked = r#"{"name":"a","result":"revoked","count":1}"#;
    let notice = r#"{"name":"a","notice":"revoked","token":1}"#;
    talk.say(5, "revoke", r#","name":"a","token":1"#, &[(0, notice), (5, revoked)]);
    talk.say(5, "revoke", r#","name":"a","connection":"unix:1""#, &[(2, acquired), (5, revoked)]);
    talk.leave(2, &[]);
    talk.say(3, "lock", r#","name":"a""#, &[]);
    talk.say(5, "revoke", r#","name":"a""#, &[(3, acquired), (5, r#"{"name":"a","result":"revoked","count":0}"#)]);
}

#[test]
fn limits_see_a_request_for_several_as_a_whole() {
    let mut talk = Talk::with(|limits| (limits.connection_locks_max, limits.lock_waits_max) = (3, 1));
    let acquired = |name: &str| format!(r#"{{"name":"{name}","result":"acquired"}}"#);
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    let too_many = r#"{"result":"error","reason":"too_many_locks","names":["b","c","d"]}"#;
    talk.say(0, "lock", r#","names":["b","c","d"]"#, &[(0, too_many)]);
    talk.say(1, "lock", r#","name":"a""#, &[]);
    let full = r#"{"result":"error","reason":"too_many_waits","name":"a"}"#;
    talk.say(2, "lock", r#","names":["b","a"]"#, &[(2, full)]);
    let maxed = r#"{"name":"a","result":"queue_maxed","queue":["unix:0","unix:1"]}"#;
    talk.say(2, "lock", r#","names":["b","a"],"queue_max":2"#, &[(2, maxed)]);
    talk.say(3, "lock", r#","name":"c""#, &[(3, &acquired("c"))]);
    // Of any, those that are full are left out.
    talk.say(4, "lock", r#","names":["a","c"],"any":true"#, &[]);
    talk.say(4, "my_locks", "", &[(4, r#"{"result":"my_locks","value":["c"]}"#)]);
}
