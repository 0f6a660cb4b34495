//! What is decided: by requests, by timeouts, and by the ends of sessions.

use serde_json::Value;

use super::connection::{Leave, Phase};
use super::{Asked, Expected, Number, TIMELY, Told, broken, ensure, returned};
use crate::coverage::{Event as Happening, command, reply as kind};
use crate::model::{Ask, Request, Said, WATCHERS, WORDING, error, error_on, is_same, with_id, with_owner};

fn is_deadlock(reply: &str) -> bool {
    reply.contains("\"result\":\"deadlock\"")
}

/// Whether a text is this one, but for what may be the secret of a session: hex digits wherever they stand, and anything in
/// some lines.
fn is_masked(text: &str, whole: &str, may_be_anything: bool) -> bool {
    let is_same = |(told, is): (u8, u8)| told == is || told == b'*' && (may_be_anything || is.is_ascii_hexdigit());
    text.len() == whole.len() && text.bytes().zip(whole.bytes()).all(is_same)
}

impl Expected {
    /// The server says that it takes a line.
    pub(super) fn on_line(&mut self, number: Number, text: &str) {
        let connection = &mut self.connections[number];
        connection.skip_blank();
        let name = &connection.name;
        ensure!(connection.phase == Phase::Open, "{name} ended, and a line of it is executed: {text}");
        let is_paused = connection.unsent >= self.limits.outbox_pause_bytes;
        ensure!(!is_paused, "{name} is served although its output is full: {text}");
        let Some(line) = connection.lines.pop_front() else { broken(format!("{name} did not send {text}")) };
        // What the fields of a line are that was no request is not looked at, and escapes may hide a secret in it.
        let is_refused = matches!(line.asked, Asked::Bad { .. } | Asked::Foreign { .. } | Asked::IfNotStrict { .. });
        let may_be_secret = line.asked.is_resumption() || is_refused && line.text.contains("\\u");
        let is_told = line.text == text || is_masked(text, &line.text, may_be_secret);
        ensure!(is_told, "{name} sent {}, not {text}", line.text);
        let has_secret = line.asked.is_resumption() && self.secrets.values().any(|secret| text.contains(secret));
        ensure!(!has_secret, "the secret of a session is told: {text}");
        ensure!(line.end <= connection.read, "the end of this line was not read from {name}: {text}");
        ensure!(text.len() <= self.limits.line_bytes_max, "{name} sent a line over the limit");
        self.tell(number, '<', text);
        self.mark_watchers();
        if self.connections[number].has_session {
            // A `hello` that resumes a session is not counted: its connection has none yet.
            self.locks.count_line(number);
        }
        self.execute(number, line.asked);
        if self.is_too_long(number) {
            self.answer_too_long(number);
        }
    }

    fn execute(&mut self, number: Number, asked: Asked) {
        self.count_request(number, &asked);
        match asked {
            Asked::Locks(request) => {
                self.coverage.count(command(&request.ask));
                if matches!(request.ask, Ask::Revoke { .. }) && !self.may_kick(number) {
                    let target = request.target().expect("a revocation has a name");
                    let refusal = with_owner(error_on("not_allowed", &target), request.known_owner());
                    return self.push_all(vec![(number, with_id(refusal, returned(request.id.as_ref())))]);
                }
                let waits = self.locks.held_and_waiting().1;
                let mut said = self.locks.request(number, &request, self.now);
                self.check_cycle(number, &request, &mut said);
                self.count_met();
                let is_wait = said.iter().all(|(to, _)| *to == WATCHERS) && matches!(request.ask, Ask::Lock(_));
                if is_wait && self.locks.held_and_waiting().1 == waits {
                    self.coverage.count("a second request joined a wait");
                }
                self.push_all(said);
            }
            Asked::Hello(hello) => self.hello(number, hello),
            Asked::Watch { prefix, id } => self.watch(number, Some(prefix), returned(id.as_ref())),
            Asked::Unwatch { id } => self.watch(number, None, returned(id.as_ref())),
            Asked::Stats { id } => self.stats(number, returned(id.as_ref())),
            Asked::Kick { connection, id } => self.kick(number, &connection, returned(id.as_ref())),
            Asked::Page(page) => self.list_connections(number, &page),
            Asked::IfNotStrict { refusal, .. } if self.connections[number].is_strict => {
                self.coverage.count("an unknown field on a strict connection");
                self.push(number, refusal);
            }
            Asked::IfNotStrict { asked, .. } => {
                self.coverage.count("an unknown field that is ignored");
                self.execute(number, *asked);
            }
            Asked::Bad { reply } => {
                self.coverage.count("command none of these");
                self.push(number, reply);
            }
            Asked::Foreign { .. } => {
                broken(format!("{} speaks another protocol, and that is executed", self.name(number)))
            }
            Asked::Nothing => broken(format!("{} sent nothing but white space", self.name(number))),
        }
    }

