//! Threads of one client that wait for each other: how long, and who goes on when something happens.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{Client, Error, LockOptions};

use super::fake::{Fake, Peer};
use super::support::patience::{PATIENCE, eventually};
use super::{Task, assert_lost, hold_in_a_thread, lock_in_a_thread, task, threads_on};

/// A client that sends no keep-alives within a test. An answer to one would wake threads that were forgotten.
fn quiet(fake: &Fake) -> (Client, Peer) {
    fake.connect_with(fake.options().keep_alive(Duration::MAX))
}

/// In which order threads are woken is up to the system.
const ROUNDS: usize = 5;

/// A thread that the server does not answer, and threads that wait for it: if only one is woken it is one of these.
fn wait_for_loot(client: &Client, peer: &mut Peer) -> Vec<Task<Result<(), Error>>> {
    let mut tasks = vec![lock_in_a_thread(client, "loot", LockOptions::default())];
    assert_eq!(peer.request()["name"], "loot");
    tasks.extend((0..8).map(|_| lock_in_a_thread(client, "loot", LockOptions::default())));
    eventually("they wait", || threads_on(client, "loot") == 9);
    tasks
}

#[test]
fn time_that_was_spent_in_the_client_is_not_asked_of_the_server_as_well() {
    const TIMEOUT: Duration = Duration::from_secs(1_000);
    const SPENT: Duration = Duration::from_millis(300);
    let fake = Fake::new();
    let (client, mut peer) = quiet(&fake);
    let first = lock_in_a_thread(&client, "boss", LockOptions::default());
    let request = peer.request();
    let second = lock_in_a_thread(&client, "boss", LockOptions::timeout(TIMEOUT));
    eventually("the second waits", || threads_on(&client, "boss") == 2);
    let start = Instant::now();
    while start.elapsed() < SPENT {
        thread::sleep(SPENT);
    }
    peer.answer_to(&request, r#"{"result":"timed_out"}"#);
    let request = peer.answer("lock", r#"{"result":"timed_out"}"#);
    let timeout = Duration::from_secs_f64(request["timeout"].as_f64().expect("a number"));
    assert!(timeout <= TIMEOUT - SPENT && timeout > TIMEOUT - PATIENCE, "{timeout:?}");
    for call in [first, second] {
        assert_eq!(call.end(), Err(Error::TimedOut { queue: Vec::new() }));
    }
}

#[test]
fn a_guard_from_before_a_reconnect_releases_nothing_after_it() {
    for is_dropped in [true, false] {
        let fake = Fake::new();
        let (client, mut old) = quiet(&fake);
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
fn a_release_wakes_the_thread_whose_turn_it_is_whoever_else_waits() {
    for _ in 0..ROUNDS {
        let fake = Fake::new();
        let (client, mut peer) = quiet(&fake);
        let _others = wait_for_loot(&client, &mut peer);
        let (drop_it, holder) = hold_in_a_thread(&client, "boss");
        peer.answer("lock", r#"{"result":"acquired"}"#);
        let _next = lock_in_a_thread(&client, "boss", LockOptions::default());
        eventually("it waits", || threads_on(&client, "boss") == 2);
        drop_it.send(()).expect("it waits for that");
        holder.end();
        assert_eq!(peer.request()["command"], "unlock");
        // The release is not answered, so nothing else wakes anybody.
        assert_eq!(peer.request()["name"], "boss");
    }
}

#[test]
fn an_answer_wakes_the_thread_whose_turn_it_is_whoever_else_waits() {
    for _ in 0..ROUNDS {
        let fake = Fake::new();
        let (client, mut peer) = quiet(&fake);
        let _others = wait_for_loot(&client, &mut peer);
        let first = lock_in_a_thread(&client, "boss", LockOptions::default());
        let request = peer.request();
        let _next = lock_in_a_thread(&client, "boss", LockOptions::default());
        eventually("it waits", || threads_on(&client, "boss") == 2);
        peer.answer_to(&request, r#"{"result":"timed_out"}"#);
        assert_eq!(first.end(), Err(Error::TimedOut { queue: Vec::new() }));
        assert_eq!(peer.request()["name"], "boss");
    }
}

#[test]
fn a_reset_wakes_all_that_may_go_on() {
    const NAMES: [&str; 3] = ["boss", "loot", "treasure"];
    let fake = Fake::new();
    let (client, mut peer) = quiet(&fake);
    let (sender, is_sent) = channel();
    let resetter = client.clone();
    let reset = task(move || {
        let _guards = NAMES.map(|name| resetter.lock(name).expect("the lock"));
        sender.send(()).expect("the test waits");
        resetter.reset()
    });
    for _ in NAMES {
        peer.answer("lock", r#"{"result":"acquired"}"#);
    }
    is_sent.recv_timeout(PATIENCE).expect("the locks");
    let request = peer.request();
    assert_eq!(request["command"], "reset");
    // After the reset, so that it does not end their waits.
    let _waiters = NAMES.map(|name| {
        let waiter = lock_in_a_thread(&client, name, LockOptions::default());
        eventually("it waits", || threads_on(&client, name) == 2);
        waiter
    });
    peer.answer_to(&request, r#"{"result":"reset_succeeded"}"#);
    let mut asked = NAMES.map(|_| peer.request()["name"].as_str().expect("a name").to_owned());
    asked.sort();
    assert_eq!(asked, NAMES);
    reset.end().expect("an answer");
}

#[test]
fn a_loss_wakes_all_that_wait_for_it() {
    let fake = Fake::new();
    let (client, peer) = quiet(&fake);
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
