//! Listings, and the model as a whole.

use super::fit::Kind;
use super::session::Session;
use super::{Client, Hold, Model, Seat, Terms, Wait, Who, array, error, object, seconds};
use crate::sizes::quoted;

/// The most waiters of one lock in details.
const WAITERS_MAX: usize = 1000;

impl Model {
    /// The locks whose names begin with `prefix` and what a listing shows of each, in whatever order.
    pub fn pages(&self, prefix: &str, has_detail: bool, now: u64) -> Vec<(String, String)> {
        let held = self.holds.iter().map(|hold| &hold.name);
        let waited = self.queues.iter().filter(|queue| !queue.waits.is_empty()).map(|queue| &queue.name);
        let closed = self.closings.iter().filter(|_| has_detail).map(|closing| &closing.name);
        let mut names: Vec<&String> =
            held.chain(waited).chain(closed).filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names.dedup();
        let shown = |name: &str| if has_detail { self.detail(name, now) } else { array(&self.connections_on(name)) };
        names.into_iter().map(|name| (name.clone(), shown(name))).collect()
    }

    pub(super) fn is_contended(&self, name: &str) -> bool {
        self.queues.iter().any(|queue| queue.name == name && !queue.waits.is_empty())
    }

    /// What a client calls itself, the names of its places, and how many of these it holds.
    pub fn of_connection(&self, seat: Seat) -> (&str, Vec<String>, usize) {
        let holds = self.holds.iter().filter(|hold| hold.who.seat == seat).count();
        (&self.shown(seat).label, self.names_of(seat, None), holds)
    }

    pub(super) fn value_of_connections(&self) -> String {
        let names = |seat| self.names_of(seat, None);
        let busy = self.clients.iter().filter(|client| !names(client.seat).is_empty());
        object(busy.map(|client| (client.connection.clone(), array(&names(client.seat)))).collect())
    }

