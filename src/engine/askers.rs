//! Who asks for locks: each session, and each of the owners that share it, which [`owners`] has.

mod owners;

use self::owners::OwnerRecord;
use super::deadline::DeadlineKey;
use super::index::Index;
use super::list::{List, OfAsker};
use super::recent::Spots;
use super::{ConnectionKey, SessionKey};
use crate::slots::{Chunks, Slots};
use crate::wire::OwnerRef;
use crate::wire::peer::Peer;

/// Keeps keys of sessions apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionTag {}

/// Names a session, or an owner that holds a lock or waits for one. Places never outlive their asker, so this needs no
/// generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker(u32);

/// This bit is set for owners.
const OWNER: u32 = 1 << 31;

impl Asker {
    #[inline]
    pub(super) fn session(key: SessionKey) -> Self {
        debug_assert!(key.slot() < OWNER, "fewer than 2^31 sessions");
        Asker(key.slot())
    }

    fn owner(number: u32) -> Self {
        Asker(number | OWNER)
    }

    #[inline]
    fn to_owner(self) -> Option<u32> {
        (self.0 & OWNER != 0).then_some(self.0 & !OWNER)
    }

    pub(super) fn to_bits(self) -> u32 {
        self.0
    }
}

/// What an asker holds and waits for.
#[derive(Debug, Default)]
pub(super) struct Party {
    /// In the order in which it asked.
    pub(super) places: List<OfAsker>,
    /// How many of these are waits.
    pub(super) waiting: u32,
}

/// One client as the locks know it.
#[derive(Debug)]
pub(super) struct Session {
    /// Where its replies go.
    pub(super) connection: ConnectionKey,
    /// Its name in replies and listings.
    pub(super) peer: Peer,
    /// What it holds and waits for itself.
    party: Party,
    /// The number of places that its owners have together.
    of_owners: u32,
    /// How many of these are waits.
    of_owners_waiting: u32,
    extras: Option<Box<SessionExtras>>,
}

const _: () = assert!(size_of::<Session>() <= 64);

/// What few sessions have.
#[derive(Debug, Default)]
pub(super) struct SessionExtras {
    client: Option<Box<str>>,
    /// Whether it is told of holds that were revoked.
    wants_notices: bool,
    /// While it has no connection: the deadline at which it ends unless it gets one.
    pub(super) grace: Option<DeadlineKey>,
    /// With whom its places are counted, if with anybody.
    group: Option<u32>,
    /// Its owners, in the order in which they came.
    first_owner: Option<u32>,
    last_owner: Option<u32>,
}

impl Session {
    pub(super) fn new(connection: ConnectionKey, peer: Peer) -> Self {
        Session { connection, peer, party: Party::default(), of_owners: 0, of_owners_waiting: 0, extras: None }
    }

    /// What the client calls itself.
    pub(super) fn client(&self) -> Option<&str> {
        self.extras.as_ref()?.client.as_deref()
    }

    pub(super) fn set_client(&mut self, client: Option<Box<str>>) {
        if client.is_some() || self.extras.is_some() {
            self.extras.get_or_insert_default().client = client;
        }
    }

    pub(super) fn wants_notices(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.wants_notices)
    }

    /// The deadline at which it ends unless it gets a connection. None: it has one.
    pub(super) fn grace(&self) -> Option<DeadlineKey> {
        self.extras.as_ref()?.grace
    }

    /// What few sessions have, to change it.
    pub(super) fn extras_mut(&mut self) -> &mut SessionExtras {
        self.extras.get_or_insert_default()
    }

    pub(super) fn set_notices(&mut self, wants_notices: bool) {
        self.extras.get_or_insert_default().wants_notices = wants_notices;
    }

    /// With whom its places are counted, if with anybody.
    #[inline(always)]
    fn group(&self) -> Option<usize> {
        self.extras.as_ref()?.group.map(|group| group as usize)
    }

    /// All places, those of its owners too.
    #[inline]
    pub(super) fn places(&self) -> usize {
        self.party.places.len() + self.of_owners as usize
    }

    /// How many of these are waits.
    pub(super) fn waits(&self) -> usize {
        (self.party.waiting + self.of_owners_waiting) as usize
    }
}

/// What some sessions have together.
#[derive(Debug)]
pub(super) struct Group {
    places: usize,
    pub(super) locks_max: usize,
}

/// All sessions and their owners.
#[derive(Debug, Default)]
pub(super) struct Askers {
    sessions: Slots<SessionTag, Session>,
    /// Few sessions are in one of these.
    groups: Vec<Group>,
    owners: Chunks<OwnerRecord>,
    /// From the hash of session and owner to the record.
    by_owner: Index,
    recent: Spots,
}

impl Askers {
    pub(super) fn group(&mut self, group: u32) -> &mut Group {
        let index = group as usize;
        while self.groups.len() <= index {
            self.groups.push(Group { places: 0, locks_max: usize::MAX });
        }
        &mut self.groups[index]
    }

    pub(super) fn set_group(&mut self, key: SessionKey, group: Option<u32>) {
        let session = self.session_mut(key);
        let (places, before) = (session.places(), session.group());
        if group.is_some() || before.is_some() {
            session.extras_mut().group = group;
        }
        if let Some(before) = before {
            self.groups[before].places -= places;
        }
        if let Some(group) = group {
            self.group(group).places += places;
        }
    }

    /// Whether a session may have more places, by its own limit and by that of its group.
    #[inline(always)]
    pub(super) fn has_room(&self, session: &Session, more: usize, session_locks_max: usize) -> bool {
        session.places() + more <= session_locks_max && !self.is_group_full(session, more)
    }

