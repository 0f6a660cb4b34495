//! What tests of the release binary share: starting it, talking to it, and waiting for it.
#![allow(dead_code, reason = "every test program uses what it needs, and none needs all of it")]

pub(crate) mod address;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod directory;
pub(crate) mod lines;
pub(crate) mod patience;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod signals;
pub(crate) mod skip;
pub(crate) mod terminal;
pub(crate) mod users;
