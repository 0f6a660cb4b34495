//! One turn of the server: what it did is gone through in the order of the protocol, and then nothing may be left.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::connection::{Connection, Phase};
use super::{After, Broken, Event, Expected, TIMELY, Told, broken, ensure};

impl Expected {
    /// A poll has returned. `is_complete`: it has reported everything.
    ///
    /// What is due is executed up to the beginning of a poll, once everything is known that happened before it: see
    /// [`Expected::horizons`].
    pub(crate) fn polled(&mut self, begun: u64, is_complete: bool) {
        if is_complete {
            self.polls.clear();
        }
        self.is_all_known = is_complete;
        if begun > self.horizon && self.polls.last() != Some(&begun) {
            self.polls.push(begun);
        }
    }

    /// The server had a turn. The first thing that no poll has reported happened at `unknown_since`.
    pub(crate) fn turn(&mut self, now: u64, unknown_since: u64, events: &[Event], after: After) {
        self.count_waiting(now);
        self.now = now;
        self.hear(events);
        self.figures.turns += 1;
        self.tell_missed();
        self.mark_watchers();
        let said = self.locks.begin_turn(now);
        self.push_all(said);
        let inputs = events.iter().rposition(|event| self.is_of_input(event)).map_or(0, |last| last + 1);
        let (inputs, others) = events.split_at(inputs);
        self.on_events(inputs);
        // What clients saw must be right in one of the ways.
        let mut ways = Vec::new();
        for horizon in self.horizons(unknown_since) {
            self.horizon = horizon;
            ways.extend(self.looks(others).into_iter().map(|looks| (horizon, looks)));
        }
        let (first, all_but_first) = ways.split_first().expect("there is one at least");
        // Nobody may be told that a grace has ended, or that a closed lock is open. What `stats` would answer tells it.
        for is_picky in [true, false] {
            let ways = if is_picky { &ways[..] } else { all_but_first };
            for (horizon, looks) in ways.iter().rev().filter(|_| !all_but_first.is_empty()) {
                let mut other = self.clone();
                (other.horizon, other.is_picky) = (*horizon, is_picky);
                match catch_unwind(AssertUnwindSafe(|| other.rest_of_turn(&others[..*looks], &others[*looks..], after)))
                {
                    Ok(()) => {
                        *self = other;
                        self.is_picky = false;
                        return self.end_turn();
                    }
                    Err(panic) if panic.is::<Broken>() => {}
                    Err(panic) => resume_unwind(panic),
                }
            }
        }
        self.horizon = first.0;
        self.rest_of_turn(&others[..first.1], &others[first.1..], after);
        self.end_turn();
    }

    /// Up to when the server may execute what is due: the beginning of a poll before which nothing happened that is
    /// unknown. If the last poll reported everything, that is the beginning of this poll. If it was cut short, the server
    /// need not know that it knows enough, and may stay where it was.
    fn horizons(&mut self, unknown_since: u64) -> Vec<u64> {
        let known = self.polls.iter().copied().filter(|begun| *begun <= unknown_since);
        let latest = known.clone().max().unwrap_or(self.horizon);
        let is_due = self.next_due().is_some_and(|due| due <= latest);
        if self.is_all_known && latest <= unknown_since || !is_due {
            return vec![latest];
        }
        [self.horizon].into_iter().chain(known).collect()
    }

    fn rest_of_turn(&mut self, looks: &[Event], writes: &[Event], after: After) {
        self.on_events(looks);
        self.time_out();
        self.end_sessions();
        let (held, waiting) = self.locks.held_and_waiting();
        let gauges = [held, waiting, self.locks.closed(), self.locks.sessions()].map(|gauge| gauge as u64);
        ensure!(!self.is_picky || gauges == after.gauges, "there are {:?}, and should be {gauges:?}", after.gauges);
        self.on_events(writes);
        for connection in self.there.iter().map(|number| &self.connections[*number]) {
            ensure!(connection.phase != Phase::Closing, "{} is not closed", connection.name);
        }
        if let Some(number) = self.ends.first() {
            broken(format!("the server says nothing of the end of {}", self.name(*number)));
        }
        for (word, count) in TIMELY.iter().zip(self.timely_told) {
            ensure!(count == 0, "the server says {word} {count} times more than it should");
        }
        let (token, told) = (self.locks.next_token(), after.next_token);
        ensure!(token == told, "the next token is {told}, and should be {token}");
        let due = self.locks.next_due().into_iter().chain(self.locks.next_step()).min();
        let is_awake = due.is_none_or(|due| after.next_turn.is_some_and(|next| next <= due));
        ensure!(is_awake, "the next turn is at {:?}, and something is due at {due:?}", after.next_turn);
        self.check_told_events();
        match self.told.first() {
            Some((number, Told::Wording(wording))) => {
                broken(format!("the server refuses {} something, and should not: {wording}", self.name(*number)));
            }
            Some((number, Told::Listing(text))) => {
                broken(format!("the server lists connections for {}, and should not: {text}", self.name(*number)));
            }
            Some((number, Told::Deadlock(text) | Told::Stats(text))) => {
                broken(format!("{} is told this, and should not be: {text}", self.name(*number)));
            }
            None => {}
        }
    }

