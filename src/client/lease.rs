//! Leases: when they are renewed, and by whom.

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

    /// Renews the leases that the client is to renew by then; None: all of them. Nobody waits for the answers.
    pub(super) fn renew_due(&self, epoch: u64, by: Option<Instant>) -> Result<(), Error> {
        let due = self.state().holds.due(by, Instant::now());
        for hold in due {
            match self.renew(self.turn(epoch)?, hold, None) {
                // It has ended meanwhile.
                Err(Error::NotHeld) => {}
                result => drop(result?),
            }
        }
        Ok(())
    }
}
