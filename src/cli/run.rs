//! `officer run`: the server in the foreground.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use env_logger::Target;
use log::LevelFilter;

use super::allocator;
use super::changed;
use super::contradictions::contradictions;
use super::limits::LimitOptions;
use super::listen::ListenOptions;
use super::log_file::{Choice, LogFile};
use super::log_output::LogOutput;
use super::tls::TlsFlags;
use crate::console::Failure;
use crate::console::announce;
use crate::console::values::Seconds;
use crate::net::{BindError, Config, HTTP_CONNECTIONS_MAX, Limits, Listen, Net, Reload, descriptors};
use crate::server::{LOG_TARGET, SLOW_HOLD_TARGET};
use crate::wire::request::NAME_BYTES_MAX;

/// The target of warnings about how the server was started, which are shown at every log level.
const START: &str = "officer::start";

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
#[command(mut_args(|arg| if arg.get_id() == "port" { arg.help("TCP port; 0 picks a free one") } else { arg }))]
#[group(skip)]
pub(super) struct Options {
    #[command(flatten)]
    listen: ListenOptions,

    /// File of the users: who they are, and what each may do; SIGHUP and 'officer reload' read it again [default: everybody
    /// may lock everything]
    #[arg(long, value_name = "FILE", env = "OFFICER_USERS", hide_env_values = true)]
    users: Option<PathBuf>,

    /// Let anybody on other machines take locks; without it, listening on a network needs users
    #[arg(long, env = "OFFICER_OPEN", hide_env_values = true, value_parser = BoolishValueParser::new())]
    open: bool,

    /// Allow clients on other machines to send secrets without TLS
    #[arg(long, env = "OFFICER_PLAIN_SECRETS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    plain_secrets: bool,

    /// Name by which programs without credentials may ask the server by HTTP, beside its addresses and localhost. Can be
    /// repeated, or list several, separated by commas
    #[arg(long, value_name = "NAME", env = "OFFICER_HTTP_HOST", hide_env_values = true, value_delimiter = ',')]
    #[arg(value_parser = host_name)]
    http_host: Vec<String>,

    /// What is logged
    #[arg(short, long, value_name = "LEVEL", env = "OFFICER_LOG_LEVEL", hide_env_values = true)]
    #[arg(ignore_case = true, default_value = "error")]
    log_level: LogLevel,

    /// File for the log, which SIGHUP reopens [default: stderr; in the background officer.log]
    #[arg(long, value_name = "PATH", env = "OFFICER_LOG_FILE", hide_env_values = true)]
    log_file: Option<PathBuf>,

    #[arg(skip)]
    log_file_choice: Choice,

    /// Directory for the file that keeps tokens rising across restarts [default: they come from the clock]
    #[arg(long, value_name = "DIR", env = "OFFICER_STATE_DIR", hide_env_values = true)]
    state_dir: Option<PathBuf>,

    /// Log statistics every 5 seconds, at the level info
    #[arg(short, long, env = "OFFICER_STATS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    stats: bool,

    /// Keep figures for the metrics also for the locks whose names begin like this. Can be repeated up to 64 times, or list
    /// several, separated by commas
    #[arg(long, value_name = "PREFIX", env = "OFFICER_METRICS_PREFIX", hide_env_values = true, value_delimiter = ',')]
    #[arg(value_parser = metrics_prefix)]
    metrics_prefix: Vec<String>,

    /// Close a connection that has sent nothing for this long; 0: never
    #[arg(short, long, value_name = "SECONDS", env = "OFFICER_MAX_IDLE", hide_env_values = true)]
    #[arg(default_value_t = Seconds(Limits::default().max_idle.unwrap_or_default()))]
    max_idle: Seconds,

    #[command(flatten)]
    limits: LimitOptions,

    #[command(flatten)]
    tls: TlsFlags,
}

/// A name as it stands in `Host`, without a port.
fn host_name(name: &str) -> Result<String, &'static str> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = !name.is_empty() && name.bytes().all(is_name_byte);
    if is_name { Ok(name.to_owned()) } else { Err("use a name alone, without a scheme or a port") }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => LevelFilter::Error,
            LogLevel::Warn => LevelFilter::Warn,
            LogLevel::Info => LevelFilter::Info,
            LogLevel::Debug => LevelFilter::Debug,
            LogLevel::Trace => LevelFilter::Trace,
        }
    }
}

impl Options {
    /// Makes its paths independent of the current directory.
    pub(super) fn make_absolute(&mut self) -> io::Result<()> {
        for path in [&mut self.log_file, &mut self.state_dir, &mut self.users].into_iter().flatten() {
            *path = path::absolute(&*path)?;
        }
        self.tls.make_absolute()?;
        self.listen.make_absolute()
    }

