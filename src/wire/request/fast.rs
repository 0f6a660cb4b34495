//! A shortcut for the lines that clients really send.
//!
//! The general parser takes 5,000 instructions for a line, as counted by `callgrind`. Most lines are simple: `lock`, `unlock`
//! or `keep_alive`, each field once, nothing escaped. These are recognised here in a tenth of that and less: the beginning of
//! the most frequent lines here, other orders of the fields and the spaces of other JSON libraries in [`fields`], and when they
//! come again, by their [`shapes`]. What is nearly as simple is in [`rare`]. In case of doubt the line is left to the general
//! parser, which defines what a line means: the tests and the fuzz targets `plain` and `request` compare every result of this
//! with its result.

mod fields;
mod rare;
mod reader;
mod shapes;

use std::borrow::Cow;

use self::fields::{Cursor, word_at};
use self::shapes::Begun;
pub use self::shapes::Shapes;
use super::{Command, Lock, LockName, LockRef, NAME_BYTES_MAX, Operation, Request};
use crate::wire::digits::Digits;
use crate::wire::{Id, IdRef, OwnerRef};

/// A plain request. It owns nothing, so it costs little to make, to look at and to drop: a [`Request`] costs more than a
/// field of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<'a> {
    /// As in [`Request`].
    pub id: Option<IdRef<'a>>,
    /// As in [`Request`].
    pub owner: Option<OwnerRef<'a>>,
    /// What is asked for.
    pub operation: PlainOperation<'a>,
}

impl Default for Plain<'_> {
    /// That with the fewest values.
    #[inline(always)]
    fn default() -> Self {
        Plain { id: None, owner: None, operation: PlainOperation::KeepAlive }
    }
}

impl<'a> Plain<'a> {
    /// A `lock` with a name and nothing else.
    #[inline(always)]
    pub fn lock(name: &'a str) -> Self {
        Word::Lock.plain(name, None, None, None)
    }

    /// The same, to `unlock`.
    #[inline(always)]
    pub fn unlock(name: &'a str) -> Self {
        Word::Unlock.plain(name, None, None, None)
    }
}

/// What a plain request can ask for: the same as the [`Operation`] of this name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PlainOperation<'a> {
    Lock(LockRef<'a>),
    Unlock { name: &'a str, token: Option<u64> },
    KeepAlive,
}

/// How the first line of a text begins, and all of it if it is one of the most frequent: for who executes these apart.
///
/// If there are several lines in one buffer, the caller checks it for UTF-8 once, and need not search for line ends:
/// for a single line, these two are a third of the cost of recognising it.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// A `lock` with a name and nothing else, and what comes after its line.
    Lock(&'a str, &'a str),
    /// The same, to `unlock`.
    Unlock(&'a str, &'a str),
    /// A command and a name, and what comes after them.
    Named(Begun<'a>, &'a str),
    /// Something else.
    Other,
    /// Nothing that is plain.
    NotPlain,
}

impl<'a> Start<'a> {
    /// The beginning of the first line of a text.
    #[inline(always)]
    pub fn of(text: &'a str) -> Self {
        let mut cursor = Cursor { rest: text };
        // The beginning of nearly all lines is compared at once.
        let word = if cursor.skip("{\"command\":\"lock\",\"name\":\"").is_some() {
            Word::Lock
        } else if cursor.skip("{\"command\":\"unlock\",\"name\":\"").is_some() {
            Word::Unlock
        } else if text.is_empty() {
            return Start::NotPlain;
        } else {
            return Start::Other;
        };
        let Some(name) = cursor.rest_of_text().filter(|name| is_name(name)) else { return Start::NotPlain };
        // Most lines end here, and then the compiler knows that all other fields are absent.
        match (cursor.skip("}\n"), word) {
            (Some(()), Word::Lock) => Start::Lock(name, cursor.rest),
            (Some(()), _) => Start::Unlock(name, cursor.rest),
            (None, word) => Start::Named(Begun { word, name }, cursor.rest),
        }
    }

