//! A reply as a client reads it: all fields that any reply can have.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::Owner;
use super::reason::Reason;

/// One line from the server. Which fields are present depends on `result`, or on `notice`, which takes its place in what is
/// said without a request; fields that a newer server adds are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// What happened, such as `acquired`.
    pub result: String,
    /// The id of the request.
    pub id: Option<u64>,
    /// What has happened to a hold without a request, such as `expired`.
    pub notice: Option<Box<str>>,
    /// The lock.
    pub name: Option<String>,
    /// The locks of a request for several.
    pub names: Vec<String>,
    /// The owner that the request was for.
    pub owner: Option<Owner<Box<str>>>,
    /// The token of a hold.
    pub token: Option<u64>,
    /// For how many seconds a request with a lease has waited.
    pub waited: f64,
    /// How many wait for the locks whose leases were renewed.
    pub waiters: u64,
    /// How many requests are ahead of one that begins to wait.
    pub position: u64,
    /// How many holds were revoked, or how many events were left out.
    pub count: u64,
    /// Whether the asker still holds what could not be transferred; of a resumed session what it holds.
    pub held: Option<serde_json::Value>,
    /// What has happened to a lock.
    pub event: Option<Box<str>>,
    /// The circle that a wait would close.
    pub cycle: Vec<Asker>,
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
    /// What the server can do beyond what every server can.
    pub features: Vec<String>,
}

impl Answer {
    /// Reads one line, without its `\n`. None: it is not an answer of any server.
    pub fn read(line: &[u8]) -> Option<Self> {
        // serde's derive would also accept an array of the fields.
        let is_object = line.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(line).ok()).flatten()
    }

    /// An answer with nothing but this result.
    pub fn of_result(result: &str) -> Self {
        Answer { result: result.to_owned(), ..Answer::default() }
    }

    /// Whether what could not be transferred is still held.
    pub fn is_held(&self) -> bool {
        matches!(self.held, Some(serde_json::Value::Bool(true)))
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

/// One of the parties that hold locks and wait for them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "AskerForm")]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct Asker {
    /// The connection's name.
    pub connection: String,
    /// The owner. None: the connection itself.
    pub owner: Option<Owner<Box<str>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AskerForm {
    Connection(String),
    Owner { connection: String, owner: Owner<Box<str>> },
}

impl From<AskerForm> for Asker {
    fn from(form: AskerForm) -> Self {
        match form {
            AskerForm::Connection(connection) => Asker { connection, owner: None },
            AskerForm::Owner { connection, owner } => Asker { connection, owner: Some(owner) },
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.connection)?;
        match &self.owner {
            Some(owner) => write!(f, " (owner {owner})"),
            None => Ok(()),
        }
    }
}

/// One lock in a listing with detail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct LockDetail {
    /// Who holds it; at most 1,000 of them are listed.
    pub holders: Vec<PlaceDetail>,
    /// How many hold it, if not all of them are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holding: Option<u64>,
    /// Who waits for it, in order; at most 1,000 of them are listed.
    pub waiters: Vec<PlaceDetail>,
    /// How many wait for it.
    pub waiting: u64,
    /// For how many seconds nobody gets it although nobody holds it, because of a `min_hold` or `lost_delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_for: Option<f64>,
}

#[cfg(feature = "cli")]
impl LockDetail {
    /// How many hold it, and how many wait for it, who are not listed.
    pub(crate) fn unlisted(&self) -> [u64; 2] {
        let [holders, waiters] = [&self.holders, &self.waiters].map(|listed| listed.len() as u64);
        [self.holding.unwrap_or(0).saturating_sub(holders), self.waiting.saturating_sub(waiters)]
    }
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
    /// The owner. None: the connection itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner<Box<str>>>,
    /// `exclusive` or `shared`; empty for a unit of a semaphore.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// A unit of a semaphore: how many units that has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// A waiter: its priority, if that is not 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// A holder: the token of the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// A holder: for how many seconds it has held the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_for: Option<f64>,
    /// A holder with a lease: in how many seconds that runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_left: Option<f64>,
    /// A waiter: for how many seconds it has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<f64>,
    /// A waiter with a timeout: for how many seconds it still waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_left: Option<f64>,
    /// What it says the lock is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
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
    /// For how many seconds it has sent nothing, or a session without a connection has been without.
    pub silent_for: f64,
    /// The name of its session, if it has one.
    pub session: Option<String>,
    /// A session without a connection: for how many seconds it can be resumed.
    pub grace_left: Option<f64>,
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
    #[test]
    fn held_is_true_or_false_for_a_transfer_and_a_list_for_a_session() {
        let read = |rest: &str| Answer::read(format!(r#"{{"result":"x"{rest}}}"#).as_bytes()).expect("an answer");
        assert!(read(r#","held":true"#).is_held());
        for rest in [r#","held":false"#, "", r#","held":[{"name":"a","token":1,"waiters":0}]"#, r#","held":1"#] {
            assert!(!read(rest).is_held(), "{rest}");
        }
        let wanted = read(r#","notice":"wanted","waiters":3"#);
        assert_eq!((wanted.notice.as_deref(), wanted.waiters, wanted.position), (Some("wanted"), 3, 0));
        assert_eq!(read(r#","position":7"#).position, 7);
        let missed = read(r#","notice":"event","event":"missed","count":7"#);
        assert_eq!((missed.event.as_deref(), missed.count), (Some("missed"), 7));
    }

    #[test]
    fn a_party_of_a_circle_is_a_connection_or_one_of_its_owners() {
        let line = br#"{"result":"deadlock","cycle":["unix:1",{"connection":"unix:2","owner":7}]}"#;
        let cycle = Answer::read(line).expect("an answer").cycle;
        let shown: Vec<String> = cycle.iter().map(Asker::to_string).collect();
        assert_eq!(shown, ["unix:1", "unix:2 (owner 7)"]);
        assert_eq!(cycle[1].owner, Some(Owner::Number(7)));
        let lost = Answer::of_result("lost");
        assert_eq!((lost.result.as_str(), lost.cycle), ("lost", vec![]));
    }
}
