//! Locks and what is measured of them: lists and plain loops.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draw::PREFIXES;

/// What is told about is this half minute and the one before it.
const HALF: u128 = 30_000_000_000;
/// Names that are told.
const ROWS: usize = 32;
/// With no more names than this nothing is left out.
const COUNTERS: usize = 256;
/// The buckets of the metrics.
const BOUNDS: [(&str, u128); 11] = [
    ("0.0001", 100_000),
    ("0.001", 1_000_000),
    ("0.005", 5_000_000),
    ("0.025", 25_000_000),
    ("0.1", 100_000_000),
    ("0.5", 500_000_000),
    ("2.5", 2_500_000_000),
    ("10", 10_000_000_000),
    ("60", 60_000_000_000),
    ("300", 300_000_000_000),
    ("3600", 3_600_000_000_000),
];

#[derive(Debug)]
struct Hold {
    client: usize,
    since: Duration,
    is_shared: bool,
    is_reported: bool,
}

#[derive(Debug)]
struct Wait {
    client: usize,
    since: Duration,
    is_shared: bool,
    until: Option<Duration>,
}

#[derive(Debug, Default)]
struct Lock {
    holders: Vec<Hold>,
    waiters: Vec<Wait>,
    /// When it is looked next whether the oldest hold is slow: while somebody waits.
    look: Option<Duration>,
}

#[derive(Debug)]
struct Waiting {
    name: String,
    since: Duration,
    until: Option<Duration>,
}

/// Names with nanoseconds of waiting, and how many have begun to.
pub(crate) type Waited = BTreeMap<String, (u128, u64)>;

/// One row of the listing: holders, waiters.
pub(crate) type Row = (Vec<usize>, Vec<usize>);

#[derive(Debug)]
pub(crate) struct Locks {
    pub(crate) now: Duration,
    slow_hold: Duration,
    locks: BTreeMap<String, Lock>,
    waits: Vec<(String, u128)>,
    holds: Vec<(String, u128)>,
    timeouts: Vec<String>,
    slow_holds: usize,
    revocations: usize,
    waiting: Vec<Waiting>,
}

impl Locks {
    pub(crate) fn new(slow_hold: Duration) -> Self {
        Locks {
            now: Duration::ZERO,
            slow_hold,
            locks: BTreeMap::new(),
            waits: Vec::new(),
            holds: Vec::new(),
            timeouts: Vec::new(),
            slow_holds: 0,
            revocations: 0,
            waiting: Vec::new(),
        }
    }

    pub(crate) fn has(&self, name: &str, client: usize) -> bool {
        self.locks.get(name).is_some_and(|lock| {
            lock.holders.iter().any(|hold| hold.client == client)
                || lock.waiters.iter().any(|wait| wait.client == client)
        })
    }

    pub(crate) fn has_any(&self, prefix: &str) -> bool {
        self.locks.keys().any(|name| name.starts_with(prefix))
    }

    pub(crate) fn lock(&mut self, name: &str, client: usize, is_shared: bool, timeout: Option<Duration>) {
        let now = self.now;
        let lock = self.locks.entry(name.to_owned()).or_default();
        let fits = lock.waiters.is_empty() && lock.holders.iter().all(|hold| hold.is_shared && is_shared);
        if fits {
            lock.holders.push(Hold { client, since: now, is_shared, is_reported: false });
            self.waits.push((name.to_owned(), 0));
        } else if timeout == Some(Duration::ZERO) {
            self.timeouts.push(name.to_owned());
        } else {
            lock.waiters.push(Wait { client, since: now, is_shared, until: timeout.map(|timeout| now + timeout) });
            lock.look = lock.look.or_else(|| Some((lock.holders[0].since + self.slow_hold).max(now)));
            self.waiting.push(Waiting { name: name.to_owned(), since: now, until: None });
        }
        self.look();
    }

