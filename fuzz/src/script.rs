//! Operations as text, one per line; every line of bytes is an operation or nothing. However a fuzzer cuts and joins
//! them, the result is a script, and seeds can be written by hand:
//!
//! ```text
//! l0a       client 0 locks a
//! l1at4q9   client 1 locks a, with the timeout TIMEOUTS[4] and queue_max 9
//! l1ai7     … with the id 7; I7 is the id "id-7"
//! l0an1n2   client 0 locks a and two more at once; l0an1y any of them
//! l0af      … with a token; s shared, x exclusive, u2 a unit of 2, e3 a lease of TIMEOUTS[3], p7 a priority,
//!           d refuses deadlocks, w is told its position, h has a hint, m4 min_hold and z4 lost_delay,
//!           g5 a label of 5 characters, o3 for the owner OWNERS[3]
//! u0a       unlock    r0 reset      d0 disconnect    c0 connect
//! u0an1k9   unlock a and another with the token 9; o3 as the owner OWNERS[3]
//! n0ae3     renew     v0a revoke; v0ak9o3x1 with the token 9, of an owner, of the connection of client 1
//! t0ax1o3   transfer a to client 1, from an owner and to the same; k9 with the token 9
//! o0a       lists a alone; O0a with details
//! b         a turn begins, and may make grants again
//! m0        a page of my_locks with details
//! L0 C0 M0  locks, connections, my_locks             k0 keep_alive    g0 ping
//! h0x       client 0 calls itself x; H0 it wants notices
//! w0a3      client 0 lists the locks that start like the name a, 3 per page; W0a3 with details
//! p4        a quarter of a second passes, four times. This alone ends nothing.
//! e         the next lease, closed lock or wait ends if it is due; E: all that are due
//! s         the waiters are told that the server is shutting down
//! l0*7ft*1aq*b3i*2c   in place of a choice: a name, timeout, queue_max or id of any size, the one of these numbers
//! p*3a      a time of any size passes
//! ```
//!
//! A client connects when it first does something. A digit stands for itself, a letter for its place in the alphabet,
//! any other byte for its value; all modulo the number of choices.

use crate::model::{Ask, Extra, Lock, Mode, Request, Seat, Target};
use crate::sizes::{self, Id, Span, Whole};

/// One operation.
#[derive(Clone, Debug)]
pub enum Operation {
    Connect(Seat),
    Request(Seat, Request),
    Disconnect(Seat),
    Label(Seat, String),
    /// It wants to hear of holds that are revoked.
    Notices(Seat),
    /// List all pages.
    Pages {
        seat: Seat,
        prefix: &'static str,
        limit: usize,
        has_detail: bool,
    },
    /// This many nanoseconds pass.
    Pass(u64),
    BeginTurn,
    ExpireNext,
    ExpireAll,
    ShutDown,
    /// A request that names the client in this seat, if any: whose holds it revokes, or to whom it transfers a lock.
    Naming {
        seat: Seat,
        request: Request,
        of: Option<Seat>,
    },
}

/// More than the server keeps in a plain list.
pub const SEATS: usize = 24;

const NAMES: [&str; 8] = [
    "a",
    "b",
    "boss:17",
    "caf\u{e9} \"\\\n\u{1}\u{1f512}",
    "boss:18",
    "0123456789012345678901234567890",
    "a name that is too long to live inside an entry",
    "\u{0}",
];

const SECOND: u64 = 1_000_000_000;

const TIMEOUTS: [(&str, u64); 10] = [
    ("0", 0),
    ("0.25", SECOND / 4),
    ("0.5", SECOND / 2),
    ("0.75", SECOND / 4 * 3),
    ("1", SECOND),
    ("2.0", 2 * SECOND),
    ("1e300", u64::MAX),
    ("1e-12", 1),
    ("-1.5", 0),
    ("1e9", 1_000_000_000 * SECOND),
];

const CLOSINGS: [(&str, u64); 5] =
    [("0", 0), ("0.25", SECOND / 4), ("1", SECOND), ("2.5", SECOND / 2 * 5), ("86400", 86_400 * SECOND)];

/// The most names of one request.
const NAMES_MAX: usize = 64;

/// Easily taken for each other.
const OWNERS: [&str; 4] = ["7", "\"7\"", "8", "\"another owner, with a name that is long\""];

/// All operations of a script.
pub fn operations(script: &[u8]) -> impl Iterator<Item = Operation> {
    script.split(|&byte| byte == b'\n').filter_map(|line| operation(Bytes(line)))
}

