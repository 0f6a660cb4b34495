//! A zone: its connection, and the players in it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use officer::client::{CachedGuard, Client, Error, Guard, LockCache, LockOptions, Recipient};
use serde_json::{Value, json};

use super::{Figures, MOVES, PLAYERS, ZONES, connect};
use crate::support::client::Client as Connection;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::proxy::{Direction, Proxy};

/// How many players a zone moves on at a time.
const WORKERS: usize = 3;
/// Much longer than a connection is away.
const GRACE: Duration = Duration::from_secs(120);
/// How often a zone tries to hand over those who walk to another.
const RETRY: Duration = Duration::from_millis(20);
/// The owner of what a zone holds. An auditor is another.
const ZONE: &str = "zone";

/// A lock of a player who walks to another zone.
struct Leaving {
    guard: Guard,
    /// What the other zone calls itself.
    to: String,
    token: u64,
    steps: u64,
}

/// One process: its connection, and the players in it.
pub(super) struct Zone {
    number: u64,
    server: SocketAddr,
    world: SocketAddr,
    proxy: Proxy,
    client: Client,
    cache: LockCache,
    /// The last token for each player who was here.
    known: Mutex<HashMap<u64, u64>>,
    leaving: Mutex<HashMap<u64, Arc<Leaving>>>,
    has_left: Condvar,
    recovery: Mutex<()>,
    figures: Mutex<Figures>,
}

impl Zone {
    pub(super) fn new(number: u64, server: SocketAddr, world: SocketAddr, wanted: Sender<u64>) -> Zone {
        let proxy = Proxy::new(&server.to_string().as_str().into());
        let client = proxy.options().name(name_of(number)).session(GRACE).connect().unwrap();
        let options = LockOptions::timeout(PATIENCE).owner(ZONE).fence();
        let options = options.on_wanted(move |of| _ = wanted.send(player_of(&of.name)));
        Zone {
            number,
            server,
            world,
            proxy,
            cache: LockCache::with_options(&client, options),
            client,
            known: Mutex::default(),
            leaving: Mutex::default(),
            has_left: Condvar::new(),
            recovery: Mutex::new(()),
            figures: Mutex::default(),
        }
    }

    fn count(&self, what: &str) {
        self.figures.lock().unwrap().count(what);
    }

