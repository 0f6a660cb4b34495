//! Users that change while many of their connections work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;
use std::{fs, thread};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Client, lock, unlock};
use crate::support::directory::Directory;
use crate::support::patience::{Ending, PATIENCE, eventually};
use crate::support::server::{Server, officer};
use crate::support::users::{hello, table, write};

/// At least so many, and at least so many pairs meanwhile.
const RELOADS: usize = 50;
const PAIRS: usize = 1_000;
/// Connections of each of the users `stays`, `changes` and `comes`.
const CONNECTIONS: [usize; 3] = [80, 60, 60];
const THREADS: usize = 4;

/// After this many reloads: the second user may lock more or less, and the third is there or not.
fn file(reloads: usize) -> String {
    let more = if reloads.is_multiple_of(2) { ", \"more:\"" } else { "" };
    let mut text = table("ops", "of ops", "admin = true")
        + &table("stays", "of stays", "locks = [\"stays:\"]")
        + &table("changes", "of changes", &format!("locks = [\"changes:\"{more}]"));
    if reloads.is_multiple_of(3) {
        text += &table("comes", "of comes", "locks = [\"comes:\"]");
    }
    text
}

/// One connection, and the locks that it works with.
struct Worker {
    client: Client,
    user: &'static str,
    number: usize,
}

impl Worker {
    /// Says who it is, and takes a lock to keep. None: there is no such user now.
    fn new(server: &Server, user: &'static str, number: usize) -> Option<Worker> {
        let mut client = server.connect();
        let reply = client.ask(hello(user, &format!("of {user}")));
        if reply["user"] != user {
            assert_eq!((user, &reply["reason"]), ("comes", &json!("auth_failed")), "{reply}");
            return None;
        }
        let mut worker = Worker { client, user, number };
        let kept = worker.name("kept");
        // It may be gone again before that is answered.
        worker.client.try_write(format!("{}\n", lock(&kept)).as_bytes()).ok()?;
        worker.expect(&kept, "acquired").then_some(worker)
    }

    fn name(&self, what: &str) -> String {
        format!("{}:{}:{what}", self.user, self.number)
    }

    /// Receives a reply. None: the connection has ended, as it may when its user is gone.
    fn receive(&mut self) -> Option<Value> {
        let reply = self.client.receive_or_end();
        assert!(reply.is_some() || self.user == "comes", "a connection of {} has ended", self.user);
        reply
    }

    fn expect(&mut self, name: &str, result: &str) -> bool {
        let reply = self.receive();
        assert!(reply.iter().all(|reply| *reply == json!({"name": name, "result": result})), "{reply:?}, not {result}");
        reply.is_some()
    }

    /// A pair is on its way, and one that may be refused within it.
    fn send(&mut self) {
        let (own, more) = (self.name("pair"), self.more());
        let lines = [lock(&own), lock(&more), unlock(&more), unlock(&own)].map(|line| format!("{line}\n")).concat();
        let sent = self.client.try_write(lines.as_bytes());
        assert!(sent.is_ok() || self.user == "comes", "{sent:?}");
    }

    /// Checks the answers, and counts. Returns whether the connection is still there.
    fn check(&mut self, done: &Done) -> bool {
        let (own, more) = (self.name("pair"), self.more());
        if !self.expect(&own, "acquired") {
            return false;
        }
        let Some(reply) = self.receive() else { return false };
        let may = reply["result"] == "acquired";
        assert!(may && self.user == "changes" || reply["reason"] == "not_allowed", "{}: {reply}", self.user);
        done.refused.fetch_add(usize::from(!may && self.user == "changes"), Relaxed);
        let is_there =
            self.expect(&more, if may { "released" } else { "release_failed" }) && self.expect(&own, "released");
        done.pairs.fetch_add(usize::from(is_there), Relaxed);
        is_there
    }

    fn more(&self) -> String {
        format!("more:{}:{}", self.user, self.number)
    }
}

/// How many pairs there were, and how many of another kind were refused.
#[derive(Debug, Default)]
struct Done {
    pairs: AtomicUsize,
    refused: AtomicUsize,
}

impl Done {
    fn is_enough(&self) -> bool {
        self.pairs.load(Relaxed) >= PAIRS && self.refused.load(Relaxed) > 0
    }
}

/// Works until it is over. Returns those that are left.
fn work(server: &Server, thread: usize, done: &Done, is_over: &AtomicBool) -> Vec<Worker> {
    let users = ["stays", "changes", "comes"].into_iter().zip(CONNECTIONS);
    let all = users.flat_map(|(user, count)| (0..count).map(move |number| (user, number)));
    let mine: Vec<_> = all.filter(|(_, number)| number % THREADS == thread).collect();
    let mut workers: Vec<Option<Worker>> = mine.iter().map(|_| None).collect();
    while !is_over.load(Relaxed) {
        for (worker, (user, number)) in workers.iter_mut().zip(&mine) {
            *worker = worker.take().or_else(|| Worker::new(server, user, *number));
            worker.iter_mut().for_each(Worker::send);
        }
        for worker in &mut workers {
            *worker = worker.take().and_then(|mut worker| worker.check(done).then_some(worker));
        }
    }
    workers.into_iter().flatten().collect()
}

#[test]
fn reloads_lose_no_answer_of_those_who_stay_and_no_lock_that_they_hold() {
    let directory = Directory::new();
    let (users, next) = (directory.file("users.toml"), directory.file("next.toml"));
    write(&users, &file(0));
    let server = Server::start(officer(&["run", "-p", "0", "--users"]).arg(&users));
    let (done, is_over, mut reloads) = (Done::default(), AtomicBool::new(false), 0);
    let left: Vec<Worker> = thread::scope(|scope| {
        let ending = Ending(&is_over);
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (server, done, is_over) = (&server, &done, &is_over);
                scope.spawn(move || work(server, thread, done, is_over))
            })
            .collect();
        let begun = Instant::now();
        // After the last one, the third user is not there.
        while reloads < RELOADS || reloads.is_multiple_of(3) || !done.is_enough() && begun.elapsed() < PATIENCE {
            reloads += 1;
            write(&next, &file(reloads));
            fs::rename(&next, &users).unwrap();
            server.signal(Signal::HUP);
            eventually("it has reloaded", || server.log().count(" reloaded: ") == reloads);
            assert_eq!(server.log().count("not reloaded"), 0);
        }
        drop(ending);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    println!("{done:?} during {reloads} reloads");
    assert!(done.is_enough(), "{done:?}");

    // Of those that stay each has what it kept. Of those that are gone nothing is left.
    let mut ops = server.connect();
    assert_eq!(ops.ask(hello("ops", "of ops"))["user"], "ops");
    let kept = |listed: &Value, user: &str| {
        let names = listed.as_object().unwrap().keys();
        names.filter(|name| name.starts_with(user) && name.ends_with(":kept")).count()
    };
    eventually("those that are gone have ended", || kept(&ops.locks(), "comes") == 0);
    let listed = ops.locks();
    assert_eq!([kept(&listed, "stays"), kept(&listed, "changes")], [CONNECTIONS[0], CONNECTIONS[1]]);
    for mut worker in left.into_iter().filter(|worker| worker.user != "comes") {
        let kept = worker.name("kept");
        assert_eq!(listed[&kept], json!([worker.client.tcp_name()]));
        worker.client.release(&kept);
    }
    assert_eq!(ops.locks(), json!({}));
}
