//! The program itself, as people run it: `officer run` in a process of its own, over real TCP and UNIX sockets.

mod accepting;
mod bad_input;
mod beside;
mod conversations;
mod descriptors;
mod end;
mod framing;
mod greedy;
mod http;
mod idle;
mod limits;
mod logs;
mod memory;
mod metrics;
mod options;
mod output;
mod pauses;
mod protocols;
mod reconnect;
mod reloads;
mod resumption;
mod secrets;
mod sessions;
mod signals;
mod start;
mod story;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tokens;
mod traced;
mod watching;
