//! Worker processes of this program: several, so that there can be more connections than one process may have
//! descriptors, or one that can be killed.
//!
//! They read orders from stdin, one per line, and answer each with a line of JSON on stdout.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::worker::Worker;
use super::{BenchError, drive, process, tied};
use crate::console::Failure;

/// Running workers. They are ended when this is dropped.
pub(super) struct Crew {
    members: Vec<Member>,
}

struct Member {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Crew {
    /// Starts `count` workers, each with these arguments and its number.
    pub(super) fn start(args: &[OsString], count: usize) -> Result<Crew, Failure> {
        let mut members = Vec::with_capacity(count);
        for number in 0..count {
            let mut command = tied::officer()?;
            command.args(args).arg("--worker").arg(Worker { number, of: count }.to_string());
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(Failure::System)?;
            let orders = child.stdin.take();
            let answers = BufReader::new(child.stdout.take().expect("it is piped"));
            members.push(Member { child, orders, answers });
        }
        Ok(Crew { members })
    }

    /// Gives an order to all, without waiting for answers.
    pub(super) fn order(&mut self, order: &str) -> Result<(), Failure> {
        for member in &mut self.members {
            member.order(order)?;
        }
        Ok(())
    }

    /// The answer of each to its oldest order.
    pub(super) fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        self.members.iter_mut().map(Member::answer).collect()
    }

    /// Gives an order to all, and waits for the answers.
    pub(super) fn ask(&mut self, order: &str) -> Result<Vec<Value>, Failure> {
        self.order(order)?;
        self.answers()
    }

    /// Gives no more orders: each worker ends when it has executed those that it has.
    pub(super) fn dismiss(&mut self) {
        for member in &mut self.members {
            member.orders = None;
        }
    }

    /// Whether all of them have ended.
    pub(super) fn have_ended(&mut self) -> bool {
        self.members.iter_mut().all(|member| matches!(member.child.try_wait(), Ok(Some(_))))
    }

    /// The processor time of all of them so far, including those that have ended.
    pub(super) fn cpu_time(&self) -> Duration {
        // A process that has ended can be inspected until it is waited for.
        self.members.iter().filter_map(|member| process::cpu_time(member.child.id()).ok()).sum()
    }

    /// Kills all of them, so that the system closes their connections.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.members.iter_mut().try_for_each(|member| member.child.kill()).map_err(Failure::System)
    }
}

impl Member {
    fn order(&mut self, order: &str) -> Result<(), Failure> {
        let orders = self.orders.as_mut().expect("it is open until the end");
        // One that has ended has said why, which is found when its answer is read.
        match writeln!(orders, "{order}").and_then(|()| orders.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::System(error)),
            _ => Ok(()),
        }
    }

    fn answer(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(Failure::System)?;
        match serde_json::from_str(&line) {
            Ok(answer) => Ok(answer),
            Err(_) => {
                let mut said = String::new();
                if let Some(stderr) = &mut self.child.stderr {
                    let _ = stderr.read_to_string(&mut said);
                }
                let said = said.lines().next().unwrap_or("it ended without a message");
                Err(BenchError::Worker(said.trim_start_matches("officer: ").to_owned()).into())
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in &mut self.members {
            // At the end of its orders a worker releases what it holds, if necessary, and ends. One that does not is
            // killed.
            member.orders = None;
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// In a worker: executes orders until there are no more.
pub(super) fn serve_orders(mut execute: impl FnMut(&str) -> Result<Value, Failure>) -> Result<(), Failure> {
    // Ctrl-C reaches all workers at once. A worker that starts its work only after that has measured nothing, and
    // reports that.
    drive::interruption().map_err(Failure::System)?;
    for order in io::stdin().lines() {
        let answer = execute(&order.map_err(Failure::System)?)?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).map_err(Failure::Output)?;
    }
    Ok(())
}
