//! The server as a service: in the background, under a service manager, and with its log in a file; and what packagers
//! print.

mod background;
#[allow(dead_code, reason = "made for the tests of the server in the foreground, which need more of it")]
#[path = "../real/client.rs"]
mod client;
mod log;
mod manager;
mod others;
mod passed;
mod pid_file;
mod print;
#[allow(dead_code, reason = "made for the tests of the server in the foreground, which need more of it")]
#[path = "../real/server.rs"]
mod server;
mod start;
mod stop;
mod terminal;
