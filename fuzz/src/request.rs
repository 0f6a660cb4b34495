//! What a line requests, read from its whole JSON value.

use officer::time::Span;
use officer::wire::Id;
use officer::wire::request::{
    BadRequest, Command, ConnectionsPage, Hello, Lock, Operation, Page, Request, parse, parse_in_full, parse_strictly,
    recognise, recognise_line,
};

use crate::json::Json;

/// A line as it is understood.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// Text, or a number as text with a `#` in front.
    id: Option<String>,
    meaning: Meaning,
}

#[derive(Debug, PartialEq)]
enum Meaning {
    Lock { name: String, timeout_ns: Option<u64>, queue_max: Option<u64> },
    Unlock { name: String },
    Reset,
    Locks,
    Page { prefix: String, limit: usize, after: u32, has_detail: bool },
    Connections,
    ConnectionsPage { has_idle: bool, limit: usize, after: u32, has_detail: bool },
    MyLocks,
    KeepAlive,
    Ping,
    Hello { client: Option<String>, max_idle_ns: Option<u64>, strict: Option<bool> },
    Kick { connection: String },
    Refused { reason: &'static str, name: Option<String> },
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
        Ok(Request { id, command }) => {
            Read { id: id.as_ref().map(Id::as_ref).map(id_text), meaning: meaning_of(command) }
        }
        Err(bad) => {
            let meaning = Meaning::Refused {
                reason: bad.reason.as_str(),
                name: bad.name.as_ref().map(|name| name.as_str().to_owned()),
            };
            assert_is_a_line(&bad.reply());
            Read { id: bad.id.as_ref().map(Id::as_ref).map(id_text), meaning }
        }
    }
}

/// What the shortcut takes is one line, and what the general parser reads, whatever comes after it.
pub fn check_shortcut(mut lines: &str) {
    loop {
        let (line, end) = match lines.find('\n') {
            Some(end) => (&lines[..end], Some(end + 1)),
            None => (lines, None),
        };
        let alone = recognise(line.as_bytes());
        let in_lines = recognise_line(lines);
        match end {
            Some(end) => assert_eq!(in_lines, alone.clone().map(|request| (request, end)), "{lines}"),
            None => assert_eq!(in_lines, None, "{lines}: its end is not there"),
        }
        if let Some(request) = alone {
            assert_eq!(Ok(request), parse_in_full(line.as_bytes()), "{line}: the shortcut says something else");
        }
        let Some(end) = end else { return };
        lines = &lines[end..];
    }
}

fn meaning_of(command: Command<'_>) -> Meaning {
    let operation = match command {
        Command::Locks(operation) => operation,
        Command::Hello(Hello { client, max_idle, strict }) => {
            let max_idle_ns = max_idle.map(Span::as_nanos);
            return Meaning::Hello { client: client.map(Into::into), max_idle_ns, strict };
        }
        Command::ConnectionsPage(ConnectionsPage { has_idle, limit, after, has_detail }) => {
            return Meaning::ConnectionsPage { has_idle, limit, after, has_detail };
        }
        Command::Kick { connection } => return Meaning::Kick { connection: connection.into() },
    };
    match operation {
        Operation::Lock(Lock { name, timeout, queue_max, .. }) => {
            Meaning::Lock { name: name.as_str().to_owned(), timeout_ns: timeout.map(Span::as_nanos), queue_max }
        }
        Operation::Unlock { name, .. } => Meaning::Unlock { name: name.as_str().to_owned() },
        Operation::Reset => Meaning::Reset,
        Operation::Locks => Meaning::Locks,
        Operation::LocksPage(Page { prefix, limit, after, has_detail }) => {
            Meaning::Page { prefix: prefix.into(), limit, after, has_detail }
        }
        Operation::Connections => Meaning::Connections,
        Operation::MyLocks => Meaning::MyLocks,
        Operation::KeepAlive => Meaning::KeepAlive,
        Operation::Ping => Meaning::Ping,
    }
}

