//! The command line of `officer lock`.

use std::ffi::OsString;
use std::process;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::kind::KindOptions;
use crate::client::LockOptions;
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::failure::Locks;
use crate::console::values::Seconds;
use crate::wire::request::{CLIENT_BYTES_MAX, GRACE_SECONDS_MAX, NAME_BYTES_MAX};

const USAGE: &str = "\
officer lock [OPTIONS] <NAME>... -- <COMMAND> [ARG]...
       officer lock [OPTIONS] -- <NAME>... -- <COMMAND> [ARG]...";

// A paragraph is one line: clap breaks it where the terminal is too narrow.
const AFTER: &str = "\
The command sees the name of the lock as OFFICER_LOCK (several names: one on each line; with --any the one that was taken), \
with --fence the token as OFFICER_TOKEN, and inherits everything else, the terminal too. HUP, INT, QUIT, USR1, USR2, ALRM and \
TERM are passed on to it. A NAME that begins with '-' comes after a '--' of its own. With several names it takes all of the \
locks in one step, or none: commands that do so never wait for each other in a circle, whatever the order of the names.

A job that cron starts on many machines runs on one of them, and once in an hour, with \
'officer lock --no-wait --min-hold 3600 report -- COMMAND': the others exit with 75.

The lock is released when the command ends by itself; what it leaves behind in the background is not waited for. If a \
signal ends it, or one was passed on to it, the program that a script was waiting for may work on. On Linux the lock is then \
held until all processes that the command has started have ended, and further signals are passed on to them. Daemons, \
which have a session of their own ('setsid'), are not waited for.

If the lock is lost while the command runs (the server ended, the network failed, the lease could not be renewed, 'officer \
kick' or 'officer revoke'), the command gets SIGTERM, and SIGKILL after --kill-after. On Linux so do all processes that it has started, but for daemons. If officer itself \
is killed with SIGKILL the lock is free; on Linux the command gets SIGTERM then, but not what it has started. After a loss \
officer exits once the reason is written: if stderr is a full pipe, when somebody reads it or a signal comes.

With --session the lock outlives its connection: officer connects again, and the command runs on meanwhile. If that takes so \
long that the server may give the lock to the next, the lock counts as lost, early enough for the command to end. A server that \
ends keeps no session: officer tries at least once a second to reach the next one, and ends the command when it does; until \
then the command may run beside a new holder. The price: if officer is killed with SIGKILL, its machine fails, or it ends \
while there is no connection, the lock is free only after this time, and so is a place in the queue.

If the network fails, officer notices that before the server gives it up, and the time for it is chosen so that the command is \
killed before that too. A --kill-after as long as the server's patience with silent clients leaves no time for that: then \
the command gets SIGTERM before the next holder starts, and SIGKILL perhaps after. --verbose says so.

A signal that comes before the command runs ends the wait at once, and officer with it: a shell shows 130 for Ctrl-C.

Exit status: that of the command, or 128 + N if signal N ended it; or
  2    the command line is wrong
  69   there is no connection to a server, or it refuses
  73   the lock was lost: the command was ended, or may have run without it
  75   timed out waiting for the lock, or it is not free (--no-wait), or its queue is full
  126  the command can't be executed
  127  the command was not found";

/// How long a command has from SIGTERM to SIGKILL, if nothing else is asked for.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// How long --session keeps a lock without a connection by default.
const GRACE: Duration = Duration::from_secs(30);
/// Less is rarely enough to connect again.
const GRACE_MIN: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, override_usage = USAGE, after_help = AFTER)]
pub(crate) struct Options {
    /// Name of the lock; several: take all of them together
    #[arg(value_name = "NAME", value_parser = lock_name)]
    names: Vec<String>,

    /// What to run, and its arguments
    #[arg(last = true, required = true, value_names = ["COMMAND", "ARG"])]
    command: Vec<OsString>,

