//! Turns a line into a request, or into an error that can be answered.
//!
//! A line is checked in a fixed order: first whether it is well-formed, then its `id`, then its `name`, then the rest.
//! So an error contains the `id` and the `name` whenever they could be read.

mod fast;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use self::fast::{recognise, recognise_line};

use super::Id;
use super::reply::{Outcome, Reason, Reply};
use crate::time::Span;

/// The longest name of a lock, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 1024;
/// The longest `id` that is a string, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 64;
/// The longest `client` of a `hello`, in bytes of UTF-8.
pub const CLIENT_BYTES_MAX: usize = 128;
/// The most locks on one page of `locks`.
pub const PAGE_LOCKS_MAX: u64 = 1000;
/// The largest whole number that a double holds exactly, like all those below it: 2^53 - 1.
pub const WHOLE_NUMBER_MAX: u64 = (1 << 53) - 1;
/// How deep arrays and objects may be nested, including the request's own object.
pub const NESTING_MAX: usize = 128;

/// The name of a lock: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8, any characters. Borrowed from the line unless it was
/// written with an escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockName<'a>(Cow<'a, str>);

impl<'a> LockName<'a> {
    /// Checks the length.
    ///
    /// # Errors The message says which of the two limits was missed.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Result<Self, &'static str> {
        let name = name.into();
        match name.len() {
            0 => Err("name must not be empty"),
            1..=NAME_BYTES_MAX => Ok(LockName(name)),
            _ => Err("name must have at most 1024 bytes"),
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A valid request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// Returned with every reply to it.
    pub id: Option<Id<Cow<'a, str>>>,
    /// The command.
    pub command: Command<'a>,
}

/// The command, by who executes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// About locks: for the engine.
    Locks(Operation<'a>),
    /// About the connection: sets the client's name and its idle limit, and returns the limits.
    Hello(Hello<'a>),
    /// End a connection.
    Kick {
        /// Its name, as in listings.
        connection: Cow<'a, str>,
    },
}

/// A command for the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation<'a> {
    /// Acquire a lock, or wait for it.
    Lock(Lock<'a>),
    /// Release a lock, or stop waiting for it.
    Unlock {
        /// The lock.
        name: LockName<'a>,
    },
    /// Release every lock and leave every queue.
    Reset,
    /// List every lock with its connections.
    Locks,
    /// List some locks, page by page.
    LocksPage(Page<'a>),
    /// List every connection with its locks.
    Connections,
    /// List the locks of this connection.
    MyLocks,
    /// Does nothing, but the connection is not idle.
    KeepAlive,
    /// Answers that the server is alive, in the order of the requests.
    Ping,
}

/// The fields of `lock`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock<'a> {
    /// The lock.
    pub name: LockName<'a>,
    /// The longest wait; none: forever. Zero never waits.
    pub timeout: Option<Span>,
    /// Do not wait if at least this many connections hold the lock or wait for it.
    pub queue_max: Option<u64>,
}

/// The fields of `locks`, if there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<'a> {
    /// Only locks whose names start with this.
    pub prefix: Cow<'a, str>,
    /// The most locks on the page: 1 to [`PAGE_LOCKS_MAX`].
    pub limit: usize,
    /// Where the previous page ended. 0 is the beginning.
    pub after: u32,
    /// Whether to list more of each lock than the names of its connections.
    pub has_detail: bool,
}

/// The fields of `hello`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello<'a> {
    /// The label of the connection in listings: at most [`CLIENT_BYTES_MAX`] bytes. None leaves it unchanged.
    pub client: Option<Cow<'a, str>>,
    /// The connection's own idle limit. None leaves it unchanged.
    pub max_idle: Option<Span>,
}

/// A line that is not a valid request: what to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct BadRequest<'a> {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: Cow<'static, str>,
    /// The name, if it could be read.
    pub name: Option<LockName<'a>>,
    /// The id, if it could be read.
    pub id: Option<Id<Cow<'a, str>>>,
}

impl BadRequest<'_> {
    /// The answer to the line.
    pub fn reply(&self) -> Reply<'_> {
        Reply {
            id: self.id.as_ref().map(Id::as_ref),
            outcome: Outcome::Error {
                reason: self.reason,
                message: Cow::Borrowed(&self.message),
                name: self.name.as_ref().map(LockName::as_str),
            },
        }
    }
}

/// Parses one line, without its `\n`.
///
/// # Errors [`BadRequest`], which contains the answer.
#[inline]
pub fn parse(line: &[u8]) -> Result<Request<'_>, BadRequest<'_>> {
    match recognise(line) {
        Some(request) => Ok(request),
        None => parse_in_full(line),
    }
}

