//! The same bytes to the same server by HTTP, in different pieces.

use std::cell::RefCell;
use std::rc::Rc;

use officer::engine::{ConnectionKey, Stats, TokenBlock};
use officer::server::{Access, Limits, Readiness, Server};
use officer::time::Moment;
use officer::wire::peer::Peer;

use crate::memory::{MemorySocket, Wire};

/// What a client sends. The first line of an input says how: flags, how many bytes it takes at a time, and the lengths of the
/// pieces, repeated; 0 is everything.
#[derive(Debug)]
pub struct Sent<'a> {
    /// What is sent.
    pub bytes: &'a [u8],
    /// Whether the server has users.
    has_users: bool,
    has_signals: bool,
    window: usize,
    pieces: &'a [u8],
}

/// What can be seen of the answers in whatever pieces the requests come: figures differ by the turns that these take.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status line of each, and what it says about methods and the end.
    pub lines: Vec<String>,
    pub is_connected: bool,
    pub stats: Stats,
}

/// Of `ops:secret`, whose credentials are `b3BzOnNlY3JldA==`.
const USERS: &str = "[users.ops]\nadmin = true\n\
    secret_sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n\
    [anonymous]\nlocks = [\"\"]\n";

const ALICE: Peer = Peer::V4 { ip: [127, 0, 0, 1], port: 1 };
const CLIENT: Peer = Peer::V4 { ip: [127, 0, 0, 1], port: 2 };

/// It never changes.
const NOW: Moment = Moment::from_nanos(1_000);

impl<'a> Sent<'a> {
    pub fn of(data: &'a [u8]) -> Self {
        let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
        let (head, bytes) = (&data[..end], data.get(end + 1..).unwrap_or_default());
        let at = |index: usize| head.get(index).copied().unwrap_or(0);
        Sent {
            bytes,
            has_users: at(0) & 1 != 0,
            has_signals: at(0) & 2 != 0,
            window: Some(usize::from(at(1))).filter(|&window| window > 0).unwrap_or(usize::MAX),
            pieces: head.get(2..).filter(|pieces| !pieces.is_empty()).unwrap_or(&[1]),
        }
    }

    /// What is answered when all of it comes at once.
    pub fn at_once(&self) -> Outcome {
        self.answers(&[0], usize::MAX, false)
    }

    /// What is answered when it comes in its pieces, or byte by byte.
    pub fn in_pieces(&self) -> [Outcome; 2] {
        [self.answers(self.pieces, self.window, self.has_signals), self.answers(&[1], 100, false)]
    }

    /// The most answers that there may be: one for each head, and one for something that is none.
    pub fn answers_max(&self) -> usize {
        self.bytes.windows(4).filter(|window| window == b"\r\n\r\n").count() + 1
    }

    fn answers(&self, pieces: &[u8], window: usize, has_signals: bool) -> Outcome {
        let mut server = Server::new(Limits::default(), TokenBlock::all());
        if self.has_users {
            server.set_access(Access::parse(USERS).expect("it is in order"));
        }
        server.set_http_hosts(&["officer.example".to_owned()]);
        let holder = Rc::new(RefCell::new(Wire::default()));
        holder.borrow_mut().to_server.extend(b"{\"command\":\"lock\",\"name\":\"b\"}\n");
        let key = server.accept(MemorySocket::new(Rc::clone(&holder)), ALICE, NOW).expect("there is room");
        server.ready(key, Readiness { is_readable: true, ..Readiness::default() });
        // The lock is taken before anything comes by HTTP.
        server.polled(NOW, true);
        server.turn(NOW);
        let wire = Rc::new(RefCell::new(Wire { room: Some(window), has_signals, ..Wire::default() }));
        let client = server.accept_http(MemorySocket::new(Rc::clone(&wire)), CLIENT, NOW).expect("there is room");
        let mut room = Room { server, wire, client, window };
        let mut left = self.bytes;
        for piece in pieces.iter().cycle() {
            let length = if *piece == 0 { left.len() } else { left.len().min((*piece).into()) };
            room.wire.borrow_mut().to_server.extend(&left[..length]);
            left = &left[length..];
            room.settle();
            if left.is_empty() {
                break;
            }
        }
        let stats = room.server.stats();
        let is_connected = room.server.socket_mut(room.client).is_some();
        for (key, wire) in [(key, &holder), (room.client, &room.wire)] {
            wire.borrow_mut().is_reset = true;
            room.server.ready(key, Readiness { is_readable: true, is_writable: true, is_read_closed: true });
        }
        room.turns();
        assert!(room.server.is_empty(), "everybody is gone, and something is left");
        let text = String::from_utf8(room.wire.borrow().to_client.clone()).expect("answers are UTF-8");
        let tells = ["HTTP/1.1 ", "Connection: ", "Allow: "];
        let lines = text.lines().filter(|line| tells.iter().any(|tells| line.starts_with(tells)));
        Outcome { lines: lines.map(str::to_owned).collect(), is_connected, stats }
    }
}

struct Room {
    server: Server<MemorySocket>,
    wire: Rc<RefCell<Wire>>,
    client: ConnectionKey,
    window: usize,
}

impl Room {
    /// Runs turns until there is nothing to do.
    fn turns(&mut self) {
        // Bounded only so that a server that never comes to rest fails instead of hanging.
        for _ in 0..1_000_000 {
            self.server.polled(NOW, true);
            self.server.turn(NOW);
            if self.server.next_turn().is_none_or(|next| next > NOW) {
                return self.server.check_all();
            }
        }
        panic!("the server never comes to rest");
    }

    /// The same, with the client taking all that it is sent, a window at a time.
    fn settle(&mut self) {
        self.server.ready(self.client, Readiness { is_readable: true, ..Readiness::default() });
        self.turns();
        while self.wire.borrow().room == Some(0) {
            self.wire.borrow_mut().room = Some(self.window);
            self.server.ready(self.client, Readiness { is_writable: true, ..Readiness::default() });
            self.turns();
        }
    }
}
