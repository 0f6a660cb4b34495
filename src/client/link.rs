//! The connection itself: making it, and the thread that reads it and keeps it alive.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connect::until;
use super::error::Error;
use super::options::{INTERVAL_MIN, Options};
use super::request::{Grace, Request};
use super::session::{Resumption, Session, SessionAnswer};
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
                return Err(io::Error::other("the server sent a line without an end"));
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
    /// Sends a keep-alive.
    fn keep_alive(&self, epoch: u64) -> Result<(), Error>;
    /// Sends some of the requests that were made without a connection. Says whether there are more.
    fn send_backlog(&self, epoch: u64) -> Result<bool, Error>;
    /// The connection was found lost.
    fn lose(&self, epoch: u64, error: Error);
    /// Makes a new connection for the session of the lost one, if it has one. None: it is lost for good.
    fn resume(&self, epoch: u64) -> Option<Link>;
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
    /// A new session.
    pub(super) session: Option<Session>,
    pulse: Pulse,
    beat: Beat,
    has_backlog: bool,
    /// Nothing was there to be read.
    is_quiet: bool,
}

/// Why a session was not resumed.
#[derive(Debug)]
pub(super) enum NotResumed {
    /// It is over.
    Over(String),
    /// Perhaps the next attempt succeeds.
    NotYet,
    /// The same, but the server may get the request that was not answered, even after that of the next attempt.
    Unanswered,
}

