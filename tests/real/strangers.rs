//! Many that connect and say nothing, while others work.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::client::Client;
use crate::support::directory::Directory;
use crate::support::patience::Ending;
use crate::support::server::{Server, officer};
use crate::support::users::{hello, table, write};

const STRANGERS: usize = 15_000;
/// More than the server has places for, and as many as a process has descriptors for.
const AT_A_TIME: usize = 600;

fn log_in(server: &Server) -> Client {
    let mut client = server.connect();
    let reply = client.ask(hello("game", "secret"));
    assert_eq!(reply["user"], json!("game"), "{reply}");
    client
}

/// A connection from one of these addresses of this machine.
fn stranger(server: SocketAddr, source: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // It leaves nothing behind. Otherwise nobody could listen on any of these thousands of ports for a minute after its end.
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}

/// They connect, say nothing, and are there until others have taken their places.
fn flood(server: SocketAddr, addresses: usize) {
    let mut there: Vec<TcpStream> = Vec::new();
    for number in 0..STRANGERS {
        let last = u8::try_from(2 + number % addresses).expect("few addresses");
        let newcomer = stranger(server, Ipv4Addr::new(127, 0, 0, last));
        match there.get_mut(number % AT_A_TIME) {
            Some(place) => *place = newcomer,
            None => there.push(newcomer),
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn fifteen_thousand_that_say_nothing_keep_nobody_out_and_hold_nobody_up() {
    let directory = Directory::new();
    let users = directory.file("users.toml");
    write(&users, &table("game", "secret", "locks = [\"\"]"));
    for addresses in [1, 100] {
        let mut command = officer(&["run", "-p", "0", "--strangers-max", "300", "--users"]);
        let server = Server::start(command.arg(&users));
        let mut worker = log_in(&server);
        let is_over = AtomicBool::new(false);
        let goes_on = || !is_over.load(Ordering::Relaxed);
        let mut times = Vec::new();
        let newcomers = thread::scope(|scope| {
            scope.spawn(|| {
                let _ending = Ending(&is_over);
                flood(server.address().tcp(), addresses);
            });
            // From an address of its own, which makes way only when it has most strangers.
            let newcomers =
                scope.spawn(|| (0..).take_while(|_| goes_on()).map(|_| log_in(&server).acquire("other")).count());
            while goes_on() {
                let begun = Instant::now();
                worker.acquire("db");
                worker.release("db");
                times.push(begun.elapsed());
            }
            newcomers.join().unwrap()
        });
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        println!("{} pairs and {newcomers} newcomers from {addresses} addresses: p99 {p99:?}", times.len());
        assert!(newcomers >= 3 && p99 < Duration::from_millis(500), "{newcomers} newcomers, p99 {p99:?}");
    }
}
