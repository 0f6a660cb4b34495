//! The replies that are sent most, written in as few steps as possible.

use super::{Outcome, Reply, Subject};
use crate::wire::digits::{Digits, length};
use crate::wire::json::is_plain;
use crate::wire::request::ID_BYTES_MAX;
use crate::wire::{Id, IdRef, OwnerRef};

/// The reply to a request for one lock that was granted at once, or to its end. It says the same as the [`Reply`] that it
/// can be made into, and takes half of the instructions and less.
#[derive(Clone, Copy, Debug)]
pub struct PlainReply<'a> {
    /// As in [`Reply`].
    pub id: Option<&'a IdRef<'a>>,
    /// As in [`Reply`].
    pub owner: Option<&'a OwnerRef<'a>>,
    /// The lock.
    pub name: &'a str,
    /// Whether id, owner and name are known to need no escapes, as they stood without in a line. Otherwise they are looked at.
    pub is_verbatim: bool,
    /// What happened to it.
    pub outcome: PlainOutcome,
}

/// The [`Outcome`] of the same name.
#[derive(Clone, Copy, Debug)]
pub enum PlainOutcome {
    Acquired { token: Option<Digits> },
    Released,
}

const HEAD: &[u8; 9] = b"{\"name\":\"";
/// The lengths of [`HEAD`] and of what follows a name, together.
const AROUND: usize = HEAD.len() + 23;
/// Names that are not longer are written into room for the longest line.
const SHORT: usize = 32;
/// No reply with such a name is longer.
const ROOM: usize = AROUND + SHORT + 25 + 2 * (ID_BYTES_MAX + 11);

impl<'a> From<PlainReply<'a>> for Reply<'a> {
    fn from(PlainReply { id, owner, name, outcome, .. }: PlainReply<'a>) -> Self {
        let subject = Subject::Lock(name);
        let outcome = match outcome {
            PlainOutcome::Acquired { token } => Outcome::Acquired { subject, token, waited: None },
            PlainOutcome::Released => Outcome::Released { subject },
        };
        Reply { id, owner, outcome }
    }
}

impl PlainReply<'_> {
    /// Appends the reply as one line, as [`Reply::encode`] does.
    #[inline(always)]
    pub fn encode(&self, out: &mut Vec<u8>) {
        if !self.is_verbatim && !self.is_plain() {
            return self.encode_as_any(out);
        }
        match self.outcome {
            PlainOutcome::Acquired { token } => self.encode_with(out, b"\",\"result\":\"acquired\"}\n", token),
            PlainOutcome::Released => self.encode_with(out, b"\",\"result\":\"released\"}\n", None),
        }
    }

    /// For few: a function of its own, so that the others are smaller.
    #[cold]
    #[inline(never)]
    fn encode_as_any(&self, out: &mut Vec<u8>) {
        Reply::from(*self).encode(out);
    }

    /// Whether nothing has to be escaped.
    fn is_plain(&self) -> bool {
        let is_plain_id = |id: &&IdRef<'_>| match id {
            Id::Number(_) => true,
            Id::Text(text) => is_plain(text.as_bytes()),
        };
        is_plain(self.name.as_bytes()) && self.owner.iter().chain(&self.id).all(is_plain_id)
    }

    #[inline(always)]
    fn encode_with(&self, out: &mut Vec<u8>, rest: &[u8; 23], token: Option<Digits>) {
        if token.is_some() || self.owner.is_some() || self.id.is_some() {
            self.encode_with_members(out, rest, token);
        } else if self.name.len() <= SHORT {
            let start = out.len();
            let mut line = Line::<{ AROUND + SHORT }>::at_end_of(out);
            line.put(HEAD);
            line.put_text(self.name.as_bytes());
            line.put(rest);
            let len = line.len;
            out.truncate(start + len);
        } else {
            out.extend_from_slice(HEAD);
            out.extend_from_slice(self.name.as_bytes());
            out.extend_from_slice(rest);
        }
    }

    #[inline(never)]
    fn encode_with_members(&self, out: &mut Vec<u8>, rest: &[u8; 23], token: Option<Digits>) {
        if self.name.len() > SHORT {
            return self.encode_as_any(out);
        }
        let start = out.len();
        let mut line = Line::<ROOM>::at_end_of(out);
        line.put(HEAD);
        line.put_text(self.name.as_bytes());
        line.put(rest);
        line.len -= b"}\n".len();
        if let Some(token) = token {
            line.put(b",\"token\":");
            line.put_number(token);
        }
        if let Some(owner) = self.owner {
            line.put_id(b",\"owner\":", owner);
        }
        if let Some(id) = self.id {
            line.put_id(b",\"id\":", id);
        }
        line.put(b"}\n");
        let len = line.len;
        out.truncate(start + len);
    }
}

