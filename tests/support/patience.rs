//! Waiting for events.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Checks how long something takes that the program does at its time, in seconds: never less than the least, and no more than
/// the most. A loaded machine makes it late now and then, so it may try again; a wrong time is wrong each time.
#[track_caller]
pub(crate) fn takes(seconds: RangeInclusive<f64>, mut measure: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    for _ in 0..4 {
        let time = measure().as_secs_f64();
        assert!(time >= *seconds.start(), "{time} s are too few for {seconds:?}");
        if seconds.contains(&time) {
            return;
        }
        times.push(time);
    }
    panic!("{times:?} seconds are too many for {seconds:?}");
}

/// Says that it is over when this is dropped, by a panic as well: otherwise threads that go on until then never end.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
