//! What locks cost without sockets: each iteration executes a request and encodes its replies.

use std::collections::VecDeque;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use officer::engine::{ConnectionKey, Context, Engine, EngineLimits, Replies, SessionKey, TokenBlock};
use officer::time::Moment;
use officer::wire::Id;
use officer::wire::peer::Peer;
use officer::wire::reply::Reply;
use officer::wire::request::{Command, Request, parse};

/// Encodes into the same buffer repeatedly, as a connection's outbox does.
#[derive(Default)]
struct Encoded {
    out: Vec<u8>,
    count: u64,
}

impl Replies for Encoded {
    fn push(&mut self, _: ConnectionKey, reply: &Reply<'_>) {
        self.out.clear();
        reply.encode(&mut self.out);
        self.count += 1;
    }
}

struct Bench {
    engine: Engine,
    replies: Encoded,
    connections: u16,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        let limits = EngineLimits {
            session_locks_max: usize::MAX,
            lock_waits_max: usize::MAX,
            closing_locks_max: 100_000,
            turn_grants_max: 1000,
            turn_walk_max: 50_000,
            reply_bytes_max: usize::MAX,
        };
        Bench { engine: Engine::new(limits, TokenBlock::all()), replies: Encoded::default(), connections: 0, now: 0 }
    }

    fn connect(&mut self) -> SessionKey {
        self.connections += 1;
        let peer = Peer::V4 { ip: [10, 0, 0, 1], port: self.connections };
        self.engine.connect(ConnectionKey::from_bits(self.connections.into()), peer)
    }

    fn request(&mut self, session: SessionKey, request: &Request<'_>) {
        let Command::Locks(operation) = &request.command else { unreachable!("the engine executes only operations") };
        let (id, owner) = (request.id.as_ref().map(Id::as_ref), request.owner.as_ref().map(Id::as_ref));
        let (id, owner, now) = (id.as_ref(), owner.as_ref(), Moment::from_nanos(self.now));
        let context = Context { session, id, owner, is_verbatim: false, now };
        self.engine.request(operation, &context, &mut self.replies);
    }

    /// A session takes `count` locks and keeps them.
    fn hold(&mut self, count: u32) {
        let keeper = self.connect();
        for number in 0..count {
            let line = format!(r#"{{"command":"lock","name":"held:{number}"}}"#);
            self.request(keeper, &parse(line.as_bytes()).expect("a request"));
        }
        assert_eq!(self.engine.stats().held, u64::from(count));
    }
}

const LOCK: &[u8] = br#"{"command":"lock","name":"boss:17"}"#;
const LOCK_TIMED: &[u8] = br#"{"command":"lock","name":"boss:17","timeout":5}"#;
const UNLOCK: &[u8] = br#"{"command":"unlock","name":"boss:17"}"#;

/// A lock and its unlock by one session, while others hold `held` other locks.
fn lock_and_unlock(group: &mut BenchmarkGroup<'_, WallTime>, held: u32) {
    let mut bench = Bench::new();
    bench.hold(held);
    let ann = bench.connect();
    let (lock, unlock) = (parse(LOCK).expect("a request"), parse(UNLOCK).expect("a request"));
    group.bench_function(format!("lock_unlock_beside_{held}"), |bencher| {
        bencher.iter(|| {
            bench.request(ann, &lock);
            bench.request(ann, &unlock);
        });
    });
    assert_eq!(bench.engine.stats().held, u64::from(held));
}

/// The same beside watchers of other names, and with some that are told of each lock and unlock. The prefixes of the others
/// are of many lengths, and have much in common with the name.
fn lock_and_unlock_watched(group: &mut BenchmarkGroup<'_, WallTime>, others: u32, told: u32) {
    let mut bench = Bench::new();
    let mut watch = |prefix: &str| {
        bench.connections += 1;
        bench.engine.watch(ConnectionKey::from_bits(bench.connections.into()), prefix);
    };
    for number in 0..others {
        let filler = "7".repeat(number as usize % 1000);
        match number % 4 {
            0 => watch(&format!("boss:17{filler}x")),
            1 => watch(&format!("boss:1{}", number + 100)),
            2 => watch(&format!("bos{filler}t")),
            _ => watch(&format!("player:{number}")),
        }
    }
    (0..told).for_each(|_| watch("boss:"));
    let ann = bench.connect();
    let (lock, unlock) = (parse(LOCK).expect("a request"), parse(UNLOCK).expect("a request"));
    group.bench_function(format!("lock_unlock_beside_{others}_watchers_for_{told}"), |bencher| {
        bencher.iter(|| {
            bench.request(ann, &lock);
            bench.request(ann, &unlock);
        });
    });
    assert_eq!(bench.engine.watchers(), (others + told) as usize);
}

