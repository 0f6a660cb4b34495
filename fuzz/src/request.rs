//! What a line requests, read from its whole JSON value.

use officer::time::Span;
use officer::wire::Id;
use officer::wire::request::{
    BadRequest, Command, ConnectionsPage, Fit, Hello, Lock, LockMany, LockName, Named, Names, Operation, Page, Plain,
    Renewal, Request, Revocation, Shapes, Start, Terms, Transfer, parse, parse_in_full, parse_strictly, recognise,
};

use crate::json::Json;

/// A line as it is understood.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// Text, or a number as text with a `#` in front.
    id: Option<String>,
    /// The same.
    owner: Option<String>,
    meaning: Meaning,
}

#[derive(Debug, PartialEq)]
enum Meaning {
    Lock(Asked),
    Unlock { locks: Locks, token: Option<u64> },
    Renew { locks: Locks, lease_ns: Option<u64>, token: Option<u64> },
    Revoke { name: String, token: Option<u64>, connection: Option<String>, owner: Option<String> },
    Transfer { name: String, to: Option<String>, to_owner: Option<String>, token: Option<u64> },
    Watch { prefix: String },
    Unwatch,
    Stats,
    Reset,
    Locks,
    Page { prefix: String, is_contended: bool, limit: usize, after: u32, has_detail: bool },
    OneLock { name: String, has_detail: bool },
    Connections,
    ConnectionsPage { has_idle: bool, limit: usize, after: u32, has_detail: bool },
    MyLocks,
    MyLocksPage { limit: usize, after: u32, has_detail: bool },
    KeepAlive,
    Ping,
    Hello(Greeting),
    Kick { connection: String },
    KickUser { user: String },
    Refused { reason: &'static str, locks: Option<Locks> },
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq)]
enum Locks {
    One(String),
    Several(Vec<String>),
}

/// A `hello`.
#[derive(Debug, PartialEq)]
struct Greeting {
    client: Option<String>,
    max_idle_ns: Option<u64>,
    notices: Option<bool>,
    strict: Option<bool>,
    grace_ns: Option<u64>,
    resume: Option<String>,
    login: Option<(String, String)>,
}

/// A `lock`.
#[derive(Debug, PartialEq)]
struct Asked {
    locks: Locks,
    is_any: bool,
    timeout_ns: Option<u64>,
    queue_max: Option<u64>,
    has_fence: bool,
    is_plain: bool,
    is_shared: bool,
    slots: Option<u64>,
    lease_ns: Option<u64>,
    priority: u64,
    refuses_deadlock: bool,
    min_hold_ns: u64,
    lost_delay_ns: u64,
    label: Option<String>,
    has_progress: bool,
    has_hint: bool,
}

/// As the server reads it, with its shortcut for plain lines and without.
pub fn by_the_server(line: &[u8]) -> Read {
    let parsed = parse(line);
    assert_eq!(parsed, parse_in_full(line), "{}: the shortcut reads something else", line.escape_ascii());
    if let Ok(text) = std::str::from_utf8(line) {
        check_shortcut(&format!("{text}\n{text}"));
    }
    read(parsed)
}

/// As the server reads it from a strict connection.
pub fn by_the_strict_server(line: &[u8]) -> Read {
    read(parse_strictly(line))
}

fn read(parsed: Result<Request<'_>, BadRequest<'_>>) -> Read {
    match parsed {
        Ok(Request { id, owner, command }) => {
            Read { id: text_of(id.as_ref()), owner: text_of(owner.as_ref()), meaning: meaning_of(command) }
        }
        Err(bad) => {
            bad.reply(assert_is_a_line);
            let locks = bad.named.as_ref().map(|named| match named {
                Named::One(name) => Locks::One(text(name)),
                Named::Several(names) => Locks::Several(names.iter().map(text).collect()),
            });
            let meaning = Meaning::Refused { reason: bad.reason.as_str(), locks };
            Read { id: text_of(bad.id.as_ref()), owner: text_of(bad.owner.as_ref()), meaning }
        }
    }
}

