//! Keep-alives: what they keep open, and what they detect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{Error, LockOptions};
use rustix::process::Signal;

use super::fake::Fake;
use super::support::patience::{PATIENCE, eventually};
use super::support::server::Server;
use super::{assert_lost, connections_on, lock_in_a_thread, task};

/// The interval in the tests, of which an answer may take three eighths, and what a busy machine may add to it.
const INTERVAL: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn a_client_that_waits_or_computes_is_not_idle() {
    let server = Server::tcp(&["-m", "1"]);
    // Its own interval is longer than the server allows: it learns that from the hello.
    let [ann, bob, eve] = [server.client(), server.client(), server.client()];
    let guard = ann.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("bob waits", || connections_on(&ann, "boss").len() == 2);
    // Ann computes, bob waits, and eve does nothing at all.
    assert!(!ann.wait_until_lost(Duration::from_millis(2_500)));
    assert!(!bob.is_lost() && !eve.is_lost());
    guard.release().expect("held");
    waiter.end().expect("the lock");
}

#[test]
fn a_server_that_stops_is_noticed_within_the_interval() {
    let server = Server::tcp(&[]);
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let on_lost = move |error: &Error| {
        assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let ann = server.client_options().keep_alive(INTERVAL).on_lost(on_lost).connect().expect("a connection");
    let bob = server.client();
    let other = bob.lock("loot").expect("the lock");
    let guard = ann.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&ann, "loot", LockOptions::default());
    eventually("ann waits", || connections_on(&bob, "loot").len() == 2);
    // Alive for longer than the interval.
    assert!(!ann.wait_until_lost(INTERVAL * 2));

    server.signal(Signal::STOP);
    let start = Instant::now();
    let caller = ann.clone();
    let call = task(move || caller.ping());
    assert!(ann.wait_until_lost(PATIENCE));
    let took = start.elapsed();
    assert!(took < INTERVAL + SLACK, "{took:?}");
    assert!(guard.is_lost());
    assert_lost(waiter.end());
    assert_lost(call.end());
    assert_lost(guard.release());
    eventually("it is told", || count.load(Ordering::Relaxed) == 1);
    // The other client has not noticed yet.
    assert!(!other.is_lost());

    // A new connection needs a server, too.
    let reconnecting = ann.clone();
    server.signal(Signal::CONT);
    task(move || reconnecting.reconnect()).end().expect("the server is there");
    lock_in_a_thread(&ann, "boss", LockOptions::timeout(PATIENCE)).end().expect("the lock");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_server_that_reads_but_never_answers_is_noticed_within_the_interval() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().keep_alive(INTERVAL));
    let start = Instant::now();
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    let error = call.end().unwrap_err();
    let took = start.elapsed();
    assert!(took > INTERVAL / 2 && took < INTERVAL + SLACK, "{took:?}");
    assert_eq!(error, Error::ConnectionLost { reason: "the server does not answer keep-alives".to_owned() });
    assert_eq!(peer.request()["command"], "lock");
    assert_eq!(peer.line().map(|line| line["command"].clone()), Some("keep_alive".into()));
    assert_eq!(peer.line(), None);
}

#[test]
fn a_server_that_takes_nothing_more_is_noticed() {
    let fake = Fake::new();
    // Far more than fits into the buffers on the way. Made before: a keep-alive that is not answered ends the connection too.
    let names = vec!["x".repeat(1_000_000); 16];
    // Those that begin late wait one after the other for an answer to another connection.
    let options = fake.options().keep_alive(INTERVAL).connect_timeout(SLACK);
    let (client, _peer) = fake.connect_with(options);
    let start = Instant::now();
    let call = |name: String| {
        let client = client.clone();
        task(move || (client.kick(&name), start.elapsed()))
    };
    let calls: Vec<_> = names.into_iter().map(call).collect();
    let mut lost = 0;
    for call in calls {
        match call.end() {
            // One that can't write is enough: the others don't wait one after the other, which would take twice this.
            (Err(Error::ConnectionLost { .. }), took) if took < INTERVAL * 8 => lost += 1,
            // It began only then, and found nobody who answers another connection.
            (Err(Error::Connect { .. }), _) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 0);
}

#[test]
fn a_call_waits_for_as_long_as_the_server_is_alive() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().keep_alive(INTERVAL));
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    let request = peer.request();
    let start = Instant::now();
    while start.elapsed() < INTERVAL * 3 {
        let line = peer.line().expect("the connection is alive");
        assert_eq!(line["command"], "keep_alive");
        peer.answer_to(&line, r#"{"result":"kept_alive"}"#);
    }
    peer.answer_to(&request, r#"{"result":"timed_out"}"#);
    assert_eq!(call.end(), Err(Error::TimedOut { queue: Vec::new() }));
}

#[test]
fn a_client_that_receives_much_and_sends_nothing_is_not_idle() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().keep_alive(INTERVAL));
    let start = Instant::now();
    let talker = task(move || {
        let mut keep_alives = 0;
        // More often than silence is checked.
        while start.elapsed() < INTERVAL * 2 {
            peer.say(r#"{"result":"news"}"#);
            thread::sleep(Duration::from_millis(2));
        }
        drop(client);
        while let Some(line) = peer.line() {
            assert_eq!(line["command"], "keep_alive");
            keep_alives += 1;
        }
        keep_alives
    });
    assert!(talker.end() >= 2);
}

