//! The users file: TOML, one table for each user.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::prefixes::Prefixes;
use super::rights::{Quotas, Rights};
use crate::time::Span;
use crate::wire::request::{CLOSING_SECONDS_MAX, NAME_BYTES_MAX, PRIORITY_MAX};

/// The largest users file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// The most users.
const USERS_MAX: usize = 10_000;
/// The longest name of a user, in bytes.
const USER_BYTES_MAX: usize = 64;
/// The ids of a user that stands for no user: `nobody`, to which user namespaces map everybody they don't know, and -1.
const NOBODY: [u32; 2] = [65534, u32::MAX];

/// The SHA-256 of a secret.
pub(super) type Digest = [u8; 32];

/// What is wrong with a users file, on one line, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUsers(String);

impl BadUsers {
    fn new(text: impl Into<String>) -> Self {
        BadUsers(text.into())
    }

    fn of(whose: &str, text: impl fmt::Display) -> Self {
        BadUsers(format!("[{whose}]: {text}"))
    }

    /// The same, at a place of the file.
    fn at(self, text: &str, offset: usize) -> Self {
        BadUsers(format!("line {}: {}", line(text, offset), self.0))
    }
}

impl fmt::Display for BadUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUsers {}

/// What a users file says.
#[derive(Debug)]
pub(super) struct File {
    pub(super) users: Vec<User>,
    pub(super) anonymous: Option<Anonymous>,
}

/// One user: what it may do, and how it proves that it is one.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: Box<str>,
    /// Where its name stands in the file.
    offset: usize,
    pub(super) rights: Rights,
    pub(super) digests: Vec<Digest>,
    /// Subject alternative names: `dns:…` and `uri:…`.
    pub(super) certificates: Vec<String>,
    pub(super) uids: Vec<u32>,
    pub(super) gids: Vec<u32>,
}

