//! What users are told, by the text alone: lists and plain loops.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::draw::{Act, CLOSING_LOCKS_MAX, File, Place, Rights, SEATS, STRANGERS_MAX, USERS};

const SECOND: Duration = Duration::from_secs(1);

/// Who a connection is, or whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Stranger,
    Anonymous,
    User(usize),
}

/// Who holds and waits: a connection, or a session with or without one.
#[derive(Debug)]
struct Party {
    who: Who,
    name: String,
    session: Option<Session>,
    is_over: bool,
}

#[derive(Debug)]
struct Session {
    /// From 1.
    number: usize,
    grace: Duration,
    /// When it is over, while it has no connection.
    over: Option<Duration>,
}

#[derive(Debug)]
struct Seat {
    party: usize,
    watch: Option<&'static str>,
    place: Place,
    since: Duration,
    handshake: Option<Handshake>,
    /// Which user its socket proves that it is, if there is that user.
    user: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Handshake {
    Silent,
    Begun,
    Done,
}

/// A hold, or a wait with its id.
#[derive(Clone, Copy, Debug)]
struct OnLock {
    party: usize,
    id: Option<usize>,
    grant: usize,
    closing: Closing,
    /// When it was granted.
    since: Duration,
}

/// For how long a request may leave its lock closed: from its grant, and from when its holder is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Closing {
    min_hold: Duration,
    lost_delay: Duration,
}

impl Closing {
    fn counts(self) -> bool {
        self != Closing::default()
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    GivenUp,
    Lost,
    Revoked,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) file: File,
    now: Duration,
    parties: Vec<Party>,
    seats: [Option<Seat>; SEATS],
    /// The holder comes first, unless the lock is closed.
    locks: BTreeMap<&'static str, Vec<OnLock>>,
    /// Until when these locks are closed, and by whom.
    closed: BTreeMap<&'static str, (Duration, Who)>,
    sessions: usize,
    grants: usize,
    /// Up to when each user has used up its requests.
    paces: [Duration; USERS],
    /// What each seat is told, and which connections end.
    pub(crate) told: Told,
}

/// What happens to the seats in one step.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) replies: [Vec<Value>; SEATS],
    pub(crate) events: [Vec<Value>; SEATS],
    pub(crate) is_closed: [bool; SEATS],
}

fn error(reason: &str) -> Value {
    json!({"result": "error", "reason": reason})
}

impl Model {
    pub(crate) fn new(file: File) -> Self {
        Model {
            file,
            now: Duration::ZERO,
            parties: Vec::new(),
            seats: [const { None }; SEATS],
            locks: BTreeMap::new(),
            closed: BTreeMap::new(),
            sessions: 0,
            grants: 0,
            paces: [Duration::ZERO; USERS],
            told: Told::default(),
        }
    }

    pub(crate) fn is_here(&self, seat: usize) -> bool {
        self.seats[seat].is_some()
    }

    pub(crate) fn who(&self, seat: usize) -> Option<Who> {
        Some(self.parties[self.seats[seat].as_ref()?.party].who)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions
    }

    pub(crate) fn name(&self, seat: usize) -> Option<&str> {
        Some(&self.parties[self.seats[seat].as_ref()?.party].name)
    }

    pub(crate) fn connect(&mut self, seat: usize, name: &str, place: Place, user: Option<usize>, has_handshake: bool) {
        let who = if has_handshake { Who::Stranger } else { self.who_comes(place, user) };
        let is_full = matches!(who, Who::User(user) if self.is_full(user));
        self.parties.push(Party { who, name: name.to_owned(), session: None, is_over: false });
        if is_full {
            self.tell(seat, error("too_many_connections"));
            self.told.is_closed[seat] = true;
            return;
        }
        if who == Who::Stranger {
            self.make_way();
        }
        let (party, handshake) = (self.parties.len() - 1, has_handshake.then_some(Handshake::Silent));
        self.seats[seat] = Some(Seat { party, watch: None, place, since: self.now, handshake, user });
    }