fn operation(mut line: Bytes<'_>) -> Option<Operation> {
    let kind = line.0.first().copied()?;
    line.0 = &line.0[1..];
    match kind {
        b'p' => {
            let any = line.sized(|draw| sizes::number(62, draw));
            return Some(Operation::Pass(any.unwrap_or_else(|| line.choice(36) as u64 * (SECOND / 4))));
        }
        b'b' => return Some(Operation::BeginTurn),
        b'e' => return Some(Operation::ExpireNext),
        b'E' => return Some(Operation::ExpireAll),
        b's' => return Some(Operation::ShutDown),
        _ => {}
    }
    let seat = line.choice(SEATS);
    let ask = match kind {
        b'c' => return Some(Operation::Connect(seat)),
        b'd' => return Some(Operation::Disconnect(seat)),
        b'h' => {
            let label = char::from(b'a' + u8::try_from(line.choice(26)).expect("a letter"));
            return Some(Operation::Label(seat, label.to_string().repeat(line.choice(4))));
        }
        b'H' => return Some(Operation::Notices(seat)),
        b'w' | b'W' => {
            let prefix = ["", "a", "boss:", "boss:17"][line.choice(4)];
            return Some(Operation::Pages { seat, prefix, limit: 1 + line.choice(8), has_detail: kind == b'W' });
        }
        b'l' => {
            let name = line.name();
            let fields = line.fields();
            let (timeout, queue_max, owner) = (fields.timeout.clone(), fields.queue_max.clone(), fields.owner.clone());
            let target = fields.target(name);
            let extra = fields.extra(matches!(target, Target::Several(_)));
            let ask = Ask::Lock(Box::new(Lock { target, timeout, queue_max, extra }));
            return Some(Operation::Request(seat, Request { ask, owner, id: line.id() }));
        }
        b'u' | b'n' | b'v' | b't' => {
            let name = line.name();
            let fields = line.fields();
            let (token, owner, lease, of) = (fields.token, fields.owner.clone(), fields.lease.clone(), fields.of);
            let ask = match kind {
                b'u' => Ask::Unlock { target: fields.target(name), token },
                b'n' => Ask::Renew { target: fields.target(name), token, lease },
                b't' => Ask::Transfer { name, to: None, to_owner: owner.clone(), token },
                _ => Ask::Revoke { name, token, connection: None },
            };
            let request = Request { ask, owner, id: line.id() };
            return Some(if matches!(kind, b'v' | b't') {
                Operation::Naming { seat, request, of }
            } else {
                Operation::Request(seat, request)
            });
        }
        b'o' | b'O' => Ask::One { name: line.name(), has_detail: kind == b'O' },
        b'r' => Ask::Reset,
        b'L' => Ask::Locks,
        b'C' => Ask::Connections,
        b'M' => Ask::MyLocks,
        b'm' => Ask::MyLocksPage { has_detail: true },
        b'k' => Ask::KeepAlive,
        b'g' => Ask::Ping,
        _ => return None,
    };
    let owner =
        if matches!(ask, Ask::Reset | Ask::MyLocks | Ask::MyLocksPage { .. }) { line.fields().owner } else { None };
    Some(Operation::Request(seat, Request { ask, owner, id: line.id() }))
}

/// The fields of a request, whatever goes together.
#[derive(Default)]
struct Fields {
    timeout: Option<Span>,
    queue_max: Option<Whole>,
    owner: Option<Id>,
    token: Option<u64>,
    /// Whose holds are meant.
    of: Option<Seat>,
    /// Further names.
    names: Vec<String>,
    is_any: bool,
    fence: bool,
    mode: Option<Mode>,
    slots: Option<Whole>,
    lease: Option<Span>,
    priority: Option<Whole>,
    refuses_deadlock: bool,
    min_hold: Option<Span>,
    lost_delay: Option<Span>,
    label: Option<String>,
    has_progress: bool,
    has_hint: bool,
}

impl Fields {
    fn target(&self, name: String) -> Target {
        let mut names = vec![name];
        for other in &self.names {
            if !names.contains(other) && names.len() < NAMES_MAX {
                names.push(other.clone());
            }
        }
        if names.len() > 1 { Target::Several(names) } else { Target::One(names.swap_remove(0)) }
    }

