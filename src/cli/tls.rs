//! The server's certificate and key, and whose certificates it takes.

use std::io;
use std::path::{self, PathBuf};

use clap::Args;

use crate::net::{ClientAuth, TlsOptions};

#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
#[group(skip)]
pub(super) struct TlsFlags {
    /// The server's certificate and those of its issuers, in PEM; SIGHUP reads all these files again
    #[arg(long, value_name = "PATH", env = "OFFICER_TLS_CERT", hide_env_values = true, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM, without a password
    #[arg(long, value_name = "PATH", env = "OFFICER_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Certificates that issue those of clients, in PEM [default: clients have no certificates]
    #[arg(long, value_name = "PATH", env = "OFFICER_TLS_CLIENT_CA", hide_env_values = true, requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Whether a client needs a certificate
    #[arg(long, value_name = "WHEN", env = "OFFICER_TLS_CLIENT_AUTH", hide_env_values = true)]
    #[arg(ignore_case = true, default_value = "required", requires = "tls_client_ca")]
    tls_client_auth: ClientAuth,
}

impl TlsFlags {
    /// Makes its paths independent of the current directory.
    pub(super) fn make_absolute(&mut self) -> io::Result<()> {
        for path in [&mut self.tls_cert, &mut self.tls_key, &mut self.tls_client_ca].into_iter().flatten() {
            *path = path::absolute(&*path)?;
        }
        Ok(())
    }

    pub(super) fn options(self) -> Option<TlsOptions> {
        let mut options = TlsOptions::new(self.tls_cert?, self.tls_key?);
        options.client_ca = self.tls_client_ca;
        options.client_auth = self.tls_client_auth;
        Some(options)
    }
}