    /// Until everybody has arrived.
    pub(super) fn run(&self, wanted: Receiver<u64>) {
        let is_over = &AtomicBool::new(false);
        let (sender, players) = channel();
        let players = Mutex::new(players);
        thread::scope(|scope| {
            scope.spawn(move || self.hand_over(&wanted, is_over));
            let workers: Vec<_> = (0..WORKERS as u64)
                .map(|worker| {
                    let (players, random) = (&players, fastrand::Rng::with_seed(self.number * 100 + worker));
                    let world = connect(self.world);
                    scope.spawn(move || Worker { zone: self, world, random }.work(players))
                })
                .collect();
            let mut inbox = connect(self.world);
            inbox.send(json!({"inbox": self.number}));
            loop {
                match inbox.receive() {
                    Value::String(_) => break,
                    player => sender.send(player).unwrap(),
                }
            }
            drop(sender);
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(self.leaving.lock().unwrap().is_empty(), "everybody has arrived");
    }

    /// Hands over the locks of players who walk to another zone: as soon as that one wants them, or a little later if another
    /// has wanted them before.
    fn hand_over(&self, wanted: &Receiver<u64>, is_over: &AtomicBool) {
        let mut world = connect(self.world);
        let mut retry_at = Instant::now() + RETRY;
        while !is_over.load(Ordering::Relaxed) {
            match wanted.recv_timeout(RETRY) {
                Ok(player) => self.hand_over_one(player, &mut world),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the cache lives as long as the zone"),
            }
            if Instant::now() >= retry_at {
                let players: Vec<u64> = self.leaving.lock().unwrap().keys().copied().collect();
                players.into_iter().for_each(|player| self.hand_over_one(player, &mut world));
                retry_at = Instant::now() + RETRY;
            }
        }
    }

    fn hand_over_one(&self, player: u64, world: &mut Connection) {
        let Some(leaving) = self.leaving.lock().unwrap().get(&player).cloned() else { return };
        match self.transfer(&leaving) {
            Ok(true) => self.count("transfers"),
            Ok(false) => return,
            // The session was ended.
            Err(Error::ConnectionLost { .. } | Error::NotHeld) => {
                eventually("it is lost", || leaving.guard.is_lost());
                self.count("lost on the way");
            }
            Err(error) => panic!("the transfer of player {player} to {}: {error}", leaving.to),
        }
        self.leaving.lock().unwrap().remove(&player);
        self.has_left.notify_all();
        if player.is_multiple_of(7) {
            // As if it had been paused in the middle of something. It may still be in time.
            let Leaving { token, steps, .. } = *leaving;
            self.write_late(world, player, token, steps);
        }
    }

    /// Says whether the other zone was there to take it.
    fn transfer(&self, Leaving { guard, to, .. }: &Leaving) -> Result<bool, Error> {
        let lock = self.client.lock_status(guard.name())?;
        let waiter = lock.iter().flat_map(|lock| &lock.waiters).find(|waiter| waiter.client.as_ref() == Some(to));
        match waiter {
            Some(waiter) => guard.transfer(Recipient::from(waiter)),
            None if guard.is_lost() => Err(Error::NotHeld),
            None => Ok(false),
        }
    }

    /// The world believes it only if nobody has entered the player since. Says whether it did.
    fn write_late(&self, world: &mut Connection, player: u64, token: u64, steps: u64) -> bool {
        let answer = world.ask(json!({"player": player, "zone": self.number, "token": token, "steps": steps + 1}));
        self.count(if answer.is_u64() { "steps" } else { "refused" });
        answer.is_u64()
    }

    /// Gives up everything, and returns what happened.
    pub(super) fn end(self) -> Figures {
        // The network is in this process. Whatever it still carries at its end is lost.
        self.proxy.cut_after(Direction::ToServer, usize::MAX);
        self.cache.clear();
        let _ = self.client.ping();
        let mut figures = self.figures.into_inner().unwrap();
        figures.0.insert("cuts".to_owned(), self.proxy.cuts().into());
        figures
    }

    /// A new connection if the session was ended.
    fn recover(&self) {
        let _one_at_a_time = self.recovery.lock().unwrap();
        // This can be cut too.
        eventually("it is connected", || !self.client.is_lost() || self.client.reconnect().is_ok());
    }
}

/// One of those in a zone who move players on.
struct Worker<'a> {
    zone: &'a Zone,
    world: Connection,
    random: fastrand::Rng,
}

impl Worker<'_> {
    fn work(mut self, players: &Mutex<Receiver<Value>>) {
        loop {
            let next = players.lock().unwrap().recv();
            let Ok(next) = next else { return };
            self.host(next["player"].as_u64().unwrap(), next["moves"].as_u64().unwrap());
        }
    }

    /// A player comes, does something, and goes.
    fn host(&mut self, player: u64, moves: u64) {
        let zone = self.zone;
        let mut late = None;
        let (guard, token, steps) = loop {
            let (guard, token) = self.enter(player);
            let known = zone.known.lock().unwrap().insert(player, token);
            if moves > 0 && late.is_none() {
                zone.count("moves");
                if known == Some(token) {
                    zone.count("without a round trip");
                }
            }
            let (steps, is_refused) = self.act(player, token, late);
            if is_refused {
                eventually("whoever is refused has lost the lock", || guard.is_lost());
            }
            if !guard.is_lost() {
                break (guard, token, steps);
            }
            late = Some((token, steps));
        };
        if moves == MOVES {
            drop(guard);
            assert_eq!(self.world.ask(json!({"arrived": player})), true);
            return;
        }
        let to = self.leave(guard, player, token, steps);
        self.send(player, to, moves);
    }

    /// Returns the zone that the player comes to next.
    fn leave(&mut self, guard: CachedGuard, player: u64, token: u64, steps: u64) -> u64 {
        let zone = self.zone;
        match self.random.u32(..100) {
            // Steps out for a moment. The lock is kept.
            0..60 => zone.number,
            // Walks to the next zone.
            60..85 => {
                let next = (zone.number + self.random.u64(1..=2)) % ZONES;
                let leaving = Leaving { guard: guard.take(), to: name_of(next), token, steps };
                zone.leaving.lock().unwrap().insert(player, Arc::new(leaving));
                next
            }
            // Comes back after all, perhaps elsewhere.
            85..95 => self.random.u64(..ZONES),
            // Goes on a journey. The lock is free.
            _ => {
                drop(guard.take());
                self.random.u64(..ZONES)
            }
        }
    }

