//! Listings: rows of the lock table as JSON, written row by row and abandoned when they get too large.

use std::cell::Cell;

use super::OwnerRef;
use super::digits::push_u64;
use super::items::push_id;
use super::json::{push_seconds, push_str};
use super::peer::Peer;
use super::request::Fit;
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
    /// The owner. None: the connection itself.
    pub owner: Option<OwnerRef<'a>>,
    /// Whom it shares the lock with.
    pub fit: Fit,
    /// What the lock is for.
    pub label: Option<&'a str>,
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
    /// The name of its session, if that can go on without it.
    pub session: Option<Peer>,
    /// How long its session goes on without a connection. None: it has one.
    pub grace_left: Option<Span>,
}

/// Whether a row is a holder's or a waiter's.
#[derive(Clone, Copy, Debug)]
pub enum RowStanding {
    /// A holder.
    Holder {
        /// The token of the hold.
        token: u64,
        /// How long it has held the lock.
        held_for: Span,
        /// How long its lease has left, if it has one.
        lease_left: Option<Span>,
    },
    /// A waiter.
    Waiter {
        /// Its priority.
        priority: u8,
        /// How long it has waited.
        waited_for: Span,
        /// How long until its wait times out, if it does.
        timeout_left: Option<Span>,
    },
}

/// What a listing with detail says of a lock beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct LockRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many hold it, including those that are not listed. Written only if there are such.
    pub holding: usize,
    /// How many wait for it, including those that are not listed.
    pub waiting: usize,
    /// How long it stays closed, if it is.
    pub closed_for: Option<Span>,
}

/// The holders of a lock that have this many bytes are followed by no further one, and so are the waiters: a page with one lock
/// whose thousands have long names and labels is no larger than a reply may be.
const PLACES_BYTES: usize = 1 << 20;

