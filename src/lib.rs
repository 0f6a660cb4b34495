//! x
pub mod slots;
pub mod wire;
