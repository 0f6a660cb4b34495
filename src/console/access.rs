//! How a command encrypts its connection, and who it is to the server.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;

use super::failure::Failure;
use crate::client::{Options, TlsConfig};

/// The variable with a user's secret. There is no flag for it: everybody on a machine sees the arguments of processes.
pub(crate) const SECRET: &str = "OFFICER_SECRET";

#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct AccessOptions {
    /// Encrypt the connection with TLS, and check the server's certificate
    #[arg(long, env = "OFFICER_TLS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    tls: bool,

    /// Certificates to trust, in PEM [default: those that the system trusts]
    #[arg(long, value_name = "PATH", env = "OFFICER_TLS_CA", hide_env_values = true)]
    tls_ca: Option<PathBuf>,

    /// Certificate to show to the server, in PEM, with those of its issuers
    #[arg(long, value_name = "PATH", env = "OFFICER_TLS_CERT", hide_env_values = true, requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Its private key, in PEM, without a password
    #[arg(long, value_name = "PATH", env = "OFFICER_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Name or address that the server's certificate has to have [default: the host]
    #[arg(long, value_name = "NAME", env = "OFFICER_TLS_SERVER_NAME", hide_env_values = true)]
    tls_server_name: Option<String>,

    /// User to be; the secret is in OFFICER_SECRET or in the file of --secret-file
    #[arg(long, value_name = "NAME", env = "OFFICER_USER", hide_env_values = true)]
    user: Option<String>,

    /// File with the user's secret in its first line
    #[arg(long, value_name = "PATH", env = "OFFICER_SECRET_FILE", hide_env_values = true, requires = "user")]
    secret_file: Option<PathBuf>,

    /// Send the secret to another machine without TLS, where whoever is on the way can read it
    #[arg(long, env = "OFFICER_PLAIN_SECRETS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    plain_secrets: bool,
}

impl AccessOptions {
    /// Adds them to the options of a client.
    ///
    /// # Errors
    /// There is a user and no secret, or TLS is not asked for and all the same described.
    pub(crate) fn of(&self, mut options: Options) -> Result<Options, Failure> {
        if let Some(config) = self.tls()? {
            options = options.tls(config);
        }
        if let Some(user) = &self.user {
            options = options.user(user, self.secret(user)?);
        }
        Ok(if self.plain_secrets { options.plain_secrets() } else { options })
    }

    /// Whether the connection is to be encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// Whether the client is somebody.
    pub(crate) fn has_user(&self) -> bool {
        self.user.is_some()
    }

    /// As another process of this program has to be given them. It inherits the variable with the secret.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let flags = [("--tls", self.tls), ("--plain-secrets", self.plain_secrets)];
        let mut args: Vec<OsString> = flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag.into()).collect();
        for (option, value) in [
            ("--tls-ca", self.tls_ca.as_deref().map(Path::as_os_str)),
            ("--tls-cert", self.tls_cert.as_deref().map(Path::as_os_str)),
            ("--tls-key", self.tls_key.as_deref().map(Path::as_os_str)),
            ("--tls-server-name", self.tls_server_name.as_deref().map(OsStr::new)),
            ("--user", self.user.as_deref().map(OsStr::new)),
            ("--secret-file", self.secret_file.as_deref().map(Path::as_os_str)),
        ] {
            args.extend(value.into_iter().flat_map(|value| [option.into(), value.to_owned()]));
        }
        args
    }

    fn tls(&self) -> Result<Option<TlsConfig>, Failure> {
        if !self.tls {
            // The variables may be those of a server.
            let described =
                [("--tls-ca", self.tls_ca.is_some()), ("--tls-server-name", self.tls_server_name.is_some())];
            return match described.iter().find(|(_, is_given)| *is_given) {
                Some((option, _)) => Err(Failure::Usage(format!("{option} is for TLS; add --tls"))),
                None => Ok(None),
            };
        }
        let mut config = TlsConfig::default();
        if let Some(ca) = &self.tls_ca {
            config = config.ca(ca);
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            config = config.identity(cert, key);
        }
        if let Some(name) = &self.tls_server_name {
            config = config.server_name(name);
        }
        Ok(Some(config))
    }

    fn secret(&self, user: &str) -> Result<String, Failure> {
        let secret = match (&self.secret_file, env::var(SECRET)) {
            (Some(path), _) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    Failure::Usage(format!("cannot read the secret in {}: {error}", path.display()))
                })?;
                text.lines().next().unwrap_or_default().trim().to_owned()
            }
            (None, Ok(secret)) => secret.trim().to_owned(),
            (None, Err(_)) => String::new(),
        };
        if secret.is_empty() {
            return Err(Failure::Usage(format!(
                "there is no secret for the user {user:?}; set {SECRET}, or name a file that has it with --secret-file"
            )));
        }
        Ok(secret)
    }
}