    /// Logs to this file if no other was chosen. Returns the file that it logs to.
    pub(super) fn log_file_or(&mut self, default: impl FnOnce() -> PathBuf) -> &Path {
        self.log_file.get_or_insert_with(|| {
            self.log_file_choice = Choice::Usual;
            default()
        })
    }

    /// Fails as a start would, as far as that can be told while the server that this one replaces still runs. That one
    /// listens on `old` addresses, if they are known.
    pub(super) fn check(self, old: Option<&[String]>) -> Result<(), Failure> {
        if let Some(path) = &self.log_file {
            LogFile::open(path, self.log_file_choice)?;
        }
        let failed = self.failed();
        Net::check(&self.config(descriptors::raise_limit()), old).map_err(failed)
    }

    /// What becomes of an error of the listeners.
    fn failed(&self) -> impl FnOnce(BindError) -> Failure + use<> {
        let is_list = self.listen.is_list();
        move |error| Failure::Listen(if is_list { BindError::Listed(Box::new(error)) } else { error })
    }

    /// `descriptors` is the limit on them that is in force.
    pub(super) fn config(self, descriptors: u64) -> Config {
        let max_idle = Some(self.max_idle.0).filter(|time| *time > Duration::ZERO);
        let tls = self.tls.options();
        let has_strangers = self.users.is_some() || tls.is_some();
        let mut metrics_prefixes = self.metrics_prefix;
        metrics_prefixes.sort();
        metrics_prefixes.dedup();
        let listen = self.listen.listen();
        let by_http = if listen.iter().any(Listen::is_http) { HTTP_CONNECTIONS_MAX } else { 0 };
        Config {
            tcp: self.limits.tcp(),
            limits: self.limits.limits(max_idle, descriptors, has_strangers, by_http),
            metrics_prefixes,
            turn_accepts_max: self.limits.turn_accepts_max,
            stats: self.stats,
            state_dir: self.state_dir,
            users: self.users,
            tls,
            is_open: self.open,
            has_plain_secrets: self.plain_secrets,
            http_hosts: self.http_host,
            listen,
        }
    }
}

fn metrics_prefix(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a prefix is empty; all locks have figures anyway".to_owned()),
        1..=NAME_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("no name is longer than {NAME_BYTES_MAX} bytes")),
    }
}

/// Where a server runs: who is told what happens to it.
pub(super) trait Host {
    /// It listens on these.
    fn listening(&mut self, addresses: &[String]);

    /// A reload begins, or is over.
    fn reload(&mut self, _: Reload<'_>) {}
}

/// A process in the foreground.
struct Foreground;

impl Host for Foreground {
    fn listening(&mut self, addresses: &[String]) {
        announce(addresses);
    }
}

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true)]
pub(super) struct RunOptions {
    #[command(flatten)]
    pub(super) server: Options,

    /// Check options, files and addresses, and exit: with 0 if the server could start. An address in use is taken for that of
    /// the server that this one would replace
    #[arg(long, help_heading = None)]
    check: bool,
}

/// Runs the server until a signal ends it. `args` are those that the options were made of.
pub(super) fn run(options: RunOptions, args: &[OsString]) -> Result<(), Failure> {
    if options.check {
        return options.server.check(None);
    }
    let changed = changed::in_arguments(args);
    serve(options.server, &changed, &mut Foreground)
}

