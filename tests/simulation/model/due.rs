//! What time brings: graces end, leases run out, closed locks open, and waits time out.

use super::end::End;
use super::text::notice;
use super::{Hold, Model, Said, Seat, Wait, Who, heard, with_owner};

/// What comes first in one moment.
const GRACE: u8 = 0;
const ENDING: u8 = 1;
const TIMEOUT: u8 = 2;

/// What is due.
#[derive(Clone, Debug)]
enum Due {
    Grace(Seat),
    Lease(Who, String),
    Opening(String),
    Timeout(u64),
}

impl Model {
    /// When the next thing is due.
    pub fn next_due(&self) -> Option<u64> {
        self.due().first().map(|(when, _)| when.0)
    }

    /// Whether the next thing that is due is the end of a grace.
    pub fn is_grace_next(&self) -> bool {
        matches!(self.due().first(), Some((_, Due::Grace(_))))
    }

    /// The next thing that is due happens, if its time has come.
    pub fn expire_next(&mut self, now: u64) -> Option<Said> {
        let all = self.due();
        let ((at, ..), due) = all.first()?.clone();
        if at > now {
            return None;
        }
        let is_timeout = |((other, class, _), _): &((u64, u8, u64), Due)| *other == at && *class == TIMEOUT;
        if matches!(due, Due::Lease(..)) && all.iter().any(is_timeout) {
            self.met.push("a lease and a timeout of the same moment");
        }
        let mut said = Vec::new();
        if matches!(due, Due::Grace(..)) && all.iter().any(is_timeout) {
            self.met.push("a grace and a timeout of the same moment");
        }
        match due {
            Due::Grace(seat) => said.extend(self.disconnect(seat, now)),
            Due::Lease(who, name) => {
                let hold = self.hold_of(&who, &name).expect("its lease was found").clone();
                said.push((who.seat, with_owner(notice(&name, "expired", hold.token), who.owner.as_deref())));
                self.counts.expiries += 1;
                self.end_hold(&hold, End::Expired, now, &mut said);
            }
            Due::Opening(name) => self.open(&name, now, &mut said),
            Due::Timeout(number) => self.time_out(number, now, &mut said),
        }
        self.forget();
        Some(heard(said))
    }

    /// Whether the next thing that is due by then is the timeout of a wait that is left over.
    pub fn is_void_next(&self, by: u64) -> bool {
        self.void(by).is_some()
    }

    /// The timeout of a wait that is left over comes to nothing, now and later.
    pub fn pass_void(&mut self, by: u64) {
        let number = self.void(by).expect("one is next");
        self.wait_mut(number).until = None;
    }

    fn void(&self, by: u64) -> Option<u64> {
        let left_over = self.waits.iter().filter(|wait| self.is_left_over(wait));
        let of_wait = |wait: &Wait| wait.until.map(|(at, order)| ((at, TIMEOUT, order), wait.number));
        let (when, number) = left_over.filter_map(of_wait).min()?;
        let is_next = self.due().first().is_none_or(|(first, _)| when < *first);
        (when.0 <= by && is_next).then_some(number)
    }

    /// In the order in which it happens: of one moment, graces come first, then leases and closed locks, then timeouts. A
    /// wait that is left over does not time out.
    fn due(&self) -> Vec<((u64, u8, u64), Due)> {
        let lease = |hold: &Hold| {
            let (at, order) = hold.until?;
            Some(((at, ENDING, order), Due::Lease(hold.who.clone(), hold.name.clone())))
        };
        let mut due: Vec<_> = self.holds.iter().filter_map(lease).collect();
        for (seat, (at, order)) in self.graces() {
            due.push(((at, GRACE, order), Due::Grace(seat)));
        }
        for closing in &self.closings {
            due.push(((closing.until.0, ENDING, closing.until.1), Due::Opening(closing.name.clone())));
        }
        for wait in &self.waits {
            if let Some((at, order)) = wait.until
                && !self.is_left_over(wait)
            {
                due.push(((at, TIMEOUT, order), Due::Timeout(wait.number)));
            }
        }
        due.sort_by_key(|(when, _)| *when);
        due
    }

    /// The wait is over, and then whoever waited only for it is granted.
    pub(super) fn time_out(&mut self, number: u64, now: u64, said: &mut Said) {
        let wait = self.take(number);
        self.counts.timeouts += 1;
        if wait.is_several() {
            self.met.push("a wait for several that times out");
        }
        let before = said.len();
        wait.queues.iter().for_each(|name| self.happen("left", name, Some(&wait.who), said));
        // Which of both comes first is the server's choice, and counts where there is little room for output.
        let place = if wait.is_several() { before } else { said.len() };
        said.insert(place, (wait.who.seat, wait.form(self.timed_out(&wait.target))));
        self.settle(&wait.queues, now, said);
    }
}
