//! The listings: what people and programs ask to see of the table, row by row.

use std::hash::BuildHasher;

use super::place::{Place, Standing};
use super::table::LockKey;
use super::{Engine, SessionKey};
use crate::time::Moment;
use crate::wire::listing::{Listing, ListingTooLarge, LockRow, PlaceRow, RowStanding, Written};
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, QUEUE_PEERS_MAX, Reason};
use crate::wire::request::{Fit, Page};

/// Slots that one page looks at, whether or not anything is in them: a fraction of a millisecond.
pub const PAGE_SLOTS: u32 = 10_000;
/// A page that has this many bytes takes no further row.
pub const PAGE_BYTES: usize = 64 << 10;

impl<S: BuildHasher> Engine<S> {
    /// Every lock with its connections, holders first, then the waiters in order.
    pub(super) fn list_locks(&self) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        listing.object(self.table.locks(), |listing, lock| listing.lock(self.table.name(lock), self.peers_on(lock)))?;
        Ok(listing)
    }

    /// Every connection that holds or waits for anything, with the names of that.
    pub(super) fn list_connections(&self) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let busy = self.sessions.iter().filter(|(_, session)| !session.places.is_empty());
        listing.object(busy, |listing, (key, session)| listing.connection(session.peer, self.names_of(key)))?;
        Ok(listing)
    }

    /// What one session holds and waits for.
    pub(super) fn list_locks_of(&self, session: SessionKey) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        listing.names(self.names_of(session))?;
        Ok(listing)
    }

    /// Some locks from a slot of the table on, and the slot where to go on if there may be more. A lock keeps its slot
    /// for as long as it exists, so going through all pages finds it exactly once. What a page costs is bounded by the
    /// slots that it looks at and the bytes that it writes.
    pub(super) fn list_page(&self, page: &Page<'_>, now: Moment) -> Written<(Listing, Option<u32>)> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let (locks, end) = self.table.locks_between(page.after, PAGE_SLOTS);
        let mut found = locks.filter(|lock| self.table.name(*lock).starts_with(page.prefix.as_ref()));
        let left = listing.object_within(PAGE_BYTES, found.by_ref().take(page.limit), |listing, lock| {
            let name = self.table.name(lock);
            if !page.has_detail {
                return listing.lock(name, self.peers_on(lock));
            }
            let rows = |standing| {
                let places = self.table.on(lock).filter(move |(_, place)| place.standing == standing);
                places.map(move |(_, place)| self.row(place, now))
            };
            let waiters = rows(Standing::Waiting).take(QUEUE_PEERS_MAX);
            let row = LockRow { name, waiting: self.table.waiters(lock), closed_for: None };
            listing.lock_in_detail(&row, rows(Standing::Holding), waiters)
        })?;
        // The first that found no room, else the first over the limit, else the first slot that was not looked at.
        let next = left.or_else(|| found.next()).map(LockKey::slot).or(end);
        Ok((listing, next))
    }

    /// Reads who is on a lock, up to the number that a reply shows, into `self.queue`.
    pub(super) fn read_queue(&mut self, lock: LockKey) {
        let mut queue = std::mem::take(&mut self.queue);
        queue.clear();
        queue.extend(self.peers_on(lock).take(QUEUE_PEERS_MAX));
        self.queue = queue;
    }

    fn peers_on(&self, lock: LockKey) -> impl Iterator<Item = Peer> {
        self.table.on(lock).map(|(_, place)| self.sessions.get(place.session).peer)
    }

    fn names_of(&self, session: SessionKey) -> impl Iterator<Item = &str> {
        self.locks_of(session).map(|(name, _)| name)
    }

    fn row(&self, place: &Place, now: Moment) -> PlaceRow<'_> {
        let session = self.sessions.get(place.session);
        let span = now.since(place.since);
        PlaceRow {
            connection: session.peer,
            client: session.client.as_deref(),
            owner: None,
            fit: Fit::Exclusive,
            label: None,
            standing: match place.standing {
                Standing::Holding => RowStanding::Holder { token: 0, held_for: span, lease_left: None },
                Standing::Waiting => RowStanding::Waiter { priority: 0, waited_for: span, timeout_left: None },
            },
        }
    }
}

/// The answer to a request for a listing.
pub(super) fn outcome<'a, L>(listing: &'a Written<L>, kind: impl FnOnce(&'a L) -> Outcome<'a>) -> Outcome<'a> {
    match listing {
        Ok(listing) => kind(listing),
        Err(ListingTooLarge) => Outcome::Error {
            reason: Reason::ReplyTooLarge,
            message: "the listing is larger than a reply may be; request pages with limit and detail".into(),
            subject: None,
        },
    }
}
