//! Number of locks that are handed around, without names and without a table: only a holder and a queue each.
//!
//! For each hand-over it reads, writes and wakes just as a lock server must: the line that releases is answered, the
//! next in the queue gets a line, and the previous one's next request is read.

use std::collections::VecDeque;

use memchr::memchr_iter;

use super::serve::{Answers, Floor};

pub(super) struct Rings {
    rings: Vec<Ring>,
    /// The ring that each connection belongs to.
    of: Vec<usize>,
    connected: usize,
}

#[derive(Clone, Default)]
struct Ring {
    holder: Option<usize>,
    queue: VecDeque<usize>,
}

impl Rings {
    pub(super) fn new(locks: usize) -> Self {
        Rings { rings: vec![Ring::default(); locks], of: Vec::new(), connected: 0 }
    }
}

impl Ring {
    fn grant(&mut self, to: Option<usize>, answers: &mut Answers) {
        self.holder = to;
        if let Some(to) = to {
            answers.push(to, 1);
        }
    }

    fn release(&mut self, answers: &mut Answers) {
        let next = self.queue.pop_front();
        self.grant(next, answers);
    }
}

impl Floor for Rings {
    fn connect(&mut self, connection: usize) {
        let ring = self.connected % self.rings.len();
        self.connected += 1;
        if self.of.len() <= connection {
            self.of.resize(connection + 1, 0);
        }
        self.of[connection] = ring;
    }

    fn disconnect(&mut self, connection: usize, answers: &mut Answers) {
        let ring = &mut self.rings[self.of[connection]];
        ring.queue.retain(|waiter| *waiter != connection);
        if ring.holder == Some(connection) {
            ring.release(answers);
        }
    }

    fn hear(&mut self, from: usize, bytes: &[u8], answers: &mut Answers) {
        let ring = &mut self.rings[self.of[from]];
        for _ in memchr_iter(b'\n', bytes) {
            match ring.holder {
                Some(holder) if holder == from => {
                    answers.push(from, 1);
                    ring.release(answers);
                }
                Some(_) => ring.queue.push_back(from),
                None => ring.grant(Some(from), answers),
            }
        }
    }
}
