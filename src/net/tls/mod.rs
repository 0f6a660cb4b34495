//! TLS on the server's side: files, the socket that encrypts, and how long handshakes may take. The socket is also that of the
//! load generator, on the other side.
//!
//! [`TlsOptions`] names files. [`TlsOptions::load`] reads them and gives a [`TlsServer`], which makes a [`TlsSocket`] of each
//! accepted connection; after a reload a new one does. The server in `server` knows nothing of it but [`Handshake`].
//!
//! [`Handshake`]: crate::server::Handshake

mod budget;
mod certificate;
mod options;
mod socket;

pub use self::budget::HandshakeBudget;
pub use self::options::{ClientAuth, TlsError, TlsOptions, TlsServer};
pub use self::socket::TlsSocket;
