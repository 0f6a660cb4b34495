//! The numbers of a server, as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::client::{Histogram, HotLock, Stats};
use crate::console::shown::{Count, Shown, Span};

/// The percentiles that are shown, in thousandths, and their heads.
const PERCENTILES: [(u64, &str); 4] = [(500, "50%"), (900, "90%"), (990, "99%"), (999, "99.9%")];

/// The table, and how much changed since an earlier one.
pub(super) fn table(stats: &Stats, before: Option<&Stats>) -> String {
    let mut text = String::new();
    for (name, value) in now(stats) {
        row(&mut text, name, &Count(value).to_string(), None);
    }
    row(&mut text, "longest_turn", &short(stats.longest_turn), None);
    text.push('\n');
    // After a restart it counts from 0 again.
    let before = before.map(|before| if before.uptime < stats.uptime { before.clone() } else { Stats::default() });
    let elapsed = before.as_ref().map(|before| elapsed(before.uptime, stats.uptime));
    row(&mut text, "", "TOTAL", before.as_ref().map(|_| "PER SECOND".to_owned()));
    let then = before.clone().unwrap_or_default();
    for ((name, value), (_, earlier)) in counted(stats).into_iter().zip(counted(&then)) {
        row(&mut text, name, &Count(value).to_string(), rate(value, earlier, elapsed));
    }
    for (group, counts, earlier) in [
        ("requests", &stats.requests, &then.requests),
        ("errors", &stats.errors, &then.errors),
        ("disconnects", &stats.disconnects, &then.disconnects),
    ] {
        rows_of(&mut text, group, counts, earlier, elapsed);
    }
    text.push('\n');
    let heads = ["COUNT", "MEAN"].into_iter().chain(PERCENTILES.map(|(_, head)| head));
    times(&mut text, "", heads.map(str::to_owned));
    for (name, histogram, earlier) in [("wait", &stats.wait, &then.wait), ("hold", &stats.hold, &then.hold)] {
        times(&mut text, name, cells(&since(histogram, earlier)).into_iter());
    }
    if !stats.hottest.is_empty() {
        let _ = writeln!(text, "\n{:>10} {:>10}  HOTTEST", "WAITED", "WAITS");
    }
    for HotLock { name, waited, waits } in &stats.hottest {
        let _ = writeln!(text, "{:>10} {:>10}  {}", short(*waited), Count(*waits).to_string(), Shown(name));
    }
    text
}

