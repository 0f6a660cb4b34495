//! The options that were given, as the log of a server begins with them.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, Parser};

use super::run::Options;
use crate::console::shown::Shown;

/// The options of a server, whatever command starts it.
#[derive(Parser)]
#[command(disable_help_flag = true, args_override_self = true)]
struct OfServer {
    #[command(flatten)]
    _options: Options,
}

/// The options of `officer run` that don't have their defaults. The arguments were understood before.
pub(super) fn in_arguments(args: &[OsString]) -> String {
    let args = [OsStr::new("run")].into_iter().chain(args.iter().map(OsString::as_os_str));
    OfServer::command().try_get_matches_from(args).map(|matches| changed_options(&matches)).unwrap_or_default()
}

/// The options that don't have their defaults, as they would be given on the command line.
pub(super) fn changed_options(matches: &ArgMatches) -> String {
    let command = OfServer::command();
    let options = command.get_arguments().filter_map(|option| changed(option, matches));
    options.collect::<Vec<_>>().join(" ")
}

fn changed(option: &Arg, matches: &ArgMatches) -> Option<String> {
    let (id, name) = (option.get_id().as_str(), option.get_long()?);
    if !matches!(matches.value_source(id)?, ValueSource::CommandLine | ValueSource::EnvVariable) {
        return None;
    }
    if matches!(option.get_action(), ArgAction::SetTrue) {
        return matches.get_flag(id).then(|| format!("--{name}"));
    }
    let values: Vec<_> = matches.get_raw(id)?.collect();
    // Of options that can't be repeated the last one counts.
    let values =
        if matches!(option.get_action(), ArgAction::Append) { &values[..] } else { &values[values.len() - 1..] };
    let is_default = |value: &OsStr| option.get_default_values().first().is_some_and(|default| **default == *value);
    let shown = |value: &&OsStr| format!("--{name} {}", Shown(&value.to_string_lossy()));
    let shown: Vec<_> = values.iter().filter(|value| !is_default(value)).map(shown).collect();
    (!shown.is_empty()).then(|| shown.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_the_defaults_is_told_and_nothing_else() {
        for (line, told) in [
            (&[][..], ""),
            (&["-p", "11500", "-m", "60"], ""),
            (&["-p", "0", "-s", "--max-idle=5"], "--port 0 --stats --max-idle 5"),
            (&["-p", "1", "-p", "2"], "--port 2"),
            (&["-o", "unix", "-f", "a\nb"], "--socket-type unix --socket-file a\\nb"),
            (
                &["--listen", "tcp://a:1,tcp://b:1", "--listen", "unix:c"],
                "--listen tcp://a:1 --listen tcp://b:1 --listen unix:c",
            ),
            (&["--user-timeout-seconds", "7"], "--user-timeout-seconds 7"),
        ] {
            let command = OfServer::command().mut_args(|option| option.env(None));
            let matches = command.try_get_matches_from(["run"].iter().chain(line)).unwrap();
            assert_eq!(changed_options(&matches), told, "{line:?}");
        }
    }
}
