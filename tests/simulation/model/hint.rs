//! Hints: a holder that asked for it hears that somebody else wants its lock.

use super::text::notice;
use super::{Model, Said, session, with_owner};

impl Model {
    /// Somebody wants these locks: each holder that has a hint and was not told since its grant or last renewal is told
    /// now. Those that have no connection keep their hint.
    pub(super) fn tell_holders(&mut self, names: &[String], said: &mut Said) {
        for name in names {
            let waiters = self.queue(name).len();
            let is_meant = |hold: &&mut super::Hold| hold.name == *name && hold.terms.hint && !hold.is_told;
            let Some(hold) = self.holds.iter_mut().find(is_meant) else { continue };
            if session::is_away(hold.who.seat) {
                self.met.push("a hint that nobody is there to get");
                continue;
            }
            hold.is_told = true;
            let notice = notice(name, "wanted", hold.token);
            let notice = format!(r#"{},"waiters":{waiters}}}"#, &notice[..notice.len() - 1]);
            said.push((hold.who.seat, with_owner(notice, hold.who.owner.as_deref())));
        }
    }
}
