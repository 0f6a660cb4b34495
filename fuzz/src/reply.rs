//! Replies of every kind, and what each of them must contain.

mod rest;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use officer::time::Span;
use officer::wire::answer::{Answer, Asker, ConnectionDetail, LockDetail, NameListing, PlaceDetail};
use officer::wire::digits::Digits;
use officer::wire::items::Items;
use officer::wire::listing::{Listing, ListingTooLarge, LockRow, PlaceRow, RowStanding};
use officer::wire::peer::Peer;
use officer::wire::reply::{Happening, HelloLimits, Outcome, Reason, Reply, Subject};
use officer::wire::request::Fit;
use officer::wire::session::{HelloSession, Resumed};
use officer::wire::{Id, IdRef};
use serde_json::{Value, json};

use self::rest::{Life, Rest};
use crate::json::Json;

/// Any reply, owned. A listing is also encoded with the limit `bytes_max`.
#[derive(Arbitrary, Debug)]
pub struct Said {
    kind: Kind,
    id: Option<SaidId>,
    owner: Option<SaidId>,
    bytes_max: u16,
}

#[derive(Arbitrary, Debug)]
enum SaidId {
    Number(u64),
    Text(String),
}

#[derive(Arbitrary, Debug)]
enum About {
    Lock(String),
    Locks(Vec<String>),
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Acquired(About, Option<u64>, Option<u64>),
    AlreadyAcquired(About, Option<u64>),
    Queued(About, u64),
    TimedOut(About, Option<Vec<Who>>),
    QueueMaxed(String, Vec<Who>),
    Deadlock(About, Vec<(Who, Option<SaidId>)>),
    Released(About),
    ReleaseFailed(About),
    Cancelled(About),
    Renewed(About, u64),
    RenewFailed(About),
    Revoked(String, u64),
    RevokeFailed(String),
    NoticeExpired(String, u64),
    NoticeRevoked(String, u64),
    NoticeWanted(String, u64, u64),
    NoticeEvent(u8, String, Option<(Who, Option<SaidId>)>),
    NoticeMissed(u64),
    Transferred(String),
    TransferFailed(String, bool),
    Watching,
    Unwatched,
    ResetSucceeded,
    KeptAlive,
    Locks(BTreeMap<String, Vec<Who>>),
    Page(BTreeMap<String, Vec<Who>>, Option<u32>),
    Details(BTreeMap<String, Detail>, Option<u32>),
    Connections(Vec<(Who, Vec<String>)>),
    MyLocks(Vec<String>),
    MyLocksPage(BTreeMap<String, Vec<Who>>, Option<u32>),
    Sessions(Vec<(Who, Life)>, Option<u32>),
    Pong,
    Hello(Who, [usize; 4], Option<u64>, Option<String>),
    Session(Who, Option<(String, u64)>, Option<Rest>),
    Kicked(Option<u64>),
    KickFailed,
    Error(u8, String, Option<About>),
}

/// A lock with its holders and its waiters, how many more hold it, and for how many nanoseconds it is closed.
#[derive(Arbitrary, Debug)]
struct Detail {
    holders: Vec<Stay>,
    unlisted: u32,
    waiters: Vec<Stay>,
    closed_ns: Option<u64>,
}

