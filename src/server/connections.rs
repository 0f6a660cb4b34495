//! All connections: who has something to read, to send or to end, and what they owe together.

use std::collections::VecDeque;
use std::io::ErrorKind;

use super::Socket;
use super::buffers::Pool;
use super::connection::{Connection, Disconnect, Inbox, Leave, Outbox, Phase};
use super::limits::Limits;
use super::recorder::Recorder;
use crate::engine::deadline::{Deadlines, Nanos};
use crate::engine::{ConnectionKey, ConnectionTag, Replies};
use crate::slots::Slots;
use crate::wire::peer::Peer;
use crate::wire::reply::Reply;
use crate::wire::transcript::What;

/// The connections and the lists that the turn goes through. It takes the engine's replies.
#[derive(Debug)]
pub(super) struct Connections<S> {
    pub(super) limits: Limits,
    slots: Slots<ConnectionTag, Connection<S>>,
    /// Those with something to read, or to carry out.
    listed: Vec<ConnectionKey>,
    /// Those with something to send that the socket may take.
    dirty: Vec<ConnectionKey>,
    /// Those whose sessions are to be ended, in the order in which that was decided.
    doomed: VecDeque<ConnectionKey>,
    pub(super) deadlines: Deadlines<ConnectionKey>,
    pub(super) inboxes: Pool<Inbox>,
    outboxes: Pool<Outbox>,
    /// Bytes received on all connections together and not carried out.
    kept: usize,
    /// Unsent bytes of all connections together.
    unsent: usize,
    /// Bytes of replies since the start.
    pub(super) bytes_pushed: u64,
    /// Connections that are only there to be told that there is no room.
    turned_away: usize,
    /// The time of this turn.
    pub(super) now: Nanos,
    pub(super) recorder: Recorder,
}

/// What one read gave.
pub(super) enum Input {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The end.
    End(Disconnect),
}

impl<S: Socket> Connections<S> {
    pub(super) fn new(limits: Limits) -> Self {
        Connections {
            limits,
            slots: Slots::default(),
            listed: Vec::new(),
            dirty: Vec::new(),
            doomed: VecDeque::new(),
            deadlines: Deadlines::default(),
            inboxes: Pool::default(),
            outboxes: Pool::default(),
            kept: 0,
            unsent: 0,
            bytes_pushed: 0,
            turned_away: 0,
            now: 0,
            recorder: Recorder::new(),
        }
    }

    /// The idle limit of all.
    pub(super) fn max_idle(&self) -> Nanos {
        self.limits.max_idle.map_or(Nanos::MAX, |max_idle| whole_milliseconds(nanos(max_idle)))
    }

    pub(super) fn insert(&mut self, socket: S, peer: Peer) -> ConnectionKey {
        self.record(peer, What::Came, b"");
        let max_idle = self.max_idle();
        self.slots.insert(Connection::new(socket, peer, max_idle, self.now))
    }

    pub(super) fn get(&self, key: ConnectionKey) -> Option<&Connection<S>> {
        self.slots.get(key)
    }

    pub(super) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection<S>> {
        self.slots.get_mut(key)
    }

    /// A connection that is known to be there.
    pub(super) fn known(&mut self, key: ConnectionKey) -> &mut Connection<S> {
        self.slots.get_mut(key).expect("the connection is there")
    }