    /// A client gives up its hold, or its place in the queue.
    pub(crate) fn unlock(&mut self, name: &str, client: usize) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        if let Some(index) = lock.holders.iter().position(|hold| hold.client == client) {
            let hold = lock.holders.remove(index);
            self.holds.push((name.to_owned(), (self.now - hold.since).as_nanos()));
        } else if let Some(index) = lock.waiters.iter().position(|wait| wait.client == client) {
            let wait = lock.waiters.remove(index);
            self.end_waiting(name, wait.since);
        }
        self.settle(name);
        self.look();
    }

    /// A client is gone, or has given up everything.
    pub(crate) fn reset(&mut self, client: usize) {
        let names: Vec<String> = self.locks.keys().cloned().collect();
        names.iter().for_each(|name| self.unlock(name, client));
    }

    /// Whether anybody had it.
    pub(crate) fn revoke(&mut self, name: &str) -> bool {
        let holders = self.locks.get(name).map_or(&[][..], |lock| &lock.holders);
        let clients: Vec<usize> = holders.iter().map(|hold| hold.client).collect();
        // All at once: nobody is granted between two of them.
        let waiters = self.locks.get_mut(name).map(|lock| std::mem::take(&mut lock.waiters));
        let look = self.locks.get(name).and_then(|lock| lock.look);
        clients.iter().for_each(|client| self.unlock(name, *client));
        self.revocations += clients.len();
        if let Some(waiters) = waiters.filter(|waiters| !waiters.is_empty()) {
            let lock = self.locks.entry(name.to_owned()).or_default();
            (lock.waiters, lock.look) = (waiters, look);
            self.settle(name);
            self.look();
        }
        !clients.is_empty()
    }

    fn end_waiting(&mut self, name: &str, since: Duration) {
        let is_it = |waiting: &&mut Waiting| waiting.name == name && waiting.since == since && waiting.until.is_none();
        self.waiting.iter_mut().find(is_it).expect("it waits").until = Some(self.now);
    }

    /// Grants in the order of arrival to those who fit.
    fn settle(&mut self, name: &str) {
        let lock = self.locks.get_mut(name).expect("it exists");
        let mut granted = Vec::new();
        while let Some(first) = lock.waiters.first() {
            if !lock.holders.iter().all(|hold| hold.is_shared && first.is_shared) {
                break;
            }
            let Wait { client, since, is_shared, .. } = lock.waiters.remove(0);
            lock.holders.push(Hold { client, since: self.now, is_shared, is_reported: false });
            granted.push(since);
        }
        if lock.waiters.is_empty() {
            lock.look = None;
        }
        if lock.holders.is_empty() && lock.waiters.is_empty() {
            self.locks.remove(name);
        }
        for since in granted {
            self.waits.push((name.to_owned(), (self.now - since).as_nanos()));
            self.end_waiting(name, since);
        }
    }

    /// Looks for slow holds where it is time to.
    fn look(&mut self) {
        for lock in self.locks.values_mut().filter(|lock| lock.look.is_some_and(|look| look <= self.now)) {
            let hold = lock.holders.first_mut().expect("what is waited for is held");
            let slow_at = hold.since + self.slow_hold;
            lock.look = Some(if slow_at > self.now { slow_at } else { self.now + self.slow_hold });
            if slow_at <= self.now && !std::mem::replace(&mut hold.is_reported, true) {
                self.slow_holds += 1;
            }
        }
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let times =
                self.locks.values().flat_map(|lock| lock.waiters.iter().filter_map(|wait| wait.until).chain(lock.look));
            let Some(next) = times.min().filter(|next| *next <= end) else { break };
            self.now = next;
            let is_over = |wait: &&Wait| wait.until.is_some_and(|until| until <= next);
            let over: Vec<(String, usize)> = self
                .locks
                .iter()
                .flat_map(|(name, lock)| lock.waiters.iter().filter(is_over).map(|wait| (name.clone(), wait.client)))
                .collect();
            for (name, client) in over {
                self.timeouts.push(name.clone());
                self.unlock(&name, client);
            }
            self.look();
        }
        self.now = end;
        let half = self.now.as_nanos() / HALF;
        self.waiting.retain(|waiting| waiting.until.is_none_or(|until| until.as_nanos() / HALF + 1 >= half));
    }

    pub(crate) fn rows(&self, is_shown: impl Fn(&str) -> bool) -> BTreeMap<String, Row> {
        let shown = self.locks.iter().filter(|(name, _)| is_shown(name));
        let row = |lock: &Lock| {
            let holders = lock.holders.iter().map(|hold| hold.client).collect();
            (holders, lock.waiters.iter().map(|wait| wait.client).collect())
        };
        shown.map(|(name, lock)| (name.clone(), row(lock))).collect()
    }

    /// What the metrics say of locks: each sample with its value.
    pub(crate) fn samples(&self) -> BTreeMap<String, String> {
        let held: usize = self.locks.values().map(|lock| lock.holders.len()).sum();
        let waiters: usize = self.locks.values().map(|lock| lock.waiters.len()).sum();
        let contended = self.locks.values().filter(|lock| !lock.waiters.is_empty()).count();
        let mut samples: BTreeMap<String, String> = [
            ("officer_locks", self.locks.len()),
            ("officer_locks_held", held),
            ("officer_locks_contended", contended),
            ("officer_locks_closed", 0),
            ("officer_waiters", waiters),
            ("officer_grants_total", self.waits.len()),
            ("officer_releases_total", self.holds.len()),
            ("officer_timeouts_total", self.timeouts.len()),
            ("officer_slow_holds_total", self.slow_holds),
            ("officer_revocations_total", self.revocations),
        ]
        .map(|(name, count)| (name.to_owned(), count.to_string()))
        .into();
        add_histogram(&mut samples, "officer_lock_wait_seconds", "", self.waits.iter().map(|(_, nanos)| *nanos));
        add_histogram(&mut samples, "officer_lock_hold_seconds", "", self.holds.iter().map(|(_, nanos)| *nanos));
        for prefix in PREFIXES {
            let label = format!("prefix=\"{prefix}\"");
            let of = |spans: &[(String, u128)]| -> Vec<u128> {
                spans.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, nanos)| *nanos).collect()
            };
            add_histogram(&mut samples, "officer_prefix_wait_seconds", &label, of(&self.waits).into_iter());
            add_histogram(&mut samples, "officer_prefix_hold_seconds", &label, of(&self.holds).into_iter());
            let timeouts = self.timeouts.iter().filter(|name| name.starts_with(prefix)).count();
            samples.insert(format!("officer_prefix_timeouts_total{{{label}}}"), timeouts.to_string());
        }
        samples
    }

    /// For how long each name was waited for in this half minute and the one before it, and by how many who began to.
    pub(crate) fn waited(&self) -> Waited {
        let now = self.now.as_nanos();
        let from = (now / HALF * HALF).saturating_sub(HALF);
        let mut waited = Waited::new();
        for waiting in &self.waiting {
            let (since, until) = (waiting.since.as_nanos(), waiting.until.map_or(now, |until| until.as_nanos()));
            let (time, count) = waited.entry(waiting.name.clone()).or_default();
            *time += until.saturating_sub(since.max(from));
            *count += u64::from(since >= from);
        }
        waited.retain(|_, (time, _)| *time > 0);
        waited
    }
}