/// What the shortcut takes is one line, and what the general parser reads, whatever comes after it, and whatever lines came
/// before it.
pub fn check_shortcut(mut lines: &str) {
    let mut shapes = Shapes::default();
    loop {
        let (line, end) = match lines.find('\n') {
            Some(end) => (&lines[..end], Some(end + 1)),
            None => (lines, None),
        };
        let alone = recognise(line.as_bytes());
        if let Some(request) = &alone {
            let in_full = parse_in_full(line.as_bytes());
            assert_eq!(Ok(request), in_full.as_ref(), "{line}: the shortcut says something else");
        }
        let mut in_lines = || {
            let mut plain = Plain::default();
            let after = Start::of(lines).recognise(lines, &mut shapes, &mut plain)?;
            Some((plain.into(), after))
        };
        let (in_lines, again) = (in_lines(), in_lines());
        assert_eq!(in_lines, again, "{lines}: the same by its shape");
        // Some are recognised only alone.
        let plain = alone.filter(|request| in_lines.is_some() || is_plain(request, line));
        match end {
            Some(end) => assert_eq!(in_lines, plain.map(|request| (request, &lines[end..])), "{lines}"),
            None => assert_eq!(in_lines, None, "{lines}: its end is not there"),
        }
        let Some(end) = end else { return };
        lines = &lines[end..];
    }
}

/// Whether it is recognised among others as well: if it has one name, without escapes, and neither a lease nor `any`.
fn is_plain(request: &Request<'_>, line: &str) -> bool {
    let Command::Locks(operation) = &request.command else { return false };
    let is_plain = matches!(operation, Operation::Lock(_) | Operation::Unlock { .. } | Operation::KeepAlive);
    // Such keys and escapes may also be where they are ignored.
    is_plain && !["\"lease\"", "\"names\"", "\"any\"", "\\"].iter().any(|text| line.contains(text))
}

fn meaning_of(command: Command<'_>) -> Meaning {
    let operation = match command {
        Command::Locks(operation) => operation,
        Command::Hello(Hello { client, max_idle, notices, strict, session, resume, login }) => {
            return Meaning::Hello(Greeting {
                client: client.map(Into::into),
                max_idle_ns: max_idle.map(Span::as_nanos),
                notices,
                strict,
                grace_ns: session.map(Span::as_nanos),
                resume: resume.map(Into::into),
                login: login.map(|login| (login.user.into(), login.secret.into())),
            });
        }
        Command::Transfer(Transfer { name, to, to_owner, token }) => {
            let (to, to_owner) = (to.map(Into::into), text_of(to_owner.as_ref()));
            return Meaning::Transfer { name: text(&name), to, to_owner, token };
        }
        Command::Watch { prefix } => return Meaning::Watch { prefix: prefix.into() },
        Command::Unwatch => return Meaning::Unwatch,
        Command::Stats => return Meaning::Stats,
        Command::ConnectionsPage(ConnectionsPage { has_idle, limit, after, has_detail }) => {
            return Meaning::ConnectionsPage { has_idle, limit, after, has_detail };
        }
        Command::Kick { connection } => return Meaning::Kick { connection: connection.into() },
        Command::KickUser { user } => return Meaning::KickUser { user: user.into() },
        Command::Revoke(Revocation { name, token, connection, owner }) => {
            let (connection, owner) = (connection.map(Into::into), text_of(owner.as_ref()));
            return Meaning::Revoke { name: text(&name), token, connection, owner };
        }
    };
    match operation {
        Operation::Lock(lock) => Meaning::Lock(asked(lock, Terms::default())),
        Operation::LockWith(lock, terms) => {
            assert!(!lock.is_plain, "it has terms");
            Meaning::Lock(asked(lock, terms))
        }
        Operation::LockMany(LockMany { names, is_any, timeout, queue_max, has_fence, terms }) => {
            let name = names.iter().next().expect("there are several").clone();
            let alone = asked(Lock { name, timeout, queue_max, has_fence, is_plain: false }, terms);
            Meaning::Lock(Asked { locks: several(&names), is_any, ..alone })
        }
        Operation::Unlock { name, token } => Meaning::Unlock { locks: Locks::One(text(&name)), token },
        Operation::UnlockMany { names, token } => Meaning::Unlock { locks: several(&names), token },
        Operation::Renew(Renewal { names, is_many, lease, token }) => {
            let locks = match is_many {
                true => several(&names),
                false => Locks::One(text(names.iter().next().expect("there is one"))),
            };
            Meaning::Renew { locks, lease_ns: lease.map(Span::as_nanos), token }
        }
        Operation::Reset => Meaning::Reset,
        Operation::Locks => Meaning::Locks,
        Operation::LocksPage(Page { prefix, is_contended, limit, after, has_detail }) => {
            Meaning::Page { prefix: prefix.into(), is_contended, limit, after, has_detail }
        }
        Operation::OneLock { name, has_detail } => Meaning::OneLock { name: text(&name), has_detail },
        Operation::Connections => Meaning::Connections,
        Operation::MyLocks => Meaning::MyLocks,
        Operation::MyLocksPage(Page { prefix, is_contended, limit, after, has_detail }) => {
            assert_eq!((prefix.as_ref(), is_contended), ("", false), "these pages have none");
            Meaning::MyLocksPage { limit, after, has_detail }
        }
        Operation::KeepAlive => Meaning::KeepAlive,
        Operation::Ping => Meaning::Ping,
    }
}

