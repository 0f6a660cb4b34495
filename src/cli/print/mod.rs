//! `officer print`: what a packager needs.

mod manual;

use std::env;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Command, CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Cli, Failure};
use crate::console::shown::Shown;

/// The unit of a service with minimal privileges.
const SYSTEMD_UNIT: &str = include_str!("officer.service");

/// Alerts, each with its reason.
const PROMETHEUS_RULES: &str = include_str!("prometheus-rules.yml");

/// A dashboard that asks for its data source when it is imported.
const GRAFANA_DASHBOARD: &str = include_str!("grafana-dashboard.json");

const AFTER: &str = "\
Install them, for example, with

  officer print systemd-unit > /etc/systemd/system/officer.service
  mkdir -p /usr/local/share/man/man1
  officer print man > /usr/local/share/man/man1/officer.1
  officer print completions bash > /usr/share/bash-completion/completions/officer
  officer print prometheus-rules > /etc/prometheus/officer.rules.yml

A dashboard is imported in Grafana, and asks for its data source then. Both expect scrapes of /metrics by a job called \
officer.";

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
    /// Alerts for Prometheus, as a file of rules
    PrometheusRules,
    /// A dashboard of the metrics for Grafana
    GrafanaDashboard,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let printed = match &options.what {
        Subject::SystemdUnit => systemd_unit()?.into_bytes(),
        Subject::Man { command } => manual(command)?,
        Subject::Completions { shell } => completions(*shell),
        Subject::PrometheusRules => PROMETHEUS_RULES.into(),
        Subject::GrafanaDashboard => GRAFANA_DASHBOARD.into(),
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

/// How a case of [`with_pages`] is written for bash and zsh,
const SHELL_CASE: &str = "'{}') pages='{}' ;;";
/// and for fish.
const FISH_CASE: &str = "case '{}'; printf '%s\\n' {}";

fn completions(shell: Shell) -> Vec<u8> {
    let mut printed = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "officer", &mut printed);
    // What is generated knows nothing of a command that comes after '--', nor of manual pages.
    match shell {
        Shell::Bash => printed.extend_from_slice(with_pages(include_str!("completions.bash"), SHELL_CASE).as_bytes()),
        Shell::Fish => printed.extend_from_slice(with_pages(include_str!("completions.fish"), FISH_CASE).as_bytes()),
        Shell::Zsh => return with_ours_in_zsh(&String::from_utf8_lossy(&printed)).into_bytes(),
        _ => {}
    }
    printed
}

/// A script with a case for each command that has others: the words so far, and those that `print man` takes after them.
fn with_pages(script: &str, case: &str) -> String {
    fn add_of(command: &Command, words: &str, case: &str, cases: &mut Vec<String>) {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        if !names.is_empty() {
            cases.push(case.replacen("{}", words, 1).replacen("{}", &names.join(" "), 1));
        }
        for command in command.get_subcommands() {
            add_of(command, format!("{words} {}", command.get_name()).trim_start(), case, cases);
        }
    }
    let mut cases = Vec::new();
    add_of(&Cli::command(), "", case, &mut cases);
    script.replace("@CASES@", &cases.join("\n"))
}

/// Looks for the command first, and takes out that anything after the lock's name is a part of it: options come there too.
fn with_ours_in_zsh(generated: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("'*::command -- What to run");
    let kept: String = generated.split_inclusive('\n').filter(is_kept).collect();
    let start = "_officer() {\n";
    kept.replacen(start, &[start, &with_pages(include_str!("completions.zsh"), SHELL_CASE)].concat(), 1)
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
    fn the_pages_of_a_command_are_those_of_its_commands() {
        let cases = with_pages("@CASES@", "{}: {}");
        let cases: Vec<&str> = cases.lines().collect();
        assert!(cases[0].starts_with(": run start ") && cases[0].ends_with(" bench print"), "{cases:?}");
        assert_eq!(
            cases[1..],
            [
                "bench: pair bundle connect handoff hold storm table floor",
                "bench floor: echo ring",
                "print: systemd-unit man completions prometheus-rules grafana-dashboard"
            ]
        );
    }
}
