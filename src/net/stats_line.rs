//! What `--stats` logs.

use std::time::Duration;

use crate::engine::Stats;
use crate::time::Moment;

/// How often it is logged.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// The line of statistics, as the original logs it.
#[derive(Debug)]
pub(super) struct StatsLine {
    /// When it is logged next.
    pub(super) due: Moment,
    acquires: u64,
    since: Moment,
}

impl Default for StatsLine {
    fn default() -> Self {
        StatsLine { due: Moment::START.after(STATS_INTERVAL.into()), acquires: 0, since: Moment::START }
    }
}

impl StatsLine {
    /// Logs it if it is due.
    pub(super) fn log_if_due(&mut self, now: Moment, stats: Stats, connections: usize) {
        if now < self.due {
            return;
        }
        let acquires = stats.acquires - self.acquires;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = acquires as f64 / (now.since(self.since).as_nanos() as f64 / 1e9);
        log::info!(
            "{} locks held, {} waiters, {connections} connections, {per_second:.1} acquires per second",
            stats.held,
            stats.waiting
        );
        *self = StatsLine { due: now.after(STATS_INTERVAL.into()), acquires: stats.acquires, since: now };
    }
}
