//! What SIGHUP has the server read again: the users, and the files for TLS.

use super::error::ReloadError;
use super::protection::Protection;
use super::tls::TlsOptions;
use super::{Net, first_outside};
use crate::server::LOG_TARGET;

/// What happens at SIGHUP.
#[derive(Clone, Copy, Debug)]
pub enum Reload<'a> {
    /// Nothing is read yet.
    Begins,
    /// Everything was read and is used from now on; or nothing has changed, for this reason.
    Over(Option<&'a ReloadError>),
}

impl Net {
    /// Whether a reload does something.
    pub fn has_something_to_reload(&self) -> bool {
        self.config.users.is_some() || self.config.tls.is_some()
    }

    /// Reads again what can be read again. After an error everything is as before.
    pub(super) fn reload(&mut self) -> Result<(), ReloadError> {
        if !self.has_something_to_reload() {
            return Ok(());
        }
        let reloaded = self.reload_files();
        (self.is_reloaded, self.outside_due) = (reloaded.is_ok(), first_outside(&self.listeners));
        match &reloaded {
            Ok(done) => log::info!(target: LOG_TARGET, "reloaded: {done}"),
            Err(error) => log::error!(target: LOG_TARGET, "not reloaded, the server goes on as before: {error}"),
        }
        reloaded.map(|_| ())
    }

    /// Nothing is changed unless all files are good. Returns what was reloaded.
    fn reload_files(&mut self) -> Result<String, ReloadError> {
        let access = self.config.access()?;
        let protection = Protection::of(&self.config, &access);
        protection.check(self.listeners.places())?;
        let tls = self.config.tls.as_ref().map(TlsOptions::load).transpose().map_err(ReloadError::Tls)?;
        let mut done = Vec::new();
        if access.has_users() {
            done.push(format!("{} users", access.users()));
            self.server.set_access(access);
        }
        self.protection = protection;
        if let Some(tls) = tls {
            tls.warnings().iter().for_each(|warning| log::warn!(target: LOG_TARGET, "{warning}"));
            self.listeners.set_tls(tls);
            done.push("the certificate and key for TLS".to_owned());
        }
        Ok(done.join(", "))
    }
}