    /// Counts what is rare.
    pub(super) fn count_met(&mut self) {
        self.locks.take_met().into_iter().for_each(|what| self.coverage.count(what));
    }

    /// Whether a connection may end others, and revoke what they hold.
    pub(super) fn may_kick(&self, number: Number) -> bool {
        self.connections[number].is_near || self.limits.kick_from_anywhere
    }

    /// If a request is refused for a deadlock, any true circle will do.
    fn check_cycle(&mut self, number: Number, request: &Request, said: &mut Said) {
        let is_open = self.connections[number].phase == Phase::Open;
        let Some((_, reply)) = said.iter_mut().find(|(_, reply)| is_open && is_deadlock(reply)) else { return };
        let Some(Told::Deadlock(told)) = self.next_told(number).cloned() else {
            broken(format!("{} is not told of a deadlock: {reply}", self.name(number)))
        };
        ensure!(is_same(reply, &told), "this deadlock is told in the wrong way: {told}\nshould be: {reply}");
        let value: Value = serde_json::from_str(&told).expect("it was read before");
        let checked = self.locks.check_cycle(number, request, &value["cycle"]);
        ensure!(checked.is_ok(), "there is no such circle: {told}: {checked:?}\nshould be: {reply}");
        *reply = told;
    }

    pub(super) fn answer_too_long(&mut self, number: Number) {
        self.coverage.count("limit line_bytes_max");
        if self.connections[number].has_session {
            self.locks.count_line(number);
        }
        self.push(number, error("line_too_long", None));
        self.doom(number, Leave::Read);
    }

    pub(super) fn answer_foreign(&mut self, number: Number) {
        self.push(number, error("wrong_protocol", None));
        self.doom(number, Leave::Read);
    }

    /// Waits whose time is up, as many as a turn may end.
    pub(super) fn time_out(&mut self) {
        let bytes_max = self.limits.turn_expiry_bytes;
        let (mut bytes, mut count, mut sessions) = (0, 0, 0);
        loop {
            let is_void = self.locks.is_void_next(self.horizon);
            if !is_void && self.locks.next_due().is_none_or(|at| at > self.horizon) {
                return;
            }
            if count == self.limits.turn_expiries_max {
                return self.coverage.count("cut turn_expiries_max");
            }
            if bytes >= bytes_max {
                return self.coverage.count("cut turn_expiry_bytes");
            }
            count += 1;
            if is_void {
                self.coverage.count("a timeout that comes to nothing");
                self.locks.pass_void(self.horizon);
                continue;
            }
            let is_grace = self.locks.is_grace_next();
            self.coverage.event(if is_grace { Happening::Grace } else { Happening::Timeout });
            self.mark_watchers();
            let said = self.locks.expire_next(self.now).expect("one is due");
            for (to, reply) in said {
                bytes += self.push(to, reply);
            }
            sessions += usize::from(is_grace);
            if sessions == self.limits.turn_ends_max {
                return self.coverage.count("cut turn_ends_max by sessions");
            }
        }
    }

    /// Sessions that are to end, as many as a turn may.
    pub(super) fn end_sessions(&mut self) {
        for _ in 0..self.limits.turn_ends_max {
            let Some(number) = self.doomed.pop_front() else { return };
            self.lose(number);
            let connection = &mut self.connections[number];
            connection.phase = match connection.phase {
                Phase::Doomed(Leave::Now) => Phase::Closing,
                Phase::Doomed(leave) => Phase::Draining(leave),
                other => unreachable!("{other:?} is not doomed"),
            };
        }
        if !self.doomed.is_empty() {
            self.coverage.count("cut turn_ends_max");
        }
    }

    /// A connection's part is over. Its session stays, if it has one.
    fn lose(&mut self, number: Number) {
        self.connections[number].watch = None;
        self.mark_watchers();
        if std::mem::take(&mut self.connections[number].has_session) {
            if let Some(session) = self.locks.session_of(number) {
                self.lost.insert(session, (self.connections[number].last_input, self.now));
            }
            let said = self.locks.lose(number, self.now);
            self.push_all(said);
        }
    }

