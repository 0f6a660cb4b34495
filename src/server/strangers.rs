//! Those of whom it is not known yet who they are: their places, who makes way when these are full, and how long they have.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;

use super::connection::{Connection, Phase};
use super::connections::Connections;
use super::farewell::Why;
use super::{Disconnect, Server, Socket};
use crate::engine::ConnectionKey;
use crate::time::{Moment, Span};
use crate::wire::peer::Peer;

/// What counts as one address: one machine has a whole /64 of IPv6, and all UNIX sockets are of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Address {
    V4([u8; 4]),
    V6([u8; 8]),
    Unix,
}

impl Address {
    pub(super) fn of(peer: Peer) -> Self {
        match peer {
            Peer::V4 { ip, .. } => Address::V4(ip),
            Peer::V6 { ip, .. } => match (Ipv6Addr::from(ip).to_ipv4_mapped(), ip) {
                (Some(ip), _) => Address::V4(ip.octets()),
                (None, [a, b, c, d, e, f, g, h, ..]) => Address::V6([a, b, c, d, e, f, g, h]),
            },
            Peer::Unix(_) | Peer::Session(_) => Address::Unix,
        }
    }
}

/// Handshakes that may wait for us before new ones are left in the queues of their listeners, where they wait as well and take
/// no place. They keep us busy for some turns.
const HELD_UP_MAX: usize = 64;
/// While all places are taken, a new handshake is left in the queue of its listener until the one that would make way for it
/// has had this long: one that has sent something to go on, one that has not to send something. Clients that come all at once
/// would otherwise throw each other out. A thousand places that say nothing are free again four times a second.
const BEGUN_MIN: Span = Span::from_nanos(1_000_000_000);
const SILENT_MIN: Span = Span::from_nanos(250_000_000);

/// The places of strangers, in the order in which those of one address make way: those that have sent nothing in a handshake
/// come first, then the older ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    has_begun: bool,
    since: Moment,
    /// The bits of its key.
    key: u64,
}

impl Seat {
    fn key(self) -> ConnectionKey {
        ConnectionKey::from_bits(self.key)
    }

    /// Until when it does not make way for a handshake that can wait.
    fn spared_until(self) -> Moment {
        self.since.after(if self.has_begun { BEGUN_MIN } else { SILENT_MIN })
    }
}

/// The strangers by their addresses. Everything is O(log n), so that a flood of them costs the others nothing.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Those that owe us something: the next bytes of a handshake, or who they are.
    crowds: HashMap<Address, BTreeSet<Seat>>,
    /// Each address once: the largest crowd comes last; of those of one size, the one whose first would be the first of all.
    ranking: BTreeSet<(usize, Reverse<Seat>, Address)>,
    /// Those whose handshake waits for us.
    held_up: BTreeSet<Seat>,
    count: usize,
}

impl Strangers {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn join(&mut self, address: Address, seat: Seat) {
        self.change(address, |crowd| crowd.insert(seat));
        self.count += 1;
    }

    pub(super) fn leave(&mut self, address: Address, seat: Seat) {
        if !self.held_up.remove(&seat) {
            self.change(address, |crowd| crowd.remove(&seat));
        }
        self.count -= 1;
    }

    /// A handshake waits for us now.
    fn hold_up(&mut self, address: Address, seat: Seat) {
        self.change(address, |crowd| crowd.remove(&seat));
        self.held_up.insert(seat);
    }

    /// It waits for us no more.
    fn let_go(&mut self, address: Address, seat: Seat) {
        assert!(self.held_up.remove(&seat), "it waited for us");
        self.change(address, |crowd| crowd.insert(seat));
    }

    /// Who makes way for another: of the address that has most of those that owe us something, the first. If nobody owes us
    /// anything, whoever has waited for us for the shortest time.
    fn first_to_go(&self) -> Option<Seat> {
        let owes = self.ranking.last().map(|(_, Reverse(seat), _)| *seat);
        owes.or_else(|| self.held_up.last().copied())
    }

    fn change(&mut self, address: Address, change: impl FnOnce(&mut BTreeSet<Seat>) -> bool) {
        let crowd = self.crowds.entry(address).or_default();
        if let Some(oldest) = crowd.first() {
            self.ranking.remove(&(crowd.len(), Reverse(*oldest), address));
        }
        assert!(change(crowd), "a stranger comes once and goes once");
        match crowd.first() {
            Some(oldest) => _ = self.ranking.insert((crowd.len(), Reverse(*oldest), address)),
            None => _ = self.crowds.remove(&address),
        }
    }

    /// Panics if it does not have exactly these.
    #[cfg(feature = "unstable")]
    pub(super) fn check(&self, strangers: impl Iterator<Item = (Address, Seat, bool)>) {
        let mut expected: HashMap<Address, BTreeSet<Seat>> = HashMap::new();
        let mut held_up = BTreeSet::new();
        for (address, seat, is_held_up) in strangers {
            if is_held_up { &mut held_up } else { expected.entry(address).or_default() }.insert(seat);
        }
        assert_eq!((&self.crowds, &self.held_up), (&expected, &held_up), "the strangers are those without a role");
        let count = held_up.len() + expected.values().map(BTreeSet::len).sum::<usize>();
        assert_eq!(self.count, count, "the number of strangers");
        let ranking = expected
            .iter()
            .map(|(address, crowd)| (crowd.len(), Reverse(*crowd.first().expect("no empty crowd")), *address));
        assert_eq!(self.ranking, ranking.collect(), "each address has its rank");
    }
}

