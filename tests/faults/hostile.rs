//! Clients that ask for more than anybody should, while others want to be served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::peers::{QUIET_P99_MAX, served_during};
use crate::support::client::{Client, lock};
use crate::support::lines::LineReader;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::server::Server;
use crate::{megabytes, tcp_address};

/// Sends a request for each of these names, some hundreds at a time, and counts how many were granted.
pub(crate) fn for_each(stream: &mut TcpStream, command: &str, names: impl Iterator<Item = String>) -> usize {
    let result = if command == "lock" { "\"result\":\"acquired\"" } else { "\"result\":\"released\"" };
    let mut names = names.peekable();
    let mut count = 0;
    while names.peek().is_some() {
        let block: Vec<String> = names.by_ref().take(256).collect();
        let lines = block.iter().map(|name| format!("{{\"command\":\"{command}\",\"name\":\"{name}\"}}\n"));
        stream.write_all(lines.collect::<String>().as_bytes()).unwrap();
        let mut left = block.len();
        let mut buffer = [0; 64 << 10];
        let mut received = Vec::new();
        while left > 0 {
            let bytes = stream.read(&mut buffer).unwrap();
            assert!(bytes > 0, "the server keeps the connection");
            left -= buffer[..bytes].iter().filter(|byte| **byte == b'\n').count();
            received.extend_from_slice(&buffer[..bytes]);
        }
        count += String::from_utf8(received).unwrap().matches(result).count();
    }
    count
}

fn names(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    // Every third is too long to be kept in the table itself.
    numbers.map(|number| match number % 3 {
        0 => format!("player:{number}:and a name that is longer than most are"),
        _ => format!("player:{number}"),
    })
}

#[test]
fn a_million_names_can_be_locked_and_listed_while_others_are_served_and_their_memory_comes_back() {
    const ALL: usize = 1_000_000;
    let server = Server::tcp(&["--connection-locks-max", "1000000"]);
    let address = tcp_address(&server);
    let connect = || TcpStream::connect(address).unwrap();
    let mut holder = connect();
    // What a server uses once it has served anything.
    assert_eq!(for_each(&mut holder, "lock", names(0..1000)), 1000);
    assert_eq!(for_each(&mut holder, "unlock", names(0..1000)), 1000);
    let before = server.resident_bytes();
    let (taken, times) = served_during(&server, || for_each(&mut holder, "lock", names(0..ALL)));
    assert_eq!(taken, ALL);
    let full = server.resident_bytes();
    println!("{ALL} locks taken; a lock and unlock meanwhile: {times}");
    assert!(times.p99() < QUIET_P99_MAX, "{times}");

    let mut reader = server.connect();
    let (listed, times) = served_during(&server, || {
        let (mut listed, mut after) = (0, Value::Null);
        loop {
            let page = reader.ask(json!({"command": "locks", "limit": 1000, "after": after, "detail": true}));
            assert_eq!(page["result"], "locks", "{page}");
            listed += page["value"].as_object().unwrap().keys().filter(|name| name.starts_with("player:")).count();
            after = page["next"].clone();
            if after.is_null() {
                return listed;
            }
        }
    });
    println!("all of them listed, page by page; a lock and unlock meanwhile: {times}");
    assert_eq!(listed, ALL);
    assert!(times.p99() < QUIET_P99_MAX, "{times}");

    let ((), times) = served_during(&server, || {
        for command in ["locks", "my_locks", "connections"] {
            // The one that holds all of them has the longest list.
            for _ in 0..10 {
                writeln!(holder, "{{\"command\":\"{command}\"}}").unwrap();
                let reply: Value = serde_json::from_str(&LineReader::new(&holder).line()).unwrap();
                assert_eq!(reply["reason"], "reply_too_large", "{reply}");
            }
        }
    });
    println!("30 listings of all of them requested, and refused; a lock and unlock meanwhile: {times}");
    assert!(times.p99() < QUIET_P99_MAX, "{times}");

    // All but one of every ten thousand, and then these.
    let is_late = |number: &usize| number % 10_000 == 5_000;
    let name = |number: usize| names(number..number + 1).next().unwrap();
    let soon = (0..ALL).filter(|number| !is_late(number)).map(name);
    let (_, times) = served_during(&server, || for_each(&mut holder, "unlock", soon));
    let few = server.resident_bytes();
    println!("all but 100 released; a lock and unlock meanwhile: {times}");
    assert_eq!(for_each(&mut holder, "unlock", (0..ALL).filter(is_late).map(name)), 100);
    let after = server.resident_bytes();
    let [before, full, few, after] = [before, full, few, after].map(megabytes);
    println!("resident MB: {before} before, {full} with {ALL} locks, {few} with 100 of them, {after} without");
    assert!(full > before + 80.0, "a million locks use memory");
    // The rest is what the allocator keeps between allocations still in use.
    assert!(after < before + (full - before) / 6.0, "the memory did not come back: {before} MB, {full} MB, {after} MB");
    // Each of these keeps a part of a structure, and there are 250 such parts.
    assert!(few < before + (full - before) * 0.75, "a few locks keep the memory of all: {few} MB of {full} MB");
}