/// Parses one line without the shortcut for plain ones. This is the definition of what a line means.
///
/// # Errors As for [`parse`], whose result is always the same.
pub fn parse_in_full(line: &[u8]) -> Result<Request<'_>, BadRequest<'_>> {
    let fields = match Fields::read(line) {
        Ok(fields) => fields,
        Err(LineError { reason, message }) => return Err(BadRequest { reason, message, name: None, id: None }),
    };
    let word = Text::read(fields.get(Field::Command));
    let of_command = match &word {
        Text::Is(word) => fields_of(word),
        Text::Absent | Text::Other => None,
    };
    // If the command is unknown, the name counts: it comes before the rest.
    let of_command = of_command.unwrap_or(&[Field::Name]);
    let counted = [Field::Command, Field::Id].iter().chain(of_command).filter_map(|field| fields.get(*field));
    let well_formed = counted.into_iter().try_for_each(check_surrogates);
    let id = read_id(fields.get(Field::Id));
    let name = if of_command.contains(&Field::Name) { read_name(fields.get(Field::Name)) } else { Ok(None) };

    let command = well_formed
        .and(id.as_ref().map(drop).map_err(LineError::clone))
        .and(name.clone())
        .and_then(|name| read_command(&word, name, &fields));
    let id = id.unwrap_or(None);
    match command {
        Ok(command) => Ok(Request { id, command }),
        Err(LineError { reason, message }) => Err(BadRequest { reason, message, name: name.unwrap_or(None), id }),
    }
}

/// The fields of each command, besides `command` and `id`. All others are ignored. None: there is no such command.
fn fields_of(command: &str) -> Option<&'static [Field]> {
    Some(match command {
        "lock" => &[Field::Name, Field::Timeout, Field::QueueMax],
        "unlock" => &[Field::Name],
        "locks" => &[Field::Prefix, Field::Limit, Field::After, Field::Detail],
        "hello" => &[Field::Client, Field::MaxIdle],
        "kick" => &[Field::Connection],
        "reset" | "connections" | "my_locks" | "keep_alive" | "ping" => &[],
        _ => return None,
    })
}

fn read_command<'a>(
    word: &Text<'a>,
    name: Option<LockName<'a>>,
    fields: &Fields<'a>,
) -> Result<Command<'a>, LineError> {
    let word = match word {
        Text::Is(word) => word.as_ref(),
        Text::Absent => return Err(LineError::invalid_request("command is missing")),
        Text::Other => return Err(LineError::invalid_request("command must be a string")),
    };
    let needs_name = || name.ok_or(LineError::invalid_request("name is missing"));
    Ok(match word {
        "lock" => Command::Locks(Operation::Lock(Lock {
            name: needs_name()?,
            timeout: read_timeout(fields.get(Field::Timeout))?,
            queue_max: read_queue_max(fields.get(Field::QueueMax))?,
        })),
        "unlock" => Command::Locks(Operation::Unlock { name: needs_name()? }),
        "reset" => Command::Locks(Operation::Reset),
        "locks" => Command::Locks(read_page(fields)?.map_or(Operation::Locks, Operation::LocksPage)),
        "connections" => Command::Locks(Operation::Connections),
        "my_locks" => Command::Locks(Operation::MyLocks),
        "keep_alive" => Command::Locks(Operation::KeepAlive),
        "ping" => Command::Locks(Operation::Ping),
        "hello" => Command::Hello(Hello {
            client: read_client(fields.get(Field::Client))?,
            max_idle: read_max_idle(fields.get(Field::MaxIdle))?,
        }),
        "kick" => match Text::read(fields.get(Field::Connection)) {
            Text::Is(connection) => Command::Kick { connection },
            Text::Absent => return Err(LineError::invalid_request("connection is missing")),
            Text::Other => return Err(LineError::invalid_request("connection must be a string")),
        },
        unknown => {
            // Truncated: the word may be as long as the line.
            let shown: String = unknown.chars().take(32).collect();
            let message = format!("there is no command {shown:?}").into();
            return Err(LineError { reason: Reason::UnknownCommand, message });
        }
    })
}

