//! The listings: what people and programs ask to see of the table.

use super::place::Place;
use super::{Engine, SessionKey};
use crate::wire::reply::{Listing, ListingTooLarge, Outcome, Reason};

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

    fn list_name(&self, listing: &mut Listing, place: &Place) -> Result<(), ListingTooLarge> {
        listing.string(self.table.name(place.lock))
    }
}

/// The answer to a request for a listing.
pub(super) fn outcome<'a>(
    listing: &'a Result<Listing, ListingTooLarge>,
    kind: impl FnOnce(&'a Listing) -> Outcome<'a>,
) -> Outcome<'a> {
    match listing {
        Ok(listing) => kind(listing),
        Err(ListingTooLarge) => Outcome::Error {
            reason: Reason::ReplyTooLarge,
            message: "the listing is larger than a reply may be".into(),
            name: None,
        },
    }
}
