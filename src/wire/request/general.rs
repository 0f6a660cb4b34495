//! The general parser: any line, field by field.

use std::borrow::Cow;

use super::fields::{Field, Fields, Rejection, Text, check_surrogates};
use super::locking::{self, excluded};
use super::values::{Value, wrong};
use super::{
    BadRequest, CLIENT_BYTES_MAX, Command, ConnectionsPage, Hello, LOGIN_BYTES_MAX, LockName, Login, NAME_BYTES_MAX,
    Named, Names, Operation, PAGE_ROWS_MAX, Page, Request,
};
use crate::wire::reply::Reason;
use crate::wire::{Id, Owner};

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

fn parse_line<'a>(line: &'a [u8], is_strict: bool) -> Result<Request<'a>, BadRequest<'a>> {
    let bad = |Rejection { reason, message }, mut head: Head<'a>| {
        let (id, owner) = (head.id.take(), head.owner.take());
        BadRequest { reason, message, named: head.named(), owner, id }
    };
    let fields = Fields::read(line).map_err(|rejection| bad(rejection, Head::default()))?;
    let word = Text::read(fields.get(Field::Command));
    let of_command = match &word {
        Text::Is(word) => fields_of(word),
        Text::Absent | Text::Other => None,
    };
    // If the command is unknown, the name counts: it comes before the rest.
    let of_command = of_command.unwrap_or(&[Field::Name]);
    // The head is read a second time for an error, so that it need not be copied for every request.
    read_request(&word, &fields, of_command, is_strict)
        .map_err(|rejection| bad(rejection, Head::read(&fields, of_command)))
}

fn read_request<'a>(
    word: &Text<'a>,
    fields: &Fields<'a>,
    of_command: &[Field],
    is_strict: bool,
) -> Result<Request<'a>, Rejection> {
    let counted = [Field::Command, Field::Id].iter().chain(of_command).filter_map(|field| fields.get(*field));
    counted.into_iter().try_for_each(check_surrogates)?;
    let mut head = Head::read(fields, of_command);
    if let Some(fault) = head.fault.take() {
        return Err(fault);
    }
    let (id, owner) = (head.id.take(), head.owner.take());
    let command = read_command(word, head, fields)?;
    if is_strict {
        check_fields(fields, of_command)?;
    }
    Ok(Request { id, owner, command })
}

/// What is read before everything else, because errors repeat it. What can't be read is missing.
#[derive(Default)]
struct Head<'a> {
    id: Option<Id<Cow<'a, str>>>,
    owner: Option<Owner<Cow<'a, str>>>,
    name: Option<LockName<'a>>,
    names: Option<Names<'a>>,
    /// The first thing that is wrong with these.
    fault: Option<Rejection>,
}

impl<'a> Head<'a> {
    fn read(fields: &Fields<'a>, of_command: &[Field]) -> Self {
        let has = |field: Field| of_command.contains(&field);
        let mut fault = None;
        let id = readable(fields.id(Field::Id), &mut fault);
        let owner = if has(Field::Owner) { readable(fields.id(Field::Owner), &mut fault) } else { None };
        let name = if has(Field::Name) { readable(fields.name(), &mut fault) } else { None };
        let names = if has(Field::Names) { readable(fields.names(), &mut fault) } else { None };
        if name.is_some() && names.is_some() {
            fault.get_or_insert(Rejection::invalid_request("name is not possible with names"));
        }
        Head { id, owner, name, names, fault }
    }

    fn named(self) -> Option<Named<'a>> {
        let name = self.name.map(Named::One);
        self.names.map(Named::Several).or(name)
    }
}

fn readable<T>(value: Value<T>, fault: &mut Option<Rejection>) -> Option<T> {
    value.unwrap_or_else(|rejection| {
        fault.get_or_insert(rejection);
        None
    })
}

