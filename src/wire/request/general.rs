//! The general parser: any line, field by field.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{Field, Fields, Rejection, Text, check_surrogates, number, present, whole_number};
use super::{
    BadRequest, CLIENT_BYTES_MAX, Command, ConnectionsPage, Hello, ID_BYTES_MAX, Lock, LockName, Operation,
    PAGE_ROWS_MAX, Page, Request, WHOLE_NUMBER_MAX,
};
use crate::time::Span;
use crate::wire::Id;
use crate::wire::reply::Reason;

/// Parses one line without the shortcut for plain ones. This is the definition of what a line means.
///
/// # Errors
/// As for [`parse`](super::parse), whose result is always the same.
pub fn parse_in_full(line: &[u8]) -> Result<Request<'_>, BadRequest<'_>> {
    parse_line(line, false)
}

/// As [`parse_in_full`], for a client that wants to hear of its typing errors: a field that the command does not have is
/// one more error.
///
/// # Errors
/// As for [`parse`](super::parse), and [`Reason::InvalidRequest`] for a field that the command does not have.
pub fn parse_strictly(line: &[u8]) -> Result<Request<'_>, BadRequest<'_>> {
    parse_line(line, true)
}

fn parse_line(line: &[u8], is_strict: bool) -> Result<Request<'_>, BadRequest<'_>> {
    let fields = match Fields::read(line) {
        Ok(fields) => fields,
        Err(Rejection { reason, message }) => {
            return Err(BadRequest { reason, message, name: None, names: None, owner: None, id: None });
        }
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
        .and(id.as_ref().map(drop).map_err(Rejection::clone))
        .and(name.clone())
        .and_then(|name| read_command(&word, name, &fields))
        .and_then(|command| if is_strict { check_fields(&fields, of_command).map(|()| command) } else { Ok(command) });
    let id = id.unwrap_or(None);
    match command {
        Ok(command) => Ok(Request { id, owner: None, command }),
        Err(Rejection { reason, message }) => {
            Err(BadRequest { reason, message, name: name.unwrap_or(None), names: None, owner: None, id })
        }
    }
}

/// The fields of each command, besides `command` and `id`. All others are ignored. None: there is no such command.
fn fields_of(command: &str) -> Option<&'static [Field]> {
    Some(match command {
        "lock" => &[Field::Name, Field::Timeout, Field::QueueMax],
        "unlock" => &[Field::Name],
        "locks" => &[Field::Prefix, Field::Limit, Field::After, Field::Detail],
        "connections" => &[Field::All, Field::Limit, Field::After, Field::Detail],
        "hello" => &[Field::Client, Field::MaxIdle, Field::Strict],
        "kick" => &[Field::Connection],
        "reset" | "my_locks" | "keep_alive" | "ping" => &[],
        _ => return None,
    })
}

/// What a strict connection is told of fields that others may send in vain.
fn check_fields(fields: &Fields<'_>, of_command: &[Field]) -> Result<(), Rejection> {
    match fields.other_than(&[&[Field::Command, Field::Id], of_command].concat()) {
        None => Ok(()),
        Some(other) => {
            let message = format!("this command has no field {:?}", cut(&other)).into();
            Err(Rejection { reason: Reason::InvalidRequest, message })
        }
    }
}

fn read_command<'a>(
    word: &Text<'a>,
    name: Option<LockName<'a>>,
    fields: &Fields<'a>,
) -> Result<Command<'a>, Rejection> {
    let word = match word {
        Text::Is(word) => word.as_ref(),
        Text::Absent => return Err(Rejection::invalid_request("command is missing")),
        Text::Other => return Err(Rejection::invalid_request("command must be a string")),
    };
    let needs_name = || name.ok_or(Rejection::invalid_request("name is missing"));
    Ok(match word {
        "lock" => Command::Locks(Operation::Lock(Lock {
            name: needs_name()?,
            timeout: read_timeout(fields.get(Field::Timeout))?,
            queue_max: read_queue_max(fields.get(Field::QueueMax))?,
            has_fence: false,
            is_plain: true,
        })),
        "unlock" => Command::Locks(Operation::Unlock { name: needs_name()?, token: None }),
        "reset" => Command::Locks(Operation::Reset),
        "locks" => Command::Locks(read_page(fields)?.map_or(Operation::Locks, Operation::LocksPage)),
        "connections" => match read_connections_page(fields)? {
            Some(page) => Command::ConnectionsPage(page),
            None => Command::Locks(Operation::Connections),
        },
        "my_locks" => Command::Locks(Operation::MyLocks),
        "keep_alive" => Command::Locks(Operation::KeepAlive),
        "ping" => Command::Locks(Operation::Ping),
        "hello" => Command::Hello(Hello {
            client: read_client(fields.get(Field::Client))?,
            max_idle: read_max_idle(fields.get(Field::MaxIdle))?,
            notices: None,
            strict: read_bool(fields.get(Field::Strict), "strict must be true or false")?,
        }),
        "kick" => match Text::read(fields.get(Field::Connection)) {
            Text::Is(connection) => Command::Kick { connection },
            Text::Absent => return Err(Rejection::invalid_request("connection is missing")),
            Text::Other => return Err(Rejection::invalid_request("connection must be a string")),
        },
        unknown => {
            let message = format!("there is no command {:?}", cut(unknown)).into();
            return Err(Rejection { reason: Reason::UnknownCommand, message });
        }
    })
}

