//! Officer is a distributed lock server. Processes on many machines ask it for named locks; one at a time gets each, the
//! others queue in order, and a lock is released the moment its holder's connection goes.
//!
//! This crate is the server's program and its parts. The way of a request through them:
//!
//! ```text
//!  net: poll, listeners, signals, the clock
//!    │ ready(connection)            ▲ write once per connection and turn
//!    ▼                              │
//!  server::Server<S: Socket>        │      one turn: read what is ready and carry it out, expire, close, flush
//!    inbox ─► wire::line ─► wire::request ─► engine::Engine ─► wire::reply ─► outbox
//!                             (borrowed)     locks, sessions,
//!                                            deadlines; no IO, no clock
//! ```
//!
//! Imports point one way: [`cli`] → [`net`] → [`server`] → [`engine`] → [`wire`]; [`client`] imports [`wire`] alone.
//! [`wire`] and [`slots`] import nothing of ours. Whatever decides anything is in [`server`] and [`engine`], which run unchanged in tests, over sockets made of
//! memory and in virtual time.

#[cfg(any(doc, doctest))]
pub mod docs;

#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "cli")]
mod console;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "cli")]
mod top;

#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod slots;
pub mod time;
pub mod wire;