#[test]
fn the_memory_of_many_locks_comes_back_each_time() {
    const ALL: usize = 300_000;
    let server = Server::tcp(&["--connection-locks-max", "1000000"]);
    let mut holder = TcpStream::connect(tcp_address(&server)).unwrap();
    let before = megabytes(server.resident_bytes());
    let in_the_table = || (0..ALL).map(|number| format!("player:{number}"));
    for round in 1..=3 {
        assert_eq!(for_each(&mut holder, "lock", in_the_table()), ALL);
        let full = megabytes(server.resident_bytes());
        assert_eq!(for_each(&mut holder, "unlock", in_the_table()), ALL);
        let after = megabytes(server.resident_bytes());
        println!("round {round}, resident MB: {before} before, {full} with {ALL} locks, {after} without");
        assert!(full > before + 20.0, "these locks use memory");
        // In the first round the allocator sees how large the freed pieces are; it must not keep those of the next.
        assert!(after < before + (full - before) / 3.0, "round {round}: {before} MB, {full} MB, {after} MB");
    }
}

#[test]
fn a_client_that_locks_without_end_reaches_its_limit_and_is_still_answered() {
    let server = Server::tcp(&[]);
    let mut stream = TcpStream::connect(tcp_address(&server)).unwrap();
    let ((), times) = served_during(&server, || {
        assert_eq!(for_each(&mut stream, "lock", names(0..200_000)), 10_000);
    });
    let peak = megabytes(server.peak_memory_bytes());
    println!("200,000 locks requested by one, 10,000 of them granted: {peak} MB; a lock and unlock meanwhile: {times}");
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
    assert!(peak < 30.0, "{peak} MB");
    // It works as before.
    assert_eq!(for_each(&mut stream, "unlock", names(0..10_000)), 10_000);
}

#[test]
fn a_client_that_opens_connections_without_end_reaches_the_limit_and_others_go_on() {
    let server = Server::tcp(&["--connections-max", "500"]);
    let descriptors = server.descriptors();
    let (told, times) = served_during(&server, || {
        let mut open: Vec<Client> = Vec::new();
        let mut told = 0;
        for count in 0..5_000 {
            let mut client = server.connect();
            // Those that found no room are closed after a while; the others stay.
            if count < 499 {
                client.acquire(&format!("{count}"));
                open.push(client);
            } else if let Some(reply) = client.receive_or_end() {
                assert_eq!(reply["reason"], "too_many_connections");
                told += 1;
            }
        }
        open.iter_mut().for_each(|client| assert_eq!(client.my_locks().len(), 1));
        told
    });
    let peak = megabytes(server.peak_memory_bytes());
    println!(
        "4,501 connections too many, {told} of them with an error: {peak} MB; a lock and unlock meanwhile: {times}"
    );
    assert!(told > 0);
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
    assert!(peak < 30.0, "{peak} MB");
    eventually("all are gone", || server.descriptors() <= descriptors);
}

#[test]
fn a_hundred_thousand_waits_that_time_out_at_the_same_moment_hold_up_nobody() {
    const WAITERS: usize = 10;
    const EACH: usize = 10_000;
    let server = Server::tcp(&[]);
    let address = tcp_address(&server);
    let mut holder = TcpStream::connect(address).unwrap();
    assert_eq!(for_each(&mut holder, "lock", names(0..EACH)), EACH);
    let before = server.resident_bytes();
    let mut waiters: Vec<TcpStream> = (0..WAITERS).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Whenever the request arrives, the wait ends then.
    let start = Instant::now();
    let end = start + Duration::from_secs(8);
    for waiter in &mut waiters {
        for block in names(0..EACH).collect::<Vec<_>>().chunks(500) {
            let timeout = end.saturating_duration_since(Instant::now()).as_secs_f64();
            let line = |name| format!("{}\n", json!({"command": "lock", "name": name, "timeout": timeout}));
            waiter.write_all(block.iter().map(line).collect::<String>().as_bytes()).unwrap();
        }
        // All of them are executed before they are due.
        writeln!(waiter, "{{\"command\":\"ping\"}}").unwrap();
    }
    let readers = waiters.into_iter().map(|waiter| {
        waiter.set_read_timeout(Some(PATIENCE)).unwrap();
        LineReader::new(waiter)
    });
    let next = |reader: &mut LineReader<_>| serde_json::from_str::<Value>(&reader.line()).unwrap();
    // If that took too long on this machine, some have timed out already, and the others will at once.
    let mut early = 0;
    let mut left = Vec::new();
    for mut reader in readers {
        let mut left_of_it = EACH;
        while next(&mut reader)["result"] != "pong" {
            left_of_it -= 1;
        }
        early += EACH - left_of_it;
        left.push((reader, left_of_it));
    }
    let full = server.resident_bytes();
    thread::sleep(end.saturating_duration_since(Instant::now()));
    let ((), times) = served_during(&server, || {
        thread::scope(|scope| {
            for (reader, left) in &mut left {
                scope.spawn(move || {
                    for _ in 0..*left {
                        let line = reader.line();
                        assert!(line.contains("\"timed_out\""), "{line}");
                    }
                });
            }
        });
    });
    let took = Instant::now().saturating_duration_since(end);
    let [before, full, after] = [before, full, server.resident_bytes()].map(megabytes);
    println!(
        "{} waits answered {took:.1?} after they were due ({early} of them before); a lock and unlock meanwhile: {times}; \
         resident MB: {before} before, {full} with all, {after} without",
        WAITERS * EACH
    );
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
    assert!(after < before + 16.0, "the memory did not come back: {before} MB, {full} MB, {after} MB");
}

