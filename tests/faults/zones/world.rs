//! The world around the zones: a resource that checks tokens and remembers who wrote, and the way of players between zones.
//!
//! It knows no locks. Whoever it believes is a zone that has a lock knows its token.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use serde_json::{Value, json};

use super::{PLAYERS, ZONES};
use crate::support::lines::LineReader;

/// What is known of a player.
#[derive(Default)]
pub(super) struct Player {
    /// Each zone that wrote, with its token, in the order of the writes.
    pub(super) owners: Vec<(u64, u64)>,
    /// How far the player has come.
    pub(super) steps: u64,
}

/// All players, and the zones that are there.
pub(super) struct World {
    players: Mutex<Vec<Player>>,
    inboxes: Mutex<Inboxes>,
    /// What it should not have been asked to write.
    violations: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Inboxes {
    of_zones: HashMap<u64, TcpStream>,
    /// How many players have reached the end of their way.
    arrived: usize,
}

impl World {
    pub(super) fn new() -> World {
        World {
            players: Mutex::new((0..PLAYERS).map(|_| Player::default()).collect()),
            inboxes: Mutex::default(),
            violations: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    pub(super) fn players(&self) -> MutexGuard<'_, Vec<Player>> {
        self.players.lock().unwrap()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// Serves until the end.
    pub(super) fn serve(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            while let Ok((stream, _)) = listener.accept()
                && !self.is_over.load(Ordering::Relaxed)
            {
                stream.set_nodelay(true).unwrap();
                scope.spawn(move || self.serve_one(stream));
            }
        });
    }

    /// Ends the service at this address, when all zones have ended.
    pub(super) fn end(&self, address: SocketAddr) {
        self.is_over.store(true, Ordering::Relaxed);
        TcpStream::connect(address).unwrap();
    }

    fn serve_one(&self, stream: TcpStream) {
        let mut lines = LineReader::new(stream);
        while let Ok(Some(line)) = lines.next_line() {
            let request: Value = serde_json::from_str(&line).unwrap();
            if let Some(zone) = request["inbox"].as_u64() {
                self.on_zone(zone, lines.socket().try_clone().unwrap());
                continue;
            }
            let answer = match request["to"].as_u64() {
                Some(zone) => self.inboxes.lock().unwrap().send(zone, &request),
                None if request["arrived"].is_u64() => self.inboxes.lock().unwrap().on_arrival(),
                None => self.write(&request),
            };
            lines.socket_mut().write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
        // A zone that ends too soon has failed. The others can't go on without its players.
        let inboxes = self.inboxes.lock().unwrap();
        if inboxes.arrived < PLAYERS {
            inboxes.of_zones.values().for_each(|inbox| _ = inbox.shutdown(Shutdown::Both));
        }
    }

    /// A zone begins. With the last one everybody gets a zone to start from.
    fn on_zone(&self, zone: u64, inbox: TcpStream) {
        let mut inboxes = self.inboxes.lock().unwrap();
        inboxes.of_zones.insert(zone, inbox);
        if inboxes.of_zones.len() as u64 == ZONES {
            for player in 0..PLAYERS as u64 {
                inboxes.send(player % ZONES, &json!({"player": player, "moves": 0}));
            }
        }
    }

    /// A zone enters a player, without `steps`, or moves it on. Whoever has an older token than the last is too late.
    fn write(&self, request: &Value) -> Value {
        let number = |key: &str| request[key].as_u64().unwrap();
        let (zone, token) = (number("zone"), number("token"));
        let player = &mut self.players()[super::index(number("player"))];
        let highest = player.owners.last().map_or(0, |owner| owner.0);
        let steps = request["steps"].as_u64();
        if token < highest || (steps.is_some() && token > highest) {
            return json!("too late");
        }
        if player.owners.last() != Some(&(token, zone)) {
            player.owners.push((token, zone));
        }
        if let Some(steps) = steps {
            if steps != player.steps + 1 {
                let violation = format!("{request} comes after step {}, of {:?}", player.steps, player.owners);
                self.violations.lock().unwrap().push(violation);
            }
            player.steps = steps;
        }
        json!(player.steps)
    }
}

impl Inboxes {
    fn send(&mut self, zone: u64, line: &Value) -> Value {
        // It may have failed.
        let sent = self.of_zones.get_mut(&zone).map(|inbox| inbox.write_all(format!("{line}\n").as_bytes()));
        json!(sent.is_some_and(|sent| sent.is_ok()))
    }

    fn on_arrival(&mut self) -> Value {
        self.arrived += 1;
        if self.arrived == PLAYERS {
            for zone in 0..ZONES {
                self.send(zone, &json!("end"));
            }
        }
        json!(true)
    }
}
