//! `officer bench storm`: thousands of connections end at once while another client continues.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use self::probe::Probe;
use self::waiters::Waiters;
use super::drive::Spent;
use super::holding::Holding;
use super::latency::latencies;
use super::options::{self, HoldOptions, TargetOptions};
use super::report::Report;
use super::script::Protocol;
use super::tally::Tally;
use super::{Failure, drive};
use crate::console::values::{Seconds, seconds_above_zero};

mod probe;
mod waiters;

const MEASURED: &str = "\
What is measured: one process, or several, make the connections, each of which holds its locks; for each lock another \
connection waits. The processes are killed, so that all their connections end at once. The result is the time until \
the last waiter has its lock, with the processor time of the load generator, including the connections that end. \
Meanwhile, and for some seconds before, another client locks and unlocks a key of its own every millisecond. Its \
latency is corrected for coordinated omission: a pair that took 5 ms also counts as pairs of 4, 3, 2 and 1 ms, which \
could not begin meanwhile.";

/// How many locks each waiting connection may wait for. The server's limit is 10,000.
const WAITS_MAX: usize = 5000;
/// How long the last waiter may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
#[command(after_help = MEASURED)]
pub(super) struct Options {
    #[command(flatten)]
    target: TargetOptions,

    #[command(flatten)]
    load: HoldOptions,

    /// Locks that each connection holds, at most 64
    #[arg(short, long, value_name = "COUNT", default_value = "5", help_heading = "Load")]
    #[arg(value_parser = options::locks())]
    locks: usize,

    /// How long the other client is measured before the storm
    #[arg(short, long, value_name = "SECONDS", default_value = "2", help_heading = "Load")]
    #[arg(value_parser = seconds_above_zero)]
    seconds: Seconds,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let (load, connections) = (&options.load, options.load.connections);
    let mut crew = Holding::start(&options.target, load, options.locks, Protocol::Officer)?;
    let interrupted = drive::interruption().map_err(Failure::System)?;
    crew.open(0..connections)?;

    let locks = connections * options.locks;
    let waiters = Waiters::new(&crew.target, locks, WAITS_MAX)?;
    // The probe's key comes after those that are held.
    let mut watch = Watch::new(waiters, Probe::new(&crew.target, locks)?, interrupted)?;
    let calm_until = Instant::now() + options.seconds.0;
    let calm = watch.until(|_, _| Instant::now() >= calm_until)?;
    let begun = crew.marks();
    // After a Ctrl-C there is no storm.
    if !watch.is_interrupted() {
        crew.kill()?;
    }
    let give_up = Instant::now() + PATIENCE;
    let storm = watch.until(|waiters, latency| {
        // However small the storm is, the other client must get through.
        (waiters.granted() == locks && !latency.is_empty()) || Instant::now() >= give_up
    })?;
    let mut spent = crew.spent(begun);
    spent.is_interrupted = watch.is_interrupted();
    // This process waits for the locks of all, and is the other client.
    spent.processes += 1;
    let mut tally = Tally::new();
    let missing = locks - watch.waiters.granted();
    if missing > 0 && !spent.is_interrupted {
        tally.wrong.add(format!("none, for {missing} of {locks} waits, in {PATIENCE:?}"));
    }
    let report = report(&crew, watch.waiters.granted(), missing, connections, spent);
    let report = report.with_latency("before", &calm).with_latency("meanwhile", &storm).with_failures(&tally);
    report.print(load.json)?;
    report.verdict()
}

fn report(crew: &Holding<'_>, granted: usize, missing: usize, connections: usize, spent: Spent) -> Report {
    // How long a storm takes is known when it is over.
    let time = (missing == 0).then_some(spent.time);
    let ends = time.map(|time| connections as f64 / time.as_secs_f64());
    let millis = time.map(|time| time.as_secs_f64() * 1e3);
    let cpu = time.and(spent.server).map(|time| time.as_secs_f64() * 1e6 / connections as f64);
    let process = crew.server.map(|pid| json!({ "pid": pid, "cpu_us_per_connection": cpu }));
    let mut report = crew
        .report("storm")
        .with("protocol", Protocol::Officer.name())
        .with("grants", granted)
        .with("interrupted", spent.is_interrupted)
        .with("ends_per_second", ends)
        .with("storm_ms", millis)
        .with("server", process.unwrap_or(Value::Null));
    if let Some((millis, ends)) = millis.zip(ends) {
        let text = format!("{granted} grants after {millis:.0} ms, {ends:.0} connections per second");
        report = report.line("ended", text);
    }
    if let Some(cpu) = cpu {
        report = report.line("server", format!("{cpu:.1} µs of CPU for the end of each"));
    }
    if missing == 0 { report.with_generator(spent) } else { report }
}

/// Those who wait, and the other client, in one poll.
struct Watch {
    poll: Poll,
    events: Events,
    waiters: Waiters,
    probe: Probe,
    interrupted: Arc<AtomicBool>,
}

impl Watch {
    fn new(mut waiters: Waiters, mut probe: Probe, interrupted: Arc<AtomicBool>) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::System)?;
        waiters.register(&poll)?;
        poll.registry().register(probe.socket().source(), PROBE, Interest::READABLE).map_err(Failure::System)?;
        Ok(Watch { poll, events: Events::with_capacity(1024), waiters, probe, interrupted })
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Goes on until it is over. Returns the latencies of the other client.
    fn until(&mut self, is_over: impl Fn(&Waiters, &Histogram<u64>) -> bool) -> Result<Histogram<u64>, Failure> {
        let mut latency = latencies();
        while !is_over(&self.waiters, &latency) && !self.is_interrupted() {
            let sleep = self.probe.go_on()?;
            match self.poll.poll(&mut self.events, Some(sleep)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.map_err(Failure::System)?,
            }
            for event in &self.events {
                match event.token() {
                    PROBE => self.probe.hear(&mut latency)?,
                    token => self.waiters.hear(token.0)?,
                }
            }
        }
        Ok(latency)
    }
}

/// The probe's token. The waiters' tokens are their numbers.
const PROBE: Token = Token(usize::MAX);
