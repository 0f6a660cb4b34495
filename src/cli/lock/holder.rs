//! The thread that talks to the server: it connects, acquires the lock, and holds it until it is told to release it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::{Event, status};
use crate::client::{Error, LockOptions, Options};

/// Starts it. What is sent on the channel that it returns has the lock released; the last event is [`Event::Over`].
pub(super) fn start(
    options: Options,
    name: String,
    wanted: LockOptions,
    events: Sender<Event>,
) -> io::Result<Sender<()>> {
    let (release, released) = channel();
    thread::Builder::new().name("officer-holder".to_owned()).spawn(move || {
        let result = hold(options, &name, wanted, &events, &released);
        // Whoever does not listen any more is on the way out.
        let _ = events.send(Event::Over(result));
    })?;
    Ok(release)
}

fn hold(
    options: Options,
    name: &str,
    wanted: LockOptions,
    events: &Sender<Event>,
    release: &Receiver<()>,
) -> Result<(), Error> {
    let lost = events.clone();
    let options = options.on_lost(move |error| drop(lost.send(Event::Lost(error.clone()))));
    let client = options.connect()?;
    let _ = events.send(Event::Connected(client.clone()));
    let guard = client.lock_with(name, wanted).inspect_err(|error| {
        if let Error::TimedOut { queue } | Error::QueueMaxed { queue } = error
            && let Some(holder) = queue.first()
            && let Some(client) = status::client_of(&client, name, holder)
        {
            let _ = events.send(Event::HeldBy(client));
        }
    })?;
    let _ = events.send(Event::Acquired);
    let _ = release.recv();
    guard.release()
}