impl Detail {
    fn holding(&self) -> usize {
        self.holders.len() + self.unlisted as usize
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    At(IpAddr, u16),
    Unix(u64),
    Session(u64),
}

/// A holder or a waiter.
#[derive(Arbitrary, Debug)]
struct Stay {
    who: Who,
    client: Option<String>,
    owner: Option<SaidId>,
    fit: Mode,
    label: Option<String>,
    since_ns: u64,
    /// Until the end of its lease or of its wait.
    left_ns: Option<u64>,
    token: u64,
    priority: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Mode {
    Exclusive,
    Shared,
    Unit(u32),
}

const REASONS: [(Reason, &str); 21] = [
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
    (Reason::WrongProtocol, "wrong_protocol"),
    (Reason::ModeConflict, "mode_conflict"),
    (Reason::SlotsMismatch, "slots_mismatch"),
    (Reason::AlreadyHeld, "already_held"),
    (Reason::SessionTaken, "session_taken"),
    (Reason::SessionUnknown, "session_unknown"),
    (Reason::TooManySessions, "too_many_sessions"),
    (Reason::AuthFailed, "auth_failed"),
    (Reason::NotAuthenticated, "not_authenticated"),
    (Reason::TooManyRequests, "too_many_requests"),
];

const EVENTS: [(Happening, &str); 8] = [
    (Happening::Granted, "granted"),
    (Happening::Released, "released"),
    (Happening::Queued, "queued"),
    (Happening::Left, "left"),
    (Happening::Expired, "expired"),
    (Happening::Revoked, "revoked"),
    (Happening::Closed, "closed"),
    (Happening::Opened, "opened"),
];

impl Said {
    /// Encodes it and reads it back.
    pub fn check(&self) {
        // An event answers no request: the owner in it is that of the party.
        let of_request = self.owner.as_ref().filter(|_| !matches!(self.kind, Kind::NoticeEvent(..)));
        let parts = self.kind.parts();
        let listing = self.kind.listing(usize::MAX).expect("a listing without a limit is never too large");
        let (id, owner) = (self.id.as_ref().map(SaidId::borrowed), of_request.map(SaidId::borrowed));
        let reply = Reply { id: id.as_ref(), owner: owner.as_ref(), outcome: self.kind.outcome(&parts, &listing) };
        let mut line = b"before".to_vec();
        reply.encode(&mut line);
        let line = line.strip_prefix(b"before").expect("earlier bytes are unchanged");
        let line = line.strip_suffix(b"\n").expect("a reply ends its line");
        let shown = line.escape_ascii();
        assert!(line.iter().all(|&byte| byte >= 0x20), "an unescaped control character: {shown}");

        let mut expected = self.kind.expected();
        for (key, id) in [("id", self.id.as_ref()), ("owner", of_request)] {
            if let Some(id) = id {
                expected[key] = id.json();
            }
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
        assert_eq!(answer.notice.as_deref(), expected["notice"].as_str());
        assert_eq!(answer.token, expected["token"].as_u64());
        assert_eq!(Some(answer.waited), expected.get("waited").map_or(Some(0.0), Value::as_f64));
        for (key, count) in [("waiters", answer.waiters), ("count", answer.count), ("position", answer.position)] {
            assert_eq!(count, expected[key].as_u64().unwrap_or(0), "{key}");
        }
        assert_eq!(answer.event.as_deref(), expected["event"].as_str());
        assert_eq!(answer.is_held(), expected["held"] == json!(true));
        for (key, list) in [("names", &answer.names), ("features", &answer.features)] {
            assert_eq!(json!(list), expected.get(key).cloned().unwrap_or(json!([])), "{key}");
        }
        let owner = answer.owner.as_ref().map_or(Value::Null, |owner| json!(owner));
        assert_eq!(owner, expected["owner"]);
        if let Kind::Deadlock(_, cycle) = &self.kind {
            assert_eq!(answer.cycle, cycle.iter().map(asker).collect::<Vec<_>>());
        }
        assert_eq!(json!(answer.queue), expected.get("queue").cloned().unwrap_or(json!([])));
        assert_eq!(answer.value.as_ref(), expected.get("value"));
        let value = answer.value.clone().unwrap_or_default();
        match &self.kind {
            Kind::Locks(of) | Kind::Page(of, _) | Kind::MyLocksPage(of, _) => {
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
                let expected = of.iter().map(|(name, lock)| {
                    let detail = LockDetail {
                        holders: lock.holders.iter().map(|stay| stay.detail(true)).collect(),
                        holding: (lock.unlisted > 0).then(|| lock.holding() as u64),
                        waiters: lock.waiters.iter().map(|stay| stay.detail(false)).collect(),
                        waiting: lock.waiters.len() as u64,
                        closed_for: lock.closed_ns.and_then(|nanos| seconds(nanos).as_f64()),
                    };
                    (name.clone(), detail)
                });
                assert_eq!(read, expected.collect());
            }
            Kind::Sessions(of, _) => {
                let read: BTreeMap<String, ConnectionDetail> = serde_json::from_value(value).expect("a listing");
                let of = by_name(of).into_iter();
                assert_eq!(read, of.map(|(name, (_, life))| (name, life.detail())).collect());
            }
            Kind::Hello(_, counts, max_idle, _) => {
                assert_eq!(answer.limits.line_bytes_max, Some(counts[0]));
                assert_eq!(Some(answer.limits.max_idle), seconds(max_idle.unwrap_or(0)).as_f64());
            }
            _ => assert_eq!(value, Value::Null),
        }
    }

    /// A listing is refused if and only if it is larger than the limit.
    fn check_limit(&self, whole: &Listing) {
        let mut line = Vec::new();
        Reply { id: None, owner: None, outcome: Outcome::MyLocks(whole) }.encode(&mut line);
        let bytes = line.len() - "{\"result\":\"my_locks\",\"value\":}\n".len();
        let bytes_max = usize::from(self.bytes_max);
        assert_eq!(self.kind.listing(bytes_max).is_ok(), bytes <= bytes_max, "{bytes} bytes of {bytes_max}");
    }
}

impl SaidId {
    fn borrowed(&self) -> IdRef<'_> {
        match self {
            SaidId::Number(number) => Id::Number(given(*number).into()),
            SaidId::Text(text) => Id::Text(text),
        }
    }

