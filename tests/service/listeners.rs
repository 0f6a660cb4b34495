//! Servers with several listeners.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};

use rustix::process::Signal;
use serde_json::json;

use crate::background::{Background, End, connect};
use crate::support::address::{free_port, own_host};
use crate::support::client::{Address, Client};
use crate::support::directory::Directory;
use crate::support::server::{Server, officer};

const PING: &str = r#"{"command":"ping"}"#;

#[test]
fn a_server_listens_on_all_of_a_list() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let unix = format!("unix:{}", file.display());
    let mut server = Server::start(&mut officer(&["run", "--listen", "tcp://127.0.0.1:0", "--listen", &unix]));
    let first = server.address().clone();
    assert!(matches!(first, Address::Tcp(_)), "{first:?}");
    assert_eq!(server.next_address(), Address::Unix(file.clone()));
    let [mut ann, mut bob] = [connect(&first), connect(&Address::Unix(file.clone()))];
    ann.acquire("db");
    assert_eq!(bob.locks(), json!({"db": [ann.tcp_name()]}));
    bob.queue_for("db");
    ann.release("db");
    bob.expect_acquired("db");
    assert_eq!(server.end(), Vec::<String>::new());
    assert!(!file.exists());
}

#[test]
fn one_of_a_list_is_announced_as_ever() {
    let background = Background::new();
    let started = background.run("start", &["--listen", "tcp://127.0.0.1:0"]).expect_success();
    let line = started.lines().next().unwrap();
    let address = line.strip_prefix("officer: listening on ").unwrap_or_else(|| panic!("{line:?}"));
    assert!(address.parse::<SocketAddr>().is_ok(), "{line:?}");
}

#[test]
fn a_host_stands_for_all_of_its_addresses_that_this_machine_has() {
    let addresses: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    let has = |address: &&SocketAddr| TcpListener::bind(**address).is_ok();
    let mut expected: Vec<_> = addresses.iter().filter(has).map(SocketAddr::ip).collect();
    expected.sort_by_key(|ip| ip.is_ipv6());
    expected.dedup();
    let mut server = Server::start(&mut officer(&["run", "--listen", "tcp://localhost:0"]));
    let mut listening = vec![server.address().clone()];
    listening.extend((1..expected.len()).map(|_| server.next_address()));
    let ips: Vec<_> = listening.iter().map(|address| address.tcp().ip()).collect();
    assert_eq!(ips, expected);
    listening.iter().for_each(|address| connect(address).acquire("db"));
}

#[test]
fn the_list_comes_from_the_environment_too_and_overrules_what_one_address_has_there() {
    let directory = Directory::new();
    let file = directory.file("officer.sock");
    let list = format!("tcp://127.0.0.1:0,unix:{}", file.display());
    let started = |variables: &[(&str, &str)]| {
        let mut command = officer(&["run"]);
        command.env("OFFICER_LISTEN", &list).envs(variables.iter().copied());
        let mut server = Server::start(&mut command);
        assert_eq!(server.next_address(), Address::Unix(file.clone()));
        connect(&server.address().clone()).acquire("db");
        server.end()
    };
    // As the unit for systemd has it.
    assert_eq!(started(&[("OFFICER_SOCKET_FILE", "/nowhere/officer.sock")]), [""; 0]);
    assert_eq!(started(&[("OFFICER_PORT", "tcp://10.0.0.3:11500")]), [""; 0]);
    for (variables, named) in [
        (&[("OFFICER_HOST", "192.0.2.1")][..], "OFFICER_HOST"),
        (&[("OFFICER_PORT", "7")], "OFFICER_PORT"),
        (&[("OFFICER_SOCKET_TYPE", "UNIX"), ("OFFICER_SOCKET_FILE", "/nowhere")], "OFFICER_SOCKET_TYPE"),
    ] {
        let said = format!("officer: {named} is ignored, because --listen says where to listen");
        assert_eq!(started(variables), [said]);
    }
    let mut beside = officer(&["run", "-p", "0"]);
    End::of(beside.env("OFFICER_LISTEN", &list)).expect_failure(2, "both say where to listen; leave one of them out");
}

#[test]
fn what_can_not_be_listened_on_is_one_line_that_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = own_host();
    let free = SocketAddr::from((host, free_port(host)));
    let directory = Directory::new();
    let file = format!("unix:{}", directory.file("officer.sock").display());
    let unix_twice = format!("{file} is listened on twice, because of {file}; leave out one of the two");
    let [by_tcp, by_http] = ["tcp", "http"].map(|first| format!("is listened on twice, because of {first}://{free}; "));
    for (list, code, said) in [
        (
            format!("tcp://127.0.0.1:{port}"),
            1,
            "in use by another program; stop it or choose another port with --listen",
        ),
        (
            "tcp://192.0.2.1:0".to_owned(),
            1,
            "192.0.2.1 is not an address of this machine; choose another with --listen",
        ),
        ("tcp://127.0.0.1:0,unix:/nowhere/x".to_owned(), 1, "create it or choose another with --listen"),
        (format!("tcp://{free},tcp://{free}"), 1, &by_tcp),
        (format!("{file},{file}"), 1, &unix_twice),
        ("ftp://127.0.0.1:0".to_owned(), 2, "use tcp://, tls://, http:// or https:// with HOST:PORT, or unix:PATH"),
        (
            "https://127.0.0.1:0".to_owned(),
            1,
            "TLS needs a certificate and its key; add them with --tls-cert and --tls-key",
        ),
        (format!("http://{free},tcp://{free}"), 1, &by_http),
        (format!("tcp://{free},http://{free}"), 1, &by_tcp),
        ("tcp://127.0.0.1".to_owned(), 2, "'tcp://127.0.0.1' for '--listen <URL>': the port is missing"),
    ] {
        End::of(&mut officer(&["run", "--listen", &list])).expect_failure(code, said);
    }
}

