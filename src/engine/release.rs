//! The way out: whatever ends a hold or a wait comes through here, and the lock passes on to whoever waits for it.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::bundle::BundleKey;
use super::kept::Left;
use super::place::{Place, PlaceKey};
use super::table::LockKey;
use super::{Context, Due, Engine, Replies, SessionKey};
use crate::time::Moment;
use crate::wire::reply::{Happening, Outcome, PlainOutcome, Subject};
use crate::wire::request::Names;

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a request of its holder.
    GivenUp,
    /// Without its holder: the connection has ended.
    Lost,
    /// By its lease.
    Expired,
    /// By `revoke`, which also opens the lock.
    Revoked,
}

impl Ending {
    /// What those are told who watch the lock.
    #[inline(always)]
    fn of(self, place: &Place) -> Happening {
        match self {
            _ if !place.is_holding() => Happening::Left,
            Ending::GivenUp | Ending::Lost => Happening::Released,
            Ending::Expired => Happening::Expired,
            Ending::Revoked => Happening::Revoked,
        }
    }
}

impl<S: BuildHasher> Engine<S> {
    #[inline(always)]
    pub(super) fn unlock(&mut self, name: &str, token: Option<u64>, context: &Context<'_>, replies: &mut impl Replies) {
        let connection = self.askers.session(context.session).connection;
        let asker = self.who(context).asker;
        let is_released = match asker {
            Some(asker) => self.release_recent(asker, name, token, context.now, replies),
            None => false,
        };
        if !is_released {
            let Some(place) = self.place_named(asker, name, token) else {
                let subject = Subject::Lock(name);
                return self.answer(&{ *context }, Outcome::ReleaseFailed { subject }, replies);
            };
            // The next holder is granted before the releaser is answered: that answer may overflow the releaser's output and
            // end its connection, and the waiter's turn must not depend on that.
            self.cancel_or_release(place, context.now, replies);
        }
        replies.push_plain(connection, &context.plain_reply(name, PlainOutcome::Released));
    }

    /// The shortcut of nearly all unlocks, which are of a recent lock that nobody waits for: releases it in half of the
    /// instructions that [`Engine::cancel_or_release`] takes to come to the same. Returns false if it is not such a lock; then
    /// nothing has changed.
    #[inline(always)]
    fn release_recent(
        &mut self,
        asker: Asker,
        name: &str,
        token: Option<u64>,
        now: Moment,
        replies: &mut impl Replies,
    ) -> bool {
        let askers = &mut self.askers;
        let left = self.table.leave_recent(name, token, asker, || &mut askers.count_leave(asker, false).places);
        let Some(Left { lock, since }) = left else { return false };
        self.stats.on_leave(true);
        self.note_hold_end(lock, since, now);
        self.happen(Happening::Released, lock, Some(asker), replies);
        self.askers.forget_if_idle(asker);
        true
    }

    /// Several at once. The reply lists what the asker held or waited for when the request came.
    pub(super) fn unlock_many(
        &mut self,
        names: &Names<'_>,
        token: Option<u64>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let asker = self.who(context).asker;
        let mut released = std::mem::take(&mut self.names);
        let is_on = |name: &&str| self.place_named(asker, name, token).is_some();
        names.iter().map(|name| name.as_str()).filter(is_on).for_each(|name| released.push_name(name));
        if released.is_empty() {
            self.names = released;
            let names = self.take_names(names);
            self.answer(context, Outcome::ReleaseFailed { subject: Subject::Locks(&names) }, replies);
            return self.keep_names(names);
        }
        for name in names.iter() {
            // A wait for several of them ends with the first. The asker is looked up again: an owner without places is gone.
            if let Some(place) = self.place_named(self.who(context).asker, name.as_str(), token) {
                self.cancel_or_release(place, context.now, replies);
            }
        }
        self.answer(context, Outcome::Released { subject: Subject::Locks(&released) }, replies);
        self.keep_names(released);
    }

