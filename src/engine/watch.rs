//! Who watches which locks, and what they are told.
//!
//! Watchers are kept in a tree of their prefixes, so an event costs the length of the lock's name and the watchers that it is
//! for, however many others there are. A watcher that can't take an event is set aside until it has caught up: events count
//! for it, but cost nothing.

use std::collections::HashMap;
use std::hash::BuildHasher;

use slab::Slab;
use smallvec::SmallVec;

use super::askers::Asker;
use super::table::LockKey;
use super::{ConnectionKey, Engine, Replies};
use crate::wire::reply::{Happening, Outcome, Reply};

/// A node of the tree. Its prefix is that of its parent and its own part. Apart from the root each has watchers or several
/// children.
#[derive(Debug, Default)]
struct Node {
    part: Part,
    parent: usize,
    /// With the first byte of the part of each, in the order of these.
    children: Vec<(u8, usize)>,
    /// Those that are told of everything.
    live: Vec<ConnectionKey>,
    /// How many others have missed something and are not told of more until they know it.
    behind: u64,
    /// What has happened to locks with its prefix while it had watchers.
    events: u64,
}

/// The part of a prefix that a node has for itself. Most are short, and are compared for every event.
type Part = SmallVec<[u8; 16]>;

/// One connection's watch.
#[derive(Debug)]
struct Watch {
    node: usize,
    standing: Standing,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// Its position among those of its node that are.
    Live(usize),
    /// It knows this many of the events of its node.
    Behind(u64),
}

/// All watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// Empty if nobody watches. Otherwise the first is the root.
    nodes: Slab<Node>,
    of: HashMap<ConnectionKey, Watch>,
    /// Events that somebody was not told of, since the start.
    missed: u64,
}

const ROOT: usize = 0;

impl Watches {
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A connection that does not watch yet watches the locks whose names start with `prefix`.
    fn insert(&mut self, connection: ConnectionKey, prefix: &[u8]) {
        if self.nodes.is_empty() {
            assert_eq!(self.nodes.insert(Node::default()), ROOT, "the first number of an empty slab is 0");
        }
        let number = self.node_of(prefix);
        let node = &mut self.nodes[number];
        let watch = Watch { node: number, standing: Standing::Live(node.live.len()) };
        node.live.push(connection);
        let before = self.of.insert(connection, watch);
        assert!(before.is_none(), "a connection has one watch");
    }

    /// The node with this prefix, which is made if there is none.
    fn node_of(&mut self, prefix: &[u8]) -> usize {
        let (mut number, mut rest) = (ROOT, prefix);
        while let Some(&first) = rest.first() {
            let index = match self.nodes[number].child(first) {
                Ok(index) => index,
                Err(index) => return self.add_child(number, index, rest),
            };
            let child = self.nodes[number].children[index].1;
            let part = &self.nodes[child].part;
            let common = part.iter().zip(rest).take_while(|(one, other)| one == other).count();
            number = if common == part.len() { child } else { self.split(child, common) };
            rest = &rest[common..];
        }
        number
    }

    fn add_child(&mut self, parent: usize, index: usize, part: &[u8]) -> usize {
        let number = self.nodes.insert(Node { part: Part::from_slice(part), parent, ..Node::default() });
        self.nodes[parent].children.insert(index, (part[0], number));
        number
    }

    /// Puts a node between one and its parent: it has the first `len` bytes of the part.
    fn split(&mut self, lower: usize, len: usize) -> usize {
        let Node { part, parent, .. } = &mut self.nodes[lower];
        let rest = Part::from_slice(&part[len..]);
        part.truncate(len);
        let (upper_part, above) = (std::mem::replace(part, rest), *parent);
        let (first, lower_first) = (upper_part[0], part[0]);
        let upper = Node { part: upper_part, parent: above, children: vec![(lower_first, lower)], ..Node::default() };
        let upper = self.nodes.insert(upper);
        self.nodes[lower].parent = upper;
        let index = self.nodes[above].child(first).expect("a parent has its child");
        self.nodes[above].children[index].1 = upper;
        upper
    }

