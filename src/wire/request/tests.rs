use super::*;
use crate::wire::IdRef;

mod connections;
mod locking;

fn lock(name: &str) -> Lock<'_> {
    Lock { name: LockName::new(name).unwrap(), timeout: None, queue_max: None, has_fence: false, is_plain: true }
}

/// A request with neither id nor owner.
fn bare(command: Command<'_>) -> Request<'_> {
    Request { id: None, owner: None, command }
}

#[track_caller]
fn assert_lock(line: &str, expected: Lock<'_>) {
    assert_eq!(parse(line.as_bytes()), Ok(bare(Command::Locks(Operation::Lock(expected)))), "{line}");
}

/// The reason and the message, with the name and the id that the error carries.
#[track_caller]
fn assert_bad(line: impl AsRef<[u8]>, reason: Reason, message: &str, name: Option<&str>, id: Option<IdRef<'_>>) {
    let bad = parse(line.as_ref()).expect_err("a fault");
    let line = String::from_utf8_lossy(line.as_ref());
    assert!(bad.message.contains(message), "{line} says {:?}", bad.message);
    let name = name.map(|name| Named::One(LockName::new(name).unwrap()));
    assert_eq!((bad.reason, bad.named, bad.id.as_ref().map(Id::as_ref)), (reason, name, id), "{line}");
}

#[track_caller]
fn parsed(line: &str) -> Command<'_> {
    match parse(line.as_bytes()) {
        Ok(request) => request.command,
        Err(bad) => panic!("{line}: {bad:?}"),
    }
}

#[track_caller]
fn assert_parsed(line: &str, expected: Command<'_>) {
    assert_eq!(parsed(line), expected, "{line}");
}

