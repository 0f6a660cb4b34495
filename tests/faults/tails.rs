//! Everything that can take the server long, at the same moment, next to a client that only wants a lock.

use std::fmt::{self, Display};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use officer::net::descriptors::raise_limit;
use serde_json::{Value, json};

use crate::history::EventKind;
use crate::peers::QUIET_P99_MAX;
use crate::process::Process;
use crate::support::certificates::{Authority, Valid};
use crate::support::directory::Directory;
use crate::support::lines::LineReader;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::server::{Server, officer, officer_after, run};
use crate::tcp_address;

/// How much of everything.
#[derive(Clone, Copy)]
struct Size {
    /// That hold a lock each and end together.
    connections: usize,
    /// That end at the same moment.
    leases: usize,
    /// That wait for one lock and get it together.
    shared: usize,
    /// Owners who wait one for the other.
    chain: usize,
    /// That are told of everything.
    watchers: usize,
    time: Duration,
}

const SOME: Size = Size {
    connections: 3_000,
    leases: 20_000,
    shared: 20_000,
    chain: 1_000,
    watchers: 5,
    time: Duration::from_secs(2),
};

const MANY: Size = Size {
    connections: 15_000,
    leases: 100_000,
    shared: 100_000,
    chain: 4_900,
    watchers: 10,
    time: Duration::from_secs(5),
};

/// Of requests of one connection.
const EACH: usize = 10_000;

/// A client that sends many lines at a time.
struct Peer(LineReader<TcpStream>);

