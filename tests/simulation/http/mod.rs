//! Small worlds of their own for what is seen from outside: requests by HTTP, who may ask them and how slowly, and the figures
//! that they tell of locks: metrics, the hottest locks, slow holds. One thing happens at a time, at a moment of its own.

mod answers;
mod asks;
mod connections;
mod draw;
mod guard;
mod locks;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fastrand::Rng;
use officer::server::{Credentials, Handshake, Limits};
use officer::wire::peer::Peer;
use serde_json::{Value, json};

use self::connections::{Body, Connection, Connections, Owed, Partial, Phase, Room};
use self::draw::{Act, CLIENTS, FLOOD, HOST, PREFIXES, Place, Request, SEATS, Shaken, WORKER, What};
use self::guard::Users;
use self::locks::Locks;
use crate::memory::Wire;
use crate::run::Failure;
use crate::small_world::{Client, World};
use crate::users::{digest, secret};

const STEPS: usize = 300;
/// As long as anything that is told apart by time.
const MOMENT: Duration = Duration::from_nanos(1);
const SLOW_HOLD: Duration = Duration::from_secs(10);
/// One seed in this many has a world with HTTP besides, and the first of them is this.
pub(crate) const SHARE: u64 = 8;
pub(crate) const FIRST: u64 = 4;

struct Run {
    world: World,
    users: Users,
    locks: Locks,
    connections: Connections,
    /// Those that ask, by their positions in `connections`.
    seats: [Option<usize>; SEATS],
    clients: [Option<Client>; CLIENTS],
    peers: u16,
    wrong_secrets: usize,
    seen: Seen,
    said: Vec<String>,
}

/// What has happened at all.
type Seen = BTreeSet<String>;

/// What must happen in many seeds: answers by path, and others.
const WANTED: [(&str, &[&str]); 14] = [
    ("/", &["200", "400", "401", "403", "405"]),
    ("/page.css", &["200", "401", "403", "405"]),
    ("/page.js", &["200", "401", "403", "405"]),
    ("/health", &["200", "405"]),
    ("/metrics", &["200", "400", "401", "403", "405"]),
    ("/api/locks", &["200", "400", "401", "403", "405"]),
    ("/api/connections", &["200", "400", "401", "403", "405"]),
    ("/api/stats", &["200", "400", "401", "403", "405"]),
    ("/api/kick", &["200", "400", "401", "403", "404", "405", "415"]),
    ("/api/revoke", &["200", "400", "401", "403", "404", "405", "415"]),
    ("other", &["400", "404", "408", "413", "417", "431", "503"]),
    ("handshake", &["completed", "failed", "timed_out", "not_tls", "abandoned"]),
    ("room", &["Taken", "Refused", "Dropped"]),
    ("hottest", &["exact", "estimated"]),
];

/// Runs the world with HTTP of a seed. `check_all`: whether the server checks itself after every turn.
pub(crate) fn run_seed(seed: u64, check_all: bool) -> Result<Seen, Failure> {
    let mut step = 0;
    let mut said = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let random = &mut Rng::with_seed(seed);
        let mut run = Run::new(random);
        run.world.check_all = check_all;
        while step < STEPS {
            if let Err(message) = run.step(random) {
                said = std::mem::take(&mut run.said);
                // Whoever contradicts the model may contradict itself when it goes.
                std::mem::forget(run);
                return Err(message);
            }
            step += 1;
        }
        Ok(run.seen())
    }));
    match result {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(message)) => Err(Failure { message, is_own_assertion: false, step, transcript: said }),
        Err(_) => Err(Failure { message: "a panic".to_owned(), is_own_assertion: true, step, transcript: said }),
    }
}

impl Run {
    fn new(random: &mut Rng) -> Self {
        let mut world = World::with_limits(Limits { max_idle: None, slow_hold: Some(SLOW_HOLD), ..Limits::default() });
        world.server.set_metrics_prefixes(PREFIXES.map(Box::from));
        world.server.set_http_hosts(&[HOST.to_uppercase()]);
        let users = match random.u8(..4) {
            0..=1 => Users::None,
            2 => Users::Some { anonymous: None },
            _ => Users::Some { anonymous: Some(random.bool()) },
        };
        let text = users.text(&|user| digest(&secret(user)));
        text.iter().for_each(|text| drop(world.set_users(text)));
        Run {
            world,
            users,
            locks: Locks::new(SLOW_HOLD),
            connections: Connections::default(),
            seats: [None; SEATS],
            clients: [None; CLIENTS],
            peers: 0,
            wrong_secrets: 0,
            seen: Seen::new(),
            said: text.into_iter().collect(),
        }
    }

    fn step(&mut self, random: &mut Rng) -> Result<(), String> {
        self.pass(MOMENT);
        for client in 0..CLIENTS {
            if self.clients[client].is_none() {
                self.enter(client);
            }
        }
        let names: Vec<String> = (0..CLIENTS).map(|client| self.name(client)).collect();
        let act = Act::draw(random, matches!(self.users, Users::Some { .. }), &names);
        self.said.push(format!("{:?} {act:?}", self.locks.now));
        self.act(act)?;
        self.world.step();
        self.compare().map_err(|message| format!("{message}, after {:?}", self.said.last()))
    }

