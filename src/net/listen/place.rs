//! Where a listener is, as it is shown and compared.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use socket2::{Domain, Type};

use super::Scheme;

/// Where clients reach a listener, and how. `Display` gives a URL, such as `tcp://127.0.0.1:11500` or `unix:/run/officer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) scheme: Scheme,
    pub(super) at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    Tcp(SocketAddr),
    /// A path, or the name of an abstract socket after `@`.
    Unix(String),
}

impl Place {
    /// An address, without TLS.
    pub(in crate::net) fn tcp(address: SocketAddr) -> Place {
        Place { scheme: Scheme::Plain, at: At::Tcp(address) }
    }

    /// An address where clients speak that.
    #[cfg(test)]
    pub(in crate::net) fn with(scheme: Scheme, address: SocketAddr) -> Place {
        Place { scheme, at: At::Tcp(address) }
    }

    /// A socket file, without TLS.
    pub(super) fn unix(path: &Path) -> Place {
        Place { scheme: Scheme::Plain, at: At::Unix(path.display().to_string()) }
    }

    /// Without the scheme: `127.0.0.1:11500`, `[::1]:11500` or the socket's path.
    pub(crate) fn address(&self) -> String {
        match &self.at {
            At::Tcp(address) => address.to_string(),
            At::Unix(path) => path.clone(),
        }
    }

    /// Whether clients speak the protocol as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == Scheme::Plain
    }

    /// Whether clients encrypt.
    pub(crate) fn is_tls(&self) -> bool {
        self.scheme.is_tls()
    }

    /// Whether clients speak HTTP.
    pub(crate) fn is_http(&self) -> bool {
        self.scheme.is_http()
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.at {
            At::Tcp(address) => address.ip().to_canonical().is_loopback(),
            At::Unix(_) => true,
        }
    }

    /// Whether a program that listens there keeps others from listening on another one.
    pub(crate) fn covers(&self, other: &Place) -> bool {
        match (&self.at, &other.at) {
            (At::Tcp(one), At::Tcp(other)) => covers(*one, *other),
            (At::Unix(one), At::Unix(other)) => one == other,
            _ => false,
        }
    }
}

/// Ports that the system is to choose are never the same.
pub(super) fn covers(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wide = |one: IpAddr, other: IpAddr| {
        one.is_unspecified() && (one.is_ipv4() == other.is_ipv4() || one.is_ipv6() && takes_ipv4())
    };
    let (ip, other_ip) = (one.ip(), other.ip());
    one.port() == other.port() && one.port() != 0 && (ip == other_ip || is_wide(ip, other_ip) || is_wide(other_ip, ip))
}

/// Whether a socket on all addresses of IPv6 takes clients of IPv4 as well, unless it is told otherwise.
fn takes_ipv4() -> bool {
    let socket = socket2::Socket::new(Domain::IPV6, Type::STREAM, None);
    socket.and_then(|socket| socket.only_v6()).is_ok_and(|is_only_v6| !is_only_v6)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.at, self.scheme) {
            (At::Tcp(address), Scheme::Plain) => write!(f, "tcp://{address}"),
            (At::Tcp(address), Scheme::Tls) => write!(f, "tls://{address}"),
            (At::Tcp(address), Scheme::Http) => write!(f, "http://{address}"),
            (At::Tcp(address), Scheme::Https) => write!(f, "https://{address}"),
            (At::Unix(path), Scheme::Plain) => write!(f, "unix:{path}"),
            (At::Unix(path), Scheme::Tls) => write!(f, "unix:{path} (TLS)"),
            (At::Unix(path), Scheme::Http) => write!(f, "unix:{path} (HTTP)"),
            (At::Unix(path), Scheme::Https) => write!(f, "unix:{path} (HTTPS)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_covers_itself_and_all_addresses_cover_those_of_their_family() {
        let covers = |one: &str, other: &str| covers(one.parse().unwrap(), other.parse().unwrap());
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "127.0.0.1:1", takes_ipv4()),
            ("[::]:1", "0.0.0.0:1", takes_ipv4()),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(covers(one, other), expected, "{one} {other}");
            assert_eq!(covers(other, one), expected, "{other} {one}");
        }
    }
}
