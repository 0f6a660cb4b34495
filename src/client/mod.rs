//! A blocking client on plain sockets.
//!
#![cfg_attr(feature = "server", doc = "```")]
#![cfg_attr(not(feature = "server"), doc = "```ignore")]
//! use officer::client::{Client, Error, LockOptions};
//! use std::time::Duration;
//!
//! # use officer::net::{Config, Listen, Net};
//! # let mut net = Net::bind(Config::new(Listen::Tcp { host: "127.0.0.1".into(), port: 0 })).unwrap();
//! # let address = net.addresses().remove(0);
//! # std::thread::spawn(move || net.run(|_| std::ops::ControlFlow::Break(())));
//! // The address is that of the server: "127.0.0.1:11500", or the path of a socket.
//! let client = Client::connect(address)?;
//! let guard = client.lock("boss:17")?;
//! // Nobody else is here now.
//! guard.release()?;
//!
//! match client.lock_with("boss:17", LockOptions::timeout(Duration::from_secs(5))) {
//!     Ok(_guard) => println!("got it"),
//!     Err(Error::TimedOut { queue }) => println!("held by {queue:?}"),
//!     Err(error) => return Err(error),
//! }
//!
//! let loot = client.with_lock("boss:17", LockOptions::no_wait(), || 42)?;
//! assert_eq!(loot, 42);
//! # Ok::<(), Error>(())
//! ```
//!
//! One [`Client`] serves any number of threads over one connection; clone it, or share a reference. To the server each
//! thread is a party of its own: they exclude each other, and wait in one queue with everybody else. A program whose
//! parties are not threads, but players or tasks, says who asks: [`LockOptions::owner`]. A [`Guard`] may be sent to another
//! thread.
//!
//! **A lost connection means lost locks,** unless there is a [session](Options::session). The server releases everything
//! the moment that the connection goes. Calls in progress then fail with [`Error::ConnectionLost`], and every guard says
//! [`is_lost`](Guard::is_lost). A client that held or waited for something stays without a connection until the program
//! says [`reconnect`](Client::reconnect); one on which nothing hung makes a new connection with the next call. A thread of
//! the client's own sends keep-alives, also while locks wait and while the program computes, and notices a connection that
//! has died without a word.

mod cache;
mod callback;
mod connect;
mod error;
mod guard;
mod holds;
mod lease;
mod link;
mod listing;
mod lock;
mod lock_options;
mod notices;
#[cfg(feature = "cli")]
mod opening;
mod options;
mod owners;
mod request;
pub(crate) mod resolve;
mod resume;
mod revoke;
mod session;
mod shared;
mod state;
mod stats;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod transfer;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::cache::{CachedGuard, LockCache};
#[cfg(feature = "cli")]
pub(crate) use self::error::write_queue;
pub use self::error::{Error, Reason};
pub use self::guard::Guard;
pub use self::listing::{Connections, Locks, LocksPage};
pub use self::lock_options::{LockOptions, Mode};
pub use self::notices::{Loss, LostHold, Wanted};
#[cfg(feature = "cli")]
pub(crate) use self::opening::check_hello;
pub use self::options::{Address, DEFAULT_PORT, Options};
pub use self::revoke::RevokeOptions;
pub use self::stats::{Histogram, HotLock, Stats};
#[cfg(feature = "tls")]
pub use self::tls::TlsConfig;
pub use self::transfer::Recipient;
pub use self::watch::{LockEvent, Watch, WatchEvent};
pub use crate::wire::answer::{Asker, ConnectionDetail, LockDetail, NameListing, PlaceDetail};
pub use crate::wire::happening::Happening;

/// Who holds a lock, of the many parties that one client may act for: a whole number, or a text.
pub type Owner = crate::wire::Owner<Box<str>>;

use self::lock::Which;
use self::request::Request;
use self::shared::Shared;
use self::state::CallKind;

/// A connection to an Officer server, for any number of threads. Clones share it; it is closed with the last of them and
/// of their guards.
#[derive(Clone, Debug)]
pub struct Client {
    closer: Arc<Closer>,
}

/// The reading thread has the shared part too, so the connection is closed by who uses it.
#[derive(Debug)]
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close("the client was dropped");
    }
}

impl Client {
    /// Connects with the defaults of [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::connect`].
    pub fn connect(address: impl Into<Address>) -> Result<Self, Error> {
        Options::new(address).connect()
    }

