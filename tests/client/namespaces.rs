//! Clients that put a namespace in front of every name.

use std::collections::BTreeMap;

use officer::client::{Error, Guard, LockOptions};

use super::support::patience::eventually;
use super::support::server::Server;
use super::{connections_on, lock_in_a_thread};

#[test]
fn clients_of_different_namespaces_never_share_a_lock() {
    let server = Server::tcp(&[]);
    let [red, blue] =
        ["red", "blue"].map(|name| server.client_options().namespace(name).connect().expect("a connection"));
    let all = server.client();
    let guard = red.lock("boss").expect("the lock");
    let _other = blue.lock_with("boss", LockOptions::no_wait()).expect("the lock");
    assert_eq!(guard.name(), "boss");
    assert_eq!(all.my_locks(), Ok(Vec::new()));
    let names: Vec<String> = all.locks().expect("a listing").into_keys().collect();
    assert_eq!(names, ["blue:boss", "red:boss"]);

    // The whole name is the lock.
    let held = Err(Error::TimedOut { queue: vec![red.connection_name()] });
    assert_eq!(all.lock_with("red:boss", LockOptions::no_wait()).and_then(Guard::release), held);
    assert_eq!(red.unlock("boss"), Ok(true));
    all.lock_with("red:boss", LockOptions::no_wait()).expect("the lock").release().expect("held");
}

#[test]
fn answers_have_the_namespace_removed_and_show_no_others() {
    let server = Server::tcp(&[]);
    let [red, also_red, redder] =
        ["red", "red", "red:der"].map(|name| server.client_options().namespace(name).connect().expect("a connection"));
    let plain = server.client();
    let _plain = ["red", "reddish:boss", "boss"].map(|name| plain.lock(name).expect("the lock"));
    let _redder = redder.lock("boss").expect("the lock");
    let _red = ["boss", "loot"].map(|name| red.lock(name).expect("the lock"));
    let _waiter = lock_in_a_thread(&also_red, "boss", LockOptions::default());
    eventually("the other waits", || connections_on(&red, "boss").len() == 2);

    let on = |clients: &[&officer::client::Client]| clients.iter().map(|client| client.connection_name()).collect();
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        red.locks(),
        Ok(BTreeMap::from([
            ("boss".to_owned(), on(&[&red, &also_red])),
            ("der:boss".to_owned(), on(&[&redder])),
            ("loot".to_owned(), on(&[&red])),
        ]))
    );
    assert_eq!(redder.locks(), Ok(BTreeMap::from([("boss".to_owned(), on(&[&redder]))])));
    assert_eq!(
        red.connections(),
        Ok(BTreeMap::from([
            (red.connection_name(), texts(&["boss", "loot"])),
            (also_red.connection_name(), texts(&["boss"])),
            (redder.connection_name(), texts(&["der:boss"])),
        ]))
    );
    assert_eq!(red.my_locks(), Ok(texts(&["boss", "loot"])));
    let mut detailed: Vec<String> = red.locks_with_detail("").map(|lock| lock.expect("a listing").0).collect();
    detailed.sort();
    assert_eq!(detailed, ["boss", "der:boss", "loot"]);
    let found: Vec<String> = red.locks_with_detail("lo").map(|lock| lock.expect("a listing").0).collect();
    assert_eq!(found, ["loot"]);
}

#[test]
fn a_namespace_does_not_make_a_name_of_nothing() {
    let server = Server::tcp(&[]);
    let (plain, red) = (server.client(), server.client_options().namespace("red").connect().expect("a connection"));
    let refused = plain.lock("").unwrap_err();
    assert!(matches!(refused, Error::Server { .. }), "{refused:?}");
    assert_eq!(red.lock("").unwrap_err(), refused);
    assert_eq!(plain.locks(), Ok(BTreeMap::new()));
}

#[test]
fn errors_do_not_show_the_namespace() {
    let server = Server::tcp(&["--connection-locks-max", "1"]);
    let [red, other] = [(); 2].map(|()| server.client_options().namespace("crimson").connect().expect("a connection"));
    let guard = red.lock("boss").expect("the lock");
    let full = LockOptions::default().queue_max(1);
    let errors = [
        red.lock("loot").unwrap_err(),
        red.lock(&"x".repeat(2_000)).unwrap_err(),
        other.lock_with("boss", LockOptions::no_wait()).unwrap_err(),
        other.lock_with("boss", full).unwrap_err(),
        red.unlock("boss").and_then(|_| guard.release()).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("crimson"), "{error:?}");
    }
}
