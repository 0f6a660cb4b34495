//! Requests for several locks: all of them, or one of them.
//!
//! A request that has to wait takes a place in every queue in one step, and others wait for these places as for any. All:
//! once none of the places waits for anybody, each becomes a hold. Any: the first that waits for nobody becomes a hold, and
//! the others leave their queues in the same step.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use super::askers::Asker;
use super::deadline::DeadlineKey;
use super::deadlock::Circle;
use super::extras::StoredId;
use super::fit::Kind;
use super::place::{Place, PlaceKey, Standing};
use super::table::LockKey;
use super::{Context, Due, Engine, Replies, refusal};
use crate::time::{Moment, Span};
use crate::wire::items::Items;
use crate::wire::reply::{Happening, Outcome, Reason, Subject};
use crate::wire::request::{LockMany, LockName, Names};

/// Names a wait for several locks, while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BundleKey(NonZeroU32);

impl BundleKey {
    pub(super) fn new(number: usize) -> Self {
        let number = u32::try_from(number + 1).expect("fewer than 2^32 waits");
        BundleKey(NonZeroU32::new(number).expect("one more than a number is not 0"))
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A wait for several locks.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    /// In the order of the names.
    pub(super) places: Vec<PlaceKey>,
    /// All that were asked for.
    pub(super) names: Items,
    pub(super) is_any: bool,
    pub(super) deadline: Option<DeadlineKey>,
    pub(super) id: StoredId,
}

/// Bundles that are kept for their memory.
const KEPT: usize = 256;

/// One of the names of a request that is being executed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    hash: u64,
    pub(super) lock: Option<LockKey>,
    /// The asker's own place on it.
    place: Option<PlaceKey>,
    /// Whether a request for any of several does not wait for this one, because its queue is full.
    is_left_out: bool,
}

impl<S: BuildHasher> Engine<S> {
    pub(super) fn lock_many(&mut self, request: &LockMany<'_>, context: &Context<'_>, replies: &mut impl Replies) {
        let asker = self.who(context).asker;
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        wanted.extend(request.names.iter().map(|name| {
            let hash = self.table.hash(name.as_str());
            let lock = self.table.find(hash, name.as_str());
            let place = lock.zip(asker).and_then(|(lock, asker)| self.table.place_of(lock, asker));
            Wanted { hash, lock, place, is_left_out: false }
        }));
        if request.is_any {
            self.lock_any(request, &mut wanted, context, replies);
        } else {
            self.lock_all(request, &wanted, context, replies);
        }
        self.wanted = wanted;
    }

