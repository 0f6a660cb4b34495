//! Replies of every kind, and what each of them must contain.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use officer::time::Span;
use officer::wire::Id;
use officer::wire::answer::{Answer, LockDetail, NameListing, PlaceDetail};
use officer::wire::listing::{Listing, ListingTooLarge, PlaceRow, RowStanding};
use officer::wire::peer::Peer;
use officer::wire::reply::{HelloLimits, Outcome, Reason, Reply};
use serde_json::{Value, json};

use crate::json::Json;

/// Any reply, owned. A listing is also encoded with the limit `bytes_max`.
#[derive(Arbitrary, Debug)]
pub struct Said {
    kind: Kind,
    id: Option<SaidId>,
    bytes_max: u16,
}

#[derive(Arbitrary, Debug)]
enum SaidId {
    Number(u64),
    Text(String),
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Acquired(String),
    AlreadyAcquired(String),
    TimedOut(String, Vec<Who>),
    QueueMaxed(String, Vec<Who>),
    Released(String),
    ReleaseFailed(String),
    Cancelled(String),
    ResetSucceeded,
    KeptAlive,
    Locks(BTreeMap<String, Vec<Who>>),
    Page(BTreeMap<String, Vec<Who>>, Option<u32>),
    Details(BTreeMap<String, (Vec<Stay>, Vec<Stay>)>, Option<u32>),
    Connections(Vec<(Who, Vec<String>)>),
    MyLocks(Vec<String>),
    Pong,
    Hello(Who, [usize; 4], Option<u64>),
    Kicked,
    KickFailed,
    Error(u8, String, Option<String>),
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    At(IpAddr, u16),
    Unix(u64),
}

/// A holder or waiter: its connection, its client name, and for how many nanoseconds.
#[derive(Arbitrary, Debug)]
struct Stay(Who, Option<String>, u64);

const REASONS: [(Reason, &str); 11] = [
    (Reason::InvalidJson, "invalid_json"),
    (Reason::InvalidRequest, "invalid_request"),
    (Reason::UnknownCommand, "unknown_command"),
    (Reason::LineTooLong, "line_too_long"),
    (Reason::TooManyConnections, "too_many_connections"),
    (Reason::TooManyLocks, "too_many_locks"),
    (Reason::TooManyWaits, "too_many_waits"),
    (Reason::ReplyTooLarge, "reply_too_large"),
    (Reason::AlreadyQueued, "already_queued"),
    (Reason::ShuttingDown, "shutting_down"),
    (Reason::NotAllowed, "not_allowed"),
];

impl Said {
    /// Encodes it and reads it back.
    pub fn check(&self) {
        let peers = self.kind.peers();
        let listing = self.kind.listing(usize::MAX).expect("a listing without a limit is never too large");
        let reply = Reply { id: self.id.as_ref().map(SaidId::borrowed), outcome: self.kind.outcome(&peers, &listing) };
        let mut line = b"before".to_vec();
        reply.encode(&mut line);
        let line = line.strip_prefix(b"before").expect("earlier bytes are unchanged");
        let line = line.strip_suffix(b"\n").expect("a reply ends its line");
        let shown = line.escape_ascii();
        assert!(line.iter().all(|&byte| byte >= 0x20), "an unescaped control character: {shown}");

        let mut expected = self.kind.expected();
        match &self.id {
            None => {}
            Some(SaidId::Number(number)) => expected["id"] = json!(number),
            Some(SaidId::Text(text)) => expected["id"] = json!(text),
        }
        let read: Value = serde_json::from_slice(line).expect("a reply is well-formed");
        assert_eq!(read, expected, "{shown}");
        assert_keys_differ(&Json::read(line).expect("a reply is well-formed"));

        // Our client numbers its requests.
        match (&self.id, Answer::read(line)) {
            (Some(SaidId::Text(_)), _) => {}
            (_, Some(answer)) => self.assert_understood(&answer, &expected),
            (_, None) => panic!("the client can't read the answer: {shown}"),
        }
        self.check_limit(&listing);
    }

