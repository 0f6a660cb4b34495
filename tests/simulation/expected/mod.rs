//! What the clients must see: a naive model of the connections around the model of the locks.
//!
//! It is written from the protocol, and fed by what happens outside of the server: what clients send, what is read from
//! and written to sockets, how these end, and the virtual time. What it shares with the server, and all of it:
//!
//! - The numbers of the limits, which [`Limits::of_server`] hands over, and the time.
//! - From the server's transcript, in which order it took lines from *different* connections and ended connections. That
//!   it took the lines that were sent, each once, in order, and not before it read them, is checked; that a connection
//!   had to end, and nothing but that, too. Why it ends is worked out here: what the server says of it is not read.
//! - From the transcript as well, in which turn something happened that time brings, where polls that were cut short leave
//!   two turns to choose from; see [`Expected::horizons`].
//! - How many tokens the server has left, which must be right after every turn, and when it wants its next turn: for the
//!   same choice.
//! - From the transcript, of several circles in which a request would wait the one that its refusal tells of. That a
//!   request had to be refused, and that each in the circle waits for the next, is checked.
//! - The wording of errors, as how long a reply is decides when limits on output are met. That an error was due, its
//!   reason and its other fields are checked.
//! - Which connections are on a page that does not list all. Each row is checked, and that nobody is on two pages
//!   of a listing, or on none.
//! - The secrets of sessions, which are random. The client keeps what it was sent; that it has 32 hex digits, is the same
//!   each time, is nobody else's and is masked in the transcript is checked.
//! - Of what watchers are told: between which other replies, and in which order several watchers are. That nothing is left
//!   out but for want of room, and how much was, is checked.
//! - The figures of `stats` that nobody can see: times, and why connections ended. The others are checked.
//! - Where several connections have sent most, which of them the server closed. Where several owe most, in which slots of
//!   the server they are: it closes the one in the last.
//!
//! What follows from that is the protocol: the grants that earlier turns left over, the requests of a turn, what is due, in
//! the order of the moments, then the ends of connections in the order in which they were decided, then what is written.
//! Where that leaves the server free, and what is taken from it for that reason:
//!
//! 1. The order in which connections with input are served within a turn: any.
//! 2. A connection is closed for its silence at its moment, or in one of the turns that then follow at once. Had it
//!    input that was not executed (as its output was full, or another had the long request of that turn), its silence
//!    may be counted from then on, here and where a page shows it.
//! 3. A connection is closed for taking nothing at its moment, or in one of the turns that then follow at once.
//! 4. Where a connection took nothing for the limit and the poll then says that it takes something again, the same write
//!    may be the last try before the timeouts or an ordinary one after them: one of both has to fit.
//! 5. Whether a connection beyond the limit is told so or closed without a word, unless it is the only one.
//! 6. Whether a blank line that was read is still kept, where the next line has to wait, counts either way.
//! 7. Since when a session without a connection has been silent: since that connection last sent something, or was lost.
//!
//! Nothing else is free: replies are compared byte by byte, or else as JSON, where lists without an order are.

mod connection;
mod decisions;
mod figures;
mod greeting;
mod order;
mod pages;
mod sockets;
mod turn;
mod watchers;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use self::connection::{Connection, Leave, Phase, Sent};
use self::figures::Figures;
pub(crate) use self::greeting::Hello;
pub(crate) use self::pages::{Listing, Page};
use self::watchers::Events;
use crate::coverage::Coverage;
use crate::limits::Limits;
use crate::memory::{Call, Wire};
use crate::model::{self, Model, Request, error};
use crate::sizes::Id;
use crate::watch::escaped;

/// What the server did, in order: to its sockets, and by its transcript.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Call(Number, Call),
    /// It says that it takes this line.
    Received(Number, String),
    /// It says that it refuses something, in these words.
    Refused(Number, String),
    /// It says that it sends this listing of connections.
    Listed(Number, String),
    /// It says that it refuses to wait in a circle.
    Deadlocked(Number, String),
    /// It says that it sends its figures.
    Counted(Number, String),
    /// It says that it tells a watcher of something that happened, or that it missed something.
    Happened(Number, String),
    /// It says what time may have brought: the word of [`TIMELY`] of this index.
    Timely(Number, usize),
    /// It says that a connection ends, and why, for people.
    Ended(Number, String),
}

