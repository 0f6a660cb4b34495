//! What always holds in the engine, checked as a whole.

use std::hash::BuildHasher;

use super::Engine;
use super::askers::Asker;
use super::bundle::BundleKey;
use super::place::PlaceKey;

impl<S: BuildHasher> Engine<S> {
    /// Checks everything that always holds, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub fn check_all(&self) {
        self.table.check_all();
        self.deadlines.check_all();
        let (mut held, mut waiting, mut armed, mut listed, mut closings, mut parts) = (0, 0, 0, 0, 0, 0);
        for (key, place) in self.table.places().iter() {
            let key = PlaceKey::new(u32::try_from(key).expect("checked on insert"));
            held += u64::from(place.is_holding());
            waiting += u64::from(!place.is_holding());
            armed += usize::from(place.deadline.is_some());
            let extras = place.extras.as_ref();
            closings += usize::from(extras.is_some_and(|extras| extras.may_close()));
            if let Some(bundle) = extras.and_then(|extras| extras.bundle) {
                assert!(!place.is_holding() && self.bundle(bundle).places.contains(&key), "a bundle knows its places");
                parts += 1;
            }
            if place.is_holding() {
                let has_lease = extras.is_some_and(|extras| extras.lease.is_some());
                assert_eq!(has_lease, place.deadline.is_some(), "a lease has a deadline, and nothing else of a hold");
                assert!(extras.is_none_or(|extras| extras.is_of_a_hold()), "a hold keeps no more than it needs");
            } else if extras.is_none_or(|extras| extras.bundle.is_none()) {
                assert!(
                    !self.is_left_over(key) || self.table.special(place.lock).is_some_and(|special| special.is_put_off),
                    "nobody stays waiting who waits for nobody"
                );
            }
        }
        for (key, bundle) in self.bundles.iter() {
            armed += usize::from(bundle.deadline.is_some());
            let is_put_off = |key: &PlaceKey| {
                self.table.special(self.table.place(*key).lock).is_some_and(|special| special.is_put_off)
            };
            let is_left_over = self.is_bundle_left_over(BundleKey::new(key));
            assert!(!is_left_over || bundle.places.iter().any(is_put_off), "nobody stays waiting who waits for nobody");
            parts -= bundle.places.len();
        }
        assert_eq!(parts, 0, "the places of bundles are theirs");
        for lock in self.table.locks() {
            let is_closed = self.table.special(lock).is_some_and(|special| special.closing.is_some());
            armed += usize::from(is_closed);
            closings += usize::from(is_closed);
        }
        let mut owners = 0;
        for (key, session) in self.askers.iter() {
            assert!(session.places() <= self.limits.session_locks_max, "a session keeps to its limit");
            let (mut places, mut all_waits) = (0, 0);
            for asker in self.askers.of_session(key) {
                let party = self.askers.party(asker);
                let mut waits = 0;
                for (_, place) in party.places.iter(self.table.places()) {
                    assert_eq!(place.asker, asker, "an asker's list has its own places");
                    waits += u32::from(!place.is_holding());
                }
                assert_eq!(waits, party.waiting, "an asker counts its waits");
                assert!(
                    asker == Asker::session(key)
                        || Some(asker) == self.askers.last_owner(key)
                        || !party.places.is_empty(),
                    "an owner without places is forgotten, but for the last"
                );
                owners += usize::from(asker != Asker::session(key));
                places += party.places.len();
                all_waits += waits as usize;
            }
            assert_eq!(
                (places, all_waits),
                (session.places(), session.waits()),
                "a session counts those of its owners"
            );
            listed += places;
        }
        assert_eq!(owners, self.askers.owners(), "every owner is one of a session's");
        assert_eq!(listed, self.table.places().len(), "every place is in an asker's list");
        assert_eq!((held, waiting), (self.stats.held, self.stats.waiting), "the gauges are what there is");
        assert_eq!(
            armed,
            self.deadlines.len(),
            "exactly the waits with a timeout, the leases and the closings have a deadline"
        );
        assert_eq!(closings, self.closings, "what may close a lock is counted");
        assert!(self.touched.is_empty() && self.left.is_empty(), "nothing is left to settle");
    }

    /// Whether nothing is left: no session, no lock, no deadline.
    pub fn is_empty(&self) -> bool {
        self.askers.len() == 0
            && self.table.places().is_empty()
            && self.table.locks().next().is_none()
            && self.deadlines.is_empty()
    }
}
