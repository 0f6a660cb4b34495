//! Where the server is: the same options for the server itself and for every command that asks it something.

use std::ffi::OsString;
use std::io;
use std::path::{self, PathBuf};

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::values::{Mode, Seconds, seconds_above_zero};
use crate::client::{Address, Client, DEFAULT_PORT, Options};
use crate::net::Listen;

#[derive(Args, Debug)]
pub(crate) struct AddressOptions {
    /// Name or address that the server listens on
    #[arg(short = 'h', long, env = "OFFICER_HOST", hide_env_values = true, default_value = "127.0.0.1")]
    host: String,

    /// TCP port; a server takes a free one for 0
    #[arg(short, long, env = "OFFICER_PORT", hide_env_values = true, default_value_t = DEFAULT_PORT)]
    port: u16,

    /// Kind of socket
    #[arg(short = 'o', long, value_name = "TYPE", env = "OFFICER_SOCKET_TYPE", hide_env_values = true)]
    #[arg(ignore_case = true, default_value = "TCP")]
    socket_type: SocketType,

    /// Socket file, for the type UNIX
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

impl AddressOptions {
    /// Makes the socket file's path independent of the current directory. An empty one stays what it is.
    pub(crate) fn make_absolute(&mut self) -> io::Result<()> {
        if !self.socket_file.as_os_str().is_empty() {
            self.socket_file = path::absolute(&self.socket_file)?;
        }
        Ok(())
    }

    /// For the server. `mode` is that of the socket file.
    pub(crate) fn listen(self, mode: Mode) -> Listen {
        match self.socket_type {
            SocketType::Tcp => Listen::Tcp { host: self.host, port: self.port },
            SocketType::Unix => Listen::Unix { path: self.socket_file, mode: mode.0 },
        }
    }

    /// As another process of this program has to be given them.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let place: [OsString; 4] = match self.socket_type {
            SocketType::Tcp => ["-h".into(), self.host.clone().into(), "-p".into(), self.port.to_string().into()],
            SocketType::Unix => ["-o".into(), "UNIX".into(), "-f".into(), self.socket_file.clone().into()],
        };
        place.to_vec()
    }

    /// For a client.
    pub(crate) fn address(&self) -> Address {
        match self.socket_type {
            SocketType::Tcp => Address::Tcp(self.host.clone(), self.port),
            SocketType::Unix => Address::Unix(self.socket_file.clone()),
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
}

impl ServerOptions {
    /// The address as messages show it.
    pub(crate) fn shown(&self) -> String {
        self.address.address().to_string()
    }

    /// Connects to it.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        self.client_options().connect().map_err(|error| self.failure(error))
    }

    pub(crate) fn client_options(&self) -> Options {
        Options::new(self.address.address()).connect_timeout(self.connect_timeout.0)
    }

    /// What a call of the client could not do.
    pub(crate) fn failure(&self, error: crate::client::Error) -> Failure {
        Failure::Server { address: self.shown(), error }
    }
}
