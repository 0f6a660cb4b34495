//! Requests about locks of every kind, drawn by the seed's own mixture.

use std::collections::HashSet;

use fastrand::Rng;

use crate::model::{Ask, Extra, Lock, Mode, Request, Target};
use crate::scenario::{Draw, Line, Picks, SECOND, Seat, Step, TIMEOUTS, Token};
use crate::sizes::{self, Id, Span, Whole};

/// How often a request has each of the fields that the original did not have, in 256ths, and what in.
pub(crate) struct Mix {
    owner: u8,
    several: u8,
    any: u8,
    shared: u8,
    slots: u8,
    lease: u8,
    priority: u8,
    refuse: u8,
    closing: u8,
    fence: u8,
    label: u8,
    token: u8,
    hint: u8,
    progress: u8,
    /// Of those who say hello.
    pub(crate) session: u8,
    owners: Vec<Id>,
    /// Units of the semaphores, but for some that do not fit.
    units: u128,
    /// There are only requests as the original had them.
    is_plain: bool,
}

/// Owners that are easily taken for each other.
const OWNERS: [&str; 5] = ["7", "\"7\"", "7.0", "\"player\"", "9007199254740991"];

const UNITS: [u128; 8] = [1, 1, 2, 2, 3, 4, 1 << 31, 1 << 30];

impl Mix {
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let is_plain = random.u8(0..5) == 0;
        let mut often = || if is_plain { 0 } else { [0, 0, 20, 60, 120, 200][random.usize(0..6)] };
        let [owner, several, any, shared, slots, lease] = [(); 6].map(|()| often());
        let [priority, refuse, closing, fence, label, token] = [(); 6].map(|()| often());
        let [hint, progress, session] = [(); 3].map(|()| often());
        let units = UNITS[random.usize(0..UNITS.len())];
        let count = if random.u8(0..4) == 0 { 40 } else { random.usize(1..=3) };
        let owners = (0..count).map(|_| any_owner(random)).collect();
        Mix {
            owner,
            several,
            any,
            shared,
            slots,
            lease,
            priority,
            refuse,
            closing,
            fence,
            label,
            token,
            hint,
            progress,
            session,
            owners,
            units,
            is_plain,
        }
    }
}

impl Mix {
    pub(crate) fn has_several(&self) -> bool {
        self.several > 0
    }
}

fn any_owner(random: &mut Rng) -> Id {
    if random.u8(0..4) == 0 {
        return sizes::id(&mut |of| random.u64(0..of));
    }
    let written = OWNERS[random.usize(0..OWNERS.len())];
    Id { written: written.to_owned(), returned: written.strip_suffix(".0").unwrap_or(written).to_owned() }
}

impl Draw {
    pub(crate) fn often(&mut self, often: u8) -> bool {
        self.random.u8(..) < often
    }

    pub(crate) fn owner(&mut self, ask: &Ask) -> Option<Id> {
        let request = Request { ask: ask.clone(), owner: Some(Id::number(1)), id: None };
        let often = if matches!(ask, Ask::Reset | Ask::MyLocks | Ask::Revoke { .. }) {
            self.mix.owner / 2
        } else {
            self.mix.owner
        };
        let is_asked = request.known_owner().is_some() && self.often(often);
        is_asked.then(|| self.mix.owners[self.random.usize(0..self.mix.owners.len())].clone())
    }

    /// One name, or several.
    fn target(&mut self, often_several: u8) -> Target {
        if !self.often(often_several) {
            return Target::One(self.name());
        }
        if self.random.u8(0..64) == 0 {
            return Target::Several((0..64).map(|number| format!("n{number}")).collect());
        }
        let mut names = self.names.clone();
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        self.random.shuffle(&mut names);
        if names.len() < 2 {
            return Target::One(self.name());
        }
        let count = self.random.usize(2..=names.len().min(5));
        names.truncate(count);
        Target::Several(names)
    }

    pub(crate) fn lock(&mut self) -> Ask {
        let timeout = self.random.bool().then(|| self.timeout());
        let queue_max = (self.random.u8(0..6) == 0).then(|| self.sized(sizes::queue_max));
        let target = self.target(self.mix.several);
        let extra = self.extra(matches!(target, Target::Several(_)));
        Ask::Lock(Box::new(Lock { target, timeout, queue_max, extra }))
    }

