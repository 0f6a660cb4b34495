//! Officer is a distributed lock server. Processes on many machines ask it for named locks; one at a time gets each, the
//! others queue in order, and a lock is released the moment its holder's connection is closed.
//!
//! # A client
//!
#![cfg_attr(all(feature = "client", feature = "server"), doc = "```")]
#![cfg_attr(not(all(feature = "client", feature = "server")), doc = "```ignore")]
//! use officer::client::{Client, Error, LockOptions};
//! use std::time::Duration;
//!
//! # use officer::net::{Config, Listen, Net};
//! # let mut net = Net::bind(Config::new(Listen::Tcp { host: "127.0.0.1".into(), port: 0 })).unwrap();
//! # let address = net.addresses().remove(0);
//! # std::thread::spawn(move || net.run(|_| std::ops::ControlFlow::Break(())));
//! // The server's address, such as "127.0.0.1:11500", or the path of its socket.
//! let client = Client::connect(address)?;
//!
//! // Waits for the lock, and holds it until the guard is released or dropped.
//! let guard = client.lock("boss:17")?;
//! guard.release()?;
//!
//! match client.lock_with("boss:17", LockOptions::timeout(Duration::from_secs(5))) {
//!     Ok(_guard) => println!("nobody else holds it"),
//!     Err(Error::TimedOut { queue }) => println!("held by {queue:?}"),
//!     Err(error) => return Err(error),
//! }
//!
//! // Both or none; for a minute, unless the client renews it; with a number by which a resource knows who comes late.
//! let options = LockOptions::default().lease(Duration::from_secs(60)).fence();
//! let trade = client.lock_all(["sword", "shield"], options)?;
//! assert!(trade.token().is_some() && !trade.is_lost());
//! # Ok::<(), Error>(())
//! ```
//!
//! Shared locks, semaphores, priorities and more are [`LockOptions`](client::LockOptions).
//!
//! A program that is only a client takes the feature `client` alone, and with it about a dozen packages:
//! `officer = { version = "0.1", default-features = false, features = ["client"] }`. The [client](client) runs wherever
//! the standard library does; UNIX sockets need a UNIX system.
//!
//! # A server
//!
//! The feature `server` is the server as a library, for UNIX systems: [`net::Net`] is one that listens.
//! The default feature, `cli`, is the program `officer`, for Linux and systems like it.
//!
//! # The architecture
//!
//! ```text
//!  net: poll, listeners, signals, the clock
//!    │ ready(connection)            ▲ write once per connection and turn
//!    ▼                              │
//!  server::Server<S: Socket>        │      one turn: read what is ready and execute it, expire, close, flush
//!    inbox ─► wire::line ─► wire::request ─► engine::Engine ─► wire::reply ─► outbox
//!                             (borrowed)     locks, sessions,
//!                                            deadlines; no IO, no clock
//! ```
//!
//! Imports point one way: `cli` → `bench`, `top` → `console` → [`net`] → `server` → `engine` → `wire`, and `console` →
//! [`client`] → `wire`. All that decides anything is in `server` and `engine`, which run unchanged in tests, over sockets
//! in memory and in virtual time.
//!
//! Public is what a program needs: [`client`] with the types that its calls take and return, and of the server what
//! [`net::Config`] is made of. `cli` is public, and hidden, for the program's `main` alone. The feature `unstable` shows
//! the other rooms to this package's own tests, benchmarks and fuzzers; they change without notice.
//!
//! The documents: [operating a server](docs::operating), [the protocol](docs::protocol), [HTTP](docs::http),
//! [recipes](docs::recipes), [writing a client](docs::clients), [the architecture](docs::architecture),
//! [how it is tested](docs::testing) and [measurements](docs::measurements).

#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub))]

#[cfg(any(doc, doctest))]
pub mod docs;

#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "cli")]
mod console;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "cli")]
mod top;

// Below are the rooms that no program should depend on. Our own tests, benchmarks and fuzzers see them by `unstable`;
// without it, `pub` in them reaches nobody.

#[cfg(all(feature = "server", not(feature = "unstable")))]
mod engine;
#[cfg(all(feature = "server", not(feature = "unstable")))]
mod server;
#[cfg(all(feature = "server", not(feature = "unstable")))]
mod slots;
#[cfg(all(feature = "server", not(feature = "unstable")))]
mod time;
#[cfg(all(any(feature = "client", feature = "server"), not(feature = "unstable")))]
mod wire;

#[cfg(all(feature = "server", feature = "unstable"))]
#[doc(hidden)]
pub mod engine;
#[cfg(all(feature = "server", feature = "unstable"))]
#[doc(hidden)]
pub mod server;
#[cfg(all(feature = "server", feature = "unstable"))]
#[doc(hidden)]
pub mod slots;
#[cfg(all(feature = "server", feature = "unstable"))]
#[doc(hidden)]
pub mod time;
#[cfg(all(any(feature = "client", feature = "server"), feature = "unstable"))]
#[doc(hidden)]
pub mod wire;
