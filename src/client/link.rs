//! The connection itself: making it, and the thread that reads it and keeps it alive.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connect::until;
use super::error::Error;
use super::options::{INTERVAL_MIN, Options};
use super::request::Request;
use super::stream::Stream;
use crate::wire::answer::{Answer, AnswerLimits};

/// The longest line from the server that is accepted.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Lines out of a stream.
#[derive(Debug)]
struct Lines {
    stream: Stream,
    bytes: Vec<u8>,
    scanned: usize,
    /// How long a read waits.
    wait: Duration,
}

/// What reading for a while gave.
enum Heard {
    Line(Vec<u8>),
    /// Something, but no whole line yet.
    Part,
    Nothing,
}

impl Lines {
    fn new(stream: Stream) -> Self {
        Lines { stream, bytes: Vec::new(), scanned: 0, wait: Duration::ZERO }
    }

    fn set_wait(&mut self, wait: Duration) -> io::Result<()> {
        if self.wait != wait {
            self.stream.set_read_timeout(wait)?;
            self.wait = wait;
        }
        Ok(())
    }

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
pub(super) trait LinkUser: Send + Sync + 'static {
    /// The server has answered a request.
    fn answer(&self, epoch: u64, answer: Answer);
    /// Whether keep-alives are sent for it.
    fn sends_keep_alives(&self) -> bool;
    /// Renews the leases that are due. Returns when the next ones are.
    fn renew_leases(&self, epoch: u64) -> Result<Option<Instant>, Error>;
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
    /// How soon it gives us up if it hears nothing. None: never.
    pub(super) silent_after: Option<Duration>,
    /// What it can do beyond what every server can.
    pub(super) features: Vec<String>,
    pulse: Pulse,
}

