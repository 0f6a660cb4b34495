//! Ends of holds and waits, but for those that time brings.

use super::text::{answer, notice};
use super::{Closing, Hold, Model, Said, Seat, Target, Who, error_on, with_owner};

/// Why a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The holder gives it up.
    Given,
    Revoked,
    /// Its lease has run out.
    Expired,
    /// Its connection or session has ended.
    Lost,
}

impl Model {
    pub(super) fn unlock(
        &mut self,
        who: &Who,
        target: &Target,
        token: Option<u64>,
        now: u64,
        said: &mut Said,
    ) -> String {
        let held = |name: &&String| self.hold_of(who, name).is_some_and(|hold| token.is_none_or(|it| hold.token == it));
        let waited = |name: &&String| token.is_none() && self.wait_of(who, name).is_some();
        let found: Vec<String> = target.names().iter().filter(|name| held(name) || waited(name)).cloned().collect();
        if target
            .names()
            .iter()
            .any(|name| self.hold_of(who, name).is_some_and(|hold| token.is_some_and(|it| hold.token != it)))
        {
            self.met.push("a token that is not that of the hold");
        }
        if found.is_empty() {
            return answer(target, "release_failed", "");
        }
        for name in &found {
            if let Some(hold) = self.hold_of(who, name).cloned() {
                self.end_hold(&hold, End::Given, now, said);
            } else if let Some(number) = self.wait_of(who, name).map(|wait| wait.number) {
                self.cancel(number, now, said);
            }
        }
        let released = if matches!(target, Target::One(_)) { target.clone() } else { Target::Several(found) };
        answer(&released, "released", "")
    }

