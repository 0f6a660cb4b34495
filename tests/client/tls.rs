//! The client over TLS: what it does without, it does with it.

use std::thread;
use std::time::Duration;

use officer::client::{Error, LockOptions, Options, TlsConfig};

use crate::support::certificates::{Authority, Valid};
use crate::support::directory::Directory;
use crate::support::server::{Server, officer};

/// A server, and the options of a client that trusts it.
fn serve(directory: &Directory, host: &[&str]) -> (Server, Options) {
    let authority = Authority::new(directory, "authority");
    let identity = authority.issue("server", host, Valid::Now);
    let mut command = officer(&["run", "--listen", "tls://127.0.0.1:0", "-l", "info"]);
    let server = Server::start(command.arg("--tls-cert").arg(identity.cert).arg("--tls-key").arg(identity.key));
    let options = server.client_options().tls(TlsConfig::default().ca(authority.pem()).server_name("db.example"));
    (server, options)
}

#[test]
fn threads_share_a_connection_and_one_waits_for_the_other() {
    let directory = Directory::new();
    let (_server, options) = serve(&directory, &["dns:db.example"]);
    let client = options.connect().unwrap();
    let mut count = 0;
    let shared = &mut count;
    let counter = std::sync::Mutex::new(shared);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let guard = client.lock("db").unwrap();
                    **counter.try_lock().expect("nobody else has the lock") += 1;
                    guard.release().unwrap();
                }
            });
        }
    });
    assert_eq!(count, 400);
}

#[test]
fn long_answers_and_long_requests_arrive_whole() {
    let directory = Directory::new();
    let (_server, options) = serve(&directory, &["dns:db.example"]);
    let client = options.connect().unwrap();
    let names: Vec<String> = (0..64).map(|number| format!("{number:0>900}")).collect();
    let guard = client.lock_all(&names, LockOptions::default()).unwrap();
    for _ in 0..3 {
        let listed = client.locks().unwrap();
        assert!(names.iter().all(|name| listed.contains_key(name)) && listed.len() == names.len());
    }
    guard.release().unwrap();
}

#[test]
fn a_client_that_leaves_says_so() {
    let directory = Directory::new();
    let (server, options) = serve(&directory, &["dns:db.example"]);
    for grace in [Duration::ZERO, Duration::from_secs(60)] {
        let client = options.clone().session(grace).connect().unwrap();
        let _guard = client.lock("db").unwrap();
        client.disconnect();
        // Even where a session would outlive a cut.
        let again = options.clone().connect().unwrap();
        let guard = again.lock_with("db", LockOptions::timeout(Duration::from_secs(30))).unwrap();
        guard.release().unwrap();
    }
    assert_eq!(server.log().count("without saying so"), 0);
}

#[test]
fn a_server_with_another_name_is_refused_and_so_is_one_without_tls() {
    let directory = Directory::new();
    let (server, options) = serve(&directory, &["dns:other.example"]);
    let plain = Server::tcp(&[]);
    let with_tls = plain.client_options().tls(TlsConfig::default());
    let unix = Server::unix(&[]);
    for (options, said) in [
        (options, "not valid for name"),
        (with_tls, "does not speak TLS"),
        (unix.client_options().tls(TlsConfig::default()), "TLS is for TCP"),
        (server.client_options().tls(TlsConfig::default().ca("/absent")), "cannot read /absent"),
    ] {
        match options.connect() {
            Err(Error::Connect { message, .. }) => assert!(message.contains(said), "{message}, not {said}"),
            other => panic!("{other:?}, not {said}"),
        }
    }
    // And a client without TLS is told why.
    match server.client_options().connect() {
        Err(Error::Server { message, .. }) => assert!(message.contains("TLS"), "{message}"),
        other => panic!("{other:?}"),
    }
}
