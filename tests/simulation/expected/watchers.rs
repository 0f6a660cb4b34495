//! What those who watch are told: all that happened to the locks with their prefix, in order, or how much of it they
//! missed.
//!
//! In which place among the other replies of its connection an event is sent is not known, but that it is not on the
//! other side of a `watching` or `unwatched`. The transcript tells what was sent and what was missed; whether it may
//! have been is checked.

use std::collections::VecDeque;

use serde_json::Value;

use super::connection::{Connection, Phase};
use super::{Expected, Number, broken, ensure};
use crate::coverage::reply as kind;
use crate::model::{is_same, with_id};

/// Who has this much unsent is told nothing more.
const UNSENT_MAX: usize = 32 << 10;
/// What all watchers together are told in one turn.
const TURN_BYTES_MAX: usize = 1 << 20;
/// The longest notice that events were missed.
const MISSED_BYTES_MAX: usize = 80;

/// What a connection watches.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    prefix: String,
    /// Events that it was not told of, and not told that it missed them.
    missed: usize,
    /// What was unsent before the line, or whatever else is being executed.
    unsent_before: usize,
}

/// What a connection is to be sent of events, and has received.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    /// Each with how many watches of the connection had begun or ended before it.
    outstanding: VecDeque<(usize, String)>,
    /// How many had when the last reply was decided, and when the last was received.
    decided: usize,
    received: usize,
}

impl Events {
    pub(super) fn clear(&mut self) {
        self.outstanding.clear();
    }

    /// The client receives an event: what it should be.
    pub(super) fn receive(&mut self) -> Option<String> {
        let (watch, line) = self.outstanding.pop_front()?;
        (watch == self.received).then_some(line)
    }

    /// The client is told that another watch has begun or that its watch has ended. Returns whether it has received all
    /// events of the one before.
    pub(super) fn receive_change(&mut self) -> bool {
        self.received += 1;
        self.outstanding.front().is_none_or(|(watch, _)| *watch >= self.received)
    }
}

/// Whether a reply tells of a watch that has begun or ended.
pub(super) fn is_change(reply: &str) -> bool {
    ["\"result\":\"watching\"", "\"result\":\"unwatched\""].iter().any(|word| reply.contains(word))
}

