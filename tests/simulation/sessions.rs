//! Sessions that are made, lost and resumed, hints, transfers, and those who watch, drawn by the seed's own mixture.

use crate::model::{Ask, Extra, Lock, Mode, Target};
use crate::scenario::{Draw, From, Line, SECOND, Seat, Secret, Step, Whom};
use crate::sizes::{Id, Span};

/// Graces, on the same beat as the timeouts.
const GRACES: [(&str, u64); 8] = [
    ("0", 0),
    ("0.25", SECOND / 4),
    ("0.5", SECOND / 2),
    ("1", SECOND),
    ("2.0", 2 * SECOND),
    ("30", 30 * SECOND),
    ("300", 300 * SECOND),
    // Up to a millisecond.
    ("1e-9", 1),
];

impl Draw {
    pub(crate) fn hello(&mut self) -> Line {
        let often = self.mix.session;
        let session = self.often(often).then(|| self.grace());
        let resume = self.often(often / 2).then(|| self.secret());
        Line::Hello {
            label: self.random.bool().then(|| self.sized(crate::sizes::label)),
            max_idle: self.random.bool().then(|| self.max_idle()),
            strict: self.random.bool().then(|| self.random.u8(0..4) > 0),
            notices: (!self.is_plain() && self.random.bool()).then(|| self.random.u8(0..4) > 0),
            session,
            resume,
            id: self.id(),
        }
    }

    fn grace(&mut self) -> Span {
        let any = self.sized(crate::sizes::span);
        if self.random.u8(0..4) == 0 && any.nanos <= 300 * SECOND {
            return any;
        }
        let (written, nanos) = GRACES[self.random.usize(0..GRACES.len())];
        Span { written: written.to_owned(), nanos }
    }

    fn secret(&mut self) -> Secret {
        match self.random.u8(0..10) {
            0 => Secret::Wrong(self.sized(crate::sizes::label)),
            1 => Secret::Wrong("0123456789abcdef".repeat(2)),
            _ => Secret::Known(self.random.usize(0..4)),
        }
    }

    pub(crate) fn whom(&mut self) -> Whom {
        if !self.is_plain() && self.random.u8(0..4) == 0 {
            return Whom::Session(self.random.u64(0..4));
        }
        Whom::Seat(self.seat())
    }

    pub(crate) fn watch(&mut self) -> Line {
        match self.random.u8(0..8) {
            0 => Line::Unwatch { id: self.id() },
            1 => Line::Stats { id: self.id() },
            2 => Line::Watch { prefix: None, id: self.id() },
            3 => Line::Watch { prefix: Some("none has this".to_owned()), id: self.id() },
            _ => Line::Watch { prefix: Some(self.prefix()), id: self.id() },
        }
    }

    fn say_this(&mut self, seat: Seat, line: Line) -> Step {
        Step::Say { seat, line: Box::new(line), arrives: usize::MAX }
    }

    pub(crate) fn arrive(&mut self, seat: Seat) -> Step {
        let from = if self.random.bool() { From::Loopback } else { From::Unix };
        Step::Connect { seat, from, read_max: None, refuses_half_close: false }
    }

    fn say_hello(&mut self, seat: Seat, session: Option<Span>, resume: Option<Secret>) -> Step {
        let line =
            Line::Hello { label: None, max_idle: None, strict: None, notices: None, session, resume, id: self.id() };
        self.say_this(seat, line)
    }

    /// A session gets locks, its connection is lost in one of many ways or not at all, and somebody resumes it sooner or
    /// later.
    pub(crate) fn plan_loss(&mut self) {
        let (first, second) = (self.seat(), self.seat());
        let grace = self.grace();
        let nanos = grace.nanos.max(1_000_000);
        let order = self.random.u64(..);
        let mut steps = vec![self.arrive(first), Step::Room { seat: first, bytes: None }];
        steps.push(self.say_hello(first, Some(grace), None));
        if self.random.u8(0..4) > 0 {
            steps.push(Step::Settle(order));
        }
        for _ in 0..self.random.usize(0..4) {
            let ask = self.lock();
            let owner = self.owner(&ask);
            steps.push(self.tell(first, ask, owner));
        }
        for _ in 0..self.random.usize(0..3) {
            let (seat, ask) = (self.seat(), self.lock());
            steps.push(self.tell(seat, ask, None));
        }
        if self.random.u8(0..4) == 0 {
            steps.push(Step::Room { seat: first, bytes: Some(self.few()) });
        }
        if self.random.u8(0..4) > 0 {
            steps.push(Step::Settle(order));
        }
        self.lose(first, &mut steps);
        self.let_time_pass(nanos, &mut steps);
        if self.random.bool() {
            steps.push(self.say());
        }
        steps.push(self.arrive(second));
        if self.random.u8(0..6) == 0 {
            let ask = self.lock();
            steps.push(self.tell(second, ask, None));
        }
        for seat in [second, self.seat()].into_iter().take(if self.random.u8(0..4) == 0 { 2 } else { 1 }) {
            let session = (self.random.u8(0..4) == 0).then(|| self.grace());
            let secret = if self.random.u8(0..6) == 0 { self.secret() } else { Secret::Known(0) };
            steps.push(self.say_hello(seat, session, Some(secret)));
        }
        if self.random.bool() {
            steps.push(self.say());
        }
        steps.push(Step::Settle(self.random.u64(..)));
        if self.random.bool() {
            let (seat, ask) = (self.seat(), self.lock());
            steps.push(self.tell(seat, ask, None));
        }
        steps.reverse();
        self.planned = steps;
    }

