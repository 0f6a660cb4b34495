//! What a line asks for, read from its whole JSON value.

use officer::wire::Id;
use officer::wire::request::{
    Command, Hello, Lock, Operation, Page, Request, parse, parse_in_full, recognise, recognise_line,
};

use crate::json::Json;

/// A line as it is understood.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// Text, or a number written as text with a `#` before it.
    id: Option<String>,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Lock { name: String, timeout_ns: Option<u64>, queue_max: Option<u64> },
    Unlock { name: String },
    Reset,
    Locks,
    Page { prefix: String, limit: usize, after: u32, has_detail: bool },
    Connections,
    MyLocks,
    KeepAlive,
    Ping,
    Hello { client: Option<String>, max_idle_ns: Option<u64> },
    Kick { connection: String },
    Refused { reason: &'static str, name: Option<String> },
}

/// As the server understands it, with its shortcut for plain lines and without.
pub fn by_the_server(line: &[u8]) -> Read {
    let parsed = parse(line);
    assert_eq!(parsed, parse_in_full(line), "{}: the shortcut says something else", line.escape_ascii());
    if let Ok(text) = std::str::from_utf8(line) {
        check_shortcut(&format!("{text}\n{text}"));
    }
    match parsed {
        Ok(Request { id, command }) => Read { id: id.as_ref().map(Id::as_ref).map(id_text), what: what(command) },
        Err(bad) => {
            let what = What::Refused {
                reason: bad.reason.as_str(),
                name: bad.name.as_ref().map(|name| name.as_str().to_owned()),
            };
            assert_is_a_line(&bad.reply());
            Read { id: bad.id.as_ref().map(Id::as_ref).map(id_text), what }
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

fn what(command: Command<'_>) -> What {
    let operation = match command {
        Command::Locks(operation) => operation,
        Command::Hello(Hello { client, max_idle_ns, .. }) => {
            return What::Hello { client: client.map(Into::into), max_idle_ns };
        }
        Command::Kick { connection } => return What::Kick { connection: connection.into() },
    };
    match operation {
        Operation::Lock(Lock { name, timeout_ns, queue_max, .. }) => {
            What::Lock { name: name.as_str().to_owned(), timeout_ns, queue_max }
        }
        Operation::Unlock { name, .. } => What::Unlock { name: name.as_str().to_owned() },
        Operation::Reset => What::Reset,
        Operation::Locks => What::Locks,
        Operation::LocksPage(Page { prefix, limit, after, has_detail }) => {
            What::Page { prefix: prefix.into(), limit, after, has_detail }
        }
        Operation::Connections => What::Connections,
        Operation::MyLocks => What::MyLocks,
        Operation::KeepAlive => What::KeepAlive,
        Operation::Ping => What::Ping,
    }
}

fn id_text(id: Id<&str>) -> String {
    match id {
        Id::Number(number) => format!("#{number}"),
        Id::Text(text) => text.to_owned(),
    }
}

/// What answers a bad line, which may repeat parts of it, is one line of well-formed JSON.
fn assert_is_a_line(reply: &officer::wire::reply::Reply<'_>) {
    let mut encoded = Vec::new();
    reply.encode(&mut encoded);
    let line = encoded.strip_suffix(b"\n").expect("a reply ends its line");
    assert!(line.iter().all(|&byte| byte >= 0x20), "{reply:?}");
    let read = Json::read(line).expect("a reply is well-formed");
    assert!(!read.has_half_pair());
}

/// As the protocol has it. `value` is the line's, none if it is not well-formed.
pub fn by_the_protocol(value: Option<&Json>) -> Read {
    let refused = |reason, name, id| Read { id, what: What::Refused { reason, name } };
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
        Some(Json::Text(Some(word))) if is_known => match fields.what(word, name_read.clone()) {
            Ok(what) => Read { id: id_read, what },
            Err(Wrong) => refused("invalid_request", name_read, id_read),
        },
        Some(Json::Text(_)) => refused("unknown_command", name_read, id_read),
        _ => refused("invalid_request", name_read, id_read),
    }
}

fn fields_of(command: &str) -> Option<&'static [&'static str]> {
    Some(match command {
        "lock" => &["name", "timeout", "queue_max"],
        "unlock" => &["name"],
        "locks" => &["prefix", "limit", "after", "detail"],
        "hello" => &["client", "max_idle"],
        "kick" => &["connection"],
        "reset" | "connections" | "my_locks" | "keep_alive" | "ping" => &[],
        _ => return None,
    })
}

/// A field is missing or of the wrong kind.
#[derive(Clone)]
struct Wrong;

struct Fields<'a>(&'a [(Option<String>, Json)]);

impl Fields<'_> {
    /// The last of that key counts; null counts as absent.
    fn get(&self, key: &str) -> Option<&Json> {
        let found = self.0.iter().rfind(|(found, _)| found.as_deref() == Some(key));
        found.map(|(_, value)| value).filter(|value| **value != Json::Null)
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

    fn what(&self, command: &str, name: Option<String>) -> Result<What, Wrong> {
        Ok(match command {
            "lock" => What::Lock {
                name: name.ok_or(Wrong)?,
                timeout_ns: self.number("timeout")?.map(nanos),
                queue_max: self.whole_number("queue_max")?,
            },
            "unlock" => What::Unlock { name: name.ok_or(Wrong)? },
            "reset" => What::Reset,
            "locks" => self.locks()?,
            "connections" => What::Connections,
            "my_locks" => What::MyLocks,
            "keep_alive" => What::KeepAlive,
            "ping" => What::Ping,
            "hello" => What::Hello {
                client: at_most(self.text("client")?, 128)?,
                max_idle_ns: match self.number("max_idle")? {
                    Some(seconds) if seconds <= 0.0 => return Err(Wrong),
                    seconds => seconds.map(nanos),
                },
            },
            "kick" => What::Kick { connection: self.text("connection")?.ok_or(Wrong)? },
            _ => unreachable!("only commands with known fields come here"),
        })
    }

    fn locks(&self) -> Result<What, Wrong> {
        let prefix = self.text("prefix")?;
        let limit = self.whole_number("limit")?;
        if limit.is_some_and(|limit| !(1..=1000).contains(&limit)) {
            return Err(Wrong);
        }
        let after = match self.text("after")? {
            Some(after) if after.starts_with('+') || (after.starts_with('0') && after != "0") => return Err(Wrong),
            Some(after) => Some(after.parse::<u32>().map_err(|_| Wrong)?),
            None => None,
        };
        let has_detail = match self.get("detail") {
            None => false,
            Some(Json::Bool(has_detail)) => *has_detail,
            Some(_) => return Err(Wrong),
        };
        if prefix.is_none() && limit.is_none() && after.is_none() && !has_detail {
            return Ok(What::Locks);
        }
        let limit = usize::try_from(limit.unwrap_or(1000)).expect("a small number");
        Ok(What::Page { prefix: prefix.unwrap_or_default(), limit, after: after.unwrap_or(0), has_detail })
    }
}

fn at_most(text: Option<String>, bytes_max: usize) -> Result<Option<String>, Wrong> {
    if text.as_ref().is_some_and(|text| text.len() > bytes_max) { Err(Wrong) } else { Ok(text) }
}

/// Rounded up; what is below 0 counts as 0.
fn nanos(seconds: f64) -> u64 {
    saturated((seconds.max(0.0) * 1_000_000_000.0).ceil())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and not negative")]
fn saturated(number: f64) -> u64 {
    if number >= 18_446_744_073_709_551_616.0 { u64::MAX } else { number as u64 }
}
