//! `officer top` as it is released: in a real terminal, which tmux makes, against a server in a process of its own; and
//! `officer top --once`.

#[path = "../real/client.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod client;
mod full_screen;
mod once;
#[path = "../real/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
mod terminal;

use client::Client;
use server::Server;

/// Somebody who holds a lock for others to wait for.
fn holder(server: &Server, name: &str, client: &str) -> Client {
    let mut holder = connect(server);
    let hello = serde_json::json!({ "command": "hello", "client": client });
    assert_eq!(holder.ask(hello)["result"], "hello");
    holder.acquire(name);
    holder
}

/// Somebody who waits for a lock.
fn waiter(server: &Server, name: &str) -> Client {
    let mut waiter = connect(server);
    waiter.queue_for(name);
    waiter
}

fn connect(server: &Server) -> Client {
    Client::connect(server.address()).expect("the server takes connections")
}

/// The options with which a command finds a server.
fn options(server: &Server) -> Vec<String> {
    match server.address() {
        client::Address::Tcp(address) => {
            ["-h", &address.ip().to_string(), "-p", &address.port().to_string()].map(str::to_owned).to_vec()
        }
        client::Address::Unix(path) => ["-o", "UNIX", "-f", path.to_str().unwrap()].map(str::to_owned).to_vec(),
    }
}
