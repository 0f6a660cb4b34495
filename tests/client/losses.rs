//! Connections that end, at each stage of a call, and servers that are stopped and started again.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use officer::client::{Error, Guard, LockOptions, Options, Reason};
use rustix::process::Signal;

use super::fake::{Fake, HELLO};
use super::support::address::own_host;
use super::support::patience::{PATIENCE, eventually};
use super::support::server::Server;
use super::{Call, Task, assert_lost, connections_on, lock_in_a_thread, task};

/// Counts how often a client reports a lost connection.
fn counting(options: Options) -> (Options, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let options = options.on_lost(move |error| {
        assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
        counter.fetch_add(1, Ordering::Relaxed);
    });
    (options, count)
}

#[test]
fn a_connection_that_is_cut_before_the_hello_is_answered_fails() {
    let fake = Fake::new();
    for said in ["", r#"{"result":"hel"#, HELLO] {
        let client = fake.connecting();
        let mut peer = fake.accept();
        peer.request();
        // The whole answer, except for its line end.
        peer.write(said.as_bytes()).expect("the client listens");
        peer.close();
        match client.end().unwrap_err() {
            Error::Connect { kind: ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset, .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_call_whose_answer_is_incomplete_fails() {
    let calls: [Call; 7] = [
        |client| client.lock("boss").map(drop),
        |client| client.reset(),
        |client| client.ping().map(drop),
        |client| client.locks().map(drop),
        |client| client.connections().map(drop),
        |client| client.my_locks().map(drop),
        |client| client.kick("somebody").map(drop),
    ];
    for call in calls {
        for said in ["", r#"{"id":1,"result":"acqu"#, r#"{"id":1,"result":"acquired"}"#] {
            let fake = Fake::new();
            let (options, count) = counting(fake.options());
            let (client, mut peer) = fake.connect_with(options);
            let caller = client.clone();
            let call = task(move || call(&caller));
            peer.request();
            peer.write(said.as_bytes()).expect("the client listens");
            peer.close();
            assert_lost(call.end());
            // It had requested something, so the program has to reconnect explicitly.
            assert_lost(client.ping());
            eventually("it is told", || count.load(Ordering::Relaxed) == 1);
            assert!(fake.try_accept().is_none());
        }
    }
}

#[test]
fn a_lock_is_lost_with_the_connection_that_is_cut_while_it_is_held() {
    let fake = Fake::new();
    let (options, count) = counting(fake.options());
    let (client, mut peer) = fake.connect_with(options);
    let (sender, is_held) = channel();
    let (go, may_go) = channel::<()>();
    let holder = client.clone();
    let held = task(move || {
        let nested = || [(); 2].map(|()| holder.lock("boss").expect("the lock"));
        let [guard, inner] = holder.with_lock("boss", LockOptions::default(), nested).expect("the lock");
        assert!(!guard.is_lost());
        sender.send(()).expect("the test waits");
        may_go.recv_timeout(PATIENCE).expect("the test says so");
        assert!(guard.is_lost() && inner.is_lost());
        assert_lost(inner.release());
        assert_lost(holder.lock("boss").map(drop));
        assert_lost(holder.unlock("boss"));
        guard.release()
    });
    peer.answer("lock", r#"{"result":"acquired"}"#);
    is_held.recv_timeout(PATIENCE).expect("the lock");
    assert!(!client.is_lost());
    peer.close();
    assert!(client.wait_until_lost(PATIENCE));
    assert!(client.is_lost());
    go.send(()).expect("it waits for that");
    assert_lost(held.end());
    eventually("it is told", || count.load(Ordering::Relaxed) == 1);
    assert!(fake.try_accept().is_none());
}

#[test]
fn a_connection_that_is_cut_between_a_release_and_its_answer_fails_the_release() {
    for said in ["", r#"{"id":2,"result":"rele"#] {
        let fake = Fake::new();
        let (client, mut peer) = fake.connect();
        let call = lock_in_a_thread(&client, "boss", LockOptions::default());
        peer.answer("lock", r#"{"result":"acquired"}"#);
        assert_eq!(peer.request()["command"], "unlock");
        peer.write(said.as_bytes()).expect("the client listens");
        peer.close();
        assert_lost(call.end());
    }
}

#[test]
fn with_lock_reports_that_its_lock_was_lost_while_the_closure_ran() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let mut has_run = false;
    let result = ann.with_lock("boss", LockOptions::default(), || {
        // Inside, too: nothing that was done under the lock can be trusted.
        let nested = ann.with_lock("boss", LockOptions::default(), || {
            bob.kick(&ann.connection_name()).expect("an answer");
            assert!(ann.wait_until_lost(PATIENCE));
            has_run = true;
        });
        assert_lost(nested);
    });
    assert!(has_run);
    assert_lost(result);
    // The lock is lost even if there is a connection again when the closure ends.
    ann.reconnect().expect("the server is there");
    let result = ann.with_lock("boss", LockOptions::default(), || ann.reconnect());
    assert_lost(result);
    ann.with_lock("boss", LockOptions::default(), || ()).expect("the lock");
}

#[test]
fn a_client_that_held_or_waited_does_not_reconnect_by_itself() {
    let server = Server::tcp(&[]);
    let [ann, bob, eve] = [server.client(), server.client(), server.client()];
    let guard = ann.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("bob waits", || connections_on(&eve, "boss").len() == 2);
    // The waiter first, or it would get the lock.
    for (client, other) in [(&bob, &eve), (&ann, &eve)] {
        let name = client.connection_name();
        other.kick(&name).expect("an answer");
        assert!(client.wait_until_lost(PATIENCE));
        for _ in 0..3 {
            assert_lost(client.ping());
            assert_lost(client.lock("boss").map(drop));
            assert_lost(client.with_lock("boss", LockOptions::default(), || ()));
            assert_lost(client.locks());
            assert_lost(client.reset());
        }
        assert_eq!(client.connection_name(), name);
    }
    assert_lost(waiter.end());

    ann.reconnect().expect("the server is there");
    assert!(guard.is_lost());
    let next = ann.lock("boss").expect("the lock");
    // A guard of the old connection does not affect the new one.
    assert_lost(guard.release());
    assert!(!next.is_lost());
    assert_eq!(connections_on(&eve, "boss"), [ann.connection_name()]);
    next.release().expect("held");
}

#[test]
fn a_client_that_held_nothing_reconnects_with_the_next_call() {
    let server = Server::tcp(&[]);
    let (options, count) = counting(server.client_options());
    let [ann, bob] = [options.connect().expect("a connection"), server.client()];
    for round in 1..=3 {
        let name = ann.connection_name();
        // A released lock no longer depends on the connection.
        ann.lock("boss").expect("the lock").release().expect("held");
        bob.kick(&name).expect("an answer");
        assert!(ann.wait_until_lost(PATIENCE));
        eventually("it is told", || count.load(Ordering::Relaxed) == round);
        let guard = ann.lock("boss").expect("the lock");
        assert_ne!(ann.connection_name(), name);
        assert!(!ann.is_lost());
        assert_eq!(connections_on(&bob, "boss"), [ann.connection_name()]);
        guard.release().expect("held");
    }
}

#[test]
fn a_client_reconnects_to_a_server_that_was_restarted() {
    let host = own_host().to_string();
    let mut server = Server::tcp(&["-h", &host]);
    let port = server.port();
    let [holder, idler] = [server.client(), server.client()];
    let guard = holder.lock("boss").expect("the lock");
    server.signal(Signal::KILL);
    server.wait();
    assert!(holder.wait_until_lost(PATIENCE) && idler.wait_until_lost(PATIENCE));
    // While it is down.
    assert!(guard.is_lost());
    assert_lost(holder.ping());
    for _ in 0..2 {
        let refused = |result| matches!(result, Err(Error::Connect { kind: ErrorKind::ConnectionRefused, .. }));
        assert!(refused(holder.reconnect()));
        assert!(refused(idler.lock("boss").map(drop)));
    }
    assert_lost(holder.ping());

    let _again = Server::tcp(&["-h", &host, "-p", &port]);
    let other = idler.lock("boss").expect("the lock");
    assert_lost(holder.lock("boss").map(drop));
    holder.reconnect().expect("the server is there");
    assert_eq!(
        holder.lock_with("boss", LockOptions::no_wait()).and_then(Guard::release),
        Err(Error::TimedOut { queue: vec![idler.connection_name()] })
    );
    drop(guard);
    assert!(!other.is_lost());
    other.release().expect("held");
    holder.lock("boss").expect("the lock").release().expect("held");
}

#[test]
fn a_server_that_shuts_down_answers_waits() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guard = ann.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("bob waits", || connections_on(&ann, "boss").len() == 2);
    server.signal(Signal::TERM);
    let error = waiter.end().unwrap_err();
    assert!(matches!(&error, Error::Server { reason: Reason::ShuttingDown, .. }), "{error:?}");
    assert!(ann.wait_until_lost(PATIENCE));
    assert_lost(guard.release());
}

#[test]
fn a_client_that_was_disconnected_stays_so_until_reconnect() {
    let server = Server::tcp(&[]);
    let (options, count) = counting(server.client_options());
    let [ann, bob] = [options.connect().expect("a connection"), server.client()];
    let held = bob.lock("loot").expect("the lock");
    // With a lock and a wait, and with neither.
    for _ in 0..2 {
        let guard = ann.lock("boss").expect("the lock");
        let waiter = lock_in_a_thread(&ann, "loot", LockOptions::default());
        eventually("it waits", || connections_on(&bob, "loot").len() == 2);
        let behind = lock_in_a_thread(&ann, "loot", LockOptions::default());
        eventually("it waits", || connections_on(&bob, "loot").len() == 3);
        ann.disconnect();
        assert_lost(waiter.end());
        assert_lost(behind.end());
        assert!(guard.is_lost());
        assert_lost(guard.release());
        assert!(ann.is_lost());
        assert!(ann.wait_until_lost(Duration::ZERO));
        for _ in 0..2 {
            assert_lost(ann.ping());
            assert_lost(ann.lock("boss").map(drop));
            ann.disconnect();
        }
        bob.lock_with("boss", LockOptions::timeout(PATIENCE)).expect("the lock").release().expect("held");
        ann.reconnect().expect("the server is there");
        ann.disconnect();
        assert_lost(ann.ping());
        ann.reconnect().expect("the server is there");
        // Without a pause between them.
        ann.reconnect().expect("the server is there");
        ann.ping().expect("an answer");
    }
    held.release().expect("held");
    drop(ann);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_connection_that_the_program_closes_is_never_reported_as_lost() {
    let server = Server::tcp(&[]);
    let (options, count) = counting(server.client_options());
    let ann = options.connect().expect("a connection");
    for _ in 0..300 {
        ann.disconnect();
        ann.reconnect().expect("the server is there");
    }
    drop(ann);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_client_that_is_disconnected_while_it_connects_by_itself_stays_so() {
    let fake = Fake::new();
    let (client, peer) = fake.connect();
    peer.close();
    assert!(client.wait_until_lost(PATIENCE));
    let caller = client.clone();
    let call = task(move || caller.ping());
    let mut peer = fake.accept();
    assert_eq!(peer.request()["command"], "hello");
    client.disconnect();
    peer.say(HELLO);
    assert_lost(call.end());
    assert!(client.is_lost());
    assert_eq!(peer.line(), None);
    assert_lost(client.ping());
    assert!(fake.try_accept().is_none());
}

#[test]
fn answers_on_an_old_connection_are_not_for_the_new_one() {
    let fake = Fake::new();
    let (client, mut old) = fake.connect();
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    let request = old.request();
    let caller = client.clone();
    let reconnecting = task(move || caller.reconnect());
    assert_lost(call.end());
    let mut new = fake.welcome();
    reconnecting.end().expect("a connection");
    let call = lock_in_a_thread(&client, "boss", LockOptions::default());
    let next = new.request();
    assert_ne!(request["id"], next["id"]);
    // Both ids, on the closed connection, which nobody reads any more.
    let _ = old.write(format!("{{\"result\":\"acquired\",\"id\":{}}}\n", next["id"]).as_bytes());
    new.say(&format!(r#"{{"result":"acquired","id":{}}}"#, request["id"]));
    new.answer_to(&next, r#"{"result":"timed_out"}"#);
    assert_eq!(call.end(), Err(Error::TimedOut { queue: Vec::new() }));
}

#[test]
fn the_program_is_told_of_a_loss_at_once_and_can_reconnect() {
    let server = Server::tcp(&[]);
    let lost = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&lost);
    let options = server.client_options().on_lost(move |error| told.lock().expect("no panic").push(error.clone()));
    let [ann, bob] = [options.connect().expect("a connection"), server.client()];
    for round in 1..=3 {
        let guard = ann.lock("boss").expect("the lock");
        let watcher = ann.clone();
        let watching = task(move || watcher.wait_until_lost(PATIENCE));
        bob.kick(&ann.connection_name()).expect("an answer");
        assert!(watching.end());
        eventually("it is told", || lost.lock().expect("no panic").len() == round);
        let Err(error) = guard.release() else { panic!("the lock is lost") };
        assert_eq!(lost.lock().expect("no panic").last(), Some(&error));
        ann.reconnect().expect("the server is there");
    }
    assert!(!ann.wait_until_lost(Duration::from_millis(1)));
}

#[test]
fn a_guard_from_before_a_reconnect_releases_nothing_after_it() {
    for is_dropped in [true, false] {
        let fake = Fake::new();
        let (client, mut old) = fake.connect();
        let call = task(move || {
            let guard = client.lock("boss").expect("the lock");
            client.reconnect().expect("a connection");
            let next = client.lock("boss").expect("the lock");
            assert!(guard.is_lost());
            if is_dropped {
                drop(guard);
            } else {
                assert_lost(guard.release());
            }
            assert!(!next.is_lost());
            client.ping().expect("an answer");
            next.release()
        });
        old.answer("lock", r#"{"result":"acquired"}"#);
        let mut new = fake.welcome();
        new.answer("lock", r#"{"result":"acquired"}"#);
        // Nothing comes before it.
        new.answer("ping", r#"{"result":"pong"}"#);
        new.answer("unlock", r#"{"result":"released"}"#);
        call.end().expect("held");
    }
}

#[test]
fn a_loss_wakes_all_that_wait_for_it() {
    let fake = Fake::new();
    let (client, peer) = fake.connect();
    let watchers: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            task(move || client.wait_until_lost(PATIENCE * 2))
        })
        .collect();
    // They are on their way; those that are late find it lost.
    thread::yield_now();
    peer.close();
    assert!(watchers.into_iter().all(Task::end));
}
