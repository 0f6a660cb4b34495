//! Under a service manager: the test acts as one, with the notification socket.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::server::{Server, officer, officer_after};

/// The notification socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    /// The address as the service gets it.
    name: String,
    _directory: Option<Directory>,
}

impl Manager {
    fn new() -> Manager {
        let directory = Directory::new();
        let file = directory.file("notify");
        let name = file.to_str().unwrap().to_owned();
        Manager { socket: UnixDatagram::bind(file).unwrap(), name, _directory: Some(directory) }
    }

    /// With an abstract socket.
    fn without_file() -> Manager {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("officer-{}-{:?}", std::process::id(), std::thread::current().id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        Manager { socket: UnixDatagram::bind_addr(&address).unwrap(), name: format!("@{name}"), _directory: None }
    }

    fn start(&self, command: &mut Command) -> Server {
        Server::start(command.env("NOTIFY_SOCKET", &self.name))
    }

    /// The next message.
    fn hear(&self) -> String {
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = [0; 4096];
        loop {
            match self.socket.recv(&mut bytes) {
                Ok(count) => return String::from_utf8(bytes[..count].to_vec()).unwrap(),
                // A read with a timeout is interrupted by whatever stops and continues the process.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the server sends nothing: {error}"),
            }
        }
    }

    /// The next message that is not a watchdog ping.
    fn hear_news(&self) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let message = self.hear();
            if message != "WATCHDOG=1" {
                return message;
            }
            assert!(Instant::now() < give_up, "nothing but watchdog pings");
        }
    }
}

fn ready(server: &Server) -> String {
    format!("READY=1\nSTATUS=listening on 127.0.0.1:{}", server.port())
}

#[test]
fn it_reports_when_it_is_ready_and_when_it_stops() {
    for manager in [Manager::new(), Manager::without_file()] {
        let mut server = manager.start(&mut officer(&["run", "-p", "0"]));
        assert_eq!(manager.hear(), ready(&server));
        server.connect().acquire("db");
        server.signal(Signal::TERM);
        assert_eq!(manager.hear(), "STOPPING=1\nSTATUS=writing what is decided");
        assert!(server.wait().0.success());
        manager.socket.set_nonblocking(true).unwrap();
        assert!(manager.socket.recv(&mut [0; 64]).is_err(), "without a watchdog there is nothing more to report");
    }
}

#[test]
fn an_idle_server_pings_the_watchdog_as_often_as_required() {
    let manager = Manager::new();
    // Not from when it is ready: on a busy machine the test may learn of that late, and of the first pings at once.
    let since = Instant::now();
    let server = manager.start(officer(&["run", "-p", "0"]).env("WATCHDOG_USEC", "200000"));
    assert_eq!(manager.hear(), ready(&server));
    (0..10).for_each(|_| assert_eq!(manager.hear(), "WATCHDOG=1"));
    // At half of the interval; a busy machine may make it late, never early.
    assert!(since.elapsed().as_millis() >= 10 * 100 - 200, "{:?}", since.elapsed());
}

#[test]
fn a_busy_server_pings_the_watchdog_too() {
    let manager = Manager::new();
    let server = manager.start(officer(&["run", "-p", "0"]).env("WATCHDOG_USEC", "100000"));
    let mut ann = server.connect();
    let give_up = Instant::now() + PATIENCE;
    manager.socket.set_nonblocking(true).unwrap();
    let mut signs = 0;
    while signs < 5 {
        ann.acquire("db");
        ann.release("db");
        let mut bytes = [0; 64];
        signs += usize::from(manager.socket.recv(&mut bytes).is_ok_and(|count| &bytes[..count] == b"WATCHDOG=1"));
        assert!(Instant::now() < give_up, "{signs} pings");
    }
}

#[test]
fn a_watchdog_for_another_process_is_ignored() {
    // A watched server would have sent ten pings in this time, so one that has sent none would not send any later.
    let [watched, other] = [Manager::new(), Manager::new()];
    let start = |manager: &Manager, pid: &str| {
        let command = format!("export WATCHDOG_PID={pid};");
        manager.start(officer_after(&command, &["run", "-p", "0"]).env("WATCHDOG_USEC", "100000"))
    };
    let (ours, mut theirs) = (start(&watched, "$$"), start(&other, "1"));
    assert_eq!((watched.hear(), other.hear()), (ready(&ours), ready(&theirs)));
    (0..10).for_each(|_| assert_eq!(watched.hear(), "WATCHDOG=1"));
    theirs.signal(Signal::TERM);
    assert!(other.hear().starts_with("STOPPING=1"));
    assert!(theirs.wait().0.success());
}

#[test]
fn a_stopped_server_is_silent_and_continues_afterwards() {
    let manager = Manager::new();
    let server = manager.start(officer(&["run", "-p", "0"]).env("WATCHDOG_USEC", "100000"));
    assert_eq!(manager.hear(), ready(&server));
    assert_eq!(manager.hear(), "WATCHDOG=1");
    server.signal(Signal::STOP);
    crate::support::patience::eventually("it is stopped", || server.proc("stat").contains(") T "));
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    server.signal(Signal::CONT);
    manager.socket.set_nonblocking(false).unwrap();
    assert_eq!(manager.hear(), "WATCHDOG=1");
}

#[test]
fn it_reports_that_it_reopens_its_log() {
    let manager = Manager::new();
    let directory = Directory::new();
    let mut command = officer(&["run", "-p", "0", "--log-file"]);
    let server = manager.start(command.arg(directory.file("log")).env("WATCHDOG_USEC", "1000000"));
    assert_eq!(manager.hear(), ready(&server));
    server.signal(Signal::HUP);
    let reloading = manager.hear_news();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
    let seconds = micros.parse::<i64>().unwrap() / 1_000_000;
    assert!((0..=now).contains(&seconds) && now - seconds < 60, "{seconds} of {now}");
    assert_eq!(manager.hear_news(), ready(&server));
}

#[test]
fn a_manager_that_cannot_be_notified_does_not_stop_the_server() {
    for name in ["/no/such/socket", "@officer no such socket", "vsock:2:1", "", "relative"] {
        let server = Server::start(officer(&["run", "-p", "0", "-l", "warn"]).env("NOTIFY_SOCKET", name));
        server.connect().acquire("db");
        server.log().wait_for("service manager");
    }
    // One that reads nothing: messages that don't fit into its queue are not waited for.
    let manager = Manager::new();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"noise", &manager.name).is_ok() {}
    let server = manager.start(officer(&["run", "-p", "0", "-l", "warn"]).env("WATCHDOG_USEC", "10000"));
    let mut ann = server.connect();
    (0..1000).for_each(|_| ann.expect_nothing_before_now());
    server.log().wait_for("WATCHDOG=1");
    ann.acquire("db");
}

#[test]
fn a_server_in_the_background_does_not_notify_the_manager_of_its_starter() {
    let manager = Manager::new();
    let background = crate::background::Background::new();
    let mut start = background.officer("start", &["-p", "0"]);
    let end = crate::background::End::of(
        start.env("NOTIFY_SOCKET", &manager.name).env("WATCHDOG_USEC", "1000").env("LISTEN_FDS", "1"),
    );
    crate::background::connect(&crate::background::address_of(&end.expect_success())).acquire("db");
    background.run("stop", &[]).expect_success();
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 64]).is_err());
}
