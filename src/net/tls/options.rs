//! Certificates and keys in files, and what is made of them.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SignatureScheme};

use super::budget::HandshakeBudget;
use super::certificate::{self, Validity};
use super::socket::TlsSocket;
use crate::net::regular;
use crate::server::Socket;

/// A key that takes longer than this to sign is worth a warning: everybody waits meanwhile.
const SIGNATURE_MAX: Duration = Duration::from_millis(1);

/// The largest file, in bytes. A system's list of all authorities has a twentieth of that.
const FILE_BYTES_MAX: usize = 4 << 20;

/// How a server encrypts, and whose certificates it takes. All files are PEM, of up to 4 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// The server's certificate, followed by those of its issuers but for the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who issues the certificates of clients. None: clients have none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client has to have one.
    pub client_auth: ClientAuth,
}

impl TlsOptions {
    /// Whether every client has to have a certificate.
    pub(in crate::net) fn requires_certificates(&self) -> bool {
        self.client_ca.is_some() && self.client_auth == ClientAuth::Required
    }
}

/// Whether a client has to have a certificate, if the server knows who issues them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum ClientAuth {
    /// Without one it is not let in.
    #[default]
    Required,
    /// It may also say who it is by a secret, or not at all.
    Optional,
}

/// Why files are not good for TLS. Each is one line that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not in the format PEM.
    BadPem {
        /// The file.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// There is no certificate in a file that should have some.
    NoCertificate(PathBuf),
    /// There is no key in the file, or it has a password.
    NoKey(PathBuf),
    /// The key does not belong to the certificate.
    WrongKey {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// A certificate or key can't be used.
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// Certificates that issue those of clients can't be used.
    BadClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The system gives no random bytes for the keys of tickets.
    NoTickets(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Read { path, error } => {
                write!(f, "cannot read {}: {error}; check the path and its permissions", path.display())
            }
            TlsError::BadPem { path, error } => {
                write!(
                    f,
                    "{} is not a PEM file ({error}); PEM has lines such as -----BEGIN CERTIFICATE-----",
                    path.display()
                )
            }
            TlsError::NoCertificate(path) => {
                write!(f, "{} has no certificate; it needs a -----BEGIN CERTIFICATE----- section", path.display())
            }
            TlsError::NoKey(path) => write!(
                f,
                "{} has no private key that can be used; it needs a -----BEGIN PRIVATE KEY----- section without a password",
                path.display()
            ),
            TlsError::WrongKey { cert, key } => write!(
                f,
                "the key in {} does not belong to the first certificate in {}; put the server's own certificate first",
                key.display(),
                cert.display()
            ),
            TlsError::Unusable { path, error } => {
                write!(f, "cannot use {}: {error}; make a new certificate or key", path.display())
            }
            TlsError::BadClientCa { path, error } => {
                write!(f, "cannot use the certificates in {} to check clients: {error}", path.display())
            }
            TlsError::NoTickets(error) => write!(f, "cannot make keys for TLS session tickets: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsOptions {
    /// Without certificates of clients.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        TlsOptions { cert: cert.into(), key: key.into(), client_ca: None, client_auth: ClientAuth::default() }
    }

    /// Reads the files. Tickets that were given out before are not good for what comes of it, so whoever reconnects is
    /// checked by the certificates of now.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(&self) -> Result<TlsServer, TlsError> {
        let provider = Arc::new(default_provider());
        let chain = certificates(&self.cert)?;
        let key = private_key(&self.key)?;
        let mut warnings: Vec<String> = validity_warning(&self.cert, &chain[0]).into_iter().collect();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::WrongKey { cert: self.cert.clone(), key: self.key.clone() },
            rustls::Error::InvalidCertificate(_) => TlsError::Unusable { path: self.cert.clone(), error },
            error => TlsError::Unusable { path: self.key.clone(), error },
        })?;
        warnings.extend(signature_warning(&self.key, &certified));
        let verifier = self.client_ca.as_deref().map(|path| self.verifier(path, &provider)).transpose()?;
        let expires = certificate::expires(&certified.cert[0]);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has what both versions need");
        let config = match &verifier {
            Some(verifier) => config.with_client_cert_verifier(Arc::clone(verifier)),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // Tickets keep what is needed to resume a session with the client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(TlsError::NoTickets)?;
        assert_eq!(config.max_early_data_size, 0, "early data could be sent twice by somebody else");
        Ok(TlsServer { config: Arc::new(config), verifier, warnings, expires })
    }

    fn verifier(
        &self,
        path: &Path,
        provider: &Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let bad = |error: String| TlsError::BadClientCa { path: path.to_owned(), error };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.client_auth {
            ClientAuth::Required => builder,
            ClientAuth::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| bad(error.to_string()))
    }
}

/// Encrypts connections of clients, by what was in the files when they were loaded.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    warnings: Vec<String>,
    expires: Option<UnixTime>,
}

impl TlsServer {
    /// What an operator should know, each a line: a certificate that has expired, a key that is slow.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// When the server's certificate expires, in seconds since 1970, if that can be told.
    pub fn expires(&self) -> Option<u64> {
        self.expires.map(|time| time.as_secs())
    }

    /// Encrypts a connection that was accepted. Its handshake takes its time from the budget.
    pub fn accept<S: Socket>(&self, raw: S, budget: &Arc<HandshakeBudget>) -> TlsSocket<S> {
        let session =
            ServerConnection::new(Arc::clone(&self.config)).expect("the configuration has no limit on fragments");
        TlsSocket::new(raw, session, self.verifier.clone(), Arc::clone(budget))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let (file, _) = regular::open(path)?.ok_or_else(|| io::Error::other("it is not a regular file"))?;
        let mut bytes = Vec::new();
        match file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)? {
            ..=FILE_BYTES_MAX => Ok(bytes),
            _ => Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"))),
        }
    };
    read().map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate(path.to_owned())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::BadPem { path: path.to_owned(), error }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey(path.to_owned()),
        error => TlsError::BadPem { path: path.to_owned(), error },
    })
}

/// A wrong clock must not keep a server from starting: clients will say what they think of its certificate.
fn validity_warning(path: &Path, certificate: &CertificateDer<'_>) -> Option<String> {
    let now = UnixTime::now();
    let path = path.display();
    match certificate::validity_at(certificate, now)? {
        Validity::Valid => None,
        Validity::Over { since } => {
            let ago = now.as_secs().saturating_sub(since.as_secs()) / 60;
            Some(format!("the certificate in {path} expired {ago} minutes ago; clients refuse it, so renew it"))
        }
        Validity::NotYet { from } => {
            let wait = from.as_secs().saturating_sub(now.as_secs()) / 60;
            Some(format!("the certificate in {path} is not valid for another {wait} minutes; check the clock"))
        }
    }
}

fn signature_warning(path: &Path, certified: &CertifiedKey) -> Option<String> {
    let signer = certified.key.choose_scheme(&[
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PSS_SHA256,
    ])?;
    let sign = || {
        let begun = Instant::now();
        let _ = signer.sign(b"how long does this take?");
        begun.elapsed()
    };
    // The quickest of three, whatever else the machine does.
    let taken = sign().min(sign()).min(sign());
    (taken > SIGNATURE_MAX).then(|| {
        format!(
            "the key in {} takes {:.1} ms to sign, and everybody waits while a client connects; use an ECDSA key (P-256)",
            path.display(),
            taken.as_secs_f64() * 1000.0
        )
    })
}
