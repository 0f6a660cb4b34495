//! A connection that runs through its script repeatedly.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use mio::event::Event;

use super::drive;
use super::script::Script;
use super::tally::Tally;
use crate::net::Socket;
use crate::server::Socket as _;

/// Why a connection can't be used any more.
#[derive(Debug)]
pub(super) enum Breakage {
    /// It got a wrong answer.
    Wrong(String),
    /// It has ended.
    Lost(String),
}

/// A connection and its position in its script. All positions are in bytes from the beginning, without those of tokens.
pub(super) struct Connection {
    /// None: there is none yet, or it can't be used any more.
    socket: Option<Socket>,
    script: Script,
    in_flight: usize,
    /// The total number of pairs to begin.
    quota: usize,
    begun: usize,
    done: usize,
    /// Pairs that were begun together, and when: the oldest first.
    flights: VecDeque<Flight>,
    /// Invariant: sent <= to_send; received <= to_receive, which is the length of the answers to `to_send`.
    sent: usize,
    to_send: usize,
    received: usize,
    to_receive: usize,
    /// The digits of the last token that have arrived.
    token: Vec<u8>,
    /// The part of a wrong line that has arrived.
    wrong: Vec<u8>,
}

struct Flight {
    at: u64,
    pairs: usize,
}

impl Connection {
    pub(super) fn new(socket: Option<Socket>, script: Script, in_flight: usize, quota: usize) -> Self {
        Connection {
            socket,
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
            token: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Goes on with another connection, from the beginning of the script.
    pub(super) fn begin_again(&mut self, socket: Socket) {
        (self.begun, self.done) = (0, 0);
        (self.sent, self.to_send, self.received, self.to_receive) = (0, 0, 0, 0);
        self.flights.clear();
        self.socket = Some(socket);
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.socket = None;
    }

    /// Begins no more pairs.
    pub(super) fn stop(&mut self) {
        self.quota = self.begun;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.socket.is_none() || self.received == self.to_receive
    }

    /// Handles the result of an attempt. Returns whether the connection still waits for something.
    pub(super) fn settle(&mut self, result: Result<(), Breakage>, tally: &mut Tally) -> bool {
        match result {
            Ok(()) => {}
            Err(Breakage::Wrong(line)) => {
                tally.wrong.add(line);
                self.socket = None;
            }
            Err(Breakage::Lost(reason)) => {
                tally.lost.add(reason);
                self.socket = None;
            }
        }
        !self.is_idle()
    }

    pub(super) fn ready(&mut self, event: &Event, tally: &mut Tally, buffer: &mut [u8]) -> Result<(), Breakage> {
        // Most events report answers, and also that the socket is writable, which it was all along.
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            loop {
                let count = self.read(buffer)?;
                let is_waiting = self.received < self.lock_received();
                self.hear(&buffer[..count])?;
                let now = drive::now();
                if is_waiting && self.received >= self.lock_received() {
                    tally.granted(self.script.first_key, now);
                }
                self.land(now, tally);
                self.go_on(now)?;
                // A short read has taken everything there was, unless it was decrypted, and later data has an event of its
                // own; except the end, which may have arrived already.
                if count == 0 || (count < buffer.len() && !event.is_read_closed() && self.is_drained()) {
                    break;
                }
            }
        }
        if self.sent < self.to_send { self.write() } else { Ok(()) }
    }

    fn is_drained(&self) -> bool {
        self.socket.as_ref().is_none_or(Socket::is_drained_by_short_read)
    }

    /// The number of bytes received once the lock of the first pair in flight is answered.
    fn lock_received(&self) -> usize {
        self.done * self.script.pair_reply_len + self.script.lock_reply_len
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Breakage> {
        let Some(socket) = &mut self.socket else { return Ok(0) };
        loop {
            match socket.read(buffer) {
                Ok(0) if !self.wrong.is_empty() => {
                    return Err(Breakage::Wrong(String::from_utf8_lossy(&self.wrong).into_owned()));
                }
                Ok(0) => return Err(Breakage::Lost("the server closed the connection".to_owned())),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Breakage::Lost(error.to_string())),
            }
        }
    }

    /// Compares the received bytes with the expected ones.
    fn hear(&mut self, mut heard: &[u8]) -> Result<(), Breakage> {
        if !self.wrong.is_empty() {
            return self.hear_wrong(heard);
        }
        while !heard.is_empty() {
            if self.script.is_at_token(self.received) {
                let digits = heard.iter().take_while(|byte| byte.is_ascii_digit()).count();
                self.token.extend_from_slice(&heard[..digits]);
                heard = &heard[digits..];
                if heard.is_empty() {
                    break;
                }
                if self.token.is_empty() {
                    return self.hear_wrong_line(heard);
                }
            }
            let wanted = self.script.replies_from(self.received);
            let len = wanted.len().min(heard.len()).min(self.to_receive - self.received);
            if len == 0 {
                return Err(Breakage::Wrong(format!(
                    "an answer to nothing: {}",
                    String::from_utf8_lossy(heard).trim_end()
                )));
            }
            if wanted[..len] != heard[..len] {
                return self.hear_wrong_line(heard);
            }
            self.received += len;
            heard = &heard[len..];
            if self.script.is_at_token(self.received) {
                self.token.clear();
            }
        }
        Ok(())
    }

    /// Begins a wrong line with what came before it was wrong.
    fn hear_wrong_line(&mut self, heard: &[u8]) -> Result<(), Breakage> {
        self.wrong = self.script.wrong_line(self.received, &self.token, heard);
        self.hear_wrong(&[])
    }

    /// Takes more of a wrong line, which is reported when it is complete.
    fn hear_wrong(&mut self, heard: &[u8]) -> Result<(), Breakage> {
        const LINE_MAX: usize = 1000;
        self.wrong.extend(heard);
        let end = self.wrong.iter().position(|byte| *byte == b'\n');
        if end.is_none() && self.wrong.len() < LINE_MAX {
            return Ok(());
        }
        self.wrong.truncate(end.unwrap_or(LINE_MAX));
        Err(Breakage::Wrong(String::from_utf8_lossy(&self.wrong).trim_end().to_owned()))
    }

    /// Counts the pairs that are done.
    fn land(&mut self, now: u64, tally: &mut Tally) {
        let mut landed = self.received / self.script.pair_reply_len - self.done;
        self.done += landed;
        while landed > 0 {
            let flight = self.flights.front_mut().expect("no more was received than requested");
            let pairs = landed.min(flight.pairs);
            tally.done(pairs as u64, now - flight.at);
            flight.pairs -= pairs;
            landed -= pairs;
            if flight.pairs == 0 {
                self.flights.pop_front();
            }
        }
    }

    /// Sends as many requests as may be in flight.
    pub(super) fn go_on(&mut self, now: u64) -> Result<(), Breakage> {
        let pairs = (self.in_flight - (self.begun - self.done)).min(self.quota.saturating_sub(self.begun));
        if pairs > 0 {
            self.begun += pairs;
            self.flights.push_back(Flight { at: now, pairs });
        }
        self.to_send = self.begun * self.script.pair_request_len;
        self.to_receive = self.begun * self.script.pair_reply_len;
        let lock_received = self.lock_received();
        if self.in_flight == 1 && self.begun > self.done && self.received < lock_received {
            // The unlock has to wait for the lock's answer.
            self.to_send -= self.script.pair_request_len - self.script.lock_request_len;
            self.to_receive = lock_received;
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Breakage> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        while self.sent < self.to_send {
            let piece = self.script.requests_from(self.sent);
            let len = piece.len().min(self.to_send - self.sent);
            match socket.write(&piece[..len]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Breakage::Lost(error.to_string())),
            }
        }
        Ok(())
    }
}
