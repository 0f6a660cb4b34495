//! Handing a lock on without a gap.

use super::error::Error;
use super::request::Request;
use super::state::CallKind;
use super::{Asker, Guard, Owner, PlaceDetail};

/// To whom a lock is handed: somebody who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recipient {
    /// The connection, by the name that listings give it. None: this client's own.
    pub connection: Option<String>,
    /// The owner. None: the connection itself.
    pub owner: Option<Owner>,
}

impl Recipient {
    /// Of another client, by its connection's name in listings. Without [`Recipient::owner`] it is the connection itself: a
    /// client that uses one thread.
    pub fn connection(name: impl Into<String>) -> Self {
        Recipient { connection: Some(name.into()), owner: None }
    }

    /// An [`owner`](super::LockOptions::owner) of this client.
    pub fn own(owner: impl Into<Owner>) -> Self {
        Recipient::default().owner(owner)
    }

    /// An owner of that connection.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<Owner>) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

impl From<&PlaceDetail> for Recipient {
    fn from(place: &PlaceDetail) -> Self {
        Recipient { connection: Some(place.connection.clone()), owner: place.owner.clone() }
    }
}

impl From<Asker> for Recipient {
    fn from(Asker { connection, owner }: Asker) -> Self {
        Recipient { connection: Some(connection), owner }
    }
}

impl From<&str> for Recipient {
    fn from(connection: &str) -> Self {
        Recipient::connection(connection)
    }
}

impl Guard {
    /// Hands the lock to somebody who waits for it, ahead of all others: nobody can come between. Says whether it did; if
    /// so the guard is lost. It does not if the lock is still held: because the other does not wait for it, or waits for
    /// several locks at once, while a [`min_hold`](super::LockOptions::min_hold) runs, and for shared locks and semaphores.
    /// Who got a lock out of turn can hand it only to the first in its queue.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock("player:7")?;
    /// let zone = Client::connect(address.clone())?;
    /// std::thread::scope(|scope| {
    ///     let waiting = scope.spawn(|| zone.lock("player:7").map(drop));
    /// #     while client.lock_status("player:7")?.is_none_or(|lock| lock.waiting == 0) {}
    ///     // The player walks over to that zone.
    ///     assert!(guard.transfer(zone.connection_name().as_str())?);
    ///     waiting.join().unwrap()
    /// })?;
    /// assert!(guard.is_lost());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotHeld`] if the lock was lost before; [`Error::Unsupported`], [`Error::ConnectionLost`],
    /// [`Error::AnswerLost`]; [`Error::Server`] also if the guard is for several locks.
    pub fn transfer(&self, to: impl Into<Recipient>) -> Result<bool, Error> {
        let Recipient { connection, owner } = to.into();
        let shared = self.client.shared();
        let turn = shared.turn(self.epoch)?;
        turn.state.check_features(["transfer"])?;
        let subject = turn.state.holds.subject(self.hold).ok_or(Error::NotHeld)?;
        let request = Request {
            token: self.token(),
            to: connection.as_deref(),
            to_owner: owner.as_ref(),
            ..Request::about("transfer", &subject.names, subject.owner.as_ref())
        };
        let answer = shared.send(turn, CallKind::Transfer(self.hold, subject.certain_until), request)?;
        let answer = shared.wait(&answer)?;
        match answer.result.as_str() {
            "transferred" => Ok(true),
            "transfer_failed" if answer.is_held() => Ok(false),
            "transfer_failed" => Err(Error::NotHeld),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }
}
