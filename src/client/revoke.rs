//! Taking locks away from their holders.

use super::error::Error;
use super::request::Request;
use super::state::CallKind;
use super::{Client, Owner};

/// Which holds of a lock to end. The default ends all of them, and opens the lock if a `min_hold` or `lost_delay` keeps it
/// closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokeOptions {
    /// Only the hold with this token.
    pub token: Option<u64>,
    /// Only holds of the connection of this name.
    pub connection: Option<String>,
    /// Only holds of this owner.
    pub owner: Option<Owner>,
}

impl RevokeOptions {
    /// Only the hold with this token.
    #[must_use]
    pub fn token(mut self, token: u64) -> Self {
        self.token = Some(token);
        self
    }

    /// Only holds of the connection that listings give this name.
    #[must_use]
    pub fn connection(mut self, connection: impl Into<String>) -> Self {
        self.connection = Some(connection.into());
        self
    }

    /// Only holds of this owner, of whatever connection.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<Owner>) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

impl Client {
    /// Takes a lock, and nothing else, away from its holders. It has passed on when this returns. Says
    /// how many holds were ended, which may be 0 if the lock was closed and is open now. None: there was nothing to end.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock_with("boss:17", LockOptions::default().fence())?;
    /// let token = guard.token().expect("asked for");
    /// // This hold, and not one that somebody has acquired since.
    /// let options = RevokeOptions::default().token(token);
    /// assert_eq!(client.revoke("boss:17", &options)?, Some(1));
    /// assert_eq!(client.revoke("boss:17", &options)?, None);
    /// assert_eq!(guard.release(), Err(Error::NotHeld));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Server`] with `Reason::NotAllowed` from another machine, unless the server was told otherwise;
    /// [`Error::Unsupported`]; [`Error::ConnectionLost`].
    pub fn revoke(&self, name: &str, options: &RevokeOptions) -> Result<Option<u64>, Error> {
        let name = self.with_namespace(name);
        let request = Request {
            command: "revoke",
            name: Some(&name),
            token: options.token,
            connection: options.connection.as_deref(),
            owner: options.owner.as_ref(),
            ..Request::default()
        };
        let answer = self.shared().ask(CallKind::Change, &["revoke"], request)?;
        match answer.result.as_str() {
            "revoked" => Ok(Some(answer.count)),
            "revoke_failed" => Ok(None),
            _ => Err(Error::unexpected(&format!("{answer:?}"))),
        }
    }
}
