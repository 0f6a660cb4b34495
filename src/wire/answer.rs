//! A reply as a client reads it: all fields that any reply can have.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reason::Reason;

/// One line from the server. Which fields are present depends on `result`; fields that a newer server adds are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// What happened, such as `acquired`.
    pub result: String,
    /// The id of the request.
    pub id: Option<u64>,
    /// The lock.
    pub name: Option<String>,
    /// The connections that hold the lock or wait for it, the holder first.
    pub queue: Vec<String>,
    /// A listing, as received.
    pub value: Option<serde_json::Value>,
    /// Where the next page of a listing begins.
    pub next: Option<String>,
    /// Why the request was refused, for programs.
    pub reason: Reason<Box<str>>,
    /// Why the request was refused, for people.
    pub message: String,
    /// The server's name for this connection.
    pub connection: String,
    /// The limits of this connection.
    pub limits: AnswerLimits,
}

impl Answer {
    /// Reads one line, without its `\n`. None: it is not an answer of any server.
    pub fn read(line: &[u8]) -> Option<Self> {
        // serde's derive would also accept an array of the fields.
        let is_object = line.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(line).ok()).flatten()
    }
}

/// The limits in the answer to a `hello` that a client has to obey.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AnswerLimits {
    /// The longest line that the server accepts, in bytes without its end.
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
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
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
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct PlaceDetail {
    /// The connection's name.
    pub connection: String,
    /// The name that the client gave itself.
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

/// A connection in a listing with detail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct ConnectionDetail {
    /// The name that the client gave itself.
    pub client: Option<String>,
    /// How many locks it holds.
    pub holds: u64,
    /// How many locks it waits for.
    pub waits: u64,
    /// Bytes of replies that it has not read.
    pub unsent: u64,
    /// For how many seconds it has been connected.
    pub age: f64,
    /// For how many seconds it has sent nothing.
    pub silent_for: f64,
}

/// A listing of names: the connections of each lock, or the locks of each connection.
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
