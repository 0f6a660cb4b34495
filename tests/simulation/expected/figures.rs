//! The figures of `stats`: those that follow from what clients see must be right. Others are how long turns take, for how
//! long locks are held and waited for, and why each connection ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{Asked, Expected, Number, Told, broken, ensure};
use crate::model::{Ask, is_same, with_id};

/// What is counted here, beside the model's own counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    requests: BTreeMap<&'static str, u64>,
    errors: BTreeMap<String, u64>,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) events_sent: u64,
    pub(super) events_missed: u64,
    pub(super) turns: u64,
    pub(super) ends: u64,
    /// For how long each lock was waited for, in the half minute of the last turn and in the one before.
    waiting: BTreeMap<String, [u64; 2]>,
    counted_to: u64,
}

/// Half a minute.
const HALF: u64 = 30_000_000_000;
/// The locks that are told, of those that were waited for most.
const HOTTEST: usize = 32;

impl Expected {
    pub(super) fn count_request(&mut self, number: Number, asked: &Asked) {
        let command = match asked {
            Asked::Locks(request) => of_locks(&request.ask),
            Asked::Hello(_) => "hello",
            Asked::Watch { .. } => "watch",
            Asked::Unwatch { .. } => "unwatch",
            Asked::Stats { .. } => "stats",
            Asked::Kick { .. } => "kick",
            Asked::Page(_) => "connections",
            Asked::IfNotStrict { .. } if self.connections[number].is_strict => "unknown",
            // What it asks is counted instead.
            Asked::IfNotStrict { .. } | Asked::Foreign { .. } | Asked::Nothing => return,
            Asked::Bad { .. } => "unknown",
        };
        *self.figures.requests.entry(command).or_default() += 1;
    }

    /// Time passes until a turn, and whoever waits has waited for that long.
    pub(super) fn count_waiting(&mut self, now: u64) {
        let (from, half) = (self.figures.counted_to, now / HALF);
        self.figures.counted_to = now;
        let waiting = &mut self.figures.waiting;
        for _ in (from / HALF..half).take(2) {
            waiting.values_mut().for_each(|[now, before]| (*now, *before) = (0, *now));
        }
        for (name, waiters) in self.locks.queue_lengths() {
            let [this, before] = waiting.entry(name.to_owned()).or_default();
            let begun = half * HALF;
            *this += waiters * (now - from.max(begun));
            *before += waiters * begun.saturating_sub(from.max(begun.saturating_sub(HALF)));
        }
    }

    /// The locks that were waited for most, as they are told.
    fn check_hottest(&self, told: &Value) {
        let sum = |(name, [now, before]): (&String, &[u64; 2])| (u128::from(now + before), name.clone());
        let mut all: Vec<_> = self.figures.waiting.iter().map(sum).filter(|(waited, _)| *waited > 0).collect();
        all.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        all.truncate(HOTTEST);
        let rows = told.as_array().map_or(&[][..], Vec::as_slice);
        let nanos =
            |row: &Value| row["waited"].as_f64().map_or(0, |seconds| Duration::from_secs_f64(seconds).as_nanos());
        let told: Vec<_> =
            rows.iter().map(|row| (nanos(row), row["name"].as_str().unwrap_or_default().to_owned())).collect();
        ensure!(told == all, "the hottest are {told:?}, and should be {all:?}");
    }

    /// Counts a reply that is an error, also if nobody is there to get it.
    pub(super) fn count_error(&mut self, reply: &str) {
        if !reply.contains("\"result\":\"error\"") {
            return;
        }
        let value: Value = serde_json::from_str(reply).expect("a reply is JSON");
        let reason = value["reason"].as_str().expect("an error has a reason").to_owned();
        *self.figures.errors.entry(reason).or_default() += 1;
    }

    pub(super) fn stats(&mut self, number: Number, id: Option<&str>) {
        self.coverage.count("command stats");
        let Some(Told::Stats(text)) = self.next_told(number).cloned() else {
            broken(format!("{} is not sent the figures", self.name(number)));
        };
        let mut told: Value = serde_json::from_str(&text).unwrap_or_else(|error| broken(format!("{text}: {error}")));
        let value = told["value"].take();
        let reply = with_id(r#"{"result":"stats","value":null}"#.to_owned(), id);
        ensure!(is_same(&reply, &told.to_string()), "this is no reply: {text}");
        for (key, figure) in self.figures() {
            let told = value[key].as_u64();
            ensure!(told == Some(figure), "{key} is {told:?}, and should be {figure}: {text}");
        }
        check_each("requests", &value["requests"], |command| self.figures.requests.get(command).copied());
        check_each("errors", &value["errors"], |reason| self.figures.errors.get(reason).copied());
        self.check_hottest(&value["hottest"]);
        let ends = value["disconnects"].as_object().map(|ends| ends.values().filter_map(Value::as_u64).sum::<u64>());
        ensure!(ends == Some(self.figures.ends), "{ends:?} ended, and should be {}: {text}", self.figures.ends);
        let counts = &self.locks.counts;
        for (key, count) in [("wait", counts.acquires), ("hold", counts.releases)] {
            let told =
                value[key]["counts"].as_array().map(|counts| counts.iter().filter_map(Value::as_u64).sum::<u64>());
            ensure!(told == Some(count), "{told:?} were measured in {key}, and should be {count}: {text}");
        }
        self.push(number, text);
    }

    /// Those that are known.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        let here = || self.there.iter().map(|number| &self.connections[*number]);
        // One that ends counts until its part is over.
        let watchers = here().filter(|connection| connection.watch.is_some()).count();
        let counts = &self.locks.counts;
        let mut figures = vec![
            ("uptime", self.now / 1_000_000_000),
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
            ("received_bytes", self.figures.received_bytes),
            ("sent_bytes", self.figures.sent_bytes),
            ("events_sent", self.figures.events_sent),
            ("events_missed", self.figures.events_missed),
            ("turns", self.figures.turns),
        ];
        if !self.now.is_multiple_of(1_000_000_000) {
            figures.remove(0);
        }
        let gauges = [
            ("connections", here().filter(|connection| !connection.is_turned_away).count()),
            ("sessions", self.locks.sessions()),
            ("detached_sessions", self.locks.sessions_away().len()),
            ("locks", self.locks.pages("", true, self.now).len()),
            ("holds", self.locks.held_and_waiting().0),
            ("waiters", self.locks.held_and_waiting().1),
            ("closed_locks", self.locks.closed()),
            ("watchers", watchers),
        ];
        figures.extend(gauges.map(|(key, gauge)| (key, gauge as u64)));
        figures
    }
}

/// All the counters of one kind.
fn check_each(kind: &str, told: &Value, count: impl Fn(&str) -> Option<u64>) {
    let Some(told) = told.as_object() else { broken(format!("there are no {kind}")) };
    for (key, told) in told {
        let count = count(key).unwrap_or(0);
        ensure!(told.as_u64() == Some(count), "{told} {kind} were {key}, and should be {count}");
    }
}

fn of_locks(ask: &Ask) -> &'static str {
    match ask {
        Ask::Lock(_) => "lock",
        Ask::Unlock { .. } => "unlock",
        Ask::Renew { .. } => "renew",
        Ask::Transfer { .. } => "transfer",
        Ask::Revoke { .. } => "revoke",
        Ask::Reset => "reset",
        Ask::Locks | Ask::Page { .. } | Ask::One { .. } => "locks",
        Ask::Connections => "connections",
        Ask::MyLocks | Ask::MyLocksPage { .. } => "my_locks",
        Ask::KeepAlive => "keep_alive",
        Ask::Ping => "ping",
    }
}
