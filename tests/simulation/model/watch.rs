//! What happens to locks, as those who watch are told.

use super::{Model, Said, Seat, Who};
use crate::sizes::quoted;

/// In place of a receiver, for what happened to a lock: everybody is told who watches it.
pub const WATCHERS: Seat = usize::MAX / 2;

impl Model {
    /// Watchers are told as well from now on.
    pub fn tell_watchers(&mut self) {
        self.has_watchers = true;
    }

    /// Something happens to a lock, by somebody's doing or by time alone.
    pub(super) fn happen(&self, event: &str, name: &str, who: Option<&Who>, said: &mut Said) {
        if !self.has_watchers {
            return;
        }
        let mut keys = format!(r#""event":"{event}","name":{}"#, quoted(name));
        if let Some(who) = who {
            keys += &format!(r#","connection":{}"#, quoted(&self.shown(who.seat).connection));
            if let Some(owner) = &who.owner {
                keys += &format!(r#","owner":{owner}"#);
            }
        }
        said.push((WATCHERS, format!(r#"{{"notice":"event",{keys}}}"#)));
    }
}
