//! The loop that every workload runs in: one thread, one poll, as the server has it.

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

/// Events taken from one poll.
const EVENTS_MAX: usize = 1024;
/// The poll sleeps no longer, so that the bar moves.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long what was begun may take to be done when the time is over. It is not counted, but the server is left as it was
/// found.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Time as all of this counts it: in nanoseconds, of the one clock that all processes of a machine share.
pub(super) fn now() -> u64 {
    nanos(Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default())
}

/// What a workload does when something happens.
pub(super) trait Workload {
    /// Begins on all connections.
    fn start(&mut self, tally: &mut Tally);
    /// Something happened on a connection.
    fn ready(&mut self, event: &Event, tally: &mut Tally);
    /// Begins nothing new.
    fn stop(&mut self);
    /// Whether there is nothing that is still to be answered.
    fn is_idle(&self) -> bool;
}

/// How long it is done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// For a time, after another that is not counted.
    Time { warm_up: Duration, measured: Duration },
    /// Until so much is done.
    Count(usize),
}

impl Plan {
    pub(super) fn new(load: &LoadOptions) -> Self {
        let time = Plan::Time { warm_up: load.warm_up.0, measured: load.seconds.0 };
        load.pairs.map_or(time, Plan::Count)
    }
}

/// What a measurement took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) time: Duration,
    /// Processor time of the load generator.
    pub(super) own: Duration,
    /// Processor time of the server, if it can be told.
    pub(super) server: Option<Duration>,
    /// Processes that made the load.
    pub(super) processes: usize,
    /// Whether it was ended by a signal before it was through.
    pub(super) is_interrupted: bool,
}

/// Runs a workload, as long as it is planned or until Ctrl-C.
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
    let is_interrupted = loop {
        let now = now();
        if !has_begun && now >= begin_at {
            has_begun = true;
            tally.begin(now);
            begun = Marks::take(server);
            end_at = self::now().saturating_add(measured);
        }
        let is_interrupted = interrupted.load(Ordering::Relaxed);
        if (has_begun && now >= end_at) || workload.is_idle() || is_interrupted {
            break is_interrupted;
        }
        let step = if matches!(plan, Plan::Count(_)) { tally.operations } else { now - start };
        progress.tick(now, step, || rate(tally.operations, begun.at.elapsed()));
        let next = if has_begun { end_at } else { begin_at };
        turn(workload, poll, &mut events, Duration::from_nanos(next.saturating_sub(now)), tally)?;
    };
    let spent = Spent { is_interrupted, ..begun.spent(server) };
    // Whoever has nothing more to do misses nothing of what others do.
    if !workload.is_idle() {
        tally.end(now());
        drain(workload, poll, &mut events, tally)?;
    }
    Ok(spent)
}

fn turn(
    workload: &mut impl Workload,
    poll: &mut Poll,
    events: &mut Events,
    sleep: Duration,
    tally: &mut Tally,
) -> Result<(), Failure> {
    match poll.poll(events, Some(sleep.min(SLEEP_MAX))) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
        result => result.map_err(Failure::System)?,
    }
    for event in events.iter() {
        workload.ready(event, tally);
    }
    Ok(())
}

fn drain(workload: &mut impl Workload, poll: &mut Poll, events: &mut Events, tally: &mut Tally) -> Result<(), Failure> {
    workload.stop();
    let give_up = now() + nanos(DRAIN_MAX);
    while !workload.is_idle() && now() < give_up {
        turn(workload, poll, events, SLEEP_MAX, tally)?;
    }
    Ok(())
}

/// Becomes true when somebody wants us to end. A second signal ends us at once. It is the same whenever it is asked for: a
/// worker looks out for signals before it has anything to do, and must not forget one until then.
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

/// Lets time pass, until something is over. Returns how much it was.
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

/// Where the clocks stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    at: Instant,
    own: Duration,
    server: Option<Duration>,
}

impl Marks {
    pub(super) fn take(server: Option<u32>) -> Self {
        // A server that has ended meanwhile is noticed by its connections.
        let server = server.and_then(|pid| process::cpu_time(pid).ok());
        Marks { at: Instant::now(), own: process::own_cpu_time(), server }
    }

    /// With the processor time of processes that work for this one.
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
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
