//! A connection that is encrypted: TLS between the server and any other socket.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;
#[cfg(feature = "cli")]
use std::time::Duration;

#[cfg(feature = "cli")]
use rustls::ClientConnection;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Connection, HandshakeKind};

use super::budget::HandshakeBudget;
use super::certificate;
use crate::server::{Credentials, Handshake, Socket};

/// Plain bytes that are encrypted at a time: one record, and one write to the system. While that takes nothing, this is
/// what a connection has in memory twice, plain and encrypted.
const SEALED_MAX: usize = 16 << 10;

/// Reads from the system in one call, of up to a record each: a peer that sends without an end must not keep a turn.
const RAW_READS_MAX: usize = 16;

/// The first byte of every TLS connection: the type of a record with a handshake message.
const HANDSHAKE_RECORD: u8 = 0x16;

/// TLS over another socket, on the server's side; and on that of a client that makes many connections in one thread.
///
/// What is written counts as written only when the system has taken its encrypted form, byte by byte. So unsent output
/// stays with whoever writes, where it is limited, and what is never taken is never progress.
pub struct TlsSocket<S: Socket> {
    raw: S,
    session: Connection,
    /// Checks the certificate of a client whose session is resumed again. None: clients have none.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    budget: Arc<HandshakeBudget>,
    state: State,
    has_received: bool,
    /// How many of the bytes that are to be written next are encrypted already.
    sealed: usize,
    /// Encrypted bytes that the system has not taken.
    unsent: usize,
    /// The last read has left nothing, neither here nor in the system.
    is_drained: bool,
    /// What the next read fails with. What came before was good.
    failure: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing can be read or written yet.
    Handshaking,
    Open,
    /// As before, but nothing more is to be written.
    WriteClosed,
    /// The peer has broken the protocol, or is not let in. What it still sends is not decrypted.
    Failed,
    /// The peer does not speak TLS.
    Clear,
}

/// A socket that notes how a read of it went.
struct Noted<'a, S> {
    raw: &'a mut S,
    first_byte: Option<u8>,
    is_short: bool,
}

impl<S: Read> Read for Noted<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.raw.read(buffer)?;
        self.is_short = bytes < buffer.len();
        self.first_byte = buffer[..bytes].first().copied();
        Ok(bytes)
    }
}

/// What one read from the system gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    Something { is_all: bool },
    End,
    NotTls,
}

impl<S: Socket> TlsSocket<S> {
    pub(super) fn new(
        raw: S,
        session: impl Into<Connection>,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
        budget: Arc<HandshakeBudget>,
    ) -> Self {
        TlsSocket {
            raw,
            session: session.into(),
            verifier,
            budget,
            state: State::Handshaking,
            has_received: false,
            sealed: 0,
            unsent: 0,
            is_drained: false,
            failure: None,
        }
    }

    /// On the side of a client, whose handshakes may take all the time that they need.
    #[cfg(feature = "cli")]
    pub(in crate::net) fn client(raw: S, session: ClientConnection) -> Self {
        let mut socket = TlsSocket::new(raw, session, None, Arc::new(HandshakeBudget::new(Duration::MAX)));
        // Only clients begin with a handshake. A server may begin with an alert.
        socket.has_received = true;
        socket
    }

    /// Whether the handshake has resumed the session of an earlier connection.
    #[cfg(feature = "cli")]
    pub(in crate::net) fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The socket below.
    pub fn raw_mut(&mut self) -> &mut S {
        &mut self.raw
    }

