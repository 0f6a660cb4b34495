//! Runs the tests against each mutant until one fails.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::list::{Mutant, Outcome};
use crate::switched::{Binaries, environment};

/// Some of the tests, as one process.
pub(crate) struct Stage {
    target: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// How the names of the files start whose code it is about.
    files: &'static [&'static str],
}

const SEEDS: &str = "what_clients_see_is_what_the_model_says_for_all_seeds";
const ALL: &[&str] = &[""];

/// First what is about some rooms alone. Of the others a few seeds find most mutants in a fraction of a second; what takes
/// long or finds little is last.
/// Without the unit tests of net, which wait for seconds, and of the client: neither is mutated.
pub(crate) const STAGES: [Stage; 9] = [
    Stage { target: "officer", arguments: &["wire::request::fast::"], environment: &[], files: &["src/wire/"] },
    Stage { target: "virtual", arguments: &["http::"], environment: &[], files: &["src/server/http/"] },
    Stage { target: "simulation", arguments: &["--exact", SEEDS], environment: &[("OFFICER_SEEDS", "20")], files: ALL },
    Stage {
        target: "officer",
        arguments: &[
            "--skip",
            "net::",
            "--skip",
            "client::",
            "--skip",
            "engine::deadline::",
            "--skip",
            "wire::request::fast::",
        ],
        environment: &[],
        files: ALL,
    },
    Stage {
        target: "officer",
        arguments: &["engine::deadline::"],
        environment: &[],
        files: &["src/engine/deadline.rs"],
    },
    // What hidden names leave behind, and more of the worlds that are one in eight above.
    Stage {
        target: "simulation",
        arguments: &["users::", "http::"],
        environment: &[("OFFICER_SEEDS", "200")],
        files: &["src/server/", "src/engine/"],
    },
    Stage { target: "virtual", arguments: &[], environment: &[], files: ALL },
    Stage {
        target: "simulation",
        arguments: &["--exact", SEEDS],
        environment: &[("OFFICER_SEEDS", "200")],
        files: ALL,
    },
    Stage {
        target: "simulation",
        arguments: &["--skip", SEEDS, "--skip", "users::", "--skip", "http::"],
        environment: &[("OFFICER_DEPTH", "4")],
        files: &["src/engine/", "src/slots"],
    },
];

/// What a stage may use, so that a mutant that loops or grows forever ends: bytes, and this many times the time that it
/// takes without one, and a few seconds. Processor time, so a busy machine makes no difference; the other limit is for what
/// waits forever.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
const TIMES_MAX: u64 = 5;
const SECONDS_MORE: u64 = 2;
const WAIT_MAX: Duration = Duration::from_secs(300);

/// How a line ends that says that a test has failed. The second comes from the simulation, before it has finished.
const FAILURES: [&str; 2] = ["... FAILED", " fails, and is made smaller"];

enum Ended {
    Passed,
    Failed,
    Looped,
}

impl Stage {
    /// How long it takes without a mutant.
    ///
    /// # Errors
    /// When a test fails, or can't be run.
    pub(crate) fn time(&self, binaries: &Binaries) -> Result<Duration> {
        let start = Instant::now();
        match self.run(binaries, None, WAIT_MAX.as_secs())? {
            Ended::Passed => Ok(start.elapsed()),
            _ => Err(format!(
                "without a mutant, the tests '{}' fail {:?} {:?}",
                self.target, self.arguments, self.environment
            )),
        }
    }

    /// Runs it against each mutant that has not been caught, where it takes the given time without one.
    ///
    /// # Errors
    /// When it can't be run.
    pub(crate) fn run_all(&self, time: Duration, mutants: &mut [Mutant], binaries: &Binaries) -> Result<()> {
        let seconds_max = time.as_secs() * TIMES_MAX + SECONDS_MORE;
        let is_wanted = |mutant: &Mutant| {
            mutant.outcome == Outcome::Missed && self.files.iter().any(|start| mutant.file.starts_with(start))
        };
        let queue = Mutex::new(mutants.iter_mut().enumerate().filter(|(_, mutant)| is_wanted(mutant)));
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().expect("no other thread has panicked").next();
                let Some((number, mutant)) = next else { return Ok(()) };
                mutant.outcome = match self.run(binaries, Some(number), seconds_max)? {
                    Ended::Passed => Outcome::Missed,
                    Ended::Failed => Outcome::Caught,
                    Ended::Looped => Outcome::Looped,
                };
            }
        };
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(1, usize::from);
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })?;
        let left = mutants.iter().filter(|mutant| mutant.outcome == Outcome::Missed).count();
        println!("{left} are left after the tests '{}' {:?} {:?}", self.target, self.arguments, self.environment);
        Ok(())
    }

    /// Runs it in a process of its own, up to the first test that fails.
    fn run(&self, binaries: &Binaries, mutant: Option<usize>, seconds_max: u64) -> Result<Ended> {
        let binary = binaries.get(self.target).ok_or(format!("the tests '{}' were not built", self.target))?;
        let mut command = Command::new("prlimit");
        command.arg(format!("--cpu={seconds_max}")).arg(format!("--as={MEMORY_BYTES_MAX}")).arg("--core=0").arg("--");
        command.arg(binary).args(self.arguments).envs(self.environment.iter().copied());
        command.envs([environment(mutant)]).env("RUST_TEST_THREADS", "1").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("prlimit: {error}"))?;
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(std::result::Result::ok).try_for_each(|line| sender.send(line)));
        let deadline = Instant::now() + WAIT_MAX;
        let cut_short = loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if FAILURES.iter().any(|failure| line.ends_with(failure)) => break Some(Ended::Failed),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break None,
                Err(mpsc::RecvTimeoutError::Timeout) => break Some(Ended::Looped),
            }
        };
        if cut_short.is_some() {
            child.kill().map_err(|error| format!("the tests can't be ended: {error}"))?;
        }
        let status = child.wait().map_err(|error| format!("no status of the tests: {error}"))?;
        // SIGKILL and SIGXCPU come from the limit on processor time.
        let is_at_limit = matches!(status.signal(), Some(9 | 24));
        Ok(cut_short.unwrap_or(match status.success() {
            true => Ended::Passed,
            false if is_at_limit => Ended::Looped,
            false => Ended::Failed,
        }))
    }
}
