//! Requests and replies as they appear on the wire, so that a conversation reads like one.

use std::fmt::Write as _;

/// `reset`.
pub(crate) const RESET: &str = r#"{"command":"reset"}"#;
/// `locks`.
pub(crate) const LOCKS: &str = r#"{"command":"locks"}"#;
/// `connections`.
pub(crate) const CONNECTIONS: &str = r#"{"command":"connections"}"#;
/// `my_locks`.
pub(crate) const MY_LOCKS: &str = r#"{"command":"my_locks"}"#;
/// `keep_alive`.
pub(crate) const KEEP_ALIVE: &str = r#"{"command":"keep_alive"}"#;
/// The reply to `reset`.
pub(crate) const RESET_SUCCEEDED: &str = r#"{"result":"reset_succeeded"}"#;

/// A `lock` request as the original's client writes it, with further fields after the name.
pub(crate) fn lock(name: &str, fields: &str) -> String {
    request("lock", name, fields)
}

/// An `unlock` request.
pub(crate) fn unlock(name: &str) -> String {
    request("unlock", name, "")
}

/// A request with a name, with further fields after it.
pub(crate) fn request(command: &str, name: &str, fields: &str) -> String {
    let mut line = format!(r#"{{"command":"{command}","name":{}"#, serde_json::json!(name));
    if !fields.is_empty() {
        write!(line, ",{fields}").expect("strings take all");
    }
    line + "}"
}

/// The replies that contain only a name.
pub(crate) fn acquired(name: &str) -> String {
    named(name, "acquired")
}

pub(crate) fn already_acquired(name: &str) -> String {
    named(name, "already_acquired")
}

pub(crate) fn released(name: &str) -> String {
    named(name, "released")
}

pub(crate) fn release_failed(name: &str) -> String {
    named(name, "release_failed")
}

pub(crate) fn cancelled(name: &str) -> String {
    named(name, "cancelled")
}

fn named(name: &str, result: &str) -> String {
    format!(r#"{{"name":{},"result":"{result}"}}"#, serde_json::json!(name))
}

/// `timed_out` with the connections on the lock.
pub(crate) fn timed_out(name: &str, queue: &[&str]) -> String {
    with_queue(&named(name, "timed_out"), queue)
}

/// `queue_maxed` with the connections on the lock.
pub(crate) fn queue_maxed(name: &str, queue: &[&str]) -> String {
    with_queue(&named(name, "queue_maxed"), queue)
}

fn with_queue(reply: &str, queue: &[&str]) -> String {
    with(reply, &format!(r#""queue":{}"#, serde_json::json!(queue)))
}

/// A listing of everything or of this connection, and its value.
pub(crate) fn listing(result: &str, value: &str) -> String {
    format!(r#"{{"result":"{result}","value":{value}}}"#)
}

/// An error with its message.
pub(crate) fn error(reason: &str, message: &str) -> String {
    format!(r#"{{"result":"error","reason":"{reason}","message":"{message}"}}"#)
}

/// The same line, request or reply, with one more field.
pub(crate) fn with(line: &str, field: &str) -> String {
    let open = line.strip_suffix('}').expect("an object");
    format!("{open},{field}}}")
}
