//! Each request and each reply, over TCP, UNIX sockets and IPv6.

use std::time::Instant;

use serde_json::json;

use crate::support::client::{Client, lock, unlock};
use crate::support::patience::takes;
use crate::support::server::Server;

const RESET: &str = r#"{"command":"reset"}"#;

#[test]
fn a_free_lock_is_acquired_and_asking_again_changes_nothing() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.acquire("db");
        for _ in 0..2 {
            assert_eq!(ann.ask(lock("db")), json!({"name": "db", "result": "already_acquired"}));
        }
        // Holds are not counted.
        ann.release("db");
        bob.acquire("db");
        assert_eq!(ann.ask(unlock("db")), json!({"name": "db", "result": "release_failed"}));
        bob.release("db");
    }
}

#[test]
fn a_lock_passes_on_in_the_order_of_the_requests() {
    for server in Server::of_every_kind() {
        let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
        clients[0].acquire("db");
        clients[1..].iter_mut().for_each(|client| client.queue_for("db"));
        for turn in 0..9 {
            clients[turn].release("db");
            clients[turn + 1].expect_acquired("db");
            clients[turn].expect_nothing_before_now();
        }
    }
}

#[test]
fn an_unlock_of_a_lock_that_is_not_held_is_refused() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        // Before its first lock, of an unknown name, and then of somebody else's lock.
        assert_eq!(bob.ask(unlock("db")), json!({"name": "db", "result": "release_failed"}));
        ann.acquire("db");
        assert_eq!(bob.ask(unlock("db")), json!({"name": "db", "result": "release_failed"}));
        assert_eq!(ann.my_locks(), ["db"]);
    }
}

#[test]
fn a_wait_ends_at_its_timeout_and_not_before() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
        ann.acquire("db");
        eve.queue_for("db");
        let queue = json!([ann.name(), eve.name()]);
        for timeout in [0.2, 0.05] {
            takes(timeout..=timeout + 0.5, || {
                let asked = Instant::now();
                let reply = bob.ask(json!({"command": "lock", "name": "db", "timeout": timeout}));
                assert_eq!(reply, json!({"name": "db", "result": "timed_out", "queue": queue}));
                asked.elapsed()
            });
        }
        // It has left the queue.
        ann.release("db");
        eve.expect_acquired("db");
        eve.release("db");
        bob.acquire("db");
    }
}

#[test]
fn a_timeout_of_zero_or_less_never_waits() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.acquire("db");
        for timeout in [json!(0), json!(0.0), json!(-1), json!(-1e300)] {
            let reply = bob.ask(json!({"command": "lock", "name": "db", "timeout": timeout}));
            assert_eq!(reply, json!({"name": "db", "result": "timed_out", "queue": [ann.name()]}));
        }
        let reply = bob.ask(json!({"command": "lock", "name": "free", "timeout": 0}));
        assert_eq!(reply, json!({"name": "free", "result": "acquired"}));
    }
}

#[test]
fn many_waits_each_end_at_their_own_time() {
    let server = Server::tcp(&[]);
    let [mut ann, mut bob] = [server.connect(), server.connect()];
    let names: Vec<String> = (0..20).map(|number| format!("lock {number}")).collect();
    names.iter().for_each(|name| ann.acquire(name));
    let asked = Instant::now();
    for (number, name) in names.iter().enumerate().rev() {
        bob.send(json!({"command": "lock", "name": name, "timeout": 0.02 * number as f64 + 0.05}));
    }
    for (number, name) in names.iter().enumerate() {
        let reply = bob.receive();
        assert_eq!(reply, json!({"name": name, "result": "timed_out", "queue": [ann.name()]}));
        assert!(asked.elapsed().as_secs_f64() >= 0.02 * number as f64 + 0.05);
    }
}

