//! Grants: those that an end brings, as many as a turn may make, and those left over for the next.

use std::collections::VecDeque;

use super::fit::Kind;
use super::session::is_away;
use super::text::answer;
use super::{Hold, Model, Queue, Said, Target, Wait, Who, heard, seconds};

impl Model {
    /// A turn begins. It may make grants again, and first makes those that earlier turns left over.
    pub fn begin_turn(&mut self, now: u64) -> Said {
        let mut said = Vec::new();
        self.run_graces(now);
        self.grants_left = self.limits.turn_grants_max;
        let behind = std::mem::take(&mut self.behind).into_iter();
        self.settle_in_order(behind.map(|name| (name, false)).collect(), now, &mut said);
        self.forget();
        heard(said)
    }

    /// Whether the next turn has grants to make.
    pub fn has_left_over(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Somebody has left these locks: whoever waits for nobody now is granted, in order. The first grant on each of them
    /// is free.
    pub(super) fn settle(&mut self, touched: &[String], now: u64, said: &mut Said) {
        self.settle_in_order(touched.iter().map(|name| (name.clone(), true)).collect(), now, said);
    }

    /// Each lock with whether its next grant is free.
    pub(super) fn settle_in_order(&mut self, mut locks: VecDeque<(String, bool)>, now: u64, said: &mut Said) {
        while let Some((name, mut is_free)) = locks.pop_front() {
            while let Some(number) = self.first_ready(&name) {
                if !std::mem::take(&mut is_free) {
                    if self.grants_left == 0 {
                        self.leave_over(&name);
                        break;
                    }
                    self.grants_left -= 1;
                }
                let wait = self.take(number);
                self.note_wait(&wait);
                if is_away(wait.who.seat) {
                    self.met.push("a grant while nobody is there");
                }
                // Who gets one of several leaves the queues of the others.
                let (granted, left): (Vec<String>, Vec<String>) =
                    wait.queues.iter().cloned().partition(|on| !wait.is_any || *on == name);
                let who = wait.who.clone();
                self.grant(wait, granted, now, said);
                left.iter().for_each(|name| self.happen("left", name, Some(&who), said));
                locks.extend(left.into_iter().map(|name| (name, false)));
            }
        }
    }

    fn note_wait(&mut self, wait: &Wait) {
        let kinds = [
            (wait.is_any, "a grant of one of several after a wait"),
            (wait.is_several() && !wait.is_any, "a grant of several after a wait"),
            (matches!(wait.kind, Kind::Units(_)), "a grant of a unit after a wait"),
            (wait.priority > 0, "a grant to a higher priority"),
        ];
        self.met.extend(kinds.into_iter().filter(|(is_so, _)| *is_so).map(|(_, kind)| kind));
    }

    /// Somebody on this lock is granted in a later turn.
    pub(super) fn leave_over(&mut self, name: &str) {
        self.met.push("cut turn_grants_max");
        if !self.behind.iter().any(|behind| behind == name) {
            self.behind.push(name.to_owned());
        }
    }

    /// A request is granted these names.
    pub(super) fn grant(&mut self, wait: Wait, names: Vec<String>, now: u64, said: &mut Said) {
        let token = self.next_token;
        self.next_token += 1;
        for (index, name) in names.iter().enumerate() {
            let until = wait.terms.lease.map(|lease| self.arm(now.saturating_add(lease)));
            let (name, who, terms) = (name.clone(), wait.who.clone(), wait.terms.clone());
            let asked = (wait.number, index);
            self.happen("granted", &name, Some(&who), said);
            let (is_told, is_out_of_turn) = (false, false);
            self.holds.push(Hold {
                name,
                who,
                kind: wait.kind,
                token,
                since: now,
                terms,
                until,
                asked,
                is_told,
                is_out_of_turn,
            });
            self.counts.acquires += 1;
        }
        self.note_owner(&wait.who);
        let granted = if wait.is_any { Target::One(names[0].clone()) } else { wait.target.clone() };
        let mut keys = String::new();
        if wait.terms.fence {
            keys += &format!(r#","token":{token}"#);
        }
        if wait.terms.lease.is_some() {
            keys += &format!(r#","waited":{}"#, seconds(now - wait.since));
        }
        said.push((wait.who.seat, wait.form(answer(&granted, "acquired", &keys))));
        let wanted: Vec<String> = names.into_iter().filter(|name| !self.queue(name).is_empty()).collect();
        self.tell_holders(&wanted, said);
    }

    /// A request takes its places in the queues.
    pub(super) fn enqueue(&mut self, wait: Wait) {
        let places: Vec<usize> = wait.queues.iter().map(|name| self.place(name, wait.priority)).collect();
        for (name, place) in wait.queues.iter().zip(places) {
            match self.queues.iter_mut().find(|queue| queue.name == *name) {
                Some(queue) => queue.waits.insert(place, wait.number),
                None => self.queues.push(Queue { name: name.clone(), waits: vec![wait.number] }),
            }
        }
        self.note_owner(&wait.who);
        self.waits.push(wait);
    }

    /// A request leaves all queues.
    pub(super) fn take(&mut self, number: u64) -> Wait {
        for queue in &mut self.queues {
            queue.waits.retain(|other| *other != number);
        }
        let index = self.waits.iter().position(|wait| wait.number == number).expect("it waits");
        self.waits.remove(index)
    }

    fn note_owner(&mut self, who: &Who) {
        let owners = &mut self.client(who.seat).owners;
        if let Some(owner) = &who.owner
            && !owners.contains(owner)
        {
            owners.push(owner.clone());
        }
    }
}
