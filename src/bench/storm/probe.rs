//! A client that continues while others end.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::bench::BenchError;
use crate::bench::drive::nanos;
use crate::bench::script::{Exchange, Protocol};
use crate::bench::target::{Target, receive, send};
use crate::console::Failure;
use crate::net::Socket;

/// The time from one pair to the next, if the server keeps up.
const INTERVAL: Duration = Duration::from_millis(1);

pub(super) struct Probe {
    socket: Socket,
    lock: Exchange,
    unlock: Exchange,
    state: State,
    heard: usize,
    /// When the next pair is to begin, or the one in flight was to begin.
    due: Instant,
    begun: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Idle,
    Locking,
    Unlocking,
}

impl Probe {
    pub(super) fn new(target: &Target, key: usize) -> Result<Self, Failure> {
        let (lock, unlock) = (Protocol::Officer.lock(key), Protocol::Officer.unlock(key));
        let now = Instant::now();
        let socket = target.connect()?;
        Ok(Probe { socket, lock, unlock, state: State::Idle, heard: 0, due: now, begun: now })
    }

    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Begins a pair if it is time for one. Returns how long there will be nothing to do.
    pub(super) fn go_on(&mut self) -> Result<Duration, Failure> {
        const ANSWER_COMES: Duration = Duration::from_millis(100);
        if self.state != State::Idle {
            return Ok(ANSWER_COMES);
        }
        let now = Instant::now();
        if now < self.due {
            return Ok(self.due - now);
        }
        (self.begun, self.state) = (now, State::Locking);
        self.write()?;
        Ok(ANSWER_COMES)
    }

    fn write(&mut self) -> Result<(), Failure> {
        self.heard = 0;
        let request = if self.state == State::Locking { &self.lock.request } else { &self.unlock.request };
        Ok(send(&mut self.socket, request)?)
    }

    /// Takes an answer, and records the latency if it was the last of a pair.
    pub(super) fn hear(&mut self, latency: &mut Histogram<u64>) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        while let Some(count) = receive(&mut self.socket, &mut buffer, "the server closed the connection")? {
            let wanted = match self.state {
                State::Idle => &[][..],
                State::Locking => &self.lock.reply,
                State::Unlocking => &self.unlock.reply,
            };
            if !wanted[self.heard..].starts_with(&buffer[..count]) {
                return Err(BenchError::wrong(&buffer[..count]).into());
            }
            self.heard += count;
            if self.heard < wanted.len() {
                continue;
            }
            if self.state == State::Locking {
                self.state = State::Unlocking;
                self.write()?;
                continue;
            }
            self.state = State::Idle;
            let now = Instant::now();
            // Also counts what other clients would have seen that arrived while this one was waiting (coordinated
            // omission).
            let _ = latency.record_correct(nanos(now - self.begun), nanos(INTERVAL));
            self.due = now.max(self.due + INTERVAL);
        }
        Ok(())
    }
}
