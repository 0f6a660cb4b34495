//! Locks that end although the program did not end them, and what it is told of that.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

use officer::client::{Error, Guard, LockOptions, LostHold, Options, Owner};
use serde_json::json;

use super::fake::{Fake, HELLO, Peer};
use super::support::patience::PATIENCE;
use super::{lock_in_a_thread, task};

/// Options whose callbacks pass on what they are told, with their names.
fn reporting(options: Options) -> (Options, Receiver<(&'static str, LostHold)>) {
    let (sender, told) = channel();
    let reports = ["expired", "revoked"].map(|which| {
        let sender = Mutex::new(sender.clone());
        move |lost: &LostHold| {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = sender.send((which, lost.clone()));
        }
    });
    let [on_expired, on_revoked] = reports;
    (options.on_expired(on_expired).on_revoked(on_revoked), told)
}

/// A client, its server, and what it is told.
fn connect(fake: &Fake) -> (officer::client::Client, Peer, Receiver<(&'static str, LostHold)>) {
    let (options, told) = reporting(fake.options().namespace("red"));
    let (client, mut peer) = fake.connect_with(options);
    let hello = peer.request();
    assert_eq!((&hello["command"], &hello["notices"]), (&json!("hello"), &json!(true)));
    peer.say(HELLO);
    (client, peer, told)
}

#[test]
fn notices_are_asked_for_only_if_somebody_listens_and_the_server_has_them() {
    let fake = Fake::new();
    let (_client, mut peer, _told) = connect(&fake);
    assert!(peer.line().is_none_or(|line| line["command"] == "keep_alive"));
    for (has_callback, hello) in [(false, HELLO), (true, r#"{"result":"hello","features":["revoke"]}"#)] {
        let options = if has_callback { reporting(fake.options()).0 } else { fake.options() };
        let client = task(move || options.connect());
        let mut peer = fake.accept();
        assert_eq!(peer.request().get("notices"), None);
        peer.say(hello);
        let client = client.end().expect("a connection");
        let ping = task(move || client.ping());
        peer.answer("ping", r#"{"result":"pong"}"#);
        ping.end().expect("an answer");
    }
}

#[test]
fn a_hold_that_expired_or_was_revoked_is_lost_and_the_program_is_told() {
    let fake = Fake::new();
    let (client, mut peer, told) = connect(&fake);
    let holder = client.clone();
    let call = task(move || ["ann", "bob"].map(|owner| holder.lock_with("boss", LockOptions::default().owner(owner))));
    for _ in 0..2 {
        peer.answer("lock", r#"{"result":"acquired"}"#);
    }
    let [ann, bob] = call.end().map(|guard| guard.expect("the lock"));
    for (notice, owner, guard, other) in [("expired", "ann", &ann, &bob), ("revoked", "bob", &bob, &bob)] {
        assert!(!other.is_lost());
        peer.say(&format!(r#"{{"name":"red:boss","notice":"{notice}","token":5,"owner":"{owner}"}}"#));
        let (which, lost) = told.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!((which, &*lost.name, lost.token), (notice, "boss", Some(5)));
        assert_eq!(lost.owner, Some(Owner::from(owner)));
        assert!(guard.is_lost());
    }
    for guard in [ann, bob] {
        assert_eq!(guard.release(), Err(Error::NotHeld));
    }
    // Nothing was sent for them.
    let ping = task(move || client.ping());
    peer.answer("ping", r#"{"result":"pong"}"#);
    ping.end().expect("an answer");
}

#[test]
fn a_notice_about_what_is_not_held_changes_nothing() {
    let fake = Fake::new();
    let (client, mut peer, told) = connect(&fake);
    let holder = client.clone();
    let call = task(move || {
        let guard = holder.lock("boss")?;
        let waiting = holder.lock_with("loot", LockOptions::default()).map(|guard| guard.name().to_owned());
        Ok::<_, Error>((guard, waiting))
    });
    peer.answer("lock", r#"{"result":"acquired"}"#);
    let waiting = peer.request();
    for stray in [
        r#"{"name":"red:boss","notice":"expired","token":5,"owner":7}"#,
        r#"{"name":"boss","notice":"expired","token":5}"#,
        r#"{"name":"red:loot","notice":"expired","token":5}"#,
        r#"{"notice":"expired","token":5}"#,
    ] {
        peer.say(stray);
    }
    peer.answer_to(&waiting, r#"{"result":"acquired"}"#);
    let (guard, waiting) = call.end().expect("the lock");
    assert_eq!(waiting, Ok("loot".to_owned()));
    assert!(!guard.is_lost());
    // The next that is told is about what it holds, and names no owner: a thread.
    peer.say(r#"{"name":"red:boss","notice":"expired","token":6}"#);
    let (_, lost) = told.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((lost.token, lost.owner), (Some(6), None));
}

#[test]
fn the_number_of_a_thread_is_not_told_as_an_owner() {
    let fake = Fake::new();
    let (client, mut peer, told) = connect(&fake);
    let _other = lock_in_a_thread(&client, "boss", LockOptions::default());
    assert_eq!(peer.request().get("owner"), None);
    let call = task(move || client.lock("loot"));
    let request = peer.answer("lock", r#"{"result":"acquired"}"#);
    let guard = call.end().expect("the lock");
    peer.say(&format!(r#"{{"name":"red:loot","notice":"expired","token":5,"owner":{}}}"#, request["owner"]));
    let (_, lost) = told.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((&*lost.name, lost.owner), ("loot", None));
    assert!(guard.is_lost());
}

#[test]
fn one_lost_lock_of_several_makes_the_guard_lost_and_the_rest_is_released_with_it() {
    for is_dropped in [true, false] {
        let fake = Fake::new();
        let (client, mut peer, told) = connect(&fake);
        let holder = client.clone();
        let call = task(move || holder.lock_all(["a", "b", "c"], LockOptions::default()));
        peer.answer("lock", r#"{"result":"acquired"}"#);
        let guard = call.end().expect("the locks");
        peer.say(r#"{"name":"red:b","notice":"revoked","token":5}"#);
        let (_, lost) = told.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(lost.name, "b");
        assert!(guard.is_lost());
        let call = task(move || if is_dropped { Err(Error::NotHeld) } else { guard.release() });
        let request = peer.answer("unlock", r#"{"result":"released","names":["red:a","red:c"]}"#);
        assert_eq!(request["names"], json!(["red:a", "red:c"]));
        assert_eq!(call.end(), Err(Error::NotHeld));
    }
}

#[test]
fn a_lost_hold_does_not_end_the_next_one_of_the_same_owner() {
    let fake = Fake::new();
    let (client, mut peer, told) = connect(&fake);
    let (sender, is_held) = channel();
    let call = task(move || {
        let guard = client.lock("boss")?;
        sender.send(()).expect("the test waits");
        told.recv_timeout(PATIENCE).expect("it is told");
        // The thread has nothing any more, so it asks as the same owner as before.
        let next = client.lock("boss")?;
        drop(guard);
        assert!(!next.is_lost());
        next.release()
    });
    peer.answer("lock", r#"{"result":"acquired"}"#);
    is_held.recv_timeout(PATIENCE).expect("the lock");
    peer.say(r#"{"name":"red:boss","notice":"expired","token":5}"#);
    assert_eq!(peer.answer("lock", r#"{"result":"acquired"}"#).get("owner"), None);
    peer.answer("unlock", r#"{"result":"released"}"#);
    call.end().expect("held");
}

#[test]
fn a_release_that_crosses_a_notice_is_an_error() {
    let fake = Fake::new();
    let (client, mut peer, told) = connect(&fake);
    let call = task(move || client.lock("boss").and_then(Guard::release));
    peer.answer("lock", r#"{"result":"acquired"}"#);
    let unlock = peer.request();
    peer.say(r#"{"name":"red:boss","notice":"expired","token":5}"#);
    peer.answer_to(&unlock, r#"{"result":"release_failed"}"#);
    assert_eq!(call.end(), Err(Error::NotHeld));
    // The call has said it.
    assert!(told.try_recv().is_err());
}
