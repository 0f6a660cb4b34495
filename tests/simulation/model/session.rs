//! Sessions: what a client has stays for a while when its connection is lost.

use super::{Client, Model, Said, Seat, Target, array, seconds};
use crate::sizes::quoted;

/// The longest step of time between two turns that graces count.
const STEP: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) grace: u64,
    /// When it was made.
    since: u64,
    /// Lines that were taken on its connections.
    executed: u64,
    /// It has no connection.
    pub(super) away: Option<Away>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// When its grace ends. The second number orders those of the same moment.
    pub(super) until: (u64, u64),
}

/// What a `hello` says of sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greeting {
    /// In nanoseconds. None: it says nothing of it.
    pub grace: Option<u64>,
    /// The number of the session that it resumes. None: the secret is nobody's.
    #[allow(clippy::option_option, reason = "whether it resumes, and whose secret it has")]
    pub resume: Option<Option<u64>>,
}

/// A `hello` was heard.
#[derive(Clone, Debug)]
pub struct Greeted {
    /// What the reply has beyond the usual keys: nothing, or from a comma on. It has `resumed` in any case.
    pub keys: String,
    /// The connection from which the session was taken.
    pub taken_from: Option<Seat>,
}

/// What stands for the secret of a session, which is random. It is as long.
pub fn secret(number: u64) -> String {
    format!("secret-of-session-{number:014}")
}

/// Where a session sits that has no connection.
fn away(number: u64) -> Seat {
    usize::MAX - usize::try_from(number).expect("few sessions")
}

pub(super) fn is_away(seat: Seat) -> bool {
    seat > usize::MAX / 2
}

impl Model {
    /// A connection says `hello`.
    ///
    /// # Errors
    /// The reason for which it is refused. Nothing has changed then.
    pub fn greet(&mut self, seat: Seat, greeting: Greeting, now: u64) -> Result<Greeted, &'static str> {
        let mut keys = String::new();
        let mut taken_from = None;
        if let Some(number) = greeting.resume {
            if self.shown(seat).session.is_some() || !self.places_of(seat, None).is_empty() {
                return Err("invalid_request");
            }
            let from = number.and_then(|number| self.seat_of_session(number)).ok_or("session_unknown")?;
            taken_from = (!is_away(from)).then_some(from);
            self.resume(from, seat, now);
            keys += &self.resumed(seat, now);
        } else {
            if greeting.grace.is_some_and(|grace| grace > 0) && self.shown(seat).session.is_none() {
                if self.clients.iter().filter(|client| client.session.is_some()).count() >= self.limits.sessions_max {
                    return Err("too_many_sessions");
                }
                self.last_session += 1;
                let number = self.last_session;
                self.client(seat).session = Some(Session { number, grace: 0, since: now, executed: 1, away: None });
            }
            keys += r#","resumed":false"#;
        }
        if let Some(grace) = greeting.grace {
            let client = self.client(seat);
            match &mut client.session {
                Some(_) if grace == 0 => {
                    client.session = None;
                    self.counts.sessions_ended += 1;
                }
                // Up to whole milliseconds.
                Some(session) => session.grace = grace.next_multiple_of(1_000_000),
                None => {}
            }
        }
        if let Some(Session { number, grace, .. }) = &self.shown(seat).session
            && (greeting.grace.is_some() || greeting.resume.is_some())
        {
            keys += &format!(r#","session":{{"secret":"{}","grace":{}}}"#, secret(*number), seconds(*grace));
        }
        Ok(Greeted { keys, taken_from })
    }

    /// A line was taken that is neither blank nor a `hello` with `resume`.
    pub fn count_line(&mut self, seat: Seat) {
        if let Some(session) = &mut self.client(seat).session {
            session.executed += 1;
        }
    }

    /// A connection is lost: its session stays for the grace, if it has one.
    pub fn lose(&mut self, seat: Seat, now: u64) -> Said {
        let Some(session) = &self.shown(seat).session else { return self.disconnect(seat, now) };
        let (number, grace) = (session.number, session.grace);
        let until = self.arm(now.saturating_add(grace));
        self.reseat(seat, away(number));
        let client = self.client(away(number));
        client.connection = format!("session:{number}");
        client.session.as_mut().expect("it has one").away = Some(Away { until });
        Vec::new()
    }

    /// A session goes to another connection.
    fn resume(&mut self, from: Seat, to: Seat, now: u64) {
        self.counts.resumptions += 1;
        let session = self.shown(from).session.as_ref().expect("it is a session's");
        match session.away {
            None => self.met.push("a session taken from a connection"),
            Some(Away { until }) if until.0 <= now => self.met.push("a session resumed as its grace ends"),
            Some(_) => self.met.push("a session resumed within its grace"),
        }
        let connection = self.shown(to).connection.clone();
        self.clients.retain(|client| client.seat != to);
        self.reseat(from, to);
        // What it was told last may not have arrived.
        self.holds.iter_mut().filter(|hold| hold.who.seat == to).for_each(|hold| hold.is_told = false);
        let client = self.client(to);
        client.connection = connection;
        client.session.as_mut().expect("it has one").away = None;
    }

