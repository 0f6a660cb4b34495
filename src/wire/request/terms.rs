//! What a request may say beyond a name and a timeout.

use std::borrow::Cow;

use super::{LockName, NAMES_MAX, Owner};
use crate::time::Span;

/// The terms of a `lock` that are not those of a plain one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms<'a> {
    /// Whom it shares the lock with.
    pub fit: Fit,
    /// How long the hold lasts unless it is renewed. None: until it is released.
    pub lease: Option<Span>,
    /// Ahead of every waiting request with a lower one; at most [`PRIORITY_MAX`](super::PRIORITY_MAX).
    pub priority: u8,
    /// Whether it is refused if its wait would close a circle of waits.
    pub refuses_deadlock: bool,
    /// Nobody gets the lock until this long after the grant.
    pub min_hold: Span,
    /// If the hold is lost, nobody gets the lock for this long.
    pub lost_delay: Span,
    /// What the lock is for: at most [`LABEL_BYTES_MAX`](super::LABEL_BYTES_MAX) bytes.
    pub label: Option<Cow<'a, str>>,
    /// Whether it is told its position in the queue when it begins to wait.
    pub has_progress: bool,
    /// Whether the holder is told when somebody else wants the lock. Exclusive holds only.
    pub has_hint: bool,
}

impl Terms<'_> {
    /// Whether the lock may stay closed for a while after the hold.
    pub fn may_close(&self) -> bool {
        self.min_hold > Span::ZERO || self.lost_delay > Span::ZERO
    }
}

/// Whom a holder shares its lock with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Nobody.
    #[default]
    Exclusive,
    /// All others that are shared.
    Shared,
    /// The holders of the other units of a semaphore, which has this many: 1 to [`SLOTS_MAX`](super::SLOTS_MAX).
    Unit(u32),
}

/// The fields of a `lock` with `names`.
#[derive(Clone, Debug, PartialEq)]
pub struct LockMany<'a> {
    /// The locks.
    pub names: Names<'a>,
    /// Whether one of them is enough.
    pub is_any: bool,
    /// The longest wait; none: forever. Zero never waits.
    pub timeout: Option<Span>,
    /// Do not wait for a lock with this many holders and waiters, or more.
    pub queue_max: Option<u64>,
    /// Whether the answer has the token of the hold.
    pub has_fence: bool,
    /// Whom it shares the locks with, for how long, and so on. Never a unit, and neither a priority nor a closing.
    pub terms: Terms<'a>,
}

/// The fields of `renew`.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal<'a> {
    /// The locks: one, or several.
    pub names: Names<'a>,
    /// Whether it had `names`, not `name`.
    pub is_many: bool,
    /// The lease from now on. None: as long as the last one.
    pub lease: Option<Span>,
    /// Only holds with this token.
    pub token: Option<u64>,
}

/// The fields of `revoke`.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation<'a> {
    /// The lock.
    pub name: LockName<'a>,
    /// Only the hold with this token.
    pub token: Option<u64>,
    /// Only holds of the connection with this name.
    pub connection: Option<Cow<'a, str>>,
    /// Only holds of this owner.
    pub owner: Option<Owner<Cow<'a, str>>>,
}

/// The fields of `transfer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer<'a> {
    /// The lock.
    pub name: LockName<'a>,
    /// The connection of the waiter that gets it. None: the asker's own.
    pub to: Option<Cow<'a, str>>,
    /// The owner that gets it. None: that connection itself.
    pub to_owner: Option<Owner<Cow<'a, str>>>,
    /// Only the hold with this token.
    pub token: Option<u64>,
}

/// The lock that a line is about, or the locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// It has `name`.
    One(LockName<'a>),
    /// It has `names`.
    Several(Names<'a>),
}

/// Names of different locks, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names<'a>(Kept<'a>);

/// One name needs no allocation. Several may not fit in here: every request has the size of the largest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept<'a> {
    One([LockName<'a>; 1]),
    Several(Box<[LockName<'a>]>),
}

impl<'a> Names<'a> {
    /// One name.
    pub fn one(name: LockName<'a>) -> Self {
        Names(Kept::One([name]))
    }

    /// Checks their number, and that no two are equal.
    ///
    /// # Errors
    /// The message says what is wrong.
    pub(super) fn several(names: Vec<LockName<'a>>) -> Result<Self, &'static str> {
        if !(2..=NAMES_MAX).contains(&names.len()) {
            return Err("names must be 2 to 64 names");
        }
        // 64 names are 2,000 comparisons, most of them of lengths.
        let is_repeated = |(index, name)| names[..index].contains(name);
        if names.iter().enumerate().any(is_repeated) {
            return Err("names must be different");
        }
        Ok(Names(Kept::Several(names.into())))
    }

    /// How many: at most [`NAMES_MAX`].
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// The names, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = &LockName<'a>> + Clone {
        self.as_slice().iter()
    }

    fn as_slice(&self) -> &[LockName<'a>] {
        match &self.0 {
            Kept::One(name) => name,
            Kept::Several(names) => names,
        }
    }
}
