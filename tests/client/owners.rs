//! Threads of one client, and other parties that it acts for, as the server sees them.

use std::sync::mpsc::channel;

use officer::client::{Client, Error, Guard, LockOptions, Reason};
use serde_json::{Value, json};

use super::fake::{Fake, Peer};
use super::support::patience::PATIENCE;
use super::{Task, lock_in_a_thread, task};

/// Answers a `lock` and the `unlock` after it. Returns the owner, which is the same in both.
fn serve(peer: &mut Peer) -> Option<Value> {
    let lock = peer.answer("lock", r#"{"result":"acquired"}"#);
    let unlock = peer.answer("unlock", r#"{"result":"released"}"#);
    assert_eq!((&lock["name"], lock.get("owner")), (&unlock["name"], unlock.get("owner")));
    lock.get("owner").cloned()
}

fn owner_of(request: &Value) -> Option<u64> {
    request.get("owner").map(|owner| owner.as_u64().expect("a number"))
}

#[test]
fn one_thread_at_a_time_needs_no_owner() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    for name in ["boss", "loot", "boss"] {
        let call = lock_in_a_thread(&client, name, LockOptions::default());
        assert_eq!(serve(&mut peer), None);
        call.end().expect("the lock");
    }
}

#[test]
fn threads_that_ask_at_the_same_time_are_different_owners() {
    const THREADS: usize = 4;
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let mut first_owners = Vec::new();
    for round in 0..3 {
        let mut calls: Vec<Task<_>> = Vec::new();
        let mut requests = Vec::new();
        for _ in 0..THREADS {
            calls.push(lock_in_a_thread(&client, "boss", LockOptions::default()));
            requests.push(peer.request());
        }
        let owners: Vec<_> = requests.iter().map(owner_of).collect();
        let mut unique = owners.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), THREADS, "{owners:?}");
        // The numbers of those that have ended are used again.
        if round == 0 {
            first_owners.clone_from(&unique);
        }
        assert_eq!(unique, first_owners);
        for (request, call) in requests.iter().zip(calls) {
            peer.answer_to(request, r#"{"result":"timed_out"}"#);
            call.end().unwrap_err();
        }
    }
}

