//! What the client reads from a server's line, and from the names of connections in it.

use std::collections::BTreeMap;

use officer::wire::answer::{Answer, LockDetail, NameListing};
use officer::wire::peer::Peer;
use serde_json::Value;

use crate::json::Json;

/// If a line is read as an answer, each field has the value from the line.
pub fn check_answer(line: &[u8]) {
    let Some(answer) = Answer::read(line) else { return };
    let shown = line.escape_ascii();
    // The client may accept what we don't accept as JSON, but only where it ignores the value: a number too large for a
    // double in a field of a newer server.
    let Some(read) = Json::read(line) else { return };
    let Json::Object(fields) = read else { panic!("this was read as an answer but is not an object: {shown}") };
    let field = |key: &str| {
        let found = fields.iter().find(|(found, _)| found.as_deref() == Some(key));
        found.map(|(_, value)| value).filter(|value| **value != Json::Null)
    };
    let text = |key: &str| match field(key) {
        Some(Json::Text(text)) => text.clone(),
        None => None,
        Some(other) => panic!("{key} is {other:?}: {shown}"),
    };
    for (key, read) in [
        ("result", answer.result.as_str()),
        ("reason", answer.reason.as_str()),
        ("message", answer.message.as_str()),
        ("connection", answer.connection.as_str()),
    ] {
        assert_eq!(read, text(key).unwrap_or_default(), "{key} of {shown}");
    }
    assert_eq!((&answer.name, &answer.next), (&text("name"), &text("next")), "{shown}");
    for (key, read) in [("notice", answer.notice.as_deref()), ("event", answer.event.as_deref())] {
        assert_eq!(read, text(key).as_deref(), "{key} of {shown}");
    }
    for (key, read) in [("waiters", answer.waiters), ("position", answer.position), ("count", answer.count)] {
        #[expect(clippy::cast_precision_loss, reason = "the other side is rounded in the same way")]
        let read = Json::Number(read as f64);
        assert_eq!(&read, field(key).unwrap_or(&Json::Number(0.0)), "{key} of {shown}");
    }
    assert_eq!(answer.is_held(), field("held") == Some(&Json::Bool(true)), "{shown}");
    #[expect(clippy::cast_precision_loss, reason = "the other side is rounded in the same way")]
    let id = answer.id.map(|id| Json::Number(id as f64));
    assert_eq!(id.as_ref(), field("id"), "{shown}");
    let queue = answer.queue.iter().map(|peer| Json::Text(Some(peer.clone()))).collect();
    assert_eq!(&Json::Array(queue), field("queue").unwrap_or(&Json::Array(Vec::new())), "{shown}");
    match (&answer.value, field("value")) {
        (Some(value), Some(read)) => {
            assert!(read.equals(value), "{shown}");
            check_listings(value);
        }
        (value, read) => assert_eq!((value.is_none(), read.is_none()), (true, true), "{shown}"),
    }
}

/// A listing of any kind, or none. Written and read again, it is the same.
fn check_listings(value: &Value) {
    let _: Result<NameListing, _> = serde_json::from_value(value.clone());
    let _: Result<Vec<String>, _> = serde_json::from_value(value.clone());
    let Ok(locks) = serde_json::from_value::<BTreeMap<String, LockDetail>>(value.clone()) else { return };
    let written = serde_json::to_string(&locks).expect("a listing can be written");
    assert_eq!(serde_json::from_str::<BTreeMap<String, LockDetail>>(&written).expect("and read"), locks);
}

/// A connection has only one name, except for the many ways to write an address.
pub fn check_peer(name: &[u8]) {
    let Some((name, peer)) = str::from_utf8(name).ok().and_then(|name| Some((name, name.parse::<Peer>().ok()?))) else {
        return;
    };
    let mut pushed = Vec::new();
    peer.push_to(&mut pushed);
    let shown = peer.to_string();
    assert_eq!(pushed, shown.as_bytes(), "both ways to write a name");
    assert_eq!(shown.parse(), Ok(peer), "a name survives being written and read");
    assert!(name.starts_with('[') || name == shown, "{name:?} is not the name of {shown}");
}
