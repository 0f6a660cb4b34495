//! How to reach a server, and how a client behaves.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use super::tls::{Tls, TlsConfig};
use super::{Client, Error, LostHold};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port.
    Tcp(String, u16),
    /// The path of a UNIX socket.
    Unix(PathBuf),
}

/// The host without the brackets that an IPv6 address may have.
pub(crate) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The port of a server that was told no other.
pub const DEFAULT_PORT: u16 = 11500;

/// `host:port`, `host` or `[ip]:port`; what has a `/` in it is the path of a UNIX socket.
impl From<&str> for Address {
    fn from(text: &str) -> Self {
        if text.contains('/') {
            return Address::Unix(text.into());
        }
        let bare = |host: &str| bare_host(host).to_owned();
        match text.rsplit_once(':') {
            // A lone IPv6 address is full of colons.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
                Ok(port) => Address::Tcp(bare(host), port),
                Err(_) => Address::Tcp(text.to_owned(), DEFAULT_PORT),
            },
            _ => Address::Tcp(bare(text), DEFAULT_PORT),
        }
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Self {
        Address::Tcp(bare_host(host).to_owned(), port)
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Address::Unix(path)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{}]:{port}", bare_host(host)),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Keep-alives are not sent more often than this asks for.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Practically forever, and small enough to calculate with.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Who the client says that it is.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) secret: String,
}

/// Called when a connection is found lost.
type OnLost = Arc<dyn Fn(&Error) + Send + Sync>;

/// Called when a connection is lost, and its session is not.
type OnInterrupted = Arc<dyn Fn(&str) + Send + Sync>;

/// Called when a hold has ended that the program did not end.
pub(super) type OnLostHold = Arc<dyn Fn(&LostHold) + Send + Sync>;

/// How a [`Client`] behaves. Made from the address; [`Options::connect`] makes the client.
#[derive(Clone)]
pub struct Options {
    pub(super) address: Address,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) keep_alive: Duration,
    pub(super) is_keep_alive_by_program: bool,
    pub(super) stop_within: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) session: Option<Duration>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) user: Option<User>,
    pub(super) has_plain_secrets: bool,
    pub(super) on_lost: Option<OnLost>,
    pub(super) on_interrupted: Option<OnInterrupted>,
    pub(super) on_resumed: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(super) on_expired: Option<OnLostHold>,
    pub(super) on_revoked: Option<OnLostHold>,
}

impl Options {
    /// The defaults: no namespace, no name, a keep-alive within every 10 s, 10 s to connect.
    pub fn new(address: impl Into<Address>) -> Self {
        Options {
            address: address.into(),
            namespace: None,
            name: None,
            keep_alive: Duration::from_secs(10),
            is_keep_alive_by_program: false,
            stop_within: Duration::ZERO,
            connect_timeout: Duration::from_secs(10),
            session: None,
            #[cfg(feature = "tls")]
            tls: None,
            user: None,
            has_plain_secrets: false,
            on_lost: None,
            on_interrupted: None,
            on_resumed: None,
            on_expired: None,
            on_revoked: None,
        }
    }

