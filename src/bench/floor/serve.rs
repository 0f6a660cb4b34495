//! The loop of a server that only knows lines: one read and one write per connection and turn.

use std::io::{ErrorKind, Read, Write};

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::bench::script::FLOOR_LINE;
use crate::console::Failure;
use crate::net::{Listen, Listener, Socket, TcpOptions};

const LISTENER: Token = Token(usize::MAX);
const EVENTS_MAX: usize = 1024;
/// Bytes read from a connection at once, as in our server.
const READ_BYTES: usize = 16 << 10;
/// Lines written at once; the rest follows in the next turn.
const LINES_MAX: usize = 2048;

/// What a floor does with lines.
pub(super) trait Floor {
    /// A connection was made.
    fn connect(&mut self, connection: usize);
    /// A connection has ended.
    fn disconnect(&mut self, connection: usize, answers: &mut Answers);
    /// Bytes have arrived, which may contain line ends.
    fn hear(&mut self, from: usize, bytes: &[u8], answers: &mut Answers);
}

/// Lines to be written, all of them the same.
pub(super) struct Answers {
    /// Connections that have lines to be written since the last turn.
    dirty: Vec<usize>,
    /// Lines to be written to each.
    owed: Vec<usize>,
}

impl Answers {
    /// Adds this many lines for a connection.
    pub(super) fn push(&mut self, to: usize, lines: usize) {
        if lines > 0 {
            if self.owed[to] == 0 {
                self.dirty.push(to);
            }
            self.owed[to] += lines;
        }
    }
}

struct Connection {
    socket: Socket,
    /// Bytes of a partly written line.
    unsent: usize,
}

/// Serves until the process is ended.
pub(super) fn serve(listen: &Listen, mut floor: impl Floor) -> Result<(), Failure> {
    let bound = Listener::bind(listen, &TcpOptions::default()).map_err(Failure::Listen)?;
    let mut listener = bound.into_iter().next().expect("what is bound has an address");
    let mut poll = Poll::new().map_err(Failure::System)?;
    poll.registry().register(listener.source(), LISTENER, Interest::READABLE).map_err(Failure::System)?;
    crate::console::announce(&[listener.place().address()]);
    let mut connections: Slab<Connection> = Slab::new();
    let mut answers = Answers { dirty: Vec::new(), owed: Vec::new() };
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_BYTES];
    let lines = FLOOR_LINE.repeat(LINES_MAX);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.map_err(Failure::System)?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&mut listener, &poll, &mut connections, &mut answers, &mut floor);
                continue;
            }
            let number = event.token().0;
            let Some(connection) = connections.get_mut(number) else { continue };
            // Lines are counted before they are written. What has been written may end with a complete line.
            if event.is_writable() && (connection.unsent > 0 || answers.owed[number] > 0) {
                answers.dirty.push(number);
            }
            let mut is_over = false;
            while event.is_readable() {
                match connection.socket.read(&mut buffer) {
                    Ok(0) => is_over = true,
                    Ok(count) => {
                        floor.hear(number, &buffer[..count], &mut answers);
                        if count == buffer.len() || event.is_read_closed() {
                            continue;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => is_over = true,
                }
                break;
            }
            if is_over {
                connections.remove(number);
                floor.disconnect(number, &mut answers);
                answers.owed[number] = 0;
            }
        }
        let mut dirty = std::mem::take(&mut answers.dirty);
        for number in dirty.drain(..) {
            if let Some(connection) = connections.get_mut(number) {
                flush(connection, &mut answers.owed[number], &lines);
            }
        }
        answers.dirty = dirty;
    }
}

fn accept(
    listener: &mut Listener,
    poll: &Poll,
    connections: &mut Slab<Connection>,
    answers: &mut Answers,
    floor: &mut impl Floor,
) {
    // WouldBlock means that all are accepted. Without descriptors the rest waits for the next connection.
    while let Ok((socket, _)) = listener.accept() {
        let entry = connections.vacant_entry();
        let number = entry.key();
        let connection = entry.insert(Connection { socket, unsent: 0 });
        if answers.owed.len() <= number {
            answers.owed.resize(number + 1, 0);
        }
        let interests = Interest::READABLE | Interest::WRITABLE;
        if poll.registry().register(connection.socket.source(), Token(number), interests).is_err() {
            connections.remove(number);
            continue;
        }
        floor.connect(number);
    }
}

/// Writes the lines, as far as the peer takes them.
fn flush(connection: &mut Connection, owed: &mut usize, lines: &[u8]) {
    let line_len = FLOOR_LINE.len();
    loop {
        // The rest of a line is followed by complete ones.
        let len = connection.unsent + *owed * line_len;
        let start = if connection.unsent > 0 { line_len - connection.unsent } else { 0 };
        let piece = &lines[start..lines.len().min(start + len)];
        if piece.is_empty() {
            return;
        }
        match connection.socket.write(piece) {
            Ok(count) => {
                let left = len - count;
                *owed = left / line_len;
                connection.unsent = left % line_len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Its next read detects that.
            Err(_) => {
                (*owed, connection.unsent) = (0, 0);
                return;
            }
        }
    }
}
