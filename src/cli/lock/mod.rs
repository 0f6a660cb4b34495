//! `officer lock`: a command that runs while its lock is held.
//!
//! Everything that can happen at any moment, a signal, an answer of the server, the loss of the connection, the end of the
//! command, is an [`Event`] in one channel, and the main thread acts on them in order. Another thread talks to the server
//! ([`holder`]), and a third hears the signals ([`signals`]).

mod command;
mod holder;
pub(crate) mod signals;
mod status;
mod tree;

use std::ffi::OsString;
use std::process::{ExitCode, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use std::{process, thread};

use clap::Args;
use clap::builder::RangedU64ValueParser;

use self::command::Command;
use self::status::Status;
use super::Failure;
use super::address::ServerOptions;
use super::failure::LOST;
use super::values::Seconds;
use crate::client::{Client, Error, LockOptions, Reason};
use crate::wire::request::{CLIENT_BYTES_MAX, NAME_BYTES_MAX};

// A paragraph is one line: clap breaks it where the terminal is too narrow.
const AFTER: &str = "\
The command sees the name of the lock as OFFICER_LOCK, and inherits everything else, the terminal too. HUP, INT, QUIT, \
USR1, USR2, ALRM and TERM are passed on to it. The lock is released when it ends; what it leaves behind in the background \
is not waited for.

If the lock is lost while the command runs (the server ended, the network failed, 'officer kick'), the command gets \
SIGTERM, and SIGKILL after --kill-after. On Linux so do all processes that it has started. SIGKILL to officer itself ends it \
alone: the lock is free, and the command runs on without it.

A signal that comes before the command runs ends the wait at once, and officer with it: a shell shows 130 for Ctrl-C.

Exit status: that of the command, or 128 + N if signal N ended it; or
  2    the command line is wrong
  69   there is no connection to a server, or it refuses
  73   the lock was lost: the command was ended, or may have run without it
  75   the lock could not be had in time, or its queue is full
  126  the command can't be executed
  127  the command was not found";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Name of the lock
    #[arg(value_parser = lock_name)]
    name: String,

    /// What to run, and its arguments
    #[arg(last = true, required = true, value_names = ["COMMAND", "ARG"])]
    command: Vec<OsString>,

    /// Give up after waiting so long; fractions are allowed [default: wait for ever]
    #[arg(short = 'w', long, value_name = "SECONDS")]
    timeout: Option<Seconds>,

    /// Do not wait: give up if the lock is not free
    #[arg(short, long, conflicts_with = "timeout")]
    no_wait: bool,

    /// Do not wait if so many are on the lock already, its holder counted
    #[arg(short, long, value_name = "COUNT", value_parser = RangedU64ValueParser::<u64>::new().range(..=1 << 53))]
    queue_max: Option<u64>,

    /// Exit status when the lock could not be had in time, or its queue is full
    #[arg(short = 'E', long, value_name = "STATUS", default_value_t = 75)]
    conflict_exit_code: u8,

    /// When the lock is lost: time that the command has to end, from SIGTERM to SIGKILL
    #[arg(short, long, value_name = "SECONDS", default_value = "5")]
    kill_after: Seconds,

    /// What listings show for this client [default: PID@HOST COMMAND]
    #[arg(long, value_name = "NAME", value_parser = client_name)]
    client: Option<String>,

    /// Tell what is waited for, and behind whom
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    server: ServerOptions,
}

fn lock_name(name: &str) -> Result<String, String> {
    match name.len() {
        1..=NAME_BYTES_MAX => Ok(name.to_owned()),
        0 => Err("the name of a lock is not empty".to_owned()),
        bytes => Err(format!("the name of a lock has at most {NAME_BYTES_MAX} bytes, this has {bytes}")),
    }
}

fn client_name(name: &str) -> Result<String, String> {
    match name.len() {
        0..=CLIENT_BYTES_MAX => Ok(name.to_owned()),
        bytes => Err(format!("at most {CLIENT_BYTES_MAX} bytes are shown, this has {bytes}")),
    }
}

/// `4711@web1 deploy.sh`: where to look for it, and what it does.
fn client_name_default(command: &OsString) -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let file = std::path::Path::new(command).file_name().unwrap_or(command).to_string_lossy();
    let mut name = format!("{}@{host} {file}", process::id());
    while name.len() > CLIENT_BYTES_MAX {
        name.pop();
    }
    name
}

