//! Clients that take and release locks at random, behave well or badly, and keep a history.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{SockRef, TcpKeepalive};

use crate::history::{Client, EventKind, Nanos, Recorder, now};
use crate::support::lines::LineReader;

/// The longest that a wait may take, on however slow a machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a client does besides; each happens in one of this many rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Churn {
    pub(crate) locks: u32,
    /// Cuts its connection, in one of several ways.
    pub(crate) leave_in: u32,
    /// Sends its request byte by byte.
    pub(crate) dribble_in: u32,
}

impl Churn {
    /// Everything.
    pub(crate) const WILD: Churn = Churn { locks: 4, leave_in: 20, dribble_in: 30 };
}

/// Why a conversation ended from the other side.
#[derive(Debug)]
struct End;

/// One connection with a history.
pub(crate) struct Peer<'a> {
    lines: LineReader<TcpStream>,
    number: Client,
    history: &'a dyn Recorder,
}

impl<'a> Peer<'a> {
    pub(crate) fn connect(address: SocketAddr, number: Client, history: &'a dyn Recorder) -> io::Result<Peer<'a>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX + Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        // If packets are lost, this may include the one that ends the connection: nobody sends it again to a client
        // that only waits.
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(1)).with_interval(Duration::from_secs(1));
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        Ok(Peer { lines: LineReader::new(stream), number, history })
    }

    fn note(&self, what: EventKind) {
        self.history.note(self.number, what);
    }

    fn write(&mut self, bytes: &[u8], is_dribbled: bool) -> Result<(), End> {
        let socket = self.lines.socket_mut();
        let result = if is_dribbled {
            bytes.iter().try_for_each(|byte| socket.write_all(&[*byte]))
        } else {
            socket.write_all(bytes)
        };
        result.map_err(|_| End)
    }

    fn receive(&mut self) -> Result<Value, End> {
        match self.lines.next_line() {
            Ok(Some(line)) => Ok(serde_json::from_str(&line).expect("a reply is JSON")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no answer within {WAIT_MAX:?}"),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => panic!("a reply is UTF-8: {error}"),
            Ok(None) | Err(_) => Err(End),
        }
    }

    /// Requests a lock, followed by a marker whose reply shows that the request has been executed.
    fn ask(&mut self, lock: &str, timeout: Option<Duration>, is_dribbled: bool) -> Result<(), End> {
        let mut request = json!({"command": "lock", "name": lock});
        if let Some(timeout) = timeout {
            request["timeout"] = json!(timeout.as_secs_f64());
        }
        self.note(EventKind::Asking { lock: lock.to_owned(), is_timed: timeout.is_some() });
        self.write(format!("{request}\n{{\"command\":\"ping\"}}\n").as_bytes(), is_dribbled)
    }

    /// Records a reply. None: it is the reply to the marker.
    fn hear(&mut self, lock: &str) -> Result<Option<EventKind>, End> {
        let reply = self.receive()?;
        let what = match reply["result"].as_str() {
            Some("pong") => {
                self.note(EventKind::Placed);
                return Ok(None);
            }
            Some("acquired") => EventKind::Acquired,
            Some("timed_out") => EventKind::TimedOut,
            Some("released") => EventKind::Released,
            _ => panic!("{reply} is not an answer to the request"),
        };
        assert_eq!(reply["name"], lock, "{reply}");
        self.note(what.clone());
        Ok(Some(what))
    }

    /// Takes a lock, however long the wait. Returns false if the connection ended instead.
    pub(crate) fn lock(&mut self, lock: &str) -> bool {
        let mut lock_and_wait = || {
            self.ask(lock, None, false)?;
            let (mut is_placed, mut is_acquired) = (false, false);
            while !(is_placed && is_acquired) {
                match self.hear(lock)? {
                    None => is_placed = true,
                    Some(what) => is_acquired = what == EventKind::Acquired,
                }
            }
            Ok(())
        };
        let result: Result<(), End> = lock_and_wait();
        self.is_well(result)
    }

    /// Requests a lock that somebody holds, and returns when it is in the queue.
    pub(crate) fn queue(&mut self, lock: &str) -> bool {
        let result = self.ask(lock, None, false).and_then(|()| self.hear(lock));
        assert!(!matches!(result, Ok(Some(_))), "{lock} was free");
        self.is_well(result.map(|_| ()))
    }

    /// Waits for the grant of a lock that it is in the queue for.
    pub(crate) fn await_grant(&mut self, lock: &str) -> bool {
        let result = self.hear(lock);
        self.is_well(result.map(|what| assert_eq!(what, Some(EventKind::Acquired))))
    }

    pub(crate) fn unlock(&mut self, lock: &str) -> bool {
        let result = self.give_up(lock).and_then(|()| self.hear(lock));
        self.is_well(result.map(|what| assert_eq!(what, Some(EventKind::Released))))
    }

    fn give_up(&mut self, lock: &str) -> Result<(), End> {
        self.note(EventKind::Releasing);
        self.write(format!("{}\n", json!({"command": "unlock", "name": lock})).as_bytes(), false)
    }

    fn is_well(&self, result: Result<(), End>) -> bool {
        if result.is_err() {
            self.note(EventKind::Lost);
        }
        result.is_ok()
    }

    /// Ends the connection: with a reset, an end of input, or first only its own side.
    pub(crate) fn leave(mut self, how: Leave) {
        self.note(EventKind::Leaving);
        match how {
            Leave::Reset => {
                SockRef::from(self.lines.socket()).set_linger(Some(Duration::ZERO)).expect("it is a socket")
            }
            Leave::Close => {}
            Leave::HalfClose => {
                let _ = self.lines.socket().shutdown(Shutdown::Write);
                // Replies decided earlier still arrive, then the server closes its side.
                while self.receive().is_ok() {}
            }
        }
    }

    /// The connection stays open, but no longer counts in the history.
    pub(crate) fn abandon(self) -> TcpStream {
        self.note(EventKind::Leaving);
        self.lines.into_socket()
    }

    /// Takes one lock and releases it, or does something else at random. Returns whether the connection can continue.
    fn turn(mut self, churn: Churn, random: &mut fastrand::Rng) -> Option<Peer<'a>> {
        let lock = format!("lock:{}", random.u32(..churn.locks));
        let timeout = match random.u8(..10) {
            0 => Some(Duration::ZERO),
            1..=3 => Some(Duration::from_micros(random.u64(..20_000))),
            _ => None,
        };
        let is_dribbled = random.u32(..churn.dribble_in) == 0;
        let leaves = random.u32(..churn.leave_in) == 0;
        let how = [Leave::Reset, Leave::Close, Leave::HalfClose][random.usize(..3)];
        let result = self.ask(&lock, timeout, is_dribbled);
        if !self.is_well(result) {
            return None;
        }
        let gives_up_early = random.u8(..15) == 0;
        if gives_up_early && leaves {
            self.leave(how);
            return None;
        }
        if gives_up_early {
            let result = self.give_up(&lock).and_then(|()| self.hear_until_given_up(&lock));
            return self.is_well(result).then_some(self);
        }
        let (mut is_placed, mut outcome) = (false, None);
        while !(is_placed && outcome.is_some()) {
            match self.hear(&lock) {
                Ok(None) => is_placed = true,
                Ok(what) => outcome = what,
                Err(End) => {
                    self.note(EventKind::Lost);
                    return None;
                }
            }
        }
        if outcome == Some(EventKind::TimedOut) {
            return Some(self);
        }
        if random.bool() {
            std::thread::sleep(Duration::from_micros(random.u64(..300)));
        }
        if leaves {
            self.leave(how);
            return None;
        }
        self.unlock(&lock).then_some(self)
    }

    /// Until the unlock is answered, whatever arrives before.
    fn hear_until_given_up(&mut self, lock: &str) -> Result<(), End> {
        let (mut is_placed, mut is_released) = (false, false);
        while !(is_placed && is_released) {
            let reply = self.receive()?;
            match reply["result"].as_str() {
                Some("pong") => is_placed = true,
                Some("acquired") => self.note(EventKind::Acquired),
                Some("timed_out") => self.note(EventKind::TimedOut),
                // The wait had already timed out.
                Some("release_failed") => is_released = true,
                Some("released") => {
                    self.note(EventKind::Released);
                    is_released = true;
                }
                _ => panic!("{reply} is not an answer to the request"),
            }
            assert!(reply["name"] == lock || reply["name"].is_null(), "{reply}");
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave {
    Reset,
    Close,
    HalfClose,
}

/// Connections of one client have numbers from `first` on.
pub(crate) const NUMBERS: Client = 1_000_000;

/// Churns until the given time. Whenever its connection is gone, it makes a new one.
///
/// `connect` is called with the number of the connection.
pub(crate) fn churn<'a>(
    seed: u64,
    churn: Churn,
    until: Nanos,
    mut connect: impl FnMut(Client) -> io::Result<Peer<'a>>,
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut number = seed * NUMBERS;
    let mut peer = None;
    while now() < until {
        let at_hand = match peer.take() {
            Some(at_hand) => at_hand,
            None => match connect(number) {
                Ok(new) => {
                    number += 1;
                    new
                }
                // There is no room at the moment, or the network is bad.
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
            },
        };
        peer = at_hand.turn(churn, &mut random);
    }
    if let Some(peer) = peer {
        peer.leave(Leave::Close);
    }
}
