//! The thread that asks the server.
//!
//! It never asks for everything at once. All locks are gone through page by page, and after each page it rests for a
//! multiple of the time that the page took: so neither it nor the server works hard, however many locks there are, and the
//! slower the server is the less it is asked. Of very many locks the first in the order in force are kept.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::row::{Filter, First, Moment, Row, Sort};
use crate::client::{Client, Error, LockDetail};

/// Rows that are kept of one look at all locks: more than anybody scrolls through.
pub(super) const ROWS_MAX: usize = 1000;
/// The first look, for which a person waits, takes half of the time; those after it a tenth.
const FIRST_REST: u32 = 1;
const REST: u32 = 9;
/// How often an unfinished first look is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Rests between attempts to reach a server that is gone.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// A hold that began so many seconds later than the one that was seen is another one. Less may be the clocks.
const SAME_HOLD_SECONDS: f64 = 0.05;

/// The time since the program began to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        self.0.elapsed().as_secs_f64()
    }
}

/// What the server is to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// For all locks that a filter takes, the first in an order.
    AtAll { filter: Filter, sort: Sort },
    /// For one, with its queue.
    AtOne { name: String, after: Option<Arc<str>> },
}

/// What the poller is told.
#[derive(Debug)]
pub(super) enum Order {
    /// What to look at from now on. The number comes back with what is seen.
    Look(u64, Look),
    /// A connection to end.
    Kick(Target),
}

/// A connection on a lock, as a person has seen it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) lock: String,
    /// The `after` of the page that the lock was seen on.
    pub(super) after: Option<Arc<str>>,
    pub(super) connection: String,
    pub(super) client: Option<String>,
    pub(super) is_holder: bool,
    /// Since when it holds or waits.
    pub(super) since: Moment,
}

/// What the poller tells.
#[derive(Debug)]
pub(super) enum News {
    /// A look at all locks, that of the order with this number.
    All(u64, Picture),
    /// A look at one lock. None: nobody holds or waits for it.
    One(u64, Option<LockDetail>, Moment),
    /// The server could not be asked; it will be again after so long.
    Lost { error: Error, retry_in: Duration },
    /// What came of an order to kick.
    Kick(Target, Kicked),
}

/// What came of an order to kick.
#[derive(Debug, PartialEq)]
pub(super) enum Kicked {
    /// It was ended.
    Yes,
    /// It does not have the place any more that it was to be kicked for, so nothing was done.
    Changed,
    /// It was gone already.
    Gone,
    /// The server refuses, or can't be reached.
    Failed(Error),
}

/// What was seen of all locks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// The first in the order in force, [`ROWS_MAX`] at most.
    pub(super) rows: Vec<Row>,
    pub(super) counts: Counts,
    pub(super) began: Moment,
    pub(super) ended: Moment,
    /// There were no more locks than these.
    pub(super) is_complete: bool,
}

/// Sums over all locks that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) locks: u64,
    /// Those that somebody waits for.
    pub(super) wanted: u64,
    pub(super) waiters: u64,
    /// Those that the filter takes.
    pub(super) taken: u64,
}

/// A look at all locks that is under way.
#[derive(Debug)]
struct Scan {
    first: First,
    counts: Counts,
    after: Option<Arc<str>>,
    began: Moment,
    shown_at: Moment,
}

impl Scan {
    fn new(sort: Sort, now: Moment) -> Self {
        let first = First::new(sort, ROWS_MAX);
        Scan { first, counts: Counts::default(), after: None, began: now, shown_at: now }
    }

    fn add(&mut self, row: Row, filter: &Filter) {
        self.counts.locks += 1;
        self.counts.waiters += row.waiters;
        self.counts.wanted += u64::from(row.waiters > 0);
        if filter.takes(&row) {
            self.counts.taken += 1;
            self.first.add(row);
        }
    }

    fn picture(&self, now: Moment, is_complete: bool) -> Picture {
        Picture { rows: self.first.sorted(), counts: self.counts, began: self.began, ended: now, is_complete }
    }
}

/// Looks at all locks once, as fast as the server answers.
pub(super) fn look_once(
    client: &Client,
    clock: Clock,
    prefix: &str,
    filter: &Filter,
    sort: Sort,
) -> Result<Picture, Error> {
    let mut scan = Scan::new(sort, clock.now());
    while !scan.page(client, clock, prefix, filter)? {}
    Ok(scan.picture(clock.now(), true))
}

impl Scan {
    /// Goes on by a page. Says whether it was the last.
    fn page(&mut self, client: &Client, clock: Clock, prefix: &str, filter: &Filter) -> Result<bool, Error> {
        let page = client.locks_page(prefix, self.after.as_deref())?;
        let now = clock.now();
        for (name, detail) in page.locks {
            self.add(Row::new(name, detail, now, self.after.clone()), filter);
        }
        self.after = page.next.map(Arc::from);
        Ok(self.after.is_none())
    }
}

