//! What a server counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::request::Request;
use super::state::CallKind;
use super::{Client, listing};

/// Counters since the server was started, and what there is now. A key that the server does not have is 0.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct Stats {
    /// For how many seconds it has been running.
    pub uptime: f64,
    /// Connections now.
    pub connections: u64,
    /// Connections now that have not said yet who they are.
    pub strangers: u64,
    /// Sessions now, with and without a connection.
    pub sessions: u64,
    /// Sessions without a connection now.
    pub detached_sessions: u64,
    /// Locks that are held, waited for or closed now.
    pub locks: u64,
    /// Holders now.
    pub holds: u64,
    /// Waiters now.
    pub waiters: u64,
    /// Locks that are closed now.
    pub closed_locks: u64,
    /// Connections that watch now.
    pub watchers: u64,
    /// Locks granted.
    pub grants: u64,
    /// Locks released.
    pub releases: u64,
    /// Waits that timed out.
    pub timeouts: u64,
    /// Requests that were refused because a queue was full.
    pub queue_maxed: u64,
    /// Leases that ran out.
    pub expiries: u64,
    /// Holds that were revoked.
    pub revocations: u64,
    /// Locks that were handed to a waiter.
    pub transfers: u64,
    /// Requests that were refused for a deadlock.
    pub deadlocks: u64,
    /// Sessions that were resumed.
    pub resumptions: u64,
    /// Sessions that have ended.
    pub sessions_ended: u64,
    /// Requests by their command.
    pub requests: BTreeMap<String, u64>,
    /// Errors by their reason.
    pub errors: BTreeMap<String, u64>,
    /// Connections that have ended, by the reason.
    pub disconnects: BTreeMap<String, u64>,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Events sent to watchers.
    pub events_sent: u64,
    /// Events that watchers missed.
    pub events_missed: u64,
    /// Turns of the server's loop.
    pub turns: u64,
    /// The longest turn of the last half minute or more, in seconds.
    pub longest_turn: f64,
    /// How long requests waited until they were granted.
    pub wait: Histogram,
    /// How long locks were held.
    pub hold: Histogram,
    /// The locks that were waited for most in the last half minute to minute, most first; at most 32.
    pub hottest: Vec<HotLock>,
}

/// A lock that was waited for in the last half minute to minute.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct HotLock {
    /// Its name.
    pub name: String,
    /// For how many seconds all requests together waited for it. Never too much; too little by at most 1/256 of what all
    /// locks were waited for.
    pub waited: f64,
    /// Requests that began to wait for it.
    pub waits: u64,
}

/// Times, counted by their length.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[cfg_attr(not(feature = "unstable"), non_exhaustive)]
pub struct Histogram {
    /// The longest time of each count, in seconds; the last count has no bound.
    pub bounds: Vec<f64>,
    /// How many there were. Each is counted once, so these are not cumulative.
    pub counts: Vec<u64>,
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Client {
    /// What the server counts.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock("boss:17")?;
    /// let stats = client.stats()?;
    /// assert_eq!((stats.holds, stats.waiters), (1, 0));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn stats(&self) -> Result<Stats, Error> {
        let request = Request { command: "stats", ..Request::default() };
        listing::read(self.shared().ask(CallKind::Read, &["stats"], request)?.value)
    }
}
