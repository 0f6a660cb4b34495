//! The way in: a `lock` is granted, joins the queue, or is refused.

use std::hash::BuildHasher;

use super::askers::{Asker, Session};
use super::bundle::{mode_conflict, too_many_waits, walk_too_long};
use super::deadlock::Circle;
use super::fit::Kind;
use super::hint::Hint;
use super::kept::Recent;
use super::place::{Place, PlaceKey, Standing};
use super::table::LockKey;
use super::{ConnectionKey, Context, Due, Engine, Replies, refusal};
use crate::time::{Moment, Span};
use crate::wire::OwnerRef;
use crate::wire::reply::{Happening, Outcome, PlainOutcome, Reason, Subject};
use crate::wire::request::{Fit, LockRef, Terms};

/// What happens to a request that can't be granted at once.
enum Verdict {
    QueueMaxed,
    TimedOut,
    TooManyWaits,
    Wait,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Who {
    /// None: an owner who holds nothing and waits for nothing.
    pub(super) asker: Option<Asker>,
    /// The hash of the owner, if it was needed to find the asker.
    hash: u64,
    /// Whether the asker is a session or an owner in its session's list.
    is_listed: bool,
}

impl<S: BuildHasher> Engine<S> {
    /// A function of its own, so that the compiler makes a copy of [`Engine::lock`] for requests without terms.
    #[inline(never)]
    pub(super) fn lock_with(
        &mut self,
        request: &LockRef<'_>,
        terms: &Terms<'_>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        self.lock(request, Some(terms), context, replies);
    }

    #[inline(always)]
    pub(super) fn lock(
        &mut self,
        request: &LockRef<'_>,
        terms: Option<&Terms<'_>>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let who = self.who(context);
        let name = request.name;
        // What is called for few gets a copy, and then the rest need not be in memory.
        let (kept, hash) = match self.table.find_recent(name) {
            Recent::Taken(lock) => return self.lock_taken(lock, who, &{ *request }, terms, &{ *context }, replies),
            Recent::Kept(lock) => (Some(lock), 0),
            Recent::Unknown => match self.find_by_hash(name) {
                (Some(lock), _) => return self.lock_taken(lock, who, &{ *request }, terms, &{ *context }, replies),
                (None, hash) => (None, hash),
            },
        };
        let session = self.askers.session(context.session);
        let connection = session.connection;
        // Plain requests skip the checks that only terms can fail.
        if (terms.is_some() || !self.has_room(session, 1))
            && let context = &{ *context }
            && let Some(refusal) = self.refuse_at_once(None, name, terms, context, replies)
        {
            return self.answer(context, refusal, replies);
        }
        let lock = match kept {
            Some(lock) => lock,
            None => self.table.add(hash, name),
        };
        self.hold_now((lock, connection), who, request, terms, context, replies);
    }

    /// A lock that is not free, and the hash of its name.
    #[inline(never)]
    fn find_by_hash(&self, name: &str) -> (Option<LockKey>, u64) {
        let hash = self.table.hash(name);
        (self.table.find(hash, name), hash)
    }

    #[inline(always)]
    fn hold_now(
        &mut self,
        (lock, connection): (LockKey, ConnectionKey),
        who: Who,
        request: &LockRef<'_>,
        terms: Option<&Terms<'_>>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let asker = self.known(who, context);
        let token = self.tokens.take();
        let group = self.closing_group(terms, context, replies);
        let key = self.hold(lock, asker, terms, group, token, context.now);
        self.happen(Happening::Granted, lock, Some(asker), replies);
        let token = request.has_fence.then(|| self.tokens.digits(token));
        if terms.is_some_and(|terms| terms.lease.is_some()) {
            let subject = Subject::Lock(request.name);
            self.answer(context, Outcome::Acquired { subject, token, waited: Some(Span::ZERO) }, replies);
        } else {
            let outcome = PlainOutcome::Acquired { token };
            replies.push_plain(connection, &context.plain_reply(request.name, outcome));
        }
        // It may have got ahead of others.
        if terms.is_some_and(|terms| terms.has_hint) {
            self.tell_if_awaited(key, replies);
        }
    }

