//! The results, for people and for programs.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::drive::Spent;
use super::process;
use super::script::Fields;
use super::tally::Tally;
use super::{BenchError, Failure};

/// Above this share of its CPU, the load generator may be the bottleneck.
const BUSY: f64 = 0.95;

/// The results. The lines for people are in the order in which they were added.
#[derive(Debug)]
pub(super) struct Report {
    figures: Map<String, Value>,
    lines: Vec<String>,
    fault: Option<BenchError>,
    is_generator_the_limit: bool,
}

impl Report {
    pub(super) fn new(workload: &str) -> Self {
        let mut figures = Map::new();
        figures.insert("workload".into(), workload.into());
        Report { figures, lines: Vec::new(), fault: None, is_generator_the_limit: false }
    }

    /// A figure only for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.into(), value.into());
        self
    }

    /// What the requests have besides their locks, for programs.
    pub(super) fn with_fields(self, Fields { id, owner, fence }: Fields) -> Self {
        self.with("id", id).with("owner", owner).with("fence", fence)
    }

    /// A line only for people.
    pub(super) fn line(mut self, name: &str, text: String) -> Self {
        self.lines.push(format!("{name:<12} {text}"));
        self
    }

    /// Pairs of lock and unlock, and what they cost.
    pub(super) fn with_pairs(self, tally: &Tally, spent: Spent, server: Option<u32>) -> Self {
        let seconds = spent.time.as_secs_f64();
        let rate = tally.operations as f64 / seconds.max(1e-9);
        let mut report = self
            .with("seconds", seconds)
            .with("interrupted", spent.is_interrupted)
            .with("pairs", tally.operations)
            .with("pairs_per_second", rate)
            .line("throughput", format!("{rate:.0} pairs per second ({} in {seconds:.2} s)", tally.operations))
            .with_latency("latency", &tally.latency);
        if let Some(hand_overs) = &tally.hand_overs {
            report = report.with_latency("hand_over", &hand_overs.latency).with("hand_overs", hand_overs.latency.len());
        }
        if let Some(handshakes) = tally.handshakes {
            let text = format!("{} full, {} resumed", handshakes.full, handshakes.resumed);
            report = report.line("handshakes", text).with("handshakes", handshakes.to_json());
        }
        report.with_processes(tally.operations, spent, server).with_failures(tally)
    }

    /// The percentiles of a histogram of nanoseconds, unless it is empty.
    pub(super) fn with_latency(self, name: &str, latency: &Histogram<u64>) -> Self {
        let key = format!("{name}_us");
        if latency.is_empty() {
            return self.with(&key, Value::Null);
        }
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let [p50, p99, p99_9] = [0.5, 0.99, 0.999].map(|quantile| micros(latency.value_at_quantile(quantile)));
        let max = micros(latency.max());
        let text = format!("p50 {p50:.1} µs, p99 {p99:.1} µs, p99.9 {p99_9:.1} µs, max {max:.1} µs");
        self.line(&name.replace('_', "-"), text)
            .with(&key, json!({ "p50": p50, "p99": p99, "p99_9": p99_9, "max": max }))
    }

    /// What the server and the load generator used.
    fn with_processes(mut self, operations: u64, spent: Spent, server: Option<u32>) -> Self {
        let share = |time: Duration| time.as_secs_f64() / spent.time.as_secs_f64().max(1e-9);
        if let Some((pid, time)) = server.zip(spent.server) {
            let micros = (operations > 0).then(|| time.as_secs_f64() * 1e6 / operations as f64);
            let resident = process::resident_bytes(pid).ok();
            let each = micros.map_or(String::new(), |micros| format!(", {micros:.2} µs per pair"));
            let memory = resident.map_or(String::new(), |bytes| format!(", {:.1} MiB resident", mebibytes(bytes)));
            let text = format!("{:.0} % of a CPU{each}{memory} (process {pid})", share(time) * 100.0);
            self = self.line("server", text).with(
                "server",
                json!({ "pid": pid, "cpu": share(time), "cpu_us_per_pair": micros, "resident_bytes": resident }),
            );
        } else {
            self = self.with("server", Value::Null);
        }
        self.with_generator(spent)
    }

    /// What the load generator used.
    pub(super) fn with_generator(mut self, spent: Spent) -> Self {
        let share = |time: Duration| time.as_secs_f64() / spent.time.as_secs_f64().max(1e-9);
        let own = share(spent.own);
        let server_share = spent.server.map(share);
        // All of them together have no more CPUs than this process may use; `--pin` makes that one.
        let cpus = thread::available_parallelism().map_or(spent.processes, |cpus| cpus.get().min(spent.processes));
        self.is_generator_the_limit = own >= BUSY * cpus as f64 && server_share.is_none_or(|cpu| cpu < BUSY);
        let figures = json!({ "cpu": own, "cpu_ms": spent.own.as_secs_f64() * 1e3, "processes": spent.processes, "is_limit": self.is_generator_the_limit });
        self.line("generator", format!("{:.0} % of a CPU", own * 100.0)).with("generator", figures)
    }

    /// Wrong answers and lost connections.
    pub(super) fn with_failures(mut self, tally: &Tally) -> Self {
        self.fault = failure(tally);
        self.with("wrong_answers", tally.wrong.count).with("lost_connections", tally.lost.count)
    }

    /// Prints one line of JSON, or several lines for people.
    pub(super) fn print(&self, is_json: bool) -> Result<(), Failure> {
        let text = if is_json { Value::Object(self.figures.clone()).to_string() } else { self.lines.join("\n") };
        writeln!(io::stdout(), "{text}").map_err(Failure::Output)?;
        if self.is_generator_the_limit && !is_json {
            let _ = writeln!(
                io::stderr(),
                "officer: the load generator used its CPU to the full, and the server did not: the rate is the \
                 generator's, so go by the server's processor time, or use --processes"
            );
        }
        Ok(())
    }

    /// Whether the figures can be trusted.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        self.fault.map_or(Ok(()), |error| Err(error.into()))
    }
}

pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn failure(tally: &Tally) -> Option<BenchError> {
    if let Some(first) = tally.wrong.first.clone() {
        return Some(BenchError::WrongAnswers { count: tally.wrong.count, first });
    }
    let first = tally.lost.first.clone()?;
    Some(BenchError::Lost { count: tally.lost.count, first })
}
