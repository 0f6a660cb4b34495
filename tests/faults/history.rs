//! What a client did and saw, and when: one event per line, so that it survives the process that wrote it.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment in nanoseconds of the monotonic clock, which all processes of a machine share.
pub(crate) type Nanos = u64;

pub(crate) fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// One connection. No two of one history have the same number.
pub(crate) type Client = u64;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) at: Nanos,
    pub(crate) client: Client,
    pub(crate) what: EventKind,
}

/// An action is recorded before it is done, and a reply after it has arrived: so a hold certainly lasts from its
/// `Acquired` until its `Releasing` or `Leaving`, and a wait from its `Placed` until the event that ends it.
///
/// A client has at most one lock at a time, or waits for one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EventKind {
    /// It is about to request a lock, possibly with a timeout.
    Asking { lock: String, is_timed: bool },
    /// The server has executed that request: the client holds the lock by now, or has its place in the queue.
    Placed,
    /// The server has granted it.
    Acquired,
    /// The server has reported that the wait timed out.
    TimedOut,
    /// It is about to release the lock, or to leave the queue.
    Releasing,
    /// The server has confirmed that.
    Released,
    /// The client is about to end the connection.
    Leaving,
    /// The server has ended it.
    Lost,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at, client, what } = self;
        write!(f, "@{at} {client} ")?;
        match what {
            EventKind::Asking { lock, is_timed: false } => write!(f, "asking {lock}"),
            EventKind::Asking { lock, is_timed: true } => write!(f, "asking_for_a_time {lock}"),
            EventKind::Placed => f.write_str("placed"),
            EventKind::Acquired => f.write_str("acquired"),
            EventKind::TimedOut => f.write_str("timed_out"),
            EventKind::Releasing => f.write_str("releasing"),
            EventKind::Released => f.write_str("released"),
            EventKind::Leaving => f.write_str("leaving"),
            EventKind::Lost => f.write_str("lost"),
        }
    }
}

impl FromStr for Event {
    type Err = ();

    fn from_str(line: &str) -> Result<Event, ()> {
        let mut words = line.strip_prefix('@').ok_or(())?.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (at, client) = (number().ok_or(())?, number().ok_or(())?);
        let what = match words.next().ok_or(())? {
            word @ ("asking" | "asking_for_a_time") => {
                EventKind::Asking { lock: words.next().ok_or(())?.to_owned(), is_timed: word != "asking" }
            }
            "placed" => EventKind::Placed,
            "acquired" => EventKind::Acquired,
            "timed_out" => EventKind::TimedOut,
            "releasing" => EventKind::Releasing,
            "released" => EventKind::Released,
            "leaving" => EventKind::Leaving,
            "lost" => EventKind::Lost,
            _ => return Err(()),
        };
        words.next().is_none().then_some(Event { at, client, what }).ok_or(())
    }
}

/// Where the clients of one process record their events.
pub(crate) trait Recorder: Sync {
    /// Records an event that is about to be caused, or has been seen.
    fn note(&self, client: Client, what: EventKind);
}

/// The events of many clients, those of each in order.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Vec<Event>>);

impl History {
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Recorder for History {
    fn note(&self, client: Client, what: EventKind) {
        // The clock is read before the mutex is locked: at that time the action has not been done yet.
        let before = now();
        let mut events = self.0.lock().unwrap();
        let is_of_the_past = matches!(what, EventKind::Asking { .. } | EventKind::Releasing | EventKind::Leaving);
        let at = if is_of_the_past { before } else { now() };
        events.push(Event { at, client, what });
    }
}

/// For a process that may be killed at any moment: each event is written in one piece.
pub(crate) struct ToStdout;

impl Recorder for ToStdout {
    fn note(&self, client: Client, what: EventKind) {
        println!("{}", Event { at: now(), client, what });
    }
}

#[test]
fn an_event_survives_being_written_and_parsed() {
    let kinds = [
        EventKind::Asking { lock: "boss:17".to_owned(), is_timed: false },
        EventKind::Asking { lock: "boss:17".to_owned(), is_timed: true },
        EventKind::Placed,
        EventKind::Acquired,
        EventKind::TimedOut,
        EventKind::Releasing,
        EventKind::Released,
        EventKind::Leaving,
        EventKind::Lost,
    ];
    for what in kinds {
        let event = Event { at: 7, client: 9, what };
        assert_eq!(event.to_string().parse(), Ok(event));
    }
    for line in ["", "7 9 placed", "@7 9", "@7 9 asking", "@7 9 slept", "@7 9 placed twice", "running 1 test"] {
        assert_eq!(line.parse::<Event>(), Err(()), "{line:?}");
    }
}
