//! Operations on deadlines as text, and next to them a sorted map that does the same:
//!
//! ```text
//! a5   arm one that is due in 5   r25  move the one at place 2 to 5 from now   c2  cancel it
//! p3   let 3 pass                 n    take the next one out if it is due     e   take all that are due
//! ```
//!
//! Each byte is a number as in the other scripts: a digit stands for itself, a letter for its place in the alphabet,
//! any other byte for its value. `!` is the end of time.

use std::collections::BTreeMap;

use officer::engine::deadline::{DeadlineKey, Deadlines};
use officer::time::{Moment, Span};

/// The deadlines and the map, side by side.
#[derive(Default)]
pub struct Both {
    deadlines: Deadlines<u64>,
    /// When, and the number of the arming or moving; and what is due then.
    model: BTreeMap<(Moment, u64), u64>,
    /// The armed ones, in the order in which they were armed.
    armed: Vec<Armed>,
    /// How many were armed or moved so far.
    count: u64,
    now: Moment,
}

struct Armed {
    key: DeadlineKey,
    in_model: (Moment, u64),
}

impl Both {
    /// Executes a whole script.
    pub fn execute(&mut self, script: &[u8]) {
        for line in script.split(|&byte| byte == b'\n') {
            self.step(line);
            self.check();
        }
        self.now = Moment::NEVER;
        self.take_all();
        self.check();
        assert!(self.deadlines.is_empty());
    }

    fn step(&mut self, line: &[u8]) {
        let number = |index: usize| line.get(index).copied().map_or(0, number);
        let after = |index: usize| {
            if line.get(index) == Some(&b'!') { Moment::NEVER } else { self.now.after(Span::from_nanos(number(index))) }
        };
        match line.first() {
            Some(b'a') => self.arm(after(1)),
            Some(b'r') => self.rearm(number(1), after(2)),
            Some(b'c') => self.cancel(number(1)),
            Some(b'p') => self.now = after(1),
            Some(b'n') => drop(self.take_next()),
            Some(b'e') => self.take_all(),
            _ => {}
        }
    }

    fn arm(&mut self, at: Moment) {
        self.count += 1;
        let in_model = (at, self.count);
        let key = self.deadlines.arm(at, self.count);
        assert!(self.armed.iter().all(|armed| armed.key != key), "two are armed with the same key");
        self.model.insert(in_model, self.count);
        self.armed.push(Armed { key, in_model });
    }

    fn rearm(&mut self, place: u64, at: Moment) {
        self.count += 1;
        let Some(place) = self.place(place) else { return };
        let armed = &mut self.armed[place];
        self.deadlines.rearm(armed.key, at);
        let due = self.model.remove(&armed.in_model).expect("it is armed");
        armed.in_model = (at, self.count);
        self.model.insert(armed.in_model, due);
    }

    fn cancel(&mut self, place: u64) {
        let Some(place) = self.place(place) else { return };
        let armed = self.armed.remove(place);
        assert_eq!(Some(self.deadlines.cancel(armed.key)), self.model.remove(&armed.in_model), "what was cancelled");
    }

    fn take_next(&mut self) -> Option<u64> {
        let next = self.model.first_key_value().map(|(in_model, _)| *in_model).filter(|(at, _)| *at <= self.now);
        let expected = next.and_then(|in_model| self.model.remove(&in_model));
        self.armed.retain(|armed| Some(armed.in_model) != next);
        let due = self.deadlines.pop_due(self.now);
        assert_eq!(due, expected, "what is due next");
        due
    }

    fn take_all(&mut self) {
        while self.take_next().is_some() {
            self.check();
        }
    }

    fn check(&self) {
        self.deadlines.check_all();
        assert_eq!(self.deadlines.next(), self.model.first_key_value().map(|((at, _), _)| *at), "when the next is due");
        assert_eq!((self.deadlines.len(), self.deadlines.is_empty()), (self.model.len(), self.model.is_empty()));
        for armed in &self.armed {
            assert_eq!(self.deadlines.at(armed.key), armed.in_model.0, "when one is due");
        }
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number).expect("a small number").checked_rem(self.armed.len())
    }
}

fn number(byte: u8) -> u64 {
    u64::from(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'z' => byte - b'a',
        other => other,
    })
}
