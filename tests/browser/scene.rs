//! A server as a person may find it: players, bosses, auctions, who holds them and who waits.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::json;

use crate::page::serve;
use crate::support::client::Client;
use crate::support::server::Server;

/// Locks that are held and waited for, for as long as this is there.
pub(crate) struct Scene {
    server: Server,
    pub(crate) http: SocketAddr,
    clients: Vec<Client>,
}

impl Scene {
    /// The lock that most wait for is `auction:house`.
    pub(crate) fn start() -> Scene {
        let (server, http) = serve(&[]);
        let mut scene = Scene { server, http, clients: Vec::new() };
        let mut zones: Vec<Client> = (1..=4).map(|n| scene.connect(&format!("zone-{n}"))).collect();
        for n in 0..24 {
            zones[n % 4].acquire(&format!("player:{}", 4700 + n * 37));
        }
        // Holds that have ended, of several lengths, and waits.
        for round in 0..30 {
            zones[0].acquire("boss:9");
            zones[1].queue_for("boss:9");
            if round % 3 == 0 {
                zones[2].acquire(&format!("trade:{round}"));
                zones[2].release(&format!("trade:{round}"));
            }
            zones[0].release("boss:9");
            zones[1].expect_acquired("boss:9");
            zones[1].release("boss:9");
        }
        let label = json!({"command": "lock", "name": "auction:house", "owner": "guild:5", "label": "end of the day"});
        assert_eq!(zones[0].ask(label)["result"], "acquired");
        for zone in &mut zones[1..] {
            zone.queue_for("auction:house");
        }
        for n in 1..=9 {
            let mut client = scene.connect(&format!("crafting-{n}"));
            client.queue_for("auction:house");
            scene.clients.push(client);
        }
        let mut raid = scene.connect("raid");
        raid.acquire("boss:17");
        zones[3].queue_for("boss:17");
        for mode in 0..3 {
            let shared = json!({"command": "lock", "name": "dungeon:map", "mode": "shared", "owner": mode});
            assert_eq!(raid.ask(shared)["result"], "acquired");
        }
        scene.clients.push(raid);
        scene.clients.extend(zones);
        scene
    }

    /// Ends the server.
    pub(crate) fn stop(&mut self) {
        self.server.signal(Signal::TERM);
        assert!(self.server.wait().0.success());
    }

    /// A client with this name.
    pub(crate) fn connect(&self, name: &str) -> Client {
        let mut client = self.server.connect();
        assert_eq!(client.ask(json!({"command": "hello", "client": name}))["result"], "hello");
        client
    }
}
