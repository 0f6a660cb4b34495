//! Peers that flood, send byte by byte or never read, next to a quiet one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Leave, Peer};
use crate::history::History;
use crate::support::client::lock;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::server::Server;
use crate::{Percentiles, assert_well, tcp_address};

/// Far longer than a quiet client waits: on a busy machine this shows only that it is not forgotten.
pub(crate) const QUIET_P99_MAX: Duration = Duration::from_secs(5);

/// Takes and releases a lock every other millisecond while the work is done, and returns how long each pair took.
pub(crate) fn served_during<T>(server: &Server, work: impl FnOnce() -> T) -> (T, Percentiles) {
    let is_over = AtomicBool::new(false);
    let mut quiet = server.connect();
    thread::scope(|scope| {
        let times = scope.spawn(|| {
            let mut times = Vec::new();
            while !is_over.load(Relaxed) || times.is_empty() {
                let start = Instant::now();
                quiet.acquire("quiet");
                quiet.release("quiet");
                times.push(start.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            times
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Relaxed);
        let times = times.join();
        let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (result, Percentiles::of(times.expect("the quiet client is served")))
    })
}

/// Sends pairs without waiting for answers, and reads these as they arrive, until the end. Then it disconnects, with
/// requests and answers in flight.
pub(crate) fn flood(address: SocketAddr, number: u64, is_over: impl Fn() -> bool, pairs: &AtomicU64) -> io::Result<()> {
    const BLOCK: usize = 500;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "{{\"command\":\"lock\",\"name\":\"flood:{number}\"}}\n{{\"command\":\"unlock\",\"name\":\"flood:{number}\"}}\n"
    );
    let reply = format!(
        "{{\"name\":\"flood:{number}\",\"result\":\"acquired\"}}\n{{\"name\":\"flood:{number}\",\"result\":\"released\"}}\n"
    );
    let (requests, replies) = (request.repeat(BLOCK), reply.repeat(BLOCK));
    let mut received = vec![0; replies.len()];
    // One block is always on its way while the replies to the one before are read.
    stream.write_all(requests.as_bytes())?;
    while !is_over() {
        stream.write_all(requests.as_bytes())?;
        stream.read_exact(&mut received)?;
        assert!(received == replies.as_bytes(), "the answers match the requests");
        pairs.fetch_add(BLOCK as u64, Relaxed);
    }
    Ok(())
}

#[test]
fn a_quiet_client_is_served_during_a_flood_of_pipelined_requests() {
    let server = Server::tcp(&[]);
    let address = tcp_address(&server);
    let (is_over, pairs) = (AtomicBool::new(false), AtomicU64::new(0));
    let time = Duration::from_secs(3);
    thread::scope(|scope| {
        for number in 0..4 {
            let (is_over, pairs) = (&is_over, &pairs);
            scope.spawn(move || flood(address, number, || is_over.load(Relaxed), pairs).unwrap());
        }
        let ((), times) = served_during(&server, || thread::sleep(time));
        is_over.store(true, Relaxed);
        let rate = pairs.load(Relaxed) / time.as_secs();
        println!("a lock and unlock during a flood of {rate} pairs per second from 4 connections: {times}");
        assert!(times.p99() < QUIET_P99_MAX, "{times}");
        assert!(pairs.load(Relaxed) > 1_000, "no flood: {rate} pairs per second");
    });
}

#[test]
fn requests_that_arrive_byte_by_byte_from_many_are_executed_and_hold_up_nobody() {
    let server = Server::tcp(&[]);
    let address = tcp_address(&server);
    const DRIPPING: usize = 200;
    let ((), times) = served_during(&server, || {
        let mut streams: Vec<TcpStream> = (0..DRIPPING).map(|_| TcpStream::connect(address).unwrap()).collect();
        let requests: Vec<String> =
            (0..DRIPPING).map(|number| format!("{}\n", lock(&format!("{number:03}")))).collect();
        for position in 0..requests[0].len() {
            for (stream, request) in streams.iter_mut().zip(&requests) {
                stream.set_nodelay(true).unwrap();
                stream.write_all(&request.as_bytes()[position..=position]).unwrap();
            }
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let expected = format!("{{\"name\":\"{number:03}\",\"result\":\"acquired\"}}\n");
            let mut reply = vec![0; expected.len()];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(String::from_utf8(reply).unwrap(), expected);
        }
    });
    println!("a lock and unlock next to {DRIPPING} connections that send byte by byte: {times}");
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
}

#[test]
fn a_holder_and_a_waiter_that_never_read_lose_their_lock_and_place() {
    let server = Server::tcp(&["--outbox-stall-seconds", "1", "-l", "info"]);
    let address = tcp_address(&server);
    let history = History::default();
    // Names long enough that a few listings are more than the system buffers for a peer.
    let mut big = server.connect();
    (0..200).for_each(|number| big.acquire(&format!("{number} {}", "x".repeat(900))));
    let mut deaf: Vec<TcpStream> = Vec::new();
    for number in 0..2 {
        let mut peer = Peer::connect(address, number, &history).unwrap();
        assert!(if number == 0 { peer.lock("db") } else { peer.queue("db") });
        deaf.push(peer.abandon());
    }
    let mut next = Peer::connect(address, 2, &history).unwrap();
    assert!(next.queue("db"));
    for stream in &mut deaf {
        stream.write_all("{\"command\":\"locks\"}\n".repeat(200).as_bytes()).unwrap();
    }
    assert!(next.await_grant("db"));
    assert!(next.unlock("db"));
    next.leave(Leave::Close);
    eventually("the log says why both have ended", || {
        server.log().count("output stalled: the peer read nothing for the stall limit") == 2
    });
    assert_well(history.take());
}
