//! Sessions against the real server, over a network that is cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use officer::client::{Client, Error, LockOptions, Loss, Options};
use rustix::process::Signal;

use super::support::address::own_host;
use super::support::patience::{PATIENCE, eventually};
use super::support::proxy::{Direction, Proxy};
use super::support::server::Server;
use super::{assert_lost, connections_on, lock_in_a_thread, task};

/// Far more than a test takes.
const GRACE: Duration = Duration::from_secs(200);

/// A server, a network in front of it, and a client that reaches it directly.
fn network() -> (Server, Proxy, Client) {
    let server = Server::tcp(&[]);
    let proxy = Proxy::new(&server.client_address());
    let observer = server.client();
    (server, proxy, observer)
}

fn counting(options: Options) -> (Options, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    (options.on_resumed(move || _ = counter.fetch_add(1, Ordering::Relaxed)), count)
}

/// Some of everything; each result is what it would be if nothing was cut.
fn conversation(client: &Client) -> Result<(), Error> {
    let boss = client.lock_with("boss", LockOptions::timeout(PATIENCE).fence())?;
    let token = boss.token();
    let mine = LockOptions::timeout(PATIENCE).owner("ann").fence();
    let sword = client.lock_with("sword", mine.clone().lease(PATIENCE))?;
    assert!(sword.token() > token, "{:?} {token:?}", sword.token());
    assert_eq!(sword.renew()?, 0);
    let trade = client.lock_all(["a", "b"], mine.clone())?;
    assert_eq!(client.my_locks()?.len(), 4);
    boss.release()?;
    let any = client.lock_any(["a", "boss"], LockOptions::timeout(PATIENCE))?;
    assert_eq!(any.name(), "boss");
    trade.release()?;
    assert_eq!(sword.transfer(officer::client::Recipient::own("bob")), Ok(false));
    client.reset_owner("ann")?;
    assert!(sword.is_lost());
    client.with_lock("sword", LockOptions::timeout(PATIENCE), || ())?;
    assert!(client.lock_status("boss")?.is_some());
    assert!(client.unlock("boss")?);
    assert!(any.is_lost());
    client.ping().map(drop)
}

#[test]
fn a_connection_can_be_cut_at_any_byte() {
    let (_server, proxy, observer) = network();
    // More than the conversation has, in either direction. Cuts later than that do not happen.
    for direction in [Direction::ToServer, Direction::ToClient] {
        let mut at = 1;
        loop {
            let (options, resumed) = counting(proxy.options().session(GRACE));
            let client = options.connect().expect("a connection");
            let before = proxy.cuts();
            proxy.cut_after(direction, at);
            let talking = client.clone();
            let talk = task(move || conversation(&talking)).end();
            talk.unwrap_or_else(|error| panic!("cut after {at} bytes {direction:?}: {error}"));
            assert_eq!(observer.locks().expect("a listing").len(), 0, "cut after {at} bytes {direction:?}");
            let is_cut = proxy.cuts() > before;
            if !is_cut {
                break;
            }
            // The last answer may have come before.
            eventually("it is resumed", || resumed.load(Ordering::Relaxed) == 1);
            // Every byte takes its time. Over several runs of the tests all of them get their turn.
            at += 17;
        }
        assert!(at > 500, "the conversation has {at} bytes {direction:?}");
        proxy.cut_after(direction, usize::MAX);
    }
}

#[test]
fn a_resumption_can_be_cut_at_any_byte() {
    let (_server, proxy, observer) = network();
    let (options, resumed) = counting(proxy.options().session(GRACE));
    let client = options.connect().expect("a connection");
    let guard = client.lock("boss").expect("the lock");
    let other = observer.lock("loot").expect("the lock");
    let waiter = lock_in_a_thread(&client, "loot", LockOptions::default());
    eventually("it waits", || connections_on(&observer, "loot").len() == 2);
    let mut rounds = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        for at in (1..110).step_by(5) {
            let before = proxy.cuts();
            proxy.cut_now_and_after(direction, at);
            rounds += 1;
            // A resumption has more than that. The next one is not cut.
            eventually("it is cut again", || proxy.cuts() == before + 2);
            eventually("it is resumed", || client.is_connected());
            client.ping().expect("an answer");
            assert!(!guard.is_lost());
        }
    }
    assert!(resumed.load(Ordering::Relaxed) >= rounds);
    other.release().expect("held");
    waiter.end().expect("the lock");
    guard.release().expect("held");
    assert_eq!(observer.locks().expect("a listing").len(), 0);
}