#[test]
fn a_long_line_that_arrives_slowly_is_a_sign_of_life() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().keep_alive(INTERVAL));
    let call = task(move || client.ping());
    let request = peer.request();
    let start = Instant::now();
    while start.elapsed() < INTERVAL * 3 {
        peer.write(b" ").expect("the client listens");
        thread::sleep(Duration::from_millis(5));
    }
    peer.answer_to(&request, r#"{"result":"pong"}"#);
    call.end().expect("an answer");
}

#[test]
fn keep_alives_may_be_left_to_the_program() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().keep_alive(INTERVAL).keep_alive_by_program());
    assert!(!client.wait_until_lost(INTERVAL * 3));
    let caller = client.clone();
    let call = task(move || caller.keep_alive());
    // The first line is that of the program.
    let request = peer.line().expect("a request");
    assert_eq!(request["command"], "keep_alive");
    assert_ne!(request["id"], 0);
    peer.answer_to(&request, r#"{"result":"kept_alive"}"#);
    assert_eq!(call.end(), Ok(()));

    // Whoever waits for an answer can't send any, and has to notice a server that is gone.
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    assert_eq!(peer.request()["command"], "lock");
    assert_eq!(peer.line().map(|line| line["command"].clone()), Some("keep_alive".into()));
    assert_lost(call.end());
}

#[test]
fn a_worker_that_is_stuck_loses_its_locks_and_one_that_makes_progress_does_not() {
    let server = Server::tcp(&["-m", "1"]);
    let worker = || server.client_options().keep_alive_by_program().connect().expect("a connection");
    let (stuck, busy) = (worker(), worker());
    let [lost, kept] = [(&stuck, "boss"), (&busy, "loot")].map(|(client, name)| client.lock(name).expect("the lock"));
    eventually("the stuck one is noticed", || {
        busy.keep_alive().expect("the connection is there");
        stuck.is_lost()
    });
    assert!(lost.is_lost());
    kept.release().expect("held");
}

#[test]
fn a_loss_is_noticed_before_the_server_gives_the_client_up_with_the_time_to_stop_left() {
    const SILENT_AFTER: Duration = Duration::from_secs(4);
    const STOP_WITHIN: Duration = Duration::from_secs(2);
    for limit in ["silent_after", "max_idle"] {
        let fake = Fake::new();
        // Left to itself, it would notice within minutes.
        let options = fake.options().keep_alive(Duration::from_secs(600)).stop_within(STOP_WITHIN);
        let client = task(move || options.connect());
        let mut peer = fake.accept();
        assert_eq!(peer.request()["command"], "hello");
        let start = Instant::now();
        peer.say(&format!(
            r#"{{"result":"hello","connection":"me","limits":{{"{limit}":{}}}}}"#,
            SILENT_AFTER.as_secs()
        ));
        let client = client.end().expect("a connection");
        assert_eq!(client.silent_after(), Some(SILENT_AFTER));
        // Its keep-alives come here, but no answer gets back.
        assert!(client.wait_until_lost(PATIENCE));
        let took = start.elapsed();
        assert!(took < SILENT_AFTER - STOP_WITHIN, "{took:?}");
    }
}
