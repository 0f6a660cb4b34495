//! Replies as text, and whether two say the same.

use serde_json::Value;

use super::Target;
use crate::sizes::quoted;

/// Down to milliseconds; whole ones are whole numbers.
pub fn seconds(nanos: u64) -> String {
    let milliseconds = nanos / 1_000_000;
    match milliseconds % 1000 {
        0 => format!("{}", milliseconds / 1000),
        part => format!("{}.{part:03}", milliseconds / 1000),
    }
}

pub(super) fn result(result: &str) -> String {
    format!(r#"{{"result":"{result}"}}"#)
}

/// An answer about a lock or several, with these further keys: nothing, or from a comma on.
pub(super) fn answer(target: &Target, result: &str, keys: &str) -> String {
    format!(r#"{{{},"result":"{result}"{keys}}}"#, field(target))
}

/// What a connection is told without having asked at that moment.
pub(super) fn notice(name: &str, notice: &str, token: u64) -> String {
    format!(r#"{{"name":{},"notice":"{notice}","token":{token}}}"#, quoted(name))
}

/// `"name":…`, or `"names":…`.
fn field(target: &Target) -> String {
    match target {
        Target::One(name) => format!(r#""name":{}"#, quoted(name)),
        Target::Several(names) => format!(r#""names":{}"#, array(names)),
    }
}

/// An error, as it stands on the wire, but for its wording: that is for people, and no rule.
pub fn error(reason: &str, name: Option<&str>) -> String {
    let name = name.map_or(String::new(), |name| format!(r#","name":{}"#, quoted(name)));
    format!(r#"{{"result":"error","reason":"{reason}","message":"{WORDING}"{name}}}"#)
}

/// The same about a lock or several.
pub fn error_on(reason: &str, target: &Target) -> String {
    format!(r#"{{"result":"error","reason":"{reason}","message":"{WORDING}",{}}}"#, field(target))
}

/// What stands for the wording of any error.
pub const WORDING: &str = "in whatever words";

/// The same reply with the request's id.
pub fn with_id(reply: String, id: Option<&str>) -> String {
    with(reply, "id", id)
}

/// The same reply with the request's owner.
pub fn with_owner(reply: String, owner: Option<&str>) -> String {
    with(reply, "owner", owner)
}

fn with(mut reply: String, key: &str, value: Option<&str>) -> String {
    if let Some(value) = value {
        reply.truncate(reply.len() - 1);
        reply += &format!(r#","{key}":{value}}}"#);
    }
    reply
}

pub fn array(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(","))
}

pub fn object(entries: Vec<(String, String)>) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
    format!("{{{}}}", entries.join(","))
}

/// Whether two replies say the same. The order of keys means nothing, nor that of names in some lists; messages are for
/// people. Of a `cycle` there may be several that are true, see [`Model::check_cycle`](super::Model::check_cycle).
pub fn is_same(one: &str, other: &str) -> bool {
    let read = |reply: &str| serde_json::from_str(reply).ok().map(comparable);
    one == other || (read(one).is_some() && read(one) == read(other))
}

/// A reply in the form in which two can be compared: without the message and the cycle, and with the lists that have no
/// order sorted.
fn comparable(mut reply: Value) -> Value {
    let fields = reply.as_object_mut().expect("a reply is an object");
    if let Some(message) = fields.remove("message") {
        assert!(message.as_str().is_some_and(|message| !message.is_empty()), "a message for people");
    }
    if let Some(cycle) = fields.get_mut("cycle") {
        assert!(cycle.as_array().is_some_and(|cycle| cycle.len() > 1), "a cycle has two or more askers");
        *cycle = Value::Null;
    }
    match (fields.get("result").and_then(Value::as_str).map(str::to_owned).as_deref(), fields.get_mut("value")) {
        (Some("my_locks"), Some(value)) if value.is_array() => sort(value),
        (Some("connections"), Some(Value::Object(connections))) => {
            connections.values_mut().filter(|row| row.is_array()).for_each(sort)
        }
        _ => {}
    }
    reply
}

fn sort(names: &mut Value) {
    let names = names.as_array_mut().expect("a list of names");
    names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
}
