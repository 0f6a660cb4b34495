//! What is on the wire: bytes into lines, lines into requests, replies into bytes. Knows nothing about sockets, locks
//! or time.
//!
//! What the lines mean is in [the protocol](crate::docs::protocol).

#[cfg(feature = "client")]
pub mod answer;
#[cfg(feature = "server")]
pub mod foreign;
#[cfg(feature = "server")]
pub mod items;
#[cfg(feature = "server")]
pub mod json;
#[cfg(feature = "server")]
pub mod line;
#[cfg(feature = "server")]
pub mod listing;
#[cfg(feature = "server")]
pub mod peer;
pub mod reason;
#[cfg(feature = "server")]
pub mod reply;
#[cfg(feature = "server")]
pub mod request;
#[cfg(feature = "server")]
pub mod transcript;

/// What a client can add to a request to recognise its replies: a whole number below 2^53 or a short string.
///
/// `T` is the type of the string: borrowed from the line, or owned while a request waits.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id<T> {
    /// A whole number from 0 to 2^53 - 1; `2.0` is the number 2 and is returned as `2`.
    Number(u64),
    /// A string of at most [`ID_BYTES_MAX`](request::ID_BYTES_MAX) bytes.
    Text(T),
}

/// Which of the parties behind one connection is meant: a player, a task, a thread. It has the form of an id, and `7` and
/// `"7"` are different.
#[cfg(feature = "server")]
pub type Owner<T> = Id<T>;

#[cfg(feature = "server")]
impl<T: AsRef<str>> Id<T> {
    /// The same id, borrowed.
    pub fn as_ref(&self) -> Id<&str> {
        match self {
            Id::Number(number) => Id::Number(*number),
            Id::Text(text) => Id::Text(text.as_ref()),
        }
    }
}
