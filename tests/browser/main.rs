//! The page of a server in a real browser, as people see and use it.

mod access;
mod contrast;
mod ends;
mod gone;
mod hostile;
mod keyboard;
mod layout;
mod live;
mod many;
mod page;
mod pictures;
mod quiet;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod webdriver;
