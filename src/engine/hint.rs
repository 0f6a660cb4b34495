//! Hints: a holder that asked for it is told when somebody else wants its lock.
//!
//! It is told once, and again after each renewal or resumption. Who asks is answered before the holder is told.

use std::hash::BuildHasher;

use super::bundle::Wanted;
use super::place::PlaceKey;
use super::table::LockKey;
use super::{Engine, Replies, SessionKey};
use crate::wire::reply::Outcome;

/// Whether a holder is told when somebody else wants its lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hint {
    /// It did not ask for that.
    #[default]
    None,
    /// The next time.
    Unused,
    /// It has been told, and is not told again.
    Told,
}

impl Hint {
    /// From now on it is told again, if it asked for that.
    pub(super) fn renew(&mut self) {
        if *self == Hint::Told {
            *self = Hint::Unused;
        }
    }
}

impl<S: BuildHasher> Engine<S> {
    /// After a request has begun to wait for a lock, or has been turned away.
    pub(super) fn tell_wanted(&mut self, lock: LockKey, replies: &mut impl Replies) {
        // A hold with a hint is exclusive, so it is the only one.
        if let Some(holder) = self.table.entry(lock).holders.first() {
            self.tell_holder(holder, replies);
        }
    }

    /// The same, for each lock of a request for several. Who holds one of them exclusively is in its way.
    pub(super) fn tell_wanted_of(&mut self, wanted: &[Wanted], replies: &mut impl Replies) {
        for lock in wanted.iter().filter_map(|wanted| wanted.lock) {
            self.tell_wanted(lock, replies);
        }
    }

    /// After a grant: there may be waiters already.
    pub(super) fn tell_if_awaited(&mut self, holder: PlaceKey, replies: &mut impl Replies) {
        if self.table.waiters(self.table.place(holder).lock) > 0 {
            self.tell_holder(holder, replies);
        }
    }

    fn tell_holder(&mut self, holder: PlaceKey, replies: &mut impl Replies) {
        let place = self.table.place(holder);
        if place.extras.as_ref().is_none_or(|extras| extras.hint != Hint::Unused) {
            return;
        }
        let (asker, token) = (place.asker, place.token);
        let waiters = self.table.waiters(place.lock) as u64;
        let outcome = Outcome::NoticeWanted { name: self.table.name(place.lock), token, waiters };
        self.tell(asker, None, outcome, replies);
        self.table.place_mut(holder).extras.as_mut().expect("it has a hint").hint = Hint::Told;
    }

    /// A session that has a connection again is told again. What it was told last may not have reached it, and certainly has
    /// not if it was told that while it had none.
    pub(super) fn renew_hints(&mut self, session: SessionKey) {
        for asker in self.askers.of_session(session) {
            let mut next = self.askers.party(asker).places.first();
            while let Some(key) = next {
                let place = self.table.place_mut(key);
                next = place.of_asker.next();
                if let Some(extras) = &mut place.extras {
                    extras.hint.renew();
                }
            }
        }
    }
}