/// Runs the server, and tells its host about it. `changed` are the options that don't have their defaults.
pub(super) fn serve(options: Options, changed: &str, host: &mut impl Host) -> Result<(), Failure> {
    allocator::return_what_is_free();
    let log_level = options.log_level.into();
    log_to_stderr(log_level);
    // What is wrong so far is told to whoever started the server; stderr becomes the log once it listens.
    let open = |path| LogFile::open(path, options.log_file_choice);
    let mut log_file = options.log_file.as_deref().map(open).transpose()?;
    let descriptors = descriptors::raise_limit();
    let failed = options.failed();
    let config = options.config(descriptors);
    let contradictions = contradictions(&config, log_level, descriptors);
    let mut net = Net::bind(config).map_err(failed)?;
    let addresses = net.addresses();
    host.listening(&addresses);
    let warn = || {
        for address in net.open_addresses() {
            log::warn!(
                target: START,
                "anybody who reaches {address} can take locks; keep strangers away with a firewall, or listen on 127.0.0.1",
            );
        }
        net.tls_warnings().iter().for_each(|warning| log::warn!(target: START, "{warning}"));
        contradictions.iter().for_each(|contradiction| log::warn!(target: START, "{contradiction}"));
    };
    if let Some(log_file) = &mut log_file {
        // Also to whoever started it.
        warn();
        log_file.take_stderr()?;
    }
    let options = if changed.is_empty() { "the defaults" } else { changed };
    let version = env!("CARGO_PKG_VERSION");
    log::info!("officer {version} listens on {}; options: {options}", addresses.join(", "));
    warn();
    // Asked now: later the terminal may be closed.
    let has_terminal = io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let ends_on_hangup = has_terminal && log_file.is_none() && !net.has_something_to_reload();
    let has_effect = log_file.is_some() || net.has_something_to_reload();
    let on_reload = |reload: Reload<'_>| {
        match reload {
            Reload::Begins if ends_on_hangup => return ControlFlow::Break(()),
            Reload::Begins if !has_effect => log::info!("SIGHUP has no effect: there is no file to read or open again"),
            // First, so that the log of the reload is in the new file.
            Reload::Begins => log_file.iter_mut().for_each(LogFile::reopen),
            Reload::Over(_) => {}
        }
        host.reload(reload);
        ControlFlow::Continue(())
    };
    net.run(on_reload).map_err(Failure::Run)
}

