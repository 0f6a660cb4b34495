//! What is counted during a measurement.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::hand_overs::{Grants, HandOvers};
use super::latency::latencies;

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// Pairs, or whatever the workload counts.
    pub(super) operations: u64,
    /// How long each took, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// The time from each grant of a lock to the next, for workloads that hand locks around.
    pub(super) hand_overs: Option<HandOvers>,
    /// When each lock was granted, if other processes have the same locks.
    pub(super) grants: Option<Grants>,
    /// How TLS began on connections that are made during the measurement, if it did.
    pub(super) handshakes: Option<Handshakes>,
    is_open: bool,
    /// Wrong answers, and the first of them. They don't count as operations.
    pub(super) wrong: Failures,
    /// Connections that were lost.
    pub(super) lost: Failures,
}

/// TLS handshakes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Handshakes {
    pub(super) full: u64,
    /// Those that have resumed the session of an earlier connection.
    pub(super) resumed: u64,
}

/// Events that should not happen, with their number and the first of them.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u64,
    pub(super) first: Option<String>,
}

impl Failures {
    pub(super) fn add(&mut self, what: impl Into<String>) {
        self.count += 1;
        self.first.get_or_insert_with(|| what.into());
    }
}

impl Handshakes {
    pub(super) fn to_json(self) -> Value {
        json!({ "full": self.full, "resumed": self.resumed })
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Tally {
            operations: 0,
            latency: latencies(),
            hand_overs: None,
            grants: None,
            handshakes: None,
            is_open: true,
            wrong: Failures::default(),
            lost: Failures::default(),
        }
    }

    /// Operations that were begun together and are done together.
    pub(super) fn done(&mut self, count: u64, nanos: u64) {
        if self.is_open {
            self.operations += count;
            self.latency.saturating_record_n(nanos, count);
        }
    }

    /// A TLS handshake was made.
    pub(super) fn shaken_hands(&mut self, is_resumed: bool) {
        if self.is_open {
            let Handshakes { full, resumed } = self.handshakes.get_or_insert_default();
            *(if is_resumed { resumed } else { full }) += 1;
        }
    }

    /// A lock was granted. Its holder hands it on at once.
    pub(super) fn granted(&mut self, lock: usize, now: u64) {
        if !self.is_open {
            return;
        }
        if let Some(hand_overs) = &mut self.hand_overs {
            hand_overs.granted(lock, now);
        }
        if let Some(grants) = &mut self.grants {
            grants.granted(lock, now);
        }
    }

    /// Forgets what was done during the warm-up, except failures.
    pub(super) fn begin(&mut self, now: u64) {
        self.operations = 0;
        self.latency.reset();
        self.handshakes = self.handshakes.map(|_| Handshakes::default());
        if let Some(hand_overs) = &mut self.hand_overs {
            hand_overs.latency.reset();
        }
        if let Some(grants) = &mut self.grants {
            grants.begin(now);
        }
    }

    /// For another process to [add](Tally::add_all).
    pub(super) fn to_json(&self) -> Value {
        let recorded = self.latency.iter_recorded();
        let latency: Vec<_> = recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        let failures = |failures: &Failures| json!({ "count": failures.count, "first": failures.first });
        let (wrong, lost) = (failures(&self.wrong), failures(&self.lost));
        let grants = self.grants.as_ref().map(Grants::to_json);
        let handshakes = self.handshakes.map(Handshakes::to_json);
        json!({
            "operations": self.operations, "latency": latency, "wrong": wrong, "lost": lost, "grants": grants,
            "handshakes": handshakes,
        })
    }

    /// Adds what other processes have counted.
    pub(super) fn add_all(&mut self, others: &[Value]) {
        others.iter().for_each(|other| self.add(other));
        if let Some(hand_overs) = &mut self.hand_overs {
            let grants: Vec<Grants> = others.iter().filter_map(|other| Grants::from_json(&other["grants"])).collect();
            hand_overs.add(&grants);
        }
    }

    fn add(&mut self, other: &Value) {
        self.operations += other["operations"].as_u64().unwrap_or(0);
        for step in other["latency"].as_array().into_iter().flatten() {
            if let (Some(nanos), Some(count)) = (step[0].as_u64(), step[1].as_u64()) {
                self.latency.saturating_record_n(nanos, count);
            }
        }
        if let [Some(full), Some(resumed)] = ["full", "resumed"].map(|kind| other["handshakes"][kind].as_u64()) {
            let sum = self.handshakes.get_or_insert_default();
            (sum.full, sum.resumed) = (sum.full + full, sum.resumed + resumed);
        }
        for (failures, other) in [(&mut self.wrong, &other["wrong"]), (&mut self.lost, &other["lost"])] {
            failures.count += other["count"].as_u64().unwrap_or(0);
            if failures.first.is_none() {
                failures.first = other["first"].as_str().map(str::to_owned);
            }
        }
    }

    /// What is done from now on is not counted.
    pub(super) fn end(&mut self, now: u64) {
        self.is_open = false;
        if let Some(grants) = &mut self.grants {
            grants.end(now);
        }
    }
}