    /// Give up after this long; fractions are allowed [default: wait forever]
    #[arg(short = 'w', long, value_name = "SECONDS")]
    timeout: Option<Seconds>,

    /// Do not wait: give up if the lock is not free
    #[arg(short, long, conflicts_with = "timeout")]
    no_wait: bool,

    /// Do not wait if COUNT or more are on the lock already, its holder counted
    #[arg(short, long, value_name = "COUNT", value_parser = RangedU64ValueParser::<u64>::new().range(..=1 << 53))]
    queue_max: Option<u64>,

    /// Exit status if the lock is not acquired: timed out, not free or closed, or its queue is full
    #[arg(short = 'E', long, value_name = "STATUS", default_value_t = 75)]
    pub(super) conflict_exit_code: u8,

    /// Keep the lock while the connection is lost, and connect again: for 1 to 300 seconds, or 30 if none are given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, value_parser = grace)]
    session: Option<Option<Seconds>>,

    /// When the lock is lost: time that the command has to end, from SIGTERM to SIGKILL [default: 5, or less if the server
    /// gives silent clients up soon, or the lease or --session is short]
    #[arg(short, long, value_name = "SECONDS")]
    kill_after: Option<Seconds>,

    /// What listings show for this client [default: PID@HOST COMMAND]
    #[arg(long, value_name = "NAME", value_parser = client_name)]
    client: Option<String>,

    /// Tell what is waited for, and behind whom
    #[arg(short, long)]
    pub(super) verbose: bool,

    #[command(flatten)]
    kind: KindOptions,

    #[command(flatten)]
    pub(super) server: ServerOptions,
}

/// The task: the locks and the command.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) locks: Locks,
    /// What to run, and its arguments.
    pub(super) command: Vec<OsString>,
}

impl Options {
    /// Takes out the task. Names after a `--` of their own are found at the start of the command.
    pub(super) fn split(mut self) -> Result<(Self, Task), Failure> {
        let mut command = std::mem::take(&mut self.command);
        let mut names = std::mem::take(&mut self.names);
        let usage = |error: String| Failure::Usage(format!("{error}; see 'officer lock --help'"));
        if names.is_empty() {
            let separator = command.iter().position(|word| word == "--");
            let separator = separator.filter(|at| (1..command.len() - 1).contains(at));
            let missing = || usage("the name of the lock is missing before '--'".to_owned());
            let separator = separator.ok_or_else(missing)?;
            let name =
                |word: &OsString| word.to_str().ok_or("the name of a lock is UTF-8".to_owned()).and_then(lock_name);
            names = command[..separator].iter().map(name).collect::<Result<_, _>>().map_err(usage)?;
            command.drain(..=separator);
        }
        if let (Some(grace), Some(Seconds(kill_after))) = (self.session(), self.kill_after)
            && kill_after > grace * 2 / 3
        {
            // Otherwise the command could not end while the session surely goes on.
            let (grace, max) = (grace.as_secs_f64(), (grace * 2 / 3).as_secs_f64());
            return Err(usage(format!("with a --session of {grace} seconds --kill-after is at most {max:.1}")));
        }
        // A time after a blank would be taken for the name of a lock.
        if self.session == Some(None) && names.len() > 1 && names[0].parse::<Seconds>().is_ok() {
            return Err(usage(format!(
                "the time of --session comes after a '=', as in --session={0}; for a lock called '{0}', give a time",
                names[0]
            )));
        }
        self.kind.check(&names).map_err(usage)?;
        let locks = Locks { names, is_any: self.kind.is_any };
        Ok((self, Task { locks, command }))
    }

    /// How to reach the server, and what to be there.
    pub(super) fn client_options(&self, task: &Task) -> Result<crate::client::Options, Failure> {
        let client = self.client.clone().unwrap_or_else(|| client_name_default(&task.command[0]));
        let options = self.server.client_options()?.name(client);
        let kill_after = self.kill_after(self.session());
        Ok(match self.session() {
            // A quarter of what is left is for a machine that is slow.
            Some(grace) => options.session(grace).stop_within(kill_after + grace.saturating_sub(kill_after) / 4),
            None => options.stop_within(kill_after),
        })
    }

