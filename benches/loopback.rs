//! What a client sees: the server as a process, over TCP on this machine, with everything the system does in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A server on a port that the system chose. It is stopped when this is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_officer"))
            .args(["run", "--port", "0", "--max-idle", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim_end().rsplit(' ').next().expect("the last word is the address").to_owned();
        Server { process, address }
    }

    fn connect(&self, number: usize, pairs: usize) -> Client {
        let socket = TcpStream::connect(&self.address).expect("the server accepts");
        socket.set_nodelay(true).expect("a TCP socket");
        let (mut requests, mut replies) = (String::new(), 0);
        for pair in 0..pairs {
            let name = format!("player:{number}:{pair}");
            for (command, result) in [("lock", "acquired"), ("unlock", "released")] {
                requests += &format!("{{\"command\":\"{command}\",\"name\":\"{name}\"}}\n");
                replies += format!("{{\"name\":\"{name}\",\"result\":\"{result}\"}}\n").len();
            }
        }
        Client { socket, requests: requests.into_bytes(), replies: vec![0; replies] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection with keys of its own.
struct Client {
    socket: TcpStream,
    requests: Vec<u8>,
    /// As long as all the replies.
    replies: Vec<u8>,
}

impl Client {
    fn send(&mut self) {
        self.socket.write_all(&self.requests).expect("the server reads");
    }

    fn receive(&mut self) {
        self.socket.read_exact(&mut self.replies).expect("the server answers");
    }
}

/// `connections` clients send `pairs` pairs of lock and unlock at once, and wait for all the replies.
fn pairs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loopback");
    let server = Server::start();
    for (name, connections, pairs) in
        [("pair", 1, 1), ("16_pairs_in_flight", 1, 16), ("50_connections", 50, 1), ("50_connections_16_pairs", 50, 16)]
    {
        let mut clients: Vec<Client> = (0..connections).map(|number| server.connect(number, pairs)).collect();
        group.throughput(Throughput::Elements((connections * pairs) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                clients.iter_mut().for_each(Client::send);
                clients.iter_mut().for_each(Client::receive);
            });
        });
    }
    group.finish();
}

/// One lock goes from one connection to the other: each iteration is a lock that waits, an unlock and the grant.
fn hand_over(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loopback");
    let server = Server::start();
    let mut clients = [(); 2].map(|()| TcpStream::connect(&server.address).expect("the server accepts"));
    let lock = b"{\"command\":\"lock\",\"name\":\"boss:17\"}\n";
    let unlock = b"{\"command\":\"unlock\",\"name\":\"boss:17\"}\n";
    let mut acquired = [0; b"{\"name\":\"boss:17\",\"result\":\"acquired\"}\n".len()];
    let mut released = [0; b"{\"name\":\"boss:17\",\"result\":\"released\"}\n".len()];
    clients.iter().for_each(|socket| socket.set_nodelay(true).expect("a TCP socket"));
    clients[0].write_all(lock).expect("the server reads");
    clients[0].read_exact(&mut acquired).expect("the server answers");
    group.throughput(Throughput::Elements(1));
    group.bench_function("hand_over", |bencher| {
        bencher.iter(|| {
            let [holder, waiter] = &mut clients;
            waiter.write_all(lock).expect("the server reads");
            holder.write_all(unlock).expect("the server reads");
            holder.read_exact(&mut released).expect("the server answers");
            waiter.read_exact(&mut acquired).expect("the waiter's turn comes");
            clients.swap(0, 1);
        });
    });
    group.finish();
}

/// Short: the whole file runs in ten seconds.
fn config() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1))
}

criterion_group! { name = loopback; config = config(); targets = pairs, hand_over }
criterion_main!(loopback);