    /// One of the strangers makes way for another, if all their places are taken.
    fn make_way(&mut self) {
        let strangers: Vec<usize> = (0..SEATS).filter(|seat| self.who(*seat) == Some(Who::Stranger)).collect();
        if strangers.len() < STRANGERS_MAX {
            return;
        }
        let seat = |seat: &usize| self.seats[*seat].as_ref().expect("it is here");
        // The first of an address to go is one that has sent nothing of a handshake, and of these the oldest.
        let order = |index: &usize| {
            let Seat { handshake, since, .. } = seat(index);
            (handshake.is_some_and(|handshake| handshake > Handshake::Silent), *since)
        };
        let first_of = |place: Place| {
            let theirs = strangers.iter().filter(|index| seat(index).place == place);
            Some((theirs.clone().count(), std::cmp::Reverse(theirs.min_by_key(|index| order(index)).map(order)?)))
        };
        let places = [Place::Unix, Place::Loopback, Place::Far];
        let (_, std::cmp::Reverse(first)) = places.into_iter().filter_map(first_of).max().expect("somebody is here");
        let seat = *strangers.iter().find(|index| order(index) == first).expect("as before");
        self.lose(seat);
    }

    fn is_shaking_hands(&self, seat: usize) -> bool {
        let handshake = self.seats[seat].as_ref().and_then(|seat| seat.handshake);
        handshake.is_some_and(|handshake| handshake < Handshake::Done)
    }

    /// The handshake of a seat gets on, or is done. False: it has none.
    pub(crate) fn shake(&mut self, seat: usize, is_done: bool) -> bool {
        if !self.is_shaking_hands(seat) {
            return false;
        }
        let Seat { party, place, user, handshake, .. } = self.seats[seat].as_mut().expect("it is here");
        *handshake = Some(if is_done { Handshake::Done } else { Handshake::Begun });
        let (party, place, user) = (*party, *place, *user);
        if is_done {
            self.parties[party].who = self.who_comes(place, user);
        }
        true
    }

    /// Whether it can make requests.
    pub(crate) fn can_speak(&self, seat: usize) -> bool {
        self.is_here(seat) && !self.is_shaking_hands(seat)
    }

    /// Who somebody is that comes from there now.
    fn who_comes(&self, place: Place, user: Option<usize>) -> Who {
        match user.filter(|user| self.file.users[*user].is_some()) {
            Some(user) => Who::User(user),
            None if self.is_for_anonymous(place) => Who::Anonymous,
            None => Who::Stranger,
        }
    }

    fn is_for_anonymous(&self, place: Place) -> bool {
        self.file.anonymous.as_ref().is_some_and(|(_, from)| from.contains(&place))
    }

    /// Whether one more connection of a user is too many.
    fn is_full(&self, user: usize) -> bool {
        let count = (0..SEATS).filter(|seat| self.who(*seat) == Some(Who::User(user))).count();
        self.rights(Who::User(user)).and_then(|rights| rights.connections_max).is_some_and(|max| count >= max)
    }

    fn rights(&self, who: Who) -> Option<&Rights> {
        match who {
            Who::Stranger => None,
            Who::Anonymous => self.file.anonymous.as_ref().map(|(rights, _)| rights),
            Who::User(user) => self.file.users[user].as_ref(),
        }
    }

    fn may_lock(&self, who: Who, name: &str) -> bool {
        self.rights(who).is_some_and(|rights| match &rights.locks {
            None => rights.is_admin,
            Some(prefixes) => prefixes.iter().any(|prefix| name.starts_with(prefix)),
        })
    }

