//! From the engine to the socket: takes replies into outboxes, and writes once per connection and turn.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::access::RoleKey;
use super::buffers::becomes_large;
use super::connection::{Connection, Leave, Phase};
use super::connections::Connections;
use super::recorder::masked;
use super::slow_hold::SlowHoldLine;
use super::{Disconnect, SLOW_HOLD_TARGET, Socket};
use crate::engine::{ConnectionKey, Replies, SlowHold};
use crate::wire::reply::{Outcome, PlainReply, Reply};
use crate::wire::session::HelloSession;
use crate::wire::transcript::Event;

impl<S: Socket> Replies for Connections<S> {
    // Where a reply is known not to be an error, nothing is left of the check.
    #[inline(always)]
    fn push(&mut self, to: ConnectionKey, reply: &Reply<'_>) {
        if let Outcome::Error { reason, .. } = &reply.outcome {
            self.figures.on_error(*reason);
        }
        self.push_reply(to, reply);
    }

    #[inline(always)]
    fn push_plain(&mut self, to: ConnectionKey, reply: &PlainReply<'_>) {
        self.push_with(to, None, None, |out| reply.encode(out));
    }

    fn begin_event(&mut self) {
        self.watchers.begin_event();
    }

    fn event(&mut self, to: ConnectionKey, event: &Reply<'_>) -> bool {
        self.offer_event(to, event)
    }

    fn slow_hold(&mut self, hold: &SlowHold<'_>) {
        self.figures.on_slow_hold();
        if let Some(left_out) = self.slow_hold_lines.take(self.now) {
            log::warn!(target: SLOW_HOLD_TARGET, "{}", SlowHoldLine { hold, left_out });
        }
    }

    fn may_see(&self, to: ConnectionKey, name: &str) -> bool {
        self.get(to).and_then(|connection| connection.role).is_some_and(|role| self.roles.may_see(role, name))
    }

    fn may_see_all(&self, to: ConnectionKey) -> bool {
        self.get(to).and_then(|connection| connection.role).is_some_and(|role| self.roles.may_see_all(role))
    }

    fn closing_share(&self, of: ConnectionKey) -> Option<(u32, usize)> {
        self.roles.closing_share(self.get(of)?.role?, self.limits.closing_locks_max)
    }
}

impl<S: Socket> Connections<S> {
    fn push_reply(&mut self, to: ConnectionKey, reply: &Reply<'_>) {
        let secret = match &reply.outcome {
            Outcome::Hello { session: Some(HelloSession { secret, .. }), .. } => Some(*secret),
            _ => None,
        };
        self.push_with(to, secret, Some(reply.listed_bytes()), |out| reply.encode(out));
    }

