//! What happens in one run, drawn from a seed: a list of steps that keeps its meaning when steps are left out of it.

use fastrand::Rng;

use crate::limits::Limits;
use crate::locks::Mix;
use crate::misfits;
use crate::model::{Ask, Lock, Request, Target, error};
use crate::sizes::{self, Id, Span};
pub(crate) use crate::steps::{From, Line, Picks, Seat, Secret, Step, Token, Whom};

/// Steps of one run.
pub(crate) const STEPS: usize = 2_000;

/// One run: the server's limits, and what its clients, the network and the clock do.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) limits: Limits,
    pub(crate) seats: usize,
    pub(crate) steps: Vec<Step>,
}

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Round times, so that many deadlines fall on the same moment.
pub(crate) const TIMEOUTS: [(&str, u64); 7] = [
    ("0", 0),
    ("0.25", SECOND / 4),
    ("0.5", SECOND / 2),
    ("1", SECOND),
    ("2.0", 2 * SECOND),
    ("30", 30 * SECOND),
    ("1e300", u64::MAX),
];

const IDLES: [(&str, u64); 3] = [("1", SECOND), ("5", 5 * SECOND), ("1e300", u64::MAX)];

const NAMES: [&str; 8] =
    ["a", "b", "boss:1", "boss:2", "a \"name\"", "0123456789012345678901234567890123456789", "g", "h"];