fn asked(lock: Lock<'_>, terms: Terms<'_>) -> Asked {
    let Terms { fit, lease, priority, refuses_deadlock, min_hold, lost_delay, label, has_progress, has_hint } = terms;
    Asked {
        locks: Locks::One(text(&lock.name)),
        is_any: false,
        timeout_ns: lock.timeout.map(Span::as_nanos),
        queue_max: lock.queue_max,
        has_fence: lock.has_fence,
        is_plain: lock.is_plain,
        is_shared: fit == Fit::Shared,
        slots: if let Fit::Unit(slots) = fit { Some(slots.into()) } else { None },
        lease_ns: lease.map(Span::as_nanos),
        priority: priority.into(),
        refuses_deadlock,
        min_hold_ns: min_hold.as_nanos(),
        lost_delay_ns: lost_delay.as_nanos(),
        label: label.map(Into::into),
        has_progress,
        has_hint,
    }
}

fn several(names: &Names<'_>) -> Locks {
    assert_eq!(names.iter().count(), names.len());
    Locks::Several(names.iter().map(text).collect())
}

fn text(name: &LockName<'_>) -> String {
    name.as_str().to_owned()
}

fn text_of<T: AsRef<str>>(id: Option<&Id<T>>) -> Option<String> {
    id.map(|id| match id.as_ref() {
        Id::Number(number) => format!("#{}", number.value()),
        Id::Text(text) => text.to_owned(),
    })
}

/// The reply to a bad line, which may repeat parts of it, is one line of well-formed JSON.
fn assert_is_a_line(reply: &officer::wire::reply::Reply<'_>) {
    let mut encoded = Vec::new();
    reply.encode(&mut encoded);
    let line = encoded.strip_suffix(b"\n").expect("a reply ends its line");
    assert!(line.iter().all(|&byte| byte >= 0x20), "{reply:?}");
    let read = Json::read(line).expect("a reply is well-formed");
    assert!(!read.has_half_pair());
}

/// As the protocol defines it. `value` is the value of the line, none if it is not well-formed.
pub fn by_the_protocol(value: Option<&Json>) -> Read {
    read_fields(value, false)
}

