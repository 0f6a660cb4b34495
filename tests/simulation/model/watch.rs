//! What happens to locks, as those who watch are told.

use super::{Model, Who};
use crate::sizes::quoted;

/// Something that happened to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub name: String,
    /// The notice.
    pub line: String,
}

impl Model {
    /// Something happens to a lock, by somebody's doing or by time alone.
    pub(super) fn happen(&mut self, event: &str, name: &str, who: Option<&Who>) {
        let mut keys = format!(r#""event":"{event}","name":{}"#, quoted(name));
        if let Some(who) = who {
            keys += &format!(r#","connection":{}"#, quoted(&self.shown(who.seat).connection));
            if let Some(owner) = &who.owner {
                keys += &format!(r#","owner":{owner}"#);
            }
        }
        self.happened.push(Happening { name: name.to_owned(), line: format!(r#"{{"notice":"event",{keys}}}"#) });
    }
}
