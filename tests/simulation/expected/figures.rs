//! The figures of `stats`: those that follow from what clients see must be right.

use serde_json::Value;

use super::connection::Phase;
use super::{Expected, Number, Told, broken, ensure};
use crate::model::{is_same, with_id};

impl Expected {
    pub(super) fn stats(&mut self, number: Number, id: Option<&str>) {
        self.coverage.count("command stats");
        if self.connections[number].phase != Phase::Open {
            return;
        }
        let Some(Told::Stats(text)) = self.next_told(number).cloned() else {
            broken(format!("{} is not sent the figures", self.name(number)));
        };
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| broken(format!("{text}: {error}")));
        let value = &told["value"];
        let reply = with_id(format!(r#"{{"result":"stats","value":{value}}}"#), id);
        ensure!(is_same(&reply, &text), "this is no reply: {text}");
        for (key, figure) in self.figures() {
            let told = value[key].as_u64();
            ensure!(told == Some(figure), "{key} is {told:?}, and should be {figure}: {text}");
        }
        self.push(number, text);
    }

    /// Those that are known.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        let here = self.there.iter().map(|number| &self.connections[*number]);
        let watchers = here.filter(|connection| connection.phase == Phase::Open && connection.watch.is_some()).count();
        let counts = &self.locks.counts;
        let mut figures = vec![
            ("grants", counts.acquires),
            ("releases", counts.releases),
            ("timeouts", counts.timeouts),
            ("queue_maxed", counts.queue_maxed),
            ("expiries", counts.expiries),
            ("revocations", counts.revocations),
            ("transfers", counts.transfers),
            ("deadlocks", counts.deadlocks),
            ("resumptions", counts.resumptions),
            ("sessions_ended", counts.sessions_ended),
        ];
        let gauges = [
            ("connections", self.there.len()),
            ("sessions", self.locks.sessions()),
            ("detached_sessions", self.locks.sessions_away().len()),
            ("holds", self.locks.held_and_waiting().0),
            ("waiters", self.locks.held_and_waiting().1),
            ("watchers", watchers),
        ];
        figures.extend(gauges.map(|(key, gauge)| (key, gauge as u64)));
        figures
    }
}
