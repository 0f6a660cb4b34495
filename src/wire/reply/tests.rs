use super::*;

#[track_caller]
fn assert_encoded(id: Option<IdRef<'_>>, owner: Option<OwnerRef<'_>>, outcome: Outcome<'_>, line: &str) {
    let mut out = Vec::new();
    Reply { id: id.as_ref(), owner: owner.as_ref(), outcome }.encode(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
}

#[track_caller]
fn assert_bare(outcome: Outcome<'_>, line: &str) {
    assert_encoded(None, None, outcome, line);
}

const BOSS: Subject<'static> = Subject::Lock("boss:17");

#[test]
fn a_reply_is_one_line_of_json() {
    assert_bare(
        Outcome::Acquired { subject: BOSS, token: None, waited: None },
        r#"{"name":"boss:17","result":"acquired"}"#,
    );
    assert_encoded(
        Some(Id::Number(7.into())),
        None,
        Outcome::TimedOut { subject: Subject::Lock("a\nb"), queue: Some(&[Peer::Unix(1), Peer::Unix(2)]) },
        r#"{"name":"a\nb","result":"timed_out","queue":["unix:1","unix:2"],"id":7}"#,
    );
    assert_encoded(
        Some(Id::Text("x\"y")),
        None,
        Outcome::ResetSucceeded,
        r#"{"result":"reset_succeeded","id":"x\"y"}"#,
    );
    let subject = Some(Subject::Lock("\u{1}"));
    assert_bare(
        Outcome::Error { reason: Reason::InvalidJson, message: "no".into(), subject },
        r#"{"result":"error","reason":"invalid_json","message":"no","name":"\u0001"}"#,
    );
}

#[test]
fn the_owner_comes_before_the_id_in_every_reply() {
    let released = Outcome::Released { subject: BOSS };
    let line = r#"{"name":"boss:17","result":"released","owner":"a\"b","id":7}"#;
    assert_encoded(Some(Id::Number(7.into())), Some(Id::Text("a\"b")), released, line);
    let error = Outcome::Error { reason: Reason::AlreadyHeld, message: "no".into(), subject: Some(BOSS) };
    let line = r#"{"result":"error","reason":"already_held","message":"no","name":"boss:17","owner":9007199254740991}"#;
    assert_encoded(None, Some(Id::Number(9_007_199_254_740_991.into())), error, line);
}

#[test]
fn what_a_hold_has_beyond_its_name_is_told_where_it_was_asked_for() {
    let (token, waited) = (Some(42.into()), Some(Span::from_nanos(1_500_999_999)));
    assert_bare(
        Outcome::Acquired { subject: BOSS, token, waited },
        r#"{"name":"boss:17","result":"acquired","token":42,"waited":1.500}"#,
    );
    assert_bare(
        Outcome::Acquired { subject: BOSS, token: None, waited: Some(Span::ZERO) },
        r#"{"name":"boss:17","result":"acquired","waited":0}"#,
    );
    assert_bare(
        Outcome::AlreadyAcquired { subject: BOSS, token },
        r#"{"name":"boss:17","result":"already_acquired","token":42}"#,
    );
    assert_bare(
        Outcome::AlreadyAcquired { subject: BOSS, token: None },
        r#"{"name":"boss:17","result":"already_acquired"}"#,
    );
    assert_bare(Outcome::Renewed { subject: BOSS, waiters: 0 }, r#"{"name":"boss:17","result":"renewed","waiters":0}"#);
    assert_bare(Outcome::RenewFailed { subject: BOSS }, r#"{"name":"boss:17","result":"renew_failed"}"#);
    assert_bare(Outcome::Revoked { name: "boss:17", count: 2 }, r#"{"name":"boss:17","result":"revoked","count":2}"#);
    assert_bare(Outcome::RevokeFailed { name: "boss:17" }, r#"{"name":"boss:17","result":"revoke_failed"}"#);
}

#[test]
fn a_notice_has_no_result() {
    assert_bare(Outcome::NoticeExpired { name: "a\nb", token: 42 }, r#"{"name":"a\nb","notice":"expired","token":42}"#);
    assert_encoded(
        None,
        Some(Id::Number(7.into())),
        Outcome::NoticeRevoked { name: "boss:17", token: 0 },
        r#"{"name":"boss:17","notice":"revoked","token":0,"owner":7}"#,
    );
}

#[test]
fn a_holder_hears_how_many_want_its_lock() {
    assert_bare(
        Outcome::NoticeWanted { name: "a\nb", token: 42, waiters: 0 },
        r#"{"name":"a\nb","notice":"wanted","token":42,"waiters":0}"#,
    );
    assert_encoded(
        None,
        Some(Id::Text("7")),
        Outcome::NoticeWanted { name: "boss:17", token: 42, waiters: 3 },
        r#"{"name":"boss:17","notice":"wanted","token":42,"waiters":3,"owner":"7"}"#,
    );
}

#[test]
fn an_event_says_what_happened_to_a_lock_and_whose_it_is() {
    let next = |event| match event {
        Happening::Granted => Some(Happening::Released),
        Happening::Released => Some(Happening::Queued),
        Happening::Queued => Some(Happening::Left),
        Happening::Left => Some(Happening::Expired),
        Happening::Expired => Some(Happening::Revoked),
        Happening::Revoked => Some(Happening::Closed),
        Happening::Closed => Some(Happening::Opened),
        Happening::Opened => None,
    };
    let all = std::iter::successors(Some(Happening::Granted), |event| next(*event));
    let words = ["granted", "released", "queued", "left", "expired", "revoked", "closed", "opened"];
    assert_eq!(all.clone().map(Happening::as_str).collect::<Vec<_>>(), words);
    for event in all {
        let word = event.as_str();
        for (party, rest) in [
            (None, ""),
            (Some((Peer::Session(3), None)), r#","connection":"session:3""#),
            (Some((Peer::Unix(1), Some(Id::Text("a\"b")))), r#","connection":"unix:1","owner":"a\"b""#),
            (Some((Peer::Unix(1), Some(Id::Number(7.into())))), r#","connection":"unix:1","owner":7"#),
        ] {
            let line = format!(r#"{{"name":"a\nb","notice":"event","event":"{word}"{rest}}}"#);
            assert_bare(Outcome::NoticeEvent { event, name: "a\nb", party }, &line);
        }
    }
    assert_bare(Outcome::NoticeMissed { count: 7 }, r#"{"notice":"event","event":"missed","count":7}"#);
    assert_bare(Outcome::Watching, r#"{"result":"watching"}"#);
    assert_bare(Outcome::Unwatched, r#"{"result":"unwatched"}"#);
}

#[test]
fn a_transfer_that_fails_says_whether_the_asker_still_holds_the_lock() {
    assert_bare(Outcome::Transferred { name: "boss:17" }, r#"{"name":"boss:17","result":"transferred"}"#);
    for held in [true, false] {
        let line = format!(r#"{{"name":"boss:17","result":"transfer_failed","held":{held}}}"#);
        assert_bare(Outcome::TransferFailed { name: "boss:17", held }, &line);
    }
}

#[test]
fn a_page_of_my_locks_says_where_the_next_begins() {
    let mut value = Listing::new(100);
    value.object(0..1, |value, _| value.lock("a", std::iter::once(Peer::Unix(1)))).unwrap();
    let page = |next| Outcome::MyLocksPage { value: &value, next };
    assert_bare(page(None), r#"{"result":"my_locks","value":{"a":["unix:1"]}}"#);
    assert_bare(page(Some(7)), r#"{"result":"my_locks","value":{"a":["unix:1"]},"next":"7"}"#);
}

#[test]
fn a_resumed_session_says_what_it_still_has() {
    let limits = HelloLimits {
        line_bytes_max: 1,
        connection_locks_max: 2,
        lock_waits_max: 3,
        reply_bytes_max: 4,
        max_idle: None,
        silent_after: None,
    };
    let mut rows = Resumed::new(100);
    rows.executed = 5;
    let own = HelloSession { secret: "0f", grace: Span::from_nanos(2_500_000_000) };
    for (session, resumed, end) in [
        (None, None, r#""resumed":false}"#),
        (Some(own), None, r#""resumed":false,"session":{"secret":"0f","grace":2.500}}"#),
        (None, Some(&rows), r#""resumed":true,"held":[],"waiting":[],"executed":5}"#),
        (
            Some(own),
            Some(&rows),
            r#""resumed":true,"session":{"secret":"0f","grace":2.500},"held":[],"waiting":[],"executed":5}"#,
        ),
    ] {
        let mut out = Vec::new();
        let outcome = Outcome::Hello { connection: Peer::Unix(1), limits, session, resumed, user: None };
        Reply { id: None, owner: None, outcome }.encode(&mut out);
        let line = String::from_utf8(out).unwrap();
        let (_, found) = line.split_once(r#""strict"],"#).unwrap();
        assert_eq!(found, format!("{end}\n"));
    }
}

#[test]
fn a_reply_about_several_locks_has_their_names() {
    let names = Items::from_iter(["boss:17", "a\"b"]);
    let subject = Subject::Locks(&names);
    let with = |rest: &str| format!(r#"{{"names":["boss:17","a\"b"],{rest}}}"#);
    for (outcome, rest) in [
        (Outcome::Acquired { subject, token: Some(42.into()), waited: None }, r#""result":"acquired","token":42"#),
        (Outcome::AlreadyAcquired { subject, token: None }, r#""result":"already_acquired""#),
        (Outcome::Queued { subject, position: 3 }, r#""result":"queued","position":3"#),
        (Outcome::TimedOut { subject, queue: None }, r#""result":"timed_out""#),
        (Outcome::Released { subject }, r#""result":"released""#),
        (Outcome::ReleaseFailed { subject }, r#""result":"release_failed""#),
        (Outcome::Cancelled { subject }, r#""result":"cancelled""#),
        (Outcome::Renewed { subject, waiters: 3 }, r#""result":"renewed","waiters":3"#),
        (Outcome::RenewFailed { subject }, r#""result":"renew_failed""#),
    ] {
        assert_bare(outcome, &with(rest));
    }
    assert_bare(
        Outcome::Error { reason: Reason::AlreadyQueued, message: "no".into(), subject: Some(subject) },
        r#"{"result":"error","reason":"already_queued","message":"no","names":["boss:17","a\"b"]}"#,
    );
}

#[test]
fn a_cycle_names_connections_and_their_parties() {
    let mut cycle = Items::default();
    cycle.push_party(Peer::Unix(1), None);
    cycle.push_party(Peer::V4 { ip: [127, 0, 0, 1], port: 80 }, Some(Id::Number(7.into())));
    cycle.push_party(Peer::Unix(2), Some(Id::Text("7")));
    let deadlock = Outcome::Deadlock { subject: BOSS, cycle: &cycle };
    assert_bare(
        deadlock,
        r#"{"name":"boss:17","result":"deadlock","cycle":["unix:1",{"connection":"127.0.0.1:80","owner":7},{"connection":"unix:2","owner":"7"}]}"#,
    );
    let names = Items::from_iter(["a", "b"]);
    cycle.clear();
    cycle.push_party(Peer::Unix(1), None);
    assert_bare(
        Outcome::Deadlock { subject: Subject::Locks(&names), cycle: &cycle },
        r#"{"names":["a","b"],"result":"deadlock","cycle":["unix:1"]}"#,
    );
}

#[test]
fn the_features_are_those_that_the_protocol_lists() {
    let limits = HelloLimits {
        line_bytes_max: 1,
        connection_locks_max: 2,
        lock_waits_max: 3,
        reply_bytes_max: 4,
        max_idle: Some(Span::from_nanos(60_000_000_000)),
        silent_after: None,
    };
    assert_bare(
        Outcome::Hello { connection: Peer::Unix(1), limits, session: None, resumed: None, user: None },
        concat!(
            r#"{"result":"hello","server":"officer","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","connection":"unix:1","limits":{"line_bytes_max":1,"connection_locks_max":2,"lock_waits_max":3,"#,
            r#""reply_bytes_max":4,"max_idle":60,"silent_after":0},"features":["owner","fence","mode","slots","lease","#,
            r#""renew","names","any","priority","deadlock","min_hold","lost_delay","label","token","revoke","one_lock","#,
            r#""contended","my_locks_page","notices","progress","hint","transfer","session","watch","stats","users","strict"],"resumed":false}"#,
        ),
    );
}
