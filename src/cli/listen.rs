//! Where a server listens: a list of URLs, or the one address of the options that all commands have.

use std::io::{self, Write};
use std::path::{self, PathBuf};
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::console::address::{AddressOptions, conflict};
use crate::console::values::Mode;
use crate::net::Listen;

/// What the options say about where to listen.
#[derive(Debug)]
pub(super) struct ListenOptions {
    parts: Parts,
    /// A variable for the one address, which the list overrules.
    overruled: Option<&'static str>,
}

/// The options one by one.
#[derive(Args, Debug)]
#[group(skip)]
struct Parts {
    #[command(flatten)]
    address: AddressOptions,

    /// Where to listen, instead of -h, -p, -o and -f: tcp://HOST:PORT, tls://HOST:PORT or unix:PATH, and for metrics and
    /// operators http://HOST:PORT or https://HOST:PORT. Can be repeated, or list several, separated by commas. A host name
    /// stands for all of its addresses
    #[arg(long, value_name = "URL", env = "OFFICER_LISTEN", hide_env_values = true, value_delimiter = ',')]
    listen: Vec<Url>,

    /// Permissions of the socket files, in octal; who may write to such a file may connect
    #[arg(long, value_name = "MODE", env = "OFFICER_SOCKET_MODE", hide_env_values = true)]
    #[arg(default_value_t = Mode(0o600))]
    socket_mode: Mode,
}

/// One of `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Url {
    Tcp(String, u16),
    Tls(String, u16),
    Http(String, u16),
    Https(String, u16),
    Unix(PathBuf),
}

const KNOWN: &str = "use tcp://, tls://, http:// or https:// with HOST:PORT, or unix:PATH";

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("the path is missing".to_owned()),
                // As others write it: without a host, and with an absolute path.
                _ if path.starts_with("//") && !path.starts_with("///") => {
                    Err("a socket file is on no host; use unix:PATH".to_owned())
                }
                _ => Ok(Url::Unix(path.into())),
            };
        }
        match text.split_once("://") {
            Some(("tcp", place)) => host_and_port(place).map(|(host, port)| Url::Tcp(host, port)),
            Some(("tls", place)) => host_and_port(place).map(|(host, port)| Url::Tls(host, port)),
            Some(("http", place)) => host_and_port(place).map(|(host, port)| Url::Http(host, port)),
            Some(("https", place)) => host_and_port(place).map(|(host, port)| Url::Https(host, port)),
            _ => Err(KNOWN.to_owned()),
        }
    }
}

/// `db1:11500` or `[::1]:11500`.
fn host_and_port(place: &str) -> Result<(String, u16), String> {
    let Some((host, port)) = place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return Err("the port is missing".to_owned());
    };
    let port = port.parse().map_err(|_| "the port is not a number from 0 to 65535")?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match (bare, host) {
        (None, "") => Err("the host is missing; 0.0.0.0 and [::] stand for all addresses of this machine".to_owned()),
        (None, host) if host.contains([':', '[', ']']) => Err("an address of IPv6 needs brackets".to_owned()),
        (None, host) if host.contains(['/', '@', '?', '#']) => Err("there is more than a host and a port".to_owned()),
        (bare, host) => Ok((bare.unwrap_or(host).to_owned(), port)),
    }
}

impl FromArgMatches for ListenOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let options = ["host", "port", "socket_type", "socket_file"];
        let are_from = |source| options.map(|option| matches.value_source(option) == Some(source));
        let typed = are_from(ValueSource::CommandLine).iter().position(|is_typed| *is_typed);
        let [host, port, socket_type, socket_file] = are_from(ValueSource::EnvVariable);
        let parts = Parts::from_arg_matches_mut(matches)?;
        let is_list = !parts.listen.is_empty();
        if let Some(index) = typed.filter(|_| is_list) {
            let option = options[index].replace('_', "-");
            return Err(conflict(&format!("--listen (OFFICER_LISTEN) and --{option} both say where to listen")));
        }
        let variables = [
            (host, "OFFICER_HOST"),
            // Kubernetes sets it, and nobody means us.
            (port && !parts.address.has_service_link(), "OFFICER_PORT"),
            (socket_type, "OFFICER_SOCKET_TYPE"),
            // Otherwise it means nothing anyway; the unit for systemd sets it.
            (socket_file && parts.address.is_unix(), "OFFICER_SOCKET_FILE"),
        ];
        let overruled = variables.into_iter().find(|(is_set, _)| is_list && *is_set).map(|(_, variable)| variable);
        Ok(ListenOptions { parts, overruled })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ListenOptions {
    fn augment_args(command: Command) -> Command {
        Parts::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Parts::augment_args_for_update(command)
    }
}