    /// A request for a lock that has an entry.
    #[inline(never)]
    fn lock_taken(
        &mut self,
        lock: LockKey,
        who: Who,
        request: &LockRef<'_>,
        terms: Option<&Terms<'_>>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let name = request.name;
        if let Some(place) = who.asker.and_then(|asker| self.table.place_of(lock, asker)) {
            return self.lock_again(place, request, terms, context, replies);
        }
        if let Some(refusal) = self.refuse_at_once(Some(lock), name, terms, context, replies) {
            return self.answer(context, refusal, replies);
        }
        if self.is_free_for(lock, kind(terms), slots(terms), priority(terms)) {
            let connection = self.askers.session(context.session).connection;
            return self.hold_now((lock, connection), who, request, terms, context, replies);
        }
        let outcome = match self.judge(lock, request) {
            Verdict::QueueMaxed => {
                self.stats.on_queue_maxed();
                self.read_queue(lock, self.askers.session(context.session).connection, replies);
                Outcome::QueueMaxed { name, queue: &self.queue }
            }
            Verdict::TimedOut => {
                self.stats.on_timeout();
                self.prefixes.on_timeout([name].into_iter());
                self.read_queue(lock, self.askers.session(context.session).connection, replies);
                Outcome::TimedOut { subject: Subject::Lock(name), queue: Some(&self.queue) }
            }
            Verdict::TooManyWaits => return self.answer(context, too_many_waits(name), replies),
            Verdict::Wait => return self.wait(lock, who, request, terms, context, replies),
        };
        self.answer(context, outcome, replies);
        self.tell_wanted(lock, replies);
    }

    /// The limit that a request for more places is over.
    pub(super) fn lock_limit(&self, context: &Context<'_>, more: usize) -> &'static str {
        match self.askers.is_group_full(self.askers.session(context.session), more) {
            true => "lock limit of the user reached",
            false => "per-connection lock limit reached",
        }
    }

    /// Whether a session may have more places.
    #[inline(always)]
    pub(super) fn has_room(&self, session: &Session, more: usize) -> bool {
        self.askers.has_room(session, more, self.limits.session_locks_max)
    }

    /// A request from an asker who already holds the lock or waits for it.
    fn lock_again(
        &mut self,
        key: PlaceKey,
        request: &LockRef<'_>,
        terms: Option<&Terms<'_>>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let name = request.name;
        let place = self.table.place(key);
        let has_other_slots = || self.table.special(place.lock).is_some_and(|special| special.slots != slots(terms));
        let outcome = if place.kind != kind(terms) || (place.kind.is_unit() && has_other_slots()) {
            mode_conflict(name)
        } else if place.is_holding() {
            let token = request.has_fence.then(|| place.token.into());
            Outcome::AlreadyAcquired { subject: Subject::Lock(name), token }
        } else if self.bundle_of(key).is_some() {
            refusal(Reason::AlreadyHeld, "the asker already waits for this lock and others", name)
        } else if context.id.is_some() || !request.is_plain || !place.is_plain {
            refusal(Reason::AlreadyQueued, "the connection already waits for this lock", name)
        } else {
            return self.join_wait(key, request.timeout, context.now, replies);
        };
        self.answer(context, outcome, replies);
    }

    /// Reasons to refuse a request even if the lock is free.
    #[inline]
    fn refuse_at_once<'a>(
        &self,
        lock: Option<LockKey>,
        name: &'a str,
        terms: Option<&Terms<'_>>,
        context: &Context<'_>,
        replies: &impl Replies,
    ) -> Option<Outcome<'a>> {
        if let (Some(lock), Some(Terms { fit: Fit::Unit(slots), .. })) = (lock, terms)
            && self.table.special(lock).is_some_and(|special| special.units > 0 && special.slots != *slots)
        {
            return Some(refusal(Reason::SlotsMismatch, "the semaphore has another number of slots", name));
        }
        if !self.has_room(self.askers.session(context.session), 1) {
            return Some(refusal(Reason::TooManyLocks, self.lock_limit(context, 1), name));
        }
        let message = terms.filter(|terms| terms.may_close()).and_then(|_| self.closing_limit(context, replies));
        message.map(|message| refusal(Reason::TooManyLocks, message, name))
    }

