//! What is sent for each kind of lock, and that nothing is sent which the server does not know.

use std::time::Duration;

use officer::client::{Asker, Client, Error, Guard, LockOptions, Owner, Reason, RevokeOptions};
use serde_json::{Value, json};

use super::fake::{Fake, Peer};
use super::task;

/// The fields of a `lock` that are not those of every request.
fn terms_of(request: &Value) -> Value {
    let mut request = request.clone();
    let fields = request.as_object_mut().expect("an object");
    for field in ["command", "id", "name"] {
        fields.remove(field);
    }
    request
}

/// Options, the feature that they need, and what is sent for them.
fn options() -> Vec<(LockOptions, &'static str, Value)> {
    let new = LockOptions::default;
    let second = Duration::from_secs(1);
    vec![
        (new().owner(7), "owner", json!({"owner": 7})),
        (new().owner("7"), "owner", json!({"owner": "7"})),
        (new().fence(), "fence", json!({"fence": true})),
        (new().shared(), "mode", json!({"mode": "shared"})),
        (new().semaphore(3), "slots", json!({"slots": 3})),
        (new().priority(7), "priority", json!({"priority": 7})),
        (new().lease(second).renewed_by_program(), "lease", json!({"lease": 1.0})),
        (new().refuse_deadlock(), "deadlock", json!({"deadlock": "refuse"})),
        (new().min_hold(second / 2), "min_hold", json!({"min_hold": 0.5})),
        (new().lost_delay(second * 2), "lost_delay", json!({"lost_delay": 2.0})),
        (new().label("repair"), "label", json!({"label": "repair"})),
        (new().hint(), "hint", json!({"hint": true})),
        (new().on_wanted(|_| ()), "hint", json!({"hint": true})),
        (new().on_queued(|_| ()), "progress", json!({"progress": true})),
        (LockOptions::no_wait().queue_max(1), "", json!({"timeout": 0.0, "queue_max": 1})),
    ]
}