/// What those may do who don't say who they are.
#[derive(Debug)]
pub(super) struct Anonymous {
    pub(super) rights: Rights,
    pub(super) from: Vec<Origin>,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// A UNIX socket.
    Unix,
    /// A loopback address.
    Loopback,
    /// Any address at all.
    Anywhere,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    users: HashMap<Spanned<String>, Table>,
    anonymous: Option<Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    secret_sha256: Option<OneOrMore<String>>,
    certificate: Option<OneOrMore<String>>,
    uid: Option<OneOrMore<u32>>,
    gid: Option<OneOrMore<u32>>,
    from: Option<Vec<Origin>>,
    locks: Option<Vec<String>>,
    see: Option<Vec<String>>,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    metrics: bool,
    connections_max: Option<usize>,
    sessions_max: Option<usize>,
    locks_max: Option<usize>,
    requests_per_second: Option<u32>,
    priority_max: Option<u8>,
    min_hold_max: Option<f64>,
    closing_locks_max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected one value or an array of them")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

fn all<T>(values: Option<OneOrMore<T>>) -> Vec<T> {
    match values {
        None => Vec::new(),
        Some(OneOrMore::One(value)) => vec![value],
        Some(OneOrMore::More(values)) => values,
    }
}

impl File {
    /// # Errors
    /// [`BadUsers`] says where and what.
    pub(super) fn parse(text: &str) -> Result<File, BadUsers> {
        if text.len() > FILE_BYTES_MAX {
            return Err(BadUsers::new(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let tables: Tables = toml::from_str(text).map_err(|error| bad_syntax(text, &error))?;
        if tables.users.len() > USERS_MAX {
            return Err(BadUsers::new(format!("more than {USERS_MAX} users")));
        }
        let anonymous = tables.anonymous.map(|table| {
            let offset = table.span().start;
            anonymous(table.into_inner()).map_err(|error| error.at(text, offset))
        });
        let anonymous = anonymous.transpose()?;
        let mut tables: Vec<(Spanned<String>, Table)> = tables.users.into_iter().collect();
        // The order of a hash map is another one each time, and which error comes first is not.
        tables.sort_by_key(|(name, _)| name.span().start);
        let users = tables.into_iter().map(|(name, table)| {
            let offset = name.span().start;
            user(name.into_inner(), offset, table).map_err(|error| error.at(text, offset))
        });
        let users: Vec<User> = users.collect::<Result<_, _>>()?;
        check_unique(text, &users, "secret_sha256", |user| &user.digests)?;
        check_unique(text, &users, "certificate", |user| &user.certificates)?;
        check_unique(text, &users, "uid", |user| &user.uids)?;
        check_unique(text, &users, "gid", |user| &user.gids)?;
        Ok(File { users, anonymous })
    }
}

/// The number of a line, from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The line, and what the parser has against it, but nothing that the file says: it may be a secret.
fn bad_syntax(text: &str, error: &toml::de::Error) -> BadUsers {
    let message = error.message().lines().next().unwrap_or("not TOML");
    BadUsers::new(message).at(text, error.span().map_or(0, |span| span.start))
}

fn user(name: String, offset: usize, mut table: Table) -> Result<User, BadUsers> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > USER_BYTES_MAX || !name.bytes().all(is_name_byte) {
        let text = "the name of a user has 1 to 64 letters, digits, _, . and -";
        return Err(BadUsers::new(format!("users: {text}; {name:.70?} has not")));
    }
    let whose = format!("users.{name}");
    if table.from.is_some() {
        return Err(BadUsers::of(&whose, "from is for [anonymous]"));
    }
    let bad_digest =
        || BadUsers::of(&whose, "secret_sha256 has 64 hexadecimal digits, as `officer secret` prints them");
    let digests = all(table.secret_sha256.take());
    let digests = digests.iter().map(|text| read_digest(text).ok_or_else(bad_digest)).collect::<Result<Vec<_>, _>>()?;
    let certificates = all(table.certificate.take());
    if let Some(other) = certificates.iter().find(|name| !name.starts_with("dns:") && !name.starts_with("uri:")) {
        return Err(BadUsers::of(&whose, format!("certificate begins with dns: or uri:, and {other:.70?} does not")));
    }
    let (uids, gids) = (all(table.uid.take()), all(table.gid.take()));
    if let Some(nobody) = uids.iter().chain(&gids).find(|id| NOBODY.contains(id)) {
        return Err(BadUsers::of(&whose, format!("{nobody} is nobody's id, and proves nothing")));
    }
    if digests.is_empty() && certificates.is_empty() && uids.is_empty() && gids.is_empty() {
        let text = "needs secret_sha256, certificate, uid or gid, or nobody can be this user";
        return Err(BadUsers::of(&whose, text));
    }
    let rights = rights(&whose, table)?;
    Ok(User { name: name.into(), offset, rights, digests, certificates, uids, gids })
}

fn anonymous(mut table: Table) -> Result<Anonymous, BadUsers> {
    let proofs = [table.secret_sha256.is_some(), table.certificate.is_some(), table.uid.is_some(), table.gid.is_some()];
    if proofs.contains(&true) {
        let text =
            "secret_sha256, certificate, uid and gid are for users; this is for those who don't say who they are";
        return Err(BadUsers::of("anonymous", text));
    }
    let from = table.from.take().unwrap_or_else(|| vec![Origin::Unix, Origin::Loopback]);
    Ok(Anonymous { from, rights: rights("anonymous", table)? })
}

fn rights(whose: &str, table: Table) -> Result<Rights, BadUsers> {
    let prefixes = |key: &str, prefixes: &[String]| match prefixes.iter().find(|one| one.len() > NAME_BYTES_MAX) {
        Some(_) => Err(BadUsers::of(whose, format!("{key} has a prefix of more than {NAME_BYTES_MAX} bytes"))),
        None => Ok(Prefixes::new(prefixes)),
    };
    let locks = match &table.locks {
        Some(names) => prefixes("locks", names)?,
        None if table.admin => Prefixes::everything(),
        None => Prefixes::default(),
    };
    let see = match &table.see {
        _ if table.admin => Prefixes::everything(),
        Some(names) => prefixes("see", names)?,
        None => locks.clone(),
    };
    let counts = [
        ("connections_max", table.connections_max == Some(0)),
        ("sessions_max", table.sessions_max == Some(0)),
        ("locks_max", table.locks_max == Some(0)),
        ("requests_per_second", table.requests_per_second == Some(0)),
        ("closing_locks_max", table.closing_locks_max == Some(0)),
    ];
    if let Some((key, _)) = counts.into_iter().find(|(_, is_zero)| *is_zero) {
        return Err(BadUsers::of(whose, format!("{key} is at least 1; leave the user out to keep it out")));
    }
    let priority_max = table.priority_max.unwrap_or(PRIORITY_MAX);
    if priority_max > PRIORITY_MAX {
        return Err(BadUsers::of(whose, format!("priority_max is at most {PRIORITY_MAX}")));
    }
    let longest = Duration::from_secs(CLOSING_SECONDS_MAX.into());
    let min_hold_max = table.min_hold_max.map_or(Ok(longest), |seconds| {
        let span = Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= longest);
        span.ok_or_else(|| BadUsers::of(whose, format!("min_hold_max is from 0 to {CLOSING_SECONDS_MAX} seconds")))
    })?;
    let quotas = Quotas {
        connections_max: table.connections_max,
        sessions_max: table.sessions_max,
        locks_max: table.locks_max,
        requests_per_second: table.requests_per_second,
        closing_locks_max: table.closing_locks_max,
    };
    let min_hold_max = Span::from(min_hold_max);
    Ok(Rights { is_admin: table.admin, may_see_metrics: table.metrics, locks, see, priority_max, min_hold_max, quotas })
}

fn read_digest(text: &str) -> Option<Digest> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

/// What proves that somebody is one user proves it of no other.
fn check_unique<T: Eq + Hash>(
    text: &str,
    users: &[User],
    key: &str,
    values: impl Fn(&User) -> &Vec<T>,
) -> Result<(), BadUsers> {
    let mut owners: HashMap<&T, &User> = HashMap::new();
    for user in users {
        for value in values(user) {
            if let Some(other) = owners.insert(value, user)
                && other.name != user.name
            {
                let fault = format!("has a {key} that [users.{}] has as well", other.name);
                return Err(BadUsers::of(&format!("users.{}", user.name), fault).at(text, user.offset));
            }
        }
    }
    Ok(())
}
