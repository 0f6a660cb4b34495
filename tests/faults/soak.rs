//! Everything at once, for a minute or for `OFFICER_SOAK_SECONDS`.

use std::env;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::checker::Figures;
use crate::clients::{Churn, Leave, NUMBERS, Peer, WAIT_MAX, churn};
use crate::history::{Event, History, Nanos, nanos, now};
use crate::hostile::for_each;
use crate::hosts::{Host, Hosts};
use crate::network::server_on;
use crate::peers::flood;
use crate::process::Process;
use crate::support::client::{Address, Client};
use crate::support::patience::eventually;
use crate::support::server::Server;
use crate::{assert_well_within, megabytes, tcp_address};

/// The length of a round; between rounds the server is idle, and is checked.
const ROUND: Duration = Duration::from_secs(6);

/// Few enough descriptors that they run out in each round.
const DESCRIPTORS: usize = 400;

/// Peers of each round that do not read, and names of the listings that they ask for.
const DEAF: u64 = 40;
const LISTED: usize = 500;

/// Less than the replies to those that do not read, so that some of them are closed for it.
const UNSENT_BYTES_MAX: u64 = 4 << 20;

/// How long each flood takes, and how long the others continue after it.
const FLOOD: Duration = Duration::from_secs(1);

const OPTIONS: [&str; 20] = [
    "run",
    "-m",
    "3600",
    "-h",
    "0.0.0.0",
    "--open",
    "-p",
    "0",
    "--connections-max",
    "1000",
    "--keepalive-idle-seconds",
    "1",
    "--keepalive-interval-seconds",
    "1",
    "--user-timeout-seconds",
    "5",
    "--outbox-stall-seconds",
    "3",
    "--outboxes-bytes-max",
    "4194304",
];

/// For how long everything was stopped, as on a machine that sleeps, which nobody can be blamed for.
static STOPPED: AtomicU64 = AtomicU64::new(0);

fn watch_for_stops() {
    thread::spawn(|| {
        let mut last = now();
        loop {
            thread::sleep(Duration::from_millis(50));
            let gap = now() - last;
            if gap > nanos(Duration::from_secs(2)) {
                STOPPED.fetch_add(gap, Relaxed);
            }
            last += gap;
        }
    });
}

/// Where the server and its clients are.
struct World {
    /// None where network namespaces can't be created.
    hosts: Option<Hosts>,
    server: Server,
    port: u16,
    /// The descriptors that the server has open without a connection.
    descriptors: usize,
    rounds: u64,
    kills: AtomicU64,
    stops: AtomicU64,
    storms: AtomicU64,
    /// Pairs that were sent without waiting for answers.
    flooded: AtomicU64,
    /// Connections that were closed because they did not read.
    deaf: AtomicU64,
}

impl World {
    fn new() -> World {
        let hosts = Hosts::new(2);
        let first = hosts.as_ref().map(Hosts::first).unwrap_or_default();
        let server = server_on(&first, &format!("ulimit -n {DESCRIPTORS} &&"), &OPTIONS);
        let port = tcp_address(&server).port();
        let count = AtomicU64::default;
        let descriptors = server.descriptors();
        World {
            hosts,
            server,
            port,
            descriptors,
            rounds: 0,
            kills: count(),
            stops: count(),
            storms: count(),
            flooded: count(),
            deaf: count(),
        }
    }

