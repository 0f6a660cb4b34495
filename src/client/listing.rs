//! What the server tells about locks and connections. Of a client with a namespace only what is in it, without it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::error::Error;
use super::request::Request;
use super::state::CallKind;
use super::{Client, ConnectionDetail, LockDetail, NameListing, Owner};

/// Some of the locks of a server, with all that it tells of them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LocksPage {
    /// The locks with their names.
    pub locks: Vec<(String, LockDetail)>,
    /// Where the next page begins, if there may be more.
    pub next: Option<String>,
}

impl Client {
    /// Every lock with its connections, the holder first. It is fetched page by page, so that a server with very many
    /// locks is not held up; what changes meanwhile may or may not be in it.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn locks(&self) -> Result<NameListing, Error> {
        let mut all = NameListing::new();
        let mut after = None;
        loop {
            let (page, next) = self.page("", after.as_deref(), None)?;
            all.extend(page);
            after = next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// The locks whose names begin so, with all that the server tells of them, fetched as they are asked for.
    pub fn locks_with_detail(&self, prefix: &str) -> Locks<'_> {
        Locks { client: self, prefix: prefix.to_owned(), pages: Pages::new() }
    }

    /// One page of the locks whose names begin so: the first, or the one that begins where `after`, the `next` of another
    /// page, says. A page costs the server a fraction of a millisecond, and may be empty while there are more. A lock that
    /// exists all the while is in exactly one page; whoever begins at the same `after` again finds it there or further on.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn locks_page(&self, prefix: &str, after: Option<&str>) -> Result<LocksPage, Error> {
        let (locks, next) = self.page(prefix, after, Some(true))?;
        Ok(LocksPage { locks: locks.into_iter().collect(), next })
    }

    /// One lock with all that the server tells of it. None: it is free.
    ///
    #[cfg_attr(feature = "server", doc = "```")]
    #[cfg_attr(not(feature = "server"), doc = "```ignore")]
    #[doc = include_str!("example.txt")]
    /// let guard = client.lock("boss:17")?;
    /// let lock = client.lock_status("boss:17")?.expect("it is held");
    /// assert_eq!((&lock.holders[0].connection, lock.waiting), (&client.connection_name(), 0));
    /// assert_eq!(client.lock_status("loot")?, None);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn lock_status(&self, name: &str) -> Result<Option<LockDetail>, Error> {
        let name = self.with_namespace(name);
        let request = Request { command: "locks", name: Some(&name), detail: Some(true), ..Request::default() };
        let answer = self.shared().ask(CallKind::Read, &["one_lock"], request)?;
        let mut found: BTreeMap<String, LockDetail> = read(answer.value)?;
        Ok(found.remove(&name))
    }

    /// Every connection that holds or waits for anything, with the names of that.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`], and [`Error::Server`] with
    /// `Reason::ReplyTooLarge` if it is too much for one reply.
    pub fn connections(&self) -> Result<NameListing, Error> {
        let all: NameListing = self.listing("connections")?;
        let own = |(connection, names)| (connection, self.of_namespace(names));
        Ok(all.into_iter().map(own).filter(|(_, names)| !names.is_empty()).collect())
    }

    /// The connections of the server with what it tells of each, fetched as they are asked for: those that hold or wait
    /// for anything, with `has_idle` all. A namespace makes no difference here.
    pub fn connections_with_detail(&self, has_idle: bool) -> Connections<'_> {
        Connections { client: self, has_idle, pages: Pages::new() }
    }

    /// One page of these connections, and where the next begins.
    pub(crate) fn connections_page(
        &self,
        has_idle: bool,
        after: Option<&str>,
    ) -> Result<Page<(String, ConnectionDetail)>, Error> {
        let (all, detail) = (Some(has_idle), Some(true));
        let request = Request { command: "connections", all, after, detail, ..Request::default() };
        let answer = self.shared().ask(CallKind::Read, &[], request)?;
        let page: BTreeMap<String, ConnectionDetail> = read(answer.value)?;
        Ok((page.into_iter().collect(), answer.next))
    }

    /// What this client holds or waits for.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn my_locks(&self) -> Result<Vec<String>, Error> {
        Ok(self.of_namespace(self.listing("my_locks")?))
    }

    /// What an owner of the program holds or waits for.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::ConnectionLost`] and [`Error::Server`].
    pub fn my_locks_of(&self, owner: impl Into<Owner>) -> Result<Vec<String>, Error> {
        let owner = owner.into();
        let request = Request { command: "my_locks", owner: Some(&owner), ..Request::default() };
        let answer = self.shared().ask(CallKind::Read, &["owner"], request)?;
        Ok(self.of_namespace(read(answer.value)?))
    }

    fn of_namespace(&self, names: Vec<String>) -> Vec<String> {
        names.iter().filter_map(|name| self.without_namespace(name)).map(str::to_owned).collect()
    }

    fn listing<T: DeserializeOwned>(&self, command: &'static str) -> Result<T, Error> {
        let answer = self.shared().ask(CallKind::Read, &[], Request { command, ..Request::default() })?;
        read(answer.value)
    }

    /// One page, and where the next begins.
    fn page<V: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        detail: Option<bool>,
    ) -> Result<(BTreeMap<String, V>, Option<String>), Error> {
        let prefix = self.with_namespace(prefix);
        let request = Request { command: "locks", prefix: Some(&prefix), after, detail, ..Request::default() };
        let answer = self.shared().ask(CallKind::Read, &[], request)?;
        let page: BTreeMap<String, V> = read(answer.value)?;
        let own = page.into_iter().filter_map(|(name, of)| Some((self.without_namespace(&name)?.to_owned(), of)));
        Ok((own.collect(), answer.next))
    }
}

