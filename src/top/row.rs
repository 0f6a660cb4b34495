//! A lock as one row, the orders of rows, and the selection of the first rows.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use clap::ValueEnum;

use super::life::Life;
use crate::client::{LockDetail, PlaceDetail};

/// Seconds since the program started. Negative for earlier events.
pub(super) type Moment = f64;

/// A hold or wait that began this much later than the one shown is a different one. Smaller differences may come from
/// the clocks.
pub(super) const SAME_SECONDS: f64 = 0.05;

/// A lock as shown in a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// The first of its holders. None: it is free.
    pub(super) holder: Option<Holder>,
    pub(super) holders: u64,
    pub(super) waiters: u64,
    /// Until when it stays closed although nobody holds it.
    pub(super) closed_until: Option<Moment>,
    /// When the longest wait began.
    pub(super) waited_since: Option<Moment>,
    /// The `after` of the page that contained it.
    pub(super) after: Option<Arc<str>>,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Holder {
    pub(super) place: PlaceDetail,
    pub(super) since: Moment,
    pub(super) seen_at: Moment,
    /// None: not known yet.
    pub(super) life: Option<Life>,
}

impl Row {
    /// A lock as the server reported it at a moment, with the life of its holder.
    pub(super) fn new(
        name: String,
        detail: LockDetail,
        at: Moment,
        after: Option<Arc<str>>,
        lives: &HashMap<String, Life>,
    ) -> Self {
        let waited = |waiter: &PlaceDetail| at - waiter.waited_for.unwrap_or(0.0);
        Row {
            name,
            waited_since: detail.waiters.iter().map(waited).min_by(f64::total_cmp),
            holders: detail.holders.len() as u64 + detail.unlisted()[0],
            closed_until: detail.closed_for.map(|left| at + left),
            holder: detail.holders.into_iter().next().map(|place| Holder {
                since: at - place.held_for.unwrap_or(0.0),
                life: lives.get(&place.connection).copied(),
                seen_at: at,
                place,
            }),
            waiters: detail.waiting,
            after,
        }
    }

    /// Keeps the earlier times of the same lock, if they belong to the same hold and wait. The server reports
    /// milliseconds: rows that differ by less would change places with every scan.
    pub(super) fn keep_times(&mut self, before: &Row) {
        if let (Some(holder), Some(before)) = (&mut self.holder, &before.holder)
            && holder.place.connection == before.place.connection
        {
            keep(&mut holder.since, before.since);
            if let (Some(life), Some(before)) = (&mut holder.life, &before.life) {
                life.keep_times(before);
            }
        }
        if let (Some(since), Some(before)) = (&mut self.waited_since, before.waited_since) {
            keep(since, before);
        }
    }

    fn holder_text(&self) -> &str {
        self.holder.as_ref().map_or("", |holder| &holder.place.connection)
    }

    fn client_text(&self) -> &str {
        self.holder.as_ref().and_then(|holder| holder.place.client.as_deref()).unwrap_or("")
    }

    fn held_since(&self) -> Moment {
        self.holder.as_ref().map_or(f64::INFINITY, |holder| holder.since)
    }

    fn silent_since(&self) -> Moment {
        self.holder.as_ref().and_then(|holder| holder.life).map_or(f64::INFINITY, |life| life.silent_since)
    }
}

/// Keeps an earlier value of a time, if the difference may come from the clocks.
pub(super) fn keep(since: &mut Moment, before: Moment) {
    if (*since - before).abs() < SAME_SECONDS {
        *since = before;
    }
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Column {
    /// The lock's name
    Lock,
    /// The holder's address
    Holder,
    /// What the holder calls itself
    Client,
    /// For how long it is held
    Held,
    /// For how long the holder has been silent
    Silent,
    /// How many wait for it
    Waiters,
    /// For how long the first of them waits
    Longest,
}

impl Column {
    /// In the order of the columns on the screen.
    pub(super) const ALL: [Column; 7] =
        [Column::Lock, Column::Holder, Column::Client, Column::Held, Column::Silent, Column::Waiters, Column::Longest];

    /// Whether it contains numbers, which are sorted largest first.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Column::Held | Column::Silent | Column::Waiters | Column::Longest)
    }

    /// Smallest first.
    fn compare(self, one: &Row, other: &Row) -> Ordering {
        match self {
            Column::Lock => one.name.cmp(&other.name),
            Column::Holder => one.holder_text().cmp(other.holder_text()),
            Column::Client => one.client_text().cmp(other.client_text()),
            // A later start is a shorter hold.
            Column::Held => other.held_since().total_cmp(&one.held_since()),
            Column::Silent => other.silent_since().total_cmp(&one.silent_since()),
            Column::Waiters => one.waiters.cmp(&other.waiters),
            Column::Longest => {
                let since = |row: &Row| row.waited_since.unwrap_or(f64::INFINITY);
                since(other).total_cmp(&since(one))
            }
        }
    }
}

