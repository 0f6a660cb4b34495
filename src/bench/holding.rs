//! Processes whose connections hold locks, for `hold` and `storm`.

use std::ffi::OsString;
use std::ops::Range;
use std::time::Duration;

use super::crew::Crew;
use super::drive::{Marks, Spent};
use super::options::{self, HoldOptions, TargetOptions};
use super::report::Report;
use super::script::Protocol;
use super::target::Target;
use crate::console::Failure;

/// Worker processes that hold locks.
pub(super) struct Holding<'a> {
    pub(super) target: Target,
    /// The server's process, if known.
    pub(super) server: Option<u32>,
    options: &'a HoldOptions,
    locks: usize,
    crew: Crew,
    /// How long it took to make the connections.
    took: Duration,
}

impl<'a> Holding<'a> {
    pub(super) fn start(
        target: &TargetOptions,
        options: &'a HoldOptions,
        locks: usize,
        protocol: Protocol,
    ) -> Result<Self, Failure> {
        options::prepare(options.pin, options.connections.div_ceil(options.processes))?;
        let resolved = target.target(protocol)?;
        let server = target.server(&resolved)?;
        let mut args: Vec<OsString> = ["bench", "hold"].map(OsString::from).to_vec();
        args.extend(target.to_args());
        for (option, value) in [
            ("--connections", options.connections.to_string()),
            ("--locks", locks.to_string()),
            ("--protocol", protocol.name()),
        ] {
            args.extend([option.into(), value.into()]);
        }
        // They inherit the CPU from this process.
        let crew = Crew::start(&args, options.processes)?;
        Ok(Holding { target: resolved, server, options, locks, crew, took: Duration::ZERO })
    }

    /// Makes the connections with these numbers.
    pub(super) fn open(&mut self, numbers: Range<usize>) -> Result<(), Failure> {
        let answers = self.crew.ask(&format!("open {} {}", numbers.start, numbers.end))?;
        // They work at the same time, so this took as long as the slowest.
        let seconds = answers.iter().filter_map(|answer| answer["seconds"].as_f64()).fold(0.0, f64::max);
        self.took += Duration::from_secs_f64(seconds);
        Ok(())
    }

    /// Releases all locks.
    pub(super) fn release(&mut self) -> Result<(), Failure> {
        self.crew.ask("release").map(|_| ())
    }

    /// Ends all of them, so that the system closes their connections.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.crew.kill()
    }

    /// The clocks at this moment, including those of the workers.
    pub(super) fn marks(&self) -> Marks {
        Marks::take(self.server).and(self.crew.cpu_time())
    }

    pub(super) fn spent(&self, since: Marks) -> Spent {
        Spent { processes: self.options.processes, ..since.until(self.marks()) }
    }

    /// How the connections were made.
    pub(super) fn report(&self, workload: &str) -> Report {
        let rate = self.options.connections as f64 / self.took.as_secs_f64();
        Report::new(workload)
            .with("address", self.target.shown())
            .with("tls", self.target.is_encrypted())
            .with("connections", self.options.connections)
            .with("locks", self.locks)
            .with("connections_per_second", rate)
            .line("made", format!("{rate:.0} connections per second, a lock taken by each"))
    }
}