    /// Ends the watch of a connection, if it has one.
    fn remove(&mut self, connection: ConnectionKey) {
        let Some(watch) = self.of.remove(&connection) else { return };
        match watch.standing {
            Standing::Live(index) => self.take_live(watch.node, index),
            Standing::Behind(_) => self.nodes[watch.node].behind -= 1,
        }
        self.prune(watch.node);
        if self.of.is_empty() {
            self.nodes = Slab::new();
        }
    }

    fn take_live(&mut self, node: usize, index: usize) {
        let live = &mut self.nodes[node].live;
        live.swap_remove(index);
        if let Some(moved) = live.get(index) {
            self.of.get_mut(moved).expect("who is live watches").standing = Standing::Live(index);
        }
    }

    /// Removes a node that is no longer needed, and then its parent if that is not needed any more.
    fn prune(&mut self, number: usize) {
        let node = &self.nodes[number];
        if number == ROOT || node.has_watchers() {
            return;
        }
        match node.children[..] {
            [] => {
                let Node { part, parent, .. } = self.nodes.remove(number);
                let index = self.nodes[parent].child(part[0]).expect("a parent has its child");
                self.nodes[parent].children.remove(index);
                // It had several children, or it has watchers: this does not go on.
                self.prune(parent);
            }
            [(_, child)] => {
                let Node { mut part, parent, .. } = self.nodes.remove(number);
                let index = self.nodes[parent].child(part[0]).expect("a parent has its child");
                self.nodes[parent].children[index].1 = child;
                part.extend_from_slice(&self.nodes[child].part);
                (self.nodes[child].part, self.nodes[child].parent) = (part, parent);
            }
            _ => {}
        }
    }

    /// Offers what happened to a lock to all who watch it.
    fn offer(&mut self, name: &[u8], mut take: impl FnMut(ConnectionKey) -> bool) {
        let (mut number, mut rest) = (ROOT, name);
        loop {
            if self.nodes[number].has_watchers() {
                self.offer_at(number, &mut take);
            }
            let node = &self.nodes[number];
            let Some(index) = rest.first().and_then(|first| node.child(*first).ok()) else { return };
            number = node.children[index].1;
            match rest.strip_prefix(&self.nodes[number].part[..]) {
                Some(after) => rest = after,
                None => return,
            }
        }
    }

    fn offer_at(&mut self, number: usize, take: &mut impl FnMut(ConnectionKey) -> bool) {
        let node = &mut self.nodes[number];
        let known = node.events;
        node.events += 1;
        self.missed += node.behind;
        let mut index = 0;
        while let Some(&connection) = self.nodes[number].live.get(index) {
            if take(connection) {
                index += 1;
                continue;
            }
            self.take_live(number, index);
            self.nodes[number].behind += 1;
            self.of.get_mut(&connection).expect("who is live watches").standing = Standing::Behind(known);
            self.missed += 1;
        }
    }

    /// A connection that has missed events is told of them again. Returns how many it has missed.
    fn catch_up(&mut self, connection: ConnectionKey) -> Option<u64> {
        let watch = self.of.get_mut(&connection)?;
        let Standing::Behind(known) = watch.standing else { return None };
        let node = &mut self.nodes[watch.node];
        watch.standing = Standing::Live(node.live.len());
        node.live.push(connection);
        node.behind -= 1;
        Some(node.events - known)
    }

    /// Checks the tree against the watches.
    ///
    /// # Panics
    /// If anything contradicts.
    #[cfg(feature = "unstable")]
    pub(super) fn check_all(&self) {
        let (mut live, mut behind, mut children) = (0, 0, 0);
        for (number, node) in &self.nodes {
            live += node.live.len();
            behind += node.behind;
            children += node.children.len();
            assert!(number == ROOT || node.has_watchers() || node.children.len() > 1, "a node is needed");
            assert_eq!(node.part.is_empty(), number == ROOT, "only the prefix of the root is empty");
            assert!(node.children.is_sorted_by(|one, next| one.0 < next.0), "children are found by their first byte");
            for (first, child) in &node.children {
                assert_eq!((self.nodes[*child].parent, self.nodes[*child].part[0]), (number, *first));
            }
            for (index, connection) in node.live.iter().enumerate() {
                let watch = &self.of[connection];
                assert!(matches!(watch.standing, Standing::Live(at) if at == index) && watch.node == number);
            }
        }
        assert_eq!(
            live + usize::try_from(behind).expect("fewer than 2^64"),
            self.of.len(),
            "every watch is at its node"
        );
        assert_eq!(children + usize::from(!self.is_empty()), self.nodes.len(), "every node has its parent");
        assert_eq!(self.of.is_empty(), self.is_empty(), "without watches there is no tree");
    }
}

