//! The thread that talks to the server: it connects, acquires the locks, and holds them until it is told to release them.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Event, Granted, in_the_way};
use crate::client::{Client, Error, Guard, LockOptions, Options};
use crate::console::failure::{InTheWay, Locks};
use crate::console::shown::Shown;

/// What to ask for.
pub(super) struct Wanted {
    pub(super) locks: Locks,
    pub(super) options: LockOptions,
    /// With a lease: how long before its end the locks count as lost if it was not renewed.
    pub(super) lease_margin: Duration,
}

/// Starts it. What is sent on the channel that it returns has the locks released; the last event is [`Event::Over`].
pub(super) fn start(options: Options, wanted: Wanted, events: Sender<Event>) -> io::Result<Sender<()>> {
    let (release, released) = channel();
    thread::Builder::new().name("officer-holder".to_owned()).spawn(move || {
        let result = hold(options, &wanted, &events, &released);
        // Whoever does not listen any more is on the way out.
        let _ = events.send(Event::Over(result));
    })?;
    Ok(release)
}

fn hold(options: Options, wanted: &Wanted, events: &Sender<Event>, release: &Receiver<()>) -> Result<(), Error> {
    let lost = || {
        let events = events.clone();
        move |reason: String| drop(events.send(Event::Lost(reason)))
    };
    let (by_loss, by_expiry, by_revoke) = (lost(), lost(), lost());
    let (interrupted, resumed) = (events.clone(), events.clone());
    let options = options
        .on_interrupted(move |reason| drop(interrupted.send(Event::Interrupted(reason.to_owned()))))
        .on_resumed(move || drop(resumed.send(Event::Resumed)))
        .on_lost(move |error| by_loss(reason(error)))
        .on_expired(move |hold| by_expiry(format!("the lease of '{}' has run out", Shown(&hold.name))))
        .on_revoked(move |hold| by_revoke(format!("somebody revoked '{}'", Shown(&hold.name))));
    let client = options.connect()?;
    let _ = events.send(Event::Connected(client.clone()));
    let guard = acquire(&client, wanted, events)
        .inspect_err(|error| tell_what_is_in_the_way(&client, wanted, error, events))?;
    let names = guard.names().map(str::to_owned).collect();
    let _ = events.send(Event::Acquired(Granted { names, token: guard.token() }));
    if wanted.options.lease.is_some() {
        watch_lease(&guard, wanted.lease_margin, events, release);
    } else {
        let _ = release.recv();
    }
    guard.release()
}

fn acquire(client: &Client, wanted: &Wanted, events: &Sender<Event>) -> Result<Guard, Error> {
    let (names, mut options) = (&wanted.locks.names, wanted.options.clone());
    if client.has_feature("progress") {
        let events = events.clone();
        options = options.on_queued(move |ahead| drop(events.send(Event::Queued(ahead))));
    }
    let (timeout, asked_at) = (options.timeout, Instant::now());
    let acquired = if wanted.locks.is_any { client.lock_any(names, options) } else { client.lock_all(names, options) };
    match acquired {
        // It was over when the session was resumed.
        Err(Error::AnswerLost) if timeout.is_some_and(|timeout| asked_at.elapsed() >= timeout) => {
            Err(Error::TimedOut { queue: Vec::new() })
        }
        acquired => acquired,
    }
}

/// How a lock was lost, without the words that are said anyway.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::ConnectionLost { reason } => reason.clone(),
        error => error.to_string(),
    }
}

/// Returns when the locks are to be released. The client renews them; if that fails the command has to end while they are
/// still held, because nothing tells when the server hands them on.
fn watch_lease(guard: &Guard, margin: Duration, events: &Sender<Event>, release: &Receiver<()>) {
    loop {
        let left = match guard.held_until() {
            Some(until) => until.checked_sub(margin).unwrap_or(until).saturating_duration_since(Instant::now()),
            None if guard.is_lost() => Duration::ZERO,
            // A lease of centuries.
            None => Duration::MAX,
        };
        if left.is_zero() {
            let _ = events.send(Event::Lost("the lease could not be renewed in time".to_owned()));
            let _ = release.recv();
            return;
        }
        if release.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn tell_what_is_in_the_way(client: &Client, wanted: &Wanted, error: &Error, events: &Sender<Event>) {
    let (Error::TimedOut { queue } | Error::QueueMaxed { queue }) = error else { return };
    let names = &wanted.locks.names;
    let in_the_way = match queue.first() {
        Some(holder) => in_the_way::client_of(client, names, holder).map(InTheWay::Client),
        None => in_the_way::describe(client, names).map(InTheWay::Lock),
    };
    if let Some(in_the_way) = in_the_way {
        let _ = events.send(Event::InTheWay(in_the_way));
    }
}
