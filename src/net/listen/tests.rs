use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net as std_unix;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Interest, Token};
use socket2::{Domain, SockAddr, SockRef, Type};

use super::*;
use crate::net::directory::Directory;
use crate::server::Socket as _;

/// The one listener.
fn bind(listen: &Listen, options: &TcpOptions) -> Result<Listener, BindError> {
    let mut listeners = Listener::bind(listen, options)?;
    assert_eq!(listeners.len(), 1, "{listeners:?}");
    Ok(listeners.remove(0))
}

fn own_ip(listener: &Listener) -> Option<IpAddr> {
    let Kind::Tcp { inherited, .. } = &listener.kind else { panic!("a TCP socket") };
    inherited.own_ip
}

fn tcp_on(host: &str, port: u16) -> Result<Listener, BindError> {
    bind(&Listen::Tcp { host: host.to_owned(), port }, &TcpOptions::default())
}

fn unix_at(path: &Path) -> Result<Listener, BindError> {
    bind(&Listen::Unix { path: path.to_owned(), mode: 0o600 }, &TcpOptions::default())
}

/// The error's one line.
fn fault(result: Result<Listener, BindError>) -> String {
    let line = result.expect_err("an error").to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn accept(listener: &mut Listener) -> (Socket, Peer) {
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result.unwrap(),
        }
    }
}

#[test]
fn an_accepted_tcp_connection_has_all_of_the_options() {
    let options = TcpOptions {
        keepalive_idle: Duration::from_secs(21),
        keepalive_interval: Duration::from_secs(7),
        keepalive_probes: 4,
        user_timeout: Some(Duration::from_millis(40_500)),
    };
    let derived = TcpOptions { user_timeout: None, ..options };
    for (options, user_timeout) in [
        (TcpOptions::default(), Duration::from_secs(30)),
        (options, Duration::from_millis(40_500)),
        (derived, Duration::from_secs(49)),
    ] {
        let mut listener = bind(&Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, &options).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = std::net::TcpStream::connect(listener.place().address()).unwrap();
        let (mut socket, peer) = accept(&mut listener);
        assert_eq!(peer, Peer::from(client.local_addr().unwrap()));
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);

        let Socket::Tcp(stream) = &socket else { panic!("a TCP socket") };
        let options_of = SockRef::from(stream.stream());
        assert!(options_of.tcp_nodelay().unwrap());
        assert!(options_of.keepalive().unwrap());
        assert_eq!(options_of.tcp_keepalive_time().unwrap(), options.keepalive_idle);
        assert_eq!(options_of.tcp_keepalive_interval().unwrap(), options.keepalive_interval);
        assert_eq!(options_of.tcp_keepalive_retries().unwrap(), options.keepalive_probes);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_eq!(options_of.tcp_user_timeout().unwrap(), Some(user_timeout));
    }
}