impl Peer {
    fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Peer(LineReader::new(stream))
    }

    fn send(&mut self, line: impl Display) {
        writeln!(self.0.socket_mut(), "{line}").unwrap();
    }

    fn ask(&mut self, line: impl Display) -> Value {
        self.send(line);
        serde_json::from_str(&self.0.line()).unwrap()
    }

    /// Each of these is granted. Returns how many of them have expired before the last one was: on a busy machine that takes
    /// long.
    fn acquire_all(&mut self, lines: impl Iterator<Item = Value>) -> usize {
        let mut expired = 0;
        for block in lines.collect::<Vec<_>>().chunks(256) {
            self.send(block.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
            let mut left = block.len();
            while left > 0 {
                let line = self.0.line();
                if line.contains("\"expired\"") {
                    expired += 1;
                } else {
                    assert!(line.contains("\"acquired\""), "{line}");
                    left -= 1;
                }
            }
        }
        expired
    }

    /// Each of these waits.
    fn queue_all(&mut self, lines: impl Iterator<Item = Value>) {
        for block in lines.collect::<Vec<_>>().chunks(256) {
            self.send(block.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
        }
        assert_eq!(self.ask(r#"{"command":"ping"}"#), json!({"result": "pong"}));
    }

    /// Reads this many lines with such a part.
    fn expect_all(&mut self, count: usize, part: &str) {
        for _ in 0..count {
            let line = self.0.line();
            assert!(line.contains(part), "{line}");
        }
    }
}

fn parts(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(EACH).map(move |start| start..count.min(start + EACH))
}

/// Owner `n` holds lock `n` and waits for the next one.
fn chain(address: SocketAddr, length: usize) -> Peer {
    let mut peer = Peer::connect(address);
    let name = |number: usize| format!("chain:{number}");
    peer.acquire_all((0..length).map(|owner| json!({"command": "lock", "name": name(owner), "owner": owner})));
    peer.queue_all((0..length - 1).map(|owner| json!({"command": "lock", "name": name(owner + 1), "owner": owner})));
    peer
}

/// Pairs until it is over, and how long each of them took.
fn pairs(server: &Server, is_over: &AtomicBool) -> Vec<Duration> {
    let mut quiet = server.connect();
    let mut times = Vec::new();
    while !is_over.load(Relaxed) {
        let begun = Instant::now();
        quiet.acquire("quiet");
        quiet.release("quiet");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

/// One page after the other until it is over. Returns how many.
fn pages(address: SocketAddr, command: &str, is_over: &AtomicBool) -> usize {
    let mut peer = Peer::connect(address);
    let (mut after, mut count) = (Value::Null, 0);
    while !is_over.load(Relaxed) {
        let mut request = json!({"command": command, "detail": true, "limit": 1000});
        if !after.is_null() {
            request["after"] = after;
        }
        if command == "connections" {
            request["all"] = json!(true);
        }
        after = peer.ask(request)["next"].take();
        count += 1;
    }
    count
}

/// Ends what goes on until then, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// How long the client's pairs took, and the server's longest turn.
struct Tails {
    pairs: Vec<Duration>,
    longest_turn: Duration,
}

impl Tails {
    /// What that many of a thousand pairs took at most.
    fn of_thousand(&self, count: usize) -> Duration {
        self.pairs[(self.pairs.len() * count / 1000).min(self.pairs.len() - 1)]
    }
}

impl Display for Tails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99_9, longest] = [500, 999, 1000].map(|count| self.of_thousand(count));
        let (count, turn) = (self.pairs.len(), self.longest_turn);
        write!(f, "{count} pairs: p50 {p50:.2?}, p99.9 {p99_9:.2?}, longest {longest:.1?}; longest turn {turn:.2?}")
    }
}

/// All at once, on a server that is started after such a line of shell.
fn all_at_once(size: Size, shell: &str) -> Tails {
    let limit = usize::try_from(raise_limit()).unwrap();
    let connections = size.connections.min(limit.saturating_sub(2_000));
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let listeners = ["run", "--listen", "tcp://127.0.0.1:0", "--listen", "tls://127.0.0.1:0"];
    let mut command = if shell.is_empty() { officer(&listeners) } else { officer_after(shell, &listeners) };
    let mut server = Server::start(command.arg("--tls-cert").arg(&identity.cert).arg("--tls-key").arg(&identity.key));
    let tls = server.next_address().tcp();
    let address = tcp_address(&server);

    let mut process = Process::of_many(connections, address, 1);
    process.wait_for_all(connections, &EventKind::Acquired);
    let mut owners = chain(address, size.chain);
    let mut gate = Peer::connect(address);
    gate.acquire_all([json!({"command": "lock", "name": "gate"})].into_iter());
    let mut shared: Vec<(Peer, usize)> = Vec::new();
    for part in parts(size.shared) {
        let mut peer = Peer::connect(address);
        let count = part.len();
        peer.queue_all(part.map(|owner| json!({"command": "lock", "name": "gate", "mode": "shared", "owner": owner})));
        shared.push((peer, count));
    }
    // Whenever its request comes, a lease ends then.
    let end = Instant::now() + size.time;
    let mut leases: Vec<(Peer, usize)> = Vec::new();
    for part in parts(size.leases) {
        let mut peer = Peer::connect(address);
        let count = part.len();
        let expired = peer.acquire_all(part.map(|number| {
            let left = end.saturating_duration_since(Instant::now()).as_secs_f64().max(0.1);
            json!({"command": "lock", "name": format!("lease:{number}"), "lease": left})
        }));
        leases.push((peer, count - expired));
    }
    let early = end.checked_duration_since(Instant::now());
    println!("all is there {:.2?} before it begins", early.unwrap_or_default());

    let (is_over, walks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut watchers: Vec<Peer> = (0..size.watchers).map(|_| Peer::connect(address)).collect();
    for watcher in &mut watchers {
        assert_eq!(watcher.ask(r#"{"command":"watch"}"#), json!({"result": "watching"}));
    }
    let unwatching: Vec<TcpStream> = watchers.iter().map(|it| it.0.socket().try_clone().unwrap()).collect();
    let times = thread::scope(|scope| {
        let over = Over(&is_over);
        let times = scope.spawn(|| pairs(&server, &is_over));
        for watcher in &mut watchers {
            // Until they are unwatched.
            scope.spawn(move || while !watcher.0.line().contains("unwatched") {});
        }
        let locks = scope.spawn(|| pages(address, "locks", &is_over));
        let connected = scope.spawn(|| pages(address, "connections", &is_over));
        scope.spawn(|| {
            let last = size.chain - 1;
            while !is_over.load(Relaxed) {
                let circle = json!({"command": "lock", "name": "chain:0", "owner": last, "deadlock": "refuse"});
                assert_eq!(owners.ask(circle)["result"], json!("deadlock"));
                walks.fetch_add(1, Relaxed);
            }
        });
        let handshakes = scope.spawn(|| {
            let port = tls.port().to_string();
            let mut command = officer(&["bench", "connect", "-c", "20", "-p", &port, "--tls", "--full-handshake"]);
            run(command.arg("--tls-ca").arg(authority.pem()).args(["--seconds", "2", "-h", "localhost", "--json"]))
        });
        thread::sleep(end.saturating_duration_since(Instant::now()));
        let ends = scope.spawn(|| process.kill());
        gate.send(r#"{"command":"unlock","name":"gate"}"#);
        let readers = shared.iter_mut().map(|(peer, count)| (peer, *count, "\"acquired\""));
        let readers = readers.chain(leases.iter_mut().map(|(peer, count)| (peer, *count, "\"expired\"")));
        let readers: Vec<_> =
            readers.map(|(peer, count, part)| scope.spawn(move || peer.expect_all(count, part))).collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        println!("leases and shared locks are done {:.2?} after they were due", end.elapsed());
        ends.join().unwrap();
        let mut last = server.connect();
        eventually("those that were killed are gone", || {
            last.ask(r#"{"command":"stats"}"#)["value"]["connections"].as_u64().unwrap() < 1_000
        });
        println!("and the ends of {connections} connections {:.2?}", end.elapsed());
        let handshakes = handshakes.join().unwrap();
        assert!(handshakes.status.success(), "{}", String::from_utf8_lossy(&handshakes.stderr));
        drop(over);
        unwatching.iter().for_each(|mut stream| writeln!(stream, r#"{{"command":"unwatch"}}"#).unwrap());
        println!("{} pages of locks, {} of connections", locks.join().unwrap(), connected.join().unwrap());
        times.join().unwrap()
    });
    let stats = server.connect().ask(r#"{"command":"stats"}"#);
    let longest_turn = Duration::from_secs_f64(stats["value"]["longest_turn"].as_f64().unwrap());
    let tails = Tails { pairs: times, longest_turn };
    println!("{} walks; {tails}", walks.load(Relaxed));
    tails
}

#[test]
fn everything_that_is_long_at_once_keeps_nobody_waiting_for_long() {
    let tails = all_at_once(SOME, "");
    assert!(tails.of_thousand(999) < QUIET_P99_MAX, "{tails}");
}

#[test]
#[ignore = "needs a core of its own for the server, and root"]
fn no_turn_is_long_whatever_comes_together() {
    let tails = all_at_once(MANY, "taskset -pc 0 $$ >/dev/null; chrt -f -p 50 $$;");
    assert!(tails.longest_turn < Duration::from_millis(5), "{tails}");
}