impl Node {
    /// Where the child is whose part begins with a byte, or where it would be.
    fn child(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |(first, _)| *first)
    }

    fn has_watchers(&self) -> bool {
        !self.live.is_empty() || self.behind > 0
    }
}

impl<S: BuildHasher> Engine<S> {
    /// The connection is told what happens to the locks whose names start with `prefix`, and to no others any more.
    pub fn watch(&mut self, connection: ConnectionKey, prefix: &str) {
        self.watches.remove(connection);
        self.watches.insert(connection, prefix.as_bytes());
    }

    /// The connection is told of events no more. It need not have been.
    pub fn unwatch(&mut self, connection: ConnectionKey) {
        self.watches.remove(connection);
    }

    /// A watcher that did not take an event is told of further ones. Returns how many it has missed. None: it does not watch,
    /// or has missed nothing.
    pub fn catch_up(&mut self, connection: ConnectionKey) -> Option<u64> {
        self.watches.catch_up(connection)
    }

    /// How many connections watch.
    pub fn watchers(&self) -> usize {
        self.watches.of.len()
    }

    /// Events that watchers were not told of, since the start.
    pub fn events_missed(&self) -> u64 {
        self.watches.missed
    }

    /// Something has happened to a lock, by or to an asker if there is one. Called for each hold and each wait as it begins
    /// and as it ends, while its asker is still known.
    #[inline(always)]
    pub(super) fn happen(&mut self, event: Happening, lock: LockKey, asker: Option<Asker>, replies: &mut impl Replies) {
        if !self.watches.is_empty() {
            self.tell_watchers(event, lock, asker, replies);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_watchers(&mut self, event: Happening, lock: LockKey, asker: Option<Asker>, replies: &mut impl Replies) {
        let name = self.table.name(lock);
        let party = asker.map(|asker| (self.askers.session_of(asker).peer, self.askers.name(asker)));
        let notice = Reply { id: None, owner: None, outcome: Outcome::NoticeEvent { event, name, party } };
        replies.begin_event();
        self.watches.offer(name.as_bytes(), |connection| replies.event(connection, &notice));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ConnectionKey {
        ConnectionKey::from_bits(number as u64)
    }

    /// Those that are offered an event. They take it unless they are among `full`.
    fn offered(watches: &mut Watches, name: &str, full: &[usize]) -> Vec<usize> {
        let mut offered = Vec::new();
        watches.offer(name.as_bytes(), |connection| {
            let number = (0..100).find(|number| key(*number) == connection).expect("one of a hundred");
            offered.push(number);
            !full.contains(&number)
        });
        watches.check_all();
        offered.sort_unstable();
        offered
    }

    #[test]
    fn an_event_is_for_those_whose_prefix_the_name_begins_with() {
        let mut watches = Watches::default();
        let prefixes = ["", "player:", "player:1", "player:12", "play", "zone:", "player:2", "é"];
        for (number, prefix) in prefixes.iter().enumerate() {
            watches.insert(key(number), prefix.as_bytes());
            watches.check_all();
        }
        let names = ["player:1", "player:123", "player:2", "player", "play", "pla", "zone:7", "è", "é", "éa", "x"];
        for name in names {
            let expected: Vec<usize> =
                (0..prefixes.len()).filter(|number| name.starts_with(prefixes[*number])).collect();
            assert_eq!(offered(&mut watches, name, &[]), expected, "{name}");
        }
        for gone in 0..prefixes.len() - 1 {
            watches.remove(key(gone));
            for name in names {
                let is_left = |number: &usize| *number > gone && name.starts_with(prefixes[*number]);
                let expected: Vec<usize> = (0..prefixes.len()).filter(is_left).collect();
                assert_eq!(offered(&mut watches, name, &[]), expected, "{name}");
            }
        }
        watches.remove(key(prefixes.len() - 1));
        assert!(watches.is_empty());
    }

    #[test]
    fn who_does_not_take_an_event_is_offered_none_until_it_has_caught_up_with_what_it_missed() {
        let mut watches = Watches::default();
        (0..3).for_each(|number| watches.insert(key(number), b"a"));
        assert_eq!(offered(&mut watches, "ab", &[]), [0, 1, 2]);
        assert_eq!(offered(&mut watches, "ab", &[0, 2]), [0, 1, 2]);
        assert_eq!(offered(&mut watches, "ab", &[]), [1]);
        assert!(offered(&mut watches, "b", &[]).is_empty());
        assert_eq!((watches.catch_up(key(0)), watches.catch_up(key(0))), (Some(2), None));
        assert_eq!(offered(&mut watches, "ab", &[]), [0, 1]);
        assert_eq!(watches.missed, 5);
        assert_eq!((watches.catch_up(key(2)), watches.catch_up(key(1))), (Some(3), None));
        watches.remove(key(2));
        assert_eq!((watches.catch_up(key(2)), offered(&mut watches, "a", &[])), (None, vec![0, 1]));
    }

    /// Whatever watches come and go, and whatever they can take: the same as with a list of all watches.
    #[test]
    fn a_tree_says_what_a_list_would() {
        struct Listed {
            prefix: String,
            missed: u64,
        }
        let mut random = fastrand::Rng::with_seed(15);
        for round in 0..300 {
            let word = |random: &mut fastrand::Rng| {
                let len = random.usize(0..=if round % 2 == 0 { 4 } else { 12 });
                (0..len).map(|_| random.choice(['a', 'b', 'c']).expect("a letter")).collect::<String>()
            };
            let (mut watches, mut list) = (Watches::default(), HashMap::<usize, Listed>::new());
            for _ in 0..200 {
                let number = random.usize(0..20);
                match random.u8(0..6) {
                    0 | 1 => {
                        let prefix = word(&mut random);
                        watches.remove(key(number));
                        watches.insert(key(number), prefix.as_bytes());
                        list.insert(number, Listed { prefix, missed: 0 });
                    }
                    2 => {
                        watches.remove(key(number));
                        list.remove(&number);
                    }
                    3 => {
                        let missed = list.get_mut(&number).map_or(0, |listed| std::mem::take(&mut listed.missed));
                        assert_eq!(watches.catch_up(key(number)), Some(missed).filter(|missed| *missed > 0));
                    }
                    _ if watches.is_empty() => {}
                    _ => {
                        let name = word(&mut random);
                        let full: Vec<usize> = (0..20).filter(|_| random.u8(0..8) == 0).collect();
                        let mut expected = Vec::new();
                        for (number, listed) in &mut list {
                            if name.starts_with(&listed.prefix) {
                                let is_live = listed.missed == 0;
                                expected.extend(is_live.then_some(*number));
                                listed.missed += u64::from(!is_live || full.contains(number));
                            }
                        }
                        expected.sort_unstable();
                        assert_eq!(offered(&mut watches, &name, &full), expected, "{name:?}");
                    }
                }
                watches.check_all();
            }
        }
    }

    #[test]
    fn an_event_costs_the_length_of_its_name_however_long_the_prefixes_are() {
        // Each prefix is one letter longer than the last, so that the tree is as deep as it can be.
        let mut watches = Watches::default();
        let long = "a".repeat(1024);
        (1..=1024).for_each(|len| watches.insert(key(len), &long.as_bytes()[..len]));
        let told = std::cell::Cell::new(0);
        let take = |_| {
            told.set(told.get() + 1);
            true
        };
        watches.offer(b"aaa", take);
        assert_eq!(told.get(), 3);
        watches.offer(format!("{}b", &long[..500]).as_bytes(), take);
        assert_eq!(told.get(), 503);
        (1..=1024).rev().for_each(|len| watches.remove(key(len)));
        assert!(watches.is_empty());
    }
}
