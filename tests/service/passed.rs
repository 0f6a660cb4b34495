//! A socket created and passed by a service manager. The tests pass theirs through a shell, as its stdin.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::Command;

use serde_json::json;

use crate::background::End;
use crate::support::certificates::{Authority, Valid, client_config};
use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::server::{Server, officer_after};

/// A command whose process gets this as its descriptor 3, with the variables that announce it.
fn with(passed: impl Into<OwnedFd>, options: &[&str]) -> Command {
    let shell = "export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&0 </dev/null;";
    // A port that can't be bound: the passed socket takes precedence.
    let mut command = officer_after(shell, &[&["run", "-h", "192.0.2.1"], options].concat());
    command.stdin(passed.into());
    command
}

#[test]
fn a_passed_tcp_socket_is_used_with_the_clients_that_wait_in_it() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let listener = match TcpListener::bind(host) {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("skipped: this machine has no IPv6 ({error})");
                continue;
            }
        };
        let address = Address::Tcp(listener.local_addr().unwrap());
        let mut early = Client::connect(&address).unwrap();
        early.send(crate::support::client::lock("db"));
        let server = Server::start(&mut with(listener.try_clone().unwrap(), &[]));
        assert_eq!(server.address(), &address);
        early.expect_acquired("db");
        let mut ann = server.connect();
        assert_eq!(ann.locks(), json!({"db": [early.name()]}));
        assert_eq!(server.end(), Vec::<String>::new());
        // The manager still has it, and keeps further clients for the next server.
        let mut late = Client::connect(&address).unwrap();
        let server = Server::start(&mut with(listener, &[]));
        late.acquire("db");
        drop(server);
    }
}

#[test]
fn it_gets_our_socket_options() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(&mut with(listener.try_clone().unwrap(), &["--keepalive-idle-seconds", "7"]));
    let socket = socket2::SockRef::from(&listener);
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 7);
    server.connect().acquire("db");
}

#[test]
fn a_passed_unix_socket_is_used_and_its_file_left() {
    let directory = Directory::new();
    let file = directory.file("passed.sock");
    let listener = UnixListener::bind(&file).unwrap();
    let server = Server::start(&mut with(listener.try_clone().unwrap(), &[]));
    assert_eq!(server.address(), &Address::Unix(file.clone()));
    let mut ann = server.connect();
    ann.acquire("db");
    assert_eq!(ann.locks(), json!({"db": ["unix:1"]}));
    assert_eq!(server.end(), Vec::<String>::new());
    assert!(file.exists());
    let mut late = Client::connect(&Address::Unix(file)).unwrap();
    let _server = Server::start(&mut with(listener, &[]));
    late.acquire("db");
}

