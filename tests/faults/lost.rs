//! Sessions that lose their connections all at once, and a watcher that never reads.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use officer::net::descriptors::raise_limit;
use serde_json::{Value, json};

use crate::peers::{QUIET_P99_MAX, flood, served_during};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::server::Server;
use crate::{megabytes, processor_time, tcp_address};

const SESSIONS: usize = 10_000;
const LOCKS_EACH: usize = 5;

/// Connects, and sends these lines. The answers are not read yet.
fn connect(address: SocketAddr, lines: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    stream
}

/// The next `count` answers.
fn answers(stream: &TcpStream, count: usize) -> Vec<Value> {
    let mut lines = BufReader::new(stream).lines();
    (0..count).map(|_| serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()).collect()
}

fn locks_of(session: usize) -> impl Iterator<Item = String> {
    (0..LOCKS_EACH).map(move |lock| format!("player:{session}:{lock}"))
}

#[test]
fn ten_thousand_sessions_lose_their_connections_and_are_resumed_in_a_storm_while_others_are_served() {
    let limit = usize::try_from(raise_limit()).unwrap();
    let sessions = SESSIONS.min(limit.saturating_sub(300));
    if sessions < SESSIONS {
        eprintln!("only {sessions} sessions: the limit here is {limit} descriptors");
    }
    let server = Server::tcp(&["-m", "0"]);
    let address = tcp_address(&server);
    let observer = server.client();
    let begin = |session| {
        let locks = locks_of(session).map(|name| json!({"command": "lock", "name": name, "fence": true}));
        let hello = json!({"command": "hello", "session": {"grace": 300}});
        connect(address, &[hello].into_iter().chain(locks).map(|line| format!("{line}\n")).collect::<String>())
    };
    let streams: Vec<TcpStream> = (0..sessions).map(begin).collect();
    let of_each: Vec<Vec<Value>> = streams.iter().map(|stream| answers(stream, 1 + LOCKS_EACH)).collect();
    let connected = server.resident_bytes();

    let ((), lost) = served_during(&server, || {
        drop(streams);
        eventually("nobody has a connection", || observer.stats().unwrap().detached_sessions == sessions as u64);
    });
    assert_eq!(observer.stats().unwrap().holds, (sessions * LOCKS_EACH) as u64);
    let detached = server.resident_bytes();

    let start = Instant::now();
    let (replies, resumed) = served_during(&server, || {
        let resume = |answers: &Vec<Value>| {
            let resume = json!({"command": "hello", "resume": answers[0]["session"]["secret"]});
            connect(address, &format!("{resume}\n"))
        };
        let streams: Vec<TcpStream> = of_each.iter().map(resume).collect();
        let replies: Vec<Value> = streams.iter().map(|stream| answers(stream, 1).remove(0)).collect();
        (streams, replies)
    });
    let took = start.elapsed();
    for (number, (before, reply)) in of_each.iter().zip(&replies.1).enumerate() {
        let held = locks_of(number).zip(&before[1..]);
        let held: Vec<Value> =
            held.map(|(name, lock)| json!({"name": name, "token": lock["token"], "waiters": 0})).collect();
        assert_eq!((&reply["held"], &reply["executed"]), (&json!(held), &json!(1 + LOCKS_EACH)));
    }
    println!(
        "{sessions} sessions with {LOCKS_EACH} locks each lose their connections: pairs meanwhile {lost}; resumed in \
         {took:.1?}: pairs meanwhile {resumed}; {} MB with connections, {} MB without",
        megabytes(connected),
        megabytes(detached)
    );
    assert!(lost.p99() < QUIET_P99_MAX && resumed.p99() < QUIET_P99_MAX);
    let stats = observer.stats().unwrap();
    assert_eq!((stats.resumptions, stats.detached_sessions), (sessions as u64, 0));
}

/// What a pair costs the server while connections make as many as they can.
fn time_of_a_pair(server: &Server) -> (Duration, f64) {
    let address = tcp_address(server);
    let (is_over, pairs) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..50 {
            let (is_over, pairs) = (&is_over, &pairs);
            scope.spawn(move || flood(address, number, || is_over.load(Relaxed), pairs).unwrap());
        }
        eventually("all of them send", || pairs.load(Relaxed) > 50_000);
        let (time, count, start) = (processor_time(server), pairs.load(Relaxed), Instant::now());
        eventually("enough of them to tell", || {
            pairs.load(Relaxed) > count + 50_000 && start.elapsed() > Duration::from_millis(500)
        });
        let (time, count) = (processor_time(server) - time, pairs.load(Relaxed) - count);
        let rate = count as f64 / start.elapsed().as_secs_f64();
        is_over.store(true, Relaxed);
        (time / u32::try_from(count).unwrap(), rate)
    })
}

#[test]
fn a_watcher_of_everything_that_never_reads_costs_the_others_little() {
    let server = Server::tcp(&["--outbox-stall-seconds", "600", "--outbox-bytes-max", "2000000"]);
    let observer = server.client();
    let (mut without, mut with, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        without.push(time_of_a_pair(&server).0);
        let watcher = connect(tcp_address(&server), "{\"command\":\"watch\"}\n");
        eventually("it watches", || observer.stats().unwrap().watchers == 1);
        let (time, rate) = time_of_a_pair(&server);
        with.push(time);
        rates.push(rate);
        // It has been sent too little to be given up.
        assert_eq!(observer.stats().unwrap().watchers, 1);
        drop(watcher);
        eventually("it is gone", || observer.stats().unwrap().watchers == 0);
    }
    let figures = observer.stats().unwrap();
    without.sort();
    with.sort();
    let ratio = with[1].as_secs_f64() / without[1].as_secs_f64();
    println!(
        "a pair of 50 connections takes {:.2?}, and next to a watcher that never reads {:.2?}, {ratio:.2} times that, at \
         {rates:.0?} pairs per second; {} events sent, {} missed",
        without[1], with[1], figures.events_sent, figures.events_missed
    );
    assert!(figures.events_missed > 100_000, "{figures:?}");
    // It was about 1.1.
    assert!(ratio < 3.0, "{without:?} {with:?}");
}
