//! The server as a service: in the background, under a service manager, and with its log in a file; and `officer
//! print`.

mod background;
mod listeners;
mod log;
mod manager;
mod others;
mod passed;
mod pid_file;
mod print;
mod reload;
mod restart;
mod start;
mod status;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod users;
