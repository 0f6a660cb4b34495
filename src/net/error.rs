//! Why a server that was running has ended, or goes on as it was.

use std::{fmt, io};

use super::{BindError, TlsError, TokensError, UsersError};

/// Why a server that was running has ended. Each is one line that says what to do. All locks are free then.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The poll itself failed, which does not happen on a working system.
    Poll(io::Error),
    /// The tokens were used up and no more could be reserved, for this reason if the attempt has come to an end. A token
    /// would have been given out twice.
    OutOfTokens(Option<TokensError>),
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        RunError::Poll(error)
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Poll(error) => write!(f, "the system's poll failed ({error}); all locks are free, start again"),
            RunError::OutOfTokens(Some(error)) => {
                write!(
                    f,
                    "the server has ended without tokens for more grants: {error}; all locks are free, start again"
                )
            }
            RunError::OutOfTokens(None) => f.write_str(
                "the server has ended without tokens for more grants: reserving them takes too long; check the disk; \
                 all locks are free, start again",
            ),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::Poll(error) => Some(error),
            RunError::OutOfTokens(error) => error.as_ref().map(|error| error as _),
        }
    }
}

/// Why a reload was refused: one line that says what to do. The server goes on as before.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReloadError {
    /// The users.
    Users(UsersError),
    /// With what was read, a listener would need more protection.
    Listener(BindError),
    /// The files for TLS are not good.
    Tls(TlsError),
}

impl From<UsersError> for ReloadError {
    fn from(error: UsersError) -> Self {
        ReloadError::Users(error)
    }
}

impl From<BindError> for ReloadError {
    fn from(error: BindError) -> Self {
        ReloadError::Listener(error)
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Users(error) => error.fmt(f),
            ReloadError::Listener(error) => error.fmt(f),
            ReloadError::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReloadError::Users(error) => error.source(),
            ReloadError::Listener(error) => error.source(),
            ReloadError::Tls(error) => error.source(),
        }
    }
}