fn id_text(id: Id<&str>) -> String {
    match id {
        Id::Number(number) => format!("#{number}"),
        Id::Text(text) => text.to_owned(),
    }
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
    let refused = |reason, name, id| Read { id, meaning: Meaning::Refused { reason, name } };
    let Some(value) = value else { return refused("invalid_json", None, None) };
    let Json::Object(fields) = value else { return refused("invalid_request", None, None) };
    let fields = Fields(fields);

    let counts = match fields.get("command") {
        Some(Json::Text(Some(word))) => fields_of(word),
        _ => None,
    };
    let is_known = counts.is_some();
    let counts = counts.unwrap_or(&["name"]);
    let half_pair = |key: &&str| fields.get(key).is_some_and(Json::has_half_pair);
    let has_half_pair = ["command", "id"].iter().chain(counts).any(half_pair);
    let id = fields.id();
    let name = if counts.contains(&"name") { fields.name() } else { Ok(None) };
    let (id_read, name_read) = (id.clone().unwrap_or(None), name.clone().unwrap_or(None));

    if has_half_pair {
        return refused("invalid_json", name_read, id_read);
    }
    if id.is_err() || name.is_err() {
        return refused("invalid_request", name_read, id_read);
    }
    match fields.get("command") {
        Some(Json::Text(Some(word))) if is_known => match fields.meaning(word, name_read.clone()) {
            Ok(_) if is_strict && fields.has_other_than(word) => refused("invalid_request", name_read, id_read),
            Ok(meaning) => Read { id: id_read, meaning },
            Err(Wrong) => refused("invalid_request", name_read, id_read),
        },
        Some(Json::Text(_)) => refused("unknown_command", name_read, id_read),
        _ => refused("invalid_request", name_read, id_read),
    }
}

const COMMANDS: [&str; 10] =
    ["lock", "unlock", "reset", "locks", "connections", "my_locks", "keep_alive", "ping", "hello", "kick"];

fn has_field(command: &str, key: &str) -> bool {
    ["command", "id"].contains(&key) || fields_of(command).is_some_and(|fields| fields.contains(&key))
}

fn fields_of(command: &str) -> Option<&'static [&'static str]> {
    Some(match command {
        "lock" => &["name", "timeout", "queue_max"],
        "unlock" => &["name"],
        "locks" => &["prefix", "limit", "after", "detail"],
        "connections" => &["all", "limit", "after", "detail"],
        "hello" => &["client", "max_idle", "strict"],
        "kick" => &["connection"],
        "reset" | "my_locks" | "keep_alive" | "ping" => &[],
        _ => return None,
    })
}

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

    fn id(&self) -> Result<Option<String>, Wrong> {
        match self.get("id") {
            Some(Json::Number(_)) => match self.whole_number("id")? {
                Some(number) if number < 1 << 53 => Ok(Some(format!("#{number}"))),
                _ => Err(Wrong),
            },
            _ => self.text("id").and_then(|id| at_most(id, 64)),
        }
    }

    fn name(&self) -> Result<Option<String>, Wrong> {
        let name = at_most(self.text("name")?, 1024)?;
        if name.as_deref() == Some("") { Err(Wrong) } else { Ok(name) }
    }

    fn meaning(&self, command: &str, name: Option<String>) -> Result<Meaning, Wrong> {
        Ok(match command {
            "lock" => Meaning::Lock {
                name: name.ok_or(Wrong)?,
                timeout_ns: self.number("timeout")?.map(nanos),
                queue_max: self.whole_number("queue_max")?,
            },
            "unlock" => Meaning::Unlock { name: name.ok_or(Wrong)? },
            "reset" => Meaning::Reset,
            "locks" => self.locks()?,
            "connections" => self.connections()?,
            "my_locks" => Meaning::MyLocks,
            "keep_alive" => Meaning::KeepAlive,
            "ping" => Meaning::Ping,
            "hello" => Meaning::Hello {
                client: at_most(self.text("client")?, 128)?,
                max_idle_ns: match self.number("max_idle")? {
                    Some(seconds) if seconds <= 0.0 => return Err(Wrong),
                    seconds => seconds.map(nanos),
                },
                strict: self.truth("strict")?,
            },
            "kick" => Meaning::Kick { connection: self.text("connection")?.ok_or(Wrong)? },
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

    fn locks(&self) -> Result<Meaning, Wrong> {
        let prefix = self.text("prefix")?;
        let page = self.page()?;
        if prefix.is_none() && page.is_none() {
            return Ok(Meaning::Locks);
        }
        let (limit, after, has_detail) = page.unwrap_or((1000, 0, false));
        Ok(Meaning::Page { prefix: prefix.unwrap_or_default(), limit, after, has_detail })
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