    /// What the client reads from it, field by field.
    fn assert_understood(&self, answer: &Answer, expected: &Value) {
        let text = |key: &str| expected[key].as_str().map(str::to_owned);
        let texts = (text("result"), text("reason"), text("message"), text("connection"));
        let read = [&answer.result, answer.reason.as_str(), &answer.message, &answer.connection];
        assert_eq!(read.map(str::to_owned), [texts.0, texts.1, texts.2, texts.3].map(Option::unwrap_or_default));
        assert_eq!((&answer.name, &answer.next, answer.id), (&text("name"), &text("next"), expected["id"].as_u64()));
        assert_eq!(json!(answer.queue), expected.get("queue").cloned().unwrap_or(json!([])));
        assert_eq!(answer.value.as_ref(), expected.get("value"));
        let value = answer.value.clone().unwrap_or_default();
        match &self.kind {
            Kind::Locks(of) | Kind::Page(of, _) => {
                let expected: NameListing = of.iter().map(|(name, who)| (name.clone(), names(who))).collect();
                assert_eq!(serde_json::from_value::<NameListing>(value).expect("a listing"), expected);
            }
            Kind::Connections(of) => {
                let of = by_name(of).into_iter();
                let expected: NameListing = of.map(|(name, (_, names))| (name, names.to_vec())).collect();
                assert_eq!(serde_json::from_value::<NameListing>(value).expect("a listing"), expected);
            }
            Kind::MyLocks(of) => {
                assert_eq!(serde_json::from_value::<Vec<String>>(value).expect("a list"), *of);
            }
            Kind::Details(of, _) => {
                let read: BTreeMap<String, LockDetail> = serde_json::from_value(value).expect("a listing");
                let expected = of.iter().map(|(name, (holders, waiters))| {
                    let holders = holders.iter().map(|stay| stay.detail(true)).collect();
                    let waiting = waiters.len() as u64;
                    let waiters = waiters.iter().map(|stay| stay.detail(false)).collect();
                    (name.clone(), LockDetail { holders, waiters, waiting })
                });
                assert_eq!(read, expected.collect());
            }
            Kind::Hello(_, counts, max_idle) => {
                assert_eq!(answer.limits.line_bytes_max, Some(counts[0]));
                assert_eq!(Some(answer.limits.max_idle), seconds(max_idle.unwrap_or(0)).as_f64());
            }
            _ => assert_eq!(value, Value::Null),
        }
    }

    /// A listing is refused if and only if it is larger than the limit.
    fn check_limit(&self, whole: &Listing) {
        let mut line = Vec::new();
        Reply { id: None, outcome: Outcome::MyLocks(whole) }.encode(&mut line);
        let bytes = line.len() - "{\"result\":\"my_locks\",\"value\":}\n".len();
        let bytes_max = usize::from(self.bytes_max);
        assert_eq!(self.kind.listing(bytes_max).is_ok(), bytes <= bytes_max, "{bytes} bytes of {bytes_max}");
    }
}

impl SaidId {
    fn borrowed(&self) -> Id<&str> {
        match self {
            SaidId::Number(number) => Id::Number(*number),
            SaidId::Text(text) => Id::Text(text),
        }
    }
}

impl Kind {
    fn peers(&self) -> Vec<Peer> {
        match self {
            Kind::TimedOut(_, queue) | Kind::QueueMaxed(_, queue) => queue.iter().map(|who| who.peer()).collect(),
            _ => Vec::new(),
        }
    }

    /// Written as the engine writes them. Empty where the reply has none.
    fn listing(&self, bytes_max: usize) -> Result<Listing, ListingTooLarge> {
        let mut listing = Listing::new(bytes_max);
        match self {
            Kind::Locks(of) | Kind::Page(of, _) => {
                listing
                    .object(of.iter(), |listing, (name, who)| listing.lock(name, who.iter().map(|who| who.peer())))?;
            }
            Kind::Connections(of) => listing.object(by_name(of).values(), |listing, (who, names)| {
                listing.connection(who.peer(), names.iter().map(String::as_str))
            })?,
            Kind::MyLocks(names) => listing.names(names.iter().map(String::as_str))?,
            Kind::Details(of, _) => listing.object(of.iter(), |listing, (name, (holders, waiters))| {
                let holders = holders.iter().map(|stay| stay.row(RowStanding::HeldFor));
                let rows = waiters.iter().map(|stay| stay.row(RowStanding::WaitedFor));
                listing.lock_in_detail(name, holders, rows, waiters.len())
            })?,
            _ => {}
        }
        Ok(listing)
    }

