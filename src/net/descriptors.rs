//! How many descriptors the process may have, and how many of them are for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::Limits;

/// What "unlimited" counts as: more than any kernel gives to one process unless it is told to.
const UNLIMITED: u64 = 1 << 20;

/// Raises the limit on descriptors as far as the process may by itself, and returns the limit in force.
///
/// The usual soft limit of 1,024 is for programs that use `select`; we poll.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let in_force = limit.current.unwrap_or(UNLIMITED);
    let mut wanted = limit.maximum.unwrap_or(UNLIMITED);
    // Some systems have a lower limit of their own than the hard one they report, and don't say where it is.
    while wanted > in_force {
        if setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).is_ok() {
            return wanted;
        }
        wanted /= 2;
    }
    in_force
}

/// What is open beside connections: the three standard streams, the listeners, the poll, its alarm and waker, the pair of
/// sockets that carries signals, a log, the state directory.
const OPEN_ANYWAY: u64 = 16;

/// How many connections to admit by default: the limit on descriptors less a reserve.
///
/// The reserve is for what is open beside them, and above all for the connections above the limit, which are accepted, told so
/// and closed. Without it they would wait in the backlog without an answer. `beside` more are set aside for strangers and
/// admins.
pub fn connections_max_default(limit: u64, beside: usize) -> usize {
    // If there are few, the reserve takes at most half of them.
    let reserve = (OPEN_ANYWAY + limit / 8).min(128).min(limit / 2);
    let left = usize::try_from(limit - reserve).unwrap_or(usize::MAX);
    left.saturating_sub(beside).max(1)
}

/// How many strangers to have by default: no more than a quarter of the descriptors.
pub fn strangers_max_default(limit: u64) -> usize {
    let most = Limits::default().strangers_max;
    usize::try_from(limit / 4).map_or(most, |quarter| quarter.clamp(1, most))
}

/// How many connections there can be, strangers included, without a reserve.
pub fn connections_max_possible(limit: u64) -> usize {
    let possible = usize::try_from(limit.saturating_sub(OPEN_ANYWAY)).unwrap_or(usize::MAX);
    possible.max(connections_max_default(limit, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(UNLIMITED), raised);
        if cfg!(target_os = "linux") {
            assert_eq!(limit.current, limit.maximum);
        }
        assert_eq!(raise_limit(), raised);
    }

    #[test]
    fn a_reserve_is_left_for_what_is_open_beside_connections() {
        for (limit, connections) in
            [(0, 1), (1, 1), (16, 8), (40, 20), (512, 432), (1024, 896), (1 << 20, (1 << 20) - 128)]
        {
            assert_eq!(connections_max_default(limit, 0), connections, "{limit}");
        }
    }

    #[test]
    fn descriptors_are_set_aside_for_strangers() {
        for (limit, strangers, connections) in
            [(0, 1, 1), (16, 4, 4), (1024, 256, 640), (1 << 16, 1000, (1 << 16) - 1128)]
        {
            assert_eq!(strangers_max_default(limit), strangers, "{limit}");
            assert_eq!(connections_max_default(limit, strangers), connections, "{limit}");
        }
    }
}
