//! Who gets in, who does not, and what that costs others.

use std::time::Duration;

use officer::net::{ClientAuth, TlsOptions};
use officer::server::{Access, Readiness, Socket as _};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, AlertDescription, CertificateError, Error, HandshakeKind};

use super::pair::{AMPLE, Host, config};
use crate::certificates::{Authority, Valid};
use crate::directory::Directory;
use crate::words::{acquired, lock};

#[test]
fn clients_refuse_a_server_with_another_name_or_authority_or_a_certificate_that_is_not_valid_now() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let other = Authority::new(&directory, "other");
    for (valid, name, trusted, expected) in [
        (Valid::Now, "localhost", &other, CertificateError::UnknownIssuer),
        (Valid::Now, "elsewhere", &authority, CertificateError::NotValidForName),
        (Valid::Before, "localhost", &authority, CertificateError::Expired),
        (Valid::Later, "localhost", &authority, CertificateError::NotValidYet),
    ] {
        let identity = authority.issue("server", &["dns:localhost"], valid);
        let mut host = Host::new(&TlsOptions::new(identity.cert, identity.key), AMPLE);
        let mut client = host.connect(&config(trusted, None, ALL_VERSIONS), name);
        host.exchange(&mut client);
        let error = client.error.take().expect("it is refused").to_string();
        let shown = Error::InvalidCertificate(expected).to_string();
        // With names and times there is more of it.
        assert!(error.starts_with(&shown) || error.contains("certificate"), "{error}, not {shown}");
        host.end(&mut client);
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_proves_its_names_by_its_certificate() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let server = authority.issue("server", &["dns:localhost"], Valid::Now);
    let names = ["dns:zone-7.game.example", "dns:*.game.example", "uri:spiffe://game/zone-7"];
    let zone = authority.issue("zone", &names, Valid::Now);
    let mut options = TlsOptions::new(server.cert, server.key);
    options.client_ca = Some(authority.pem());
    for version in [&TLS12, &TLS13] {
        let mut host = Host::new(&options, AMPLE);
        let client = host.greeted(&config(&authority, Some(&zone), &[version]));
        let credentials = host.server.socket_mut(client.key).unwrap().credentials();
        assert_eq!(credentials.names, ["dns:zone-7.game.example", "uri:spiffe://game/zone-7"]);
        assert_eq!((credentials.uid, credentials.gid), (None, None));
    }
}

#[test]
fn a_client_without_a_good_certificate_is_told_why_and_let_in_only_if_it_need_not_have_one() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let other = Authority::new(&directory, "other");
    let server = authority.issue("server", &["dns:localhost"], Valid::Now);
    let stranger = other.issue("stranger", &["dns:zone-7.game.example"], Valid::Now);
    let expired = authority.issue("expired", &["dns:zone-7.game.example"], Valid::Before);
    let mut options = TlsOptions::new(server.cert, server.key);
    options.client_ca = Some(authority.pem());
    let alert = |description| Some(Error::AlertReceived(description));
    for (identity, client_auth, expected) in [
        (None, ClientAuth::Required, alert(AlertDescription::CertificateRequired)),
        (None, ClientAuth::Optional, None),
        (Some(&stranger), ClientAuth::Required, alert(AlertDescription::UnknownCA)),
        (Some(&stranger), ClientAuth::Optional, alert(AlertDescription::UnknownCA)),
        (Some(&expired), ClientAuth::Optional, alert(AlertDescription::CertificateExpired)),
    ] {
        options.client_auth = client_auth;
        let mut host = Host::new(&options, AMPLE);
        let mut client = host.connect(&config(&authority, identity, &[&TLS13]), "localhost");
        // It takes itself for connected before the server has looked at its certificate.
        let heard = host.say(&mut client, &(lock("a", "") + "\n"));
        assert_eq!(client.error, expected, "{client_auth:?}");
        assert_eq!(heard, if expected.is_none() { acquired("a") + "\n" } else { String::new() });
        if expected.is_some() {
            host.end(&mut client);
            assert!(client.is_closed());
        }
    }
}

