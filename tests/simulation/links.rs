//! The network's part of connections, and their names.

use std::cell::RefCell;
use std::rc::Rc;

use officer::engine::ConnectionKey;
use officer::server::Readiness;
use officer::wire::peer::Peer;

use crate::expected::Number;
use crate::memory::Wire;
use crate::scenario::From;

/// The first connection's number in names. They all have five digits, so that a second round has names as long.
const FIRST_NAME: usize = 10_000;
/// How many names there are: the port is part of them.
pub(crate) const NAMES: usize = u16::MAX as usize - FIRST_NAME;

/// Where a connection comes from, as the server is told, and how replies have to name it.
pub(crate) fn peer(number: Number, from: From) -> (Peer, String) {
    let name = FIRST_NAME + number;
    let port = u16::try_from(name).expect("few connections");
    match from {
        From::Unix => (Peer::Unix(name as u64), format!("unix:{name}")),
        From::Loopback => (Peer::V4 { ip: [127, 0, 0, 1], port }, format!("127.0.0.1:{name}")),
        From::Elsewhere => (Peer::V4 { ip: [10, 0, 0, 1], port }, format!("10.0.0.1:{name}")),
    }
}

pub(crate) fn number_of(name: &str) -> Number {
    let (_, number) = name.rsplit_once(':').expect("a name ends with a number");
    number.parse::<usize>().expect("a number") - FIRST_NAME
}

/// Who sits in a seat, and who did before.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sitting {
    pub(crate) now: Option<Number>,
    pub(crate) before: Option<Number>,
}

/// The network's part of a connection.
pub(crate) struct Link {
    pub(crate) key: Option<ConnectionKey>,
    pub(crate) wire: Rc<RefCell<Wire>>,
    /// Sent, and not arrived.
    pub(crate) under_way: Vec<u8>,
    pub(crate) edge: Readiness,
    /// When the first thing happened that no poll has reported.
    pub(crate) happened_at: u64,
    pub(crate) is_closed: bool,
}

pub(crate) const ALL: Readiness = Readiness { is_readable: true, is_writable: true, is_read_closed: true };

pub(crate) fn slot(key: ConnectionKey) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the slot is the lower half of a key")]
    let slot = key.to_bits() as u32;
    slot
}