    /// Leaves out what does not go with what stands before it.
    fn extra(self, is_several: bool) -> Extra {
        let is_any = is_several && self.is_any;
        let slots = self.slots.filter(|_| !is_several && self.mode.is_none());
        let is_exclusive = slots.is_none() && self.mode != Some(Mode::Shared);
        let may_close = !is_several && is_exclusive;
        Extra {
            fence: self.fence.then_some(true),
            mode: self.mode,
            slots,
            lease: self.lease,
            any: is_any.then_some(true),
            priority: self.priority.filter(|_| !is_several),
            refuses_deadlock: self.refuses_deadlock && !is_any,
            min_hold: self.min_hold.filter(|_| may_close),
            lost_delay: self.lost_delay.filter(|_| may_close),
            label: self.label,
            progress: self.has_progress.then_some(true),
            hint: (self.has_hint && is_exclusive).then_some(true),
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `of`. The end of the line stands for 0.
    fn choice(&mut self, of: usize) -> usize {
        let number = match self.next().unwrap_or(b'0') {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'z' => letter - b'a',
            other => other,
        };
        usize::from(number) % of
    }

    /// After a `*`: something of any size, of which the next two bytes say which.
    fn sized<T>(&mut self, draw: impl Fn(sizes::Draw<'_>) -> T) -> Option<T> {
        self.0 = self.0.strip_prefix(b"*")?;
        let mut state = u64::from(self.next().unwrap_or(0)) << 8 | u64::from(self.next().unwrap_or(0));
        // SplitMix64: all of its numbers depend on the first.
        Some(draw(&mut |of| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31) % of
        }))
    }

    fn name(&mut self) -> String {
        self.sized(sizes::name).unwrap_or_else(|| NAMES[self.choice(NAMES.len())].to_owned())
    }

    /// As far as there are any. What follows may be an id.
    fn fields(&mut self) -> Fields {
        let mut fields = Fields::default();
        while let Some(letter) = self.0.first().copied() {
            let rest = self.0;
            self.next();
            match letter {
                b't' => fields.timeout = self.sized(sizes::span).or_else(|| Some(self.timeout())),
                b'q' => {
                    fields.queue_max = self.sized(sizes::queue_max).or_else(|| Some(whole(self.choice(16))));
                }
                b'o' => fields.owner = self.sized(sizes::id).or_else(|| Some(self.owner())),
                b'k' => fields.token = Some(self.choice(36) as u64),
                b'n' => fields.names.push(self.name()),
                b'y' => fields.is_any = true,
                b'f' => fields.fence = true,
                b's' => fields.mode = Some(Mode::Shared),
                // Of a revocation it is whose holds are meant.
                b'x' => (fields.mode, fields.of) = (Some(Mode::Exclusive), Some(self.digit(SEATS))),
                b'u' => fields.slots = Some(whole(self.choice(4) + 1)),
                b'e' => {
                    let lease = self.sized(sizes::span).unwrap_or_else(|| self.timeout());
                    fields.lease = Some(lease).filter(|lease| lease.nanos > 0);
                }
                b'p' => fields.priority = Some(whole(self.choice(8))),
                b'd' => fields.refuses_deadlock = true,
                b'm' => fields.min_hold = Some(self.closing()),
                b'z' => fields.lost_delay = Some(self.closing()),
                b'w' => fields.has_progress = true,
                b'h' => fields.has_hint = true,
                b'g' => fields.label = Some("x".repeat(self.choice(9))),
                _ => {
                    self.0 = rest;
                    break;
                }
            }
        }
        fields
    }

    fn id(&mut self) -> Option<Id> {
        match self.next() {
            Some(b'i') => Some(self.sized(sizes::id).unwrap_or_else(|| Id::number(self.choice(36) as u64))),
            Some(b'I') => Some(Id::text(&format!("id-{}", self.choice(36)))),
            _ => None,
        }
    }

    /// A digit says whose; anything else is not taken.
    fn digit(&mut self, of: usize) -> usize {
        if self.0.first().is_some_and(u8::is_ascii_digit) { self.choice(of) } else { 0 }
    }

    fn owner(&mut self) -> Id {
        let written = OWNERS[self.choice(OWNERS.len())];
        Id { written: written.to_owned(), returned: written.to_owned() }
    }

    fn closing(&mut self) -> Span {
        let (written, nanos) = CLOSINGS[self.choice(CLOSINGS.len())];
        Span { written: written.to_owned(), nanos }
    }

    fn timeout(&mut self) -> Span {
        let (written, nanos) = TIMEOUTS[self.choice(TIMEOUTS.len())];
        Span { written: written.to_owned(), nanos }
    }
}

fn whole(value: usize) -> Whole {
    Whole { written: value.to_string(), value: value as u128 }
}
