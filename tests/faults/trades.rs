//! Players trade items, from eight processes of one connection each, which is cut now and then.
//!
//! Who owns which item is known to a resource of its own, which knows no locks, but checks tokens: what comes with a lower
//! token than it has seen for an item comes too late. A process whose connection was cut goes on with its trades, as one
//! that was paused would.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::hosts::Host;
use crate::process::{end_with_parent, start_this_program};
use crate::support::client::{Address, Client};
use crate::support::lines::{LineReader, lines_of_pipe};
use crate::support::patience::eventually;
use crate::support::server::Server;
use crate::tcp_address;

const PROCESSES: usize = 8;
const PLAYERS_EACH: usize = 625;
/// How often each player trades.
const ROUNDS: usize = 4;
/// Few, so that players wait for each other.
const ITEMS: usize = 200;
/// How many players of a process trade at a time.
const ACTIVE: usize = 40;
const VARIABLE: &str = "OFFICER_TRADES_CLIENT";

/// Who owns each item, and the highest token that was seen for it.
struct Resource(Mutex<Vec<(u64, u64)>>);

impl Resource {
    fn new() -> Resource {
        Resource(Mutex::new((0..ITEMS as u64).map(|item| (item, 0)).collect()))
    }

    /// One request about some items, each with its token, executed whole or not at all.
    fn answer(&self, request: &Value) -> Value {
        let mut items = self.0.lock().unwrap();
        let asked: Vec<(usize, u64)> = serde_json::from_value(request["items"].clone()).unwrap();
        match request["owners"].as_array() {
            None if asked.iter().all(|&(item, token)| token > items[item].1) => {
                asked.iter().for_each(|&(item, token)| items[item].1 = token);
                json!(asked.iter().map(|&(item, _)| items[item].0).collect::<Vec<_>>())
            }
            Some(owners) if asked.iter().all(|&(item, token)| token == items[item].1) => {
                asked.iter().zip(owners).for_each(|(&(item, _), owner)| items[item].0 = owner.as_u64().unwrap());
                json!(true)
            }
            _ => json!("too late"),
        }
    }

