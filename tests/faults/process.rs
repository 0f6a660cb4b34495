//! Clients in processes of their own, which can be killed and stopped: this test program, started once more.

use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::clients::{self, Churn, Peer};
use crate::history::{Event, EventKind, Nanos, ToStdout, now};
use crate::hosts::Host;
use crate::support::lines::{Arriving, lines_of_pipe};

const VARIABLE: &str = "OFFICER_FAULTS_CLIENT";

/// A client process, with its connections' numbers from `seed` on. It is killed with the test.
pub(crate) struct Process {
    child: Child,
    /// Ends it when this process has ended.
    _stdin: ChildStdin,
    events: Arriving<Event>,
    history: Vec<Event>,
}

impl Process {
    /// Takes one lock, or waits for it, and keeps it.
    pub(crate) fn that_takes(lock: &str, host: &Host, address: SocketAddr, seed: u64) -> Process {
        Process::start(host, format!("take {address} {seed} {lock}"))
    }

    /// Makes this many connections, takes a lock of its own with each, and waits for that of the neighbour.
    pub(crate) fn of_many(connections: usize, address: SocketAddr, seed: u64) -> Process {
        Process::start(&Host::here(), format!("many {address} {seed} {connections}"))
    }

    /// Churns until this time.
    pub(crate) fn that_churns(churn: Churn, until: Nanos, host: &Host, address: SocketAddr, seed: u64) -> Process {
        let Churn { locks, leave_in, dribble_in } = churn;
        Process::start(host, format!("churn {address} {seed} {until} {locks} {leave_in} {dribble_in}"))
    }

    fn start(host: &Host, task: String) -> Process {
        let mut child = start_this_program(host, "process::a_client_that_other_tests_start", (VARIABLE, task));
        let lines = lines_of_pipe(child.stdout.take().expect("it is piped"));
        // In between there is output of the test harness.
        let events = Arriving::all_of(lines.filter_map(|line| line.parse().ok()));
        // Waiting for the child would close it.
        let stdin = child.stdin.take().expect("it is piped");
        Process { child, _stdin: stdin, events, history: Vec::new() }
    }

    /// Waits until it has recorded this.
    pub(crate) fn wait_for(&mut self, what: &EventKind) {
        self.wait_for_all(1, what);
    }

    /// Waits until it has recorded this `count` times.
    pub(crate) fn wait_for_all(&mut self, count: usize, what: &EventKind) {
        let mut left = count;
        while left > 0 {
            let event = self.events.next().unwrap_or_else(|| panic!("the client recorded no {what:?}"));
            left -= usize::from(event.what == *what);
            self.history.push(event);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own process");
    }

    /// Kills it, if it has not exited, and returns its history.
    pub(crate) fn kill(mut self) -> Vec<Event> {
        let at = now();
        self.child.kill().expect("our own process");
        self.end(at)
    }

    /// Waits until it has exited by itself, and returns its history.
    pub(crate) fn wait(mut self) -> Vec<Event> {
        let status = self.child.wait().expect("our own process");
        assert!(status.success(), "a client found a fault: {status}");
        self.end(0)
    }

    fn end(&mut self, killed_at: Nanos) -> Vec<Event> {
        self.child.wait().expect("our own process");
        let mut history = std::mem::take(&mut self.history);
        history.extend(self.events.rest());
        // It was alive until its last event.
        let mut open: Vec<u64> = Vec::new();
        for Event { client, what, .. } in &history {
            match what {
                EventKind::Leaving | EventKind::Lost => open.retain(|other| other != client),
                _ if open.last() == Some(client) || open.contains(client) => {}
                _ => open.push(*client),
            }
        }
        let at = history.last().map_or(killed_at, |event| event.at.max(killed_at));
        history.extend(open.into_iter().map(|client| Event { at, client, what: EventKind::Leaving }));
        history
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts this program once more, with one of the tests that are no tests, and a variable that says what it has to do.
pub(crate) fn start_this_program(host: &Host, test: &str, (variable, task): (&str, String)) -> Child {
    let program = env::current_exe().expect("this program has a file");
    let arguments = ["--ignored", "--exact", "--nocapture", test];
    let command = &mut host.command(program);
    let command = command.args(arguments).env(variable, task).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("this program can be started")
}

/// What the program that [`start_this_program`] has started has to do. It ends with whoever started it.
pub(crate) fn end_with_parent(variable: &str) -> Option<String> {
    let task = env::var(variable).ok()?;
    // Whatever the harness has written is on the line before.
    println!();
    // When the test ends, its end of the pipe is closed.
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        process::exit(1);
    });
    Some(task)
}

#[test]
#[ignore = "not a test: other tests start it as their client"]
fn a_client_that_other_tests_start() {
    let Some(task) = end_with_parent(VARIABLE) else { return };
    let words: Vec<&str> = task.split(' ').collect();
    let address: SocketAddr = words[1].parse().unwrap();
    let seed: u64 = words[2].parse().unwrap();
    let number = |word: usize| words[word].parse().unwrap();
    let connect = |client| Peer::connect(address, client, &ToStdout);
    let first = seed * clients::NUMBERS;
    match words[0] {
        "take" => {
            let mut peer = connect(first).unwrap();
            if peer.lock(words[3]) {
                thread::sleep(Duration::MAX);
            }
        }
        "many" => {
            let connections: u64 = words[3].parse().unwrap();
            let mut peers: Vec<Peer> = (0..connections).map(|count| connect(first + count).unwrap()).collect();
            for (lock, peer) in peers.iter_mut().enumerate() {
                assert!(peer.lock(&format!("{seed}:{lock}")));
            }
            thread::sleep(Duration::MAX);
        }
        "churn" => {
            let until = words[3].parse().unwrap();
            let churn = Churn { locks: number(4), leave_in: number(5), dribble_in: number(6) };
            clients::churn(seed, churn, until, connect);
        }
        other => panic!("{other:?} is not a task"),
    }
}