    pub(super) fn renew(
        &mut self,
        who: &Who,
        target: &Target,
        token: Option<u64>,
        lease: Option<u64>,
        now: u64,
    ) -> String {
        let is_meant = |hold: &&Hold| token.is_none_or(|token| hold.token == token);
        let held = target.names().iter().filter_map(|name| self.hold_of(who, name)).filter(is_meant);
        let held: Vec<(String, Option<u64>)> =
            held.map(|hold| (hold.name.clone(), lease.or(hold.terms.lease))).collect();
        if held.is_empty() {
            return answer(target, "renew_failed", "");
        }
        if held.iter().any(|(_, lease)| lease.is_none()) {
            return error_on("invalid_request", target);
        }
        let mut waiters = 0;
        for (name, lease) in &held {
            waiters += self.queue(name).len();
            let until = lease.map(|lease| self.arm(now.saturating_add(lease)));
            let is_it = |hold: &&mut Hold| hold.who == *who && hold.name == *name;
            let hold = self.holds.iter_mut().find(is_it).expect("it holds it");
            if hold.until.is_some_and(|(at, _)| at <= now) {
                self.met.push("a lease that ends in the turn of a renewal");
            }
            (hold.terms.lease, hold.until, hold.is_told) = (*lease, until, false);
        }
        let names = held.into_iter().map(|(name, _)| name).collect();
        let renewed = if matches!(target, Target::One(_)) { target.clone() } else { Target::Several(names) };
        answer(&renewed, "renewed", &format!(r#","waiters":{waiters}"#))
    }

    /// Ends the holds on a lock that these pick out, or all. All of them end the time for which it is closed as well.
    pub(super) fn revoke(
        &mut self,
        name: &str,
        token: Option<u64>,
        connection: Option<&str>,
        owner: Option<&str>,
        now: u64,
        said: &mut Said,
    ) -> String {
        let target = Target::One(name.to_owned());
        let is_meant = |hold: &&Hold| {
            token.is_none_or(|token| hold.token == token)
                && connection.is_none_or(|name| self.shown(hold.who.seat).connection == name)
                && owner.is_none_or(|owner| hold.who.owner.as_deref() == Some(owner))
        };
        let holds: Vec<Hold> = self.holders(name).filter(is_meant).cloned().collect();
        let is_closed = self.closings.iter().any(|closing| closing.name == name);
        let opens = is_closed && token.is_none() && connection.is_none() && owner.is_none();
        if holds.is_empty() && !opens {
            return answer(&target, "revoke_failed", "");
        }
        if opens {
            self.open(name, now, said);
        }
        for hold in &holds {
            if self.shown(hold.who.seat).wants_notices {
                let notice = notice(name, "revoked", hold.token);
                said.push((hold.who.seat, with_owner(notice, hold.who.owner.as_deref())));
            }
            self.counts.revocations += 1;
            self.end_hold(hold, End::Revoked, now, said);
        }
        answer(&target, "revoked", &format!(r#","count":{}"#, holds.len()))
    }

    /// Ends what a connection has, or one of its owners: one place after the other.
    pub(super) fn end_places(&mut self, seat: Seat, owner: Option<&str>, end: End, now: u64, said: &mut Said) {
        for (who, name, number) in self.places_of(seat, owner) {
            // A wait for several has ended with the first of its places.
            if let Some(hold) = self.hold_of(&who, &name).filter(|hold| hold.asked.0 == number).cloned() {
                self.end_hold(&hold, end, now, said);
            } else if self.waits.iter().any(|wait| wait.number == number) {
                match end {
                    End::Lost => {
                        if self.wait(number).is_several() {
                            self.met.push("a wait for several that its connection's end ends");
                        }
                        self.end_wait(number, now, said);
                    }
                    End::Given | End::Revoked | End::Expired => self.cancel(number, now, said),
                }
            }
        }
    }

    /// What a connection holds and waits for, with the numbers of the requests: first the connection's own, then owner by
    /// owner, each in the order in which it asked.
    pub(super) fn places_of(&self, seat: Seat, owner: Option<&str>) -> Vec<(Who, String, u64)> {
        let owners: Vec<Option<String>> = match owner {
            Some(owner) => vec![Some(owner.to_owned())],
            None => [None].into_iter().chain(self.shown(seat).owners.iter().cloned().map(Some)).collect(),
        };
        let mut places = Vec::new();
        for owner in owners {
            let who = Who { seat, owner };
            let held = self.holds.iter().filter(|hold| hold.who == who).map(|hold| (hold.asked, hold.name.clone()));
            let mut of_owner: Vec<((u64, usize), String)> = held.collect();
            for wait in self.waits.iter().filter(|wait| wait.who == who) {
                let names = wait.queues.iter().cloned().enumerate();
                of_owner.extend(names.map(|(index, name)| ((wait.number, index), name)));
            }
            of_owner.sort();
            places.extend(of_owner.into_iter().map(|((number, _), name)| (who.clone(), name, number)));
        }
        places
    }

    /// The asker itself gives a wait up.
    fn cancel(&mut self, number: u64, now: u64, said: &mut Said) {
        let wait = self.wait(number);
        if wait.id.is_some() {
            said.push((wait.who.seat, wait.form(answer(&wait.target, "cancelled", ""))));
        }
        self.end_wait(number, now, said);
    }

    /// A wait ends without the lock.
    pub(super) fn end_wait(&mut self, number: u64, now: u64, said: &mut Said) {
        let wait = self.take(number);
        wait.queues.iter().for_each(|name| self.happen("left", name, Some(&wait.who), said));
        self.settle(&wait.queues, now, said);
    }

    pub(super) fn end_hold(&mut self, hold: &Hold, end: End, now: u64, said: &mut Said) {
        let index = self.holds.iter().position(|other| other.who == hold.who && other.name == hold.name);
        let Hold { name, who, since, terms, .. } = self.holds.remove(index.expect("it is held"));
        self.counts.releases += 1;
        let event = match end {
            End::Given | End::Lost => "released",
            End::Revoked => "revoked",
            End::Expired => "expired",
        };
        self.happen(event, &name, Some(&who), said);
        let closed_until = match end {
            End::Given => since + terms.min_hold,
            End::Revoked => now,
            End::Expired | End::Lost => (since + terms.min_hold).max(now + terms.lost_delay),
        };
        if closed_until > now {
            let until = self.arm(closed_until);
            self.met.push("a lock that is closed");
            self.happen("closed", &name, None, said);
            self.closings.push(Closing { name: name.clone(), until });
        }
        self.settle(&[name], now, said);
    }

    /// A closed lock opens.
    pub(super) fn open(&mut self, name: &str, now: u64, said: &mut Said) {
        self.closings.retain(|closing| closing.name != name);
        self.happen("opened", name, None, said);
        if self.first_ready(name).is_some() {
            self.met.push("a closed lock that opens for a waiter");
        }
        self.settle(&[name.to_owned()], now, said);
    }

    /// The names that a connection or one of its owners holds or waits for.
    pub(super) fn names_of(&self, seat: Seat, owner: Option<&str>) -> Vec<String> {
        self.places_of(seat, owner).into_iter().map(|(_, name, _)| name).collect()
    }

    /// The connections on a lock, holders first.
    pub(super) fn connections_on(&self, name: &str) -> Vec<String> {
        let waiters = self.queue(name).iter().map(|number| self.wait(*number).who.seat);
        let seats = self.holders(name).map(|hold| hold.who.seat).chain(waiters);
        seats.map(|seat| self.shown(seat).connection.clone()).collect()
    }
}
