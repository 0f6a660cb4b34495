//! Waiting for what is going to happen.

use std::thread;
use std::time::Duration;

/// How long anything may take that is going to happen. Far more than it needs: a loaded machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until something is so, which it has to be soon.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while !is_so() {
        // Time in which this process was stopped as a whole does not count.
        assert!(waited < PATIENCE, "in {PATIENCE:?} it did not come about that {what}");
        thread::sleep(PAUSE);
        waited += PAUSE;
    }
}
