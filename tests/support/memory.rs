//! In-memory sockets: both directions of a connection, and what the system may do to it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;

use officer::server::{Credentials, Handshake, Socket};

/// What a server did to a socket, and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It read this many bytes, with this much room.
    Read { bytes: usize, room: usize },
    /// The read would have blocked, or was interrupted.
    ReadNothing,
    /// It read the end.
    ReadEnd,
    /// It found the connection broken.
    ReadFailed,
    /// This many bytes were taken.
    Wrote(usize),
    /// The write would have blocked.
    WriteBlocked,
    /// It was interrupted.
    WriteInterrupted,
    /// It found the connection broken.
    WriteFailed,
    /// It closed its side.
    ClosedWrite,
    /// It closed the socket.
    Dropped,
}

/// Records a call to the socket of this number.
pub(crate) type Note = Rc<dyn Fn(usize, Call)>;

/// Both directions of a connection.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) to_server: VecDeque<u8>,
    pub(crate) to_client: Vec<u8>,
    /// The most bytes that one read returns.
    pub(crate) read_max: Option<usize>,
    /// How many bytes the client takes before writes block.
    pub(crate) room: Option<usize>,
    pub(crate) client_has_closed: bool,
    pub(crate) is_reset: bool,
    /// This many calls are interrupted before the next one is executed.
    pub(crate) interruptions: usize,
    /// Every call is interrupted once before it is executed.
    pub(crate) has_signals: bool,
    pub(crate) was_interrupted: bool,
    pub(crate) takes_nothing_for_ever: bool,
    pub(crate) refuses_half_close: bool,
    /// What a step of its handshake leads to, if it begins with one.
    pub(crate) handshake: Option<Handshake>,
    /// The address of the listener, if it has only one.
    pub(crate) own_ip: Option<IpAddr>,
    /// What the socket proves of the client.
    pub(crate) credentials: Credentials,
    pub(crate) server_has_closed_write: bool,
    pub(crate) server_has_dropped: bool,
    /// Where calls are recorded, and under which number, if requested.
    pub(crate) calls: Option<(usize, Note)>,
    /// Called when the socket itself starts to work, and when the server does again, because the socket's memory is not
    /// the server's.
    pub(crate) aside: Option<fn(bool)>,
}

impl Wire {
    fn interrupt(&mut self) -> bool {
        self.was_interrupted = self.interruptions > 0 || self.has_signals && !self.was_interrupted;
        self.interruptions = self.interruptions.saturating_sub(1);
        self.was_interrupted
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupt() {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.to_server.is_empty() {
            return if self.client_has_closed { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let bytes = buffer.len().min(self.read_max.unwrap_or(usize::MAX)).min(self.to_server.len());
        for (place, byte) in buffer.iter_mut().zip(self.to_server.drain(..bytes)) {
            *place = byte;
        }
        Ok(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.server_has_closed_write, "written after the end");
        if self.interrupt() {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.is_reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.takes_nothing_for_ever {
            return Ok(0);
        }
        let taken = bytes.len().min(self.room.unwrap_or(usize::MAX));
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.to_client.extend_from_slice(&bytes[..taken]);
        self.room = self.room.map(|room| room - taken);
        Ok(taken)
    }

    fn set_aside(&self, is_aside: bool) {
        if let Some(aside) = self.aside {
            aside(is_aside);
        }
    }

    fn note(&self, call: Call) {
        if let Some((number, note)) = &self.calls {
            note(*number, call);
        }
    }
}

/// The server's end of a connection.
pub(crate) struct MemorySocket(pub(crate) Rc<RefCell<Wire>>);

impl MemorySocket {
    pub(crate) fn new(wire: Rc<RefCell<Wire>>) -> Self {
        MemorySocket(wire)
    }
}

impl Read for MemorySocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.set_aside(true);
        let result = wire.read(buffer);
        wire.note(match &result {
            Ok(0) => Call::ReadEnd,
            Ok(bytes) => Call::Read { bytes: *bytes, room: buffer.len() },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Call::ReadNothing,
            Err(_) => Call::ReadFailed,
        });
        wire.set_aside(false);
        result
    }
}

impl Write for MemorySocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.set_aside(true);
        let result = wire.write(bytes);
        wire.note(match &result {
            Ok(0) => Call::WriteFailed,
            Ok(bytes) => Call::Wrote(*bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Call::WriteBlocked,
            Err(error) if error.kind() == ErrorKind::Interrupted => Call::WriteInterrupted,
            Err(_) => Call::WriteFailed,
        });
        wire.set_aside(false);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for MemorySocket {
    fn has_handshake(&self) -> bool {
        self.0.borrow().handshake.is_some()
    }

    fn handshake(&mut self) -> io::Result<Handshake> {
        let wire = self.0.borrow();
        if wire.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(wire.handshake.expect("it begins with one"))
    }

    fn close_write(&mut self) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        if wire.refuses_half_close {
            return Err(ErrorKind::NotConnected.into());
        }
        wire.server_has_closed_write = true;
        wire.set_aside(true);
        wire.note(Call::ClosedWrite);
        wire.set_aside(false);
        Ok(())
    }

    fn credentials(&self) -> Credentials {
        self.0.borrow().credentials.clone()
    }

    fn is_drained_by_short_read(&self) -> bool {
        self.0.borrow().read_max.is_none()
    }

    fn own_ip(&self) -> Option<IpAddr> {
        self.0.borrow().own_ip
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.server_has_dropped = true;
        wire.set_aside(true);
        wire.note(Call::Dropped);
        wire.set_aside(false);
    }
}

impl std::fmt::Debug for MemorySocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("memory")
    }
}