#[test]
fn clients_that_request_big_replies_and_never_read_use_no_more_than_the_total_output_limit() {
    const LIMIT_MB: f64 = 33.6;
    let server = Server::tcp(&["--outboxes-bytes-max", "33554432", "-l", "info"]);
    let mut holder = server.connect();
    for number in 0..3_000 {
        holder.send(lock(&format!("{number} {}", "x".repeat(1_000))));
        holder.receive();
    }
    let before = megabytes(server.resident_bytes());
    let (deaf, times) = served_during(&server, || {
        let mut deaf: Vec<Client> = (0..60).map(|_| server.connect()).collect();
        for client in &mut deaf {
            // The one with too much may be gone already.
            let _ = client.try_write("{\"command\":\"locks\"}\n".repeat(20).as_bytes());
        }
        server.log().wait_for("total output limit exceeded");
        deaf
    });
    let peak = megabytes(server.peak_memory_bytes());
    println!(
        "60 that do not read 20 replies of 3 MB each: {before} MB before, {peak} MB at most; a lock and unlock meanwhile: {times}"
    );
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
    // Sent bytes stay in their buffer until they are half of it, and one reply is made before the limit is exceeded.
    assert!(peak < before + 2.0 * LIMIT_MB + 8.0, "{peak} MB");
    drop(deaf);
    let after = || megabytes(server.resident_bytes());
    eventually("the memory is back", || after() < before + 8.0);
}

#[test]
fn clients_that_send_lines_without_an_end_use_no_more_than_the_total_input_limit() {
    const LIMIT_MB: f64 = 8.4;
    let server = Server::tcp(&["--inboxes-bytes-max", "8388608", "-l", "info"]);
    let mut patient = server.connect();
    patient.write(b"{\"command\":\"pi");
    let before = megabytes(server.resident_bytes());
    let (endless, times) = served_during(&server, || {
        let endless: Vec<Client> = (0..600).map(|_| server.connect()).collect();
        endless
            .into_iter()
            .map(|mut client| {
                let _ = client.try_write(&[b'x'; 60_000]);
                client
            })
            .collect::<Vec<_>>()
    });
    eventually("everything over the limit is gone", || server.log().count("total input limit exceeded") >= 460);
    let peak = megabytes(server.peak_memory_bytes());
    println!(
        "600 with 60 kB of a line each: {before} MB before, {peak} MB at most; a lock and unlock meanwhile: {times}"
    );
    assert!(times.p99() < QUIET_P99_MAX, "{times}");
    assert!(peak < before + 2.0 * LIMIT_MB + 8.0, "{peak} MB");
    drop(endless);
    // A client that has sent little is unaffected.
    patient.write(b"ng\"}\n");
    assert_eq!(patient.receive()["result"], "pong");
}

#[test]
fn a_buffer_that_was_once_full_shrinks_again() {
    let server = Server::tcp(&["--line-bytes-max", "2000000"]);
    let before = megabytes(server.resident_bytes());
    let mut line = vec![b' '; 1_900_000];
    line.extend_from_slice(b"{\"command\":\"ping\"}\n{");
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write(&line);
        // The line is executed, and a byte of the next is kept.
        assert_eq!(client.receive()["result"], "pong");
    }
    let after = megabytes(server.resident_bytes());
    println!("50 lines of 1.9 MB and a byte more: {before} MB before, {after} MB after");
    assert!(after < before + 20.0, "{after} MB");
}
