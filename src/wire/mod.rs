//! What is on the wire: bytes into lines, lines into requests, replies into bytes. Knows nothing about sockets, locks
//! or time.
//!
//! What the lines mean is in [the protocol](crate::docs::protocol).

use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "server")]
use self::digits::Digits;

#[cfg(feature = "client")]
pub mod answer;
#[cfg(feature = "server")]
pub mod digits;
#[cfg(feature = "server")]
pub mod foreign;
pub mod happening;
#[cfg(feature = "server")]
pub mod items;
#[cfg(feature = "server")]
pub mod json;
#[cfg(feature = "server")]
pub mod line;
#[cfg(feature = "server")]
pub mod listing;
#[cfg(feature = "server")]
pub mod notice;
#[cfg(feature = "server")]
pub mod peer;
pub mod reason;
#[cfg(feature = "server")]
pub mod reply;
#[cfg(feature = "server")]
pub mod request;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
pub mod stats;
#[cfg(feature = "server")]
pub mod transcript;

/// What a client can add to a request to recognise its replies: a whole number below 2^53 or a short string.
///
/// `T` is the type of the string: borrowed from the line, or owned while a request waits. `N` is that of the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id<T, N = u64> {
    /// A whole number from 0 to 2^53 - 1; `2.0` is the number 2 and is returned as `2`.
    Number(N),
    /// A string of at most 64 bytes.
    Text(T),
}

/// One of the parties that share a connection: a player, a task, a thread. It has the form of an id, and `7` and
/// `"7"` are different.
pub type Owner<T> = Id<T>;

/// An id as a request brings it and a reply returns it.
#[cfg(feature = "server")]
pub type IdRef<'a> = Id<&'a str, Digits>;

/// An owner as a request brings it and a reply returns it.
#[cfg(feature = "server")]
pub type OwnerRef<'a> = IdRef<'a>;

impl From<u64> for Id<Box<str>> {
    fn from(number: u64) -> Self {
        Id::Number(number)
    }
}

impl From<&str> for Id<Box<str>> {
    fn from(text: &str) -> Self {
        Id::Text(text.into())
    }
}

impl From<String> for Id<Box<str>> {
    fn from(text: String) -> Self {
        Id::Text(text.into())
    }
}

impl fmt::Display for Id<Box<str>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => number.fmt(f),
            Id::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(feature = "server")]
impl<T: AsRef<str>> Id<T> {
    /// The same id, borrowed.
    pub fn as_ref(&self) -> IdRef<'_> {
        match self {
            Id::Number(number) => Id::Number((*number).into()),
            Id::Text(text) => Id::Text(text.as_ref()),
        }
    }
}
