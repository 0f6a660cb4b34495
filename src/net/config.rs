//! What a server is told when it starts, and what contradicts itself in that.

use std::path::PathBuf;

use super::listen::{BindError, Listen, TcpOptions};
use super::tls::TlsOptions;
use super::users::{self, UsersError};
use crate::server::{Access, Limits};

/// The most prefixes of names that figures are kept for.
pub const METRICS_PREFIXES_MAX: usize = 64;

/// Connections accepted in one turn at each listener, unless the configuration says otherwise.
pub(crate) const TURN_ACCEPTS_MAX: usize = 64;

/// What `officer run` is told by its flags.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen: in one place at least.
    pub listen: Vec<Listen>,
    /// The file of users. None: everybody may lock everything.
    pub users: Option<PathBuf>,
    /// Whether other machines may reach listeners where anybody can lock something. Without it such a listener is refused.
    pub is_open: bool,
    /// Whether other machines may reach listeners without TLS where clients can send secrets. Without it such a listener is
    /// refused.
    pub has_plain_secrets: bool,
    /// How TCP sockets are set up.
    pub tcp: TcpOptions,
    /// What clients may use.
    pub limits: Limits,
    /// Figures are also kept for the locks whose names begin with each of these, of which there are at most
    /// [`METRICS_PREFIXES_MAX`], each once.
    pub metrics_prefixes: Vec<String>,
    /// Connections accepted in one turn at each listener.
    pub turn_accepts_max: usize,
    /// Whether to log a line of statistics every five seconds.
    pub stats: bool,
    /// The directory of the file that tokens are reserved in, which must exist. None: they come from the clock, and can
    /// repeat if it is set back before a restart.
    pub state_dir: Option<PathBuf>,
    /// The certificate and key for listeners with TLS.
    pub tls: Option<TlsOptions>,
    /// Names that a request by HTTP without credentials may have in `Host`, beside addresses and `localhost`.
    pub http_hosts: Vec<String>,
}

impl Config {
    /// One listener, and the defaults of the command line. The limit on connections is the one exception: a process that may
    /// not have that many descriptors needs a lower one, see [`descriptors`](super::descriptors).
    pub fn new(listen: Listen) -> Self {
        let (tcp, limits) = (TcpOptions::default(), Limits::default());
        Config {
            listen: vec![listen],
            users: None,
            is_open: false,
            has_plain_secrets: false,
            tcp,
            limits,
            metrics_prefixes: Vec::new(),
            turn_accepts_max: TURN_ACCEPTS_MAX,
            stats: false,
            state_dir: None,
            tls: None,
            http_hosts: Vec::new(),
        }
    }

    /// Whether sockets that are passed need a name that says what they are for.
    pub(super) fn must_be_named(&self) -> bool {
        self.users.is_some() || self.tls.is_some()
    }

    /// Fails if something in it contradicts the rest.
    pub(super) fn check(&self) -> Result<(), BindError> {
        if self.users.is_some() && self.limits.kick_from_anywhere {
            return Err(BindError::KickFromAnywhere);
        }
        match self.metrics_prefixes.len() {
            ..=METRICS_PREFIXES_MAX => Ok(()),
            count => Err(BindError::TooManyPrefixes { count }),
        }
    }

    /// Reads the users. Without a file there are none.
    pub(super) fn access(&self) -> Result<Access, UsersError> {
        self.users.as_deref().map_or_else(|| Ok(Access::default()), users::read)
    }
}