    pub(crate) fn extra(&mut self, is_several: bool) -> Extra {
        let mut extra = Extra::default();
        if self.mix.is_plain {
            return extra;
        }
        let is_any = is_several && self.often(self.mix.any);
        if is_any || self.random.u8(0..64) == 0 {
            extra.any = Some(is_any);
        }
        if self.often(self.mix.fence) {
            extra.fence = Some(self.random.u8(0..8) > 0);
        }
        let has_units = !is_several && self.often(self.mix.slots);
        if has_units {
            extra.slots = Some(self.units());
        } else if self.often(self.mix.shared) {
            extra.mode = Some(Mode::Shared);
        } else if self.random.u8(0..32) == 0 {
            extra.mode = Some(Mode::Exclusive);
        }
        extra.lease = self.often(self.mix.lease).then(|| self.lease());
        extra.refuses_deadlock = !is_any && self.often(self.mix.refuse);
        if !is_several && self.often(self.mix.priority) {
            let priority = self.random.u8(0..8);
            extra.priority = Some(whole(u128::from(priority), self.random.u8(0..8) == 0));
        }
        if !is_several && !has_units && extra.mode != Some(Mode::Shared) {
            extra.min_hold = self.often(self.mix.closing).then(|| self.closing());
            extra.lost_delay = self.often(self.mix.closing).then(|| self.closing());
        }
        if self.often(self.mix.progress) {
            extra.progress = Some(self.random.u8(0..8) > 0);
        }
        if !has_units && extra.mode != Some(Mode::Shared) && self.often(self.mix.hint) {
            extra.hint = Some(self.random.u8(0..8) > 0);
        }
        if self.often(self.mix.label) {
            extra.label = Some(self.sized(sizes::label));
        }
        extra
    }

    fn units(&mut self) -> Whole {
        let value = if self.random.u8(0..8) == 0 { UNITS[self.random.usize(0..UNITS.len())] } else { self.mix.units };
        whole(value, self.random.u8(0..8) == 0)
    }

    /// A lease is above 0.
    pub(crate) fn lease(&mut self) -> Span {
        loop {
            let lease = self.timeout();
            if lease.nanos > 0 {
                return lease;
            }
        }
    }

    pub(crate) fn closing(&mut self) -> Span {
        const LONGEST: (&str, u64) = ("86400", 86_400 * SECOND);
        let (written, nanos) = match self.random.u8(0..12) {
            0 => LONGEST,
            _ => TIMEOUTS[self.random.usize(0..TIMEOUTS.len() - 1)],
        };
        Span { written: written.to_owned(), nanos }
    }

    /// Somebody comes back to what it asked for, or somebody with the same owner does.
    pub(crate) fn follow_up(&mut self) -> Option<Step> {
        let count = self.recent.len();
        if self.mix.is_plain || count == 0 || self.random.u8(0..3) > 0 {
            return None;
        }
        let (seat, owner, asked) = self.recent[self.random.usize(0..count)].clone();
        let seat = if self.random.u8(0..8) == 0 { self.seat() } else { seat };
        let target = match asked {
            Target::Several(mut names) if self.random.bool() => {
                Target::One(names.swap_remove(self.random.usize(0..names.len())))
            }
            asked => asked,
        };
        let lease = (self.random.u8(0..3) > 0).then(|| self.lease());
        let ask = match (self.random.u8(0..9), &target) {
            (8, Target::One(name)) => self.transfer_of(name.clone()),
            (0..4, _) => Ask::Unlock { target, token: self.token() },
            (4 | 5, _) => Ask::Renew { target, token: self.token(), lease },
            (6, Target::One(name)) => Ask::Revoke { name: name.clone(), token: self.token(), connection: None },
            (_, Target::One(_)) => {
                let extra = self.extra(false);
                Ask::Lock(Box::new(Lock { target, timeout: None, queue_max: None, extra }))
            }
            (_, Target::Several(_)) => {
                let extra = self.extra(true);
                Ask::Lock(Box::new(Lock { target, timeout: None, queue_max: None, extra }))
            }
        };
        let picks = self.picks(&ask);
        let request = Request { ask, owner, id: self.id() };
        let line = Box::new(Line::Request { request, picks, padding: 0, ending: "\n" });
        Some(Step::Say { seat, line, arrives: usize::MAX })
    }

    /// Remembers who asked for which locks.
    pub(crate) fn remember(&mut self, seat: Seat, request: &Request) {
        const REMEMBERED: usize = 6;
        if let Ask::Lock(lock) = &request.ask {
            let place = self.random.usize(0..REMEMBERED);
            let asked = (seat, request.owner.clone(), lock.target.clone());
            match self.recent.get_mut(place) {
                Some(recent) => *recent = asked,
                None => self.recent.push(asked),
            }
        }
    }

