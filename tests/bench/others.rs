//! Redis and memcached, where they are installed.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::address::{free_port, own_host};
use crate::support::certificates::{Authority, Identity, Valid};
use crate::support::directory::Directory;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::skip::skipped;
use crate::{bench, expect_latency};

struct Other {
    child: Child,
    host: String,
    port: String,
}

impl Other {
    /// None: it is not installed, and a message says so.
    fn start(program: &str, args: impl Fn(&str, &str) -> Vec<String>) -> Option<Other> {
        // It can't pick a free port and report it.
        let host = own_host();
        let (host, port) = (host.to_string(), free_port(host).to_string());
        let mut command = Command::new(program);
        command.args(args(&host, &port)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            skipped(&format!("there is no {program} on this machine"));
            return None;
        };
        let mut other = Other { child, host, port };
        eventually("it listens", || {
            assert!(other.child.try_wait().unwrap().is_none(), "{program} does not start");
            other.connect().is_ok()
        });
        Some(other)
    }

    fn redis() -> Option<Other> {
        Other::start("redis-server", |host, port| {
            ["--port", port, "--bind", host, "--save", "", "--appendonly", "no"].map(str::to_owned).to_vec()
        })
    }

    /// With a port for TLS, which is free on its host.
    fn redis_with_tls(tls: SocketAddrV4, identity: &Identity) -> Option<Other> {
        let [cert, key] = [&identity.cert, &identity.key].map(|path| path.to_str().unwrap());
        let (tls_host, tls_port) = (tls.ip().to_string(), tls.port().to_string());
        Other::start("redis-server", |host, port| {
            let mut args = vec!["--port", port, "--bind", host, &tls_host, "--save", "", "--appendonly", "no"];
            args.extend(["--tls-port", &tls_port, "--tls-cert-file", cert, "--tls-key-file", key]);
            args.extend(["--tls-ca-cert-file", cert, "--tls-auth-clients", "no"]);
            args.into_iter().map(str::to_owned).collect()
        })
    }

    fn memcached() -> Option<Other> {
        Other::start("memcached", |host, port| {
            ["-p", port, "-l", host, "-U", "0", "-t", "1", "-u", "nobody"].map(str::to_owned).to_vec()
        })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(format!("{}:{}", self.host, self.port))
    }

    /// The options with which a command connects to it.
    fn options(&self) -> [&str; 4] {
        ["-h", &self.host, "-p", &self.port]
    }

    /// What it answers, up to a final line.
    fn ask(&self, question: &str, end: &str) -> String {
        let mut socket = self.connect().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(question.as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with(end) {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        answer
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_has_executed_the_counted_pairs() {
    let Some(redis) = Other::redis() else { return };
    for in_flight in ["1", "16"] {
        redis.ask("CONFIG RESETSTAT\r\n", "+OK\r\n");
        let args = ["-c", "5", "--in-flight", in_flight, "--pairs", "1000"];
        let figures = bench(&[&["pair", "--protocol", "redis"], &redis.options()[..], &args].concat());
        assert_eq!(figures["pairs"], 1000, "{figures}");
        assert_eq!(figures["server"]["pid"], redis.child.id());
        expect_latency(&figures, "latency_us");
        let stats = redis.ask("INFO commandstats\r\n", "\r\n\r\n");
        assert!(stats.contains("cmdstat_set:calls=1000,") && stats.contains("cmdstat_del:calls=1000,"), "{stats}");
        assert_eq!(redis.ask("DBSIZE\r\n", "\r\n"), ":0\r\n");
    }
    let figures =
        bench(&[&["hold", "--protocol", "redis", "-c", "20", "--seconds", "0.1"], &redis.options()[..]].concat());
    assert_eq!(figures["server"]["pid"], redis.child.id());
    assert_eq!(redis.ask("DBSIZE\r\n", "\r\n"), ":0\r\n");
}

#[test]
fn redis_has_executed_the_counted_pairs_over_tls() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let host = own_host();
    let identity = authority.issue("server", &[&format!("ip:{host}")], Valid::Now);
    let tls = SocketAddrV4::new(host, free_port(host));
    let Some(redis) = Other::redis_with_tls(tls, &identity) else { return };
    let (host, port, ca) = (host.to_string(), tls.port().to_string(), authority.pem());
    let tls = ["--protocol", "redis", "-h", &host, "-p", &port, "--tls", "--tls-ca", ca.to_str().unwrap()];
    for args in [
        &["pair", "-c", "5", "--pairs", "1000"][..],
        &["pair", "-c", "5", "--in-flight", "16", "--pairs", "1000"],
        &["connect", "-c", "5", "--pairs", "1000"],
        &["connect", "-c", "5", "--pairs", "1000", "--full-handshake"],
    ] {
        redis.ask("CONFIG RESETSTAT\r\n", "+OK\r\n");
        let figures = bench(&[args, &tls].concat());
        assert_eq!([&figures["pairs"], &figures["server"]["pid"]], [1000, redis.child.id()], "{figures}");
        let stats = redis.ask("INFO commandstats\r\n", "\r\n\r\n");
        assert!(stats.contains("cmdstat_set:calls=1000,") && stats.contains("cmdstat_del:calls=1000,"), "{stats}");
        if args[0] == "connect" {
            let is_full = args.contains(&"--full-handshake");
            assert_eq!(figures["handshakes"]["resumed"].as_u64() > Some(900), !is_full, "{figures}");
        }
    }
    let figures = bench(&[&["hold", "-c", "20", "--seconds", "0.1"], &tls[..]].concat());
    assert_eq!(figures["server"]["pid"], redis.child.id());
    assert_eq!(redis.ask("DBSIZE\r\n", "\r\n"), ":0\r\n");
}

#[test]
fn memcached_has_executed_the_counted_pairs() {
    let Some(memcached) = Other::memcached() else { return };
    for (in_flight, total) in [("1", 1000), ("16", 2000)] {
        let args = ["-c", "5", "--in-flight", in_flight, "--pairs", "1000"];
        let figures = bench(&[&["pair", "--protocol", "memcached"], &memcached.options()[..], &args].concat());
        assert_eq!(figures["pairs"], 1000, "{figures}");
        assert_eq!(figures["server"]["pid"], memcached.child.id());
        expect_latency(&figures, "latency_us");
        let stats = memcached.ask("stats\r\n", "END\r\n");
        for wanted in [format!("STAT cmd_set {total}\r\n"), format!("STAT delete_hits {total}\r\n")] {
            assert!(stats.contains(&wanted), "{wanted:?} is not in {stats}");
        }
        assert!(stats.contains("STAT curr_items 0\r\n"), "{stats}");
    }
}
