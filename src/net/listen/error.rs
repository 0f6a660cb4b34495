//! Why the server can't start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::Scheme;
use super::place::Place;
use super::tcp::is_elsewhere;
use super::unix::DIRECTORY_LOCK_TIMEOUT;
use crate::net::{METRICS_PREFIXES_MAX, TlsError, TokensError, UsersError};

/// Why the server can't start. Each is one line that says what is wrong and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The host has no address.
    HostUnknown {
        /// As it was given.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// Another program listens there.
    AddressInUse {
        /// Where.
        address: SocketAddr,
    },
    /// Ports below 1024 are often kept for the system's own programs.
    AddressForbidden {
        /// Where.
        address: SocketAddr,
    },
    /// The address is another machine's, or of a family that this machine does not have.
    AddressElsewhere {
        /// Where.
        address: SocketAddr,
    },
    /// Any other error of the system about a TCP address.
    Address {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The path is not the name of a file.
    PathNoFile {
        /// The path.
        path: PathBuf,
    },
    /// The path is longer than the system allows for a socket, which is about 100 bytes.
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// There is no directory where the socket file should be.
    DirectoryMissing {
        /// The directory.
        directory: PathBuf,
    },
    /// Another program keeps the directory locked.
    DirectoryBusy {
        /// The directory.
        directory: PathBuf,
    },
    /// There is something else under the path, which we don't touch.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A server is listening there.
    PathInUse {
        /// The path.
        path: PathBuf,
    },
    /// Permissions are missing.
    PathForbidden {
        /// The path.
        path: PathBuf,
        /// What we wanted to do with it.
        step: &'static str,
    },
    /// Any other error of the system about a socket file.
    Path {
        /// The path.
        path: PathBuf,
        /// What we wanted to do with it.
        step: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The place is one that another listener of this server has, or a part of it.
    Twice {
        /// The place, as a URL.
        place: String,
        /// That of the other listener.
        other: String,
    },
    /// Other machines can reach the place, and anybody there could take locks.
    Unprotected {
        /// The place, as a URL.
        place: String,
        /// Whether that is so because of what the file of users says.
        has_users: bool,
    },
    /// Other machines can reach the place, and would send secrets in clear.
    PlainSecrets {
        /// The place, as a URL.
        place: String,
    },
    /// There is no place to listen on.
    NoListener,
    /// A listener is for TLS, and there is no certificate.
    NoCertificate,
    /// The files for TLS are not good.
    Tls(TlsError),
    /// One of the others, about a listener that is one of a list: `--listen` is what has to change.
    Listed(Box<BindError>),
    /// The service manager has passed too many sockets.
    PassedTooMany {
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// The name of a socket that the service manager has passed doesn't say what it is for.
    PassedName {
        /// The name.
        name: String,
    },
    /// What the service manager has passed is not a listening stream socket, on TCP or UNIX.
    PassedUnusable,
    /// The socket that the service manager has passed can't be set up.
    Passed(io::Error),
    /// The users can't be read.
    Users(UsersError),
    /// Who may end others is decided by the address and by the users.
    KickFromAnywhere,
    /// There are more prefixes for the metrics than [`METRICS_PREFIXES_MAX`](crate::net::METRICS_PREFIXES_MAX).
    TooManyPrefixes {
        /// How many.
        count: usize,
    },
    /// There are no tokens for grants.
    Tokens(TokensError),
    /// What the server needs besides its listener (the poll, the signals) can't be set up.
    Setup(io::Error),
}

impl BindError {
    /// The address or path, where clients were to speak `scheme`, may be in use by this server itself, which listens on these
    /// already.
    pub(in crate::net) fn or_twice(self, scheme: Scheme, mut ours: impl Iterator<Item = Place>) -> BindError {
        let place = match &self {
            BindError::AddressInUse { address } => Place { scheme, ..Place::tcp(*address) },
            BindError::PathInUse { path } => Place::unix(path),
            _ => return self,
        };
        match ours.find(|other| other.covers(&place)) {
            Some(other) => BindError::Twice { place: place.to_string(), other: other.to_string() },
            None => self,
        }
    }

    pub(super) fn tcp(address: SocketAddr, error: io::Error) -> BindError {
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse { address },
            io::ErrorKind::PermissionDenied => BindError::AddressForbidden { address },
            _ if is_elsewhere(&error) => BindError::AddressElsewhere { address },
            _ => BindError::Address { address, error },
        }
    }

    pub(super) fn path(path: &Path, step: &'static str, error: io::Error) -> BindError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::PathInUse { path },
            io::ErrorKind::PermissionDenied => BindError::PathForbidden { path, step },
            _ => BindError::Path { path, step, error },
        }
    }
}

impl From<TokensError> for BindError {
    fn from(error: TokensError) -> Self {
        BindError::Tokens(error)
    }
}

impl From<UsersError> for BindError {
    fn from(error: UsersError) -> Self {
        BindError::Users(error)
    }
}

/// For what is set up beside the listener, which has its own variants.
impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        BindError::Setup(error)
    }
}

/// The options that change where the server listens.
struct Options {
    host: &'static str,
    port: &'static str,
    address: &'static str,
    file: &'static str,
}

const OF_ONE: Options = Options { host: "--host", port: "--port", address: "--host and --port", file: "--socket-file" };
const OF_LIST: Options = Options { host: "--listen", port: "--listen", address: "--listen", file: "--listen" };

