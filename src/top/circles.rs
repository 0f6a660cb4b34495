//! Circles of waiters: each waits for the next, and the last for the first. None of them gets its lock until one of them
//! gives up, is kicked, or has a lock revoked.
//!
//! Pages of a scan are of different moments, so a circle in them may never have been one. [`confirmed`] looks at its locks
//! again: places that are all older than the scan were there together.
//!
//! A place waits for the holders, and for the waiters ahead of it, with which it does not fit. Listings don't tell that a
//! request is for any of several names; it is taken for one that wants them all.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};

use super::poller::Clock;
use super::row::Moment;
use crate::client::{Client, Error, LockDetail, Owner, PlaceDetail};
use crate::console::one_lock;
use crate::console::place::shown_owner;
use crate::console::shown::Shown;

/// Holders and waiters that are looked at, of locks that somebody waits for. Beyond that, circles may go unseen.
const PLACES_MAX: usize = 200_000;
/// Circles that are looked for. Whoever resolves these finds the next.
const CIRCLES_MAX: usize = 5;
/// Locks of all these circles, which are looked at again with each scan.
const LINKS_MAX: usize = 100;

/// One of the parties that hold locks and wait for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Party {
    connection: String,
    owner: Option<Owner>,
}

impl Party {
    pub(super) fn of(place: &PlaceDetail) -> Self {
        Party { connection: place.connection.clone(), owner: place.owner.clone() }
    }

    fn is(&self, place: &PlaceDetail) -> bool {
        self.connection == place.connection && self.owner == place.owner
    }

    fn shown(&self) -> String {
        let connection = Shown(&self.connection);
        match &self.owner {
            Some(owner) => format!("{connection} (owner {})", shown_owner(owner)),
            None => connection.to_string(),
        }
    }
}

/// Who waits for which lock. The party of the next link, or of the first for the last, is in its way there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Circle(Vec<(Party, String)>);

impl Circle {
    /// `127.0.0.1:40312 waits for 'b', 127.0.0.1:40314 for 'a'`: each for a lock that the next one is on.
    pub(super) fn shown(&self) -> String {
        let mut shown = String::new();
        for (index, (party, lock)) in self.0.iter().enumerate() {
            let verb = if index == 0 { "waits for" } else { "for" };
            let comma = if index == 0 { "" } else { ", " };
            shown.push_str(&format!("{comma}{} {verb} '{}'", party.shown(), Shown(lock)));
        }
        shown
    }

    pub(super) fn has_lock(&self, name: &str) -> bool {
        self.0.iter().any(|(_, lock)| lock == name)
    }

    /// Whether a holder or waiter of a lock is part of it there.
    pub(super) fn has_place(&self, name: &str, place: &PlaceDetail) -> bool {
        self.links().any(|(waiter, lock, blocker)| lock == name && (waiter.is(place) || blocker.is(place)))
    }

    /// Who waits, for which lock, and who is in the way.
    fn links(&self) -> impl Iterator<Item = (&Party, &str, &Party)> {
        let next = self.0.iter().cycle().skip(1);
        self.0.iter().zip(next).map(|((waiter, lock), (blocker, _))| (waiter, lock.as_str(), blocker))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exclusive,
    Shared,
    /// One of several units. What it waits for is left out: any of the others may free one.
    Unit,
}

impl Kind {
    fn of(place: &PlaceDetail) -> Self {
        match place.slots {
            Some(2..) => Kind::Unit,
            None if place.mode == "shared" => Kind::Shared,
            _ => Kind::Exclusive,
        }
    }

