//! Servers that are not Officer, and unexpected answers.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use officer::client::{Client, Error, LockOptions, Options, Reason};
use socket2::{Domain, SockAddr, Socket, Type};

use super::fake::Fake;
use super::support::address::{free_port, own_host};
use super::support::directory::Directory;
use super::support::patience::PATIENCE;
use super::{Call, assert_lost, lock_in_a_thread, task};

#[track_caller]
fn connect_kind(error: Error) -> ErrorKind {
    match error {
        Error::Connect { kind, address, message } if !address.is_empty() && !message.is_empty() => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_reported_with_its_address() {
    let host = own_host();
    let address = SocketAddr::from((host, free_port(host))).to_string();
    let error = Client::connect(address.as_str()).unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
    assert_eq!(connect_kind(error), ErrorKind::ConnectionRefused);

    let directory = Directory::new();
    let no_file = directory.file("officer.sock");
    assert_eq!(connect_kind(Client::connect(no_file).unwrap_err()), ErrorKind::NotFound);
}

#[test]
fn a_silent_listener_is_abandoned_in_time() {
    let fake = Fake::new();
    let start = Instant::now();
    let error = fake.options().connect_timeout(Duration::from_millis(200)).connect().unwrap_err();
    assert_eq!(connect_kind(error), ErrorKind::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_listener_that_never_ends_its_line_is_abandoned_in_time() {
    let fake = Fake::new();
    let options = fake.options().connect_timeout(Duration::from_millis(300));
    let client = task(move || options.connect());
    let mut peer = fake.accept();
    // A piece now and then, for longer than the timeout.
    let start = Instant::now();
    while start.elapsed() < PATIENCE && peer.write(b" ").is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(connect_kind(client.end().unwrap_err()), ErrorKind::TimedOut);
}

#[test]
fn a_unix_listener_that_accepts_nobody_is_abandoned_in_time() {
    let directory = Directory::new();
    let path = directory.file("officer.sock");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let address = SockAddr::unix(&path).expect("a path");
    listener.bind(&address).and_then(|()| listener.listen(1)).expect("a listener");
    // Connections wait in the backlog while it has room.
    let mut line = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        match socket.connect(&address) {
            Ok(()) => line.push(socket),
            Err(_) => break,
        }
    }
    let options = Options::new(path).connect_timeout(Duration::from_millis(200));
    let error = task(move || options.connect()).end().unwrap_err();
    assert_eq!(connect_kind(error), ErrorKind::TimedOut);
}

#[test]
fn a_server_of_another_kind_is_recognized() {
    let fake = Fake::new();
    for line in ["SSH-2.0-OpenSSH_9.9", "HTTP/1.1 400 Bad Request\r", r#"{"result":"acquired"}"#, "{}", "17", ""] {
        match fake.connect_to(line).unwrap_err() {
            Error::Unexpected { line: told } => assert_eq!(told, line),
            other => panic!("{other:?}"),
        }
    }
    match fake.connect_to(&"ä".repeat(10_000)).unwrap_err() {
        Error::Unexpected { line } => assert_eq!(line, "ä".repeat(200)),
        other => panic!("{other:?}"),
    }
    // An Officer server that is too old for this client reports it itself.
    let old = r#"{"result":"error","reason":"unknown_command","message":"there is no such command","id":0}"#;
    let message = "there is no such command".to_owned();
    let error = Error::Server { reason: Reason::UnknownCommand, message };
    assert_eq!(fake.connect_to(old).unwrap_err(), error);
}

#[test]
fn an_unknown_result_is_an_error_and_the_lock_can_be_requested_again() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    for answer in [r#"{"result":"lent"}"#, r#"{"name":"boss"}"#, r#"{"result":"reset_succeeded"}"#] {
        let call = lock_in_a_thread(&client, "boss", LockOptions::default());
        peer.answer("lock", answer);
        let error = call.end().unwrap_err();
        assert!(matches!(error, Error::Unexpected { .. }), "{error:?}");
    }
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    peer.answer("lock", r#"{"result":"acquired"}"#);
    peer.answer("unlock", r#"{"result":"released"}"#);
    call.end().expect("the lock");

    let calls: [Call; 6] = [
        |client| client.ping().map(drop),
        |client| client.reset(),
        |client| client.kick("somebody").map(drop),
        |client| client.locks().map(drop),
        |client| client.connections().map(drop),
        |client| client.my_locks().map(drop),
    ];
    for call in calls {
        for answer in [r#"{"result":"lent"}"#, r#"{"result":"locks","value":7}"#] {
            let client = client.clone();
            let call = task(move || call(&client));
            let request = peer.request();
            peer.answer_to(&request, answer);
            let error = call.end().unwrap_err();
            assert!(matches!(error, Error::Unexpected { .. }), "{request} {error:?}");
        }
    }
}

#[test]
fn fields_that_are_missing_are_empty() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    for (answer, error) in [
        (r#"{"result":"timed_out"}"#, Error::TimedOut { queue: Vec::new() }),
        (r#"{"result":"queue_maxed"}"#, Error::QueueMaxed { queue: Vec::new() }),
        (r#"{"result":"error"}"#, Error::Server { reason: Reason::Other("".into()), message: String::new() }),
        (r#"{"result":"cancelled"}"#, Error::Cancelled),
    ] {
        let call = lock_in_a_thread(&client, "boss", LockOptions::default());
        peer.answer("lock", answer);
        assert_eq!(call.end(), Err(error));
    }
}

#[test]
fn a_release_that_the_server_does_not_confirm_is_an_error() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let refused = Error::Server { reason: Reason::Other("why".into()), message: "so".to_owned() };
    for (answer, error) in [
        (r#"{"result":"release_failed"}"#, Error::NotHeld),
        (r#"{"result":"error","reason":"why","message":"so"}"#, refused),
    ] {
        let call = lock_in_a_thread(&client, "boss", LockOptions::default());
        peer.answer("lock", r#"{"result":"acquired"}"#);
        peer.answer("unlock", answer);
        assert_eq!(call.end(), Err(error));
    }
}

#[test]
fn a_line_that_cannot_be_read_ends_the_connection() {
    for line in [&b"what?\n"[..], b"{\"id\":\"1\"}\n", b"\xff\xfe\n", b"\n", b"{\"result\":{}}\n"] {
        let fake = Fake::new();
        let (client, mut peer) = fake.connect();
        let call = lock_in_a_thread(&client, "boss", LockOptions::default());
        assert_eq!(peer.request()["name"], "boss");
        peer.write(line).expect("the client listens");
        assert_lost(call.end());
        assert!(client.is_lost());
        assert_eq!(peer.line(), None);
    }
}

#[test]
fn a_line_without_an_end_ends_the_connection() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let megabyte = vec![b' '; 1 << 20];
    let written = (0..1_000).take_while(|_| peer.write(&megabyte).is_ok()).count();
    assert!(written < 1_000);
    assert!(client.wait_until_lost(PATIENCE));
}

#[test]
fn a_large_answer_is_read() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let names: Vec<String> = (0..200_000).map(|number| format!("a lock with the number {number}")).collect();
    let call = task(move || client.my_locks());
    let value = serde_json::to_string(&names).expect("JSON");
    peer.answer("my_locks", &format!(r#"{{"result":"my_locks","value":{value}}}"#));
    assert_eq!(call.end().expect("a listing"), names);
}

#[test]
fn answers_find_their_calls_in_any_order() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let mut calls = Vec::new();
    let mut requests = Vec::new();
    for name in ["a", "b", "c"] {
        calls.push(lock_in_a_thread(&client, name, LockOptions::default()));
        requests.push(peer.request());
    }
    for (request, name) in requests.iter().zip(["a", "b", "c"]).rev() {
        assert_eq!(request["name"], name);
        peer.answer_to(request, &format!(r#"{{"result":"error","reason":"{name}","message":""}}"#));
    }
    for (call, name) in calls.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(call.end(), Err(Error::Server { reason: Reason::Other(name.into()), message: String::new() }));
    }
}

#[test]
fn unexpected_answers_change_nothing() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    let request = peer.request();
    for stray in [
        r#"{"result":"acquired","name":"boss"}"#,
        r#"{"result":"acquired","name":"boss","id":0}"#,
        r#"{"result":"acquired","name":"boss","id":9007199254740991}"#,
        r#"{"result":"reset_succeeded","id":18446744073709551615}"#,
        r#"{"result":"error","reason":"shutting_down","message":"","id":null}"#,
    ] {
        peer.say(stray);
    }
    // The first answer counts; a second one with the same id is ignored.
    peer.answer_to(&request, r#"{"result":"timed_out","queue":["first"]}"#);
    peer.answer_to(&request, r#"{"result":"acquired","name":"boss"}"#);
    assert_eq!(call.end(), Err(Error::TimedOut { queue: vec!["first".to_owned()] }));
    assert!(!client.is_lost());
}

#[test]
fn already_acquired_means_that_the_lock_is_held() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    peer.answer("lock", r#"{"result":"already_acquired","name":"boss"}"#);
    peer.answer("unlock", r#"{"result":"released","name":"boss"}"#);
    call.end().expect("the lock");
}

#[test]
fn requests_are_as_the_protocol_says() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().namespace("red").name("ann"));
    let options = LockOptions::timeout(Duration::from_secs(3_600)).queue_max(5);
    let call = lock_in_a_thread(&client, "boss", options);
    let request = peer.answer("lock", r#"{"result":"acquired"}"#);
    assert_eq!((&request["name"], &request["queue_max"]), (&"red:boss".into(), &5.into()));
    let timeout = request["timeout"].as_f64().expect("a number");
    assert!(timeout > 3_000.0 && timeout <= 3_600.0);
    peer.answer("unlock", r#"{"result":"released"}"#);
    call.end().expect("the lock");

    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    let request = peer.answer("lock", r#"{"result":"cancelled"}"#);
    assert_eq!((request.get("timeout"), request.get("queue_max")), (None, None));
    assert_eq!(call.end(), Err(Error::Cancelled));
}

#[test]
fn a_dropped_guard_does_not_wait_for_the_server() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || {
        drop(client.lock("boss"));
        client.ping()
    });
    peer.answer("lock", r#"{"result":"acquired"}"#);
    assert_eq!(peer.request()["command"], "unlock");
    // The next request comes before that is answered.
    peer.answer("ping", r#"{"result":"pong"}"#);
    call.end().expect("an answer");
}

#[test]
fn dropping_the_last_clone_of_a_client_closes_the_connection() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let clone = client.clone();
    let held = task(move || {
        let guard = clone.lock("boss").expect("the lock");
        drop(clone);
        guard.release()
    });
    let request = peer.request();
    drop(client);
    peer.answer_to(&request, r#"{"result":"acquired"}"#);
    peer.answer("unlock", r#"{"result":"released"}"#);
    held.end().expect("held");
    assert_eq!(peer.line(), None);
}
