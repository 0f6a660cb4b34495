//! One lock and one command, from the first connection to the release.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::command::Command;
use super::options::{Options, Task};
use super::status::Status;
use super::{Event, Granted, holder, in_the_way, signals, tree};
use crate::client::{Client, Error, Reason};
use crate::console::Failure;
use crate::console::failure::{InTheWay, Locks};
use crate::console::shown::Span;

/// What is over sooner is not worth a word: on a terminal one could not read it. Also how long a terminal has to take what
/// is written before the command may write to it.
const PATIENCE: Duration = Duration::from_millis(200);
/// The command is looked at so often even if nothing happens: whoever started us may have blocked SIGCHLD.
const COMMAND_CHECK: Duration = Duration::from_secs(1);
/// How often the processes of a command that is being ended are looked at.
const ENDING_CHECK: Duration = Duration::from_millis(20);
/// A process that is still there so long after SIGKILL hangs in the kernel, or is not ours to end.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// How long the server may take to confirm the release once a signal asks for haste.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// One lock, and one command.
pub(super) struct Errand {
    options: Options,
    task: Task,
    status: Status,
    events: Receiver<Event>,
    /// For threads that are started later.
    sender: Sender<Event>,
    /// Has the lock released.
    release: Sender<()>,
    /// The signals that were passed on to the command, a bit for each.
    passed_on: u64,
    /// How long the command has from SIGTERM to SIGKILL when the lock is lost.
    kill_after: Duration,
    acquired_at: Option<Instant>,
    /// With a session, which has to end with us.
    client: Option<Client>,
    /// A signal came when there was no command any more, or it was being ended.
    is_hasty: bool,
}

/// How it ended.
enum End {
    /// By a signal before the command was started.
    Signal(i32),
    /// With the command.
    Command(ExitStatus),
    /// Otherwise: with this status. Everything is said.
    Failed(u8),
}

/// How the wait ended, other than by a failure.
enum Acquired {
    Granted(Granted),
    /// A signal came before the command was to start.
    Signal(i32),
}

/// What is left of a command that has ended.
#[derive(Default)]
struct Rest {
    since: Option<Instant>,
    is_told: bool,
}

impl Errand {
    pub(super) fn new(
        options: Options,
        task: Task,
        status: Status,
        (sender, events): (Sender<Event>, Receiver<Event>),
        release: Sender<()>,
    ) -> Self {
        let kill_after = options.kill_after(None);
        Errand {
            options,
            task,
            status,
            events,
            sender,
            release,
            passed_on: 0,
            kill_after,
            acquired_at: None,
            client: None,
            is_hasty: false,
        }
    }

    /// Does all of it. Returns the exit status, or dies of a signal as the command did.
    pub(super) fn run(mut self) -> ExitCode {
        let end = match self.acquire() {
            Ok(Acquired::Granted(granted)) => self.run_command(&granted),
            Ok(Acquired::Signal(signal)) => Ok(End::Signal(signal)),
            Err(failure) => Err(failure),
        };
        let end = end.unwrap_or_else(|failure| {
            self.status.say(&failure);
            End::Failed(failure.exit_code())
        });
        self.finish(&end);
        match end {
            End::Signal(signal) => signals::die_of(signal),
            End::Failed(status) => ExitCode::from(status),
            End::Command(status) => match (status.code(), status.signal()) {
                // A status is a byte.
                (Some(code), _) => ExitCode::from((code & 0xff) as u8),
                // A shell that runs us in a loop ends it with Ctrl-C only if we die of that too.
                (None, Some(signal)) if self.has_passed_on(signal) && !status.core_dumped() => signals::die_of(signal),
                (None, signal) => signals::exit_code(signal.unwrap_or(0)),
            },
        }
    }

    /// Leaves stderr time to take what was said. Nothing is held any more, so an error is waited for until it is written,
    /// or a signal asks for haste.
    fn finish(&mut self, end: &End) {
        if let Some(client) = self.client.take() {
            client.disconnect();
        }
        self.status.erase();
        if !matches!(end, End::Failed(_)) {
            self.status.is_written_within(PATIENCE);
            return;
        }
        let is_signal = |event| matches!(event, Event::Signal(signal) if !signals::is_of_a_child(signal));
        while !self.status.is_written_within(ENDING_CHECK) && !self.is_hasty {
            self.is_hasty = self.events.try_iter().any(is_signal);
        }
    }

    fn has_passed_on(&self, signal: i32) -> bool {
        self.passed_on >> signal & 1 == 1
    }