fn read_id(raw: Option<&RawValue>) -> Result<Option<Id<Cow<'_, str>>>, Rejection> {
    if let Some(number) = raw.and_then(number) {
        return match whole_number(number) {
            Some(number) if number <= WHOLE_NUMBER_MAX => Ok(Some(Id::Number(number))),
            _ => Err(Rejection::invalid_request("id must be a whole number from 0 to 9007199254740991, or a string")),
        };
    }
    match Text::read(raw) {
        Text::Absent => Ok(None),
        Text::Is(text) if text.len() <= ID_BYTES_MAX => Ok(Some(Id::Text(text))),
        Text::Is(_) => Err(Rejection::invalid_request("id must have at most 64 bytes")),
        Text::Other => Err(Rejection::invalid_request("id must be a string or a whole number")),
    }
}

fn read_name(raw: Option<&RawValue>) -> Result<Option<LockName<'_>>, Rejection> {
    match Text::read(raw) {
        Text::Absent => Ok(None),
        Text::Is(text) => LockName::new(text).map(Some).map_err(Rejection::invalid_request),
        Text::Other => Err(Rejection::invalid_request("name must be a string")),
    }
}

fn read_timeout(raw: Option<&RawValue>) -> Result<Option<Span>, Rejection> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let seconds = number(raw).ok_or(Rejection::invalid_request("timeout must be a number of seconds"))?;
    Ok(Some(Span::from_secs_f64(seconds)))
}

fn read_queue_max(raw: Option<&RawValue>) -> Result<Option<u64>, Rejection> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let whole = number(raw).and_then(whole_number);
    whole.map(Some).ok_or(Rejection::invalid_request("queue_max must be a whole number, 0 or more"))
}

/// None if no field asks for a page.
fn read_page<'a>(fields: &Fields<'a>) -> Result<Option<Page<'a>>, Rejection> {
    let prefix = match Text::read(fields.get(Field::Prefix)) {
        Text::Absent => None,
        Text::Is(prefix) => Some(prefix),
        Text::Other => return Err(Rejection::invalid_request("prefix must be a string")),
    };
    let Window { limit, after, has_detail, is_asked_for } = Window::read(fields)?;
    let is_page = prefix.is_some() || is_asked_for;
    Ok(is_page.then(|| Page { prefix: prefix.unwrap_or_default(), limit, after, has_detail }))
}

/// None if no field asks for a page.
fn read_connections_page(fields: &Fields<'_>) -> Result<Option<ConnectionsPage>, Rejection> {
    let has_idle = read_bool(fields.get(Field::All), "all must be true or false")?.unwrap_or(false);
    let Window { limit, after, has_detail, is_asked_for } = Window::read(fields)?;
    Ok((has_idle || is_asked_for).then_some(ConnectionsPage { has_idle, limit, after, has_detail }))
}

/// The fields that every page has.
struct Window {
    limit: usize,
    after: u32,
    has_detail: bool,
    is_asked_for: bool,
}

impl Window {
    fn read(fields: &Fields<'_>) -> Result<Self, Rejection> {
        let limit = match present(fields.get(Field::Limit)).map(|raw| number(raw).and_then(whole_number)) {
            None => None,
            Some(Some(limit @ 1..=PAGE_ROWS_MAX)) => usize::try_from(limit).ok(),
            Some(_) => return Err(Rejection::invalid_request("limit must be a whole number from 1 to 1000")),
        };
        let after = match Text::read(fields.get(Field::After)) {
            Text::Absent => None,
            // Only as it was sent: not `+5` or `007`.
            Text::Is(after) => Some(after.parse().ok().filter(|slot: &u32| slot.to_string() == after)),
            Text::Other => Some(None),
        };
        if after == Some(None) {
            return Err(Rejection::invalid_request("after must be the next of a page"));
        }
        let has_detail = read_bool(fields.get(Field::Detail), "detail must be true or false")?.unwrap_or(false);
        Ok(Window {
            limit: limit.unwrap_or(usize::try_from(PAGE_ROWS_MAX).expect("a small number")),
            after: after.flatten().unwrap_or(0),
            has_detail,
            is_asked_for: limit.is_some() || after.is_some() || has_detail,
        })
    }
}

fn read_bool(raw: Option<&RawValue>, message: &'static str) -> Result<Option<bool>, Rejection> {
    match present(raw).map(RawValue::get) {
        None => Ok(None),
        Some("false") => Ok(Some(false)),
        Some("true") => Ok(Some(true)),
        Some(_) => Err(Rejection::invalid_request(message)),
    }
}

/// Text that may be as long as the line, cut short for a message.
fn cut(text: &str) -> String {
    text.chars().take(32).collect()
}

fn read_client(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, Rejection> {
    match Text::read(raw) {
        Text::Absent => Ok(None),
        Text::Is(client) if client.len() <= CLIENT_BYTES_MAX => Ok(Some(client)),
        Text::Is(_) => Err(Rejection::invalid_request("client must have at most 128 bytes")),
        Text::Other => Err(Rejection::invalid_request("client must be a string")),
    }
}

fn read_max_idle(raw: Option<&RawValue>) -> Result<Option<Span>, Rejection> {
    let Some(raw) = present(raw) else { return Ok(None) };
    let seconds = number(raw).filter(|seconds| *seconds > 0.0);
    let seconds = seconds.ok_or(Rejection::invalid_request("max_idle must be a number of seconds above 0"))?;
    Ok(Some(Span::from_secs_f64(seconds)))
}