    /// A connection is lost, also in the middle of a line, with input that is not read and output that is not sent, or
    /// only looks as if it were.
    fn lose(&mut self, seat: Seat, steps: &mut Vec<Step>) {
        if self.random.u8(0..3) == 0 {
            let ask = self.lock();
            let Step::Say { line, .. } = self.tell(seat, ask, None) else { unreachable!("it says something") };
            let arrives = if self.random.bool() { usize::MAX } else { self.random.usize(0..60) };
            steps.push(Step::Say { seat, line, arrives });
        }
        match self.random.u8(0..10) {
            0..3 => steps.push(Step::End { seat }),
            3..5 => steps.push(Step::Reset { seat, is_announced: true }),
            5 => steps.push(Step::Fail { seat, is_of_former: false }),
            6 => steps.push(Step::Say { seat, line: Box::new(Line::Long(2000)), arrives: usize::MAX }),
            7 => {
                let whom = if self.random.bool() { Whom::Seat(seat) } else { Whom::Session(0) };
                let kicker = self.seat();
                let line = Line::Kick { whom, id: self.id() };
                steps.push(self.say_this(kicker, line));
            }
            _ => {}
        }
    }

    /// None, or nearly the grace, or just the grace, or more; seen by the server or slept through.
    fn let_time_pass(&mut self, grace: u64, steps: &mut Vec<Step>) {
        let order = self.random.u64(..);
        let near = [0, grace / 2, grace - 1, grace, grace, grace, grace + 1, 2 * grace][self.random.usize(0..8)];
        match self.random.u8(0..8) {
            // In the same turn.
            0 | 1 => return,
            2 => steps.push(Step::Turn),
            3 => steps.extend([Step::Settle(order), Step::Pass(near)]),
            4 => steps.extend([Step::Settle(order), Step::Oversleep(self.time()), Step::Settle(order)]),
            5 => steps.extend([Step::Settle(order), Step::Pass(near.saturating_sub(SECOND)), Step::Due]),
            _ => steps.extend([Step::Settle(order), Step::Oversleep(near)]),
        }
        for _ in 0..self.random.usize(0..3) {
            let (seat, ask) = (self.seat(), if self.random.bool() { self.lock() } else { Ask::Reset });
            steps.push(self.tell(seat, ask, None));
        }
    }

    /// Two hand a lock to each other while others wait, and somebody leaves the queue just then.
    pub(crate) fn plan_passing(&mut self) {
        if self.random.u8(0..3) == 0 {
            return self.plan_handing_to_nobody();
        }
        // Often one that nobody else has.
        let name = if self.random.u8(0..4) > 0 { "handed on".to_owned() } else { self.name() };
        let seats: Vec<Seat> = (0..3).map(|_| self.seat()).collect();
        let owner = |number: usize| Some(Id::number(number as u64));
        // Some wait in a way in which others may hold with them.
        let has_shared = self.random.u8(0..3) == 0;
        let plain = |draw: &mut Draw, number: usize| {
            if number > 0 && has_shared {
                let extra = Extra { mode: Some(Mode::Shared), ..Extra::default() };
                return Ask::Lock(Box::new(Lock { extra, ..Lock::plain(&name, None, None) }));
            }
            let other = draw.name();
            if number > 0 && other != name && draw.random.u8(0..6) == 0 {
                let target = Target::Several(vec![name.clone(), other]);
                return Ask::Lock(Box::new(Lock { target, ..Lock::plain("", None, None) }));
            }
            let mut extra = if draw.random.u8(0..3) == 0 { draw.extra(false) } else { Extra::default() };
            extra.min_hold = (draw.random.u8(0..4) == 0).then(|| draw.closing()).filter(|_| extra.is_exclusive());
            Ask::Lock(Box::new(Lock { extra, ..Lock::plain(&name, None, None) }))
        };
        let mut steps: Vec<Step> = seats.iter().map(|seat| self.arrive(*seat)).collect();
        for (number, seat) in seats.iter().enumerate() {
            let ask = plain(self, number);
            steps.push(self.tell(*seat, ask, owner(number)));
            steps.push(Step::Settle(self.random.u64(..)));
        }
        let mut from = 0;
        for _ in 0..self.random.usize(1..5) {
            let to = if self.random.u8(0..3) == 0 { 1 } else { 2 };
            let to = if to == from { 0 } else { to };
            if self.random.u8(0..5) == 0 {
                let target = Target::One(name.clone());
                steps.push(self.tell(seats[to], Ask::Unlock { target, token: None }, owner(to)));
            }
            let ask = Ask::Transfer { name: name.clone(), to: None, to_owner: owner(to), token: None };
            steps.push(self.hand_on(seats[from], Whom::Seat(seats[to]), ask, owner(from)));
            let ask = plain(self, from);
            steps.push(self.tell(seats[from], ask, owner(from)));
            if self.random.bool() {
                steps.push(Step::Settle(self.random.u64(..)));
            }
            from = to;
        }
        steps.push(Step::Settle(self.random.u64(..)));
        steps.reverse();
        self.planned = steps;
    }

