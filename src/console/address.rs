//! Where the server is: the same options for the server itself and for every command that asks it something.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{self, PathBuf};
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use super::access::AccessOptions;
use super::failure::Failure;
use super::shown::Shown;
use super::values::{Mode, Seconds, seconds_above_zero};
use crate::client::{Address, Client, DEFAULT_PORT, Options};
use crate::net::Listen;

/// The address that the options stand for.
#[derive(Debug)]
pub(crate) struct AddressOptions {
    address: Address,
    /// What `OFFICER_PORT` holds, if that is not meant for us.
    service_link: Option<String>,
}

/// The options one by one.
#[derive(Args, Debug)]
struct Parts {
    /// Name or address that the server listens on; on the command line it implies the type TCP
    #[arg(short = 'h', long, env = "OFFICER_HOST", hide_env_values = true, default_value = "127.0.0.1")]
    #[arg(value_parser = host)]
    host: String,

    /// TCP port
    #[arg(short, long, env = "OFFICER_PORT", hide_env_values = true, default_value_t = Port::Number(DEFAULT_PORT))]
    port: Port,

    /// Kind of socket
    #[arg(short = 'o', long, value_name = "TYPE", env = "OFFICER_SOCKET_TYPE", hide_env_values = true)]
    #[arg(ignore_case = true, default_value = "TCP")]
    socket_type: SocketType,

    /// Socket file; on the command line it implies the type UNIX
    #[arg(short = 'f', long, value_name = "PATH", env = "OFFICER_SOCKET_FILE", hide_env_values = true)]
    #[arg(default_value = "/tmp/officer.sock")]
    socket_file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum SocketType {
    Tcp,
    Unix,
}

/// A name or an address. One of IPv6 may have brackets: both of them.
fn host(text: &str) -> Result<String, &'static str> {
    if text.starts_with('[') == text.ends_with(']') { Ok(text.to_owned()) } else { Err("a bracket is missing") }
}

const NOT_A_PORT: &str = "not a port number from 0 to 65535";

#[derive(Clone, Debug)]
enum Port {
    Number(u16),
    /// `tcp://10.0.0.3:11500`: Kubernetes sets `OFFICER_PORT` to this in every pod beside a service called `officer`.
    ServiceLink(String),
}

impl FromStr for Port {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Port::ServiceLink(text.to_owned()));
        }
        text.parse().map(Port::Number).map_err(|_| NOT_A_PORT)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Number(port) => port.fmt(f),
            Port::ServiceLink(link) => link.fmt(f),
        }
    }
}

impl FromArgMatches for AddressOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let is_typed = |option: &&str| matches.value_source(option) == Some(ValueSource::CommandLine);
        let is_type_typed = is_typed(&"socket_type");
        let is_file_typed = is_typed(&"socket_file");
        let is_port_typed = is_typed(&"port");
        let of_tcp = ["host", "port"].into_iter().find(is_typed);
        let parts = Parts::from_arg_matches_mut(matches)?;
        let socket_type = match (parts.socket_type, of_tcp) {
            (SocketType::Tcp, _) if is_type_typed && is_file_typed => {
                return Err(conflict("--socket-file is for the socket type UNIX, not for TCP"));
            }
            (SocketType::Unix, Some(option)) if is_type_typed => {
                return Err(conflict(&format!("--{option} is for the socket type TCP, not for UNIX")));
            }
            (_, Some(option)) if is_file_typed => {
                return Err(conflict(&format!("--{option} is for TCP, --socket-file for a UNIX socket")));
            }
            (_, Some(_)) => SocketType::Tcp,
            (_, None) if is_file_typed => SocketType::Unix,
            (socket_type, None) => socket_type,
        };
        let (port, service_link) = match parts.port {
            Port::Number(port) => (port, None),
            Port::ServiceLink(link) if is_port_typed => {
                let line = format!("invalid value '{}' for '--port <PORT>': {NOT_A_PORT}", Shown(&link));
                return Err(clap::Error::raw(ErrorKind::ValueValidation, line));
            }
            Port::ServiceLink(link) => (DEFAULT_PORT, Some(link)),
        };
        Ok(match socket_type {
            SocketType::Tcp => AddressOptions { address: (parts.host.as_str(), port).into(), service_link },
            SocketType::Unix => AddressOptions { address: parts.socket_file.into(), service_link: None },
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Options that contradict each other.
pub(crate) fn conflict(what: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, format!("{what}; leave one of them out"))
}

impl Args for AddressOptions {
    fn augment_args(command: Command) -> Command {
        Parts::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Parts::augment_args_for_update(command)
    }
}

impl AddressOptions {
    /// Makes the socket file's path independent of the current directory. An empty one stays what it is.
    pub(crate) fn make_absolute(&mut self) -> io::Result<()> {
        if let Address::Unix(path) = &mut self.address
            && !path.as_os_str().is_empty()
        {
            *path = path::absolute(&*path)?;
        }
        Ok(())
    }

    /// Whether it is a UNIX socket.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// Whether `OFFICER_PORT` is what Kubernetes sets, and not meant for us.
    pub(crate) fn has_service_link(&self) -> bool {
        self.service_link.is_some()
    }

    /// For the server. `mode` is that of the socket file.
    pub(crate) fn listen(self, mode: Mode) -> Listen {
        self.warn_if_ignored();
        match self.address {
            Address::Tcp(host, port) => Listen::Tcp { host, port },
            Address::Unix(path) => Listen::Unix { path, mode: mode.0 },
        }
    }

    /// As another process of this program has to be given them.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        match &self.address {
            Address::Tcp(host, port) => vec!["-h".into(), host.into(), "-p".into(), port.to_string().into()],
            Address::Unix(path) => vec!["-f".into(), path.into()],
        }
    }

    /// The address as messages show it.
    fn shown(&self) -> String {
        self.address.to_string()
    }

    /// For a client.
    pub(crate) fn address(&self) -> &Address {
        self.warn_if_ignored();
        &self.address
    }

    /// Whoever set the variable may have meant it.
    fn warn_if_ignored(&self) {
        if let Some(link) = &self.service_link {
            let _ = writeln!(
                io::stderr(),
                "officer: OFFICER_PORT is '{}', as Kubernetes sets it for a service called officer: ignored, the port is \
                 {DEFAULT_PORT}; set it to a number, or enableServiceLinks to false in the pod",
                Shown(link)
            );
        }
    }
}

