//! What fewer lines have, and no [`Plain`](super::Plain): a lease, several names or any of them, a name with an escape.
//!
//! Such a line is a [`Request`], which owns the names that are not in the line as they are. It takes a fifth of the time that
//! the general parser takes, with an escape a third.

use std::borrow::Cow;

use super::fields::{Cursor, Fields, end_of_text, key};
use super::{Word, in_line, is_name};
use crate::time::Span;
use crate::wire::request::{
    Command, Lock, LockMany, LockName, NAMES_MAX, Named, Names, Operation, Renewal, Request, Terms,
};

/// The fields that no [`Plain`](super::Plain) has.
#[derive(Default)]
pub(super) struct Rare<'a> {
    pub(super) lease: Option<Span>,
    pub(super) names: Option<Names<'a>>,
    pub(super) any: Option<bool>,
    /// The name, if it was written with an escape.
    unescaped: Option<String>,
}

impl<'a> Fields<'a> {
    /// As [`Fields::plain`].
    pub(super) fn request(self, rare: Rare<'a>) -> Option<Request<'a>> {
        let Rare { lease, names, any, unescaped } = rare;
        let command = self.command?;
        // With one name it is an error, or makes a lock that is not plain.
        if any.is_some() && names.is_none() && matches!(command, Word::Lock) {
            return None;
        }
        let is_lease = lease.is_some() && matches!(command, Word::Lock);
        if names.is_none()
            && unescaped.is_none()
            && !is_lease
            && let Some(plain) = self.plain()
        {
            return Some(plain.into());
        }
        let name = unescaped.map(Cow::Owned).or(self.name.map(Cow::Borrowed)).map(LockName);
        let named = match (name, names) {
            (Some(name), None) => Named::One(name),
            (None, Some(names)) => Named::Several(names),
            _ => return None,
        };
        // A lease of nothing is an error.
        if matches!(command, Word::Lock | Word::Renew) && lease == Some(Span::ZERO) {
            return None;
        }
        let operation = self.operation(command, named, lease, any == Some(true))?;
        let (id, owner) = (self.id.map(in_line), self.owner.map(in_line));
        Some(Request { id, owner, command: Command::Locks(operation) })
    }

    fn operation(&self, command: Word, named: Named<'a>, lease: Option<Span>, is_any: bool) -> Option<Operation<'a>> {
        let Fields { timeout, queue_max, fence, token, .. } = *self;
        let has_fence = fence == Some(true);
        let terms = lease.map(|lease| Terms { lease: Some(lease), ..Terms::default() });
        Some(match (command, named) {
            (Word::Lock, Named::One(name)) => {
                let is_plain = fence.is_none() && terms.is_none();
                let lock = Lock { name, timeout, queue_max, has_fence, is_plain };
                match terms {
                    None => Operation::Lock(lock),
                    Some(terms) => Operation::LockWith(lock, terms),
                }
            }
            (Word::Lock, Named::Several(names)) => {
                let terms = terms.unwrap_or_default();
                Operation::LockMany(LockMany { names, is_any, timeout, queue_max, has_fence, terms })
            }
            (Word::Unlock, Named::One(name)) => Operation::Unlock { name, token },
            (Word::Unlock, Named::Several(names)) => Operation::UnlockMany { names, token },
            (Word::Renew, Named::One(name)) => {
                Operation::Renew(Renewal { names: Names::one(name), is_many: false, lease, token })
            }
            (Word::Renew, Named::Several(names)) => Operation::Renew(Renewal { names, is_many: true, lease, token }),
            (Word::KeepAlive, _) => return None,
        })
    }
}

impl<'a> Cursor<'a> {
    /// A key, which begins with this word, and its value, if a [`Plain`](super::Plain) can't have it as it may be. The key's
    /// bit is returned; the inner None is for what has to be left to the general parser.
    #[inline(always)]
    pub(super) fn rare_field(
        &mut self,
        word: u64,
        fields: &mut Fields<'a>,
        rare: &mut Rare<'a>,
    ) -> Option<Option<u16>> {
        match &word.to_le_bytes() {
            b"\"name\":\"" | b"\"name\": " => Some(self.any_name(fields, rare).map(|()| key::NAME)),
            b"\"lease\":" => {
                self.advance(8);
                Some(self.seconds().map(|lease| {
                    rare.lease = lease;
                    key::LEASE
                }))
            }
            b"\"names\":" => {
                self.advance(8);
                Some(self.names().map(|names| {
                    rare.names = Some(names);
                    key::NAMES
                }))
            }
            b"\"any\":tr" | b"\"any\":fa" | b"\"any\": t" | b"\"any\": f" => {
                self.advance(6)?;
                Some(self.truth().map(|any| {
                    rare.any = any;
                    key::ANY
                }))
            }
            _ => None,
        }
    }

    /// The name, with escapes or without.
    fn any_name(&mut self, fields: &mut Fields<'a>, rare: &mut Rare<'a>) -> Option<()> {
        self.skip("\"name\":")?;
        self.skip_space();
        match self.any_text()? {
            Cow::Borrowed(name) => fields.name = Some(name),
            Cow::Owned(name) => rare.unescaped = Some(name),
        }
        Some(())
    }

    /// An array of names.
    fn names(&mut self) -> Option<Names<'a>> {
        self.skip_space();
        self.skip("[")?;
        let mut names = Vec::new();
        loop {
            self.skip_space();
            names.push(LockName(self.any_text()?));
            if self.skip("]").is_some() {
                return Names::several(names).ok();
            }
            self.skip(",").filter(|()| names.len() < NAMES_MAX)?;
        }
    }

    /// A string that can be a name.
    fn any_text(&mut self) -> Option<Cow<'a, str>> {
        let before = self.rest;
        let text = match self.text() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.unescaped(before)?),
        };
        is_name(&text).then_some(text)
    }

    /// The string at the beginning of a text, without its escapes.
    fn unescaped(&mut self, text: &'a str) -> Option<String> {
        let mut end = text.len() - text.strip_prefix('"')?.len();
        loop {
            let inside = text.as_bytes().get(end..)?;
            end += end_of_text(inside)?;
            match text.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => return None,
            }
        }
        let (string, rest) = text.split_at_checked(end + 1)?;
        self.rest = rest;
        serde_json::from_str(string).ok()
    }
}
