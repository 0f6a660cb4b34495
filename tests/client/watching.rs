//! What happens to locks, as a program is told of it.

use std::thread;
use std::time::Duration;

use officer::client::{Client, Error, Guard, Happening, LockEvent, LockOptions, Owner, Watch, WatchEvent};
use serde_json::json;

use super::fake::{Fake, Peer};
use super::support::patience::PATIENCE;
use super::support::proxy::Proxy;
use super::support::server::Server;
use super::task;

/// A client, and its watch with the connection that this has of its own.
fn watching(fake: &Fake, client: &Client, prefix: &'static str) -> (Watch, Peer) {
    let client = client.clone();
    let call = task(move || client.watch(prefix));
    let mut peer = fake.welcome();
    let request = peer.answer("watch", r#"{"result":"watching"}"#);
    assert_eq!(request["prefix"], json!(format!("red:{prefix}")));
    (call.end().expect("a watch"), peer)
}

#[track_caller]
fn next(watch: &mut Watch) -> WatchEvent {
    watch.next_within(PATIENCE).expect("a connection").expect("an event")
}

fn lock(event: WatchEvent) -> LockEvent {
    match event {
        WatchEvent::Lock(event) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_are_told_in_order_and_as_they_are() {
    let fake = Fake::new();
    let (client, _first) = fake.connect_with(fake.options().namespace("red"));
    let (mut watch, mut peer) = watching(&fake, &client, "boss:");
    let words = ["granted", "released", "queued", "left", "expired", "revoked", "closed", "opened"];
    for word in words {
        peer.say(&format!(r#"{{"notice":"event","event":"{word}","name":"red:boss:1","connection":"127.0.0.1:7"}}"#));
    }
    let happenings = words.map(|_| lock(next(&mut watch)).happening);
    let expected = [
        Happening::Granted,
        Happening::Released,
        Happening::Queued,
        Happening::Left,
        Happening::Expired,
        Happening::Revoked,
        Happening::Closed,
        Happening::Opened,
    ];
    assert_eq!(happenings, expected);
    // What a newer server says is not for this one.
    peer.say(r#"{"notice":"event","event":"moved","name":"red:boss:1"}"#);
    peer.say(r#"{"notice":"wanted","name":"red:boss:1","waiters":1}"#);
    peer.say(r#"{"notice":"event","event":"granted","name":"red:boss:2","connection":"127.0.0.1:7","owner":7}"#);
    peer.say(r#"{"notice":"event","event":"opened","name":"red:boss:3"}"#);
    peer.say(r#"{"notice":"event","event":"missed","count":12}"#);
    let event = lock(next(&mut watch));
    assert_eq!(
        (&*event.name, event.connection.as_deref(), event.owner),
        ("boss:2", Some("127.0.0.1:7"), Some(Owner::from(7)))
    );
    let event = lock(next(&mut watch));
    assert_eq!((&*event.name, event.connection, event.owner), ("boss:3", None, None));
    assert_eq!(next(&mut watch), WatchEvent::Missed { count: 12 });
    assert_eq!(watch.next_within(Duration::from_millis(20)), Ok(None));
    peer.say(r#"{"notice":"event","event":"granted","name":"red:boss:2","connection":"127.0.0.1:7"}"#);
    assert!(matches!(watch.next(), Some(Ok(WatchEvent::Lock(_)))));
}

#[test]
fn a_watch_whose_connection_is_lost_says_so_and_goes_on() {
    let fake = Fake::new();
    let (client, _first) = fake.connect_with(fake.options().namespace("red"));
    let (mut watch, mut peer) = watching(&fake, &client, "");
    peer.say(r#"{"notice":"event","event":"granted","name":"red:boss","connection":"127.0.0.1:7"}"#);
    peer.close();
    lock(next(&mut watch));
    let WatchEvent::Interrupted { reason } = next(&mut watch) else { panic!("the connection is lost") };
    assert_eq!(reason, "the server closed the connection");
    // The attempt that fails is an error; the one after it is not.
    let going_on = task(move || {
        let error = watch.next_within(PATIENCE);
        let event = watch.next_within(PATIENCE);
        (error, event)
    });
    fake.accept().close();
    let mut peer = fake.welcome();
    peer.answer("watch", r#"{"result":"watching"}"#);
    peer.say(r#"{"notice":"event","event":"released","name":"red:boss","connection":"127.0.0.1:7"}"#);
    let (error, event) = going_on.end();
    assert!(matches!(error, Err(Error::Connect { .. })), "{error:?}");
    assert_eq!(lock(event.expect("a connection").expect("an event")).happening, Happening::Released);
    // Nothing of that concerns the client's own connection.
    assert!(!client.is_lost());
}

#[test]
fn a_watch_keeps_its_connection_alive_and_notices_when_it_is_not() {
    let fake = Fake::new();
    let options = fake.options().namespace("red").keep_alive(Duration::from_secs(1));
    let (client, _first) = fake.connect_with(options);
    let (mut watch, mut peer) = watching(&fake, &client, "");
    let events = task(move || {
        let event = next(&mut watch);
        (event, next(&mut watch))
    });
    let keep_alive = peer.line().expect("a keep-alive");
    assert_eq!(keep_alive["command"], "keep_alive");
    peer.answer_to(&keep_alive, r#"{"result":"kept_alive"}"#);
    peer.say(r#"{"notice":"event","event":"granted","name":"red:boss","connection":"127.0.0.1:7"}"#);
    let (event, lost) = events.end();
    lock(event);
    assert_eq!(lost, WatchEvent::Interrupted { reason: "the server does not answer keep-alives".to_owned() });
}

#[test]
fn a_watch_with_many_events_is_kept_alive_too() {
    const COUNT: usize = 80;
    let fake = Fake::new();
    let options = fake.options().namespace("red").keep_alive(Duration::from_secs(1));
    let (client, _first) = fake.connect_with(options);
    let (mut watch, mut peer) = watching(&fake, &client, "");
    let events = task(move || {
        (0..COUNT).for_each(|_| _ = lock(next(&mut watch)));
        watch
    });
    for _ in 0..COUNT {
        peer.say(r#"{"notice":"event","event":"granted","name":"red:boss","connection":"127.0.0.1:7"}"#);
        thread::sleep(Duration::from_millis(10));
    }
    // Nothing is sent when nobody asks for events any more, so it was sent before.
    let _watch = events.end();
    assert_eq!(peer.line().expect("a keep-alive")["command"], "keep_alive");
}

#[test]
fn a_watch_of_a_real_server_goes_on_after_a_cut() {
    let server = Server::tcp(&[]);
    let proxy = Proxy::new(&server.client_address());
    let watcher = proxy.options().namespace("red").connect().expect("a connection");
    let ann = server.client_options().namespace("red").connect().expect("a connection");
    let mut watch = watcher.watch("boss").expect("a watch");
    for round in 0..3 {
        let guard = ann.lock_with("boss", LockOptions::default().owner(round)).expect("the lock");
        ann.lock("other").and_then(Guard::release).expect("the lock");
        let granted = lock(next(&mut watch));
        assert_eq!((granted.happening, &*granted.name), (Happening::Granted, "boss"));
        assert_eq!((granted.connection, granted.owner), (Some(ann.connection_name()), Some(Owner::from(round))));
        guard.release().expect("held");
        assert_eq!(lock(next(&mut watch)).happening, Happening::Released);
        proxy.cut();
        assert!(matches!(next(&mut watch), WatchEvent::Interrupted { .. }));
        // It watches again when this returns.
        assert_eq!(watch.next_within(Duration::from_millis(10)), Ok(None));
    }
}

#[test]
fn what_the_server_does_not_have_is_an_error() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with_features(&["owner"]);
    let caller = client.clone();
    let call = task(move || caller.watch("").map(drop));
    let mut other = fake.accept();
    other.answer("hello", r#"{"result":"hello","features":["owner"]}"#);
    assert_eq!(call.end(), Err(Error::Unsupported { feature: "watch" }));
    assert_eq!(client.stats().map(drop), Err(Error::Unsupported { feature: "stats" }));
    let holder = client.clone();
    let call = task(move || holder.lock_with("boss", LockOptions::default()));
    peer.answer("lock", r#"{"result":"acquired"}"#);
    let guard = call.end().expect("the lock");
    assert_eq!(guard.transfer("127.0.0.1:7"), Err(Error::Unsupported { feature: "transfer" }));
    assert!(!guard.is_lost());
}