    pub(crate) fn may_see(&self, who: Who, name: &str) -> bool {
        self.rights(who).is_some_and(|rights| {
            let prefixes = rights.see.as_ref().or(rights.locks.as_ref());
            rights.is_admin || prefixes.is_some_and(|prefixes| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        })
    }

    /// Whether nothing is hidden from it: every name begins with the prefix that is empty.
    pub(crate) fn may_see_all(&self, seat: usize) -> bool {
        self.who(seat).is_some_and(|who| self.may_see(who, ""))
    }

    fn tell(&mut self, seat: usize, reply: Value) {
        self.told.replies[seat].push(reply);
    }

    fn refuse_and_close(&mut self, seat: usize, reason: &str) {
        self.tell(seat, error(reason));
        self.lose(seat);
    }

    fn happens(&mut self, event: &str, name: &str, party: usize) {
        let by = &self.parties[party].name;
        self.happens_to(name, json!({"name": name, "notice": "event", "event": event, "connection": by}));
    }

    fn happens_to(&mut self, name: &str, event: Value) {
        for seat in 0..SEATS {
            let Some(prefix) = self.seats[seat].as_ref().and_then(|seat| seat.watch) else { continue };
            let who = self.who(seat).expect("somebody watches");
            if name.starts_with(prefix) && self.may_see(who, name) {
                self.told.events[seat].push(event.clone());
            }
        }
    }

    /// The seat of a party that has a connection.
    fn seat_of(&self, party: usize) -> Option<usize> {
        (0..SEATS).find(|seat| self.seats[*seat].as_ref().is_some_and(|seat| seat.party == party))
    }

    /// Holders, each with one who waits for its lock and may close it. If both end at once, their order decides whether the
    /// lock is closed afterwards: who ends first may pass it on to the other.
    pub(crate) fn successions(&self) -> Vec<(usize, usize)> {
        let of_lock = |places: &Vec<OnLock>| {
            let waiters: Vec<_> = places[1..].iter().filter(|place| place.closing.counts()).copied().collect();
            let holder = places[0].party;
            waiters.into_iter().map(move |waiter| (holder, waiter.party))
        };
        self.locks.values().flat_map(of_lock).collect()
    }

    /// Whether both of one of these have ended.
    pub(crate) fn has_one_that_ended(&self, successions: &[(usize, usize)]) -> bool {
        successions.iter().any(|&(holder, waiter)| self.parties[holder].is_over && self.parties[waiter].is_over)
    }

    /// Takes a party from a lock, which passes on, or closes.
    fn take_off(&mut self, name: &'static str, party: usize, ending: Ending) {
        let is_closed = self.closed.contains_key(name);
        let places = self.locks.get_mut(name).expect("it is on the lock");
        let index = places.iter().position(|place| place.party == party).expect("it is on the lock");
        let OnLock { closing, since, .. } = places.remove(index);
        if places.is_empty() {
            self.locks.remove(name);
        }
        if index > 0 || is_closed {
            return self.happens("left", name, party);
        }
        self.happens(if ending == Ending::Revoked { "revoked" } else { "released" }, name, party);
        let until = match ending {
            Ending::GivenUp => since + closing.min_hold,
            Ending::Lost => (since + closing.min_hold).max(self.now + closing.lost_delay),
            Ending::Revoked => self.now,
        };
        if closing.counts() && until > self.now {
            self.closed.insert(name, (until, self.parties[party].who));
            self.happens_to(name, json!({"name": name, "notice": "event", "event": "closed"}));
        } else {
            self.pass_on(name);
        }
    }

    /// Whoever has waited longest gets a lock.
    fn pass_on(&mut self, name: &'static str) {
        let Some(next) = self.locks.get_mut(name).map(|places| &mut places[0]) else { return };
        self.grants += 1;
        (next.grant, next.since) = (self.grants, self.now);
        let next = *next;
        self.happens("granted", name, next.party);
        if let Some(seat) = self.seat_of(next.party) {
            self.tell(seat, json!({"name": name, "result": "acquired", "id": next.id}));
        }
    }

    fn open(&mut self, name: &'static str) {
        self.closed.remove(name);
        self.happens_to(name, json!({"name": name, "notice": "event", "event": "opened"}));
        self.pass_on(name);
    }

    /// Whether another request that may close its lock is over the limit of all, or of its user.
    fn is_full_of_closing(&self, who: Who) -> bool {
        let on_locks = self.locks.values().flatten().filter(|place| place.closing.counts());
        let whose =
            on_locks.map(|place| self.parties[place.party].who).chain(self.closed.values().map(|(_, who)| *who));
        let whose: Vec<Who> = whose.collect();
        let own_max = self.rights(who).and_then(|rights| rights.closing_locks_max).unwrap_or(CLOSING_LOCKS_MAX / 2);
        whose.len() >= CLOSING_LOCKS_MAX || whose.iter().filter(|other| **other == who).count() >= own_max
    }

    fn names_of(&self, party: usize) -> Vec<&'static str> {
        let on = |places: &&Vec<OnLock>| places.iter().any(|place| place.party == party);
        self.locks.iter().filter(|(_, places)| on(places)).map(|(name, _)| *name).collect()
    }