    /// On the server's own host, or on another, if there are any.
    fn host(&self, number: u64) -> (Host, SocketAddr) {
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port);
        match &self.hosts {
            None => (Host::here(), local),
            // One that loses packets.
            Some(hosts) if number.is_multiple_of(4) => {
                (hosts.host(1), SocketAddr::new(hosts.address_for(1), self.port))
            }
            Some(hosts) => (hosts.first(), local),
        }
    }

    fn connect(&self) -> Client {
        let (host, address) = self.host(1);
        host.run(|| Client::connect(&Address::Tcp(address)).unwrap())
    }

    /// All faults at once, and then nothing.
    fn round(&mut self) -> (Vec<Event>, u64) {
        let until = now() + nanos(ROUND);
        let history = History::default();
        let first = self.rounds * 1_000;
        if let Some(hosts) = &self.hosts {
            hosts.lose(1, 10);
            hosts.heal(2);
        }
        let mut events = thread::scope(|scope| {
            for seed in first..first + 12 {
                let (world, history) = (&*self, &history);
                scope.spawn(move || {
                    let (host, address) = world.host(seed);
                    host.run(|| churn(seed, Churn::WILD, until, |number| Peer::connect(address, number, history)));
                });
            }
            let storms = scope.spawn(|| self.storm(until));
            let vanishing = scope.spawn(|| self.vanish(first + 900, &history));
            let deaf = scope.spawn(|| self.do_not_read(first + 800, &history));
            let floods = scope.spawn(|| self.flood(first, until));
            let events = self.kill_and_stop(first + 100, until);
            storms.join().unwrap();
            vanishing.join().unwrap();
            deaf.join().unwrap();
            floods.join().unwrap();
            events
        });
        events.extend(history.take());
        eventually("all is free", || self.is_free());
        self.rounds += 1;
        eventually("no descriptor is left over", || self.server.descriptors() == self.descriptors);
        (events, self.server.resident_bytes())
    }

    /// Whether nobody holds anything or waits. Each check uses a new connection: while the crowds leave, one that is
    /// slow to read a long listing is closed as they are.
    fn is_free(&self) -> bool {
        const NOTHING: &str = "{\"result\":\"locks\",\"value\":{}}\n{\"result\":\"connections\",\"value\":{}}\n";
        let (host, address) = self.host(1);
        let ask = || {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"{\"command\":\"locks\"}\n{\"command\":\"connections\"}\n")?;
            stream.shutdown(Shutdown::Write)?;
            io::read_to_string(stream)
        };
        host.run(|| ask().is_ok_and(|heard| heard == NOTHING))
    }

    /// Client processes that are killed and stopped.
    fn kill_and_stop(&self, first: u64, until: Nanos) -> Vec<Event> {
        let mut random = fastrand::Rng::with_seed(first);
        let mut seed = first;
        let mut start = || {
            seed += 1;
            let (host, address) = self.host(seed);
            Process::that_churns(Churn::WILD, until, &host, address, seed)
        };
        let mut events = Vec::new();
        let mut processes: Vec<Process> = (0..3).map(|_| start()).collect();
        while now() + nanos(Duration::from_secs(1)) < until {
            let chosen = random.usize(..processes.len());
            if random.bool() {
                thread::sleep(Duration::from_millis(random.u64(1..300)));
                events.extend(processes.swap_remove(chosen).kill());
                processes.push(start());
                self.kills.fetch_add(1, Relaxed);
            } else {
                processes[chosen].signal(Signal::STOP);
                thread::sleep(Duration::from_millis(random.u64(1..100)));
                processes[chosen].signal(Signal::CONT);
                self.stops.fetch_add(1, Relaxed);
            }
        }
        events.extend(processes.into_iter().flat_map(Process::wait));
        events
    }

    /// Crowds that connect at once, request long listings that nobody reads, and are reset at once.
    fn storm(&self, until: Nanos) {
        while now() + nanos(Duration::from_secs(2)) < until {
            let mut crowd: Vec<Client> = (0..DESCRIPTORS + 50).map(|_| self.connect()).collect();
            eventually("there are no descriptors left", || self.server.descriptors() >= DESCRIPTORS);
            for (number, client) in crowd.iter_mut().enumerate() {
                let name = format!("{} {}", number / 2, "x".repeat(500));
                let request = format!("{}\n{{\"command\":\"locks\"}}\n", crate::support::client::lock(&name));
                // There may be no room for it, nor for what it sends.
                let _ = client.try_write(request.as_bytes());
            }
            crowd.into_iter().for_each(Client::cut);
            self.storms.fetch_add(1, Relaxed);
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Pipelined requests as fast as they are answered, from connections that disconnect in the middle.
    fn flood(&self, first: u64, until: Nanos) {
        let (host, address) = self.host(1);
        let mut number = first;
        while now() < until {
            let end = until.min(now() + nanos(FLOOD));
            // If this thread gets no processor time, it may count as one that does not read.
            let _ = host.run(|| flood(address, number, || now() >= end, &self.flooded));
            // A name of its own: it determines the answers, and the previous connection may not be gone yet.
            number += 1;
            thread::sleep(FLOOD);
        }
    }

    /// Some that queue for one lock, request far more than the limit, and read nothing until all of them have been
    /// closed for it: only then does the last in the queue, which reads, get the lock.
    fn do_not_read(&self, first: u64, history: &History) {
        let (host, address) = self.host(1);
        let mut listed = host.run(|| TcpStream::connect(address).unwrap());
        let names = (0..LISTED).map(|number| format!("listed:{number}:{}", "x".repeat(300)));
        assert_eq!(for_each(&mut listed, "lock", names), LISTED);
        let join = |number: u64| {
            let mut peer = host.run(|| Peer::connect(address, first * NUMBERS + number, history).unwrap());
            assert!(if number == 0 { peer.lock("deaf") } else { peer.queue("deaf") });
            peer
        };
        let mut deaf: Vec<TcpStream> = (0..DEAF).map(|number| join(number).abandon()).collect();
        let mut next = join(DEAF);
        for stream in &mut deaf {
            // The earlier ones may have so much unsent that this one is closed already.
            let _ = stream.write_all("{\"command\":\"locks\"}\n".repeat(200).as_bytes());
        }
        assert!(next.await_grant("deaf"));
        self.deaf.fetch_add(DEAF, Relaxed);
        assert!(next.unlock("deaf"));
        next.leave(Leave::Close);
    }

    /// One that takes a lock on a host that is then cut off, and one that gets it after that.
    fn vanish(&self, first: u64, history: &History) {
        let Some(hosts) = &self.hosts else { return };
        let address = SocketAddr::new(hosts.address_for(2), self.port);
        let Ok(mut holder) = hosts.host(2).run(|| Peer::connect(address, first * NUMBERS, history)) else { return };
        assert!(holder.lock("vanishing"));
        let _socket = holder.abandon();
        hosts.cut(2);
        let (host, address) = self.host(1);
        let mut next = host.run(|| Peer::connect(address, first * NUMBERS + 1, history).unwrap());
        assert!(next.lock("vanishing"));
        next.leave(Leave::Close);
    }
}

#[test]
fn soak() {
    let seconds = env::var("OFFICER_SOAK_SECONDS").map_or(60, |seconds| seconds.parse().expect("a number of seconds"));
    let time = Duration::from_secs(seconds);
    let start = Instant::now();
    watch_for_stops();
    let mut world = World::new();
    let mut samples: Vec<u64> = Vec::new();
    let mut all = Figures::default();
    let mut said = Instant::now();
    // Fewer than three rounds can't show anything.
    while start.elapsed() < time || samples.len() < 3 {
        let stopped_before = STOPPED.load(Relaxed);
        let (events, resident) = world.round();
        let stopped = Duration::from_nanos(STOPPED.load(Relaxed) - stopped_before);
        all.add(assert_well_within(events, WAIT_MAX + stopped));
        samples.push(resident);
        if samples.len() <= 3 || said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            println!("{:.0?}: {} MB; {all}", start.elapsed(), megabytes(resident));
        }
    }
    // During the first quarter everything grows to its final size.
    let (warm, rest) = samples.split_at((samples.len() / 4).max(1));
    let max = |samples: &[u64]| *samples.iter().max().unwrap();
    let [first, warm_max, rest_max, last] =
        [samples[0], max(warm), max(rest), samples[samples.len() - 1]].map(megabytes);
    println!("{:.0?}, {} rounds: {all}", start.elapsed(), world.rounds);
    println!("everything was stopped for {:.0?} of that", Duration::from_nanos(STOPPED.load(Relaxed)));
    println!(
        "{} processes killed, {} stopped and continued; {} storms of {} connections, out of descriptors each time",
        world.kills.load(Relaxed),
        world.stops.load(Relaxed),
        world.storms.load(Relaxed),
        DESCRIPTORS + 50
    );
    println!(
        "{} that did not read were closed; {} pairs in floods besides",
        world.deaf.load(Relaxed),
        world.flooded.load(Relaxed)
    );
    let peak = megabytes(world.server.peak_memory_bytes());
    println!(
        "resident MB when idle: {first} after the first round, at most {warm_max} in the first quarter, at most {rest_max} \
         after it, {last} at the end, {peak} at its busiest; {} descriptors after each round",
        world.descriptors
    );
    // Sent bytes stay in their buffer until they are half of it. Of the memory of unsent output, the allocator may keep
    // anything between all and nothing. The rest is for the output and locks of all others.
    let unsent_max = 2.0 * megabytes(UNSENT_BYTES_MAX);
    assert!(rest_max < warm_max * 1.1 + unsent_max, "the memory grows: {warm_max} MB, then {rest_max} MB");
    assert!(peak < rest_max + unsent_max + 16.0, "{peak} MB at its busiest");
    assert!(world.flooded.load(Relaxed) > 10_000, "no flood");
    assert!(all.grants > 1000 && all.timeouts > 10 && all.cut > 100, "{all}");
}