/// What replies contain that are brought about by time, or may be: from its word the turn is known in which it was time.
pub(crate) const TIMELY: [&str; 3] = ["\"timed_out\"", "\"notice\":\"expired\"", "\"result\":\"acquired\""];

/// What is known of the server when its turn is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct After {
    /// The next grant has this token.
    pub(crate) next_token: u64,
    /// When it wants its next turn.
    pub(crate) next_turn: Option<u64>,
    /// What there is now: holds, waits, closed locks and sessions, as `stats` would answer.
    pub(crate) gauges: [u64; 4],
}

/// Names a connection. None is used twice.
pub(crate) type Number = usize;

/// What a line asks, for whoever knows whom it names.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Locks(Request),
    Hello(Hello),
    /// With the prefix of the names.
    Watch {
        prefix: String,
        id: Option<Id>,
    },
    Unwatch {
        id: Option<Id>,
    },
    Stats {
        id: Option<Id>,
    },
    Kick {
        connection: String,
        id: Option<Id>,
    },
    Page(Page),
    /// It has a field that its command does not have. A strict connection is answered with the refusal.
    IfNotStrict {
        asked: Box<Asked>,
        refusal: String,
    },
    /// As a connection's first line that is not blank, it is refused when this many bytes of it are read. Anywhere else it
    /// is invalid JSON.
    Foreign {
        known_after: usize,
    },
    Bad {
        reply: String,
    },
    Nothing,
}

/// What the server says of a reply, as far as that is taken from it.
#[derive(Clone, Debug)]
enum Told {
    Wording(String),
    Listing(String),
    Deadlock(String),
    Stats(String),
}

/// The model of everything that clients can see.
#[derive(Clone)]
pub(crate) struct Expected {
    limits: Limits,
    locks: Model,
    connections: Vec<Connection>,
    /// Those of them whose sockets the server has not closed.
    there: Vec<Number>,
    /// Whose sessions are to be ended, in that order.
    doomed: VecDeque<Number>,
    /// Ends that the server has to tell of in this turn.
    ends: Vec<Number>,
    /// In which words it refuses something in this turn, and which connections it lists.
    told: Vec<(Number, Told)>,
    /// How often it says each of [`TIMELY`] in this turn, less those of which that is right.
    timely_told: [usize; TIMELY.len()],
    unsent: usize,
    /// Events that it tells watchers of in this turn, less those for which that is right.
    told_events: Vec<(Number, String)>,
    /// Bytes of events that watchers were told in this turn.
    event_bytes: usize,
    figures: Figures,
    /// The secrets of sessions, by their numbers, as far as a client has received them.
    secrets: BTreeMap<u64, String>,
    /// Of sessions that lost their connections, when these last sent something, and when they were lost.
    lost: BTreeMap<u64, (u64, u64)>,
    /// The last listing of connections, if there may be more pages of it.
    listing: Option<Listing>,
    now: u64,
    /// What is due by then is executed; see [`Expected::polled`].
    horizon: u64,
    /// When polls began, since that of the horizon.
    polls: Vec<u64>,
    /// The last poll has reported everything.
    is_all_known: bool,
    /// What the server wants its next turn for counts as well.
    is_picky: bool,
    pub(crate) coverage: Coverage,
    /// What should happen, in the transcript's form, if somebody wants it.
    pub(crate) transcript: Option<Vec<String>>,
}

/// What the clients saw is not what they should see.
#[track_caller]
fn broken(what: impl Into<String>) -> ! {
    std::panic::panic_any(Broken(what.into()))
}

/// The message of a contradiction between the server and what is expected of it.
pub(crate) struct Broken(pub(crate) String);

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::expected::broken(format!($($message)+));
        }
    };
}
use ensure;

