//! What always holds in the engine, checked as a whole.

use std::hash::BuildHasher;

use super::askers::Asker;
use super::bundle::BundleKey;
use super::closings::Closings;
use super::place::PlaceKey;
use super::{Engine, Histogram};

/// What there is, to be held against what is counted.
#[derive(Default)]
struct Found {
    held: u64,
    waiting: u64,
    armed: usize,
    closings: Closings,
    closed: u64,
}

impl<S: BuildHasher> Engine<S> {
    /// Checks everything that always holds, in time proportional to everything there is.
    ///
    /// # Panics
    /// If anything contradicts.
    pub fn check_all(&self) {
        self.table.check_all();
        self.deadlines.check_all();
        self.watches.check_all();
        let mut found = Found { armed: self.table.contentions.deadlines(), ..Found::default() };
        assert!(self.table.contentions.left_deadline.is_none(), "no deadline is left to cancel");
        self.check_places(&mut found);
        self.check_bundles(&mut found);
        for lock in self.table.locks() {
            let closed = self.table.special(lock).filter(|special| special.closing.is_some());
            closed.into_iter().for_each(|special| found.closings.add(special.closing_group));
            let is_closed = closed.is_some();
            found.armed += usize::from(is_closed);
            found.closed += u64::from(is_closed);
        }
        self.check_askers();
        let Found { held, waiting, armed, closings, closed } = found;
        let gauges = (self.stats.held, self.stats.waiting, self.stats.closed);
        assert_eq!((held, waiting, closed), gauges, "the gauges are what there is");
        let measured = |histogram: Histogram| histogram.counts().iter().sum::<u64>();
        assert_eq!(measured(self.holds()), self.stats.releases, "every hold that has ended was measured");
        assert_eq!(measured(self.waits()), self.stats.acquires, "every grant was measured");
        assert_eq!(
            armed,
            self.deadlines.len(),
            "exactly the waits with a timeout, the leases, the closings and the slow holds to be reported have a deadline"
        );
        assert_eq!(closings, self.closings, "what may close a lock is counted");
        assert!(self.touched.is_empty() && self.left.is_empty(), "nothing is left to settle");
    }

    fn check_places(&self, found: &mut Found) {
        for (key, place) in self.table.places().iter() {
            let key = PlaceKey::new(u32::try_from(key).expect("checked on insert"));
            let extras = place.extras.as_ref();
            found.armed += usize::from(place.deadline.is_some());
            if let Some(extras) = extras.filter(|extras| extras.may_close()) {
                found.closings.add(extras.closing_group);
            }
            if place.is_holding() {
                found.held += 1;
                let has_lease = extras.is_some_and(|extras| extras.lease.is_some());
                assert_eq!(has_lease, place.deadline.is_some(), "a lease has a deadline, and nothing else of a hold");
                assert!(extras.is_none_or(|extras| extras.is_of_a_hold()), "a hold keeps no more than it needs");
                assert!(self.bundle_of(key).is_none(), "each hold is one of its own");
                continue;
            }
            found.waiting += 1;
            match self.bundle_of(key) {
                Some(bundle) => assert!(self.bundle(bundle).places.contains(&key), "a bundle knows its places"),
                None => {
                    let is_granted = !self.is_known_left_over(key) || self.is_put_off(key);
                    assert!(is_granted, "nobody stays waiting who waits for nobody");
                }
            }
        }
    }

    fn check_bundles(&self, found: &mut Found) {
        for (key, bundle) in self.bundles.iter() {
            found.armed += usize::from(bundle.deadline.is_some());
            let key = BundleKey::new(key);
            assert!(bundle.places.iter().all(|place| self.bundle_of(*place) == Some(key)), "places know their bundle");
            let is_granted =
                !self.is_bundle_left_over(key) || bundle.places.iter().any(|place| self.is_put_off(*place));
            assert!(is_granted, "nobody stays waiting who waits for nobody");
        }
    }

    fn is_put_off(&self, key: PlaceKey) -> bool {
        self.table.special(self.table.place(key).lock).is_some_and(|special| special.is_put_off)
    }

    fn check_askers(&self) {
        let (mut owners, mut listed) = (0, 0);
        let graces = self.askers.iter().filter(|(_, session)| session.grace().is_some()).count();
        assert_eq!(graces, self.graces.len(), "exactly the sessions without a connection have a grace");
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
                let is_owner = asker != Asker::session(key);
                let is_kept = !is_owner || Some(asker) == self.askers.last_owner(key);
                assert!(is_kept || !party.places.is_empty(), "an owner without places is not listed, but for the last");
                owners += usize::from(is_owner);
                places += party.places.len();
                all_waits += waits as usize;
            }
            let counted = (session.places(), session.waits());
            assert_eq!((places, all_waits), counted, "a session counts those of its owners");
            listed += places;
        }
        self.askers.check_groups();
        assert_eq!(owners, self.askers.listed_owners(), "every owner who has places is one of a session's");
        assert_eq!(listed, self.table.places().len(), "every place is in an asker's list");
    }

    /// Whether nothing is left: no session, no lock, no deadline.
    pub fn is_empty(&self) -> bool {
        self.askers.len() == 0 && self.table.is_empty() && self.deadlines.is_empty() && self.watchers() == 0
    }
}
