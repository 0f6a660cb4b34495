//! The line in the log about a hold that others wait for, and that has lasted for long.

use std::fmt;

use crate::engine::SlowHold;
use crate::wire::Id;

/// What clients have sent is shown as Rust writes text, with its quotes: nothing in it can look like another line.
pub(super) struct SlowHoldLine<'a> {
    pub(super) hold: &'a SlowHold<'a>,
    /// Such holds that had no line.
    pub(super) left_out: u64,
}

impl fmt::Display for SlowHoldLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlowHold { name, holder, held_for, waiters } = self.hold;
        let tenths = held_for.as_nanos() / 100_000_000;
        write!(f, "slow hold: {name:?} has been held for {}.{}s by {}", tenths / 10, tenths % 10, holder.connection)?;
        if let Some(client) = holder.client {
            write!(f, ", client {client:?}")?;
        }
        match &holder.owner {
            Some(Id::Number(owner)) => write!(f, ", owner {}", owner.value())?,
            Some(Id::Text(owner)) => write!(f, ", owner {owner:?}")?,
            None => {}
        }
        if let Some(label) = holder.label {
            write!(f, ", label {label:?}")?;
        }
        match waiters {
            1 => write!(f, "; 1 waits for it")?,
            _ => write!(f, "; {waiters} wait for it")?,
        }
        if self.left_out > 0 {
            write!(f, " (and {} more slow holds)", self.left_out)?;
        }
        Ok(())
    }
}