/// What the main thread acts on.
#[derive(Debug)]
enum Event {
    /// A signal was sent to this process.
    Signal(i32),
    /// There is a connection, and the lock is being asked for.
    Connected(Client),
    /// Who is in the way.
    Ahead(String),
    /// The lock is held.
    Acquired,
    /// The connection is gone, and with it the lock, if it was held.
    Lost(Error),
    /// Nothing more comes from the server: the lock could not be had, or it was released, or that failed.
    Over(Result<(), Error>),
}

/// Waits that are over sooner are not worth a word. On a terminal one could not read it.
const PATIENCE: Duration = Duration::from_millis(200);
/// The command is looked at so often even if nothing happens: whoever started us may have blocked SIGCHLD.
const COMMAND_CHECK: Duration = Duration::from_secs(1);
/// How often the processes of a command that is being ended are looked at.
const ENDING_CHECK: Duration = Duration::from_millis(20);
/// A process that is still there so long after SIGKILL hangs in the kernel, or is not ours to end.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(options: Options) -> Result<ExitCode, Failure> {
    let (sender, events) = channel();
    signals::listen(sender.clone()).map_err(Failure::System)?;
    let wanted = LockOptions {
        timeout: if options.no_wait { Some(Duration::ZERO) } else { options.timeout.map(|timeout| timeout.0) },
        queue_max: options.queue_max,
    };
    let client = options.client.clone().unwrap_or_else(|| client_name_default(&options.command[0]));
    let server = options.server.client_options().name(client);
    let release = holder::start(server, options.name.clone(), wanted, sender.clone()).map_err(Failure::System)?;
    let status = Status::new(&options.name, &options.server.shown(), options.verbose);
    let mut errand = Errand { options, events, sender, release, status, signal: None, acquired_at: None };
    let end = errand.acquire()?.map_or_else(|| errand.run_command(), Ok)?;
    // What is drawn on the terminal has been erased by now, and the lock released.
    Ok(end.exit(errand.signal))
}

/// One lock, and one command.
struct Errand {
    options: Options,
    events: Receiver<Event>,
    /// For threads that are started later.
    sender: Sender<Event>,
    /// Has the lock released.
    release: Sender<()>,
    status: Status,
    /// The last signal that was sent to us.
    signal: Option<i32>,
    acquired_at: Option<Instant>,
}

/// How it ended, when nothing failed.
enum End {
    /// By a signal before the command was started.
    Signal(i32),
    /// With the command.
    Command(ExitStatus),
    /// With the command, which had to be ended. Everything is said.
    Lost,
}

impl End {
    fn exit(self, received: Option<i32>) -> ExitCode {
        use std::os::unix::process::ExitStatusExt;

        match self {
            End::Signal(signal) => signals::die_of(signal),
            End::Lost => ExitCode::from(LOST),
            End::Command(status) => match (status.code(), status.signal()) {
                // A status is a byte.
                (Some(code), _) => ExitCode::from((code & 0xff) as u8),
                // A shell that runs us in a loop ends it with Ctrl-C only if we die of that too.
                (None, Some(signal)) if received == Some(signal) && !status.core_dumped() => signals::die_of(signal),
                (None, signal) => signals::exit_code(signal.unwrap_or(0)),
            },
        }
    }
}

