//! What the fuzz targets compare Officer with: written a second time, from the protocol, with lists and plain loops.
//!
//! Slow and simple is the point. Nothing here shares a type or a trick with what it judges, so that both being wrong in
//! the same way is unlikely.

#![forbid(unsafe_code)]

pub mod answer;
pub mod deadlines;
pub mod framing;
pub mod grammar;
pub mod json;
pub mod memory;
/// One model for both: the simulation has it too.
#[path = "../../tests/simulation/model.rs"]
pub mod model;
pub mod pieces;
pub mod reply;
pub mod request;
pub mod script;
pub mod transcript;
