//! What comes before the first request of a connection, for `officer bench`: it makes its connections itself, many of them in
//! one thread.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::link;
use super::options::bare_host;
use super::stream::tls_over_unix;
use super::{Address, Error, Options, tls};

impl Options {
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// How its connections are encrypted, and whose certificate the server has to show. None: they are not.
    pub(crate) fn encryption(&self) -> io::Result<Option<(Arc<ClientConfig>, ServerName<'static>)>> {
        match (&self.tls, &self.address) {
            (None, _) => Ok(None),
            (Some(_), Address::Unix(_)) => Err(tls_over_unix()),
            (Some(tls), Address::Tcp(host, _)) => tls.parts(bare_host(host)).map(Some),
        }
    }

    /// The line that says who the client is. None: it has no user.
    pub(crate) fn hello(&self) -> Option<Vec<u8>> {
        self.user.is_some().then(|| link::hello(self).line())
    }

    /// Why there is no connection.
    pub(crate) fn connect_error(&self, error: io::Error) -> Error {
        let error = error.downcast::<rustls::Error>().map_or_else(|error| error, tls::failed);
        link::connect_error(self, &error)
    }
}

/// Checks that a line answers the [`hello`](Options::hello).
pub(crate) fn check_hello(line: &[u8]) -> Result<(), Error> {
    link::check_result(line, "hello")
}
