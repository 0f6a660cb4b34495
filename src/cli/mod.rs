//! The command line: flags into a configuration, and the configuration into one of the commands.

mod allocator;
mod changed;
mod contradictions;
mod kick;
mod limits;
mod listen;
mod listing;
mod lock;
mod log_file;
mod log_output;
mod named;
mod ping;
mod print;
mod reader;
mod revoke;
mod run;
mod secret;
mod service;
mod stats;
mod tls;
mod watch;

use std::ffi::{OsStr, OsString};
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;
use std::{env, io};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

pub use crate::console::Failure;

use self::service::{reload, restart, start, status, stop};
use crate::console::shown::Shown;

use crate::{bench, top};

/// A lock server: named locks over TCP or a UNIX socket, one holder at a time, the others in order.
//
// `-h` means the host, as it always has, so help is only `--help`. A missing command is an error like any other, and
// not a screen of help on stderr.
#[derive(Debug, Parser)]
#[command(name = "officer", bin_name = "officer", version, propagate_version = true, disable_help_flag = true)]
#[command(arg_required_else_help = false, args_override_self = true)]
struct Cli {
    /// Print help
    #[arg(long, global = true, action = ArgAction::Help, display_order = 900)]
    help: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server in the foreground
    Run(run::RunOptions),
    /// Start the server in the background
    Start(start::Options),
    /// Stop the server in the background
    Stop(stop::Options),
    /// Stop the server in the background, and start it again
    Restart(restart::Options),
    /// Have the server in the background read its files again
    Reload(reload::Options),
    /// Show whether a server is running in the background, and where it listens
    Status(status::Options),
    /// Run a command while holding a lock
    Lock(lock::Options),
    /// List the locks, and who holds them
    Locks(listing::locks::Options),
    /// List the connections that hold or wait for locks
    Connections(listing::connections::Options),
    /// Watch the locks of a server, full screen
    Top(top::Options),
    /// Print what happens to the locks of a server, as it happens
    Watch(watch::Options),
    /// Show what a server counts: requests, grants, times
    Stats(stats::Options),
    /// Close a connection, so that its locks pass on
    Kick(kick::Options),
    /// Take a lock away from its holders
    Revoke(revoke::Options),
    /// Print a new secret, and the table of its user
    Secret(secret::Options),
    /// Check that the server answers
    Ping(ping::Options),
    /// Measure what a server can do, and what it costs
    Bench(bench::Options),
    /// Print a systemd unit, manual pages, shell completions, alerts or a dashboard
    Print(print::Options),
}

/// Runs the command in the arguments; the first of them is the program's name. A command that runs a server returns
/// when the server ends. The exit status is not always success: `officer lock` has that of its command.
///
/// # Errors
/// [`Failure`] says what went wrong, and which exit status it stands for.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let args = without_separator(args);
    if args.get(1).is_some_and(|command| command == start::DAEMON) {
        return start::run_daemon(&args[2..]).map(|()| ExitCode::SUCCESS);
    }
    if args.get(1).is_some_and(|command| command == bench::TIED) {
        return bench::run_tied(&args[2..]).map(|()| ExitCode::SUCCESS);
    }
    match Cli::try_parse_from(&args) {
        Ok(Cli { command, .. }) => dispatch(command, &args[2..]),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Whoever closed stdout does not want to read it.
            let _ = error.print();
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(Failure::Usage(usage_line(error, &args))),
    }
}