#[test]
fn a_passed_unix_socket_without_a_file_is_used_too() {
    let name = format!("officer-passed-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let server = Server::start(&mut with(listener, &[]));
    assert_eq!(server.address(), &Address::Unix(format!("@{name}").into()));
    drop(UnixStream::connect_addr(&address).unwrap());
}

/// Two sockets as descriptors 3 and 4, with these names.
fn two(first: impl Into<OwnedFd>, second: impl Into<OwnedFd>, names: &str, options: &[&str]) -> Command {
    let shell = format!("export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}; exec 3<&0 4>&1 >&2 </dev/null;");
    // What is announced comes on stderr.
    let mut command = officer_after(&shell, &[&["run", "-h", "192.0.2.1"], options].concat());
    command.stdin(first.into()).stdout(second.into());
    command
}

#[test]
fn several_passed_sockets_are_used_whatever_their_names_unless_these_are_for_other_uses() {
    for names in ["plain:plain", "officer.socket:officer.socket", "plain", "''"] {
        let listeners = ["127.0.0.1:0"; 2].map(|address| TcpListener::bind(address).unwrap());
        let addresses = listeners.each_ref().map(|listener| Address::Tcp(listener.local_addr().unwrap()));
        let [first, second] = listeners;
        let mut server = two(first, second, names, &[]).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = crate::support::lines::lines_of_pipe(server.stderr.take().unwrap());
        for address in &addresses {
            let said = format!("officer: listening on tcp://{}", address.tcp());
            assert_eq!(lines.next(), Some(said));
            Client::connect(address).unwrap().acquire("db");
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }
    let mut command = with(TcpListener::bind("127.0.0.1:0").unwrap(), &[]);
    End::of(command.env("LISTEN_FDNAMES", "https")).expect_failure(1, "TLS needs a certificate and its key; ");
}

#[test]
fn passed_sockets_are_for_http_if_their_names_say_so() {
    let directory = Directory::new();
    let file = directory.file("http.sock");
    let ask = |client: &mut dyn ReadWrite| {
        client.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    };
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(with(tcp, &[]).env("LISTEN_FDNAMES", "http"));
    ask(&mut TcpStream::connect(server.address().tcp()).unwrap());
    let unix = UnixListener::bind(&file).unwrap();
    let server = Server::start(with(unix.try_clone().unwrap(), &[]).env("LISTEN_FDNAMES", "http"));
    ask(&mut UnixStream::connect(&file).unwrap());
    drop(server);
    let mut command = with(unix, &[]);
    End::of(command.env("LISTEN_FDNAMES", "https")).expect_failure(1, "(a UNIX socket: plain or http)");
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

#[test]
fn a_passed_socket_that_other_machines_can_reach_needs_a_permission_too() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    End::of(&mut with(listener.try_clone().unwrap(), &[])).expect_failure(1, "or allow it with --open");
    drop(Server::start(&mut with(listener, &["--open"])));
}

#[test]
fn with_users_the_name_of_a_passed_socket_has_to_say_what_it_is_for() {
    let directory = Directory::new();
    let users = directory.file("users.toml");
    fs::write(&users, "[anonymous]\nlocks = [\"\"]\n").unwrap();
    fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = ["--users", users.to_str().unwrap()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for (name, fault) in [
        ("plain", None),
        ("plian", Some("\"plian\"")),
        ("officer.socket", Some("\"officer.socket\"")),
        ("", Some("\"\"")),
    ] {
        let mut command = with(listener.try_clone().unwrap(), &options);
        command.env("LISTEN_FDNAMES", name);
        match fault {
            None => Server::start(&mut command).connect().acquire("db"),
            Some(fault) => {
                End::of(&mut command).expect_failure(1, &format!("a socket was passed with the name {fault}; "))
            }
        }
    }
}

#[test]
fn of_passed_sockets_the_one_named_tls_speaks_it_and_the_one_named_plain_does_not() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let config = client_config(&authority, None, rustls::ALL_VERSIONS);
    let options = ["--tls-cert", identity.cert.to_str().unwrap(), "--tls-key", identity.key.to_str().unwrap()];
    let pair = || ["127.0.0.1:0"; 2].map(|address| TcpListener::bind(address).unwrap());
    let [first, second] = pair();
    let addresses = [&first, &second].map(|listener| Address::Tcp(listener.local_addr().unwrap()));
    let mut server = two(first, second, "plain:tls", &options).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = crate::support::lines::lines_of_pipe(server.stderr.take().unwrap());
    for (scheme, address) in ["tcp", "tls"].iter().zip(&addresses) {
        assert_eq!(lines.next(), Some(format!("officer: listening on {scheme}://{}", address.tcp())));
    }
    let [plain, tls] = addresses;
    Client::connect(&plain).unwrap().acquire("db");
    Client::over_tls(&tls, &config).unwrap().acquire("other");
    let mut misled = Client::connect(&tls).unwrap();
    assert_eq!(misled.ask(crate::support::client::lock("db"))["reason"], "wrong_protocol");
    assert!(Client::over_tls(&plain, &config).is_err());
    server.kill().unwrap();
    server.wait().unwrap();

    // A typing error must not be served in clear.
    for names in ["plain:tsl", "plain", "plain:", "officer.socket:tls", "tls:PLAIN"] {
        let [first, second] = pair();
        End::of(&mut two(first, second, names, &options)).expect_failure(1, "a socket was passed with the name ");
    }
    // Without a certificate none can be served, and a UNIX socket speaks no TLS.
    let [first, _] = pair();
    let without = "TLS needs a certificate and its key; ";
    End::of(with(first, &[]).env("LISTEN_FDNAMES", "tls")).expect_failure(1, without);
    let unix = UnixListener::bind(directory.file("passed.sock")).unwrap();
    End::of(with(unix, &options).env("LISTEN_FDNAMES", "tls")).expect_failure(1, r#"with the name "tls""#);
}

#[test]
fn unusable_passed_sockets_are_reported_in_one_line() {
    let directory = Directory::new();
    let file = directory.file("file");
    fs::write(&file, "precious").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let unconnected = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let unusable: [(&str, OwnedFd); 6] = [
        ("UDP", UdpSocket::bind("127.0.0.1:0").unwrap().into()),
        ("a datagram socket", UnixDatagram::unbound().unwrap().into()),
        ("a connection", connection.into()),
        ("a socket that does not listen", unconnected.into()),
        ("a file", File::options().read(true).write(true).open(&file).unwrap().into()),
        ("a pipe", std::io::pipe().unwrap().0.into()),
    ];
    for (what, passed) in unusable {
        println!("{what}");
        End::of(&mut with(passed, &[]))
            .expect_failure(1, "what was passed is not a listening TCP or UNIX stream socket");
    }
    // Announced, but not there.
    let mut nothing = officer_after("export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&-;", &["run", "-p", "0"]);
    End::of(&mut nothing).expect_failure(1, "what was passed is not a listening TCP or UNIX stream socket");
    let mut many = officer_after("export LISTEN_PID=$$ LISTEN_FDS=65;", &["run", "-p", "0"]);
    End::of(&mut many).expect_failure(1, "65 sockets were passed; the server takes up to 64");
    // So many that checking them one by one would take long and need memory for each.
    let mut all = officer_after(&format!("ulimit -v 4000000; export LISTEN_PID=$$ LISTEN_FDS={};", u64::MAX), &["run"]);
    End::of(&mut all).expect_failure(1, &format!("{} sockets were passed; the server takes up to 64", u64::MAX));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn sockets_passed_to_another_process_are_ignored() {
    for shell in [
        "export LISTEN_PID=1 LISTEN_FDS=1;",
        "export LISTEN_PID=$$ LISTEN_FDS=0;",
        "export LISTEN_PID=$$;",
        "export LISTEN_PID=1 LISTEN_FDS=2;",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let passed = Address::Tcp(listener.local_addr().unwrap());
        let mut command = officer_after(&format!("{shell} exec 3<&0;"), &["run", "-p", "0"]);
        let server = Server::start(command.stdin(OwnedFd::from(listener)));
        assert_ne!(server.address(), &passed);
        server.connect().acquire("db");
    }
}