    /// Panics if a group does not count the places of its sessions.
    #[cfg(feature = "unstable")]
    pub(super) fn check_groups(&self) {
        let mut places = vec![0; self.groups.len()];
        for (_, session) in self.sessions.iter() {
            session.group().into_iter().for_each(|group| places[group] += session.places());
        }
        let counted: Vec<usize> = self.groups.iter().map(|group| group.places).collect();
        assert_eq!(places, counted, "a group counts the places of its sessions");
    }

    /// Whether it is the group that has no room.
    #[inline(always)]
    pub(super) fn is_group_full(&self, session: &Session, more: usize) -> bool {
        session.group().is_some_and(|group| {
            let group = &self.groups[group];
            group.places + more > group.locks_max
        })
    }

    pub(super) fn insert(&mut self, session: Session) -> SessionKey {
        self.sessions.insert(session)
    }

    pub(super) fn remove(&mut self, key: SessionKey) {
        let last = self.session(key).extras.as_ref().and_then(|extras| extras.last_owner);
        if let Some(last) = last.filter(|last| self.owners[*last as usize].party.places.is_empty()) {
            self.unlist(last);
        }
        let session = self.sessions.remove(key).expect("a session ends once");
        assert!(session.places() == 0, "a session that ends has left everything");
    }

    /// A session whose key is still in use by its connection.
    #[inline]
    pub(super) fn session(&self, key: SessionKey) -> &Session {
        self.sessions.get(key).expect("the session lives")
    }

    pub(super) fn session_mut(&mut self, key: SessionKey) -> &mut Session {
        self.sessions.get_mut(key).expect("the session lives")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.sessions.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session of an asker who has places.
    #[inline]
    pub(super) fn session_of(&self, asker: Asker) -> &Session {
        self.sessions.at(self.slot(asker))
    }

    /// The slot of the session.
    #[inline]
    fn slot(&self, asker: Asker) -> u32 {
        asker.to_owner().map_or(asker.0, |number| self.owners[number as usize].session)
    }

    /// Which owner it is. None: the connection itself.
    #[inline]
    pub(super) fn name(&self, asker: Asker) -> Option<OwnerRef<'_>> {
        asker.to_owner().map(|number| self.owners[number as usize].name.get())
    }

    #[inline]
    pub(super) fn party(&self, asker: Asker) -> &Party {
        match asker.to_owner() {
            None => &self.sessions.at(asker.0).party,
            Some(number) => &self.owners[number as usize].party,
        }
    }

    #[inline]
    pub(super) fn party_mut(&mut self, asker: Asker) -> &mut Party {
        match asker.to_owner() {
            None => &mut self.sessions.at_mut(asker.0).party,
            Some(number) => &mut self.owners[number as usize].party,
        }
    }

    /// Counts a place that is about to be added to an asker's list, for the session of an owner as well.
    #[inline(always)]
    pub(super) fn count_join(&mut self, asker: Asker, is_wait: bool) -> &mut Party {
        let party = match asker.to_owner() {
            None => {
                let session = self.sessions.at_mut(asker.0);
                if let Some(group) = session.group() {
                    self.groups[group].places += 1;
                }
                &mut session.party
            }
            Some(number) => {
                let record = &mut self.owners[number as usize];
                let session = self.sessions.at_mut(record.session);
                if let Some(group) = session.group() {
                    self.groups[group].places += 1;
                }
                session.of_owners += 1;
                session.of_owners_waiting += u32::from(is_wait);
                &mut record.party
            }
        };
        party.waiting += u32::from(is_wait);
        party
    }

    /// One of its waits has become a hold.
    #[inline]
    pub(super) fn on_grant(&mut self, asker: Asker) {
        self.party_mut(asker).waiting -= 1;
        if asker.to_owner().is_some() {
            self.session_of_mut(asker).of_owners_waiting -= 1;
        }
    }

    /// Counts a place that is about to be taken out of an asker's list, as [`Askers::count_join`] did. The record of an
    /// owner stays for [`Askers::forget_if_idle`].
    #[inline(always)]
    pub(super) fn count_leave(&mut self, asker: Asker, was_wait: bool) -> &mut Party {
        let party = match asker.to_owner() {
            None => {
                let session = self.sessions.at_mut(asker.0);
                if let Some(group) = session.group() {
                    self.groups[group].places -= 1;
                }
                &mut session.party
            }
            Some(number) => {
                let record = &mut self.owners[number as usize];
                let session = self.sessions.at_mut(record.session);
                if let Some(group) = session.group() {
                    self.groups[group].places -= 1;
                }
                session.of_owners -= 1;
                session.of_owners_waiting -= u32::from(was_wait);
                &mut record.party
            }
        };
        party.waiting -= u32::from(was_wait);
        party
    }

    fn session_of_mut(&mut self, asker: Asker) -> &mut Session {
        let slot = self.slot(asker);
        self.sessions.at_mut(slot)
    }

    /// The first of a session's askers who has places: the session itself, or its first owner.
    pub(super) fn first_busy(&self, key: SessionKey) -> Option<Asker> {
        self.of_session(key).find(|asker| !self.party(*asker).places.is_empty())
    }

    /// The session itself, and its owners in the order in which they came.
    pub(super) fn of_session(&self, key: SessionKey) -> impl Iterator<Item = Asker> {
        let first = self.session(key).extras.as_ref().and_then(|extras| extras.first_owner);
        let owners = std::iter::successors(first, |number| self.owners[*number as usize].next);
        std::iter::once(Asker::session(key)).chain(owners.map(Asker::owner))
    }
}