    /// The place of an asker on a lock; with a token, only a hold that has it. Most clients release what they locked last,
    /// which is found without the hash and the index: an eighth of what a lock and its unlock cost in the engine.
    #[inline]
    pub(super) fn place_named(&self, asker: Option<Asker>, name: &str, token: Option<u64>) -> Option<PlaceKey> {
        let asker = asker?;
        let last = self.askers.party(asker).places.last();
        let place = last.filter(|last| self.table.is_named(self.table.place(*last).lock, name)).or_else(|| {
            let lock = self.table.find_by_name(name)?;
            self.table.place_of(lock, asker)
        });
        place.filter(|key| {
            let has_token = |token| {
                let place = self.table.place(*key);
                place.is_holding() && place.token == token
            };
            token.is_none_or(has_token)
        })
    }

    /// Releases everything of one owner, or of the whole connection.
    pub(super) fn leave_all(&mut self, context: &Context<'_>, replies: &mut impl Replies) {
        while let Some(place) = self.first_of(context) {
            self.cancel_or_release(place, context.now, replies);
        }
    }

    fn first_of(&self, context: &Context<'_>) -> Option<PlaceKey> {
        let asker = match context.owner {
            None => self.askers.first_busy(context.session),
            Some(_) => self.who(context).asker,
        };
        self.askers.party(asker?).places.first()
    }

    /// Ends all holds and waits of a session that ends.
    pub(super) fn lose_all(&mut self, session: SessionKey, now: Moment, replies: &mut impl Replies) {
        while let Some(asker) = self.askers.first_busy(session) {
            let place = self.askers.party(asker).places.first().expect("it is busy");
            self.leave(place, Ending::Lost, now, replies);
        }
    }

    /// The asker itself gives up a place.
    #[inline(never)]
    fn cancel_or_release(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        if self.table.place(key).extras.is_some() {
            return self.cancel_or_release_special(key, now, replies);
        }
        let place = self.take_off(key, now);
        let lock = place.lock;
        self.note_end(&place, Ending::GivenUp, now, replies);
        self.askers.forget_if_idle(place.asker);
        self.settle(lock, now, replies);
    }

    /// The same for a place with extras. A wait with an id is answered `cancelled`.
    #[inline(never)]
    fn cancel_or_release_special(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let place = self.table.place(key);
        if !place.is_holding()
            && let Some(extras) = &place.extras
        {
            let (id, subject) = match extras.bundle {
                None => (extras.id.get(), Subject::Lock(self.table.name(place.lock))),
                Some(bundle) => (self.bundle(bundle).id.get(), Subject::Locks(&self.bundle(bundle).names)),
            };
            if id.is_some() {
                self.tell(place.asker, id, Outcome::Cancelled { subject }, replies);
            }
        }
        self.leave(key, Ending::GivenUp, now, replies);
    }

    /// A wait ends without the lock.
    pub(super) fn time_out(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let place = self.take_off(key, now);
        let lock = place.lock;
        self.stats.on_timeout();
        self.prefixes.on_timeout([self.table.name(lock)].into_iter());
        self.happen(Happening::Left, lock, Some(place.asker), replies);
        self.read_queue(lock, self.askers.session_of(place.asker).connection, replies);
        let outcome = Outcome::TimedOut { subject: Subject::Lock(self.table.name(lock)), queue: Some(&self.queue) };
        self.tell(place.asker, place.extras.as_ref().and_then(|extras| extras.id.get()), outcome, replies);
        self.give_back(place);
        self.settle(lock, now, replies);
    }

    /// The same, for a wait for several.
    pub(super) fn time_out_many(&mut self, key: BundleKey, now: Moment, replies: &mut impl Replies) {
        self.stats.on_timeout();
        let bundle = &self.bundles[key.index()];
        let names = bundle.places.iter().map(|place| self.table.name(self.table.place(*place).lock));
        self.prefixes.on_timeout(names);
        let asker = self.table.place(bundle.places[0]).asker;
        let outcome = Outcome::TimedOut { subject: Subject::Locks(&bundle.names), queue: None };
        self.tell(asker, bundle.id.get(), outcome, replies);
        self.leave_many(key, now, replies);
    }