    fn send(&mut self, player: u64, zone: u64, moves: u64) {
        let is_sent = self.world.ask(json!({"player": player, "to": zone, "moves": moves + 1}));
        assert_eq!(is_sent, true, "zone {zone} is there");
    }

    /// The lock of a player, with its token.
    fn enter(&mut self, player: u64) -> (CachedGuard, u64) {
        let zone = self.zone;
        // The hand-over of the last time may not have been answered yet.
        let leaving = zone.leaving.lock().unwrap();
        let waited = zone.has_left.wait_timeout_while(leaving, PATIENCE, |leaving| leaving.contains_key(&player));
        assert!(!waited.unwrap().1.timed_out(), "player {player} has not been handed over");
        loop {
            match zone.cache.lock(&lock_of(player)) {
                Ok(guard) => {
                    let token = guard.token().unwrap();
                    return (guard, token);
                }
                Err(Error::ConnectionLost { .. }) => zone.recover(),
                Err(error) => panic!("player {player} comes to zone {}: {error}", zone.number),
            }
        }
    }

    /// A few steps, and before them one that comes too late. Returns how far the player has come, and whether that is as far
    /// as the world lets this zone go.
    fn act(&mut self, player: u64, token: u64, late: Option<(u64, u64)>) -> (u64, bool) {
        let entry = json!({"player": player, "zone": self.zone.number, "token": token});
        let Some(mut steps) = self.world.ask(&entry).as_u64() else { return (0, true) };
        if let Some((token, steps)) = late {
            let is_believed = self.zone.write_late(&mut self.world, player, token, steps);
            assert!(!is_believed, "the world believes an old token");
        }
        for _ in 0..self.random.u32(1..=2) {
            self.disturb();
            let mut request = entry.clone();
            request["steps"] = json!(steps + 1);
            match self.world.ask(request).as_u64() {
                Some(written) => steps = written,
                None => return (steps, true),
            }
            self.zone.count("steps");
        }
        (steps, false)
    }

    /// What else happens now and then.
    fn disturb(&mut self) {
        let zone = self.zone;
        match self.random.u32(..1_000) {
            0..20 => zone.proxy.cut(),
            20..50 => {
                let direction = if self.random.bool() { Direction::ToServer } else { Direction::ToClient };
                zone.proxy.cut_after(direction, self.random.usize(1..500));
            }
            50..54 => {
                zone.proxy.set_down(true);
                thread::sleep(Duration::from_millis(self.random.u64(..20)));
                zone.proxy.set_down(false);
            }
            54..56 => {
                let kicked =
                    connect(zone.server).ask(json!({"command": "kick", "connection": zone.client.connection_name()}));
                if kicked["result"] == "kicked" {
                    zone.count("sessions ended");
                }
            }
            56..106 => self.audit(),
            _ => {}
        }
    }

    /// Looks at somebody who is nowhere at the moment, if there is one.
    fn audit(&mut self) {
        let player = self.random.u64(..PLAYERS as u64);
        let guard = match self.zone.client.lock_with(&lock_of(player), LockOptions::no_wait().fence()) {
            Ok(guard) => guard,
            Err(Error::TimedOut { .. } | Error::AnswerLost) => return,
            Err(Error::ConnectionLost { .. }) => return self.zone.recover(),
            Err(error) => panic!("an audit of player {player}: {error}"),
        };
        let entry = json!({"player": player, "zone": self.zone.number, "token": guard.token()});
        if !self.world.ask(entry).is_u64() {
            eventually("whoever is refused has lost the lock", || guard.is_lost());
        }
        self.zone.count("audits");
    }
}

fn name_of(zone: u64) -> String {
    format!("zone {zone}")
}

fn lock_of(player: u64) -> String {
    format!("player:{player}")
}

fn player_of(lock: &str) -> u64 {
    lock.strip_prefix("player:").unwrap().parse().unwrap()
}
