//! The listings: what people and programs ask to see of the table, row by row.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::fit::Kind;
use super::place::Place;
use super::table::LockKey;
use super::{ConnectionKey, Context, Engine, Replies, SessionKey};
use crate::time::Moment;
use crate::wire::listing::{Listing, ListingTooLarge, LockRow, PlaceRow, RowStanding, Written};
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, QUEUE_PEERS_MAX, Reason};
use crate::wire::request::{Fit, Page};

/// Slots that one page looks at, whether or not anything is in them: a fraction of a millisecond.
pub const PAGE_SLOTS: u32 = 10_000;
/// A page that has this many bytes takes no further row.
pub const PAGE_BYTES: usize = 64 << 10;
/// Holds and waits that a page looks at for somebody who may not see all of them, but for those of its first row.
pub const PAGE_PLACES: usize = 50_000;

impl<S: BuildHasher> Engine<S> {
    /// Every lock with its connections, holders first, then the waiters in order.
    pub(super) fn list_locks(&self, sees: &impl Fn(&str) -> bool) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let taken = self.table.locks().filter(|lock| self.table.places_on(*lock) > 0);
        let taken = taken.filter(|lock| sees(self.table.name(*lock)));
        listing.object(taken, |listing, lock| listing.lock(self.table.name(lock), self.peers_on(lock)))?;
        Ok(listing)
    }

    /// Every connection that holds or waits for anything, with the names of that. Of a connection other than the asker's own
    /// only what that may be shown.
    pub(super) fn list_connections(
        &self,
        own: SessionKey,
        sees_all: bool,
        sees: &impl Fn(&str) -> bool,
    ) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let names = |key: SessionKey| self.names_of(key).filter(move |name| key == own || sees(name));
        let busy = self.askers.iter().filter(|(key, _)| names(*key).next().is_some());
        listing.object(busy, |listing, (key, session)| {
            if sees_all || key == own {
                return listing.connection(session.peer, names(key));
            }
            listing.connection(session.peer, in_order_of_names(names(key)))
        })?;
        Ok(listing)
    }

    /// What one owner holds and waits for, or the whole connection.
    pub(super) fn list_locks_of(&self, context: &Context<'_>) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        match context.owner {
            None => listing.names(self.names_of(context.session))?,
            Some(_) => {
                let asker = self.who(context).asker;
                let names = |asker: Asker| self.locks_of_asker(asker).map(|(name, _)| name);
                listing.names(asker.into_iter().flat_map(names))?;
            }
        }
        Ok(listing)
    }

    /// One lock, if it is not free.
    pub fn list_one(
        &self,
        name: &str,
        has_detail: bool,
        now: Moment,
        sees: &impl Fn(&str) -> bool,
    ) -> Written<Listing> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let lock = self.table.find_by_name(name).filter(|lock| self.is_listed(*lock, has_detail));
        let lock = lock.filter(|_| sees(name));
        listing.object(lock.into_iter(), |listing, lock| self.list_lock(listing, lock, has_detail, now, None))?;
        Ok(listing)
    }

    /// Some locks from a slot of the table on, and the slot where to go on if there may be more. A lock keeps its slot
    /// for as long as it exists, so going through all pages finds it exactly once. With those that are waited for it is the
    /// same with their records, which they keep for as long as somebody waits. What a page costs is bounded by the slots or
    /// records that it looks at and the bytes that it writes.
    pub fn list_page(
        &self,
        page: &Page<'_>,
        now: Moment,
        sees: &impl Fn(&str) -> bool,
    ) -> Written<(Listing, Option<u32>)> {
        if page.is_contended {
            let (locks, end) = self.table.contended_between(page.after, PAGE_SLOTS);
            return self.list_those(locks, end, page, now, sees);
        }
        let (locks, end) = self.table.locks_between(page.after, PAGE_SLOTS);
        self.list_those(locks.map(|lock| (lock.slot(), lock)), end, page, now, sees)
    }

    /// The page of these locks, each with where a page would begin with it. `end`: where the one after all of them begins.
    fn list_those(
        &self,
        locks: impl Iterator<Item = (u32, LockKey)>,
        end: Option<u32>,
        page: &Page<'_>,
        now: Moment,
        sees: &impl Fn(&str) -> bool,
    ) -> Written<(Listing, Option<u32>)> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let is_meant = |&(_, lock): &(u32, LockKey)| {
            let name = self.table.name(lock);
            name.starts_with(page.prefix.as_ref()) && sees(name) && self.is_listed(lock, page.has_detail)
        };
        let mut found = locks.filter(is_meant);
        let left = listing.object_within(PAGE_BYTES, found.by_ref().take(page.limit), |listing, (_, lock)| {
            self.list_lock(listing, lock, page.has_detail, now, None)
        })?;
        // The first that found no room, else the first over the limit, else the first slot that was not looked at.
        let next = left.or_else(|| found.next()).map(|(at, _)| at).or(end);
        Ok((listing, next))
    }

    /// The same, of the locks of one owner, or of the whole connection. What a page costs is bounded by what that has.
    pub(super) fn list_page_of(
        &self,
        page: &Page<'_>,
        context: &Context<'_>,
        sees: &impl Fn(&str) -> bool,
    ) -> Written<(Listing, Option<u32>)> {
        let mut listing = Listing::new(self.limits.reply_bytes_max);
        let owner = context.owner.map(|_| self.who(context).asker);
        let all = self.askers.of_session(context.session).filter(|_| owner.is_none());
        let askers = all.chain(owner.flatten());
        let places = askers.flat_map(|asker| self.askers.party(asker).places.iter(self.table.places()));
        // Several owners may be on one lock.
        let mut locks: Vec<LockKey> =
            places.map(|(_, place)| place.lock).filter(|lock| lock.slot() >= page.after).collect();
        locks.sort_unstable_by_key(|lock| lock.slot());
        locks.dedup();
        let mut found = locks.into_iter().map(|lock| (lock, sees(self.table.name(lock)))).peekable();
        // To find its own among those that it is not shown, all are looked at.
        let mut looked_at = 0;
        let mut is_within_budget = |(lock, sees): &(LockKey, bool)| {
            let before = looked_at;
            looked_at += if *sees { 0 } else { self.table.places_on(*lock) };
            before == 0 || looked_at <= PAGE_PLACES
        };
        let rows = std::iter::from_fn(|| found.next_if(&mut is_within_budget));
        let left = listing.object_within(PAGE_BYTES, rows.take(page.limit), |listing, (lock, sees)| {
            self.list_lock(listing, lock, page.has_detail, context.now, (!sees).then_some(context.session))
        })?;
        let next = left.or_else(|| found.next()).map(|(lock, _)| lock.slot());
        Ok((listing, next))
    }

    /// A closed lock is listed in detail, or if somebody waits for it.
    fn is_listed(&self, lock: LockKey, has_detail: bool) -> bool {
        self.table.places_on(lock) > 0
            || (has_detail && self.table.special(lock).is_some_and(|special| special.closing.is_some()))
    }

    /// Who is on a lock: everybody, or only one session. Of the holders, and of the waiters, only the first
    /// [`QUEUE_PEERS_MAX`], so that one lock of very many fits into a reply.
    fn list_lock(
        &self,
        listing: &mut Listing,
        lock: LockKey,
        has_detail: bool,
        now: Moment,
        only: Option<SessionKey>,
    ) -> Written {
        let name = self.table.name(lock);
        let connection = only.map(|session| self.askers.session(session).connection);
        let is_shown = move |place: &Place| {
            connection.is_none_or(|connection| self.askers.session_of(place.asker).connection == connection)
        };
        let [holders, waiters] = self.table.lists_on(lock).map(|places| {
            let places = places.map(|(_, place)| place).filter(move |place| is_shown(place));
            places.take(QUEUE_PEERS_MAX)
        });
        if !has_detail {
            let peers = holders.chain(waiters).map(|place| self.askers.session_of(place.asker).peer);
            return listing.lock(name, peers.take(QUEUE_PEERS_MAX));
        }
        let closing = self.table.special(lock).and_then(|special| special.closing);
        let row = LockRow {
            name,
            // Of those who are not shown only how many wait is told.
            holding: if only.is_none() { self.table.holders(lock) } else { 0 },
            waiting: self.table.waiters(lock),
            closed_for: closing.map(|deadline| self.deadlines.at(deadline).since(now)),
        };
        let row_of = |place| self.row(place, now);
        listing.lock_in_detail(&row, holders.map(row_of), waiters.map(row_of))
    }

    /// Reads who is on a lock, up to the number that a reply shows, into `self.queue`: nobody, if the session may not be
    /// shown that.
    pub(super) fn read_queue(&mut self, lock: LockKey, to: ConnectionKey, replies: &impl Replies) {
        let mut queue = std::mem::take(&mut self.queue);
        queue.clear();
        if replies.may_see(to, self.table.name(lock)) {
            queue.extend(self.peers_on(lock).take(QUEUE_PEERS_MAX));
        }
        self.queue = queue;
    }

    /// A circle goes through locks that the request did not name, so it is shown to those who may see all.
    pub(super) fn hide_cycle(&mut self, context: &Context<'_>, replies: &impl Replies) {
        if !replies.may_see_all(self.askers.session(context.session).connection) {
            self.cycle.clear();
        }
    }

    fn peers_on(&self, lock: LockKey) -> impl Iterator<Item = Peer> {
        self.table.on(lock).map(|(_, place)| self.askers.session_of(place.asker).peer)
    }

    fn names_of(&self, session: SessionKey) -> impl Iterator<Item = &str> {
        self.locks_of(session).map(|(name, _)| name)
    }

    pub(super) fn row<'a>(&'a self, place: &'a Place, now: Moment) -> PlaceRow<'a> {
        let session = self.askers.session_of(place.asker);
        let extras = place.extras.as_ref();
        let span = now.since(place.since);
        let deadline = match extras.and_then(|extras| extras.bundle) {
            Some(bundle) => self.bundle(bundle).deadline,
            None => place.deadline,
        };
        let left = deadline.map(|deadline| self.deadlines.at(deadline).since(now));
        PlaceRow {
            connection: session.peer,
            client: session.client(),
            owner: self.askers.name(place.asker),
            fit: match place.kind {
                Kind::Exclusive => Fit::Exclusive,
                Kind::Shared => Fit::Shared,
                Kind::Unit | Kind::OnlyUnit => {
                    Fit::Unit(self.table.special(place.lock).map_or(1, |special| special.slots))
                }
            },
            label: extras.map(|extras| &*extras.label).filter(|label| !label.is_empty()),
            standing: if place.is_holding() {
                RowStanding::Holder { token: place.token, held_for: span, lease_left: left }
            } else {
                RowStanding::Waiter { priority: place.priority(), waited_for: span, timeout_left: left }
            },
        }
    }
}

/// The names that a connection is shown of another. The order in which that one has them depends on those that are not shown as
/// well, because its owners come in the order in which each of them began to have any.
pub fn in_order_of_names<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.into_iter()
}

/// The answer to a request for a listing.
pub fn outcome<'a, L>(listing: &'a Written<L>, kind: impl FnOnce(&'a L) -> Outcome<'a>) -> Outcome<'a> {
    match listing {
        Ok(listing) => kind(listing),
        Err(ListingTooLarge) => Outcome::Error {
            reason: Reason::ReplyTooLarge,
            message: "the listing is larger than a reply may be; request pages with limit and detail".into(),
            subject: None,
        },
    }
}
