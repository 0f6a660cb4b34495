//! Why the server refuses a request.

use std::convert::Infallible;
use std::fmt;

use serde::{Deserialize, Deserializer};

/// Why the server refused a request, for programs.
///
/// `T` is the type of a reason that this version does not know: text for a client, which may talk to a newer server. A
/// server sends no such reason, so there it is a type without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason<T = Infallible> {
    /// The line is not well-formed.
    InvalidJson,
    /// Well-formed, but not a request.
    InvalidRequest,
    /// No command of that name.
    UnknownCommand,
    /// The line is over the limit; the connection is closed.
    LineTooLong,
    /// The server has reached its limit on connections; the connection is closed.
    TooManyConnections,
    /// The connection has reached its limit on locks that it holds or waits for.
    TooManyLocks,
    /// The lock has reached its limit on waiters.
    TooManyWaits,
    /// A listing is over the limit.
    ReplyTooLarge,
    /// A second `lock`, with an `id`, for a name that the connection still waits for.
    AlreadyQueued,
    /// The server is shutting down, which ends the wait.
    ShuttingDown,
    /// The user may not do that, or nobody from the address of the connection.
    NotAllowed,
    /// The connection began with another protocol, such as HTTP; the connection is closed.
    WrongProtocol,
    /// The asker is on the lock in another mode, or with other `slots`.
    ModeConflict,
    /// The semaphore has another number of units now.
    SlotsMismatch,
    /// A request for several locks, of which the asker holds some or waits for some.
    AlreadyHeld,
    /// Another connection resumed the session of this one, which is closed.
    SessionTaken,
    /// There is no session with this secret, or no longer.
    SessionUnknown,
    /// The server has reached its limit on sessions.
    TooManySessions,
    /// There is no such user, or that is not its secret; the connection is closed.
    AuthFailed,
    /// It is not known yet who the connection is, and such a one may hardly do anything; the connection is closed.
    NotAuthenticated,
    /// The user makes more requests than it may.
    TooManyRequests,
    /// A reason that this version does not know, as the server sent it.
    Other(T),
}

impl<T> Reason<T> {
    /// The word on the wire.
    fn word(&self) -> Result<&'static str, &T> {
        Ok(match self {
            Reason::InvalidJson => "invalid_json",
            Reason::InvalidRequest => "invalid_request",
            Reason::UnknownCommand => "unknown_command",
            Reason::LineTooLong => "line_too_long",
            Reason::TooManyConnections => "too_many_connections",
            Reason::TooManyLocks => "too_many_locks",
            Reason::TooManyWaits => "too_many_waits",
            Reason::ReplyTooLarge => "reply_too_large",
            Reason::AlreadyQueued => "already_queued",
            Reason::ShuttingDown => "shutting_down",
            Reason::NotAllowed => "not_allowed",
            Reason::WrongProtocol => "wrong_protocol",
            Reason::ModeConflict => "mode_conflict",
            Reason::SlotsMismatch => "slots_mismatch",
            Reason::AlreadyHeld => "already_held",
            Reason::SessionTaken => "session_taken",
            Reason::SessionUnknown => "session_unknown",
            Reason::TooManySessions => "too_many_sessions",
            Reason::AuthFailed => "auth_failed",
            Reason::NotAuthenticated => "not_authenticated",
            Reason::TooManyRequests => "too_many_requests",
            Reason::Other(word) => return Err(word),
        })
    }
}

#[cfg(feature = "server")]
impl Reason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        self.word().unwrap_or_else(|other| match *other {})
    }
}

impl Reason<Box<str>> {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        self.word().unwrap_or_else(|other| other)
    }
}