impl Errand {
    /// Connects, and waits for the lock. Some: it ended before.
    fn acquire(&mut self) -> Result<Option<End>, Failure> {
        let mut client = None;
        let mut lost = None;
        let mut pause = PATIENCE;
        loop {
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
                Event::Signal(signal) => {
                    self.status.erase();
                    return Ok(Some(End::Signal(signal)));
                }
                Event::Connected(connected) => {
                    client = self.options.verbose.then_some(connected);
                    pause = PATIENCE;
                    self.status.wait();
                }
                Event::Ahead(who) => self.status.ahead(&who),
                Event::Acquired => {
                    self.status.acquired();
                    break;
                }
                // The answer to the request may still be on its way from the other thread.
                Event::Lost(error) => lost = Some(error),
                Event::Over(Ok(())) => unreachable!("what was not acquired is not released"),
                Event::Over(Err(error)) => {
                    self.status.erase();
                    return Err(self.refused(error));
                }
            }
        }
        self.acquired_at = Some(Instant::now());
        // What has happened since: with a signal or a loss the command is not to start any more.
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Signal(signal) if !signals::is_of_a_child(signal) => return Ok(Some(End::Signal(signal))),
                Event::Lost(error) => lost = Some(error),
                _ => {}
            }
        }
        match lost {
            Some(error) => Err(self.lost("before the command was started", error)),
            None => Ok(None),
        }
    }

    fn ask_who_is_ahead(&self, client: Client) {
        let (events, name) = (self.sender.clone(), self.options.name.clone());
        // Without it there is one line less to read.
        let _ = thread::Builder::new().name("officer-ahead".to_owned()).spawn(move || {
            if let Some(who) = status::who_is_ahead(&client, &name) {
                let _ = events.send(Event::Ahead(who));
            }
        });
    }

    fn refused(&self, error: Error) -> Failure {
        let is_conflict = match &error {
            Error::TimedOut { .. } | Error::QueueMaxed { .. } => true,
            Error::Server { reason, .. } => *reason == Reason::TooManyWaits,
            _ => false,
        };
        if is_conflict {
            Failure::Conflict { name: self.options.name.clone(), error, exit_code: self.options.conflict_exit_code }
        } else {
            self.options.server.failure(error)
        }
    }

    fn lost(&self, when: &'static str, error: Error) -> Failure {
        Failure::Lost { name: self.options.name.clone(), when, error }
    }

    /// Runs the command, and releases the lock after it.
    fn run_command(&mut self) -> Result<End, Failure> {
        let mut command = Command::start(&self.options.command, &self.options.name)?;
        loop {
            match self.events.recv_timeout(COMMAND_CHECK) {
                Ok(Event::Signal(signal)) => self.pass_on(signal, &command),
                Ok(Event::Lost(error)) => {
                    self.end(command, error)?;
                    return Ok(End::Lost);
                }
                Ok(_) | Err(_) => {}
            }
            if let Some(status) = command.check()? {
                return self.release().map(|()| End::Command(status));
            }
        }
    }

    fn pass_on(&mut self, signal: i32, command: &Command) {
        if !signals::is_of_a_child(signal) {
            self.signal = Some(signal);
            command.pass_on(signal);
        }
    }

    /// The lock is gone: nothing of the command may go on.
    fn end(&mut self, mut command: Command, error: Error) -> Result<(), Failure> {
        let failure = self.lost("while the command ran, which is ended now", error);
        self.status.say(&failure);
        let kill_at = Instant::now() + self.options.kill_after.0;
        let tree = command.terminate();
        loop {
            if let Ok(Event::Signal(signal)) = self.events.recv_timeout(ENDING_CHECK) {
                self.pass_on(signal, &command);
            }
            command.check()?;
            let left = tree.processes(&command);
            if left.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            if now >= kill_at {
                tree::kill(&left);
            }
            if now >= kill_at + KILL_PATIENCE {
                let left: Vec<_> = left.iter().map(|process| process.as_raw_nonzero().to_string()).collect();
                self.status.say(&format_args!("these processes can't be ended, look after them: {}", left.join(", ")));
                return Ok(());
            }
        }
    }

    /// Says whether the lock was held until now.
    fn release(&mut self) -> Result<(), Failure> {
        // If the thread is gone its last word is on its way.
        let _ = self.release.send(());
        loop {
            match self.events.recv() {
                Ok(Event::Over(Ok(()))) => {
                    self.status.released(self.acquired_at.map_or(Duration::ZERO, |at| at.elapsed()));
                    return Ok(());
                }
                Ok(Event::Over(Err(error))) => {
                    return Err(self.lost("about when the command ended, perhaps before", error));
                }
                // The server does not answer, and somebody is tired of it. The lock goes with the connection.
                Ok(Event::Signal(signal)) if !signals::is_of_a_child(signal) => return Ok(()),
                Ok(_) => {}
                Err(_) => unreachable!("we have a sender ourselves"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_limits() {
        assert!(lock_name("").is_err());
        assert!(lock_name(&"x".repeat(1024)).is_ok());
        assert!(lock_name(&"x".repeat(1025)).is_err());
        assert!(client_name(&"x".repeat(129)).is_err());
    }

    #[test]
    fn a_client_says_where_it_is_and_what_it_does() {
        let name = client_name_default(&"/usr/local/bin/deploy.sh".into());
        assert!(name.starts_with(&format!("{}@", process::id())) && name.ends_with(" deploy.sh"), "{name}");
        let name = client_name_default(&"é".repeat(200).into());
        assert!((CLIENT_BYTES_MAX - 1..=CLIENT_BYTES_MAX).contains(&name.len()), "{name}");
    }
}
