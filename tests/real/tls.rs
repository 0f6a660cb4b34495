//! TLS with the tools that people have: openssl and Python, and reloads of the server's files.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use officer::client::{Client, Error, TlsConfig};
use rustix::process::Signal;

use crate::support::certificates::{Authority, Identity, Valid};
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::{Server, officer};
use crate::support::skip::skipped;

const LOCK: &str = "{\"command\":\"lock\",\"name\":\"db\"}\n";
const ACQUIRED: &str = "{\"name\":\"db\",\"result\":\"acquired\"}";

fn serve(identity: &Identity, options: &[&str]) -> Server {
    let mut command = officer(&["run", "--listen", "tls://127.0.0.1:0", "-l", "info"]);
    command.arg("--tls-cert").arg(&identity.cert).arg("--tls-key").arg(&identity.key);
    Server::start(command.args(options))
}

fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_there {
        skipped(&format!("there is no {program}"));
    }
    is_there
}

fn s_client(server: &Server, authority: &Authority<'_>, options: &[&str]) -> Child {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-connect"]);
    command.arg(server.address().tcp().to_string()).arg("-CAfile").arg(authority.pem()).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn openssl_takes_a_lock_with_either_version_and_leaves_it_behind() {
    if !has("openssl") {
        return;
    }
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let server = serve(&authority.issue("server", &["dns:localhost"], Valid::Now), &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = s_client(&server, &authority, &[version, "-verify_hostname", "localhost"]);
        client.stdin.as_mut().unwrap().write_all(LOCK.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(client.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), ACQUIRED, "{version}");
        drop(client.stdin.take());
        assert!(client.wait().unwrap().success());
        server.log().wait_for("ended: the peer closed the connection; released 1 lock: db");
    }
}

#[test]
fn openssl_refuses_a_server_with_another_name_or_issuer_or_an_expired_certificate() {
    if !has("openssl") {
        return;
    }
    let directory = Directory::new();
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(&directory, name));
    for (issuer, valid, name, reason) in [
        (&authority, Valid::Now, "elsewhere", "hostname mismatch"),
        (&other, Valid::Now, "localhost", "unable to get local issuer certificate"),
        (&authority, Valid::Before, "localhost", "certificate has expired"),
        (&authority, Valid::Later, "localhost", "certificate is not yet valid"),
    ] {
        let server = serve(&issuer.issue("server", &["dns:localhost"], valid), &[]);
        let output = s_client(&server, &authority, &["-verify_hostname", name]).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{reason}: {said}");
        server.log().wait_for("ended: handshake failed: ");
    }
}

#[test]
fn python_takes_a_lock_with_a_certificate_of_its_own() {
    let script = "\
import socket, ssl, sys
port, ca, cert, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
with socket.create_connection(('127.0.0.1', int(port))) as plain:
    with context.wrap_socket(plain, server_hostname='localhost') as tls:
        tls.sendall(b'{\"command\":\"lock\",\"name\":\"db\"}\\n' + b'{\"command\":\"ping\"}\\n' * 3000)
        lines = tls.makefile('rb')
        print(lines.readline().decode(), end='')
        print(sum(lines.readline() == b'{\"result\":\"pong\"}\\n' for _ in range(3000)))
        tls.unwrap()
";
    if !has("python3") {
        return;
    }
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let client = authority.issue("client", &["dns:zone-7"], Valid::Now);
    let ca = authority.pem();
    let server =
        serve(&authority.issue("server", &["dns:localhost"], Valid::Now), &["--tls-client-ca", ca.to_str().unwrap()]);
    let mut python = Command::new("python3");
    python.args(["-c", script, &server.port()]).args([&ca, &client.cert, &client.key]);
    let output = python.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("{ACQUIRED}\n3000\n"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_reload_takes_new_files_if_they_are_good() {
    let directory = Directory::new();
    let [old, new] = ["old", "new"].map(|name| Authority::new(&directory, name));
    let identity = old.issue("server", &["ip:127.0.0.1"], Valid::Now);
    let server = serve(&identity, &[]);
    let connect =
        |authority: &Authority<'_>| server.client_options().tls(TlsConfig::default().ca(authority.pem())).connect();
    let ann = connect(&old).unwrap();
    let guard = ann.lock("db").unwrap();

    fs::write(&identity.cert, "nothing").unwrap();
    server.signal(Signal::HUP);
    server.log().wait_for("not reloaded, the server goes on as before: ");
    connect(&old).unwrap().ping().unwrap();

    new.issue("server", &["ip:127.0.0.1"], Valid::Now);
    server.signal(Signal::HUP);
    server.log().wait_for("reloaded: the certificate and key for TLS");
    connect(&new).unwrap().ping().unwrap();
    assert!(matches!(connect(&old), Err(Error::Connect { message, .. }) if message.contains("not trusted")));
    // Whoever is connected stays.
    guard.release().unwrap();
}

#[test]
fn many_clients_that_connect_at_once_all_get_in() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let server = serve(&authority.issue("server", &["ip:127.0.0.1"], Valid::Now), &[]);
    // Some of them never say anything, or not in TLS.
    let silent: Vec<_> = (0..50).map(|_| TcpStream::connect(server.address().tcp()).unwrap()).collect();
    for mut stream in silent.iter().take(20) {
        stream.write_all(LOCK.as_bytes()).unwrap();
    }
    let options = server.client_options().tls(TlsConfig::default().ca(authority.pem()));
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let client = options.clone().connect().unwrap();
                client.with_lock("counter", Default::default(), || {}).unwrap();
            });
        }
    });
    let client = options.connect().unwrap();
    eventually("all have gone", || Client::locks(&client).unwrap().is_empty());
}
