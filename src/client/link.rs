//! The connection itself: making it, and the thread that reads it and keeps it alive.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connect::until;
use super::error::Error;
use super::options::Options;
use super::request::Request;
use super::stream::Stream;
use crate::wire::answer::Answer;

/// The longest line from the server that is accepted.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Lines out of a stream.
#[derive(Debug)]
struct Lines {
    stream: Stream,
    bytes: Vec<u8>,
    scanned: usize,
}

/// What reading for a while gave.
enum Heard {
    Line(Vec<u8>),
    /// Something, but no whole line yet.
    Part,
    Nothing,
}

impl Lines {
    fn next(&mut self) -> io::Result<Heard> {
        loop {
            if let Some(distance) = memchr::memchr(b'\n', &self.bytes[self.scanned..]) {
                let rest = self.bytes.split_off(self.scanned + distance + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                line.pop();
                self.scanned = 0;
                return Ok(Heard::Line(line));
            }
            self.scanned = self.bytes.len();
            if self.scanned > LINE_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "the server sent a line without an end"));
            }
            let mut buffer = [0; 16 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
                Ok(read) => {
                    self.bytes.extend_from_slice(&buffer[..read]);
                    if !buffer[..read].contains(&b'\n') {
                        return Ok(Heard::Part);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(Heard::Nothing);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whoever a connection belongs to. It may have several, one after the other: `epoch` says which of them.
pub(super) trait Owner: Send + Sync + 'static {
    /// The server has answered a request.
    fn answer(&self, epoch: u64, answer: Answer);
    /// Whether keep-alives are sent for it.
    fn sends_keep_alives(&self) -> bool;
    /// Writes a line to the connection.
    fn write(&self, epoch: u64, line: &[u8]) -> Result<(), Error>;
    /// The connection was found lost.
    fn lose(&self, epoch: u64, error: Error);
}

/// A new connection whose server has said hello.
#[derive(Debug)]
pub(super) struct Link {
    lines: Lines,
    /// What the server calls it.
    pub(super) connection: String,
    /// The longest line that it takes, with its end.
    pub(super) line_bytes_max: usize,
    pulse: Pulse,
}

/// When keep-alives are sent and missed. Together the three make up the interval within which a loss is noticed.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    /// So long after a keep-alive comes the next.
    ask_after: Duration,
    /// So long an answer may take.
    answer_within: Duration,
    /// How often that is looked at. Counts twice.
    tick: Duration,
}

impl Pulse {
    fn of_interval(interval: Duration) -> Self {
        Pulse { ask_after: interval * 3 / 8, answer_within: interval * 3 / 8, tick: interval / 8 }
    }
}

impl Link {
    /// Connects and says hello.
    pub(super) fn connect(options: &Options) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::Connect {
            address: options.address.to_string(),
            message: error.to_string(),
            kind: error.kind(),
        };
        let give_up = Instant::now() + options.connect_timeout;
        let mut stream = Stream::connect(&options.address, give_up).map_err(failed)?;
        stream.set_timeouts(until(give_up), until(give_up)).map_err(failed)?;
        let hello = Request { command: "hello", client: options.name.as_deref(), ..Request::default() };
        // A server without room may be gone before this is written. What it said is there to read all the same.
        let _ = stream.write_all(&hello.line());
        let mut lines = Lines { stream, bytes: Vec::new(), scanned: 0 };
        let line = loop {
            lines.stream.set_timeouts(until(give_up), until(give_up)).map_err(failed)?;
            match lines.next().map_err(failed)? {
                Heard::Line(line) => break line,
                Heard::Part if Instant::now() < give_up => {}
                Heard::Part | Heard::Nothing => {
                    return Err(failed(io::Error::new(ErrorKind::TimedOut, "the server does not answer")));
                }
            }
        };
        let hello = read_answer(&line)?;
        match hello.result.as_str() {
            "hello" => {}
            "error" => return Err(Error::Server { reason: hello.reason, message: hello.message }),
            _ => return Err(Error::unexpected(&String::from_utf8_lossy(&line))),
        }
        // A server that closes idle connections sooner is told more often that this one is not.
        let max_idle = Duration::try_from_secs_f64(hello.limits.max_idle).ok().filter(|limit| !limit.is_zero());
        let interval = max_idle.map_or(options.keep_alive, |max_idle| options.keep_alive.min(max_idle));
        let pulse = Pulse::of_interval(interval);
        lines.stream.set_timeouts(pulse.tick, pulse.answer_within).map_err(failed)?;
        // Including its end. An answer without the limit does not prevent sending.
        let line_bytes_max = hello.limits.line_bytes_max.map_or(usize::MAX, |max| max.saturating_add(1));
        Ok(Link { lines, connection: hello.connection, line_bytes_max, pulse })
    }

    /// The half that writes.
    pub(super) fn writer(&self) -> io::Result<Stream> {
        self.lines.stream.try_clone()
    }

    /// Reads until the connection is lost, in a thread of its own.
    pub(super) fn read(self, owner: Arc<impl Owner>, epoch: u64) -> io::Result<()> {
        let thread = thread::Builder::new().name("officer-client".to_owned());
        thread.spawn(move || {
            let error = self.read_until_lost(&*owner, epoch);
            owner.lose(epoch, error);
        })?;
        Ok(())
    }

    fn read_until_lost(mut self, owner: &impl Owner, epoch: u64) -> Error {
        let mut asked_at = Instant::now();
        let mut is_asked = false;
        loop {
            match self.lines.next() {
                Ok(Heard::Line(line)) => {
                    is_asked = false;
                    match read_answer(&line) {
                        Ok(answer) => owner.answer(epoch, answer),
                        Err(error) => return Error::ConnectionLost { reason: error.to_string() },
                    }
                }
                Ok(Heard::Part) => is_asked = false,
                Ok(Heard::Nothing) => {}
                Err(error) => return Error::ConnectionLost { reason: error.to_string() },
            }
            let now = Instant::now();
            if is_asked && now >= asked_at + self.pulse.answer_within {
                return Error::ConnectionLost { reason: "the server does not answer keep-alives".to_owned() };
            }
            // Whatever else comes and goes: what was sent meanwhile says nothing about the server, and what was heard
            // does not keep the connection from being idle for it.
            if !is_asked && now >= asked_at + self.pulse.ask_after && owner.sends_keep_alives() {
                (asked_at, is_asked) = (now, true);
                let keep_alive = Request { command: "keep_alive", ..Request::default() };
                if let Err(error) = owner.write(epoch, &keep_alive.line()) {
                    return error;
                }
            }
        }
    }
}

fn read_answer(line: &[u8]) -> Result<Answer, Error> {
    Answer::read(line).ok_or_else(|| Error::unexpected(&String::from_utf8_lossy(line)))
}