    fn fits(self, other: Kind) -> bool {
        self == other && self != Kind::Exclusive
    }
}

/// The waits that a scan has seen.
#[derive(Debug, Default)]
pub(super) struct Waits {
    numbers: HashMap<Party, usize>,
    parties: Vec<Party>,
    /// Of each party: its waits, as nodes for what is ahead of them.
    waits: Vec<Vec<usize>>,
    /// The nodes beside the parties: "this place, and those ahead of it", once for all places, and once for those that
    /// hold a shared one back. So a queue of n needs 2n nodes and not n².
    ahead: Vec<Ahead>,
    locks: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Ahead {
    lock: usize,
    /// The party of the place, if it counts.
    party: Option<usize>,
    /// The node of the place ahead of it.
    next: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Party(usize),
    Ahead(usize),
}

impl Waits {
    /// Adds a lock as a listing has it.
    pub(super) fn add(&mut self, name: &str, detail: &LockDetail) {
        let count = detail.holders.len() + detail.waiters.len();
        if detail.waiters.is_empty() || self.ahead.len() + 2 * count > 2 * PLACES_MAX {
            return;
        }
        let lock = self.locks.len();
        self.locks.push(name.to_owned());
        let (mut all, mut unshared) = (None, None);
        for (index, place) in detail.holders.iter().chain(&detail.waiters).enumerate() {
            let (kind, party) = (Kind::of(place), self.number(place));
            if index >= detail.holders.len() {
                let ahead = match kind {
                    Kind::Exclusive => all,
                    Kind::Shared => unshared,
                    Kind::Unit => None,
                };
                self.waits[party].extend(ahead);
            }
            self.ahead.push(Ahead { lock, party: Some(party), next: all });
            all = Some(self.ahead.len() - 1);
            self.ahead.push(Ahead { lock, party: (kind != Kind::Shared).then_some(party), next: unshared });
            unshared = Some(self.ahead.len() - 1);
        }
    }

    fn number(&mut self, place: &PlaceDetail) -> usize {
        let party = Party::of(place);
        *self.numbers.entry(party).or_insert_with_key(|party| {
            self.parties.push(party.clone());
            self.waits.push(Vec::new());
            self.parties.len() - 1
        })
    }

    /// The nodes that one leads to.
    fn edge(&self, node: Node, index: usize) -> Option<Node> {
        match node {
            Node::Party(party) => self.waits[party].get(index).map(|node| Node::Ahead(*node)),
            Node::Ahead(node) => {
                let Ahead { party, next, .. } = self.ahead[node];
                party.map(Node::Party).into_iter().chain(next.map(Node::Ahead)).nth(index)
            }
        }
    }

    /// The first circles, no party in two of them.
    pub(super) fn circles(&self) -> Vec<Circle> {
        let mut circles = Vec::new();
        let mut taken = HashSet::new();
        let mut is_open: HashMap<Node, bool> = HashMap::new();
        for start in (0..self.parties.len()).map(Node::Party) {
            let mut path = Vec::new();
            if let Entry::Vacant(vacant) = is_open.entry(start) {
                vacant.insert(true);
                path.push((start, 0));
            }
            while let Some((node, index)) = path.last_mut() {
                let Some(next) = self.edge(*node, *index) else {
                    is_open.insert(*node, false);
                    path.pop();
                    continue;
                };
                *index += 1;
                match is_open.get(&next) {
                    None => {
                        is_open.insert(next, true);
                        path.push((next, 0));
                    }
                    Some(false) => {}
                    Some(true) => {
                        let circle = path.iter().skip_while(|(node, _)| *node != next).map(|(node, _)| *node);
                        let parties: Vec<usize> = circle.filter_map(party_of).collect();
                        if !parties.iter().any(|party| taken.contains(party)) {
                            circles.extend(parties.first().and_then(|party| self.shortest(*party, &mut taken)));
                        }
                        if circles.len() >= CIRCLES_MAX {
                            return circles;
                        }
                    }
                }
            }
        }
        circles
    }

    /// The circle of the fewest parties through this one. They are then taken.
    fn shortest(&self, start: usize, taken: &mut HashSet<usize>) -> Option<Circle> {
        let mut from: HashMap<Node, Node> = HashMap::new();
        let mut nodes = VecDeque::from([Node::Party(start)]);
        while let Some(node) = nodes.pop_front() {
            for next in (0..).map_while(|index| self.edge(node, index)) {
                if next == Node::Party(start) {
                    return Some(self.circle(node, &from, taken));
                }
                if from.contains_key(&next) {
                    continue;
                }
                from.insert(next, node);
                // Only parties count.
                match next {
                    Node::Party(_) => nodes.push_back(next),
                    Node::Ahead(_) => nodes.push_front(next),
                }
            }
        }
        None
    }