/// Fields that no command has.
const STRAYS: [&str; 4] =
    [r#""timeuot":1"#, r#""x":{"command":"reset"}"#, r#""user":null"#, r#""sessions":{"grace":3}"#];

/// Fields of a `lock` that are the same as none.
const NULLS: [&str; 6] = [
    r#""mode":null"#,
    r#""slots":null"#,
    r#""lease":null"#,
    r#""fence":null"#,
    r#""deadlock":null"#,
    r#""label":null"#,
];

/// Fields that only commands about certain locks have.
const STRAYS_OF_BARE: [&str; 6] =
    [r#""name":7"#, r#""names":[]"#, r#""mode":null"#, r#""lease":-1"#, r#""token":"x""#, r#""connection":"nobody""#];

/// First lines of other protocols, and after how many bytes those are known that need no line end.
const FOREIGN: [(&str, Option<usize>); 12] = [
    ("GET / HTTP/1.1\r", None),
    ("POST /{\"command\":\"reset\"} HTTP/1.0\r", None),
    ("PRI * HTTP/2.0\r", None),
    ("PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r", None),
    ("EHLO example.com\r", None),
    ("USER anonymous", None),
    ("SSH-2.0-OpenSSH_9.2\r", None),
    ("*1\r", None),
    ("\u{16}\u{3}\u{1}\u{2}", Some(3)),
    ("\u{16}\u{3}\u{3}", Some(3)),
    ("\u{5}\u{1}\0", Some(3)),
    ("\u{4}\u{1}\u{2c}\u{6c}\u{7f}", Some(3)),
];

/// Lines that begin like those, and are only invalid JSON.
const NEARLY_FOREIGN: [&str; 8] = ["GET", "PROXIES", "EHLOS", "SSH", "* 1", "\u{16}", "\u{5}", "{GET / HTTP/1.1"];

impl Scenario {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let limits = Limits::draw(&mut random);
        // Small worlds meet more often.
        let seats = match random.u8(0..10) {
            0 => random.usize(1..=64),
            1..4 => random.usize(1..=16),
            _ => random.usize(2..=6),
        };
        let mut draw = Draw::new(random, seats, &limits);
        let steps = (0..STEPS).map(|_| draw.step()).collect();
        Scenario { limits, seats, steps }
    }
}

/// How often something is drawn, and how.
type Choice<T> = (u32, fn(&mut Draw) -> T);

/// Draws steps, by the seed's own mix.
pub(crate) struct Draw {
    pub(crate) random: Rng,
    seats: usize,
    pub(crate) names: Vec<String>,
    pub(crate) mix: Mix,
    line_bytes_max: usize,
    steps: Vec<Choice<Step>>,
    requests: Vec<Choice<Ask>>,
    /// The share of lines that arrive whole, of requests with an id, and of clients on a UNIX socket, in 256ths.
    whole: u8,
    with_id: u8,
    on_unix: u8,
    /// Time passes in small steps, so that many come to wait for one lock.
    is_slow: bool,
    /// Nobody is closed for being silent, so time may pass in years.
    is_patient: bool,
    /// A turn grants so few that it is easily met.
    leaves_over: bool,
    /// Steps that come next, the last one first.
    pub(crate) planned: Vec<Step>,
    /// Some of those who asked for locks.
    pub(crate) recent: Vec<(Seat, Option<Id>, Target)>,
    next_id: u64,
}

impl Draw {
    fn new(mut random: Rng, seats: usize, limits: &Limits) -> Self {
        let steps: [Choice<Step>; 17] = [
            (60, Draw::say),
            (12, Draw::connect),
            (10, |draw| Step::Arrive { seat: draw.seat(), bytes: draw.few() }),
            (3, |draw| Step::End { seat: draw.seat() }),
            (3, |draw| Step::Reset { seat: draw.seat(), is_announced: draw.random.u8(0..4) > 0 }),
            (8, |draw| Step::Room { seat: draw.seat(), bytes: Some(draw.few()) }),
            (6, |draw| Step::Room { seat: draw.seat(), bytes: None }),
            (2, |draw| Step::Interrupt { seat: draw.seat(), times: draw.random.usize(1..4) }),
            (1, |draw| Step::TakeNothing { seat: draw.seat() }),
            (2, |draw| Step::Fail { seat: draw.seat(), is_of_former: draw.random.bool() }),
            (3, |draw| Step::Event { seat: draw.seat(), is_of_former: draw.random.bool(), bits: draw.random.u8(0..8) }),
            (6, |draw| Step::Pass(draw.time())),
            (3, |draw| Step::Oversleep(draw.time())),
            (6, |_| Step::Due),
            (3, |_| Step::NearlyDue),
            (20, |draw| if draw.random.bool() { Step::Turn } else { draw.poll() }),
            (40, |draw| Step::Settle(draw.random.u64(..))),
        ];
        let requests: [Choice<Ask>; 14] = [
            (50, Draw::lock),
            (30, Draw::unlock),
            (8, Draw::renew),
            (4, Draw::revoke),
            (6, Draw::transfer),
            (2, |draw| draw.unless_plain(|draw| Ask::MyLocksPage { has_detail: draw.random.bool() })),
            (2, |draw| Ask::One { name: draw.name(), has_detail: draw.random.bool() }),
            (6, |_| Ask::Reset),
            (2, |_| Ask::Locks),
            (2, Draw::page_of_locks),
            (2, |_| Ask::Connections),
            (3, |_| Ask::MyLocks),
            (2, |_| Ask::KeepAlive),
            (3, |_| Ask::Ping),
        ];
        // Its own mix: some kinds are three times as common as usual, some almost never come.
        let mut factor = || [0, 1, 2, 4, 4, 4, 8, 12][random.usize(0..8)];
        let steps = steps.map(|(weight, step)| (weight * factor() + 1, step)).to_vec();
        let requests = requests.map(|(weight, ask)| (weight * factor() + 1, ask)).to_vec();
        let (whole, with_id, on_unix) = (random.u8(..), random.u8(..), random.u8(..));
        let mix = Mix::draw(&mut random);
        let is_slow = seats > 16 && random.bool();
        let locks = if is_slow || random.bool() { random.usize(1..=2) } else { random.usize(1..=8) };
        // Without a second name there is nothing to ask for at once.
        let locks = if mix.has_several() { locks.max(random.usize(2..=3)) } else { locks };
        let mut names: Vec<String> = NAMES[..locks].iter().map(|name| (*name).to_owned()).collect();
        if random.u8(0..3) == 0 {
            for name in &mut names {
                *name = sizes::name(&mut |of| random.u64(0..of));
            }
        }
        let is_patient = limits.max_idle.is_none();
        let leaves_over = limits.turn_grants_max < 3;
        let line_bytes_max = limits.line_bytes_max;
        let next_id = 0;
        Draw {
            random,
            seats,
            names,
            mix,
            line_bytes_max,
            steps,
            requests,
            whole,
            with_id,
            on_unix,
            is_slow,
            is_patient,
            leaves_over,
            planned: Vec::new(),
            recent: Vec::new(),
            next_id,
        }
    }

    /// Some ask for one lock with the same timeout, and time jumps beyond it: their waits are over in the same turn.
    fn plan_simultaneous_timeouts(&mut self) {
        let name = self.name();
        let order = self.random.u64(..);
        self.planned = vec![Step::Settle(order), Step::Oversleep(SECOND), Step::Settle(order)];
        for _ in 0..4 {
            let timeout = Some(Span { written: "0.5".to_owned(), nanos: SECOND / 2 });
            let ask = Ask::Lock(Box::new(Lock::plain(&name, timeout, None)));
            let request = Request { owner: self.owner(&ask), id: self.id(), ask };
            let line = Box::new(Line::Request { request, picks: Picks::default(), padding: 0, ending: "\n" });
            let seat = self.seat();
            self.planned.push(Step::Say { seat, line, arrives: usize::MAX });
        }
    }

    fn step(&mut self) -> Step {
        if let Some(step) = self.planned.pop() {
            return step;
        }
        if self.random.u8(0..100) == 0 {
            self.plan_simultaneous_timeouts();
        } else if !self.is_plain() && self.random.u8(0..55) == 0 {
            match self.random.u8(0..7) {
                0 if self.leaves_over => self.plan_left_over(),
                0 | 1 => self.plan_crowd(),
                2 => self.plan_lease(),
                3 => self.plan_passing(),
                4 => self.plan_burst(),
                _ => self.plan_loss(),
            }
        }
        let step = weighted(&mut self.random, &self.steps);
        step(self)
    }

    fn poll(&mut self) -> Step {
        let most = self.random.bool().then(|| self.random.usize(0..4));
        let ago = if self.random.u8(0..4) == 0 { self.time() } else { 0 };
        Step::Poll { order: self.random.u64(..), ago, most }
    }

    fn connect(&mut self) -> Step {
        let from = match self.random.u8(..) {
            below if below < self.on_unix => From::Unix,
            other if other % 2 == 0 => From::Loopback,
            _ => From::Elsewhere,
        };
        // Only on a UNIX socket may a read give less than there is.
        let in_pieces = from == From::Unix && self.random.bool();
        Step::Connect {
            seat: self.seat(),
            from,
            read_max: in_pieces.then(|| self.random.usize(1..50)),
            refuses_half_close: self.random.u8(0..8) == 0,
        }
    }

    pub(crate) fn say(&mut self) -> Step {
        if let Some(step) = self.follow_up() {
            return step;
        }
        let seat = self.seat();
        let line = match self.random.u8(0..100) {
            0..3 => self.hello(),
            3..5 => Line::Kick { whom: self.whom(), id: self.id() },
            5..8 => {
                let name = self.name();
                let is_new = !self.is_plain() && self.random.bool();
                let bad = if is_new { misfits::bad_request } else { sizes::bad_request };
                let (text, reply) = self.sized(|draw| bad(&name, draw));
                Line::Bad { text, reply }
            }
            8..10 => Line::Blank,
            10 => Line::Long(self.line_bytes_max + 1 + self.random.usize(0..100)),
            11..13 => self.foreign(),
            13..15 => self.page(),
            18..22 if !self.is_plain() => self.hello(),
            22..25 if !self.is_plain() => self.watch(),
            15..18 => {
                let line = match self.random.u8(0..8) {
                    0 => self.hello(),
                    1 => self.page(),
                    _ => self.request(),
                };
                let strays = match self.random.bool().then(|| command_of(&line)).flatten() {
                    Some(Ask::Lock(lock)) if lock.extra.is_empty() => &NULLS[..],
                    Some(Ask::KeepAlive | Ask::Ping | Ask::Reset | Ask::MyLocks) => &STRAYS_OF_BARE[..],
                    _ => &STRAYS[..],
                };
                Line::Stray { line: Box::new(line), field: strays[self.random.usize(0..strays.len())] }
            }
            _ => self.request(),
        };
        if let Line::Request { request, .. } = &line {
            self.remember(seat, request);
        }
        let arrives = if self.random.u8(..) <= self.whole { usize::MAX } else { self.random.usize(0..100) };
        Step::Say { seat, line: Box::new(line), arrives }
    }

    fn request(&mut self) -> Line {
        let ask = weighted(&mut self.random, &self.requests)(self);
        let (picks, owner) = (self.picks(&ask), self.owner(&ask));
        let request = Request { ask, owner, id: self.id() };
        let is_padded = self.random.u8(0..32) == 0;
        let padding = if is_padded { self.random.usize(0..self.line_bytes_max) } else { 0 };
        let ending = ["\n", "\n", "\n", "\r\n", " \n\n"][self.random.usize(0..5)];
        Line::Request { request, picks, padding, ending }
    }

    fn page(&mut self) -> Line {
        let (has_idle, has_detail) = (self.random.u8(0..4) > 0, self.random.bool());
        let is_limited = self.random.u8(0..4) > 0 || !(has_idle || has_detail);
        let limit = is_limited.then(|| if self.random.u8(0..8) == 0 { 1000 } else { self.random.usize(1..4) });
        Line::Page { has_idle, limit, has_detail, goes_on: self.random.u8(0..4) > 0, id: self.id() }
    }

    /// Another protocol, or what looks like it.
    fn foreign(&mut self) -> Line {
        if self.random.u8(0..4) == 0 {
            let text = NEARLY_FOREIGN[self.random.usize(0..NEARLY_FOREIGN.len())].to_owned();
            return Line::Bad { text, reply: error("invalid_json", None) };
        }
        let (text, known_after) = FOREIGN[self.random.usize(0..FOREIGN.len())];
        let blanks = if self.random.bool() { self.random.usize(0..4) } else { 0 };
        Line::Foreign { blanks, text, known_after }
    }

    pub(crate) fn timeout(&mut self) -> Span {
        // Where time goes far enough for them to end, most are long.
        let of_eight = if self.is_patient { 5 } else { 2 };
        if self.random.u8(0..8) < of_eight {
            return self.sized(sizes::span);
        }
        let (written, nanos) = TIMEOUTS[self.random.usize(0..TIMEOUTS.len())];
        Span { written: written.to_owned(), nanos }
    }

    /// An idle limit is above 0.
    pub(crate) fn max_idle(&mut self) -> Span {
        let any = self.sized(sizes::span);
        if any.nanos > 0 && self.random.bool() {
            return any;
        }
        let (written, nanos) = IDLES[self.random.usize(0..IDLES.len())];
        Span { written: written.to_owned(), nanos }
    }

    pub(crate) fn id(&mut self) -> Option<Id> {
        if self.random.u8(..) >= self.with_id {
            return None;
        }
        self.next_id += 1;
        Some(match self.random.u8(0..8) {
            0..4 => self.sized(sizes::id),
            4 => Id::text(&format!("id-{}", self.next_id)),
            _ => Id::number(self.next_id),
        })
    }

    pub(crate) fn sized<T>(&mut self, draw: impl Fn(sizes::Draw<'_>) -> T) -> T {
        draw(&mut |of| self.random.u64(0..of))
    }

    pub(crate) fn seat(&mut self) -> Seat {
        self.random.usize(0..self.seats)
    }

    pub(crate) fn name(&mut self) -> String {
        self.names[self.random.usize(0..self.names.len())].clone()
    }

    fn page_of_locks(&mut self) -> Ask {
        let prefix = self.prefix();
        Ask::Page { is_contended: prefix.len() < 2, prefix, has_detail: self.random.bool() }
    }

    /// What some names begin with: nothing, one of them, or a part of one.
    pub(crate) fn prefix(&mut self) -> String {
        let name = self.name();
        let length = if self.random.bool() { self.random.usize(0..=name.len().min(4)) } else { name.len() };
        name.chars().take(length).collect()
    }

    pub(crate) fn few(&mut self) -> usize {
        let most = [3, 30, 300][self.random.usize(0..3)];
        self.random.usize(0..most)
    }

    pub(crate) fn time(&mut self) -> u64 {
        if self.is_slow {
            return self.random.u64(0..SECOND / 10);
        }
        match self.random.u8(0..16) {
            // On the same beat as the timeouts, so that things fall together.
            0..8 => SECOND / 4 * self.random.u64(0..8),
            8..14 => self.random.u64(0..3 * SECOND),
            14 => SECOND * self.random.u64(0..70),
            _ => {
                let bits = if self.is_patient { 62 } else { 40 };
                self.sized(|draw| sizes::number(bits, draw))
            }
        }
    }
}

fn command_of(line: &Line) -> Option<&Ask> {
    let Line::Request { request, .. } = line else { return None };
    Some(&request.ask)
}

fn weighted<T: Copy>(random: &mut Rng, choices: &[(u32, T)]) -> T {
    let all: u32 = choices.iter().map(|(weight, _)| weight).sum();
    let mut drawn = random.u32(0..all);
    for (weight, choice) in choices {
        if drawn < *weight {
            return *choice;
        }
        drawn -= weight;
    }
    unreachable!("what is drawn is below the sum")
}
