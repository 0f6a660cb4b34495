//! Every call of a client, against the release server.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use officer::client::{Address, Client, Error, Guard, LockOptions, Reason};

use super::support::patience::{PATIENCE, eventually};
use super::support::server::Server;
use super::{assert_lost, connections_on, lock_in_a_thread};

fn is_free(observer: &Client, name: &str) -> bool {
    observer.lock_with(name, LockOptions::no_wait()).and_then(Guard::release).is_ok()
}

#[test]
fn a_lock_is_acquired_over_tcp_by_host_and_port() {
    let server = Server::tcp(&[]);
    let port: u16 = server.port().parse().expect("a port");
    let addresses: [Address; 4] = [
        format!("127.0.0.1:{port}").as_str().into(),
        format!("127.0.0.1:{port}").into(),
        ("127.0.0.1", port).into(),
        // May be ::1 first, where nobody listens.
        ("localhost", port).into(),
    ];
    for address in addresses {
        let client = Client::connect(address).expect("a connection");
        assert!(client.connection_name().starts_with("127.0.0.1:"));
        let guard = client.lock("boss").expect("the lock");
        assert_eq!(guard.name(), "boss");
        assert!(!guard.is_lost());
        assert_eq!(connections_on(&client, "boss"), [client.connection_name()]);
        guard.release().expect("held");
        assert_eq!(client.locks().expect("a listing"), BTreeMap::new());
    }
}

#[test]
fn a_lock_is_acquired_over_a_unix_socket() {
    let server = Server::unix(&[]);
    for address in [Address::from(server.file().to_str().expect("a path in UTF-8")), server.file().to_owned().into()] {
        let client = Client::connect(address).expect("a connection");
        assert!(client.connection_name().starts_with("unix:"));
        let guard = client.lock("boss").expect("the lock");
        assert_eq!(connections_on(&client, "boss"), [client.connection_name()]);
        guard.release().expect("held");
    }
}

#[test]
fn when_a_release_returns_the_lock_is_free() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    for _ in 0..100 {
        let guard = ann.lock("boss").expect("the lock");
        assert!(!is_free(&bob, "boss"));
        guard.release().expect("held");
        assert!(is_free(&bob, "boss"));
    }
}

#[test]
fn a_guard_that_is_dropped_releases_its_lock() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guard = ann.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("bob waits", || connections_on(&ann, "boss").len() == 2);
    drop(guard);
    waiter.end().expect("the lock");
}

#[test]
fn nested_calls_release_at_the_outermost_only() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let no_wait = LockOptions::no_wait;
    let depth = ann.with_lock("boss", LockOptions::default(), || {
        let inner = ann.with_lock("boss", no_wait(), || {
            assert!(!is_free(&bob, "boss"));
            // Another name is another lock.
            ann.with_lock("loot", no_wait(), || 3).expect("free")
        });
        assert!(is_free(&bob, "loot"));
        assert!(!is_free(&bob, "boss"));
        inner
    });
    assert_eq!(depth, Ok(Ok(3)));
    assert!(is_free(&bob, "boss"));
}

#[test]
fn the_last_of_several_guards_releases_in_whatever_order_they_end() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let nested = || [(); 2].map(|()| ann.lock("boss").expect("the lock"));
    let [second, third] = ann.with_lock("boss", LockOptions::default(), nested).expect("the lock");
    drop(third);
    assert!(!is_free(&bob, "boss"));
    // The closure is over, so the guard could be anywhere.
    assert!(!is_free(&ann, "boss"));
    assert!(!second.is_lost());
    second.release().expect("held");
    assert!(is_free(&bob, "boss"));
}

#[test]
fn with_lock_gives_the_value_of_its_closure_and_releases_when_it_panics() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    assert_eq!(ann.with_lock("boss", LockOptions::default(), || "loot"), Ok("loot"));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        ann.with_lock("boss", LockOptions::default(), || panic!("the boss has eaten us"))
    }));
    assert!(panic.is_err());
    bob.lock_with("boss", LockOptions::timeout(PATIENCE)).expect("the lock").release().expect("held");
    // And its own client works as before.
    ann.lock("boss").expect("the lock").release().expect("held");
}

