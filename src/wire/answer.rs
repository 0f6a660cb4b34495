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

/// The limits in the answer to a `hello` that a client has to keep to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AnswerLimits {
    /// The longest line that the server takes, in bytes without its end.
    pub line_bytes_max: Option<usize>,
    /// Seconds after which a silent connection is closed. 0: never.
    pub max_idle: f64,
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
