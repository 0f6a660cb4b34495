//! HTTP over real sockets: with curl, by hand, and by those who mean no good.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::certificates::{Authority, Valid};
use crate::support::directory::Directory;
use crate::support::patience::PATIENCE;
use crate::support::server::{Server, officer};
use crate::support::skip::skipped;

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Of `ops:secret`, and the digest of that secret.
const USER: &str = "[users.ops]\nadmin = true\n\
    secret_sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n";

/// A server for the protocol and for HTTP, and where the latter is.
fn serve(options: &[&str]) -> (Server, SocketAddr) {
    let list = "tcp://127.0.0.1:0,http://127.0.0.1:0";
    let mut server = Server::start(officer(&["run", "--listen", list]).args(options));
    let address = server.next_address().tcp();
    (server, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that a server answers until it closes the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&bytes)),
    }
    String::from_utf8(bytes).unwrap()
}

/// What is answered to a client that sends this and no more.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    rest(&mut stream)
}

fn curl(url: &str, options: &[&str]) -> Option<(String, String)> {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "-w", "%{stderr}%{http_code}"]).args(options).arg(url);
    match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("there is no curl");
            None
        }
        output => {
            let output = output.unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            Some((text(output.stderr), text(output.stdout)))
        }
    }
}

#[test]
fn curl_asks_what_there_is_and_kicks_who_is_stuck() {
    let (server, http) = serve(&[]);
    let mut ann = server.connect();
    ann.acquire("boss:1");
    let url = |path: &str| format!("http://{http}{path}");
    let Some(health) = curl(&url("/health"), &["-i"]) else { return };
    assert_eq!(health.0, "200");
    assert!(health.1.starts_with("HTTP/1.1 200 OK\r\n") && health.1.ends_with("\r\n\r\nok\n"), "{health:?}");
    let head = curl(&url("/metrics"), &["-I"]).unwrap();
    assert!(head.0 == "200" && head.1.contains("text/plain; version=0.0.4"), "{head:?}");
    let metrics = curl(&url("/metrics"), &[]).unwrap().1;
    assert!(metrics.contains("\nofficer_connections 1\n"), "{metrics}");
    let locks = curl(&url("/api/locks?prefix=boss%3A"), &[]).unwrap().1;
    let locks: Value = serde_json::from_str(&locks).unwrap();
    let holder = &locks["value"]["boss:1"]["holders"][0]["connection"];
    let body = json!({"connection": holder}).to_string();
    let json = ["-H", "Content-Type: application/json", "-d", &body];
    assert_eq!(curl(&url("/api/kick"), &json).unwrap().0, "403");
    let kicked = curl(&url("/api/kick"), &[&["-H", "X-Officer: 1"], &json[..]].concat()).unwrap();
    assert_eq!(kicked, ("200".to_owned(), "{\"result\":\"kicked\"}\n".to_owned()));
    ann.expect_end();
    // Two requests on one connection.
    let both = curl(&url("/health"), &[&url("/api/locks"), "-w", "%{stderr}%{num_connects} "]).unwrap();
    assert!(both.0 == "1 0 " || both.0 == "0 1 ", "{both:?}");
}

#[test]
fn users_say_who_they_are_over_https_and_a_reload_counts_at_once() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let users = directory.file("users.toml");
    fs::write(&users, USER).unwrap();
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = officer(&["run", "--listen", "https://127.0.0.1:0"]);
    command.arg("--tls-cert").arg(&identity.cert).arg("--tls-key").arg(&identity.key).arg("--users").arg(&users);
    let server = Server::start(&mut command);
    let https = server.address().tcp();
    let url = format!("https://localhost:{}/api/stats", https.port());
    let ca = authority.pem();
    let ask = |options: &[&str]| curl(&url, &[&["--cacert", ca.to_str().unwrap()], options].concat());
    let Some(nobody) = ask(&["-i"]) else { return };
    assert!(nobody.0 == "401" && nobody.1.contains("WWW-Authenticate: Basic realm=\"Officer\""), "{nobody:?}");
    assert_eq!(ask(&["-u", "ops:wrong"]).unwrap().0, "401");
    server.log().wait_for("authentication by HTTP failed");
    let told = ask(&["-u", "ops:secret"]).unwrap();
    assert!(told.0 == "200" && told.1.starts_with("{\"result\":\"stats\""), "{told:?}");
    // In clear, and with the protocol.
    assert!(exchange(https, HEALTH).ends_with("\r\n\r\nthis port speaks HTTPS\n"));
    assert!(exchange(https, "{\"command\":\"ping\"}\n").starts_with("HTTP/1.1 400 "));
    fs::write(&users, USER.replace("admin = true", "metrics = true")).unwrap();
    server.signal(Signal::HUP);
    server.log().wait_for("reloaded: 1 users");
    assert_eq!(ask(&["-u", "ops:secret"]).unwrap().0, "403");
    let log = server.end().join("\n");
    assert!(!log.contains("secret ") && !log.contains("wrong"), "{log}");
}