    pub(super) fn end_session(&mut self, number: Number) {
        self.connections[number].watch = None;
        if std::mem::take(&mut self.connections[number].has_session) {
            let said = self.locks.disconnect(number, self.now);
            self.push_all(said);
        }
    }

    pub(super) fn push_all(&mut self, said: Said) {
        for (to, reply) in said {
            self.push(to, reply);
        }
    }

    /// A reply is decided. Returns how many bytes that adds to the receiver's output.
    pub(super) fn push(&mut self, to: Number, mut reply: String) -> usize {
        if to == WATCHERS {
            return self.spread(&reply);
        }
        self.count_error(&reply);
        let connection = &mut self.connections[to];
        if connection.phase != Phase::Open {
            if reply.contains("\"acquired\"") {
                self.coverage.count("a grant passed on by a connection that ended");
            }
            return 0;
        }
        self.coverage.count(kind(&reply));
        if reply.contains("\"error\"") {
            let Some(Told::Wording(wording)) = self.take_told(to) else {
                broken(format!("{} is not refused: {reply}", self.name(to)))
            };
            reply = reply.replacen(WORDING, &wording, 1);
        }
        if reply.contains("\"result\":\"connections\"") && !matches!(self.take_told(to), Some(Told::Listing(_))) {
            broken(format!("{} is not sent {reply}", self.name(to)));
        }
        if reply.contains("\"result\":\"stats\"") && !matches!(self.take_told(to), Some(Told::Stats(_))) {
            broken(format!("{} is not sent {reply}", self.name(to)));
        }
        if is_deadlock(&reply) && !matches!(self.take_told(to), Some(Told::Deadlock(_))) {
            broken(format!("{} is not sent {reply}", self.name(to)));
        }
        for (word, count) in TIMELY.iter().zip(&mut self.timely_told) {
            if reply.contains(word) {
                let Some(left) = count.checked_sub(1) else { broken(format!("not in this turn: {reply}")) };
                *count = left;
            }
        }
        self.tell(to, '>', &reply);
        reply.push('\n');
        let bytes = reply.len();
        self.connections[to].replies.push_back(reply);
        self.owe(to, bytes);
        bytes
    }

    /// So many more bytes are to be sent.
    pub(super) fn owe(&mut self, to: Number, bytes: usize) {
        let connection = &mut self.connections[to];
        if connection.unsent == 0 {
            connection.last_progress = self.now;
        }
        connection.unsent += bytes;
        self.unsent += bytes;
        if connection.unsent > self.limits.outbox_bytes_max {
            self.coverage.count("limit outbox_bytes_max");
            self.doom(to, Leave::Now);
        }
        while self.unsent > self.limits.outboxes_bytes_max {
            self.coverage.count("limit outboxes_bytes_max");
            let largest = self.who_owes_most();
            self.doom(largest, Leave::Now);
        }
    }

    /// What the server says of the next reply to a connection of which it says something.
    pub(super) fn next_told(&self, to: Number) -> Option<&Told> {
        self.told.iter().find(|(number, _)| *number == to).map(|(_, told)| told)
    }

    fn take_told(&mut self, to: Number) -> Option<Told> {
        let index = self.told.iter().position(|(number, _)| *number == to)?;
        Some(self.told.remove(index).1)
    }

    /// Who has most unsent. Of several, the one in the server's last slot: the transcript can't tell, as the server says
    /// nothing more of one that ends already.
    fn who_owes_most(&self) -> Number {
        let unsent_and_slot = |number: &Number| (self.connections[*number].unsent, self.connections[*number].slot);
        self.there.iter().copied().max_by_key(unsent_and_slot).expect("somebody owes it")
    }

    /// It is decided that a connection ends. A later reason may only make it faster.
    pub(super) fn doom(&mut self, number: Number, leave: Leave) {
        let connection = &mut self.connections[number];
        match connection.phase {
            Phase::Open => {
                connection.phase = Phase::Doomed(leave);
                self.figures.ends += 1;
                self.doomed.push_back(number);
                self.ends.push(number);
            }
            Phase::Doomed(_) if leave == Leave::Now => connection.phase = Phase::Doomed(Leave::Now),
            Phase::Draining(_) | Phase::Lingering { .. } if leave == Leave::Now => connection.phase = Phase::Closing,
            _ => return,
        }
        if leave == Leave::Now {
            self.drop_output(number);
        }
    }

    pub(super) fn drop_output(&mut self, number: Number) {
        let connection = &mut self.connections[number];
        self.unsent -= std::mem::take(&mut connection.unsent);
        connection.replies.clear();
        connection.events.clear();
    }
}
