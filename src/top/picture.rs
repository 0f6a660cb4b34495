//! A scan of all connections and then all locks, page by page, and its result.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::circles::{self, Circle, Waits};
use super::life::Lives;
use super::poller::Clock;
use super::row::{Filter, First, Moment, Row, Sort};
use crate::client::{Client, Error};

/// Rows that are kept of one scan: more than anybody scrolls through.
const ROWS_MAX: usize = 1000;

/// The result of a scan of all locks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    /// The first ones in the current order, at most [`ROWS_MAX`].
    pub(super) rows: Vec<Row>,
    pub(super) counts: Counts,
    /// Waiters that wait for each other, of a complete scan.
    pub(super) circles: Vec<Circle>,
    pub(super) began: Moment,
    pub(super) ended: Moment,
    /// The scan is complete.
    pub(super) is_complete: bool,
}

impl Picture {
    /// This picture as the successor of an earlier one. Until it is complete, the rows and sums of the earlier one
    /// stay, because locks that are still to be fetched are not gone. The times of the same hold and wait are kept.
    pub(super) fn after(mut self, mut before: Picture, sort: Sort) -> Picture {
        let known: HashMap<&str, &Row> = before.rows.iter().map(|row| (row.name.as_str(), row)).collect();
        for row in &mut self.rows {
            if let Some(before) = known.get(row.name.as_str()) {
                row.keep_times(before);
            }
        }
        if !self.is_complete {
            let seen: HashSet<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
            before.rows.retain(|row| !seen.contains(row.name.as_str()));
            self.rows.append(&mut before.rows);
        }
        self.rows.sort_unstable_by(|one, other| sort.compare(one, other));
        self.rows.truncate(ROWS_MAX);
        if self.is_complete || !before.is_complete { self } else { Picture { rows: self.rows, ..before } }
    }
}

/// Sums over all locks of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) locks: u64,
    /// Those that somebody waits for.
    pub(super) wanted: u64,
    pub(super) waiters: u64,
    /// Those that match the filter.
    pub(super) taken: u64,
}

/// A scan of all locks in progress.
#[derive(Debug)]
pub(super) struct Scan {
    /// Fetched before the locks, so that rows can be sorted by the silence of their holders.
    lives: Lives,
    first: First,
    counts: Counts,
    waits: Waits,
    circles: Vec<Circle>,
    after: Option<Arc<str>>,
    pub(super) began: Moment,
    pub(super) shown_at: Moment,
}

impl Scan {
    pub(super) fn new(sort: Sort, now: Moment) -> Self {
        let first = First::new(sort, ROWS_MAX);
        Scan {
            lives: Lives::default(),
            first,
            counts: Counts::default(),
            waits: Waits::default(),
            circles: Vec::new(),
            after: None,
            began: now,
            shown_at: now,
        }
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

    /// Whether there is anything to show yet: connections alone are not a picture.
    pub(super) fn has_locks(&self) -> bool {
        self.counts.locks > 0
    }

    pub(super) fn picture(&self, now: Moment, is_complete: bool) -> Picture {
        let (rows, circles) = (self.first.sorted(), self.circles.clone());
        Picture { rows, counts: self.counts, circles, began: self.began, ended: now, is_complete }
    }
}

/// Scans all locks once, as fast as the server answers.
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
    /// Fetches the next page. Returns whether it was the last.
    pub(super) fn page(&mut self, client: &Client, clock: Clock, prefix: &str, filter: &Filter) -> Result<bool, Error> {
        if !self.lives.is_complete {
            self.lives.page(client, clock)?;
            return Ok(false);
        }
        let page = client.locks_page(prefix, self.after.as_deref())?;
        let now = clock.now();
        for (name, detail) in page.locks {
            self.waits.add(&name, &detail);
            let row = Row::new(name, detail, now, self.after.clone(), &self.lives.by_name);
            self.add(row, filter);
        }
        self.after = page.next.map(Arc::from);
        if self.after.is_some() {
            return Ok(false);
        }
        self.circles = circles::confirmed(client, clock, self.waits.circles(), self.began)?;
        Ok(true)
    }
}
