//! Listings: rows of the lock table as JSON, written row by row and abandoned when they get too large.

use super::json::{push_seconds, push_str, push_u64};
use super::peer::Peer;
use crate::time::Span;

/// The value of a listing.
#[derive(Debug, Default)]
pub struct Listing {
    text: Vec<u8>,
    bytes_max: usize,
}

/// The listing has more bytes than a reply may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingTooLarge;

/// The result of one step of a listing.
///
/// # Errors [`ListingTooLarge`] as soon as the limit is exceeded; the listing can't be used then.
pub type Written<T = ()> = Result<T, ListingTooLarge>;

/// A holder or a waiter, as a listing with detail shows it.
#[derive(Clone, Copy, Debug)]
pub struct PlaceRow<'a> {
    /// The connection's name.
    pub connection: Peer,
    /// The name that the client gave itself.
    pub client: Option<&'a str>,
    /// Whether it holds the lock or waits for it, and for how long.
    pub standing: RowStanding,
}

/// A connection, as a listing with detail shows it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRow<'a> {
    /// The name that the client gave itself.
    pub client: Option<&'a str>,
    /// Locks that it holds.
    pub holds: usize,
    /// Locks that it waits for.
    pub waits: usize,
    /// Bytes of replies that it has not taken.
    pub unsent: usize,
    /// How long it has been connected.
    pub age: Span,
    /// For how long it has sent nothing.
    pub silent_for: Span,
}

/// Whether a row is a holder's or a waiter's.
#[derive(Clone, Copy, Debug)]
pub enum RowStanding {
    /// How long it has held the lock.
    HeldFor(Span),
    /// How long it has waited.
    WaitedFor(Span),
}

impl Listing {
    /// An empty listing of at most `bytes_max` bytes. It may exceed that by one name before it reports it.
    pub fn new(bytes_max: usize) -> Self {
        Listing { text: Vec::new(), bytes_max }
    }

    /// An object with one key for each item; `row` writes it, by one of the methods for rows below.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn object<I: Iterator>(&mut self, items: I, row: impl FnMut(&mut Self, I::Item) -> Written) -> Written {
        self.object_within(usize::MAX, items, row).map(drop)
    }

    /// Like [`Listing::object`], with as many items as fit into `bytes`, give or take one. Returns the first item that
    /// was left out.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn object_within<I: Iterator>(
        &mut self,
        bytes: usize,
        items: I,
        row: impl FnMut(&mut Self, I::Item) -> Written,
    ) -> Written<Option<I::Item>> {
        self.enclosed([b'{', b'}'], bytes, items, row)
    }

    /// An array of names: the whole value of a listing, or a part of a row.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Written {
        self.array(names, Self::string)
    }

    /// A row of an object: a lock with the names of its connections.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn lock(&mut self, name: &str, connections: impl Iterator<Item = Peer>) -> Written {
        self.key(name);
        self.array(connections, Self::peer)
    }

    /// A row of an object: a lock with everything about its holders and waiters. `waiting` counts all waiters,
    /// including those that are not listed.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn lock_in_detail<'a>(
        &mut self,
        name: &str,
        holders: impl Iterator<Item = PlaceRow<'a>>,
        waiters: impl Iterator<Item = PlaceRow<'a>>,
        waiting: usize,
    ) -> Written {
        self.key(name);
        self.raw("{\"holders\":");
        self.array(holders, Self::place)?;
        self.raw(",\"waiters\":");
        self.array(waiters, Self::place)?;
        self.raw(",\"waiting\":");
        push_u64(&mut self.text, waiting as u64);
        self.raw("}");
        Ok(())
    }

    /// A row of an object: a connection with the names of its locks.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn connection<'a>(&mut self, connection: Peer, locks: impl Iterator<Item = &'a str>) -> Written {
        self.peer(connection)?;
        self.raw(":");
        self.names(locks)
    }

    /// A row of an object: a connection with all that is known of it.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn connection_in_detail(&mut self, connection: Peer, row: &ConnectionRow<'_>) -> Written {
        self.peer(connection)?;
        self.raw(":{");
        if let Some(client) = row.client {
            self.raw("\"client\":");
            self.string(client)?;
            self.raw(",");
        }
        for (key, number) in [("\"holds\":", row.holds), (",\"waits\":", row.waits), (",\"unsent\":", row.unsent)] {
            self.raw(key);
            push_u64(&mut self.text, number as u64);
        }
        for (key, span) in [(",\"age\":", row.age), (",\"silent_for\":", row.silent_for)] {
            self.raw(key);
            push_seconds(&mut self.text, span);
        }
        self.raw("}");
        Ok(())
    }

    /// The JSON text so far.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    fn place(&mut self, row: PlaceRow<'_>) -> Written {
        self.raw("{\"connection\":");
        self.peer(row.connection)?;
        if let Some(client) = row.client {
            self.raw(",\"client\":");
            self.string(client)?;
        }
        let (key, span) = match row.standing {
            RowStanding::HeldFor(span) => ("held_for", span),
            RowStanding::WaitedFor(span) => ("waited_for", span),
        };
        self.raw(",\"mode\":\"exclusive\",");
        self.key(key);
        push_seconds(&mut self.text, span);
        self.raw("}");
        Ok(())
    }

    fn array<I: Iterator>(&mut self, items: I, element: impl FnMut(&mut Self, I::Item) -> Written) -> Written {
        self.enclosed([b'[', b']'], usize::MAX, items, element).map(drop)
    }

    fn enclosed<I: Iterator>(
        &mut self,
        [open, close]: [u8; 2],
        bytes: usize,
        items: I,
        mut item: impl FnMut(&mut Self, I::Item) -> Written,
    ) -> Written<Option<I::Item>> {
        let end = self.text.len().saturating_add(bytes);
        let mut left = None;
        self.text.push(open);
        for (index, value) in items.enumerate() {
            if self.text.len() >= end {
                left = Some(value);
                break;
            }
            if index > 0 {
                self.text.push(b',');
            }
            item(self, value)?;
        }
        self.text.push(close);
        self.check()?;
        Ok(left)
    }

    /// Text that is already JSON: the parts between the values.
    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn key(&mut self, text: &str) {
        push_str(&mut self.text, text);
        self.text.push(b':');
    }

    fn string(&mut self, text: &str) -> Written {
        push_str(&mut self.text, text);
        self.check()
    }

    fn peer(&mut self, peer: Peer) -> Written {
        self.text.push(b'"');
        peer.push_to(&mut self.text);
        self.text.push(b'"');
        self.check()
    }

    fn check(&self) -> Written {
        if self.text.len() > self.bytes_max { Err(ListingTooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_stops_at_its_limit() {
        let mut listing = Listing::new(25);
        let written = listing.object(std::iter::once("a"), |listing, name| listing.lock(name, (0..).map(Peer::Unix)));
        assert_eq!(written, Err(ListingTooLarge));
        assert!(listing.text.len() < 40);
        let mut listing = Listing::new(21);
        let write = |listing: &mut Listing, number| listing.connection(Peer::Unix(number), std::iter::once("a"));
        listing.object(0..1, write).unwrap();
        assert_eq!(listing.text(), b"{\"unix:0\":[\"a\"]}");
    }
}