fn read_id(raw: Option<&RawValue>) -> Result<Option<Id<Cow<'_, str>>>, LineError> {
    if let Some(number) = raw.and_then(number) {
        return match whole_number(number) {
            Some(number) if number <= WHOLE_NUMBER_MAX => Ok(Some(Id::Number(number))),
            _ => Err(LineError::invalid_request("id must be a whole number from 0 to 9007199254740991, or a string")),
        };
    }
    match Text::read(raw) {
        Text::Absent => Ok(None),
        Text::Is(text) if text.len() <= ID_BYTES_MAX => Ok(Some(Id::Text(text))),
        Text::Is(_) => Err(LineError::invalid_request("id must have at most 64 bytes")),
        Text::Other => Err(LineError::invalid_request("id must be a string or a whole number")),
    }
}

fn read_name(raw: Option<&RawValue>) -> Result<Option<LockName<'_>>, LineError> {
    match Text::read(raw) {
        Text::Absent => Ok(None),
        Text::Is(text) => LockName::new(text).map(Some).map_err(LineError::invalid_request),
        Text::Other => Err(LineError::invalid_request("name must be a string")),
    }
}

fn read_timeout(raw: Option<&RawValue>) -> Result<Option<Span>, LineError> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let seconds = number(raw).ok_or(LineError::invalid_request("timeout must be a number of seconds"))?;
    Ok(Some(Span::from_secs_f64(seconds)))
}

fn read_queue_max(raw: Option<&RawValue>) -> Result<Option<u64>, LineError> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let whole = number(raw).and_then(whole_number);
    whole.map(Some).ok_or(LineError::invalid_request("queue_max must be a whole number, 0 or more"))
}

/// None if no field asks for a page.
fn read_page<'a>(fields: &Fields<'a>) -> Result<Option<Page<'a>>, LineError> {
    let prefix = match Text::read(fields.get(Field::Prefix)) {
        Text::Absent => None,
        Text::Is(prefix) => Some(prefix),
        Text::Other => return Err(LineError::invalid_request("prefix must be a string")),
    };
    let limit = match present(fields.get(Field::Limit)).map(|raw| number(raw).and_then(whole_number)) {
        None => None,
        Some(Some(limit @ 1..=PAGE_LOCKS_MAX)) => usize::try_from(limit).ok(),
        Some(_) => return Err(LineError::invalid_request("limit must be a whole number from 1 to 1000")),
    };
    let after = match Text::read(fields.get(Field::After)) {
        Text::Absent => None,
        // Only as it was sent: not `+5` or `007`.
        Text::Is(after) => Some(after.parse().ok().filter(|slot: &u32| slot.to_string() == after)),
        Text::Other => Some(None),
    };
    if after == Some(None) {
        return Err(LineError::invalid_request("after must be the next of a page"));
    }
    let has_detail = match present(fields.get(Field::Detail)).map(RawValue::get) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(LineError::invalid_request("detail must be true or false")),
    };
    let is_page = prefix.is_some() || limit.is_some() || after.is_some() || has_detail;
    Ok(is_page.then(|| Page {
        prefix: prefix.unwrap_or_default(),
        limit: limit.unwrap_or(usize::try_from(PAGE_LOCKS_MAX).expect("a small number")),
        after: after.flatten().unwrap_or(0),
        has_detail,
    }))
}

fn read_client(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, LineError> {
    match Text::read(raw) {
        Text::Absent => Ok(None),
        Text::Is(client) if client.len() <= CLIENT_BYTES_MAX => Ok(Some(client)),
        Text::Is(_) => Err(LineError::invalid_request("client must have at most 128 bytes")),
        Text::Other => Err(LineError::invalid_request("client must be a string")),
    }
}

fn read_max_idle(raw: Option<&RawValue>) -> Result<Option<Span>, LineError> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let seconds = number(raw).filter(|seconds| *seconds > 0.0);
    let seconds = seconds.ok_or(LineError::invalid_request("max_idle must be a number of seconds above 0"))?;
    Ok(Some(Span::from_secs_f64(seconds)))
}

/// A field with the value `null` counts as absent.
fn present(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// The value as a number, if it is one. That it fits a double was checked before.
fn number(raw: &RawValue) -> Option<f64> {
    matches!(raw.get().as_bytes()[0], b'-' | b'0'..=b'9').then(|| raw.get().parse().ok()).flatten()
}

/// `2`, `2.0` and `2e0` are all the whole number 2. One beyond 64 bits saturates.
fn whole_number(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturates as said")]
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}

/// The value of a field that has to be a string.
enum Text<'a> {
    Absent,
    Is(Cow<'a, str>),
    Other,
}

impl<'a> Text<'a> {
    fn read(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = present(raw) else { return Text::Absent };
        let Some(inner) = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Text::Other;
        };
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Text::Is(Cow::Borrowed(inner));
        }
        // Only an unpaired surrogate can be wrong with it, and that makes the whole line invalid.
        serde_json::from_str(raw.get()).map_or(Text::Other, |text| Text::Is(Cow::Owned(text)))
    }
}