#[test]
fn a_client_that_speaks_in_clear_is_told_so_and_nothing_is_executed() {
    let directory = Directory::new();
    for first in ["{\"command\":\"lock\",\"name\":\"a\"}\n", "GET / HTTP/1.1\r\n\r\n", "\n", "{", "\u{80}"] {
        let (mut host, config) = Host::simple(&directory);
        let (wire, key) = host.accept();
        wire.borrow_mut().to_server.extend(first.as_bytes());
        host.server.ready(key, Readiness { is_readable: true, ..Readiness::default() });
        host.settle();
        let told = String::from_utf8(std::mem::take(&mut wire.borrow_mut().to_client)).unwrap();
        assert!(told.contains(r#""reason":"wrong_protocol""#) && told.contains("TLS"), "{first:?}: {told}");
        assert!(wire.borrow().server_has_closed_write);
        // What still comes is dropped.
        wire.borrow_mut().to_server.extend(b"{\"command\":\"ping\"}\n");
        host.server.ready(key, Readiness { is_readable: true, ..Readiness::default() });
        host.settle();
        assert_eq!((wire.borrow().to_server.len(), wire.borrow().to_client.len()), (0, 0));
        host.pass(Duration::from_secs(1));
        assert!(wire.borrow().server_has_dropped);
        let mut ann = host.greeted(&config);
        assert_eq!(host.say(&mut ann, &(lock("a", "") + "\n")), acquired("a") + "\n");
    }
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    let mut ann = host.connect(&config, "localhost");
    let mut sent = Vec::new();
    ann.session.write_tls(&mut sent).unwrap();
    sent.truncate(sent.len() / 2);
    ann.wire.borrow_mut().to_server.extend(sent);
    host.server.ready(ann.key, Readiness { is_readable: true, is_writable: true, is_read_closed: false });
    host.settle();
    host.pass(Duration::from_secs(9));
    assert!(!ann.is_closed());
    host.pass(Duration::from_secs(1));
    assert!(ann.is_closed());
    assert_eq!(ann.wire.borrow().to_client, b"");
}

#[test]
fn a_connection_that_ends_before_its_handshake_is_closed() {
    let directory = Directory::new();
    let (mut host, config) = Host::simple(&directory);
    for bytes in [0, 1, 100] {
        let mut ann = host.connect(&config, "localhost");
        let mut sent = Vec::new();
        ann.session.write_tls(&mut sent).unwrap();
        ann.wire.borrow_mut().to_server.extend(&sent[..bytes]);
        host.end(&mut ann);
        assert!(ann.is_closed(), "after {bytes} bytes");
    }
    let mut bob = host.greeted(&config);
    let stats = host.say(&mut bob, "{\"command\":\"stats\"}\n");
    assert!(stats.contains(r#""handshake_failed":2"#) && stats.contains(r#""peer_closed":1"#), "{stats}");
}

#[test]
fn each_turn_makes_a_step_of_a_handshake_and_no_more_than_there_is_time_for() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let identity = authority.issue("server", &["dns:localhost"], Valid::Now);
    let mut host = Host::new(&TlsOptions::new(identity.cert, identity.key), Duration::from_nanos(1));
    let config = config(&authority, None, ALL_VERSIONS);
    let mut clients: Vec<_> = (0..5).map(|_| host.connect(&config, "localhost")).collect();
    for client in &mut clients {
        let mut sent = Vec::new();
        client.session.write_tls(&mut sent).unwrap();
        client.wire.borrow_mut().to_server.extend(sent);
        host.server.ready(client.key, Readiness { is_readable: true, ..Readiness::default() });
    }
    let answered = |clients: &[super::pair::Client]| {
        clients.iter().map(|client| !client.wire.borrow().to_client.is_empty()).collect::<Vec<_>>()
    };
    for turn in 1..=5 {
        host.turn();
        // In the order in which they came.
        let expected: Vec<bool> = (0..5).map(|number| number < turn).collect();
        assert_eq!(answered(&clients), expected);
    }
    clients.iter_mut().for_each(|client| host.exchange(client));
    assert!(clients.iter().all(|client| !client.session.is_handshaking()));
}

#[test]
fn a_client_that_comes_again_resumes_its_session_unless_the_files_were_loaded_again() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let server = authority.issue("server", &["dns:localhost"], Valid::Now);
    let zone = authority.issue("zone", &["dns:zone-7.game.example"], Valid::Now);
    let mut options = TlsOptions::new(server.cert, server.key);
    options.client_ca = Some(authority.pem());
    for version in [&TLS12, &TLS13] {
        let mut host = Host::new(&options, AMPLE);
        let config = config(&authority, Some(&zone), &[version]);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = host.greeted(&config);
            host.say(&mut client, &(lock("a", "") + "\n"));
            assert_eq!(client.session.handshake_kind(), Some(expected), "{version:?}");
            let credentials = host.server.socket_mut(client.key).unwrap().credentials();
            assert_eq!(credentials.names, ["dns:zone-7.game.example"]);
        }
        host.tls = options.load().unwrap();
        let client = host.greeted(&config);
        assert_eq!(client.session.handshake_kind(), Some(HandshakeKind::Full), "{version:?}");
    }
}

#[test]
fn a_certificate_makes_its_client_a_user() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let server = authority.issue("server", &["dns:localhost"], Valid::Now);
    let mut options = TlsOptions::new(server.cert, server.key);
    options.client_ca = Some(authority.pem());
    options.client_auth = ClientAuth::Optional;
    let mut host = Host::new(&options, AMPLE);
    let users = "[users.zone]\ncertificate = \"uri:spiffe://game/zone-7\"\nlocks = [\"zone:\"]\n";
    host.server.set_access(Access::parse(users).unwrap());
    let identities = [
        (Some(authority.issue("zone", &["uri:spiffe://game/zone-7"], Valid::Now)), true),
        (Some(authority.issue("other", &["uri:spiffe://game/zone-70"], Valid::Now)), false),
        (None, false),
    ];
    for (identity, is_zone) in identities {
        let mut client = host.greeted(&config(&authority, identity.as_ref(), ALL_VERSIONS));
        let heard = host.say(&mut client, &(lock("zone:a", "") + "\n"));
        if is_zone {
            assert_eq!(heard, acquired("zone:a") + "\n");
            let heard = host.say(&mut client, &(lock("a", "") + "\n"));
            assert!(heard.contains("not_allowed"), "{heard}");
        } else {
            assert!(heard.contains("not_authenticated"), "{heard}");
            host.pass(Duration::from_secs(1));
            assert!(client.is_closed());
        }
    }
}
