//! What the server reports about connections: the answer to "is the holder alive?".

use std::collections::HashMap;

use super::poller::Clock;
use super::row::{Moment, keep};
use crate::client::{Client, ConnectionDetail, Error};
use crate::console::place::detached;

/// A connection as the server reported it at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Life {
    /// When it connected.
    pub(super) since: Moment,
    /// When it last sent anything.
    pub(super) silent_since: Moment,
    /// Bytes of replies that it has not read.
    pub(super) unsent: u64,
    /// A session without a connection: until when it can be resumed.
    pub(super) grace_until: Option<Moment>,
    pub(super) seen_at: Moment,
}

impl Life {
    pub(super) fn new(detail: &ConnectionDetail, seen_at: Moment) -> Self {
        let (since, silent_since) = (seen_at - detail.age, seen_at - detail.silent_for);
        let grace_until = detail.grace_left.map(|left| seen_at + left);
        Life { since, silent_since, unsent: detail.unsent, grace_until, seen_at }
    }

    /// Seconds of silence at the moment of the report. Unlike an age this does not grow afterwards: the connection may have
    /// sent something since, and a healthy client must not look silent because the server is rarely queried.
    pub(super) fn silent_for(&self) -> f64 {
        self.seen_at - self.silent_since
    }

    /// What is special about it: nothing about a connection.
    pub(super) fn note(&self, now: Moment) -> Option<String> {
        self.grace_until.map(|until| detached(until - now))
    }

    /// Keeps the earlier start of the same silence.
    pub(super) fn keep_times(&mut self, before: &Life) {
        keep(&mut self.silent_since, before.silent_since);
    }
}

/// The connections that hold or wait for anything, by name, fetched page by page.
#[derive(Debug, Default)]
pub(super) struct Lives {
    pub(super) by_name: HashMap<String, Life>,
    /// Where the next page begins. None: at the first connection, or nowhere.
    after: Option<String>,
    pub(super) is_complete: bool,
}

impl Lives {
    /// Fetches the next page.
    pub(super) fn page(&mut self, client: &Client, clock: Clock) -> Result<(), Error> {
        let (page, next) = client.connections_page(false, self.after.as_deref())?;
        let now = clock.now();
        self.by_name.extend(page.into_iter().map(|(name, detail)| (name, Life::new(&detail, now))));
        self.is_complete = next.is_none();
        self.after = next;
        Ok(())
    }
}