    /// The limit that one more request that may close its lock is over.
    fn closing_limit(&self, context: &Context<'_>, replies: &impl Replies) -> Option<&'static str> {
        if self.closings.len() >= self.limits.closing_locks_max {
            return Some("limit on locks with min_hold or lost_delay reached");
        }
        let (group, max) = replies.closing_share(self.askers.session(context.session).connection)?;
        (self.closings.of(group) >= max).then_some("limit of the user on locks with min_hold or lost_delay reached")
    }

    /// With whom a request is counted that may close its lock, if with anybody.
    #[inline(always)]
    fn closing_group(&self, terms: Option<&Terms<'_>>, context: &Context<'_>, replies: &impl Replies) -> Option<u32> {
        terms.filter(|terms| terms.may_close())?;
        replies.closing_share(self.askers.session(context.session).connection).map(|(group, _)| group)
    }

    /// Decides on a request that can't be granted at once, from an asker who is not on the lock.
    fn judge(&self, lock: LockKey, request: &LockRef<'_>) -> Verdict {
        let places = self.table.places_on(lock) as u64;
        if request.queue_max.is_some_and(|queue_max| places >= queue_max) {
            Verdict::QueueMaxed
        } else if request.timeout == Some(Span::ZERO) {
            Verdict::TimedOut
        } else if self.is_crowded(lock) {
            Verdict::TooManyWaits
        } else {
            Verdict::Wait
        }
    }

    /// Whether the lock has as many waiters as it may have.
    pub(super) fn is_crowded(&self, lock: LockKey) -> bool {
        self.table.waiters(lock) >= self.limits.lock_waits_max
    }

    /// Whether a new request would be granted at once, as far as this lock is concerned.
    #[inline]
    pub(super) fn is_free_for(&self, lock: LockKey, kind: Kind, slots: u32, priority: u8) -> bool {
        self.table.is_free_for(lock, kind, slots, priority) && !self.has_left_over(lock)
    }

    /// Finds the asker of a request.
    #[inline(always)]
    pub(super) fn who(&self, context: &Context<'_>) -> Who {
        match context.owner {
            None => Who { asker: Some(Asker::session(context.session)), hash: 0, is_listed: true },
            Some(owner) => self.who_owns(owner, context),
        }
    }

    #[inline(always)]
    fn who_owns(&self, owner: &OwnerRef<'_>, context: &Context<'_>) -> Who {
        match self.askers.find_recent(context.session, owner) {
            None => self.who_owns_by_hash(owner, context),
            Some((asker, is_listed)) => Who { asker: Some(asker), hash: 0, is_listed },
        }
    }

    #[inline(never)]
    fn who_owns_by_hash(&self, owner: &OwnerRef<'_>, context: &Context<'_>) -> Who {
        let hash = self.table.hash_of_owner(context.session.slot(), owner);
        // Whoever is not recent is listed.
        Who { asker: self.askers.find_owner(hash, context.session, owner), hash, is_listed: true }
    }

    /// The asker, with a new record if it is an owner that had none, and in the list of its session. The caller adds a place
    /// at once.
    #[inline]
    pub(super) fn known(&mut self, who: Who, context: &Context<'_>) -> Asker {
        match (who.asker, context.owner) {
            (Some(asker), _) => {
                if !who.is_listed {
                    self.askers.list(asker);
                }
                asker
            }
            (None, Some(owner)) => self.askers.add_owner(who.hash, context.session, owner),
            (None, None) => unreachable!("a session is always found"),
        }
    }

    #[inline(always)]
    pub(super) fn hold(
        &mut self,
        lock: LockKey,
        asker: Asker,
        terms: Option<&Terms<'_>>,
        closing_group: Option<u32>,
        token: u64,
        now: Moment,
    ) -> PlaceKey {
        let mut place = Place::new(lock, asker, Standing::Holding, now);
        place.token = token;
        let Some(terms) = terms else {
            return self.join(place);
        };
        self.set_terms(&mut place, terms, None, closing_group);
        let lease = terms.lease;
        let key = self.join(place);
        if let Some(lease) = lease {
            self.table.place_mut(key).deadline = Some(self.deadlines.arm_early(now.after(lease), Due::Lease(key)));
        }
        if terms.priority > 0 {
            self.table.look_again(lock);
        }
        key
    }

    /// Adds a place at the end of its list.
    #[inline(always)]
    pub(super) fn join(&mut self, place: Place) -> PlaceKey {
        let (asker, is_wait) = (place.asker, !place.is_holding());
        let key = self.table.join(place, &mut self.askers.count_join(asker, is_wait).places);
        if is_wait {
            self.stats.on_wait();
            self.table.join_left_over(self.table.place(key).lock);
            self.expect_slow_hold(key);
        } else {
            self.stats.on_acquire();
            if !self.prefixes.is_empty() {
                self.prefixes.on_grant(self.table.name(self.table.place(key).lock), Span::ZERO);
            }
        }
        key
    }

    /// Writes the terms of a request into its place. `priority` is that of a waiter; holders have none. If the request may
    /// close the lock, it is counted with `closing_group`.
    pub(super) fn set_terms(
        &mut self,
        place: &mut Place,
        terms: &Terms<'_>,
        priority: Option<u8>,
        closing_group: Option<u32>,
    ) {
        place.kind = Kind::of(terms.fit);
        place.is_plain = false;
        if let Fit::Unit(slots) = terms.fit {
            self.table.count_unit(place.lock, slots);
        } else if terms.fit == Fit::Shared {
            self.table.special_mut(place.lock);
        }
        let label = terms.label.as_deref().unwrap_or_default();
        let may_close = terms.may_close();
        let has_extras =
            terms.lease.is_some() || may_close || !label.is_empty() || terms.has_hint || priority > Some(0);
        if !has_extras {
            return;
        }
        if may_close {
            self.closings.add(closing_group);
        }
        let extras = place.extras.get_or_insert_with(|| self.pool.take());
        extras.closing_group = closing_group;
        extras.lease = terms.lease;
        (extras.min_hold, extras.lost_delay) = (terms.min_hold, terms.lost_delay);
        extras.priority = priority.unwrap_or(0);
        extras.label.push_str(label);
        extras.hint = if terms.has_hint { Hint::Unused } else { Hint::None };
    }

    fn wait(
        &mut self,
        lock: LockKey,
        who: Who,
        request: &LockRef<'_>,
        terms: Option<&Terms<'_>>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let asker = self.known(who, context);
        let mut place = Place::new(lock, asker, Standing::Waiting, context.now);
        (place.has_fence, place.is_plain) = (request.has_fence, request.is_plain);
        if let Some(terms) = terms {
            let group = self.closing_group(Some(terms), context, replies);
            self.set_terms(&mut place, terms, Some(terms.priority), group);
        }
        if context.id.is_some() {
            place.extras.get_or_insert_with(|| self.pool.take()).id.set(context.id);
        }
        let key = if priority(terms) > 0 { self.join_ahead(place) } else { self.join(place) };
        if terms.is_some_and(|terms| terms.refuses_deadlock) {
            // Judged with its place in the queue, which is taken back if the request is refused.
            let circle = self.look_for_circle(asker, 1, Some(key));
            if circle != Circle::None {
                self.take_back(key);
                return self.refuse_circle(circle, request.name, context, replies);
            }
        }
        let deadline = request.timeout.map(|timeout| self.deadlines.arm(context.now.after(timeout), Due::Wait(key)));
        self.table.place_mut(key).deadline = deadline;
        self.happen(Happening::Queued, lock, Some(asker), replies);
        if terms.is_some_and(|terms| terms.has_progress) {
            let (subject, position) = (Subject::Lock(request.name), self.table.position(key));
            self.answer(context, Outcome::Queued { subject, position }, replies);
        }
        self.tell_wanted(lock, replies);
    }

    /// How many waiters the engine may have to look at for the position of a request.
    pub fn waiters_for_position(&self, name: &str, terms: &Terms<'_>) -> usize {
        if !terms.has_progress || terms.priority == 0 {
            return 0;
        }
        self.table.find_by_name(name).map_or(0, |lock| self.table.waiters_for_position(lock))
    }

    /// Adds a waiter with a priority above 0.
    fn join_ahead(&mut self, place: Place) -> PlaceKey {
        let (lock, asker) = (place.lock, place.asker);
        let has_left_over = self.has_left_over(lock);
        let key = self.table.join_queue(place, has_left_over, &mut self.askers.count_join(asker, true).places);
        self.stats.on_wait();
        self.expect_slow_hold(key);
        if has_left_over {
            self.table.join_left_over(lock);
        } else {
            self.table.look_again(lock);
        }
        key
    }

    fn refuse_circle(&mut self, circle: Circle, name: &str, context: &Context<'_>, replies: &mut impl Replies) {
        if circle == Circle::Unknown {
            return self.answer(context, walk_too_long(name), replies);
        }
        self.stats.on_deadlock();
        self.hide_cycle(context, replies);
        self.answer(context, Outcome::Deadlock { subject: Subject::Lock(name), cycle: &self.cycle }, replies);
    }

    /// Removes a waiter whose request is refused after all. It ends no wait, so nobody is granted by it.
    pub(super) fn take_back(&mut self, key: PlaceKey) {
        let Place { token, since, .. } = *self.table.place(key);
        self.table.contentions.take_back(token);
        let place = self.take_off(key, since);
        let lock = place.lock;
        self.give_back(place);
        // Waiters that it got ahead of may wait for nobody again.
        self.table.look_for_ready(lock);
        self.table.release_if_free(lock);
    }

    /// A second request for a lock that the asker waits for: both get one answer, and the first timeout that was given counts.
    fn join_wait(&mut self, key: PlaceKey, timeout: Option<Span>, now: Moment, replies: &mut impl Replies) {
        match (self.table.place(key).deadline, timeout) {
            (Some(_), _) | (None, None) => {}
            (None, Some(Span::ZERO)) if self.is_left_over(key) == Some(false) => self.time_out(key, now, replies),
            (None, Some(timeout)) => {
                let deadline = self.deadlines.arm(now.after(timeout), Due::Wait(key));
                self.table.place_mut(key).deadline = Some(deadline);
            }
        }
    }
}

fn kind(terms: Option<&Terms<'_>>) -> Kind {
    terms.map_or(Kind::Exclusive, |terms| Kind::of(terms.fit))
}

fn slots(terms: Option<&Terms<'_>>) -> u32 {
    match terms {
        Some(Terms { fit: Fit::Unit(slots), .. }) => *slots,
        _ => 0,
    }
}

fn priority(terms: Option<&Terms<'_>>) -> u8 {
    terms.map_or(0, |terms| terms.priority)
}
