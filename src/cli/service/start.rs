//! `officer start`: the server in the background. A second process of the same program becomes the server; this one waits
//! until it listens, or passes on why it doesn't.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, process, thread};

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use rustix::fs::Access;

use super::pid_file::PidFile;
use super::{PidOptions, ServiceError, default_log_file, restart};
use crate::cli::changed::changed_options;
use crate::cli::log_file::LogFileError;
use crate::cli::run::Host;
use crate::cli::{Failure, named, run as foreground};
use crate::console::announced;
use crate::net::Reload;

pub(in crate::cli) const AFTER: &str = "\
Returns once the server listens, or says why it doesn't. The server belongs to no terminal, its current directory is /, \
and its log goes to officer.log beside the pid file, or to /var/log/officer.log if the pid file is in /var/run. \
'officer stop' ends it. Under a service manager use 'officer run'.

Exit status:
  0  the server listens
  1  it can't be started, or is already running
  2  the command line is wrong
  4  no permission to use the directory or the pid file";

/// The first argument of the process that becomes the server.
pub(in crate::cli) const DAEMON: &str = "daemon";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
#[group(skip)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pub(super) run: foreground::Options,

    #[command(flatten)]
    pub(super) pid: PidOptions,
}

/// The command line of the server's process: the options of `start` and `restart` alike.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true, args_override_self = true)]
struct Daemon {
    #[command(flatten)]
    options: restart::Options,
}

/// Starts a server that is told these arguments.
pub(in crate::cli) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let program = env::current_exe().map_err(Failure::System)?;
    let mut command = Command::new(&program);
    command.arg(DAEMON).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What a service manager tells us is not meant for another process.
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        command.env_remove(variable);
    }
    let not_started = |error| Failure::NotStarted { command: program.display().to_string(), error };
    let mut server = command.spawn().map_err(not_started)?;

    // Both streams end when the server redirects them, or with it.
    let mut stderr = server.stderr.take().expect("it is piped");
    let relay = thread::spawn(move || io::copy(&mut stderr, &mut io::stderr()));
    let mut announced = Vec::new();
    let stdout = server.stdout.as_mut().expect("it is piped");
    stdout.read_to_end(&mut announced).map_err(Failure::System)?;
    let has_said_why = matches!(relay.join(), Ok(Ok(1..)));

    if !announced.is_empty() {
        // Whoever closed stdout does not want to read it.
        let _ = io::stdout().write_all(&announced);
        return Ok(ExitCode::SUCCESS);
    }
    let status = server.wait().map_err(Failure::System)?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code @ 1..) if has_said_why => Ok(ExitCode::from(code)),
        _ => Err(ServiceError::NoReason { status }.into()),
    }
}

/// A server that is to be started: its options, independent of the current directory.
pub(super) struct Plan {
    pub(super) run: foreground::Options,
    pub(super) pid_file: PathBuf,
    log_file: PathBuf,
    /// The options that don't have their defaults, for the log.
    changed: String,
}

impl Plan {
    /// The arguments were understood by `officer start` or `restart`.
    pub(super) fn of(args: &[OsString]) -> Result<Plan, Failure> {
        let args = [OsStr::new(DAEMON)].into_iter().chain(args.iter().map(OsString::as_os_str));
        let usage = |error: clap::Error| Failure::Usage(error.kind().to_string());
        let matches = Daemon::command().try_get_matches_from(args).map_err(usage)?;
        let Daemon { options: restart::Options { start: Options { pid, mut run }, .. } } =
            Daemon::from_arg_matches(&matches).map_err(usage)?;
        let directory = pid.directory()?;
        run.make_absolute().map_err(Failure::System)?;
        let log_file = run.log_file_or(|| default_log_file(&directory)).to_owned();
        let pid_file = pid.pid_file()?;
        Ok(Plan { run, pid_file, log_file, changed: changed_options(&matches) })
    }

    /// Fails if the server could not be started, as far as that can be told while another has its pid file and listens on
    /// these addresses.
    pub(super) fn check(self, old: Option<&[String]>) -> Result<(), Failure> {
        let directory = self.pid_file.parent().expect("a pid file is in a directory");
        let can_write = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK);
        can_write.map_err(|error| ServiceError::Directory { path: directory.to_owned(), error: error.into() })?;
        let is_pid_file = named::lead_to_one(&self.log_file, &self.pid_file);
        check_log_file(&self.log_file, is_pid_file)?;
        self.run.check(old)
    }
}

/// The server's process.
pub(in crate::cli) fn run_daemon(args: &[OsString]) -> Result<(), Failure> {
    close_inherited();
    // From here on no terminal can end it, and its current directory keeps no file system busy.
    rustix::process::setsid().map_err(|error| Failure::System(error.into()))?;
    let Plan { run, pid_file, log_file, changed } = Plan::of(args)?;
    env::set_current_dir("/").map_err(Failure::System)?;

    // Released after everything else that the server has.
    let (own, stale) = PidFile::take(&pid_file)?;
    check_log_file(&log_file, own.is_at(&log_file))?;
    if let Some(stale) = stale {
        let stale = stale.escape_debug();
        let _ =
            writeln!(io::stderr(), "officer: the server before this one, process {stale}, ended without cleaning up");
    }
    foreground::serve(run, &changed, &mut Background { own, log_file })
}

/// A process in the background.
struct Background {
    own: PidFile,
    log_file: PathBuf,
}

impl Host for Background {
    fn listening(&mut self, addresses: &[String]) {
        self.own.announce(addresses);
        let mut stdout = io::stdout().lock();
        let (listening, pid, log) = (announced(addresses), process::id(), self.log_file.display());
        let _ = writeln!(stdout, "{listening}officer: process {pid}, log in {log}");
        let _ = stdout.flush();
        // The end of the pipe is what `officer start` waits for.
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null);
        }
    }

    fn reload(&mut self, reload: Reload<'_>) {
        self.own.note(reload);
    }
}

/// A file that this process has open for another purpose can't be its log.
fn check_log_file(path: &Path, is_pid_file: bool) -> Result<(), LogFileError> {
    if named::leads_to(path, io::stdout()) || named::leads_to(path, io::stderr()) {
        // /dev/stderr and its like: a pipe to 'officer start', which would wait for its end.
        return Err(LogFileError::refuse(path, "it would end with 'officer start'"));
    }
    if is_pid_file {
        // Closing it once would free its lock.
        return Err(LogFileError::refuse(path, "it is the pid file"));
    }
    Ok(())
}

/// Closes what the caller of `officer start` had open, except the three standard streams: a pipe whose reader waits for its
/// end, or a file that is locked as long as somebody has it open. Called before this process opens anything.
fn close_inherited() {
    let Ok(descriptors) = fs::read_dir("/dev/fd") else { return };
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    // All numbers first: one of them is that of the directory itself, which is closed by then.
    let numbers: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in numbers {
        let _ = nix::unistd::close(number);
    }
}