    pub(super) fn listing(&self, result: &str, value: &str) -> String {
        if value.len() > self.limits.reply_bytes_max {
            return error("reply_too_large", None);
        }
        format!(r#"{{"result":"{result}","value":{value}}}"#)
    }

    /// How many locks are closed.
    pub fn closed(&self) -> usize {
        self.closings.len()
    }

    fn detail(&self, name: &str, now: u64) -> String {
        let holders: Vec<String> = self.holders(name).map(|hold| self.holder(hold, now)).collect();
        let waiters: Vec<&Wait> = self.queue(name).iter().map(|number| self.wait(*number)).collect();
        let shown: Vec<String> = waiters.iter().take(WAITERS_MAX).map(|wait| self.waiter(wait, now)).collect();
        let closing = self.closings.iter().find(|closing| closing.name == name);
        let closed = closing.map(|closing| format!(r#","closed_for":{}"#, left(closing.until, now)));
        format!(
            r#"{{"holders":[{}],"waiters":[{}],"waiting":{}{}}}"#,
            holders.join(","),
            shown.join(","),
            waiters.len(),
            closed.unwrap_or_default()
        )
    }

    fn holder(&self, hold: &Hold, now: u64) -> String {
        let mut keys = self.who_and_kind(&hold.who, hold.kind);
        keys += &format!(r#","token":{},"held_for":{}"#, hold.token, seconds(now - hold.since));
        if let Some(until) = hold.until {
            keys += &format!(r#","lease_left":{}"#, left(until, now));
        }
        format!("{{{keys}{}}}", label(hold.terms.label.as_deref()))
    }

    fn waiter(&self, wait: &Wait, now: u64) -> String {
        let mut keys = self.who_and_kind(&wait.who, wait.kind);
        if wait.priority > 0 {
            keys += &format!(r#","priority":{}"#, wait.priority);
        }
        keys += &format!(r#","waited_for":{}"#, seconds(now - wait.since));
        if let Some(until) = wait.until {
            keys += &format!(r#","timeout_left":{}"#, left(until, now));
        }
        format!("{{{keys}{}}}", label(wait.terms.label.as_deref()))
    }

    fn who_and_kind(&self, who: &Who, kind: Kind) -> String {
        let client = self.shown(who.seat);
        let mut keys = format!(r#""connection":{}"#, quoted(&client.connection));
        if !client.label.is_empty() {
            keys += &format!(r#","client":{}"#, quoted(&client.label));
        }
        if let Some(owner) = &who.owner {
            keys += &format!(r#","owner":{owner}"#);
        }
        keys + &match kind {
            Kind::Exclusive => r#","mode":"exclusive""#.to_owned(),
            Kind::Shared => r#","mode":"shared""#.to_owned(),
            Kind::Units(all) => format!(r#","slots":{all}"#),
        }
    }

    /// Everything that the future depends on, as text: who is on which lock in which order, how long each may still
    /// wait or hold, and whose time comes first. Two models with the same text answer alike from here on, but for times
    /// and tokens.
    pub fn state(&self, now: u64) -> String {
        let leases = self.holds.iter().filter_map(|hold| hold.until);
        let mut armed: Vec<(u64, u64)> = leases.chain(self.closings.iter().map(|closing| closing.until)).collect();
        armed.extend(self.waits.iter().filter_map(|wait| wait.until));
        armed.extend(self.graces().into_iter().map(|(_, until)| until));
        armed.sort_unstable();
        let left = |until: Option<(u64, u64)>| {
            let until = until?;
            let place = armed.iter().position(|other| *other == until)?;
            Some((until.0.saturating_sub(now), place))
        };
        // Numbers count only for the order in which one asked, and tokens for what was granted together.
        let asked = |who: &Who, number: u64| {
            let held = self.holds.iter().filter(|hold| hold.who == *who).map(|hold| hold.asked.0);
            let waited = self.waits.iter().filter(|wait| wait.who == *who).map(|wait| wait.number);
            let mut earlier: Vec<u64> = held.chain(waited).filter(|other| *other < number).collect();
            earlier.sort_unstable();
            earlier.dedup();
            (who.clone(), earlier.len())
        };
        let terms = |terms: &Terms, since: u64| {
            let min_hold = (since + terms.min_hold).saturating_sub(now);
            (terms.fence, terms.lease, min_hold, terms.may_close(), terms.lost_delay, terms.hint)
        };
        let mut holds: Vec<String> = Vec::new();
        for hold in &self.holds {
            let place = self.holders(&hold.name).position(|other| other.who == hold.who);
            let together = self.holds.iter().filter(|other| other.token == hold.token).map(|other| &other.name);
            let together: Vec<&String> = together.collect();
            let asked = (asked(&hold.who, hold.asked.0), hold.asked.1);
            let (terms, left) = (terms(&hold.terms, hold.since), left(hold.until));
            let flags = (hold.is_told, hold.is_out_of_turn);
            holds.push(format!(
                "{} {place:?} {:?} {left:?} {terms:?} {asked:?} {together:?} {flags:?}",
                hold.name, hold.kind
            ));
        }
        let mut waits: Vec<String> = Vec::new();
        for wait in &self.waits {
            let terms = terms(&wait.terms, now);
            let form = (&wait.target, wait.is_any, &wait.queues, wait.kind, wait.priority, wait.is_plain, &wait.id);
            let asked = asked(&wait.who, wait.number);
            waits.push(format!("{asked:?} {form:?} {:?} {terms:?}", left(wait.until)));
        }
        let mut queues: Vec<String> = Vec::new();
        for queue in &self.queues {
            let waits = queue.waits.iter().map(|number| asked(&self.wait(*number).who, *number));
            queues.push(format!("{} {:?}", queue.name, waits.collect::<Vec<_>>()));
        }
        let closings = self.closings.iter().map(|closing| (&closing.name, left(Some(closing.until))));
        let mut closings: Vec<_> = closings.collect();
        let session = |session: &Session| (session.number, session.grace, left(session.away.map(|away| away.until)));
        let client = |client: &'_ Client| {
            let session = client.session.as_ref().map(session);
            (client.seat, client.owners.clone(), client.wants_notices, session)
        };
        let mut clients: Vec<_> = self.clients.iter().map(client).collect();
        holds.sort();
        waits.sort();
        queues.sort();
        closings.sort();
        clients.sort();
        format!("{holds:?} {waits:?} {queues:?} {closings:?} {clients:?} {:?}", self.behind)
    }
}

fn left(until: (u64, u64), now: u64) -> String {
    seconds(until.0.saturating_sub(now))
}

fn label(label: Option<&str>) -> String {
    label.filter(|label| !label.is_empty()).map_or(String::new(), |label| format!(r#","label":{}"#, quoted(label)))
}
