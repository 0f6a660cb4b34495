//! Hand-overs of locks, within one process or among several.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::latency::latencies;

/// The number of grants kept by all processes together: the first 20 s of a hundred thousand per second.
const GRANTS_MAX: usize = 2_000_000;

/// The time from each grant of a lock to the next.
#[derive(Debug)]
pub(super) struct HandOvers {
    pub(super) latency: Histogram<u64>,
    /// When each lock was granted last.
    granted_at: Vec<Option<u64>>,
}

impl HandOvers {
    pub(super) fn new(locks: usize) -> Self {
        HandOvers { latency: latencies(), granted_at: vec![None; locks] }
    }

    pub(super) fn granted(&mut self, lock: usize, now: u64) {
        if let Some(then) = self.granted_at[lock].replace(now) {
            self.latency.saturating_record(now - then);
        }
    }

    /// Merges what several processes have seen, as far as none of them has missed a grant. A process reads the clock,
    /// which all share, before it hands on a lock, so the order by time is the order of the grants.
    pub(super) fn add(&mut self, processes: &[Grants]) {
        let from = processes.iter().map(|grants| grants.from).max().unwrap_or(0);
        let until = processes.iter().map(|grants| grants.until).min().unwrap_or(0);
        for lock in 0..self.granted_at.len() {
            let all = processes.iter().filter_map(|grants| grants.at.get(lock)).flatten().copied();
            let mut all: Vec<u64> = all.filter(|at| (from..until).contains(at)).collect();
            all.sort_unstable();
            for at in all {
                self.granted(lock, at);
            }
        }
    }
}

/// All grants that one of several processes has seen. The next grant of a lock may be in another process.
#[derive(Debug, PartialEq)]
pub(super) struct Grants {
    /// For each lock, in order.
    at: Vec<Vec<u64>>,
    /// No grant is missing from the first moment to the second.
    from: u64,
    until: u64,
    /// How many more will be kept.
    room: usize,
}

impl Grants {
    /// For one of this many processes.
    pub(super) fn new(locks: usize, processes: usize) -> Self {
        Grants { at: vec![Vec::new(); locks], from: 0, until: u64::MAX, room: GRANTS_MAX / processes }
    }

    pub(super) fn granted(&mut self, lock: usize, now: u64) {
        if self.room == 0 {
            self.end(now);
            return;
        }
        self.room -= 1;
        self.at[lock].push(now);
    }

    /// Forgets the earlier ones.
    pub(super) fn begin(&mut self, now: u64) {
        self.from = now;
        self.until = u64::MAX;
        for at in &mut self.at {
            self.room += at.len();
            at.clear();
        }
    }

    /// Later ones are not kept.
    pub(super) fn end(&mut self, now: u64) {
        self.until = self.until.min(now);
    }

    /// For another process. Except for the first grant of a lock, each is stored as the time since the previous one,
    /// which is shorter.
    pub(super) fn to_json(&self) -> Value {
        let steps = |at: &Vec<u64>| -> Value {
            let before = std::iter::once(&0).chain(at);
            at.iter().zip(before).map(|(now, then)| now - then).collect()
        };
        json!({ "at": self.at.iter().map(steps).collect::<Value>(), "from": self.from, "until": self.until })
    }

    /// What another process has seen, if it has kept any.
    pub(super) fn from_json(json: &Value) -> Option<Grants> {
        let times = |steps: &Value| -> Option<Vec<u64>> {
            let mut now = 0;
            let steps = steps.as_array()?.iter();
            steps.map(|step| step.as_u64().map(|step| (now += step, now).1)).collect()
        };
        let at = json["at"].as_array()?.iter().map(times).collect::<Option<_>>()?;
        Some(Grants { at, from: json["from"].as_u64()?, until: json["until"].as_u64()?, room: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(from: u64, until: u64, at: &[&[u64]]) -> Grants {
        Grants { at: at.iter().map(|at| at.to_vec()).collect(), from, until, room: 0 }
    }

    /// The measured values, with their counts.
    fn measured(processes: &[Grants]) -> Vec<(u64, u64)> {
        let mut hand_overs = HandOvers::new(2);
        hand_overs.add(processes);
        hand_overs.latency.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    #[test]
    fn a_hand_over_goes_from_one_process_to_another() {
        let all = [grants(0, u64::MAX, &[&[100, 130], &[]]), grants(0, u64::MAX, &[&[110], &[105, 145]])];
        assert_eq!(measured(&all), [(10, 1), (20, 1), (40, 1)]);
    }

    #[test]
    fn only_what_all_have_seen_is_measured() {
        let all = [grants(100, 200, &[&[101, 110, 150, 199], &[]]), grants(105, 160, &[&[112, 155], &[]])];
        assert_eq!(measured(&all), [(2, 1), (5, 1), (38, 1)]);
    }

    #[test]
    fn another_process_reads_what_was_seen() {
        let all = grants(7, u64::MAX, &[&[100, 100, 250], &[], &[1]]);
        let text = all.to_json().to_string();
        assert_eq!(Grants::from_json(&serde_json::from_str(&text).unwrap()), Some(all));
        assert_eq!(Grants::from_json(&Value::Null), None);
    }

    #[test]
    fn grants_beyond_the_limit_are_missing() {
        let mut grants = Grants::new(1, GRANTS_MAX / 2);
        grants.granted(0, 1);
        grants.begin(2);
        for now in 3..10 {
            grants.granted(0, now);
        }
        assert_eq!((grants.at, grants.from, grants.until), (vec![vec![3, 4]], 2, 5));
    }
}
