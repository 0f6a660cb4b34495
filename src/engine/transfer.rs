//! A holder hands its lock to a waiter of its choice.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::fit::Kind;
use super::place::PlaceKey;
use super::release::Ending;
use super::table::LockKey;
use super::{Context, Engine, Replies};
use crate::time::Moment;
use crate::wire::peer::Peer;
use crate::wire::reply::Outcome;
use crate::wire::request::Transfer;
use crate::wire::{Id, OwnerRef};

impl<S: BuildHasher> Engine<S> {
    /// Hands a lock on. `to` is the connection that the request names, if it names any; the inner `None` stands for a text
    /// that is no connection's name.
    pub fn transfer(
        &mut self,
        request: &Transfer<'_>,
        to: Option<Option<Peer>>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let name = request.name.as_str();
        let Some(hold) = self.hold_named(self.who(context).asker, name, request.token) else {
            return self.answer(context, Outcome::TransferFailed { name, held: false }, replies);
        };
        let owner = request.to_owner.as_ref().map(Id::as_ref);
        let waiter = match to {
            None => self.waiter_of(self.table.place(hold).lock, owner, context),
            Some(peer) => peer.and_then(|peer| self.waiter_named(self.table.place(hold).lock, peer, owner)),
        };
        let Some(waiter) = waiter.filter(|waiter| self.may_transfer(hold, *waiter, context.now)) else {
            return self.answer(context, Outcome::TransferFailed { name, held: true }, replies);
        };
        self.hand_over(hold, waiter, context.now, replies);
        self.answer(context, Outcome::Transferred { name }, replies);
    }

    /// How many waiters a transfer of this lock may have to look at.
    pub fn waiters_for_transfer(&self, request: &Transfer<'_>) -> usize {
        if request.to.is_none() {
            return 0;
        }
        let name = request.name.as_str();
        self.table.find_by_name(name).map_or(0, |lock| self.table.waiters(lock))
    }

    /// The place of an owner of the asker's own connection.
    fn waiter_of(&self, lock: LockKey, owner: Option<OwnerRef<'_>>, context: &Context<'_>) -> Option<PlaceKey> {
        let asker = self.who(&Context { owner: owner.as_ref(), ..*context }).asker?;
        self.table.place_of(lock, asker)
    }

    /// The place of an owner of another connection, or of that connection itself.
    fn waiter_named(&self, lock: LockKey, peer: Peer, owner: Option<OwnerRef<'_>>) -> Option<PlaceKey> {
        let is_meant = |asker: Asker| self.askers.session_of(asker).peer == peer && self.askers.name(asker) == owner;
        let mut waiters = self.table.entry(lock).waiters.iter(self.table.places());
        waiters.find(|(_, place)| is_meant(place.asker)).map(|(key, _)| key)
    }

    /// Whether the holder may hand its lock to whoever has this place.
    fn may_transfer(&self, hold: PlaceKey, waiter: PlaceKey, now: Moment) -> bool {
        let (holder, to) = (self.table.place(hold), self.table.place(waiter));
        let extras = holder.extras.as_ref();
        let is_closed = extras.is_some_and(|extras| now < holder.since.after(extras.min_hold));
        let is_out_of_turn = extras.is_some_and(|extras| extras.is_out_of_turn);
        holder.kind == Kind::Exclusive
            && !is_closed
            && !to.is_holding()
            && self.bundle_of(waiter).is_none()
            && self.askers.session_of(to.asker).grace().is_none()
            // Two that hand a lock to each other would starve a third.
            && (!is_out_of_turn || self.table.entry(holder.lock).waiters.first() == Some(waiter))
    }

    fn hand_over(&mut self, hold: PlaceKey, waiter: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let place = self.take_off(hold, now);
        let lock = place.lock;
        self.stats.on_transfer();
        self.note_end(&place, Ending::GivenUp, now, replies);
        if place.extras.is_some() {
            self.close(&place, Ending::GivenUp, now);
        }
        self.give_back(place);
        let is_first = self.table.entry(lock).waiters.first() == Some(waiter);
        self.grant_one(waiter, now, replies);
        if !is_first {
            let extras = self.table.place_mut(waiter).extras.get_or_insert_with(|| self.pool.take());
            extras.is_out_of_turn = true;
        }
        // Shared waiters and units may fit the new holder.
        self.settle_handed_over(lock, now, replies);
    }
}
