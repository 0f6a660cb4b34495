//! What happens in a run, step by step, and what clients send.

use crate::model::Request;
use crate::sizes::{Id, Span};

/// One of the places that a client may sit in. Who leaves makes way for another connection.
pub(crate) type Seat = usize;

/// What happens. Whatever concerns an empty seat does not.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Connect {
        seat: Seat,
        from: From,
        read_max: Option<usize>,
        refuses_half_close: bool,
    },
    /// A client sends a line, of which `arrives` bytes arrive now (with those that had not arrived before it).
    Say {
        seat: Seat,
        line: Box<Line>,
        arrives: usize,
    },
    /// More of what a client has sent arrives.
    Arrive {
        seat: Seat,
        bytes: usize,
    },
    /// The client ends its input. What had not arrived is lost.
    End {
        seat: Seat,
    },
    /// The connection breaks, and the poll says so or not.
    Reset {
        seat: Seat,
        is_announced: bool,
    },
    /// The client takes this many bytes from now on. None: all.
    Room {
        seat: Seat,
        bytes: Option<usize>,
    },
    Interrupt {
        seat: Seat,
        times: usize,
    },
    /// From now on writes succeed with no bytes.
    TakeNothing {
        seat: Seat,
    },
    /// The socket fails outside of reading and writing: the seat's, or that of the connection before it, which is gone.
    Fail {
        seat: Seat,
        is_of_former: bool,
    },
    /// A spurious event, for the seat's connection or the one before it, which is gone.
    Event {
        seat: Seat,
        is_of_former: bool,
        bits: u8,
    },
    /// Time passes, and what is due on the way happens at its moment.
    Pass(u64),
    /// Time passes, and the server sleeps through it.
    Oversleep(u64),
    /// The time of the next thing that is due comes, and the server has not had its turn.
    Due,
    /// All but the last nanosecond of the time until the next thing is due passes.
    NearlyDue,
    /// A poll that began `ago` nanoseconds ago returns. At most `most` events (none: all) are delivered, in the order that
    /// `order` stands for, and the server has not had its turn. A poll without room for events was interrupted.
    Poll {
        order: u64,
        ago: u64,
        most: Option<usize>,
    },
    Turn,
    /// Polls and turns until there is nothing to do.
    Settle(u64),
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Unix,
    Loopback,
    Elsewhere,
}

/// What a client sends.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Request {
        request: Request,
        /// What in it is only known when it is sent.
        picks: Picks,
        padding: usize,
        ending: &'static str,
    },
    Hello {
        label: Option<String>,
        max_idle: Option<Span>,
        strict: Option<bool>,
        notices: Option<bool>,
        /// Its grace.
        session: Option<Span>,
        resume: Option<Secret>,
        id: Option<Id>,
    },
    Kick {
        whom: Whom,
        id: Option<Id>,
    },
    /// None: no prefix.
    Watch {
        prefix: Option<String>,
        id: Option<Id>,
    },
    Unwatch {
        id: Option<Id>,
    },
    Stats {
        id: Option<Id>,
    },
    /// A page of connections: the first, or the one that follows the last that anybody was sent.
    Page {
        has_idle: bool,
        limit: Option<usize>,
        has_detail: bool,
        goes_on: bool,
        id: Option<Id>,
    },
    /// A request with one more field, which its command does not have.
    Stray {
        line: Box<Line>,
        field: &'static str,
    },
    /// After some blank lines, the first line of another protocol, which is known by its first bytes or else by the whole line.
    Foreign {
        blanks: usize,
        text: &'static str,
        known_after: Option<usize>,
    },
    /// Not a request. The answer has this `reply` for a form.
    Bad {
        text: String,
        reply: String,
    },
    Blank,
    /// This many bytes, which is over the limit.
    Long(usize),
}

/// What stands in place of a request's token and connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picks {
    pub(crate) token: Option<Token>,
    /// Whose holds a revocation ends, or to whom a lock is transferred.
    pub(crate) connection: Option<Whom>,
}

/// A connection or a session, for those who name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom {
    Seat(Seat),
    /// The session that was made this many before the newest, whether it has a connection or not.
    Session(u64),
}

/// The secret with which a session is resumed.
#[derive(Clone, Debug)]
pub(crate) enum Secret {
    /// Of those that clients were sent, the one this many before the newest.
    Known(usize),
    Wrong(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// That of the newest hold on the first of the request's locks, if there is one.
    OfHold,
    /// One so far before that.
    Before(u64),
    Exactly(u64),
}

impl Step {
    /// Whose step it is.
    pub(crate) fn seat(&self) -> Option<Seat> {
        match self {
            Step::Connect { seat, .. }
            | Step::Say { seat, .. }
            | Step::Arrive { seat, .. }
            | Step::End { seat }
            | Step::Reset { seat, .. }
            | Step::Room { seat, .. }
            | Step::Interrupt { seat, .. }
            | Step::TakeNothing { seat }
            | Step::Fail { seat, .. }
            | Step::Event { seat, .. } => Some(*seat),
            Step::Pass(_)
            | Step::Oversleep(_)
            | Step::Due
            | Step::NearlyDue
            | Step::Poll { .. }
            | Step::Turn
            | Step::Settle(_) => None,
        }
    }
}