#[test]
fn a_wait_that_ends_without_the_lock_reports_its_queue() {
    let server = Server::tcp(&[]);
    let [ann, bob, eve] = [server.client(), server.client(), server.client()];
    let _guard = ann.lock("boss").expect("the lock");
    let _waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("bob waits", || connections_on(&ann, "boss").len() == 2);

    let queue = vec![ann.connection_name(), bob.connection_name()];
    for timeout in [0, 1, 50] {
        let result = eve.lock_with("boss", LockOptions::timeout(Duration::from_millis(timeout)));
        assert_eq!(result.unwrap_err(), Error::TimedOut { queue: queue.clone() });
    }
    let full = LockOptions::default().queue_max(2);
    assert_eq!(eve.lock_with("boss", full).unwrap_err(), Error::QueueMaxed { queue: queue.clone() });
    let room = LockOptions::no_wait().queue_max(3);
    assert_eq!(eve.lock_with("boss", room).unwrap_err(), Error::TimedOut { queue });
    assert_eq!(connections_on(&ann, "boss").len(), 2);
}

#[test]
fn a_timeout_of_centuries_is_none() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 4), Duration::from_secs(10_000_000_000)] {
        let guard = ann.lock_with("boss", LockOptions::timeout(timeout)).expect("the lock");
        let waiter = lock_in_a_thread(&bob, "boss", LockOptions::timeout(timeout));
        eventually("bob waits", || connections_on(&ann, "boss").len() == 2);
        guard.release().expect("held");
        waiter.end().expect("the lock");
    }
}

#[test]
fn unlock_releases_whatever_guards_there_are() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let nested = || [(); 2].map(|()| ann.lock("boss").expect("the lock"));
    let [outer, inner] = ann.with_lock("boss", LockOptions::default(), nested).expect("the lock");
    assert_eq!(ann.unlock("boss"), Ok(true));
    assert_eq!(ann.unlock("boss"), Ok(false));
    assert!(is_free(&bob, "boss"));
    assert!(outer.is_lost() && inner.is_lost());
    assert_eq!(inner.release(), Err(Error::NotHeld));
    // Old guards don't affect locks that are acquired later.
    let next = ann.lock("boss").expect("the lock");
    drop(outer);
    assert!(!next.is_lost());
    assert!(!is_free(&bob, "boss"));
    next.release().expect("held");
}

#[test]
fn with_lock_reports_that_its_lock_was_released_while_the_closure_ran() {
    let server = Server::tcp(&[]);
    let ann = server.client();
    let by_unlock = ann.with_lock("boss", LockOptions::default(), || ann.unlock("boss"));
    assert_eq!(by_unlock, Err(Error::NotHeld));
    let by_reset = ann.with_lock("boss", LockOptions::default(), || ann.reset());
    assert_eq!(by_reset, Err(Error::NotHeld));
}

#[test]
fn reset_releases_everything() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guards = ["boss", "loot"].map(|name| ann.lock(name).expect("the lock"));
    ann.reset().expect("an answer");
    for guard in guards {
        assert!(guard.is_lost());
        assert!(is_free(&bob, guard.name()));
        assert_eq!(guard.release(), Err(Error::NotHeld));
    }
    assert!(!ann.is_lost());
    ann.lock("boss").expect("the lock").release().expect("held");
}

