//! All connections, the lists of who has something to read, to send or to end, and the end of each.

use std::collections::{HashMap, VecDeque};

use super::access::Roles;
use super::buffers::Pool;
use super::connection::{Connection, Leave, Phase};
use super::farewell::Why;
use super::figures::Figures;
use super::inbox::Inbox;
use super::limits::Limits;
use super::outbox::Outbox;
use super::recorder::{Recorder, may_have_secret};
use super::strangers::{Address, Strangers};
use super::throttle::Throttle;
use super::watchers::Watchers;
use super::{Disconnect, SLOW_HOLD_LINES_MAX, Socket};
use crate::engine::deadline::Deadlines;
use crate::engine::{ConnectionKey, ConnectionTag, Replies};
use crate::slots::Slots;
use crate::time::Moment;
use crate::wire::peer::Peer;
use crate::wire::reply::{Reason, Reply};
use crate::wire::transcript::Event;

/// The connections and the lists that the turn goes through. It takes the engine's replies.
#[derive(Debug)]
pub(super) struct Connections<S> {
    pub(super) limits: Limits,
    pub(super) slots: Slots<ConnectionTag, Connection<S>>,
    /// Those with something to read, or to execute.
    pub(super) listed: Vec<ConnectionKey>,
    /// Those with something to send that the socket may take.
    pub(super) dirty: Vec<ConnectionKey>,
    /// Those whose sessions are to be ended, in the order in which that was decided.
    pub(super) doomed: VecDeque<(ConnectionKey, Why)>,
    pub(super) deadlines: Deadlines<ConnectionKey>,
    pub(super) inboxes: Pool<Inbox>,
    pub(super) outboxes: Pool<Outbox>,
    pub(super) watchers: Watchers,
    pub(super) figures: Figures,
    /// Bytes received on all connections together and not executed.
    pub(super) kept: usize,
    /// Unsent bytes of all connections together.
    pub(super) unsent: usize,
    /// Bytes of replies since the start.
    pub(super) bytes_pushed: u64,
    /// A connection is to end, or has so much unsent that its requests wait, since this was last asked. To look at the
    /// connection after each line in place of this took 70 instructions of a pair.
    pub(super) has_stopped: bool,
    /// Connections that were refused for lack of room, and stay only until their error is sent.
    pub(super) turned_away: usize,
    /// Who may do what.
    pub(super) roles: Roles,
    /// Connections that have a role.
    pub(super) with_role: usize,
    /// Those of which it is not known yet who they are.
    pub(super) strangers: Strangers,
    /// The connections of each address, if their number is limited.
    pub(super) addresses: HashMap<Address, usize>,
    /// The time of this turn.
    pub(super) now: Moment,
    pub(super) recorder: Recorder,
    /// Lines in the log about slow holds.
    pub(super) slow_hold_lines: Throttle,
}

