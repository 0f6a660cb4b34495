//! The name of a connection as replies and listings show it, or of a session that has none.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use super::digits::push_u64;

/// The other end of a connection. Kept for every session, so it is small; `Display` gives the name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// `ip:port`
    V4 {
        /// The address.
        ip: [u8; 4],
        /// The port.
        port: u16,
    },
    /// `[ip]:port`
    V6 {
        /// The address.
        ip: [u8; 16],
        /// The port.
        port: u16,
    },
    /// `unix:N`: the connections on a UNIX socket have no address, so the server numbers them.
    Unix(u64),
    /// `session:N`: a session without a connection, by its number.
    Session(u64),
}

// One per session: part of the memory that an idle connection costs.
const _: () = assert!(size_of::<Peer>() <= 24);

impl Peer {
    /// Appends the name to `out`. It never needs escaping.
    pub fn push_to(self, out: &mut Vec<u8>) {
        match self {
            // By hand: a reply may contain a thousand of these, and `write!` takes five times as long.
            Peer::V4 { ip, port } => {
                for (index, part) in ip.into_iter().enumerate() {
                    if index > 0 {
                        out.push(b'.');
                    }
                    push_u64(out, part.into());
                }
                out.push(b':');
                push_u64(out, port.into());
            }
            Peer::V6 { .. } => out.extend_from_slice(self.to_string().as_bytes()),
            Peer::Unix(number) => {
                out.extend_from_slice(b"unix:");
                push_u64(out, number);
            }
            Peer::Session(number) => {
                out.extend_from_slice(b"session:");
                push_u64(out, number);
            }
        }
    }
}

impl Peer {
    /// Whether it is a program on this machine. `own_ip` is an address of this machine, if known.
    pub fn is_local(self, own_ip: Option<IpAddr>) -> bool {
        let ip = match self {
            Peer::V4 { ip, .. } => IpAddr::from(ip),
            Peer::V6 { ip, .. } => IpAddr::from(ip),
            Peer::Unix(_) => return true,
            Peer::Session(_) => return false,
        };
        ip.is_loopback() || own_ip == Some(ip)
    }
}

/// The inverse of `Display`: a connection as listings name it.
impl FromStr for Peer {
    type Err = NoPeer;

    fn from_str(name: &str) -> Result<Self, NoPeer> {
        let peer = if let Some(number) = name.strip_prefix("unix:") {
            number.parse().ok().map(Peer::Unix)
        } else if let Some(number) = name.strip_prefix("session:") {
            number.parse().ok().map(Peer::Session)
        } else {
            name.parse::<SocketAddr>().ok().map(Peer::from)
        };
        // There are many ways to write an IPv6 address. In the others, std would also accept `+5` and `007` as numbers.
        peer.filter(|peer| name.starts_with('[') || peer.to_string() == name).ok_or(NoPeer)
    }
}

/// The text is not the name of any possible connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPeer;

/// An IPv4 client of an IPv6 listener appears under its IPv4 address.
impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let port = address.port();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Peer::V4 { ip: ip.octets(), port },
            IpAddr::V6(ip) => Peer::V6 { ip: ip.octets(), port },
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Peer::V4 { ip, port } => SocketAddrV4::new(ip.into(), port).fmt(f),
            Peer::V6 { ip, port } => SocketAddrV6::new(ip.into(), port, 0, 0).fmt(f),
            Peer::Unix(number) => write!(f, "unix:{number}"),
            Peer::Session(number) => write!(f, "session:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_as_the_protocol_says() {
        for (address, name) in [
            ("192.0.2.7:0", "192.0.2.7:0"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("[::1]:51216", "[::1]:51216"),
            ("[2001:db8::10]:80", "[2001:db8::10]:80"),
            ("[::ffff:192.0.2.7]:9", "192.0.2.7:9"),
        ] {
            let peer = Peer::from(address.parse::<SocketAddr>().unwrap());
            let mut out = Vec::new();
            peer.push_to(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), name);
            assert_eq!(peer.to_string(), name);
            assert_eq!(name.parse(), Ok(peer));
        }
        for (name, peer) in [("unix:12", Peer::Unix(12)), ("session:7", Peer::Session(7))] {
            let mut out = Vec::new();
            peer.push_to(&mut out);
            assert_eq!((String::from_utf8(out).unwrap().as_str(), peer.to_string().as_str()), (name, name));
            assert_eq!(name.parse(), Ok(peer));
        }
        for name in [
            "",
            "unix:",
            "unix:x",
            "unix:+12",
            "unix:012",
            "session:",
            "session:+7",
            "session:07",
            "sessions:7",
            "127.0.0.1",
            "127.0.0.1:080",
            "127.0.0.1:+80",
            "localhost:1",
        ] {
            assert_eq!(name.parse::<Peer>(), Err(NoPeer));
        }
    }
}
