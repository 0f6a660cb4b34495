//! Watchers over real sockets: very many, and one that stalls.

use std::thread;

use officer::net::descriptors::raise_limit;
use serde_json::{Value, json};

use crate::support::client::{Client, lock, unlock};
use crate::support::server::Server;

const WATCHERS: usize = 10_000;
/// Locks with their unlocks that are measured at a time. Their events are more than a socket takes that nobody reads.
const PAIRS: u64 = 100_000;
/// Requests that are on their way at a time.
const IN_FLIGHT: u64 = 100;

fn watch(client: &mut Client, prefix: &str) {
    client.send(json!({"command": "watch", "prefix": prefix}));
}

/// Locks and unlocks the lock named `boss:17`, again and again. Returns the server's processor time for a pair in
/// microseconds.
fn processor_time_of_pair(server: &Server, client: &mut Client) -> f64 {
    let lines = format!("{}\n{}\n", lock("boss:17"), unlock("boss:17")).repeat(usize::try_from(IN_FLIGHT / 2).unwrap());
    let before = processor_nanos(server);
    for _ in 0..2 * PAIRS / IN_FLIGHT {
        client.write(lines.as_bytes());
        for number in 0..IN_FLIGHT {
            let result = if number % 2 == 0 { "acquired" } else { "released" };
            assert_eq!(client.receive_line(), format!(r#"{{"name":"boss:17","result":"{result}"}}"#));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let [nanos, pairs] = [processor_nanos(server) - before, PAIRS].map(|count| count as f64);
    nanos / 1000.0 / pairs
}

/// The processor time that the server has used. Its ticks are too coarse for what is measured here.
fn processor_nanos(server: &Server) -> u64 {
    server.proc("schedstat").split(' ').next().unwrap().parse().unwrap()
}

/// Reads all events of these pairs, and what was missed of them.
fn read_events(watcher: &mut Client, pairs: u64) -> (u64, u64) {
    let (mut told, mut missed) = (0, 0);
    while told + missed < 2 * pairs {
        let event: Value = watcher.receive();
        assert_eq!(event["notice"], "event", "{event}");
        if event["event"] == "missed" {
            missed += event["count"].as_u64().unwrap();
        } else {
            let expected = if (told + missed) % 2 == 0 { "granted" } else { "released" };
            assert_eq!((&event["event"], &event["name"]), (&json!(expected), &json!("boss:17")));
            told += 1;
        }
    }
    assert_eq!(told + missed, 2 * pairs);
    (told, missed)
}

#[test]
fn ten_thousand_watchers_of_other_locks_and_one_that_stalls_slow_nobody() {
    let limit = usize::try_from(raise_limit()).unwrap();
    let all = WATCHERS.min(limit.saturating_sub(300));
    if all < WATCHERS {
        eprintln!("only {all} watchers: the limit here is {limit} descriptors");
    }
    let server = Server::tcp(&["--max-idle", "0", "--connections-max", "11000"]);
    let mut ann = server.connect();
    let alone = processor_time_of_pair(&server, &mut ann);
    let mut others: Vec<Client> = (0..all).map(|_| server.connect()).collect();
    for (number, other) in others.iter_mut().enumerate() {
        // Some have much in common with the name.
        watch(
            other,
            &match number % 3 {
                0 => format!("boss:17{}", "7".repeat(1 + number % 1000)),
                1 => format!("boss:{}", 100_000 + number),
                _ => format!("player:{number}"),
            },
        );
    }
    for other in &mut others {
        assert_eq!(other.receive(), json!({"result": "watching"}));
    }
    let beside_others = processor_time_of_pair(&server, &mut ann);
    let mut stalled = server.connect();
    watch(&mut stalled, "boss");
    assert_eq!(stalled.receive(), json!({"result": "watching"}));
    let beside_stalled = processor_time_of_pair(&server, &mut ann);
    let mut keen = server.connect();
    watch(&mut keen, "boss:");
    assert_eq!(keen.receive(), json!({"result": "watching"}));
    // It reads meanwhile, and still may miss something: it shares two processors with all the others here.
    let (beside_keen, (told, missed)) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_events(&mut keen, PAIRS));
        (processor_time_of_pair(&server, &mut ann), reader.join().unwrap())
    });
    println!(
        "processor time per pair: {alone:.2} µs alone, {beside_others:.2} µs beside {all} watchers of other locks, \
         {beside_stalled:.2} µs with one that stalls as well, {beside_keen:.2} µs with one that reads as well \
         ({told} events, {missed} missed)"
    );
    // The one that stalled learns how much it has missed, and is told of everything from then on.
    let (told, missed) = read_events(&mut stalled, 2 * PAIRS);
    println!("the one that stalled was told of {told} events and has missed {missed}");
    assert!(missed > PAIRS, "what nobody reads is not kept");
    ann.acquire("boss:17");
    assert_eq!(stalled.receive()["event"], "granted");
    assert_eq!(keen.receive()["event"], "granted");
    // Nobody else was told anything.
    for other in others.iter_mut().step_by(100) {
        assert_eq!(other.ask(r#"{"command":"ping"}"#), json!({"result": "pong"}));
    }
    let stats = ann.ask(r#"{"command":"stats"}"#);
    let value = &stats["value"];
    assert_eq!((&value["watchers"], &value["connections"]), (&json!(all + 2), &json!(all + 3)));
    let longest = value["longest_turn"].as_f64().unwrap();
    assert!(longest > 0.0 && longest < 60.0, "{stats}");
    let events = value["events_sent"].as_u64().unwrap() + value["events_missed"].as_u64().unwrap();
    // Those of two measurements for the one that stalled, of one for the other, and the last for both.
    assert_eq!(events, 6 * PAIRS + 2, "{stats}");
}
