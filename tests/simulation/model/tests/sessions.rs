//! Sessions, hints, progress, transfers, and what is told to those who watch.

use super::*;

impl Talk {
    /// A client says `hello`, with this about sessions.
    #[track_caller]
    fn greet(&mut self, seat: Seat, grace: Option<u64>, resume: Option<u64>) -> Result<Greeted, &'static str> {
        let greeting = Greeting { grace: grace.map(|grace| grace * SECOND), resume: resume.map(Some) };
        let greeted = self.model.greet(seat, greeting, self.now);
        self.check();
        greeted
    }

    #[track_caller]
    fn hear(&mut self, seat: Seat, command: &str, fields: &str, expected: &[(Seat, String)]) {
        let expected: Vec<(Seat, &str)> = expected.iter().map(|(seat, line)| (*seat, line.as_str())).collect();
        self.say(seat, command, fields, &expected);
    }

    /// What is due by now happens.
    #[track_caller]
    fn due(&mut self, expected: &[(Seat, String)]) {
        let expected: Vec<(Seat, &str)> = expected.iter().map(|(seat, line)| (*seat, line.as_str())).collect();
        self.pass(0, &expected);
    }

    /// A client's connection is lost.
    #[track_caller]
    fn lose(&mut self, seat: Seat, expected: &[(Seat, &str)]) {
        let said = self.model.lose(seat, self.now);
        compare(said, expected);
        self.check();
    }
}

