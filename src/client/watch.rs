//! What happens to locks, as it happens.

use std::thread;
use std::time::{Duration, Instant};

use super::error::Error;
use super::link::Link;
use super::options::{FOREVER, Options};
use super::{Client, Owner};
use crate::wire::answer::Answer;
use crate::wire::happening::Happening;

/// The pause after an attempt to connect that has failed. It doubles each time, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a [`Watch`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// Something has happened to a lock.
    Lock(LockEvent),
    /// The server has left out events, because this program or the network was too slow for them.
    Missed {
        /// How many.
        count: u64,
    },
    /// The connection was lost. The watch goes on with a new one; what happens in between is not told.
    Interrupted {
        /// How.
        reason: String,
    },
}

/// Something has happened to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockEvent {
    /// What.
    pub happening: Happening,
    /// The lock.
    pub name: String,
    /// Whose hold or wait it is about, by the name that listings give the connection. None: [`Happening::Opened`].
    pub connection: Option<String>,
    /// The owner. None: the connection itself.
    pub owner: Option<Owner>,
}

impl Client {
    /// Watches what happens to the locks whose names begin so, from now on; `""`: all. It has a connection of its own, so
    /// that however much happens, nothing else of this client is held up.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let mut events = client.watch("player:")?;
    /// let guard = client.lock("player:7")?;
    /// match events.next() {
    ///     Some(Ok(WatchEvent::Lock(event))) => {
    ///         assert_eq!((event.happening, event.name.as_str()), (Happening::Granted, "player:7"));
    ///         assert_eq!(event.connection, Some(client.connection_name()));
    ///     }
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Options::connect`], and [`Error::Unsupported`].
    pub fn watch(&self, prefix: &str) -> Result<Watch, Error> {
        let options = self.shared().options.clone();
        let prefix = options.with_namespace(prefix);
        let link = Link::watch(&options, &prefix)?;
        Ok(Watch { options, prefix, link: Some(link), pause: PAUSE_MIN, next_at: Instant::now() })
    }
}

/// What happens to locks, event by event. It never ends by itself. If the connection is lost, the next event is
/// [`WatchEvent::Interrupted`], and the call after that connects again. An attempt that fails is an error; call again to try
/// again, after a short pause.
///
/// Keep calling it. The server leaves out events for a watcher that does not read them, and closes a connection that has sent
/// nothing for 60 s unless configured otherwise. Keep-alives are sent only during these calls.
#[derive(Debug)]
pub struct Watch {
    options: Options,
    /// With the namespace.
    prefix: String,
    link: Option<Link>,
    pause: Duration,
    /// When to try to connect again.
    next_at: Instant,
}

impl Watch {
    /// The next event, if it comes within this time.
    ///
    /// # Errors
    /// Those of [`Client::watch`], while there is no connection.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<WatchEvent>, Error> {
        let give_up = Instant::now() + timeout.min(FOREVER);
        loop {
            let left = |until: Instant| until.saturating_duration_since(Instant::now());
            let Some(link) = &mut self.link else {
                if self.next_at > give_up {
                    thread::sleep(left(give_up));
                    return Ok(None);
                }
                thread::sleep(left(self.next_at));
                self.reconnect()?;
                continue;
            };
            match link.next_answer(left(give_up)) {
                Ok(None) => return Ok(None),
                Ok(Some(answer)) => {
                    if let Some(event) = self.event(answer) {
                        return Ok(Some(event));
                    }
                }
                Err(error) => {
                    self.link = None;
                    let reason = match error {
                        Error::ConnectionLost { reason } => reason,
                        error => error.to_string(),
                    };
                    return Ok(Some(WatchEvent::Interrupted { reason }));
                }
            }
            if left(give_up).is_zero() {
                return Ok(None);
            }
        }
    }

    /// Whether there is a connection now. If not, [`Watch::next_within`] makes a new one.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        match Link::watch(&self.options, &self.prefix) {
            Ok(link) => {
                self.link = Some(link);
                self.pause = PAUSE_MIN;
                Ok(())
            }
            Err(error) => {
                self.next_at = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                Err(error)
            }
        }
    }

    /// None: it is not an event, or one of a newer server.
    fn event(&self, answer: Answer) -> Option<WatchEvent> {
        if answer.notice.as_deref() != Some("event") {
            return None;
        }
        let word = answer.event?;
        if &*word == "missed" {
            return Some(WatchEvent::Missed { count: answer.count });
        }
        let happening = Happening::read(&word)?;
        let name = self.options.without_namespace(answer.name.as_deref()?)?.to_owned();
        let connection = Some(answer.connection).filter(|connection| !connection.is_empty());
        Some(WatchEvent::Lock(LockEvent { happening, name, connection, owner: answer.owner }))
    }
}

impl Iterator for Watch {
    type Item = Result<WatchEvent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.next_within(FOREVER).transpose() {
                return Some(event);
            }
        }
    }
}
