//! What is asked about the connection itself, and about many locks.

use super::*;

/// A hello that changes nothing.
fn no_hello() -> Hello<'static> {
    Hello { client: None, max_idle: None, notices: None, strict: None, session: None, resume: None, login: None }
}

#[test]
fn a_hello_says_whether_the_client_takes_notices() {
    for (written, notices) in [("true", Some(true)), ("false", Some(false)), ("null", None)] {
        let line = format!(r#"{{"command":"hello","notices":{written}}}"#);
        let expected = Hello { notices, ..no_hello() };
        assert_parsed(&line, Command::Hello(expected));
    }
    let line = r#"{"command":"hello","notices":1}"#;
    assert_bad(line, Reason::InvalidRequest, "notices must be true or false", None, None);
}

#[test]
fn a_hello_asks_for_a_session_or_takes_one_over() {
    for (written, nanos) in [
        (r#"{"grace":0}"#, 0),
        (r#"{"grace":-0.0}"#, 0),
        (r#"{"grace":1e-12}"#, 1),
        (r#"{"grace":0.25}"#, 250_000_000),
        (r#"{"grace":300.0}"#, 300_000_000_000),
        (r#" { "x" : [1] , "gr\u0061ce" : 2 , "y" : null } "#, 2_000_000_000),
        (r#"{"grace":"x","grace":3}"#, 3_000_000_000),
    ] {
        let line = format!(r#"{{"command":"hello","session":{written}}}"#);
        assert_parsed(&line, Command::Hello(Hello { session: Some(Span::from_nanos(nanos)), ..no_hello() }));
    }
    assert_parsed(r#"{"command":"hello","session":null,"resume":null}"#, Command::Hello(no_hello()));
    for written in [
        "{}",
        r#"{"grace":null}"#,
        r#"{"grace":3,"grace":null}"#,
        r#"{"grace":"3"}"#,
        r#"{"grace":[3]}"#,
        r#"{"grace":-1e-12}"#,
        r#"{"grace":300.001}"#,
        r#"{"grace":1e300}"#,
        r#"{"Grace":3}"#,
        r#"[{"grace":3}]"#,
        "[3]",
        "3",
        "true",
        r#""grace""#,
    ] {
        let line = format!(r#"{{"command":"hello","session":{written},"id":1}}"#);
        let message = "session must be an object with a grace of 0 to 300 seconds";
        assert_bad(line, Reason::InvalidRequest, message, None, Some(Id::Number(1.into())));
    }
    let half_pair = r#"{"command":"hello","session":{"grace":3,"x":"\ud800"}}"#;
    assert_bad(half_pair, Reason::InvalidJson, "surrogate", None, None);
    for (written, secret) in [(r#""""#, ""), (r#""0a\u0041""#, "0aA")] {
        let line = format!(r#"{{"command":"hello","resume":{written},"session":{{"grace":1}}}}"#);
        let hello = Hello { session: Some(seconds(1)), resume: Some(secret.into()), ..no_hello() };
        assert_parsed(&line, Command::Hello(hello));
    }
    for written in ["7", "true", "[]", r#"{"secret":"x"}"#] {
        let line = format!(r#"{{"command":"hello","resume":{written}}}"#);
        assert_bad(line, Reason::InvalidRequest, "resume must be a string", None, None);
    }
}

#[test]
fn a_watch_is_of_all_locks_or_of_those_with_a_prefix() {
    let longest = "é".repeat(NAME_BYTES_MAX / 2);
    for (fields, prefix) in [
        ("", ""),
        (r#","prefix":null"#, ""),
        (r#","prefix":"""#, ""),
        (r#","prefix":"boss:\u0031","name":7"#, "boss:1"),
        (&format!(r#","prefix":"{longest}""#), &longest),
    ] {
        let line = format!(r#"{{"command":"watch"{fields}}}"#);
        assert_parsed(&line, Command::Watch { prefix: prefix.into() });
    }
    let too_long = format!(r#"{{"command":"watch","prefix":"{longest}x"}}"#);
    assert_bad(too_long, Reason::InvalidRequest, "prefix must have at most 1024 bytes", None, None);
    assert_bad(r#"{"command":"watch","prefix":7}"#, Reason::InvalidRequest, "prefix must be a string", None, None);
    assert_parsed(r#"{"command":"unwatch","prefix":7}"#, Command::Unwatch);
    assert_parsed(r#"{"command":"stats","name":7}"#, Command::Stats);
}

#[test]
fn a_page_of_my_locks_is_asked_for_by_its_fields() {
    let page = Page { prefix: "".into(), is_contended: false, limit: 1000, after: 0, has_detail: false };
    for (fields, expected) in [
        ("", Operation::MyLocks),
        (r#","limit":null,"after":null,"detail":false,"prefix":"x""#, Operation::MyLocks),
        (r#","limit":7"#, Operation::MyLocksPage(Page { limit: 7, ..page.clone() })),
        (r#","after":"9""#, Operation::MyLocksPage(Page { after: 9, ..page.clone() })),
        (r#","detail":true,"prefix":"x""#, Operation::MyLocksPage(Page { has_detail: true, ..page })),
    ] {
        assert_parsed(&format!(r#"{{"command":"my_locks"{fields}}}"#), Command::Locks(expected));
    }
    for (field, message) in [
        (r#""limit":0"#, "limit must be a whole number from 1 to 1000"),
        (r#""after":"07""#, "after must be the next of a page"),
        (r#""detail":7"#, "detail must be true or false"),
    ] {
        let line = format!(r#"{{"command":"my_locks",{field}}}"#);
        assert_bad(line, Reason::InvalidRequest, message, None, None);
    }
}
