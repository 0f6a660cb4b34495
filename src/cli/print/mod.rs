//! `officer print`: what a packager needs.

mod manual;

use std::env;
use std::io::{self, Write};
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Args, Command, CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Cli, Failure};
use crate::console::shown::Shown;

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
    if let Some(directory) = hidden_in(&program) {
        let program = program.to_string_lossy();
        // Nobody has to read it.
        let _ = writeln!(
            io::stderr(),
            "officer: warning: the unit hides {directory} from the service, so it can't start {}; install the program \
             elsewhere, such as in /usr/local/bin, and print the unit from there",
            Shown(&program)
        );
    }
    Ok(SYSTEMD_UNIT.replace("@PROGRAM@", &path))
}

/// What the unit's own hardening hides from the service: `ProtectHome`, `PrivateTmp` and `InaccessiblePaths`.
const HIDDEN: [&str; 7] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"];

/// The directory that hides a program from the service, if one does.
fn hidden_in(program: &Path) -> Option<&'static str> {
    HIDDEN.into_iter().find(|directory| program.starts_with(directory))
}

fn completions(shell: Shell) -> Vec<u8> {
    let (mut printed, pages) = (Vec::new(), pages());
    let with_pages =
        |man: Command| man.mut_arg("command", |command| command.value_parser(PossibleValuesParser::new(pages.clone())));
    let mut command = Cli::command().mut_subcommand("print", |print| print.mut_subcommand("man", with_pages));
    clap_complete::generate(shell, &mut command, "officer", &mut printed);
    // What is generated knows nothing of a command that comes after '--'.
    match shell {
        Shell::Bash => printed.extend_from_slice(include_bytes!("completions.bash")),
        Shell::Fish => {
            let ours = include_str!("completions.fish").replace("@PAGES@", &pages.join(" "));
            printed.extend_from_slice(ours.as_bytes());
        }
        Shell::Zsh => return with_command_in_zsh(&String::from_utf8_lossy(&printed)).into_bytes(),
        _ => {}
    }
    printed
}

/// The words that `print man` takes. They are kept for good, as clap wants those of its own.
fn pages() -> Vec<&'static str> {
    fn add_of(command: &Command, pages: &mut Vec<&str>) {
        for command in command.get_subcommands() {
            pages.push(command.get_name().to_owned().leak());
            add_of(command, pages);
        }
    }
    let mut pages = Vec::new();
    add_of(&Cli::command(), &mut pages);
    pages
}

/// Looks for the command first, and takes out that anything after the lock's name is a part of it: options come there too.
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
    manual::render(&page, &mut printed).map_err(Failure::Output)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_hidden_by_the_directories_that_the_unit_hides_and_no_others() {
        for (program, directory) in [
            ("/tmp/officer", Some("/tmp")),
            ("/home/ann/.cargo/bin/officer", Some("/home")),
            ("/root/officer", Some("/root")),
            ("/usr/local/bin/officer", None),
            ("/tmpfiles/officer", None),
            ("/srv/home/officer", None),
        ] {
            assert_eq!(hidden_in(Path::new(program)), directory, "{program}");
        }
        for hidden in ["ProtectHome=yes", "PrivateTmp=yes", "InaccessiblePaths=-/tmp -/var/tmp -/dev/shm -/dev/mqueue"]
        {
            assert!(SYSTEMD_UNIT.contains(hidden), "{hidden}");
        }
    }

    #[test]
    fn the_pages_are_those_of_all_commands() {
        let pages = pages();
        assert!(["run", "lock", "bench", "storm", "systemd-unit"].iter().all(|page| pages.contains(page)));
    }
}
