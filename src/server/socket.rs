//! What the server needs of a socket.

use std::io::{self, Read, Write};
use std::net::IpAddr;

/// What the server needs of a socket. Reading and writing never wait: they fail with
/// [`WouldBlock`](io::ErrorKind::WouldBlock), and [`Server::ready`](super::Server::ready) is called when they may succeed.
///
/// A socket may encrypt. What it does for that must not show in what it is asked and answers: the defaults are those of
/// sockets that don't.
pub trait Socket: Read + Write {
    /// Says to the peer that nothing more comes, while what it sends can still be read.
    ///
    /// # Errors
    /// Those of the system; the connection is then simply closed.
    fn close_write(&mut self) -> io::Result<()>;

    /// Whether it begins with a handshake.
    fn has_handshake(&self) -> bool {
        false
    }

    /// Goes on with what both sides have to agree on before anything is read or written. To be called until it is
    /// [`Handshake::Done`].
    ///
    /// # Errors
    /// Those of the system, and why there is no agreement. What the peer is told about that is on its way or in
    /// [`Socket::unsent`], and is sent by [`Socket::close_write`]; [`Read`] then gives bytes to be dropped.
    fn handshake(&mut self) -> io::Result<Handshake> {
        Ok(Handshake::Done)
    }

    /// What the socket proves of its peer. To be asked once, after the handshake.
    fn credentials(&self) -> Credentials {
        Credentials::default()
    }

    /// Whether a read that gave less than there was room for has left nothing, so that an event announces whatever comes
    /// later.
    fn is_drained_by_short_read(&self) -> bool {
        true
    }

    /// Bytes of its own that the system has not taken, in addition to what was written: of the handshake, for example.
    fn unsent(&self) -> usize {
        0
    }

    /// The address that its listener listens on, unless that is a socket file or all addresses. Whoever comes from it is on
    /// this machine, as are those with a loopback address.
    fn own_ip(&self) -> Option<IpAddr> {
        None
    }
}

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Reads and writes may begin. Some input may have come already, without another event.
    Done,
    /// It waits for the peer: for input or, while [`Socket::unsent`] is not 0, for it to take output. Any event may be the
    /// one.
    Waiting,
    /// The time that a turn has for handshakes is used up. The next turn goes on, without an event.
    Later,
    /// The peer has closed the connection before it had sent a byte.
    Closed,
    /// The peer speaks in clear where it has to encrypt. Writes go to it in clear, reads give bytes to be dropped.
    NotTls,
}

/// What a socket proves of its peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user of the process at the other end of a UNIX socket.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// The subject alternative names of a verified client certificate: `dns:…` and `uri:…`. Wildcards are left out.
    pub names: Vec<String>,
}