#[test]
fn a_large_timeout_waits_forever() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    for timeout in ["1e300", "18446744073", "18446744073709551616", "1e10", "9007199254740993.5"] {
        let mut bob = server.connect();
        ann.acquire("db");
        bob.send(format!(r#"{{"command":"lock","name":"db","timeout":{timeout}}}"#));
        bob.expect_nothing_before_now();
        ann.release("db");
        bob.expect_acquired("db");
        drop(bob);
    }
}

#[test]
fn a_queue_that_is_full_is_not_joined() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
        let limited = |queue_max| json!({"command": "lock", "name": "db", "queue_max": queue_max});
        // A free lock is always acquired, and its holder has it already.
        assert_eq!(ann.ask(limited(0)), json!({"name": "db", "result": "acquired"}));
        assert_eq!(ann.ask(limited(0)), json!({"name": "db", "result": "already_acquired"}));
        for queue_max in [0, 1] {
            let maxed = json!({"name": "db", "result": "queue_maxed", "queue": [ann.name()]});
            assert_eq!(bob.ask(limited(queue_max)), maxed);
        }
        bob.send(limited(2));
        bob.expect_nothing_before_now();
        let maxed = json!({"name": "db", "result": "queue_maxed", "queue": [ann.name(), bob.name()]});
        assert_eq!(eve.ask(limited(2)), maxed);
        ann.release("db");
        bob.expect_acquired("db");
    }
}

#[test]
fn asking_again_while_waiting_joins_the_wait() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        ann.acquire("db");
        bob.queue_for("db");
        bob.queue_for("db");
        assert_eq!(ann.locks(), json!({"db": [ann.name(), bob.name()]}));
        ann.release("db");
        bob.expect_acquired("db");
        bob.expect_nothing_before_now();

        // The first of them that has a timeout sets it.
        ann.queue_for("db");
        ann.send(json!({"command": "lock", "name": "db", "timeout": 1, "queue_max": 0}));
        ann.send(json!({"command": "lock", "name": "db", "timeout": 1000}));
        assert_eq!(ann.my_locks(), ["db"]);
        assert_eq!(ann.receive(), json!({"name": "db", "result": "timed_out", "queue": [bob.name()]}));
        ann.expect_nothing_before_now();
    }
}

#[test]
fn an_unlock_ends_a_wait_without_a_second_reply() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
        ann.acquire("db");
        bob.send(json!({"command": "lock", "name": "db", "timeout": 1}));
        bob.expect_nothing_before_now();
        eve.queue_for("db");
        bob.release("db");
        ann.release("db");
        eve.expect_acquired("db");
        // Its timer was cancelled with the wait: it would be due long before this one.
        assert_eq!(
            ann.ask(json!({"command": "lock", "name": "db", "timeout": 1.1})),
            json!({"name": "db", "result": "timed_out", "queue": [eve.name()]})
        );
        bob.expect_nothing_before_now();
    }
}

#[test]
fn a_reset_releases_all_locks_leaves_all_queues_and_is_answered_once() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob] = [server.connect(), server.connect()];
        assert_eq!(ann.ask(RESET), json!({"result": "reset_succeeded"}));
        ann.acquire("one");
        ann.acquire("two");
        bob.acquire("three");
        ann.queue_for("three");
        bob.queue_for("one");
        bob.queue_for("two");
        assert_eq!(ann.ask(RESET), json!({"result": "reset_succeeded"}));
        bob.expect_acquired("one");
        bob.expect_acquired("two");
        assert!(ann.my_locks().is_empty());
        bob.release("three");
        ann.expect_nothing_before_now();

        // A timed wait after a reset is a new one.
        assert_eq!(
            ann.ask(json!({"command": "lock", "name": "one", "timeout": 0.05})),
            json!({"name": "one", "result": "timed_out", "queue": [bob.name()]})
        );
    }
}