    fn with_options(options: Options) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(options));
        shared.ensure_link()?;
        Ok(Client { closer: Arc::new(Closer(shared)) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.closer.0
    }

    /// Acquires a lock, waiting for as long as it takes.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`], [`Error::Cancelled`] and [`Error::Server`].
    pub fn lock(&self, name: &str) -> Result<Guard, Error> {
        self.lock_with(name, LockOptions::default())
    }

    /// Acquires a lock.
    ///
    /// # Errors
    /// Those of [`Client::lock`], [`Error::TimedOut`] and [`Error::QueueMaxed`]; [`Error::Deadlock`] and
    /// [`Error::Unsupported`] where the options ask for what can fail so.
    pub fn lock_with(&self, name: &str, options: LockOptions) -> Result<Guard, Error> {
        self.acquire(&[name], Which::All, &options, false)
    }

    /// Acquires several locks in one step, all or none. Others who acquire theirs so never wait for each other in a circle
    /// if they hold nothing else, whatever the order of the names. At most 64, each once.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// // A trade: both items, or none.
    /// let guard = client.lock_all(["sword", "shield"], LockOptions::default())?;
    /// assert!(guard.names().eq(["sword", "shield"]));
    /// guard.release()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::lock_with`].
    pub fn lock_all<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
        options: LockOptions,
    ) -> Result<Guard, Error> {
        self.lock_many(names, Which::All, &options)
    }

    /// Acquires one of several locks: the first that is free, or else whichever is first to be. [`Guard::name`] says which.
    /// For pools of game servers, licences or devices. At most 64 names, each once.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let servers = ["arena:1", "arena:2"];
    /// let first = client.lock_any(servers, LockOptions::no_wait())?;
    /// let second = client.lock_any(servers, LockOptions::no_wait())?;
    /// assert_eq!((first.name(), second.name()), ("arena:1", "arena:2"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::lock_with`].
    pub fn lock_any<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
        options: LockOptions,
    ) -> Result<Guard, Error> {
        self.lock_many(names, Which::Any, &options)
    }

    fn lock_many<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
        which: Which,
        options: &LockOptions,
    ) -> Result<Guard, Error> {
        let names: Vec<N> = names.into_iter().collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.acquire(&names, which, options, false)
    }

    /// Runs a closure while it holds a lock. Calls within the closure for the same lock, on the same thread and for the same
    /// owner, have it at once, and release it only with the outermost.
    ///
    /// # Errors
    /// Those of [`Client::lock_with`], and then the closure has not run; or that the lock was lost while it ran
    /// ([`Error::ConnectionLost`], [`Error::NotHeld`]), and then its result is gone, as it can't be trusted. A program that
    /// wants it all the same uses a [`Guard`].
    pub fn with_lock<T>(&self, name: &str, options: LockOptions, closure: impl FnOnce() -> T) -> Result<T, Error> {
        let guard = self.acquire(&[name], Which::All, &options, true)?;
        let result = closure();
        guard.release()?;
        Ok(result)
    }

    /// Releases a lock that this thread has acquired, whatever guards there are: those are then lost. Says whether it was
    /// held.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn unlock(&self, name: &str) -> Result<bool, Error> {
        let name = self.with_namespace(name);
        let shared = self.shared();
        let epoch = shared.ensure_link()?;
        let mut was_held = false;
        loop {
            let mut turn = shared.turn(epoch)?;
            let Some(subject) = turn.state.holds.give_name(&name) else { return Ok(was_held) };
            let answer = shared.unlock(turn, &subject)?;
            was_held |= shared.wait(&answer)?.result == "released";
        }
    }

    /// Gives up everything: the locks of all threads and owners, and their waits, which end with [`Error::Cancelled`].
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn reset(&self) -> Result<(), Error> {
        let request = Request { command: "reset", ..Request::default() };
        self.expect("reset_succeeded", CallKind::Reset(None), &[], request)
    }

    /// Gives up everything of an [`owner`](LockOptions::owner) of the program: its locks, and its waits, which end with
    /// [`Error::Cancelled`].
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn reset_owner(&self, owner: impl Into<Owner>) -> Result<(), Error> {
        let owner = owner.into();
        lock_options::check_owner(&owner)?;
        let request = Request { command: "reset", owner: Some(&owner), ..Request::default() };
        self.expect("reset_succeeded", CallKind::Reset(Some(owner.clone())), &["owner"], request)
    }

    /// Tells the server that this client is alive, and waits for its answer. For programs that have chosen
    /// [`Options::keep_alive_by_program`]; for them it renews the leases of which a third has passed.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn keep_alive(&self) -> Result<(), Error> {
        let shared = self.shared();
        if shared.options.is_keep_alive_by_program {
            shared.renew_owed(shared.ensure_link()?)?;
        }
        self.expect("kept_alive", CallKind::Read, &[], Request { command: "keep_alive", ..Request::default() })
    }

    /// How long the server takes to answer.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        self.expect("pong", CallKind::Read, &[], Request { command: "ping", ..Request::default() })?;
        Ok(start.elapsed())
    }

    /// Ends a connection, by the name that listings give it. Its locks have passed on when this returns. Says whether
    /// there was one.
    ///
    /// # Errors
    /// [`Error::Server`] with `Reason::NotAllowed` from another machine, unless the server was told otherwise;
    /// [`Error::ConnectionLost`].
    pub fn kick(&self, connection: &str) -> Result<bool, Error> {
        let request = Request { command: "kick", connection: Some(connection), ..Request::default() };
        let answer = self.shared().ask(CallKind::Change, &[], request)?;
        match answer.result.as_str() {
            "kicked" => Ok(true),
            "kick_failed" => Ok(false),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }

    /// Ends all connections and sessions of a user of the server. Returns how many there were; none: the user has none, or
    /// there is no such user.
    ///
    /// # Errors
    /// [`Error::Server`] with `Reason::NotAllowed` unless this client is a user with `admin = true`;
    /// [`Error::ConnectionLost`].
    pub fn kick_user(&self, user: &str) -> Result<Option<u64>, Error> {
        let request = Request { command: "kick", user: Some(user), ..Request::default() };
        let answer = self.shared().ask(CallKind::Change, &[], request)?;
        match answer.result.as_str() {
            "kicked" => Ok(Some(answer.count)),
            "kick_failed" => Ok(None),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }

    /// Whether the server has a feature, by its name in [the protocol](crate::docs::protocol): `shared` locks take `mode`.
    pub fn has_feature(&self, feature: &str) -> bool {
        self.shared().state().has_feature(feature)
    }

    /// What the server calls this connection.
    pub fn connection_name(&self) -> String {
        self.shared().state().connection.clone()
    }

    /// How soon the server gives this client up, and its locks to others, if it hears nothing of it. None: never, or it
    /// does not say.
    pub fn silent_after(&self) -> Option<Duration> {
        self.shared().state().silent_after
    }

    /// Closes the connection, which gives up everything, and makes a new one.
    ///
    /// # Errors
    /// Those of [`Options::connect`]; the client is then without a connection.
    pub fn reconnect(&self) -> Result<(), Error> {
        self.shared().reconnect()
    }

    /// Closes the connection, which gives up everything. Calls fail until [`Client::reconnect`].
    pub fn disconnect(&self) {
        self.shared().close("the program closed it");
    }

    /// Whether there is no connection, as far as is known, and no [session](Options::session) that is being resumed.
    pub fn is_lost(&self) -> bool {
        let state = self.shared().state();
        state.check_link(state.epoch).is_err()
    }

    /// Whether there is a connection, as far as is known. There may be none for a while although nothing is lost, while a
    /// [session](Options::session) is being resumed.
    pub fn is_connected(&self) -> bool {
        matches!(self.shared().state().link, state::LinkState::Up)
    }

    /// Waits until the current connection is lost, and its session with it, for at most this long. Says whether it is.
    pub fn wait_until_lost(&self, timeout: Duration) -> bool {
        let shared = self.shared();
        let state = shared.state();
        let epoch = state.epoch;
        let waited = shared.changed().wait_timeout_while(state, timeout, |state| state.check_link(epoch).is_ok());
        let (state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        state.check_link(epoch).is_err()
    }

    fn expect(
        &self,
        result: &str,
        kind: CallKind,
        features: &[&'static str],
        request: Request<'_>,
    ) -> Result<(), Error> {
        let answer = self.shared().ask(kind, features, request)?;
        if answer.result == result { Ok(()) } else { Err(Error::unexpected(&format!("{answer:?}"))) }
    }

    fn with_namespace(&self, name: &str) -> String {
        self.shared().options.with_namespace(name)
    }

    fn without_namespace<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.shared().options.without_namespace(name)
    }
}
