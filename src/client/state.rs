//! What a client knows: calls without an answer, names with their threads, and whether the connection is there.
//!
//! All of it changes under one mutex. What the server says is applied in the order in which it came, by the thread that
//! reads, before the caller that it is for wakes up: so a release or a `reset` by another thread can't be overtaken.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::error::Error;
use super::link::Link;
use crate::wire::answer::Answer;

/// Everything that the mutex protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) link: LinkState,
    /// Rises with every connection: what a thread of an old one says is not for the new one.
    pub(super) epoch: u64,
    /// What the server calls this connection.
    pub(super) connection: String,
    /// How the last connection that was lost was lost.
    last_loss: Option<Error>,
    /// The longest line that the server takes.
    pub(super) line_bytes_max: usize,
    /// How soon it gives us up if it hears nothing.
    pub(super) silent_after: Option<Duration>,
    calls: HashMap<u64, Call>,
    /// The last that was given out.
    last_id: u64,
    /// Names that a thread of this client holds or asks the server for.
    owned: HashMap<String, Owned>,
    /// Threads that wait for another thread of this client, by ticket.
    waiting: HashMap<String, VecDeque<u64>>,
    next_ticket: u64,
    /// Tickets up to this one were given up by a `reset`.
    cancelled_ticket: u64,
    next_hold: u64,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(super) enum LinkState {
    /// There is.
    Up,
    /// There was one. A client that held and waited for nothing may make a new one by itself.
    Lost { error: Error, was_busy: bool },
}

/// A request without its answer.
#[derive(Debug)]
struct Call {
    kind: CallKind,
    answer: SyncSender<Answer>,
}

/// What the answer to a request changes.
#[derive(Debug)]
pub(super) enum CallKind {
    Lock { name: String },
    Unlock { name: String },
    Reset,
    Other,
}

/// A name's thread.
#[derive(Debug)]
struct Owned {
    thread: ThreadId,
    /// None while the server has not granted it, and once it is being released.
    hold: Option<u64>,
    /// How many guards there are.
    depth: u32,
}

/// What a thread that wants a name may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It holds the lock already, by this hold: one more guard.
    Nested(u64),
    /// Nobody else in this client wants it: ask the server.
    Ask,
    /// Others in this client come first: this many hold or wait for the name.
    Wait { ahead: usize },
    /// A `reset` has ended its wait.
    Cancelled,
}

/// Whether a guard was the last of its hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Others remain.
    Inner,
    /// The lock is to be released.
    Last,
    /// The hold is gone.
    Gone,
}

impl State {
    /// Before the first connection.
    pub(super) fn new() -> Self {
        let error = Error::ConnectionLost { reason: "there was none yet".to_owned() };
        State {
            link: LinkState::Lost { error, was_busy: false },
            epoch: 0,
            connection: String::new(),
            last_loss: None,
            line_bytes_max: usize::MAX,
            silent_after: None,
            calls: HashMap::new(),
            // That of keep-alives, whose answers nobody waits for.
            last_id: 0,
            owned: HashMap::new(),
            waiting: HashMap::new(),
            next_ticket: 0,
            cancelled_ticket: 0,
            next_hold: 0,
        }
    }

    /// Fails unless the connection of this epoch is still there: a call that began on one does not go on with another.
    pub(super) fn check_link(&self, epoch: u64) -> Result<(), Error> {
        match &self.link {
            LinkState::Up if self.epoch == epoch => Ok(()),
            LinkState::Up => Err(self.loss()),
            LinkState::Lost { error, .. } => Err(error.clone()),
        }
    }

    /// How the last connection was lost.
    pub(super) fn loss(&self) -> Error {
        let unknown = || Error::ConnectionLost { reason: "it was closed".to_owned() };
        self.last_loss.clone().unwrap_or_else(unknown)
    }

    /// Whether the program holds or waits for something.
    fn is_busy(&self) -> bool {
        !(self.owned.is_empty() && self.waiting.is_empty() && self.calls.is_empty())
    }

    /// Whether a request has no answer yet.
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// The connection is gone: every call fails, every hold is gone. Waking the waiting threads is the caller's part.
    pub(super) fn lose(&mut self, error: Error) {
        let was_busy = self.is_busy();
        self.last_loss = Some(error.clone());
        self.link = LinkState::Lost { error, was_busy };
        self.calls.clear();
        self.owned.clear();
    }

    /// There is a new connection. Returns its epoch.
    pub(super) fn renew(&mut self, link: &Link) -> u64 {
        self.link = LinkState::Up;
        self.connection.clone_from(&link.connection);
        self.line_bytes_max = link.line_bytes_max;
        self.silent_after = link.silent_after;
        self.epoch += 1;
        self.epoch
    }

