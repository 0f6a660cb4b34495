//! What the fuzz targets compare Officer with: a second implementation, from the protocol, with lists and plain loops.
//!
//! Slow and simple is the point. Nothing here shares a type or a trick with the code it judges, so that both are
//! unlikely to be wrong in the same way.

#![forbid(unsafe_code)]

pub mod answer;
pub mod deadlines;
pub mod framing;
pub mod json;
pub mod memory;
/// The simulation uses the same model.
#[path = "../../tests/simulation/model.rs"]
pub mod model;
pub mod pieces;
pub mod reply;
pub mod request;
pub mod script;
pub mod transcript;
