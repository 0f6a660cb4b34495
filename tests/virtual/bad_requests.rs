//! Lines that are not requests, or can't be executed: what is answered, and that nothing else happens.

use serde_json::{Value, json};

use crate::words::{MY_LOCKS, acquired, error, listing, lock, with};
use crate::world::World;

#[test]
fn an_invalid_request_is_answered_with_the_reason_and_its_name_and_id_if_readable() {
    let mut world = World::new();
    let [ann] = world.connect();
    let long_name = format!(r#"{{"command":"lock","name":"{}","id":1}}"#, "x".repeat(1_025));
    let timeout = "timeout must be a number of seconds";
    let queue_max = "queue_max must be a whole number, 0 or more";
    for (line, reason, message, rest) in [
        ("5", "invalid_request", "a request must be an object", ""),
        ("null", "invalid_request", "a request must be an object", ""),
        (r#"[{"command":"reset"}]"#, "invalid_request", "a request must be an object", ""),
        (r#"{"id":1}"#, "invalid_request", "command is missing", r#""id":1"#),
        (r#"{"name":"a","id":1}"#, "invalid_request", "command is missing", r#""name":"a","id":1"#),
        (r#"{"command":null,"id":"x"}"#, "invalid_request", "command is missing", r#""id":"x""#),
        (r#"{"command":7,"name":"a"}"#, "invalid_request", "command must be a string", r#""name":"a""#),
        (r#"{"command":"lock","id":2}"#, "invalid_request", "name is missing", r#""id":2"#),
        (r#"{"command":"unlock","name":null}"#, "invalid_request", "name is missing", ""),
        (r#"{"command":"lock","name":[],"id":2}"#, "invalid_request", "name must be a string", r#""id":2"#),
        (r#"{"command":"lock","name":"","id":2}"#, "invalid_request", "name must not be empty", r#""id":2"#),
        (long_name.as_str(), "invalid_request", "name must have at most 1024 bytes", r#""id":1"#),
        (r#"{"command":"lock","name":"a","timeout":"5"}"#, "invalid_request", timeout, r#""name":"a""#),
        (r#"{"command":"lock","name":"a","timeout":true,"id":3}"#, "invalid_request", timeout, r#""name":"a","id":3"#),
        (r#"{"command":"lock","name":"a","queue_max":1.5}"#, "invalid_request", queue_max, r#""name":"a""#),
        (r#"{"command":"lock","name":"a","queue_max":-1}"#, "invalid_request", queue_max, r#""name":"a""#),
        (r#"{"command":"lock","name":"a","queue_max":"1"}"#, "invalid_request", queue_max, r#""name":"a""#),
        (
            r#"{"command":"LOCK","name":"a","id":"y"}"#,
            "unknown_command",
            r#"there is no command \"LOCK\""#,
            r#""name":"a","id":"y""#,
        ),
        (r#"{"command":""}"#, "unknown_command", r#"there is no command \"\""#, ""),
    ] {
        let expected = error(reason, message);
        let expected = if rest.is_empty() { expected } else { with(&expected, rest) };
        assert_eq!(world.say(ann, line), [(ann, expected)], "{line}");
    }
    assert_eq!(world.say(ann, MY_LOCKS), [(ann, listing("my_locks", "[]"))]);
}

#[test]
fn a_line_that_is_not_json_is_answered_with_an_error_and_the_conversation_goes_on() {
    let mut world = World::new();
    let [ann] = world.connect();
    let deep = format!(r#"{{"command":"reset","x":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    for (line, name, id) in [
        (&b"hello"[..], None, None),
        (b"{", None, None),
        (b"\x00", None, None),
        (b"\xff\xfe", None, None),
        (b"{\"command\":\"lock\",\"name\":\"\xc3\"}", None, None),
        (b"{\"command\":\"reset\",\"id\":1}}", None, None),
        (br#"{"command":"reset"}{"command":"reset"}"#, None, None),
        (br#"{"command":"lock","name":"a","timeout":1e999,"id":1}"#, None, None),
        (br#"{"command":"lock","name":"a","timeout":0x1}"#, None, None),
        (br#"{"command":"lock","name":"\ud800","id":1}"#, None, Some(json!(1))),
        (br#"{"command":"lock","name":"a","timeout":"\udc00","id":"i"}"#, Some("a"), Some(json!("i"))),
        (deep.as_bytes(), None, None),
    ] {
        let received = world.send(ann, &[line, b"\n"].concat());
        let [(to, reply)] = &received[..] else { panic!("one answer to {line:?}: {received:?}") };
        let mut reply: Value = serde_json::from_str(reply).unwrap();
        // Part of the message is the JSON library's text.
        let message = reply.as_object_mut().unwrap().remove("message").expect("a message for people");
        assert!(message.as_str().is_some_and(|message| !message.is_empty()));
        let mut expected = json!({ "result": "error", "reason": "invalid_json" });
        if let Some(name) = name {
            expected["name"] = json!(name);
        }
        if let Some(id) = id {
            expected["id"] = id;
        }
        assert_eq!((*to, reply), (ann, expected), "{:?}", String::from_utf8_lossy(line));
    }
    assert_eq!(world.say(ann, &lock("db", "")), [(ann, acquired("db"))]);
}
