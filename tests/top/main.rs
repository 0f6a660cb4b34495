//! The released `officer top`: in a real terminal made by tmux, against a server in a process of its own; and `officer
//! top --once`.

mod full_screen;
mod once;
#[path = "../support/mod.rs"]
mod support;
mod terminal;

use support::client::Client;
use support::server::Server;

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