#[test]
fn each_option_is_sent_as_the_protocol_says() {
    for (options, feature, terms) in options() {
        let fake = Fake::new();
        let features: &[&str] = if feature.is_empty() { &[] } else { &[feature] };
        let (client, mut peer) = fake.connect_with_features(features);
        let call = task(move || client.lock_with("boss", options).and_then(Guard::release));
        let request = peer.answer("lock", r#"{"result":"acquired"}"#);
        assert_eq!((&request["name"], terms_of(&request)), (&json!("boss"), terms));
        peer.answer("unlock", r#"{"result":"released"}"#);
        call.end().expect("the lock");
    }
}

/// The call fails, and nothing is sent for it.
#[track_caller]
fn assert_unsupported(client: &Client, peer: &mut Peer, feature: &'static str, result: Result<(), Error>) {
    assert_eq!(result, Err(Error::Unsupported { feature }));
    let client = client.clone();
    let ping = task(move || client.ping());
    peer.answer("ping", r#"{"result":"pong"}"#);
    ping.end().expect("an answer");
}

#[test]
fn what_the_server_does_not_know_is_not_sent_and_the_error_says_what_it_lacks() {
    let fake = Fake::new();
    for (options, feature, _) in options() {
        if !feature.is_empty() {
            let (client, mut peer) = fake.connect_with_features(&["strict"]);
            let result = client.lock_with("boss", options).map(drop);
            assert_unsupported(&client, &mut peer, feature, result);
        }
    }
    let (client, mut peer) = fake.connect_with_features(&["lease", "names"]);
    let second = Duration::from_secs(1);
    let renewed = client.lock_with("boss", LockOptions::default().lease(second)).map(drop);
    assert_unsupported(&client, &mut peer, "renew", renewed);
    let any = client.lock_any(["boss", "loot"], LockOptions::default()).map(drop);
    assert_unsupported(&client, &mut peer, "any", any);
    let revoked = client.revoke("boss", &RevokeOptions::default()).map(drop);
    assert_unsupported(&client, &mut peer, "revoke", revoked);
    let status = client.lock_status("boss").map(drop);
    assert_unsupported(&client, &mut peer, "one_lock", status);
    for result in [client.reset_owner(7), client.my_locks_of(7).map(drop)] {
        assert_unsupported(&client, &mut peer, "owner", result);
    }
    let (client, mut peer) = fake.connect_with_features(&["owner"]);
    let all = client.lock_all(["boss", "loot"], LockOptions::default()).map(drop);
    assert_unsupported(&client, &mut peer, "names", all);
    let text = Error::Unsupported { feature: "names" }.to_string();
    assert_eq!(text, "the server does not support 'names'; it needs a newer version of Officer");
}

#[test]
fn features_are_those_of_the_last_hello() {
    let fake = Fake::new();
    let (client, _old) = fake.connect_with_features(&["owner", "moon_phase"]);
    assert!(client.has_feature("owner") && client.has_feature("moon_phase") && !client.has_feature("mode"));
    let reconnecting = client.clone();
    let reconnected = task(move || reconnecting.reconnect());
    let _new = fake.welcome();
    reconnected.end().expect("a connection");
    assert!(client.has_feature("mode") && !client.has_feature("moon_phase"));
}

#[test]
fn several_locks_are_one_request_and_one_release() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().namespace("red"));
    let call = task(move || {
        let options = LockOptions::default().fence();
        let guard = client.lock_all(["boss", "loot"], options.clone())?;
        assert!(guard.names().eq(["boss", "loot"]));
        assert_eq!((guard.name(), guard.token()), ("boss", Some(5)));
        guard.release()?;
        // One name is an ordinary lock.
        let guard = client.lock_all(["boss"], options.clone())?;
        guard.release()?;
        client.lock_any(["boss"], options)?.release()
    });
    let request = peer.answer("lock", r#"{"result":"acquired","names":["red:boss","red:loot"],"token":5}"#);
    assert_eq!((&request["names"], request.get("any")), (&json!(["red:boss", "red:loot"]), None));
    let request = peer.answer("unlock", r#"{"result":"released","names":["red:boss","red:loot"]}"#);
    assert_eq!(request["names"], json!(["red:boss", "red:loot"]));
    for _ in 0..2 {
        let request = peer.answer("lock", r#"{"result":"acquired","name":"red:boss","token":6}"#);
        let fields = (&request["name"], request.get("names"), request.get("any"));
        assert_eq!(fields, (&json!("red:boss"), None, None));
        peer.answer("unlock", r#"{"result":"released"}"#);
    }
    call.end().expect("the locks");
}

#[test]
fn a_release_of_several_locks_of_which_one_is_gone_is_an_error() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || client.lock_all(["boss", "loot"], LockOptions::default()).and_then(Guard::release));
    peer.answer("lock", r#"{"result":"acquired","names":["boss","loot"]}"#);
    peer.answer("unlock", r#"{"result":"released","names":["loot"]}"#);
    assert_eq!(call.end(), Err(Error::NotHeld));
}

#[test]
fn one_of_several_locks_is_the_one_that_the_answer_names() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || {
        let guard = client.lock_any(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], LockOptions::default())?;
        assert!(guard.names().eq(["b"]));
        // The others are not held: asked for again by the same thread, they are asked for as the same owner.
        client.lock("a")?.release()?;
        guard.release()
    });
    let request = peer.answer("lock", r#"{"result":"acquired","name":"b"}"#);
    assert_eq!((&request["names"], &request["any"]), (&json!(["a", "b", "c"]), &json!(true)));
    assert_eq!(peer.answer("lock", r#"{"result":"acquired"}"#).get("owner"), None);
    peer.answer("unlock", r#"{"result":"released"}"#);
    let request = peer.answer("unlock", r#"{"result":"released"}"#);
    assert_eq!((&request["name"], request.get("names")), (&json!("b"), None));
    call.end().expect("the lock");
}

#[test]
fn an_answer_that_names_a_lock_nobody_asked_for_is_no_lock() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || client.lock_any(["a", "b"], LockOptions::default()).map(drop));
    peer.answer("lock", r#"{"result":"acquired","name":"c"}"#);
    assert_eq!(call.end(), Err(Error::Cancelled));
}

#[test]
fn a_list_of_names_that_the_server_refuses_leaves_nothing_behind() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    for names in [&["boss", "boss"][..], &[]] {
        let caller = client.clone();
        let call = task(move || caller.lock_all(names, LockOptions::default()).map(drop));
        let request = peer.answer("lock", r#"{"result":"error","reason":"invalid_request","message":"no"}"#);
        assert_eq!(request["names"], json!(names));
        assert_eq!(call.end(), Err(Error::Server { reason: Reason::InvalidRequest, message: "no".to_owned() }));
    }
    let call = task(move || client.lock("boss").and_then(Guard::release));
    peer.answer("lock", r#"{"result":"acquired"}"#);
    peer.answer("unlock", r#"{"result":"released"}"#);
    call.end().expect("the lock");
}

#[test]
fn a_wait_that_would_be_a_deadlock_is_reported_with_its_circle() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect();
    let call = task(move || client.lock_with("boss", LockOptions::default().refuse_deadlock()).map(drop));
    peer.answer("lock", r#"{"name":"boss","result":"deadlock","cycle":["me",{"connection":"you","owner":"7"}]}"#);
    let Err(error) = call.end() else { panic!("an error is expected") };
    assert_eq!(error.to_string(), "waiting for the lock would be a deadlock: me, you (owner 7)");
    let Error::Deadlock { cycle } = error else { panic!("{error:?}") };
    let you = Asker { connection: "you".to_owned(), owner: Some(Owner::from("7")) };
    assert_eq!(cycle, [Asker { connection: "me".to_owned(), owner: None }, you]);
}

#[test]
fn a_revoke_says_which_hold_and_tells_how_many_there_were() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().namespace("red"));
    for (options, fields, answer, result) in [
        (RevokeOptions::default(), json!({}), r#"{"result":"revoked","count":2}"#, Ok(Some(2))),
        (RevokeOptions::default().token(5), json!({"token": 5}), r#"{"result":"revoke_failed"}"#, Ok(None)),
        (
            RevokeOptions::default().connection("you").owner(7),
            json!({"connection": "you", "owner": 7}),
            r#"{"result":"revoked","count":0}"#,
            Ok(Some(0)),
        ),
        (
            RevokeOptions::default().owner("7"),
            json!({"owner": "7"}),
            r#"{"result":"error","reason":"not_allowed","message":"no"}"#,
            Err(Error::Server { reason: Reason::NotAllowed, message: "no".to_owned() }),
        ),
    ] {
        let caller = client.clone();
        let call = task(move || caller.revoke("boss", &options));
        let request = peer.answer("revoke", answer);
        assert_eq!((&request["name"], terms_of(&request)), (&json!("red:boss"), fields));
        assert_eq!(call.end(), result);
    }
}

#[test]
fn the_status_of_a_lock_has_all_that_the_server_tells() {
    let fake = Fake::new();
    let (client, mut peer) = fake.connect_with(fake.options().namespace("red"));
    let caller = client.clone();
    let call = task(move || caller.lock_status("boss"));
    let request = peer.answer(
        "locks",
        r#"{"result":"locks","value":{"red:boss":{
            "holders":[{"connection":"a","owner":7,"mode":"shared","token":5,"held_for":1.5,"lease_left":2.5,"label":"l"},
                       {"connection":"a","owner":"7","slots":3,"token":6,"held_for":1}],
            "waiters":[{"connection":"b","client":"c","mode":"exclusive","priority":7,"waited_for":0.5,"timeout_left":9}],
            "waiting":1,"closed_for":4.5}}}"#
            .replace('\n', "")
            .as_str(),
    );
    assert_eq!((&request["name"], &request["detail"]), (&json!("red:boss"), &json!(true)));
    let lock = call.end().expect("an answer").expect("it is not free");
    assert_eq!((lock.waiting, lock.closed_for), (1, Some(4.5)));
    let [shared, unit] = &lock.holders[..] else { panic!("{lock:?}") };
    assert_eq!((&shared.owner, &*shared.mode, shared.slots), (&Some(Owner::from(7)), "shared", None));
    assert_eq!((shared.token, shared.held_for, shared.lease_left), (Some(5), Some(1.5), Some(2.5)));
    assert_eq!(shared.label.as_deref(), Some("l"));
    assert_eq!((&unit.owner, &*unit.mode, unit.slots), (&Some(Owner::from("7")), "", Some(3)));
    let [waiter] = &lock.waiters[..] else { panic!("{lock:?}") };
    assert_eq!((waiter.priority, waiter.waited_for, waiter.timeout_left), (Some(7), Some(0.5), Some(9.0)));

    let call = task(move || client.lock_status("boss"));
    peer.answer("locks", r#"{"result":"locks","value":{}}"#);
    assert_eq!(call.end(), Ok(None));
}