    /// Connects, and waits for the locks.
    fn acquire(&mut self) -> Result<Acquired, Failure> {
        let mut client = None;
        let mut lost = None;
        let mut in_the_way = None;
        let mut pause = PATIENCE;
        let granted = loop {
            let event = match self.events.recv_timeout(pause) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(client) = client.take() {
                        self.ask_who_is_ahead(client);
                    }
                    pause = self.status.tick();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("we have a sender ourselves"),
            };
            match event {
                Event::Signal(signal) if signals::is_of_a_child(signal) => {}
                Event::Signal(signal) => return Ok(Acquired::Signal(signal)),
                Event::Connected(connected) => {
                    self.fit_to_server(connected.silent_after());
                    self.client = self.options.session().map(|_| connected.clone());
                    client = self.options.verbose.then_some(connected);
                    pause = PATIENCE;
                    self.status.wait();
                }
                Event::Ahead(who) => self.status.ahead(&who),
                Event::Queued(ahead) => self.status.queued(ahead),
                Event::Interrupted(reason) => self.status.interrupted(&reason),
                Event::Resumed => self.status.resumed("waiting for"),
                Event::InTheWay(what) => in_the_way = Some(what),
                Event::Acquired(granted) => break granted,
                // The answer to the request may still be on its way from the other thread.
                Event::Lost(reason) => lost = Some(reason),
                Event::Over(Ok(())) => unreachable!("what was not acquired is not released"),
                Event::Over(Err(error)) => return Err(self.refused(error, in_the_way)),
            }
        };
        self.task.locks = Locks { names: granted.names.clone(), is_any: false };
        self.status.acquired(&self.task.locks);
        self.acquired_at = Some(Instant::now());
        // The command may write to the same terminal.
        self.status.is_written_within(PATIENCE);
        // What has happened since: with a signal or a loss the command is not to start any more.
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Signal(signal) if !signals::is_of_a_child(signal) => return Ok(Acquired::Signal(signal)),
                Event::Lost(reason) => lost = Some(reason),
                Event::Interrupted(reason) => self.status.interrupted(&reason),
                Event::Resumed => self.status.resumed("still holding"),
                _ => {}
            }
        }
        match lost {
            Some(reason) => Err(self.lost("before the command was started", reason)),
            None => Ok(Acquired::Granted(granted)),
        }
    }

    /// The command should be killed before a server that hears nothing of us gives the lock to the next.
    fn fit_to_server(&mut self, silent_after: Option<Duration>) {
        // What a server does that hears nothing of us is to keep the session.
        let given_up_after = self.options.session().or(silent_after);
        self.kill_after = self.options.kill_after(given_up_after);
        if let Some(given_up_after) = given_up_after.filter(|given_up_after| *given_up_after <= self.kill_after)
            && self.options.verbose
        {
            let line = format!(
                "if the network fails, the server gives the lock to the next after {}: before --kill-after is over",
                Span(given_up_after)
            );
            self.status.say(&line);
        }
        if let Some(margin) = self.options.lease_margin().filter(|margin| *margin < self.kill_after)
            && self.options.verbose
        {
            let line = format!(
                "if the lease can't be renewed, the command has {} to end before the lock passes on: less than --kill-after",
                Span(margin)
            );
            self.status.say(&line);
        }
    }

    fn ask_who_is_ahead(&self, client: Client) {
        let (events, names) = (self.sender.clone(), self.task.locks.names.clone());
        // Without it there is one line less to read.
        let _ = thread::Builder::new().name("officer-ahead".to_owned()).spawn(move || {
            if let Some(who) = in_the_way::who_is_ahead(&client, &names) {
                let _ = events.send(Event::Ahead(who));
            }
        });
    }

    fn refused(&self, error: Error, in_the_way: Option<InTheWay>) -> Failure {
        let is_conflict = matches!(
            &error,
            Error::TimedOut { .. } | Error::QueueMaxed { .. } | Error::Server { reason: Reason::TooManyWaits, .. }
        );
        if is_conflict {
            Failure::Conflict {
                locks: self.task.locks.clone(),
                may_wait: self.options.wanted().timeout != Some(Duration::ZERO),
                error: Box::new(error),
                in_the_way,
                exit_code: self.options.conflict_exit_code,
            }
        } else {
            self.options.server.failure(error)
        }
    }

    fn lost(&self, when: &'static str, reason: String) -> Failure {
        Failure::Lost { locks: self.task.locks.clone(), when, reason }
    }

    /// Runs the command, and releases the lock after it.
    fn run_command(&mut self, granted: &Granted) -> Result<End, Failure> {
        let mut command = match Command::start(&self.task.command, granted) {
            Ok(command) => command,
            Err(failure) => {
                // Before anything is said: others wait for it.
                let _ = self.release();
                return Err(failure);
            }
        };
        let mut rest = Rest::default();
        loop {
            match self.events.recv_timeout(rest.pause()) {
                Ok(Event::Signal(signal)) => self.pass_on(signal, &mut command),
                Ok(Event::Lost(reason)) => return self.end(command, reason),
                Ok(Event::Interrupted(reason)) => self.status.interrupted(&reason),
                Ok(Event::Resumed) => self.status.resumed("still holding"),
                Ok(_) | Err(_) => {}
            }
            if let Some(status) = command.check()?
                && self.may_release(&mut command, status, &mut rest)
            {
                return self.release().map(|()| End::Command(status));
            }
        }
    }

    fn pass_on(&mut self, signal: i32, command: &mut Command) {
        if !signals::is_of_a_child(signal) {
            self.passed_on |= 1 << signal;
            command.pass_on(signal);
        }
    }

    /// Whether nothing needs the lock any more, the command having ended. One that ends by itself knows what it leaves
    /// behind. A script that a signal has ended does not: the program that it was waiting for works on.
    fn may_release(&self, command: &mut Command, status: ExitStatus, rest: &mut Rest) -> bool {
        if status.signal().is_none() && self.passed_on == 0 {
            return true;
        }
        let left = command.left();
        if !left.is_empty() && rest.is_worth_a_word() {
            let line = format!(
                "the command has ended, but what it has started still runs: {}; {} is held until that ends, and signals \
                 are passed on to it",
                listed(&left),
                self.status.locks()
            );
            self.status.say(&line);
        }
        left.is_empty()
    }

    /// The lock is gone: nothing of the command may go on.
    fn end(&mut self, mut command: Command, reason: String) -> Result<End, Failure> {
        let kill_at = Instant::now() + self.kill_after;
        let failure = self.lost("while the command ran, which is ended now", reason);
        self.status.say(&failure);
        command.terminate();
        let end = End::Failed(failure.exit_code());
        loop {
            if let Ok(Event::Signal(signal)) = self.events.recv_timeout(ENDING_CHECK) {
                self.is_hasty |= !signals::is_of_a_child(signal);
                self.pass_on(signal, &mut command);
            }
            command.check()?;
            let left = command.processes();
            if left.is_empty() {
                return Ok(end);
            }
            let now = Instant::now();
            if now >= kill_at {
                tree::kill(&left);
            }
            if now >= kill_at + KILL_PATIENCE {
                self.status.say(&format_args!("these processes can't be ended, look after them: {}", listed(&left)));
                return Ok(end);
            }
        }
    }

    /// Says whether the lock was held until now.
    fn release(&mut self) -> Result<(), Failure> {
        // If the thread is gone its last word is on its way.
        let _ = self.release.send(());
        let mut give_up = None;
        loop {
            let event = match give_up {
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.events.recv_timeout(Instant::saturating_duration_since(&at, Instant::now())),
            };
            match event {
                Ok(Event::Over(Ok(()))) => {
                    self.status.released(self.acquired_at.map_or(Duration::ZERO, |at| at.elapsed()));
                    return Ok(());
                }
                Ok(Event::Over(Err(error))) => {
                    return Err(self.lost("about when the command ended, perhaps before", holder::reason(&error)));
                }
                Ok(Event::Interrupted(reason)) => self.status.interrupted(&reason),
                Ok(Event::Resumed) => self.status.resumed("still holding"),
                // It may be for the command, and late. Or the server does not answer, and somebody is tired of it.
                Ok(Event::Signal(signal)) if !signals::is_of_a_child(signal) => {
                    self.is_hasty = true;
                    give_up.get_or_insert_with(|| Instant::now() + RELEASE_PATIENCE);
                }
                Ok(_) => {}
                // The lock goes with the connection.
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => unreachable!("we have a sender ourselves"),
            }
        }
    }
}

impl Rest {
    /// How long to wait for an event before it is looked at again.
    fn pause(&self) -> Duration {
        if self.since.is_some() && !self.is_told { PATIENCE } else { COMMAND_CHECK }
    }

    /// Once, when it has been there for a while.
    fn is_worth_a_word(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        since.elapsed() >= PATIENCE && !std::mem::replace(&mut self.is_told, true)
    }
}

fn listed(processes: &[Pid]) -> String {
    let numbers: Vec<_> = processes.iter().map(|process| process.as_raw_nonzero().to_string()).collect();
    numbers.join(", ")
}
