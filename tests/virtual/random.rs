//! Random operations from a seed. After every turn the server is checked from inside (`check_all`), and what the clients
//! saw is checked from outside: nobody is given a lock that another still has, and nobody is answered twice.
//!
//! `OFFICER_SEED=17 cargo test --release --test virtual random` runs one seed; `OFFICER_SEEDS=100000` runs so many.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fastrand::Rng;
use officer::server::Limits;
use officer::wire::peer::Peer;
use serde_json::Value;

use crate::world::{Client, Received, World};

const STEPS: usize = 300;
const SEEDS: u64 = 400;

#[test]
fn random_operations_keep_every_promise() {
    let from_environment = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seeds = match (from_environment("OFFICER_SEED"), from_environment("OFFICER_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(SEEDS),
    };
    let mut seen = HashMap::new();
    for seed in seeds.clone() {
        let _named = Named(seed);
        run(seed, &mut seen);
    }
    println!("{} seeds: {seen:?}", seeds.end - seeds.start);
    if seeds.end - seeds.start >= SEEDS {
        for what in [
            "acquired",
            "already_acquired",
            "timed_out",
            "queue_maxed",
            "released",
            "release_failed",
            "reset_succeeded",
            "locks",
            "error",
            "closed by the server",
            "reset",
            "half-closed",
        ] {
            assert!(seen.get(what).is_some_and(|times| *times > 0), "{what} never came up: {seen:?}");
        }
    }
}

/// Says which seed it was if the test fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: OFFICER_SEED={0} cargo test --release --test virtual random", self.0);
        }
    }
}

/// What the clients know.
struct Clients {
    world: World,
    alive: Vec<Client>,
    /// Who was given a lock and has not begun to give it up.
    holders: HashMap<String, Client>,
    /// How many requests to give a name up are on their way.
    giving_up: HashMap<(Client, String), u64>,
    /// Who has sent a line over the limit: its session ends, although it may be told so much later.
    overlong: HashSet<Client>,
    line_bytes_max: usize,
    names: usize,
    /// Requests with an id that have had no final reply.
    open: HashSet<(Client, u64)>,
    next_id: u64,
    next_unix: u64,
}

fn run(seed: u64, seen: &mut HashMap<String, u64>) {
    let mut random = Rng::with_seed(seed);
    let limits = limits(&mut random);
    let names = random.usize(1..5);
    let mut clients = Clients {
        line_bytes_max: limits.line_bytes_max,
        names,
        world: World::with_limits(limits),
        alive: Vec::new(),
        holders: HashMap::new(),
        giving_up: HashMap::new(),
        overlong: HashSet::new(),
        open: HashSet::new(),
        next_id: 0,
        next_unix: 0,
    };
    let at_most = random.usize(2..16);
    for _ in 0..STEPS {
        if clients.alive.is_empty() || (clients.alive.len() < at_most && random.u8(0..8) == 0) {
            clients.connect(&mut random);
            continue;
        }
        let client = clients.alive[random.usize(0..clients.alive.len())];
        match random.u8(0..100) {
            0..70 => clients.request(client, &mut random),
            70..74 => {
                clients.gone(client, "half-closed", seen);
                clients.world.put_end(client);
            }
            74..78 => {
                clients.gone(client, "reset", seen);
                clients.world.put_reset(client);
            }
            78..82 => clients.world.take_only(client, random.usize(0..200)),
            82..86 => clients.world.put_room(client, random.bool().then(|| random.usize(1..500))),
            86..92 => {
                let received = clients.world.pass(Duration::from_millis(random.u64(0..3000)));
                clients.look(received, seen);
            }
            // A turn or none: some things arrive together.
            _ => clients.world.turn(),
        }
        if random.bool() {
            let received = clients.world.step();
            clients.look(received, seen);
        }
    }
    for client in clients.alive.clone() {
        clients.gone(client, "reset", seen);
        clients.world.put_reset(client);
    }
    // Those that were told to go are waited for.
    let received = clients.world.pass(Duration::from_secs(120));
    clients.look(received, seen);
    assert!(clients.world.server.is_empty(), "something is left: {:?}", clients.world.server);
}

/// Limits so small that they are met.
fn limits(random: &mut Rng) -> Limits {
    let mut small = |from: usize, to: usize, otherwise: usize| {
        if random.bool() { random.usize(from..to) } else { otherwise }
    };
    Limits {
        line_bytes_max: small(60, 120, 65536),
        connections_max: small(2, 8, 1000),
        connection_locks_max: small(1, 4, 1000),
        lock_waits_max: small(1, 4, 1000),
        outbox_pause_bytes: small(1, 300, 65536),
        outbox_bytes_max: small(300, 2000, 1 << 20),
        outboxes_bytes_max: small(1000, 4000, 1 << 20),
        reply_bytes_max: small(20, 200, 65536),
        turn_read_bytes: small(1, 100, 16384),
        turn_expiries_max: small(1, 3, 256),
        turn_expiry_bytes: small(1, 300, 65536),
        turn_ends_max: small(1, 3, 128),
        ..Limits::default()
    }
}

