//! `officer bench pair`: each connection locks and unlocks keys of its own.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use clap::Args;
use mio::event::Event;
use mio::{Interest, Poll, Token};

use super::drive::{self, Clock, Plan, Workload};
use super::options::{LoadOptions, TargetOptions, count};
use super::report::Report;
use super::script::{Protocol, Script};
use super::tally::Tally;
use crate::cli::Failure;
use crate::net::Socket;

const MEASURED: &str = "\
What is measured: a pair is a lock and its unlock. With one in flight, the unlock is sent when the lock was answered, as \
by a program that does something in between; with more, both are written at once, and as many pairs again as were \
answered. A pair's latency is the time from writing its first request to having read its last answer. The load is a \
closed loop: a connection sends the next pair when one is answered, so a server that stalls is asked less meanwhile, and \
one stall is one slow pair for each that was in flight. The percentiles are those of clients that wait for their answers, \
not of requests that come at their own pace.";

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: LoadOptions,

    /// Pairs that each connection has in flight
    #[arg(short, long, value_name = "COUNT", default_value = "1", value_parser = count(), help_heading = "Load")]
    in_flight: usize,

    /// Keys that each connection takes in turn [default: as many as pairs in flight]
    #[arg(short, long, value_name = "COUNT", value_parser = count(), help_heading = "Load")]
    keys: Option<usize>,

    /// Pairs to do, of all connections together, instead of a time
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds", help_heading = "Load")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pairs: Option<u64>,

    /// What the server speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "officer", help_heading = "Server")]
    protocol: Protocol,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    options.load.prepare().map_err(Failure::Bench)?;
    let target = options.target.target().map_err(Failure::Bench)?;
    let server = options.target.server(&target).map_err(Failure::Bench)?;
    let keys = options.keys.unwrap_or(options.in_flight);
    let connections = options.load.connections;
    let mut poll = Poll::new().map_err(Failure::System)?;
    let mut pairs = Pairs { connections: Vec::with_capacity(connections), busy: 0, buffer: vec![0; READ_BYTES] };
    for number in 0..connections {
        let mut socket = target.connect().map_err(Failure::Bench)?;
        let interests = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(number), interests).map_err(Failure::System)?;
        let script = Script::pairs(options.protocol, number * keys..(number + 1) * keys, options.in_flight);
        let quota = options.pairs.map_or(u64::MAX, |pairs| share(pairs, connections, number));
        pairs.connections.push(Connection::new(socket, script, options.in_flight as u64, quota));
    }
    let plan = match options.pairs {
        Some(count) => Plan::Count(count),
        None => Plan::Time { warm_up: options.load.warm_up.0, measured: options.load.measured() },
    };
    let mut tally = Tally::new();
    let spent = drive::drive(&mut pairs, &mut poll, plan, server, &mut tally)?;
    let report = Report::new("pair", options.protocol, target.shown(), &tally, spent, server)
        .with("connections", connections)
        .with("in_flight", options.in_flight)
        .with("keys", keys);
    report.print(options.load.json)?;
    report.verdict()
}

/// What the connection of this number does of a whole.
fn share(whole: u64, connections: usize, number: usize) -> u64 {
    let (connections, number) = (connections as u64, number as u64);
    whole / connections + u64::from(number < whole % connections)
}

/// More than a server writes at once.
const READ_BYTES: usize = 256 << 10;

struct Pairs {
    connections: Vec<Connection>,
    /// Connections that wait for an answer.
    busy: usize,
    buffer: Vec<u8>,
}

impl Workload for Pairs {
    fn start(&mut self, clock: Clock, tally: &mut Tally) {
        for connection in &mut self.connections {
            let result = connection.go_on(clock.now());
            self.busy += usize::from(connection.settle(result, tally));
        }
    }

    fn ready(&mut self, event: &Event, clock: Clock, tally: &mut Tally) {
        let connection = &mut self.connections[event.token().0];
        if connection.is_idle() {
            // It has nothing to wait for, so it is over, or was ended by the server, and is not needed any more.
            return;
        }
        let result = connection.ready(event, clock, tally, &mut self.buffer);
        if !connection.settle(result, tally) {
            self.busy -= 1;
        }
    }

    fn stop(&mut self) {
        for connection in &mut self.connections {
            connection.quota = connection.begun;
        }
    }

    fn is_idle(&self) -> bool {
        self.busy == 0
    }
}

/// Why a connection is of no use any more.
#[derive(Debug)]
enum Fault {
    /// It was answered something else than it should have been.
    Wrong(String),
    /// It has ended.
    Lost(String),
}

