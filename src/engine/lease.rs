//! Holds that end by themselves, and holds that are taken away.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::place::PlaceKey;
use super::release::Ending;
use super::{Context, Due, Engine, Replies, refusal};
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;
use crate::wire::reply::{Outcome, Reason, Subject};
use crate::wire::request::{LockName, Renewal, Revocation};
use crate::wire::{Id, OwnerRef};

/// The message for a renewal without a lease, of a hold that has none.
const NO_LEASE: &str = "lease is missing, and there is none to renew";

impl<S: BuildHasher> Engine<S> {
    pub(super) fn renew(&mut self, request: &Renewal<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        let asker = self.who(context).asker;
        if !request.is_many {
            let name = request.names.iter().next().expect("there is always one").as_str();
            return self.renew_one(asker, name, request, context, replies);
        }
        let mut names = std::mem::take(&mut self.names);
        let mut needs_lease = false;
        for name in request.names.iter().map(LockName::as_str) {
            if let Some(place) = self.hold_named(asker, name, request.token) {
                needs_lease |= request.lease.is_none() && self.lease_of(place).is_none();
                names.push_name(name);
            }
        }
        if names.is_empty() || needs_lease {
            self.keep_names(names);
            let names = self.take_names(&request.names);
            let subject = Subject::Locks(&names);
            let outcome = if needs_lease {
                Outcome::Error { reason: Reason::InvalidRequest, message: NO_LEASE.into(), subject: Some(subject) }
            } else {
                Outcome::RenewFailed { subject }
            };
            self.answer(context, outcome, replies);
            return self.keep_names(names);
        }
        let mut waiters = 0;
        for name in request.names.iter().map(LockName::as_str) {
            if let Some(place) = self.hold_named(asker, name, request.token) {
                self.renew_place(place, request, context.now);
                waiters += self.waiters_for(place);
            }
        }
        self.answer(context, Outcome::Renewed { subject: Subject::Locks(&names), waiters }, replies);
        self.keep_names(names);
    }

    fn renew_one(
        &mut self,
        asker: Option<Asker>,
        name: &str,
        request: &Renewal<'_>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let subject = Subject::Lock(name);
        let outcome = match self.hold_named(asker, name, request.token) {
            None => Outcome::RenewFailed { subject },
            Some(place) if request.lease.is_none() && self.lease_of(place).is_none() => {
                refusal(Reason::InvalidRequest, NO_LEASE, name)
            }
            Some(place) => {
                self.renew_place(place, request, context.now);
                Outcome::Renewed { subject, waiters: self.waiters_for(place) }
            }
        };
        self.answer(context, outcome, replies);
    }

    pub(super) fn hold_named(&self, asker: Option<Asker>, name: &str, token: Option<u64>) -> Option<PlaceKey> {
        self.place_named(asker, name, token).filter(|place| self.table.place(*place).is_holding())
    }

    fn lease_of(&self, place: PlaceKey) -> Option<Span> {
        self.table.place(place).extras.as_ref()?.lease
    }

    fn waiters_for(&self, place: PlaceKey) -> u64 {
        self.table.waiters(self.table.place(place).lock) as u64
    }

    fn renew_place(&mut self, key: PlaceKey, request: &Renewal<'_>, now: Moment) {
        let place = self.table.place_mut(key);
        let extras = place.extras.get_or_insert_with(|| self.pool.take());
        extras.hint.renew();
        extras.lease = request.lease.or(extras.lease);
        let until = now.after(extras.lease.expect("the request or the hold has one"));
        match place.deadline {
            Some(deadline) => self.deadlines.rearm(deadline, until),
            None => place.deadline = Some(self.deadlines.arm_early(until, Due::Lease(key))),
        }
    }

    /// Ends holds on one lock: all of them, or those of one connection, of one owner, or with one token. `connection` is the
    /// one that the request names, if it names any; the inner `None` stands for a text that is no connection's name.
    pub fn revoke<'a>(
        &mut self,
        request: &'a Revocation<'_>,
        connection: Option<Option<Peer>>,
        now: Moment,
        replies: &mut impl Replies,
    ) -> Outcome<'a> {
        let name = request.name.as_str();
        let Some(lock) = self.table.find_by_name(name) else {
            return Outcome::RevokeFailed { name };
        };
        let owner = request.owner.as_ref().map(Id::as_ref);
        let picks_one = request.token.is_some() || connection.is_some() || owner.is_some();
        let holders = self.table.entry(lock).holders.iter(self.table.places());
        let is_meant = |asker: Asker, token: u64| {
            request.token.is_none_or(|wanted| wanted == token)
                && connection.is_none_or(|wanted| wanted == Some(self.askers.session_of(asker).peer))
                && self.is_owner(asker, owner)
        };
        let meant = holders.filter(|(_, place)| is_meant(place.asker, place.token));
        let places: Vec<PlaceKey> = meant.map(|(key, _)| key).collect();
        let closing = self.table.special(lock).and_then(|special| special.closing);
        match (closing, places.len() as u64) {
            (Some(closing), _) if !picks_one => {
                self.deadlines.cancel(closing);
                self.open(lock, now, replies);
                Outcome::Revoked { name, count: 0 }
            }
            (_, 0) => Outcome::RevokeFailed { name },
            (_, count) => {
                places.into_iter().for_each(|place| self.revoke_place(place, now, replies));
                Outcome::Revoked { name, count }
            }
        }
    }

    fn is_owner(&self, asker: Asker, owner: Option<OwnerRef<'_>>) -> bool {
        owner.is_none() || self.askers.name(asker) == owner
    }

    fn revoke_place(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let place = self.table.place(key);
        if self.askers.session_of(place.asker).wants_notices() {
            let outcome = Outcome::NoticeRevoked { name: self.table.name(place.lock), token: place.token };
            self.tell(place.asker, None, outcome, replies);
        }
        self.stats.on_revocation();
        self.leave(key, Ending::Revoked, now, replies);
    }
}