/// A line that is being written into room that was made for it at once.
struct Line<'a, const ROOM: usize> {
    room: &'a mut [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Line<'_, ROOM> {
    /// Makes room for the longest line. What is left of it is taken back in the end.
    #[inline(always)]
    fn at_end_of(out: &mut Vec<u8>) -> Line<'_, ROOM> {
        out.extend_from_slice(&[0; ROOM]);
        Line { room: out.last_chunk_mut().expect("it was just made"), len: 0 }
    }

    #[inline(always)]
    fn put<const LEN: usize>(&mut self, piece: &[u8; LEN]) {
        self.room[self.len..][..LEN].copy_from_slice(piece);
        self.len += LEN;
    }

    #[inline(always)]
    fn put_id<const KEY: usize>(&mut self, key: &[u8; KEY], id: &IdRef<'_>) {
        self.put(key);
        match id {
            Id::Number(number) => self.put_number(*number),
            Id::Text(text) => {
                self.put(b"\"");
                self.put_text(text.as_bytes());
                self.put(b"\"");
            }
        }
    }

    #[inline(always)]
    fn put_number(&mut self, number: Digits) {
        let [first, rest] = number.words();
        let start = self.len;
        self.put(&first.to_le_bytes());
        self.len = start + length(first);
        // Apart, so that most numbers take a branch in place of six steps.
        if rest != 0 {
            self.len = start + 8;
            self.put(&rest.to_le_bytes());
            self.len = start + 8 + length(rest);
        }
    }

    #[inline(always)]
    fn put_text(&mut self, text: &[u8]) {
        match text.len() {
            8..=16 => self.put_words::<8>(text),
            4..8 => self.put_words::<4>(text),
            17..=32 => self.put_words::<16>(text),
            _ => self.room[self.len..][..text.len()].copy_from_slice(text),
        }
        self.len += text.len();
    }

    /// A text of `WORD` to twice as many bytes is its first ones and its last ones, some of them twice: these have a fixed
    /// length, and take no call.
    #[inline(always)]
    fn put_words<const WORD: usize>(&mut self, text: &[u8]) {
        let room = &mut self.room[self.len..][..text.len()];
        room[..WORD].copy_from_slice(&text[..WORD]);
        room[text.len() - WORD..].copy_from_slice(&text[text.len() - WORD..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_reply_is_written_as_any_other() {
        let repeated = |len| "boss:12345".chars().cycle().take(len).collect::<String>();
        let names: Vec<String> = (1..=70)
            .chain([1024])
            .map(repeated)
            .chain(["é".repeat(8), "a\"b".to_owned(), "long enough\\".to_owned()])
            .collect();
        let texts: Vec<String> =
            [0, 3, 7, 8, 16, 32, 33, 64].map(repeated).into_iter().chain(["x\ny".to_owned()]).collect();
        let number = Id::Number(Digits::from(4711));
        let ids: Vec<IdRef<'_>> = texts.iter().map(|text| Id::Text(text.as_str())).chain([number]).collect();
        let ids: Vec<Option<&IdRef<'_>>> = ids.iter().map(Some).chain([None]).collect();
        let outcomes = [None, Some(1_800_000_000_000_007), Some(7)];
        let outcomes = outcomes.map(|token| PlainOutcome::Acquired { token: token.map(Digits::from) });
        for name in &names {
            for outcome in outcomes.into_iter().chain([PlainOutcome::Released]) {
                for (id, owner) in ids.iter().flat_map(|id| ids.iter().map(move |owner| (*id, *owner))) {
                    let plain = PlainReply { id, owner, name, is_verbatim: false, outcome };
                    let mut expected = b"before".to_vec();
                    Reply::from(plain).encode(&mut expected);
                    for is_verbatim in [false, plain.is_plain()] {
                        let mut written = b"before".to_vec();
                        PlainReply { is_verbatim, ..plain }.encode(&mut written);
                        assert_eq!(written.escape_ascii().to_string(), expected.escape_ascii().to_string());
                    }
                }
            }
        }
    }
}