    fn pass(&mut self, time: Duration) {
        self.world.pass(time);
        self.locks.pass(time);
        self.connections.pass(self.locks.now);
    }

    fn next_peer(&mut self, place: Place) -> Peer {
        self.peers += 1;
        match place {
            Place::Loopback => Peer::V4 { ip: [127, 0, 0, 1], port: self.peers },
            Place::Unix => Peer::Unix(self.peers.into()),
            Place::Far(number) => Peer::V4 { ip: [10, 9, 9, number], port: self.peers },
        }
    }

    /// A connection of the protocol, who is a user if there are any.
    fn enter(&mut self, client: usize) {
        let peer = self.next_peer(Place::Far(0));
        let new = self.world.connect_as(peer);
        if let Users::Some { .. } = self.users {
            let hello = json!({"command": "hello", "user": draw::USERS[WORKER].0, "secret": secret(WORKER)});
            self.world.say(new, &hello.to_string());
        }
        self.clients[client] = Some(new);
    }

    fn name(&self, client: usize) -> String {
        self.world.name(self.clients[client].expect("it is connected")).to_owned()
    }

    /// A client of the protocol says lines.
    fn say(&mut self, client: usize, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.world.send(self.clients[client].expect("it is connected"), text.as_bytes());
    }

    fn act(&mut self, act: Act) -> Result<(), String> {
        let now = self.locks.now;
        match act {
            Act::Pass(time) => self.pass(time),
            Act::Lock { client, name, is_shared, timeout } => {
                if self.locks.has(name, client) {
                    return Ok(());
                }
                let mut line = json!({"command": "lock", "name": name});
                if is_shared {
                    line["mode"] = json!("shared");
                }
                if let Some(timeout) = timeout {
                    line["timeout"] = json!(timeout.as_secs_f64());
                }
                self.say(client, &[line]);
                self.locks.lock(name, client, is_shared, timeout);
            }
            Act::Unlock(client, name) => {
                self.say(client, &[json!({"command": "unlock", "name": name})]);
                self.locks.unlock(name, client);
            }
            Act::Reset(client) => {
                self.say(client, &[json!({"command": "reset"})]);
                self.locks.reset(client);
            }
            Act::Leave(client) => {
                self.world.vanish(self.clients[client].take().expect("it is connected"));
                self.locks.reset(client);
            }
            Act::Flood(holder, waiter) => self.flood(holder, waiter),
            Act::Connect(seat, place, has_handshake) => {
                self.seats[seat] = self.connect(place, has_handshake && place != Place::Unix, None);
            }
            Act::Crowd { count, place, is_stalled } => {
                for _ in 0..count {
                    self.pass(MOMENT);
                    let index = self.connect(place, false, is_stalled.then_some(0));
                    if let Some(index) = index.filter(|_| is_stalled) {
                        self.ask(index, &[Request::plain(What::Health)], usize::MAX);
                    }
                }
            }
            Act::Together => self.ask_together()?,
            Act::Shake(seat, _)
            | Act::Vanish(seat)
            | Act::Ask(seat, ..)
            | Act::Begin(seat, ..)
            | Act::GoOn(seat, _)
            | Act::Stall(seat)
            | Act::TakeAll(seat) => {
                if let Some(index) = self.seats[seat].filter(|index| self.connections.all[*index].phase != Phase::Gone)
                {
                    self.act_at(index, act, now);
                }
            }
        }
        Ok(())
    }

    /// What a connection by HTTP does.
    fn act_at(&mut self, index: usize, act: Act, now: Duration) {
        let connection = &mut self.connections.all[index];
        let client = connection.client;
        match act {
            Act::Vanish(_) => {
                if connection.phase == Phase::Handshaking {
                    *self.connections.handshakes.entry("failed").or_default() += 1;
                }
                connection.enter(Phase::Gone, now);
                self.world.vanish(client);
            }
            Act::Shake(_, shaken) if connection.phase == Phase::Handshaking => self.shake(index, shaken),
            Act::Ask(_, requests, piece) if connection.may_ask() => {
                let count = if connection.is_stalled { 1 } else { requests.len() };
                self.ask(index, &requests[..count], piece);
            }
            Act::Begin(_, request, part) if connection.may_ask() && request.bad.is_none() => {
                let (head, body) = request.text(&secret);
                let cut = 1 + part * (head.len() + body.len() - 1) / 256;
                connection.enter(Phase::Reading, now);
                connection.partial = Some(Partial { request, head, body, sent: 0 });
                self.go_on(index, cut);
            }
            Act::GoOn(_, is_all) if connection.partial.is_some() => {
                self.go_on(index, if is_all { usize::MAX } else { 1 });
            }
            Act::Stall(_) if connection.may_ask() => {
                connection.is_stalled = true;
                self.world.take_only(client, 20);
            }
            Act::TakeAll(_) if connection.is_stalled => {
                connection.is_stalled = false;
                connection.take(now);
                self.world.take(client, None);
            }
            _ => {}
        }
    }

