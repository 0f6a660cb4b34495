//! Sessions: what each client holds and waits for.

use super::list::{InSession, List};
use super::{ConnectionKey, SessionKey};
use crate::slots::Slots;
use crate::wire::peer::Peer;

/// Keeps keys of sessions apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionTag {}

/// One client as the locks know it.
#[derive(Debug)]
pub(super) struct Session {
    /// Where its replies go.
    pub(super) connection: ConnectionKey,
    /// Its name in replies and listings.
    pub(super) peer: Peer,
    /// What the client calls itself.
    pub(super) client: Option<Box<str>>,
    /// What it holds and waits for, in the order in which it asked.
    pub(super) places: List<InSession>,
    /// How many of these are waits.
    pub(super) waiting: u32,
}

const _: () = assert!(size_of::<Session>() <= 64);

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Slots<SessionTag, Session>);

impl Sessions {
    pub(super) fn insert(&mut self, session: Session) -> SessionKey {
        self.0.insert(session)
    }

    pub(super) fn remove(&mut self, key: SessionKey) {
        let session = self.0.remove(key).expect("a session ends once");
        assert!(session.places.is_empty(), "a session that ends has left everything");
    }

    /// A session whose key is still in use: by its connection, or by a place.
    #[inline]
    pub(super) fn get(&self, key: SessionKey) -> &Session {
        self.0.get(key).expect("the session lives")
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: SessionKey) -> &mut Session {
        self.0.get_mut(key).expect("the session lives")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.0.iter()
    }

    #[cfg(feature = "unstable")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