/// How a command reaches the server.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    address: AddressOptions,

    /// How long making the connection may take, with the server's first answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds_above_zero)]
    connect_timeout: Seconds,

    #[command(flatten)]
    access: AccessOptions,
}

impl ServerOptions {
    /// The address as messages show it.
    pub(crate) fn shown(&self) -> String {
        self.address.shown()
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        self.client_options()?.connect().map_err(|error| self.failure(error))
    }

    /// How a client reaches it, and who it is.
    pub(crate) fn client_options(&self) -> Result<Options, Failure> {
        self.access.of(Options::new(self.address.address().clone()).connect_timeout(self.connect_timeout.0))
    }

    /// What a call of the client could not do.
    pub(crate) fn failure(&self, error: crate::client::Error) -> Failure {
        Failure::Server { address: self.shown(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser, Debug)]
    #[command(disable_help_flag = true, args_override_self = true)]
    struct Line {
        #[command(flatten)]
        address: AddressOptions,
    }

    fn parse(line: &[&str]) -> Result<Address, clap::Error> {
        use clap::CommandFactory;

        // Whatever the environment of the tests holds is none of their business.
        let command = Line::command().mut_args(|option| option.env(None));
        let matches = command.try_get_matches_from(["officer"].iter().chain(line))?;
        Ok(Line::from_arg_matches(&matches)?.address.address)
    }

    #[test]
    fn the_kind_of_socket_follows_from_what_is_given() {
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        for (line, address) in [
            (&[][..], tcp("127.0.0.1", DEFAULT_PORT)),
            (&["-h", "db1"], tcp("db1", DEFAULT_PORT)),
            (&["-h", "[::1]", "-p", "7"], tcp("::1", 7)),
            (&["-o", "UNIX"], Address::Unix("/tmp/officer.sock".into())),
            (&["-f", "x"], Address::Unix("x".into())),
            (&["-f", "x", "-o", "Unix"], Address::Unix("x".into())),
            (&["-f", "x", "-o", "TCP", "-o", "UNIX"], Address::Unix("x".into())),
        ] {
            assert_eq!(parse(line).unwrap(), address, "{line:?}");
        }
        for line in
            [["-f", "x", "-h", "y"], ["-f", "x", "-p", "1"], ["-o", "TCP", "-f", "x"], ["-o", "UNIX", "-p", "1"]]
        {
            assert_eq!(parse(&line).unwrap_err().kind(), ErrorKind::ArgumentConflict, "{line:?}");
        }
    }

    #[test]
    fn an_address_has_both_brackets_or_none() {
        for line in [["-h", "[::1"], ["-h", "::1]"]] {
            let error = parse(&line).unwrap_err();
            let said = format!("error: invalid value '{}' for '--host <HOST>': a bracket is missing\n", line[1]);
            assert!(error.to_string().starts_with(&said), "{error}");
        }
    }

    #[test]
    fn another_process_is_given_the_same_address() {
        for line in [["-h", "::1", "-p", "7"], ["-o", "UNIX", "-f", "/run/x"]] {
            let address = parse(&line).unwrap();
            let args = AddressOptions { address: address.clone(), service_link: None }.to_args();
            let args: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
            assert_eq!(parse(&args).unwrap(), address);
        }
    }

    #[test]
    fn a_port_is_a_number_or_a_link_to_a_service() {
        assert!(matches!("11500".parse(), Ok(Port::Number(11500))));
        for link in ["tcp://10.0.0.3:11500", "udp://10.0.0.3:53", "sctp://[fd00::3]:9"] {
            assert!(matches!(link.parse(), Ok(Port::ServiceLink(text)) if text == link), "{link}");
        }
        for text in ["", "65536", "-1", "x", "11500\r", "http://10.0.0.3:11500"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }
}