    /// One client waits for more names than there are counters, all of which another holds.
    fn flood(&mut self, holder: usize, waiter: usize) {
        if self.locks.has_any("f") {
            return;
        }
        let names: Vec<String> = (0..FLOOD).map(|number| format!("f{number}")).collect();
        let lines: Vec<Value> = names.iter().map(|name| json!({"command": "lock", "name": name})).collect();
        self.say(holder, &lines);
        names.iter().for_each(|name| self.locks.lock(name, holder, false, None));
        let timeout = |number: usize| Duration::from_millis(500 * (1 + number as u64 * 7 % 11));
        let wait = |(number, name): (usize, &String)| json!({"command": "lock", "name": name, "timeout": timeout(number).as_secs_f64()});
        let lines: Vec<Value> = names.iter().enumerate().map(wait).collect();
        self.say(waiter, &lines);
        for (number, name) in names.iter().enumerate() {
            self.locks.lock(name, waiter, false, Some(timeout(number)));
        }
    }

    /// A new connection by HTTP, which takes this many bytes. None: there is no room for it.
    fn connect(&mut self, place: Place, has_handshake: bool, takes: Option<usize>) -> Option<usize> {
        let (peer, now) = (self.next_peer(place), self.locks.now);
        let uid = (place == Place::Unix).then_some(1000);
        let credentials = Credentials { uid, gid: uid, names: Vec::new() };
        let handshake = has_handshake.then_some(Handshake::Waiting);
        let client = self.world.accept_http(peer, Wire { credentials, handshake, ..Wire::default() });
        takes.into_iter().for_each(|bytes| self.world.take_only(client, bytes));
        let mut new = Connection::new(client, place, has_handshake, now);
        new.is_stalled = takes.is_some();
        let room = self.connections.accept(new, now, |client| self.world.is_closed(client));
        self.world.step();
        self.seen.insert(format!("room {room:?}"));
        (room == Room::Taken).then(|| self.connections.all.len() - 1)
    }

    fn shake(&mut self, index: usize, shaken: Shaken) {
        let now = self.locks.now;
        let connection = &mut self.connections.all[index];
        let (handshake, result) = match shaken {
            Shaken::Done => (Handshake::Done, "completed"),
            Shaken::NotTls => (Handshake::NotTls, "not_tls"),
            Shaken::Closed => (Handshake::Closed, "abandoned"),
        };
        match shaken {
            Shaken::Done => connection.enter(Phase::Idle, now),
            Shaken::NotTls => {
                connection.answer(Owed { status: 400, closes: true, has_body: true, body: Body::Any }, now);
                self.connections.count("other", 400);
            }
            Shaken::Closed => connection.enter(Phase::Gone, now),
        }
        *self.connections.handshakes.entry(result).or_default() += 1;
        let client = self.connections.all[index].client;
        self.world.put_handshake(client, handshake);
    }

    /// Compares what everybody was answered, and who was closed.
    fn compare(&mut self) -> Result<(), String> {
        for connection in &mut self.connections.all {
            let (client, phase) = (connection.client, connection.phase);
            let is_gone = phase == Phase::Gone;
            if self.world.is_closed(client) != is_gone {
                return Err(format!("{} closed: {connection:?}", if is_gone { "not" } else { "is" }));
            }
            if self.world.is_at_end(client) != (is_gone || phase == Phase::Lingering) {
                return Err(format!("its side is closed or not: {connection:?}"));
            }
            if !connection.is_stalled {
                let bytes = self.world.take_bytes(client);
                answers::compare(&bytes, std::mem::take(&mut connection.owed))?;
            }
        }
        Ok(())
    }
}

#[test]
fn what_is_seen_by_http_is_what_the_model_says_for_all_seeds() {
    let first = crate::from_environment("OFFICER_SEED");
    let count = crate::from_environment("OFFICER_SEEDS").unwrap_or(if first.is_some() { 1 } else { crate::SEEDS });
    let start = first.unwrap_or(0);
    let mut seen = Seen::new();
    // One of these takes longer than others.
    for seed in start..start + count.div_ceil(4 * SHARE) {
        match run_seed(seed, true) {
            Ok(of_seed) => seen.extend(of_seed),
            Err(Failure { step, transcript, message, .. }) => {
                panic!("seed {seed}, step {step}:\n{}\n{message}", transcript.join("\n"));
            }
        }
    }
    if count >= crate::SEEDS {
        let wanted = WANTED.iter().flat_map(|(of, all)| all.iter().map(move |what| format!("{of} {what}")));
        let missing: Vec<String> = wanted.filter(|what| !seen.contains(what)).collect();
        assert_eq!(missing, Vec::<String>::new(), "these never happened");
    }
}
