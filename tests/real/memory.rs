//! What idle connections and sessions cost. A measurement, which runs only on request.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use officer::net::descriptors::raise_limit;

use crate::support::patience::eventually;
use crate::support::server::Server;

const FIRST: usize = 2_000;
const ALL: usize = 15_000;

/// What a connection adds to the server's resident memory, and the sockets of all of them. Each sends these lines.
fn slope(server: &Server, lines: impl Fn(usize) -> String) -> (f64, Vec<TcpStream>) {
    let port = server.port();
    let connect = |number: usize| {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let lines = lines(number);
        socket.write_all(lines.as_bytes()).unwrap();
        let mut replies = BufReader::new(&socket).lines();
        for _ in lines.lines() {
            let reply = replies.next().unwrap().unwrap();
            assert!(!reply.contains("error"), "{reply}");
        }
        socket
    };
    let mut sockets: Vec<TcpStream> = (0..FIRST).map(connect).collect();
    let first = server.resident_bytes();
    sockets.extend((FIRST..ALL).map(connect));
    ((server.resident_bytes() - first) as f64 / (ALL - FIRST) as f64, sockets)
}

fn has_descriptors() -> bool {
    let limit = raise_limit();
    let is_enough = limit >= ALL as u64 + 200;
    if !is_enough {
        eprintln!("skipped: the limit here is {limit} descriptors, and this takes {ALL}");
    }
    is_enough
}

fn lock(number: usize) -> String {
    format!("{{\"command\":\"lock\",\"name\":\"player:{number}\"}}\n")
}

#[test]
#[ignore = "takes 15,000 descriptors in each of two processes"]
fn an_idle_connection_with_a_lock_costs_at_most_400_bytes_and_no_processor_time() {
    if !has_descriptors() {
        return;
    }
    let server = Server::tcp(&["-m", "0"]);
    let (slope, _sockets) = slope(&server, lock);
    let ticks = server.processor_ticks();
    thread::sleep(Duration::from_secs(3));
    let idle_ticks = server.processor_ticks() - ticks;
    println!("{slope:.0} bytes of resident memory per connection; {idle_ticks} ticks in 3 s of {ALL} idle connections");
    assert!(slope <= 400.0, "{slope}");
    assert_eq!(idle_ticks, 0);
}

#[test]
#[ignore = "takes 15,000 descriptors in each of two processes"]
fn a_session_with_a_lock_costs_at_most_800_bytes_and_one_without_a_connection_hardly_any_processor_time() {
    if !has_descriptors() {
        return;
    }
    let server = Server::tcp(&["-m", "0", "--sessions-max", "20000"]);
    let hello = "{\"command\":\"hello\",\"session\":{\"grace\":300}}\n";
    let before = server.resident_bytes();
    let (slope, sockets) = slope(&server, |number| format!("{hello}{}", lock(number)));
    let all = server.resident_bytes();
    drop(sockets);
    let observer = server.client();
    eventually("nobody has a connection", || observer.stats().unwrap().detached_sessions == ALL as u64);
    let detached = server.resident_bytes();
    let ticks = server.processor_ticks();
    thread::sleep(Duration::from_secs(3));
    let idle_ticks = server.processor_ticks() - ticks;
    let each = |bytes: u64| bytes.saturating_sub(before) / ALL as u64;
    println!(
        "{slope:.0} bytes of resident memory per connection with a session; {} in all with {ALL} of them, {} once the \
         connections are gone; {idle_ticks} ticks in 3 s of sessions without connections",
        each(all),
        each(detached)
    );
    assert!(slope <= 800.0, "{slope}");
    assert!(detached <= all + (1 << 20), "{all} {detached}");
    assert!(idle_ticks <= 3, "{idle_ticks}");
}