    /// A lock is handed to a session that waits for it, and has no connection.
    fn plan_handing_to_nobody(&mut self) {
        let name = self.name();
        let (holder, waiter) = (self.seat(), self.seat());
        let lock = || Ask::Lock(Box::new(Lock::plain(&name, None, None)));
        let grace = Some(Span { written: "30".to_owned(), nanos: 30 * SECOND });
        let mut steps = vec![self.arrive(holder), self.arrive(waiter), self.tell(holder, lock(), Some(Id::number(1)))];
        steps.push(self.say_hello(waiter, grace, None));
        steps.push(self.tell(waiter, lock(), None));
        steps.push(Step::Settle(self.random.u64(..)));
        if waiter != holder {
            steps.push(Step::Reset { seat: waiter, is_announced: true });
        }
        if self.random.u8(0..4) > 0 {
            steps.push(Step::Settle(self.random.u64(..)));
        }
        let ask = Ask::Transfer { name: name.clone(), to: None, to_owner: None, token: None };
        steps.push(self.hand_on(holder, Whom::Session(0), ask, Some(Id::number(1))));
        steps.push(Step::Settle(self.random.u64(..)));
        steps.reverse();
        self.planned = steps;
    }

    /// A holder hands a lock on.
    fn hand_on(&mut self, from: Seat, to: Whom, ask: Ask, owner: Option<Id>) -> Step {
        let Step::Say { seat, mut line, arrives } = self.tell(from, ask, owner) else {
            unreachable!("it says something")
        };
        if let Line::Request { picks, .. } = &mut *line {
            picks.connection = Some(to);
        }
        Step::Say { seat, line, arrives }
    }

    /// More happens at once than a watcher is told that takes nothing, and in between it watches something else.
    pub(crate) fn plan_burst(&mut self) {
        let (watcher, busy) = (self.seat(), self.seat());
        let names: Vec<String> = (0..64).map(|number| format!("n{number}")).collect();
        let mut steps = vec![self.arrive(watcher), self.arrive(busy)];
        let prefix = self.random.bool().then(|| "n".to_owned());
        let line = Line::Watch { prefix, id: None };
        steps.push(self.say_this(watcher, line));
        steps.push(Step::Settle(self.random.u64(..)));
        steps.push(Step::Room { seat: watcher, bytes: Some(self.few()) });
        for _ in 0..self.random.usize(1..6) {
            let lock = Lock { target: Target::Several(names.clone()), ..Lock::plain("", None, None) };
            steps.push(self.tell(busy, Ask::Lock(Box::new(lock)), None));
            if self.random.u8(0..6) == 0 {
                let line = self.watch();
                steps.push(self.say_this(watcher, line));
            }
            let target = Target::Several(names.clone());
            steps.push(self.tell(busy, Ask::Unlock { target, token: None }, None));
            if self.random.u8(0..3) == 0 {
                steps.push(Step::Settle(self.random.u64(..)));
            }
        }
        steps.push(Step::Settle(self.random.u64(..)));
        if self.random.bool() {
            steps.push(Step::Room { seat: watcher, bytes: Some(30_000) });
            steps.push(self.say());
            steps.push(Step::Settle(self.random.u64(..)));
        }
        steps.push(Step::Room { seat: watcher, bytes: None });
        steps.push(self.say());
        steps.push(Step::Settle(self.random.u64(..)));
        steps.reverse();
        self.planned = steps;
    }
}