impl Expected {
    pub(crate) fn new(limits: Limits) -> Self {
        let of_locks = model::Limits {
            connection_locks_max: limits.connection_locks_max,
            lock_waits_max: limits.lock_waits_max,
            reply_bytes_max: limits.reply_bytes_max,
            closing_locks_max: limits.closing_locks_max,
            sessions_max: limits.sessions_max,
            turn_grants_max: limits.turn_grants_max,
            first_token: limits.first_token,
        };
        let mut locks = Model::new(of_locks);
        locks.tell_watchers();
        Expected {
            limits,
            locks,
            connections: Vec::new(),
            there: Vec::new(),
            doomed: VecDeque::new(),
            ends: Vec::new(),
            told: Vec::new(),
            timely_told: [0; TIMELY.len()],
            unsent: 0,
            told_events: Vec::new(),
            event_bytes: 0,
            figures: Figures::default(),
            secrets: BTreeMap::new(),
            lost: BTreeMap::new(),
            listing: None,
            now: 0,
            horizon: 0,
            polls: Vec::new(),
            is_all_known: false,
            is_picky: false,
            coverage: Coverage::default(),
            transcript: None,
        }
    }

    /// A connection comes, and is accepted into a slot of the server or closed without a word.
    pub(crate) fn accept(
        &mut self,
        name: String,
        is_near: bool,
        slot: Option<u32>,
        wire: Rc<RefCell<Wire>>,
        now: u64,
    ) -> Number {
        self.now = now;
        let turned_away = self.there.iter().filter(|there| self.connections[**there].is_turned_away).count();
        let has_room = self.there.len() - turned_away < self.limits.connections_max;
        let is_accepted = slot.is_some();
        ensure!(is_accepted || !(has_room || turned_away == 0), "{name} is accepted, or told that there is no room");
        let number = self.connections.len();
        self.there.push(number);
        self.connections.push(Connection {
            name: name.clone(),
            slot,
            is_near,
            is_strict: false,
            wire,
            phase: if is_accepted { Phase::Open } else { Phase::Closing },
            has_session: has_room,
            is_turned_away: !has_room,
            lines: VecDeque::new(),
            has_begun: false,
            sent: 0,
            read: 0,
            replies: VecDeque::new(),
            events: Events::default(),
            watch: None,
            unsent: 0,
            partial: Vec::new(),
            looked: 0,
            is_blocked: false,
            max_idle: self.limits.max_idle.unwrap_or(u64::MAX),
            since: now,
            last_input: now,
            last_waiting: now,
            last_progress: now,
        });
        self.tell(number, '+', "");
        if has_room {
            self.locks.connect(number, name);
        } else if is_accepted {
            self.coverage.count("limit connections_max");
            self.push(number, error("too_many_connections", None));
            self.doom(number, Leave::Read);
        }
        number
    }

    /// A client sends a line, `\n` included. It may arrive later.
    pub(crate) fn send(&mut self, number: Number, text: &str, asked: Asked) {
        let connection = &mut self.connections[number];
        let start = connection.sent;
        let asked = match asked {
            Asked::Foreign { .. } if connection.has_begun => {
                self.coverage.count("another protocol as a later line");
                Asked::Bad { reply: error("invalid_json", None) }
            }
            asked => asked,
        };
        connection.sent += text.len() as u64;
        let end = connection.sent;
        let text = text.strip_suffix('\n').expect("a line has an end").to_owned();
        let line = Sent { text, start, end, asked };
        connection.has_begun |= !line.is_blank();
        connection.lines.push_back(line);
    }

    /// The poll says that a socket takes something again.
    pub(crate) fn on_room(&mut self, number: Number) {
        self.connections[number].is_blocked = false;
    }

    /// A socket fails outside of reading and writing.
    pub(crate) fn on_failure(&mut self, number: Number) {
        self.coverage.count("end the socket failed");
        self.doom(number, Leave::Now);
    }

    pub(crate) fn is_there(&self, number: Number) -> bool {
        self.connections[number].phase != Phase::Gone
    }