#[test]
fn a_flood_at_one_listener_does_not_starve_another() {
    const FLOOD: usize = 200;
    let list = "tcp://127.0.0.1:0,tcp://127.0.0.1:0";
    for is_first_flooded in [true, false] {
        let options = ["run", "--listen", list, "--turn-accepts-max", "1", "-l", "debug"];
        let mut server = Server::start(&mut officer(&options));
        let (first, second) = (server.address().clone(), server.next_address());
        let (flooded, other) = if is_first_flooded { (first, second) } else { (second, first) };
        server.signal(Signal::STOP);
        let client = |address| {
            let mut client = connect(address);
            client.send(PING);
            client
        };
        let _crowd: Vec<Client> = (0..FLOOD).map(|_| client(&flooded)).collect();
        let mut quiet = client(&other);
        server.signal(Signal::CONT);
        assert_eq!(quiet.receive(), json!({"result": "pong"}));
        let request = format!("{} < ", quiet.tcp_name());
        server.log().wait_for(&request);
        let before = server.log().lines().into_iter().take_while(|line| !line.contains(&request));
        let served = before.filter(|line| line.contains("pong")).count();
        assert!(served < FLOOD / 4, "{served} were served before it");
    }
}

#[test]
fn a_server_in_the_background_tells_all_of_its_addresses() {
    let background = Background::new();
    let file = background.file("officer.sock");
    // While it restarts, nobody else takes the port.
    let list = format!("tcp://{}:0,unix:{}", own_host(), file.display());
    let started = background.run("start", &["--listen", &list]).expect_success();
    let lines: Vec<&str> = started.lines().collect();
    let [tcp, unix, process] = lines.as_slice() else { panic!("{started:?}") };
    let tcp = tcp.strip_prefix("officer: listening on tcp://").unwrap();
    assert_eq!(*unix, format!("officer: listening on unix:{}", file.display()));
    assert!(process.starts_with("officer: process "), "{process:?}");
    connect(&Address::Unix(file.clone())).acquire("db");
    let status = background.run("status", &[]).expect_success();
    assert!(status.contains(&format!("listening on tcp://{tcp}, unix:{} (pid file", file.display())), "{status:?}");

    // The new one takes the places of the old one, and nobody else's.
    let list = format!("tcp://{tcp},unix:{}", file.display());
    let pid = background.pid();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_the_way = format!("{list},tcp://{}", taken.local_addr().unwrap());
    let twice = format!("{list},tcp://{tcp}");
    for (list, said) in [(&in_the_way, "is in use by another program"), (&twice, "is listened on twice")] {
        background.run("restart", &["--listen", list]).expect_failure(1, said);
        assert_eq!(background.pid(), pid);
    }
    let end = background.run("restart", &["--listen", &list]);
    assert_eq!(end.code, 0, "{end:?}");
    drop(TcpStream::connect(tcp).unwrap());
    connect(&Address::Unix(file)).acquire("db");
}

#[test]
fn other_machines_are_kept_out_unless_the_operator_lets_them_in() {
    let said = "officer: other machines can reach tcp://0.0.0.0:";
    let remedy = "anybody there could take locks; name the users in a file with --users, or allow it with --open";
    let directory = Directory::new();
    let file = format!("unix:{}", directory.file("officer.sock").display());
    let list = format!("tcp://127.0.0.1:0,{file},tcp://0.0.0.0:0");
    let background = Background::new();
    for end in [
        End::of(&mut officer(&["run", "-h", "0.0.0.0", "-p", "0"])),
        End::of(&mut officer(&["run", "--listen", &list])),
        End::of(officer(&["run", "-p", "0", "-h", "0.0.0.0"]).env("OFFICER_OPEN", "false")),
        background.run("start", &["--listen", &list]),
    ] {
        end.expect_failure(1, remedy);
        assert!(end.stderr.starts_with(said), "{end:?}");
    }
    assert!(!directory.file("officer.sock").exists());
    // Before the old one makes way.
    background.start(&[]);
    let pid = background.pid();
    background.run("restart", &["-h", "0.0.0.0", "-p", "0"]).expect_failure(1, remedy);
    assert_eq!(background.pid(), pid);

    let server = Server::start(officer(&["run", "-h", "0.0.0.0", "-p", "0"]).env("OFFICER_OPEN", "true"));
    assert!(server.log().wait_for("can take locks").contains("anybody who reaches tcp://0.0.0.0:"));
}
