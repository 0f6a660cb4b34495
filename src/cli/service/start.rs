//! `officer start`: the server in the background. A second process of the same program becomes the server; this one waits
//! until it listens, or passes on why it doesn't.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::{env, process, thread};

use clap::{Args, Parser};

use super::pid_file::PidFile;
use super::{PidOptions, ServiceError, default_log_file, restart};
use crate::cli::log_file::LogFileError;
use crate::cli::{Failure, named, run as foreground};

pub(in crate::cli) const AFTER: &str = "\
Returns once the server listens, or says why it doesn't. The server belongs to no terminal, its current directory is /, \
and its log goes to officer.log beside the pid file, or to /var/log/officer.log where that is in /var/run. \
'officer stop' ends it. Under a service manager use 'officer run'.

Exit status:
  0  the server listens
  1  it can't be started, or runs already
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

/// What the server's process is told: the options of `start` and `restart` alike.
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
    // What a service manager tells us is not for another process.
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        command.env_remove(variable);
    }
    let not_started = |error| Failure::NotStarted { command: program.display().to_string(), error };
    let mut server = command.spawn().map_err(not_started)?;

    // Both streams end when it has turned them away, or with it.
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
        _ => Err(Failure::Service(ServiceError::NoReason { status })),
    }
}

/// The server's process. The arguments were understood by `officer start`.
pub(in crate::cli) fn run_daemon(args: &[OsString]) -> Result<(), Failure> {
    let Daemon { options: restart::Options { start: Options { pid, mut run }, .. } } =
        Daemon::try_parse_from([OsStr::new(DAEMON)].into_iter().chain(args.iter().map(OsString::as_os_str)))
            .map_err(|error| Failure::Usage(error.kind().to_string()))?;

    close_inherited();
    // From here on no terminal can end it, and no file system is kept busy by its current directory.
    rustix::process::setsid().map_err(|error| Failure::System(error.into()))?;
    let directory = pid.directory().map_err(Failure::Service)?;
    run.make_absolute().map_err(Failure::System)?;
    let log_file = run.log_file_or(|| default_log_file(&directory)).to_owned();
    let pid_file = pid.pid_file().map_err(Failure::Service)?;
    env::set_current_dir("/").map_err(Failure::System)?;

    // Given back after everything that the server has.
    let (own, stale) = PidFile::take(&pid_file).map_err(Failure::Service)?;
    check_log_file(&log_file, &own).map_err(Failure::LogFile)?;
    if let Some(stale) = stale {
        let stale = stale.escape_debug();
        let _ =
            writeln!(io::stderr(), "officer: the server before this one, process {stale}, ended without cleaning up");
    }
    foreground::serve(run, |address| {
        let mut stdout = io::stdout().lock();
        let pid = process::id();
        let _ =
            write!(stdout, "officer: listening on {address}\nofficer: process {pid}, log in {}\n", log_file.display());
        let _ = stdout.flush();
        // The end of the pipe is what `officer start` waits for.
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null);
        }
    })
}

/// What else this process has open can't be its log.
fn check_log_file(path: &Path, pid_file: &PidFile) -> Result<(), LogFileError> {
    if named::leads_to(path, io::stdout()) || named::leads_to(path, io::stderr()) {
        // /dev/stderr and its like: a pipe to 'officer start', which would wait for its end.
        return Err(LogFileError::refuse(path, "it would end with 'officer start'"));
    }
    if pid_file.is_at(path) {
        // Closed once, it would not be locked any more.
        return Err(LogFileError::refuse(path, "it is the pid file"));
    }
    Ok(())
}

/// Closes what whoever called `officer start` had open, but for the three standard streams: a pipe whose reader waits for
/// its end, or a file that is locked as long as somebody has it open. Called before this process opens anything.
fn close_inherited() {
    let Ok(descriptors) = fs::read_dir("/dev/fd") else { return };
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    // All numbers first: one of them is that of the directory itself, which is closed by then.
    let numbers: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in numbers {
        let _ = nix::unistd::close(number);
    }
}
