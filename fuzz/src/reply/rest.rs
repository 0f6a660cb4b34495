//! What is told of connections in detail, and of sessions that are resumed.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use officer::time::Span;
use officer::wire::answer::ConnectionDetail;
use officer::wire::listing::ConnectionRow;
use officer::wire::peer::Peer;
use officer::wire::reply::{Outcome, Reply};
use officer::wire::session::{HeldRow, Resumed, WaitRow};
use serde_json::{Value, json};

use super::{About, SaidId, Who, limits, present, seconds};

/// A connection in detail.
#[derive(Arbitrary, Debug)]
pub(super) struct Life {
    client: Option<String>,
    counts: [usize; 3],
    age_ns: u64,
    silent_ns: u64,
    session: Option<Who>,
    grace_left_ns: Option<u64>,
}

/// What a resumed session still has.
#[derive(Arbitrary, Debug)]
pub(super) struct Rest {
    held: Vec<Held>,
    waiting: Vec<Waiting>,
    executed: u64,
    bytes_max: u16,
}

#[derive(Arbitrary, Debug)]
struct Held {
    name: String,
    owner: Option<SaidId>,
    token: u64,
    waiters: u64,
    lease_left_ns: Option<u64>,
}

#[derive(Arbitrary, Debug)]
struct Waiting {
    about: About,
    is_any: bool,
    owner: Option<SaidId>,
    id: Option<SaidId>,
}

impl Life {
    pub(super) fn row(&self) -> ConnectionRow<'_> {
        ConnectionRow {
            client: self.client.as_deref(),
            holds: self.counts[0],
            waits: self.counts[1],
            unsent: self.counts[2],
            age: Span::from_nanos(self.age_ns),
            silent_for: Span::from_nanos(self.silent_ns),
            session: self.session.map(Who::peer),
            grace_left: self.grace_left_ns.map(Span::from_nanos),
        }
    }

    pub(super) fn expected(&self) -> Value {
        present(json!({
            "client": self.client,
            "holds": self.counts[0],
            "waits": self.counts[1],
            "unsent": self.counts[2],
            "age": seconds(self.age_ns),
            "silent_for": seconds(self.silent_ns),
            "session": self.session.map(Who::name),
            "grace_left": self.grace_left_ns.map(seconds),
        }))
    }

    pub(super) fn detail(&self) -> ConnectionDetail {
        ConnectionDetail {
            client: self.client.clone(),
            holds: self.counts[0] as u64,
            waits: self.counts[1] as u64,
            unsent: self.counts[2] as u64,
            age: seconds(self.age_ns).as_f64().expect("a number"),
            silent_for: seconds(self.silent_ns).as_f64().expect("a number"),
            session: self.session.map(Who::name),
            grace_left: self.grace_left_ns.and_then(|nanos| seconds(nanos).as_f64()),
        }
    }
}

impl Rest {
    /// Written as the engine writes it.
    pub(super) fn resumed(&self) -> Resumed {
        self.resumed_within(usize::from(self.bytes_max))
    }

    fn resumed_within(&self, bytes_max: usize) -> Resumed {
        let mut resumed = Resumed::new(bytes_max);
        for Held { name, owner, token, waiters, lease_left_ns } in &self.held {
            let owner = owner.as_ref().map(SaidId::borrowed);
            let lease_left = lease_left_ns.map(Span::from_nanos);
            resumed.hold(&HeldRow { name, owner, token: *token, waiters: *waiters, lease_left });
        }
        for Waiting { about, is_any, owner, id } in &self.waiting {
            let (names, owner) = (about.items(), owner.as_ref().map(SaidId::borrowed));
            let id = id.as_ref().map(SaidId::borrowed);
            resumed.wait(&WaitRow { subject: about.subject(&names), is_any: *is_any, owner, id });
        }
        resumed.executed = self.executed;
        resumed
    }

    /// The lists, or their lengths if both together are larger than the limit.
    pub(super) fn add_to(&self, greeting: &mut Value) {
        let held = self.held.iter().map(|row| {
            present(json!({
                "name": row.name,
                "owner": row.owner.as_ref().map(SaidId::json),
                "token": row.token,
                "waiters": row.waiters,
                "lease_left": row.lease_left_ns.map(seconds),
            }))
        });
        let waiting = self.waiting.iter().map(|row| {
            row.about.with(present(json!({
                "any": row.is_any.then_some(true),
                "owner": row.owner.as_ref().map(SaidId::json),
                "id": row.id.as_ref().map(SaidId::json),
            })))
        });
        let (held, waiting): (Vec<Value>, Vec<Value>) = (held.collect(), waiting.collect());
        greeting["executed"] = json!(self.executed);
        if self.bytes() <= usize::from(self.bytes_max) {
            (greeting["held"], greeting["waiting"]) = (json!(held), json!(waiting));
        } else {
            (greeting["held_count"], greeting["waiting_count"]) = (json!(held.len()), json!(waiting.len()));
        }
    }
    /// How large the rows of both lists are.
    fn bytes(&self) -> usize {
        let encoded = |resumed: &Resumed| {
            let mut line = Vec::new();
            let hello = Outcome::Hello {
                connection: Peer::Unix(1),
                limits: limits([0; 4], None),
                session: None,
                resumed: Some(resumed),
                user: None,
            };
            Reply { id: None, owner: None, outcome: hello }.encode(&mut line);
            line.len()
        };
        let mut none = Resumed::new(0);
        none.executed = self.executed;
        encoded(&self.resumed_within(usize::MAX)) - encoded(&none)
    }
}