    /// Ends a hold, or a wait with all its places.
    pub(super) fn leave(&mut self, key: PlaceKey, ending: Ending, now: Moment, replies: &mut impl Replies) {
        if let Some(bundle) = self.bundle_of(key) {
            return self.leave_many(bundle, now, replies);
        }
        let place = self.take_off(key, now);
        let lock = place.lock;
        self.note_end(&place, ending, now, replies);
        if place.is_holding() && place.extras.is_some() && self.close(&place, ending, now) {
            self.happen(Happening::Closed, lock, None, replies);
        }
        self.give_back(place);
        self.settle(lock, now, replies);
    }

    /// Removes a place and its deadline. Whoever calls this settles the lock.
    #[inline(always)]
    pub(super) fn take_off(&mut self, key: PlaceKey, now: Moment) -> Place {
        let place = self.table.place(key);
        let is_holding = place.is_holding();
        let party = self.askers.count_leave(place.asker, !is_holding);
        let place = self.table.leave(key, now, &mut party.places);
        if let Some(deadline) = place.deadline {
            self.deadlines.cancel(deadline);
        }
        self.stats.on_leave(is_holding);
        if !is_holding {
            self.forget_slow_hold();
        }
        place
    }

    /// After a place was taken off: measures a hold, and tells those who watch the lock.
    #[inline(always)]
    pub(super) fn note_end(&mut self, place: &Place, ending: Ending, now: Moment, replies: &mut impl Replies) {
        if place.is_holding() {
            self.note_hold_end(place.lock, place.since, now);
        }
        self.happen(ending.of(place), place.lock, Some(place.asker), replies);
    }

    #[inline(always)]
    fn note_hold_end(&mut self, lock: LockKey, since: Moment, now: Moment) {
        let held = now.since(since);
        self.spans.on_hold_end(held);
        if !self.prefixes.is_empty() {
            self.prefixes.on_hold_end(self.table.name(lock), held);
        }
    }

    /// Keeps the memory of a place that was taken off, and forgets its owner. Nothing more can be said to that owner.
    #[inline]
    pub(super) fn give_back(&mut self, place: Place) {
        self.askers.forget_if_idle(place.asker);
        let was_wait = !place.is_holding();
        if let Some(extras) = place.extras {
            // Those of a hold were counted when the hold ended.
            if was_wait && extras.may_close() {
                self.closings.remove(extras.closing_group);
            }
            self.pool.put(extras);
        }
    }

    /// After a hold has ended: closes the lock, if its terms say so. Returns whether it is closed now.
    pub(super) fn close(&mut self, place: &Place, ending: Ending, now: Moment) -> bool {
        let Some(extras) = place.extras.as_ref().filter(|extras| extras.may_close()) else { return false };
        let until = match ending {
            Ending::Revoked => now,
            Ending::GivenUp => place.since.after(extras.min_hold),
            Ending::Lost | Ending::Expired => place.since.after(extras.min_hold).max(now.after(extras.lost_delay)),
        };
        if until > now {
            let deadline = self.deadlines.arm_early(until, Due::Opening(place.lock));
            let special = self.table.special_mut(place.lock);
            (special.closing, special.closing_group) = (Some(deadline), extras.closing_group);
            self.stats.on_close();
        } else {
            self.closings.remove(extras.closing_group);
        }
        until > now
    }

    /// Opens a closed lock. Its deadline is no longer armed.
    pub(super) fn open(&mut self, lock: LockKey, now: Moment, replies: &mut impl Replies) {
        let special = self.table.special_mut(lock);
        special.closing = None;
        let group = special.closing_group.take();
        self.closings.remove(group);
        self.stats.on_open();
        self.happen(Happening::Opened, lock, None, replies);
        self.settle(lock, now, replies);
    }

    /// The lease of a hold has run out. Its deadline is no longer armed.
    pub(super) fn expire(&mut self, key: PlaceKey, now: Moment, replies: &mut impl Replies) {
        let place = self.table.place_mut(key);
        place.deadline = None;
        let (asker, token, lock) = (place.asker, place.token, place.lock);
        self.stats.on_expiry();
        self.tell(asker, None, Outcome::NoticeExpired { name: self.table.name(lock), token }, replies);
        self.leave(key, Ending::Expired, now, replies);
    }
}
