//! Connections that take locks and do nothing else.

use std::io::ErrorKind;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::script::{Exchange, Protocol};
use super::target::{Target, receive, send};
use super::{BenchError, Failure};
use crate::net::Socket;

/// Connections that have sent their request and are not answered yet. More would only fill the server's backlog.
const UNANSWERED_MAX: usize = 64;
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
const EVENTS_MAX: usize = 256;

/// Connections that hold locks.
pub(super) struct Holders {
    protocol: Protocol,
    /// Locks that each of them holds.
    locks: usize,
    poll: Poll,
    events: Events,
    connections: Vec<Holder>,
    unanswered: usize,
}

struct Holder {
    socket: Socket,
    /// The number of the first key that it holds.
    first_key: usize,
    wanted: Vec<u8>,
    heard: usize,
}

impl Holders {
    pub(super) fn new(protocol: Protocol, locks: usize) -> Result<Self, Failure> {
        Ok(Holders {
            protocol,
            locks,
            poll: Poll::new().map_err(Failure::System)?,
            events: Events::with_capacity(EVENTS_MAX),
            connections: Vec::new(),
            unanswered: 0,
        })
    }

    /// Makes the connections with these numbers, each of which takes its locks. Returns how long it took to make them
    /// with one lock each.
    pub(super) fn open(&mut self, target: &Target, numbers: Range<usize>) -> Result<Duration, Failure> {
        let start = Instant::now();
        let first = self.connections.len();
        for number in numbers {
            let mut socket = target.connect()?;
            let token = Token(self.connections.len());
            self.poll.registry().register(socket.source(), token, Interest::READABLE).map_err(Failure::System)?;
            let first_key = number * self.locks;
            self.connections.push(Holder { socket, first_key, wanted: Vec::new(), heard: 0 });
            self.ask(token.0, [self.protocol.lock(first_key)])?;
            self.hear_until(UNANSWERED_MAX)?;
        }
        self.hear_until(0)?;
        let took = start.elapsed();
        if self.locks > 1 {
            for index in first..self.connections.len() {
                let keys = self.connections[index].first_key + 1..self.connections[index].first_key + self.locks;
                let protocol = self.protocol;
                self.ask(index, keys.map(|key| protocol.lock(key)))?;
                self.hear_until(UNANSWERED_MAX)?;
            }
            self.hear_until(0)?;
        }
        Ok(took)
    }

    /// Releases all locks, which shows that they were held all the time.
    pub(super) fn release(&mut self) -> Result<(), Failure> {
        for index in 0..self.connections.len() {
            let first = self.connections[index].first_key;
            let (keys, protocol) = (first..first + self.locks, self.protocol);
            self.ask(index, keys.map(|key| protocol.unlock(key)))?;
            self.hear_until(UNANSWERED_MAX)?;
        }
        self.hear_until(0)
    }

    fn ask(&mut self, index: usize, exchanges: impl IntoIterator<Item = Exchange>) -> Result<(), Failure> {
        let holder = &mut self.connections[index];
        let mut request = Vec::new();
        (holder.wanted, holder.heard) = (Vec::new(), 0);
        for exchange in exchanges {
            request.extend(exchange.request);
            holder.wanted.extend(exchange.reply);
        }
        send(&mut holder.socket, &request)?;
        self.unanswered += 1;
        Ok(())
    }

    /// Takes answers until only this many are missing.
    fn hear_until(&mut self, unanswered: usize) -> Result<(), Failure> {
        while self.unanswered > unanswered {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.map_err(Failure::System)?,
            }
            if self.events.is_empty() {
                return Err(BenchError::lost("the server has not answered for 30 s").into());
            }
            for event in &self.events {
                if self.connections[event.token().0].hear()? {
                    self.unanswered -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Holder {
    /// Whether it has just got the last of its answer.
    fn hear(&mut self) -> Result<bool, Failure> {
        let mut buffer = [0; 4096];
        let was_missing = self.heard < self.wanted.len();
        while let Some(count) = receive(&mut self.socket, &mut buffer, "the server closed the connection")? {
            if !self.wanted[self.heard..].starts_with(&buffer[..count]) {
                return Err(BenchError::wrong(&buffer[..count]).into());
            }
            self.heard += count;
        }
        Ok(was_missing && self.heard == self.wanted.len())
    }
}
