//! What the fuzz targets compare Officer with: a second implementation, from the protocol, with lists and plain loops.
//!
//! Slow and simple is the point. Nothing here shares a type or a trick with the code it judges, so that both are
//! unlikely to be wrong in the same way.

#![forbid(unsafe_code)]

pub mod answer;
pub mod deadlines;
pub mod framing;
pub mod grammar;
pub mod http;
pub mod json;
#[path = "../../tests/support/memory.rs"]
mod memory;
/// One model for both: the simulation has it too, and what it draws numbers and texts with.
#[path = "../../tests/simulation/model/mod.rs"]
pub mod model;
pub mod pieces;
pub mod reply;
pub mod request;
pub mod script;
#[path = "../../tests/simulation/sizes.rs"]
pub mod sizes;
pub mod transcript;
