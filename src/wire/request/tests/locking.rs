//! The fields of locks of every kind.

use super::*;

fn several<'a>(names: impl IntoIterator<Item = &'a str>) -> Names<'a> {
    let names: Vec<_> = names.into_iter().map(|name| LockName::new(name).unwrap()).collect();
    Names::several(names).unwrap()
}

fn one(name: &str) -> Names<'_> {
    Names::one(LockName::new(name).unwrap())
}

/// What a `lock` of `a` with these fields asks for beyond a plain one.
#[track_caller]
fn assert_terms(fields: &str, terms: Terms<'_>) {
    let expected = Operation::LockWith(Lock { is_plain: false, ..lock("a") }, terms);
    assert_parsed(&format!(r#"{{"command":"lock","name":"a",{fields}}}"#), Command::Locks(expected));
}

/// The message about a `lock` with these fields, which must be one of `invalid_request`, with the name.
#[track_caller]
fn assert_bad_lock(fields: &str, message: &str) {
    let line = format!(r#"{{"command":"lock","name":"a",{fields}}}"#);
    assert_bad(line, Reason::InvalidRequest, message, Some("a"), None);
}

#[test]
fn an_owner_has_the_form_of_an_id() {
    let longest = "é".repeat(ID_BYTES_MAX / 2);
    for (written, owner) in [
        ("0".to_owned(), Id::Number(0.into())),
        ("7.0".to_owned(), Id::Number(7.into())),
        ("9007199254740991".to_owned(), Id::Number(WHOLE_NUMBER_MAX.into())),
        (r#""7""#.to_owned(), Id::Text("7")),
        (r#""""#.to_owned(), Id::Text("")),
        (r#""\u0041""#.to_owned(), Id::Text("A")),
        (format!("\"{longest}\""), Id::Text(&longest)),
    ] {
        for rest in [
            r#""command":"lock","name":"a""#,
            r#""command":"unlock","name":"a""#,
            r#""command":"unlock","names":["a","b"]"#,
            r#""command":"renew","name":"a""#,
            r#""command":"revoke","name":"a""#,
            r#""command":"transfer","name":"a""#,
            r#""command":"reset""#,
            r#""command":"my_locks""#,
        ] {
            let line = format!(r#"{{{rest},"owner":{written}}}"#);
            assert_eq!(parse(line.as_bytes()).unwrap().owner.as_ref().map(Id::as_ref), Some(owner), "{line}");
        }
        for command in ["locks", "connections", "keep_alive", "ping", "hello", "watch", "unwatch", "stats"] {
            let line = format!(r#"{{"command":"{command}","owner":{written}}}"#);
            assert_eq!(parse(line.as_bytes()).unwrap().owner, None, "{line}");
        }
    }
    let too_long = format!("\"{longest}x\"");
    for written in ["-1", "1.5", "9007199254740992", "true", "[]", "{}", too_long.as_str()] {
        assert_bad_lock(&format!(r#""owner":{written}"#), "owner must");
        let line = format!(r#"{{"command":"reset","owner":{written}}}"#);
        assert_bad(line, Reason::InvalidRequest, "owner must", None, None);
        assert!(parse(format!(r#"{{"command":"ping","owner":{written}}}"#).as_bytes()).is_ok(), "{written}");
    }
}

#[test]
fn an_error_carries_what_could_be_read_and_the_first_fault_is_told() {
    let read = |line: &str| {
        let bad = parse(line.as_bytes()).expect_err("a fault");
        let mut reply = Vec::new();
        bad.reply(|bad| bad.encode(&mut reply));
        let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        (bad.message.into_owned(), ["name", "names", "owner", "id"].map(|key| reply[key].to_string()))
    };
    let [name, names, owner, id] = [r#""a""#, r#"["a","b"]"#, "7", r#""i""#];
    let null = "null";
    for (line, message, carried) in [
        (r#""name":"a","owner":7,"id":"i","timeout":[]"#, "timeout must", [name, null, owner, id]),
        (r#""names":["a","b"],"owner":7,"id":"i","timeout":[]"#, "timeout must", [null, names, owner, id]),
        (r#""name":"a","owner":7,"id":[],"timeout":[]"#, "id must", [name, null, owner, null]),
        (r#""name":"a","owner":[],"id":[],"timeout":[]"#, "id must", [name, null, null, null]),
        (r#""name":"","owner":[],"id":"i","timeout":[]"#, "owner must", [null, null, null, id]),
        (r#""names":[],"owner":[],"id":"i","timeout":[]"#, "owner must", [null, null, null, id]),
        (r#""name":"","names":[],"owner":7,"timeout":[]"#, "name must", [null, null, owner, null]),
        (r#""name":"","names":["a","b"],"owner":7"#, "name must", [null, names, owner, null]),
        (r#""name":"a","names":["a"],"timeout":[]"#, "names must", [name, null, null, null]),
        // Where both could be read, the error carries `names`.
        (r#""name":"a","names":["a","b"],"timeout":[]"#, "name is not possible with names", [null, names, null, null]),
        (r#""owner":7,"id":"i","timeout":[]"#, "name is missing", [null, null, owner, id]),
        (r#""names":["a","b"],"owner":7,"label":"\ud800""#, "surrogate", [null, names, owner, null]),
    ] {
        let (found, found_carried) = read(&format!(r#"{{"command":"lock",{line}}}"#));
        assert!(found.contains(message), "{line}: {found}");
        assert_eq!(found_carried, carried, "{line}");
    }
}

#[test]
fn a_lock_is_plain_without_any_further_field_whatever_its_value() {
    for fields in ["", r#","timeout":5,"queue_max":2,"owner":7,"id":7,"token":1,"x":1"#] {
        let line = format!(r#"{{"command":"lock","name":"a"{fields}}}"#);
        let Command::Locks(Operation::Lock(lock)) = parsed(&line) else { panic!("{line}") };
        assert!(lock.is_plain && !lock.has_fence, "{line}");
    }
    let absent = LOCK_FIELDS.iter().filter(|field| **field != "name").map(|field| format!(",\"{field}\":null"));
    assert_lock(&format!(r#"{{"command":"lock","name":"a"{}}}"#, absent.collect::<String>()), lock("a"));
    for (written, has_fence) in [("true", true), ("false", false)] {
        let line = format!(r#"{{"command":"lock","name":"a","fence":{written}}}"#);
        assert_lock(&line, Lock { has_fence, is_plain: false, ..lock("a") });
    }
    assert_terms(r#""fence":null,"mode":"exclusive""#, Terms::default());
    assert_terms(r#""any":false"#, Terms::default());
    assert_terms(r#""priority":0"#, Terms::default());
    assert_terms(r#""min_hold":0,"lost_delay":-0"#, Terms::default());
    assert_terms(r#""progress":false,"hint":false"#, Terms::default());
    assert_terms(r#""progress":true"#, Terms { has_progress: true, ..Terms::default() });
    assert_terms(r#""hint":true,"mode":"exclusive""#, Terms { has_hint: true, ..Terms::default() });
    for written in ["1", "\"true\"", "[]"] {
        assert_bad_lock(&format!(r#""fence":{written}"#), "fence must be true or false");
        for field in ["any", "progress", "hint"] {
            assert_bad_lock(&format!(r#""{field}":{written}"#), &format!("{field} must be true or false"));
        }
    }
}

#[test]
fn each_term_is_read_up_to_its_limits() {
    let unit = |slots| Terms { fit: Fit::Unit(slots), ..Terms::default() };
    assert_terms(r#""mode":"shared""#, Terms { fit: Fit::Shared, ..Terms::default() });
    assert_terms(r#""slots":1"#, unit(1));
    assert_terms(r#""slots":2147483648.0"#, unit(SLOTS_MAX));
    assert_terms(r#""lease":1e-12"#, Terms { lease: Some(Span::from_nanos(1)), ..Terms::default() });
    assert_terms(r#""lease":1e300"#, Terms { lease: Some(Span::FOREVER), ..Terms::default() });
    assert_terms(r#""priority":1"#, Terms { priority: 1, ..Terms::default() });
    assert_terms(r#""priority":7,"slots":2"#, Terms { priority: PRIORITY_MAX, ..unit(2) });
    assert_terms(r#""deadlock":"refuse""#, Terms { refuses_deadlock: true, ..Terms::default() });
    assert_terms(r#""min_hold":86400"#, Terms { min_hold: seconds(86_400), ..Terms::default() });
    assert_terms(r#""lost_delay":86400.0"#, Terms { lost_delay: seconds(86_400), ..Terms::default() });
    let closing = Terms { min_hold: Span::from_nanos(500_000_000), lost_delay: seconds(2), ..Terms::default() };
    assert_terms(r#""mode":"exclusive","min_hold":0.5,"lost_delay":2"#, closing);
    let longest = "é".repeat(LABEL_BYTES_MAX / 2);
    assert_terms(&format!(r#""label":"{longest}""#), Terms { label: Some((&longest).into()), ..Terms::default() });
    for (field, values, message) in [
        ("mode", &["\"Shared\"", "\"\"", "\"unit\"", "1", "true", "[]"][..], "must be \"exclusive\" or \"shared\""),
        ("slots", &["0", "-1", "1.5", "2147483649", "1e300", "\"1\"", "true"], "must be a whole number from 1 to 2147"),
        ("lease", &["0", "-0.0", "-1", "\"1\"", "false"], "must be a number of seconds above 0"),
        ("priority", &["-1", "8", "0.5", "\"7\"", "false"], "must be a whole number from 0 to 7"),
        ("deadlock", &["\"Refuse\"", "\"\"", "true", "0"], "must be \"refuse\""),
        ("min_hold", &["-1e-12", "86400.1", "1e300", "\"1\"", "false"], "must be a number of seconds from 0 to 86400"),
        ("lost_delay", &["-1", "86401", "[]"], "must be a number of seconds from 0 to 86400"),
        ("label", &["1", "true", "[]"], "must be a string"),
        ("label", &[&format!("\"{longest}x\"")], "must have at most 128 bytes"),
    ] {
        for value in values {
            assert_bad_lock(&format!(r#""{field}":{value}"#), &format!("{field} {message}"));
        }
    }
}

#[test]
fn fields_that_exclude_each_other_are_refused_together() {
    for fields in [
        r#""slots":2,"mode":"exclusive""#,
        r#""slots":1,"mode":"shared""#,
        r#""slots":2,"min_hold":0"#,
        r#""slots":2,"lost_delay":1"#,
        r#""mode":"shared","min_hold":0"#,
        r#""mode":"shared","lost_delay":1"#,
        r#""mode":"shared","hint":true"#,
        r#""slots":1,"hint":true"#,
    ] {
        assert_bad_lock(fields, "is not possible with");
    }
    assert_terms(r#""hint":false,"mode":"shared""#, Terms { fit: Fit::Shared, ..Terms::default() });
    assert_bad_lock(r#""any":true"#, "any needs names");
    for fields in [
        r#""slots":2"#,
        r#""priority":0"#,
        r#""min_hold":0"#,
        r#""lost_delay":0"#,
        r#""any":true,"deadlock":"refuse""#,
        r#""mode":"shared","hint":true"#,
        r#""name":"a""#,
    ] {
        let bad = format!(r#"{{"command":"lock","names":["a","b"],{fields}}}"#);
        let bad = parse(bad.as_bytes()).expect_err(fields);
        assert!(bad.message.contains("is not possible with"), "{fields}: {}", bad.message);
        assert_eq!(bad.named, Some(Named::Several(several(["a", "b"]))), "{fields}");
    }
}

#[test]
fn a_lock_of_several_names_takes_all_or_any() {
    let many = LockMany {
        names: several(["b", "a"]),
        is_any: false,
        timeout: None,
        queue_max: None,
        has_fence: false,
        terms: Terms::default(),
    };
    for (fields, expected) in [
        ("", many.clone()),
        (r#","any":false"#, many.clone()),
        (r#","any":true,"timeout":0"#, LockMany { is_any: true, timeout: Some(Span::ZERO), ..many.clone() }),
        (r#","queue_max":3,"fence":true"#, LockMany { queue_max: Some(3), has_fence: true, ..many.clone() }),
        (
            r#","mode":"shared","lease":2,"label":"x","deadlock":"refuse""#,
            LockMany {
                terms: Terms {
                    fit: Fit::Shared,
                    lease: Some(seconds(2)),
                    label: Some("x".into()),
                    refuses_deadlock: true,
                    ..Terms::default()
                },
                ..many.clone()
            },
        ),
        (
            r#","any":true,"hint":true,"progress":true"#,
            LockMany {
                is_any: true,
                terms: Terms { has_hint: true, has_progress: true, ..Terms::default() },
                ..many.clone()
            },
        ),
        (
            r#","any":true,"mode":"shared""#,
            LockMany { is_any: true, terms: Terms { fit: Fit::Shared, ..Terms::default() }, ..many.clone() },
        ),
    ] {
        let line = format!(r#"{{"command":"lock","names":["b","\u0061"]{fields}}}"#);
        assert_parsed(&line, Command::Locks(Operation::LockMany(expected)));
    }
}

#[test]
fn names_are_2_to_64_different_names() {
    let texts: Vec<String> = (0..NAMES_MAX + 1).map(|number| format!("{number}")).collect();
    let written = |count: usize| serde_json::to_string(&texts[..count]).unwrap();
    for count in [2, 4, 5, NAMES_MAX] {
        let line = format!(r#"{{"command":"unlock","names":{}}}"#, written(count));
        let names = several(texts[..count].iter().map(|text| text.as_str()));
        assert_eq!(names.len(), count);
        assert_parsed(&line, Command::Locks(Operation::UnlockMany { names, token: None }));
    }
    let longest = "x".repeat(NAME_BYTES_MAX);
    for (names, message) in [
        (written(0), "names must be 2 to 64 names"),
        (written(1), "names must be 2 to 64 names"),
        (written(NAMES_MAX + 1), "names must be 2 to 64 names"),
        (r#"["a","b","a"]"#.to_owned(), "names must be different"),
        (r#"["a","\u0061"]"#.to_owned(), "names must be different"),
        (r#"["a",7]"#.to_owned(), "names must be an array of strings"),
        (r#"["a",null]"#.to_owned(), "names must be an array of strings"),
        (r#"["a",["b"]]"#.to_owned(), "names must be an array of strings"),
        (r#""ab""#.to_owned(), "names must be an array of strings"),
        (r#"{"a":"b"}"#.to_owned(), "names must be an array of strings"),
        ("7".to_owned(), "names must be an array of strings"),
        (r#"["","a"]"#.to_owned(), "name must not be empty"),
        // The first fault counts.
        (r#"["",7]"#.to_owned(), "name must not be empty"),
        (r#"[7,""]"#.to_owned(), "names must be an array of strings"),
        (format!(r#"["{longest}","{longest}x"]"#), "name must have at most 1024 bytes"),
    ] {
        for command in ["lock", "unlock", "renew"] {
            let line = format!(r#"{{"command":"{command}","names":{names},"id":1}}"#);
            assert_bad(line, Reason::InvalidRequest, message, None, Some(Id::Number(1.into())));
        }
    }
    for names in [r#"["a","\ud800"]"#, r#"[{"\udc00":1}]"#] {
        assert_bad(format!(r#"{{"command":"lock","names":{names}}}"#), Reason::InvalidJson, "surrogate", None, None);
    }
}

#[test]
fn a_token_is_a_whole_number_that_a_double_holds() {
    let name = || LockName::new("a").unwrap();
    for (written, token) in [
        ("0", Some(0)),
        ("7.0", Some(7)),
        ("999999999999999", Some(999_999_999_999_999)),
        ("9007199254740991", Some(WHOLE_NUMBER_MAX)),
        ("null", None),
    ] {
        for (command, expected) in [
            (r#""unlock","name":"a""#, Command::Locks(Operation::Unlock { name: name(), token })),
            (
                r#""unlock","names":["a","b"]"#,
                Command::Locks(Operation::UnlockMany { names: several(["a", "b"]), token }),
            ),
            (
                r#""renew","name":"a""#,
                Command::Locks(Operation::Renew(Renewal { names: one("a"), is_many: false, lease: None, token })),
            ),
            (
                r#""revoke","name":"a""#,
                Command::Revoke(Revocation { name: name(), token, connection: None, owner: None }),
            ),
            (r#""transfer","name":"a""#, Command::Transfer(Transfer { name: name(), to: None, to_owner: None, token })),
        ] {
            let line = format!(r#"{{"command":{command},"token":{written}}}"#);
            assert_parsed(&line, expected);
        }
    }
    for written in ["-1", "1.5", "9007199254740992", "\"7\"", "true", "[]"] {
        for command in ["unlock", "renew", "revoke", "transfer"] {
            let line = format!(r#"{{"command":"{command}","name":"a","token":{written}}}"#);
            assert_bad(line, Reason::InvalidRequest, "token must be a whole number from 0", Some("a"), None);
        }
    }
}

#[test]
fn a_renewal_is_of_one_lock_or_several() {
    for (fields, expected) in [
        (
            r#""name":"a","lease":0.5"#,
            Renewal { names: one("a"), is_many: false, lease: Some(Span::from_nanos(500_000_000)), token: None },
        ),
        (
            r#""names":["a","b"],"token":3"#,
            Renewal { names: several(["a", "b"]), is_many: true, lease: None, token: Some(3) },
        ),
    ] {
        let line = format!(r#"{{"command":"renew",{fields}}}"#);
        assert_parsed(&line, Command::Locks(Operation::Renew(expected)));
    }
    for lease in ["0", "-1", "\"1\""] {
        let line = format!(r#"{{"command":"renew","name":"a","lease":{lease}}}"#);
        assert_bad(line, Reason::InvalidRequest, "lease must be a number of seconds above 0", Some("a"), None);
    }
    for command in ["unlock", "renew"] {
        let line = format!(r#"{{"command":"{command}"}}"#);
        assert_bad(line, Reason::InvalidRequest, "name is missing", None, None);
        let both = format!(r#"{{"command":"{command}","name":"a","names":["a","b"]}}"#);
        let bad = parse(both.as_bytes()).expect_err("a fault");
        assert_eq!(bad.message, "name is not possible with names");
        assert_eq!(bad.named, Some(Named::Several(several(["a", "b"]))));
    }
}

#[test]
fn a_revocation_says_which_holds() {
    let line = r#"{"command":"revoke","name":"a","connection":"unix:7","owner":"p","token":3,"names":5}"#;
    let expected = Revocation {
        name: LockName::new("a").unwrap(),
        token: Some(3),
        connection: Some("unix:7".into()),
        owner: Some(Id::Text("p".into())),
    };
    assert_parsed(line, Command::Revoke(expected));
    assert_bad(r#"{"command":"revoke","names":["a","b"]}"#, Reason::InvalidRequest, "name is missing", None, None);
    let line = r#"{"command":"revoke","name":"a","connection":7}"#;
    assert_bad(line, Reason::InvalidRequest, "connection must be a string", Some("a"), None);
}

#[test]
fn one_lock_is_listed_by_its_name() {
    let name = || LockName::new("a").unwrap();
    for (fields, has_detail) in [("", false), (r#","detail":false,"prefix":null"#, false), (r#","detail":true"#, true)]
    {
        let line = format!(r#"{{"command":"locks","name":"a"{fields}}}"#);
        assert_parsed(&line, Command::Locks(Operation::OneLock { name: name(), has_detail }));
    }
    for field in [r#""prefix":"""#, r#""contended":false"#, r#""limit":1"#, r#""after":"0""#] {
        let line = format!(r#"{{"command":"locks","name":"a",{field}}}"#);
        assert_bad(line, Reason::InvalidRequest, "is not possible with name", Some("a"), None);
    }
    assert_bad(r#"{"command":"locks","name":""}"#, Reason::InvalidRequest, "name must not be empty", None, None);
}

#[test]
fn a_page_may_be_of_contended_locks_only() {
    let page = Page { prefix: "".into(), is_contended: true, limit: 1000, after: 0, has_detail: false };
    for (fields, operation) in [
        (r#""contended":null"#, Operation::Locks),
        (r#""contended":false"#, Operation::Locks),
        (r#""contended":true"#, Operation::LocksPage(page.clone())),
        (
            r#""contended":true,"after":"7","prefix":"a""#,
            Operation::LocksPage(Page { prefix: "a".into(), after: 7, ..page }),
        ),
    ] {
        assert_parsed(&format!(r#"{{"command":"locks",{fields}}}"#), Command::Locks(operation));
    }
    let line = r#"{"command":"locks","contended":1}"#;
    assert_bad(line, Reason::InvalidRequest, "contended must be true or false", None, None);
}

#[test]
fn a_transfer_names_a_connection_and_an_owner() {
    let name = || LockName::new("a").unwrap();
    let nobody = Transfer { name: name(), to: None, to_owner: None, token: None };
    for (fields, expected) in [
        ("", nobody.clone()),
        (r#","to":null,"to_owner":null"#, nobody.clone()),
        (
            r#","to":"x","to_owner":7"#,
            Transfer { to: Some("x".into()), to_owner: Some(Id::Number(7)), ..nobody.clone() },
        ),
        (r#","to_owner":"""#, Transfer { to_owner: Some(Id::Text("".into())), ..nobody }),
    ] {
        assert_parsed(&format!(r#"{{"command":"transfer","name":"a"{fields}}}"#), Command::Transfer(expected));
    }
    let too_long = format!(r#""to_owner":"{}""#, "x".repeat(ID_BYTES_MAX + 1));
    for (field, message) in [
        (r#""to":7"#, "to must be a string"),
        (r#""to_owner":[]"#, "to_owner must"),
        (r#""to_owner":-1"#, "to_owner must"),
        (r#""to_owner":9007199254740992"#, "to_owner must"),
        (&too_long, "to_owner must have at most 64 bytes"),
    ] {
        let line = format!(r#"{{"command":"transfer","name":"a",{field}}}"#);
        assert_bad(line, Reason::InvalidRequest, message, Some("a"), None);
    }
    for line in [r#"{"command":"transfer"}"#, r#"{"command":"transfer","names":["a","b"]}"#] {
        assert_bad(line, Reason::InvalidRequest, "name is missing", None, None);
    }
}