    fn lock_all(
        &mut self,
        request: &LockMany<'_>,
        wanted: &[Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let kind = Kind::of(request.terms.fit);
        if let Some(place) = self.held_together(kind, wanted) {
            let token = request.has_fence.then(|| self.table.place(place).token.into());
            let names = self.take_names(&request.names);
            self.answer(context, Outcome::AlreadyAcquired { subject: Subject::Locks(&names), token }, replies);
            return self.keep_names(names);
        }
        if self.awaits_together(kind, wanted) {
            let refused = (Reason::AlreadyQueued, "the asker already waits for these locks");
            return self.refuse_many(request, refused, context, replies);
        }
        if self.refuse_for_own_places(request, wanted, context, replies) {
            return;
        }
        if wanted.iter().all(|wanted| self.is_free(wanted, kind)) {
            return self.hold_all(request, wanted, context, replies);
        }
        let is_full = |wanted: &Wanted| request.queue_max.is_some_and(|queue_max| self.places_on(wanted) >= queue_max);
        if let Some(full) = wanted.iter().zip(request.names.iter()).find(|(wanted, _)| is_full(wanted)) {
            return self.refuse_full(full, wanted, context, replies);
        }
        if request.timeout == Some(Span::ZERO) {
            return self.refuse_wait(request, wanted, context, replies);
        }
        let is_crowded = |wanted: &Wanted| wanted.lock.is_some_and(|lock| self.is_crowded(lock));
        if let Some((_, name)) = wanted.iter().zip(request.names.iter()).find(|(wanted, _)| is_crowded(wanted)) {
            return self.answer(context, too_many_waits(name.as_str()), replies);
        }
        self.wait_for_many(request, wanted, context, replies);
    }

    fn lock_any(
        &mut self,
        request: &LockMany<'_>,
        wanted: &mut [Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let kind = Kind::of(request.terms.fit);
        if let Some((token, name)) = self.held_of(kind, wanted, request) {
            let (subject, token) = (Subject::Lock(name), request.has_fence.then(|| token.into()));
            return self.answer(context, Outcome::AlreadyAcquired { subject, token }, replies);
        }
        if self.refuse_for_own_places(request, wanted, context, replies) {
            return;
        }
        let mut named = wanted.iter().zip(request.names.iter());
        if let Some((wanted, name)) = named.find(|(wanted, _)| self.is_free(wanted, kind)) {
            let token = self.tokens.take();
            let asker = self.known(self.who(context), context);
            self.hold_one_of_many(request, (wanted, name), (asker, token), context, replies);
            let (subject, token) = (Subject::Lock(name.as_str()), request.has_fence.then(|| token.into()));
            let waited = request.terms.lease.map(|_| Span::ZERO);
            return self.answer(context, Outcome::Acquired { subject, token, waited }, replies);
        }
        let is_full = |wanted: &Wanted| request.queue_max.is_some_and(|queue_max| self.places_on(wanted) >= queue_max);
        let is_crowded = |wanted: &Wanted| wanted.lock.is_some_and(|lock| self.is_crowded(lock));
        wanted.iter_mut().for_each(|wanted| wanted.is_left_out = is_full(wanted) || is_crowded(wanted));
        let are_all_left_out = wanted.iter().all(|wanted| wanted.is_left_out);
        let mut named = wanted.iter().zip(request.names.iter());
        if are_all_left_out && let Some(full) = named.find(|(wanted, _)| is_full(wanted)) {
            return self.refuse_full(full, wanted, context, replies);
        }
        if request.timeout == Some(Span::ZERO) {
            return self.refuse_wait(request, wanted, context, replies);
        }
        if are_all_left_out {
            let first = request.names.iter().next().expect("there are several");
            return self.answer(context, too_many_waits(first.as_str()), replies);
        }
        self.wait_for_many(request, wanted, context, replies);
    }

    /// For a request for any: the first name that the asker holds, with its token. None if a mode conflicts.
    fn held_of<'a>(&self, kind: Kind, wanted: &[Wanted], request: &'a LockMany<'_>) -> Option<(u64, &'a str)> {
        if self.conflicts(kind, wanted) {
            return None;
        }
        wanted.iter().zip(request.names.iter()).find_map(|(wanted, name)| {
            let place = self.table.place(wanted.place?);
            place.is_holding().then_some((place.token, name.as_str()))
        })
    }

    /// One of the holds, if the asker holds all the locks by one grant.
    fn held_together(&self, kind: Kind, wanted: &[Wanted]) -> Option<PlaceKey> {
        let first = wanted[0].place?;
        let token = self.table.place(first).token;
        let is_of_it = |wanted: &Wanted| {
            let place = wanted.place.map(|key| self.table.place(key));
            place.is_some_and(|place| place.is_holding() && place.token == token && place.kind == kind)
        };
        wanted.iter().all(is_of_it).then_some(first)
    }

    /// Whether the asker waits for exactly these locks by one request for all.
    fn awaits_together(&self, kind: Kind, wanted: &[Wanted]) -> bool {
        let bundle_of = |wanted: &Wanted| wanted.place.and_then(|key| self.bundle_of(key));
        let Some(bundle) = bundle_of(&wanted[0]) else { return false };
        let Bundle { is_any, places, .. } = self.bundle(bundle);
        !is_any
            && places.len() == wanted.len()
            && self.table.place(places[0]).kind == kind
            && wanted.iter().all(|wanted| bundle_of(wanted) == Some(bundle))
    }

    fn conflicts(&self, kind: Kind, wanted: &[Wanted]) -> bool {
        wanted.iter().filter_map(|wanted| wanted.place).any(|key| self.table.place(key).kind != kind)
    }

    /// Refuses a request that conflicts with places of its own asker or connection. Returns whether it did.
    fn refuse_for_own_places(
        &mut self,
        request: &LockMany<'_>,
        wanted: &[Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) -> bool {
        let kind = Kind::of(request.terms.fit);
        let mut taken =
            wanted.iter().zip(request.names.iter()).filter_map(|(wanted, name)| Some((wanted.place?, name)));
        let other = taken.clone().find(|(key, _)| self.table.place(*key).kind != kind);
        if let Some((_, name)) = other {
            self.answer(context, mode_conflict(name.as_str()), replies);
            return true;
        }
        if let Some((_, name)) = taken.next() {
            let message = "the asker already holds this lock, or waits for it";
            self.answer(context, refusal(Reason::AlreadyHeld, message, name.as_str()), replies);
            return true;
        }
        if !self.has_room(self.askers.session(context.session), wanted.len()) {
            let refused = (Reason::TooManyLocks, self.lock_limit(context, wanted.len()));
            self.refuse_many(request, refused, context, replies);
            return true;
        }
        false
    }

    fn is_free(&self, wanted: &Wanted, kind: Kind) -> bool {
        wanted.lock.is_none_or(|lock| self.is_free_for(lock, kind, 0, 0))
    }

    fn places_on(&self, wanted: &Wanted) -> u64 {
        wanted.lock.map_or(0, |lock| self.table.places_on(lock) as u64)
    }

    /// `full` is the first of the locks, and its name, that has as many places as the request allows.
    fn refuse_full(
        &mut self,
        (full, name): (&Wanted, &LockName<'_>),
        wanted: &[Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        self.stats.on_queue_maxed();
        self.queue.clear();
        if let Some(lock) = full.lock {
            self.read_queue(lock, self.askers.session(context.session).connection, replies);
        }
        self.answer(context, Outcome::QueueMaxed { name: name.as_str(), queue: &self.queue }, replies);
        self.tell_wanted_of(wanted, replies);
    }

    fn refuse_wait(
        &mut self,
        request: &LockMany<'_>,
        wanted: &[Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        self.stats.on_timeout();
        self.prefixes.on_timeout(request.names.iter().map(LockName::as_str));
        let names = self.take_names(&request.names);
        self.answer(context, Outcome::TimedOut { subject: Subject::Locks(&names), queue: None }, replies);
        self.keep_names(names);
        self.tell_wanted_of(wanted, replies);
    }

    fn refuse_many(
        &mut self,
        request: &LockMany<'_>,
        (reason, message): (Reason, &'static str),
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let names = self.take_names(&request.names);
        let subject = Some(Subject::Locks(&names));
        self.answer(context, Outcome::Error { reason, message: message.into(), subject }, replies);
        self.keep_names(names);
    }

    /// The names for an answer. The caller returns them with [`Engine::keep_names`].
    pub(super) fn take_names(&mut self, names: &Names<'_>) -> Items {
        let mut items = std::mem::take(&mut self.names);
        names.iter().for_each(|name| items.push_name(name.as_str()));
        items
    }

    /// Keeps the names of an answer for their memory.
    pub(super) fn keep_names(&mut self, mut names: Items) {
        names.clear();
        self.names = names;
    }

    fn hold_all(
        &mut self,
        request: &LockMany<'_>,
        wanted: &[Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let token = self.tokens.take();
        let asker = self.known(self.who(context), context);
        for one in wanted.iter().zip(request.names.iter()) {
            self.hold_one_of_many(request, one, (asker, token), context, replies);
        }
        let token = request.has_fence.then(|| token.into());
        let waited = request.terms.lease.map(|_| Span::ZERO);
        let names = self.take_names(&request.names);
        self.answer(context, Outcome::Acquired { subject: Subject::Locks(&names), token, waited }, replies);
        self.keep_names(names);
    }

    fn hold_one_of_many(
        &mut self,
        request: &LockMany<'_>,
        (wanted, name): (&Wanted, &LockName<'_>),
        (asker, token): (Asker, u64),
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let lock = wanted.lock.unwrap_or_else(|| self.table.add(wanted.hash, name.as_str()));
        self.hold(lock, asker, Some(&request.terms), None, token, context.now);
        self.happen(Happening::Granted, lock, Some(asker), replies);
    }

    /// Takes a place in each queue, in one step.
    fn wait_for_many(
        &mut self,
        request: &LockMany<'_>,
        wanted: &[Wanted],
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        let asker = self.known(self.who(context), context);
        let kind = Kind::of(request.terms.fit);
        let mut bundle = self.spare_bundles.pop().unwrap_or_default();
        bundle.is_any = request.is_any;
        bundle.id.set(context.id);
        request.names.iter().for_each(|name| bundle.names.push_name(name.as_str()));
        let key = BundleKey::new(self.bundles.insert(bundle));
        for (wanted, name) in wanted.iter().zip(request.names.iter()).filter(|(wanted, _)| !wanted.is_left_out) {
            let lock = wanted.lock.unwrap_or_else(|| self.table.add(wanted.hash, name.as_str()));
            let is_free = wanted.lock.is_none() || self.is_free_for(lock, kind, 0, 0);
            let place = self.join_as_part(lock, asker, key, request, context.now);
            if is_free {
                self.table.look_for_ready(lock);
            }
            self.bundle_mut(key).places.push(place);
        }
        // Only waiters that are left over are in its way: then it is left over, too.
        if !request.is_any && self.is_bundle_left_over(key) {
            let first = self.bundle(key).places[0];
            self.leave_over(first);
        }
        if request.terms.refuses_deadlock {
            let circle = self.look_for_circle(asker, request.names.len(), None);
            if circle != Circle::None {
                self.take_back_many(key);
                return self.refuse_circle_of_many(circle, request, context, replies);
            }
        }
        if let Some(timeout) = request.timeout {
            let deadline = self.deadlines.arm(context.now.after(timeout), Due::WaitForMany(key));
            self.bundle_mut(key).deadline = Some(deadline);
        }
        for index in 0..self.bundle(key).places.len() {
            let lock = self.table.place(self.bundle(key).places[index]).lock;
            self.happen(Happening::Queued, lock, Some(asker), replies);
        }
        if request.terms.has_progress {
            self.tell_position(key, context, replies);
        }
        self.tell_wanted_of(wanted, replies);
    }

    /// What a request that has just begun to wait is told: how many wait before it, where that is the most.
    fn tell_position(&self, key: BundleKey, context: &Context<'_>, replies: &mut impl Replies) {
        let bundle = self.bundle(key);
        let positions = bundle.places.iter().map(|place| self.table.position(*place));
        let (subject, position) = (Subject::Locks(&bundle.names), positions.max().unwrap_or(0));
        self.answer(context, Outcome::Queued { subject, position }, replies);
    }

    fn join_as_part(
        &mut self,
        lock: LockKey,
        asker: Asker,
        bundle: BundleKey,
        request: &LockMany<'_>,
        now: Moment,
    ) -> PlaceKey {
        let mut place = Place::new(lock, asker, Standing::Waiting, now);
        place.has_fence = request.has_fence;
        self.set_terms(&mut place, &request.terms, None, None);
        place.extras.get_or_insert_with(|| self.pool.take()).bundle = Some(bundle);
        self.table.count_part(lock);
        self.join(place)
    }

    fn refuse_circle_of_many(
        &mut self,
        circle: Circle,
        request: &LockMany<'_>,
        context: &Context<'_>,
        replies: &mut impl Replies,
    ) {
        if circle == Circle::Unknown {
            let first = request.names.iter().next().expect("there are several");
            return self.answer(context, walk_too_long(first.as_str()), replies);
        }
        self.stats.on_deadlock();
        self.hide_cycle(context, replies);
        let names = self.take_names(&request.names);
        self.answer(context, Outcome::Deadlock { subject: Subject::Locks(&names), cycle: &self.cycle }, replies);
        self.keep_names(names);
    }

    /// Removes a wait whose request is refused after all.
    fn take_back_many(&mut self, key: BundleKey) {
        let bundle = self.take_bundle(key);
        bundle.places.iter().for_each(|place| self.take_back(*place));
        self.keep_bundle(bundle);
    }

    /// Ends a wait for several locks: removes all its places, then settles each lock.
    pub(super) fn leave_many(&mut self, key: BundleKey, now: Moment, replies: &mut impl Replies) {
        let bundle = self.take_bundle(key);
        let mut locks = std::mem::take(&mut self.left);
        for place in &bundle.places {
            locks.push(self.table.place(*place).lock);
            let left = self.take_off(*place, now);
            self.happen(Happening::Left, left.lock, Some(left.asker), replies);
            self.give_back(left);
        }
        self.keep_bundle(bundle);
        self.settle_together(&locks, now, replies);
        locks.clear();
        self.left = locks;
    }

    /// Removes the bundle, but not its places.
    pub(super) fn take_bundle(&mut self, key: BundleKey) -> Box<Bundle> {
        let mut bundle = self.bundles.remove(key.index());
        if let Some(deadline) = bundle.deadline.take() {
            self.deadlines.cancel(deadline);
        }
        bundle
    }

    /// Keeps a bundle for its memory.
    pub(super) fn keep_bundle(&mut self, mut bundle: Box<Bundle>) {
        if self.spare_bundles.len() < KEPT {
            bundle.places.clear();
            bundle.names.clear();
            bundle.id.clear();
            self.spare_bundles.push(bundle);
        }
    }

    pub(super) fn bundle_of(&self, key: PlaceKey) -> Option<BundleKey> {
        self.table.place(key).extras.as_ref()?.bundle
    }

    pub(super) fn bundle(&self, key: BundleKey) -> &Bundle {
        &self.bundles[key.index()]
    }

    pub(super) fn bundle_mut(&mut self, key: BundleKey) -> &mut Bundle {
        &mut self.bundles[key.index()]
    }
}

pub(super) fn too_many_waits(name: &str) -> Outcome<'_> {
    refusal(Reason::TooManyWaits, "too many waiters for this lock", name)
}

pub(super) fn walk_too_long(name: &str) -> Outcome<'_> {
    refusal(Reason::TooManyWaits, "too many waits to see whether this one would close a circle", name)
}

pub(super) fn mode_conflict(name: &str) -> Outcome<'_> {
    refusal(Reason::ModeConflict, "the asker is on this lock in another mode, or with other slots", name)
}
