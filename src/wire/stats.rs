//! The figures of the server, as `stats` answers them.

/// The value of the reply to `stats`.
#[derive(Clone, Debug, Default)]
pub struct StatsValue {}

impl StatsValue {
    /// Appends it as an object.
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }
}
