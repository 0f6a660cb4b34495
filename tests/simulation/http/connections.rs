//! Connections by HTTP: what each is owed, how long it may take for what, and who makes way.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::draw::{Place, Request};
use super::guard::Verdict;
use super::locks::{Row, Waited};
use crate::small_world::Client;

/// Connections at a time, and those that are told that there are too many.
const CONNECTIONS_MAX: usize = 64;
const REFUSED_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshaking,
    Idle,
    Reading,
    Answering { closes: bool },
    Lingering,
    Gone,
}

impl Phase {
    /// How long it may last.
    fn span(self) -> Duration {
        Duration::from_secs(match self {
            Phase::Handshaking | Phase::Reading => 10,
            Phase::Idle => 65,
            Phase::Answering { .. } => 30,
            Phase::Lingering => 1,
            Phase::Gone => unreachable!("it has no time"),
        })
    }
}

/// An answer that is owed.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) has_body: bool,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Any,
    /// Samples, with their values.
    Metrics(BTreeMap<String, String>),
    /// Locks, with the names of connections.
    Locks(BTreeMap<String, (Vec<String>, Vec<String>)>),
    /// Names with their waiting, and how many have begun to.
    Hottest(Waited),
}

/// A request of which not all has come.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) request: Request,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) sent: usize,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) place: Place,
    pub(crate) phase: Phase,
    since: Duration,
    pub(crate) owed: Vec<Owed>,
    /// It takes next to nothing.
    pub(crate) is_stalled: bool,
    pub(crate) partial: Option<Partial>,
    is_refused: bool,
}

impl Connection {
    pub(crate) fn new(client: Client, place: Place, has_handshake: bool, now: Duration) -> Self {
        Connection {
            client,
            place,
            phase: if has_handshake { Phase::Handshaking } else { Phase::Idle },
            since: now,
            owed: Vec::new(),
            is_stalled: false,
            partial: None,
            is_refused: false,
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, now: Duration) {
        (self.phase, self.since) = (phase, now);
        if matches!(phase, Phase::Lingering | Phase::Gone) {
            self.partial = None;
        }
    }

    /// It is answered, and takes the answer unless it is stalled.
    pub(crate) fn answer(&mut self, owed: Owed, now: Duration) {
        self.partial = None;
        self.enter(Phase::Answering { closes: owed.closes }, now);
        self.owed.push(owed);
        if !self.is_stalled {
            self.take(now);
        }
    }

    /// It takes what it is owed.
    pub(crate) fn take(&mut self, now: Duration) {
        if let Phase::Answering { closes } = self.phase {
            self.enter(if closes { Phase::Lingering } else { Phase::Idle }, now);
        }
    }

    /// Whether something may be sent that is read at once.
    pub(crate) fn may_ask(&self) -> bool {
        self.phase == Phase::Idle
    }
}

/// What becomes of one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room, perhaps after one has made way.
    Taken,
    Refused,
    /// It is closed without a word.
    Dropped,
}

#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) all: Vec<Connection>,
    /// Answers by path and status.
    pub(crate) answers: BTreeMap<(&'static str, u16), usize>,
    pub(crate) handshakes: BTreeMap<&'static str, usize>,
}

impl Connections {
    pub(crate) fn count(&mut self, path: &'static str, status: u16) {
        *self.answers.entry((path, status)).or_default() += 1;
    }