#[test]
fn user_timeouts_that_the_system_has_no_number_for_are_its_longest() {
    let options = TcpOptions { user_timeout: Some(Duration::MAX), ..TcpOptions::default() };
    let mut listener = bind(&Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, &options).unwrap();
    let _client = std::net::TcpStream::connect(listener.place().address()).unwrap();
    let (Socket::Tcp(socket), _) = accept(&mut listener) else { panic!("a TCP socket") };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    assert_eq!(SockRef::from(&socket).tcp_user_timeout().unwrap(), Some(Duration::from_millis(i32::MAX as u64)));
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn while_output_is_blocked_the_user_timeout_is_off_unless_it_was_set() {
    for (set, blocked) in [(None, None), (Some(Duration::from_secs(7)), Some(Duration::from_secs(7)))] {
        let options = TcpOptions { user_timeout: set, ..TcpOptions::default() };
        let mut listener = bind(&Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, &options).unwrap();
        let mut client = std::net::TcpStream::connect(listener.place().address()).unwrap();
        let (Socket::Tcp(mut socket), _) = accept(&mut listener) else { panic!("a TCP socket") };
        let timeout =
            |socket: &TcpSocket| SockRef::from(socket).tcp_user_timeout().unwrap().filter(|time| !time.is_zero());
        let usual = timeout(&socket);
        assert_eq!(usual, set.or(Some(Duration::from_secs(30))));
        let bytes = [0; 1 << 16];
        let mut written = 0;
        while let Ok(count) = socket.write(&bytes) {
            written += count;
        }
        assert_eq!(timeout(&socket), blocked);
        // When the client has read, it takes output again.
        let mut rest = vec![0; written];
        client.read_exact(&mut rest).unwrap();
        let give_up = Instant::now() + Duration::from_secs(60);
        while !socket.write(b"x").is_ok_and(|count| count == 1) {
            assert!(Instant::now() < give_up, "it is still blocked");
        }
        assert_eq!(timeout(&socket), usual);
    }
}

#[test]
fn bytes_go_both_ways_and_the_end_of_our_side_reaches_the_client() {
    let directory = Directory::new();
    let mut over_tcp = tcp_on("127.0.0.1", 0).unwrap();
    let mut over_unix = unix_at(&directory.file("officer.sock")).unwrap();
    let tcp_client = std::net::TcpStream::connect(over_tcp.place().address()).unwrap();
    let unix_client = std_unix::UnixStream::connect(over_unix.place().address()).unwrap();

    fn converse(mut client: impl Read + Write, mut server: Socket) {
        client.write_all(b"ping").unwrap();
        let mut received = [0; 4];
        while let Err(error) = server.read_exact(&mut received) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        assert_eq!(&received, b"ping");
        server.write_all(b"pong").unwrap();
        server.close_write().unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "pong");
    }
    converse(tcp_client, accept(&mut over_tcp).0);
    converse(unix_client, accept(&mut over_unix).0);
}

#[test]
fn a_listener_and_its_connections_are_reported_by_the_poll() {
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(8);
    let mut listener = tcp_on("127.0.0.1", 0).unwrap();
    poll.registry().register(listener.source(), Token(1), Interest::READABLE).unwrap();
    let mut client = std::net::TcpStream::connect(listener.place().address()).unwrap();
    poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
    assert!(events.iter().any(|event| event.token() == Token(1) && event.is_readable()));

    let (mut socket, _) = listener.accept().unwrap();
    poll.registry().register(socket.source(), Token(2), Interest::READABLE).unwrap();
    client.write_all(b"x").unwrap();
    poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
    assert!(events.iter().any(|event| event.token() == Token(2) && event.is_readable()));
}