#[test]
fn a_request_may_come_byte_by_byte_and_several_at_once() {
    let (_server, http) = serve(&[]);
    let mut stream = connect(http);
    stream.set_nodelay(true).unwrap();
    for byte in HEALTH.bytes() {
        stream.write_all(&[byte]).unwrap();
        // It is read by then.
        assert!(exchange(http, HEALTH).starts_with("HTTP/1.1 200"));
    }
    let mut beginning = [0; 15];
    stream.read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200 OK");
    let all = exchange(http, &format!("{HEALTH}GET /nothing HTTP/1.1\r\n\r\n{HEALTH}"));
    let statuses: Vec<&str> = all.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[test]
fn what_is_smuggled_in_is_not_executed() {
    let (server, http) = serve(&[]);
    let mut ann = server.connect();
    ann.acquire("boss");
    let kick = "X-Officer: 1\r\nContent-Type: application/json\r\n";
    let inner = format!(
        "POST /api/revoke HTTP/1.1\r\nHost: localhost\r\n{kick}Content-Length: 15\r\n\r\n{{\"name\":\"boss\"}}"
    );
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for (fields, body) in [
        ("Transfer-Encoding: chunked", chunk.as_str()),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", &chunk),
        ("Content-Length: 0\r\nContent-Length: 5", &inner),
        ("Content-Length: 0\n", &inner),
        ("Content-Length: 0\r\nX: a\r\n\tb", &inner),
        ("Content-Length: +0", &inner),
        // A form of another site, whose body is a request.
        ("Origin: http://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 200", &inner),
    ] {
        let request = format!("POST /api/kick HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}");
        let answer = exchange(http, &request);
        assert!(answer.starts_with("HTTP/1.1 40") && answer.matches("HTTP/1.1 ").count() == 1, "{fields}: {answer}");
    }
    // Its own answer would be another.
    assert_eq!(ann.ask(r#"{"command":"lock","name":"boss"}"#)["result"], "already_acquired");
}

#[test]
fn heads_without_an_end_take_no_memory() {
    let (server, http) = serve(&[]);
    drop(connect(http));
    assert!(exchange(http, HEALTH).starts_with("HTTP/1.1 200"));
    let before = server.resident_bytes();
    let bomb = format!("GET /metrics HTTP/1.1\r\n{}", "X: y\r\n".repeat(200_000));
    let streams: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = connect(http);
            // It is closed in the middle.
            let _ = stream.write_all(bomb.as_bytes());
            stream
        })
        .collect();
    for mut stream in streams {
        let answer = rest(&mut stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let after = server.resident_bytes();
    assert!(after < before + (8 << 20), "{before} bytes became {after}");
    assert!(exchange(http, HEALTH).starts_with("HTTP/1.1 200"));
}

#[test]
fn many_slow_clients_keep_nobody_waiting() {
    let (server, http) = serve(&[]);
    let mut slow: Vec<TcpStream> = (0..64).map(|_| connect(http)).collect();
    let mut ann = server.connect();
    let mut longest = Duration::ZERO;
    for round in 0..200 {
        for stream in &mut slow {
            // Some of them have made way.
            let _ = stream.write_all(if round == 0 { b"GET /metrics HTTP/1.1\r\nX: " } else { b"x" });
        }
        let begun = Instant::now();
        ann.acquire("db");
        ann.release("db");
        longest = longest.max(begun.elapsed());
        if round % 20 == 0 {
            assert!(exchange(http, HEALTH).starts_with("HTTP/1.1 200"));
        }
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // And 64 that ask for as much as they can.
    let askers: Vec<_> = (0..64)
        .map(|_| {
            thread::spawn(move || {
                let request = "GET /api/locks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(20);
                exchange(http, &request).matches("HTTP/1.1 200 OK").count()
            })
        })
        .collect();
    for _ in 0..200 {
        let begun = Instant::now();
        ann.acquire("db");
        ann.release("db");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    let answered: usize = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
    assert!(answered > 0, "some are answered, whoever makes way");
}

#[test]
fn the_protocol_is_not_spoken_here_and_http_not_there() {
    let (server, http) = serve(&[]);
    let answer = exchange(http, "{\"command\":\"lock\",\"name\":\"db\"}\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("this port speaks HTTP\n"), "{answer}");
    let answer = exchange(server.address().tcp(), HEALTH);
    assert!(answer.contains("\"wrong_protocol\""), "{answer}");
}

#[test]
fn names_that_a_server_is_known_by_are_an_option() {
    let (_server, http) = serve(&["--http-host", "db1.example,officer", "--http-host", "db2.example"]);
    for (host, status) in
        [("db1.example:80", "200"), ("officer", "200"), ("DB2.example", "200"), ("db3.example", "403")]
    {
        let answer = exchange(http, &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
}