/// Whether there are no more names than counters.
pub(crate) fn is_exact(waited: &Waited) -> bool {
    waited.len() <= COUNTERS
}

/// Compares the hottest locks as they are told with what they should be.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn check_hottest(exact: &Waited, told: &[(String, u128, u64)]) -> Result<(), String> {
    if is_exact(exact) {
        let mut rows: Vec<_> = exact.iter().map(|(name, (waited, waits))| (name.clone(), *waited, *waits)).collect();
        rows.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        rows.truncate(ROWS);
        return if told == rows { Ok(()) } else { Err(format!("the hottest are {told:?}, not {rows:?}")) };
    }
    let error = exact.values().map(|(waited, _)| waited).sum::<u128>() / COUNTERS as u128;
    for (name, waited, waits) in told {
        let (most, most_waits) = exact.get(name).copied().unwrap_or((0, 0));
        if *waited > most || most > waited + error || *waits > most_waits {
            return Err(format!("{name} is told as {waited} and {waits}, and is {most} and {most_waits} ± {error}"));
        }
    }
    let least = told.last().map_or(0, |row| row.1);
    let is_told = |name: &String| told.iter().any(|row| row.0 == *name);
    match exact.iter().find(|(name, (waited, _))| *waited > least + error && !is_told(name)) {
        Some((name, (waited, _))) => Err(format!("{name} was waited for {waited} ± {error}, and is not told")),
        None if told.len() != ROWS => Err(format!("{} locks are told", told.len())),
        None if told.is_sorted_by(|one, other| one.1 >= other.1) => Ok(()),
        None => Err("the hottest are not in their order".to_owned()),
    }
}

/// As the metrics show it.
pub(crate) fn seconds(nanos: u128) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn add_histogram(
    samples: &mut BTreeMap<String, String>,
    name: &str,
    label: &str,
    nanos: impl Iterator<Item = u128> + Clone,
) {
    let comma = if label.is_empty() { "" } else { "," };
    for (bound, limit) in BOUNDS.into_iter().chain([("+Inf", u128::MAX)]) {
        let count = nanos.clone().filter(|nanos| *nanos <= limit).count();
        samples.insert(format!("{name}_bucket{{{label}{comma}le=\"{bound}\"}}"), count.to_string());
    }
    let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
    samples.insert(format!("{name}_sum{braces}"), seconds(nanos.clone().sum()));
    samples.insert(format!("{name}_count{braces}"), nanos.count().to_string());
}
