//! Leases: when they are renewed, and what a guard knows of them.

use std::time::{Duration, Instant};

use officer::client::{Client, Error, Guard, LockOptions};
use serde_json::json;

use super::fake::{Fake, Peer};
use super::support::patience::{PATIENCE, eventually};
use super::task;

const LEASE: Duration = Duration::from_millis(1_500);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3_600);

fn leased() -> LockOptions {
    LockOptions::default().lease(LEASE)
}

/// Acquires a lock; `answer` is the server's.
fn lock(client: &Client, peer: &mut Peer, options: LockOptions, answer: &str) -> Guard {
    let client = client.clone();
    let call = task(move || client.lock_with("boss", options));
    peer.answer("lock", answer);
    call.end().expect("the lock")
}

#[test]
fn a_lease_is_renewed_each_time_a_third_of_it_has_passed() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let start = Instant::now();
    let guard = lock(&client, &mut peer, leased(), r#"{"result":"acquired","waited":0}"#);
    for round in 1..=9 {
        let request = peer.answer("renew", r#"{"result":"renewed","waiters":0}"#);
        let took = start.elapsed();
        assert!(took >= LEASE / 3 * round && took < LEASE / 3 * round + SLACK, "{took:?}");
        assert_eq!((&request["name"], request.get("lease")), (&json!("boss"), None));
    }
    // It would have run out long ago.
    eventually("the answer is read", || !guard.is_lost());
    let released = task(move || guard.release());
    // A renewal may have been on its way.
    while peer.request()["command"] == "renew" {}
    client.disconnect();
    released.end().unwrap_err();
}

#[test]
fn a_lock_without_a_lease_or_that_was_released_is_not_renewed() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let _plain = lock(&client, &mut peer, LockOptions::default(), r#"{"result":"acquired"}"#);
    let by_program = leased().renewed_by_program().owner("ann");
    let _by_program = lock(&client, &mut peer, by_program, r#"{"result":"acquired","waited":0}"#);
    let guard = lock(&client, &mut peer, leased().owner("bob"), r#"{"result":"acquired","waited":0}"#);
    drop(guard);
    loop {
        let request = peer.request();
        assert_eq!(request["owner"], "bob");
        if request["command"] == "unlock" {
            break;
        }
    }
    assert!(!client.wait_until_lost(LEASE));
    let ping = task(move || client.ping());
    // Nothing else has come meanwhile.
    peer.answer("ping", r#"{"result":"pong"}"#);
    ping.end().expect("an answer");
}

#[test]
fn a_lease_counts_from_before_it_was_asked_for_and_from_the_grant() {
    const WAITED: f64 = 1_000.0;
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let before = Instant::now();
    let holder = client.clone();
    let call = task(move || holder.lock_with("boss", LockOptions::default().lease(HOUR)));
    let request = peer.request();
    let sent = Instant::now();
    peer.answer_to(&request, &format!(r#"{{"result":"acquired","waited":{WAITED}}}"#));
    let guard = call.end().expect("the lock");
    let until = guard.held_until().expect("a lease");
    let lease = HOUR + Duration::from_secs_f64(WAITED);
    assert!(until >= before + lease && until <= sent + lease);
    assert!(!guard.is_lost());
    let plain = lock(&client, &mut peer, LockOptions::default(), r#"{"result":"acquired"}"#);
    assert_eq!(plain.held_until(), None);
    let centuries = lock(&client, &mut peer, LockOptions::default().lease(Duration::MAX), r#"{"result":"acquired"}"#);
    assert_eq!((centuries.held_until(), centuries.is_lost()), (None, false));
}

#[test]
fn a_guard_whose_lease_is_not_renewed_in_time_says_that_it_is_lost() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let guard = lock(&client, &mut peer, leased(), r#"{"result":"acquired","waited":0}"#);
    let until = guard.held_until().expect("a lease");
    assert!(!guard.is_lost());
    let request = peer.request();
    let sent = Instant::now();
    assert_eq!(request["command"], "renew");
    // It is not answered, so the client tries again.
    assert_eq!(peer.request()["command"], "renew");
    eventually("it runs out", || guard.is_lost());
    assert!(Instant::now() >= until);
    assert!(!client.is_lost());
    // The answer was late, but the server has renewed it: what counts is what is true now.
    peer.answer_to(&request, r#"{"result":"renewed","waiters":0}"#);
    eventually("the answer is read", || guard.held_until().is_some_and(|now| now > until));
    assert!(guard.held_until().is_some_and(|until| until <= sent + LEASE));
}

#[test]
fn with_lock_asks_the_server_whether_the_lock_was_held_to_the_end() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    for (answer, result) in [("released", Ok(())), ("release_failed", Err(Error::NotHeld))] {
        let holder = client.clone();
        let options = LockOptions::default().lease(HOUR);
        let call = task(move || holder.with_lock("boss", options, || ()));
        peer.answer("lock", r#"{"result":"acquired","waited":0}"#);
        peer.answer("unlock", &format!(r#"{{"result":"{answer}"}}"#));
        assert_eq!(call.end(), result);
    }
}

#[test]
fn the_program_renews_a_lease_and_learns_how_many_wait() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let options = leased().renewed_by_program();
    let guard = lock(&client, &mut peer, options, r#"{"result":"acquired","waited":0}"#);
    let renew = |guard: Guard, lease: Option<Duration>| {
        task(move || {
            let result = lease.map_or_else(|| guard.renew(), |lease| guard.renew_for(lease));
            (guard, result)
        })
    };
    let call = renew(guard, Some(HOUR));
    let before = Instant::now();
    let request = peer.answer("renew", r#"{"result":"renewed","waiters":3}"#);
    assert_eq!((&request["name"], &request["lease"]), (&json!("boss"), &json!(3_600.0)));
    let (guard, result) = call.end();
    assert_eq!(result, Ok(3));
    let until = guard.held_until().expect("a lease");
    assert!(until + SLACK > before + HOUR && until < before + HOUR + SLACK);

    let call = renew(guard, None);
    assert_eq!(peer.answer("renew", r#"{"result":"renew_failed"}"#).get("lease"), None);
    let (guard, result) = call.end();
    assert_eq!(result, Err(Error::NotHeld));
    assert!(guard.is_lost());
    // Without asking the server.
    assert_eq!(guard.release(), Err(Error::NotHeld));
}

#[test]
fn a_shorter_lease_counts_from_the_moment_that_it_is_asked_for() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let options = LockOptions::default().lease(HOUR).renewed_by_program();
    let guard = std::sync::Arc::new(lock(&client, &mut peer, options, r#"{"result":"acquired","waited":0}"#));
    let renewed = std::sync::Arc::clone(&guard);
    let call = task(move || renewed.renew_for(LEASE));
    let request = peer.request();
    assert_eq!(request["command"], "renew");
    eventually("it runs out", || guard.is_lost());
    peer.answer_to(&request, r#"{"result":"renew_failed"}"#);
    assert_eq!(call.end(), Err(Error::NotHeld));
}

#[test]
fn a_renewal_of_several_locks_of_which_one_is_gone_is_an_error() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || {
        let guard = client.lock_all(["boss", "loot"], LockOptions::default().lease(HOUR))?;
        let both = guard.renew();
        let one = guard.renew();
        assert!(guard.is_lost());
        Ok::<_, Error>((both, one, guard.release()))
    });
    peer.answer("lock", r#"{"result":"acquired","names":["boss","loot"],"waited":0}"#);
    peer.answer("renew", r#"{"result":"renewed","names":["boss","loot"],"waiters":1}"#);
    let request = peer.answer("renew", r#"{"result":"renewed","names":["loot"],"waiters":1}"#);
    assert_eq!(request["names"], json!(["boss", "loot"]));
    // What is left is released.
    assert_eq!(peer.answer("unlock", r#"{"result":"released"}"#)["name"], "loot");
    assert_eq!(call.end().expect("the locks"), (Ok(1), Err(Error::NotHeld), Err(Error::NotHeld)));
}

#[test]
fn a_program_that_sends_its_own_keep_alives_renews_leases_with_them() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().keep_alive_by_program());
    // Not due for a long time.
    let long = LockOptions::default().lease(HOUR).owner("ann");
    let _long = lock(&client, &mut peer, long, r#"{"result":"acquired","waited":0}"#);
    let guard = lock(&client, &mut peer, leased(), r#"{"result":"acquired","waited":0}"#);
    // Not by itself.
    eventually("it runs out", || guard.is_lost());
    let caller = client.clone();
    let call = task(move || caller.keep_alive());
    let renew = peer.line().expect("a renewal");
    assert_eq!((&renew["command"], renew.get("owner")), (&json!("renew"), None));
    peer.answer_to(&renew, r#"{"result":"renewed","waiters":0}"#);
    let keep_alive = peer.line().expect("a keep-alive");
    assert_eq!(keep_alive["command"], "keep_alive");
    peer.answer_to(&keep_alive, r#"{"result":"kept_alive"}"#);
    call.end().expect("an answer");
    assert!(!guard.is_lost());

    // But while a call waits for its answer, the client does.
    let waiter = client.clone();
    let _call = task(move || waiter.lock("loot").map(drop));
    assert_eq!(peer.request()["name"], "loot");
    assert_eq!(peer.request()["command"], "renew");
    client.disconnect();
    assert!(client.wait_until_lost(PATIENCE));
}
