//! The listings: what people and programs ask to see of the table.

use super::deadline::Nanos;
use super::place::{Place, Standing};
use super::table::LockKey;
use super::{Engine, SessionKey};
use crate::wire::reply::{Listing, ListingTooLarge, Outcome, QUEUE_PEERS_MAX, Reason};
use crate::wire::request::Page;

/// Slots of the table that one page looks at, whether or not a lock is in them: a fraction of a millisecond.
const PAGE_SLOTS: u32 = 10_000;
/// A page that has so many bytes takes no further lock.
const PAGE_BYTES: usize = 64 << 10;

impl Engine {
    /// Every lock with its connections, holders first, then the waiters in order.
    pub(super) fn list_locks(&self) -> Result<Listing, ListingTooLarge> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        listing.object(self.table.locks(), |listing, lock| {
            listing.key(self.table.name(lock));
            listing
                .array(self.table.on(lock), |listing, (_, place)| listing.peer(self.sessions.get(place.session).peer))
        })?;
        Ok(listing)
    }

    /// Every connection that holds or waits for anything, with the names of that.
    pub(super) fn list_connections(&self) -> Result<Listing, ListingTooLarge> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let busy = self.sessions.iter().filter(|(_, session)| !session.places.is_empty());
        listing.object(busy, |listing, (_, session)| {
            listing.peer_key(session.peer);
            listing
                .array(session.places.iter(self.table.places()), |listing, (_, place)| self.list_name(listing, place))
        })?;
        Ok(listing)
    }

    /// What one session holds and waits for.
    pub(super) fn list_locks_of(&self, session: SessionKey) -> Result<Listing, ListingTooLarge> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let places = self.sessions.get(session).places.iter(self.table.places());
        listing.array(places, |listing, (_, place)| self.list_name(listing, place))?;
        Ok(listing)
    }

    /// Some locks from a slot of the table on, and the slot where to go on if there may be more. A lock keeps its slot
    /// for as long as it exists, so going through all pages finds it exactly once. What a page costs is bounded by the
    /// slots that it looks at and the bytes that it writes.
    pub(super) fn list_page(&self, page: &Page<'_>, now: Nanos) -> Result<(Listing, Option<u32>), ListingTooLarge> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let (locks, end) = self.table.locks_between(page.after, PAGE_SLOTS);
        let mut found = locks.filter(|lock| self.table.name(*lock).starts_with(page.prefix.as_ref()));
        let left = listing.object_within(PAGE_BYTES, found.by_ref().take(page.limit), |listing, lock| {
            listing.key(self.table.name(lock));
            if page.has_detail {
                self.list_detail(listing, lock, now)
            } else {
                listing.array(self.table.on(lock), |listing, (_, place)| {
                    listing.peer(self.sessions.get(place.session).peer)
                })
            }
        })?;
        // The first that found no room, else the first over the limit, else wherever the slots were not looked at.
        let next = left.or_else(|| found.next()).map(LockKey::slot).or(end);
        Ok((listing, next))
    }

    fn list_detail(&self, listing: &mut Listing, lock: LockKey, now: Nanos) -> Result<(), ListingTooLarge> {
        let of = |standing| self.table.on(lock).filter(move |(_, place)| place.standing == standing);
        listing.raw("{\"holders\":");
        listing.array(of(Standing::Holding), |listing, (_, place)| self.list_place(listing, place, "held_for", now))?;
        listing.raw(",\"waiters\":");
        let waiters = of(Standing::Waiting).take(QUEUE_PEERS_MAX);
        listing.array(waiters, |listing, (_, place)| self.list_place(listing, place, "waited_for", now))?;
        listing.raw(",\"waiting\":");
        listing.number(self.table.waiters(lock) as u64);
        listing.raw("}");
        Ok(())
    }

    fn list_place(&self, listing: &mut Listing, place: &Place, since: &str, now: Nanos) -> Result<(), ListingTooLarge> {
        let session = self.sessions.get(place.session);
        listing.raw("{\"connection\":");
        listing.peer(session.peer)?;
        if let Some(client) = &session.client {
            listing.raw(",\"client\":");
            listing.string(client)?;
        }
        listing.raw(",\"mode\":\"exclusive\",");
        listing.key(since);
        listing.seconds(now - place.since);
        listing.raw("}");
        Ok(())
    }

    fn list_name(&self, listing: &mut Listing, place: &Place) -> Result<(), ListingTooLarge> {
        listing.string(self.table.name(place.lock))
    }
}

/// The answer to a request for a listing.
pub(super) fn outcome<'a, L>(
    listing: &'a Result<L, ListingTooLarge>,
    kind: impl FnOnce(&'a L) -> Outcome<'a>,
) -> Outcome<'a> {
    match listing {
        Ok(listing) => kind(listing),
        Err(ListingTooLarge) => Outcome::Error {
            reason: Reason::ReplyTooLarge,
            message: "the listing is larger than a reply may be; ask for pages with limit and detail".into(),
            name: None,
        },
    }
}