    /// Reads once from the system, and decrypts what has come.
    fn receive(&mut self) -> io::Result<Received> {
        let mut raw = Noted { raw: &mut self.raw, first_byte: None, is_short: false };
        let bytes = self.session.read_tls(&mut raw)?;
        let Noted { first_byte, is_short, .. } = raw;
        if bytes == 0 {
            // It is noted, and the next read says whether the peer had announced it.
            self.session.process_new_packets().map_err(invalid)?;
            return Ok(Received::End);
        }
        if !std::mem::replace(&mut self.has_received, true) && first_byte != Some(HANDSHAKE_RECORD) {
            return Ok(Received::NotTls);
        }
        let decrypted = self.session.process_new_packets();
        // Answers of the protocol itself, or what is wrong with what came. If the system does not take them now, they go
        // with what is written next.
        let sent = self.send();
        decrypted.map_err(invalid)?;
        sent?;
        Ok(Received::Something { is_all: is_short && self.raw.is_drained_by_short_read() })
    }

    /// Writes what is encrypted, as far as the system takes it.
    fn send(&mut self) -> io::Result<()> {
        if self.state == State::WriteClosed {
            // The system takes no more, and whoever tried would lose what the peer has not read yet.
            return Ok(());
        }
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.raw) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                // No event would announce that it can be tried again.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Nothing else tells how much is left.
                    let left = self.session.process_new_packets().map(|state| state.tls_bytes_to_write());
                    self.unsent = left.unwrap_or(self.unsent);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.unsent = 0;
        Ok(())
    }

    /// Goes on with the handshake for as long as there is input.
    fn advance(&mut self) -> io::Result<Handshake> {
        self.send()?;
        for _ in 0..RAW_READS_MAX {
            if !self.session.is_handshaking() {
                // The last message may be one that the peer waits for.
                if self.unsent > 0 {
                    return Ok(Handshake::Waiting);
                }
                self.check_resumed()?;
                self.state = State::Open;
                return Ok(Handshake::Done);
            }
            match self.receive() {
                Ok(Received::Something { .. }) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Received::End) if !self.has_received => return Ok(Handshake::Closed),
                Ok(Received::End) => return Err(truncated()),
                Ok(Received::NotTls) => {
                    self.state = State::Clear;
                    return Ok(Handshake::NotTls);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Handshake::Waiting),
                Err(error) => return Err(error),
            }
        }
        Ok(Handshake::Later)
    }

    /// A client that resumes a session brings the certificate that was checked then. It may have expired since.
    fn check_resumed(&self) -> io::Result<()> {
        let is_resumed = self.session.handshake_kind() == Some(HandshakeKind::Resumed);
        match (&self.verifier, self.session.peer_certificates()) {
            (Some(verifier), Some([certificate, chain @ ..])) if is_resumed => {
                verifier.verify_client_cert(certificate, chain, UnixTime::now()).map_err(invalid)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills the buffer as far as there is input.
    fn read_open(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_drained = false;
        let (mut total, mut is_all) = (0, false);
        for _ in 0..RAW_READS_MAX {
            // To its end: the peer may have announced the end after it.
            while total < buffer.len() {
                match self.session.reader().read(&mut buffer[total..]) {
                    // The next read finds it again.
                    Ok(0) => return Ok(total),
                    Ok(bytes) => total += bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        return self.fail_after(total, buffer, truncated());
                    }
                    Err(error) => return self.fail_after(total, buffer, error),
                }
            }
            if total == buffer.len() {
                return Ok(total);
            }
            if total > 0 && is_all {
                self.is_drained = true;
                return Ok(total);
            }
            // With nothing to return, reading goes on to the end of input or until there is none: no event announces an
            // end that has been announced before.
            match self.receive() {
                Ok(Received::Something { is_all: now_all }) => is_all = now_all,
                Ok(Received::End | Received::NotTls) => is_all = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock && total > 0 => {
                    self.is_drained = true;
                    return Ok(total);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted && total > 0 => return Ok(total),
                Err(error) => return self.fail_after(total, buffer, error),
            }
        }
        if total > 0 { Ok(total) } else { Err(ErrorKind::Interrupted.into()) }
    }

    /// Keeps an error until everything before it is read.
    fn fail_after(&mut self, total: usize, buffer: &mut [u8], error: io::Error) -> io::Result<usize> {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            return Err(error);
        }
        self.failure = Some(error);
        self.read_failing(total, buffer)
    }

    /// Reads what came before the error, and then the error.
    fn read_failing(&mut self, total: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let total = total + self.session.reader().read(&mut buffer[total..]).unwrap_or(0);
        match self.failure.take_if(|_| total == 0) {
            None => Ok(total),
            Some(failure) => {
                self.state = State::Failed;
                Err(failure)
            }
        }
    }
}

fn truncated() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the peer closed the connection without saying so in TLS (close_notify)")
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

impl<S: Socket> Read for TlsSocket<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.state {
            _ if buffer.is_empty() => Ok(0),
            State::Handshaking => Err(ErrorKind::WouldBlock.into()),
            State::Open | State::WriteClosed if self.failure.is_some() => self.read_failing(0, buffer),
            State::Open | State::WriteClosed => self.read_open(buffer),
            State::Failed | State::Clear => self.raw.read(buffer),
        }
    }
}