fn now(stats: &Stats) -> [(&'static str, u64); 9] {
    [
        ("connections", stats.connections),
        ("strangers", stats.strangers),
        ("sessions", stats.sessions),
        ("detached_sessions", stats.detached_sessions),
        ("locks", stats.locks),
        ("holds", stats.holds),
        ("waiters", stats.waiters),
        ("closed_locks", stats.closed_locks),
        ("watchers", stats.watchers),
    ]
}

fn counted(stats: &Stats) -> [(&'static str, u64); 15] {
    [
        ("grants", stats.grants),
        ("releases", stats.releases),
        ("timeouts", stats.timeouts),
        ("queue_maxed", stats.queue_maxed),
        ("expiries", stats.expiries),
        ("revocations", stats.revocations),
        ("transfers", stats.transfers),
        ("deadlocks", stats.deadlocks),
        ("resumptions", stats.resumptions),
        ("sessions_ended", stats.sessions_ended),
        ("received_bytes", stats.received_bytes),
        ("sent_bytes", stats.sent_bytes),
        ("events_sent", stats.events_sent),
        ("events_missed", stats.events_missed),
        ("turns", stats.turns),
    ]
}

fn rows_of(
    text: &mut String,
    group: &str,
    counts: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
    elapsed: Option<Duration>,
) {
    for (name, value) in counts.iter().filter(|(_, value)| **value > 0) {
        let earlier = before.get(name).copied().unwrap_or(0);
        let label = format!("{group} {}", Shown(name));
        row(text, &label, &Count(*value).to_string(), rate(*value, earlier, elapsed));
    }
}

fn row(text: &mut String, name: &str, value: &str, rate: Option<String>) {
    let _ = write!(text, "{name:<32} {value:>20}");
    if let Some(rate) = rate {
        let _ = write!(text, " {rate:>14}");
    }
    text.push('\n');
}

/// The time between two points of a server's uptime.
fn elapsed(before: f64, now: f64) -> Duration {
    Duration::try_from_secs_f64(now - before).unwrap_or_default().max(Duration::from_millis(1))
}

/// Per second.
fn rate(value: u64, before: u64, elapsed: Option<Duration>) -> Option<String> {
    let added = u128::from(value.saturating_sub(before));
    let tenths = |elapsed: Duration| u64::try_from(added * 10_000 / elapsed.as_millis()).unwrap_or(u64::MAX);
    Some(match tenths(elapsed?) {
        tenths @ ..1000 => format!("{}.{}", tenths / 10, tenths % 10),
        tenths => Count(tenths / 10).to_string(),
    })
}

fn times(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(text, "{name:<4}");
    for (index, cell) in cells.enumerate() {
        // A count may be long.
        let width = if index == 0 { 16 } else { 9 };
        let _ = write!(text, " {cell:>width$}");
    }
    text.push('\n');
}

/// What has been added to an earlier state.
fn since(histogram: &Histogram, before: &Histogram) -> Histogram {
    let mut added = histogram.clone();
    if before.bounds == histogram.bounds {
        added.sum -= before.sum;
        for (count, before) in added.counts.iter_mut().zip(&before.counts) {
            *count = count.saturating_sub(*before);
        }
    }
    added
}

fn cells(histogram: &Histogram) -> Vec<String> {
    let count: u64 = histogram.counts.iter().sum();
    let mean = if count > 0 { short(histogram.sum / count as f64) } else { "-".to_owned() };
    let percentiles = PERCENTILES.iter().map(|(thousandths, _)| percentile(histogram, count, *thousandths));
    [Count(count).to_string(), mean].into_iter().chain(percentiles).collect()
}

/// The bound that this share of them does not exceed.
fn percentile(histogram: &Histogram, count: u64, thousandths: u64) -> String {
    let wanted = count.saturating_mul(thousandths).div_ceil(1000).max(1);
    let mut so_far = 0;
    let found = histogram.counts.iter().position(|count| {
        so_far += count;
        so_far >= wanted
    });
    let Some(found) = found else { return "-".to_owned() };
    match (histogram.bounds.get(found), histogram.bounds.last()) {
        (Some(bound), _) => short(*bound),
        (None, Some(last)) => format!(">{}", short(*last)),
        (None, None) => "-".to_owned(),
    }
}

/// A time that may be far below a second.
fn short(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0}us", seconds * 1e6),
        ..0.01 => format!("{:.1}ms", seconds * 1e3),
        ..1.0 => format!("{:.0}ms", seconds * 1e3),
        _ => Span::of_seconds(seconds).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: [u64; 4], sum: f64) -> Histogram {
        Histogram { bounds: vec![0.0001, 0.01, 1.0], counts: counts.to_vec(), sum }
    }

    #[test]
    fn percentiles_are_the_bounds_that_are_not_exceeded() {
        for (counts, expected) in [
            ([0, 0, 0, 0], ["0", "-", "-", "-", "-", "-"]),
            ([1, 0, 0, 0], ["1", "2.0s", "100us", "100us", "100us", "100us"]),
            ([50, 40, 9, 1], ["100", "20ms", "100us", "10ms", "1.0s", ">1.0s"]),
            ([1, 1, 0, 0], ["2", "1.0s", "100us", "10ms", "10ms", "10ms"]),
            ([0, 0, 0, 3], ["3", "667ms", ">1.0s", ">1.0s", ">1.0s", ">1.0s"]),
        ] {
            assert_eq!(cells(&histogram(counts, 2.0)), expected);
        }
        assert_eq!(cells(&Histogram::default()), ["0", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        for (seconds, shown) in
            [(0.0, "0us"), (0.000_25, "250us"), (0.0015, "1.5ms"), (0.25, "250ms"), (2.5, "2.5s"), (75.0, "1m15s")]
        {
            assert_eq!(short(seconds), shown);
        }
    }

    fn stats(uptime: f64, grants: u64, locks: u64, wait: Histogram) -> Stats {
        let requests = [("lock".to_owned(), locks), ("ping".to_owned(), 0)].into();
        Stats { uptime, grants, requests, wait, ..Stats::default() }
    }

    /// The cells of the line that begins so.
    fn line<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        let found = table.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("{name:?} in {table}")).split_whitespace().collect()
    }

    #[test]
    fn rates_and_times_are_about_the_time_since_the_table_before() {
        let before = stats(10.0, 1000, 7, histogram([1, 0, 0, 0], 1.0));
        let after = stats(14.0, 3000, 9, histogram([1, 0, 2, 0], 3.0));
        let first = table(&before, None);
        assert!(!first.contains("PER SECOND") && !first.contains("ping"), "{first}");
        assert_eq!((line(&first, "grants "), line(&first, "requests lock ")), (vec!["1,000"], vec!["7"]));
        let second = table(&after, Some(&before));
        assert_eq!(line(&second, "grants "), ["3,000", "500"]);
        assert_eq!(line(&second, "requests lock "), ["9", "0.5"]);
        assert_eq!(line(&second, "wait "), ["2", "1.0s", "1.0s", "1.0s", "1.0s", "1.0s"]);
        // The server was restarted.
        let third = table(&stats(2.0, 10, 1, histogram([0, 1, 0, 0], 0.5)), Some(&after));
        assert_eq!(line(&third, "grants "), ["10", "5.0"]);
        assert_eq!(line(&third, "wait ")[0], "1");
    }
}
