//! For how long sessions without a connection can be resumed: the listing of the locks does not tell.

use std::collections::HashMap;

use crate::client::{Client, Error, LockDetail};
use crate::console::place::detached;

/// How listings name sessions without a connection.
const SESSION: &str = "session:";

/// Fetched when the first such session is seen: most servers have none, and a server may have many connections.
#[derive(Debug, Default)]
pub(super) struct Graces(Option<HashMap<String, f64>>);

impl Graces {
    /// A lock is about to be listed.
    pub(super) fn look(&mut self, client: &Client, lock: &LockDetail) -> Result<(), Error> {
        let mut places = lock.holders.iter().chain(&lock.waiters);
        if self.0.is_none() && places.any(|place| place.connection.starts_with(SESSION)) {
            let mut graces = HashMap::new();
            for connection in client.connections_with_detail(false) {
                let (name, detail) = connection?;
                graces.extend(detail.grace_left.map(|left| (name, left)));
            }
            self.0 = Some(graces);
        }
        Ok(())
    }

    /// What is special about a holder or waiter of this name: nothing about a connection.
    pub(super) fn note(&self, connection: &str) -> String {
        if !connection.starts_with(SESSION) {
            return String::new();
        }
        // It may have lost its connection after they were fetched.
        let left = self.0.as_ref().and_then(|graces| graces.get(connection));
        left.map_or_else(|| "disconnected".to_owned(), |left| detached(*left))
    }
}