#[test]
fn all_locks_of_a_thread_have_one_owner_as_long_as_it_has_any() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let other = lock_in_a_thread(&client, "boss", LockOptions::default());
    let first = peer.request();
    assert_eq!(owner_of(&first), None);
    let call = task(move || {
        let guards = ["boss", "loot"].map(|name| client.lock(name).expect("the lock"));
        let treasure = client.lock("treasure")?;
        guards.into_iter().try_for_each(Guard::release)?;
        let again = client.lock("boss")?;
        treasure.release()?;
        again.release()
    });
    let own = owner_of(&peer.answer("lock", r#"{"result":"acquired"}"#));
    assert!(own.is_some());
    peer.answer_to(&first, r#"{"result":"timed_out"}"#);
    other.end().unwrap_err();
    for command in ["lock", "lock", "unlock", "unlock", "lock", "unlock", "unlock"] {
        let answer = if command == "lock" { r#"{"result":"acquired"}"# } else { r#"{"result":"released"}"# };
        // Although the number of the other thread is free.
        assert_eq!(owner_of(&peer.answer(command, answer)), own);
    }
    call.end().expect("held");
}

#[test]
fn a_thread_that_asks_for_what_it_has_in_a_guard_is_one_more_owner() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let (sender, receiver) = channel::<Guard>();
    let elsewhere = task(move || receiver.recv_timeout(PATIENCE).expect("a guard").release());
    let call = task(move || {
        sender.send(client.lock("boss")?).expect("the other thread waits");
        client.lock("boss")?.release()
    });
    let first = peer.answer("lock", r#"{"result":"acquired"}"#);
    let mut locks = Vec::new();
    let mut unlocks = Vec::new();
    for _ in 0..3 {
        let request = peer.request();
        let is_lock = request["command"] == "lock";
        let result = if is_lock { "acquired" } else { "released" };
        peer.answer_to(&request, &format!(r#"{{"result":"{result}"}}"#));
        if is_lock { &mut locks } else { &mut unlocks }.push(owner_of(&request));
    }
    call.end().expect("held");
    elsewhere.end().expect("held");
    // Unless the other thread was faster, and the number was free again.
    let [again] = locks[..] else { panic!("{locks:?}") };
    unlocks.sort_unstable();
    let mut owners = vec![owner_of(&first), again];
    owners.sort_unstable();
    assert_eq!(unlocks, owners);
}

#[test]
fn a_thread_keeps_its_guard_and_waits_for_itself() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || {
        let guard = client.lock("boss")?;
        let again = client.lock_with("boss", LockOptions::no_wait());
        assert_eq!(again.map(drop), Err(Error::TimedOut { queue: vec!["me".to_owned()] }));
        assert!(!guard.is_lost());
        guard.release()
    });
    assert_eq!(owner_of(&peer.answer("lock", r#"{"result":"acquired"}"#)), None);
    assert!(owner_of(&peer.answer("lock", r#"{"result":"timed_out","queue":["me"]}"#)).is_some());
    assert_eq!(owner_of(&peer.answer("unlock", r#"{"result":"released"}"#)), None);
    call.end().expect("held");
}

#[test]
fn nested_calls_in_another_mode_are_refused() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || {
        client.with_lock("boss", LockOptions::default(), || {
            let shared = client.lock_with("boss", LockOptions::default().shared()).map(drop);
            let several = client.lock_all(["loot", "boss"], LockOptions::default()).map(drop);
            let any = client.lock_any(["loot", "boss"], LockOptions::default()).map(|guard| guard.name().to_owned());
            (shared, several, any)
        })
    });
    peer.answer("lock", r#"{"result":"acquired"}"#);
    peer.answer("unlock", r#"{"result":"released"}"#);
    let (shared, several, any) = call.end().expect("held");
    assert_eq!(reason_of(shared), Reason::ModeConflict);
    assert_eq!(reason_of(several), Reason::AlreadyHeld);
    // Of these it has one.
    assert_eq!(any, Ok("boss".to_owned()));
}

#[track_caller]
fn reason_of(result: Result<(), Error>) -> Reason {
    match result {
        Err(Error::Server { reason, message }) if !message.is_empty() => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owner_of_the_program_has_what_it_holds_at_once_in_whatever_thread() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let ann = || LockOptions::default().owner("ann");
    let holder = client.clone();
    let call = task(move || holder.lock_with("boss", ann()));
    assert_eq!(peer.answer("lock", r#"{"result":"acquired"}"#)["owner"], "ann");
    let guard = call.end().expect("the lock");

    let nested = client.clone();
    let again = task(move || nested.lock_with("boss", ann())).end().expect("held");
    let in_another_mode = client.lock_with("boss", ann().shared()).map(drop);
    assert_eq!(reason_of(in_another_mode), Reason::ModeConflict);
    let several = client.lock_all(["boss", "loot"], ann()).map(drop);
    assert_eq!(reason_of(several), Reason::AlreadyHeld);
    // Others wait for it: other owners, and threads.
    for options in [LockOptions::default().owner(7), LockOptions::default()] {
        let other = lock_in_a_thread(&client, "boss", options.clone());
        let request = peer.answer("lock", r#"{"result":"timed_out"}"#);
        assert_eq!(request.get("owner"), options.owner.map(|owner| json!(owner)).as_ref());
        other.end().unwrap_err();
    }
    guard.release().expect("held");
    assert!(!again.is_lost());
    let released = task(move || again.release());
    assert_eq!(peer.answer("unlock", r#"{"result":"released"}"#)["owner"], "ann");
    released.end().expect("held");
}

#[test]
fn a_thread_does_not_have_what_it_has_acquired_for_an_owner_of_the_program() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || {
        let ann = || LockOptions::default().owner("ann");
        client.with_lock("boss", ann(), || {
            client.with_lock("boss", ann(), || client.lock_with("boss", LockOptions::no_wait()).map(drop))
        })
    });
    assert_eq!(peer.answer("lock", r#"{"result":"acquired"}"#)["owner"], "ann");
    assert_eq!(peer.answer("lock", r#"{"result":"timed_out"}"#).get("owner"), None);
    assert_eq!(peer.answer("unlock", r#"{"result":"released"}"#)["owner"], "ann");
    assert_eq!(call.end(), Ok(Ok(Err(Error::TimedOut { queue: Vec::new() }))));
}

#[test]
fn an_owner_of_the_program_that_waits_does_not_ask_again() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let ann = || LockOptions::default().owner("ann");
    let waiter = lock_in_a_thread(&client, "boss", ann());
    let request = peer.request();
    assert_eq!(reason_of(client.lock_with("boss", ann()).map(drop)), Reason::AlreadyQueued);
    assert_eq!(reason_of(client.lock_any(["loot", "boss"], ann()).map(drop)), Reason::AlreadyQueued);
    peer.answer_to(&request, r#"{"result":"timed_out"}"#);
    waiter.end().unwrap_err();
    let waiter = lock_in_a_thread(&client, "boss", ann());
    peer.answer("lock", r#"{"result":"cancelled"}"#);
    assert_eq!(waiter.end(), Err(Error::Cancelled));
}

#[test]
fn an_owner_that_could_be_taken_for_a_thread_is_refused() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let _waiters = [(); 2].map(|()| lock_in_a_thread(&client, "boss", LockOptions::default()));
    let threads = [peer.request(), peer.request()];
    let thread = threads.iter().find_map(owner_of).expect("one of them has a number");
    for owner in [1 << 52, thread, u64::MAX] {
        let options = LockOptions::default().owner(owner);
        assert_eq!(reason_of(client.lock_with("boss", options).map(drop)), Reason::InvalidRequest);
        assert_eq!(reason_of(client.reset_owner(owner)), Reason::InvalidRequest);
    }
    let highest = lock_in_a_thread(&client, "boss", LockOptions::default().owner((1 << 52) - 1));
    assert_eq!(peer.answer("lock", r#"{"result":"timed_out"}"#)["owner"], (1_u64 << 52) - 1);
    highest.end().unwrap_err();
}

#[test]
fn a_reset_of_an_owner_is_about_that_owner() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let lock = |client: &Client, peer: &mut Peer, options: LockOptions| {
        let client = client.clone();
        let call = task(move || client.lock_with("boss", options));
        peer.answer("lock", r#"{"result":"acquired"}"#);
        call.end().expect("the lock")
    };
    let [ann, bob] = ["ann", "bob"].map(|owner| lock(&client, &mut peer, LockOptions::default().owner(owner)));
    let thread = lock(&client, &mut peer, LockOptions::default());
    let caller = client.clone();
    let reset = task(move || caller.reset_owner("ann"));
    assert_eq!(peer.answer("reset", r#"{"result":"reset_succeeded"}"#)["owner"], "ann");
    reset.end().expect("an answer");
    assert!(ann.is_lost() && !bob.is_lost() && !thread.is_lost());
    assert_eq!(ann.release(), Err(Error::NotHeld));

    let caller = client.clone();
    let locks = task(move || caller.my_locks_of("bob"));
    assert_eq!(peer.answer("my_locks", r#"{"result":"my_locks","value":["boss"]}"#)["owner"], "bob");
    assert_eq!(locks.end(), Ok(vec!["boss".to_owned()]));

    let reset = task(move || client.reset());
    assert_eq!(peer.answer("reset", r#"{"result":"reset_succeeded"}"#).get("owner"), None);
    reset.end().expect("an answer");
    assert!(bob.is_lost() && thread.is_lost());
}

#[test]
fn a_server_that_knows_no_owners_is_never_asked_for_a_lock_twice() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with_features(&["strict"]);
    let refused = |name| {
        let result = lock_in_a_thread(&client, name, LockOptions::default()).end();
        assert_eq!(result, Err(Error::Unsupported { feature: "owner" }));
    };
    let holder = client.clone();
    let (sender, receiver) = channel::<()>();
    let waiter = task(move || {
        let guard = holder.lock("boss")?;
        // Within a closure that is no other holder.
        let nested = holder.with_lock("loot", LockOptions::default(), || {
            holder.with_lock("loot", LockOptions::default(), || receiver.recv_timeout(PATIENCE))
        });
        nested??.expect("the test says so");
        guard.release()
    });
    let request = peer.request();
    refused("boss");
    peer.answer_to(&request, r#"{"result":"acquired"}"#);
    peer.answer("lock", r#"{"result":"acquired"}"#);
    refused("boss");
    refused("loot");
    let other = lock_in_a_thread(&client, "treasure", LockOptions::default());
    assert_eq!(serve(&mut peer), None);
    other.end().expect("the lock");
    sender.send(()).expect("it waits for that");
    for _ in 0..2 {
        peer.answer("unlock", r#"{"result":"released"}"#);
    }
    waiter.end().expect("held");
    let again = lock_in_a_thread(&client, "boss", LockOptions::default());
    assert_eq!(serve(&mut peer), None);
    again.end().expect("the lock");
}
