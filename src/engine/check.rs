//! What always holds in the engine, checked as a whole.

use std::hash::BuildHasher;

use super::Engine;
use super::place::Standing;

impl<S: BuildHasher> Engine<S> {
    /// Checks everything that always holds, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub fn check_all(&self) {
        self.table.check_all();
        self.deadlines.check_all();
        let (mut held, mut waiting, mut timed, mut listed) = (0, 0, 0, 0);
        for (_, place) in self.table.places().iter() {
            match place.standing {
                Standing::Holding => {
                    held += 1;
                    assert!(place.deadline.is_none() && place.extras.is_none(), "only a wait has a timeout and an id");
                }
                Standing::Waiting => waiting += 1,
            }
            timed += usize::from(place.deadline.is_some());
        }
        for (key, session) in self.sessions.iter() {
            assert!(session.places.len() <= self.limits.session_locks_max, "a session keeps to its limit");
            let mut waits = 0;
            for (_, place) in session.places.iter(self.table.places()) {
                assert_eq!(place.session, key, "a session's list has its own places");
                waits += u32::from(place.standing == Standing::Waiting);
                listed += 1;
            }
            assert_eq!(waits, session.waiting, "a session counts its waits");
        }
        assert_eq!(listed, self.table.places().len(), "every place is in a session's list");
        assert_eq!((held, waiting), (self.stats.held, self.stats.waiting), "the gauges are what there is");
        assert_eq!(timed, self.deadlines.len(), "exactly the waits with a timeout have a deadline");
    }

    /// Whether nothing is left: no session, no lock, no deadline.
    pub fn is_empty(&self) -> bool {
        self.sessions.len() == 0
            && self.table.places().is_empty()
            && self.table.locks().next().is_none()
            && self.deadlines.is_empty()
    }
}