    fn end_turn(&mut self) {
        self.count_met();
        let horizon = self.horizon;
        self.polls.retain(|begun| *begun > horizon);
        if self.next_due().is_some_and(|due| due <= self.now && due > horizon) {
            self.coverage.count("a turn that may not execute what is due");
        }
        if self.now - horizon > 60_000_000_000 {
            self.coverage.count("poll begun long before its turn");
        }
        self.coverage.end_turn();
        let kept = self.there.iter().map(|number| self.connections[*number].kept().0).sum::<u64>();
        ensure!(kept <= self.limits.inboxes_bytes_max as u64, "{kept} bytes are kept, and nobody ended for it");
        for number in &self.there {
            let connection = &mut self.connections[*number];
            let mut wire = connection.wire.borrow_mut();
            ensure!(wire.to_client.len() == connection.looked, "connection {number} received what was not written");
            wire.to_client.clear();
            connection.looked = 0;
            let is_paused = connection.unsent >= self.limits.outbox_pause_bytes;
            if is_paused && (!connection.lines.is_empty() || !wire.to_server.is_empty()) {
                self.coverage.count("cut outbox_pause_bytes");
            }
            let is_kept_waiting = connection.next_line(self.limits.line_bytes_max).is_some();
            if is_paused || is_kept_waiting || !wire.to_server.is_empty() {
                connection.last_waiting = self.now;
            }
        }
    }

    /// The server has nothing to do until `next`. So everything must be done.
    pub(crate) fn settled(&self, next: Option<u64>) {
        for connection in self.there.iter().map(|number| &self.connections[*number]) {
            let Connection { name, phase, unsent, .. } = connection;
            let wire = connection.wire.borrow();
            let is_paused = *unsent >= self.limits.outbox_pause_bytes;
            match phase {
                Phase::Gone | Phase::Closing | Phase::Doomed(_) => broken(format!("{name} is left in its end")),
                Phase::Open if !is_paused => {
                    let line = connection.next_line(self.limits.line_bytes_max);
                    ensure!(line.is_none(), "{name} was not answered: {:?}", line.map(|line| &line.text));
                    let has_input = !wire.to_server.is_empty() || (wire.client_has_closed && !wire.is_reset);
                    ensure!(!has_input, "{name} sent something, and nobody listens");
                }
                Phase::Open => {}
                Phase::Draining(_) => ensure!(*unsent > 0, "{name} was sent everything and is not closed"),
                Phase::Lingering { .. } => {
                    let is_at_end = wire.client_has_closed && !wire.is_reset;
                    ensure!(!is_at_end, "{name} has read everything and is not closed");
                }
            }
            ensure!(*unsent == 0 || connection.is_blocked, "{name} is not sent what it should be: {:?}", self.of(name));
            let is_whole = *unsent > 0 || (connection.partial.is_empty() && connection.replies.is_empty());
            ensure!(is_whole, "{name} received a part of a reply: {:?}", self.of(name));
            self.check_missed(connection);
        }
        ensure!(!self.locks.has_left_over(), "somebody waits for nobody");
        let due = self.next_due();
        ensure!(due.is_none_or(|due| due > self.now), "something is due and does not happen");
        let due = due.into_iter().chain(self.locks.next_step()).min();
        let wakes = next.is_some_and(|next| due.is_some_and(|due| next <= due));
        ensure!(due.is_none() || wakes, "the server would sleep until {next:?}, and something is due at {due:?}");
    }
}