fn log_to_stderr(level: LevelFilter) {
    // A program that uses the library may have set it up already, and then it stays as it is.
    let _ = env_logger::Builder::new()
        .filter_level(level.min(LevelFilter::Warn))
        .filter_module("officer", level)
        .filter_module(START, level.max(LevelFilter::Warn))
        .filter_module(LOG_TARGET, level.max(LevelFilter::Info))
        .filter_module(SLOW_HOLD_TARGET, level.max(LevelFilter::Warn))
        .format_timestamp_millis()
        .target(Target::Pipe(Box::new(LogOutput::default())))
        .try_init();
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;
    use crate::net::TcpOptions;

    #[derive(Parser)]
    #[command(disable_help_flag = true, args_override_self = true)]
    struct Run {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &[&str]) -> Result<Config, clap::Error> {
        // Whatever the environment of the tests holds is none of their business.
        let command = Run::command().mut_args(|option| option.env(None));
        let matches = command.try_get_matches_from(["run"].iter().chain(line))?;
        Ok(Run::from_arg_matches(&matches)?.options.config(1024))
    }

    fn config(line: &[&str]) -> Config {
        parse(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    #[test]
    fn without_options_everything_has_its_default() {
        let config = config(&[]);
        assert_eq!(config.listen, [Listen::Tcp { host: "127.0.0.1".to_owned(), port: 11500 }]);
        assert_eq!(config.tcp, TcpOptions::default());
        assert_eq!(config.limits, Limits { connections_max: 896, strangers_max: 256, ..Limits::default() });
        assert_eq!(config.turn_accepts_max, 64);
        assert!(!config.stats);
    }

    #[test]
    fn the_options_of_the_original_keep_their_letters() {
        let tcp = config(&["-h", "::1", "-p", "0", "-o", "TCP", "-l", "debug", "-s", "-m", "1.5"]);
        assert_eq!(tcp.listen, [Listen::Tcp { host: "::1".to_owned(), port: 0 }]);
        assert_eq!(tcp.limits.max_idle, Some(Duration::from_millis(1500)));
        assert!(tcp.stats);

        let unix = config(&["-o", "UNIX", "-f", "/run/officer", "--socket-mode", "0660"]);
        assert_eq!(unix.listen, [Listen::Unix { path: "/run/officer".into(), mode: 0o660 }]);
        assert_eq!(
            config(&["--socket-type", "unix"]).listen,
            [Listen::Unix { path: "/tmp/officer.sock".into(), mode: 0o600 }]
        );
        for never in ["0", "0.0"] {
            assert_eq!(config(&["--max-idle", never]).limits.max_idle, None);
        }
    }

    #[test]
    fn the_last_of_several_flags_counts() {
        assert_eq!(config(&["-p", "1", "--port", "2"]).listen, [Listen::Tcp { host: "127.0.0.1".to_owned(), port: 2 }]);
    }

    #[test]
    fn a_list_of_urls_takes_the_place_of_one_address() {
        let urls = ["--listen", "tcp://db1:7,tls://[::]:8", "--listen=unix:officer.sock", "--socket-mode", "0660"];
        let listen = [
            Listen::TcpAll { host: "db1".to_owned(), port: 7 },
            Listen::Tls { host: "::".to_owned(), port: 8 },
            Listen::Unix { path: "officer.sock".into(), mode: 0o660 },
        ];
        assert_eq!(config(&urls).listen, listen);
        for option in [["-h", "db1"], ["-p", "7"], ["-o", "TCP"], ["-f", "officer.sock"]] {
            let error = parse(&[&urls[..], &option[..]].concat()).expect_err("an error");
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{error}");
        }
    }

    #[test]
    fn every_limit_is_an_option() {
        let config = config(&[
            "--line-bytes-max=1",
            "--connections-max=2",
            "--connection-locks-max=3",
            "--lock-waits-max=4",
            "--max-idle=5",
            "--outbox-pause-bytes=6",
            "--outbox-bytes-max=7",
            "--outboxes-bytes-max=8",
            "--inboxes-bytes-max=18",
            "--outbox-stall-seconds=0.9",
            "--reply-bytes-max=10",
            "--linger-seconds=0",
            "--kick-from-anywhere",
            "--turn-read-bytes=12",
            "--turn-expiries-max=13",
            "--turn-expiry-bytes=14",
            "--turn-ends-max=15",
            "--turn-accepts-max=16",
            "--closing-locks-max=21",
            "--turn-grants-max=22",
            "--turn-walk-max=23",
            "--sessions-max=24",
            "--strangers-max=25",
            "--auth-seconds=26",
            "--handshake-seconds=0.5",
            "--address-connections-max=27",
            "--keepalive-idle-seconds=17",
            "--keepalive-interval-seconds=18",
            "--keepalive-probes=19",
            "--user-timeout-seconds=0.02",
            "--slow-hold-seconds=28",
        ]);
        assert_eq!(
            config.limits,
            Limits {
                slow_hold: Some(Duration::from_secs(28)),
                line_bytes_max: 1,
                inboxes_bytes_max: 18,
                connections_max: 2,
                strangers_max: 25,
                auth: Duration::from_secs(26),
                handshake: Duration::from_millis(500),
                address_connections_max: Some(27),
                sessions_max: 24,
                connection_locks_max: 3,
                lock_waits_max: 4,
                max_idle: Some(Duration::from_secs(5)),
                outbox_pause_bytes: 6,
                outbox_bytes_max: 7,
                outboxes_bytes_max: 8,
                outbox_stall: Duration::from_millis(900),
                reply_bytes_max: 10,
                linger: Duration::ZERO,
                kick_from_anywhere: true,
                silent_after: None,
                turn_read_bytes: 12,
                turn_expiries_max: 13,
                turn_expiry_bytes: 14,
                closing_locks_max: 21,
                turn_grants_max: 22,
                turn_walk_max: 23,
                turn_ends_max: 15,
            }
        );
        assert_eq!(config.turn_accepts_max, 16);
        assert_eq!(
            config.tcp,
            TcpOptions {
                keepalive_idle: Duration::from_secs(17),
                keepalive_interval: Duration::from_secs(18),
                keepalive_probes: 19,
                user_timeout: Some(Duration::from_millis(20)),
            }
        );
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for line in [
            ["--port", "65536"],
            ["--port", "-1"],
            ["--socket-type", "UDP"],
            ["--socket-mode", "0999"],
            ["--log-level", "silent"],
            ["--max-idle", "-1"],
            ["--max-idle", "a minute"],
            ["--line-bytes-max", "0"],
            ["--line-bytes-max", "1073741825"],
            ["--line-bytes-max", "1.5"],
            ["--connections-max", "0"],
            ["--outbox-bytes-max", "18446744073709551616"],
            ["--outbox-stall-seconds", "0"],
            ["--linger-seconds", "nan"],
            ["--turn-accepts-max", "0"],
            ["--keepalive-idle-seconds", "0"],
            ["--keepalive-idle-seconds", "32768"],
            ["--keepalive-probes", "128"],
            ["--user-timeout-seconds", "-0.1"],
        ] {
            let error = parse(&line).expect_err("an error").to_string();
            let said = format!("error: invalid value '{}' for '{} <", line[1], line[0]);
            assert!(error.starts_with(&said), "{line:?}: {error}");
        }
    }

    #[test]
    fn log_levels_are_those_of_the_original_and_two_more() {
        for (name, level) in [
            ("error", LevelFilter::Error),
            ("WARN", LevelFilter::Warn),
            ("info", LevelFilter::Info),
            ("Debug", LevelFilter::Debug),
            ("trace", LevelFilter::Trace),
        ] {
            let matches = Run::command().get_matches_from(["run", "-l", name]);
            assert_eq!(LevelFilter::from(Run::from_arg_matches(&matches).unwrap().options.log_level), level);
        }
    }
}
