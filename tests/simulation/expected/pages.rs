//! Pages of connections: which rows they may have, what the rows say, and that no connection is left out.

use std::time::Duration;

use serde_json::Value;

use super::connection::{Connection, Phase};
use super::{Expected, Number, Told, broken, ensure, returned};
use crate::model::{array, error, is_same, object, seconds, with_id};
use crate::sizes::{Id, quoted};

/// The most rows of a page without a `limit`.
const ROWS_MAX: usize = 1000;

/// What a request for a page of connections asks.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) has_idle: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) has_detail: bool,
    /// The pages that it follows.
    pub(crate) after: Option<Listing>,
    pub(crate) id: Option<Id>,
}

/// Pages that clients have asked for, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// As the last page has it.
    pub(crate) next: String,
    /// Whether all of them list idle connections too.
    has_idle: bool,
    /// Connections that exist since before the first page.
    there: Vec<String>,
    listed: Vec<String>,
}

impl Expected {
    /// The listing to go on with, if there may be more pages of it.
    pub(crate) fn listing(&self) -> Option<&Listing> {
        self.listing.as_ref()
    }

    pub(super) fn list_connections(&mut self, number: Number, page: &Page) {
        self.coverage.count("command page of connections");
        if page.after.is_some() {
            self.coverage.count("a page of connections after another");
        }
        let Some(Told::Listing(text)) = self.next_told(number).cloned() else {
            return self.refuse_page(number, page);
        };
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| broken(format!("{text}: {error}")));
        let rows = self.rows(page, &value["value"]);
        let listed: Vec<(String, String)> =
            rows.iter().filter(|(name, _)| value["value"].get(name).is_some()).cloned().collect();
        let next = value["next"].as_str();
        let shown = object(listed.clone());
        let is_small = listed.len() <= page.limit.unwrap_or(ROWS_MAX) && shown.len() <= self.limits.reply_bytes_max;
        ensure!(is_small, "this page is larger than it may be: {text}");
        let next_field = next.map_or(String::new(), |next| format!(r#","next":{}"#, quoted(next)));
        let reply = format!(r#"{{"result":"connections","value":{shown}{next_field}}}"#);
        let reply = with_id(reply, returned(page.id.as_ref()));
        ensure!(is_same(&reply, &text), "this page of connections is wrong: {text}\nshould be: {reply}");

        let listed: Vec<String> = listed.into_iter().map(|(name, _)| name).collect();
        if listed.iter().any(|name| name.starts_with("session:")) {
            self.coverage.count("a session listed that has no connection");
        }
        let listing = self.follow(page, &rows, &listed, next.unwrap_or(""));
        if next.is_none() {
            self.check_complete(page, &listing);
        }
        self.listing = next.is_some().then_some(listing);
        self.push(number, text);
    }

    /// What a page may list, with the rows: connections, and sessions without one. `told`: the rows that it has.
    fn rows(&self, page: &Page, told: &Value) -> Vec<(String, String)> {
        let known = self.there.iter().map(|number| (*number, &self.connections[*number]));
        let known = known.filter(|(_, connection)| connection.has_session);
        let mut rows: Vec<(String, String)> = known
            .filter_map(|(number, connection)| {
                let silence = self.silence(connection, told[&connection.name]["silent_for"].as_f64());
                let (age, silence) = (seconds(self.now - connection.since), seconds(silence));
                let session = self.locks.session_of(number);
                let session = session.map_or(String::new(), |number| format!(r#","session":"session:{number}""#));
                let keys = format!(r#""unsent":{},"age":{age},"silent_for":{silence}{session}"#, connection.unsent);
                Some((connection.name.clone(), self.row(page, number, &keys)?))
            })
            .collect();
        for (seat, number, since, until) in self.locks.sessions_away() {
            let name = format!("session:{number}");
            let (last_input, lost) = self.lost[&number];
            let silence = told[&name]["silent_for"].as_f64();
            let silence = Self::told_silence(silence, self.now - lost, self.now - last_input);
            let (age, silence) = (seconds(self.now - since), seconds(silence));
            let left = seconds(until.saturating_sub(self.now));
            let keys =
                format!(r#""unsent":0,"age":{age},"silent_for":{silence},"session":"{name}","grace_left":{left}"#);
            rows.extend(self.row(page, seat, &keys).map(|row| (name, row)));
        }
        rows
    }

    /// A row with these further details, if there is to be one.
    fn row(&self, page: &Page, seat: usize, keys: &str) -> Option<String> {
        let (label, names, holds) = self.locks.of_connection(seat);
        if names.is_empty() && !page.has_idle {
            return None;
        }
        if !page.has_detail {
            return Some(array(&names));
        }
        let client = if label.is_empty() { String::new() } else { format!(r#""client":{},"#, quoted(label)) };
        let waits = names.len() - holds;
        Some(format!(r#"{{{client}"holds":{holds},"waits":{waits},{keys}}}"#))
    }

    /// For how long a connection has been silent. Had it input that was not executed, that may be counted from then on, and
    /// from any moment if its end is decided: of what is possible it is what the server has `told`.
    fn silence(&self, connection: &Connection, told: Option<f64>) -> u64 {
        let longest = self.now - connection.last_input;
        let is_ending = connection.phase != Phase::Open;
        let shortest = if is_ending { 0 } else { longest.min(self.now - connection.last_waiting) };
        Self::told_silence(told, shortest, longest)
    }

    fn told_silence(told: Option<f64>, shortest: u64, longest: u64) -> u64 {
        let told = told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let told = told.and_then(|told| u64::try_from((told + Duration::from_micros(500)).as_millis()).ok());
        let is_possible = |told: &u64| (shortest / 1_000_000..=longest / 1_000_000).contains(told);
        told.filter(is_possible).map_or(longest, |milliseconds| milliseconds * 1_000_000)
    }

    /// Which rows were to be in the page is the server's choice, so it is too large if the largest are.
    fn refuse_page(&mut self, number: Number, page: &Page) {
        // Some milliseconds less may have more digits.
        let slack = if page.has_detail { ".999".len() } else { 0 };
        let size = |name: &str, row: &str| quoted(name).len() + ":,".len() + row.len() + slack;
        let rows = self.rows(page, &Value::Null);
        let mut sizes: Vec<usize> = rows.iter().map(|(name, row)| size(name, row)).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let largest = 1 + sizes.iter().take(page.limit.unwrap_or(ROWS_MAX)).sum::<usize>();
        let name = self.name(number);
        ensure!(largest > self.limits.reply_bytes_max, "{name} is refused a page of at most {largest} bytes");
        self.push(number, with_id(error("reply_too_large", None), returned(page.id.as_ref())));
    }

    /// The listing with this page, which has listed these of the `rows` that it could have.
    fn follow(&self, page: &Page, rows: &[(String, String)], listed: &[String], next: &str) -> Listing {
        let mut listing = page.after.clone().unwrap_or_else(|| Listing {
            next: String::new(),
            has_idle: true,
            there: rows.iter().map(|(name, _)| name.clone()).collect(),
            listed: Vec::new(),
        });
        if let Some(again) = listed.iter().find(|name| listing.listed.contains(name)) {
            broken(format!("{again} is on two pages of the same listing"));
        }
        listing.next = next.to_owned();
        listing.has_idle &= page.has_idle;
        let is_here = |name: &String| {
            let connections = self.there.iter().map(|number| &self.connections[*number]);
            connections.into_iter().any(|connection| connection.has_session && connection.name == *name)
        };
        let is_away =
            |name: &String| self.locks.sessions_away().iter().any(|away| format!("session:{}", away.1) == *name);
        listing.there.retain(|name| is_here(name) || is_away(name));
        listing.listed.extend_from_slice(listed);
        listing
    }

    /// The last page was given. Who existed during all of the listing is in it. A connection that is idle in between may be
    /// left out where idle ones are.
    fn check_complete(&mut self, page: &Page, listing: &Listing) {
        if page.after.is_some() && !listing.has_idle {
            return;
        }
        if let Some(missing) = listing.there.iter().find(|name| !listing.listed.contains(name)) {
            broken(format!("{missing} is on no page of connections"));
        }
        self.coverage.count(if page.after.is_some() { "a listing of several pages" } else { "a listing of one page" });
    }
}