    /// Writes the request in the line of this text that begins so to `plain`, and returns what comes after that line and its
    /// `\n`, if the line is complete and plain. None says nothing about the line, and `plain` nothing then.
    ///
    /// A plain line is one object of the keys `command`, `id`, `owner`, `name`, `timeout`, `queue_max`, `fence` and `token`,
    /// in any order, each once at most; with at most one space after `{` and each `:` and `,`, and no other white space;
    /// strings without escapes; numbers without sign and exponent, or `null`.
    ///
    /// All of it is inlined, and the request is written where the caller has it: the compiler copies a [`Plain`] that
    /// passes from one result into another, once for each of them.
    #[inline(always)]
    pub fn recognise(self, text: &'a str, shapes: &mut Shapes, plain: &mut Plain<'a>) -> Option<&'a str> {
        let (begun, rest) = match self {
            Start::Named(begun, rest) => (begun, rest),
            Start::Other => return shapes.line(text, None, text, plain),
            Start::Lock(name, after) => {
                *plain = Plain::lock(name);
                return Some(after);
            }
            Start::Unlock(name, after) => {
                *plain = Plain::unlock(name);
                return Some(after);
            }
            Start::NotPlain => return None,
        };
        // This is what the next most frequent lines have, in this order. As bytes: a text may not be cut just anywhere, and
        // that is checked.
        let mut bytes = rest.as_bytes();
        let owner = number_of(b",\"owner\":", &mut bytes).map(Id::Number);
        let fence = bytes.strip_prefix(b",\"fence\":true").map(|after| bytes = after);
        let id = number_of(b",\"id\":", &mut bytes).map(Id::Number);
        if let Some(next) = bytes.strip_prefix(b"}\n") {
            *plain = begun.word.plain(begun.name, owner, fence.map(|()| true), id);
            return rest.get(rest.len() - next.len()..);
        }
        // No key of a plain line begins so. Most other lines end here: those with a lease, a mode, slots, a priority.
        if let [b',', b'"', b'l' | b'm' | b's' | b'p', ..] = bytes {
            return None;
        }
        shapes.line(text, Some(begun), rest, plain)
    }
}

/// The value of a key, if both are next and it is a number of up to 15 digits, other than 0. Otherwise nothing is taken.
#[inline(always)]
fn number_of<const KEY: usize>(key: &[u8; KEY], rest: &mut &[u8]) -> Option<Digits> {
    let value = rest.strip_prefix(key)?;
    let word = |at| word_at(rest, KEY + at);
    let (number, digits) = Digits::at_start_of(word(0)?, || word(8))?;
    *rest = value.get(digits..)?;
    Some(number)
}

/// The request in a line without its `\n`, if it is plain, as for [`Start::recognise`], or nearly so: names may have escapes,
/// the command may also be `renew`, and there may also be the keys `names`, `any` and `lease`.
pub fn recognise(line: &[u8]) -> Option<Request<'_>> {
    let (fields, rare) = Cursor { rest: str::from_utf8(line).ok()? }.object()?;
    fields.request(rare)
}

#[inline(always)]
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
}

impl<'a> From<Plain<'a>> for Request<'a> {
    fn from(plain: Plain<'a>) -> Self {
        let named = |name| LockName(Cow::Borrowed(name));
        let operation = match plain.operation {
            PlainOperation::Lock(LockRef { name, timeout, queue_max, has_fence, is_plain }) => {
                Operation::Lock(Lock { name: named(name), timeout, queue_max, has_fence, is_plain })
            }
            PlainOperation::Unlock { name, token } => Operation::Unlock { name: named(name), token },
            PlainOperation::KeepAlive => Operation::KeepAlive,
        };
        Request { id: plain.id.map(in_line), owner: plain.owner.map(in_line), command: Command::Locks(operation) }
    }
}

fn in_line(id: IdRef<'_>) -> Id<Cow<'_, str>> {
    match id {
        Id::Number(number) => Id::Number(number.value()),
        Id::Text(text) => Id::Text(Cow::Borrowed(text)),
    }
}

/// The frequent commands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Word {
    Lock,
    Unlock,
    KeepAlive,
    /// In no [`Plain`].
    Renew,
}

impl Word {
    /// A request with a name, and of the other fields only these.
    #[inline(always)]
    fn plain<'a>(
        self,
        name: &'a str,
        owner: Option<OwnerRef<'a>>,
        fence: Option<bool>,
        id: Option<IdRef<'a>>,
    ) -> Plain<'a> {
        let (has_fence, is_plain) = (fence == Some(true), fence.is_none());
        let lock = LockRef { name, timeout: None, queue_max: None, has_fence, is_plain };
        match self {
            Word::Lock => Plain { id, owner, operation: PlainOperation::Lock(lock) },
            Word::Unlock => Plain { id, owner, operation: PlainOperation::Unlock { name, token: None } },
            Word::KeepAlive | Word::Renew => unreachable!("its name is not looked at before its command"),
        }
    }
}

#[cfg(test)]
mod tests;
