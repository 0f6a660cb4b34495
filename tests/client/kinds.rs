//! Locks of every kind, against the release server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{Error, Guard, LockOptions, Owner, RevokeOptions};

use super::support::patience::{PATIENCE, eventually};
use super::support::server::Server;
use super::{connections_on, lock_in_a_thread, task};

/// One that is to run out.
const SHORT: Duration = Duration::from_millis(300);
/// One that is renewed in time, also on a busy machine.
const LONG: Duration = Duration::from_secs(2);

#[test]
fn readers_share_a_lock_and_a_writer_waits_for_them() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let reader = || LockOptions::no_wait().shared();
    let readers = [(); 3].map(|()| client.lock_with("map", reader()).expect("the lock"));
    let writer = lock_in_a_thread(&client, "map", LockOptions::default());
    eventually("the writer waits", || connections_on(&client, "map").len() == 4);
    // Nobody passes it.
    assert!(matches!(client.lock_with("map", reader()), Err(Error::TimedOut { .. })));
    let lock = client.lock_status("map").expect("an answer").expect("it is held");
    assert!(lock.holders.iter().all(|holder| holder.mode == "shared"));
    assert_eq!((lock.holders.len(), &*lock.waiters[0].mode), (3, "exclusive"));
    readers.into_iter().for_each(|guard| guard.release().expect("held"));
    writer.end().expect("the lock");
}

#[test]
fn unlock_releases_all_that_the_thread_has_of_a_lock() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let reader = || LockOptions::no_wait().shared();
    let own = [(); 2].map(|()| client.lock_with("map", reader()).expect("the lock"));
    let of_another_thread = client.clone();
    let other = task(move || of_another_thread.lock_with("map", reader())).end().expect("the lock");
    assert_eq!(client.unlock("map"), Ok(true));
    assert!(own.iter().all(Guard::is_lost) && !other.is_lost());
    assert_eq!(connections_on(&client, "map").len(), 1);
}