/// An order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) column: Column,
    pub(super) is_descending: bool,
}

impl Sort {
    /// The usual order for a column.
    pub(super) fn by(column: Column) -> Self {
        Sort { column, is_descending: column.is_number() }
    }

    /// A total order: equal rows keep their places from one scan to the next.
    pub(super) fn compare(self, one: &Row, other: &Row) -> Ordering {
        let by_column = self.column.compare(one, other);
        let by_column = if self.is_descending { by_column.reverse() } else { by_column };
        by_column
            .then_with(|| Column::Longest.compare(one, other).reverse())
            .then_with(|| Column::Held.compare(one, other).reverse())
            .then_with(|| one.name.cmp(&other.name))
    }
}

/// Text to find in locks, holders and clients, ignoring case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(String);

impl Filter {
    pub(super) fn new(text: &str) -> Self {
        Filter(text.to_lowercase())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row contains the text.
    pub(super) fn takes(&self, row: &Row) -> bool {
        self.is_empty()
            || [row.name.as_str(), row.holder_text(), row.client_text()]
                .iter()
                .any(|text| text.to_lowercase().contains(&self.0))
    }
}

/// The first rows in some order, of any number that is added.
#[derive(Clone, Debug)]
pub(super) struct First {
    sort: Sort,
    max: usize,
    /// By name: a lock that was released and taken again meanwhile may be on two pages, and the later one is right.
    rows: HashMap<String, Row>,
}

impl First {
    /// At most `max` of them.
    pub(super) fn new(sort: Sort, max: usize) -> Self {
        First { sort, max, rows: HashMap::new() }
    }

    pub(super) fn add(&mut self, row: Row) {
        self.rows.insert(row.name.clone(), row);
        // Rarely: the cost of one cut is spread over the rows added since the last.
        if self.rows.len() >= self.max * 2 {
            let mut rows: Vec<Row> = self.rows.drain().map(|(_, row)| row).collect();
            self.cut(&mut rows);
            self.rows.extend(rows.into_iter().map(|row| (row.name.clone(), row)));
        }
    }

    fn cut(&self, rows: &mut Vec<Row>) {
        if rows.len() > self.max {
            rows.select_nth_unstable_by(self.max, |one, other| self.sort.compare(one, other));
            rows.truncate(self.max);
        }
    }