    fn json(&self) -> Value {
        match self {
            SaidId::Number(number) => json!(given(*number)),
            SaidId::Text(text) => json!(text),
        }
    }

    fn boxed(&self) -> Id<Box<str>> {
        match self {
            SaidId::Number(number) => Id::Number(given(*number)),
            SaidId::Text(text) => Id::Text(text.as_str().into()),
        }
    }
}

fn asker((who, owner): &(Who, Option<SaidId>)) -> Asker {
    Asker { connection: who.name(), owner: owner.as_ref().map(SaidId::boxed) }
}

impl About {
    fn items(&self) -> Items {
        match self {
            About::Lock(_) => Items::default(),
            About::Locks(names) => names.iter().map(String::as_str).collect(),
        }
    }

    fn subject<'a>(&'a self, names: &'a Items) -> Subject<'a> {
        match self {
            About::Lock(name) => Subject::Lock(name),
            About::Locks(_) => Subject::Locks(names),
        }
    }

    /// What a reply about it has beside this.
    fn with(&self, mut rest: Value) -> Value {
        match self {
            About::Lock(name) => rest["name"] = json!(name),
            About::Locks(names) => rest["names"] = json!(names),
        }
        rest
    }
}

/// What an outcome borrows.
#[derive(Default)]
struct Parts {
    queue: Vec<Peer>,
    names: Items,
    cycle: Items,
    resumed: Option<Resumed>,
}

impl Kind {
    fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        match self {
            Kind::TimedOut(_, Some(queue)) | Kind::QueueMaxed(_, queue) => {
                parts.queue = queue.iter().map(|who| who.peer()).collect();
            }
            Kind::Deadlock(_, cycle) => {
                let mut push = |(who, owner): &(Who, Option<SaidId>)| {
                    parts.cycle.push_party(who.peer(), owner.as_ref().map(SaidId::borrowed));
                };
                cycle.iter().for_each(&mut push);
            }
            _ => {}
        }
        match self {
            Kind::Acquired(about, ..)
            | Kind::AlreadyAcquired(about, _)
            | Kind::Queued(about, _)
            | Kind::TimedOut(about, _)
            | Kind::Deadlock(about, _)
            | Kind::Released(about)
            | Kind::ReleaseFailed(about)
            | Kind::Cancelled(about)
            | Kind::Renewed(about, _)
            | Kind::RenewFailed(about)
            | Kind::Error(_, _, Some(about)) => parts.names = about.items(),
            Kind::Session(_, _, Some(rest)) => parts.resumed = Some(rest.resumed()),
            _ => {}
        }
        parts
    }

