//! One client for many threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use officer::client::{Client, Error, Guard, LockOptions, Locks, Options};

use super::support::patience::{PATIENCE, eventually};
use super::support::server::Server;
use super::{assert_lost, connections_on, lock_in_a_thread, task};

const fn assert_send_and_sync<T: Send + Sync>() {}

const _: () = assert_send_and_sync::<Client>();
const _: () = assert_send_and_sync::<Options>();
const _: () = assert_send_and_sync::<LockOptions>();
const _: () = assert_send_and_sync::<Error>();
const _: () = assert_send_and_sync::<Locks<'static>>();
const _: () = assert_send_and_sync::<Guard>();

/// A server without an idle limit, so that its clients may be quiet.
fn quiet_server() -> Server {
    Server::tcp(&["-m", "0"])
}

/// A client of a [`quiet_server`] that never sends a keep-alive, so that nothing but its calls moves it. With an idle limit
/// a client sends them whatever its own interval is.
fn quiet(server: &Server) -> Client {
    server.client_options().keep_alive(Duration::MAX).connect().expect("a connection")
}

/// Numbers that only the locks of the test protect: adding reads and writes in two steps, with time in between.
#[derive(Default)]
struct Counters([AtomicU64; 3]);

impl Counters {
    fn add(&self, number: usize) {
        let before = self.0[number].load(Ordering::Relaxed);
        thread::yield_now();
        self.0[number].store(before + 1, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// Threads of each client lock one of three names in a loop and count.
fn count_together(clients: &[Client], threads: usize, rounds: usize) {
    let counters = Arc::new(Counters::default());
    let tasks: Vec<_> = (0..threads * clients.len())
        .map(|number| {
            let (client, counters) = (clients[number % clients.len()].clone(), Arc::clone(&counters));
            task(move || {
                for round in 0..rounds {
                    let which = (number + round) % 3;
                    let name = ["a", "b", "c"][which];
                    match round % 3 {
                        0 => client.with_lock(name, LockOptions::default(), || counters.add(which)).expect("the lock"),
                        1 => {
                            let guard = client.lock(name).expect("the lock");
                            counters.add(which);
                            drop(guard);
                        }
                        _ => {
                            let guard = client.lock(name).expect("the lock");
                            counters.add(which);
                            assert!(!guard.is_lost());
                            assert_eq!(client.unlock(name), Ok(true));
                        }
                    }
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.end_of_work(|| counters.sum()));
    assert_eq!(counters.sum(), (threads * clients.len() * rounds) as u64);
    for client in clients {
        assert_eq!(client.my_locks(), Ok(Vec::new()));
    }
}

#[test]
fn fifty_threads_of_one_client_never_hold_a_lock_together() {
    let server = quiet_server();
    count_together(&[quiet(&server)], 50, 60);
}

#[test]
fn two_clients_of_25_threads_never_hold_a_lock_together() {
    let server = quiet_server();
    count_together(&[quiet(&server), quiet(&server)], 25, 60);
}

#[test]
fn threads_that_keep_giving_up_leave_nothing_behind() {
    let server = quiet_server();
    let clients = [quiet(&server), quiet(&server)];
    let counters = Arc::new(Counters::default());
    let tasks: Vec<_> = (0..30)
        .map(|number| {
            let (client, counters) = (clients[number % 2].clone(), Arc::clone(&counters));
            task(move || {
                let mut had = 0;
                for round in 0..60_u64 {
                    let mut options = LockOptions::timeout(Duration::from_micros(round * 37 % 2_000));
                    options.queue_max = (round % 4 == 0).then_some(3);
                    match client.lock_with("a", options) {
                        Ok(guard) => {
                            counters.add(0);
                            had += 1;
                            guard.release().expect("held");
                        }
                        Err(Error::TimedOut { queue } | Error::QueueMaxed { queue }) => assert!(!queue.is_empty()),
                        Err(other) => panic!("{other:?}"),
                    }
                }
                had
            })
        })
        .collect();
    let had: u64 = tasks.into_iter().map(|task| task.end_of_work(|| counters.sum())).sum();
    assert_eq!(counters.sum(), had);
    assert_eq!(clients[0].locks().map(|locks| locks.len()), Ok(0));
    for client in &clients {
        lock_in_a_thread(client, "a", LockOptions::no_wait()).end().expect("free");
    }
}

#[test]
fn threads_get_a_lock_in_the_order_of_their_calls_whatever_client_they_are_of() {
    let server = quiet_server();
    let clients = [quiet(&server), quiet(&server)];
    let guard = clients[0].lock("boss").expect("the lock");
    let (sender, order) = channel();
    for number in 1..=6 {
        let (client, sender) = (clients[number % 2].clone(), sender.clone());
        thread::spawn(move || client.with_lock("boss", LockOptions::default(), || sender.send(number)));
        eventually("the thread waits", || connections_on(&clients[0], "boss").len() == number + 1);
    }
    guard.release().expect("held");
    for number in 1..=6 {
        assert_eq!(order.recv_timeout(PATIENCE), Ok(number));
    }
}

#[test]
fn a_thread_that_gives_up_leaves_the_queue_to_the_others() {
    let server = quiet_server();
    let [ann, bob] = [quiet(&server), quiet(&server)];
    let guard = ann.lock("boss").expect("the lock");
    let (anns, bobs) = (ann.connection_name(), bob.connection_name());
    let first = lock_in_a_thread(&bob, "boss", LockOptions::timeout(Duration::from_secs(2)));
    eventually("it waits", || connections_on(&ann, "boss").len() == 2);
    let second = lock_in_a_thread(&bob, "boss", LockOptions::timeout(PATIENCE));
    eventually("both wait", || connections_on(&ann, "boss") == [&*anns, &*bobs, &*bobs]);
    // Only its own place is left out.
    assert_eq!(first.end(), Err(Error::TimedOut { queue: vec![anns.clone(), bobs.clone()] }));
    assert_eq!(connections_on(&ann, "boss"), [&*anns, &*bobs]);
    guard.release().expect("held");
    second.end().expect("the lock");
    assert_eq!(ann.locks().map(|locks| locks.len()), Ok(0));
}

#[test]
fn threads_of_a_client_count_for_queue_max_as_others_do() {
    let server = quiet_server();
    let client = quiet(&server);
    let name = client.connection_name();
    let _guard = client.lock("boss").expect("the lock");
    let ask = |queue_max| {
        let options = LockOptions::no_wait().queue_max(queue_max);
        lock_in_a_thread(&client, "boss", options).end()
    };
    assert_eq!(ask(0), Err(Error::QueueMaxed { queue: vec![name.clone()] }));
    assert_eq!(ask(1), Err(Error::QueueMaxed { queue: vec![name.clone()] }));
    assert_eq!(ask(2), Err(Error::TimedOut { queue: vec![name.clone()] }));
    let _waiter = lock_in_a_thread(&client, "boss", LockOptions::default());
    eventually("a thread waits", || connections_on(&client, "boss").len() == 2);
    assert_eq!(ask(2), Err(Error::QueueMaxed { queue: vec![name.clone(); 2] }));
    assert_eq!(ask(3), Err(Error::TimedOut { queue: vec![name; 2] }));
}

#[test]
fn a_guard_can_be_released_by_another_thread_while_its_first_one_waits() {
    let server = quiet_server();
    let client = quiet(&server);
    let guard = client.lock("boss").expect("the lock");
    let observer = client.clone();
    let elsewhere = task(move || {
        eventually("the first thread waits", || connections_on(&observer, "boss").len() == 2);
        assert!(!guard.is_lost());
        guard.release()
    });
    // It does not have the lock any more: it would share it with the other thread.
    let again = client.lock("boss").expect("the lock");
    elsewhere.end().expect("held");
    again.release().expect("held");
}

#[test]
fn another_thread_can_t_release_the_lock() {
    let server = quiet_server();
    let client = quiet(&server);
    let guard = client.lock("boss").expect("the lock");
    let other = client.clone();
    assert_eq!(task(move || other.unlock("boss")).end(), Ok(false));
    assert!(!guard.is_lost());
    assert_eq!(client.my_locks(), Ok(vec!["boss".to_owned()]));
    guard.release().expect("held");
}

#[test]
fn a_reset_ends_the_holds_and_waits_of_all_threads() {
    let server = quiet_server();
    let [ann, bob] = [quiet(&server), quiet(&server)];
    let guard = ann.lock("boss").expect("the lock");
    let loot = bob.lock("loot").expect("the lock");
    let waiters = ["boss", "boss", "loot", "loot"].map(|name| lock_in_a_thread(&bob, name, LockOptions::default()));
    let are = |name, count| connections_on(&ann, name).len() == count;
    eventually("threads wait", || are("boss", 3) && are("loot", 3));

    let resetter = bob.clone();
    task(move || resetter.reset()).end().expect("an answer");
    assert!(loot.is_lost());
    assert_eq!(loot.release(), Err(Error::NotHeld));
    for waiter in waiters {
        // One may get what another had, for as long as it takes to be its turn.
        let error = waiter.end().unwrap_err();
        assert!(matches!(error, Error::Cancelled | Error::NotHeld), "{error:?}");
    }
    assert_eq!(bob.my_locks(), Ok(Vec::new()));
    assert!(!guard.is_lost());
    // Later requests wait as usual.
    let waiter = lock_in_a_thread(&bob, "boss", LockOptions::default());
    eventually("it waits", || connections_on(&ann, "boss").len() == 2);
    guard.release().expect("held");
    waiter.end().expect("the lock");
}

#[test]
fn a_panic_while_the_lock_is_held_passes_it_to_the_next_thread() {
    let server = quiet_server();
    let client = quiet(&server);
    let (sender, is_held) = channel();
    let (go, may_panic) = channel::<()>();
    let panicking = client.clone();
    let thread = thread::spawn(move || {
        let _ = panicking.with_lock("boss", LockOptions::default(), || {
            sender.send(()).expect("the test waits");
            may_panic.recv_timeout(PATIENCE).expect("the test says so");
            panic!("the boss has eaten us");
        });
    });
    is_held.recv_timeout(PATIENCE).expect("the lock");
    let next = lock_in_a_thread(&client, "boss", LockOptions::default());
    eventually("the next waits", || connections_on(&client, "boss").len() == 2);
    go.send(()).expect("it waits for that");
    next.end().expect("the lock");
    assert!(thread.join().is_err());
}

#[test]
fn a_guard_outlives_its_client() {
    let server = quiet_server();
    let [ann, bob] = [quiet(&server), quiet(&server)];
    let guard = ann.lock("boss").expect("the lock");
    drop(ann);
    assert!(!guard.is_lost());
    let held = bob.lock_with("boss", LockOptions::no_wait()).unwrap_err();
    assert!(matches!(held, Error::TimedOut { .. }));
    drop(guard);
    bob.lock_with("boss", LockOptions::timeout(PATIENCE)).expect("the lock").release().expect("held");
}

/// Everything at once, with a connection that is lost and made again. Checks the result of each call, that nothing
/// hangs, and that no name stays locked.
#[test]
fn nothing_hangs_and_no_name_stays_locked_whatever_happens_together() {
    let server = quiet_server();
    let [client, observer] = [quiet(&server), quiet(&server)];
    let is_over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..20)
        .map(|number: usize| {
            let (client, is_over) = (client.clone(), Arc::clone(&is_over));
            task(move || {
                let mut random = fastrand::Rng::with_seed(number as u64);
                let mut had = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    let name = ["a", "b", "c"][random.usize(..3)];
                    let mut options = LockOptions::default();
                    options.timeout = random.bool().then(|| Duration::from_micros(random.u64(..3_000)));
                    options.queue_max = (random.u8(..4) == 0).then(|| random.u64(..4));
                    let result = client.lock_with(name, options).and_then(|guard| {
                        had += 1;
                        match random.u8(..4) {
                            0 => client.unlock(name).map(drop),
                            1 => client.with_lock(name, LockOptions::no_wait(), || ()),
                            2 => {
                                drop(guard);
                                Ok(())
                            }
                            _ => guard.release(),
                        }
                    });
                    match result {
                        Ok(()) | Err(Error::Cancelled | Error::NotHeld | Error::ConnectionLost { .. }) => {}
                        Err(Error::TimedOut { .. } | Error::QueueMaxed { .. }) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                had
            })
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(4711);
    for _ in 0..60 {
        thread::sleep(Duration::from_millis(random.u64(..20)));
        match random.u8(..4) {
            0 | 1 => drop(client.reset()),
            2 => drop(observer.kick(&client.connection_name())),
            _ => client.disconnect(),
        }
        if client.is_lost() || random.bool() {
            client.reconnect().expect("the server is there");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    // Those that wait without a limit wait for each other, so all of them finish.
    let had: u64 = workers.into_iter().map(super::Task::end).sum();
    assert!(had > 100, "{had}");
    client.reconnect().expect("the server is there");
    for name in ["a", "b", "c"] {
        client.lock_with(name, LockOptions::timeout(PATIENCE)).expect("free").release().expect("held");
    }
    assert_eq!(observer.locks().map(|locks| locks.len()), Ok(0));
}

#[test]
fn threads_that_find_the_connection_lost_make_only_one_new_connection() {
    let server = quiet_server();
    let [client, observer] = [quiet(&server), quiet(&server)];
    let first = client.connection_name();
    observer.kick(&first).expect("an answer");
    assert!(client.wait_until_lost(PATIENCE));
    let start = Arc::new(Barrier::new(20));
    let names: Vec<_> = (0..20)
        .map(|_| {
            let (client, start) = (client.clone(), Arc::clone(&start));
            task(move || {
                start.wait();
                client.lock("boss").and_then(Guard::release).map(|()| client.connection_name())
            })
        })
        .collect();
    for name in names {
        assert_eq!(name.end(), Ok(client.connection_name()));
    }
    assert_ne!(client.connection_name(), first);
}

#[test]
fn all_waiting_calls_report_a_loss() {
    let server = quiet_server();
    let [ann, bob] = [quiet(&server), quiet(&server)];
    let _guard = ann.lock("boss").expect("the lock");
    let mut waiters = Vec::new();
    for _ in 0..10 {
        waiters.push(lock_in_a_thread(&bob, "boss", LockOptions::default()));
        waiters.push(lock_in_a_thread(&bob, "boss", LockOptions::timeout(PATIENCE * 2)));
    }
    eventually("they wait", || connections_on(&ann, "boss").len() == 21);
    ann.kick(&bob.connection_name()).expect("an answer");
    for waiter in waiters {
        assert_lost(waiter.end());
    }
    // Nothing is left of them once there is a connection again.
    bob.reconnect().expect("the server is there");
    assert_eq!(
        lock_in_a_thread(&bob, "boss", LockOptions::no_wait()).end(),
        Err(Error::TimedOut { queue: vec![ann.connection_name()] })
    );
}
