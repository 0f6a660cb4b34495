//! The same bytes to the same server, in different pieces.

use std::cell::RefCell;
use std::rc::Rc;

use officer::engine::{ConnectionKey, Stats, TokenBlock};
use officer::server::{Limits, Readiness, Server};
use officer::time::Moment;
use officer::wire::peer::Peer;

use crate::memory::{MemorySocket, Wire};

/// What a client sends, and one way in which it arrives, as given by the first line of an input.
#[derive(Debug)]
pub struct Sent<'a> {
    /// What is sent.
    pub bytes: &'a [u8],
    /// Whether the client ends its input after that.
    pub has_end: bool,
    /// Whether the connection is cut off when all of that has been executed.
    pub is_cut: bool,
    pub(crate) line_bytes_max: usize,
    pub(crate) way: Way<'a>,
}

/// How bytes arrive and are read, and how replies are taken. None of this may be visible in the replies.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The lengths of the pieces, repeated. Empty: line by line.
    pub(crate) pieces: &'a [u8],
    /// The server gets only one turn between two pieces, not as many as it needs.
    pub(crate) is_hurried: bool,
    /// The last piece and the end of input arrive together.
    pub(crate) ends_at_once: bool,
    /// Every second system call is interrupted by a signal.
    pub(crate) has_signals: bool,
    /// The most bytes that one read returns, on a socket that may return less than it has.
    pub(crate) read_max: usize,
    /// How many bytes the client takes at a time.
    pub(crate) window: usize,
    pub(crate) turn_read_bytes: usize,
    pub(crate) outbox_pause_bytes: usize,
}

/// Line by line, with as many turns as it needs.
pub const SLOWLY: Way<'_> = Way {
    pieces: &[],
    is_hurried: false,
    ends_at_once: false,
    has_signals: false,
    read_max: usize::MAX,
    window: usize::MAX,
    turn_read_bytes: 16 << 10,
    outbox_pause_bytes: 64 << 10,
};

/// As much as a read takes, at once.
const AT_ONCE: Way<'_> = Way { pieces: &[0], ends_at_once: true, ..SLOWLY };

/// One byte per read, and replies taken a few bytes at a time.
const BY_BYTES: Way<'_> = Way {
    pieces: &[1],
    is_hurried: true,
    read_max: 1,
    window: 31,
    turn_read_bytes: 1,
    outbox_pause_bytes: 1,
    ..SLOWLY
};

impl<'a> Sent<'a> {
    /// The bytes of the first line, each of which can be omitted or 0 for the default, are: a letter for the limit on
    /// lines, in steps of 8 bytes; flags; how much a turn reads; what pauses the connection; what a read returns; what
    /// the client takes; and the lengths of the pieces, repeated.
    pub fn of(data: &'a [u8]) -> Self {
        let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
        let (head, bytes) = (&data[..end], data.get(end + 1..).unwrap_or_default());
        let at = |index: usize| head.get(index).copied().unwrap_or(0);
        let number = |index: usize, usual: usize| Some(usize::from(at(index))).filter(|&n| n > 0).unwrap_or(usual);
        let has_flag = |flag: u8| at(1) & flag != 0;
        Sent {
            bytes,
            has_end: has_flag(1),
            is_cut: has_flag(16),
            line_bytes_max: match at(0) {
                letter @ b'a'..=b'z' => usize::from(letter - b'a') * 8,
                _ => 64 << 10,
            },
            way: Way {
                pieces: head.get(6..).filter(|pieces| !pieces.is_empty()).unwrap_or(&[0]),
                ends_at_once: has_flag(2),
                is_hurried: has_flag(4),
                has_signals: has_flag(8),
                turn_read_bytes: number(2, SLOWLY.turn_read_bytes),
                outbox_pause_bytes: number(3, SLOWLY.outbox_pause_bytes),
                read_max: number(4, usize::MAX),
                window: number(5, usize::MAX),
            },
        }
    }

    /// The ways that must have the same outcome as [`SLOWLY`].
    pub fn ways(&self) -> [Way<'a>; 4] {
        // The input's own way, and one with the pieces alone.
        [AT_ONCE, BY_BYTES, self.way, Way { pieces: self.way.pieces, is_hurried: self.way.is_hurried, ..SLOWLY }]
    }

    /// Those of the server.
    pub(crate) fn limits(&self, way: &Way<'_>) -> Limits {
        Limits {
            line_bytes_max: self.line_bytes_max,
            turn_read_bytes: way.turn_read_bytes,
            outbox_pause_bytes: way.outbox_pause_bytes,
            ..Limits::default()
        }
    }

    /// Whether the other connection says anything: it stays within the limits.
    pub(crate) fn has_other(&self) -> bool {
        self.line_bytes_max >= 64
    }

