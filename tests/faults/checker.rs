//! Reads the histories of all clients and reports what must not happen.
//!
//! It relies only on the moments at which clients sent and received: what the server did happened in between, and only
//! what is certain counts. So it may miss something, but everything it finds is a fault of the server.

use std::collections::BTreeMap;
use std::fmt;

use super::history::{Client, Event, EventKind, Nanos};

/// What the histories show.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    pub(crate) figures: Figures,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) grants: u64,
    /// Requests that certainly had others ahead of them.
    pub(crate) orders: u64,
    pub(crate) timeouts: u64,
    /// Connections that ended while they held or waited.
    pub(crate) cut: u64,
    /// The longest wait.
    pub(crate) wait_max: Nanos,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Violation {
    /// The second was granted while the first certainly held the lock.
    Overlap { lock: String, first: Client, second: Client, at: Nanos },
    /// The second was granted while the first, which had certainly asked before, certainly waited.
    OutOfOrder { lock: String, first: Client, second: Client, at: Nanos },
    /// A wait took too long.
    Starved { lock: String, client: Client, since: Nanos },
    /// The client received something that does not fit the conversation.
    Confused { client: Client, at: Nanos, what: EventKind },
}

/// One request for a lock, and what became of it.
#[derive(Debug)]
struct Request {
    client: Client,
    is_timed: bool,
    asked: Nanos,
    placed: Option<Nanos>,
    acquired: Option<Nanos>,
    /// When it was first certain that it was no longer waiting: granted, timed out, abandoned or lost.
    decided: Option<Nanos>,
    /// Until when it certainly waited, if it was placed.
    waits_until: Nanos,
    /// Until when it certainly held the lock, if it was acquired.
    holds_until: Nanos,
}

/// Checks everything. A wait may take `wait_max`; one that has not ended at the end of the history counts as ending
/// with the last event.
pub(crate) fn check(mut events: Vec<Event>, wait_max: Nanos) -> Findings {
    // Stable: events of one client stay in their order.
    events.sort_by_key(|event| event.client);
    let end = events.iter().map(|event| event.at).max().unwrap_or(0);
    let mut findings = Findings::default();
    let mut by_lock: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for events in events.chunk_by(|one, other| one.client == other.client) {
        findings.figures.connections += 1;
        for (lock, request) in requests(events, end, &mut findings) {
            by_lock.entry(lock).or_default().push(request);
        }
    }
    for (lock, requests) in by_lock {
        check_overlap(&lock, &requests, &mut findings.violations);
        check_order(&lock, &requests, &mut findings);
        check_waits(&lock, &requests, end, wait_max, &mut findings);
    }
    findings
}

/// The requests of one client, with their locks.
fn requests(events: &[Event], end: Nanos, findings: &mut Findings) -> Vec<(String, Request)> {
    let mut requests: Vec<(String, Request)> = Vec::new();
    let mut has_open = false;
    for Event { at, client, what } in events {
        let at = *at;
        if let EventKind::Asking { lock, is_timed } = what {
            let client = *client;
            let request = Request {
                client,
                is_timed: *is_timed,
                asked: at,
                placed: None,
                acquired: None,
                decided: None,
                waits_until: end,
                holds_until: end,
            };
            if has_open {
                findings.violations.push(Violation::Confused { client, at, what: what.clone() });
            }
            requests.push((lock.clone(), request));
            has_open = true;
            continue;
        }
        let Some((_, request)) = requests.last_mut().filter(|_| has_open) else {
            // The marker after a request that was answered at once may be answered after it.
            if !matches!(what, EventKind::Placed | EventKind::Leaving | EventKind::Lost) {
                findings.violations.push(Violation::Confused { client: *client, at, what: what.clone() });
            }
            continue;
        };
        let is_waiting = request.decided.is_none();
        match what {
            EventKind::Placed => request.placed = Some(at),
            // Replies that arrive after it has given up were sent before.
            EventKind::Acquired => {
                request.acquired = Some(at);
                request.waits_until = request.waits_until.min(at);
            }
            EventKind::TimedOut if request.acquired.is_none() => {
                findings.figures.timeouts += 1;
                // Its time counts from the turn in which it was read, which began earlier, so the start is not known.
                request.waits_until = request.waits_until.min(request.placed.unwrap_or(request.asked));
                has_open = false;
            }
            EventKind::Releasing | EventKind::Leaving => {
                // The wait may have timed out before, without its reply arriving.
                let is_heard = !request.is_timed || request.acquired.is_some();
                let until = if is_heard { at } else { request.placed.unwrap_or(request.asked) };
                request.waits_until = request.waits_until.min(until);
                request.holds_until = request.holds_until.min(at);
            }
            EventKind::Released => has_open = false,
            // Only the server knows since when: what the client read last may have been old already.
            EventKind::Lost => {
                request.holds_until = 0;
                request.waits_until = request.waits_until.min(request.placed.unwrap_or(request.asked));
            }
            EventKind::TimedOut | EventKind::Asking { .. } => {
                findings.violations.push(Violation::Confused { client: *client, at, what: what.clone() });
            }
        }
        if !matches!(what, EventKind::Placed) {
            request.decided = request.decided.or(Some(at));
        }
        if matches!(what, EventKind::Lost | EventKind::Leaving) {
            findings.figures.cut += u64::from(is_waiting || request.acquired.is_some());
        }
    }
    requests
}

