//! The server over in-memory sockets and in virtual time: what `officer run` runs, without the system around it.

#[path = "../support/answers.rs"]
mod answers;
mod bad_requests;
mod budgets;
#[path = "../support/certificates.rs"]
mod certificates;
mod closings;
mod conversations;
mod crowds;
mod deadlocks;
mod departures;
#[path = "../support/directory.rs"]
mod directory;
mod document;
mod figures;
mod framing;
mod hints;
mod http;
mod ids;
mod input;
mod limits;
mod logged;
#[path = "../support/memory.rs"]
mod memory;
mod metrics;
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
#[path = "../support/skip.rs"]
mod skip;
mod slow_holds;
mod sockets;
mod strangers;
mod tls;
mod tokens;
mod transcript;
mod transfers;
mod users;
mod walks;
mod watching;
mod words;
mod world;
