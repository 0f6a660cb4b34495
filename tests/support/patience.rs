//! Waiting for events.

use std::thread;
use std::time::Duration;

/// How long anything may take that is going to happen. Far more than it needs: a busy machine is not a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until a condition holds, which must be soon.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while !is_so() {
        // Time during which this whole process was stopped does not count.
        assert!(waited < PATIENCE, "still not so after {PATIENCE:?}: {what}");
        thread::sleep(PAUSE);
        waited += PAUSE;
    }
}