/// A connection, and where it is in its script. All positions are counted in bytes from its beginning.
struct Connection {
    /// None: it is of no use any more.
    socket: Option<Socket>,
    script: Script,
    in_flight: u64,
    /// Pairs that it is to begin in all.
    quota: u64,
    begun: u64,
    done: u64,
    /// Pairs that were begun together, and when: the oldest first.
    flights: VecDeque<Flight>,
    /// Invariant: sent <= to_send; received <= to_receive, which is the length of the answers to `to_send`.
    sent: u64,
    to_send: u64,
    received: u64,
    to_receive: u64,
}

struct Flight {
    at: u64,
    pairs: u64,
}

impl Connection {
    fn new(socket: Socket, script: Script, in_flight: u64, quota: u64) -> Self {
        Connection {
            socket: Some(socket),
            script,
            in_flight,
            quota,
            begun: 0,
            done: 0,
            flights: VecDeque::new(),
            sent: 0,
            to_send: 0,
            received: 0,
            to_receive: 0,
        }
    }

    fn is_idle(&self) -> bool {
        self.socket.is_none() || self.received == self.to_receive
    }

    /// Whether it still waits for something, after what has just been tried.
    fn settle(&mut self, result: Result<(), Fault>, tally: &mut Tally) -> bool {
        match result {
            Ok(()) => {}
            Err(Fault::Wrong(line)) => {
                tally.wrong.add(line);
                self.socket = None;
            }
            Err(Fault::Lost(reason)) => {
                tally.lost.add(reason);
                self.socket = None;
            }
        }
        !self.is_idle()
    }

    fn ready(&mut self, event: &Event, clock: Clock, tally: &mut Tally, buffer: &mut [u8]) -> Result<(), Fault> {
        // Most events say that there are answers, and that there is still room to write, which was never in doubt.
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            loop {
                let count = self.read(buffer)?;
                self.hear(&buffer[..count])?;
                let now = clock.now();
                self.land(now, tally);
                self.go_on(now)?;
                // A short read has taken all that there was, and what comes later comes with an event of its own; except
                // the end, which may have come already.
                if count == 0 || (count < buffer.len() && !event.is_read_closed()) {
                    break;
                }
            }
        }
        if self.sent < self.to_send { self.write() } else { Ok(()) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let Some(socket) = &mut self.socket else { return Ok(0) };
        loop {
            match socket.read(buffer) {
                Ok(0) => return Err(Fault::Lost("the server closed the connection".to_owned())),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Lost(error.to_string())),
            }
        }
    }

    /// Compares what has come with what should.
    fn hear(&mut self, mut heard: &[u8]) -> Result<(), Fault> {
        while !heard.is_empty() {
            let wanted = self.script.replies_from(self.received);
            let len = wanted.len().min(heard.len()).min((self.to_receive - self.received) as usize);
            if len == 0 {
                return Err(Fault::Wrong(format!(
                    "an answer to nothing: {}",
                    String::from_utf8_lossy(heard).trim_end()
                )));
            }
            if wanted[..len] != heard[..len] {
                return Err(Fault::Wrong(self.script.wrong_line(self.received, heard)));
            }
            self.received += len as u64;
            heard = &heard[len..];
        }
        Ok(())
    }

    /// Counts the pairs that are done.
    fn land(&mut self, now: u64, tally: &mut Tally) {
        let mut landed = self.received / self.script.pair_reply_len - self.done;
        self.done += landed;
        while landed > 0 {
            let flight = self.flights.front_mut().expect("what was received does not exceed what was asked for");
            let pairs = landed.min(flight.pairs);
            tally.done(pairs, now - flight.at);
            flight.pairs -= pairs;
            landed -= pairs;
            if flight.pairs == 0 {
                self.flights.pop_front();
            }
        }
    }

    /// Asks for as much as may be in flight.
    fn go_on(&mut self, now: u64) -> Result<(), Fault> {
        let pairs = (self.in_flight - (self.begun - self.done)).min(self.quota.saturating_sub(self.begun));
        if pairs > 0 {
            self.begun += pairs;
            self.flights.push_back(Flight { at: now, pairs });
        }
        self.to_send = self.begun * self.script.pair_request_len;
        self.to_receive = self.begun * self.script.pair_reply_len;
        let lock_received = self.done * self.script.pair_reply_len + self.script.lock_reply_len;
        if self.in_flight == 1 && self.begun > self.done && self.received < lock_received {
            // The unlock has to wait for the lock's answer.
            self.to_send -= self.script.pair_request_len - self.script.lock_request_len;
            self.to_receive = lock_received;
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Fault> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        while self.sent < self.to_send {
            let piece = self.script.requests_from(self.sent);
            let len = piece.len().min((self.to_send - self.sent) as usize);
            match socket.write(&piece[..len]) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Lost(error.to_string())),
            }
        }
        Ok(())
    }
}
