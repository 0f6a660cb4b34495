//! In the steady state a lock and its unlock allocate nothing, and clients that have left leave no memory behind.
//!
//! The allocator counts per thread, so each test sees only what it did itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::io::ErrorKind;
use std::rc::Rc;

use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
use officer::server::{Limits, Readiness, Server};
use officer::time::Moment;
use officer::wire::Id;
use officer::wire::peer::Peer;
use officer::wire::reply::Reply;
use officer::wire::request::{Command, parse};

use self::memory::{MemorySocket, Wire};

#[path = "support/memory.rs"]
mod memory;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The system's allocator, with a count of what goes through it.
mod counting {
    #![allow(
        unsafe_code,
        reason = "an allocator can't be written without it; every call goes to the system's, unchanged"
    )]

    use std::alloc::{GlobalAlloc, Layout, System};

    use super::{ALLOCATIONS, LARGEST_BYTES, LIVE_BYTES};

    pub(super) struct Counting;

    // SAFETY: every call is passed on to `System` unchanged. Counting uses `Cell`s of the thread that need neither
    // allocation nor a destructor, so it can't re-enter.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size(), 0);
            // SAFETY: the caller upholds the contract, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            LIVE_BYTES.set(LIVE_BYTES.get().wrapping_sub(layout.size()));
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count(size, layout.size());
            // SAFETY: as above.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }

    fn count(added: usize, freed: usize) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LARGEST_BYTES.set(LARGEST_BYTES.get().max(added));
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_add(added).wrapping_sub(freed));
    }
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LARGEST_BYTES: Cell<usize> = const { Cell::new(0) };
    /// Can wrap, because a thread may free what another has allocated. Differences are correct.
    static LIVE_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// The number of allocations that `work` makes.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Rounds before the steady state: buffers, tables and pools have then grown to what the rounds need.
const WARM_UP_ROUNDS: usize = 4;
const ROUNDS: usize = 100;

/// Asserts that `round` allocates nothing after a few warm-up rounds.
fn assert_steady(what: &str, mut round: impl FnMut()) {
    (0..WARM_UP_ROUNDS).for_each(|_| round());
    let count = allocations(|| (0..ROUNDS).for_each(|_| round()));
    assert_eq!(count, 0, "{what}: {count} allocations in {ROUNDS} rounds");
}

/// Names of every length that must work without an allocation.
fn names() -> impl Iterator<Item = String> {
    (1..=31).map(|length| "n".repeat(length))
}

fn request(command: &str, name: &str, fields: &str) -> String {
    format!("{{\"command\":\"{command}\",\"name\":\"{name}\"{fields}}}\n")
}

fn peer(number: u16) -> Peer {
    Peer::V4 { ip: [10, 0, 0, 1], port: number }
}

#[test]
fn the_allocator_counts_allocations_and_frees() {
    let live = LIVE_BYTES.get();
    let mut kept = Vec::new();
    assert_eq!(allocations(|| kept.reserve_exact(1000)), 1);
    assert_eq!(allocations(|| kept.extend([b'x'; 1001])), 1, "growing is an allocation");
    assert!(LIVE_BYTES.get().wrapping_sub(live) >= 1001);
    drop(kept);
    assert_eq!(LIVE_BYTES.get(), live);
}

/// Encodes every reply over the previous one, as if it were sent at once.
#[derive(Default)]
struct Encoded {
    out: Vec<u8>,
    count: usize,
}

impl Replies for Encoded {
    fn push(&mut self, _: ConnectionKey, reply: &Reply<'_>) {
        self.out.clear();
        reply.encode(&mut self.out);
        self.count += 1;
    }
}

/// An engine that takes lines.
struct Desk {
    engine: Engine,
    replies: Encoded,
    now: u64,
}

impl Desk {
    fn new() -> Self {
        let limits = EngineLimits {
            session_locks_max: 100_000,
            lock_waits_max: 1000,
            closing_locks_max: 100_000,
            turn_grants_max: 1000,
            turn_walk_max: 50_000,
            reply_bytes_max: 1 << 20,
        };
        Desk { engine: Engine::new(limits, TokenBlock::all()), replies: Encoded::default(), now: 0 }
    }

    fn connect(&mut self, number: u16) -> SessionKey {
        self.engine.connect(ConnectionKey::from_bits(number.into()), peer(number))
    }