/// The same with changing names, as when each lock is for another player: their memory is not in the cache.
fn lock_and_unlock_many_names(group: &mut BenchmarkGroup<'_, WallTime>, held: u32) {
    const NAMES: u32 = 100_000;
    let mut bench = Bench::new();
    bench.hold(held);
    let ann = bench.connect();
    let line = |command: &str, number: u32| format!(r#"{{"command":"{command}","name":"player:{number}"}}"#);
    let lines: Vec<[String; 2]> =
        (0..NAMES).map(|number| ["lock", "unlock"].map(|command| line(command, number))).collect();
    let requests: Vec<[Request<'_>; 2]> =
        lines.iter().map(|pair| pair.each_ref().map(|line| parse(line.as_bytes()).expect("a request"))).collect();
    let mut next = requests.iter().cycle();
    group.bench_function(format!("lock_unlock_100000_names_beside_{held}"), |bencher| {
        bencher.iter(|| {
            let [lock, unlock] = next.next().expect("a cycle has no end");
            bench.request(ann, lock);
            bench.request(ann, unlock);
        });
    });
}

/// One waits, the other releases, and so on in turns: each iteration is one lock, one unlock and one grant.
fn hand_over(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, lock: &[u8]) {
    let mut bench = Bench::new();
    let (mut holder, mut waiter) = (bench.connect(), bench.connect());
    let (lock, unlock) = (parse(lock).expect("a request"), parse(UNLOCK).expect("a request"));
    bench.request(holder, &lock);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            bench.request(waiter, &lock);
            bench.request(holder, &unlock);
            std::mem::swap(&mut holder, &mut waiter);
        });
    });
    assert_eq!(bench.engine.stats().held, 1, "the lock went from one to the other");
}

/// A lock that many wait for: whoever gets it releases it at once and queues again.
fn hand_round(group: &mut BenchmarkGroup<'_, WallTime>, waiters: usize) {
    let mut bench = Bench::new();
    let mut queue: VecDeque<SessionKey> = (0..=waiters).map(|_| bench.connect()).collect();
    let (lock, unlock) = (parse(LOCK).expect("a request"), parse(UNLOCK).expect("a request"));
    queue.iter().for_each(|session| bench.request(*session, &lock));
    group.bench_function(format!("hand_over_among_{waiters}_waiters"), |bencher| {
        bencher.iter(|| {
            let holder = queue.pop_front().expect("somebody holds it");
            bench.request(holder, &unlock);
            bench.request(holder, &lock);
            queue.push_back(holder);
        });
    });
    assert_eq!(bench.engine.stats().waiting, waiters as u64);
}

/// A wait that times out, next to others that do not.
fn time_out(group: &mut BenchmarkGroup<'_, WallTime>, armed: u32) {
    let mut bench = Bench::new();
    bench.hold(armed);
    let (holder, waiter, others) = (bench.connect(), bench.connect(), bench.connect());
    for number in 0..armed {
        let seconds = 1_000_000_000 + number;
        let line = format!(r#"{{"command":"lock","name":"held:{number}","timeout":{seconds}}}"#);
        bench.request(others, &parse(line.as_bytes()).expect("a request"));
    }
    let lock = parse(LOCK_TIMED).expect("a request");
    bench.request(holder, &lock);
    group.bench_function(format!("time_out_beside_{armed}"), |bencher| {
        bencher.iter(|| {
            bench.request(waiter, &lock);
            bench.now += 5_000_000_000;
            while bench.engine.expire_next(
                Moment::from_nanos(bench.now),
                Moment::from_nanos(bench.now),
                &mut bench.replies,
            ) {}
        });
    });
    assert_eq!(bench.engine.stats().waiting, u64::from(armed), "only the others still wait");
}

/// A client connects, takes five locks and disconnects.
fn disconnect(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut bench = Bench::new();
    let lines = [1, 2, 3, 4, 5].map(|number| format!(r#"{{"command":"lock","name":"boss:{number}"}}"#));
    let requests = lines.each_ref().map(|line| parse(line.as_bytes()).expect("a request"));
    group.bench_function("connect_lock_5_disconnect", |bencher| {
        bencher.iter(|| {
            let ann = bench.engine.connect(ConnectionKey::from_bits(1), Peer::Unix(1));
            requests.iter().for_each(|request| bench.request(ann, request));
            bench.engine.disconnect(ann, Moment::from_nanos(bench.now), &mut bench.replies)
        });
    });
    assert_eq!(bench.engine.stats().held, 0);
}

/// The whole way of a line without a socket: parsed, executed, answered.
fn from_line_to_reply(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut bench = Bench::new();
    let ann = bench.connect();
    group.bench_function("parse_lock_unlock", |bencher| {
        bencher.iter(|| {
            for line in [LOCK, UNLOCK] {
                bench.request(ann, &parse(line).expect("a request"));
            }
        });
        assert!(bench.replies.count > 0, "every request is answered");
    });
}

fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    for held in [0, 1000, 1_000_000] {
        lock_and_unlock(&mut group, held);
    }
    for (others, told) in [(0, 0), (1, 0), (10_000, 0), (0, 1), (10_000, 1), (0, 100)] {
        lock_and_unlock_watched(&mut group, others, told);
    }
    for held in [0, 1_000_000] {
        lock_and_unlock_many_names(&mut group, held);
    }
    hand_over(&mut group, "hand_over", LOCK);
    hand_over(&mut group, "hand_over_timed", LOCK_TIMED);
    for waiters in [50, 10_000] {
        hand_round(&mut group, waiters);
    }
    for armed in [0, 1_000_000] {
        time_out(&mut group, armed);
    }
    disconnect(&mut group);
    from_line_to_reply(&mut group);
    group.finish();
}

/// Short: the whole file runs in half a minute.
fn config() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = engine_benches; config = config(); targets = engine }
criterion_main!(engine_benches);