/// How soon a server gives up a client of which it hears nothing: because the network says so, or because it is idle.
fn silent_after(limits: &AnswerLimits) -> Option<Duration> {
    let limits = [limits.silent_after, limits.max_idle].map(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limits.into_iter().flatten().filter(|limit| !limit.is_zero()).min()
}

/// The longest time for which a lost connection stays unnoticed. Whoever holds a lock has to have stopped before the server
/// gives it to the next, so the program's own time to stop is left for that where it fits, and a quarter of what remains for
/// a machine that is slow. Where it does not fit, it is at least told before.
fn interval(options: &Options, silent_after: Option<Duration>) -> Duration {
    let Some(silent_after) = silent_after else { return options.keep_alive };
    let room = silent_after.saturating_sub(options.stop_within).max(silent_after / 4);
    options.keep_alive.min(room * 3 / 4).max(INTERVAL_MIN)
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
        let mut lines = Lines::new(stream);
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
        let silent_after = silent_after(&hello.limits);
        let pulse = Pulse::of_interval(interval(options, silent_after));
        lines.stream.set_timeouts(pulse.tick, pulse.answer_within).map_err(failed)?;
        if options.on_revoked.is_some() && hello.features.iter().any(|feature| feature == "notices") {
            // Only now is it known that the server has them. Nobody waits for the answer.
            let hello = Request { command: "hello", notices: Some(true), ..Request::default() };
            lines.stream.write_all(&hello.line()).map_err(failed)?;
        }
        // Including its end. An answer without the limit does not prevent sending.
        let line_bytes_max = hello.limits.line_bytes_max.map_or(usize::MAX, |max| max.saturating_add(1));
        let (connection, features) = (hello.connection, hello.features);
        Ok(Link { lines, connection, line_bytes_max, silent_after, features, pulse })
    }

    /// The half that writes.
    pub(super) fn writer(&self) -> io::Result<Stream> {
        self.lines.stream.try_clone()
    }

    /// Reads until the connection is lost, in a thread of its own.
    pub(super) fn read(self, user: Arc<impl LinkUser>, epoch: u64) -> io::Result<()> {
        let thread = thread::Builder::new().name("officer-client".to_owned());
        thread.spawn(move || {
            let error = self.read_until_lost(&*user, epoch);
            user.lose(epoch, error);
        })?;
        Ok(())
    }

    fn read_until_lost(mut self, user: &impl LinkUser, epoch: u64) -> Error {
        let mut asked_at = Instant::now();
        let mut is_asked = false;
        loop {
            if let Err(error) = self.wait_at_most(user.renew_leases(epoch)) {
                return error;
            }
            match self.lines.next() {
                Ok(Heard::Line(line)) => {
                    is_asked = false;
                    match read_answer(&line) {
                        Ok(answer) => user.answer(epoch, answer),
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
            if !is_asked && now >= asked_at + self.pulse.ask_after && user.sends_keep_alives() {
                (asked_at, is_asked) = (now, true);
                let keep_alive = Request { command: "keep_alive", ..Request::default() };
                if let Err(error) = user.write(epoch, &keep_alive.line()) {
                    return error;
                }
            }
        }
    }

    /// The next read ends in time to renew a lease, if that is soon.
    fn wait_at_most(&mut self, next_renewal: Result<Option<Instant>, Error>) -> Result<(), Error> {
        let wait = next_renewal?.map_or(self.pulse.tick, |next| until(next).min(self.pulse.tick));
        self.lines.set_wait(wait).map_err(|error| Error::ConnectionLost { reason: error.to_string() })
    }
}

fn read_answer(line: &[u8]) -> Result<Answer, Error> {
    Answer::read(line).ok_or_else(|| Error::unexpected(&String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_noticed_and_acted_on_before_the_server_gives_the_client_up() {
        for (silent_after, max_idle, given_up) in [
            (0.0, 0.0, None),
            (0.0, 60.0, Some(60)),
            (30.0, 60.0, Some(30)),
            (30.0, 0.0, Some(30)),
            (90.0, 60.0, Some(60)),
        ] {
            let limits = AnswerLimits { silent_after, max_idle, ..AnswerLimits::default() };
            assert_eq!(super::silent_after(&limits), given_up.map(Duration::from_secs), "{silent_after} {max_idle}");
        }
        let nonsense = AnswerLimits { silent_after: -1.0, max_idle: f64::NAN, ..AnswerLimits::default() };
        assert_eq!(silent_after(&nonsense), None);

        let after = |keep_alive, stop_within, silent_after: Option<u64>| {
            let options = Options::new("x").keep_alive(Duration::from_millis(keep_alive));
            let options = options.stop_within(Duration::from_millis(stop_within));
            interval(&options, silent_after.map(Duration::from_millis))
        };
        for (keep_alive, stop_within, silent_after) in
            [(10_000, 5_000, 30_000), (10_000, 5_000, 8_000), (10_000, 0, 1_000), (400, 0, 1_000), (60_000, 20, 60_000)]
        {
            let noticed = after(keep_alive, stop_within, Some(silent_after));
            assert!(noticed + Duration::from_millis(stop_within) < Duration::from_millis(silent_after), "{noticed:?}");
            assert!(noticed <= Duration::from_millis(keep_alive) && noticed >= INTERVAL_MIN, "{noticed:?}");
        }
        // The guide for operators says how long the server may take to answer `officer lock`.
        for (silent_after, answer_within) in
            [(60_000, 3_750), (20_000, 3_750), (15_000, 2_812), (10_000, 1_406), (4_000, 281)]
        {
            let pulse = Pulse::of_interval(after(10_000, 5_000, Some(silent_after)));
            assert_eq!(pulse.answer_within.as_millis(), answer_within, "{silent_after}");
        }
        // What is asked for is kept if it does, or nobody is given up.
        assert_eq!(after(10_000, 5_000, Some(30_000)), Duration::from_secs(10));
        assert_eq!(after(10_000, 5_000, None), Duration::from_secs(10));
        // No time to stop: there is at least some to be told.
        assert!(after(10_000, 60_000, Some(3_000)) < Duration::from_secs(1));
    }
}
