//! The rows of the table.

use super::servers::Kind;

/// A workload, and the servers it is measured with.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The arguments of `officer bench`.
    pub(super) args: &'static [&'static str],
    pub(super) connections: u64,
    pub(super) servers: &'static [Kind],
}

const PAIRED: &[Kind] = &[Kind::Officer, Kind::Echo, Kind::Redis, Kind::Memcached];

pub(super) const ROWS: &[Row] = &[
    Row { name: "pair-1", args: &["pair", "-c", "1"], connections: 1, servers: PAIRED },
    Row { name: "pair-50", args: &["pair", "-c", "50"], connections: 50, servers: PAIRED },
    Row { name: "pair-50x16", args: &["pair", "-c", "50", "-i", "16"], connections: 50, servers: PAIRED },
    Row { name: "pair-1000", args: &["pair", "-c", "1000"], connections: 1000, servers: PAIRED },
    // A round of all connections takes a tenth of a second, and the first rounds differ from the others.
    Row { name: "pair-10000", args: &["pair", "-c", "10000", "--warm-up", "1"], connections: 10_000, servers: PAIRED },
    Row {
        name: "handoff-1",
        args: &["handoff", "-c", "50", "-l", "1"],
        connections: 50,
        servers: &[Kind::Officer, Kind::Ring(1)],
    },
    Row {
        name: "handoff-8",
        args: &["handoff", "-c", "50", "-l", "8"],
        connections: 50,
        servers: &[Kind::Officer, Kind::Ring(8)],
    },
    Row {
        name: "handoff-10000-waiters",
        args: &["handoff", "-c", "10000", "-l", "1"],
        connections: 10_000,
        servers: &[Kind::Officer, Kind::Ring(1)],
    },
    Row {
        name: "hold",
        args: &["hold", "-c", "15000", "--first", "2000"],
        connections: 15_000,
        servers: &[Kind::Officer, Kind::Redis, Kind::Memcached],
    },
    Row { name: "storm", args: &["storm", "-c", "15000", "-l", "5"], connections: 15_000, servers: &[Kind::Officer] },
];
