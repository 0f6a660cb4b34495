//! TLS: whom the client trusts, who it is, and a stream that two threads use, one to read and one to write.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};

use super::connect::until;

/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_millis(250);

/// How a client encrypts. By default it trusts whom the system trusts, and has no certificate of its own.
///
/// Files are read when a connection is made, and again when they have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

impl TlsConfig {
    /// Trusts the certificates in this file (PEM), and not those that the system trusts.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// The client's own certificate, with those of its issuers, and its private key (PEM).
    #[must_use]
    pub fn identity(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((cert.into(), key.into()));
        self
    }

    /// The name or address that the server's certificate has to have. The default is the host that is connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(identity).map(PathBuf::as_path)
    }
}

/// What all connections of a client share, so that a later one can resume the TLS session of an earlier.
#[derive(Debug)]
pub(super) struct Tls {
    config: TlsConfig,
    loaded: Mutex<Option<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    client: Arc<ClientConfig>,
    changed: Vec<Option<SystemTime>>,
}

impl Tls {
    pub(super) fn new(config: TlsConfig) -> Self {
        Tls { config, loaded: Mutex::new(None) }
    }

    /// Encrypts a connection to a host.
    pub(super) fn connect(&self, tcp: TcpStream, host: &str, give_up: Instant) -> io::Result<TlsStream> {
        let (client, server) = self.parts(host)?;
        let mut session = ClientConnection::new(client, server).map_err(failed)?;
        session.set_buffer_limit(None);
        shake_hands(&mut session, &tcp, give_up)?;
        let incoming = Incoming { session, plain: Vec::new(), taken: 0 };
        Ok(TlsStream { tcp, incoming: Mutex::new(incoming), sending: Mutex::new(()) })
    }

    /// How a connection to a host is encrypted, and whose certificate the server has to show.
    pub(super) fn parts(&self, host: &str) -> io::Result<(Arc<ClientConfig>, ServerName<'static>)> {
        let name = self.config.server_name.as_deref().unwrap_or(host);
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| invalid(format!("{name:?} is not a name that a certificate can have")))?;
        Ok((self.client()?, server))
    }

    fn client(&self) -> io::Result<Arc<ClientConfig>> {
        let changed = || self.config.files().map(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some(loaded) if changed().eq(loaded.changed.iter().copied()) => Ok(Arc::clone(&loaded.client)),
            _ => {
                let changed = changed().collect();
                let client = Arc::new(load(&self.config)?);
                *loaded = Some(Loaded { client: Arc::clone(&client), changed });
                Ok(client)
            }
        }
    }
}

fn load(config: &TlsConfig) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &config.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                let bad = |error| invalid(format!("cannot use a certificate in {}: {error}", path.display()));
                roots.add(certificate).map_err(bad)?;
            }
        }
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    if roots.is_empty() {
        return Err(invalid(
            "the system has no certificates to check the server's; give the file of those that are trusted",
        ));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?.with_root_certificates(roots);
    let Some((cert, key)) = &config.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| {
        invalid(format!("{} has no private key that can be used (PEM, without a password)", key.display()))
    })?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| {
        invalid(format!("cannot use the certificate in {} with the key in {}: {error}", cert.display(), key.display()))
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| invalid(format!("cannot read {}: {error}", path.display())))
}

/// At least one.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(invalid(format!("{} has no certificates in PEM", path.display()))),
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, message.into())
}

/// What is wrong with what the other side sent, or with what we have for it.
pub(super) fn failed(error: rustls::Error) -> io::Error {
    let message = match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS on this port".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server refuses the TLS connection: {alert:?}"),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate has an issuer that is not trusted".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(_)) => {
            "the server's certificate is not one for servers".to_owned()
        }
        rustls::Error::InvalidCertificate(error) => format!("the server's certificate is not accepted: {error}"),
        error => format!("TLS: {error}"),
    };
    io::Error::new(ErrorKind::InvalidData, message)
}