/// How soon a server gives up a client of which it hears nothing: because the network says so, or because it is idle.
fn silent_after(limits: &AnswerLimits) -> Option<Duration> {
    let limits = [limits.silent_after, limits.max_idle].map(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limits.into_iter().flatten().filter(|limit| !limit.is_zero()).min()
}

/// The longest time for which a lost connection stays unnoticed. Whoever holds a lock has to have stopped before the server
/// gives it to the next, so the program's own time to stop is left for that where it fits, and a quarter of what remains for
/// a machine that is slow. Where it does not fit, it is at least told before. A session is resumed meanwhile: half of its
/// time is left for that.
fn interval(options: &Options, silent_after: Option<Duration>) -> Duration {
    let room = silent_after.map(|silent_after| Session::room(silent_after, options.stop_within) * 3 / 4);
    let of_session = options.session.map(|grace| Session::room(grace, options.stop_within) / 2);
    let interval = room.into_iter().chain(of_session).fold(options.keep_alive, Duration::min);
    interval.max(INTERVAL_MIN)
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

/// Whether the server answers keep-alives.
#[derive(Debug)]
struct Beat {
    asked_at: Instant,
    is_asked: bool,
}

impl Beat {
    fn new() -> Self {
        Beat { asked_at: Instant::now(), is_asked: false }
    }

    fn heard(&mut self, heard: &Heard) {
        self.is_asked &= matches!(heard, Heard::Nothing);
    }

    /// Whether to send the next keep-alive. Whatever else comes and goes: what was sent meanwhile says nothing about the
    /// server, and what was heard does not keep the connection from being idle for it.
    fn is_due(&mut self, pulse: &Pulse, is_sent: impl FnOnce() -> bool) -> Result<bool, Error> {
        let now = Instant::now();
        if self.is_asked && now >= self.asked_at + pulse.answer_within {
            return Err(Error::ConnectionLost { reason: "the server does not answer keep-alives".to_owned() });
        }
        let is_due = !self.is_asked && now >= self.asked_at + pulse.ask_after && is_sent();
        if is_due {
            *self = Beat { asked_at: now, is_asked: true };
        }
        Ok(is_due)
    }
}

impl Link {
    /// Connects and says hello; begins a session if there is to be one.
    pub(super) fn connect(options: &Options) -> Result<Self, Error> {
        let give_up = Instant::now() + options.connect_timeout;
        let mut link = Link::greet(options, give_up)?;
        let notices = (options.on_revoked.is_some() && link.has_feature("notices")).then_some(true);
        if let Some(grace) = options.session {
            if !link.has_feature("session") {
                return Err(Error::Unsupported { feature: "session" });
            }
            let asked_at = Instant::now();
            let session = Some(Grace { grace: grace.as_secs_f64() });
            let line = link.hello(Request { notices, session, ..Request::default() }, options, give_up)?;
            let terms = read_session(&line)?.session.ok_or_else(|| Error::unexpected("a hello without a session"))?;
            let room = Session::room(Duration::try_from_secs_f64(terms.grace).unwrap_or(grace), options.stop_within);
            link.session = Some(Session::new(terms.secret, room, asked_at));
        } else if notices.is_some() {
            // Only now is it known that the server has them. Nobody waits for the answer.
            let hello = Request { command: "hello", notices, ..Request::default() };
            link.lines.stream.write_all(&hello.line()).map_err(|error| connect_error(options, &error))?;
        }
        link.begin_pulse(options)?;
        Ok(link)
    }

    /// Connects, and takes over the session that has this secret.
    pub(super) fn resume(
        options: &Options,
        secret: &str,
        give_up: Instant,
    ) -> Result<(Self, Option<Resumption>), NotResumed> {
        let mut link = Link::greet(options, give_up).map_err(|_| NotResumed::NotYet)?;
        if !link.has_feature("session") {
            return Err(NotResumed::Over("the server was replaced by an older one".to_owned()));
        }
        let asked_at = Instant::now();
        let resume = Request { resume: Some(secret), ..Request::default() };
        let line = link.hello(resume, options, give_up).map_err(|error| match error {
            Error::Server { message, .. } => NotResumed::Over(message),
            _ => NotResumed::Unanswered,
        })?;
        let answer = read_session(&line).map_err(|_| NotResumed::NotYet)?;
        if !answer.resumed {
            return Err(NotResumed::Over("the server does not resume sessions".to_owned()));
        }
        link.begin_pulse(options).map_err(|_| NotResumed::NotYet)?;
        link.has_backlog = true;
        Ok((link, Resumption::of(answer, asked_at)))
    }

    /// Connects in order to watch what happens to the locks whose names begin so.
    pub(super) fn watch(options: &Options, prefix: &str) -> Result<Self, Error> {
        let give_up = Instant::now() + options.connect_timeout;
        let mut link = Link::greet(options, give_up)?;
        if !link.has_feature("watch") {
            return Err(Error::Unsupported { feature: "watch" });
        }
        let watch = Request { command: "watch", prefix: Some(prefix), ..Request::default() };
        link.ask(&watch, "watching", options, give_up)?;
        link.begin_pulse(options)?;
        Ok(link)
    }

    /// What the server says next, if it says something in this time; keep-alives are sent and missed meanwhile.
    pub(super) fn next_answer(&mut self, wait: Duration) -> Result<Option<Answer>, Error> {
        let failed = |error: io::Error| Error::ConnectionLost { reason: error.to_string() };
        let give_up = Instant::now() + wait;
        loop {
            self.lines.set_wait(until(give_up).min(self.pulse.tick)).map_err(failed)?;
            let heard = self.lines.next().map_err(failed)?;
            self.beat.heard(&heard);
            if self.beat.is_due(&self.pulse, || true)? {
                let keep_alive = Request { command: "keep_alive", ..Request::default() };
                self.lines.stream.write_all(&keep_alive.line()).map_err(failed)?;
            }
            if let Heard::Line(line) = heard {
                return read_answer(&line).map(Some);
            }
            if Instant::now() >= give_up {
                return Ok(None);
            }
        }
    }

    /// Connects and says hello.
    fn greet(options: &Options, give_up: Instant) -> Result<Self, Error> {
        let stream = Stream::connect(options, give_up).map_err(|error| connect_error(options, &error))?;
        let pulse = Pulse::of_interval(options.keep_alive);
        let mut link = Link {
            lines: Lines::new(stream),
            connection: String::new(),
            line_bytes_max: usize::MAX,
            silent_after: None,
            features: Vec::new(),
            session: None,
            pulse,
            beat: Beat::new(),
            has_backlog: false,
            is_quiet: true,
        };
        let line = link.hello(hello(options), options, give_up)?;
        let hello = read_answer(&line)?;
        link.silent_after = silent_after(&hello.limits);
        link.pulse = Pulse::of_interval(interval(options, link.silent_after));
        // Including its end. An answer without the limit does not prevent sending.
        link.line_bytes_max = hello.limits.line_bytes_max.map_or(usize::MAX, |max| max.saturating_add(1));
        (link.connection, link.features) = (hello.connection, hello.features);
        Ok(link)
    }

    /// Says hello. Returns the line that answers it.
    fn hello(&mut self, hello: Request<'_>, options: &Options, give_up: Instant) -> Result<Vec<u8>, Error> {
        self.ask(&Request { command: "hello", ..hello }, "hello", options, give_up)
    }

    /// Asks before anything else is said. Returns the line that answers it.
    fn ask(
        &mut self,
        request: &Request<'_>,
        result: &str,
        options: &Options,
        give_up: Instant,
    ) -> Result<Vec<u8>, Error> {
        let failed = |error: io::Error| connect_error(options, &error);
        self.lines.stream.set_timeouts(until(give_up), until(give_up)).map_err(failed)?;
        // A server without room may be gone before this is written. What it said is there to read all the same.
        let _ = self.lines.stream.write_all(&request.line());
        let line = loop {
            self.lines.stream.set_timeouts(until(give_up), until(give_up)).map_err(failed)?;
            match self.lines.next().map_err(failed)? {
                Heard::Line(line) => break line,
                Heard::Part if Instant::now() < give_up => {}
                Heard::Part | Heard::Nothing => {
                    return Err(failed(io::Error::new(ErrorKind::TimedOut, "the server does not answer")));
                }
            }
        };
        check_result(&line, result)?;
        Ok(line)
    }

    fn begin_pulse(&mut self, options: &Options) -> Result<(), Error> {
        let timeouts = self.lines.stream.set_timeouts(self.pulse.tick, self.pulse.answer_within);
        timeouts.map_err(|error| connect_error(options, &error))
    }

    fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|listed| listed == feature)
    }

    /// Nobody wants the session any more.
    pub(super) fn end_session(mut self) {
        self.lines.stream.end_session();
    }

    /// The half that writes.
    pub(super) fn writer(&self) -> io::Result<Stream> {
        self.lines.stream.try_clone()
    }

    /// Reads until the connection is lost for good, in a thread of its own.
    pub(super) fn read(self, user: Arc<impl LinkUser>, epoch: u64) -> io::Result<()> {
        let thread = thread::Builder::new().name("officer-client".to_owned());
        thread.spawn(move || {
            let mut link = Some(self);
            while let Some(current) = link {
                let error = current.read_until_lost(&*user, epoch);
                user.lose(epoch, error);
                link = user.resume(epoch);
            }
        })?;
        Ok(())
    }

    fn read_until_lost(mut self, user: &impl LinkUser, epoch: u64) -> Error {
        loop {
            if let Err(error) = self.read_once(user, epoch) {
                return error;
            }
        }
    }

    fn read_once(&mut self, user: &impl LinkUser, epoch: u64) -> Result<(), Error> {
        // What the server answers to one part is read before the next is sent, so that neither waits for the other.
        if self.has_backlog && self.is_quiet {
            self.has_backlog = user.send_backlog(epoch)?;
        }
        self.wait_at_most(user.renew_leases(epoch)?)?;
        let lost = |error: io::Error| Error::ConnectionLost { reason: error.to_string() };
        let heard = self.lines.next().map_err(lost)?;
        self.is_quiet = matches!(heard, Heard::Nothing);
        self.beat.heard(&heard);
        if let Heard::Line(line) = heard {
            let answer = read_answer(&line).map_err(|error| Error::ConnectionLost { reason: error.to_string() })?;
            user.answer(epoch, answer);
        }
        if self.beat.is_due(&self.pulse, || user.sends_keep_alives())? {
            user.keep_alive(epoch)?;
        }
        Ok(())
    }

    /// The next read ends in time to renew a lease, if that is soon.
    fn wait_at_most(&mut self, next_renewal: Option<Instant>) -> Result<(), Error> {
        let tick = if self.has_backlog { Duration::from_millis(1) } else { self.pulse.tick };
        let wait = next_renewal.map_or(tick, |next| until(next).min(tick));
        self.lines.set_wait(wait).map_err(|error| Error::ConnectionLost { reason: error.to_string() })
    }
}

