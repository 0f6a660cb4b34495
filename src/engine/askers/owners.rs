//! The owners that share a session: their records, and which of them are in its list.

use super::{Asker, Askers, Party};
use crate::engine::SessionKey;
use crate::engine::recent::Spot;
use crate::wire::digits::Digits;
use crate::wire::request::ID_BYTES_MAX;
use crate::wire::{Id, OwnerRef};

/// One of the owners that share a session, while it holds a lock or waits for one, and perhaps for longer: see
/// [`Spots`](crate::engine::recent::Spots).
#[derive(Debug)]
pub(super) struct OwnerRecord {
    pub(super) session: u32,
    hash: u64,
    pub(super) name: OwnerName,
    pub(super) party: Party,
    spot: Spot,
    /// Whether it is in its session's list. If not, it has no places and is recent.
    is_listed: bool,
    previous: Option<u32>,
    pub(super) next: Option<u32>,
}

impl OwnerRecord {
    #[inline(always)]
    fn is(&self, session: u32, owner: &OwnerRef<'_>) -> bool {
        self.session == session && self.name.is(owner)
    }
}

/// Stored inline, whatever its length, because owners come and go with every lock.
#[derive(Debug)]
pub(super) enum OwnerName {
    Number(Digits),
    Text { bytes: [u8; ID_BYTES_MAX], len: u8 },
}

impl OwnerName {
    fn new(owner: &OwnerRef<'_>) -> Self {
        match owner {
            Id::Number(number) => OwnerName::Number(*number),
            Id::Text(text) => {
                let mut bytes = [0; ID_BYTES_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                OwnerName::Text { bytes, len: u8::try_from(text.len()).expect("at most 64 bytes") }
            }
        }
    }

    #[inline(always)]
    fn is(&self, owner: &OwnerRef<'_>) -> bool {
        match (self, owner) {
            (OwnerName::Number(number), Id::Number(other)) => number == other,
            (OwnerName::Text { bytes, len }, Id::Text(text)) => &bytes[..usize::from(*len)] == text.as_bytes(),
            _ => false,
        }
    }

    pub(super) fn get(&self) -> OwnerRef<'_> {
        match self {
            OwnerName::Number(number) => Id::Number(*number),
            OwnerName::Text { bytes, len } => {
                Id::Text(str::from_utf8(&bytes[..usize::from(*len)]).expect("an owner was a str"))
            }
        }
    }
}

impl Askers {
    /// An owner who has places.
    pub(in crate::engine) fn find_owner(&self, hash: u64, session: SessionKey, owner: &OwnerRef<'_>) -> Option<Asker> {
        let matches = |number: u32| self.owners[number as usize].is(session.slot(), owner);
        self.by_owner.find(hash, matches).map(Asker::owner)
    }

    /// A recent owner, found without its hash, and whether it is in the list of its session.
    #[inline(always)]
    pub(in crate::engine) fn find_recent(&self, session: SessionKey, owner: &OwnerRef<'_>) -> Option<(Asker, bool)> {
        let number = self.recent.get(Spot::of(session.slot(), owner));
        let record = self.owners.get(number as usize)?;
        record.is(session.slot(), owner).then_some((Asker::owner(number), record.is_listed))
    }

    /// Makes a record of an owner who has none, and lists it.
    pub(in crate::engine) fn add_owner(&mut self, hash: u64, session: SessionKey, owner: &OwnerRef<'_>) -> Asker {
        let session = session.slot();
        let spot = Spot::of(session, owner);
        let before = self.recent.take(spot);
        if self.owners.get(before as usize).is_some_and(|record| !record.is_listed) {
            self.remove_owner(before);
        }
        let (name, party) = (OwnerName::new(owner), Party::default());
        let record = OwnerRecord { session, hash, name, party, spot, is_listed: false, previous: None, next: None };
        let number = u32::try_from(self.owners.insert(record)).expect("fewer than 2^31 owners");
        self.by_owner.insert(hash, number);
        self.recent.put(spot, number);
        self.list(Asker::owner(number));
        Asker::owner(number)
    }

    fn remove_owner(&mut self, number: u32) {
        let record = self.owners.remove(number as usize);
        self.by_owner.remove(record.hash, number);
    }

    /// Takes an owner who has no places off its session's list, unless it is the last there: it often comes again at once,
    /// and stays until another comes.
    #[inline]
    pub(in crate::engine) fn forget_if_idle(&mut self, asker: Asker) {
        if let Some(number) = asker.to_owner()
            && self.owners[number as usize].next.is_some()
            && self.owners[number as usize].party.places.is_empty()
        {
            self.unlist(number);
        }
    }

    /// Puts an owner at the end of its session's list. The caller gives it a place at once. If the one that was last there has
    /// no places, its position is taken: owners that take turns, as they often do, cost half of what the general way would.
    #[inline(never)]
    pub(in crate::engine) fn list(&mut self, asker: Asker) {
        let number = asker.to_owner().expect("it is an owner");
        let session = self.owners[number as usize].session;
        let extras = self.sessions.at_mut(session).extras.get_or_insert_default();
        let mut previous = extras.last_owner.replace(number);
        let mut idle = None;
        if let Some(last) = previous {
            let record = &mut self.owners[last as usize];
            if record.party.places.is_empty() {
                record.is_listed = false;
                (previous, idle) = (record.previous.take(), Some((last, record.spot)));
            }
        }
        match previous {
            Some(previous) => self.owners[previous as usize].next = Some(number),
            None => extras.first_owner = Some(number),
        }
        let record = &mut self.owners[number as usize];
        (record.is_listed, record.previous) = (true, previous);
        if let Some((idle, spot)) = idle {
            self.forget_unless_recent(idle, spot);
        }
    }

    /// Takes an owner who has no places off its session's list.
    pub(super) fn unlist(&mut self, number: u32) {
        let record = &mut self.owners[number as usize];
        record.is_listed = false;
        let (session, spot) = (record.session, record.spot);
        let (previous, next) = (record.previous.take(), record.next.take());
        let extras = self.sessions.at_mut(session).extras.as_mut().expect("it has an owner");
        match previous {
            Some(previous) => self.owners[previous as usize].next = next,
            None => extras.first_owner = next,
        }
        match next {
            Some(next) => self.owners[next as usize].previous = previous,
            None => extras.last_owner = previous,
        }
        self.forget_unless_recent(number, spot);
    }

    #[inline]
    fn forget_unless_recent(&mut self, number: u32, spot: Spot) {
        if self.recent.get(spot) != number {
            self.remove_owner(number);
        }
    }

    /// How many owners are in the lists of sessions. The others have no places.
    #[cfg(feature = "unstable")]
    pub(in crate::engine) fn listed_owners(&self) -> usize {
        assert_eq!(self.by_owner.len(), self.owners.len(), "the index has every owner once");
        let mut listed = 0;
        for (number, record) in self.owners.iter() {
            assert_eq!(record.spot, Spot::of(record.session, &record.name.get()), "an owner knows its spot");
            let is_recent = self.recent.get(record.spot) as usize == number;
            assert!(record.is_listed || is_recent, "only a recent owner is kept");
            assert!(record.is_listed || record.party.places.is_empty(), "an owner who has places is listed");
            listed += usize::from(record.is_listed);
        }
        listed
    }

    /// The owner at the end of a session's list: the only one there that may have no places.
    #[cfg(feature = "unstable")]
    pub(in crate::engine) fn last_owner(&self, session: SessionKey) -> Option<Asker> {
        self.session(session).extras.as_ref()?.last_owner.map(Asker::owner)
    }
}