/// The same for a strict connection. Not judged are lines with a field that no command has and that is null, which counts
/// as omitted elsewhere, or whose key has an unpaired surrogate, which is no text to tell the client.
pub fn by_the_strict_protocol(value: Option<&Json>) -> Option<Read> {
    if let Some(Json::Object(fields)) = value {
        let is_known = |key: &str| COMMANDS.iter().any(|command| has_field(command, key));
        let is_clear = |(key, value): &(Option<String>, Json)| {
            key.as_ref().is_some_and(|key| is_known(key) || *value != Json::Null)
        };
        if !fields.iter().all(is_clear) {
            return None;
        }
    }
    Some(read_fields(value, true))
}

fn read_fields(value: Option<&Json>, is_strict: bool) -> Read {
    let nothing = |reason| Read { id: None, owner: None, meaning: Meaning::Refused { reason, locks: None } };
    let Some(value) = value else { return nothing("invalid_json") };
    let Json::Object(fields) = value else { return nothing("invalid_request") };
    let fields = Fields(fields);

    let counts = match fields.get("command") {
        Some(Json::Text(Some(word))) => fields_of(word),
        _ => None,
    };
    let is_known = counts.is_some();
    let counts = counts.unwrap_or(&["name"]);
    let half_pair = |key: &&str| fields.get(key).is_some_and(Json::has_half_pair);
    let has_half_pair = ["command", "id"].iter().chain(counts).any(half_pair);
    let id = fields.id("id");
    let owner = if counts.contains(&"owner") { fields.id("owner") } else { Ok(None) };
    let name = if counts.contains(&"name") { fields.name() } else { Ok(None) };
    let names = if counts.contains(&"names") { fields.names() } else { Ok(None) };
    let is_wrong = [id.is_err(), owner.is_err(), name.is_err(), names.is_err()].contains(&true);
    let (id, owner) = (id.unwrap_or(None), owner.unwrap_or(None));
    let (name, names) = (name.unwrap_or(None), names.unwrap_or(None));
    let has_both = name.is_some() && names.is_some();
    let locks = names.map(Locks::Several).or(name.map(Locks::One));

    let refused = |reason| Meaning::Refused { reason, locks: locks.clone() };
    let meaning = if has_half_pair {
        refused("invalid_json")
    } else if is_wrong || has_both {
        refused("invalid_request")
    } else {
        match fields.get("command") {
            Some(Json::Text(Some(word))) if is_known => match fields.meaning(word, locks.clone(), owner.clone()) {
                Ok(_) if is_strict && fields.has_other_than(word) => refused("invalid_request"),
                Ok(meaning) => meaning,
                Err(Wrong) => refused("invalid_request"),
            },
            Some(Json::Text(_)) => refused("unknown_command"),
            _ => refused("invalid_request"),
        }
    };
    Read { id, owner, meaning }
}

const COMMANDS: [&str; 16] = [
    "lock",
    "unlock",
    "renew",
    "revoke",
    "transfer",
    "watch",
    "unwatch",
    "stats",
    "reset",
    "locks",
    "connections",
    "my_locks",
    "keep_alive",
    "ping",
    "hello",
    "kick",
];

fn has_field(command: &str, key: &str) -> bool {
    ["command", "id"].contains(&key) || fields_of(command).is_some_and(|fields| fields.contains(&key))
}

fn fields_of(command: &str) -> Option<&'static [&'static str]> {
    Some(match command {
        "lock" => &[
            "owner",
            "name",
            "names",
            "any",
            "timeout",
            "queue_max",
            "fence",
            "mode",
            "slots",
            "lease",
            "priority",
            "deadlock",
            "min_hold",
            "lost_delay",
            "label",
            "progress",
            "hint",
        ],
        "unlock" => &["owner", "name", "names", "token"],
        "renew" => &["owner", "name", "names", "token", "lease"],
        "revoke" => &["owner", "name", "token", "connection"],
        "locks" => &["name", "prefix", "contended", "limit", "after", "detail"],
        "connections" => &["all", "limit", "after", "detail"],
        "hello" => &["client", "max_idle", "notices", "strict", "session", "resume", "user", "secret"],
        "kick" => &["connection", "user"],
        "transfer" => &["owner", "name", "token", "to", "to_owner"],
        "watch" => &["prefix"],
        "reset" => &["owner"],
        "my_locks" => &["owner", "limit", "after", "detail"],
        "keep_alive" | "ping" | "unwatch" | "stats" => &[],
        _ => return None,
    })
}

