//! Redis and memcached, where they are installed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::patience::{PATIENCE, eventually};
use crate::support::skip::skipped;
use crate::{bench, expect_latency};

struct Other {
    child: Child,
    port: String,
}

impl Other {
    /// None: it is not installed, and a message says so.
    fn start(program: &str, args: impl Fn(&str) -> Vec<String>) -> Option<Other> {
        // Neither can pick a free port and report it. Another process may take the port first; then the next one is
        // tried.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            let mut command = Command::new(program);
            command.args(args(&port)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let Ok(child) = command.spawn() else {
                skipped(&format!("there is no {program} on this machine"));
                return None;
            };
            let mut other = Other { child, port };
            let mut is_up = false;
            eventually("it listens or exits", || {
                let has_ended = other.child.try_wait().unwrap().is_some();
                is_up = !has_ended && TcpStream::connect(format!("127.0.0.1:{}", other.port)).is_ok();
                is_up || has_ended
            });
            if is_up {
                return Some(other);
            }
        }
        panic!("{program} does not start");
    }

    fn redis() -> Option<Other> {
        Other::start("redis-server", |port| {
            ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned).to_vec()
        })
    }

    fn memcached() -> Option<Other> {
        Other::start("memcached", |port| {
            ["-p", port, "-l", "127.0.0.1", "-U", "0", "-t", "1", "-u", "nobody"].map(str::to_owned).to_vec()
        })
    }

    /// What it answers, up to a final line.
    fn ask(&self, question: &str, end: &str) -> String {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{}", self.port)).unwrap();
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
        let figures = bench(&[&["pair", "--protocol", "redis", "-p", &redis.port], &args[..]].concat());
        assert_eq!(figures["pairs"], 1000, "{figures}");
        assert_eq!(figures["server"]["pid"], redis.child.id());
        expect_latency(&figures, "latency_us");
        let stats = redis.ask("INFO commandstats\r\n", "\r\n\r\n");
        assert!(stats.contains("cmdstat_set:calls=1000,") && stats.contains("cmdstat_del:calls=1000,"), "{stats}");
        assert_eq!(redis.ask("DBSIZE\r\n", "\r\n"), ":0\r\n");
    }
    let figures = bench(&["hold", "--protocol", "redis", "-p", &redis.port, "-c", "20", "--seconds", "0.1"]);
    assert_eq!(figures["server"]["pid"], redis.child.id());
    assert_eq!(redis.ask("DBSIZE\r\n", "\r\n"), ":0\r\n");
}

#[test]
fn memcached_has_executed_the_counted_pairs() {
    let Some(memcached) = Other::memcached() else { return };
    for (in_flight, total) in [("1", 1000), ("16", 2000)] {
        let args = ["-c", "5", "--in-flight", in_flight, "--pairs", "1000"];
        let figures = bench(&[&["pair", "--protocol", "memcached", "-p", &memcached.port], &args[..]].concat());
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
