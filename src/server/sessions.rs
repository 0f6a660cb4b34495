//! Sessions that clients can resume: their secrets, and which connection each of them has.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use subtle::ConstantTimeEq;

use super::access::RoleKey;
use crate::engine::{ConnectionKey, SessionKey};
use crate::slots::{Key, Slots};
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;

/// Keeps keys of records apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RecordTag {}

pub(super) type RecordKey = Key<RecordTag>;

const SECRET_BYTES: usize = 16;

/// Whoever has it can resume the session. Shown to its client and to nobody else, so it has no `Display`.
#[derive(Clone, Copy)]
pub(super) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// From the random source of the system. None: that fails.
    fn new() -> Option<Self> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Secret(bytes))
    }

    /// Reads what [`Secret::text`] writes, and nothing else.
    fn read(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; SECRET_BYTES];
        if text.len() != 2 * SECRET_BYTES {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Secret(bytes))
    }

    /// Two hexadecimal digits for each byte.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One session that can be resumed.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) session: SessionKey,
    /// Whose it is.
    pub(super) role: RoleKey,
    secret: Secret,
    /// Its name while it has no connection has this number.
    number: u64,
    /// How long it goes on without a connection.
    pub(super) grace: Span,
    /// Lines that were taken on all its connections.
    pub(super) executed: u64,
    pub(super) connection: Option<ConnectionKey>,
    /// When it began.
    pub(super) since: Moment,
    /// When its last connection last sent something. Only means something while it has none.
    pub(super) last_input: Moment,
}

impl Record {
    pub(super) fn name(&self) -> Peer {
        Peer::Session(self.number)
    }

    pub(super) fn secret(&self) -> Secret {
        self.secret
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    records: Slots<RecordTag, Record>,
    of_session: HashMap<SessionKey, RecordKey>,
    /// By the hash of the secret, with a key of this process: how long a search takes says nothing about secrets.
    by_secret: HashTable<RecordKey>,
    hasher: RandomState,
    /// Numbers that were given out.
    numbers: u64,
}

impl Sessions {
    /// Those with a connection, and those without.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many have ended.
    pub(super) fn ended(&self) -> u64 {
        self.numbers - self.records.len() as u64
    }

    /// Begins one for the session of a connection that has none. None: the system has no random bytes.
    pub(super) fn begin(
        &mut self,
        session: SessionKey,
        role: RoleKey,
        connection: ConnectionKey,
        grace: Span,
        now: Moment,
    ) -> Option<RecordKey> {
        let secret = Secret::new()?;
        self.numbers += 1;
        let record = Record {
            session,
            role,
            secret,
            number: self.numbers,
            grace,
            executed: 0,
            connection: Some(connection),
            since: now,
            last_input: now,
        };
        let key = self.records.insert(record);
        self.of_session.insert(session, key);
        let Sessions { records, by_secret, hasher, .. } = self;
        let hash_of = |key: &RecordKey| hasher.hash_one(records.get(*key).expect("it is listed").secret.0);
        by_secret.insert_unique(hasher.hash_one(secret.0), key, hash_of);
        Some(key)
    }

    /// Forgets one.
    pub(super) fn end(&mut self, key: RecordKey) -> Record {
        let record = self.records.remove(key).expect("a session ends once");
        self.of_session.remove(&record.session);
        let hash = self.hasher.hash_one(record.secret.0);
        self.by_secret.find_entry(hash, |other| *other == key).expect("it is listed").remove();
        record
    }

    pub(super) fn get(&self, key: RecordKey) -> &Record {
        self.records.get(key).expect("a record outlives what refers to it")
    }

    pub(super) fn get_mut(&mut self, key: RecordKey) -> &mut Record {
        self.records.get_mut(key).expect("a record outlives what refers to it")
    }

    /// The record of an engine's session.
    pub(super) fn of(&self, session: SessionKey) -> Option<RecordKey> {
        self.of_session.get(&session).copied()
    }

    /// Whether it is there, and has no connection.
    pub(super) fn is_detached(&self, key: RecordKey) -> bool {
        self.records.get(key).is_some_and(|record| record.connection.is_none())
    }

    /// The one with this secret, if it belongs to that role.
    pub(super) fn with_secret(&self, text: &str, role: Option<RoleKey>) -> Option<RecordKey> {
        self.with_secret_of_anybody(text).filter(|key| Some(self.get(*key).role) == role)
    }

    fn with_secret_of_anybody(&self, text: &str) -> Option<RecordKey> {
        let secret = Secret::read(text)?;
        let matches = |key: &RecordKey| bool::from(self.get(*key).secret.0.ct_eq(&secret.0));
        self.by_secret.find(self.hasher.hash_one(secret.0), matches).copied()
    }

    /// The one with this name.
    pub(super) fn with_name(&self, name: Peer) -> Option<RecordKey> {
        self.records.iter().find(|(_, record)| record.name() == name).map(|(key, _)| key)
    }

    /// Those in at most `slots` slots from `first` on, and the slot after these if there are any further ones.
    pub(super) fn between(&self, first: u32, slots: u32) -> (impl Iterator<Item = (u32, &Record)>, Option<u32>) {
        self.records.between(first, slots)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RecordKey, &Record)> {
        self.records.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &mut Sessions, number: u64) -> RecordKey {
        let (session, connection) = (SessionKey::from_bits(number), ConnectionKey::from_bits(number));
        sessions
            .begin(session, RoleKey::EVERYBODY, connection, Span::ZERO, Moment::START)
            .expect("there are random bytes")
    }

    #[test]
    fn a_secret_finds_its_session_and_nothing_else_does() {
        let mut sessions = Sessions::default();
        let keys: Vec<RecordKey> = (0..100).map(|number| begin(&mut sessions, number)).collect();
        for (number, key) in (0..).zip(&keys) {
            let text = sessions.get(*key).secret().text();
            assert_eq!((text.len(), sessions.with_secret_of_anybody(&text)), (32, Some(*key)));
            let mut other = Secret::read(&text).expect("it was written so");
            other.0[15] ^= 1;
            for wrong in ["", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..]), &other.text()] {
                assert_eq!(sessions.with_secret_of_anybody(wrong), None, "{wrong:?}");
            }
            if text.bytes().any(|digit| digit.is_ascii_alphabetic()) {
                assert_eq!(sessions.with_secret_of_anybody(&text.to_uppercase()), None);
            }
            assert_eq!(sessions.of(SessionKey::from_bits(number)), Some(*key));
            assert_eq!(sessions.with_name(Peer::Session(number + 1)), Some(*key));
        }
        let text = sessions.get(keys[7]).secret().text();
        sessions.end(keys[7]);
        assert_eq!(
            (sessions.with_secret_of_anybody(&text), sessions.of(SessionKey::from_bits(7)), sessions.len()),
            (None, None, 99)
        );
        let next = begin(&mut sessions, 200);
        assert_eq!(sessions.get(next).name(), Peer::Session(101), "no number is used again");
    }

    #[test]
    fn a_secret_is_not_shown_where_a_session_is_debugged() {
        let mut sessions = Sessions::default();
        let key = begin(&mut sessions, 1);
        let record = sessions.get(key);
        let shown = format!("{sessions:?} {record:?}");
        assert!(shown.contains("secret: Secret"), "{shown}");
        let bytes = format!("{:?}", record.secret().0);
        assert!(!shown.contains(&record.secret().text()) && !shown.contains(&bytes), "{shown}");
    }
}