/// No two hold a lock at once.
fn check_overlap(lock: &str, requests: &[Request], violations: &mut Vec<Violation>) {
    let mut holds: Vec<(Nanos, &Request)> =
        requests.iter().filter_map(|request| Some((request.acquired?, request))).collect();
    // A grant that arrived after it was given up is not a certain hold.
    holds.retain(|(from, request)| *from <= request.holds_until);
    holds.sort_by_key(|(from, _)| *from);
    let mut last: Option<&Request> = None;
    for (from, request) in holds {
        if let Some(last) = last.filter(|last| last.holds_until > from) {
            let (first, second) = (last.client, request.client);
            violations.push(Violation::Overlap { lock: lock.to_owned(), first, second, at: from });
        }
        if last.is_none_or(|last| last.holds_until < request.holds_until) {
            last = Some(request);
        }
    }
}

/// Whoever was certainly in the queue before another asked is granted before that one, unless it left.
fn check_order(lock: &str, requests: &[Request], findings: &mut Findings) {
    let mut placed: Vec<(Nanos, &Request)> =
        requests.iter().filter_map(|request| Some((request.placed?, request))).collect();
    placed.sort_by_key(|(placed, _)| *placed);
    let mut granted: Vec<(Nanos, &Request)> =
        requests.iter().filter_map(|request| Some((request.acquired?, request))).collect();
    granted.sort_by_key(|(_, request)| request.asked);
    let mut placed = placed.into_iter().peekable();
    // Of those in the queue before the current one asked, the one that certainly waits longest.
    let mut longest: Option<&Request> = None;
    for (at, second) in granted {
        while let Some((_, first)) = placed.next_if(|(placed, _)| *placed < second.asked) {
            if longest.is_none_or(|longest| longest.waits_until < first.waits_until) {
                longest = Some(first);
            }
        }
        let Some(first) = longest else { continue };
        findings.figures.orders += u64::from(first.waits_until > second.asked);
        if first.waits_until > at {
            let (first, second) = (first.client, second.client);
            findings.violations.push(Violation::OutOfOrder { lock: lock.to_owned(), first, second, at });
        }
    }
}

/// Every wait ends.
fn check_waits(lock: &str, requests: &[Request], end: Nanos, wait_max: Nanos, findings: &mut Findings) {
    for request in requests {
        findings.figures.requests += 1;
        findings.figures.grants += u64::from(request.acquired.is_some());
        let waited = request.decided.unwrap_or(end) - request.asked;
        findings.figures.wait_max = findings.figures.wait_max.max(waited);
        if waited > wait_max {
            let (client, since) = (request.client, request.asked);
            findings.violations.push(Violation::Starved { lock: lock.to_owned(), client, since });
        }
    }
}

impl Figures {
    pub(crate) fn add(&mut self, other: Figures) {
        self.connections += other.connections;
        self.requests += other.requests;
        self.grants += other.grants;
        self.orders += other.orders;
        self.timeouts += other.timeouts;
        self.cut += other.cut;
        self.wait_max = self.wait_max.max(other.wait_max);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { connections, requests, grants, orders, timeouts, cut, wait_max } = self;
        write!(
            f,
            "{connections} connections, {requests} requests, {grants} grants ({orders} behind somebody known to wait), \
             {timeouts} timeouts, {cut} cut off while holding or waiting, longest wait {} ms",
            wait_max / 1_000_000
        )
    }
}

mod tests {
    use super::*;

    /// One event a line, with `@` left out.
    fn violations(history: &str) -> Vec<Violation> {
        let events = history.lines().map(|line| format!("@{}", line.trim()).parse().unwrap()).collect();
        check(events, 1_000).violations
    }