thread_local! {
    /// The memory of the last listing, for the next one: new memory takes a page fault for each 4 KiB.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The memory of larger listings is not kept.
const SPARE_BYTES_MAX: usize = 256 << 10;

impl Drop for Listing {
    fn drop(&mut self) {
        if self.text.capacity() <= SPARE_BYTES_MAX {
            self.text.clear();
            SPARE.set(std::mem::take(&mut self.text));
        }
    }
}

impl Listing {
    /// An empty listing of at most `bytes_max` bytes. It may exceed that by one name before it reports it.
    pub fn new(bytes_max: usize) -> Self {
        Listing { text: SPARE.take(), bytes_max }
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

    /// A row of an object: a lock with everything about its holders and waiters.
    ///
    /// # Errors
    /// As for [`Written`].
    pub fn lock_in_detail<'a>(
        &mut self,
        lock: &LockRow<'_>,
        holders: impl Iterator<Item = PlaceRow<'a>>,
        waiters: impl Iterator<Item = PlaceRow<'a>>,
    ) -> Written {
        self.key(lock.name);
        self.raw("{\"holders\":");
        if self.places(holders)? < lock.holding {
            self.number(",\"holding\":", lock.holding as u64);
        }
        self.raw(",\"waiters\":");
        self.places(waiters)?;
        self.raw(",\"waiting\":");
        push_u64(&mut self.text, lock.waiting as u64);
        self.span(",\"closed_for\":", lock.closed_for);
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
            self.number(key, number as u64);
        }
        self.span(",\"age\":", Some(row.age));
        self.span(",\"silent_for\":", Some(row.silent_for));
        if let Some(session) = row.session {
            self.raw(",\"session\":");
            self.peer(session)?;
        }
        self.span(",\"grace_left\":", row.grace_left);
        self.raw("}");
        Ok(())
    }

    /// The JSON text so far.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns how many of them there was room for.
    fn places<'a>(&mut self, rows: impl Iterator<Item = PlaceRow<'a>>) -> Written<usize> {
        let mut listed = 0;
        self.enclosed([b'[', b']'], PLACES_BYTES, rows, |listing, row| {
            listed += 1;
            listing.place(row)
        })?;
        Ok(listed)
    }

    fn place(&mut self, row: PlaceRow<'_>) -> Written {
        self.raw("{\"connection\":");
        self.peer(row.connection)?;
        if let Some(client) = row.client {
            self.raw(",\"client\":");
            self.string(client)?;
        }
        if let Some(owner) = row.owner {
            self.raw(",\"owner\":");
            push_id(&mut self.text, owner);
        }
        match row.fit {
            Fit::Exclusive => self.raw(",\"mode\":\"exclusive\""),
            Fit::Shared => self.raw(",\"mode\":\"shared\""),
            Fit::Unit(slots) => self.number(",\"slots\":", slots.into()),
        }
        match row.standing {
            RowStanding::Holder { token, held_for, lease_left } => {
                self.number(",\"token\":", token);
                self.span(",\"held_for\":", Some(held_for));
                self.span(",\"lease_left\":", lease_left);
            }
            RowStanding::Waiter { priority, waited_for, timeout_left } => {
                if priority > 0 {
                    self.number(",\"priority\":", priority.into());
                }
                self.span(",\"waited_for\":", Some(waited_for));
                self.span(",\"timeout_left\":", timeout_left);
            }
        }
        if let Some(label) = row.label {
            self.raw(",\"label\":");
            self.string(label)?;
        }
        self.raw("}");
        Ok(())
    }

    /// A key with its comma, and its value.
    fn number(&mut self, key: &str, number: u64) {
        self.raw(key);
        push_u64(&mut self.text, number);
    }

    /// The same, in seconds, if there is one.
    fn span(&mut self, key: &str, span: Option<Span>) {
        if let Some(span) = span {
            self.raw(key);
            push_seconds(&mut self.text, span);
        }
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

    #[test]
    fn a_lock_in_detail_shows_what_applies_and_nothing_else() {
        let row = PlaceRow {
            connection: Peer::Unix(1),
            client: None,
            owner: None,
            fit: Fit::Exclusive,
            label: None,
            standing: RowStanding::Holder { token: 0, held_for: Span::ZERO, lease_left: None },
        };
        let seconds = |seconds: u64| Span::from_nanos(seconds * 1_000_000_000);
        let rich = PlaceRow { client: Some("c"), owner: Some(OwnerRef::Number(7.into())), label: Some("l\n"), ..row };
        let held = RowStanding::Holder { token: 5, held_for: seconds(1), lease_left: Some(seconds(2)) };
        let waits = |priority, timeout_left| RowStanding::Waiter { priority, waited_for: seconds(3), timeout_left };
        let holders = [row, PlaceRow { fit: Fit::Shared, standing: held, ..rich }];
        let waiters = [
            PlaceRow { fit: Fit::Unit(3), owner: Some(OwnerRef::Text("7")), standing: waits(0, None), ..row },
            PlaceRow { standing: waits(1, Some(seconds(4))), ..rich },
        ];
        let mut listing = Listing::new(10_000);
        let lock = LockRow { name: "a", holding: 2, waiting: 9, closed_for: Some(seconds(8)) };
        listing
            .object(0..1, |listing, _| listing.lock_in_detail(&lock, holders.into_iter(), waiters.into_iter()))
            .unwrap();
        let expected = [
            r#"{"a":{"holders":["#,
            r#"{"connection":"unix:1","mode":"exclusive","token":0,"held_for":0},"#,
            r#"{"connection":"unix:1","client":"c","owner":7,"mode":"shared","token":5,"held_for":1,"lease_left":2,"label":"l\n"}"#,
            r#"],"waiters":["#,
            r#"{"connection":"unix:1","owner":"7","slots":3,"waited_for":3},"#,
            r#"{"connection":"unix:1","client":"c","owner":7,"mode":"exclusive","priority":1,"waited_for":3,"timeout_left":4,"label":"l\n"}"#,
            r#"],"waiting":9,"closed_for":8}}"#,
        ];
        assert_eq!(String::from_utf8(listing.text().to_vec()).unwrap(), expected.concat());
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let long = "\u{1}".repeat(128);
        let held = RowStanding::Holder { token: 1, held_for: Span::ZERO, lease_left: None };
        let row = PlaceRow {
            connection: Peer::Unix(1),
            client: Some(&long),
            owner: Some(OwnerRef::Text(&long[..64])),
            fit: Fit::Shared,
            label: Some(&long),
            standing: held,
        };
        for (count, are_all_listed) in [(500, true), (1000, false)] {
            let mut listing = Listing::new(4 << 20);
            let lock = LockRow { name: "a", holding: count, waiting: count, closed_for: None };
            let rows = std::iter::repeat_n(row, count);
            listing.object(0..1, |listing, _| listing.lock_in_detail(&lock, rows.clone(), rows.clone())).unwrap();
            let value: serde_json::Value = serde_json::from_slice(listing.text()).unwrap();
            let lock = &value["a"];
            let [holders, waiters] = ["holders", "waiters"].map(|key| lock[key].as_array().unwrap().len());
            assert_eq!((holders == count, waiters == count), (are_all_listed, are_all_listed), "{holders}, {waiters}");
            assert!(holders > 400 && listing.text().len() < (2 << 20) + 10_000);
            assert_eq!(lock.get("holding"), (!are_all_listed).then_some(&count.into()));
            assert_eq!(lock["waiting"], count);
        }
    }

    #[test]
    fn a_connection_in_detail_names_its_session_and_a_session_without_one_its_grace() {
        let seconds = |seconds: u64| Span::from_nanos(seconds * 1_000_000_000);
        let bare = ConnectionRow {
            client: None,
            holds: 1,
            waits: 2,
            unsent: 3,
            age: seconds(4),
            silent_for: seconds(5),
            session: None,
            grace_left: None,
        };
        let session = Some(Peer::Session(7));
        let mut listing = Listing::new(10_000);
        let rows = [
            (Peer::Unix(1), bare),
            (Peer::Unix(2), ConnectionRow { client: Some("c"), session, ..bare }),
            (Peer::Session(7), ConnectionRow { session, grace_left: Some(Span::ZERO), ..bare }),
        ];
        listing.object(rows.iter(), |listing, (name, row)| listing.connection_in_detail(*name, row)).unwrap();
        let expected = [
            r#"{"unix:1":{"holds":1,"waits":2,"unsent":3,"age":4,"silent_for":5},"#,
            r#""unix:2":{"client":"c","holds":1,"waits":2,"unsent":3,"age":4,"silent_for":5,"session":"session:7"},"#,
            r#""session:7":{"holds":1,"waits":2,"unsent":3,"age":4,"silent_for":5,"session":"session:7","grace_left":0}}"#,
        ];
        assert_eq!(String::from_utf8(listing.text().to_vec()).unwrap(), expected.concat());
    }
}