/// The fields of each command, besides `command` and `id`. All others are ignored. None: there is no such command.
fn fields_of(command: &str) -> Option<&'static [Field]> {
    Some(match command {
        "lock" => &[
            Field::Name,
            Field::Timeout,
            Field::QueueMax,
            Field::Owner,
            Field::Fence,
            Field::Mode,
            Field::Slots,
            Field::Lease,
            Field::Names,
            Field::Any,
            Field::Priority,
            Field::Deadlock,
            Field::MinHold,
            Field::LostDelay,
            Field::Label,
            Field::Progress,
            Field::Hint,
        ],
        "unlock" => &[Field::Name, Field::Names, Field::Owner, Field::Token],
        "renew" => &[Field::Name, Field::Names, Field::Owner, Field::Token, Field::Lease],
        "revoke" => &[Field::Name, Field::Owner, Field::Token, Field::Connection],
        "transfer" => &[Field::Name, Field::Owner, Field::Token, Field::To, Field::ToOwner],
        "reset" => &[Field::Owner],
        "my_locks" => &[Field::Owner, Field::Limit, Field::After, Field::Detail],
        "locks" => &[Field::Name, Field::Prefix, Field::Contended, Field::Limit, Field::After, Field::Detail],
        "connections" => &[Field::All, Field::Limit, Field::After, Field::Detail],
        "hello" => &[
            Field::Client,
            Field::MaxIdle,
            Field::Notices,
            Field::Strict,
            Field::Session,
            Field::Resume,
            Field::User,
            Field::Secret,
        ],
        "kick" => &[Field::Connection, Field::User],
        "watch" => &[Field::Prefix],
        "keep_alive" | "ping" | "unwatch" | "stats" => &[],
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

fn read_command<'a>(word: &Text<'a>, head: Head<'a>, fields: &Fields<'a>) -> Result<Command<'a>, Rejection> {
    let word = match word {
        Text::Is(word) => word.as_ref(),
        Text::Absent => return Err(Rejection::invalid_request("command is missing")),
        Text::Other => return Err(Rejection::invalid_request("command must be a string")),
    };
    Ok(match word {
        "lock" => Command::Locks(locking::lock(head.named().ok_or_else(locking::missing)?, fields)?),
        "unlock" => Command::Locks(locking::unlock(head.named().ok_or_else(locking::missing)?, fields)?),
        "renew" => Command::Locks(locking::renew(head.named().ok_or_else(locking::missing)?, fields)?),
        "transfer" => Command::Transfer(locking::transfer(head.name.ok_or_else(locking::missing)?, fields)?),
        "revoke" => Command::Revoke(locking::revoke(head.name.ok_or_else(locking::missing)?, fields)?),
        "reset" => Command::Locks(Operation::Reset),
        "locks" => Command::Locks(read_locks(head.name, fields)?),
        "connections" => match read_connections_page(fields)? {
            Some(page) => Command::ConnectionsPage(page),
            None => Command::Locks(Operation::Connections),
        },
        "my_locks" => Command::Locks(read_my_locks(fields)?),
        "keep_alive" => Command::Locks(Operation::KeepAlive),
        "ping" => Command::Locks(Operation::Ping),
        "hello" => Command::Hello(Hello {
            client: fields.text_within(Field::Client, CLIENT_BYTES_MAX)?,
            max_idle: fields.seconds_above_0(Field::MaxIdle)?,
            notices: fields.truth(Field::Notices)?,
            strict: fields.truth(Field::Strict)?,
            session: fields.session()?,
            resume: fields.text(Field::Resume)?,
            login: read_login(fields)?,
        }),
        "watch" => Command::Watch { prefix: fields.text_within(Field::Prefix, NAME_BYTES_MAX)?.unwrap_or_default() },
        "unwatch" => Command::Unwatch,
        "stats" => Command::Stats,
        "kick" => match (fields.text(Field::Connection)?, fields.text(Field::User)?) {
            (Some(connection), None) => Command::Kick { connection },
            (None, Some(user)) => Command::KickUser { user },
            (Some(_), Some(_)) => return Err(excluded(Field::User, "connection")),
            (None, None) => return Err(Rejection::invalid_request("connection is missing")),
        },
        unknown => {
            let message = format!("there is no command {:?}", cut(unknown)).into();
            return Err(Rejection { reason: Reason::UnknownCommand, message });
        }
    })
}

fn read_login<'a>(fields: &Fields<'a>) -> Result<Option<Login<'a>>, Rejection> {
    let user = fields.text_within(Field::User, LOGIN_BYTES_MAX)?;
    let secret = fields.text_within(Field::Secret, LOGIN_BYTES_MAX)?;
    match (user, secret) {
        (Some(user), Some(secret)) => Ok(Some(Login { user, secret })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Rejection::invalid_request("user needs a secret")),
        (None, Some(_)) => Err(Rejection::invalid_request("secret needs a user")),
    }
}

/// Text that may be as long as the line, cut short for a message.
fn cut(text: &str) -> String {
    text.chars().take(32).collect()
}

fn read_locks<'a>(name: Option<LockName<'a>>, fields: &Fields<'a>) -> Result<Operation<'a>, Rejection> {
    let prefix = fields.text(Field::Prefix)?;
    let contended = fields.truth(Field::Contended)?;
    let Window { limit, after, has_detail, is_asked_for } = Window::read(fields)?;
    if let Some(name) = name {
        let of_page = [Field::Prefix, Field::Contended, Field::Limit, Field::After];
        return match of_page.into_iter().find(|field| fields.has(*field)) {
            None => Ok(Operation::OneLock { name, has_detail }),
            Some(field) => Err(excluded(field, "name")),
        };
    }
    let is_contended = contended.unwrap_or(false);
    if prefix.is_none() && !is_contended && !is_asked_for {
        return Ok(Operation::Locks);
    }
    Ok(Operation::LocksPage(Page { prefix: prefix.unwrap_or_default(), is_contended, limit, after, has_detail }))
}

fn read_my_locks<'a>(fields: &Fields<'a>) -> Result<Operation<'a>, Rejection> {
    let Window { limit, after, has_detail, is_asked_for } = Window::read(fields)?;
    if !is_asked_for {
        return Ok(Operation::MyLocks);
    }
    Ok(Operation::MyLocksPage(Page { prefix: Cow::Borrowed(""), is_contended: false, limit, after, has_detail }))
}

/// None if no field asks for a page.
fn read_connections_page(fields: &Fields<'_>) -> Result<Option<ConnectionsPage>, Rejection> {
    let has_idle = fields.truth(Field::All)?.unwrap_or(false);
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
        let limit = fields.whole(Field::Limit, 1..=PAGE_ROWS_MAX, " from 1 to 1000")?;
        let after = match Text::read(fields.get(Field::After)) {
            Text::Absent => None,
            // Only as it was sent: not `+5` or `007`.
            Text::Is(after) => Some(after.parse().ok().filter(|slot: &u32| slot.to_string() == after)),
            Text::Other => Some(None),
        };
        if after == Some(None) {
            return Err(wrong(Field::After, "must be the next of a page"));
        }
        let has_detail = fields.truth(Field::Detail)?.unwrap_or(false);
        Ok(Window {
            limit: usize::try_from(limit.unwrap_or(PAGE_ROWS_MAX)).expect("a small number"),
            after: after.flatten().unwrap_or(0),
            has_detail,
            is_asked_for: limit.is_some() || after.is_some() || has_detail,
        })
    }
}