    /// Takes a place among the threads of this client that want a name. The first part of a `lock`.
    pub(super) fn line_up(&mut self, name: &str) -> u64 {
        self.next_ticket += 1;
        self.waiting.entry(name.to_owned()).or_default().push_back(self.next_ticket);
        self.next_ticket
    }

    /// What the thread with this ticket may do now.
    pub(super) fn turn(&self, name: &str, ticket: u64) -> Turn {
        let queue = self.waiting.get(name).expect("the ticket is in its queue");
        let position = queue.iter().position(|waiting| *waiting == ticket).expect("the ticket is in its queue");
        if ticket <= self.cancelled_ticket {
            return Turn::Cancelled;
        }
        match self.owned.get(name) {
            // Its own hold: it would wait for itself forever.
            Some(Owned { thread, hold: Some(hold), .. }) if *thread == thread::current().id() => Turn::Nested(*hold),
            None if position == 0 => Turn::Ask,
            owned => Turn::Wait { ahead: position + usize::from(owned.is_some()) },
        }
    }

    /// Leaves the line, with or without having got what was wanted.
    pub(super) fn step_out(&mut self, name: &str, ticket: u64) {
        if let Some(queue) = self.waiting.get_mut(name) {
            queue.retain(|waiting| *waiting != ticket);
            if queue.is_empty() {
                self.waiting.remove(name);
            }
        }
    }

    /// The thread is about to ask the server.
    fn own(&mut self, name: &str) {
        let owned = Owned { thread: thread::current().id(), hold: None, depth: 0 };
        let before = self.owned.insert(name.to_owned(), owned);
        assert!(before.is_none(), "two threads of one client own {name:?}");
    }

    /// One more guard for a hold.
    pub(super) fn nest(&mut self, name: &str) {
        self.owned.get_mut(name).expect("a nested hold is there").depth += 1;
    }

    /// The hold that this thread has on a name.
    pub(super) fn hold_of_this_thread(&self, name: &str) -> Option<u64> {
        let owned = self.owned.get(name)?;
        (owned.thread == thread::current().id()).then_some(owned.hold).flatten()
    }

    pub(super) fn is_held(&self, name: &str, hold: u64) -> bool {
        self.owned.get(name).is_some_and(|owned| owned.hold == Some(hold))
    }

    /// A guard ends.
    pub(super) fn give(&mut self, name: &str, hold: u64) -> Given {
        match self.owned.get_mut(name) {
            Some(owned) if owned.hold == Some(hold) => {
                owned.depth -= 1;
                if owned.depth == 0 { Given::Last } else { Given::Inner }
            }
            _ => Given::Gone,
        }
    }

    /// The request to release a name is written. Whoever asks for it now comes after that, so the next thread may.
    pub(super) fn let_go(&mut self, name: &str) {
        self.owned.remove(name);
    }

    /// An id for a request.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Notes a request that is about to be sent.
    pub(super) fn call(&mut self, id: u64, kind: CallKind, answer: SyncSender<Answer>) {
        match &kind {
            CallKind::Lock { name } => self.own(name),
            CallKind::Unlock { name } => {
                // No guard is given out any more, but no other thread asks either until this is on its way: see `let_go`.
                if let Some(owned) = self.owned.get_mut(name) {
                    owned.hold = None;
                }
            }
            // Already now: the next in line must not ask as soon as the `reset` has freed the name.
            CallKind::Reset => self.cancelled_ticket = self.next_ticket,
            CallKind::Other => {}
        }
        self.calls.insert(id, Call { kind, answer });
    }

    /// Applies an answer and passes it on. Nothing happens for an id that nobody waits for.
    pub(super) fn answer(&mut self, answer: Answer) {
        let Some(call) = answer.id.and_then(|id| self.calls.remove(&id)) else { return };
        match (&call.kind, answer.result.as_str()) {
            (CallKind::Lock { name }, "acquired" | "already_acquired") => {
                self.next_hold += 1;
                let owned = self.owned.get_mut(name).expect("who asks owns the name");
                (owned.hold, owned.depth) = (Some(self.next_hold), 1);
            }
            (CallKind::Lock { name }, _) => drop(self.owned.remove(name)),
            // What is still being asked for was cancelled, and is answered so by itself.
            (CallKind::Reset, "reset_succeeded") => self.owned.retain(|_, owned| owned.hold.is_none()),
            (CallKind::Unlock { .. } | CallKind::Reset | CallKind::Other, _) => {}
        }
        // The caller may be gone.
        let _ = call.answer.send(answer);
    }
}
