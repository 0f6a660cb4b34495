//! What a client did and saw, and when: one event a line, so that it survives the process that wrote it.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment in nanoseconds of the monotonic clock, which is one for all processes of a machine.
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
    pub(crate) what: What,
}

/// What is about to be done is noted before it is, and what has come is noted after it has: so a hold certainly lasts
/// from its `Acquired` until its `Releasing` or `Leaving`, and a wait from its `Placed` until what ends it.
///
/// A client has at most one lock at a time, or waits for one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// It is about to ask for a lock, and perhaps not for ever.
    Asking { lock: String, is_timed: bool },
    /// The server has carried out that request: it holds the lock by now, or has its place in the queue.
    Placed,
    /// The server has granted it.
    Acquired,
    /// The server has said that the wait is over.
    TimedOut,
    /// It is about to give up the lock, or its place in the queue.
    Releasing,
    /// The server has said that it has done so.
    Released,
    /// The connection is about to be ended, from this side.
    Leaving,
    /// The server has ended it.
    Lost,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at, client, what } = self;
        write!(f, "@{at} {client} ")?;
        match what {
            What::Asking { lock, is_timed: false } => write!(f, "asking {lock}"),
            What::Asking { lock, is_timed: true } => write!(f, "asking_for_a_time {lock}"),
            What::Placed => f.write_str("placed"),
            What::Acquired => f.write_str("acquired"),
            What::TimedOut => f.write_str("timed_out"),
            What::Releasing => f.write_str("releasing"),
            What::Released => f.write_str("released"),
            What::Leaving => f.write_str("leaving"),
            What::Lost => f.write_str("lost"),
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
                What::Asking { lock: words.next().ok_or(())?.to_owned(), is_timed: word != "asking" }
            }
            "placed" => What::Placed,
            "acquired" => What::Acquired,
            "timed_out" => What::TimedOut,
            "releasing" => What::Releasing,
            "released" => What::Released,
            "leaving" => What::Leaving,
            "lost" => What::Lost,
            _ => return Err(()),
        };
        words.next().is_none().then_some(Event { at, client, what }).ok_or(())
    }
}

/// Where the clients of one process write.
pub(crate) trait Recorder: Sync {
    /// Notes an event that is about to be caused, or has been seen.
    fn note(&self, client: Client, what: What);
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
    fn note(&self, client: Client, what: What) {
        // The clock is read before the lock is had: whoever is about to do something has not done it then.
        let before = now();
        let mut events = self.0.lock().unwrap();
        let is_of_the_past = matches!(what, What::Asking { .. } | What::Releasing | What::Leaving);
        let at = if is_of_the_past { before } else { now() };
        events.push(Event { at, client, what });
    }
}

/// Of a process that may be killed at any moment: each event goes out in one piece.
pub(crate) struct ToStdout;

impl Recorder for ToStdout {
    fn note(&self, client: Client, what: What) {
        println!("{}", Event { at: now(), client, what });
    }
}

#[test]
fn an_event_survives_the_way_through_a_line() {
    let kinds = [
        What::Asking { lock: "boss:17".to_owned(), is_timed: false },
        What::Asking { lock: "boss:17".to_owned(), is_timed: true },
        What::Placed,
        What::Acquired,
        What::TimedOut,
        What::Releasing,
        What::Released,
        What::Leaving,
        What::Lost,
    ];
    for what in kinds {
        let event = Event { at: 7, client: 9, what };
        assert_eq!(event.to_string().parse(), Ok(event));
    }
    for line in ["", "7 9 placed", "@7 9", "@7 9 asking", "@7 9 slept", "@7 9 placed twice", "running 1 test"] {
        assert_eq!(line.parse::<Event>(), Err(()), "{line:?}");
    }
}
