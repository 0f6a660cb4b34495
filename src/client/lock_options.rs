//! How to ask for a lock.

use std::time::Duration;

use super::callback::Callback;
use super::{Error, Owner, Reason, Wanted};

/// Owners with these numbers and above are the client's own, for its threads.
pub(super) const THREAD_OWNERS: u64 = 1 << 52;

/// How to request a lock. The default is an exclusive lock, and waits forever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOptions {
    /// The longest wait. None: forever; zero: not at all.
    pub timeout: Option<Duration>,
    /// Do not wait if at least this many, including the holders, hold the lock or wait for it.
    pub queue_max: Option<u64>,
    /// Whom the holder shares the lock with.
    pub mode: Mode,
    /// Who holds the lock. None: the calling thread.
    pub owner: Option<Owner>,
    /// Ahead of every waiting request with a lower one, 0 to 7.
    pub priority: u8,
    /// How long the lock is held unless that is renewed. None: until it is released.
    pub lease: Option<Duration>,
    /// The client does not renew the lease by itself.
    pub is_renewed_by_program: bool,
    /// Whether the guard has a token.
    pub has_fence: bool,
    /// Whether to fail, and not wait, if the wait would close a circle of waits.
    pub refuses_deadlock: bool,
    /// Nobody gets the lock again until this long after the grant.
    pub min_hold: Option<Duration>,
    /// If the lock is lost, nobody gets it for this long.
    pub lost_delay: Option<Duration>,
    /// What the lock is for.
    pub label: Option<String>,
    /// Whether the guard is told when somebody else wants the lock.
    pub has_hint: bool,
    pub(crate) on_wanted: Option<Callback<Wanted>>,
    pub(crate) on_queued: Option<Callback<u64>>,
}

/// Whom a holder shares its lock with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Nobody.
    #[default]
    Exclusive,
    /// All others that are shared.
    Shared,
    /// The lock is a semaphore with this many units, of which each holder has one.
    Semaphore(u32),
}

impl LockOptions {
    /// The longest wait.
    pub fn timeout(timeout: Duration) -> Self {
        LockOptions { timeout: Some(timeout), ..LockOptions::default() }
    }

    /// Does not wait.
    pub fn no_wait() -> Self {
        LockOptions::timeout(Duration::ZERO)
    }

    /// Does not wait if this many, the holders counted, are on the lock already.
    #[must_use]
    pub fn queue_max(mut self, queue_max: u64) -> Self {
        self.queue_max = Some(queue_max);
        self
    }

