//! What idle connections cost. A measurement, which runs only on request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use officer::net::descriptors::raise_limit;

use crate::support::server::Server;

const FIRST: usize = 2_000;
const ALL: usize = 15_000;

#[test]
#[ignore = "takes 15,000 descriptors in each of two processes"]
fn an_idle_connection_with_a_lock_costs_at_most_400_bytes_and_no_processor_time() {
    let limit = raise_limit();
    if limit < ALL as u64 + 200 {
        eprintln!("skipped: the limit here is {limit} descriptors, and this takes {ALL}");
        return;
    }
    let server = Server::tcp(&["-m", "0"]);
    let port = server.port();
    let connect = |number: usize| {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        writeln!(socket, r#"{{"command":"lock","name":"player:{number}"}}"#).unwrap();
        let mut reply = vec![0; format!("{{\"name\":\"player:{number}\",\"result\":\"acquired\"}}\n").len()];
        socket.read_exact(&mut reply).unwrap();
        socket
    };
    let mut held: Vec<TcpStream> = (0..FIRST).map(connect).collect();
    let first = server.resident_bytes();
    held.extend((FIRST..ALL).map(connect));
    let slope = (server.resident_bytes() - first) as f64 / (ALL - FIRST) as f64;
    let ticks = server.processor_ticks();
    thread::sleep(Duration::from_secs(3));
    let idle_ticks = server.processor_ticks() - ticks;
    println!("{slope:.0} bytes of resident memory per connection; {idle_ticks} ticks in 3 s of {ALL} idle connections");
    assert!(slope <= 400.0, "{slope}");
    assert_eq!(idle_ticks, 0);
}
