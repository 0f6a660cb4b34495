//! What the server says without being asked at that moment.

use super::OwnerRef;
use super::digits::push_u64;
pub use super::happening::Happening;
use super::items::push_id;
use super::json::push_str;
use super::peer::Peer;

/// A notice about a hold, without the end of the object. `notice` is the text from the name to the token.
pub(super) fn push_notice(out: &mut Vec<u8>, name: &str, notice: &[u8], token: u64) {
    out.extend_from_slice(b"{\"name\":");
    push_str(out, name);
    out.extend_from_slice(notice);
    push_u64(out, token);
}

/// An event, without the end of the object.
pub(super) fn push_event(
    out: &mut Vec<u8>,
    event: Happening,
    name: &str,
    party: Option<&(Peer, Option<OwnerRef<'_>>)>,
) {
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