impl Expected {
    /// A connection asks to watch, or to watch no longer.
    pub(super) fn watch(&mut self, number: Number, prefix: Option<String>, id: Option<&str>) {
        let (command, reply) = match &prefix {
            Some(_) => ("command watch", r#"{"result":"watching"}"#),
            None => ("command unwatch", r#"{"result":"unwatched"}"#),
        };
        self.coverage.count(command);
        let connection = &mut self.connections[number];
        let watch = prefix.map(|prefix| Watch { prefix, missed: 0, unsent_before: 0 });
        if let Some(before) = std::mem::replace(&mut connection.watch, watch) {
            let kind = if before.missed > 0 { "a watch replaced after a miss" } else { "a watch replaced" };
            self.coverage.count(kind);
        }
        connection.events.decided += 1;
        self.push(number, with_id(reply.to_owned(), id));
    }

    /// Something is executed from here on.
    pub(super) fn mark_watchers(&mut self) {
        for number in &self.there {
            let connection = &mut self.connections[*number];
            let unsent = connection.unsent;
            if let Some(watch) = &mut connection.watch {
                watch.unsent_before = unsent;
            }
        }
    }

    /// Something happened, for whoever watches: in the order in which the server tells them, which is its choice. Returns
    /// how many bytes that adds to their output.
    pub(super) fn spread(&mut self, line: &str) -> usize {
        if self.there.iter().all(|number| self.connections[*number].watch.is_none()) {
            return 0;
        }
        let value: Value = serde_json::from_str(line).expect("an event is JSON");
        let name = value["name"].as_str().expect("it has a name");
        let is_for = |number: &Number| {
            let connection = &self.connections[*number];
            let watch = connection.watch.as_ref().filter(|_| connection.phase == Phase::Open);
            watch.is_some_and(|watch| name.starts_with(&watch.prefix))
        };
        let mut watchers: Vec<Number> = self.there.iter().copied().filter(is_for).collect();
        let told = |watcher: &Number| self.told_events.iter().position(|(to, _)| to == watcher).unwrap_or(usize::MAX);
        watchers.sort_by_key(told);
        // Whoever is told too much ends, and another may for it.
        let is_open = |expected: &Expected, number: &Number| expected.connections[*number].phase == Phase::Open;
        let mut bytes = 0;
        for number in watchers {
            if is_open(self, &number) {
                bytes += self.tell_watcher(number, line);
            }
        }
        bytes
    }

    /// Something happened that a connection watches.
    fn tell_watcher(&mut self, number: Number, line: &str) -> usize {
        let told = self.told_events.iter().position(|(to, _)| *to == number);
        let is_told = told.is_some_and(|index| is_same(&self.told_events[index].1, line));
        let bytes = line.len() + 1;
        let has_budget = self.event_bytes + bytes <= TURN_BYTES_MAX;
        let connection = &mut self.connections[number];
        let name = &connection.name;
        let watch = connection.watch.as_mut().expect("it watches");
        if !is_told {
            let has_room = connection.unsent < UNSENT_MAX && has_budget && watch.missed == 0;
            ensure!(!has_room, "{name} is not told {line}, but {:?}", told.map(|index| &self.told_events[index].1));
            watch.missed += 1;
            self.figures.events_missed += 1;
            self.coverage.count("an event that is missed");
            return 0;
        }
        ensure!(watch.missed == 0, "{name} is told {line} before it knows how much it missed");
        let has_room = watch.unsent_before < UNSENT_MAX && has_budget;
        ensure!(has_room, "{name} is told {line}, and had no room for it");
        let (_, line) = self.told_events.remove(told.expect("it is told"));
        self.figures.events_sent += 1;
        self.send_event(number, line)
    }

    /// A turn begins. Who missed something and has room now is told how much.
    pub(super) fn tell_missed(&mut self) {
        self.event_bytes = 0;
        for number in self.there.clone() {
            let connection = &mut self.connections[number];
            let Some(watch) = connection.watch.as_mut().filter(|_| connection.phase == Phase::Open) else { continue };
            if watch.missed == 0 || connection.unsent >= UNSENT_MAX {
                continue;
            }
            let count = std::mem::take(&mut watch.missed);
            let line = format!(r#"{{"notice":"event","event":"missed","count":{count}}}"#);
            let told = self.told_events.iter().position(|(to, _)| *to == number);
            let is_told = told.is_some_and(|index| is_same(&self.told_events[index].1, &line));
            let has_budget = self.event_bytes + MISSED_BYTES_MAX <= TURN_BYTES_MAX;
            ensure!(is_told || !has_budget, "{} is not told that it missed {count}", self.name(number));
            let Some(index) = told.filter(|_| is_told) else { continue };
            self.coverage.count("a watcher that is told how much it missed");
            let (_, line) = self.told_events.remove(index);
            self.send_event(number, line);
        }
    }

    fn send_event(&mut self, number: Number, line: String) -> usize {
        self.coverage.count(kind(&line));
        self.tell(number, '>', &line);
        let line = format!("{line}\n");
        let bytes = line.len();
        self.event_bytes += bytes;
        let events = &mut self.connections[number].events;
        events.outstanding.push_back((events.decided, line));
        self.owe(number, bytes);
        bytes
    }

    /// A turn is over. All that the server says that it told was for somebody.
    pub(super) fn check_told_events(&self) {
        if let Some((number, line)) = self.told_events.first() {
            broken(format!("{} is told this, and should not be: {line}", self.name(*number)));
        }
    }

    /// The server has nothing to do. So whoever has room knows how much it missed.
    pub(super) fn check_missed(&self, connection: &Connection) {
        let has_missed = connection.watch.as_ref().is_some_and(|watch| watch.missed > 0);
        let is_told = connection.phase != Phase::Open || !has_missed || connection.unsent >= UNSENT_MAX;
        ensure!(is_told, "{} is not told how much it missed", connection.name);
    }
}