    /// The token of the newest hold on a lock, or the last one.
    pub(crate) fn token_of(&self, name: &str) -> u64 {
        self.locks.token_of(name)
    }

    /// The numbers and secrets of sessions, as far as a client has received them, the newest first.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (u64, &str)> {
        self.secrets.iter().rev().map(|(number, secret)| (*number, secret.as_str()))
    }

    /// The name of the session that was made this many before the newest.
    pub(crate) fn session(&self, before: u64) -> String {
        format!("session:{}", self.locks.last_session().saturating_sub(before))
    }

    pub(crate) fn name(&self, number: Number) -> &str {
        &self.connections[number].name
    }

    /// Notes what is taken from the server's word, before its events are gone through.
    pub(crate) fn hear(&mut self, events: &[Event]) {
        self.timely_told = [0; TIMELY.len()];
        for event in events {
            match event {
                Event::Refused(number, text) => self.told.push((*number, Told::Wording(wording(text).to_owned()))),
                Event::Listed(number, text) => self.told.push((*number, Told::Listing(text.clone()))),
                Event::Deadlocked(number, text) => self.told.push((*number, Told::Deadlock(text.clone()))),
                Event::Counted(number, text) => self.told.push((*number, Told::Stats(text.clone()))),
                Event::Timely(_, word) => self.timely_told[*word] += 1,
                Event::Call(..) | Event::Received(..) | Event::Ended(..) => {}
                Event::Happened(number, line) => self.told_events.push((*number, line.clone())),
            }
        }
    }

    /// The server did something although it had no turn.
    pub(crate) fn between_turns(&mut self, events: &[Event]) {
        self.on_events(events);
    }

    /// When something must happen next if nothing else does.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let of_connections = self.there.iter().map(|number| {
            let connection = &self.connections[*number];
            let stall = connection.last_progress.saturating_add(self.limits.outbox_stall);
            let silence = connection.last_input.max(connection.last_waiting).saturating_add(connection.max_idle);
            let stalled = if connection.unsent > 0 { stall } else { u64::MAX };
            match connection.phase {
                Phase::Open => silence.min(stalled),
                Phase::Draining(_) => stalled,
                Phase::Lingering { until } => until,
                Phase::Doomed(_) | Phase::Closing | Phase::Gone => u64::MAX,
            }
        });
        of_connections.chain(self.locks.next_due()).min().filter(|due| *due < u64::MAX)
    }

    /// Whether there is no connection, and so no lock.
    pub(crate) fn is_empty(&self) -> bool {
        self.locks.is_empty() && self.there.is_empty()
    }

    fn on_events(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Call(number, call) => self.on_call(*number, *call),
                Event::Received(number, line) => self.on_line(*number, line),
                Event::Refused(number, _) => self.on_refusal(*number),
                Event::Timely(..) | Event::Listed(..) | Event::Deadlocked(..) | Event::Counted(..) => {}
                Event::Happened(..) => {}
                Event::Ended(number, why) => self.on_end(*number, why),
            }
        }
    }

    fn of(&self, name: &str) -> Option<&VecDeque<String>> {
        self.connections.iter().find(|connection| connection.name == name).map(|connection| &connection.replies)
    }

    fn tell(&mut self, number: Number, sign: char, text: &str) {
        if let Some(transcript) = &mut self.transcript {
            let (whole, part) = (self.now / 1_000_000_000, self.now % 1_000_000_000);
            let line = format!("@{whole}.{part:09} {} {sign} {}", self.connections[number].name, escaped(text));
            transcript.push(line.trim_end().to_owned());
        }
    }
}

fn returned(id: Option<&Id>) -> Option<&str> {
    id.map(|id| id.returned.as_str())
}

/// The message of an error, as it is written.
fn wording(error: &str) -> &str {
    const KEY: &str = "\"message\":\"";
    let start = error.find(KEY).expect("an error has a message") + KEY.len();
    let mut is_escaped = false;
    let end = error[start..].bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    &error[start..start + end.expect("a message has an end")]
}
