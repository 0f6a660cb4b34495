//! What tests of the released program have in common: it is started, spoken to, and waited for.
#![allow(dead_code, reason = "every test program takes what it needs, and none needs all of it")]

pub(crate) mod client;
pub(crate) mod directory;
pub(crate) mod patience;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod signals;
pub(crate) mod skip;