fn read_answer(line: &[u8]) -> Result<Answer, Error> {
    Answer::read(line).ok_or_else(|| Error::unexpected(&String::from_utf8_lossy(line)))
}

fn read_session(line: &[u8]) -> Result<SessionAnswer, Error> {
    // It contains a secret, so it is not shown.
    serde_json::from_slice(line).map_err(|_| Error::unexpected("a hello with a session"))
}

/// Who the client is, to the server.
pub(super) fn hello(options: &Options) -> Request<'_> {
    let (user, secret) = options.user.as_ref().map(|user| (&*user.name, &*user.secret)).unzip();
    Request { command: "hello", client: options.name.as_deref(), user, secret, ..Request::default() }
}

/// Checks that a line has the result that was asked for.
pub(super) fn check_result(line: &[u8], result: &str) -> Result<(), Error> {
    let answer = read_answer(line)?;
    match answer.result.as_str() {
        said if said == result => Ok(()),
        "error" => Err(Error::Server { reason: answer.reason, message: answer.message }),
        _ => Err(Error::unexpected(&String::from_utf8_lossy(line))),
    }
}

pub(super) fn connect_error(options: &Options, error: &io::Error) -> Error {
    Error::Connect { address: options.address.to_string(), message: error.to_string(), kind: error.kind() }
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
        // A session has to be resumed in what is left of its grace.
        for (grace, stop_within, silent_after) in [(30, 5, Some(60)), (4, 0, None), (10, 20, Some(30))] {
            let (grace, stop_within) = (Duration::from_secs(grace), Duration::from_secs(stop_within));
            let options = Options::new("x").session(grace).stop_within(stop_within);
            let room = Session::room(grace, stop_within);
            assert!(room <= grace && (room + stop_within <= grace || stop_within > grace / 2), "{room:?}");
            assert!(interval(&options, silent_after.map(Duration::from_secs)) <= room / 2, "{grace:?}");
        }
        // What is asked for is kept if it does, or nobody is given up.
        assert_eq!(after(10_000, 5_000, Some(30_000)), Duration::from_secs(10));
        assert_eq!(after(10_000, 5_000, None), Duration::from_secs(10));
        // No time to stop: there is at least some to be told.
        assert!(after(10_000, 60_000, Some(3_000)) < Duration::from_secs(1));
    }
}