/// Names and paths are shown with their control characters escaped, so that it stays one line.
impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Listed(error) => error.describe(&OF_LIST, f),
            error => error.describe(&OF_ONE, f),
        }
    }
}

impl BindError {
    fn describe(&self, options: &Options, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { host: by_host, port: by_port, address: by_address, .. } = options;
        match self {
            BindError::HostUnknown { host, error } => {
                write!(f, "the host {host:?} can't be resolved ({error}); choose another with {by_host}")
            }
            BindError::AddressInUse { address } => {
                write!(f, "{address} is in use by another program; stop it or choose another port with {by_port}")
            }
            BindError::AddressForbidden { address } => {
                write!(f, "no permission to listen on {address}; choose a port above 1023 with {by_port}")
            }
            BindError::AddressElsewhere { address } => {
                write!(f, "{} is not an address of this machine; choose another with {by_host}", address.ip())
            }
            BindError::Address { address, error } => {
                write!(f, "can't listen on {address} ({error}); choose another with {by_address}")
            }
            BindError::Twice { place, other } => {
                write!(f, "{} is listened on twice, because of {}; ", place.escape_debug(), other.escape_debug())?;
                f.write_str("leave out one of the two")
            }
            BindError::Unprotected { place, has_users } => {
                write!(f, "other machines can reach {place}, and anybody there could take locks; ")?;
                f.write_str(match has_users {
                    true => "change [anonymous] in the file of users, or allow it with --open",
                    false => "name the users in a file with --users, or allow it with --open",
                })
            }
            BindError::PlainSecrets { place } => {
                write!(f, "other machines can reach {place}, and would send secrets there in clear; ")?;
                let scheme = if place.starts_with("http:") { "https://" } else { "tls://" };
                write!(f, "use {scheme} there, or allow it with --plain-secrets")
            }
            BindError::NoListener => f.write_str("there is no address to listen on; add one with --listen"),
            BindError::NoCertificate => {
                f.write_str("TLS needs a certificate and its key; add them with --tls-cert and --tls-key")
            }
            BindError::Tls(error) => fmt::Display::fmt(error, f),
            BindError::Listed(error) => error.describe(options, f),
            BindError::PassedTooMany { .. }
            | BindError::PassedName { .. }
            | BindError::PassedUnusable
            | BindError::Passed(_) => self.describe_passed(f),
            BindError::Users(error) => fmt::Display::fmt(error, f),
            BindError::KickFromAnywhere => {
                f.write_str("--kick-from-anywhere lets everybody end others, and --users says who may; ")?;
                f.write_str("leave the first out, and give users the right with admin = true")
            }
            BindError::TooManyPrefixes { count } => {
                write!(
                    f,
                    "--metrics-prefix has {count} prefixes; at most {METRICS_PREFIXES_MAX} can have figures of their own"
                )
            }
            BindError::Tokens(error) => fmt::Display::fmt(error, f),
            BindError::Setup(error) => {
                write!(f, "can't set up the poll loop ({error}); give the process more room, such as with ulimit -n")
            }
            _ => self.describe_path(options.file, f),
        }
    }

    fn describe_path(&self, by_file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::PathNoFile { path } => {
                write!(f, "{path:?} is not the name of a file; choose another with {by_file}")
            }
            BindError::PathTooLong { path } => {
                write!(f, "{path:?} is too long for a socket; choose a shorter path with {by_file}")
            }
            BindError::DirectoryMissing { directory } => {
                write!(f, "there is no directory {directory:?}; create it or choose another with {by_file}")
            }
            BindError::DirectoryBusy { directory } => {
                let seconds = DIRECTORY_LOCK_TIMEOUT.as_secs();
                write!(f, "another program has kept the directory {directory:?} locked for {seconds} s; ")?;
                write!(f, "stop it or choose another directory with {by_file}")
            }
            BindError::NotASocket { path } => {
                write!(f, "{path:?} exists and is not a socket; move it away or choose another with {by_file}")
            }
            BindError::PathInUse { path } => {
                write!(f, "{path:?} is in use by another server; stop it or choose another with {by_file}")
            }
            BindError::PathForbidden { path, step } => {
                write!(f, "no permission to {step} {path:?}; choose another with {by_file}")
            }
            BindError::Path { path, step, error } => {
                write!(f, "can't {step} {path:?} ({error}); choose another with {by_file}")
            }
            _ => unreachable!("it is about no path"),
        }
    }

    fn describe_passed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::PassedTooMany { count, max } => {
                write!(f, "{count} sockets were passed; the server takes up to {max}, so leave out some ListenStream=")
            }
            BindError::PassedName { name } => {
                write!(f, "a socket was passed with the name {name:?}; its socket unit needs ")?;
                f.write_str("FileDescriptorName=plain, tls, http or https, which says what clients speak there ")?;
                f.write_str("(a UNIX socket: plain or http)")
            }
            BindError::Passed(error) => {
                write!(f, "the socket that was passed can't be used ({error}); run the server without it")
            }
            _ => {
                f.write_str("what was passed is not a listening TCP or UNIX stream socket; ")?;
                f.write_str("its socket unit needs a ListenStream=, and Accept=no")
            }
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::HostUnknown { error, .. }
            | BindError::Address { error, .. }
            | BindError::Path { error, .. }
            | BindError::Passed(error)
            | BindError::Setup(error) => Some(error),
            BindError::Users(error) => Some(error),
            BindError::Tokens(error) => Some(error),
            BindError::Listed(error) => error.source(),
            _ => None,
        }
    }
}