    /// Written as the engine writes them. Empty where the reply has none.
    fn listing(&self, bytes_max: usize) -> Result<Listing, ListingTooLarge> {
        let mut listing = Listing::new(bytes_max);
        match self {
            Kind::Locks(of) | Kind::Page(of, _) | Kind::MyLocksPage(of, _) => {
                listing
                    .object(of.iter(), |listing, (name, who)| listing.lock(name, who.iter().map(|who| who.peer())))?;
            }
            Kind::Connections(of) => listing.object(by_name(of).values(), |listing, (who, names)| {
                listing.connection(who.peer(), names.iter().map(String::as_str))
            })?,
            Kind::MyLocks(names) => listing.names(names.iter().map(String::as_str))?,
            Kind::Sessions(of, _) => listing.object(by_name(of).values(), |listing, (who, life)| {
                listing.connection_in_detail(who.peer(), &life.row())
            })?,
            Kind::Details(of, _) => listing.object(of.iter(), |listing, (name, lock)| {
                let closed_for = lock.closed_ns.map(Span::from_nanos);
                let holders = lock.holders.iter().map(|stay| stay.row(true));
                let waiters = lock.waiters.iter().map(|stay| stay.row(false));
                let (holding, waiting) = (lock.holding(), lock.waiters.len());
                listing.lock_in_detail(&LockRow { name, holding, waiting, closed_for }, holders, waiters)
            })?,
            _ => {}
        }
        Ok(listing)
    }