fn shake_hands(session: &mut ClientConnection, tcp: &TcpStream, give_up: Instant) -> io::Result<()> {
    let mut socket = tcp;
    while session.is_handshaking() || session.wants_write() {
        let moved = if session.wants_write() {
            tcp.set_write_timeout(Some(until(give_up)))?;
            session.write_tls(&mut socket)
        } else {
            tcp.set_read_timeout(Some(until(give_up)))?;
            session.read_tls(&mut socket)
        };
        match moved {
            Ok(0) => {
                let message = "the server closed the connection during the TLS handshake";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "the server does not answer in TLS"));
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = session.process_new_packets() {
            // It is told why, if it listens.
            let _ = session.write_tls(&mut socket);
            return Err(failed(error));
        }
        if Instant::now() >= give_up && session.is_handshaking() {
            return Err(io::Error::new(ErrorKind::TimedOut, "the TLS handshake takes too long"));
        }
    }
    Ok(())
}

/// An encrypted connection. One thread reads; others write, one at a time.
///
/// Nobody waits for the network while others need the session: the reader waits outside, and only then decrypts. Whoever
/// writes keeps `sending` from encrypting until all is sent, as the order must be the same, and the session only for
/// encrypting.
#[derive(Debug)]
pub(super) struct TlsStream {
    tcp: TcpStream,
    incoming: Mutex<Incoming>,
    /// Taken before `incoming`.
    sending: Mutex<()>,
}

#[derive(Debug)]
struct Incoming {
    session: ClientConnection,
    /// Decrypted, and taken up to here.
    plain: Vec<u8>,
    taken: usize,
}

impl Incoming {
    /// Decrypts what has come.
    fn decrypt(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let is_over = self.session.read_tls(&mut bytes)? == 0;
            let decrypted = self.session.process_new_packets();
            match self.session.reader().read_to_end(&mut self.plain) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => {}
            }
            decrypted.map_err(failed)?;
            if is_over {
                break;
            }
        }
        Ok(())
    }

    /// Moves decrypted bytes into a buffer.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.plain[self.taken..];
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.taken += bytes;
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
        bytes
    }
}

impl TlsStream {
    /// The connection below.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads like a socket with a timeout.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut give_up = None;
        let mut encrypted = [0; 4 << 10];
        loop {
            let bytes = self.incoming().take(buffer);
            if bytes > 0 {
                return Ok(bytes);
            }
            // Parts of records, and what TLS itself has to say, are nothing for whoever reads.
            if give_up.is_some_and(|give_up| Instant::now() >= give_up) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let bytes = (&self.tcp).read(&mut encrypted)?;
            if bytes == 0 {
                // Announced or not: what is missing is missing.
                return Ok(0);
            }
            let mut incoming = self.incoming();
            let decrypted = incoming.decrypt(&encrypted[..bytes]);
            let (is_empty, owes) = (incoming.plain.is_empty(), incoming.session.wants_write());
            drop(incoming);
            if owes && let Ok(_sending) = self.sending.try_lock() {
                // Otherwise it goes with what is being written, or with what is written next.
                self.send(&[])?;
            }
            decrypted?;
            if is_empty && give_up.is_none() {
                give_up = self.tcp.read_timeout()?.map(|timeout| Instant::now() + timeout);
            }
        }
    }

    /// Writes all of it.
    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(bytes)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut incoming = self.incoming();
        incoming.session.writer().write_all(bytes)?;
        let encrypted = take_encrypted(&mut incoming.session)?;
        drop(incoming);
        (&self.tcp).write_all(&encrypted)
    }

    /// Ends a direction or both. The server is told that nothing more comes, so that it is not a cut to it.
    pub(super) fn end(&self, directions: Shutdown) -> io::Result<()> {
        // While somebody writes, the end is one for them too.
        if let Ok(_sending) = self.sending.try_lock()
            && self.tcp.set_write_timeout(Some(FAREWELL)).is_ok()
        {
            let mut incoming = self.incoming();
            incoming.session.send_close_notify();
            let encrypted = take_encrypted(&mut incoming.session)?;
            drop(incoming);
            let _ = (&self.tcp).write_all(&encrypted);
        }
        self.tcp.shutdown(directions)
    }
}

fn take_encrypted(session: &mut ClientConnection) -> io::Result<Vec<u8>> {
    let mut encrypted = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut encrypted)?;
    }
    Ok(encrypted)
}
