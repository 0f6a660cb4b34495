//! Players wander between zone servers, which have sessions. Their connections are cut now and then, and a few of the sessions
//! ended.
//!
//! A zone keeps the lock of a player who is likely to come back until another zone wants it, and hands it over to the zone
//! that a player walks to. Whatever happens, each player is owned by one zone: the world believes nobody who has an older
//! token than the last, and a zone that has not lost its lock is never refused.

mod world;
mod zone;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::ops::AddAssign;
use std::sync::mpsc::channel;
use std::{panic, process, thread};

use officer::client::{Client, Happening, Owner, WatchEvent};
use serde_json::json;

use self::world::World;
use self::zone::Zone;
use crate::hosts::Host;
use crate::process::{end_with_parent, start_this_program};
use crate::support::client::{Address, Client as Connection};
use crate::support::lines::lines_of_pipe;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::server::Server;
use crate::tcp_address;

const ZONES: u64 = 20;
const PLAYERS: usize = 1_000;
/// How often each player moves.
const MOVES: u64 = 12;
/// The last lock.
const THE_END: &str = "player:the end";
const VARIABLE: &str = "OFFICER_ZONES_CLIENT";

/// What happened, by name.
#[derive(Debug, Default)]
struct Figures(BTreeMap<String, u64>);

impl Figures {
    fn count(&mut self, what: &str) {
        self.0.entry(what.to_owned()).or_default().add_assign(1);
    }

    fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn connect(address: SocketAddr) -> Connection {
    let connection = Connection::connect(&Address::Tcp(address)).unwrap();
    connection.send_without_delay();
    connection
}

#[test]
#[ignore = "not a test: another test starts it as its client"]
fn a_zone_that_the_story_starts() {
    let Some(task) = end_with_parent(VARIABLE) else { return };
    // Whichever thread finds a fault.
    panic::set_hook(Box::new(|fault| {
        eprintln!("{fault}");
        process::exit(1);
    }));
    let words: Vec<&str> = task.split(' ').collect();
    let (wanted, receiver) = channel();
    let zone = Zone::new(words[2].parse().unwrap(), words[0].parse().unwrap(), words[1].parse().unwrap(), wanted);
    zone.run(receiver);
    println!("figures {}", json!(zone.end().0));
}

/// Watches the locks of players until the last lock of all is granted. Nobody gets what another has.
fn watch(client: &Client) -> u64 {
    let mut events = client.watch("player:").unwrap();
    let mut holders: HashMap<String, (Option<String>, Option<Owner>)> = HashMap::new();
    let mut granted = 0;
    loop {
        match events.next_within(PATIENCE).unwrap().expect("something happens") {
            WatchEvent::Lock(event) => match event.happening {
                Happening::Granted if event.name == THE_END => return granted,
                Happening::Granted => {
                    granted += 1;
                    let before = holders.insert(event.name.clone(), (event.connection.clone(), event.owner.clone()));
                    assert_eq!(before, None, "who had it when {event:?}");
                }
                Happening::Released => _ = holders.remove(&event.name),
                Happening::Queued | Happening::Left => {}
                other => panic!("{other:?} {event:?}"),
            },
            // Whoever has them now is not known.
            WatchEvent::Missed { .. } => holders.clear(),
            other => panic!("{other:?}"),
        }
    }
}

/// Runs the zones. Returns what happened in all of them.
fn run_zones(server: &Server, world: SocketAddr) -> Figures {
    let children: Vec<_> = (0..ZONES)
        .map(|number| {
            let task = format!("{} {world} {number}", tcp_address(server));
            start_this_program(&Host::here(), "zones::a_zone_that_the_story_starts", (VARIABLE, task))
        })
        .collect();
    let mut figures = Figures::default();
    let mut failed = 0;
    for mut child in children {
        let lines: Vec<String> = lines_of_pipe(child.stdout.take().unwrap()).collect();
        failed += u64::from(!child.wait().unwrap().success());
        let own = lines.iter().find_map(|line| line.strip_prefix("figures ")).unwrap_or("{}");
        for (what, count) in serde_json::from_str::<BTreeMap<String, u64>>(own).unwrap() {
            figures.0.entry(what).or_default().add_assign(count);
        }
    }
    assert_eq!(failed, 0, "zones found a fault, or ended with one that did");
    figures
}

#[test]
fn a_thousand_players_wander_between_twenty_zones_and_each_is_in_one_although_connections_are_cut() {
    let server = Server::tcp(&[]);
    let client = server.client();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let world = World::new();
    let (figures, grants) = thread::scope(|scope| {
        scope.spawn(|| world.serve(&listener));
        let watcher = scope.spawn(|| watch(&client));
        let figures = panic::catch_unwind(|| run_zones(&server, address));
        world.end(address);
        client.lock(THE_END).unwrap().release().unwrap();
        let grants = watcher.join();
        (figures.unwrap_or_else(|fault| panic::resume_unwind(fault)), grants.expect("each lock has one holder"))
    });
    assert_eq!(world.violations(), [""; 0]);
    eventually("all is free", || server.connect().locks() == json!({}));
    let stats = client.stats().unwrap();
    let moves = figures.of("moves");
    let share = figures.of("without a round trip") * 100 / moves;
    println!(
        "{moves} moves, {share} % of them without a round trip: {figures:?}; {grants} grants, {} resumptions",
        stats.resumptions
    );
    let players = world.players();
    assert_eq!(moves, PLAYERS as u64 * MOVES);
    assert_eq!(figures.of("steps"), players.iter().map(|player| player.steps).sum::<u64>());
    for (number, player) in players.iter().enumerate() {
        let is_in_order = player.owners.is_sorted_by(|earlier, later| earlier.0 < later.0);
        assert!(is_in_order, "player {number} was owned by {:?}", player.owners);
    }
    assert_eq!((stats.holds, stats.waiters), (0, 0));
    // That may have been the last that a session did, without an answer.
    let unanswered = stats.transfers - figures.of("transfers");
    assert!(unanswered <= figures.of("sessions ended"), "{unanswered} {figures:?}");
    for (what, least) in [("transfers", 1_000), ("cuts", 200), ("sessions ended", 10), ("refused", 20), ("audits", 20)]
    {
        assert!(figures.of(what) >= least, "{what}: {figures:?}");
    }
    assert!(stats.resumptions > 100, "{stats:?}");
    assert!(share > 30, "{figures:?}");
}
