//! What those who watch are told: all that happened to the locks with their prefix, in order, or how much of it they
//! missed.

use std::collections::VecDeque;

use serde_json::Value;

use super::connection::{Connection, Phase};
use super::{Expected, Number, broken, ensure};
use crate::coverage::reply as kind;
use crate::model::{Happening, is_same, with_id};

/// Who has this much unsent is told nothing more.
const UNSENT_MAX: usize = 32 << 10;
/// What all watchers together are told in one turn.
const TURN_BYTES_MAX: usize = 1 << 20;

/// What a connection watches.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    prefix: String,
    /// What it was not told yet.
    pending: VecDeque<Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    line: String,
    /// There was no room for it when it happened.
    is_missed: bool,
}

impl Expected {
    /// A connection asks to watch, or to watch no longer.
    pub(super) fn watch(&mut self, number: Number, prefix: Option<String>, id: Option<&str>) {
        let (command, reply) = match &prefix {
            Some(_) => ("command watch", r#"{"result":"watching"}"#),
            None => ("command unwatch", r#"{"result":"unwatched"}"#),
        };
        self.coverage.count(command);
        let watch = prefix.map(|prefix| Watch { prefix, pending: VecDeque::new() });
        // Until it is answered it may be told of what the watch before it was for.
        self.connections[number].next_watch = Some(watch);
        self.push(number, with_id(reply.to_owned(), id));
    }

    /// The server says that it answers that.
    pub(super) fn on_watching(&mut self, number: Number) {
        let room = self.has_room(number);
        let connection = &mut self.connections[number];
        let Some(next) = connection.next_watch.take() else {
            broken(format!("{} did not ask to watch", connection.name));
        };
        let before = std::mem::replace(&mut connection.watch, next);
        let Some(before) = before else { return };
        let untold = before.pending.iter().find(|pending| room && !pending.is_missed);
        ensure!(untold.is_none(), "{} was not told before it watches something else: {untold:?}", connection.name);
        self.coverage.count(if before.pending.is_empty() {
            "a watch replaced"
        } else {
            "a watch replaced with misses"
        });
    }

    /// What has happened is for whoever watches.
    pub(super) fn spread(&mut self) {
        for Happening { name, line } in self.locks.take_happened() {
            for number in &self.there {
                let connection = &mut self.connections[*number];
                let is_open = connection.phase == Phase::Open;
                let watch = connection.watch.as_mut().filter(|watch| is_open && name.starts_with(&watch.prefix));
                if let Some(watch) = watch {
                    watch.pending.push_back(Pending { line: line.clone(), is_missed: false });
                }
            }
        }
    }

    /// The server says that it tells a watcher of something.
    pub(super) fn on_happened(&mut self, number: Number, line: &str) {
        self.coverage.count(kind(line));
        let has_room = self.has_room(number);
        let connection = &mut self.connections[number];
        let name = &connection.name;
        ensure!(connection.phase == Phase::Open, "{name} ended, and is told of what happens: {line}");
        let Some(watch) = &mut connection.watch else { broken(format!("{name} does not watch: {line}")) };
        if let Some(count) = missed(line) {
            ensure!(count > 0 && count <= watch.pending.len(), "{name} did not miss {count}");
            let taken: Vec<Pending> = watch.pending.drain(..count).collect();
            let may_miss = taken.iter().all(|pending| pending.is_missed || !has_room);
            ensure!(may_miss, "{name} is told that it missed what there was room for: {taken:?}");
            let is_all = watch.pending.iter().all(|pending| !pending.is_missed);
            ensure!(is_all, "{name} missed more than {count}: {:?}", watch.pending);
        } else {
            let Some(next) = watch.pending.pop_front() else { broken(format!("{name} is told of nothing: {line}")) };
            ensure!(is_same(&next.line, line), "{name} is told {line}, not {}", next.line);
            ensure!(!next.is_missed, "{name} missed this, and is told of it: {line}");
        }
        self.tell(number, '>', line);
        let line = format!("{line}\n");
        self.event_bytes += line.len();
        let bytes = line.len();
        self.connections[number].events.push_back(line);
        self.owe(number, bytes);
    }

    /// Whether a watcher can be told everything, so far in this turn.
    fn has_room(&self, number: Number) -> bool {
        self.connections[number].most_unsent < UNSENT_MAX && self.event_bytes < TURN_BYTES_MAX - UNSENT_MAX
    }

    /// What was not told in its turn is missed.
    pub(super) fn end_turn_of_watchers(&mut self) {
        for number in self.there.clone() {
            let has_room = self.has_room(number);
            let connection = &mut self.connections[number];
            connection.most_unsent = connection.unsent;
            let Some(watch) = connection.watch.as_mut().filter(|_| connection.phase == Phase::Open) else { continue };
            for pending in watch.pending.iter_mut().filter(|pending| !pending.is_missed) {
                ensure!(!has_room, "{} is not told {}", connection.name, pending.line);
                pending.is_missed = true;
                self.coverage.count("an event that is missed");
            }
        }
        if self.event_bytes >= TURN_BYTES_MAX - UNSENT_MAX {
            self.coverage.count("a turn with all the events that it may have");
        }
        self.event_bytes = 0;
    }

    /// The server has nothing to do. So whoever has room knows how much it missed.
    pub(super) fn check_missed(&self, connection: &Connection) {
        let has_missed = connection.watch.as_ref().is_some_and(|watch| !watch.pending.is_empty());
        let is_open = connection.phase == Phase::Open;
        let is_told = !is_open || !has_missed || connection.unsent >= UNSENT_MAX;
        ensure!(is_told, "{} is not told how much it missed", connection.name);
    }
}

/// How much a watcher is told that it missed.
fn missed(line: &str) -> Option<usize> {
    let value: Value = serde_json::from_str(line).ok()?;
    let is_missed = value["event"] == "missed" && value.as_object()?.len() == 3;
    let count = value["count"].as_u64().filter(|_| is_missed)?;
    usize::try_from(count).ok()
}