/// Asks the server, in a thread of its own.
#[derive(Debug)]
pub(super) struct Poller<T> {
    pub(super) client: Client,
    pub(super) clock: Clock,
    /// The locks' names begin so.
    pub(super) prefix: String,
    /// Between the beginnings of two looks.
    pub(super) interval: Duration,
    pub(super) orders: Receiver<Order>,
    /// Takes the news. Says whether anybody wants more.
    pub(super) tell: T,
}

/// Where the poller is.
#[derive(Debug)]
struct Work {
    number: u64,
    look: Look,
    scan: Option<Scan>,
    /// A look for this order has been completed.
    is_settled: bool,
}

impl<T: Fn(News) -> bool> Poller<T> {
    /// Asks until nobody wants to know any more.
    pub(super) fn run(self) {
        let Ok(Order::Look(number, look)) = self.orders.recv() else { return };
        let mut work = Work { number, look, scan: None, is_settled: false };
        let mut back_off = BACK_OFF_MIN;
        loop {
            let rest = match self.step(&mut work) {
                Ok(rest) => {
                    back_off = BACK_OFF_MIN;
                    rest
                }
                Err(error) => {
                    // Its pages may be those of another run of the server.
                    work.scan = None;
                    let retry_in = back_off;
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    if !(self.tell)(News::Lost { error, retry_in }) {
                        return;
                    }
                    retry_in
                }
            };
            if !self.rest(&mut work, rest) {
                return;
            }
        }
    }

    /// Asks for a page. Returns how long to rest.
    fn step(&self, work: &mut Work) -> Result<Duration, Error> {
        let began = Instant::now();
        if self.client.is_lost() {
            self.client.reconnect()?;
        }
        match &work.look {
            Look::AtOne { name, after } => {
                let detail = self.find(name, after.as_deref())?;
                (self.tell)(News::One(work.number, detail, self.clock.now()));
                Ok(self.interval.saturating_sub(began.elapsed()).max(began.elapsed() * REST))
            }
            Look::AtAll { filter, sort } => {
                let scan = work.scan.get_or_insert_with(|| Scan::new(*sort, self.clock.now()));
                let is_complete = scan.page(&self.client, self.clock, &self.prefix, filter)?;
                let now = self.clock.now();
                let is_to_be_shown = !work.is_settled && now - scan.shown_at >= SHOW_EVERY.as_secs_f64();
                if is_complete || is_to_be_shown {
                    (self.tell)(News::All(work.number, scan.picture(now, is_complete)));
                    scan.shown_at = now;
                }
                let rest = began.elapsed() * if work.is_settled { REST } else { FIRST_REST };
                if !is_complete {
                    return Ok(rest);
                }
                let took = Duration::from_secs_f64(now - scan.began);
                work.scan = None;
                work.is_settled = true;
                Ok(self.interval.saturating_sub(took).max(rest))
            }
        }
    }

    /// Waits for so long, or until there is something else to look at. Says whether anybody is there still.
    fn rest(&self, work: &mut Work, rest: Duration) -> bool {
        let until = Instant::now() + rest;
        loop {
            match self.orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Order::Look(number, look)) => {
                    *work = Work { number, look, scan: None, is_settled: false };
                    // A server that is gone does not come back for that.
                    if !self.client.is_lost() {
                        return true;
                    }
                }
                Ok(Order::Kick(target)) => {
                    let kicked = self.kick(&target).unwrap_or_else(Kicked::Failed);
                    let is_done = kicked == Kicked::Yes;
                    if !(self.tell)(News::Kick(target, kicked)) {
                        return false;
                    }
                    if is_done {
                        // The picture is to show it soon.
                        (work.scan, work.is_settled) = (None, false);
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Ends a connection if it is still what the person has seen: the same on the lock, with the same hold or wait.
    fn kick(&self, target: &Target) -> Result<Kicked, Error> {
        let asked_at = self.clock.now();
        let detail = self.find(&target.lock, target.after.as_deref())?.unwrap_or_default();
        let (places, is_waiting) = match target.is_holder {
            true => (&detail.holders, false),
            false => (&detail.waiters, true),
        };
        let place = places.iter().find(|place| place.connection == target.connection);
        let time = place.and_then(|place| if is_waiting { place.waited_for } else { place.held_for });
        match time {
            Some(time) if asked_at - time <= target.since + SAME_HOLD_SECONDS => {
                Ok(if self.client.kick(&target.connection)? { Kicked::Yes } else { Kicked::Gone })
            }
            _ => Ok(Kicked::Changed),
        }
    }

    /// One lock: where it was seen, and if it is not there any more, wherever it is.
    fn find(&self, name: &str, after: Option<&str>) -> Result<Option<LockDetail>, Error> {
        let detail = |locks: Vec<(String, LockDetail)>| locks.into_iter().find(|(found, _)| found == name);
        if after.is_some()
            && let Some((_, detail)) = detail(self.client.locks_page(name, after)?.locks)
        {
            return Ok(Some(detail));
        }
        let mut after = None;
        loop {
            let page = self.client.locks_page(name, after.as_deref())?;
            if let Some((_, detail)) = detail(page.locks) {
                return Ok(Some(detail));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }
}
