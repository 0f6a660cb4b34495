//! The server over in-memory sockets and in virtual time: what `officer run` runs, without the system around it.

mod bad_requests;
mod budgets;
mod closings;
mod conversations;
mod crowds;
mod deadlocks;
mod departures;
mod document;
mod figures;
mod framing;
mod hints;
mod ids;
mod input;
mod limits;
#[path = "../support/memory.rs"]
mod memory;
mod operators;
mod original;
mod output;
mod own_pages;
mod pages;
mod pauses;
mod progress;
mod protocols;
mod queues;
mod revoking;
mod sessions;
mod several;
mod sockets;
mod tokens;
mod transcript;
mod transfers;
mod walks;
mod watching;
mod words;
mod world;
