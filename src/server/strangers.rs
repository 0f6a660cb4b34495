//! Those of whom it is not known yet who they are: their places, who makes way when these are full, and how long they have.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;

use super::connection::{Connection, Phase};
use super::connections::Connections;
use super::farewell::Why;
use super::{Disconnect, Server, Socket};
use crate::engine::ConnectionKey;
use crate::time::Moment;
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

/// When a stranger came, and the bits of its key: the older come first.
pub(super) type Seat = (Moment, u64);

/// The strangers by their addresses. Everything is O(log n), so that a flood of them costs the others nothing.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    crowds: HashMap<Address, BTreeSet<Seat>>,
    /// Each address once: the largest crowd comes last; of those of one size, the one with the oldest of all.
    ranking: BTreeSet<(usize, Reverse<Seat>, Address)>,
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
        self.change(address, |crowd| crowd.remove(&seat));
        self.count -= 1;
    }

    /// Who makes way for another: the oldest of the address that has most.
    fn first_to_go(&self) -> Option<ConnectionKey> {
        self.ranking.last().map(|(_, Reverse((_, key)), _)| ConnectionKey::from_bits(*key))
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
    pub(super) fn check(&self, strangers: impl Iterator<Item = (Address, Seat)>) {
        let mut expected: HashMap<Address, BTreeSet<Seat>> = HashMap::new();
        strangers.for_each(|(address, seat)| _ = expected.entry(address).or_default().insert(seat));
        assert_eq!(self.crowds, expected, "the strangers are those without a role");
        assert_eq!(self.count, expected.values().map(BTreeSet::len).sum::<usize>(), "the number of strangers");
        let ranking = expected
            .iter()
            .map(|(address, crowd)| (crowd.len(), Reverse(*crowd.first().expect("no empty crowd")), *address));
        assert_eq!(self.ranking, ranking.collect(), "each address has its rank");
    }
}

impl<S: Socket> Server<S> {
    /// Sees to it that there is a place for one more stranger.
    pub(super) fn make_way(&mut self) {
        while self.connections.strangers.len() >= self.connections.limits.strangers_max {
            let Some(key) = self.connections.strangers.first_to_go() else { return };
            self.evict(key);
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
        (self.since, key.to_bits())
    }

    /// Of whom there is nothing to tell when it goes: it has sent nothing, and nobody knows who it was.
    pub(super) fn is_nobody(&self) -> bool {
        self.role.is_none() && self.last_input == self.since
    }
}