#[test]
fn a_semaphore_is_held_by_no_more_threads_than_it_has_units() {
    const UNITS: u32 = 3;
    let server = Server::tcp(&[]);
    let client = server.client();
    let inside = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..12)
        .map(|_| {
            let (client, inside, most) = (client.clone(), Arc::clone(&inside), Arc::clone(&most));
            task(move || {
                for _ in 0..20 {
                    let guard = client.lock_with("licence", LockOptions::default().semaphore(UNITS))?;
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    guard.release()?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.end().expect("a unit"));
    assert!(most.load(Ordering::SeqCst) <= u64::from(UNITS));
}

#[test]
fn trades_of_several_items_never_wait_for_each_other_in_a_circle() {
    const ITEMS: [&str; 4] = ["sword", "shield", "ring", "boots"];
    let server = Server::tcp(&[]);
    let clients = [server.client(), server.client()];
    let versions: Arc<[AtomicU64; 4]> = Arc::default();
    let traders: Vec<_> = (0..8)
        .map(|number| {
            let (client, versions) = (clients[number % 2].clone(), Arc::clone(&versions));
            task(move || {
                let mut random = fastrand::Rng::with_seed(number as u64);
                for _ in 0..50 {
                    let mut items = [0, 1, 2, 3];
                    random.shuffle(&mut items);
                    let items = &items[..random.usize(1..=3)];
                    let guard = client.lock_all(items.iter().map(|item| ITEMS[*item]), LockOptions::default())?;
                    for item in items {
                        let before = versions[*item].load(Ordering::Relaxed);
                        thread::yield_now();
                        versions[*item].store(before + 1, Ordering::Relaxed);
                    }
                    guard.release()?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    traders.into_iter().for_each(|trader| trader.end().expect("the items"));
    // With the same seeds, so that every change is counted.
    let mut changes = 0;
    for number in 0..8 {
        let mut random = fastrand::Rng::with_seed(number);
        for _ in 0..50 {
            random.shuffle(&mut [0, 1, 2, 3]);
            changes += random.u64(1..=3);
        }
    }
    let counted: u64 = versions.iter().map(|version| version.load(Ordering::Relaxed)).sum();
    assert_eq!(counted, changes);
    assert_eq!(clients[0].locks().map(|locks| locks.len()), Ok(0));
}

#[test]
fn a_pool_gives_whatever_is_free_and_then_what_is_released_first() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let pool = ["arena:1", "arena:2"];
    let [first, second] = [(); 2].map(|()| client.lock_any(pool, LockOptions::default()).expect("one is free"));
    assert_eq!((first.name(), second.name()), ("arena:1", "arena:2"));
    let waiter = client.clone();
    let waiting = task(move || waiter.lock_any(pool, LockOptions::default()).map(|guard| guard.name().to_owned()));
    eventually("it waits for both", || pool.iter().all(|name| connections_on(&client, name).len() == 2));
    second.release().expect("held");
    assert_eq!(waiting.end(), Ok("arena:2".to_owned()));
    assert!(!first.is_lost());
}

#[test]
fn a_renewed_lease_is_held_for_as_long_as_its_guard_is() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guard = ann.lock_with("boss", LockOptions::default().lease(LONG).fence()).expect("the lock");
    let waited = bob.lock_with("boss", LockOptions::timeout(LONG * 3 / 2)).map(drop);
    assert!(matches!(waited, Err(Error::TimedOut { .. })), "{waited:?}");
    assert!(!guard.is_lost());
    let lock = bob.lock_status("boss").expect("an answer").expect("it is held");
    assert_eq!(lock.holders[0].token, guard.token());
    assert!(lock.holders[0].lease_left.is_some_and(|left| left <= LONG.as_secs_f64()));
    guard.release().expect("held");
}

#[test]
fn a_lease_that_runs_out_passes_the_lock_on_after_the_guard_has_said_so() {
    let server = Server::tcp(&[]);
    let (sender, expired) = channel();
    let options = server.client_options().on_expired(move |lost| drop(sender.send(lost.clone())));
    let [ann, bob] = [options.connect().expect("a connection"), server.client()];
    let options = LockOptions::default().lease(SHORT).renewed_by_program().fence().owner("worker");
    let guard = ann.lock_with("boss", options).expect("the lock");
    let next = bob.lock_with("boss", LockOptions::timeout(PATIENCE).fence()).expect("the lock");
    assert!(guard.is_lost());
    assert!(next.token() > guard.token());
    let lost = expired.recv_timeout(PATIENCE).expect("it is told");
    assert_eq!((&*lost.name, lost.token, lost.owner), ("boss", guard.token(), Some(Owner::from("worker"))));
    assert_eq!(guard.renew(), Err(Error::NotHeld));
    assert_eq!(guard.release(), Err(Error::NotHeld));
    next.release().expect("held");
}

#[test]
fn a_program_that_is_stuck_loses_its_leases_and_one_that_says_it_is_alive_does_not() {
    let server = Server::tcp(&[]);
    let worker = || server.client_options().keep_alive_by_program().connect().expect("a connection");
    let (stuck, busy) = (worker(), worker());
    let lost = stuck.lock_with("boss", LockOptions::default().lease(SHORT)).expect("the lock");
    let kept = busy.lock_with("loot", LockOptions::default().lease(LONG)).expect("the lock");
    let observer = server.client();
    let start = Instant::now();
    eventually("the stuck one loses its lock", || {
        busy.keep_alive().expect("an answer");
        start.elapsed() > LONG && observer.lock_status("boss") == Ok(None)
    });
    assert!(lost.is_lost());
    kept.release().expect("held");
}

#[test]
fn a_lock_that_was_revoked_is_lost_and_the_rest_of_its_client_is_not() {
    let server = Server::tcp(&[]);
    let (sender, revoked) = channel();
    let options = server.client_options().on_revoked(move |lost| drop(sender.send(lost.name.clone())));
    let [ann, bob, operator] = [options.connect().expect("a connection"), server.client(), server.client()];
    let [boss, loot] = ["boss", "loot"].map(|name| ann.lock(name).expect("the lock"));
    // Bob is not told.
    let quiet = bob.lock("treasure").expect("the lock");
    for (name, client) in [("boss", &ann), ("treasure", &bob)] {
        let of = RevokeOptions::default().connection(client.connection_name());
        assert_eq!(operator.revoke("loot", &of.clone().token(1)), Ok(None));
        assert_eq!(operator.revoke(name, &of), Ok(Some(1)));
        assert_eq!(operator.lock_status(name), Ok(None));
    }
    assert_eq!(revoked.recv_timeout(PATIENCE), Ok("boss".to_owned()));
    assert!(boss.is_lost() && !loot.is_lost() && !quiet.is_lost());
    assert_eq!(boss.release(), Err(Error::NotHeld));
    assert_eq!(quiet.release(), Err(Error::NotHeld));
    loot.release().expect("held");
}

#[test]
fn threads_that_would_wait_for_each_other_are_told_so() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let refuse = || LockOptions::default().refuse_deadlock();
    let guard = client.lock_with("sword", refuse()).expect("the lock");
    let other = client.clone();
    let (sender, has_shield) = channel();
    let waiting = task(move || {
        let shield = other.lock_with("shield", refuse())?;
        sender.send(()).expect("the test waits");
        let sword = other.lock_with("sword", refuse())?;
        sword.release().and(shield.release())
    });
    has_shield.recv_timeout(PATIENCE).expect("the shield");
    eventually("it waits for the sword", || connections_on(&client, "sword").len() == 2);
    let Err(Error::Deadlock { cycle }) = client.lock_with("shield", refuse()) else { panic!("a deadlock") };
    assert_eq!(cycle.len(), 2);
    assert!(cycle.iter().all(|asker| asker.connection == client.connection_name()));
    assert_ne!(cycle[0].owner, cycle[1].owner);
    guard.release().expect("held");
    waiting.end().expect("both");
}

#[test]
fn owners_of_the_program_and_threads_exclude_each_other() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let refused = |mut options: LockOptions| {
        options.timeout = Some(Duration::ZERO);
        let client = client.clone();
        let result = task(move || client.lock_with("sword", options).map(drop)).end();
        matches!(result, Err(Error::TimedOut { .. }))
    };
    let any: [LockOptions; 5] = [
        LockOptions::default(),
        LockOptions::default().owner(0),
        LockOptions::default().owner(1),
        LockOptions::default().owner("1"),
        LockOptions::default().owner(""),
    ];
    for holder in &any {
        let guard = client.lock_with("sword", holder.clone()).expect("the lock");
        for other in any.iter().filter(|other| other.owner.is_none() || other.owner != holder.owner) {
            assert!(refused(other.clone()), "{holder:?} {other:?}");
        }
        guard.release().expect("held");
    }
}

#[test]
fn an_owner_that_is_reset_loses_its_locks_and_waits_and_no_other_does() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let of = |owner: &str| LockOptions::default().owner(owner);
    let [sword, shield] = ["sword", "shield"].map(|name| client.lock_with(name, of("ann")).expect("the lock"));
    let ring = client.lock_with("ring", of("bob")).expect("the lock");
    let waiting = lock_in_a_thread(&client, "ring", of("ann"));
    eventually("ann waits", || client.my_locks_of("ann").is_ok_and(|names| names.len() == 3));
    client.reset_owner("ann").expect("an answer");
    assert_eq!(waiting.end(), Err(Error::Cancelled));
    assert!(sword.is_lost() && shield.is_lost() && !ring.is_lost());
    assert_eq!(client.my_locks(), Ok(vec!["ring".to_owned()]));
    ring.release().expect("held");
}

#[test]
fn a_lock_that_is_held_for_a_time_at_least_is_closed_after_its_release() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let nightly = || LockOptions::no_wait().min_hold(Duration::from_secs(3_600)).label("report");
    client.lock_with("nightly", nightly()).and_then(Guard::release).expect("the lock");
    let again = client.lock_with("nightly", nightly()).map(drop);
    assert_eq!(again, Err(Error::TimedOut { queue: Vec::new() }));
    let lock = client.lock_status("nightly").expect("an answer").expect("it is closed");
    assert!(lock.holders.is_empty() && lock.closed_for.is_some_and(|left| left > 3_000.0));
    // An operator opens it.
    assert_eq!(client.revoke("nightly", &RevokeOptions::default()), Ok(Some(0)));
    client.lock_with("nightly", nightly()).and_then(Guard::release).expect("the lock");
}

#[test]
fn a_lock_that_is_lost_stays_closed_for_its_delay() {
    let server = Server::tcp(&[]);
    let [ann, bob] = [server.client(), server.client()];
    let guard = ann.lock_with("boss", LockOptions::default().lost_delay(LONG)).expect("the lock");
    assert_eq!(bob.kick(&ann.connection_name()), Ok(true));
    assert!(matches!(bob.lock_with("boss", LockOptions::no_wait()), Err(Error::TimedOut { .. })));
    bob.lock_with("boss", LockOptions::timeout(PATIENCE)).expect("the lock").release().expect("held");
    drop(guard);
}

#[test]
fn a_higher_priority_goes_first() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let guard = client.lock("printer").expect("the lock");
    let (sender, order) = channel();
    for (priority, count) in [(0, 2), (5, 3), (7, 4)] {
        let (waiter, sender) = (client.clone(), sender.clone());
        let options = LockOptions::default().priority(priority);
        thread::spawn(move || waiter.with_lock("printer", options, || sender.send(priority)));
        eventually("it waits", || connections_on(&client, "printer").len() == count);
    }
    guard.release().expect("held");
    for priority in [7, 5, 0] {
        assert_eq!(order.recv_timeout(PATIENCE), Ok(priority));
    }
}
