//! The command line: flags into a configuration, and the configuration into one of the commands.

mod limits;
mod run;
mod values;

use std::ffi::{OsStr, OsString};
use std::{env, fmt, io};

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Parser, Subcommand};

use crate::net::BindError;

/// Why the program ends otherwise than well. `Display` gives one line that says what to do.
#[derive(Debug)]
pub enum Failure {
    /// The command line, or the environment, asks for what does not exist.
    Usage(String),
    /// The server can't listen.
    Listen(BindError),
    /// The poll itself failed while the server ran.
    Poll(io::Error),
}

impl Failure {
    /// The exit status: 2 for a command line that has to be written differently, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Listen(_) | Failure::Poll(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(line) => f.write_str(line),
            Failure::Listen(error) => error.fmt(f),
            Failure::Poll(error) => write!(f, "the system's poll failed ({error}); all locks are free, start again"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Usage(_) => None,
            Failure::Listen(error) => Some(error),
            Failure::Poll(error) => Some(error),
        }
    }
}

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
    Run(run::Options),
}

/// Carries out the command that the arguments ask for; the first of them is the program's name. A command that runs a
/// server returns when the server ends.
///
/// # Errors
/// [`Failure`] says what went wrong, and which exit status it stands for.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let args = without_separator(args);
    match Cli::try_parse_from(&args) {
        Ok(Cli { command: Command::Run(options), .. }) => run::run(options),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Whoever closed stdout does not want to read it.
            let _ = error.print();
            Ok(())
        }
        Err(error) => Err(Failure::Usage(usage_line(&error, &args))),
    }
}

/// `officer run -- -l debug` is what the original's manual says, so the first `--` after `run` means nothing.
fn without_separator(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    if is_run(&args)
        && let Some(separator) = args.iter().position(|arg| arg == "--")
    {
        args.remove(separator);
    }
    args
}

fn is_run(args: &[OsString]) -> bool {
    args.get(1).is_some_and(|command| command == "run")
}

/// An error of clap, which has several lines, as one. Its tip about what was meant is kept.
fn usage_line(error: &clap::Error, args: &[OsString]) -> String {
    let rendered = error.render().to_string();
    let mut line = String::new();
    let said = rendered.lines().map(str::trim).take_while(|part| !part.starts_with("Usage:"));
    for part in said.filter(|part| !part.is_empty() && !part.starts_with("For more information")) {
        // clap would have an unknown option passed as a value, behind `--`. No command takes it there.
        if part.starts_with("tip: to pass ") {
            continue;
        }
        let separator = match part {
            _ if line.is_empty() => "",
            _ if part.starts_with("tip: ") => "; ",
            _ => " ",
        };
        line.push_str(separator);
        // What was typed may hold anything, and the line ends up on a terminal.
        line.extend(part.strip_prefix("error: ").unwrap_or(part).chars().filter(|character| !character.is_control()));
    }
    if let Some(variable) = variable_at_fault(error, |name| env::var_os(name)) {
        line.push_str("; the value is that of ");
        line.push_str(&variable);
        line.push_str(" in the environment");
    }
    line.push_str(if is_run(args) { "; see 'officer run --help'" } else { "; see 'officer --help'" });
    line
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
    use clap::CommandFactory;

    use super::*;

    /// What comes of a command line, without running it.
    fn parse(line: &[&str]) -> Result<Cli, String> {
        let args = without_separator(["officer"].iter().chain(line).map(OsString::from));
        Cli::try_parse_from(&args).map_err(|error| usage_line(&error, &args))
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
        let options = run.get_arguments().filter(|option| !["help", "version"].contains(&option.get_id().as_str()));
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
            let Command::Run(options) = parse(line).unwrap().command;
            let config = options.config(1024);
            assert!(config.stats, "{line:?}");
        }
        assert!(fault(&["run", "--", "--", "-s"]).starts_with("unexpected argument '-s' found"));
    }

    #[test]
    fn a_command_line_that_is_wrong_gives_one_line_that_says_what_to_do() {
        for (line, expected) in [
            (
                &[][..],
                "'officer' requires a subcommand but one was not provided [subcommands: run, help]; see 'officer --help'",
            ),
            (&["rum"], "unrecognized subcommand 'rum'; tip: a similar subcommand exists: 'run'; see 'officer --help'"),
            (&["--port"], "unexpected argument '--port' found; see 'officer --help'"),
            (
                &["run", "--prot", "1"],
                "unexpected argument '--prot' found; tip: a similar argument exists: '--port'; see 'officer run --help'",
            ),
            (&["run", "11500"], "unexpected argument '11500' found; see 'officer run --help'"),
            (&["run", "-p"], "a value is required for '--port <PORT>' but none was supplied; see 'officer run --help'"),
            (
                &["run", "-p", "x\n\x07y"],
                "invalid value 'x y' for '--port <PORT>': invalid digit found in string; see 'officer run --help'",
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

    #[test]
    fn failures_have_their_exit_status() {
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Poll(io::ErrorKind::Other.into()).exit_code(), 1);
        assert_eq!(Failure::Listen(BindError::Setup(io::ErrorKind::Other.into())).exit_code(), 1);
    }
}