    /// In order.
    pub(super) fn sorted(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.values().cloned().collect();
        self.cut(&mut rows);
        rows.sort_unstable_by(|one, other| self.sort.compare(one, other));
        rows
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::client::ConnectionDetail;

    /// A lock held by `holder` for this many seconds, with waits of this many seconds; at moment 0.
    pub(in crate::top) fn row(name: &str, holder: &str, held_for: f64, waits: &[f64]) -> Row {
        let place = |connection: &str| PlaceDetail { connection: connection.to_owned(), ..PlaceDetail::default() };
        let client = Some(format!("client of {holder}"));
        let holders = vec![PlaceDetail { held_for: Some(held_for), client, ..place(holder) }];
        let waiters: Vec<_> =
            waits.iter().map(|wait| PlaceDetail { waited_for: Some(*wait), ..place("waiter") }).collect();
        let waiting = waiters.len() as u64;
        Row::new(
            name.to_owned(),
            LockDetail { holders, waiters, waiting, ..LockDetail::default() },
            0.0,
            None,
            &HashMap::new(),
        )
    }

    /// The same row, with a holder that has been silent for this many seconds at moment 0.
    pub(in crate::top) fn silent(mut row: Row, silent_for: f64) -> Row {
        let detail = ConnectionDetail { age: silent_for, silent_for, ..ConnectionDetail::default() };
        if let Some(holder) = &mut row.holder {
            holder.life = Some(Life::new(&detail, 0.0));
        }
        row
    }

    fn names(rows: &[Row]) -> String {
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn rows() -> [Row; 4] {
        let free = Row { holder: None, holders: 0, ..row("free", "", 0.0, &[1.0]) };
        [
            silent(row("b", "10.0.0.2", 5.0, &[]), 3.0),
            silent(row("a", "10.0.0.3", 50.0, &[2.0, 1.0]), 0.5),
            row("c", "10.0.0.1", 0.5, &[40.0]),
            free,
        ]
    }

    #[test]
    fn rows_are_sorted_by_any_column_in_both_directions() {
        for (column, expected) in [
            (Column::Lock, "a b c free"),
            (Column::Holder, "free c b a"),
            (Column::Client, "free c b a"),
            (Column::Held, "a b c free"),
            (Column::Silent, "b a c free"),
            (Column::Waiters, "a c free b"),
            (Column::Longest, "c a free b"),
        ] {
            let sort = Sort::by(column);
            let mut rows = rows();
            rows.sort_by(|one, other| sort.compare(one, other));
            assert_eq!(names(&rows), expected, "{column:?}");
            let sort = Sort { is_descending: !sort.is_descending, ..sort };
            rows.sort_by(|one, other| sort.compare(one, other));
            let last = rows.last().unwrap();
            let other_way: Vec<&str> = expected.split(' ').collect();
            assert_eq!(last.name, other_way[0], "{column:?}");
        }
    }

    #[test]
    fn equal_rows_are_ordered_by_their_wait_then_their_hold_then_their_name() {
        let sort = Sort::by(Column::Holder);
        let mut rows =
            [row("d", "x", 1.0, &[]), row("c", "x", 1.0, &[]), row("b", "x", 9.0, &[]), row("e", "x", 1.0, &[3.0])];
        rows.sort_by(|one, other| sort.compare(one, other));
        assert_eq!(names(&rows), "e b c d");
    }

    #[test]
    fn the_first_of_many_rows_are_kept_whatever_their_order() {
        let mut random = fastrand::Rng::with_seed(7);
        for sort in [Sort::by(Column::Longest), Sort::by(Column::Lock)] {
            let mut all: Vec<Row> = (0..1000)
                .map(|number| row(&format!("{number:04}"), "x", 1.0, &[f64::from(random.u32(0..400))]))
                .collect();
            let mut first = First::new(sort, 30);
            for row in &all {
                first.add(row.clone());
                assert!(first.rows.len() < 60);
            }
            all.sort_by(|one, other| sort.compare(one, other));
            assert_eq!(first.sorted(), all[..30]);
        }
    }

    #[test]
    fn a_lock_on_two_pages_has_one_row_with_the_later_state() {
        for sort in [Sort::by(Column::Longest), Sort::by(Column::Held)] {
            let mut first = First::new(sort, 2);
            for row in [row("a", "x", 9.0, &[8.0]), row("b", "x", 5.0, &[]), row("a", "y", 0.1, &[])] {
                first.add(row);
            }
            let rows = first.sorted();
            assert_eq!(names(&rows), "b a");
            assert_eq!(rows[1].holder_text(), "y");
        }
    }

    #[test]
    fn the_same_hold_and_wait_keep_their_times_and_others_do_not() {
        let before = row("a", "x", 10.0, &[5.0]);
        for (holder, held_for, waited_for, expected) in
            [("x", 9.999, 5.001, (-10.0, -5.0)), ("y", 9.999, 5.001, (-9.999, -5.0)), ("x", 9.9, 4.9, (-9.9, -4.9))]
        {
            let mut row = row("a", holder, held_for, &[waited_for]);
            row.keep_times(&before);
            assert_eq!((row.held_since(), row.waited_since.unwrap()), expected);
        }
    }

    #[test]
    fn the_same_silence_keeps_its_time_and_another_does_not() {
        let before = silent(row("a", "x", 10.0, &[]), 4.0);
        for (silent_for, expected) in [(4.001, -4.0), (3.9, -3.9)] {
            let mut row = silent(row("a", "x", 10.0, &[]), silent_for);
            row.keep_times(&before);
            assert_eq!(row.silent_since(), expected);
        }
    }

    #[test]
    fn a_filter_matches_locks_holders_and_clients_ignoring_case() {
        let row = row("Boss:17", "10.0.0.9", 1.0, &[]);
        for (text, takes) in [("", true), ("boss", true), ("0.9", true), ("CLIENT OF", true), ("mail", false)] {
            assert_eq!(Filter::new(text).takes(&row), takes, "{text}");
        }
    }
}
