//! What becomes of holds when the session is resumed.

use std::time::{Duration, Instant};

use super::super::Loss;
use super::super::session::{ANSWER_LOST, HeldRow, NOT_HELD, Resumption};
use super::super::state::Notice;
use super::{Hold, Holds};
use crate::wire::answer::Answer;

impl Hold {
    /// The row that is about this grant of a name, or about any if it is not granted yet.
    fn row<'a>(&self, name: &str, resumption: &'a Resumption) -> Option<&'a HeldRow> {
        let row = resumption.row(name, self.who.owner().as_ref())?;
        (self.token.is_none() || self.token == row.token).then_some(row)
    }
}

impl Holds {
    /// What the server says about the names of a hold.
    pub(in super::super) fn rows<'a>(
        &'a self,
        number: u64,
        resumption: &'a Resumption,
    ) -> impl Iterator<Item = (&'a String, &'a HeldRow)> {
        let hold = self.all.get(&number).into_iter();
        hold.flat_map(|hold| hold.names.iter().filter_map(|name| Some((name, hold.row(name, resumption)?))))
    }

    /// The answer to a `lock` that does not wait any more: it was granted if it is held.
    pub(in super::super) fn granted_meanwhile(&self, number: u64, resumption: &Resumption) -> Answer {
        let Some((name, row)) = self.rows(number, resumption).next() else { return Answer::of_result(ANSWER_LOST) };
        let token = row.token.filter(|_| self.all[&number].has_fence);
        Answer { name: Some(name.clone()), token, ..Answer::of_result("acquired") }
    }

    /// The answer to a `renew` that was executed.
    pub(in super::super) fn renewed_meanwhile(&self, number: u64, resumption: &Resumption) -> Answer {
        let (names, waiters): (Vec<_>, Vec<_>) =
            self.rows(number, resumption).map(|(name, row)| (name.clone(), row.waiters)).unzip();
        match names.len() {
            // What was lost is told apart from this.
            0 => Answer::of_result(NOT_HELD),
            1 => Answer { waiters: waiters[0], ..Answer::of_result("renewed") },
            _ => Answer { names, waiters: waiters.iter().sum(), ..Answer::of_result("renewed") },
        }
    }

    /// What the server does not list was lost. Returns what the program is to be told.
    pub(in super::super) fn resumed(&mut self, resumption: &Resumption) -> Vec<Notice> {
        let mut granted: Vec<u64> = self.all.iter().filter(|(_, hold)| hold.is_granted).map(|(n, _)| *n).collect();
        granted.sort_unstable();
        let mut notices = Vec::new();
        for number in granted {
            let hold = &self.all[&number];
            let (names, owner) = (hold.names.clone(), hold.who.owner());
            let because = if hold.is_over(Instant::now()) { Loss::Expired } else { Loss::Revoked };
            let mut lease_left: Option<f64> = None;
            for name in names {
                match self.all.get(&number).and_then(|hold| hold.row(&name, resumption)) {
                    Some(row) => {
                        lease_left = lease_left.into_iter().chain(row.lease_left).reduce(f64::min);
                        if row.waiters > 0 && !self.is_wanted(number) {
                            notices.extend(self.wanted(&name, owner.as_ref(), row.token, row.waiters));
                        }
                    }
                    None => notices.extend(self.lose(&name, owner.as_ref(), because.clone(), None).map(|lost| {
                        if because == Loss::Expired { Notice::Expired(lost) } else { Notice::Revoked(lost) }
                    })),
                }
            }
            if let Some(left) = lease_left.and_then(|left| Duration::try_from_secs_f64(left).ok()) {
                self.lease_left(number, resumption.asked_at, left);
            }
        }
        notices
    }
}
