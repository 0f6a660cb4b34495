//! Whoever resumes a TLS session is looked at again: a certificate may have expired, and a user may be gone.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, ClientConfig};

use crate::support::certificates::{Authority, Identity, Valid, client_config};
use crate::support::client::{Client, lock};
use crate::support::directory::Directory;
use crate::support::patience::eventually;
use crate::support::server::{Server, officer};
use crate::support::users::write;

const ZONE: &str = "[users.zone]\ncertificate = \"dns:zone-7.game.example\"\nlocks = [\"zone:\"]\n";

fn command(authority: &Authority<'_>, server: &Identity) -> Command {
    let mut command = officer(&["run", "--listen", "tls://127.0.0.1:0", "-l", "info"]);
    command.arg("--tls-cert").arg(&server.cert).arg("--tls-key").arg(&server.key);
    command.arg("--tls-client-ca").arg(authority.pem());
    command
}

fn serve_with_users(
    directory: &Directory,
    authority: &Authority<'_>,
    text: &str,
) -> (Server, impl AsRef<Path> + use<>) {
    let users = directory.file("users.toml");
    write(&users, text);
    let server = authority.issue("server", &["dns:localhost"], Valid::Now);
    (Server::start(command(authority, &server).arg("--users").arg(&users)), users)
}

/// A client that has had an answer, and with it what it needs to resume its session.
fn connect(server: &Server, config: &std::sync::Arc<ClientConfig>) -> std::io::Result<Client> {
    let mut client = Client::over_tls(server.address(), config)?;
    client.send(r#"{"command":"ping"}"#);
    match client.receive_or_end() {
        Some(_) => Ok(client),
        None => Err(std::io::ErrorKind::ConnectionReset.into()),
    }
}

#[test]
fn a_certificate_that_has_expired_since_resumes_nothing() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    for version in [&TLS12, &TLS13] {
        let server = Server::start(&mut command(&authority, &identity));
        // On a busy machine the two connections before may take longer than that, so it may try again.
        let (config, expires) = [2, 8, 30]
            .into_iter()
            .map(Duration::from_secs)
            .find_map(|valid| {
                let expires = Instant::now() + valid;
                let zone = authority.issue("zone", &["dns:zone-7.game.example"], Valid::For(valid));
                let config = client_config(&authority, Some(&zone), &[version]);
                let kinds = [(), ()].map(|()| connect(&server, &config).ok().map(|client| client.is_resumed()));
                (kinds == [Some(false), Some(true)]).then_some((config, expires))
            })
            .expect("while it is valid its session is resumed");
        eventually("the certificate has expired", || Instant::now() > expires + Duration::from_secs(1));
        let refused = Client::over_tls(server.address(), &config).map(|mut client| {
            assert!(client.is_resumed(), "{version:?}");
            client.send(lock("db"));
            client.receive_until_end()
        });
        // With the older version it learns of it before its handshake is done.
        assert!(refused.as_ref().is_err() || refused.as_ref().is_ok_and(Vec::is_empty), "{refused:?}");
        let line = server.log().wait_for("ended: handshake failed: ");
        assert!(line.to_lowercase().contains("expired"), "{line}");
        let other = authority.issue("other", &["dns:zone-8.game.example"], Valid::Now);
        connect(&server, &client_config(&authority, Some(&other), &[version])).unwrap().acquire("db");
    }
}

#[test]
fn a_user_that_a_reload_has_removed_is_nobody_and_resumes_nothing() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let us = format!("[users.us]\nuid = {}\nadmin = true\n", geteuid().as_raw());
    let (server, users) = serve_with_users(&directory, &authority, &format!("{us}{ZONE}"));
    let zone = authority.issue("zone", &["dns:zone-7.game.example"], Valid::Now);
    let config = client_config(&authority, Some(&zone), ALL_VERSIONS);
    let [mut first, second] = [(), ()].map(|()| connect(&server, &config).unwrap());
    assert!(!first.is_resumed() && second.is_resumed());
    first.acquire("zone:7");

    let reload = |text: &str, count: usize| {
        write(users.as_ref(), text);
        server.signal(Signal::HUP);
        eventually("it has reloaded", || server.log().count(" reloaded: ") == count);
    };
    reload(&us, 1);
    assert!(first.receive_or_end().is_none());
    let mut nobody = Client::over_tls(server.address(), &config).unwrap();
    assert!(!nobody.is_resumed());
    assert_eq!(nobody.ask(lock("zone:7"))["reason"], "not_authenticated");
    assert!(nobody.receive_or_end().is_none());

    // Back again, with nothing left of what it had.
    reload(&format!("{us}{ZONE}"), 2);
    connect(&server, &config).unwrap().acquire("zone:7");
}