    fn outcome<'a>(&'a self, parts: &'a Parts, listing: &'a Listing) -> Outcome<'a> {
        let Parts { queue, names, cycle, resumed } = parts;
        let on = |about: &'a About| about.subject(names);
        match self {
            Kind::Acquired(about, token, waited_ns) => Outcome::Acquired {
                subject: on(about),
                token: token.map(|token| Digits::from(given(token))),
                waited: waited_ns.map(Span::from_nanos),
            },
            Kind::AlreadyAcquired(about, token) => {
                Outcome::AlreadyAcquired { subject: on(about), token: token.map(|token| Digits::from(given(token))) }
            }
            Kind::Queued(about, position) => Outcome::Queued { subject: on(about), position: *position },
            Kind::TimedOut(about, some) => {
                Outcome::TimedOut { subject: on(about), queue: some.as_ref().map(|_| queue.as_slice()) }
            }
            Kind::QueueMaxed(name, _) => Outcome::QueueMaxed { name, queue },
            Kind::Deadlock(about, _) => Outcome::Deadlock { subject: on(about), cycle },
            Kind::Released(about) => Outcome::Released { subject: on(about) },
            Kind::ReleaseFailed(about) => Outcome::ReleaseFailed { subject: on(about) },
            Kind::Cancelled(about) => Outcome::Cancelled { subject: on(about) },
            Kind::Renewed(about, waiters) => Outcome::Renewed { subject: on(about), waiters: *waiters },
            Kind::RenewFailed(about) => Outcome::RenewFailed { subject: on(about) },
            Kind::Revoked(name, count) => Outcome::Revoked { name, count: *count },
            Kind::RevokeFailed(name) => Outcome::RevokeFailed { name },
            Kind::NoticeExpired(name, token) => Outcome::NoticeExpired { name, token: *token },
            Kind::NoticeRevoked(name, token) => Outcome::NoticeRevoked { name, token: *token },
            Kind::NoticeWanted(name, token, waiters) => {
                Outcome::NoticeWanted { name, token: *token, waiters: *waiters }
            }
            Kind::NoticeEvent(event, name, party) => {
                let event = EVENTS[usize::from(*event) % EVENTS.len()].0;
                let party = party.as_ref();
                let party = party.map(|(who, owner)| (who.peer(), owner.as_ref().map(SaidId::borrowed)));
                Outcome::NoticeEvent { event, name, party }
            }
            Kind::NoticeMissed(count) => Outcome::NoticeMissed { count: *count },
            Kind::Transferred(name) => Outcome::Transferred { name },
            Kind::TransferFailed(name, held) => Outcome::TransferFailed { name, held: *held },
            Kind::Watching => Outcome::Watching,
            Kind::Unwatched => Outcome::Unwatched,
            Kind::ResetSucceeded => Outcome::ResetSucceeded,
            Kind::KeptAlive => Outcome::KeptAlive,
            Kind::Locks(_) => Outcome::Locks(listing),
            Kind::Page(_, next) | Kind::Details(_, next) => Outcome::LocksPage { value: listing, next: *next },
            Kind::Connections(_) => Outcome::Connections(listing),
            Kind::MyLocks(_) => Outcome::MyLocks(listing),
            Kind::MyLocksPage(_, next) => Outcome::MyLocksPage { value: listing, next: *next },
            Kind::Sessions(_, next) => Outcome::ConnectionsPage { value: listing, next: *next },
            Kind::Pong => Outcome::Pong,
            Kind::Hello(who, counts, max_idle_ns, user) => Outcome::Hello {
                connection: who.peer(),
                limits: limits(*counts, *max_idle_ns),
                session: None,
                resumed: None,
                user: user.as_deref(),
            },
            Kind::Session(who, session, _) => Outcome::Hello {
                connection: who.peer(),
                limits: limits([0; 4], None),
                session: session
                    .as_ref()
                    .map(|(secret, grace_ns)| HelloSession { secret, grace: Span::from_nanos(*grace_ns) }),
                resumed: resumed.as_ref(),
                user: None,
            },
            Kind::Kicked(count) => Outcome::Kicked { count: *count },
            Kind::KickFailed => Outcome::KickFailed,
            Kind::Error(reason, message, about) => Outcome::Error {
                reason: REASONS[usize::from(*reason) % REASONS.len()].0,
                message: message.into(),
                subject: about.as_ref().map(on),
            },
        }
    }

    /// As the protocol defines it, without the id.
    fn expected(&self) -> Value {
        let page = |result: &str, value: Value, next: &Option<u32>| {
            let next = next.map(|next| next.to_string());
            present(json!({ "result": result, "value": value, "next": next }))
        };
        let of_locks = |of: &BTreeMap<String, Vec<Who>>| {
            Value::Object(of.iter().map(|(name, who)| (name.clone(), json!(names(who)))).collect())
        };
        match self {
            Kind::Acquired(about, token, waited_ns) => {
                let waited = waited_ns.map(seconds);
                let token = token.map(given);
                about.with(present(json!({ "result": "acquired", "token": token, "waited": waited })))
            }
            Kind::AlreadyAcquired(about, token) => {
                about.with(present(json!({ "result": "already_acquired", "token": token.map(given) })))
            }
            Kind::Queued(about, position) => about.with(json!({ "result": "queued", "position": position })),
            Kind::TimedOut(about, queue) => {
                let queue = queue.as_ref().map(|queue| names(queue));
                about.with(present(json!({ "result": "timed_out", "queue": queue })))
            }
            Kind::QueueMaxed(name, queue) => json!({ "result": "queue_maxed", "name": name, "queue": names(queue) }),
            Kind::Deadlock(about, cycle) => {
                let element = |(who, owner): &(Who, Option<SaidId>)| match owner {
                    None => json!(who.name()),
                    Some(owner) => json!({ "connection": who.name(), "owner": owner.json() }),
                };
                let cycle: Vec<Value> = cycle.iter().map(element).collect();
                about.with(json!({ "result": "deadlock", "cycle": cycle }))
            }
            Kind::Released(about) => about.with(json!({ "result": "released" })),
            Kind::ReleaseFailed(about) => about.with(json!({ "result": "release_failed" })),
            Kind::Cancelled(about) => about.with(json!({ "result": "cancelled" })),
            Kind::Renewed(about, waiters) => about.with(json!({ "result": "renewed", "waiters": waiters })),
            Kind::RenewFailed(about) => about.with(json!({ "result": "renew_failed" })),
            Kind::Revoked(name, count) => json!({ "result": "revoked", "name": name, "count": count }),
            Kind::RevokeFailed(name) => json!({ "result": "revoke_failed", "name": name }),
            Kind::NoticeExpired(name, token) => json!({ "notice": "expired", "name": name, "token": token }),
            Kind::NoticeRevoked(name, token) => json!({ "notice": "revoked", "name": name, "token": token }),
            Kind::NoticeWanted(name, token, waiters) => {
                json!({ "notice": "wanted", "name": name, "token": token, "waiters": waiters })
            }
            Kind::NoticeEvent(event, name, party) => {
                let event = EVENTS[usize::from(*event) % EVENTS.len()].1;
                let connection = party.as_ref().map(|(who, _)| who.name());
                let owner = party.as_ref().and_then(|(_, owner)| owner.as_ref()).map(SaidId::json);
                present(json!({
                    "notice": "event",
                    "event": event,
                    "name": name,
                    "connection": connection,
                    "owner": owner,
                }))
            }
            Kind::NoticeMissed(count) => json!({ "notice": "event", "event": "missed", "count": count }),
            Kind::Transferred(name) => json!({ "result": "transferred", "name": name }),
            Kind::TransferFailed(name, held) => json!({ "result": "transfer_failed", "name": name, "held": held }),
            Kind::Watching => json!({ "result": "watching" }),
            Kind::Unwatched => json!({ "result": "unwatched" }),
            Kind::ResetSucceeded => json!({ "result": "reset_succeeded" }),
            Kind::KeptAlive => json!({ "result": "kept_alive" }),
            Kind::Locks(of) => json!({ "result": "locks", "value": of_locks(of) }),
            Kind::Page(of, next) => page("locks", of_locks(of), next),
            Kind::MyLocksPage(of, next) => page("my_locks", of_locks(of), next),
            Kind::Sessions(of, next) => {
                let value = by_name(of).into_iter().map(|(name, (_, life))| (name, life.expected()));
                page("connections", Value::Object(value.collect()), next)
            }
            Kind::Details(of, next) => {
                let detail = |(name, lock): (&String, &Detail)| {
                    let of = |stays: &[Stay], is| stays.iter().map(|stay| stay.expected(is)).collect::<Vec<_>>();
                    let mut value = json!({
                        "holders": of(&lock.holders, true),
                        "waiters": of(&lock.waiters, false),
                        "waiting": lock.waiters.len(),
                    });
                    if lock.unlisted > 0 {
                        value["holding"] = lock.holding().into();
                    }
                    if let Some(nanos) = lock.closed_ns {
                        value["closed_for"] = seconds(nanos);
                    }
                    (name.clone(), value)
                };
                page("locks", Value::Object(of.iter().map(detail).collect()), next)
            }
            Kind::Connections(of) => {
                let value = by_name(of).into_iter().map(|(name, (_, names))| (name, json!(names)));
                json!({ "result": "connections", "value": Value::Object(value.collect()) })
            }
            Kind::MyLocks(names) => json!({ "result": "my_locks", "value": names }),
            Kind::Pong => json!({ "result": "pong" }),
            Kind::Hello(who, counts, max_idle, user) => {
                let mut greeting = greeting(*who, *counts, *max_idle);
                user.iter().for_each(|user| greeting["user"] = json!(user));
                greeting
            }
            Kind::Session(who, session, rest) => {
                let mut greeting = greeting(*who, [0; 4], None);
                greeting["resumed"] = json!(rest.is_some());
                if let Some((secret, grace_ns)) = session {
                    greeting["session"] = json!({ "secret": secret, "grace": seconds(*grace_ns) });
                }
                rest.iter().for_each(|rest| rest.add_to(&mut greeting));
                greeting
            }
            Kind::Kicked(None) => json!({ "result": "kicked" }),
            Kind::Kicked(Some(count)) => json!({ "result": "kicked", "count": count }),
            Kind::KickFailed => json!({ "result": "kick_failed" }),
            Kind::Error(reason, message, about) => {
                let reason = REASONS[usize::from(*reason) % REASONS.len()].1;
                let error = json!({ "result": "error", "reason": reason, "message": message });
                about.as_ref().map_or(error.clone(), |about| about.with(error))
            }
        }
    }
}

