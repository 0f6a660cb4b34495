//! What time brings: leases run out, closed locks open, and waits time out.

use super::end::End;
use super::text::notice;
use super::{Hold, Model, Said, Who, with_owner};

/// What is due.
#[derive(Clone, Debug)]
enum Due {
    Lease(Who, String),
    Opening(String),
    Timeout(u64),
}

impl Model {
    /// When the next thing is due.
    pub fn next_due(&self) -> Option<u64> {
        self.due().first().map(|(when, _)| when.0)
    }

    /// The next thing that is due happens, if its time has come.
    pub fn expire_next(&mut self, now: u64) -> Option<Said> {
        let all = self.due();
        let ((at, ..), due) = all.first()?.clone();
        if at > now {
            return None;
        }
        let is_timeout = |((other, is_timeout, _), _): &((u64, bool, u64), Due)| *other == at && *is_timeout;
        if matches!(due, Due::Lease(..)) && all.iter().any(is_timeout) {
            self.met.push("a lease and a timeout of the same moment");
        }
        let mut said = Vec::new();
        match due {
            Due::Lease(who, name) => {
                let hold = self.hold_of(&who, &name).expect("its lease was found").clone();
                said.push((who.seat, with_owner(notice(&name, "expired", hold.token), who.owner.as_deref())));
                self.end_hold(&hold, End::Lost, now, &mut said);
            }
            Due::Opening(name) => self.open(&name, now, &mut said),
            Due::Timeout(number) => self.time_out(number, now, &mut said),
        }
        self.forget();
        Some(said)
    }

    /// In the order in which it happens: of one moment, leases and closed locks come before timeouts. A wait that is left
    /// over does not time out.
    fn due(&self) -> Vec<((u64, bool, u64), Due)> {
        let lease = |hold: &Hold| {
            let (at, order) = hold.until?;
            Some(((at, false, order), Due::Lease(hold.who.clone(), hold.name.clone())))
        };
        let mut due: Vec<_> = self.holds.iter().filter_map(lease).collect();
        for closing in &self.closings {
            due.push(((closing.until.0, false, closing.until.1), Due::Opening(closing.name.clone())));
        }
        for wait in &self.waits {
            if let Some((at, order)) = wait.until
                && !self.is_left_over(wait)
            {
                due.push(((at, true, order), Due::Timeout(wait.number)));
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
        said.push((wait.who.seat, wait.form(self.timed_out(&wait.target))));
        self.settle(&wait.queues, now, said);
    }
}
