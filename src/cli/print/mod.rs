//! `officer print`: what a packager needs.

use std::env;
use std::io::{self, Write};

use clap::{Args, CommandFactory, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Failure};

/// The unit of a service with minimal privileges.
const SYSTEMD_UNIT: &str = include_str!("officer.service");

const AFTER: &str = "\
Install them, for example, with

  officer print systemd-unit > /etc/systemd/system/officer.service
  mkdir -p /usr/local/share/man/man1
  officer print man > /usr/local/share/man/man1/officer.1
  officer print completions bash > /usr/share/bash-completion/completions/officer";

#[derive(Args, Debug)]
// A missing word is an error like any other.
#[command(arg_required_else_help = false, after_help = AFTER)]
pub(super) struct Options {
    #[command(subcommand)]
    what: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// A systemd unit that runs this program
    SystemdUnit,
    /// The manual page officer(1), or that of a command
    Man {
        /// Command, such as run for officer-run(1)
        command: Vec<String>,
    },
    /// Completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let printed = match &options.what {
        Subject::SystemdUnit => systemd_unit()?.into_bytes(),
        Subject::Man { command } => manual(command)?,
        Subject::Completions { shell } => completions(*shell),
    };
    io::stdout().write_all(&printed).map_err(Failure::Output)
}

fn systemd_unit() -> Result<String, Failure> {
    let program = env::current_exe().map_err(Failure::System)?;
    let path = program.to_str().and_then(as_systemd_reads_it).ok_or_else(|| {
        Failure::Usage(format!(
            "a unit can't contain the path of this program, {program:?}; move it, or write the unit by hand"
        ))
    })?;
    Ok(SYSTEMD_UNIT.replace("@PROGRAM@", &path))
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut printed = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "officer", &mut printed);
    // The generated completions don't know about a command after '--'.
    match shell {
        Shell::Bash => printed.extend_from_slice(include_bytes!("completions.bash")),
        Shell::Fish => printed.extend_from_slice(include_bytes!("completions.fish")),
        Shell::Zsh => return with_command_in_zsh(&String::from_utf8_lossy(&printed)).into_bytes(),
        _ => {}
    }
    printed
}

/// Looks for the command first, and removes that everything after the lock's name is part of it, because options can
/// follow the name.
fn with_command_in_zsh(generated: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("'*::command -- What to run");
    let kept: String = generated.split_inclusive('\n').filter(is_kept).collect();
    let start = "_officer() {\n";
    kept.replacen(start, &[start, include_str!("completions.zsh")].concat(), 1)
}

fn manual(command: &[String]) -> Result<Vec<u8>, Failure> {
    let mut page = Cli::command().disable_help_subcommand(true);
    // Gives the commands the names of their pages, and the options that all of them have.
    page.build();
    for name in command {
        page = page.find_subcommand(name).cloned().ok_or_else(|| {
            let name = command.join(" ");
            Failure::Usage(format!("there is no command {name:?}, so there is no manual page; see 'officer --help'"))
        })?;
    }
    let mut printed = Vec::new();
    let source = concat!("officer ", env!("CARGO_PKG_VERSION"));
    Man::new(page).source(source).render(&mut printed).map_err(Failure::Output)?;
    Ok(printed)
}

/// A program's path in a unit: a space would end it, `%` has a special meaning, and paths that could end the quotes are
/// refused.
fn as_systemd_reads_it(path: &str) -> Option<String> {
    if path.contains(|c: char| c.is_control() || matches!(c, '"' | '\'' | '\\')) {
        return None;
    }
    let path = path.replace('%', "%%");
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:%".contains(c);
    Some(if path.chars().all(is_plain) { path } else { format!("\"{path}\"") })
}