pub(super) fn read<T: DeserializeOwned>(value: Option<serde_json::Value>) -> Result<T, Error> {
    let value = value.unwrap_or_default();
    T::deserialize(&value).map_err(|_| Error::unexpected(&value.to_string()))
}

/// Locks of a server, a page at a time.
#[derive(Debug)]
pub struct Locks<'a> {
    client: &'a Client,
    prefix: String,
    pages: Pages<(String, LockDetail)>,
}

impl Iterator for Locks<'_> {
    type Item = Result<(String, LockDetail), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Locks { client, prefix, pages } = self;
        pages.next(|after| client.locks_page(prefix, after).map(|LocksPage { locks, next }| (locks, next)))
    }
}

/// Connections of a server, a page at a time.
#[derive(Debug)]
pub struct Connections<'a> {
    client: &'a Client,
    has_idle: bool,
    pages: Pages<(String, ConnectionDetail)>,
}

impl Iterator for Connections<'_> {
    type Item = Result<(String, ConnectionDetail), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Connections { client, has_idle, pages } = self;
        pages.next(|after| client.connections_page(*has_idle, after))
    }
}

/// Rows, and where the next page begins, if there may be more.
type Page<T> = (Vec<T>, Option<String>);

/// Rows that are fetched page by page, as they are asked for.
#[derive(Debug)]
struct Pages<T> {
    page: std::vec::IntoIter<T>,
    after: After,
}

/// Which page comes next.
#[derive(Debug)]
enum After {
    Beginning,
    Page(String),
    End,
}

impl<T> Pages<T> {
    fn new() -> Self {
        Pages { page: Vec::new().into_iter(), after: After::Beginning }
    }

    /// The next row. `fetch` gets the page after the `next` of another one, and where the one after that begins.
    fn next(&mut self, mut fetch: impl FnMut(Option<&str>) -> Result<Page<T>, Error>) -> Option<Result<T, Error>> {
        loop {
            if let Some(row) = self.page.next() {
                return Some(Ok(row));
            }
            let after = match &self.after {
                After::Beginning => None,
                After::Page(after) => Some(after.as_str()),
                After::End => return None,
            };
            match fetch(after) {
                Ok((rows, next)) => {
                    self.page = rows.into_iter();
                    self.after = next.map_or(After::End, After::Page);
                }
                Err(error) => {
                    self.after = After::End;
                    return Some(Err(error));
                }
            }
        }
    }
}