    fn outcome<'a>(&'a self, queue: &'a [Peer], listing: &'a Listing) -> Outcome<'a> {
        match self {
            Kind::Acquired(name) => Outcome::Acquired { name },
            Kind::AlreadyAcquired(name) => Outcome::AlreadyAcquired { name },
            Kind::TimedOut(name, _) => Outcome::TimedOut { name, queue },
            Kind::QueueMaxed(name, _) => Outcome::QueueMaxed { name, queue },
            Kind::Released(name) => Outcome::Released { name },
            Kind::ReleaseFailed(name) => Outcome::ReleaseFailed { name },
            Kind::Cancelled(name) => Outcome::Cancelled { name },
            Kind::ResetSucceeded => Outcome::ResetSucceeded,
            Kind::KeptAlive => Outcome::KeptAlive,
            Kind::Locks(_) => Outcome::Locks(listing),
            Kind::Page(_, next) | Kind::Details(_, next) => Outcome::LocksPage { value: listing, next: *next },
            Kind::Connections(_) => Outcome::Connections(listing),
            Kind::MyLocks(_) => Outcome::MyLocks(listing),
            Kind::Pong => Outcome::Pong,
            Kind::Hello(who, counts, max_idle_ns) => Outcome::Hello {
                connection: who.peer(),
                limits: HelloLimits {
                    line_bytes_max: counts[0],
                    connection_locks_max: counts[1],
                    lock_waits_max: counts[2],
                    reply_bytes_max: counts[3],
                    max_idle: max_idle_ns.map(Span::from_nanos),
                    silent_after: max_idle_ns.map(Span::from_nanos),
                },
            },
            Kind::Kicked => Outcome::Kicked,
            Kind::KickFailed => Outcome::KickFailed,
            Kind::Error(reason, message, name) => Outcome::Error {
                reason: REASONS[usize::from(*reason) % REASONS.len()].0,
                message: message.into(),
                name: name.as_deref(),
            },
        }
    }

    /// As the protocol defines it, without the id.
    fn expected(&self) -> Value {
        let with_next = |value: Value, next: &Option<u32>| match next {
            Some(next) => json!({ "result": "locks", "value": value, "next": next.to_string() }),
            None => json!({ "result": "locks", "value": value }),
        };
        let of_locks = |of: &BTreeMap<String, Vec<Who>>| {
            Value::Object(of.iter().map(|(name, who)| (name.clone(), json!(names(who)))).collect())
        };
        match self {
            Kind::Acquired(name) => json!({ "result": "acquired", "name": name }),
            Kind::AlreadyAcquired(name) => json!({ "result": "already_acquired", "name": name }),
            Kind::TimedOut(name, queue) => json!({ "result": "timed_out", "name": name, "queue": names(queue) }),
            Kind::QueueMaxed(name, queue) => json!({ "result": "queue_maxed", "name": name, "queue": names(queue) }),
            Kind::Released(name) => json!({ "result": "released", "name": name }),
            Kind::ReleaseFailed(name) => json!({ "result": "release_failed", "name": name }),
            Kind::Cancelled(name) => json!({ "result": "cancelled", "name": name }),
            Kind::ResetSucceeded => json!({ "result": "reset_succeeded" }),
            Kind::KeptAlive => json!({ "result": "kept_alive" }),
            Kind::Locks(of) => json!({ "result": "locks", "value": of_locks(of) }),
            Kind::Page(of, next) => with_next(of_locks(of), next),
            Kind::Details(of, next) => {
                let detail = |(name, (holders, waiters)): (&String, &(Vec<Stay>, Vec<Stay>))| {
                    let of = |stays: &[Stay], since| stays.iter().map(|stay| stay.expected(since)).collect::<Vec<_>>();
                    let (holders, waiting) = (of(holders, "held_for"), waiters.len());
                    let waiters = of(waiters, "waited_for");
                    (name.clone(), json!({ "holders": holders, "waiters": waiters, "waiting": waiting }))
                };
                with_next(Value::Object(of.iter().map(detail).collect()), next)
            }
            Kind::Connections(of) => {
                let value = by_name(of).into_iter().map(|(name, (_, names))| (name, json!(names)));
                json!({ "result": "connections", "value": Value::Object(value.collect()) })
            }
            Kind::MyLocks(names) => json!({ "result": "my_locks", "value": names }),
            Kind::Pong => json!({ "result": "pong" }),
            Kind::Hello(who, counts, max_idle) => json!({
                "result": "hello",
                "server": "officer",
                "version": version(),
                "connection": who.name(),
                "limits": {
                    "line_bytes_max": counts[0],
                    "connection_locks_max": counts[1],
                    "lock_waits_max": counts[2],
                    "reply_bytes_max": counts[3],
                    "max_idle": seconds(max_idle.unwrap_or(0)),
                    "silent_after": seconds(max_idle.unwrap_or(0)),
                },
                "features": ["strict"],
                "resumed": false,
            }),
            Kind::Kicked => json!({ "result": "kicked" }),
            Kind::KickFailed => json!({ "result": "kick_failed" }),
            Kind::Error(reason, message, name) => {
                let reason = REASONS[usize::from(*reason) % REASONS.len()].1;
                let mut error = json!({ "result": "error", "reason": reason, "message": message });
                if let Some(name) = name {
                    error["name"] = json!(name);
                }
                error
            }
        }
    }
}

