//! The loop that every workload runs in: one thread and one poll, as in the server.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::options::LoadOptions;
use super::process;
use super::progress::Progress;
use super::tally::Tally;
use crate::console::Failure;
use crate::time::Span;

/// Events taken from one poll.
const EVENTS_MAX: usize = 1024;
/// The poll sleeps no longer than this, so that the progress bar moves.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same while pairs in flight finish, when the time is over. They are not counted, but the server is left as it was
/// found.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// The time in nanoseconds, of the clock that all processes of a machine share.
pub(super) fn now() -> u64 {
    nanos(Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default())
}

/// How a workload reacts to events.
pub(super) trait Workload {
    /// Begins on all connections.
    fn start(&mut self, tally: &mut Tally);
    /// Something happened on a connection.
    fn ready(&mut self, event: &Event, tally: &mut Tally);
    /// Begins nothing new.
    fn stop(&mut self);
    /// Connections that wait for an answer.
    fn busy(&self) -> usize;

    /// Whether all requests have been answered.
    fn is_idle(&self) -> bool {
        self.busy() == 0
    }
}

/// How long a workload runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// For a time, after a warm-up that is not counted.
    Time { warm_up: Duration, measured: Duration },
    /// Until this much is done.
    Count(usize),
}

impl Plan {
    pub(super) fn new(load: &LoadOptions) -> Self {
        let time = Plan::Time { warm_up: load.warm_up.0, measured: load.seconds.0 };
        load.pairs.map_or(time, Plan::Count)
    }
}

/// What a measurement used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) time: Duration,
    /// Processor time of the load generator.
    pub(super) own: Duration,
    /// Processor time of the server, if known.
    pub(super) server: Option<Duration>,
    /// Processes that made the load.
    pub(super) processes: usize,
    /// Whether it was interrupted by a signal.
    pub(super) is_interrupted: bool,
}

/// Runs a workload as planned, or until Ctrl-C.
pub(super) fn drive(
    workload: &mut impl Workload,
    poll: &mut Poll,
    plan: Plan,
    server: Option<u32>,
    tally: &mut Tally,
) -> Result<Spent, Failure> {
    let interrupted = interruption().map_err(Failure::System)?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    let start = now();
    let (warm_up, measured, steps) = match plan {
        Plan::Time { warm_up, measured } => (nanos(warm_up), nanos(measured), nanos(warm_up + measured)),
        Plan::Count(count) => (0, u64::MAX, count as u64),
    };
    let mut progress = Progress::new("measuring", steps);
    let mut begun = Marks::take(server);
    let begin_at = start.saturating_add(warm_up);
    let mut has_begun = warm_up == 0;
    let mut end_at = now().saturating_add(measured);
    workload.start(tally);
    let mut silence = Silence::new(PATIENCE);
    let is_interrupted = loop {
        let now = now();
        if !has_begun && now >= begin_at {
            has_begun = true;
            tally.begin(now);
            begun = Marks::take(server);
            end_at = self::now().saturating_add(measured);
        }
        let is_interrupted = interrupted.load(Ordering::Relaxed);
        if (has_begun && now >= end_at) || workload.is_idle() || is_interrupted || silence.is_over(now) {
            break is_interrupted;
        }
        let step = if matches!(plan, Plan::Count(_)) { tally.operations } else { now - start };
        progress.tick(now, step, || rate(tally.operations, begun.at.elapsed()));
        let next = if has_begun { end_at } else { begin_at };
        turn(workload, poll, &mut events, Duration::from_nanos(next.saturating_sub(now)), tally, &mut silence)?;
    };
    let spent = Spent { is_interrupted, ..begun.spent(server) };
    // If nothing is left to do, nothing is missed.
    if !workload.is_idle() {
        tally.end(now());
        drain(workload, poll, &mut events, tally, silence)?;
    }
    Ok(spent)
}

fn turn(
    workload: &mut impl Workload,
    poll: &mut Poll,
    events: &mut Events,
    sleep: Duration,
    tally: &mut Tally,
    silence: &mut Silence,
) -> Result<(), Failure> {
    match poll.poll(events, Some(sleep.min(SLEEP_MAX))) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
        result => result.map_err(Failure::System)?,
    }
    for event in events.iter() {
        workload.ready(event, tally);
    }
    if !events.is_empty() {
        silence.begin_again();
    }
    Ok(())
}

/// Waits for what is in flight, as long as any of it is answered.
fn drain(
    workload: &mut impl Workload,
    poll: &mut Poll,
    events: &mut Events,
    tally: &mut Tally,
    mut silence: Silence,
) -> Result<(), Failure> {
    workload.stop();
    if !silence.is_over(now()) {
        silence = Silence::new(DRAIN_PATIENCE);
    }
    while !workload.is_idle() && !silence.is_over(now()) {
        turn(workload, poll, events, SLEEP_MAX, tally, &mut silence)?;
    }
    for _ in 0..workload.busy() {
        tally.lost.add(silence.to_string());
    }
    Ok(())
}

/// For how long the server has said nothing, although it was asked.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: u64,
    max: Duration,
}

impl Silence {
    fn new(max: Duration) -> Self {
        Silence { since: now(), max }
    }

    fn begin_again(&mut self) {
        self.since = now();
    }

    fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.since) >= nanos(self.max)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server has not answered for {} s", self.max.as_secs())
    }
}

/// Becomes true when a signal asks this process to end. A second signal ends it at once. Every call returns the same
/// flag: a worker listens for signals before it has anything to do, and must not lose one meanwhile.
pub(super) fn interruption() -> io::Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(Arc::clone(FLAG.get_or_init(|| flag)))
}

/// Waits for a time, or until something has ended. Returns how long that was.
pub(super) fn pass(time: Duration, what: &'static str, mut is_over: impl FnMut() -> bool) -> Duration {
    const STEP: Duration = Duration::from_millis(50);
    let start = Instant::now();
    let mut progress = Progress::new(what, nanos(time));
    while start.elapsed() < time && !is_over() {
        let elapsed = start.elapsed();
        progress.tick(nanos(elapsed), nanos(elapsed), String::new);
        thread::sleep(STEP.min(time - elapsed.min(time)));
    }
    start.elapsed()
}

/// The clocks at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    at: Instant,
    own: Duration,
    server: Option<Duration>,
}

impl Marks {
    pub(super) fn take(server: Option<u32>) -> Self {
        // The connections notice if a server has ended meanwhile.
        let server = server.and_then(|pid| process::cpu_time(pid).ok());
        Marks { at: Instant::now(), own: process::own_cpu_time(), server }
    }

    /// Adds the processor time of worker processes.
    pub(super) fn and(self, workers: Duration) -> Self {
        Marks { own: self.own + workers, ..self }
    }

    pub(super) fn spent(self, server: Option<u32>) -> Spent {
        self.until(Marks::take(server))
    }

    pub(super) fn until(self, now: Marks) -> Spent {
        Spent {
            time: now.at - self.at,
            own: now.own.saturating_sub(self.own),
            server: now.server.zip(self.server).map(|(now, then)| now.saturating_sub(then)),
            processes: 1,
            is_interrupted: false,
        }
    }
}

fn rate(operations: u64, time: Duration) -> String {
    format!("{:.0} per second", operations as f64 / time.as_secs_f64().max(1e-3))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    Span::from(duration).as_nanos()
}
