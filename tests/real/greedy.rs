//! One user at every quota and limit at once, beside others who notice nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, lock, unlock};
use crate::support::directory::Directory;
use crate::support::patience::{Ending, PATIENCE, eventually};
use crate::support::server::{Server, officer};
use crate::support::users::{hello, table, write};

const QUOTAS: &str = "locks = [\"greedy:\"]
connections_max = 30
sessions_max = 3
locks_max = 60
requests_per_second = 300
priority_max = 1
min_hold_max = 1
";
/// Small, so that it reaches them, and four of its connections at once each reach theirs. Of the last a user may have half.
const LIMITS: [&str; 12] = [
    "--connections-max",
    "60",
    "--inboxes-bytes-max",
    "200000",
    "--outboxes-bytes-max",
    "100000",
    "--lock-waits-max",
    "3",
    "--connection-locks-max",
    "14",
    "--closing-locks-max",
    "16",
];
const CLOSING_LOCKS_MAX: usize = 16;
/// How long the others work, alone and then beside it.
const TIME: Duration = Duration::from_secs(2);
const OTHERS: usize = 3;

/// What it is told at each of these. The reasons alone would not do: several quotas and limits have one.
const REFUSALS: [&str; 11] = [
    "connection limit of the user reached",
    "session limit of the user reached",
    "lock limit of the user reached",
    "per-connection lock limit reached",
    "limit of the user on locks with min_hold or lost_delay reached",
    "too many waiters for this lock",
    "this user makes more requests per second than it may",
    "this user may not lock that",
    "this user may ask for a priority of at most 1",
    "this user may ask for a min_hold or lost_delay of at most 1 seconds",
    "kick needs a user with admin = true",
];

/// What somebody was refused, by what it was told.
type Refused = Mutex<BTreeMap<String, usize>>;

fn log_in(server: &Server, user: &str) -> Option<Client> {
    let mut client = server.connect();
    client.try_write(format!("{}\n", hello(user, user)).as_bytes()).ok()?;
    client.receive_or_end().filter(|reply| reply["user"] == user).map(|_| client)
}

fn note(refused: &Refused, reply: Option<&Value>) {
    if let Some(message) = reply.and_then(|reply| reply["message"].as_str()) {
        *refused.lock().unwrap().entry(message.to_owned()).or_default() += 1;
    }
}

fn lock_and_close(name: &str, field: &str) -> Value {
    json!({"command": "lock", "name": name, field: 1})
}

/// Pairs of one of the others until then, one in two of a lock that it would leave closed if it were lost. Returns how long
/// each took.
fn work(client: &mut Client, name: &str, end: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while Instant::now() < end {
        for line in [lock(name), lock_and_close(name, "lost_delay")] {
            let begun = Instant::now();
            client.send(line);
            client.expect_acquired(name);
            client.release(name);
            times.push(begun.elapsed());
        }
    }
    times
}

fn all_work(clients: &mut [Client]) -> Vec<Duration> {
    let end = Instant::now() + TIME;
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let workers: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| scope.spawn(move || work(client, &format!("other:{number}"), end)))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    times.sort_unstable();
    times
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[times.len() * percent / 100]
}

/// All that one connection asks for, in one go. It does not wait for what it has asked for before.
fn requests(name: &str) -> Vec<Value> {
    let mut lines = vec![json!({"command": "hello", "session": {"grace": 30}})];
    lines.push(json!({"command": "lock", "name": "other:0"}));
    // More than it may close, more than may wait for one, and more than a connection and the user may have.
    lines.extend((0..20).map(|lock| {
        lock_and_close(&format!("{name}:closing:{lock}"), if lock % 2 == 0 { "min_hold" } else { "lost_delay" })
    }));
    lines.extend(
        (0..6).map(|owner| json!({"command": "lock", "name": format!("{name}:all"), "owner": owner, "timeout": 0.5})),
    );
    lines.extend((0..20).map(|lock| json!({"command": "lock", "name": format!("{name}:{lock}")})));
    // These stay closed for a while.
    lines.extend((0..20).step_by(4).map(|lock| json!({"command": "unlock", "name": format!("{name}:closing:{lock}")})));
    lines.push(json!({"command": "lock", "name": "greedy:all", "priority": 7}));
    lines.push(json!({"command": "lock", "name": "greedy:all", "min_hold": 9}));
    lines.push(json!({"command": "kick", "user": "other"}));
    lines.push(json!({"command": "ping", "id": "last"}));
    lines
}

/// Asks for whatever it may not have, over and over. Connections that the server closes are made again.
fn grab(server: &Server, number: usize, refused: &Refused, is_over: &AtomicBool) {
    let mut unread: Vec<Client> = Vec::new();
    while !is_over.load(Relaxed) {
        let mut held: Vec<Client> = Vec::new();
        for _ in 0..12 {
            let mut client = server.connect();
            client.send(hello("greedy", "greedy"));
            let reply = client.receive_or_end();
            note(refused, reply.as_ref());
            if reply.is_some_and(|reply| reply["user"] == "greedy") {
                held.push(client);
            }
        }
        for (place, client) in held.iter_mut().enumerate() {
            let lines = requests(&format!("greedy:{number}:{place}"));
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            if client.try_write(text.as_bytes()).is_err() {
                continue;
            }
            while let Some(reply) = client.receive_or_end() {
                note(refused, Some(&reply));
                if reply["id"] == "last" {
                    break;
                }
            }
        }
        for client in &mut held {
            // A line that never ends, or answers that nobody reads. These are there for a while.
            let text =
                if number.is_multiple_of(2) { "x".repeat(60_000) } else { "{\"command\":\"locks\"}\n".repeat(4_000) };
            let _ = client.try_write(text.as_bytes());
        }
        drop(std::mem::replace(&mut unread, held));
    }
}