/// Reads the word on the wire.
impl From<Box<str>> for Reason<Box<str>> {
    fn from(word: Box<str>) -> Self {
        match &*word {
            "invalid_json" => Reason::InvalidJson,
            "invalid_request" => Reason::InvalidRequest,
            "unknown_command" => Reason::UnknownCommand,
            "line_too_long" => Reason::LineTooLong,
            "too_many_connections" => Reason::TooManyConnections,
            "too_many_locks" => Reason::TooManyLocks,
            "too_many_waits" => Reason::TooManyWaits,
            "reply_too_large" => Reason::ReplyTooLarge,
            "already_queued" => Reason::AlreadyQueued,
            "shutting_down" => Reason::ShuttingDown,
            "not_allowed" => Reason::NotAllowed,
            "wrong_protocol" => Reason::WrongProtocol,
            "mode_conflict" => Reason::ModeConflict,
            "slots_mismatch" => Reason::SlotsMismatch,
            "already_held" => Reason::AlreadyHeld,
            "session_taken" => Reason::SessionTaken,
            "session_unknown" => Reason::SessionUnknown,
            "too_many_sessions" => Reason::TooManySessions,
            "auth_failed" => Reason::AuthFailed,
            "not_authenticated" => Reason::NotAuthenticated,
            "too_many_requests" => Reason::TooManyRequests,
            _ => Reason::Other(word),
        }
    }
}

impl<'de> Deserialize<'de> for Reason<Box<str>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<str>::deserialize(deserializer).map(Self::from)
    }
}

impl fmt::Display for Reason<Box<str>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// None was given.
impl Default for Reason<Box<str>> {
    fn default() -> Self {
        Reason::Other(Box::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "server")]
    fn a_client_reads_what_a_server_writes() {
        // A reason that is missing here makes `next` incomplete, which the compiler sees.
        let next = |reason| match reason {
            Reason::InvalidJson => Some(Reason::InvalidRequest),
            Reason::InvalidRequest => Some(Reason::UnknownCommand),
            Reason::UnknownCommand => Some(Reason::LineTooLong),
            Reason::LineTooLong => Some(Reason::TooManyConnections),
            Reason::TooManyConnections => Some(Reason::TooManyLocks),
            Reason::TooManyLocks => Some(Reason::TooManyWaits),
            Reason::TooManyWaits => Some(Reason::ReplyTooLarge),
            Reason::ReplyTooLarge => Some(Reason::AlreadyQueued),
            Reason::AlreadyQueued => Some(Reason::ShuttingDown),
            Reason::ShuttingDown => Some(Reason::NotAllowed),
            Reason::NotAllowed => Some(Reason::WrongProtocol),
            Reason::WrongProtocol => Some(Reason::ModeConflict),
            Reason::ModeConflict => Some(Reason::SlotsMismatch),
            Reason::SlotsMismatch => Some(Reason::AlreadyHeld),
            Reason::AlreadyHeld => Some(Reason::SessionTaken),
            Reason::SessionTaken => Some(Reason::SessionUnknown),
            Reason::SessionUnknown => Some(Reason::TooManySessions),
            Reason::TooManySessions => Some(Reason::AuthFailed),
            Reason::AuthFailed => Some(Reason::NotAuthenticated),
            Reason::NotAuthenticated => Some(Reason::TooManyRequests),
            Reason::TooManyRequests => None,
        };
        let all = std::iter::successors(Some(Reason::InvalidJson), |reason| next(*reason));
        for reason in all {
            let word = reason.as_str();
            let read = Reason::from(Box::from(word));
            assert_eq!(read.as_str(), word);
            assert!(!matches!(read, Reason::Other(_)), "{word}");
        }
    }

    #[test]
    fn a_reason_of_a_newer_server_is_kept_as_received() {
        let read: Reason<Box<str>> = serde_json::from_str(r#""moon_phase""#).unwrap();
        assert_eq!(read, Reason::Other("moon_phase".into()));
        assert_eq!(read.to_string(), "moon_phase");
        for line in ["7", "null", r#"{"invalid_json":null}"#] {
            assert!(serde_json::from_str::<Reason<Box<str>>>(line).is_err(), "{line}");
        }
    }
}