    #[test]
    fn a_correct_history_has_no_findings() {
        let history = "10 1 asking db
            11 1 placed
            12 1 acquired
            13 2 asking db
            14 2 placed
            15 3 asking db
            16 3 placed
            17 4 asking db
            18 4 placed
            24 2 timed_out
            30 1 releasing
            31 3 acquired
            33 1 released
            40 3 leaving
            41 4 acquired
            50 4 lost
            51 5 asking db
            52 5 acquired";
        assert_eq!(violations(history), []);
        let events = history.lines().map(|line| format!("@{}", line.trim()).parse().unwrap()).collect();
        let figures = check(events, 1_000).figures;
        let expected = Figures { connections: 5, requests: 5, grants: 4, orders: 1, timeouts: 1, cut: 2, wait_max: 24 };
        assert_eq!(figures, expected);
    }

    #[test]
    fn two_holds_at_once_are_found() {
        let overlap = |first, second, at| Violation::Overlap { lock: "db".to_owned(), first, second, at };
        let history = "10 1 asking db
            12 1 acquired
            20 2 asking db
            29 2 acquired
            30 1 releasing
            31 1 released";
        assert_eq!(violations(history), [overlap(1, 2, 29)]);
        // Not the previous one, but one that holds for longer.
        let history = "10 1 asking db
            12 1 acquired
            13 2 asking db
            14 2 acquired
            15 2 releasing
            20 3 asking db
            21 3 acquired
            30 1 leaving";
        assert_eq!(violations(history), [overlap(1, 2, 14), overlap(1, 3, 21)]);
        // One that is never released.
        let history = "10 1 asking db
            11 1 acquired
            12 2 asking db
            13 2 acquired
            14 2 releasing";
        assert_eq!(violations(history), [overlap(1, 2, 13)]);
    }

    #[test]
    fn holds_of_different_locks_or_lost_connections_do_not_overlap() {
        assert_eq!(violations("10 1 asking db\n11 1 acquired\n12 2 asking loot\n13 2 acquired"), []);
        assert_eq!(violations("10 1 asking db\n11 1 acquired\n12 2 asking db\n13 2 acquired\n14 1 lost"), []);
        // The grant and the unlock crossed.
        let crossed = "10 1 asking db
            11 1 releasing
            12 2 asking db
            13 2 acquired
            14 1 acquired
            15 1 released
            20 2 releasing";
        assert_eq!(violations(crossed), []);
    }

    #[test]
    fn an_overtaken_waiter_is_found() {
        let history = "10 1 asking db
            11 1 placed
            12 2 asking db
            13 2 acquired
            14 2 releasing
            15 1 acquired";
        assert_eq!(violations(history), [Violation::OutOfOrder { lock: "db".to_owned(), first: 1, second: 2, at: 13 }]);
        // One that may have timed out before it was killed was not certainly overtaken.
        assert_eq!(
            violations(&history.replace("15 1 acquired", "20 1 leaving").replacen("asking", "asking_for_a_time", 1)),
            []
        );
        assert_eq!(violations(&history.replacen("asking", "asking_for_a_time", 1)).len(), 1);
        // It is overtaken although it leaves later.
        let history = "10 1 asking db
            11 1 placed
            12 2 asking db
            13 2 acquired
            20 1 leaving";
        assert_eq!(violations(history), [Violation::OutOfOrder { lock: "db".to_owned(), first: 1, second: 2, at: 13 }]);
    }

    #[test]
    fn a_waiter_that_left_or_may_have_asked_later_is_not_overtaken() {
        // Left, timed out, lost, and asked when the other may have been in the queue already.
        assert_eq!(violations("10 1 asking db\n11 1 placed\n12 2 asking db\n13 1 leaving\n14 2 acquired"), []);
        assert_eq!(violations("10 1 asking db\n11 1 placed\n12 2 asking db\n14 2 acquired\n19 1 timed_out"), []);
        assert_eq!(violations("10 1 asking db\n11 1 placed\n12 2 asking db\n14 2 acquired\n19 1 lost"), []);
        assert_eq!(violations("10 1 asking db\n13 1 placed\n12 2 asking db\n14 2 acquired\n15 2 releasing"), []);
    }

    #[test]
    fn a_starving_waiter_is_found() {
        let starved = |client, since| Violation::Starved { lock: "db".to_owned(), client, since };
        assert_eq!(violations("10 1 asking db\n1011 1 acquired"), [starved(1, 10)]);
        assert_eq!(violations("10 1 asking db\n1010 1 acquired"), []);
        // It still waits at the end.
        assert_eq!(violations("10 1 asking db\n11 1 placed\n1011 2 lost"), [starved(1, 10)]);
    }

    #[test]
    fn unexpected_replies_are_found() {
        let confused = |at, what| Violation::Confused { client: 1, at, what };
        assert_eq!(violations("10 1 acquired"), [confused(10, EventKind::Acquired)]);
        assert_eq!(violations("10 1 asking db\n11 1 acquired\n12 1 timed_out"), [confused(12, EventKind::TimedOut)]);
    }
}