    /// For how long the lock outlives its connection.
    pub(super) fn session(&self) -> Option<Duration> {
        self.session.map(|grace| grace.unwrap_or(Seconds(GRACE)).0)
    }

    /// How to ask for the lock.
    pub(super) fn wanted(&self) -> LockOptions {
        LockOptions {
            timeout: if self.no_wait { Some(Duration::ZERO) } else { self.timeout.map(|timeout| timeout.0) },
            queue_max: self.queue_max,
            ..self.kind.wanted()
        }
    }

    /// How long before the end of its lease a lock that could not be renewed counts as lost: the client renews it after a
    /// third, and the answer has another third to come.
    pub(super) fn lease_margin(&self) -> Option<Duration> {
        self.kind.lease().map(|lease| lease / 3)
    }

    /// How long the command has from SIGTERM to SIGKILL, if the lock passes on so long after the network has failed. None:
    /// that is not known, or it never does.
    pub(super) fn kill_after(&self, given_up_after: Option<Duration>) -> Duration {
        let limits = [given_up_after.map(|given_up_after| given_up_after / 2), self.lease_margin()];
        match self.kill_after {
            Some(kill_after) => kill_after.0,
            None => limits.into_iter().flatten().fold(KILL_AFTER, Duration::min),
        }
    }
}

fn lock_name(name: &str) -> Result<String, String> {
    match name.len() {
        1..=NAME_BYTES_MAX => Ok(name.to_owned()),
        0 => Err("the name of a lock is not empty".to_owned()),
        bytes => Err(format!("the name of a lock has at most {NAME_BYTES_MAX} bytes, this has {bytes}")),
    }
}

fn grace(text: &str) -> Result<Seconds, String> {
    let seconds: Seconds = text.parse()?;
    let max = Duration::from_secs(GRACE_SECONDS_MAX.into());
    match (GRACE_MIN..=max).contains(&seconds.0) {
        true => Ok(seconds),
        false => Err(format!("must be from {} to {GRACE_SECONDS_MAX} seconds", GRACE_MIN.as_secs())),
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
    fn the_time_to_end_fits_into_the_patience_of_the_server_unless_it_is_set() {
        use clap::Parser;

        #[derive(Parser)]
        #[command(disable_help_flag = true)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }

        let kill_after = |args: &[&str], silent_after| {
            let args = [&["lock"], args, &["x", "--", "ls"]].concat();
            Line::parse_from(args).options.kill_after(silent_after)
        };
        let seconds = Duration::from_secs;
        for (args, silent_after, time) in [
            (&[][..], None, seconds(5)),
            (&[], Some(seconds(30)), seconds(5)),
            (&[], Some(seconds(4)), seconds(2)),
            (&["-k", "9"], Some(seconds(4)), seconds(9)),
            (&["-k", "0"], None, Duration::ZERO),
            (&["--lease", "6"], Some(seconds(30)), seconds(2)),
            (&["--lease", "60"], Some(seconds(4)), seconds(2)),
            (&["--lease", "6", "-k", "9"], None, seconds(9)),
        ] {
            assert_eq!(kill_after(args, silent_after), time, "{args:?} {silent_after:?}");
        }
    }

    #[test]
    fn a_client_says_where_it_is_and_what_it_does() {
        let name = client_name_default(&"/usr/local/bin/deploy.sh".into());
        assert!(name.starts_with(&format!("{}@", process::id())) && name.ends_with(" deploy.sh"), "{name}");
        let name = client_name_default(&"é".repeat(200).into());
        assert!((CLIENT_BYTES_MAX - 1..=CLIENT_BYTES_MAX).contains(&name.len()), "{name}");
    }
}