    fn serve(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for _ in 0..PROCESSES {
                let (stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                scope.spawn(move || {
                    let mut lines = LineReader::new(stream);
                    while let Ok(Some(line)) = lines.next_line() {
                        let answer = self.answer(&serde_json::from_str(&line).unwrap());
                        std::io::Write::write_all(lines.socket_mut(), format!("{answer}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
    }
}

/// One player's trade, from the first `lock` on.
struct Trade {
    items: Vec<usize>,
    /// All at once. Otherwise one by one.
    is_by_names: bool,
    /// Those of the items that are locked.
    tokens: Vec<u64>,
    /// Who owned the items, once they are all locked.
    owners: Vec<Value>,
}

impl Trade {
    fn new(random: &mut fastrand::Rng) -> Trade {
        let mut items = HashSet::new();
        let count = random.usize(2..=3);
        while items.len() < count {
            items.insert(random.usize(..ITEMS));
        }
        Trade { items: items.into_iter().collect(), is_by_names: random.bool(), tokens: vec![], owners: vec![] }
    }

    /// The next `lock`.
    fn request(&self, player: usize) -> Value {
        if self.is_by_names {
            let names: Vec<String> = self.items.iter().map(usize::to_string).collect();
            return json!({"command": "lock", "names": names, "fence": true, "owner": player});
        }
        let name = self.items[self.tokens.len()].to_string();
        json!({"command": "lock", "name": name, "fence": true, "deadlock": "refuse", "owner": player})
    }

    fn on_acquired(&mut self, token: u64) {
        let count = if self.is_by_names { self.items.len() } else { 1 };
        self.tokens.extend(std::iter::repeat_n(token, count));
    }

    fn has_all(&self) -> bool {
        self.tokens.len() == self.items.len()
    }

    fn with_tokens(&self) -> Vec<(usize, u64)> {
        self.items.iter().copied().zip(self.tokens.iter().copied()).collect()
    }

    /// Everybody gets the next one's item.
    fn write(&self) -> Value {
        let mut owners = self.owners.clone();
        owners.rotate_left(1);
        json!({"items": self.with_tokens(), "owners": owners})
    }
}

#[derive(Debug, Default)]
struct Figures {
    trades: u64,
    deadlocks: u64,
    cuts: u64,
    late: u64,
    refused: u64,
}

impl Figures {
    fn to_line(&self) -> String {
        format!("traded {} {} {} {} {}", self.trades, self.deadlocks, self.cuts, self.late, self.refused)
    }

    fn add(&mut self, line: &str) {
        let figures: Vec<u64> = line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        self.trades += figures[0];
        self.deadlocks += figures[1];
        self.cuts += figures[2];
        self.late += figures[3];
        self.refused += figures[4];
    }
}

/// One process: its connection, and what its players are about to do.
struct Traders {
    server: SocketAddr,
    client: Client,
    resource: Client,
    random: fastrand::Rng,
    active: HashMap<usize, Trade>,
    /// Trades of a connection that was cut, which will go on nevertheless.
    orphans: Vec<Trade>,
    figures: Figures,
}

impl Traders {
    fn new(server: SocketAddr, resource: SocketAddr, seed: u64) -> Traders {
        Traders {
            client: connect(server),
            server,
            resource: connect(resource),
            random: fastrand::Rng::with_seed(seed),
            active: HashMap::new(),
            orphans: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Until each player has traded once. Each reply has to come in time.
    fn trade(&mut self, mut players: impl Iterator<Item = usize>) {
        loop {
            while self.active.len() < ACTIVE
                && let Some(player) = players.next()
            {
                let trade = Trade::new(&mut self.random);
                self.client.send(trade.request(player));
                self.active.insert(player, trade);
            }
            if self.active.is_empty() {
                return;
            }
            self.receive();
            if self.random.u32(..250) == 0 {
                self.cut();
            }
        }
    }

    fn receive(&mut self) {
        let reply = self.client.receive();
        let player = || number(&reply["owner"]);
        match reply["result"].as_str().unwrap() {
            "acquired" => self.on_acquired(player(), reply["token"].as_u64().unwrap()),
            "deadlock" => {
                // It gives up what it has, and begins again.
                let player = player();
                self.figures.deadlocks += 1;
                let trade = self.active.get_mut(&player).unwrap();
                trade.tokens.clear();
                self.client.send(json!({"command": "reset", "owner": player}));
                self.client.send(trade.request(player));
            }
            "pong" => self.finish(number(&reply["id"])),
            "released" | "reset_succeeded" => {}
            _ => panic!("{reply}"),
        }
    }

    fn on_acquired(&mut self, player: usize, token: u64) {
        let trade = self.active.get_mut(&player).unwrap();
        trade.on_acquired(token);
        if !trade.has_all() {
            return self.client.send(trade.request(player));
        }
        let owners = self.resource.ask(json!({"items": trade.with_tokens()}));
        trade.owners =
            owners.as_array().unwrap_or_else(|| panic!("player {player} has locked it all: {owners}")).clone();
        // The rest follows with its answer, so that there is time for mistakes.
        self.client.send(json!({"command": "ping", "id": player}));
    }

    fn finish(&mut self, player: usize) {
        let trade = self.active.remove(&player).unwrap();
        assert_eq!(self.resource.ask(trade.write()), true, "player {player} still holds it all");
        if trade.is_by_names {
            let names: Vec<String> = trade.items.iter().map(usize::to_string).collect();
            self.client.send(json!({"command": "unlock", "names": names, "owner": player}));
        } else {
            self.client.send(json!({"command": "reset", "owner": player}));
        }
        self.figures.trades += 1;
    }

    /// Loses the connection, and asks again on a new one. Those who had all that they need write nevertheless: by now, or
    /// when the connection is cut again.
    fn cut(&mut self) {
        self.figures.cuts += 1;
        for trade in std::mem::take(&mut self.orphans) {
            self.write_late(&trade);
        }
        let old = std::mem::replace(&mut self.client, connect(self.server));
        if self.random.bool() {
            old.cut()
        } else {
            drop(old)
        }
        for (player, trade) in &mut self.active {
            if !trade.owners.is_empty() {
                let copy = Trade {
                    items: trade.items.clone(),
                    is_by_names: trade.is_by_names,
                    tokens: trade.tokens.clone(),
                    owners: std::mem::take(&mut trade.owners),
                };
                self.orphans.push(copy);
            }
            trade.tokens.clear();
            self.client.send(trade.request(*player));
        }
        if self.random.bool() {
            for trade in std::mem::take(&mut self.orphans) {
                self.write_late(&trade);
            }
        }
    }

    fn write_late(&mut self, trade: &Trade) {
        self.figures.late += 1;
        self.figures.refused += u64::from(self.resource.ask(trade.write()) != true);
    }
}

fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(&Address::Tcp(address)).unwrap();
    client.send_without_delay();
    client
}

#[test]
#[ignore = "not a test: another test starts it as its client"]
fn a_client_that_the_story_starts() {
    let Some(task) = end_with_parent(VARIABLE) else { return };
    let words: Vec<&str> = task.split(' ').collect();
    let number: usize = words[2].parse().unwrap();
    let mut traders = Traders::new(words[0].parse().unwrap(), words[1].parse().unwrap(), number as u64);
    for _ in 0..ROUNDS {
        traders.trade(number * PLAYERS_EACH..(number + 1) * PLAYERS_EACH);
    }
    println!("{}", traders.figures.to_line());
}

#[test]
fn five_thousand_players_trade_and_nothing_is_duplicated_or_lost_although_connections_are_cut() {
    let server = Server::tcp(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resource = Resource::new();
    let mut figures = Figures::default();
    thread::scope(|scope| {
        let (listener, resource) = (&listener, &resource);
        scope.spawn(move || resource.serve(listener));
        let children: Vec<_> = (0..PROCESSES)
            .map(|number| {
                let task = format!("{} {} {number}", tcp_address(&server), listener.local_addr().unwrap());
                start_this_program(&Host::here(), "trades::a_client_that_the_story_starts", (VARIABLE, task))
            })
            .collect();
        for mut child in children {
            let lines: Vec<String> = lines_of_pipe(child.stdout.take().unwrap()).collect();
            assert!(child.wait().unwrap().success(), "a trader found a fault: {lines:?}");
            figures.add(lines.iter().find(|line| line.starts_with("traded")).expect("its figures"));
        }
    });
    println!("{figures:?}");
    assert_eq!(figures.trades, (PROCESSES * PLAYERS_EACH * ROUNDS) as u64);
    let mut owners: Vec<u64> = resource.0.lock().unwrap().iter().map(|(owner, _)| *owner).collect();
    owners.sort_unstable();
    assert_eq!(owners, (0..ITEMS as u64).collect::<Vec<_>>(), "everybody has as many items as before");
    assert!(figures.deadlocks > 10 && figures.cuts > 10 && figures.refused > 10, "{figures:?}");
    eventually("all is free", || server.connect().locks() == json!({}));
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}
