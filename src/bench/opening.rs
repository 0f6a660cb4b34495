//! A connection on its way to its first request: TLS, and who it is.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use crate::net::Socket;
use crate::server::{Handshake, Socket as _};

/// More than a server answers to a `hello`.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// A connection that is not ready for requests yet.
#[derive(Debug)]
pub(super) struct Opening {
    socket: Socket,
    is_shaking_hands: bool,
    /// What is to be said, and how much of it has been written.
    hello: Option<Arc<[u8]>>,
    written: usize,
    answer: Vec<u8>,
}

impl Opening {
    /// Of a connection that has just been made, which says this first.
    pub(super) fn new(socket: Socket, hello: Option<Arc<[u8]>>) -> Self {
        Opening { socket, is_shaking_hands: true, hello, written: 0, answer: Vec::new() }
    }

    /// What is to be polled until it is done.
    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    /// What was answered to the hello. Empty: it was not said.
    pub(super) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Goes on until there is something to wait for. Returns whether it is done.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        while self.is_shaking_hands {
            match self.socket.handshake()? {
                Handshake::Done => self.is_shaking_hands = false,
                Handshake::Waiting => return Ok(false),
                Handshake::Later => {}
                Handshake::Closed | Handshake::NotTls => return Err(closed()),
            }
        }
        match self.greet() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Fails with `WouldBlock` until the hello is answered.
    fn greet(&mut self) -> io::Result<()> {
        let Some(hello) = &self.hello else { return Ok(()) };
        let mut buffer = [0; 4096];
        while !self.answer.ends_with(b"\n") {
            let moved = if self.written < hello.len() {
                self.socket.write(&hello[self.written..]).map(|count| self.written += count)
            } else {
                match self.socket.read(&mut buffer) {
                    Ok(0) => Err(closed()),
                    read => read.map(|count| self.answer.extend_from_slice(&buffer[..count])),
                }
            };
            match moved {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                moved => moved?,
            }
            if self.answer.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "the answer to the hello is too long"));
            }
        }
        Ok(())
    }
}

fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")
}