/// Takes a lock away from it that stays closed then, if there is one. Returns whether there was.
fn revoke_closing(ops: &mut Client) -> bool {
    let listed = ops.locks();
    let mut names = listed.as_object().unwrap().keys();
    // Those with a `lost_delay` have odd numbers.
    let name = names.find(|name| name.contains(":closing:") && name.ends_with(['1', '3', '5', '7', '9']));
    name.is_some_and(|name| ops.ask(json!({"command": "revoke", "name": name}))["result"] == "revoked")
}

/// A user gets half of all locks that may close, and no more.
fn expect_all_closings(user: &str, client: &mut Client) {
    for number in 0..CLOSING_LOCKS_MAX / 2 {
        client.send(lock_and_close(&format!("other:{user}:{number}"), "lost_delay"));
        client.expect_acquired(&format!("other:{user}:{number}"));
    }
    assert_eq!(client.ask(lock_and_close("other:more", "lost_delay"))["reason"], "too_many_locks");
}

/// When it is gone nothing of it is left, and nothing counts.
fn expect_nothing_left(ops: &mut Client, others: &mut [Client]) {
    // Its sessions go on, as their grace is not over.
    eventually("its connections have ended", || {
        ops.connections().as_object().unwrap().keys().all(|name| name.starts_with("session:"))
    });
    assert_eq!(ops.ask(json!({"command": "kick", "user": "greedy"}))["result"], "kicked");
    eventually("its locks are free", || ops.locks() == json!({}));
    let closed = |ops: &mut Client| ops.ask(r#"{"command":"stats"}"#)["value"]["closed_locks"].clone();
    eventually("what it had closed is open", || closed(ops) == 0);
    expect_all_closings("other", &mut others[0]);
    expect_all_closings("ops", ops);
    others.iter_mut().for_each(|client| assert_eq!(client.ask(unlock("other:0"))["result"], "release_failed"));
}

#[test]
fn one_user_at_every_quota_and_limit_disturbs_no_other() {
    let directory = Directory::new();
    let users = directory.file("users.toml");
    let other = table("other", "other", "locks = [\"other:\"]");
    write(&users, &(table("greedy", "greedy", QUOTAS) + &other + &table("ops", "ops", "admin = true")));
    let mut command = officer(&["run", "-p", "0"]);
    let server = Server::start(command.args(LIMITS).arg("--users").arg(&users));
    let mut others: Vec<Client> = (0..OTHERS).map(|_| log_in(&server, "other").unwrap()).collect();
    let mut ops = log_in(&server, "ops").unwrap();
    let alone = all_work(&mut others);
    let bound = (percentile(&alone, 99) * 50).max(Duration::from_millis(500));
    let (refused, is_over) = (Refused::default(), AtomicBool::new(false));
    let beside = thread::scope(|scope| {
        let ending = Ending(&is_over);
        for number in 0..4 {
            let (server, refused, is_over) = (&server, &refused, &is_over);
            scope.spawn(move || grab(server, number, refused, is_over));
        }
        // Every pair of them is checked: `acquire` and `release` take no other answer.
        let (mut beside, mut revoked) = (Vec::new(), false);
        let has_all = |ops: &mut Client| {
            let figures = ops.ask(r#"{"command":"stats"}"#);
            let refused = refused.lock().unwrap();
            let limits = ["inboxes_full", "outboxes_full"];
            let ends = &figures["value"]["disconnects"];
            REFUSALS.iter().all(|message| refused.contains_key(*message))
                && limits.iter().all(|limit| ends[*limit].as_u64() > Some(0))
        };
        // On a busy machine one round may be slow. If it keeps them waiting, every round is.
        let is_quick = |times: &Vec<Duration>| percentile(times, 99) < bound;
        let begun = Instant::now();
        while !(revoked && has_all(&mut ops) && beside.iter().any(is_quick)) && begun.elapsed() < PATIENCE {
            beside.push(all_work(&mut others));
            // Others still come in.
            log_in(&server, "other").unwrap().acquire("other:new");
            revoked |= revoke_closing(&mut ops);
        }
        let reached = revoked && has_all(&mut ops);
        drop(ending);
        let figures = ops.ask(r#"{"command":"stats"}"#);
        assert!(reached, "{:?} {}", refused.lock().unwrap(), figures["value"]["disconnects"]);
        beside
    });
    let shown = |times: &Vec<Duration>| (times.len(), percentile(times, 50), percentile(times, 99));
    let beside: Vec<_> = beside.iter().map(shown).collect();
    println!("pairs, median and p99 alone: {:?}, beside it, by round: {beside:?}", shown(&alone));
    println!("refused: {:?}", refused.lock().unwrap());
    assert!(beside.iter().any(|(_, _, p99)| *p99 < bound), "{:?} alone, {beside:?} beside it", shown(&alone));
    expect_nothing_left(&mut ops, &mut others);
}
