//! How much of a turn handshakes may take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The time that handshakes may take in one turn, all of them together. A handshake costs a hundred times as much as a lock,
/// and those of thousands of clients that connect at once must not hold up everybody else.
#[derive(Debug)]
pub struct HandshakeBudget {
    turn_max: Duration,
    /// Nanoseconds of this turn.
    spent: AtomicU64,
}

impl HandshakeBudget {
    /// A budget of `turn_max` for each turn. The first step of a turn is always made, whatever it takes.
    pub fn new(turn_max: Duration) -> Self {
        HandshakeBudget { turn_max, spent: AtomicU64::new(0) }
    }

    /// The next turn begins.
    pub fn begin_turn(&self) {
        self.spent.store(0, Relaxed);
    }

    pub(super) fn is_used_up(&self) -> bool {
        Duration::from_nanos(self.spent.load(Relaxed)) >= self.turn_max
    }

    /// Takes what `step` takes out of it.
    pub(super) fn spend_on<T>(&self, step: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = step();
        // At least something, so that the budget ends on a coarse clock as well.
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        self.spent.store(self.spent.load(Relaxed).saturating_add(nanos), Relaxed);
        done
    }
}