const FEATURES: [&str; 27] = [
    "owner",
    "fence",
    "mode",
    "slots",
    "lease",
    "renew",
    "names",
    "any",
    "priority",
    "deadlock",
    "min_hold",
    "lost_delay",
    "label",
    "token",
    "revoke",
    "one_lock",
    "contended",
    "my_locks_page",
    "notices",
    "progress",
    "hint",
    "transfer",
    "session",
    "watch",
    "stats",
    "users",
    "strict",
];

/// A token, an id or an owner as the server has them: a whole number that a double can hold.
fn given(number: u64) -> u64 {
    number % (1 << 53)
}

fn limits(counts: [usize; 4], max_idle_ns: Option<u64>) -> HelloLimits {
    HelloLimits {
        line_bytes_max: counts[0],
        connection_locks_max: counts[1],
        lock_waits_max: counts[2],
        reply_bytes_max: counts[3],
        max_idle: max_idle_ns.map(Span::from_nanos),
        silent_after: max_idle_ns.map(Span::from_nanos),
    }
}

/// The reply to a `hello` that is not about a session.
fn greeting(who: Who, counts: [usize; 4], max_idle_ns: Option<u64>) -> Value {
    json!({
        "result": "hello",
        "server": "officer",
        "version": version(),
        "connection": who.name(),
        "limits": {
            "line_bytes_max": counts[0],
            "connection_locks_max": counts[1],
            "lock_waits_max": counts[2],
            "reply_bytes_max": counts[3],
            "max_idle": seconds(max_idle_ns.unwrap_or(0)),
            "silent_after": seconds(max_idle_ns.unwrap_or(0)),
        },
        "features": FEATURES,
        "resumed": false,
    })
}

