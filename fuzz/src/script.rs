//! Operations as text, one per line; every line of bytes is an operation or nothing. However a fuzzer cuts and joins
//! them, the result is a script, and seeds can be written by hand:
//!
//! ```text
//! l0a       client 0 locks a
//! l1at4q9   client 1 locks a, with the timeout TIMEOUTS[4] and queue_max 9
//! l1ai7     … with the id 7; I7 is the id "id-7"
//! u0a       unlock    r0 reset      d0 disconnect    c0 connect
//! L0 C0 M0  locks, connections, my_locks             k0 keep_alive    g0 ping
//! h0x       client 0 calls itself x
//! w0a3      client 0 lists the locks that start like the name a, 3 per page; W0a3 with details
//! p4        a quarter of a second passes, four times. This alone times out nothing.
//! e         the next wait times out if it is due; E: all that are due
//! s         the waiters are told that the server is shutting down
//! l0*7ft*1aq*b3i*2c   in place of a choice: a name, timeout, queue_max or id of any size, the one of these numbers
//! p*3a      a time of any size passes
//! ```
//!
//! A client connects when it first does something. A digit stands for itself, a letter for its place in the alphabet,
//! any other byte for its value; all modulo the number of choices.

use crate::model::{Ask, Request, Seat};
use crate::sizes::{self, Id, Span, Whole};

/// One operation.
#[derive(Clone, Debug)]
pub enum Operation {
    Connect(Seat),
    Request(Seat, Request),
    Disconnect(Seat),
    Label(Seat, String),
    /// List all pages.
    Pages {
        seat: Seat,
        prefix: &'static str,
        limit: usize,
        has_detail: bool,
    },
    /// This many nanoseconds pass.
    Pass(u64),
    TimeOutNext,
    TimeOutAll,
    ShutDown,
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
        b'e' => return Some(Operation::TimeOutNext),
        b'E' => return Some(Operation::TimeOutAll),
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
        b'w' | b'W' => {
            let prefix = ["", "a", "boss:", "boss:17"][line.choice(4)];
            return Some(Operation::Pages { seat, prefix, limit: 1 + line.choice(8), has_detail: kind == b'W' });
        }
        b'l' => {
            let name = line.name();
            let (timeout, queue_max) = line.limits();
            Ask::Lock { name, timeout, queue_max }
        }
        b'u' => Ask::Unlock { name: line.name() },
        b'r' => Ask::Reset,
        b'L' => Ask::Locks,
        b'C' => Ask::Connections,
        b'M' => Ask::MyLocks,
        b'k' => Ask::KeepAlive,
        b'g' => Ask::Ping,
        _ => return None,
    };
    let id = match line.next() {
        Some(b'i') => Some(line.sized(sizes::id).unwrap_or_else(|| Id::number(line.choice(36) as u64))),
        Some(b'I') => Some(Id::text(&format!("id-{}", line.choice(36)))),
        _ => None,
    };
    Some(Operation::Request(seat, Request { ask, id }))
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

    fn limits(&mut self) -> (Option<Span>, Option<Whole>) {
        let (mut timeout, mut queue_max) = (None, None);
        loop {
            match self.0.first() {
                Some(b't') => {
                    self.next();
                    timeout = self.sized(sizes::span).or_else(|| Some(self.timeout()));
                }
                Some(b'q') => {
                    self.next();
                    queue_max = self.sized(sizes::queue_max).or_else(|| {
                        let value = self.choice(16) as u128;
                        Some(Whole { written: value.to_string(), value })
                    });
                }
                _ => return (timeout, queue_max),
            }
        }
    }

    fn timeout(&mut self) -> Span {
        let (written, nanos) = TIMEOUTS[self.choice(TIMEOUTS.len())];
        Span { written: written.to_owned(), nanos }
    }
}
