//! What the fuzz targets compare Officer with: a second implementation, from the protocol, with lists and plain loops.
//!
//! Slow and simple is the point. Nothing here shares a type or a trick with the code it judges, so that both are
//! unlikely to be wrong in the same way.

#![forbid(unsafe_code)]

pub mod answer;
#[path = "../../tests/support/certificates.rs"]
mod certificates;
pub mod deadlines;
#[path = "../../tests/support/directory.rs"]
mod directory;
pub mod framing;
pub mod grammar;
pub mod http;
pub mod json;
/// Two runs of a server, as the simulation compares them.
#[path = "../../tests/simulation/users/leak.rs"]
pub mod leak;
#[path = "../../tests/support/memory.rs"]
mod memory;
/// One model for both: the simulation has it too, and what it draws numbers and texts with.
#[path = "../../tests/simulation/model/mod.rs"]
pub mod model;
/// A server and a client of TLS, as the tests have them.
#[path = "../../tests/virtual/tls/pair.rs"]
mod pair;
pub mod pieces;
pub mod reply;
pub mod request;
pub mod script;
pub mod see;
#[path = "../../tests/simulation/sizes.rs"]
pub mod sizes;
#[path = "../../tests/virtual/world.rs"]
#[expect(dead_code, reason = "tests/virtual uses more of it")]
mod small_world;
pub mod tls;
pub mod transcript;