    /// Shared holders hold the lock together; an exclusive one holds it alone. For readers and writers.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let reader = LockOptions::no_wait().shared();
    /// let readers = [client.lock_with("map", reader.clone())?, client.lock_with("map", reader)?];
    /// // A writer waits until both have ended.
    /// assert!(matches!(client.lock_with("map", LockOptions::no_wait()), Err(Error::TimedOut { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.mode = Mode::Shared;
        self
    }

    /// The lock is a semaphore of `units`, and this asks for one of them. All who use it at a time must say the same
    /// number; a request without it is for all of them at once.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let unit = LockOptions::no_wait().semaphore(2);
    /// let guards = [client.lock_with("licence", unit.clone())?, client.lock_with("licence", unit.clone())?];
    /// assert!(matches!(client.lock_with("licence", unit), Err(Error::TimedOut { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn semaphore(mut self, units: u32) -> Self {
        self.mode = Mode::Semaphore(units);
        self
    }

    /// Ahead of every waiting request with a lower priority, after those with the same: 0, which is the default, to 7. It
    /// never takes a lock from a holder. Requests that keep coming with a high one can keep others waiting forever.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// // Before everybody who waits with less.
    /// let guard = client.lock_with("printer", LockOptions::default().priority(5))?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// The server takes the lock back this long after it was granted or last renewed, even if this client is alive. The
    /// client renews it by itself each time a third of it has passed, until the guard ends; see
    /// [`LockOptions::renewed_by_program`], and [`Options::keep_alive_by_program`](super::Options::keep_alive_by_program).
    /// [`Guard::held_until`](super::Guard::held_until) and [`Guard::is_lost`](super::Guard::is_lost) know when it runs out.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock_with("upload", LockOptions::default().lease(Duration::from_secs(30)))?;
    /// // The client renews it in about ten seconds. If it can't, this says in time that it is no longer certain.
    /// assert!(!guard.is_lost() && guard.held_until().is_some());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The client does not renew the lease by itself. The program does as it makes progress, with
    /// [`Guard::renew`](super::Guard::renew), or lets it run out.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let options = LockOptions::default().lease(Duration::from_secs(30)).renewed_by_program();
    /// let guard = client.lock_with("upload", options)?;
    /// for part in ["first", "second", "third"] {
    ///     // Whoever is stuck with a part loses the lock.
    ///     println!("the {part} part");
    ///     guard.renew()?;
    /// }
    /// guard.release()?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn renewed_by_program(mut self) -> Self {
        self.is_renewed_by_program = true;
        self
    }

    /// The guard has a [`token`](super::Guard::token), a number that is higher with every grant. A resource that refuses
    /// every token lower than the highest that it has seen is safe from a holder that does not know that it has lost its
    /// lock.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let fence = LockOptions::default().fence();
    /// let guard = client.lock_with("file", fence.clone())?;
    /// // The resource gets the token with each write.
    /// let token = guard.token().expect("asked for");
    /// guard.release()?;
    /// assert!(client.lock_with("file", fence)?.token() > Some(token));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn fence(mut self) -> Self {
        self.has_fence = true;
        self
    }

    /// Fails with [`Error::Deadlock`], and does not wait, if those who would be waited for wait for this owner in turn. An
    /// owner is a thread, with all the locks that it has asked for, unless the program brings its own.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let player = |name: &str| LockOptions::default().owner(name).refuse_deadlock();
    /// let sword = client.lock_with("sword", player("ann"))?;
    /// let shield = client.lock_with("shield", player("bob"))?;
    /// std::thread::scope(|scope| {
    ///     // Ann waits for Bob.
    ///     scope.spawn(|| client.lock_with("shield", player("ann")).map(drop));
    /// #     while client.lock_status("shield")?.is_none_or(|lock| lock.waiting == 0) {}
    ///     // So Bob can't wait for Ann. He gives way.
    ///     match client.lock_with("sword", player("bob")) {
    ///         Err(Error::Deadlock { cycle }) => assert_eq!(cycle.len(), 2),
    ///         other => panic!("{other:?}"),
    ///     }
    ///     shield.release()
    /// })?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn refuse_deadlock(mut self) -> Self {
        self.refuses_deadlock = true;
        self
    }

    /// Nobody gets the lock until this long after the grant, even if it is released sooner: at most once a minute, or once
    /// a night, on any number of machines. At most a day.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let nightly = LockOptions::no_wait().min_hold(Duration::from_secs(12 * 3_600));
    /// client.lock_with("nightly report", nightly.clone())?.release()?;
    /// // Whoever else wants to write it tonight, on whatever machine, is turned away.
    /// assert!(matches!(client.lock_with("nightly report", nightly), Err(Error::TimedOut { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn min_hold(mut self, time: Duration) -> Self {
        self.min_hold = Some(time);
        self
    }

    /// If the lock is lost, with the connection or by its lease, nobody gets it for this long: time for this program to
    /// notice. At most a day.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// // If the network fails, the next holder begins ten seconds after the server has given this one up.
    /// let guard = client.lock_with("boss:17", LockOptions::default().lost_delay(Duration::from_secs(10)))?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn lost_delay(mut self, time: Duration) -> Self {
        self.lost_delay = Some(time);
        self
    }

    /// What the lock is for, as listings show it; at most 128 bytes.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock_with("db", LockOptions::default().label("migration 42"))?;
    /// let lock = client.lock_status("db")?.expect("it is held");
    /// assert_eq!(lock.holders[0].label.as_deref(), Some("migration 42"));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The guard is told when somebody else wants the lock: [`Guard::is_wanted`](super::Guard::is_wanted). So who is likely to
    /// need a lock again can keep it until then; [`LockCache`](super::LockCache) does. Only for exclusive locks.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock_with("player:7", LockOptions::default().hint())?;
    /// assert!(!guard.is_wanted());
    /// let other = Client::connect(address.clone())?;
    /// assert!(matches!(other.lock_with("player:7", LockOptions::no_wait()), Err(Error::TimedOut { .. })));
    /// // It was told at once.
    /// # client.ping()?;
    /// assert!(guard.is_wanted());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn hint(mut self) -> Self {
        self.has_hint = true;
        self
    }

    /// Called when somebody else wants the lock: once for each grant or renewal; at once if somebody waits already. The
    /// thread is the client's own. It may drop guards, and must not call the client otherwise. Includes
    /// [`LockOptions::hint`].
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// # use std::sync::mpsc::channel;
    /// let (sender, wanted) = channel();
    /// let options = LockOptions::default().on_wanted(move |wanted| sender.send(wanted.clone()).unwrap());
    /// let guard = client.lock_with("player:7", options)?;
    /// let other = Client::connect(address.clone())?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| other.lock("player:7").map(drop));
    ///     let wanted = wanted.recv().unwrap();
    ///     assert_eq!((wanted.name.as_str(), wanted.waiters), ("player:7", 1));
    ///     guard.release()
    /// })?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn on_wanted(mut self, callback: impl Fn(&Wanted) + Send + Sync + 'static) -> Self {
        self.on_wanted = Some(Callback::new(callback));
        self.hint()
    }

    /// Called if the request has to wait, with the number of requests that are ahead of it in the queue (of several locks
    /// in the longest). Holders don't count. The thread is the client's own. It must not call the client.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// # use std::sync::mpsc::channel;
    /// let guard = client.lock("printer")?;
    /// let (sender, queued) = channel();
    /// let options = LockOptions::default().on_queued(move |ahead| sender.send(ahead).unwrap());
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| client.lock_with("printer", options).map(drop));
    ///     // Next in line.
    ///     assert_eq!(queued.recv().unwrap(), 0);
    ///     guard.release()
    /// })?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn on_queued(mut self, callback: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_queued = Some(Callback::new(move |ahead: &u64| callback(*ahead)));
        self
    }

    /// Who holds the lock: a player of a game server, a task of an async program. Owners of one client exclude each other
    /// as clients do, and one that asks again for what it holds gets one more guard. A number below 2^52, or a text of at
    /// most 64 bytes; `7` and `"7"` are different.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let player = |name: &str| LockOptions::no_wait().owner(name);
    /// let guard = client.lock_with("sword", player("ann"))?;
    /// assert!(matches!(client.lock_with("sword", player("bob")), Err(Error::TimedOut { .. })));
    /// // Bob has left the game. Ann has not.
    /// client.reset_owner("bob")?;
    /// assert!(!guard.is_lost());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn owner(mut self, owner: impl Into<Owner>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// What the server must be able to do for this.
    pub(super) fn features(&self) -> impl Iterator<Item = &'static str> {
        let features = [
            ("owner", self.owner.is_some()),
            ("mode", self.mode == Mode::Shared),
            ("slots", matches!(self.mode, Mode::Semaphore(_))),
            ("priority", self.priority > 0),
            ("lease", self.lease.is_some()),
            ("renew", self.lease.is_some() && !self.is_renewed_by_program),
            ("fence", self.has_fence),
            ("deadlock", self.refuses_deadlock),
            ("min_hold", self.min_hold.is_some()),
            ("lost_delay", self.lost_delay.is_some()),
            ("label", self.label.is_some()),
            ("hint", self.has_hint),
            ("progress", self.on_queued.is_some()),
        ];
        features.into_iter().filter_map(|(feature, is_needed)| is_needed.then_some(feature))
    }
}

/// Refuses owners that could be mistaken for a thread.
pub(super) fn check_owner(owner: &Owner) -> Result<(), Error> {
    match owner {
        Owner::Number(THREAD_OWNERS..) => {
            let message = format!("a number for an owner must be below {THREAD_OWNERS}");
            Err(Error::Server { reason: Reason::InvalidRequest, message })
        }
        _ => Ok(()),
    }
}