    /// One more comes. Several are as old as one another if they were answered at once: any of them may make way, and `is_gone`
    /// tells which has.
    pub(crate) fn accept(&mut self, mut new: Connection, now: Duration, is_gone: impl Fn(Client) -> bool) -> Room {
        let here = || self.all.iter().enumerate().filter(|(_, other)| other.phase != Phase::Gone);
        let refused = here().filter(|(_, other)| other.is_refused).count();
        let mut room = Room::Taken;
        if here().count() - refused >= CONNECTIONS_MAX {
            let is_free = |other: &Connection| !other.is_refused && !matches!(other.phase, Phase::Answering { .. });
            let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
            here().for_each(|(_, other)| *counts.entry(other.place).or_default() += 1);
            let key = |other: &Connection| (counts[&other.place], Reverse(other.since));
            let free = || here().filter(|(_, other)| is_free(other));
            let best = free().map(|(_, other)| key(other)).max();
            let candidates: Vec<usize> =
                free().filter(|(_, other)| Some(key(other)) == best).map(|(index, _)| index).collect();
            let first = candidates.iter().find(|index| is_gone(self.all[**index].client)).or(candidates.first());
            match first {
                Some(index) => self.all[*index].enter(Phase::Gone, now),
                None if refused == REFUSED_MAX || new.phase == Phase::Handshaking => room = Room::Dropped,
                None => room = Room::Refused,
            }
        }
        match room {
            Room::Taken => {}
            Room::Dropped => new.phase = Phase::Gone,
            Room::Refused => {
                self.count("other", 503);
                new.is_refused = true;
                new.answer(Owed { status: 503, closes: true, has_body: true, body: Body::Any }, now);
            }
        }
        self.all.push(new);
        room
    }

    /// Time passes until `end`.
    pub(crate) fn pass(&mut self, end: Duration) {
        for index in 0..self.all.len() {
            loop {
                let connection = &mut self.all[index];
                if connection.phase == Phase::Gone || connection.since + connection.phase.span() > end {
                    break;
                }
                let now = connection.since + connection.phase.span();
                match connection.phase {
                    Phase::Reading => {
                        connection.answer(Owed { status: 408, closes: true, has_body: true, body: Body::Any }, now);
                        self.count("other", 408);
                    }
                    Phase::Handshaking => {
                        connection.enter(Phase::Gone, now);
                        *self.handshakes.entry("timed_out").or_default() += 1;
                    }
                    _ => connection.enter(Phase::Gone, now),
                }
            }
        }
    }

    /// What the metrics say of them.
    pub(crate) fn samples(&self) -> BTreeMap<String, String> {
        let mut samples = BTreeMap::new();
        let of_page = ["/", "/page.css", "/page.js"];
        let paths = ["/health", "/metrics", "/api/locks", "/api/connections", "/api/stats", "/api/kick", "/api/revoke"];
        for path in of_page.into_iter().chain(paths).chain(["other"]) {
            for code in [200, 400, 401, 403, 404, 405, 408, 413, 415, 417, 431, 500, 503] {
                let count = self.answers.get(&(path, code)).copied().unwrap_or(0);
                let key = format!("officer_http_requests_total{{path=\"{path}\",code=\"{code}\"}}");
                samples.insert(key, count.to_string());
            }
        }
        for result in ["completed", "failed", "timed_out", "not_tls", "abandoned"] {
            let count = self.handshakes.get(result).copied().unwrap_or(0);
            samples.insert(format!("officer_tls_handshakes_total{{result=\"{result}\"}}"), count.to_string());
        }
        samples
    }
}

/// What is owed for a request that has come to this, but for its body.
pub(crate) fn owed(request: &Request, verdict: Verdict, status: u16) -> Owed {
    let closes = match verdict {
        Verdict::Broken(_) => true,
        Verdict::Refused(_) => request.is_last() || !request.body().is_empty(),
        Verdict::Executed(_) => request.is_last(),
    };
    let has_body = request.method != "HEAD" || matches!(verdict, Verdict::Broken(_));
    Owed { status, closes, has_body, body: Body::Any }
}

/// Rows with the names of connections.
pub(crate) fn named(rows: BTreeMap<String, Row>, name: impl Fn(usize) -> String) -> Body {
    let names = |clients: Vec<usize>| clients.into_iter().map(&name).collect();
    Body::Locks(rows.into_iter().map(|(lock, (holders, waiters))| (lock, (names(holders), names(waiters)))).collect())
}