    /// The way back from the last node to the first party.
    fn circle(&self, last: Node, from: &HashMap<Node, Node>, taken: &mut HashSet<usize>) -> Circle {
        let mut links = Vec::new();
        let (mut node, mut lock) = (Some(last), 0);
        while let Some(at) = node {
            match at {
                Node::Ahead(ahead) => lock = self.ahead[ahead].lock,
                Node::Party(party) => {
                    taken.insert(party);
                    links.push((self.parties[party].clone(), self.locks[lock].clone()));
                }
            }
            node = from.get(&at).copied();
        }
        links.reverse();
        // The same circle reads the same, wherever the scan came upon it.
        let first = (0..links.len()).min_by_key(|index| links[*index].0.shown());
        links.rotate_left(first.unwrap_or(0));
        Circle(links)
    }
}

fn party_of(node: Node) -> Option<usize> {
    match node {
        Node::Party(party) => Some(party),
        Node::Ahead(_) => None,
    }
}

/// Those of the circles that are certainly there: all of their places are older than the scan that found them.
pub(super) fn confirmed(
    client: &Client,
    clock: Clock,
    circles: Vec<Circle>,
    scan_began: Moment,
) -> Result<Vec<Circle>, Error> {
    let mut confirmed = Vec::new();
    let mut left = LINKS_MAX;
    for circle in circles {
        if circle.0.len() > left {
            continue;
        }
        left -= circle.0.len();
        let mut is_there = true;
        for (waiter, lock, blocker) in circle.links() {
            let detail = one_lock(client, lock)?.unwrap_or_default();
            is_there &= is_waiting(&detail, waiter, blocker, clock.now() - scan_began);
        }
        if is_there {
            confirmed.push(circle);
        }
    }
    Ok(confirmed)
}

/// Whether one has waited for another for longer than this time.
fn is_waiting(detail: &LockDetail, waiter: &Party, blocker: &Party, longer_than: Moment) -> bool {
    let Some(position) = detail.waiters.iter().position(|place| waiter.is(place)) else { return false };
    let place = &detail.waiters[position];
    let is_old = |place: &PlaceDetail| place.held_for.or(place.waited_for).is_some_and(|time| time > longer_than);
    let mut ahead = detail.holders.iter().chain(&detail.waiters[..position]);
    let kind = Kind::of(place);
    is_old(place)
        && kind != Kind::Unit
        && ahead.any(|other| blocker.is(other) && is_old(other) && !kind.fits(Kind::of(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` is exclusive, `a+` shared, `a/3` one of three units; `a.7` is owner 7 of connection a.
    fn place(text: &str) -> PlaceDetail {
        let (text, slots) = text.split_once('/').map_or((text, None), |(text, slots)| (text, slots.parse().ok()));
        let name = text.trim_end_matches('+');
        let (connection, owner) = name.split_once('.').map_or((name, None), |(name, owner)| (name, Some(owner.into())));
        let mode = if text.ends_with('+') { "shared" } else { "exclusive" };
        PlaceDetail {
            connection: connection.to_owned(),
            owner,
            slots,
            mode: if slots.is_some() { String::new() } else { mode.to_owned() },
            held_for: Some(9.0),
            ..PlaceDetail::default()
        }
    }

    fn lock(holders: &str, waiters: &str) -> LockDetail {
        let places = |text: &str| text.split_whitespace().map(place).collect::<Vec<_>>();
        let (holders, waiters) = (places(holders), places(waiters));
        LockDetail { waiting: waiters.len() as u64, holders, waiters, ..LockDetail::default() }
    }

    fn circles(locks: &[(&str, &str, &str)]) -> Vec<String> {
        let mut waits = Waits::default();
        locks.iter().for_each(|(name, holders, waiters)| waits.add(name, &lock(holders, waiters)));
        waits.circles().iter().map(Circle::shown).collect()
    }

    #[test]
    fn circles_go_through_holders_and_those_ahead_that_do_not_fit() {
        for (locks, expected) in [
            (&[("x", "a", "b"), ("y", "b", "a")][..], "a waits for 'y', b for 'x'"),
            (&[("x", "a", "b"), ("y", "b", "c"), ("z", "c", "a")], "a waits for 'z', c for 'y', b for 'x'"),
            // Through a waiter ahead, and not the holder.
            (&[("x", "a", "b c"), ("y", "c", "b")], "b waits for 'y', c for 'x'"),
            // A shared one waits for the exclusive one ahead of it, which waits for the shared holder.
            (&[("x", "a+", "b c+"), ("y", "c", "b")], "b waits for 'y', c for 'x'"),
            (&[("x", "a/1", "b/1"), ("y", "b", "a")], "a waits for 'y', b for 'x'"),
            // The number and the text are two owners.
            (&[("x", "a.7", "a.8"), ("y", "a.8", "a.7")], "a (owner \"7\") waits for 'y', a (owner \"8\") for 'x'"),
            // Of a long queue only those that make the circle.
            (&[("x", "a", "p q r b"), ("y", "b", "s a")], "a waits for 'y', b for 'x'"),
            // Names that nobody holds yet.
            (&[("x", "", "a b"), ("y", "", "b a")], "a waits for 'y', b for 'x'"),
        ] {
            assert_eq!(circles(locks), [expected], "{locks:?}");
        }
    }

    #[test]
    fn what_is_not_a_circle_is_not_taken_for_one() {
        for locks in [
            &[("x", "a", "b"), ("y", "b", "c")][..],
            // Shared ones fit.
            &[("x", "a+", "b+"), ("y", "b", "a")],
            // Any unit will do.
            &[("x", "a/2 c/2", "b/2"), ("y", "b", "a")],
            // Two owners of one connection.
            &[("x", "a.1", "b"), ("y", "b", "a.2")],
        ] {
            assert_eq!(circles(locks), [""; 0], "{locks:?}");
        }
    }

    #[test]
    fn several_circles_are_told_apart() {
        let locks = [("x", "a", "b"), ("y", "b", "a"), ("v", "c", "d e"), ("w", "d", "c")];
        assert_eq!(circles(&locks), ["a waits for 'y', b for 'x'", "c waits for 'w', d for 'v'"]);
    }

    #[test]
    fn long_queues_take_little() {
        let waiters: String = (0..1000).map(|number| format!("w{number} ")).collect();
        let mut waits = Waits::default();
        (0..50).for_each(|number| waits.add(&number.to_string(), &lock(&format!("h{number}"), &waiters)));
        assert_eq!(waits.ahead.len(), 50 * 1001 * 2);
        assert!(waits.circles().is_empty());
        (0..1000).for_each(|number| waits.add(&number.to_string(), &lock("h", &waiters)));
        assert!(waits.ahead.len() <= 2 * PLACES_MAX);
    }

    #[test]
    fn only_old_waits_are_confirmed() {
        let party = |text: &str| Party::of(&place(text));
        let detail = lock("a+ b+", "c d+ e/2");
        for (waiter, blocker, is_there) in [
            ("c", "a", true),
            ("c", "b", true),
            ("d", "c", true),
            ("d", "a", false),
            ("a", "b", false),
            ("x", "a", false),
        ] {
            assert_eq!(is_waiting(&detail, &party(waiter), &party(blocker), 8.0), is_there, "{waiter} {blocker}");
            assert!(!is_waiting(&detail, &party(waiter), &party(blocker), 10.0));
        }
    }

    #[test]
    fn the_places_of_a_circle_are_known() {
        let mut waits = Waits::default();
        waits.add("x", &lock("a", "p b"));
        waits.add("y", &lock("b", "a"));
        let circles = waits.circles();
        let circle = &circles[0];
        assert!(circle.has_lock("x") && circle.has_lock("y") && !circle.has_lock("z"));
        for (name, of, is_there) in [("x", "a", true), ("x", "b", true), ("x", "p", false), ("z", "a", false)] {
            assert_eq!(circle.has_place(name, &place(of)), is_there, "{name} {of}");
        }
    }
}
