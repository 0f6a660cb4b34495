//! HTTP: health, metrics, and what operators ask and do, on the loop of the server and beside its connections.
//!
//! A connection here has no session, counts as none of the protocol's, and has a slab, buffers and deadlines of its own. One
//! request of it is executed in a turn: [`head`] says what of its bytes is a request, [`guard`] who asks, [`route`] what for,
//! [`api`] executes it as the command of the protocol that it is, [`page`] is what people are shown, and [`answer`] is what is
//! sent. [`connections`] reads, writes, and closes who is too slow. [`figures`] counts the answers.

mod answer;
mod api;
mod connection;
mod connections;
mod figures;
mod guard;
mod head;
mod page;
mod query;
mod route;
mod serve;
mod turn;

use self::connection::HttpConnection;
use self::figures::HttpFigures;
use super::Socket;
use crate::engine::ConnectionKey;
use crate::engine::deadline::Deadlines;
use crate::slots::{Key, Slots};
use crate::time::Moment;

/// Connections at a time. When one more comes, one that has no request that is being answered makes way.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// Connections that are refused because there are too many, at a time. Further ones are closed without an answer.
const REFUSED_MAX: usize = 16;

/// Keeps keys of these connections apart from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HttpTag {}

type HttpKey = Key<HttpTag>;

/// Outside of this room these connections have keys like all others, and this bit in their slot. There are never that many
/// slots, so the key of one is never taken for that of another.
const SLOT_BIT: u64 = 1 << 31;

fn outer(key: HttpKey) -> ConnectionKey {
    Key::from_bits(key.to_bits() | SLOT_BIT)
}

fn inner(key: ConnectionKey) -> Option<HttpKey> {
    let bits = key.to_bits();
    (bits & SLOT_BIT != 0).then(|| Key::from_bits(bits & !SLOT_BIT))
}

/// All connections by HTTP, and the lists of those with something to do.
#[derive(Debug)]
pub(super) struct Http<S> {
    slots: Slots<HttpTag, HttpConnection<S>>,
    /// Those with something to read or to execute.
    listed: Vec<HttpKey>,
    /// Those with something to send that the socket may take.
    dirty: Vec<HttpKey>,
    deadlines: Deadlines<HttpKey>,
    /// Names that a request without credentials may have in `Host`, in lower case.
    hosts: Vec<String>,
    /// Bytes of answers that are not sent.
    unsent: usize,
    /// Those that are refused because there are too many.
    refused: usize,
    /// A request that may take long was executed in the last turn. The next one leaves that to connections of the protocol.
    was_long: bool,
    pub(super) figures: HttpFigures,
}

impl<S> Default for Http<S> {
    fn default() -> Self {
        Http {
            slots: Slots::default(),
            listed: Vec::new(),
            dirty: Vec::new(),
            deadlines: Deadlines::default(),
            hosts: Vec::new(),
            unsent: 0,
            refused: 0,
            was_long: false,
            figures: HttpFigures::default(),
        }
    }
}

impl<S: Socket> Http<S> {
    /// Sockets, with those of connections that are refused or on their way out.
    pub(super) fn sockets(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether there is something to do without waiting for an event.
    pub(super) fn has_work(&self) -> bool {
        !(self.listed.is_empty() && self.dirty.is_empty())
    }

    pub(super) fn has_listed(&self) -> bool {
        !self.listed.is_empty()
    }

    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Sets the names that a request without credentials may have in `Host`.
    pub(super) fn set_hosts(&mut self, hosts: &[String]) {
        self.hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    }

    /// Whether there is no connection.
    #[cfg(feature = "unstable")]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && !self.has_work()
    }

    /// Panics if anything of it contradicts.
    #[cfg(feature = "unstable")]
    pub(super) fn check_all(&self) {
        self.deadlines.check_all();
        let (mut unsent, mut refused) = (0, 0);
        for (key, connection) in self.slots.iter() {
            unsent += connection.unsent();
            refused += usize::from(connection.flags.is_refused);
            let times = |list: &[HttpKey]| list.iter().filter(|listed| **listed == key).count();
            assert_eq!(times(&self.listed), usize::from(connection.flags.is_listed), "listed once, or not at all");
            assert_eq!(times(&self.dirty), usize::from(connection.flags.is_dirty), "dirty once, or not at all");
            assert!(connection.deadline.is_some(), "each has a limit on its time");
            connection.check();
        }
        assert_eq!(self.unsent, unsent, "the unsent bytes are counted");
        assert_eq!(self.refused, refused, "those that are refused are counted");
        assert!(self.slots.len() - refused <= HTTP_CONNECTIONS_MAX, "the limit on connections is kept");
        assert!(refused <= REFUSED_MAX, "the limit on those that are refused is kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_http_or_of_the_protocol() {
        let mut slots: Slots<HttpTag, ()> = Slots::default();
        let key = slots.insert(());
        assert_eq!(inner(outer(key)), Some(key));
        assert_ne!(outer(key).to_bits(), key.to_bits());
        assert_eq!(inner(Key::from_bits(key.to_bits())), None, "one of the protocol in the same slot");
    }
}