    /// Executes a line and asserts how many replies it caused, to all sessions together.
    fn say(&mut self, session: SessionKey, line: &str, replies: usize) {
        let request = parse(line.trim_ascii_end().as_bytes()).expect("a request");
        let Command::Locks(operation) = &request.command else { unreachable!("the engine executes only operations") };
        self.replies.count = 0;
        let (id, owner) = (request.id.as_ref().map(Id::as_ref), request.owner.as_ref().map(Id::as_ref));
        let (id, owner, now) = (id.as_ref(), owner.as_ref(), Moment::from_nanos(self.now));
        let context = Context { session, id, owner, is_verbatim: false, now };
        self.engine.request(operation, &context, &mut self.replies);
        assert_eq!(self.replies.count, replies, "{line}");
    }

    fn pass(&mut self, nanos: u64, replies: usize) {
        self.now += nanos;
        self.replies.count = 0;
        while self.engine.expire_next(Moment::from_nanos(self.now), Moment::from_nanos(self.now), &mut self.replies) {}
        assert_eq!(self.replies.count, replies);
    }
}

#[test]
fn the_engine_locks_and_unlocks_without_an_allocation() {
    for name in names() {
        let mut desk = Desk::new();
        let [ann, bob] = [1, 2].map(|number| desk.connect(number));
        let (lock, unlock) = (request("lock", &name, ""), request("unlock", &name, ""));
        let timed = request("lock", &name, ",\"timeout\":5,\"queue_max\":9");
        assert_steady("uncontended", || {
            desk.say(ann, &lock, 1);
            desk.say(ann, &unlock, 1);
        });
        assert_steady("hand-over", || {
            desk.say(ann, &lock, 1);
            desk.say(bob, &lock, 0);
            desk.say(ann, &unlock, 2);
            desk.say(bob, &unlock, 1);
        });
        assert_steady("a timed wait that is granted", || {
            desk.say(ann, &lock, 1);
            desk.say(bob, &timed, 0);
            desk.pass(1_000_000_000, 0);
            desk.say(ann, &unlock, 2);
            desk.say(bob, &unlock, 1);
        });
        assert_steady("a timed wait that times out", || {
            desk.say(ann, &lock, 1);
            desk.say(bob, &timed, 0);
            desk.pass(5_000_000_000, 1);
            desk.say(ann, &unlock, 1);
        });
        desk.engine.check_all();
    }
}

#[test]
fn what_few_requests_have_allocates_nothing_either() {
    let longest = "ä".repeat(32);
    for owner in ["4711".to_owned(), format!("\"{longest}\"")] {
        let mut desk = Desk::new();
        let [ann, bob] = [1, 2].map(|number| desk.connect(number));
        let of_owner = format!(",\"owner\":{owner},\"id\":\"{longest}\"");
        let lock = request("lock", "db", &format!("{of_owner},\"fence\":true"));
        let unlock = request("unlock", "db", &of_owner);
        assert_steady("an owner, with a token and an id", || {
            desk.say(ann, &lock, 1);
            desk.say(ann, &unlock, 1);
        });
        let turns: Vec<[String; 2]> = (0..16)
            .map(|number| {
                let fields = format!(",\"owner\":{},\"fence\":true", 12_345_670 + number);
                ["lock", "unlock"].map(|command| request(command, &format!("of:{number}"), &fields))
            })
            .collect();
        assert_steady("owners in turn", || {
            for [lock, unlock] in &turns {
                desk.say(ann, lock, 1);
                desk.say(ann, unlock, 1);
            }
        });
        desk.engine.check_all();
        assert_steady("an owner who waits", || {
            desk.say(ann, &lock, 1);
            desk.say(bob, &lock, 0);
            desk.say(ann, &unlock, 2);
            desk.say(bob, &unlock, 1);
        });
        let terms = format!("{of_owner},\"lease\":9,\"label\":\"{longest}{longest}\",\"priority\":3,\"min_hold\":1");
        let lock = request("lock", "db", &terms);
        assert_steady("a lease, a label, a priority, and a closing", || {
            desk.say(ann, &lock, 1);
            desk.say(bob, &lock, 0);
            desk.say(ann, &unlock, 1);
            desk.pass(1_000_000_000, 1);
            desk.say(bob, &unlock, 1);
            desk.pass(1_000_000_000, 0);
        });
        let lock = request("lock", "db", &format!("{of_owner},\"lease\":9"));
        let renew = request("renew", "db", &of_owner);
        assert_steady("a lease that is renewed", || {
            desk.say(ann, &lock, 1);
            desk.say(ann, &renew, 1);
            desk.say(ann, &unlock, 1);
        });
        let hint = format!("{of_owner},\"hint\":true,\"progress\":true,\"priority\":3");
        let lock = request("lock", "db", &hint);
        assert_steady("a hint, and a position", || {
            desk.say(ann, &lock, 1);
            desk.say(bob, &lock, 2);
            desk.say(ann, &unlock, 2);
            desk.say(bob, &unlock, 1);
        });
        desk.engine.check_all();
    }
}