/// What is wrong with a line, before its name and id are known.
#[derive(Clone)]
struct LineError {
    reason: Reason,
    message: Cow<'static, str>,
}

impl LineError {
    fn invalid_json(message: impl Into<Cow<'static, str>>) -> Self {
        LineError { reason: Reason::InvalidJson, message: message.into() }
    }

    fn invalid_request(message: &'static str) -> Self {
        LineError { reason: Reason::InvalidRequest, message: message.into() }
    }
}

/// The fields that some command has, as they are in the line. The last one of a repeated key.
#[derive(Default)]
struct Fields<'a>([Option<&'a RawValue>; FIELDS]);

/// A field that some command has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Command,
    Id,
    Name,
    Timeout,
    QueueMax,
    Prefix,
    Limit,
    After,
    Detail,
    Client,
    MaxIdle,
    Connection,
}

const FIELDS: usize = Field::Connection as usize + 1;

impl Field {
    fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "command" => Field::Command,
            "id" => Field::Id,
            "name" => Field::Name,
            "timeout" => Field::Timeout,
            "queue_max" => Field::QueueMax,
            "prefix" => Field::Prefix,
            "limit" => Field::Limit,
            "after" => Field::After,
            "detail" => Field::Detail,
            "client" => Field::Client,
            "max_idle" => Field::MaxIdle,
            "connection" => Field::Connection,
            _ => return None,
        })
    }
}

impl<'a> Fields<'a> {
    fn get(&self, field: Field) -> Option<&'a RawValue> {
        self.0[field as usize]
    }

    /// Checks that the whole line is well-formed, including what is ignored.
    fn read(line: &'a [u8]) -> Result<Self, LineError> {
        let text = std::str::from_utf8(line).map_err(|_| LineError::invalid_json("the line is not UTF-8"))?;
        let ill_formed = |error: serde_json::Error| LineError::invalid_json(format!("the line is not JSON: {error}"));
        if !text.trim_ascii_start().starts_with('{') {
            let value: &RawValue = serde_json::from_str(text).map_err(ill_formed)?;
            check_skipped(value.get(), 0)?;
            return Err(LineError::invalid_request("a request must be an object"));
        }
        let mut collector = Collector { fields: Fields::default(), fault: None };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        collector.collect(&mut deserializer).and_then(|()| deserializer.end()).map_err(ill_formed)?;
        collector.fault.map_or(Ok(collector.fields), Err)
    }
}

/// serde's derive refuses repeated keys, so this is written by hand. Values stay raw: an error in one may be reported
/// only once the whole line is known to be well-formed.
struct Collector<'a> {
    fields: Fields<'a>,
    /// The first value that exceeds our limits on well-formed JSON.
    fault: Option<LineError>,
}

impl<'a> Collector<'a> {
    fn collect<D: Deserializer<'a>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for &mut Collector<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        // Keys stay raw too: a key with an unpaired surrogate is an unknown field, so it is ignored.
        while let Some(key) = map.next_key::<&'a RawValue>()? {
            let value: &'a RawValue = map.next_value()?;
            if self.fault.is_none() {
                self.fault = check_skipped(value.get(), 1).err();
            }
            if let Text::Is(key) = Text::read(Some(key))
                && let Some(field) = Field::of_key(&key)
            {
                self.fields.0[field as usize] = Some(value);
            }
        }
        Ok(())
    }
}

/// A string that counts must be valid text, without unpaired surrogates. (Ignored strings are not checked.)
fn check_surrogates(value: &RawValue) -> Result<(), LineError> {
    if memchr::memchr(b'\\', value.get().as_bytes()).is_none() {
        return Ok(());
    }
    let decoded: Result<serde_json::Value, _> = serde_json::from_str(value.get());
    decoded.map(drop).map_err(|_| LineError::invalid_json("an escape is an unpaired surrogate"))
}

/// serde_json skips an ignored value without checking its depth or the size of its numbers. The answer must not depend
/// on whether a field is read, so both are checked here. `value` is known to be JSON, inside `depth` others.
fn check_skipped(value: &str, mut depth: usize) -> Result<(), LineError> {
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(LineError::invalid_json("arrays and objects are nested deeper than 128"));
                }
            }
            b'}' | b']' => depth -= 1,
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                if !value[at..at + length].parse::<f64>().is_ok_and(f64::is_finite) {
                    return Err(LineError::invalid_json("a number does not fit a double"));
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
