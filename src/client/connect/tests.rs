//! Hosts with several addresses, all of them of this machine: 127.0.0.0/8 has enough.

use std::fs;
use std::net::TcpListener;

use super::*;

/// No test comes near it.
const FAR_AWAY: Duration = Duration::from_secs(60);
/// More than a loaded machine adds.
const SLACK: Duration = Duration::from_secs(20);

/// An address that drops every packet: its queue of connections is full.
struct BlackHole {
    address: SocketAddr,
    _queue: Vec<Socket>,
}

impl BlackHole {
    fn new() -> BlackHole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = vec![listener];
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if socket.connect_timeout(&address, Duration::from_millis(100)).is_err() {
                break;
            }
            queue.push(socket);
        }
        BlackHole { address: address.as_socket().unwrap(), _queue: queue }
    }

    /// Whether a connection to it is being made.
    fn is_tried(&self) -> bool {
        const SYN_SENT: &str = "02";
        let port = format!(":{:04X}", self.address.port());
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        sockets.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[2].ends_with(&port) && fields[3] == SYN_SENT
        })
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Nobody listens on an address of ours alone, so the port stays free.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.83.7.1:0").unwrap().local_addr().unwrap()
}

/// Where it is after how long.
fn timed(addresses: &[SocketAddr], timeout: Duration) -> (io::Result<SocketAddr>, Duration) {
    let start = Instant::now();
    let socket = race(addresses.to_vec(), start + timeout);
    let peer = socket.and_then(|socket| TcpStream::from(socket).peer_addr());
    (peer, start.elapsed())
}

#[test]
fn a_dead_address_holds_the_next_one_up_for_a_moment_only() {
    let (holes, (_listener, alive)) = ([BlackHole::new(), BlackHole::new()], listener());
    let (found, took) = timed(&[holes[0].address, holes[1].address, alive], FAR_AWAY);
    assert_eq!(found.unwrap(), alive);
    assert!(took >= STAGGER * 2 && took < SLACK, "{took:?}");
}

#[test]
fn what_fails_at_once_holds_nobody_up() {
    let (_listener, alive) = listener();
    let refusing = vec![refusing(); 200];
    let (found, took) = timed(&[refusing.as_slice(), &[alive]].concat(), FAR_AWAY);
    assert_eq!(found.unwrap(), alive);
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn every_address_is_tried_however_short_the_time() {
    let (hole, (listener, alive)) = (BlackHole::new(), listener());
    listener.set_nonblocking(true).unwrap();
    // Less than the wait for the next would be. On a loaded machine it may be over before anything was tried.
    let timeout = STAGGER / 2;
    let is_early = |(found, took)| matches!(found, Ok(found) if found == alive) && took < timeout * 3 / 4;
    let found = (0..100).any(|_| is_early(timed(&[hole.address, alive], timeout)));
    assert!(found);
}

#[test]
fn the_attempts_that_lost_are_cancelled() {
    let (hole, (_listener, alive)) = (BlackHole::new(), listener());
    timed(&[hole.address, alive], FAR_AWAY).0.unwrap();
    let start = Instant::now();
    while hole.is_tried() {
        assert!(start.elapsed() < SLACK, "the other attempt goes on");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_error_is_the_one_that_helps_most() {
    let hole = BlackHole::new();
    let kind = |addresses: &[SocketAddr]| timed(addresses, Duration::from_millis(400)).0.unwrap_err().kind();
    for addresses in [[refusing(), hole.address], [hole.address, refusing()]] {
        assert_eq!(kind(&addresses), ErrorKind::ConnectionRefused, "{addresses:?}");
    }
    assert_eq!(kind(&[hole.address, BlackHole::new().address]), ErrorKind::TimedOut);

    let error = |kind: ErrorKind| io::Error::from(kind);
    let of = |before: ErrorKind, new: ErrorKind| more_telling(Some(error(before)), error(new)).kind();
    for (telling, less) in [
        (ErrorKind::ConnectionRefused, ErrorKind::TimedOut),
        (ErrorKind::PermissionDenied, ErrorKind::TimedOut),
        (ErrorKind::TimedOut, ErrorKind::NetworkUnreachable),
    ] {
        assert_eq!((of(telling, less), of(less, telling)), (telling, telling));
    }
}

#[test]
fn refused_by_all_is_told_at_once() {
    let (found, took) = timed(&[refusing(), refusing()], FAR_AWAY);
    assert_eq!(found.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn the_families_take_turns() {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    let given = addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "127.0.0.1:1", "[::3]:1", "127.0.0.2:1"]);
    let order = addresses(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
    assert_eq!(alternating(given), order);
    assert_eq!(alternating(Vec::new()), []);
}

#[test]
fn a_host_is_reached_by_whichever_address_works() {
    let (_listener, alive) = listener();
    // The port is that of the caller, so both are on the same.
    let refusing = SocketAddr::new("127.83.7.2".parse().unwrap(), 0);
    let resolver = move |_: &str| Ok(vec![refusing, alive]);
    let stream = tcp("several.addresses", alive.port(), Instant::now() + FAR_AWAY, resolver).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), alive);
    assert!(stream.nodelay().unwrap());
    let none = tcp("no.address", 1, Instant::now() + FAR_AWAY, |_: &str| Ok(Vec::new())).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}