#[test]
fn a_lock_that_is_granted_while_the_client_is_away_is_there_when_it_is_back() {
    let (_server, proxy, observer) = network();
    let client = proxy.options().session(GRACE).connect().expect("a connection");
    let other = observer.lock_with("boss", LockOptions::default().fence()).expect("the lock");
    let waiting = client.clone();
    let waiter = task(move || waiting.lock_with("boss", LockOptions::default().fence().lease(PATIENCE)));
    eventually("it waits", || connections_on(&observer, "boss").len() == 2);
    proxy.set_down(true);
    eventually("it is away", || !client.is_connected());
    eventually("the server knows", || connections_on(&observer, "boss")[1].starts_with("session:"));
    let token = other.token();
    other.release().expect("held");
    assert!(connections_on(&observer, "boss")[0].starts_with("session:"));
    proxy.set_down(false);
    let guard = waiter.end().expect("the lock");
    assert!(!guard.is_lost() && guard.token() > token);
    assert!(guard.held_until().is_some());
    assert_eq!(connections_on(&observer, "boss"), [client.connection_name()]);
    guard.release().expect("held");
}

#[test]
fn a_wait_goes_on_while_the_client_is_away_and_keeps_its_place() {
    let (_server, proxy, observer) = network();
    let client = proxy.options().session(GRACE).connect().expect("a connection");
    let other = observer.lock("boss").expect("the lock");
    let waiter = lock_in_a_thread(&client, "boss", LockOptions::default());
    eventually("it waits", || connections_on(&observer, "boss").len() == 2);
    let behind = lock_in_a_thread(&observer, "boss", LockOptions::default());
    eventually("so does the next", || connections_on(&observer, "boss").len() == 3);
    for _ in 0..3 {
        let name = client.connection_name();
        proxy.cut();
        eventually("it is resumed", || client.is_connected() && client.connection_name() != name);
    }
    assert_eq!(connections_on(&observer, "boss")[1], client.connection_name());
    other.release().expect("held");
    waiter.end().expect("the lock");
    behind.end().expect("the lock");
}

#[test]
fn a_lease_that_ends_while_the_client_is_away_is_a_lost_lock() {
    let (_server, proxy, observer) = network();
    let (sender, expired) = channel();
    let options = proxy.options().session(GRACE).on_expired(move |lost| _ = sender.send(lost.name.clone()));
    let client = options.connect().expect("a connection");
    let lease = LockOptions::default().lease(Duration::from_millis(300));
    let guard = client.lock_with("boss", lease).expect("the lock");
    let kept = client.lock("loot").expect("the lock");
    proxy.set_down(true);
    observer.lock("boss").expect("the lock").release().expect("held");
    assert!(guard.is_lost());
    proxy.set_down(false);
    assert_eq!(expired.recv_timeout(PATIENCE).as_deref(), Ok("boss"));
    assert_eq!(guard.lost_because(), Some(Loss::Expired));
    assert_eq!(guard.release(), Err(Error::NotHeld));
    assert!(!kept.is_lost());
    kept.release().expect("held");
}

#[test]
fn leases_are_renewed_as_soon_as_the_client_is_back() {
    let (_server, proxy, observer) = network();
    let client = proxy.options().session(GRACE).connect().expect("a connection");
    let lease = Duration::from_secs(30);
    let guard = client.lock_with("boss", LockOptions::default().lease(lease)).expect("the lock");
    let until = guard.held_until().expect("it has a lease");
    proxy.cut();
    // Otherwise only after a third of it.
    eventually("it is renewed", || guard.held_until() > Some(until));
    let lock = observer.lock_status("boss").expect("a listing").expect("it is held");
    assert!(lock.holders[0].lease_left > Some(25.0), "{lock:?}");
}

#[test]
fn a_loss_longer_than_the_grace_loses_everything() {
    let (_server, proxy, observer) = network();
    let (sender, lost) = channel();
    let options = proxy.options().session(Duration::from_secs(2)).stop_within(Duration::from_secs(1));
    let options = options.on_lost(move |error| _ = sender.send(error.clone()));
    let client = options.connect().expect("a connection");
    let guard = client.lock("boss").expect("the lock");
    let other = observer.lock("loot").expect("the lock");
    let waiter = lock_in_a_thread(&client, "loot", LockOptions::default());
    eventually("it waits", || connections_on(&observer, "loot").len() == 2);
    proxy.set_down(true);
    let next = lock_in_a_thread(&observer, "boss", LockOptions::default());
    assert_lost(waiter.end());
    assert!(guard.is_lost() && client.is_lost());
    // The client gives up before the server does, as long as the program takes to stop.
    assert_eq!(connections_on(&observer, "boss").len(), 2);
    lost.recv_timeout(PATIENCE).expect("the program is told");
    next.end().expect("the lock");
    proxy.set_down(false);
    assert_lost(client.ping());
    assert_lost(guard.release());
    client.reconnect().expect("the server is there");
    client.lock("boss").expect("the lock").release().expect("held");
    other.release().expect("held");
}

