//! Locks that are kept after use, until somebody else wants them.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::{Client, Guard, LockOptions};

/// Locks that this program keeps after use, and gives up when somebody else wants them and nobody here uses them. A program
/// that uses the same locks again and again, such as a game server with the players in its zone, mostly gets them without
/// asking the server.
///
#[cfg_attr(feature = "server", doc = "```")]
#[cfg_attr(not(feature = "server"), doc = "```ignore")]
#[doc = include_str!("example.txt")]
/// let players = LockCache::new(&client);
/// for _ in 0..1_000 {
///     let player = players.lock("player:7")?; // From the second time on without a request.
///     // It is ours here.
/// }
/// // It still is, until another zone wants it. That one gets it at once.
/// let zone = Client::connect(address)?;
/// zone.lock("player:7")?.release()?;
/// # Ok::<(), Error>(())
/// ```
///
/// Within the program, one thread at a time uses a lock. If it is wanted elsewhere meanwhile, it is given up as soon as that
/// use ends, and threads that wait for it here then queue for it at the server like everybody else. Clones share the
/// locks, which are given up when the last clone and the last guard are gone.
///
/// A lock that is lost while nobody uses it, because its lease ran out, somebody revoked it or the connection was lost, is
/// asked for again the next time. With a [session](super::Options::session) the locks survive short breaks of the network.
#[derive(Clone, Debug)]
pub struct LockCache {
    client: Client,
    options: LockOptions,
    locks: Arc<Locks>,
}

#[derive(Debug, Default)]
struct Locks {
    /// Those that are kept, in use, or being asked for. What is none of that is not here.
    by_name: Mutex<HashMap<String, Kept>>,
    /// Somebody has stopped using a lock.
    given_back: Condvar,
}

#[derive(Debug)]
enum Kept {
    /// Somebody uses it, or asks for it.
    InUse,
    Idle(Guard),
}

impl LockCache {
    /// For exclusive locks that are waited for as long as it takes.
    pub fn new(client: &Client) -> Self {
        LockCache::with_options(client, LockOptions::default())
    }

    /// For locks with these options, whose [`hint`](LockOptions::hint) is always on. They have to be exclusive.
    pub fn with_options(client: &Client, options: LockOptions) -> Self {
        LockCache { client: client.clone(), options: options.hint(), locks: Arc::default() }
    }

    /// The lock, without asking the server if it is here.
    ///
    /// # Errors
    /// Those of [`Client::lock_with`]. [`Error::TimedOut`] has an empty queue if the lock was in use here all the while.
    pub fn lock(&self, name: &str) -> Result<CachedGuard, Error> {
        self.lock_for(name, self.options.timeout)
    }

    /// The lock, or [`Error::TimedOut`] after this time, whatever the options say. Zero: it does not wait.
    ///
    /// # Errors
    /// Those of [`LockCache::lock`].
    pub fn lock_within(&self, name: &str, timeout: Duration) -> Result<CachedGuard, Error> {
        self.lock_for(name, Some(timeout))
    }

    /// Gives up all locks that nobody uses at the moment.
    pub fn clear(&self) {
        let idle: Vec<Kept> =
            self.locks.by_name().extract_if(|_, kept| matches!(kept, Kept::Idle(_))).map(|(_, kept)| kept).collect();
        drop(idle);
    }

    fn lock_for(&self, name: &str, timeout: Option<Duration>) -> Result<CachedGuard, Error> {
        // A time too long to be represented is no limit.
        let give_up = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let guard = self.locks.begin(name, give_up)?;
        let mut use_of = InUse { locks: Arc::clone(&self.locks), name: name.to_owned(), guard };
        // What was lost meanwhile is asked for again.
        if use_of.guard.as_ref().is_none_or(Guard::is_lost) {
            let timeout = give_up.map(|give_up| give_up.saturating_duration_since(Instant::now()));
            use_of.guard = None;
            use_of.guard = Some(self.client.lock_with(name, self.options_for(timeout))?);
        }
        Ok(CachedGuard(use_of))
    }

    fn options_for(&self, timeout: Option<Duration>) -> LockOptions {
        // Not the locks themselves: they have guards, which have the client, which has this.
        let locks = Arc::downgrade(&self.locks);
        let of_program = self.options.on_wanted.clone();
        let options = LockOptions { timeout, ..self.options.clone() };
        options.on_wanted(move |wanted| {
            if let Some(locks) = locks.upgrade() {
                locks.wanted(&wanted.name);
            }
            if let Some(callback) = &of_program {
                callback.call(wanted);
            }
        })
    }
}

impl Locks {
    /// The state is consistent between any two statements that could panic, so poisoning does not matter.
    fn by_name(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody is going to use a lock, once nobody else does. Returns the guard if it is here.
    fn begin(&self, name: &str, give_up: Option<Instant>) -> Result<Option<Guard>, Error> {
        let mut locks = self.by_name();
        while matches!(locks.get(name), Some(Kept::InUse)) {
            let left = give_up.map(|give_up| give_up.saturating_duration_since(Instant::now()));
            locks = match left {
                None => self.given_back.wait(locks).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Err(Error::TimedOut { queue: Vec::new() }),
                Some(left) => self.given_back.wait_timeout(locks, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        match locks.insert(name.to_owned(), Kept::InUse) {
            Some(Kept::Idle(guard)) => Ok(Some(guard)),
            Some(Kept::InUse) | None => Ok(None),
        }
    }

    /// Somebody else wants a lock. Whoever uses it finds that in the guard when that ends.
    fn wanted(&self, name: &str) {
        let mut locks = self.by_name();
        if matches!(locks.get(name), Some(Kept::Idle(_))) {
            let given_up = locks.remove(name);
            drop(locks);
            drop(given_up);
        }
    }

    /// The use of a lock ends; with a guard, unless there is none or it was taken away.
    fn end(&self, name: &str, guard: Option<Guard>) {
        let mut locks = self.by_name();
        // Looked at under the mutex: if the lock is wanted after this, `wanted` finds it here.
        let given_up = match guard {
            Some(guard) if !guard.is_wanted() && !guard.is_lost() => {
                locks.insert(name.to_owned(), Kept::Idle(guard));
                None
            }
            guard => {
                locks.remove(name);
                guard
            }
        };
        drop(locks);
        // Before those who wait here ask the server.
        drop(given_up);
        self.given_back.notify_all();
    }
}

/// The use of a lock of a cache.
#[derive(Debug)]
struct InUse {
    locks: Arc<Locks>,
    name: String,
    guard: Option<Guard>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.locks.end(&self.name, self.guard.take());
    }
}

/// A lock of a [`LockCache`] in use. When this is dropped, the lock stays in the cache, or is given up if somebody else wants
/// it.
///
/// It dereferences to a [`Guard`]. [`CachedGuard::take`] turns it into one that is independent of the cache.
#[derive(Debug)]
#[must_use = "the lock is given back to the cache when the guard is dropped"]
pub struct CachedGuard(InUse);

impl CachedGuard {
    /// Takes the lock out of the cache.
    pub fn take(mut self) -> Guard {
        self.0.guard.take().expect("a lock in use has a guard")
    }
}

impl Deref for CachedGuard {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        self.0.guard.as_ref().expect("a lock in use has a guard")
    }
}