#[test]
fn only_the_names_of_a_request_for_several_are_allocated() {
    // By the parser, for as long as the request is executed: the list as it grows, and as it is kept.
    const LIST: usize = 2;
    let mut desk = Desk::new();
    let [ann, bob] = [1, 2].map(|number| desk.connect(number));
    let several = |command: &str, more: &str| {
        format!("{{\"command\":\"{command}\",\"names\":[\"a\",\"b\",\"c\"],\"id\":7{more}}}")
    };
    let (all, any, unlock) = (several("lock", ""), several("lock", ",\"any\":true"), several("unlock", ""));
    let mut round = || {
        desk.say(ann, &all, 1);
        desk.say(bob, &all, 0);
        desk.say(ann, &unlock, 2);
        desk.say(ann, &any, 0);
        desk.say(bob, &unlock, 2);
        desk.say(ann, &unlock, 1);
    };
    (0..10).for_each(|_| round());
    assert_eq!(allocations(|| (0..10).for_each(|_| round())), 10 * 6 * LIST);
    desk.engine.check_all();
}

#[test]
fn the_engine_takes_new_names_without_an_allocation() {
    let mut desk = Desk::new();
    let ann = desk.connect(1);
    let lines: Vec<[String; 2]> = (0..62_000)
        .map(|number| ["lock", "unlock"].map(|command| request(command, &format!("boss:{number}"), "")))
        .collect();
    // The hash spreads names over the parts of the index and over the spots of recent locks. After this many, every spot has
    // been used. A part may still grow a last time, when it is full of what was removed, and there are 64 of them.
    let (first, others) = lines.split_at(60_000);
    let mut each = |lines: &[[String; 2]]| {
        for line in lines.iter().flatten() {
            desk.say(ann, line, 1);
        }
    };
    each(first);
    assert!(allocations(|| each(others)) < 64);
}

/// The largest single allocation of the engine while these names are locked.
fn largest_while_locked(names: impl Iterator<Item = String>) -> usize {
    const NAMES: usize = 1 << 16;
    let mut desk = Desk::new();
    let ann = desk.connect(1);
    let lines: Vec<String> = names.take(NAMES).map(|name| request("lock", &name, "")).collect();
    LARGEST_BYTES.set(0);
    lines.iter().for_each(|line| desk.say(ann, line, 1));
    LARGEST_BYTES.get()
}

#[test]
fn names_chosen_to_be_in_one_part_of_the_index_are_spread_over_all_of_it() {
    // The index has parts, so that none is large when it grows, because everybody waits for that. This is the hash that
    // distributes the names, but without its key: with the key, an attacker could put all names into one part.
    let has_zeros = |name: &String| {
        let mut hasher = DefaultHasher::new();
        hasher.write(name.as_bytes());
        hasher.finish() >> 58 == 0
    };
    let names = || (0..).map(|number| format!("boss:{number}"));
    let (any, chosen) = (largest_while_locked(names()), largest_while_locked(names().filter(has_zeros)));
    // By chance one part can be twice as large as another, but not hold all of 64.
    assert!(chosen <= any * 2, "{chosen} bytes at once, {any} with random names");
}

/// A server, the other ends of its connections, and a clock.
struct World {
    server: Server<MemorySocket>,
    now: u64,
}

impl World {
    fn new() -> Self {
        World { server: Server::new(Limits::default(), TokenBlock::all()), now: 0 }
    }

    fn connect(&mut self, number: u16) -> ConnectionKey {
        // With room for all that these tests send and receive.
        let (to_server, to_client) = (VecDeque::with_capacity(4096), Vec::with_capacity(4096));
        let wire = Rc::new(RefCell::new(Wire { to_server, to_client, ..Wire::default() }));
        self.server.accept(MemorySocket::new(wire), peer(number), Moment::from_nanos(self.now)).expect("there is room")
    }

    /// Bytes arrive. The server's turn comes later.
    fn put(&mut self, client: ConnectionKey, bytes: &str) {
        let socket = self.server.socket_mut(client).expect("the connection is there");
        socket.0.borrow_mut().to_server.extend(bytes.as_bytes());
        self.server.ready(client, Readiness { is_readable: true, ..Readiness::default() });
    }

