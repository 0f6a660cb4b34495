//! Leases: until when they certainly last, and when they are renewed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::Loss;
use super::super::options::INTERVAL_MIN;
use super::{Holds, Subject};
use crate::wire::answer::Answer;

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) length: Duration,
    /// Until then the lock is certainly held. None: for longer than can be represented.
    pub(super) until: Option<Instant>,
    pub(super) is_renewed: bool,
    pub(super) renew_at: Option<Instant>,
}

impl Lease {
    fn interval(&self) -> Duration {
        (self.length / 3).max(INTERVAL_MIN)
    }
}

impl Holds {
    /// The lease is `length` from now on, counted from when that was asked for.
    pub(super) fn lease_from(&mut self, number: u64, from: Instant, length: Duration) {
        let hold = self.all.get_mut(&number).expect("the hold was found");
        let lease = hold.lease.get_or_insert(Lease { length, until: None, is_renewed: false, renew_at: None });
        (lease.length, lease.until) = (length, from.checked_add(length));
        if let Some(at) = lease.renew_at {
            self.renewals.remove(&(at, number));
        }
        lease.renew_at = from.checked_add(lease.interval()).filter(|_| lease.is_renewed);
        self.renewals.extend(lease.renew_at.map(|at| (at, number)));
    }

    /// The lease has this long left, counted from the moment at which that was asked for. It is renewed at once: after a
    /// break the next renewal may be late.
    pub(super) fn lease_left(&mut self, number: u64, from: Instant, left: Duration) {
        let Some(lease) = self.all.get_mut(&number).and_then(|hold| hold.lease.as_mut()) else { return };
        lease.until = from.checked_add(left);
        if let Some(at) = lease.renew_at.filter(|at| *at > from) {
            self.renewals.remove(&(at, number));
            lease.renew_at = Some(from);
            self.renewals.insert((from, number));
        }
    }

    /// When to renew the next lease.
    pub(in super::super) fn next_renewal(&self) -> Option<Instant> {
        self.renewals.first().map(|(at, _)| *at)
    }

    /// The holds whose leases are to be renewed by now. They are due again a third of their leases later.
    pub(in super::super) fn due(&mut self, now: Instant) -> Vec<u64> {
        let due: Vec<_> = self.renewals.iter().take_while(|(at, _)| *at <= now).copied().collect();
        for (at, number) in &due {
            self.renewals.remove(&(*at, *number));
            let lease = self.all.get_mut(number).and_then(|hold| hold.lease.as_mut()).expect("what is due has a lease");
            lease.renew_at = now.checked_add(lease.interval());
            self.renewals.extend(lease.renew_at.map(|at| (at, *number)));
        }
        due.into_iter().map(|(_, number)| number).collect()
    }

    /// These are due, and the program is to say when they are renewed.
    pub(in super::super) fn owe(&mut self, due: Vec<u64>) {
        self.owed.extend(due);
    }

    /// The holds that are due since the program has last renewed its leases. Some may have ended.
    pub(in super::super) fn take_owed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.owed)
    }

    /// A renewal is about to be sent. Returns what it is about, and the lease that it will bring, as far as is known.
    pub(in super::super) fn renew(
        &mut self,
        number: u64,
        length: Option<Duration>,
        now: Instant,
    ) -> Option<(Subject, Option<Duration>)> {
        let hold = self.all.get_mut(&number)?;
        let length = length.or(hold.lease.as_ref().map(|lease| lease.length));
        if let (Some(lease), Some(length)) = (&mut hold.lease, length)
            && let Some(until) = now.checked_add(length)
        {
            // A shorter one counts at once: the answer may be late.
            lease.until = Some(lease.until.map_or(until, |before| before.min(until)));
        }
        Some((hold.subject(), length))
    }

    /// The server has renewed a lease, as was asked for at `sent_at`.
    pub(in super::super) fn renewed(
        &mut self,
        number: u64,
        sent_at: Instant,
        length: Option<Duration>,
        answer: &Answer,
    ) {
        let Some(hold) = self.all.get(&number) else { return };
        if !answer.names.is_empty() {
            let is_lost = |name: &&String| !answer.names.contains(*name);
            let lost: Vec<String> = hold.names.iter().filter(is_lost).cloned().collect();
            lost.iter().for_each(|name| self.lose_name(number, name, Loss::Revoked));
        }
        if let Some(length) = length.filter(|_| self.all.contains_key(&number)) {
            self.lease_from(number, sent_at, length);
        }
    }
}
