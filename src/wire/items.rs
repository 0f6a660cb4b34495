//! Arrays of names and of parties, as text that a reply takes as it is.

use super::json::push_str;
use super::peer::Peer;
use super::{Id, IdRef, OwnerRef};

/// The elements of an array, written as they are added. Kept for its memory between replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    text: Vec<u8>,
}

impl Items {
    /// Takes all elements out.
    pub fn clear(&mut self) {
        self.text.clear();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds the name of a lock.
    pub fn push_name(&mut self, name: &str) {
        self.begin();
        push_str(&mut self.text, name);
    }

    /// Adds an owner. None: the connection itself.
    pub fn push_party(&mut self, connection: Peer, owner: Option<OwnerRef<'_>>) {
        self.begin();
        if let Some(owner) = owner {
            self.text.extend_from_slice(b"{\"connection\":\"");
            connection.push_to(&mut self.text);
            self.text.extend_from_slice(b"\",\"owner\":");
            push_id(&mut self.text, owner);
            self.text.push(b'}');
        } else {
            self.text.push(b'"');
            connection.push_to(&mut self.text);
            self.text.push(b'"');
        }
    }

    /// The elements with commas between them.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    fn begin(&mut self) {
        if !self.text.is_empty() {
            self.text.push(b',');
        }
    }
}

/// Names of locks.
impl<'a> FromIterator<&'a str> for Items {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut items = Items::default();
        names.into_iter().for_each(|name| items.push_name(name));
        items
    }
}

/// Appends an id or an owner.
pub(super) fn push_id(out: &mut Vec<u8>, id: IdRef<'_>) {
    match id {
        Id::Number(number) => number.push_to(out),
        Id::Text(text) => push_str(out, text),
    }
}