    /// A hold's lease, a wait and a closed lock end in the same moment, and just then the holder renews or releases.
    pub(crate) fn plan_lease(&mut self) {
        let half = || Some(Span { written: "0.5".to_owned(), nanos: SECOND / 2 });
        let (name, holder) = (self.name(), self.seat());
        let owner = self.random.bool().then(|| Id::number(self.random.u64(0..3)));
        let mut extra = self.extra(false);
        extra.lease = half();
        let lock = Lock { extra, ..Lock::plain(&name, None, None) };
        let mut steps = vec![self.tell(holder, Ask::Lock(Box::new(lock)), owner.clone())];
        steps.push(Step::Settle(self.random.u64(..)));
        for _ in 0..self.random.usize(0..3) {
            let extra = self.extra(false);
            let lock = Lock { extra, ..Lock::plain(&name, half(), None) };
            let seat = self.seat();
            let owner = self.random.bool().then(|| Id::number(self.random.u64(3..6)));
            steps.push(self.tell(seat, Ask::Lock(Box::new(lock)), owner));
        }
        steps.push(Step::Settle(self.random.u64(..)));
        steps.push(Step::Oversleep(SECOND / 2 - self.random.u64(0..2)));
        let target = Target::One(name);
        let last = match self.random.u8(0..8) {
            0..4 => Some(Ask::Renew { target, token: None, lease: self.random.bool().then(half).flatten() }),
            4 | 5 => Some(Ask::Unlock { target, token: None }),
            6 => Some(Ask::Reset),
            _ => None,
        };
        steps.extend(last.map(|ask| self.tell(holder, ask, owner)));
        steps.push(Step::Settle(self.random.u64(..)));
        steps.reverse();
        self.planned = steps;
    }

    pub(crate) fn unlock(&mut self) -> Ask {
        Ask::Unlock { target: self.target(self.mix.several / 2), token: self.token() }
    }

    pub(crate) fn renew(&mut self) -> Ask {
        self.unless_plain(|draw| {
            let lease = (draw.random.u8(0..3) > 0).then(|| draw.lease());
            Ask::Renew { target: draw.target(draw.mix.several / 2), token: draw.token(), lease }
        })
    }

    pub(crate) fn revoke(&mut self) -> Ask {
        self.unless_plain(|draw| Ask::Revoke { name: draw.name(), token: draw.token(), connection: None })
    }

    pub(crate) fn transfer(&mut self) -> Ask {
        self.unless_plain(|draw| {
            let name = draw.name();
            draw.transfer_of(name)
        })
    }

    fn transfer_of(&mut self, name: String) -> Ask {
        let often = self.mix.owner;
        let to_owner = self.often(often).then(|| self.mix.owners[self.random.usize(0..self.mix.owners.len())].clone());
        Ask::Transfer { name, to: None, to_owner, token: self.token() }
    }

    /// A request of the newer kinds. Where there are only requests as the original had them, another.
    pub(crate) fn unless_plain(&mut self, ask: impl FnOnce(&mut Draw) -> Ask) -> Ask {
        if self.mix.is_plain { Ask::Ping } else { ask(self) }
    }

    /// A place for a token, which is only known later; see [`Draw::picks`].
    pub(crate) fn token(&mut self) -> Option<u64> {
        let often = self.mix.token;
        self.often(often).then_some(0)
    }

    /// What a request says of tokens and connections.
    pub(crate) fn picks(&mut self, ask: &Ask) -> Picks {
        // How often it names a connection, in quarters.
        let (has_token, names_connection) = match ask {
            Ask::Unlock { token, .. } | Ask::Renew { token, .. } => (token.is_some(), 0),
            Ask::Revoke { token, .. } => (token.is_some(), 1),
            Ask::Transfer { token, .. } => (token.is_some(), 3),
            _ => (false, 0),
        };
        let token = has_token.then(|| match self.random.u8(0..8) {
            0..5 => Token::OfHold,
            5 => Token::Before(self.random.u64(0..4)),
            6 => Token::Before(1 << self.random.u8(31..34)),
            _ => Token::Exactly(self.sized(|draw| sizes::number(53, draw))),
        });
        let connection = (self.random.u8(0..4) < names_connection).then(|| self.whom());
        Picks { token, connection }
    }

    /// Some wait for one lock in ways that mostly fit, and then its holder leaves it: more are granted than a turn may.
    pub(crate) fn plan_crowd(&mut self) {
        let name = self.name();
        let holder = self.seat();
        let mut steps = vec![self.tell(holder, Ask::Lock(Box::new(Lock::plain(&name, None, None))), None)];
        steps.push(Step::Settle(self.random.u64(..)));
        let has_units = self.random.u8(0..3) == 0;
        for number in 0..self.random.u64(2..7) {
            let extra = match self.random.u8(0..16) {
                0 => Extra::default(),
                _ if has_units => Extra { slots: Some(whole(4, false)), ..Extra::default() },
                _ => Extra { mode: Some(Mode::Shared), ..Extra::default() },
            };
            let mut lock = Lock { extra, ..Lock::plain(&name, None, None) };
            if self.random.u8(0..4) == 0 {
                lock.timeout = Some(self.timeout());
            }
            if !has_units && self.names.len() > 1 && self.random.u8(0..4) == 0 {
                let other = self.name();
                let names = vec![name.clone(), other];
                if names[0] != names[1] {
                    lock.target = Target::Several(names);
                    lock.extra.any = self.random.bool().then_some(true);
                }
            }
            let seat = self.seat();
            steps.push(self.tell(seat, Ask::Lock(Box::new(lock)), Some(Id::number(number))));
        }
        steps.push(Step::Settle(self.random.u64(..)));
        let leave = match self.random.u8(0..4) {
            0 => Ask::Reset,
            1 => Ask::Revoke { name, token: None, connection: None },
            _ => Ask::Unlock { target: Target::One(name), token: None },
        };
        steps.push(self.tell(holder, leave, None));
        // Then what is left over meets whatever comes next.
        for _ in 0..self.random.usize(0..3) {
            steps.push(Step::Turn);
            steps.push(self.say());
        }
        steps.reverse();
        self.planned = steps;
    }