impl Who {
    fn peer(self) -> Peer {
        match self {
            Who::At(ip, port) => SocketAddr::new(ip, port).into(),
            Who::Unix(number) => Peer::Unix(number),
        }
    }

    fn name(self) -> String {
        match self {
            Who::At(ip, port) => SocketAddr::new(ip.to_canonical(), port).to_string(),
            Who::Unix(number) => format!("unix:{number}"),
        }
    }
}

impl Stay {
    fn row(&self, standing: impl FnOnce(Span) -> RowStanding) -> PlaceRow<'_> {
        let Stay(who, client, nanos) = self;
        PlaceRow { connection: who.peer(), client: client.as_deref(), standing: standing(Span::from_nanos(*nanos)) }
    }

    fn expected(&self, since: &str) -> Value {
        let Stay(who, client, nanos) = self;
        let mut stay = json!({ "connection": who.name(), "mode": "exclusive", since: seconds(*nanos) });
        if let Some(client) = client {
            stay["client"] = json!(client);
        }
        stay
    }

    fn detail(&self, is_holder: bool) -> PlaceDetail {
        let Stay(who, client, nanos) = self;
        let since = seconds(*nanos).as_f64();
        let (held_for, waited_for) = if is_holder { (since, None) } else { (None, since) };
        PlaceDetail {
            connection: who.name(),
            client: client.clone(),
            mode: "exclusive".to_owned(),
            held_for,
            waited_for,
        }
    }
}

/// No two connections have the same name, and an address has only one although there are two ways to store it.
fn by_name(of: &[(Who, Vec<String>)]) -> BTreeMap<String, (Who, &[String])> {
    of.iter().map(|(who, names)| (who.name(), (*who, names.as_slice()))).collect()
}

/// The first version in the server's manifest is its own.
fn version() -> &'static str {
    let manifest = include_str!("../../Cargo.toml");
    let version = manifest.split_once("\nversion = \"").expect("there is a version").1;
    version.split_once('"').expect("it ends").0
}

fn names(queue: &[Who]) -> Vec<String> {
    queue.iter().map(|who| who.name()).collect()
}

/// In milliseconds, and a whole number where it is one.
#[expect(clippy::cast_precision_loss, reason = "2^64 nanoseconds are fewer milliseconds than a double holds exactly")]
fn seconds(nanos: u64) -> Value {
    let milliseconds = nanos / 1_000_000;
    if milliseconds.is_multiple_of(1000) { json!(milliseconds / 1000) } else { json!(milliseconds as f64 / 1000.0) }
}

fn assert_keys_differ(value: &Json) {
    match value {
        Json::Array(items) => items.iter().for_each(assert_keys_differ),
        Json::Object(fields) => {
            for (index, (key, value)) in fields.iter().enumerate() {
                assert!(fields[..index].iter().all(|(before, _)| before != key), "{key:?} comes twice");
                assert_keys_differ(value);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}