impl<S: Socket> Write for TlsSocket<S> {
    /// To be called with the same bytes, and any that follow, until they are written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.state {
            State::Handshaking => return Err(ErrorKind::WouldBlock.into()),
            State::Open => {}
            State::WriteClosed | State::Failed => return Err(ErrorKind::BrokenPipe.into()),
            State::Clear => return self.raw.write(bytes),
        }
        if self.sealed == 0 {
            self.sealed = self.session.writer().write(&bytes[..bytes.len().min(SEALED_MAX)])?;
        }
        assert!(self.sealed <= bytes.len(), "what was to be written is still to be written");
        self.send()?;
        // Encrypted bytes that are left stand for as many plain ones, and the last of them for what encryption adds.
        let left = self.sealed.min(self.unsent);
        let written = self.sealed - left;
        self.sealed = left;
        if written == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is buffered that was taken.
        Ok(())
    }
}

impl<S: Socket> Socket for TlsSocket<S> {
    fn close_write(&mut self) -> io::Result<()> {
        if self.state == State::Open {
            self.session.send_close_notify();
        }
        if self.state != State::Clear {
            // What does not fit is lost with the rest of the connection.
            self.send()?;
        }
        if self.state == State::Open {
            self.state = State::WriteClosed;
        }
        self.raw.close_write()
    }

    fn has_handshake(&self) -> bool {
        true
    }

    fn handshake(&mut self) -> io::Result<Handshake> {
        match self.state {
            State::Handshaking if self.budget.is_used_up() => return Ok(Handshake::Later),
            State::Handshaking => {}
            State::Clear => return Ok(Handshake::NotTls),
            State::Open | State::WriteClosed | State::Failed => return Ok(Handshake::Done),
        }
        let budget = Arc::clone(&self.budget);
        let outcome = budget.spend_on(|| self.advance());
        if outcome.is_err() {
            self.state = State::Failed;
        }
        outcome
    }

    fn credentials(&self) -> Credentials {
        let certificate = self.session.peer_certificates().and_then(|chain| chain.first());
        Credentials { names: certificate.map(certificate::names).unwrap_or_default(), ..Credentials::default() }
    }

    fn is_drained_by_short_read(&self) -> bool {
        match self.state {
            State::Failed | State::Clear => self.raw.is_drained_by_short_read(),
            State::Handshaking | State::Open | State::WriteClosed => self.is_drained,
        }
    }

    fn own_ip(&self) -> Option<IpAddr> {
        self.raw.own_ip()
    }

    fn unsent(&self) -> usize {
        self.unsent - self.sealed.min(self.unsent)
    }
}

impl<S: Socket> Drop for TlsSocket<S> {
    fn drop(&mut self) {
        // Without this the peer could not tell the end from a connection that was cut off. After a part of a record, it was.
        if self.state == State::Open && self.unsent == 0 {
            self.session.send_close_notify();
            let _ = self.send();
        }
    }
}

impl<S: Socket> fmt::Debug for TlsSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSocket").field("state", &self.state).field("unsent", &self.unsent).finish_non_exhaustive()
    }
}
