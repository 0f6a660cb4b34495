//! What was measured, as people and as programs read it.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::drive::Spent;
use super::process;
use super::script::Protocol;
use super::tally::Tally;
use super::{BenchError, Failure};

/// From this share of its CPU on, the load generator may be what the figures measure.
const BUSY: f64 = 0.95;

/// What was measured.
#[derive(Debug)]
pub(super) struct Report {
    figures: Map<String, Value>,
    wrong: Option<BenchError>,
    is_generator_the_limit: bool,
}

impl Report {
    pub(super) fn new(
        workload: &str,
        protocol: Protocol,
        address: &str,
        tally: &Tally,
        spent: Spent,
        server: Option<u32>,
    ) -> Self {
        let seconds = spent.time.as_secs_f64();
        let share = |time: std::time::Duration| time.as_secs_f64() / seconds;
        let operations = tally.operations.max(1) as f64;
        let micros = |quantile: f64| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
        let mut figures = Map::new();
        figures.insert("workload".into(), workload.into());
        figures.insert("protocol".into(), format!("{protocol:?}").to_lowercase().into());
        figures.insert("address".into(), address.into());
        figures.insert("seconds".into(), seconds.into());
        figures.insert("interrupted".into(), spent.is_interrupted.into());
        figures.insert("pairs".into(), tally.operations.into());
        figures.insert("pairs_per_second".into(), (tally.operations as f64 / seconds).into());
        figures.insert(
            "latency_us".into(),
            json!({
                "p50": micros(0.5),
                "p99": micros(0.99),
                "p99_9": micros(0.999),
                "max": tally.latency.max() as f64 / 1e3,
            }),
        );
        let server_share = spent.server.map(share);
        let process = server.map(|pid| {
            json!({
                "pid": pid,
                "cpu": server_share,
                "cpu_us_per_pair": spent.server.map(|time| time.as_secs_f64() * 1e6 / operations),
                "resident_bytes": process::resident_bytes(pid).ok(),
            })
        });
        figures.insert("server".into(), process.unwrap_or(Value::Null));
        let is_generator_the_limit = share(spent.own) >= BUSY && server_share.is_none_or(|server| server < BUSY);
        figures.insert("generator".into(), json!({ "cpu": share(spent.own), "is_limit": is_generator_the_limit }));
        figures.insert("wrong_answers".into(), tally.wrong.count.into());
        figures.insert("lost_connections".into(), tally.lost.count.into());
        Report { figures, wrong: fault(tally), is_generator_the_limit }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.into(), value.into());
        self
    }

    pub(super) fn print(&self, is_json: bool) -> Result<(), Failure> {
        let text = if is_json { Value::Object(self.figures.clone()).to_string() } else { self.text() };
        writeln!(io::stdout(), "{text}").map_err(Failure::Output)?;
        if self.is_generator_the_limit {
            let _ = writeln!(
                io::stderr(),
                "officer: the load generator used its CPU to the full, and the server did not: the rate is the generator's; \
                 the server's time per pair counts"
            );
        }
        Ok(())
    }

    /// Whether the figures can be believed.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        self.wrong.map_or(Ok(()), |error| Err(Failure::Bench(error)))
    }

    fn text(&self) -> String {
        let number = |path: &str| self.figures_at(path).and_then(Value::as_f64);
        let mut lines = vec![format!(
            "{:<12} {:.0} pairs in {:.2} s, {:.0} per second",
            "throughput",
            number("/pairs").unwrap_or(0.0),
            number("/seconds").unwrap_or(0.0),
            number("/pairs_per_second").unwrap_or(0.0)
        )];
        let latency = |name: &str| number(&format!("/latency_us/{name}")).unwrap_or(0.0);
        lines.push(format!(
            "{:<12} p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs, max {:.1} µs",
            "latency",
            latency("p50"),
            latency("p99"),
            latency("p99_9"),
            latency("max")
        ));
        if let Some(cpu) = number("/server/cpu") {
            lines.push(format!(
                "{:<12} {:.2} µs of CPU per pair, {:.0} % of a CPU, {:.1} MiB resident",
                "server",
                number("/server/cpu_us_per_pair").unwrap_or(0.0),
                cpu * 100.0,
                number("/server/resident_bytes").unwrap_or(0.0) / 1048576.0
            ));
        }
        lines.push(format!("{:<12} {:.0} % of a CPU", "generator", number("/generator/cpu").unwrap_or(0.0) * 100.0));
        lines.join("\n")
    }

    fn figures_at(&self, path: &str) -> Option<&Value> {
        let mut steps = path.split('/').skip(1);
        let first = self.figures.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    }
}

fn fault(tally: &Tally) -> Option<BenchError> {
    if let Some(first) = tally.wrong.first.clone() {
        return Some(BenchError::WrongAnswers { count: tally.wrong.count, first });
    }
    let first = tally.lost.first.clone()?;
    Some(BenchError::Lost { count: tally.lost.count, first })
}