    fn send(&mut self, client: ConnectionKey, bytes: &str) {
        self.put(client, bytes);
        self.turns();
    }

    fn turns(&mut self) {
        self.server.polled(Moment::from_nanos(self.now), true);
        self.server.turn(Moment::from_nanos(self.now));
        while self.server.next_turn().is_some_and(|next| next <= Moment::from_nanos(self.now)) {
            self.server.polled(Moment::from_nanos(self.now), true);
            self.server.turn(Moment::from_nanos(self.now));
        }
    }

    /// Asserts how many replies the client has received since the last call, all of which contain `part`.
    fn assert_received(&mut self, client: ConnectionKey, part: &str, count: usize) {
        let socket = self.server.socket_mut(client).expect("the connection is there");
        let mut wire = socket.0.borrow_mut();
        let received = str::from_utf8(&wire.to_client).expect("replies are UTF-8");
        assert!(received.lines().all(|line| line.contains(part)), "{part} was expected in {received}");
        assert_eq!(received.lines().count(), count, "{received}");
        wire.to_client.clear();
    }

    /// The connection breaks.
    fn vanish(&mut self, client: ConnectionKey) {
        self.server.fail(client, ErrorKind::ConnectionReset.into());
    }
}

#[test]
fn the_server_locks_and_unlocks_without_an_allocation() {
    for name in names() {
        let mut world = World::new();
        let [ann, bob] = [1, 2].map(|number| world.connect(number));
        let (lock, unlock) = (request("lock", &name, ""), request("unlock", &name, ""));
        let timed = request("lock", &name, ",\"timeout\":5,\"queue_max\":9");
        assert_steady("uncontended", || {
            world.send(ann, &lock);
            world.assert_received(ann, "\"acquired\"", 1);
            world.send(ann, &unlock);
            world.assert_received(ann, "\"released\"", 1);
        });
        assert_steady("hand-over", || {
            world.send(ann, &lock);
            world.send(bob, &lock);
            world.assert_received(ann, "\"acquired\"", 1);
            world.assert_received(bob, "", 0);
            world.send(ann, &unlock);
            world.assert_received(ann, "\"released\"", 1);
            world.assert_received(bob, "\"acquired\"", 1);
            world.send(bob, &unlock);
            world.assert_received(bob, "\"released\"", 1);
        });
        assert_steady("a timed wait that is granted", || {
            world.send(ann, &lock);
            world.send(bob, &timed);
            world.now += 1_000_000_000;
            world.turns();
            world.send(ann, &unlock);
            world.assert_received(bob, "\"acquired\"", 1);
            world.send(bob, &unlock);
            world.assert_received(bob, "\"released\"", 1);
            world.assert_received(ann, "", 2);
        });
        assert_steady("a timed wait that times out", || {
            world.send(ann, &lock);
            world.send(bob, &timed);
            world.now += 5_000_000_000;
            world.turns();
            world.assert_received(bob, "\"timed_out\"", 1);
            world.send(ann, &unlock);
            world.assert_received(ann, "", 2);
        });
        assert_steady("all in one turn", || {
            world.put(ann, &lock);
            world.put(bob, &lock);
            world.put(ann, &unlock);
            world.put(bob, &unlock);
            world.turns();
            world.assert_received(ann, "", 2);
            world.assert_received(bob, "", 2);
        });
        world.server.check_all();
    }
}

#[test]
fn events_allocate_nothing_for_watchers_that_read_and_for_one_that_does_not() {
    for name in names() {
        let mut world = World::new();
        let [ann, keen, stalled] = [1, 2, 3].map(|number| world.connect(number));
        for watcher in [keen, stalled] {
            world.send(watcher, "{\"command\":\"watch\"}\n");
            world.assert_received(watcher, "watching", 1);
        }
        let (lock, unlock) = (request("lock", &name, ""), request("unlock", &name, ""));
        let round = |world: &mut World| {
            world.send(ann, &lock);
            world.send(ann, &unlock);
            world.assert_received(ann, "", 2);
            world.assert_received(keen, "event", 2);
        };
        assert_steady("events", || {
            round(&mut world);
            world.assert_received(stalled, "event", 2);
        });
        // Until it gets no more.
        world.server.socket_mut(stalled).expect("it is connected").0.borrow_mut().room = Some(0);
        (0..500).for_each(|_| round(&mut world));
        assert_steady("events that somebody misses", || round(&mut world));
        world.server.check_all();
    }
}