    fn pieces(&self, way: &Way<'_>) -> Vec<&'a [u8]> {
        if way.pieces.is_empty() {
            return self.bytes.split_inclusive(|&byte| byte == b'\n').collect();
        }
        let (mut left, mut pieces) = (self.bytes, Vec::new());
        let mut lengths = way.pieces.iter().map(|&length| if length == 0 { usize::MAX } else { length.into() }).cycle();
        while !left.is_empty() {
            let length = lengths.next().expect("they repeat").min(left.len());
            let (piece, rest) = left.split_at(length);
            pieces.push(piece);
            left = rest;
        }
        pieces
    }
}

/// The client and the other connection: on sockets that are empty after a short read, and on those that need not be.
pub const ON_TCP: [Peer; 2] = [Peer::V4 { ip: [127, 0, 0, 1], port: 1 }, Peer::V4 { ip: [127, 0, 0, 1], port: 2 }];
pub const ON_UNIX: [Peer; 2] = [Peer::Unix(1), Peer::Unix(2)];

/// The outcome.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the client received.
    pub to_client: String,
    /// What the other connection received, which held the lock `b` from the beginning and released it at the end.
    pub to_other: String,
    /// Whether each of them is still connected.
    pub are_connected: [bool; 2],
    /// Whether the client was told that nothing more comes.
    pub was_told_the_end: bool,
    pub stats: Stats,
}

/// What the other connection says before the client says anything, and after that.
pub(crate) const BEFORE: &str = "{\"command\":\"lock\",\"name\":\"b\"}\n";
pub(crate) const AFTER: [&str; 2] = [
    "{\"command\":\"connections\"}\n{\"command\":\"lock\",\"name\":\"a\"}\n",
    "{\"command\":\"unlock\",\"name\":\"b\"}\n{\"command\":\"locks\"}\n",
];

/// The bytes go to a new server.
pub fn answers(sent: &Sent<'_>, way: &Way<'_>, peers: [Peer; 2]) -> Outcome {
    let mut room = Room { server: Server::new(sent.limits(way), TokenBlock::all()), window: way.window };
    let [client, other] = peers.map(|peer| room.connect(peer));
    if sent.has_other() {
        room.say(&other, BEFORE.as_bytes());
    }
    client.wire.borrow_mut().has_signals = way.has_signals;
    if matches!(peers[0], Peer::Unix(_)) {
        client.wire.borrow_mut().read_max = Some(way.read_max);
    }
    client.wire.borrow_mut().room = Some(way.window);
    let pieces = sent.pieces(way);
    for (index, piece) in pieces.iter().enumerate() {
        let is_end = sent.has_end && way.ends_at_once && index + 1 == pieces.len();
        client.wire.borrow_mut().client_has_closed = is_end;
        room.put(&client, piece);
        if way.is_hurried {
            room.server.polled(NOW, true);
            room.server.turn(NOW);
        } else {
            room.settle(&client);
        }
    }
    room.settle(&client);
    client.wire.borrow_mut().client_has_closed = sent.has_end;
    client.wire.borrow_mut().is_reset = sent.is_cut;
    room.put(&client, b"");
    room.settle(&client);
    if sent.has_other() {
        AFTER.iter().for_each(|lines| room.say(&other, lines.as_bytes()));
        room.settle(&client);
    }
    let stats = room.server.stats();
    let are_connected = [&client, &other].map(|seat| room.server.socket_mut(seat.key).is_some());
    let was_told_the_end = {
        let wire = client.wire.borrow();
        wire.server_has_closed_write || wire.server_has_dropped
    };
    for seat in [&client, &other] {
        seat.wire.borrow_mut().is_reset = true;
        room.put(seat, b"");
    }
    room.settle(&client);
    assert!(room.server.is_empty(), "everybody is gone, and something is left");
    let [to_client, to_other] = [client, other].map(|seat| seat.received());
    Outcome { to_client, to_other, are_connected, was_told_the_end, stats }
}

struct Seat {
    key: ConnectionKey,
    wire: Rc<RefCell<Wire>>,
}

impl Seat {
    fn received(&self) -> String {
        String::from_utf8(self.wire.borrow().to_client.clone()).expect("replies are UTF-8")
    }
}

struct Room {
    server: Server<MemorySocket>,
    window: usize,
}

/// It never changes: what comes after a wait shows that it waits.
const NOW: Moment = Moment::from_nanos(1_000);

impl Room {
    fn connect(&mut self, peer: Peer) -> Seat {
        let wire = Rc::new(RefCell::new(Wire::default()));
        let key = self.server.accept(MemorySocket::new(Rc::clone(&wire)), peer, NOW).expect("there is room");
        Seat { key, wire }
    }

    /// Bytes arrive, or the end, or a reset, and the poll reports it.
    fn put(&mut self, seat: &Seat, bytes: &[u8]) {
        let mut wire = seat.wire.borrow_mut();
        wire.to_server.extend(bytes);
        let is_read_closed = wire.client_has_closed || wire.is_reset;
        let is_readable = !bytes.is_empty() || is_read_closed;
        drop(wire);
        self.server.ready(seat.key, Readiness { is_readable, is_writable: false, is_read_closed });
    }

    fn say(&mut self, seat: &Seat, lines: &[u8]) {
        self.put(seat, lines);
        self.settle(seat);
    }

    /// Runs turns until the server has nothing to do, with this client taking all its replies, a window at a time.
    fn settle(&mut self, seat: &Seat) {
        // Bounded only so that a server that never comes to rest fails instead of hanging.
        for _ in 0..10_000_000 {
            self.server.polled(NOW, true);
            self.server.turn(NOW);
            if self.server.next_turn().is_some_and(|next| next <= NOW) {
                continue;
            }
            let has_room = seat.wire.borrow().room != Some(0);
            if has_room {
                // Not after every turn: that would take most of the time.
                return self.server.check_all();
            }
            seat.wire.borrow_mut().room = Some(self.window);
            self.server.ready(seat.key, Readiness { is_writable: true, ..Readiness::default() });
        }
        panic!("the server never comes to rest");
    }
}
