//! The load of `pair`, `bundle`, `connect` and `handoff`, by one process or shared out among several.

use std::env;
use std::ffi::OsString;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::Poll;
use serde_json::json;

use super::crew::{self, Crew};
use super::drive::{self, Marks, Plan, Spent, Workload, nanos};
use super::hand_overs::{Grants, HandOvers};
use super::options::{LoadOptions, TargetOptions, prepare};
use super::report::Report;
use super::script::Protocol;
use super::tally::Tally;
use super::target::Target;
use super::worker::Worker;
use crate::console::Failure;

/// The repeated work.
pub(super) struct Load<'a, W> {
    pub(super) target: &'a TargetOptions,
    pub(super) options: &'a LoadOptions,
    pub(super) protocol: Protocol,
    /// Makes a worker's part of the connections.
    pub(super) connect: &'a dyn Fn(&Target, &Poll, Worker) -> Result<W, Failure>,
    /// Number of locks that the connections hand around, if any.
    pub(super) locks: Option<usize>,
}

impl<W: Workload> Load<'_, W> {
    /// Measures and adds the result to a report; in a worker, does a part of the work for the process that does.
    pub(super) fn run(&self, report: Report) -> Result<(), Failure> {
        match self.options.worker {
            Some(worker) => self.work(worker),
            None => self.measure(report),
        }
    }

    fn measure(&self, report: Report) -> Result<(), Failure> {
        let options = self.options;
        prepare(options.pin, options.connections.div_ceil(options.processes))?;
        let target = self.target.target(self.protocol)?;
        let server = self.target.server(&target)?;
        let mut tally = Tally::new();
        tally.hand_overs = self.locks.map(HandOvers::new);
        let spent = if options.processes > 1 {
            self.share_out(server, &mut tally)?
        } else {
            let mut poll = Poll::new().map_err(Failure::System)?;
            let mut load = (self.connect)(&target, &poll, Worker { number: 0, of: 1 })?;
            drive::drive(&mut load, &mut poll, Plan::new(options), server, &mut tally)?
        };
        let report = report
            .with("address", target.shown())
            .with("tls", target.is_encrypted())
            .with("protocol", self.protocol.name())
            .with("connections", options.connections);
        let report = report.with_pairs(&tally, spent, server);
        report.print(options.json)?;
        report.verdict()
    }

    /// Makes the load with several processes, and adds up what they have measured.
    fn share_out(&self, server: Option<u32>, tally: &mut Tally) -> Result<Spent, Failure> {
        let options = self.options;
        let interrupted = drive::interruption().map_err(Failure::System)?;
        let args: Vec<OsString> = env::args_os().skip(1).collect();
        let mut crew = Crew::start(&args, options.processes)?;
        crew.ask("connect")?;
        crew.order("go")?;
        // A worker that gets only wrong answers ends early.
        crew.dismiss();
        if options.pairs.is_none() {
            drive::pass(options.warm_up.0, "warming up", || interrupted.load(Ordering::Relaxed) || crew.have_ended());
        }
        let begun = Marks::take(server);
        if options.pairs.is_none() {
            drive::pass(options.seconds.0, "measuring", || interrupted.load(Ordering::Relaxed) || crew.have_ended());
        }
        let ended = begun.spent(server);
        let mut spent = Spent { own: Duration::ZERO, time: Duration::ZERO, processes: options.processes, ..ended };
        let answers = crew.answers()?;
        for answer in &answers {
            spent.own += Duration::from_nanos(answer["own"].as_u64().unwrap_or(0));
            spent.time = spent.time.max(Duration::from_nanos(answer["time"].as_u64().unwrap_or(0)));
            spent.is_interrupted |= answer["interrupted"].as_bool().unwrap_or(false);
        }
        tally.add_all(&answers);
        if options.pairs.is_some() {
            spent.server = begun.spent(server).server;
        }
        Ok(spent)
    }

    /// Measures a part, on order.
    fn work(&self, worker: Worker) -> Result<(), Failure> {
        prepare(self.options.pin, self.options.connections.div_ceil(worker.of))?;
        let target = self.target.target(self.protocol)?.from(worker.number);
        let mut poll = Poll::new().map_err(Failure::System)?;
        let mut load = (self.connect)(&target, &poll, worker)?;
        crew::serve_orders(|order| {
            if order == "connect" {
                return Ok(json!({}));
            }
            let mut tally = Tally::new();
            tally.grants = self.locks.map(|locks| Grants::new(locks, worker.of));
            let spent = drive::drive(&mut load, &mut poll, Plan::new(self.options), None, &mut tally)?;
            let mut answer = tally.to_json();
            answer["own"] = nanos(spent.own).into();
            answer["time"] = nanos(spent.time).into();
            answer["interrupted"] = spent.is_interrupted.into();
            Ok(answer)
        })
    }
}
