//! Leases: when they are renewed, and who renews them.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::error::Error;
use super::request::Request;
use super::shared::{Shared, Turn};
use super::state::CallKind;
use crate::wire::answer::Answer;

impl Shared {
    /// Renews the lease of a hold; None: for as long as last time.
    pub(super) fn renew(
        &self,
        mut turn: Turn<'_>,
        hold: u64,
        lease: Option<Duration>,
    ) -> Result<Receiver<Answer>, Error> {
        let sent_at = Instant::now();
        let (subject, length) = turn.state.holds.renew(hold, lease, sent_at).ok_or(Error::NotHeld)?;
        let request = Request::about("renew", &subject.names, subject.owner.as_ref());
        let request = Request { lease: lease.map(|lease| lease.as_secs_f64()), ..request };
        self.send(turn, CallKind::Renew(hold, sent_at, length), request)
    }

    /// Renews these leases. Nobody waits for the answers.
    pub(super) fn renew_each(&self, epoch: u64, holds: impl IntoIterator<Item = u64>) -> Result<(), Error> {
        for hold in holds {
            match self.renew(self.turn(epoch)?, hold, None) {
                // It has ended meanwhile.
                Err(Error::NotHeld) => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// The program says that it is alive: what is due since it has last said so is renewed.
    pub(super) fn renew_owed(&self, epoch: u64) -> Result<(), Error> {
        let mut state = self.state();
        let due = state.holds.due(Instant::now());
        state.holds.owe(due);
        let owed = state.holds.take_owed();
        drop(state);
        self.renew_each(epoch, owed)
    }
}