fn event(word: &str, name: &str, party: &str) -> String {
    format!(r#"{{"notice":"event","event":"{word}","name":"{name}"{party}}}"#)
}

fn acquired(name: &str) -> String {
    format!(r#"{{"name":"{name}","result":"acquired"}}"#)
}

#[track_caller]
fn keys(greeted: Result<Greeted, &'static str>) -> Value {
    let keys = greeted.expect("it is not refused").keys;
    serde_json::from_str(&format!("{{{}}}", &keys[1..])).expect("keys are JSON")
}

#[test]
fn a_session_keeps_what_it_has_for_its_grace_and_then_it_is_as_if_the_connection_had_ended() {
    let mut talk = Talk::new();
    assert_eq!(keys(talk.greet(0, Some(2), None))["session"]["grace"], 2);
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","name":"a""#, &[]);
    talk.lose(0, &[]);
    talk.say(2, "locks", "", &[(2, r#"{"result":"locks","value":{"a":["session:1","unix:1"]}}"#)]);
    talk.pass(1, &[]);
    talk.pass(1, &[(1, &acquired("a"))]);
    assert_eq!(talk.greet(2, None, Some(1)).map(|_| ()), Err("session_unknown"));
}

#[test]
fn who_resumes_is_told_what_it_has_and_how_much_was_executed() {
    let mut talk = Talk::new();
    talk.greet(0, Some(300), None).expect("there is room");
    for (name, fields) in [("a", ""), ("c", r#","owner":7,"lease":60"#)] {
        let lease = if fields.is_empty() { "" } else { r#","waited":0,"owner":7"# };
        let acquired = format!(r#"{{"name":"{name}","result":"acquired"{lease}}}"#);
        talk.say(0, "lock", &format!(r#","name":"{name}"{fields}"#), &[(0, &acquired)]);
        talk.model.count_line(0);
    }
    talk.say(1, "lock", r#","names":["b","d"]"#, &[(1, r#"{"names":["b","d"],"result":"acquired"}"#)]);
    talk.say(0, "lock", r#","names":["d","e","b"],"id":5"#, &[]);
    talk.say(0, "lock", r#","names":["d","b"],"any":true,"owner":7"#, &[]);
    talk.say(2, "lock", r#","name":"a""#, &[]);
    talk.lose(0, &[]);
    // Granted while nobody is there to hear of it.
    let released = r#"{"names":["b","d"],"result":"released"}"#;
    talk.say(1, "unlock", r#","names":["b","d"]"#, &[(1, released)]);
    let resumed = keys(talk.greet(3, None, Some(1)));
    let held = r#"[{"name":"a","token":1,"waiters":1},{"name":"d","token":4,"waiters":1},
        {"name":"e","token":4,"waiters":0},{"name":"b","token":4,"waiters":1},
        {"name":"c","owner":7,"token":2,"waiters":0,"lease_left":60}]"#;
    assert_eq!(resumed["held"], serde_json::from_str::<Value>(held).expect("JSON"));
    let waiting = r#"[{"names":["d","b"],"any":true,"owner":7}]"#;
    assert_eq!(resumed["waiting"], serde_json::from_str::<Value>(waiting).expect("JSON"));
    assert_eq!((&resumed["executed"], &resumed["resumed"]), (&Value::from(3), &Value::from(true)));
    talk.say(3, "unlock", r#","name":"a""#, &[(2, &acquired("a")), (3, r#"{"name":"a","result":"released"}"#)]);
}

#[test]
fn a_session_is_taken_from_a_connection_that_is_alive_but_not_by_one_that_has_something() {
    let mut talk = Talk::with(|limits| limits.sessions_max = 1);
    talk.greet(0, Some(1), None).expect("there is room");
    assert_eq!(talk.greet(1, Some(1), None).map(|_| ()), Err("too_many_sessions"));
    talk.say(1, "lock", r#","name":"a""#, &[(1, &acquired("a"))]);
    assert_eq!(talk.greet(1, None, Some(1)).map(|_| ()), Err("invalid_request"));
    assert_eq!(talk.greet(0, None, Some(1)).map(|_| ()), Err("invalid_request"));
    let greeted = talk.greet(2, Some(0), Some(1)).expect("it is resumed");
    assert_eq!(greeted.taken_from, Some(0));
    // The session is over, so there is room for another.
    let keys = keys(Ok(greeted));
    assert!(keys.get("session").is_none() && keys["executed"] == 1);
    assert!(talk.greet(1, Some(1), None).is_ok());
    talk.lose(2, &[]);
    assert_eq!(talk.model.sessions(), 1);
}

#[test]
fn of_a_pause_of_the_server_graces_count_one_second() {
    let mut talk = Talk::new();
    talk.greet(0, Some(2), None).expect("there is room");
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","name":"a""#, &[]);
    talk.pass(100, &[]);
    talk.lose(0, &[]);
    assert_eq!(talk.model.next_step(), Some(101 * SECOND));
    talk.pass(100, &[]);
    talk.pass(1, &[(1, &acquired("a"))]);
}

#[test]
fn a_grace_ends_before_a_timeout_of_the_same_moment() {
    let mut talk = Talk::new();
    talk.greet(0, Some(1), None).expect("there is room");
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","name":"a","timeout":1"#, &[]);
    talk.lose(0, &[]);
    talk.pass(1, &[(1, &acquired("a"))]);
}

#[test]
fn the_holder_hears_once_that_somebody_wants_its_lock() {
    let mut talk = Talk::new();
    talk.say(
        0,
        "lock",
        r#","name":"a","hint":true,"owner":1"#,
        &[(0, r#"{"name":"a","result":"acquired","owner":1}"#)],
    );
    let wanted = |waiters| format!(r#"{{"name":"a","notice":"wanted","token":1,"waiters":{waiters},"owner":1}}"#);
    let queued = r#"{"name":"a","result":"queued","position":0,"id":9}"#;
    talk.say(0, "lock", r#","name":"a","progress":true,"id":9"#, &[(0, queued), (0, &wanted(1))]);
    talk.say(1, "lock", r#","name":"a""#, &[]);
    let renewed = r#"{"name":"a","result":"renewed","waiters":2,"owner":1}"#;
    talk.say(0, "renew", r#","name":"a","lease":5,"owner":1"#, &[(0, renewed)]);
    let queued = r#"{"names":["b","a"],"result":"queued","position":2}"#;
    talk.say(2, "lock", r#","names":["b","a"],"progress":true"#, &[(0, &wanted(3)), (2, queued)]);
    talk.say(
        0,
        "renew",
        r#","name":"a","owner":1"#,
        &[(0, r#"{"name":"a","result":"renewed","waiters":3,"owner":1}"#)],
    );
    let timed_out = r#"{"name":"a","result":"timed_out","queue":["unix:0","unix:0","unix:1","unix:2"]}"#;
    talk.say(3, "lock", r#","name":"a","timeout":0"#, &[(0, &wanted(3)), (3, timed_out)]);
}

#[test]
fn at_the_grant_the_holder_hears_of_waiters_but_a_session_without_a_connection_keeps_its_hint() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    talk.greet(1, Some(9), None).expect("there is room");
    for seat in 1..4 {
        talk.say(seat, "lock", r#","name":"a","hint":true"#, &[]);
    }
    talk.lose(1, &[]);
    talk.leave(0, &[]);
    talk.model.connect(0, "unix:0".to_owned());
    keys(talk.greet(4, None, Some(1)));
    let wanted = |token, waiters| format!(r#"{{"name":"a","notice":"wanted","token":{token},"waiters":{waiters}}}"#);
    let timed_out = r#"{"name":"a","result":"timed_out","queue":["unix:4","unix:2","unix:3"]}"#;
    talk.say(5, "lock", r#","name":"a","timeout":0"#, &[(4, &wanted(2, 2)), (5, timed_out)]);
    // After another resumption it is told again, as it may not have heard of it.
    talk.lose(4, &[]);
    keys(talk.greet(0, None, Some(1)));
    let timed_out = r#"{"name":"a","result":"timed_out","queue":["unix:0","unix:2","unix:3"]}"#;
    talk.say(5, "lock", r#","name":"a","timeout":0"#, &[(0, &wanted(2, 2)), (5, timed_out)]);
    talk.leave(0, &[(2, &acquired("a")), (2, &wanted(3, 1))]);
    talk.leave(2, &[(3, &acquired("a"))]);
    let maxed = r#"{"name":"a","result":"queue_maxed","queue":["unix:3"]}"#;
    talk.say(5, "lock", r#","name":"a","queue_max":1"#, &[(3, &wanted(4, 0)), (5, maxed)]);
}

#[test]
fn a_lock_is_transferred_to_a_waiter_and_once_out_of_turn_only_to_the_first() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a","lost_delay":5"#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","name":"a","fence":true"#, &[]);
    talk.say(2, "lock", r#","name":"a","owner":7,"lease":3"#, &[]);
    let failed = |held| format!(r#"{{"name":"a","result":"transfer_failed","held":{held}}}"#);
    talk.say(0, "transfer", r#","name":"a","to":"unix:2""#, &[(0, &failed(true))]);
    talk.say(0, "transfer", r#","name":"a","to":"unix:2","to_owner":7,"token":9"#, &[(0, &failed(false))]);
    let granted = r#"{"name":"a","result":"acquired","waited":0,"owner":7}"#;
    let transferred = r#"{"name":"a","result":"transferred","id":1}"#;
    talk.say(0, "transfer", r#","name":"a","to":"unix:2","to_owner":7,"id":1"#, &[(0, transferred), (2, granted)]);
    talk.say(3, "lock", r#","name":"a""#, &[]);
    let failed = r#"{"name":"a","result":"transfer_failed","held":true,"owner":7}"#;
    talk.say(2, "transfer", r#","name":"a","to":"unix:3","owner":7"#, &[(2, failed)]);
    let granted = r#"{"name":"a","result":"acquired","token":3}"#;
    let transferred = r#"{"name":"a","result":"transferred","owner":7}"#;
    talk.say(2, "transfer", r#","name":"a","to":"unix:1","owner":7"#, &[(1, granted), (2, transferred)]);
    talk.say(
        1,
        "transfer",
        r#","name":"a","to":"unix:3""#,
        &[(1, r#"{"name":"a","result":"transferred"}"#), (3, &acquired("a"))],
    );
}

#[test]
fn nothing_is_transferred_while_min_hold_runs_nor_to_who_waits_for_several_nor_to_nobody() {
    let mut talk = Talk::new();
    let failed = r#"{"name":"a","result":"transfer_failed","held":true}"#;
    talk.say(0, "lock", r#","name":"a","min_hold":2"#, &[(0, &acquired("a"))]);
    talk.say(1, "lock", r#","names":["a","b"]"#, &[]);
    talk.greet(2, Some(9), None).expect("there is room");
    talk.say(2, "lock", r#","name":"a""#, &[]);
    talk.say(0, "transfer", r#","name":"a","to":"unix:2""#, &[(0, failed)]);
    talk.pass(2, &[]);
    talk.say(0, "transfer", r#","name":"a","to":"unix:1""#, &[(0, failed)]);
    talk.lose(2, &[]);
    talk.say(0, "transfer", r#","name":"a","to":"session:1""#, &[(0, failed)]);
    talk.say(0, "transfer", r#","name":"a""#, &[(0, failed)]);
    let shared = r#","name":"c","mode":"shared""#;
    talk.say(0, "lock", shared, &[(0, &acquired("c"))]);
    let failed = r#"{"name":"c","result":"transfer_failed","held":true}"#;
    talk.say(0, "transfer", r#","name":"c""#, &[(0, failed)]);
}

#[test]
fn a_transfer_to_one_of_several_who_fit_grants_the_others_too() {
    let mut talk = Talk::new();
    talk.say(0, "lock", r#","name":"a""#, &[(0, &acquired("a"))]);
    for seat in 1..4 {
        talk.say(seat, "lock", r#","name":"a","mode":"shared""#, &[]);
    }
    talk.model.tell_watchers();
    let transferred = r#"{"name":"a","result":"transferred"}"#;
    let mut all = vec![(0, transferred.to_owned())];
    all.extend((1..4).map(|seat| (seat, acquired("a"))));
    let events = [("released", 0), ("granted", 2), ("granted", 1), ("granted", 3)];
    all.extend(events.map(|(word, seat)| (WATCHERS, event(word, "a", &format!(r#","connection":"unix:{seat}""#)))));
    talk.hear(0, "transfer", r#","name":"a","to":"unix:2""#, &all);
}

#[test]
fn watchers_are_told_of_everything_in_order() {
    let mut talk = Talk::new();
    talk.model.tell_watchers();
    let by = |word, name, seat: &str| (WATCHERS, event(word, name, &format!(r#","connection":"{seat}""#)));
    let said = |lines: &[(Seat, String)]| lines.to_vec();
    let granted = (0, r#"{"name":"a","result":"acquired","waited":0}"#.to_owned());
    talk.hear(0, "lock", r#","name":"a","lease":1,"lost_delay":2"#, &said(&[granted, by("granted", "a", "unix:0")]));
    let any = r#","names":["b","a"],"any":true"#;
    talk.hear(1, "lock", any, &said(&[(1, acquired("b")), by("granted", "b", "unix:1")]));
    talk.hear(2, "lock", any, &said(&[by("queued", "b", "unix:2"), by("queued", "a", "unix:2")]));
    talk.now += SECOND;
    let expired = (0, r#"{"name":"a","notice":"expired","token":1}"#.to_owned());
    talk.due(&said(&[expired, by("expired", "a", "unix:0"), (WATCHERS, event("closed", "a", ""))]));
    talk.now += 2 * SECOND;
    let opened = (WATCHERS, event("opened", "a", ""));
    talk.due(&said(&[(2, acquired("a")), opened, by("granted", "a", "unix:2"), by("left", "b", "unix:2")]));
    talk.greet(2, Some(1), None).expect("there is room");
    talk.lose(2, &[]);
    talk.now += SECOND;
    talk.due(&said(&[by("released", "a", "session:1")]));
}