impl ListenOptions {
    /// Makes the paths of socket files independent of the current directory.
    pub(super) fn make_absolute(&mut self) -> io::Result<()> {
        for url in &mut self.parts.listen {
            if let Url::Unix(path) = url {
                *path = path::absolute(&*path)?;
            }
        }
        self.parts.address.make_absolute()
    }

    /// Whether the places are a list, given by `--listen`.
    pub(super) fn is_list(&self) -> bool {
        !self.parts.listen.is_empty()
    }

    /// Where to listen.
    pub(super) fn listen(self) -> Vec<Listen> {
        let Parts { address, listen, socket_mode } = self.parts;
        if listen.is_empty() {
            return vec![address.listen(socket_mode)];
        }
        if let Some(variable) = self.overruled {
            let _ = writeln!(io::stderr(), "officer: {variable} is ignored, because --listen says where to listen");
        }
        let listen = listen.into_iter().map(|url| match url {
            Url::Tcp(host, port) => Listen::TcpAll { host, port },
            Url::Tls(host, port) => Listen::Tls { host, port },
            Url::Http(host, port) => Listen::Http { host, port },
            Url::Https(host, port) => Listen::Https { host, port },
            Url::Unix(path) => Listen::Unix { path, mode: socket_mode.0 },
        });
        listen.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_a_host_and_a_port_or_a_path() {
        for (text, url) in [
            ("tcp://127.0.0.1:11500", Url::Tcp("127.0.0.1".to_owned(), 11500)),
            ("tcp://[::1]:0", Url::Tcp("::1".to_owned(), 0)),
            ("tls://db1.example:443", Url::Tls("db1.example".to_owned(), 443)),
            ("http://127.0.0.1:9100", Url::Http("127.0.0.1".to_owned(), 9100)),
            ("https://[::]:0", Url::Https("::".to_owned(), 0)),
            ("unix:officer.sock", Url::Unix("officer.sock".into())),
            ("unix:///run/officer.sock", Url::Unix("/run/officer.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(url), "{text}");
        }
        for (text, fault) in [
            ("", KNOWN),
            ("11500", KNOWN),
            ("http:127.0.0.1:80", KNOWN),
            ("ws://127.0.0.1:80", KNOWN),
            ("https://127.0.0.1", "the port is missing"),
            ("http://127.0.0.1:80/metrics", "the port is not a number"),
            ("TCP://127.0.0.1:80", KNOWN),
            ("tcp:127.0.0.1:80", KNOWN),
            ("tcp://127.0.0.1", "the port is missing"),
            ("tcp://[::1]", "the port is missing"),
            ("tcp://127.0.0.1:", "the port is not a number"),
            ("tcp://127.0.0.1:65536", "the port is not a number"),
            ("tcp://127.0.0.1:80/", "the port is not a number"),
            ("tcp://:80", "the host is missing"),
            ("tcp://::1:80", "an address of IPv6 needs brackets"),
            ("tcp://[::1:80", "an address of IPv6 needs brackets"),
            ("tls://me@db1:80", "there is more than a host and a port"),
            ("unix:", "the path is missing"),
            ("unix://run/officer", "a socket file is on no host"),
        ] {
            let said = text.parse::<Url>().expect_err(text);
            assert!(said.starts_with(fault), "{text}: {said}");
        }
    }
}