    fn end(&mut self, party: usize) {
        for name in self.names_of(party) {
            self.take_off(name, party, Ending::Lost);
        }
        self.parties[party].is_over = true;
    }

    /// The connection of a seat ends; a session goes on without it.
    pub(crate) fn lose(&mut self, seat: usize) {
        self.told.is_closed[seat] = true;
        let party = self.seats[seat].take().expect("it is connected").party;
        let now = self.now;
        match &mut self.parties[party].session {
            None => self.end(party),
            Some(session) => {
                session.over = Some(now + session.grace);
                self.parties[party].name = format!("session:{}", self.parties[party].session.as_ref().unwrap().number);
            }
        }
    }

    /// The connection ends, and its session with it.
    fn end_whole(&mut self, seat: usize) {
        let party = self.seats[seat].take().expect("it is connected").party;
        self.told.is_closed[seat] = true;
        self.end(party);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let over = |party: &Party| party.session.as_ref()?.over.filter(|over| !party.is_over && *over <= end);
            let overs = self.parties.iter().enumerate().filter_map(|(index, party)| Some((over(party)?, index)));
            let opens = self.closed.iter().map(|(name, (until, _))| (*until, *name)).filter(|(until, _)| *until <= end);
            match (overs.min(), opens.min()) {
                (None, None) => break,
                (Some((over, party)), opens) if opens.is_none_or(|(until, _)| over < until) => {
                    self.now = over;
                    self.end(party);
                }
                (_, Some((until, name))) => {
                    self.now = until;
                    self.open(name);
                }
                (Some(_), None) => unreachable!("it comes before nothing"),
            }
        }
        self.now = end;
    }

    /// Who is a stranger and becomes somebody by a file, if there is room for all of them. If not, which of them does is left
    /// open, and these are the seats.
    pub(crate) fn contested(&mut self, file: &File) -> Vec<usize> {
        let old = std::mem::replace(&mut self.file, file.clone());
        let candidates = |user: usize| {
            let is_candidate = |seat: &usize| {
                let Some(Seat { place, user: own, .. }) = &self.seats[*seat] else { return false };
                self.who(*seat) == Some(Who::Stranger) && self.who_comes(*place, *own) == Who::User(user)
            };
            (0..SEATS).filter(is_candidate).collect::<Vec<usize>>()
        };
        let is_contested = |seats: &Vec<usize>, user: usize| {
            let there = (0..SEATS).filter(|seat| self.who(*seat) == Some(Who::User(user))).count();
            let max = self.rights(Who::User(user)).and_then(|rights| rights.connections_max);
            seats.len() > 1 && max.is_some_and(|max| there < max && there + seats.len() > max)
        };
        let all = (0..USERS).map(|user| (candidates(user), user));
        let contested = all.filter(|(seats, user)| is_contested(seats, *user)).flat_map(|(seats, _)| seats).collect();
        self.file = old;
        contested
    }

    pub(crate) fn reload(&mut self, file: File) {
        self.file = file;
        for seat in 0..SEATS {
            let is_over = match self.who(seat) {
                Some(Who::User(user)) => self.file.users[user].is_none(),
                Some(Who::Anonymous) => !self.is_for_anonymous(self.seats[seat].as_ref().expect("it is here").place),
                Some(Who::Stranger) | None => false,
            };
            if is_over {
                self.end_whole(seat);
            }
        }
        for seat in 0..SEATS {
            let Some(Seat { party, place, user, .. }) = self.seats[seat] else { continue };
            if self.is_shaking_hands(seat) {
                continue;
            }
            let comes = self.who_comes(place, user);
            if self.parties[party].who == Who::Stranger && !matches!(comes, Who::User(user) if self.is_full(user)) {
                self.parties[party].who = comes;
            }
        }
        for party in 0..self.parties.len() {
            let Party { who, is_over, session, .. } = &self.parties[party];
            let is_detached = session.as_ref().is_some_and(|session| session.over.is_some());
            let is_gone = match who {
                Who::User(user) => self.file.users[*user].is_none(),
                Who::Anonymous => self.file.anonymous.is_none(),
                Who::Stranger => false,
            };
            if is_gone && is_detached && !is_over {
                self.end(party);
            }
        }
    }

    /// Counts a request against the rate of its user.
    fn is_in_pace(&mut self, who: Who) -> bool {
        let Who::User(user) = who else { return true };
        let Some(per_second) = self.rights(who).and_then(|rights| rights.requests_per_second) else { return true };
        let up_to = self.paces[user].max(self.now) + Duration::from_nanos(1_000_000_000 / per_second);
        let is_in_pace = up_to - self.now <= SECOND;
        if is_in_pace {
            self.paces[user] = up_to;
        }
        is_in_pace
    }

    /// Executes what a seat does. False: the text leaves open what happens then, or nothing is asked.
    pub(crate) fn act(&mut self, seat: usize, act: &Act, id: usize) -> bool {
        let who = self.who(seat).expect("it is connected");
        if let Act::LogIn { user, secret, then } = *act {
            self.log_in(seat, user, secret);
            if let Some(name) = then
                && self.is_here(seat)
            {
                let lock = Act::Lock { name, waits: false, priority: 0, closing: None };
                return self.act(seat, &lock, id);
            }
            return true;
        }
        if who == Who::Stranger {
            match act {
                Act::Hello => self.say_hello(seat, None),
                Act::Ping => self.tell(seat, json!({"result": "pong"})),
                _ => self.refuse_and_close(seat, "not_authenticated"),
            }
            return true;
        }
        let is_admin = self.rights(who).expect("it is known").is_admin;
        let is_counted = !matches!(
            act,
            Act::Hello
                | Act::Session { .. }
                | Act::Resume(_)
                | Act::Stats
                | Act::Watch(_)
                | Act::Unwatch
                | Act::Revoke(_)
                | Act::Kick(_)
                | Act::KickUser(_)
        );
        let is_in_pace = !is_counted || self.is_in_pace(who);
        let party = self.seats[seat].as_ref().expect("it is connected").party;
        match *act {
            Act::Hello => self.say_hello(seat, None),
            Act::Session { grace } => self.begin_session(seat, grace),
            Act::Resume(number) => self.resume(seat, number),
            Act::Lock { name, waits, priority, closing } => {
                let rights = self.rights(who).expect("it is known");
                let span = closing.map_or(Duration::ZERO, |(span, _)| span);
                let is_over = rights.priority_max.is_some_and(|max| priority > max)
                    || rights.min_hold_max.is_some_and(|max| span > Duration::from_secs(max));
                let closing = match closing {
                    None => Closing::default(),
                    Some((min_hold, false)) => Closing { min_hold, ..Closing::default() },
                    Some((lost_delay, true)) => Closing { lost_delay, ..Closing::default() },
                };
                if !self.may_lock(who, name) || is_over {
                    self.tell(seat, error("not_allowed"));
                } else if !is_in_pace {
                    self.tell(seat, error("too_many_requests"));
                } else {
                    self.lock(seat, party, name, waits, closing, id);
                }
            }
            Act::LockAll { names, is_any } => {
                if names.iter().any(|name| !self.may_lock(who, name)) {
                    self.tell(seat, error("not_allowed"));
                } else if !is_in_pace {
                    self.tell(seat, error("too_many_requests"));
                } else {
                    self.lock_all(seat, party, names, is_any);
                }
            }
            Act::Unlock(name) => {
                if self.names_of(party).contains(&name) {
                    self.unlock(seat, party, name);
                    self.tell(seat, json!({"name": name, "result": "released"}));
                } else {
                    self.tell(seat, json!({"name": name, "result": "release_failed"}));
                }
            }
            Act::Reset => {
                self.names_of(party).into_iter().for_each(|name| self.unlock(seat, party, name));
                self.tell(seat, json!({"result": "reset_succeeded"}));
            }
            Act::Locks => self.tell_locks(seat, who, |_| true),
            Act::LocksPage(prefix) => self.tell_locks(seat, who, |name| name.starts_with(prefix)),
            Act::LocksOf(one) => self.tell_locks(seat, who, |name| name == one),
            Act::MyLocks => {
                let names = self.names_of(party);
                self.tell(seat, json!({"result": "my_locks", "value": names}));
            }
            Act::Connections => self.tell_connections(seat, who, party),
            Act::Ping => self.tell(seat, json!({"result": "pong"})),
            Act::Watch(prefix) => {
                self.seats[seat].as_mut().expect("it is connected").watch = Some(prefix);
                self.tell(seat, json!({"result": "watching"}));
            }
            Act::Unwatch => {
                self.seats[seat].as_mut().expect("it is connected").watch = None;
                self.tell(seat, json!({"result": "unwatched"}));
            }
            Act::Stats | Act::Revoke(_) | Act::Kick(_) | Act::KickUser(_) if !is_admin => {
                self.tell(seat, error("not_allowed"));
            }
            Act::Stats => self.tell(seat, json!({"result": "stats"})),
            Act::Revoke(name) => self.revoke(seat, name),
            Act::Kick(other) => {
                let is_there = self.is_here(other);
                if is_there {
                    self.end_whole(other);
                }
                self.tell(seat, json!({"result": if is_there { "kicked" } else { "kick_failed" }}));
            }
            Act::KickUser(user) => self.kick_user(seat, user),
            Act::LogIn { .. } | Act::Connect(..) | Act::Shake { .. } | Act::Vanish | Act::Pass(_) | Act::Reload => {
                return false;
            }
        }
        true
    }

    fn log_in(&mut self, seat: usize, user: usize, secret: usize) {
        let party = self.seats[seat].as_ref().expect("it is connected").party;
        let who = self.parties[party].who;
        let is_right = user == secret && self.file.users[user].is_some();
        match who {
            Who::User(own) if is_right && own == user => self.say_hello(seat, None),
            _ if !is_right || matches!(who, Who::User(_)) => self.refuse_and_close(seat, "auth_failed"),
            _ if self.parties[party].session.is_some() || !self.names_of(party).is_empty() => {
                self.tell(seat, error("invalid_request"));
            }
            _ if self.is_full(user) => self.refuse_and_close(seat, "too_many_connections"),
            _ => {
                self.parties[party].who = Who::User(user);
                self.say_hello(seat, None);
            }
        }
    }

    fn say_hello(&mut self, seat: usize, resumed: Option<(Vec<&str>, Vec<Option<usize>>)>) {
        let party = &self.parties[self.seats[seat].as_ref().expect("it is connected").party];
        let user = match party.who {
            Who::User(user) => json!(format!("u{user}")),
            _ => Value::Null,
        };
        let is_resumed = resumed.is_some();
        let (held, waiting) = resumed.unwrap_or_default();
        let reply = json!({
            "result": "hello", "user": user, "connection": party.name, "resumed": is_resumed, "held": held, "waiting": waiting
        });
        self.tell(seat, reply);
    }

    fn begin_session(&mut self, seat: usize, grace: Duration) {
        let party = self.seats[seat].as_ref().expect("it is connected").party;
        let who = self.parties[party].who;
        if let Some(session) = &mut self.parties[party].session {
            session.grace = grace;
            return self.say_hello(seat, None);
        }
        let is_its = |party: &&Party| party.who == who && party.session.is_some() && !party.is_over;
        let count = self.parties.iter().filter(is_its).count();
        if self.rights(who).and_then(|rights| rights.sessions_max).is_some_and(|max| count >= max) {
            return self.tell(seat, error("too_many_sessions"));
        }
        self.sessions += 1;
        self.parties[party].session = Some(Session { number: self.sessions, grace, over: None });
        self.say_hello(seat, None);
    }

    fn resume(&mut self, seat: usize, number: usize) {
        let own = self.seats[seat].as_ref().expect("it is connected").party;
        let who = self.parties[own].who;
        if self.parties[own].session.is_some() || !self.names_of(own).is_empty() {
            return self.tell(seat, error("invalid_request"));
        }
        let has_number = |party: &Party| party.session.as_ref().is_some_and(|session| session.number == number);
        let found = self.parties.iter().position(|party| has_number(party) && !party.is_over && party.who == who);
        let Some(party) = found else { return self.tell(seat, error("session_unknown")) };
        if let Some(old) = self.seat_of(party) {
            self.tell(old, error("session_taken"));
            self.told.is_closed[old] = true;
            self.seats[old] = None;
        }
        self.parties[party].name = std::mem::take(&mut self.parties[own].name);
        self.parties[own].is_over = true;
        self.parties[party].session.as_mut().expect("it has one").over = None;
        self.seats[seat].as_mut().expect("it is connected").party = party;
        let (locks, closed) = (&self.locks, &self.closed);
        let on = |is_held: bool| {
            let places = locks.iter().filter_map(move |(name, places)| {
                let index = places.iter().position(|place| place.party == party)?;
                let is_holder = index == 0 && !closed.contains_key(name);
                (is_held == is_holder).then_some((*name, places[index].id))
            });
            places.collect::<Vec<_>>()
        };
        let held = on(true).into_iter().map(|(name, _)| name).collect();
        let waiting = on(false).into_iter().map(|(_, id)| id).collect();
        self.say_hello(seat, Some((held, waiting)));
    }

    /// Whether a party may have more places.
    fn has_room(&self, party: usize, more: usize) -> bool {
        let who = self.parties[party].who;
        let count = self.locks.values().flatten().filter(|place| self.parties[place.party].who == who).count();
        let max = self.rights(who).and_then(|rights| rights.locks_max);
        max.is_none_or(|max| count + more <= max)
    }

    fn hold(&mut self, name: &'static str, party: usize, closing: Closing) {
        self.locks.insert(name, vec![OnLock { party, id: None, grant: self.grants, closing, since: self.now }]);
        self.happens("granted", name, party);
    }

    fn lock(&mut self, seat: usize, party: usize, name: &'static str, waits: bool, closing: Closing, id: usize) {
        let who = self.parties[party].who;
        let places = self.locks.get(name).cloned().unwrap_or_default();
        let is_closed = self.closed.contains_key(name);
        match places.iter().position(|place| place.party == party) {
            Some(0) if !is_closed => {
                return self.tell(seat, json!({"name": name, "result": "already_acquired", "id": id}));
            }
            Some(_) => return self.tell(seat, error("already_queued")),
            None => {}
        }
        if !self.has_room(party, 1) || closing.counts() && self.is_full_of_closing(who) {
            self.tell(seat, error("too_many_locks"));
        } else if places.is_empty() && !is_closed {
            self.grants += 1;
            self.hold(name, party, closing);
            self.tell(seat, json!({"name": name, "result": "acquired", "id": id}));
        } else if waits {
            let place = OnLock { party, id: Some(id), grant: 0, closing, since: self.now };
            self.locks.entry(name).or_default().push(place);
            self.happens("queued", name, party);
        } else {
            let queue: Vec<&str> = places.iter().map(|place| &*self.parties[place.party].name).collect();
            let queue = if self.may_see(who, name) { json!(queue) } else { json!([]) };
            self.tell(seat, json!({"name": name, "result": "timed_out", "queue": queue, "id": id}));
        }
    }

    fn lock_all(&mut self, seat: usize, party: usize, names: [&'static str; 2], is_any: bool) {
        let place = |name: &&'static str| {
            let places = self.locks.get(name).map_or(&[][..], |places| places);
            let is_closed = self.closed.contains_key(name);
            let index = places.iter().position(|place| place.party == party)?;
            Some((index == 0 && !is_closed, places[index].grant))
        };
        let own: Vec<_> = names.iter().map(place).collect();
        let is_free = |name: &&'static str| !self.locks.contains_key(name) && !self.closed.contains_key(name);
        let free: Vec<&'static str> = names.into_iter().filter(|name| is_free(name)).collect();
        let held = names.iter().zip(&own).find(|(_, own)| own.is_some_and(|(is_held, _)| is_held));
        if is_any && let Some((name, _)) = held {
            self.tell(seat, json!({"name": name, "result": "already_acquired"}));
        } else if !is_any && matches!(own[..], [Some((true, one)), Some((true, other))] if one == other) {
            self.tell(seat, json!({"names": names, "result": "already_acquired"}));
        } else if own.iter().any(Option::is_some) {
            self.tell(seat, error("already_held"));
        } else if !self.has_room(party, 2) {
            self.tell(seat, error("too_many_locks"));
        } else if is_any && let Some(&name) = free.first() {
            self.grants += 1;
            self.hold(name, party, Closing::default());
            self.tell(seat, json!({"name": name, "result": "acquired"}));
        } else if !is_any && free.len() == 2 {
            self.grants += 1;
            names.into_iter().for_each(|name| self.hold(name, party, Closing::default()));
            self.tell(seat, json!({"names": names, "result": "acquired"}));
        } else {
            self.tell(seat, json!({"names": names, "result": "timed_out"}));
        }
    }

    fn unlock(&mut self, seat: usize, party: usize, name: &'static str) {
        let place = self.locks[name].iter().position(|place| place.party == party).expect("it is on the lock");
        if place > 0 || self.closed.contains_key(name) {
            let id = self.locks[name][place].id;
            self.tell(seat, json!({"name": name, "result": "cancelled", "id": id}));
        }
        self.take_off(name, party, Ending::GivenUp);
    }

    fn tell_locks(&mut self, seat: usize, who: Who, is_meant: impl Fn(&str) -> bool) {
        let name_of = |place: &OnLock| self.parties[place.party].name.clone();
        let visible = self.locks.iter().filter(|(name, _)| is_meant(name) && self.may_see(who, name));
        let value: BTreeMap<&str, Vec<String>> =
            visible.map(|(name, places)| (*name, places.iter().map(name_of).collect())).collect();
        self.tell(seat, json!({"result": "locks", "value": value}));
    }

    fn tell_connections(&mut self, seat: usize, who: Who, own: usize) {
        let mut value = BTreeMap::new();
        for (index, party) in self.parties.iter().enumerate() {
            let mut names = self.names_of(index);
            names.retain(|name| index == own || self.may_see(who, name));
            if !names.is_empty() {
                value.insert(&party.name, names);
            }
        }
        let reply = json!({"result": "connections", "value": value});
        self.tell(seat, reply);
    }

    fn revoke(&mut self, seat: usize, name: &'static str) {
        if self.closed.contains_key(name) {
            self.open(name);
            return self.tell(seat, json!({"name": name, "result": "revoked", "count": 0}));
        }
        match self.locks.get(name).map(|places| places[0].party) {
            None => self.tell(seat, json!({"name": name, "result": "revoke_failed"})),
            Some(party) => {
                self.take_off(name, party, Ending::Revoked);
                self.tell(seat, json!({"name": name, "result": "revoked", "count": 1}));
            }
        }
    }

    fn kick_user(&mut self, seat: usize, user: usize) {
        let who = Who::User(user);
        let seats: Vec<usize> = (0..SEATS).filter(|seat| self.who(*seat) == Some(who)).collect();
        let is_detached = |party: &Party| party.session.as_ref().is_some_and(|session| session.over.is_some());
        let is_meant = |party: &usize| {
            let party = &self.parties[*party];
            party.who == who && !party.is_over && is_detached(party)
        };
        let detached: Vec<usize> = (0..self.parties.len()).filter(is_meant).collect();
        let reply = match seats.len() + detached.len() {
            0 => json!({"result": "kick_failed"}),
            count => json!({"result": "kicked", "count": count}),
        };
        self.tell(seat, reply);
        seats.into_iter().for_each(|seat| self.end_whole(seat));
        detached.into_iter().for_each(|party| self.end(party));
    }
}