#[test]
fn addresses_are_shown_as_clients_write_them() {
    let listener = tcp_on("localhost", 0).unwrap();
    assert_eq!(own_ip(&listener), Some([127, 0, 0, 1].into()));
    assert!(listener.place().address().starts_with("127.0.0.1:"), "{}", listener.place().address());
    assert!(!listener.place().address().ends_with(":0"));
    assert!(listener.place().is_loopback());
    let everywhere = tcp_on("0.0.0.0", 0).unwrap();
    assert!(!everywhere.place().is_loopback());
    assert_eq!(own_ip(&everywhere), None);

    // Not every machine that runs tests has IPv6.
    for host in ["::1", "[::1]"] {
        match tcp_on(host, 0) {
            Ok(listener) => {
                assert!(listener.place().address().starts_with("[::1]:"), "{}", listener.place().address());
                assert!(listener.place().is_loopback());
            }
            Err(error) => assert!(matches!(error, BindError::AddressElsewhere { .. }), "{error}"),
        }
    }
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_has_its_ipv4_name() {
    let Ok(mut listener) = tcp_on("::", 0) else { return };
    assert!(!listener.place().is_loopback());
    let port = listener.place().address().rsplit_once(':').unwrap().1.parse().unwrap();
    let Ok(client) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
    assert_eq!(accept(&mut listener).1.to_string(), client.local_addr().unwrap().to_string());
}

#[test]
fn a_tcp_address_that_can_not_be_had_is_explained() {
    let listener = tcp_on("127.0.0.1", 0).unwrap();
    let address = listener.place().address();
    let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let taken = format!("{address} is in use by another program; stop it or choose another port with --port");
    assert_eq!(fault(tcp_on("127.0.0.1", port)), taken);
    // Not ::1 instead, which is free.
    assert_eq!(fault(tcp_on("localhost", port)), taken);

    assert_eq!(
        fault(tcp_on("192.0.2.1", 0)),
        "192.0.2.1 is not an address of this machine; choose another with --host"
    );
    for host in ["", "no such\nhost", "host.invalid"] {
        let line = fault(tcp_on(host, 0));
        assert!(line.starts_with(&format!("the host {host:?} can't be resolved (")), "{line}");
        assert!(line.ends_with("choose another with --host"), "{line}");
    }
}

#[test]
fn a_port_can_be_taken_again_at_once() {
    let mut listener = tcp_on("127.0.0.1", 0).unwrap();
    let port = listener.place().address().rsplit_once(':').unwrap().1.parse().unwrap();
    let client = std::net::TcpStream::connect(listener.place().address()).unwrap();
    // The server closes first, so TIME_WAIT is on its side.
    drop(accept(&mut listener));
    drop(listener);
    drop(client);
    let mut listener = tcp_on("127.0.0.1", port).unwrap();
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(accept(&mut listener).1, Peer::from(client.local_addr().unwrap()));
}

#[test]
fn unix_connections_are_numbered() {
    let directory = Directory::new();
    let mut listener = unix_at(&directory.file("officer.sock")).unwrap();
    assert_eq!(listener.place().address(), directory.file("officer.sock").display().to_string());
    assert!(listener.place().is_loopback());
    for name in ["unix:1", "unix:2", "unix:3"] {
        let _client = std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
        assert_eq!(accept(&mut listener).1.to_string(), name);
    }
}

#[test]
fn the_socket_file_has_exactly_its_mode() {
    for mode in [0o600, 0o666, 0o620, 0o777] {
        let directory = Directory::new();
        let listen = Listen::Unix { path: directory.file("officer.sock"), mode };
        let _listener = bind(&listen, &TcpOptions::default()).unwrap();
        assert_eq!(fs::metadata(directory.file("officer.sock")).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let directory = Directory::new();
    // std leaves the file behind, as a server does that is killed.
    drop(std_unix::UnixListener::bind(directory.file("officer.sock")).unwrap());
    assert!(directory.file("officer.sock").exists());
    let mut listener = unix_at(&directory.file("officer.sock")).unwrap();
    let _client = std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
    accept(&mut listener);
}

#[test]
fn the_socket_file_of_a_live_server_is_not_touched() {
    let directory = Directory::new();
    let mut listener = unix_at(&directory.file("officer.sock")).unwrap();
    let line = fault(unix_at(&directory.file("officer.sock")));
    assert_eq!(
        line,
        format!(
            "{:?} is in use by another server; stop it or choose another with --socket-file",
            directory.file("officer.sock")
        )
    );
    accept(&mut listener); // the look that the second server took
    let _client = std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
    accept(&mut listener);
}

#[test]
fn a_live_server_with_a_full_backlog_is_not_taken_for_a_dead_one() {
    let directory = Directory::new();
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(directory.file("officer.sock")).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _client = std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
    // Elsewhere a full backlog refuses, as a dead server does.
    if cfg!(target_os = "linux") {
        assert!(fault(unix_at(&directory.file("officer.sock"))).contains("in use"));
    }
}

#[test]
fn a_socket_of_another_type_is_not_touched() {
    let directory = Directory::new();
    let _datagrams = std_unix::UnixDatagram::bind(directory.file("officer.sock")).unwrap();
    assert!(fault(unix_at(&directory.file("officer.sock"))).contains("in use"));
    assert!(directory.file("officer.sock").exists());
}

#[test]
fn what_is_not_a_socket_is_not_touched() {
    let directory = Directory::new();
    let says_so = |path: &Path| {
        let line = fault(unix_at(path));
        assert!(line.ends_with("exists and is not a socket; move it away or choose another with --socket-file"));
    };
    fs::write(directory.file("officer.sock"), "precious").unwrap();
    says_so(&directory.file("officer.sock"));
    assert_eq!(fs::read_to_string(directory.file("officer.sock")).unwrap(), "precious");

    fs::create_dir(directory.file("folder")).unwrap();
    says_so(&directory.file("folder"));
    assert!(directory.file("folder").is_dir());

    // A link is not followed, even if a stale socket is at its end.
    drop(std_unix::UnixListener::bind(directory.file("stale")).unwrap());
    std::os::unix::fs::symlink("stale", directory.file("link")).unwrap();
    says_so(&directory.file("link"));
    assert!(directory.file("link").is_symlink() && directory.file("stale").exists());
    says_so(Path::new("/"));
}

#[test]
fn the_socket_file_goes_with_the_listener() {
    let directory = Directory::new();
    let listener = unix_at(&directory.file("officer.sock")).unwrap();
    assert!(directory.file("officer.sock").exists());
    drop(listener);
    assert!(!directory.file("officer.sock").exists());
}

#[test]
fn the_socket_file_of_a_successor_stays() {
    let directory = Directory::new();
    let listener = unix_at(&directory.file("officer.sock")).unwrap();
    fs::remove_file(directory.file("officer.sock")).unwrap();
    let mut successor = unix_at(&directory.file("officer.sock")).unwrap();
    drop(listener);
    let _client = std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
    accept(&mut successor);
}

/// Servers that start together on a stale file.
fn one_of_many_wins(directory: &Directory) {
    for _ in 0..20 {
        drop(std_unix::UnixListener::bind(directory.file("officer.sock")).unwrap());
        let results: Vec<_> = thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| unix_at(&directory.file("officer.sock")))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
    }
}

#[test]
fn of_servers_that_start_together_on_a_stale_file_one_wins() {
    one_of_many_wins(&Directory::new());
}

#[test]
fn a_path_that_can_not_be_had_is_explained() {
    let directory = Directory::new();
    let missing = directory.file("missing");
    assert_eq!(
        fault(unix_at(&missing.join("officer.sock"))),
        format!("there is no directory {missing:?}; create it or choose another with --socket-file")
    );
    fs::write(directory.file("flat"), "").unwrap();
    assert!(fault(unix_at(&directory.file("flat/officer.sock"))).starts_with("there is no directory "));
    assert!(fault(unix_at(&directory.file(&"x".repeat(200)))).contains("is too long for a socket"));
    assert!(fault(unix_at(Path::new(""))).contains("is not the name of a file"));
    assert!(fault(unix_at(Path::new("\0abstract"))).contains("is not the name of a file"));
}

/// How often this process has a directory open.
#[cfg(target_os = "linux")]
fn times_open(directory: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == directory)).count()
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_others_keep_locked_is_waited_for() {
    let directory = Directory::new();
    let lock = File::open(directory.path()).unwrap();
    lock.lock().unwrap();
    thread::scope(|scope| {
        let start = scope.spawn(|| unix_at(&directory.file("officer.sock")));
        let give_up = Instant::now() + Duration::from_secs(60);
        while times_open(directory.path()) < 2 {
            assert!(Instant::now() < give_up, "nobody tries to lock it");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!start.is_finished() && !directory.file("officer.sock").exists());
        drop(lock);
        let mut listener = start.join().unwrap().unwrap();
        let _client = std_unix::UnixStream::connect(directory.file("officer.sock")).unwrap();
        accept(&mut listener);
    });
}

#[test]
fn a_directory_that_others_keep_locked_for_too_long_is_said() {
    let directory = Directory::new();
    let lock = File::open(directory.path()).unwrap();
    lock.lock().unwrap();
    let start = Instant::now();
    let line = fault(unix_at(&directory.file("officer.sock")));
    assert!(
        line.starts_with(&format!("another program has kept the directory {:?} locked for 5 s", directory.path())),
        "{line}"
    );
    assert!(start.elapsed() >= Duration::from_secs(5) && !directory.file("officer.sock").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn beside_a_lock_that_keeps_cleaners_out_servers_still_take_turns() {
    let directory = Directory::new();
    let shared = File::open(directory.path()).unwrap();
    shared.lock_shared().unwrap();
    let turn = unix::lock_directory(&directory.file("officer.sock")).unwrap();
    assert!(turn.is_some());
    assert!(fault(unix_at(&directory.file("officer.sock"))).contains("locked for 5 s"));
    drop(turn);
    one_of_many_wins(&directory);
}