/// Room for connections that are to end which is kept when there are none: many can end at once.
const DOOMED_KEPT: usize = 256;

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
            watchers: Watchers::default(),
            figures: Figures::default(),
            kept: 0,
            unsent: 0,
            bytes_pushed: 0,
            has_stopped: false,
            turned_away: 0,
            roles: Roles::default(),
            with_role: 0,
            strangers: Strangers::default(),
            addresses: HashMap::new(),
            now: Moment::START,
            recorder: Recorder::new(),
            slow_hold_lines: Throttle::new(SLOW_HOLD_LINES_MAX),
        }
    }

    pub(super) fn insert(&mut self, socket: S, peer: Peer) -> ConnectionKey {
        self.record(peer, Event::Opened, b"");
        let max_idle = self.max_idle();
        self.count_address(peer);
        self.slots.insert(Connection::new(socket, peer, max_idle, self.now))
    }

    pub(super) fn get(&self, key: ConnectionKey) -> Option<&Connection<S>> {
        self.slots.get(key)
    }

    pub(super) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection<S>> {
        self.slots.get_mut(key)
    }

    /// A connection that is known to exist.
    pub(super) fn known(&mut self, key: ConnectionKey) -> &mut Connection<S> {
        self.slots.get_mut(key).expect("the connection exists")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionKey, &Connection<S>)> {
        self.slots.iter()
    }

    /// Those that count against the limit: of which it is known who they are.
    pub(super) fn len(&self) -> usize {
        self.with_role
    }

    /// All of them: as many as a poll can report.
    pub(super) fn sockets(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn turned_away(&self) -> usize {
        self.turned_away
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether there is something to do without waiting for an event.
    pub(super) fn has_work(&self) -> bool {
        !(self.listed.is_empty() && self.dirty.is_empty() && self.doomed.is_empty()) || self.watchers.has_work()
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

    pub(super) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    pub(super) fn next_doomed(&mut self) -> Option<(ConnectionKey, Why)> {
        let next = self.doomed.pop_front();
        if self.doomed.is_empty() {
            self.doomed.shrink_to(DOOMED_KEPT);
        }
        next
    }

    /// Decides that a connection ends. Its session is ended when its turn comes; until then nothing of it is executed and
    /// nothing more is sent to it.
    pub(super) fn doom(&mut self, key: ConnectionKey, why: Disconnect) {
        self.has_stopped = true;
        let connection = self.known(key);
        let peer = connection.peer;
        match connection.phase {
            Phase::Open => {
                connection.phase = Phase::Doomed { leave: why.leave() };
                if connection.flags.is_held_up {
                    let has_begun = connection.flags.has_begun;
                    self.note_handshake(key, has_begun, false);
                }
            }
            // It ended before, and that reason was logged. Now it is pointless to wait until all is sent or read.
            Phase::Doomed { .. } if why.leave() == Leave::Now => {
                connection.phase = Phase::Doomed { leave: Leave::Now };
                return self.drop_outbox(key);
            }
            Phase::Draining { .. } | Phase::Lingering if why.leave() == Leave::Now => {
                return self.remove(key);
            }
            Phase::Doomed { .. } | Phase::Draining { .. } | Phase::Lingering => return,
        }
        let may_have_secret = self.known(key).inbox.as_ref().is_some_and(|inbox| may_have_secret(&inbox.bytes));
        if may_have_secret {
            self.recorder.blank(peer, Event::Received);
        }
        self.figures.on_disconnect(&why);
        self.drop_inbox(key);
        if why.leave() == Leave::Now {
            self.drop_outbox(key);
        }
        let why = Why::of(&why);
        self.record(peer, Event::Closed, why.text.as_bytes());
        self.doomed.push_back((key, why));
    }

    fn record(&mut self, peer: Peer, event: Event, bytes: &[u8]) {
        self.recorder.log(self.now, peer, event, bytes);
        self.recorder.remember(self.now, peer, event, bytes, false);
    }

    /// Refuses a new connection for lack of room. It gets an error, and is neither one of the connections nor a stranger.
    pub(super) fn turn_away(&mut self, key: ConnectionKey, message: &'static str) {
        self.known(key).flags.is_turned_away = true;
        self.turned_away += 1;
        self.refuse_for_lack_of_room(key, message);
    }

    /// The same for one that was a stranger until now, and stays among them until it is gone.
    pub(super) fn refuse_for_lack_of_room(&mut self, key: ConnectionKey, message: &'static str) {
        log::info!("{} turned away: {message}", self.known(key).peer);
        self.push(key, &Reply::error(Reason::TooManyConnections, message));
        self.doom(key, Disconnect::TooManyConnections);
    }

    /// The session has ended: the socket is closed now, or when all is sent.
    pub(super) fn begin_drain(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        let Phase::Doomed { leave } = connection.phase else { unreachable!("only a doomed session is ended") };
        connection.phase = Phase::Draining { leave };
        match leave {
            Leave::Now => self.remove(key),
            // The flush finds that all is sent, if it is.
            Leave::Sent | Leave::Read => {
                self.mark_dirty(key);
                self.arm(key);
            }
        }
    }

    /// Closes the socket and forgets the connection.
    pub(super) fn remove(&mut self, key: ConnectionKey) {
        self.drop_outbox(key);
        let connection = self.known(key);
        if connection.role.is_none() && !connection.flags.is_turned_away {
            self.leave_strangers(key);
        }
        let connection = self.slots.remove(key).expect("a connection is removed once");
        assert!(connection.session.is_none(), "a connection outlives its session");
        if let Some(deadline) = connection.deadline {
            self.deadlines.cancel(deadline);
        }
        if connection.flags.is_turned_away {
            self.turned_away -= 1;
        }
        self.discount_address(connection.peer);
        if let Some(role) = connection.role {
            self.roles.on_connection_end(role);
            self.with_role -= 1;
        }
    }
}