    /// Those that count against the limit: all but the ones that are told that there is no room.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.turned_away
    }

    pub(super) fn turned_away(&self) -> usize {
        self.turned_away
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether there is something to do without waiting for an event.
    pub(super) fn has_work(&self) -> bool {
        !(self.listed.is_empty() && self.dirty.is_empty() && self.doomed.is_empty())
    }

    /// Whether nothing is left of any connection.
    pub(super) fn is_empty(&self) -> bool {
        // A deadline without its connection is what check_all finds.
        self.slots.is_empty() && !self.has_work()
    }

    /// It is read from in the next turn.
    pub(super) fn list(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        if !std::mem::replace(&mut connection.flags.is_listed, true) {
            self.listed.push(key);
        }
    }

    /// It is flushed at the end of the turn.
    pub(super) fn mark_dirty(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        if !std::mem::replace(&mut connection.flags.is_dirty, true) {
            self.dirty.push(key);
        }
    }

    /// The list of those to be read, in exchange for an empty one.
    pub(super) fn take_listed(&mut self, empty: Vec<ConnectionKey>) -> Vec<ConnectionKey> {
        std::mem::replace(&mut self.listed, empty)
    }

    /// The connection of this name that clients know of.
    pub(super) fn find(&self, peer: Peer) -> Option<ConnectionKey> {
        let is_it = |connection: &Connection<S>| connection.peer == peer && connection.session.is_some();
        self.slots.iter().find(|(_, connection)| is_it(connection)).map(|(key, _)| key)
    }

    pub(super) fn next_doomed(&mut self) -> Option<ConnectionKey> {
        self.doomed.pop_front()
    }

    /// So much is unsent that its requests are not carried out.
    pub(super) fn is_paused(&self, connection: &Connection<S>) -> bool {
        connection.unsent() >= self.limits.outbox_pause_bytes
    }

    /// Reads once.
    pub(super) fn read(&mut self, key: ConnectionKey, buffer: &mut [u8]) -> Input {
        let now = self.now;
        let connection = self.known(key);
        match connection.socket.read(buffer) {
            Ok(0) => Input::End(Disconnect::PeerClosed),
            Ok(bytes) => {
                connection.last_input = now;
                if bytes < buffer.len() && connection.is_drained_by_short_read() {
                    connection.flags.is_readable = false;
                }
                Input::Bytes(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.flags.is_readable = false;
                Input::Nothing
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Input::Nothing,
            Err(error) => Input::End(Disconnect::Io(error)),
        }
    }

    /// What is left from before, for as long as lines of it are carried out.
    pub(super) fn take_inbox(&mut self, key: ConnectionKey) -> Option<Box<Inbox>> {
        let inbox = self.known(key).inbox.take();
        self.kept -= inbox.as_ref().map_or(0, |inbox| inbox.bytes.len());
        inbox
    }

    /// What is left now, if anything is.
    pub(super) fn keep_inbox(&mut self, key: ConnectionKey, mut inbox: Box<Inbox>) {
        let connection = self.known(key);
        if inbox.bytes.is_empty() || connection.phase != Phase::Open {
            return self.inboxes.put(inbox);
        }
        inbox.give_back(!connection.flags.is_readable);
        let bytes = inbox.bytes.len();
        connection.inbox = Some(inbox);
        self.kept += bytes;
        while self.kept > self.limits.inboxes_bytes_max {
            self.doom_largest(Connection::kept, Disconnect::InboxesFull);
        }
    }

    /// Decides that a connection ends. Its session is ended when its turn comes; until then nothing of it is carried out
    /// and nothing more is sent to it.
    pub(super) fn doom(&mut self, key: ConnectionKey, why: Disconnect) {
        let connection = self.known(key);
        let peer = connection.peer;
        match connection.phase {
            Phase::Open => {
                connection.phase = Phase::Doomed { leave: why.leave() };
                self.doomed.push_back(key);
            }
            // It ended before, for the reason that was logged then, and now there is no use in waiting until all is sent
            // or read.
            Phase::Doomed { .. } if why.leave() == Leave::Now => {
                connection.phase = Phase::Doomed { leave: Leave::Now };
                return self.drop_outbox(key);
            }
            Phase::Draining { .. } | Phase::Lingering { .. } if why.leave() == Leave::Now => {
                return self.remove(key);
            }
            Phase::Doomed { .. } | Phase::Draining { .. } | Phase::Lingering { .. } => return,
        }
        self.drop_inbox(key);
        if why.leave() == Leave::Now {
            self.drop_outbox(key);
        }
        log::info!("{peer} ended: {why}");
        self.record(peer, What::Ended, why.to_string().as_bytes());
    }

    fn record(&mut self, peer: Peer, what: What, bytes: &[u8]) {
        self.recorder.log(self.now, peer, what, bytes);
        self.recorder.remember(self.now, peer, what, bytes);
    }

    /// There is no room for this one. It is told so, and does not count against the limit until it is gone.
    pub(super) fn turn_away(&mut self, key: ConnectionKey, reply: &Reply<'_>) {
        self.known(key).flags.is_turned_away = true;
        self.turned_away += 1;
        self.push(key, reply);
        self.doom(key, Disconnect::TooManyConnections);
    }

    /// The session has ended: the socket is closed now, or when all is sent.
    pub(super) fn begin_drain(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        let Phase::Doomed { leave } = connection.phase else { unreachable!("only a doomed session is ended") };
        connection.phase = Phase::Draining { leave };
        match leave {
            Leave::Now => self.remove(key),
            // The flush finds out that all is sent, if it is.
            Leave::Sent | Leave::Read => {
                self.mark_dirty(key);
                self.arm(key);
            }
        }
    }

    /// Writes once to every connection that has something to send and may take it.
    pub(super) fn flush_dirty(&mut self, spare: &mut Vec<ConnectionKey>) {
        std::mem::swap(&mut self.dirty, spare);
        for key in spare.drain(..) {
            if let Some(connection) = self.slots.get_mut(key) {
                connection.flags.is_dirty = false;
                self.flush(key);
            }
        }
    }

    fn flush(&mut self, key: ConnectionKey) {
        let now = self.now;
        let connection = self.slots.get_mut(key).expect("the connection is there");
        let Some(outbox) = &mut connection.outbox else { return self.on_flushed(key) };
        if connection.flags.is_blocked {
            return;
        }
        match connection.socket.write(outbox.unsent()) {
            Ok(0) => self.doom(key, Disconnect::Io(ErrorKind::WriteZero.into())),
            Ok(bytes) => {
                self.recorder.remember(now, connection.peer, What::Sent, &outbox.unsent()[..bytes]);
                outbox.mark_sent(bytes);
                connection.last_progress = now;
                let is_empty = outbox.unsent().is_empty();
                self.unsent -= bytes;
                if is_empty {
                    self.drop_outbox(key);
                    self.on_flushed(key);
                } else {
                    // Not every socket announces that it takes more after it took a part. It is tried once more, and
                    // waited for when it says that it would block.
                    self.mark_dirty(key);
                    self.arm(key);
                }
                self.resume(key);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.flags.is_blocked = true;
                self.arm(key);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.mark_dirty(key);
                self.arm(key);
            }
            Err(error) => self.doom(key, Disconnect::Io(error)),
        }
    }

    /// Goes on in the next turn with what it has sent, if that is to be. Once enough is sent nobody else would come back to
    /// it.
    pub(super) fn resume(&mut self, key: ConnectionKey) {
        let Some(connection) = self.slots.get(key) else { return };
        let has_input = connection.flags.is_readable || connection.has_unscanned();
        if connection.phase == Phase::Open && has_input && !self.is_paused(connection) {
            self.list(key);
        }
    }

    /// All is sent.
    fn on_flushed(&mut self, key: ConnectionKey) {
        let until = self.now.saturating_add(nanos(self.limits.linger));
        let connection = self.known(key);
        let Phase::Draining { leave } = connection.phase else { return };
        if leave == Leave::Read && connection.socket.close_write().is_ok() {
            connection.phase = Phase::Lingering { until };
            self.list(key);
            self.arm(key);
        } else {
            self.remove(key);
        }
    }

    /// Closes the socket and forgets the connection.
    pub(super) fn remove(&mut self, key: ConnectionKey) {
        self.drop_outbox(key);
        let connection = self.slots.remove(key).expect("the connection is there");
        assert!(connection.session.is_none(), "a connection outlives its session");
        if let Some(deadline) = connection.deadline {
            self.deadlines.cancel(deadline);
        }
        if connection.flags.is_turned_away {
            self.turned_away -= 1;
        }
    }

    fn drop_inbox(&mut self, key: ConnectionKey) {
        if let Some(inbox) = self.take_inbox(key) {
            self.inboxes.put(inbox);
        }
    }

    fn drop_outbox(&mut self, key: ConnectionKey) {
        if let Some(outbox) = self.known(key).outbox.take() {
            self.unsent -= outbox.unsent().len();
            self.outboxes.put(outbox);
        }
    }

    /// Sees to it that a deadline is armed no later than the earliest limit on time of this connection.
    pub(super) fn arm(&mut self, key: ConnectionKey) {
        let due = self.due(self.get(key).expect("the connection is there"));
        let connection = self.slots.get_mut(key).expect("the connection is there");
        match (connection.deadline, due) {
            (None, Some(due)) => connection.deadline = Some(self.deadlines.arm(due, key)),
            (Some(deadline), Some(due)) if due < self.deadlines.at(deadline) => self.deadlines.rearm(deadline, due),
            // One that is armed too early finds nothing due and is armed anew then: activity need not move it.
            (Some(_) | None, _) => {}
        }
    }

    /// When the earliest limit on time is reached if nothing happens until then.
    fn due(&self, connection: &Connection<S>) -> Option<Nanos> {
        let stalled = || connection.last_progress.saturating_add(nanos(self.limits.outbox_stall));
        let idle = Some(connection.last_input.saturating_add(connection.max_idle)).filter(|at| *at < Nanos::MAX);
        match connection.phase {
            Phase::Open if connection.unsent() > 0 => Some(idle.map_or(stalled(), |idle| idle.min(stalled()))),
            Phase::Open => idle,
            Phase::Doomed { .. } => None,
            Phase::Draining { .. } => Some(stalled()),
            Phase::Lingering { until } => Some(until),
        }
    }

    /// Looks at a connection whose deadline has come.
    pub(super) fn on_deadline(&mut self, key: ConnectionKey) {
        let now = self.now;
        let connection = self.known(key);
        connection.deadline = None;
        if connection.flags.is_readable || connection.has_unscanned() {
            // It has sent something; that we did not look at it yet does not make it idle.
            connection.last_input = now;
        }
        let connection = self.get(key).expect("the connection is there");
        let stalled_since = now.saturating_sub(connection.last_progress);
        let is_stalled = connection.unsent() > 0 && stalled_since >= nanos(self.limits.outbox_stall);
        match connection.phase {
            Phase::Lingering { until } if until <= now => self.remove(key),
            Phase::Open | Phase::Draining { .. } if is_stalled => self.end_if_stalled(key),
            Phase::Open if self.due(connection).is_some_and(|due| due <= now) => self.doom(key, Disconnect::Idle),
            _ => self.arm(key),
        }
    }

    /// The poll says that a socket takes something only when a good part of its buffer is free, and a slow peer may not have
    /// come so far: it is tried once before the peer counts as one that takes nothing.
    fn end_if_stalled(&mut self, key: ConnectionKey) {
        self.known(key).flags.is_blocked = false;
        self.flush(key);
        match self.get(key) {
            Some(connection) if connection.unsent() > 0 && connection.last_progress < self.now => {
                self.doom(key, Disconnect::Stalled);
            }
            Some(_) => self.arm(key),
            None => {}
        }
    }

    /// Checks everything that always holds, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub(super) fn check_all(&self) {
        self.deadlines.check_all();
        let (mut kept, mut unsent, mut armed, mut turned_away) = (0, 0, 0, 0);
        for (key, connection) in self.slots.iter() {
            kept += connection.kept();
            unsent += connection.unsent();
            turned_away += usize::from(connection.flags.is_turned_away);
            armed += usize::from(connection.deadline.is_some());
            let times = |list: &[ConnectionKey]| list.iter().filter(|listed| **listed == key).count();
            assert_eq!(times(&self.listed), usize::from(connection.flags.is_listed), "listed once, or not at all");
            assert_eq!(times(&self.dirty), usize::from(connection.flags.is_dirty), "dirty once, or not at all");
            let is_doomed = matches!(connection.phase, Phase::Doomed { .. });
            assert_eq!(self.doomed.contains(&key), is_doomed, "who is doomed waits for the end");
            if let (Phase::Open, Some(due)) = (connection.phase, self.due(connection)) {
                let deadline = connection.deadline.map(|deadline| self.deadlines.at(deadline));
                assert!(deadline.is_some_and(|at| at <= due), "a limit on time has a deadline");
            }
            assert!(connection.outbox.as_ref().is_none_or(|outbox| !outbox.unsent().is_empty()), "no idle buffer");
            assert!(connection.inbox.as_ref().is_none_or(|inbox| !inbox.bytes.is_empty()), "no idle buffer");
            assert!(connection.inbox.is_none() || connection.phase == Phase::Open, "input that nobody carries out");
            let can_move = connection.flags.is_dirty || connection.flags.is_blocked;
            assert!(connection.unsent() == 0 || can_move || is_doomed, "unsent output has nobody to send it");
            let has_input = connection.flags.is_readable || connection.has_unscanned();
            let is_served = connection.flags.is_listed || self.is_paused(connection);
            assert!(connection.phase != Phase::Open || !has_input || is_served, "a connection is deaf");
        }
        assert_eq!(kept, self.kept, "the sum of what is not carried out");
        assert_eq!(unsent, self.unsent, "the sum of what is unsent");
        assert_eq!(armed, self.deadlines.len(), "every deadline has its connection");
        assert_eq!(turned_away, self.turned_away, "the number of those turned away");
    }
}

impl<S: Socket> Replies for Connections<S> {
    fn push(&mut self, to: ConnectionKey, reply: &Reply<'_>) {
        let connection = self.slots.get_mut(to).expect("a session outlives no connection");
        if connection.phase != Phase::Open {
            return;
        }
        if connection.outbox.is_none() {
            connection.last_progress = self.now;
        }
        let outbox = connection.outbox.get_or_insert_with(|| self.outboxes.take());
        let start = outbox.bytes.len();
        reply.encode(&mut outbox.bytes);
        let added = outbox.bytes.len() - start;
        self.recorder.log(self.now, connection.peer, What::Sent, &outbox.bytes[start..]);
        let unsent = outbox.unsent().len();
        let is_blocked = connection.flags.is_blocked;
        self.unsent += added;
        self.bytes_pushed += added as u64;
        if !is_blocked {
            self.mark_dirty(to);
        }
        if unsent > self.limits.outbox_bytes_max {
            self.doom(to, Disconnect::OutboxFull);
        }
        while self.unsent > self.limits.outboxes_bytes_max {
            self.doom_largest(Connection::unsent, Disconnect::OutboxesFull);
        }
    }
}

impl<S: Socket> Connections<S> {
    /// All together have too much: the one that has most goes. A scan, but each one frees its share of the whole.
    #[cold]
    fn doom_largest(&mut self, bytes: impl Fn(&Connection<S>) -> usize, why: Disconnect) {
        let largest = self.slots.iter().max_by_key(|(_, connection)| bytes(connection));
        let (key, _) = largest.expect("somebody has a part of it");
        self.doom(key, why);
    }
}

/// Rounded up, as an idle limit is kept: what `hello` tells of it has no more digits, and 0 would tell that there is none.
pub(super) fn whole_milliseconds(time: Nanos) -> Nanos {
    time.checked_next_multiple_of(1_000_000).unwrap_or(Nanos::MAX)
}

fn nanos(duration: std::time::Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use super::*;

    /// Has nothing to read, and takes nothing.
    struct Idle;

    impl Read for Idle {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Idle {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Socket for Idle {
        fn close_write(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_connection_that_waits_for_the_rest_of_a_line_has_little_memory_and_one_that_reads_on_has_more() {
        let mut connections = Connections::new(Limits::default());
        let key = connections.insert(Idle, Peer::Unix(1));
        let mut capacity = |is_readable| {
            connections.known(key).flags.is_readable = is_readable;
            let mut inbox = Box::<Inbox>::default();
            inbox.bytes.reserve_exact(1 << 20);
            inbox.bytes.push(b'{');
            connections.keep_inbox(key, inbox);
            connections.take_inbox(key).expect("a byte is left").bytes.capacity()
        };
        assert_eq!((capacity(false), capacity(true)), (1 << 10, 32 << 10));
    }
}