/// The fields of a `lock` that keep it from joining a wait, whatever their values are.
const SPECIAL: [&str; 13] = [
    "fence",
    "mode",
    "slots",
    "lease",
    "names",
    "any",
    "priority",
    "deadlock",
    "min_hold",
    "lost_delay",
    "label",
    "progress",
    "hint",
];

/// Fields of a `lock` that can't be together.
const CONFLICTS: [(&str, &str); 7] = [
    ("slots", "mode"),
    ("slots", "names"),
    ("slots", "min_hold"),
    ("slots", "lost_delay"),
    ("names", "priority"),
    ("names", "min_hold"),
    ("names", "lost_delay"),
];

/// A field is missing or of the wrong type.
#[derive(Clone)]
struct Wrong;

struct Fields<'a>(&'a [(Option<String>, Json)]);

impl Fields<'_> {
    /// The last one of that key counts; null counts as absent.
    fn get(&self, key: &str) -> Option<&Json> {
        let found = self.0.iter().rfind(|(found, _)| found.as_deref() == Some(key));
        found.map(|(_, value)| value).filter(|value| **value != Json::Null)
    }

    fn has_other_than(&self, command: &str) -> bool {
        let is_other = |key: &str| self.get(key).is_some() && !has_field(command, key);
        self.0.iter().filter_map(|(key, _)| key.as_deref()).any(is_other)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Wrong> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Text(Some(text))) => Ok(Some(text.clone())),
            Some(_) => Err(Wrong),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Wrong> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Number(number)) => Ok(Some(*number)),
            Some(_) => Err(Wrong),
        }
    }

    fn whole_number(&self, key: &str) -> Result<Option<u64>, Wrong> {
        match self.number(key)? {
            None => Ok(None),
            Some(number) if number < 0.0 || number != number.trunc() => Err(Wrong),
            Some(number) => Ok(Some(saturated(number))),
        }
    }

    /// From a range of whole numbers.
    fn within(&self, key: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Wrong> {
        match self.whole_number(key)? {
            Some(number) if !range.contains(&number) => Err(Wrong),
            number => Ok(number),
        }
    }

    fn token(&self) -> Result<Option<u64>, Wrong> {
        self.within("token", 0..=(1 << 53) - 1)
    }

    fn lease(&self) -> Result<Option<u64>, Wrong> {
        match self.number("lease")? {
            Some(seconds) if seconds <= 0.0 => Err(Wrong),
            seconds => Ok(seconds.map(nanos)),
        }
    }

    fn closing(&self, key: &str) -> Result<u64, Wrong> {
        match self.number(key)? {
            Some(seconds) if !(0.0..=86_400.0).contains(&seconds) => Err(Wrong),
            seconds => Ok(seconds.map_or(0, nanos)),
        }
    }

    /// Which of these words it is.
    fn word(&self, key: &str, words: &[&str]) -> Result<Option<usize>, Wrong> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => words.iter().position(|word| *word == text).map(Some).ok_or(Wrong),
        }
    }

    fn id(&self, key: &str) -> Result<Option<String>, Wrong> {
        match self.get(key) {
            Some(Json::Number(_)) => match self.whole_number(key)? {
                Some(number) if number < 1 << 53 => Ok(Some(format!("#{number}"))),
                _ => Err(Wrong),
            },
            _ => self.text(key).and_then(|id| at_most(id, 64)),
        }
    }

    fn name(&self) -> Result<Option<String>, Wrong> {
        let name = at_most(self.text("name")?, 1024)?;
        if name.as_deref() == Some("") { Err(Wrong) } else { Ok(name) }
    }

    fn names(&self) -> Result<Option<Vec<String>>, Wrong> {
        let elements = match self.get("names") {
            None => return Ok(None),
            Some(Json::Array(elements)) if (2..=64).contains(&elements.len()) => elements,
            Some(_) => return Err(Wrong),
        };
        let mut names = Vec::new();
        for element in elements {
            match element {
                Json::Text(Some(name)) if (1..=1024).contains(&name.len()) && !names.contains(name) => {
                    names.push(name.clone());
                }
                _ => return Err(Wrong),
            }
        }
        Ok(Some(names))
    }

    fn lock(&self, locks: Locks) -> Result<Asked, Wrong> {
        let has = |key: &str| self.get(key).is_some();
        let is_any = self.truth("any")? == Some(true);
        let is_shared = self.word("mode", &["exclusive", "shared"])? == Some(1);
        let has_hint = self.truth("hint")? == Some(true);
        let is_refused = CONFLICTS.iter().any(|(one, other)| has(one) && has(other))
            || is_any && (!has("names") || has("deadlock"))
            || is_shared && (has("min_hold") || has("lost_delay"))
            || has_hint && (is_shared || has("slots"));
        if is_refused {
            return Err(Wrong);
        }
        Ok(Asked {
            locks,
            is_any,
            timeout_ns: self.number("timeout")?.map(nanos),
            queue_max: self.whole_number("queue_max")?,
            has_fence: self.truth("fence")? == Some(true),
            is_plain: !SPECIAL.iter().any(|key| has(key)),
            is_shared,
            slots: self.within("slots", 1..=1 << 31)?,
            lease_ns: self.lease()?,
            priority: self.within("priority", 0..=7)?.unwrap_or(0),
            refuses_deadlock: self.word("deadlock", &["refuse"])?.is_some(),
            min_hold_ns: self.closing("min_hold")?,
            lost_delay_ns: self.closing("lost_delay")?,
            label: at_most(self.text("label")?, 128)?,
            has_progress: self.truth("progress")? == Some(true),
            has_hint,
        })
    }

    fn meaning(&self, command: &str, locks: Option<Locks>, owner: Option<String>) -> Result<Meaning, Wrong> {
        Ok(match command {
            "lock" => Meaning::Lock(self.lock(locks.ok_or(Wrong)?)?),
            "unlock" => Meaning::Unlock { locks: locks.ok_or(Wrong)?, token: self.token()? },
            "renew" => Meaning::Renew { locks: locks.ok_or(Wrong)?, lease_ns: self.lease()?, token: self.token()? },
            "revoke" => {
                let Some(Locks::One(name)) = locks else { return Err(Wrong) };
                Meaning::Revoke { name, token: self.token()?, connection: self.text("connection")?, owner }
            }
            "reset" => Meaning::Reset,
            "locks" => self.locks(locks)?,
            "connections" => self.connections()?,
            "transfer" => {
                let Some(Locks::One(name)) = locks else { return Err(Wrong) };
                Meaning::Transfer { name, to: self.text("to")?, to_owner: self.id("to_owner")?, token: self.token()? }
            }
            "watch" => Meaning::Watch { prefix: at_most(self.text("prefix")?, 1024)?.unwrap_or_default() },
            "unwatch" => Meaning::Unwatch,
            "stats" => Meaning::Stats,
            "my_locks" => match self.page()? {
                None => Meaning::MyLocks,
                Some((limit, after, has_detail)) => Meaning::MyLocksPage { limit, after, has_detail },
            },
            "keep_alive" => Meaning::KeepAlive,
            "ping" => Meaning::Ping,
            "hello" => Meaning::Hello(Greeting {
                client: at_most(self.text("client")?, 128)?,
                max_idle_ns: match self.number("max_idle")? {
                    Some(seconds) if seconds <= 0.0 => return Err(Wrong),
                    seconds => seconds.map(nanos),
                },
                notices: self.truth("notices")?,
                strict: self.truth("strict")?,
                grace_ns: self.grace()?,
                resume: self.text("resume")?,
                login: match (at_most(self.text("user")?, 1024)?, at_most(self.text("secret")?, 1024)?) {
                    (None, None) => None,
                    (Some(user), Some(secret)) => Some((user, secret)),
                    _ => return Err(Wrong),
                },
            }),
            "kick" => match (self.text("connection")?, self.text("user")?) {
                (Some(connection), None) => Meaning::Kick { connection },
                (None, Some(user)) => Meaning::KickUser { user },
                _ => return Err(Wrong),
            },
            _ => unreachable!("only commands with known fields come here"),
        })
    }

    fn truth(&self, key: &str) -> Result<Option<bool>, Wrong> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Bool(truth)) => Ok(Some(*truth)),
            Some(_) => Err(Wrong),
        }
    }

    fn grace(&self) -> Result<Option<u64>, Wrong> {
        let members = match self.get("session") {
            None => return Ok(None),
            Some(Json::Object(members)) => members,
            Some(_) => return Err(Wrong),
        };
        match Fields(members).number("grace")? {
            Some(seconds) if (0.0..=300.0).contains(&seconds) => Ok(Some(nanos(seconds))),
            _ => Err(Wrong),
        }
    }

    fn locks(&self, locks: Option<Locks>) -> Result<Meaning, Wrong> {
        let prefix = self.text("prefix")?;
        let contended = self.truth("contended")?;
        let page = self.page()?;
        if let Some(Locks::One(name)) = locks {
            let is_page = ["prefix", "contended", "limit", "after"].iter().any(|key| self.get(key).is_some());
            let has_detail = page.is_some_and(|(_, _, has_detail)| has_detail);
            return if is_page { Err(Wrong) } else { Ok(Meaning::OneLock { name, has_detail }) };
        }
        let is_contended = contended.unwrap_or(false);
        if prefix.is_none() && !is_contended && page.is_none() {
            return Ok(Meaning::Locks);
        }
        let (limit, after, has_detail) = page.unwrap_or((1000, 0, false));
        Ok(Meaning::Page { prefix: prefix.unwrap_or_default(), is_contended, limit, after, has_detail })
    }

    fn connections(&self) -> Result<Meaning, Wrong> {
        let has_idle = self.truth("all")?.unwrap_or(false);
        let page = self.page()?;
        if !has_idle && page.is_none() {
            return Ok(Meaning::Connections);
        }
        let (limit, after, has_detail) = page.unwrap_or((1000, 0, false));
        Ok(Meaning::ConnectionsPage { has_idle, limit, after, has_detail })
    }

    /// What asks for one page of any listing: its limit, where it begins, and whether it has details.
    fn page(&self) -> Result<Option<(usize, u32, bool)>, Wrong> {
        let limit = self.whole_number("limit")?;
        if limit.is_some_and(|limit| !(1..=1000).contains(&limit)) {
            return Err(Wrong);
        }
        let after = match self.text("after")? {
            Some(after) if after.starts_with('+') || (after.starts_with('0') && after != "0") => return Err(Wrong),
            Some(after) => Some(after.parse::<u32>().map_err(|_| Wrong)?),
            None => None,
        };
        let has_detail = self.truth("detail")?.unwrap_or(false);
        if limit.is_none() && after.is_none() && !has_detail {
            return Ok(None);
        }
        let limit = usize::try_from(limit.unwrap_or(1000)).expect("a small number");
        Ok(Some((limit, after.unwrap_or(0), has_detail)))
    }
}

fn at_most(text: Option<String>, bytes_max: usize) -> Result<Option<String>, Wrong> {
    if text.as_ref().is_some_and(|text| text.len() > bytes_max) { Err(Wrong) } else { Ok(text) }
}

/// Rounded up; negative counts as 0.
fn nanos(seconds: f64) -> u64 {
    saturated((seconds.max(0.0) * 1_000_000_000.0).ceil())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and not negative")]
fn saturated(number: f64) -> u64 {
    if number >= 18_446_744_073_709_551_616.0 { u64::MAX } else { number as u64 }
}