fn seconds(seconds: u64) -> Span {
    Span::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn the_original_clients_lines_are_understood() {
    assert_lock(r#"{"command":"lock","name":"a","timeout":null,"queue_max":null}"#, lock("a"));
    assert_lock(r#"{"name":"boss:17","command":"lock"}"#, lock("boss:17"));
    assert_lock(
        r#"{"command":"lock","name":"a","timeout":2.5,"queue_max":3}"#,
        Lock { timeout: Some(Span::from_nanos(2_500_000_000)), queue_max: Some(3), ..lock("a") },
    );
    for (line, command) in [
        (r#"{"command":"unlock","name":"a"}"#, Operation::Unlock { name: LockName::new("a").unwrap(), token: None }),
        (r#" { "command" : "reset" } "#, Operation::Reset),
        ("{\"command\":\"locks\"}\r", Operation::Locks),
        (r#"{"command":"connections"}"#, Operation::Connections),
        (r#"{"command":"my_locks"}"#, Operation::MyLocks),
        (r#"{"command":"keep_alive"}"#, Operation::KeepAlive),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(bare(Command::Locks(command))), "{line}");
    }
}

#[test]
fn a_name_may_be_any_text_and_is_borrowed_where_it_can_be() {
    for (written, name) in [
        (r#""a""#, "a"),
        (r#""\u00e9\"\\""#, "é\"\\"),
        (r#""\ud83d\udd12""#, "🔒"),
        (r#""\n\u0000""#, "\n\0"),
        (r#"" ""#, " "),
    ] {
        assert_lock(&format!(r#"{{"command":"lock","name":{written}}}"#), lock(name));
    }
    let line = br#"{"command":"unlock","name":"borrowed"}"#;
    let Ok(Request { command: Command::Locks(Operation::Unlock { name, .. }), .. }) = parse(line) else {
        unreachable!()
    };
    assert!(matches!(name.0, Cow::Borrowed(_)));
    let longest = "x".repeat(NAME_BYTES_MAX);
    assert_lock(&format!(r#"{{"command":"lock","name":"{longest}"}}"#), lock(&longest));
}

#[test]
fn the_last_of_a_repeated_key_counts_and_null_is_absent() {
    assert_lock(r#"{"command":"reset","name":5,"name":"a","command":"lock"}"#, lock("a"));
    assert_lock(r#"{"command":"lock","name":"a","timeout":1,"timeout":null}"#, lock("a"));
    assert_lock(r#"{"command":"lock","\u006eame":"a","unknown":{"name":"b"},"id":null}"#, lock("a"));
    assert_bad(r#"{"command":"lock","name":null}"#, Reason::InvalidRequest, "name is missing", None, None);
}

#[test]
fn whole_numbers_may_be_written_in_any_way() {
    for (written, queue_max) in
        [("2", 2), ("2.0", 2), ("2e0", 2), ("20E-1", 2), ("0", 0), ("-0", 0), ("-0.0", 0), ("1e300", u64::MAX)]
    {
        let line = format!(r#"{{"command":"lock","name":"a","queue_max":{written}}}"#);
        assert_lock(&line, Lock { queue_max: Some(queue_max), ..lock("a") });
    }
    for written in ["-1", "1.5", "\"1\"", "true", "[1]", "{}", "1e-1"] {
        let line = format!(r#"{{"command":"lock","name":"a","queue_max":{written}}}"#);
        assert_bad(line, Reason::InvalidRequest, "queue_max must be a whole number", Some("a"), None);
    }
}

#[test]
fn a_timeout_is_any_number_of_seconds() {
    for (written, nanos) in [
        ("0", 0),
        ("-1", 0),
        ("-1e300", 0),
        ("1e-12", 1),
        ("0.25", 250_000_000),
        ("1e9", 1_000_000_000_000_000_000),
        ("1e300", u64::MAX),
    ] {
        let line = format!(r#"{{"command":"lock","name":"a","timeout":{written}}}"#);
        assert_lock(&line, Lock { timeout: Some(Span::from_nanos(nanos)), ..lock("a") });
    }
    for written in ["\"0.1\"", "true", "[]", "{}"] {
        let line = format!(r#"{{"command":"lock","name":"a","timeout":{written},"queue_max":-1,"id":4}}"#);
        assert_bad(line, Reason::InvalidRequest, "timeout must be", Some("a"), Some(Id::Number(4.into())));
    }
}

#[test]
fn an_id_is_a_short_string_or_a_whole_number_that_a_double_holds() {
    let longest = "é".repeat(ID_BYTES_MAX / 2);
    for (written, id) in [
        ("0".to_owned(), Id::Number(0.into())),
        ("7.0".to_owned(), Id::Number(7.into())),
        ("9007199254740991".to_owned(), Id::Number(WHOLE_NUMBER_MAX.into())),
        ("\"\"".to_owned(), Id::Text("")),
        (r#""\u0041""#.to_owned(), Id::Text("A")),
        (format!("\"{longest}\""), Id::Text(&longest)),
    ] {
        let line = format!(r#"{{"command":"reset","id":{written}}}"#);
        assert_eq!(parse(line.as_bytes()).unwrap().id.as_ref().map(Id::as_ref), Some(id), "{line}");
    }
    let too_long = format!("\"{longest}x\"");
    for written in ["-1", "1.5", "9007199254740992", "1e300", "true", "[]", "{}", too_long.as_str()] {
        let line = format!(r#"{{"command":"nonsense","name":"a","id":{written}}}"#);
        assert_bad(line, Reason::InvalidRequest, "id must", Some("a"), None);
    }
}

#[test]
fn a_line_that_is_not_well_formed_is_invalid_json() {
    let deep = format!(r#"{{"command":"reset","x":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    for line in [
        "{",
        "}",
        "hello",
        "{\"command\":\"reset\"} x",
        "{\"command\":\"reset\",}",
        "{'command':1}",
        "[1,]",
        "nul",
        "{\"command\":\"reset\",\"x\":\"\u{1}\"}",
        "{\"command\":\"reset\",\"x\":\"\\q\"}",
        "\u{feff}{}",
        "{\"a\" 1}",
        "{\"command\":\"reset\",\"x\":1e999}",
        "{\"command\":\"reset\",\"x\":[-1e999]}",
        "{\"command\":\"reset\",\"x\":01}",
        "{\"command\":\"lock\",\"name\":\"a\",\"timeout\":1e999}",
        "1e999",
        "\u{c}{}",
        &deep,
    ] {
        assert_bad(line, Reason::InvalidJson, "", None, None);
    }
    for line in [&b"{\"command\":\"reset\",\"x\":\"\xff\"}"[..], b"\xc3", b"{\"command\":\"reset\"}\0"] {
        assert_bad(line, Reason::InvalidJson, "", None, None);
    }
}

#[test]
fn an_unpaired_surrogate_is_invalid_only_in_a_field_that_counts() {
    for half in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud83dx""#, r#"["\ud800"]"#] {
        assert_bad(
            format!(r#"{{"command":"lock","name":{half},"id":1}}"#),
            Reason::InvalidJson,
            "surrogate",
            None,
            Some(Id::Number(1.into())),
        );
        assert_bad(format!(r#"{{"command":{half},"id":-1}}"#), Reason::InvalidJson, "surrogate", None, None);
        assert_bad(
            format!(r#"{{"command":"lock","name":"a","timeout":{half}}}"#),
            Reason::InvalidJson,
            "surrogate",
            Some("a"),
            None,
        );
        let ignored = format!(r#"{{"command":"reset","name":{half},"\ud800":1,"x":{half}}}"#);
        assert_eq!(parse(ignored.as_bytes()), Ok(bare(Command::Locks(Operation::Reset))));
    }
}

const LOCK_FIELDS: [&str; 17] = [
    "name",
    "timeout",
    "queue_max",
    "owner",
    "fence",
    "mode",
    "slots",
    "lease",
    "names",
    "any",
    "priority",
    "deadlock",
    "min_hold",
    "lost_delay",
    "label",
    "progress",
    "hint",
];

#[test]
fn a_field_counts_for_those_commands_that_have_it_and_no_others() {
    let commands: [(&str, &[&str]); 17] = [
        ("lock", &LOCK_FIELDS),
        ("unlock", &["name", "names", "owner", "token"]),
        ("renew", &["name", "names", "owner", "token", "lease"]),
        ("revoke", &["name", "owner", "token", "connection"]),
        ("transfer", &["name", "owner", "token", "to", "to_owner"]),
        ("reset", &["owner"]),
        ("locks", &["name", "prefix", "limit", "after", "detail"]),
        ("connections", &["all", "limit", "after", "detail"]),
        ("my_locks", &["owner", "limit", "after", "detail"]),
        ("watch", &["prefix"]),
        ("unwatch", &[]),
        ("stats", &[]),
        ("keep_alive", &[]),
        ("ping", &[]),
        ("hello", &["client", "max_idle", "notices", "strict", "session", "resume", "user", "secret"]),
        ("kick", &["connection", "user"]),
        ("nonsense", &["name"]),
    ];
    let mut fields: Vec<&str> = commands.iter().flat_map(|(_, fields)| *fields).copied().collect();
    fields.extend(["id", "unknown"]);
    for (command, counted) in commands {
        for &field in &fields {
            let line = format!(r#"{{"command":"{command}","{field}":"\ud800"}}"#);
            let is_read = parse(line.as_bytes()).is_err_and(|bad| bad.message.contains("surrogate"));
            let counts = field == "id" || counted.contains(&field);
            assert_eq!(is_read, counts, "{line}");
            // A strict connection is told of exactly those that don't count.
            let line = format!(r#"{{"command":"{command}","{field}":[]}}"#);
            let is_told = parse_strictly(line.as_bytes()).is_err_and(|bad| bad.message.contains("has no field"));
            let needs_more = ["lock", "unlock", "renew", "revoke", "transfer", "kick", "nonsense"].contains(&command);
            assert_eq!(is_told, !counts && !needs_more, "{line}");
        }
    }
}

#[test]
fn nesting_is_accepted_to_a_depth_of_128() {
    let nested = |depth: usize| format!(r#"{{"command":"reset","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parse(nested(127).as_bytes()), Ok(bare(Command::Locks(Operation::Reset))));
    assert_bad(nested(128), Reason::InvalidJson, "nested", None, None);
    let brackets = format!(r#"{{"command":"reset","x":"{}"}}"#, "[".repeat(1000));
    assert_eq!(parse(brackets.as_bytes()), Ok(bare(Command::Locks(Operation::Reset))));
    let wide = format!(r#"{{"command":"reset","x":[{}]}}"#, ["[{}]"; 200].join(","));
    assert_eq!(parse(wide.as_bytes()), Ok(bare(Command::Locks(Operation::Reset))));
    assert_bad("[".repeat(128) + &"]".repeat(128), Reason::InvalidRequest, "object", None, None);
    assert_bad("[".repeat(129) + &"]".repeat(129), Reason::InvalidJson, "nested", None, None);
}

#[test]
fn a_well_formed_line_that_is_not_a_request_gets_an_error_that_says_why() {
    for (line, message) in [
        ("5", "object"),
        ("null", "object"),
        (r#"["command"]"#, "object"),
        (r#""\ud800""#, "object"),
        ("{}", "command is missing"),
        (r#"{"command":null}"#, "command is missing"),
        (r#"{"command":5}"#, "command must be a string"),
        (r#"{"command":"lock"}"#, "name is missing"),
        (r#"{"command":"unlock"}"#, "name is missing"),
        (r#"{"command":"lock","name":5,"timeout":"x"}"#, "name must be a string"),
        (r#"{"command":"lock","name":""}"#, "name must not be empty"),
    ] {
        assert_bad(line, Reason::InvalidRequest, message, None, None);
    }
    let too_long = format!(r#"{{"command":"lock","name":"{}"}}"#, "x".repeat(NAME_BYTES_MAX + 1));
    assert_bad(too_long, Reason::InvalidRequest, "at most 1024 bytes", None, None);
    let unknown = format!(r#"{{"command":"{}","name":"a","id":"b"}}"#, "y".repeat(1000));
    assert_bad(unknown, Reason::UnknownCommand, "yyyy", Some("a"), Some(Id::Text("b")));
    assert_bad(r#"{"command":"LOCK","name":"a"}"#, Reason::UnknownCommand, "LOCK", Some("a"), None);
}
