//! Connections that wait for locks that others hold.

use std::thread;
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token};

use crate::bench::BenchError;
use crate::bench::script::Protocol;
use crate::bench::target::{Target, receive, write_all};
use crate::console::Failure;
use crate::net::Socket;

/// How long the server may take until all of them wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the end of one of their connections is reported.
const CLOSED: &str = "the server closed a connection that waits";

/// The end of each line that grants a lock.
const GRANTED: &[u8] = b"\"result\":\"acquired\"}";

pub(super) struct Waiters {
    waiters: Vec<Waiter>,
    granted: usize,
    buffer: Vec<u8>,
}

struct Waiter {
    socket: Socket,
    /// An incomplete line.
    partial: Vec<u8>,
}

impl Waiters {
    /// Waits for each of this many locks, with a limited number per connection.
    pub(super) fn new(target: &Target, locks: usize, waits_max: usize) -> Result<Self, Failure> {
        let mut waiters = Vec::new();
        for first in (0..locks).step_by(waits_max) {
            let mut request = Vec::new();
            for lock in first..locks.min(first + waits_max) {
                request.extend(Protocol::Officer.lock(lock).request);
            }
            // It is answered after everything before it has been executed.
            request.extend(b"{\"command\":\"ping\"}\n");
            let mut socket = target.connect()?;
            write_all(&mut socket, &request, PATIENCE).map_err(BenchError::lost)?;
            wait_for_pong(&mut socket)?;
            waiters.push(Waiter { socket, partial: Vec::new() });
        }
        Ok(Waiters { waiters, granted: 0, buffer: vec![0; 64 << 10] })
    }

    pub(super) fn register(&mut self, poll: &Poll) -> Result<(), Failure> {
        for (number, waiter) in self.waiters.iter_mut().enumerate() {
            poll.registry()
                .register(waiter.socket.source(), Token(number), Interest::READABLE)
                .map_err(Failure::System)?;
        }
        Ok(())
    }

    /// Waits that have ended with the lock.
    pub(super) fn granted(&self) -> usize {
        self.granted
    }

    pub(super) fn hear(&mut self, number: usize) -> Result<(), Failure> {
        let waiter = &mut self.waiters[number];
        while let Some(count) = receive(&mut waiter.socket, &mut self.buffer, CLOSED)? {
            waiter.partial.extend(&self.buffer[..count]);
            let Some(end) = memchr::memrchr(b'\n', &waiter.partial) else { continue };
            for line in waiter.partial[..end].split(|byte| *byte == b'\n') {
                if !line.ends_with(GRANTED) {
                    return Err(BenchError::wrong(line).into());
                }
                self.granted += 1;
            }
            waiter.partial.drain(..=end);
        }
        Ok(())
    }
}

/// Any other answer belongs to a lock that should have waited.
fn wait_for_pong(socket: &mut Socket) -> Result<(), Failure> {
    let give_up = Instant::now() + PATIENCE;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut buffer = [0; 4096];
        match receive(socket, &mut buffer, CLOSED)? {
            Some(count) => answer.extend(&buffer[..count]),
            None if Instant::now() < give_up => thread::sleep(Duration::from_millis(1)),
            None => return Err(BenchError::lost("the server has not answered for 30 s").into()),
        }
    }
    if answer != b"{\"result\":\"pong\"}\n" {
        return Err(BenchError::wrong(&answer).into());
    }
    Ok(())
}
