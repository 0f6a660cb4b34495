//! Whoever holds a lock is told who wants it, and whoever waits how long the queue is; locks that are kept until then.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use officer::client::{Client, Error, Guard, LockCache, LockOptions, Owner, Wanted};

use super::fake::Fake;
use super::support::patience::{PATIENCE, eventually};
use super::support::proxy::Proxy;
use super::support::server::Server;
use super::{connections_on, lock_in_a_thread, task};

fn wanting() -> (LockOptions, Receiver<Wanted>) {
    let (sender, wanted) = channel();
    let sender = Mutex::new(sender);
    let options = LockOptions::default().on_wanted(move |wanted| {
        let _ = sender.lock().expect("no panic").send(wanted.clone());
    });
    (options, wanted)
}

#[test]
fn the_program_is_told_that_its_lock_is_wanted_by_name_and_owner() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().namespace("red"));
    let (options, wanted) = wanting();
    let holder = client.clone();
    let call = task(move || {
        let ann = holder.lock_with("boss", options.clone().owner("ann").fence());
        let thread = holder.lock_with("loot", options.clone());
        [ann, thread, holder.lock_with("boss", LockOptions::default().owner("bob").hint())]
    });
    for token in [7, 8, 9] {
        let request = peer.answer("lock", &format!(r#"{{"result":"acquired","token":{token}}}"#));
        assert_eq!(request["hint"], true);
    }
    let [ann, thread, bob] = call.end().map(|guard| guard.expect("the lock"));
    assert!(!ann.is_wanted());
    peer.say(r#"{"name":"red:boss","notice":"wanted","token":7,"owner":"ann","waiters":2}"#);
    let told = wanted.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((&*told.name, told.owner, told.token, told.waiters), ("boss", Some(Owner::from("ann")), Some(7), 2));
    assert!(ann.is_wanted() && !thread.is_wanted() && !bob.is_wanted());
    peer.say(r#"{"name":"red:boss","notice":"wanted","token":9,"owner":"bob","waiters":1}"#);
    peer.say(r#"{"name":"red:loot","notice":"wanted","token":8,"waiters":0}"#);
    // Bob has no callback.
    let told = wanted.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((&*told.name, told.owner, told.token, told.waiters), ("loot", None, Some(8), 0));
    assert!(thread.is_wanted() && bob.is_wanted());
}

#[test]
fn a_hint_about_what_is_being_released_is_for_nobody() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let (options, wanted) = wanting();
    let (first, second) = (client.clone(), client.clone());
    let call = task(move || first.lock_with("boss", options).map(drop));
    peer.answer("lock", r#"{"result":"acquired"}"#);
    call.end().expect("the lock");
    let unlock = peer.request();
    peer.say(r#"{"name":"boss","notice":"wanted","token":1,"waiters":1}"#);
    peer.answer_to(&unlock, r#"{"result":"released"}"#);
    let call = task(move || second.lock_with("boss", LockOptions::default().hint()));
    peer.answer("lock", r#"{"result":"acquired"}"#);
    assert!(!call.end().expect("the lock").is_wanted());
    assert!(wanted.try_recv().is_err());
}

#[test]
fn whoever_waits_is_told_its_position_and_gets_the_lock_all_the_same() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guard = ann.lock("boss").expect("the lock");
    let (sender, positions) = channel();
    let waiters: Vec<_> = (0..3)
        .map(|number| {
            let (client, sender) = (bob.clone(), sender.clone());
            let options = LockOptions::default().on_queued(move |ahead| _ = sender.send(ahead));
            let waiter = task(move || client.lock_with("boss", options).and_then(Guard::release));
            assert_eq!(positions.recv_timeout(PATIENCE), Ok(number));
            waiter
        })
        .collect();
    guard.release().expect("held");
    for waiter in waiters {
        waiter.end().expect("the lock");
    }
    assert!(positions.try_recv().is_err());
}

#[test]
fn a_wait_whose_position_was_told_is_resumed_as_others_are() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_session(fake.options().session(PATIENCE));
    let (sender, positions) = channel();
    let options = LockOptions::default().on_queued(move |ahead| _ = sender.send(ahead));
    let call = task(move || client.lock_with("boss", options).map(std::mem::forget));
    let request = peer.request();
    assert_eq!(request["progress"], true);
    peer.answer_to(&request, r#"{"result":"queued","name":"boss","position":5}"#);
    assert_eq!(positions.recv_timeout(PATIENCE), Ok(5));
    peer.close();
    let lists = format!(r#""held":[],"waiting":[{{"name":"boss","id":{}}}],"executed":2"#, request["id"]);
    let mut peer = fake.resume(&lists);
    peer.answer_to(&request, r#"{"result":"acquired"}"#);
    call.end().expect("the lock");
}

#[test]
fn a_lock_that_was_wanted_while_the_client_was_away_is_known_to_be_when_it_is_back() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_session(fake.options().session(PATIENCE));
    let (options, wanted) = wanting();
    let holder = client.clone();
    let call = task(move || [holder.lock_with("boss", options.clone()), holder.lock_with("loot", options)]);
    for _ in 0..2 {
        peer.answer("lock", r#"{"result":"acquired"}"#);
    }
    let [boss, loot] = call.end().map(|guard| guard.expect("the lock"));
    peer.close();
    let _peer =
        fake.resume(r#""held":[{"name":"boss","waiters":3},{"name":"loot","waiters":0}],"waiting":[],"executed":3"#);
    let told = wanted.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((&*told.name, told.waiters), ("boss", 3));
    assert!(boss.is_wanted() && !loot.is_wanted());
}

#[test]
fn a_cached_lock_is_asked_for_once_and_given_up_when_somebody_wants_it() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let cache = LockCache::with_options(&ann, LockOptions::default().fence());
    let token = cache.lock("boss").expect("the lock").token();
    for _ in 0..100 {
        let guard = cache.lock("boss").expect("the lock");
        assert_eq!((guard.name(), guard.token()), ("boss", token));
    }
    assert_eq!(connections_on(&bob, "boss"), [ann.connection_name()]);
    // Also for somebody who does not wait: not this time, but the next.
    let attempt = || bob.lock_with("boss", LockOptions::no_wait()).and_then(Guard::release);
    assert!(matches!(attempt(), Err(Error::TimedOut { .. })));
    eventually("it is given up", || attempt().is_ok());
    let next = cache.lock("boss").expect("the lock");
    assert!(next.token() > token);
    drop(next);
    lock_in_a_thread(&bob, "boss", LockOptions::default()).end().expect("the lock");
}

#[test]
fn a_cached_lock_in_use_is_given_up_when_that_ends() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let cache = LockCache::new(&ann);
    let guard = cache.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("it is wanted", || guard.is_wanted());
    assert!(!guard.is_lost());
    // Whoever waits here is after the one who waits there.
    let here = cache.clone();
    let second = task(move || here.lock("boss").map(|guard| guard.name().to_owned()));
    drop(guard);
    waiter.end().expect("the lock");
    assert_eq!(second.end().as_deref(), Ok("boss"));
}

#[test]
fn threads_exclude_each_other_in_a_cache_and_give_up_in_time() {
    let server = Server::tcp(&[]);
    let ann = server.client();
    let cache = LockCache::new(&ann);
    let guard = cache.lock("boss").expect("the lock");
    let here = cache.clone();
    let result = task(move || {
        let results = [Duration::ZERO, Duration::from_millis(20)].map(|time| here.lock_within("boss", time).map(drop));
        // Other locks are not concerned.
        here.lock_within("loot", Duration::ZERO).map(drop).expect("the lock");
        results
    });
    assert_eq!(result.end(), [Err(Error::TimedOut { queue: vec![] }), Err(Error::TimedOut { queue: vec![] })]);
    drop(guard);

    // Whoever waits here is woken. Most of the time it does wait by then.
    for _ in 0..20 {
        let guard = cache.lock("boss").expect("the lock");
        let here = cache.clone();
        let (sender, begun) = channel();
        let waiter = task(move || {
            sender.send(()).expect("the test waits");
            here.lock("boss").map(drop)
        });
        begun.recv_timeout(PATIENCE).expect("it begins");
        thread::sleep(Duration::from_millis(2));
        drop(guard);
        waiter.end().expect("the lock");
    }

    let (users, most) = (Arc::new(Mutex::new(0)), 4);
    let threads = (0..most).map(|_| {
        let (cache, users) = (cache.clone(), Arc::clone(&users));
        task(move || {
            for _ in 0..200 {
                let guard = cache.lock("boss").expect("the lock");
                *users.lock().expect("no panic") += 1;
                assert_eq!(*users.lock().expect("no panic"), 1);
                *users.lock().expect("no panic") -= 1;
                drop(guard);
            }
        })
    });
    // Another program wants it all the time.
    let bob = server.client();
    let threads: Vec<_> = threads.collect();
    for _ in 0..20 {
        bob.lock_with("boss", LockOptions::timeout(PATIENCE)).and_then(Guard::release).expect("the lock");
    }
    threads.into_iter().for_each(super::Task::end);
}

#[test]
fn a_cached_lock_that_was_lost_is_asked_for_again() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let cache = LockCache::new(&ann);
    drop(cache.lock("boss").expect("the lock"));
    ann.reset().expect("an answer");
    let guard = cache.lock("boss").expect("the lock");
    assert_eq!(connections_on(&bob, "boss"), [ann.connection_name()]);
    // In use.
    ann.reset().expect("an answer");
    assert!(guard.is_lost());
    drop(guard);
    let guard = cache.lock("boss").expect("the lock");
    assert!(!guard.is_lost());
    // Out of the cache.
    let guard = guard.take();
    assert!(matches!(cache.lock_within("boss", Duration::ZERO), Err(Error::TimedOut { .. })));
    guard.release().expect("held");
    drop(cache.lock("boss").expect("the lock"));
    // Gone with the cache.
    drop(cache.lock("loot").expect("the lock"));
    cache.clear();
    eventually("they are free", || connections_on(&bob, "boss").is_empty());
    drop(cache.lock("boss").expect("the lock"));
    drop(cache);
    eventually("it is free", || connections_on(&bob, "boss").is_empty());
}

#[test]
fn a_cached_lock_outlasts_a_cut_and_is_given_up_after_it() {
    let server = Server::tcp(&[]);
    let proxy = Proxy::new(&server.client_address());
    let ann = proxy.options().session(PATIENCE).connect().expect("a connection");
    let bob = server.client();
    let cache = LockCache::with_options(&ann, LockOptions::default().fence());
    let token = cache.lock("boss").expect("the lock").token();
    proxy.cut();
    assert_eq!(cache.lock("boss").expect("the lock").token(), token);
    eventually("it is back", || ann.is_connected());
    assert_eq!(cache.lock("boss").expect("the lock").token(), token);
    // Wanted while the client is away.
    proxy.set_down(true);
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("it waits", || connections_on(&bob, "boss").len() == 2);
    proxy.set_down(false);
    waiter.end().expect("the lock");
    assert!(cache.lock("boss").expect("the lock").token() > token);
}

/// A lock that is handed on: whoever gets it is told, and nobody is between.
#[test]
fn a_lock_is_handed_to_whoever_waits_and_is_meant() {
    let server = Server::tcp(&[]);
    let [ann, bob, eve] = [server.client(), server.client(), server.client()];
    let fence = LockOptions::default().fence();
    let guard = ann.lock_with("boss", fence.clone()).expect("the lock");
    let wait = |client: &Client, options: LockOptions, count: usize| {
        let client = client.clone();
        let waiter = task(move || client.lock_with("boss", options));
        eventually("it waits", || connections_on(&ann, "boss").len() == count);
        waiter
    };
    let first = wait(&eve, LockOptions::default(), 2);
    let meant = wait(&bob, fence.clone().owner("bob"), 3);
    // Nobody of that name waits.
    assert_eq!(guard.transfer(bob.connection_name().as_str()), Ok(false));
    assert!(!guard.is_lost());
    let lock = ann.lock_status("boss").expect("a listing").expect("it is held");
    assert_eq!(guard.transfer(&lock.waiters[1]), Ok(true));
    assert!(guard.is_lost());
    let handed = meant.end().expect("the lock");
    assert!(handed.token() > guard.token());
    // There is nothing to release any more.
    assert_eq!(guard.release(), Err(Error::NotHeld));
    assert!(!handed.is_lost());
    handed.release().expect("held");
    first.end().expect("the lock").release().expect("held");
    assert!(connections_on(&ann, "boss").is_empty());
}

#[test]
fn a_guard_of_several_locks_is_not_handed_on() {
    let server = Server::tcp(&[]);
    let ann = server.client();
    let guard = ann.lock_all(["a", "b"], LockOptions::default()).expect("the locks");
    assert!(matches!(guard.transfer("127.0.0.1:1"), Err(Error::Server { .. })));
    assert!(!guard.is_lost());
    guard.release().expect("held");
}