#[test]
fn a_restarted_server_knows_nothing_of_the_session() {
    let host = own_host().to_string();
    let start = |port: &str| Server::start(&mut super::support::server::officer(&["run", "-h", &host, "-p", port]));
    let server = start("0");
    let port = server.port();
    let client = server.client_options().session(GRACE).connect().expect("a connection");
    let guard = client.lock("boss").expect("the lock");
    let other = server.client();
    let kept = other.lock("loot").expect("the lock");
    let waiter = lock_in_a_thread(&client, "loot", LockOptions::default());
    eventually("it waits", || connections_on(&other, "loot").len() == 2);
    server.signal(Signal::KILL);
    let mut server = server;
    server.wait();
    eventually("it is away", || !client.is_connected());
    assert!(!guard.is_lost());
    let _server = start(&port);
    assert_lost(waiter.end());
    assert!(guard.is_lost() && kept.is_lost());
    client.reconnect().expect("the server is there");
    client.lock("boss").expect("the lock").release().expect("held");
}

#[test]
fn a_server_that_stands_still_for_a_while_costs_no_lock() {
    let (server, proxy, observer) = network();
    let options = proxy.options().session(GRACE).keep_alive(Duration::from_millis(200));
    let client = options.connect().expect("a connection");
    let guard = client.lock("boss").expect("the lock");
    let other = observer.lock("loot").expect("the lock");
    let waiter = lock_in_a_thread(&client, "loot", LockOptions::default());
    eventually("it waits", || connections_on(&observer, "loot").len() == 2);
    server.signal(Signal::STOP);
    eventually("it is noticed", || !client.is_connected());
    let caller = client.clone();
    let call = task(move || caller.ping());
    server.signal(Signal::CONT);
    call.end().expect("an answer");
    assert!(!guard.is_lost());
    other.release().expect("held");
    waiter.end().expect("the lock");
    guard.release().expect("held");
}

#[test]
fn a_kick_ends_the_session_too() {
    let (_server, proxy, observer) = network();
    for is_away in [false, true] {
        let client = proxy.options().session(GRACE).connect().expect("a connection");
        let guard = client.lock("boss").expect("the lock");
        if is_away {
            proxy.set_down(true);
            eventually("the server knows", || connections_on(&observer, "boss")[0].starts_with("session:"));
        }
        assert!(observer.kick(&connections_on(&observer, "boss")[0]).expect("an answer"));
        assert_eq!(connections_on(&observer, "boss").len(), 0);
        proxy.set_down(false);
        eventually("it is lost", || client.is_lost());
        assert_lost(guard.release());
    }
}

#[test]
fn a_client_that_ends_frees_its_locks_at_once() {
    let (_server, proxy, observer) = network();
    let client = proxy.options().session(GRACE).connect().expect("a connection");
    let guard = client.lock("boss").expect("the lock");
    let next = lock_in_a_thread(&observer, "boss", LockOptions::default());
    client.disconnect();
    next.end().expect("the lock");
    assert!(guard.is_lost());
    // Sessions are gone with it.
    client.reconnect().expect("the server is there");
    drop((guard, client));
    eventually("no session is left", || observer.stats().expect("an answer").sessions == 0);
}

/// Threads of a few clients take locks while their connections are cut all the time.
#[test]
fn nobody_holds_a_lock_together_with_others_however_often_connections_are_cut() {
    let (_server, proxy, observer) = network();
    let proxies = [Proxy::new(&proxy.server()), Proxy::new(&proxy.server())];
    let clients: Vec<Client> =
        proxies.iter().map(|proxy| proxy.options().session(GRACE).connect().expect("a connection")).collect();
    let holders: Arc<[AtomicU32; 2]> = Arc::default();
    let (grants, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let (client, holders, grants) = (clients[number % 2].clone(), Arc::clone(&holders), Arc::clone(&grants));
            let is_over = Arc::clone(&is_over);
            task(move || {
                for round in (0..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                    let which = (number + round) % 2;
                    let guard = match client.lock_with(["a", "b"][which], LockOptions::timeout(PATIENCE)) {
                        Ok(guard) => guard,
                        Err(error) => panic!("{error}"),
                    };
                    assert_eq!(holders[which].fetch_add(1, Ordering::SeqCst), 0, "two have it");
                    grants.fetch_add(1, Ordering::SeqCst);
                    assert!(!guard.is_lost());
                    holders[which].fetch_sub(1, Ordering::SeqCst);
                    if round % 3 == 0 { drop(guard) } else { guard.release().expect("held") }
                }
            })
        })
        .collect();
    for cut in 0..40 {
        proxies[cut % 2].cut();
        let before = grants.load(Ordering::SeqCst);
        eventually("it goes on", || grants.load(Ordering::SeqCst) >= before + 5);
    }
    is_over.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(super::Task::end);
    eventually("all is free", || observer.locks().expect("a listing").is_empty());
    // The server knows of the breaks that it has noticed, and of both sessions.
    let stats = observer.stats().expect("an answer");
    assert!(stats.resumptions > 0 && stats.sessions == 2, "{stats:?}");
}
