//! Who may do what: the users of the server, what proves that a connection is one of them, and their rights.
//!
//! A connection has a role from the moment at which it is known who it is: that of a user, of those who don't say who they
//! are, or, while no users are configured, of everybody. [`file`] reads the users; [`rights`] says what one may do.

mod file;
mod prefixes;
mod rights;
mod roles;
#[cfg(test)]
mod tests;

pub use self::file::{BadUsers, FILE_BYTES_MAX};
pub(in crate::server) use self::roles::{Identity, LoginFailed, Refusal, RoleKey, Roles};

use self::file::{File, Origin};

/// What a users file says. The default is a server without users: everybody may lock everything, and the address decides
/// who may end others.
#[derive(Debug, Default)]
pub struct Access {
    file: Option<File>,
}

impl Access {
    /// Reads the text of a users file: TOML, see `operating.md`.
    ///
    /// # Errors
    /// [`BadUsers`] says what is wrong, without anything that could be a secret.
    pub fn parse(text: &str) -> Result<Access, BadUsers> {
        Ok(Access { file: Some(File::parse(text)?) })
    }

    /// Whether there are users, or rules for those who don't say who they are.
    pub fn has_users(&self) -> bool {
        self.file.is_some()
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.file.as_ref().map_or(0, |file| file.users.len())
    }

    /// Whether there is a file, with neither a user in it nor rules for those who don't say who they are.
    pub fn names_nobody(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.users.is_empty() && file.anonymous.is_none())
    }

    /// Whether somebody from another machine may lock something without saying who it is.
    pub fn is_open_to_all(&self) -> bool {
        let Some(file) = &self.file else { return true };
        let rules = file.anonymous.as_ref().filter(|rules| rules.from.contains(&Origin::Anywhere));
        rules.is_some_and(|rules| !rules.rights.locks.is_empty())
    }

    /// Whether some user has a secret.
    pub fn has_secrets(&self) -> bool {
        self.file.iter().flat_map(|file| &file.users).any(|user| !user.digests.is_empty())
    }
}