#[test]
fn listings_show_holders_and_waiters() {
    for server in Server::of_every_kind() {
        let [mut ann, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
        assert_eq!(eve.ask(r#"{"command":"locks"}"#), json!({"result": "locks", "value": {}}));
        assert_eq!(eve.ask(r#"{"command":"connections"}"#), json!({"result": "connections", "value": {}}));
        assert_eq!(eve.ask(r#"{"command":"my_locks"}"#), json!({"result": "my_locks", "value": []}));
        let [ann_name, bob_name] = [ann.name(), bob.name()];
        ann.acquire("one");
        bob.acquire("two");
        bob.queue_for("one");
        assert_eq!(eve.locks(), json!({"one": [ann_name, bob_name], "two": [bob_name]}));
        let mut connections = eve.connections();
        connections[&bob_name].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        assert_eq!(connections, json!({&ann_name: ["one"], &bob_name: ["one", "two"]}));
        let mut of_bob = bob.my_locks();
        of_bob.sort_by_key(ToString::to_string);
        assert_eq!(of_bob, ["one", "two"]);
    }
}

#[test]
fn keep_alive_is_not_answered() {
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        (0..3).for_each(|_| ann.send(r#"{"command":"keep_alive"}"#));
        ann.expect_nothing_before_now();
    }
}

#[test]
fn a_connection_that_ends_passes_its_locks_on_and_leaves_its_queues() {
    // Orderly, cut off, and closed on one side only.
    let ends: [fn(Client); 3] = [drop, Client::cut, |mut client| {
        client.close_write();
        client.expect_end();
    }];
    for server in Server::of_every_kind() {
        for end in ends {
            let [mut ann, mut bob, mut eve] = [server.connect(), server.connect(), server.connect()];
            ann.acquire("one");
            ann.acquire("two");
            bob.queue_for("one");
            eve.queue_for("one");
            eve.queue_for("two");
            // First the waiter in the middle, then the holder.
            end(bob);
            end(ann);
            let mut acquired = [eve.receive(), eve.receive()].map(|reply| reply["name"].clone());
            acquired.sort_by_key(ToString::to_string);
            assert_eq!(acquired, ["one", "two"]);
            let name = eve.name();
            assert_eq!(eve.locks(), json!({"one": [name], "two": [name]}));
        }
    }
}

#[test]
fn connections_are_named_after_their_addresses() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    ann.acquire("db");
    assert!(ann.tcp_name().starts_with("127.0.0.1:"));
    assert_eq!(ann.locks(), json!({"db": [ann.tcp_name()]}));

    if let Some(server) = Server::ipv6(&[]) {
        let mut ann = server.connect();
        ann.acquire("db");
        assert!(ann.tcp_name().starts_with("[::1]:"));
        assert_eq!(ann.locks(), json!({"db": [ann.tcp_name()]}));
    }
}

#[test]
fn no_two_connections_of_a_unix_socket_have_the_same_name() {
    let server = Server::unix(&[]);
    let mut names: Vec<String> = (0..5).map(|_| server.connect().name()).collect();
    let mut together: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    names.extend(together.iter_mut().map(Client::name));
    for name in &names {
        assert!(name.strip_prefix("unix:").is_some_and(|number| number.parse::<u64>().is_ok()), "{name}");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10, "{names:?}");
}

#[test]
fn a_name_may_have_any_characters_and_up_to_1024_bytes() {
    let long = "é".repeat(512);
    for server in Server::of_every_kind() {
        let mut ann = server.connect();
        for name in [" ", "boss:17", "\n\r\t\0\u{1b}\u{7f}", "\"\\/", "🔒 \u{2028}", "\u{ffff}", &long] {
            ann.acquire(name);
            assert_eq!(ann.my_locks(), [name]);
            ann.release(name);
        }
        // An escape means its character, so these are the same name.
        assert_eq!(ann.ask(r#"{"command":"lock","name":"\ud83d\udd12\u0041"}"#)["name"], "🔒A");
        ann.release("🔒A");
    }
}

#[test]
fn unknown_fields_blank_lines_and_white_space_are_ignored() {
    let server = Server::tcp(&[]);
    let mut ann = server.connect();
    let acquired = json!({"name": "db", "result": "acquired"});
    for request in [
        r#"{"command":"lock","name":"db","color":"red","more":{"deep":[1,2,null]}}"#,
        r#"{"command":"lock","name":"db","timeout":null,"queue_max":null}"#,
        r#"{"command":"unlock","name":"other","command":"lock","name":"db"}"#,
        r#"{"command":"lock","name":"db","queue_max":2.0,"timeout":1e999999}"#.replace("1e999999", "2").as_str(),
        " \t{ \"name\" : \"db\" , \"command\" : \"lock\" } \r",
        "\n\r\n  \t\n{\"command\":\"lock\",\"name\":\"db\"}",
    ] {
        assert_eq!(ann.ask(request), acquired, "{request}");
        ann.release("db");
    }
}
