//! What is on the wire: bytes into lines, lines into requests, replies into bytes. Knows nothing about sockets, locks
//! or time.
//!
//! What the lines mean is in [the protocol](crate::docs::protocol).

pub mod answer;
pub mod json;
pub mod line;
pub mod listing;
pub mod peer;
pub mod reason;
pub mod reply;
pub mod request;
pub mod transcript;

/// What a client can add to a request to recognise its replies: a whole number below 2^53 or a short string.
///
/// `T` is the type of the string: borrowed from the line, or owned while a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id<T> {
    /// A whole number from 0 to 2^53 - 1; `2.0` is the number 2 and is returned as `2`.
    Number(u64),
    /// A string of at most [`ID_BYTES_MAX`](request::ID_BYTES_MAX) bytes.
    Text(T),
}

impl<T: AsRef<str>> Id<T> {
    /// The same id, borrowed.
    pub fn as_ref(&self) -> Id<&str> {
        match self {
            Id::Number(number) => Id::Number(*number),
            Id::Text(text) => Id::Text(text.as_ref()),
        }
    }
}