#[test]
fn listings_show_holders_and_waiters() {
    let server = Server::tcp(&[]);
    let [ann, bob] = ["ann", "bob"].map(|name| server.client_options().name(name).connect().expect("a connection"));
    let (anns, bobs) = (ann.connection_name(), bob.connection_name());
    let _guards = ["boss", "loot"].map(|name| ann.lock(name).expect("the lock"));
    let _waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("bob waits", || connections_on(&ann, "boss").len() == 2);

    let locks = [("boss", vec![&anns, &bobs]), ("loot", vec![&anns])];
    let locks = locks.map(|(name, on)| (name.to_owned(), on.into_iter().cloned().collect()));
    assert_eq!(bob.locks(), Ok(BTreeMap::from(locks)));
    let connections = [(&anns, vec!["boss", "loot"]), (&bobs, vec!["boss"])];
    let connections = connections.map(|(who, on)| (who.clone(), on.into_iter().map(str::to_owned).collect()));
    assert_eq!(bob.connections(), Ok(BTreeMap::from(connections)));
    assert_eq!(ann.my_locks().map(|names| names.len()), Ok(2));
    assert_eq!(bob.my_locks(), Ok(vec!["boss".to_owned()]));

    let all: Result<Vec<_>, _> = bob.locks_with_detail("bo").collect();
    let [(name, boss)] = &all.expect("a listing")[..] else { panic!("one lock has this prefix") };
    assert_eq!(name, "boss");
    assert_eq!((boss.holders.len(), boss.waiters.len(), boss.waiting), (1, 1, 1));
    let (holder, waiter) = (&boss.holders[0], &boss.waiters[0]);
    assert_eq!((&holder.connection, holder.client.as_deref()), (&anns, Some("ann")));
    assert_eq!((&waiter.connection, waiter.client.as_deref()), (&bobs, Some("bob")));
    assert!(holder.held_for >= waiter.waited_for && waiter.waited_for >= Some(0.0));
    assert_eq!(bob.locks_with_detail("nobody's").count(), 0);
}

#[test]
fn thousands_of_locks_are_listed_page_by_page_each_once() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let names: Vec<String> = (0..2_500).map(|number| format!("{}:{number:04}", ["a", "b"][number % 2])).collect();
    let guards: Vec<Guard> = names.iter().map(|name| ann.lock(name).expect("the lock")).collect();

    let locks = bob.locks().expect("a listing");
    assert_eq!(locks.len(), 2_500);
    assert!(names.iter().all(|name| locks[name] == [ann.connection_name()]));
    for (prefix, count) in [("", 2_500), ("a:", 1_250), ("b:00", 50)] {
        let mut found: Vec<String> = bob.locks_with_detail(prefix).map(|lock| lock.expect("a listing").0).collect();
        found.sort();
        let count_of_all = found.len();
        found.dedup();
        assert_eq!((found.len(), count_of_all), (count, count), "{prefix:?}");
        assert!(found.iter().all(|name| name.starts_with(prefix)));
    }
    drop(guards);
    eventually("all are released", || bob.locks().expect("a listing").is_empty());
}

#[test]
fn ping_tells_how_long_the_answer_took() {
    let server = Server::tcp(&[]);
    let took = server.client().ping().expect("an answer");
    assert!(took > Duration::ZERO && took < PATIENCE);
}

#[test]
fn kick_ends_a_connection_and_its_locks_have_passed_on() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guard = ann.lock("boss").expect("the lock");
    assert_eq!(bob.kick(&ann.connection_name()), Ok(true));
    assert!(is_free(&bob, "boss"));
    assert!(ann.wait_until_lost(PATIENCE));
    assert!(guard.is_lost());
    assert_lost(guard.release());
    assert_eq!(bob.kick(&ann.connection_name()), Ok(false));
    assert_eq!(bob.kick("nobody"), Ok(false));
    // A client that kicks itself gets the reply, and is gone.
    assert_eq!(bob.kick(&bob.connection_name()), Ok(true));
    assert!(bob.wait_until_lost(PATIENCE));
}

#[test]
fn a_request_that_the_server_refuses_is_an_error_with_its_message() {
    let server = Server::tcp(&["--connection-locks-max", "2"]);
    let ann = server.client();
    let guards = ["boss", "loot"].map(|name| ann.lock(name).expect("the lock"));
    let refused = |name: &str| match ann.lock(name).unwrap_err() {
        Error::Server { reason, message } if !message.is_empty() => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("treasure"), Reason::TooManyLocks);
    assert_eq!(refused(&"x".repeat(1_025)), Reason::InvalidRequest);
    assert_eq!(refused(""), Reason::InvalidRequest);
    // Nothing is left of the refused requests.
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    drop(guards);
    let longest = ann.lock(&"x".repeat(1_024)).expect("the lock");
    ann.lock("treasure").expect("the lock").release().expect("held");
    longest.release().expect("held");
}