impl<S: Socket> Server<S> {
    /// From when on a connection that begins with a handshake is welcome. Until then it waits in the queue of its listener,
    /// without a place here. None: not before another turn, which has handshakes to go on with.
    pub fn welcomes_handshakes_at(&self) -> Option<Moment> {
        let (strangers, max) = (&self.connections.strangers, self.connections.limits.strangers_max);
        if strangers.held_up.len() >= HELD_UP_MAX.min(max) {
            return None;
        }
        let first = strangers.first_to_go().filter(|_| strangers.len() >= max);
        Some(first.map_or(Moment::START, Seat::spared_until))
    }

    /// Sees to it that there is a place for one more stranger.
    pub(super) fn make_way(&mut self) {
        while self.connections.strangers.len() >= self.connections.limits.strangers_max {
            let Some(first) = self.connections.strangers.first_to_go() else { return };
            self.evict(first.key());
        }
    }

    /// Closes a stranger's connection at once: it holds nothing, and its descriptor is needed.
    fn evict(&mut self, key: ConnectionKey) {
        let is_open = self.connections.known(key).phase == Phase::Open;
        self.connections.doom(key, Disconnect::StrangerEvicted);
        if is_open {
            // It does not wait for its turn.
            self.connections.doomed.pop_back();
        }
        // If it was on its way out already, it is gone now.
        if self.connections.get(key).is_some() {
            self.end_session(key, &Why::of(&Disconnect::StrangerEvicted));
            self.connections.begin_drain(key);
        }
    }
}

impl<S: Socket> Connections<S> {
    /// It is not known yet who that is.
    pub(super) fn join_strangers(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        let (address, seat) = (Address::of(connection.peer), connection.seat(key));
        self.strangers.join(address, seat);
    }

    /// It is known who that is, or it goes.
    pub(super) fn leave_strangers(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        let (address, seat) = (Address::of(connection.peer), connection.seat(key));
        self.strangers.leave(address, seat);
    }

    /// The handshake of a stranger has got on, or it waits for us. Nothing of the kind is left when it ends.
    pub(super) fn note_handshake(&mut self, key: ConnectionKey, has_begun: bool, is_held_up: bool) {
        let connection = self.known(key);
        if (connection.flags.has_begun, connection.flags.is_held_up) == (has_begun, is_held_up) {
            return;
        }
        let (address, before) = (Address::of(connection.peer), connection.seat(key));
        let was_held_up = std::mem::replace(&mut connection.flags.is_held_up, is_held_up);
        connection.flags.has_begun = has_begun;
        let seat = connection.seat(key);
        if was_held_up {
            self.strangers.let_go(address, before);
        }
        if seat != before {
            self.strangers.leave(address, before);
            self.strangers.join(address, seat);
        }
        if is_held_up {
            self.strangers.hold_up(address, seat);
        }
    }

    /// Whether its address has as many connections as one may have.
    pub(super) fn is_crowded(&self, peer: Peer) -> bool {
        let address = Address::of(peer);
        let Some(max) = self.limits.address_connections_max else { return false };
        address != Address::Unix && self.addresses.get(&address).is_some_and(|count| *count >= max)
    }

    /// Counts a new connection of its address, if anybody wants to know.
    pub(super) fn count_address(&mut self, peer: Peer) {
        if self.limits.address_connections_max.is_some() {
            *self.addresses.entry(Address::of(peer)).or_default() += 1;
        }
    }

    /// One of its connections is gone.
    pub(super) fn discount_address(&mut self, peer: Peer) {
        let address = Address::of(peer);
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// When the time is over that a stranger has: for its handshake, or to say who it is.
    pub(super) fn stranger_due(&self, connection: &Connection<S>) -> Option<Moment> {
        let flags = &connection.flags;
        match connection.role {
            Some(_) => None,
            // The clock stands still while the handshake waits for us.
            None if flags.is_handshaking && flags.is_held_up => None,
            None if flags.is_handshaking => Some(connection.last_progress.after(self.limits.handshake.into())),
            None => Some(connection.since.after(self.limits.auth.into())),
        }
    }

    /// The time that a handshake waited for us counts neither for it nor for what follows. It is in the last progress, which
    /// began when the connection was accepted.
    pub(super) fn forgive_handshake(&mut self, key: ConnectionKey) {
        let connection = self.known(key);
        if connection.last_progress > connection.since {
            self.leave_strangers(key);
            let connection = self.known(key);
            connection.since = connection.last_progress;
            self.join_strangers(key);
        }
    }
}

impl<S: Socket> Connection<S> {
    pub(super) fn seat(&self, key: ConnectionKey) -> Seat {
        Seat { has_begun: self.flags.has_begun, since: self.since, key: key.to_bits() }
    }

    /// Of whom there is nothing to tell when it goes: it has sent nothing, and nobody knows who it was.
    pub(super) fn is_nobody(&self) -> bool {
        self.role.is_none() && self.last_input == self.since
    }
}