    /// Appends a reply to what a connection is sent, by `write`, unless it is about to end. The log is not told the secret in
    /// it. `bytes`: what it has at least. None: it is short, and so many are sent that none is looked at for whether its outbox
    /// gets large.
    #[inline(always)]
    pub(super) fn push_with(
        &mut self,
        to: ConnectionKey,
        secret: Option<&str>,
        bytes: Option<usize>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(connection) = self.slots.get_mut(to) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        if connection.outbox.is_none() {
            connection.last_progress = self.now;
        }
        let outbox = connection.outbox.get_or_insert_with(|| self.outboxes.take());
        if bytes.is_some_and(|bytes| outbox.is_better_large_for(bytes)) {
            outbox.enlarge(&mut self.outboxes);
        }
        let start = outbox.bytes.len();
        write(&mut outbox.bytes);
        let added = outbox.bytes.len() - start;
        if self.recorder.is_logged() {
            let line = &outbox.bytes[start..];
            match secret {
                Some(secret) => self.recorder.log(self.now, connection.peer, Event::Sent, &masked(line, Some(secret))),
                None => self.recorder.log(self.now, connection.peer, Event::Sent, line),
            }
        }
        if bytes.is_some() && becomes_large(outbox.bytes.capacity()) && !connection.flags.is_blocked {
            outbox.enlarge(&mut self.outboxes);
        }
        let unsent = outbox.unsent().len();
        if !connection.flags.is_blocked && !std::mem::replace(&mut connection.flags.is_dirty, true) {
            self.dirty.push(to);
        }
        self.unsent += added;
        self.bytes_pushed += added as u64;
        if unsent >= self.limits.outbox_pause_bytes {
            self.has_stopped = true;
        }
        if unsent > self.limits.outbox_bytes_max || self.unsent > self.limits.outboxes_bytes_max {
            self.refuse_more(to, unsent);
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse_more(&mut self, to: ConnectionKey, unsent: usize) {
        if unsent > self.limits.outbox_bytes_max {
            self.doom(to, Disconnect::OutboxFull);
        }
        while self.unsent > self.limits.outboxes_bytes_max {
            self.doom_largest(Connection::unsent, Disconnect::OutboxesFull);
        }
    }

    /// Whether its requests wait because it has too much unsent output.
    pub(super) fn is_paused(&self, connection: &Connection<S>) -> bool {
        connection.unsent() >= self.limits.outbox_pause_bytes
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

    pub(super) fn flush(&mut self, key: ConnectionKey) {
        let now = self.now;
        let connection = self.slots.get_mut(key).expect("only a connection that exists is flushed");
        let Some(outbox) = &mut connection.outbox else { return self.on_flushed(key) };
        if connection.flags.is_blocked {
            return;
        }
        let was_paused = outbox.unsent().len() >= self.limits.outbox_pause_bytes;
        match connection.socket.write(outbox.unsent()) {
            Ok(0) => self.doom(key, Disconnect::Io(ErrorKind::WriteZero.into())),
            Ok(bytes) => {
                let sent = &outbox.unsent()[..bytes];
                self.recorder.remember(now, connection.peer, Event::Sent, sent, false);
                if connection.flags.owes_secret {
                    self.recorder.blank(connection.peer, Event::Sent);
                }
                outbox.mark_sent(bytes);
                connection.last_progress = now;
                let is_empty = outbox.unsent().is_empty();
                let has_missed = connection.flags.has_missed;
                self.unsent -= bytes;
                self.figures.on_sent(bytes);
                if is_empty {
                    connection.flags.owes_secret = false;
                    self.drop_outbox(key);
                    self.on_flushed(key);
                } else {
                    // Not every socket announces that it takes more after it took a part. It is tried once more, and
                    // waited for when it says that it would block.
                    self.mark_dirty(key);
                    self.arm(key);
                }
                // Nobody else would come back to what it has sent meanwhile.
                if was_paused {
                    self.resume(key);
                }
                if has_missed {
                    self.notice_room(key);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.flags.is_blocked = true;
                outbox.give_back();
                self.arm(key);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.mark_dirty(key);
                self.arm(key);
            }
            Err(error) => self.doom(key, Disconnect::Io(error)),
        }
    }

    /// All is sent.
    fn on_flushed(&mut self, key: ConnectionKey) {
        let now = self.now;
        let connection = self.known(key);
        let Phase::Draining { leave } = connection.phase else { return };
        if leave == Leave::Read && connection.socket.close_write().is_ok() {
            connection.phase = Phase::Lingering;
            connection.last_progress = now;
            self.list(key);
            self.arm(key);
        } else {
            self.remove(key);
        }
    }

    pub(super) fn drop_outbox(&mut self, key: ConnectionKey) {
        if let Some(outbox) = self.known(key).outbox.take() {
            self.unsent -= outbox.unsent().len();
            self.outboxes.put(outbox);
        }
    }

    /// All together have too much: of the user who has most in sum, the connection that has most goes. Those who have not
    /// said who they are count as one user. A scan, but each one frees its share of the whole.
    #[cold]
    pub(super) fn doom_largest(&mut self, bytes: impl Fn(&Connection<S>) -> usize, why: Disconnect) {
        // Without users all are one, those that are refused included.
        let has_users = self.roles.has_users();
        let group = |connection: &Connection<S>| connection.role.filter(|_| has_users);
        let mut sums: BTreeMap<Option<RoleKey>, usize> = BTreeMap::new();
        for (_, connection) in self.slots.iter() {
            *sums.entry(group(connection)).or_default() += bytes(connection);
        }
        let most = sums.into_iter().max_by_key(|(_, sum)| *sum).map(|(role, _)| role);
        let theirs = self.slots.iter().filter(|(_, connection)| Some(group(connection)) == most);
        let largest = theirs.max_by_key(|(_, connection)| bytes(connection));
        let (key, _) = largest.expect("somebody has a part of it");
        self.doom(key, why);
    }
}