    /// Whoever sits in one seat sits in another.
    fn reseat(&mut self, from: Seat, to: Seat) {
        let holders = self.holds.iter_mut().map(|hold| &mut hold.who);
        let askers = holders.chain(self.waits.iter_mut().map(|wait| &mut wait.who));
        askers.filter(|who| who.seat == from).for_each(|who| who.seat = to);
        self.client(from).seat = to;
    }

    /// What the reply to a resumption has.
    fn resumed(&mut self, seat: Seat, now: u64) -> String {
        let (mut held, mut waiting, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for (who, name, number) in self.places_of(seat, None) {
            let owner = who.owner.as_ref().map_or(String::new(), |owner| format!(r#","owner":{owner}"#));
            if let Some(hold) = self.hold_of(&who, &name).filter(|hold| hold.asked.0 == number) {
                let left = hold.until.map(|(at, _)| seconds(at.saturating_sub(now)));
                let left = left.map_or(String::new(), |left| format!(r#","lease_left":{left}"#));
                let (token, waiters) = (hold.token, self.queue(&name).len());
                let keys = format!(r#""name":{}{owner},"token":{token},"waiters":{waiters}{left}"#, quoted(&name));
                held.push(format!("{{{keys}}}"));
            } else if !seen.contains(&number) {
                // A wait for several stands where its first place is.
                seen.push(number);
                let wait = self.wait(number);
                let names = match &wait.target {
                    Target::One(name) => format!(r#""name":{}"#, quoted(name)),
                    Target::Several(names) => format!(r#""names":{}"#, array(names)),
                };
                let any = if wait.is_any { r#","any":true"# } else { "" };
                let id = wait.id.as_ref().map_or(String::new(), |id| format!(r#","id":{id}"#));
                waiting.push(format!("{{{names}{any}{owner}{id}}}"));
            }
        }
        let executed = self.shown(seat).session.as_ref().map_or(0, |session| session.executed);
        let counts = format!(r#","held_count":{},"waiting_count":{}"#, held.len(), waiting.len());
        let (held, waiting) = (held.join(","), waiting.join(","));
        let is_too_large = held.len() + waiting.len() > self.limits.reply_bytes_max;
        let lists = format!(r#","held":[{held}],"waiting":[{waiting}]"#);
        if is_too_large {
            self.met.push("a resumption that has too much to list");
        }
        let lists = if is_too_large { counts } else { lists };
        format!(r#","resumed":true{lists},"executed":{executed}"#)
    }

    fn seat_of_session(&self, number: u64) -> Option<Seat> {
        let is_it = |client: &&Client| client.session.as_ref().is_some_and(|session| session.number == number);
        self.clients.iter().find(is_it).map(|client| client.seat)
    }

    /// Where a session sits, which may be nowhere that can be seen.
    pub fn seat_of(&self, name: &str) -> Option<Seat> {
        self.seat_of_session(name.strip_prefix("session:")?.parse().ok()?)
    }

    /// The number of a connection's session.
    pub fn session_of(&self, seat: Seat) -> Option<u64> {
        self.shown(seat).session.as_ref().map(|session| session.number)
    }

    /// The sessions that have no connection: their seats and numbers, when they were made, and when they end.
    pub fn sessions_away(&self) -> Vec<(Seat, u64, u64, u64)> {
        let away = self.clients.iter().filter_map(|client| {
            let session = client.session.as_ref()?;
            let away = session.away?;
            Some((client.seat, session.number, session.since, away.until.0))
        });
        away.collect()
    }

    /// How many sessions there are, with and without a connection.
    pub fn sessions(&self) -> usize {
        self.clients.iter().filter(|client| client.session.is_some()).count()
    }

    /// The number of the session that was made last, or 0.
    pub fn last_session(&self) -> u64 {
        self.last_session
    }

    /// Seats of sessions without a connection, and when their graces end.
    pub(super) fn graces(&self) -> Vec<(Seat, (u64, u64))> {
        let until = |client: &Client| Some((client.seat, client.session.as_ref()?.away?.until));
        self.clients.iter().filter_map(until).collect()
    }

    /// The server makes a turn by then, as graces count only so much of the time between two.
    pub fn next_step(&self) -> Option<u64> {
        (!self.graces().is_empty()).then(|| self.turned_at.saturating_add(STEP))
    }

    /// A turn begins. What is beyond a step of the time since the last one does not count for graces.
    pub(super) fn run_graces(&mut self, now: u64) {
        let pause = now.saturating_sub(self.turned_at.saturating_add(STEP));
        for client in &mut self.clients {
            if let Some(away) = client.session.as_mut().and_then(|session| session.away.as_mut()) {
                away.until.0 = away.until.0.saturating_add(pause);
            }
        }
        if pause > 0 && !self.graces().is_empty() {
            self.met.push("a grace that does not count a pause");
        }
        self.turned_at = now;
    }
}
