//! What the server says without being asked at that moment.

use super::Owner;
use super::items::push_id;
use super::json::{push_str, push_u64};
use super::peer::Peer;

/// What happened to a lock, for those who watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// Somebody holds it now.
    Granted,
    /// A holder gave it up, or is gone.
    Released,
    /// A request began to wait for it.
    Queued,
    /// A request stopped waiting for it without getting it.
    Left,
    /// The lease of a holder ran out.
    Expired,
    /// A hold was revoked.
    Revoked,
    /// Nobody holds it, and nobody gets it for a while.
    Closed,
    /// That is over.
    Opened,
}

impl Happening {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Happening::Granted => "granted",
            Happening::Released => "released",
            Happening::Queued => "queued",
            Happening::Left => "left",
            Happening::Expired => "expired",
            Happening::Revoked => "revoked",
            Happening::Closed => "closed",
            Happening::Opened => "opened",
        }
    }
}

/// A notice about a hold, without the end of the object. `notice` is the text from the name to the token.
pub(super) fn push_notice(out: &mut Vec<u8>, name: &str, notice: &[u8], token: u64) {
    out.extend_from_slice(b"{\"name\":");
    push_str(out, name);
    out.extend_from_slice(notice);
    push_u64(out, token);
}

/// An event, without the end of the object.
pub(super) fn push_event(out: &mut Vec<u8>, event: Happening, name: &str, party: Option<&(Peer, Option<Owner<&str>>)>) {
    out.extend_from_slice(b"{\"name\":");
    push_str(out, name);
    out.extend_from_slice(b",\"notice\":\"event\",\"event\":\"");
    out.extend_from_slice(event.as_str().as_bytes());
    out.push(b'"');
    let Some((connection, owner)) = party else { return };
    out.extend_from_slice(b",\"connection\":\"");
    connection.push_to(out);
    out.push(b'"');
    if let Some(owner) = owner {
        out.extend_from_slice(b",\"owner\":");
        push_id(out, *owner);
    }
}