    /// Put in front of every name, with a `:` between, and taken off in answers. Clients of different namespaces never
    /// meet.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// What the server's listings show for this client next to its address; at most 128 bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Encrypts the connection. For TCP.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(Arc::new(Tls::new(config)));
        self
    }

    /// Who the client is, to a server that has users. The secret goes to no other machine without TLS: connecting fails
    /// instead, unless [`Options::plain_secrets`] allows it.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, secret: impl Into<String>) -> Self {
        self.user = Some(User { name: name.into(), secret: secret.into() });
        self
    }

    /// Allows sending the [user](Options::user)'s secret to another machine without TLS, where whoever is on the way can
    /// read it.
    #[must_use]
    pub fn plain_secrets(mut self) -> Self {
        self.has_plain_secrets = true;
        self
    }

    /// The longest time for which a lost connection stays unnoticed: a keep-alive is sent more than twice as often, and has
    /// to be answered within the rest. At least 10 ms. If the server gives up silent or idle clients so soon that it could
    /// give a lock to the next before this client has noticed that it is lost, they are sent more often.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval.clamp(INTERVAL_MIN, FOREVER);
        self
    }

    /// How long the program takes to stop what it does under a lock once [`Options::on_lost`] tells it to. A lost
    /// connection is noticed so much sooner that it has stopped before the server gives the lock to the next, if the server
    /// gives silent clients up later than that. The default is no time.
    #[must_use]
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.stop_within = time;
        self
    }

    /// The client sends keep-alives only while a call waits for its answer. Between calls the thread that does the work
    /// sends them, with [`Client::keep_alive`], as it makes progress: at least twice within the time after which the server
    /// closes a silent connection (60 s unless configured). If that thread gets stuck, the server takes its locks back. A
    /// connection that dies between calls is noticed by the next.
    ///
    /// The same goes for leases: [`Client::keep_alive`] renews those that the client would otherwise renew by itself.
    ///
    /// A call of any thread of a client counts for all of them. Give each worker that you want to watch a client of its own.
    #[must_use]
    pub fn keep_alive_by_program(mut self) -> Self {
        self.is_keep_alive_by_program = true;
        self
    }

    /// How long making the connection may take: looking up the host's name, trying its addresses one after the other as
    /// RFC 8305 says, and the server's first answer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.clamp(Duration::from_millis(1), FOREVER);
        self
    }

    /// Keeps the locks when the connection is lost for no longer than `grace`. They belong to a *session*, and so do the
    /// waits: the client connects again by itself and resumes it. At most 300 s; 0 means no session.
    ///
    /// - **Guards** stay valid: nobody else gets their locks. Everything is lost, as without a session, if the session can't
    ///   be resumed within the grace, if the server was restarted, if somebody ended the session, or if it holds more than
    ///   the server can list in one reply (4 MiB unless configured). Then guards say [`is_lost`](super::Guard::is_lost) and
    ///   never take it back, calls fail with [`Error::ConnectionLost`], and [`Options::on_lost`] is called.
    /// - **A hold that ended meanwhile**, because its lease ran out or somebody revoked it, is found lost when the session is
    ///   resumed, and the callbacks for that are called.
    /// - **Calls**, new ones too, wait while there is no connection, and are executed once. What the server has not executed
    ///   is sent again. If only the answer was lost, it follows from what the session holds now, as shown below. A lock with a
    ///   timeout times out without a connection too, one second late so that a short break does not matter.
    ///
    /// | executed, and the answer was lost | result |
    /// |---|---|
    /// | a lock that still waits | the answer when that ends |
    /// | a lock that was granted | the guard |
    /// | a lock that timed out, was refused, or was granted and has ended | [`Error::AnswerLost`]; nothing is held or waited for |
    /// | a release | released, even if somebody revoked it just before; [`Error::AnswerLost`] if a lease may have run out |
    /// | a transfer | not done if the lock is still held, otherwise as for a release |
    /// | a renewal | renewed if the lock is still held, otherwise [`Error::NotHeld`] |
    /// | a reset | done |
    /// | `ping`, `keep_alive`, listings, figures | asked again |
    /// | a kick, a revocation | [`Error::AnswerLost`] |
    ///
    /// The price: if the program crashes or its machine fails, its locks are free only after the grace. When the client is
    /// dropped or [disconnects](Client::disconnect) while it has a connection, they are free at once.
    ///
    /// The client relies on the session for the grace less [`Options::stop_within`], counted from the last request that the
    /// server answered. It notices a lost connection within half of that, whatever [`Options::keep_alive`] says. With
    /// [`Options::keep_alive_by_program`], a connection that was lost between calls is made again by the next call.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let options = Options::new(address).session(Duration::from_secs(30));
    /// let client = options.on_interrupted(|reason| eprintln!("the connection is lost: {reason}")).connect()?;
    /// let guard = client.lock("boss:17")?;
    /// // A cable is unplugged here, and plugged in again. The lock was never free.
    /// assert!(!guard.is_lost());
    /// guard.release()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// [`Options::connect`] fails with [`Error::Unsupported`] if the server has no sessions.
    #[must_use]
    pub fn session(mut self, grace: Duration) -> Self {
        self.session = Some(grace).filter(|grace| !grace.is_zero());
        self
    }

    /// Called with the reason when a connection is found lost whose [session](Options::session) is being resumed: locks
    /// are still held. Either [`Options::on_resumed`] or [`Options::on_lost`] follows. The thread is the client's own. It
    /// must not call the client.
    #[must_use]
    pub fn on_interrupted(mut self, callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_interrupted = Some(Arc::new(callback));
        self
    }

    /// Called when a [session](Options::session) goes on with a new connection. What was lost meanwhile is told after it.
    /// The thread is the client's own. It must not call the client.
    #[must_use]
    pub fn on_resumed(mut self, callback: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_resumed = Some(Arc::new(callback));
        self
    }

    /// Called once for each connection at the moment that it is found lost, with the [`Error::ConnectionLost`] that all
    /// calls get; not if the program itself ends it. With a [session](Options::session) only when that is lost too. The
    /// thread is the one that finds it so: the client's own, or one whose request can't be sent. It must not call the
    /// client.
    #[must_use]
    pub fn on_lost(mut self, callback: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Arc::new(callback));
        self
    }

    /// Called when the lease of a lock has run out and the server has taken the lock back. The guard says
    /// [`is_lost`](super::Guard::is_lost) already, and mostly has for a moment. The thread is the client's own. It must not
    /// call the client.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// # use std::sync::mpsc::channel;
    /// let (sender, expired) = channel();
    /// let options = Options::new(address).on_expired(move |lost| sender.send(lost.name.clone()).unwrap());
    /// let client = options.connect()?;
    /// let briefly = LockOptions::default().lease(Duration::from_millis(50)).renewed_by_program();
    /// let guard = client.lock_with("boss:17", briefly)?;
    /// assert_eq!(expired.recv().unwrap(), "boss:17");
    /// assert!(guard.is_lost());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn on_expired(mut self, callback: impl Fn(&LostHold) + Send + Sync + 'static) -> Self {
        self.on_expired = Some(Arc::new(callback));
        self
    }

    /// Called when somebody has taken a lock away by a [`revoke`](Client::revoke). Without this callback the server does
    /// not tell, and a guard whose lock was revoked learns it when it is released. The thread is the client's own. It must
    /// not call the client.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// # use std::sync::mpsc::channel;
    /// # let operator = Client::connect(address.clone())?;
    /// let (sender, revoked) = channel();
    /// let options = Options::new(address).on_revoked(move |lost| sender.send(lost.name.clone()).unwrap());
    /// let client = options.connect()?;
    /// let guard = client.lock("boss:17")?;
    /// operator.revoke("boss:17", &RevokeOptions::default())?;
    /// assert_eq!(revoked.recv().unwrap(), "boss:17");
    /// assert!(guard.is_lost());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn on_revoked(mut self, callback: impl Fn(&LostHold) + Send + Sync + 'static) -> Self {
        self.on_revoked = Some(Arc::new(callback));
        self
    }

    pub(super) fn with_namespace(&self, name: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}:{name}"),
            None => name.to_owned(),
        }
    }

    /// None: the name is of another namespace.
    pub(super) fn without_namespace<'a>(&self, name: &'a str) -> Option<&'a str> {
        match &self.namespace {
            Some(namespace) => name.strip_prefix(namespace.as_str())?.strip_prefix(':'),
            None => Some(name),
        }
    }

    /// Connects.
    ///
    /// # Errors [`Error::Connect`] if nobody answers; [`Error::Unexpected`] if it is not an Officer server;
    /// [`Error::Server`] if there is no room for one more connection or session; [`Error::Unsupported`] if it has no sessions
    /// and one was asked for.
    pub fn connect(self) -> Result<Client, Error> {
        Client::with_options(self)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("keep_alive", &self.keep_alive)
            .field("is_keep_alive_by_program", &self.is_keep_alive_by_program)
            .field("stop_within", &self.stop_within)
            .field("connect_timeout", &self.connect_timeout)
            .field("session", &self.session)
            .field("user", &self.user.as_ref().map(|user| &user.name))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it_and_written_so() {
        for (text, address, written) in [
            ("db1", Address::Tcp("db1".into(), 11500), "db1:11500"),
            ("db1:99", Address::Tcp("db1".into(), 99), "db1:99"),
            ("[::1]:99", Address::Tcp("::1".into(), 99), "[::1]:99"),
            ("::1", Address::Tcp("::1".into(), 11500), "[::1]:11500"),
            ("[::1]", Address::Tcp("::1".into(), 11500), "[::1]:11500"),
            ("./officer.sock", Address::Unix("./officer.sock".into()), "./officer.sock"),
        ] {
            assert_eq!(Address::from(text), address);
            assert_eq!(address.to_string(), written);
            assert_eq!(Address::from(written), address);
        }
        assert_eq!(Address::from(("[::1]", 99)), Address::from(("::1", 99)));
        // However it was made.
        assert_eq!(Address::Tcp("[::1]".into(), 99).to_string(), "[::1]:99");
    }
}
