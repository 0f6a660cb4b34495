//! A reply as a client reads it: all fields that any reply has, each of them there or not.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One line from the server. Which fields are there depends on `result`; those that a newer server adds are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// What happened, such as `acquired`.
    pub result: String,
    /// The id of the request.
    pub id: Option<u64>,
    /// The lock.
    pub name: Option<String>,
    /// The connections on the lock, the holder first.
    pub queue: Vec<String>,
    /// A listing, as it was sent.
    pub value: Option<serde_json::Value>,
    /// Where the next page of a listing begins.
    pub next: Option<String>,
    /// Why the request was refused, for programs.
    pub reason: String,
    /// Why the request was refused, for people.
    pub message: String,
    /// What the server calls this connection.
    pub connection: String,
    /// What this connection may use.
    pub limits: AnswerLimits,
}

impl Answer {
    /// Reads one line, without its `\n`. None: it is no answer of any server.
    pub fn read(line: &[u8]) -> Option<Self> {
        // What serde makes of a struct takes an array of its fields as well.
        let is_object = line.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(line).ok()).flatten()
    }
}

/// The limits in the answer to a `hello` that a client has to keep to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AnswerLimits {
    /// The longest line that the server takes, in bytes without its end.
    pub line_bytes_max: Option<usize>,
    /// Seconds after which a silent connection is closed. 0: never.
    pub max_idle: f64,
    /// Seconds after which the server gives up a client from which nothing comes, keep-alives of the network included. 0:
    /// never, or the server does not say.
    pub silent_after: f64,
}

/// One lock in a listing with detail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
pub struct LockDetail {
    /// Who holds it.
    pub holders: Vec<PlaceDetail>,
    /// Who waits for it, in order; at most 1,000 of them are listed.
    pub waiters: Vec<PlaceDetail>,
    /// How many wait for it.
    pub waiting: u64,
}

/// A holder or a waiter in a listing with detail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
pub struct PlaceDetail {
    /// The connection's name.
    pub connection: String,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// `exclusive`.
    pub mode: String,
    /// A holder: for how many seconds it has held the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_for: Option<f64>,
    /// A waiter: for how many seconds it has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<f64>,
}

/// A listing of names: of the connections of each lock, or of the locks of each connection.
pub type NameListing = BTreeMap<String, Vec<String>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_object_whatever_else_could_be_read_as_one() {
        let answer = Answer::read(br#" {"result":"acquired","name":"boss:17","id":7,"newer":[1e999]}"#).unwrap();
        assert_eq!((answer.result.as_str(), answer.name.as_deref(), answer.id), ("acquired", Some("boss:17"), Some(7)));
        for line in ["", "acquired", "null", "{", "[]", r#"["acquired",7,"boss:17"]"#, r#"{"result":5}"#] {
            assert!(Answer::read(line.as_bytes()).is_none(), "{line}");
        }
    }
}