#[test]
fn lines_that_arrive_in_pieces_allocate_nothing() {
    let mut world = World::new();
    let [ann, bob] = [1, 2].map(|number| world.connect(number));
    // A lock for each: a client whose unlock arrives while it waits gets one reply less.
    let [anns, bobs] = ['a', 'b'].map(|end| {
        let name = "n".repeat(30) + &end.to_string();
        request("lock", &name, ",\"timeout\":5") + &request("unlock", &name, "")
    });
    let (mut cut, mut other) = (0, 0);
    assert_steady("two clients whose pieces alternate", || {
        cut = cut % (anns.len() - 1) + 1;
        other = (other + 7) % (bobs.len() - 1) + 1;
        world.send(ann, &anns[..cut]);
        world.send(bob, &bobs[..other]);
        world.send(ann, &anns[cut..]);
        world.send(bob, &bobs[other..]);
        world.assert_received(ann, "", 2);
        world.assert_received(bob, "", 2);
    });
    assert_steady("byte by byte", || {
        for at in 0..anns.len() {
            world.send(ann, &anns[at..=at]);
        }
        world.assert_received(ann, "", 2);
    });
    world.server.check_all();
}

const CLIENTS: u16 = 100;
/// How many of the clients request the same lock.
const ON_ONE_LOCK: u16 = 4;

/// Asserts that `round` leaves the same memory in use each time.
fn assert_nothing_grows(mut round: impl FnMut()) {
    round();
    let live = LIVE_BYTES.get();
    for number in 2..=50 {
        round();
        let more = LIVE_BYTES.get().wrapping_sub(live);
        assert_eq!(more.cast_signed(), 0, "bytes kept after round {number} that were not after round 1");
    }
}

#[test]
fn the_engine_is_as_small_after_every_round_of_clients_as_after_the_first() {
    let mut desk = Desk::new();
    assert_nothing_grows(|| {
        let sessions: Vec<SessionKey> = (0..CLIENTS).map(|number| desk.connect(number)).collect();
        for (number, session) in (0..).zip(&sessions) {
            let is_first = number % ON_ONE_LOCK == 0;
            // Too long to live inside the entry, and with an id: memory of their own.
            let name = format!("{}:{}", "long".repeat(10), number / ON_ONE_LOCK);
            let line = request("lock", &name, ",\"timeout\":5,\"id\":\"an id of some length\"");
            desk.say(*session, &line, usize::from(is_first));
        }
        assert_eq!(desk.engine.stats().waiting, u64::from(CLIENTS - CLIENTS / ON_ONE_LOCK));
        for session in sessions {
            desk.engine.disconnect(session, Moment::from_nanos(desk.now), &mut desk.replies);
        }
        assert!(desk.engine.is_empty());
    });
}

#[test]
fn the_server_is_as_small_after_every_round_of_clients_as_after_the_first() {
    let mut world = World::new();
    assert_nothing_grows(|| {
        let clients: Vec<ConnectionKey> = (0..CLIENTS).map(|number| world.connect(number)).collect();
        for (number, client) in (0..).zip(&clients) {
            let name = format!("{}:{}", "long".repeat(10), number / ON_ONE_LOCK);
            world.send(*client, &request("lock", &name, ",\"timeout\":5,\"id\":\"an id of some length\""));
            // And a line that never ends.
            world.send(*client, "{\"command\":\"reset\"");
        }
        assert_eq!(world.server.stats().waiting, u64::from(CLIENTS - CLIENTS / ON_ONE_LOCK));
        for client in clients {
            world.vanish(client);
        }
        world.turns();
        assert!(world.server.is_empty());
    });
}

#[test]
fn what_a_crowd_needed_is_used_again_by_the_next_crowd() {
    let mut desk = Desk::new();
    let lock = request("lock", "boss:17", ",\"timeout\":5");
    let mut round = || {
        let sessions: Vec<SessionKey> = (0..CLIENTS).map(|number| desk.connect(number)).collect();
        for (index, session) in sessions.iter().enumerate() {
            desk.say(*session, &lock, usize::from(index == 0));
        }
        for session in sessions {
            desk.engine.disconnect(session, Moment::from_nanos(desk.now), &mut desk.replies);
        }
        assert!(desk.engine.is_empty());
    };
    round();
    let live = LIVE_BYTES.get();
    (0..500).for_each(|_| round());
    // Each crowd is distributed differently over the parts of its index, and each part keeps the memory it once needed,
    // some hundred bytes.
    let more = LIVE_BYTES.get().wrapping_sub(live);
    assert!(more.cast_signed() < 20_000, "{more} bytes more after 500 crowds than after one");
}