#[test]
fn a_line_over_the_limit_of_the_server_is_not_sent() {
    let server = Server::tcp(&[]);
    let ann = server.client();
    let guard = ann.lock("boss").expect("the lock");
    let long = "x".repeat(70_000);
    let too_long = |error: Error| matches!(error, Error::Server { reason: Reason::LineTooLong, .. });
    assert!(too_long(ann.lock(&long).unwrap_err()));
    assert!(too_long(ann.kick(&long).unwrap_err()));
    assert!(too_long(ann.locks_with_detail(&long).next().expect("an error").unwrap_err()));
    // Nor does anybody wait for it now.
    let ann_herself = LockOptions::default().owner("ann");
    for _ in 0..2 {
        assert!(too_long(ann.lock_with(&long, ann_herself.clone()).unwrap_err()));
    }
    // A line of the longest length is sent.
    let shorter = "x".repeat(65_400);
    assert!(matches!(ann.lock(&shorter).unwrap_err(), Error::Server { reason: Reason::InvalidRequest, .. }));
    guard.release().expect("held");
}

#[test]
fn a_name_is_any_text() {
    let server = Server::tcp(&[]);
    let ann = server.client();
    for name in ["\"quoted\"", "back\\slash", "two\nlines", "\0", "Ümläut", "🔒", " ", "{\"id\":1}"] {
        let guard = ann.lock(name).expect("the lock");
        assert_eq!(guard.name(), name);
        assert_eq!(ann.my_locks(), Ok(vec![name.to_owned()]));
        assert_eq!(connections_on(&ann, name).len(), 1, "{name:?}");
        guard.release().expect("held");
    }
}

#[test]
fn a_client_whose_own_name_is_too_long_is_refused() {
    let server = Server::tcp(&[]);
    for (length, expected) in [(129, Reason::InvalidRequest), (70_000, Reason::LineTooLong)] {
        let Err(Error::Server { reason, .. }) = server.client_options().name("x".repeat(length)).connect() else {
            panic!("an error is expected");
        };
        assert_eq!(reason, expected);
    }
}

#[test]
fn a_server_at_its_connection_limit_is_reported() {
    // Without a linger time the server has closed before the hello is sent, or before it is read.
    for flags in [&["--connections-max", "1"][..], &["--connections-max", "1", "--linger-seconds", "0"]] {
        let server = Server::unix(flags);
        let _ann = server.client();
        for _ in 0..20 {
            let error = server.client_options().connect().unwrap_err();
            assert!(matches!(&error, Error::Server { reason: Reason::TooManyConnections, .. }), "{error:?}");
        }
    }
}

#[test]
fn limits_of_centuries_mean_none() {
    let server = Server::tcp(&[]);
    let client = server.client_options().keep_alive(Duration::MAX).connect_timeout(Duration::MAX).connect();
    let client = client.expect("a connection");
    client.lock("boss").expect("the lock").release().expect("held");
    // A server that takes longer than a few milliseconds to answer is given up then.
    let briefly = server.client_options().keep_alive(Duration::ZERO);
    eventually("it answers at once", || briefly.clone().connect().and_then(|client| client.ping()).is_ok());
    assert!(matches!(
        server.client_options().connect_timeout(Duration::ZERO).connect(),
        Ok(_) | Err(Error::Connect { .. })
    ));
}

#[test]
fn errors_are_sentences() {
    let queue = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (error, text) in [
        (Error::TimedOut { queue: queue(&[]) }, "timed out waiting for the lock"),
        (Error::TimedOut { queue: queue(&["a"]) }, "timed out waiting for the lock; it is held by a"),
        (
            Error::QueueMaxed { queue: queue(&["a", "b", "c"]) },
            "the lock's queue is full; it is held by a, and 2 wait for it",
        ),
        (Error::Cancelled, "the wait was cancelled"),
        (Error::NotHeld, "the lock is no longer held"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
