//! An in-memory socket for the unchanged server.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use officer::server::Socket;

/// Both directions of a connection.
#[derive(Debug)]
pub struct Wire {
    /// Sent by the client, and not read by the server.
    pub to_server: VecDeque<u8>,
    /// Sent by the server.
    pub from_server: Vec<u8>,
    /// The most bytes that one read returns. Fewer than there are only on a socket that behaves like a UNIX socket.
    pub read_max: usize,
    /// How many bytes the client takes before a write would block.
    pub room: usize,
    /// The client has ended its input.
    pub has_ended: bool,
    /// The client is gone.
    pub is_reset: bool,
    /// Every second call is interrupted by a signal.
    pub has_signals: bool,
    was_interrupted: bool,
    has_server_ended: bool,
}

impl Default for Wire {
    fn default() -> Self {
        Wire {
            to_server: VecDeque::new(),
            from_server: Vec::new(),
            read_max: usize::MAX,
            room: usize::MAX,
            has_ended: false,
            is_reset: false,
            has_signals: false,
            was_interrupted: false,
            has_server_ended: false,
        }
    }
}

impl Wire {
    fn interrupt(&mut self) -> io::Result<()> {
        self.was_interrupted = self.has_signals && !self.was_interrupted;
        if self.was_interrupted { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

/// The server's end of it.
#[derive(Debug)]
pub struct MemorySocket(pub Rc<RefCell<Wire>>);

impl Read for MemorySocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.interrupt()?;
        if wire.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.to_server.is_empty() {
            return if wire.has_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let bytes = buffer.len().min(wire.read_max).min(wire.to_server.len());
        for (place, byte) in buffer.iter_mut().zip(wire.to_server.drain(..bytes)) {
            *place = byte;
        }
        Ok(bytes)
    }
}

impl Write for MemorySocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        assert!(!wire.has_server_ended, "written after the end");
        wire.interrupt()?;
        if wire.is_reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(wire.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.from_server.extend_from_slice(&bytes[..taken]);
        wire.room -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for MemorySocket {
    fn close_write(&mut self) -> io::Result<()> {
        self.0.borrow_mut().has_server_ended = true;
        Ok(())
    }
}