/// Without the keys that have no value.
fn present(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

impl Who {
    fn peer(self) -> Peer {
        match self {
            Who::At(ip, port) => SocketAddr::new(ip, port).into(),
            Who::Unix(number) => Peer::Unix(number),
            Who::Session(number) => Peer::Session(number),
        }
    }

    fn name(self) -> String {
        match self {
            Who::At(ip, port) => SocketAddr::new(ip.to_canonical(), port).to_string(),
            Who::Unix(number) => format!("unix:{number}"),
            Who::Session(number) => format!("session:{number}"),
        }
    }
}

impl Stay {
    fn row(&self, is_holder: bool) -> PlaceRow<'_> {
        let (since, left) = (Span::from_nanos(self.since_ns), self.left_ns.map(Span::from_nanos));
        PlaceRow {
            connection: self.who.peer(),
            client: self.client.as_deref(),
            owner: self.owner.as_ref().map(SaidId::borrowed),
            fit: match self.fit {
                Mode::Exclusive => Fit::Exclusive,
                Mode::Shared => Fit::Shared,
                Mode::Unit(slots) => Fit::Unit(slots),
            },
            label: self.label.as_deref(),
            standing: match is_holder {
                true => RowStanding::Holder { token: self.token, held_for: since, lease_left: left },
                false => RowStanding::Waiter { priority: self.priority, waited_for: since, timeout_left: left },
            },
        }
    }

    fn mode(&self) -> Option<&'static str> {
        match self.fit {
            Mode::Exclusive => Some("exclusive"),
            Mode::Shared => Some("shared"),
            Mode::Unit(_) => None,
        }
    }

    fn slots(&self) -> Option<u64> {
        if let Mode::Unit(slots) = self.fit { Some(slots.into()) } else { None }
    }

    fn expected(&self, is_holder: bool) -> Value {
        let (since, left) = (seconds(self.since_ns), self.left_ns.map(seconds));
        let mut stay = json!({
            "connection": self.who.name(),
            "client": self.client,
            "owner": self.owner.as_ref().map(SaidId::json),
            "mode": self.mode(),
            "slots": self.slots(),
            "label": self.label,
        });
        if is_holder {
            (stay["token"], stay["held_for"], stay["lease_left"]) = (json!(self.token), since, json!(left));
        } else {
            (stay["waited_for"], stay["timeout_left"]) = (since, json!(left));
            stay["priority"] = json!(Some(self.priority).filter(|priority| *priority > 0));
        }
        present(stay)
    }

    fn detail(&self, is_holder: bool) -> PlaceDetail {
        let since = seconds(self.since_ns).as_f64();
        let left = self.left_ns.and_then(|nanos| seconds(nanos).as_f64());
        let (held_for, waited_for) = if is_holder { (since, None) } else { (None, since) };
        let (lease_left, timeout_left) = if is_holder { (left, None) } else { (None, left) };
        PlaceDetail {
            connection: self.who.name(),
            client: self.client.clone(),
            owner: self.owner.as_ref().map(SaidId::boxed),
            mode: self.mode().unwrap_or_default().to_owned(),
            slots: self.slots(),
            priority: Some(self.priority).filter(|priority| !is_holder && *priority > 0),
            token: is_holder.then_some(self.token),
            held_for,
            lease_left,
            waited_for,
            timeout_left,
            label: self.label.clone(),
        }
    }
}

/// No two connections have the same name, and an address has only one although there are two ways to store it.
fn by_name<T>(of: &[(Who, T)]) -> BTreeMap<String, (Who, &T)> {
    of.iter().map(|(who, what)| (who.name(), (*who, what))).collect()
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