/// `args` are those after the command.
fn dispatch(command: Command, args: &[OsString]) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Run(options) => run::run(options, args),
        Command::Start(_) => return start::run(args),
        Command::Stop(options) => stop::run(&options),
        Command::Restart(options) => return restart::run(&options, args),
        Command::Reload(options) => reload::run(&options),
        Command::Status(options) => return status::run(&options),
        Command::Lock(options) => return lock::run(options),
        Command::Locks(options) => listing::locks::run(&options),
        Command::Connections(options) => listing::connections::run(&options),
        Command::Top(options) => return quiet_if_closed(top::run(&options)),
        Command::Watch(options) => watch::run(&options),
        Command::Stats(options) => stats::run(&options),
        Command::Kick(options) => kick::run(&options),
        Command::Revoke(options) => revoke::run(&options),
        Command::Secret(options) => secret::run(&options),
        Command::Ping(options) => ping::run(&options),
        Command::Bench(options) => bench::run(options),
        Command::Print(options) => print::run(&options),
    };
    quiet_if_closed(done.map(|()| ExitCode::SUCCESS))
}

/// Whoever closed stdout, as `head` does, has read enough.
fn quiet_if_closed(done: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
    match done {
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

/// `officer run -- -l debug` is what the original's manual says, so the first `--` after `run` means nothing. The same
/// goes for the other commands that start a server.
fn without_separator(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    if is_of_server(&args)
        && let Some(separator) = args.iter().position(|arg| arg == "--")
    {
        args.remove(separator);
    }
    args
}

fn is_of_server(args: &[OsString]) -> bool {
    args.get(1).is_some_and(|command| command == "run" || command == "start" || command == "restart")
}

/// The requested command, with its parent command if it has one; none if there is no such command.
fn command_of(args: &[OsString]) -> Option<String> {
    let (mut command, mut words) = (Cli::command(), Vec::new());
    for word in args.iter().skip(1).map_while(|arg| arg.to_str()) {
        let Some(next) = command.find_subcommand(word) else { break };
        command = next.clone();
        words.push(word);
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// `officer lock boss:17 ls -l`: `flock` and others have no `--` there.
fn is_command_without_separator(error: &clap::Error, args: &[OsString]) -> bool {
    let is_possible = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument);
    is_possible && command_of(args).as_deref() == Some("lock") && !args.iter().any(|arg| arg == "--")
}

/// An error of clap, which has several lines, as one. Its tip about what was meant is kept.
fn usage_line(mut error: clap::Error, args: &[OsString]) -> String {
    let variable = variable_at_fault(&error, |name| env::var_os(name));
    show_what_was_typed(&mut error);
    let rendered = error.render().to_string();
    let mut line = String::new();
    let said = rendered.lines().map(str::trim).take_while(|part| !part.starts_with("Usage:"));
    for part in said.filter(|part| !part.is_empty() && !part.starts_with("For more information")) {
        // clap would have an unknown option passed as a value, after `--`. Only the command of `lock` goes there.
        if part.starts_with("tip: to pass ") {
            continue;
        }
        let separator = match part {
            _ if line.is_empty() => "",
            _ if part.starts_with("tip: ") => "; ",
            _ => " ",
        };
        line.push_str(separator);
        line.push_str(part.strip_prefix("error: ").unwrap_or(part));
    }
    if error.kind() == ErrorKind::InvalidUtf8 {
        line = invalid_utf8(args).unwrap_or(line);
    }
    if let Some((reason, plain)) = plain_reason(&error)
        && let Some(start) = line.strip_suffix(&reason)
    {
        line = format!("{start}{plain}");
    }
    if let Some(variable) = variable {
        line.push_str("; the value is that of ");
        line.push_str(&variable);
        line.push_str(" in the environment");
    }
    if is_command_without_separator(&error, args) {
        line.push_str("; the command to run goes after '--'");
    }
    match command_of(args) {
        Some(command) => line.push_str(&format!("; see 'officer {command} --help'")),
        None => line.push_str("; see 'officer --help'"),
    }
    line
}

/// Why a value is invalid, in the words of the library that has parsed it, and in plain ones.
fn plain_reason(error: &clap::Error) -> Option<(String, String)> {
    let source = std::error::Error::source(error)?;
    let reason = source.to_string();
    let plain = if let Some(number) = source.downcast_ref::<ParseIntError>() {
        match number.kind() {
            IntErrorKind::PosOverflow => "the number is too large",
            IntErrorKind::NegOverflow => "the number is too small",
            _ => "not a whole number",
        }
        .to_owned()
    } else if reason == "value was not a boolean" {
        "neither true nor false".to_owned()
    } else {
        let (_, range) = reason.split_once(" is not in ")?;
        let (min, max) = range.split_once("..=")?;
        format!("must be from {min} to {max}")
    };
    Some((reason, plain))
}

/// What was typed may hold anything, and the line ends up on a terminal. What can't be seen may be what is wrong with it,
/// such as a carriage return at the end.
fn show_what_was_typed(error: &mut clap::Error) {
    for kind in [ContextKind::InvalidSubcommand, ContextKind::InvalidArg, ContextKind::InvalidValue] {
        if let Some(ContextValue::String(typed)) = error.get(kind) {
            let shown = Shown(typed).to_string();
            error.insert(kind, ContextValue::String(shown));
        }
    }
}

/// Where the text is that is not UTF-8: clap doesn't say.
fn invalid_utf8(args: &[OsString]) -> Option<String> {
    let is_invalid = |text: &OsStr| text.to_str().is_none();
    if let Some(arg) = args.iter().find(|arg| is_invalid(arg)) {
        return Some(format!("invalid UTF-8 in the argument {arg:?}"));
    }
    let mut ours = env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OFFICER_"));
    let (name, value) = ours.find(|(_, value)| is_invalid(value))?;
    Some(format!("invalid UTF-8 in {} in the environment: {value:?}", name.display()))
}

/// The variable that a bad value came from: clap names the option only, which the person may never have written.
fn variable_at_fault(error: &clap::Error, variable: impl Fn(&OsStr) -> Option<OsString>) -> Option<String> {
    let option = error.get(ContextKind::InvalidArg)?.to_string();
    let value = error.get(ContextKind::InvalidValue)?.to_string();
    let name = variable_name(option.strip_prefix("--")?.split([' ', '=']).next()?);
    (variable(name.as_ref())? == value.as_str()).then_some(name)
}

/// `OFFICER_MAX_IDLE` for `max-idle`.
fn variable_name(long: &str) -> String {
    format!("OFFICER_{}", long.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a command line, without running it.
    fn parse(line: &[&str]) -> Result<Cli, String> {
        let args = without_separator(["officer"].iter().chain(line).map(OsString::from));
        Cli::try_parse_from(&args).map_err(|error| usage_line(error, &args))
    }

    fn fault(line: &[&str]) -> String {
        let fault = parse(line).expect_err("an error");
        assert!(!fault.contains('\n'), "{fault}");
        fault
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_can_come_from_the_environment_under_its_own_name() {
        let mut command = Cli::command();
        let run = command.find_subcommand_mut("run").unwrap();
        let options =
            run.get_arguments().filter(|option| !["help", "version", "check"].contains(&option.get_id().as_str()));
        let mut seen = 0;
        for option in options {
            let variable = variable_name(option.get_long().unwrap());
            assert_eq!(option.get_env(), Some(OsStr::new(&variable)));
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn the_separator_of_the_original_is_accepted() {
        for line in
            [&["run", "--", "-p", "7", "-s"][..], &["run", "-p", "7", "--", "-s"], &["run", "-p", "7", "-s", "--"]]
        {
            let Command::Run(options) = parse(line).unwrap().command else { panic!("{line:?}") };
            let config = options.server.config(1024);
            assert!(config.stats, "{line:?}");
        }
        assert!(fault(&["run", "--", "--", "-s"]).starts_with("unexpected argument '-s' found"));
        for command in ["start", "restart"] {
            parse(&[command, "-d", "/run/officer", "--", "-p", "7", "-s"]).unwrap();
        }
        fault(&["stop", "--", "-d", "/run/officer"]);
    }

    #[test]
    fn a_command_line_that_is_wrong_gives_one_line_that_says_what_to_do() {
        for (line, expected) in [
            (
                &[][..],
                "'officer' requires a subcommand but one was not provided [subcommands: run, start, stop, restart, reload, status, lock, locks, connections, top, watch, stats, kick, revoke, secret, ping, bench, print, help]; see 'officer --help'",
            ),
            (&["rum"], "unrecognized subcommand 'rum'; tip: a similar subcommand exists: 'run'; see 'officer --help'"),
            (&["--port"], "unexpected argument '--port' found; see 'officer --help'"),
            (
                &["run", "--prot", "1"],
                "unexpected argument '--prot' found; tip: a similar argument exists: '--port'; see 'officer run --help'",
            ),
            (
                &["print"],
                "'officer print' requires a subcommand but one was not provided \
                 [subcommands: systemd-unit, man, completions, prometheus-rules, grafana-dashboard, help]; see 'officer print --help'",
            ),
            (&["bench", "table", "-p", "1"], "unexpected argument '-p' found; see 'officer bench table --help'"),
            (&["run", "11500"], "unexpected argument '11500' found; see 'officer run --help'"),
            (
                &["lock", "x", "-q", "two", "--", "ls"],
                "invalid value 'two' for '--queue-max <COUNT>': not a whole number; see 'officer lock --help'",
            ),
            (
                &["run", "--keepalive-probes", "999"],
                "invalid value '999' for '--keepalive-probes <COUNT>': must be from 1 to 127; see 'officer run --help'",
            ),
            (
                &["lock", "x", "-q", "99999999999999999999", "--", "ls"],
                "invalid value '99999999999999999999' for '--queue-max <COUNT>': the number is too large; \
                 see 'officer lock --help'",
            ),
            (&["run", "-p"], "a value is required for '--port <PORT>' but none was supplied; see 'officer run --help'"),
            (
                &["run", "-p", "x\n\x07y"],
                r"invalid value 'x\n\u{7}y' for '--port <PORT>': not a port number from 0 to 65535; see 'officer run --help'",
            ),
            (
                &["lock", "boss:17", "ls", "-l"],
                "unexpected argument '-l' found; the command to run goes after '--'; see 'officer lock --help'",
            ),
            (
                &["lock", "boss:17", "ls"],
                "the following required arguments were not provided: <COMMAND> [ARG]...; the command to run goes after '--'; \
                 see 'officer lock --help'",
            ),
            (
                &["lock", "boss:17", "--tiemout", "5", "--", "ls"],
                "unexpected argument '--tiemout' found; tip: a similar argument exists: '--timeout'; \
                 see 'officer lock --help'",
            ),
            (
                &["run", "-l", "loud"],
                "invalid value 'loud' for '--log-level <LEVEL>' \
                 [possible values: error, warn, info, debug, trace]; see 'officer run --help'",
            ),
        ] {
            assert_eq!(fault(line), expected);
        }
    }

    #[test]
    fn help_and_version_are_no_failures() {
        run(["officer", "--version"].iter().map(OsString::from)).unwrap();
        for line in [&["--help"][..], &["run", "--help"], &["run", "--", "--help"], &["help", "run"], &["run", "-V"]] {
            let args = without_separator(["officer"].iter().chain(line).map(OsString::from));
            assert!(!Cli::try_parse_from(args).unwrap_err().use_stderr(), "{line:?}");
        }
    }

    #[test]
    fn a_bad_value_from_the_environment_is_told_from_one_on_the_command_line() {
        let error = Cli::try_parse_from(["officer", "run", "--max-idle", "soon"]).unwrap_err();
        let variables =
            |value: &'static str| move |name: &OsStr| (name == "OFFICER_MAX_IDLE").then(|| OsString::from(value));
        assert_eq!(variable_at_fault(&error, variables("soon")).as_deref(), Some("OFFICER_MAX_IDLE"));
        assert_eq!(variable_at_fault(&error, variables("60")), None);
        assert_eq!(variable_at_fault(&error, |_| None), None);
    }
}
