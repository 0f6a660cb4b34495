//! Manual pages: what is generated from the command line, and the sections that readers look for beside it.

use std::fmt::Write as _;
use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;

/// Where the list of exit statuses begins in a help text.
const EXIT_STATUS: &str = "Exit status:";

/// The exit statuses of a command whose help text does not list them.
const EXIT_STATUS_DEFAULT: &str = "
  0  success
  1  failure: the last line on stderr says what to do
  2  the command line is wrong, or a variable of the environment that stands for it";

/// The page of a command, which is built already.
pub(super) fn render(page: &Command, printed: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(page.clone()).source(concat!("officer ", env!("CARGO_PKG_VERSION")));
    man.render_title(printed)?;
    man.render_name_section(printed)?;
    man.render_synopsis_section(printed)?;
    man.render_description_section(printed)?;
    if page.get_arguments().next().is_some() {
        man.render_options_section(printed)?;
    }
    if page.has_subcommands() {
        man.render_subcommands_section(printed)?;
    }
    let help = page.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (notes, exit_status) = match help.split_once(EXIT_STATUS) {
        Some((notes, exit_status)) => (notes, exit_status),
        None => (help.as_str(), EXIT_STATUS_DEFAULT),
    };
    let mut sections = String::new();
    section(&mut sections, "NOTES", &paragraphs(notes));
    section(&mut sections, "EXIT STATUS", &paragraphs(exit_status));
    section(&mut sections, "ENVIRONMENT", &list(&environment(page)));
    section(&mut sections, "FILES", &list(&files(page)));
    printed.extend_from_slice(sections.as_bytes());
    man.render_version_section(printed)
}

/// Not without anything in it.
fn section(page: &mut String, title: &str, text: &str) {
    if !text.is_empty() {
        let _ = write!(page, ".SH \"{title}\"\n{text}");
    }
}

/// A help text. A line that is set in by two spaces is an entry of a list if it begins with a number, and an example
/// otherwise.
fn paragraphs(text: &str) -> String {
    let mut page = String::new();
    for line in text.trim_end().lines() {
        let _ = match line.strip_prefix("  ").map(|entry| (entry, entry.split_once("  "))) {
            _ if line.trim().is_empty() => writeln!(page, ".PP"),
            Some((_, Some((status, meaning)))) if status.bytes().all(|byte| byte.is_ascii_digit()) => {
                write!(page, "{}", item(status, meaning.trim()))
            }
            Some((example, _)) => write!(page, ".EX\n{}\n.EE\n", escaped(example)),
            None => writeln!(page, "{}", escaped(line.trim())),
        };
    }
    page
}

fn list(items: &[(String, String)]) -> String {
    items.iter().map(|(word, meaning)| item(word, meaning)).collect()
}

fn item(word: &str, meaning: &str) -> String {
    format!(".TP\n\\fB{}\\fR\n{}\n", escaped(word), escaped(meaning))
}

/// As text and nothing else. A line must not begin with what is a request to the formatter.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// The variables that count, or that a command is given.
fn environment(page: &Command) -> Vec<(String, String)> {
    let of_option = |option: &Arg| {
        let variable = option.get_env()?.to_string_lossy().into_owned();
        Some((variable, format!("Stands for --{} where that is not given.", option.get_long()?)))
    };
    let mut variables: Vec<_> = page.get_arguments().filter_map(of_option).collect();
    let mut add = |name: &str, meaning: &str| variables.push((name.to_owned(), meaning.to_owned()));
    match page.get_name() {
        "lock" => {
            add("OFFICER_LOCK", "Set for the command: the name of the lock. Several names are on one line each.");
            add("OFFICER_TOKEN", "Set for the command with --fence: the token, a number. Removed without.");
            add("PATH", "Where the command is looked for, if it has no / in it.");
            add("TERM", "A terminal that is empty or dumb has no line drawn that shows how long the wait takes.");
        }
        "officer" => add("OFFICER_...", "Stands for an option; the pages of the commands list them."),
        "run" => {
            add("NOTIFY_SOCKET, WATCHDOG_USEC", "Where a service manager wants to be told, and how often.");
            add("LISTEN_FDS, LISTEN_PID", "A socket that a service manager passes.");
        }
        _ => {}
    }
    if has(page, "pid_dir") {
        add("XDG_RUNTIME_DIR", "The directory of the pid file of a user other than root.");
    }
    variables
}

/// The files that a command uses unless it is told otherwise.
fn files(page: &Command) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut add = |path: &str, meaning: &str| files.push((path.to_owned(), meaning.to_owned()));
    if has(page, "pid_dir") {
        add("officer.pid", "In the directory of --pid-dir: the number of the server's process.");
        add("officer.log", "Beside it, or in /var/log: what a server in the background logs.");
    }
    if has(page, "state_dir") {
        add("tokens, tokens.lock", "In the directory of --state-dir: the tokens that are reserved, and a lock on it.");
    }
    let socket = page.get_arguments().find(|option| option.get_id() == "socket_file");
    let default = socket.and_then(|option| option.get_default_values().first());
    if let Some(path) = default {
        add(
            &path.to_string_lossy(),
            "The socket of a server with --socket-type UNIX, unless --socket-file names another.",
        );
    }
    if page.get_name() == "officer" {
        add("officer.pid, officer.log", "See officer-start(1).");
        add("/etc/default/officer", "The environment of the service that 'officer print systemd-unit' makes.");
    }
    files
}

fn has(page: &Command, option: &str) -> bool {
    page.get_arguments().any(|argument| argument.get_id() == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_text_becomes_paragraphs_lists_and_examples() {
        let text = "'a' -b.\n\n.c \\d\n\n  officer print man\n\n  0   good\n  69  bad";
        assert_eq!(
            paragraphs(text),
            "\\&'a' \\-b.\n.PP\n\\&.c \\ed\n.PP\n.EX\nofficer print man\n.EE\n.PP\n\
             .TP\n\\fB0\\fR\ngood\n.TP\n\\fB69\\fR\nbad\n"
        );
        assert_eq!(paragraphs("\n\n"), "");
    }
}