    /// More who share a lock than a turn grants, so that several turns leave some over, and then what must not get ahead of
    /// these: a timeout, a priority, or a request that shares the other lock of one of them. Or a semaphore has units for one
    /// more than is granted: those who wait on time out, and whoever has a priority comes before them.
    pub(crate) fn plan_left_over(&mut self) {
        // Often such that nobody else has.
        let (name, other) = match self.random.u8(0..4) {
            0 => (self.name(), self.name()),
            _ => ("crowded".to_owned(), "beside".to_owned()),
        };
        let (holder, waiters, late) = (self.seat(), self.seat(), self.seat());
        let meets = self.random.u8(0..3);
        let has_units = meets < 2 && self.random.bool();
        let slots = Some(whole(self.random.u128(3..5), false)).filter(|_| has_units);
        let mode = Some(Mode::Shared).filter(|_| !has_units);
        let priority = if meets == 1 { self.random.u8(0..4) } else { 0 };
        let priority = Some(whole(priority.into(), false)).filter(|priority| priority.value > 0);
        let fitting = || Extra { mode, slots: slots.clone(), priority: priority.clone(), ..Extra::default() };
        let mut steps: Vec<Step> = [holder, waiters, late].map(|seat| self.arrive(seat)).into();
        steps.push(self.tell(holder, Ask::Lock(Box::new(Lock::plain(&name, None, None))), None));
        steps.push(Step::Settle(self.random.u64(..)));
        let count = self.random.u64(4..8);
        for number in 0..count {
            let mut lock = Lock { extra: fitting(), ..Lock::plain(&name, None, None) };
            if meets == 0 {
                lock.timeout = Some(Span { written: "0.5".to_owned(), nanos: SECOND / 2 });
            } else if meets == 2 && number + 1 == count && name != other {
                lock.target = Target::Several(vec![name.clone(), other.clone()]);
            }
            steps.push(self.tell(waiters, Ask::Lock(Box::new(lock)), Some(Id::number(number))));
        }
        steps.push(Step::Settle(self.random.u64(..)));
        steps.push(self.tell(holder, Ask::Unlock { target: Target::One(name.clone()), token: None }, None));
        let poll = Step::Poll { order: self.random.u64(..), ago: 0, most: None };
        steps.push(poll.clone());
        if meets == 0 {
            steps.extend((0..self.random.u8(0..2)).map(|_| Step::Turn));
            steps.push(Step::Oversleep(SECOND));
        } else {
            let (name, priority) = if meets == 1 { (&name, self.random.u8(1..8)) } else { (&other, 0) };
            let mut extra = if meets == 1 && self.random.bool() { Extra::default() } else { fitting() };
            extra.priority = Some(whole(priority.into(), false));
            extra.progress = Some(true);
            let lock = Lock { extra, ..Lock::plain(name, None, None) };
            steps.extend([Step::Turn, self.tell(late, Ask::Lock(Box::new(lock)), Some(Id::number(count)))]);
            if meets == 1 {
                // One more like those that are left over, which has to come after the one above if that has a higher priority.
                let lock = Lock { extra: fitting(), ..Lock::plain(name, None, None) };
                steps.push(self.tell(holder, Ask::Lock(Box::new(lock)), Some(Id::number(count))));
            }
        }
        steps.extend([poll, Step::Turn]);
        steps.reverse();
        self.planned = steps;
    }

    pub(crate) fn tell(&mut self, seat: usize, ask: Ask, owner: Option<Id>) -> Step {
        let request = Request { owner, id: self.id(), ask };
        let line = Box::new(Line::Request { request, picks: Picks::default(), padding: 0, ending: "\n" });
        Step::Say { seat, line, arrives: usize::MAX }
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.mix.is_plain
    }
}

fn whole(value: u128, has_fraction: bool) -> Whole {
    Whole { written: if has_fraction { format!("{value}.0") } else { value.to_string() }, value }
}