impl Clients {
    fn connect(&mut self, random: &mut Rng) {
        self.next_unix += 1;
        let number = u16::try_from(self.next_unix).expect("few connections");
        let is_unix = random.bool();
        let peer = if is_unix { Peer::Unix(self.next_unix) } else { Peer::V4 { ip: [10, 0, 0, 1], port: number } };
        let client = self.world.connect_as(peer);
        // Only on a UNIX socket may a read give less than there is.
        if is_unix && random.bool() {
            self.world.read_in_pieces(client, random.usize(1..50));
        }
        self.alive.push(client);
    }

    fn request(&mut self, client: Client, random: &mut Rng) {
        let names = self.names;
        let name = name_of(random.usize(0..names));
        let mut line = match random.u8(0..20) {
            0..10 => {
                let timeout = ["", r#","timeout":0"#, r#","timeout":null"#, r#","timeout":0.5"#, r#","timeout":2"#];
                let queue_max = ["", "", "", r#","queue_max":null"#, r#","queue_max":1"#, r#","queue_max":2"#];
                let (timeout, queue_max) = (timeout[random.usize(0..5)], queue_max[random.usize(0..6)]);
                format!(r#"{{"command":"lock","name":"{name}"{timeout}{queue_max}"#)
            }
            10..15 => {
                self.gives_up(client, &name);
                format!(r#"{{"command":"unlock","name":"{name}""#)
            }
            15 => {
                (0..names).for_each(|number| self.gives_up(client, &name_of(number)));
                r#"{"command":"reset""#.to_owned()
            }
            16 => r#"{"command":"locks""#.to_owned(),
            17 => r#"{"command":"connections""#.to_owned(),
            18 => r#"{"command":"nonsense""#.to_owned(),
            _ => format!(r#"{{"command":"my_locks","padding":"{}""#, "x".repeat(random.usize(0..80))),
        };
        if random.bool() {
            self.next_id += 1;
            self.open.insert((client, self.next_id));
            line += &format!(r#","id":{}"#, self.next_id);
        }
        line += if random.bool() { "}\n" } else { " }\r\n\n" };
        if line.trim_end_matches('\n').len() > self.line_bytes_max {
            self.overlong.insert(client);
            self.holders.retain(|_, holder| *holder != client);
        }
        // In two pieces, with a turn between them or none.
        let cut = random.usize(0..=line.len());
        self.world.put(client, &line.as_bytes()[..cut]);
        if random.bool() {
            self.world.turn();
        }
        self.world.put(client, &line.as_bytes()[cut..]);
    }

    fn gives_up(&mut self, client: Client, name: &str) {
        self.holders.retain(|held, holder| *holder != client || name != held);
        *self.giving_up.entry((client, name.to_owned())).or_default() += 1;
    }

    fn gave_up(&mut self, client: Client, name: &str) {
        *self.giving_up.get_mut(&(client, name.to_owned())).expect("it was asked") -= 1;
    }

    fn gone(&mut self, client: Client, how: &str, seen: &mut HashMap<String, u64>) {
        *seen.entry(how.to_owned()).or_default() += 1;
        self.alive.retain(|alive| *alive != client);
        self.holders.retain(|_, holder| *holder != client);
        self.open.retain(|(of, _)| *of != client);
    }

    fn look(&mut self, received: Vec<Received>, seen: &mut HashMap<String, u64>) {
        // First who is gone: the next holder may have been told in the same step.
        for client in self.alive.clone() {
            if self.world.is_at_end(client) {
                self.gone(client, "closed by the server", seen);
            }
        }
        for (client, line) in received {
            let reply: Value = serde_json::from_str(&line).expect("a reply is JSON");
            let result = reply["result"].as_str().expect("a reply has a result");
            *seen.entry(result.to_owned()).or_default() += 1;
            if !self.alive.contains(&client) {
                continue;
            }
            if let Some(id) = reply["id"].as_u64() {
                assert!(self.open.remove(&(client, id)), "answered twice, or never asked: {line}");
            }
            let name = reply["name"].as_str().unwrap_or_default().to_owned();
            match result {
                "released" | "release_failed" => self.gave_up(client, &name),
                "reset_succeeded" => (0..self.names).for_each(|number| self.gave_up(client, &name_of(number))),
                "acquired" => {
                    // It may have asked to give the lock up again before it hears, late, that it had it.
                    let is_given_up = self.giving_up.get(&(client, name.clone())).is_some_and(|times| *times > 0);
                    if !is_given_up && !self.overlong.contains(&client) {
                        let holder = *self.holders.entry(name.clone()).or_insert(client);
                        assert_eq!(holder, client, "{name} is given to a second one");
                    }
                }
                _ => {}
            }
        }
    }
}

fn name_of(number: usize) -> String {
    char::from(b'a' + u8::try_from(number).expect("few names")).to_string()
}
