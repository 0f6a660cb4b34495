//! What a `lock` is answered, in the order in which that is judged.

use super::fit::Kind;
use super::text::{answer, array};
use super::{Extra, Lock, Mode, Model, Said, Target, Terms, Wait, Who, error, error_on};
use crate::sizes::{Span, Whole};

/// The most connections in `queue`.
const QUEUE_MAX: usize = 1000;

impl Model {
    /// None: there is no answer yet, or it was said already.
    pub(super) fn lock(
        &mut self,
        who: &Who,
        lock: &Lock,
        id: Option<&str>,
        now: u64,
        said: &mut Said,
    ) -> Option<String> {
        self.next_number += 1;
        let mut wait = asked(self.next_number, who, lock, id, now);
        if let Some(refusal) = self.conflict(&wait) {
            return Some(refusal);
        }
        if let Some(answer) = self.of_own_places(&wait, lock, said, now) {
            return answer;
        }
        if wait.terms.may_close() && self.closing_locks() >= self.limits.closing_locks_max {
            self.met.push("limit closing_locks_max");
            return Some(error_on("too_many_locks", &wait.target));
        }
        if self.has_too_many(&wait) {
            return Some(error_on("too_many_locks", &wait.target));
        }
        let is_free = |name: &&String| self.is_free_for(name, wait.kind, wait.priority);
        let names = wait.target.names();
        let granted: Vec<String> = if wait.is_any {
            names.iter().find(is_free).cloned().into_iter().collect()
        } else {
            names.iter().filter(is_free).cloned().collect()
        };
        if granted.len() == if wait.is_any { 1 } else { names.len() } {
            if granted.len() > 1 {
                self.met.push("a grant of several");
            }
            self.grant(wait, granted, now, said);
            return None;
        }
        let timeout = lock.timeout.as_ref().map(|timeout| timeout.nanos);
        let queue_max = lock.queue_max.as_ref().map(|most| most.value);
        if let Some((refusal, is_turned_away)) = self.no_room(&mut wait, timeout, queue_max) {
            if !is_turned_away {
                return Some(refusal);
            }
            // The asker is answered first.
            said.push((wait.who.seat, wait.form(refusal)));
            self.tell_holders(wait.target.names(), said);
            return None;
        }
        if lock.extra.refuses_deadlock
            && let Some(cycle) = self.cycle(&wait)
        {
            self.counts.deadlocks += 1;
            return Some(answer(&wait.target, "deadlock", &format!(r#","cycle":{cycle}"#)));
        }
        wait.until = timeout.map(|timeout| self.arm(now.saturating_add(timeout)));
        self.enqueue(wait);
        let wait = self.waits.last().expect("it was added").clone();
        wait.queues.iter().for_each(|name| self.happen("queued", name, Some(&wait.who), said));
        if wait.terms.progress {
            let keys = format!(r#","position":{}"#, self.position(&wait));
            said.push((wait.who.seat, wait.form(answer(&wait.target, "queued", &keys))));
        }
        self.tell_holders(wait.target.names(), said);
        // Nobody else will think of it: it waits for nobody, but for those that are left over.
        for name in wait.queues.clone() {
            if self.is_ready(self.waits.last().expect("it was added"), &name) {
                self.leave_over(&name);
            }
        }
        None
    }

    /// The asker is on it in another way, or others are with another number of units.
    fn conflict(&self, wait: &Wait) -> Option<String> {
        for name in wait.target.names() {
            let held = self.hold_of(&wait.who, name).map(|hold| hold.kind);
            let waited = self.wait_of(&wait.who, name).map(|wait| wait.kind);
            if [held, waited].into_iter().flatten().any(|kind| kind != wait.kind) {
                return Some(error("mode_conflict", Some(name)));
            }
        }
        let is_other = |kind: Kind| matches!((kind, wait.kind), (Kind::Units(n), Kind::Units(m)) if n != m);
        wait.target.names().iter().find_map(|name| {
            let holders = self.holders(name).any(|hold| is_other(hold.kind));
            let waiters = self.queue(name).iter().any(|number| is_other(self.wait(*number).kind));
            (holders || waiters).then(|| error("slots_mismatch", Some(name)))
        })
    }

    /// What the asker has of it already decides.
    #[expect(clippy::option_option, reason = "whether it is decided, and what is answered")]
    fn of_own_places(&mut self, wait: &Wait, lock: &Lock, said: &mut Said, now: u64) -> Option<Option<String>> {
        let names = wait.target.names();
        let token = |token: u64| if wait.terms.fence { format!(r#","token":{token}"#) } else { String::new() };
        let held = || names.iter().filter_map(|name| self.hold_of(&wait.who, name));
        if let Some(first) = held().next() {
            let is_all = held().count() == names.len() && held().all(|hold| hold.token == first.token);
            if wait.is_any || is_all {
                let target = if wait.is_any { Target::One(first.name.clone()) } else { wait.target.clone() };
                return Some(Some(answer(&target, "already_acquired", &token(first.token))));
            }
        }
        let is_on = |name: &&String| self.hold_of(&wait.who, name).is_some() || self.wait_of(&wait.who, name).is_some();
        let name = names.iter().find(is_on)?;
        let Some(other) = self.wait_of(&wait.who, name) else {
            return Some(Some(error("already_held", Some(name))));
        };
        let is_for_same = match (&wait.target, &other.target) {
            (Target::One(_), Target::One(_)) => true,
            (Target::Several(one), Target::Several(another)) => {
                let is_within = one.len() == another.len() && one.iter().all(|name| another.contains(name));
                is_within && !wait.is_any && !other.is_any
            }
            _ => false,
        };
        if !is_for_same {
            return Some(Some(error("already_held", Some(name))));
        }
        if wait.is_several() || !wait.is_plain || !other.is_plain || wait.id.is_some() {
            return Some(Some(error_on("already_queued", &wait.target)));
        }
        let other = other.number;
        self.join(other, lock.timeout.as_ref(), now, said);
        Some(None)
    }

    /// A second request joins a wait, and gives it a timeout if it had none.
    fn join(&mut self, number: u64, timeout: Option<&Span>, now: u64, said: &mut Said) {
        let Some(timeout) = timeout.map(|timeout| timeout.nanos) else { return };
        if self.wait(number).until.is_some() {
            return;
        }
        let until = self.arm(now.saturating_add(timeout));
        self.wait_mut(number).until = Some(until);
        if timeout == 0 && !self.is_left_over(self.wait(number)) {
            self.time_out(number, now, said);
        }
    }

    fn has_too_many(&self, wait: &Wait) -> bool {
        let seat = wait.who.seat;
        let held = self.holds.iter().filter(|hold| hold.who.seat == seat).count();
        let waits = self.waits.iter().filter(|wait| wait.who.seat == seat);
        let places = held + waits.map(|wait| wait.queues.len()).sum::<usize>();
        places + wait.target.names().len() > self.limits.connection_locks_max
    }

    /// Requests that may close a lock, waiting and granted, and locks that are closed.
    fn closing_locks(&self) -> usize {
        let holds = self.holds.iter().filter(|hold| hold.terms.may_close()).count();
        let waits = self.waits.iter().filter(|wait| wait.terms.may_close()).count();
        holds + waits + self.closings.len()
    }

    /// How many are before a request that waits, in the queue where these are most.
    fn position(&self, wait: &Wait) -> usize {
        let before = |name: &String| self.queue(name).iter().position(|number| *number == wait.number);
        wait.queues.iter().filter_map(before).max().expect("it waits")
    }

    /// It would have to wait, and does not: the answer, and whether it is turned away by what it said itself. For one of
    /// several, the names that are full are left out.
    fn no_room(&mut self, wait: &mut Wait, timeout: Option<u64>, queue_max: Option<u128>) -> Option<(String, bool)> {
        let names = wait.target.names().to_vec();
        let places = |name: &String| (self.holders(name).count() + self.queue(name).len()) as u128;
        let is_maxed = |name: &&String| queue_max.is_some_and(|most| places(name) >= most);
        let is_full = |name: &&String| self.queue(name).len() >= self.limits.lock_waits_max;
        let has_room = names.iter().any(|name| !is_maxed(&name) && !is_full(&name));
        if let Some(maxed) = names.iter().find(is_maxed)
            && !(wait.is_any && has_room)
        {
            let keys = format!(r#","queue":{}"#, self.shown_queue(maxed));
            self.counts.queue_maxed += 1;
            return Some((answer(&Target::One(maxed.clone()), "queue_maxed", &keys), true));
        }
        if timeout == Some(0) {
            self.counts.timeouts += 1;
            return Some((self.timed_out(&wait.target), true));
        }
        if let Some(full) = names.iter().find(is_full)
            && !(wait.is_any && has_room)
        {
            return Some((error("too_many_waits", Some(full)), false));
        }
        wait.queues = names.iter().filter(|name| !is_maxed(name) && !is_full(name)).cloned().collect();
        if wait.queues.len() < names.len() {
            self.met.push("one name left out of any of several");
        }
        None
    }

    /// The answer to a wait that is over without the lock.
    pub(super) fn timed_out(&self, target: &Target) -> String {
        let keys = match target {
            Target::One(name) => format!(r#","queue":{}"#, self.shown_queue(name)),
            Target::Several(_) => String::new(),
        };
        answer(target, "timed_out", &keys)
    }

    fn shown_queue(&self, name: &str) -> String {
        let mut connections = self.connections_on(name);
        connections.truncate(QUEUE_MAX);
        array(&connections)
    }
}

/// A request, as it would wait in the queues of all its names.
pub(super) fn asked(number: u64, who: &Who, lock: &Lock, id: Option<&str>, now: u64) -> Wait {
    let Extra { fence, mode, slots, lease, any, priority, .. } = &lock.extra;
    let Extra { min_hold, lost_delay, label, progress, hint, .. } = &lock.extra;
    let value = |whole: &Whole| whole.value;
    let nanos = |span: &Option<Span>| span.as_ref().map(|span| span.nanos);
    let kind = match (slots, mode) {
        (Some(slots), _) => Kind::Units(slots.value),
        (None, Some(Mode::Shared)) => Kind::Shared,
        (None, Some(Mode::Exclusive) | None) => Kind::Exclusive,
    };
    let terms = Terms {
        fence: *fence == Some(true),
        lease: nanos(lease),
        min_hold: nanos(min_hold).unwrap_or(0),
        lost_delay: nanos(lost_delay).unwrap_or(0),
        label: label.clone(),
        hint: *hint == Some(true),
        progress: *progress == Some(true),
    };
    Wait {
        who: who.clone(),
        id: id.map(str::to_owned),
        target: lock.target.clone(),
        is_any: *any == Some(true),
        queues: lock.target.names().to_vec(),
        kind,
        priority: priority.as_ref().map_or(0, value),
        is_plain: lock.extra.is_empty(),
        terms,
        since: now,
        until: None,
        number,
    }
}
