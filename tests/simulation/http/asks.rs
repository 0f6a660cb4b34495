//! Requests: how they are sent, and what they are answered.

use std::collections::BTreeMap;

use super::connections::{Body, Connections, Owed, named, owed};
use super::draw::{Request, What};
use super::guard::{Users, Verdict, Who};
use super::locks::is_exact;
use super::{Run, Seen};
use crate::small_world::{Client, World};
use crate::users::secret;

impl Run {
    /// Sends whole requests in pieces.
    pub(super) fn ask(&mut self, index: usize, requests: &[Request], piece: usize) {
        let mut text = String::new();
        for request in requests {
            let (head, body) = request.text(&secret);
            text.extend([head, body]);
        }
        let client = self.connections.all[index].client;
        for piece in text.as_bytes().chunks(piece) {
            self.world.send(client, piece);
        }
        for request in requests {
            if self.connections.all[index].may_ask() {
                self.answer(index, request);
            }
        }
    }

    /// Sends some bytes more of a request, and says what it is answered if that is enough.
    pub(super) fn go_on(&mut self, index: usize, bytes: usize) {
        let connection = &mut self.connections.all[index];
        let partial = connection.partial.as_mut().expect("it has begun");
        let text = format!("{}{}", partial.head, partial.body);
        let from = partial.sent;
        partial.sent = from.saturating_add(bytes).min(text.len());
        let (sent, head_bytes, request) = (partial.sent, partial.head.len(), partial.request.clone());
        let (client, place) = (connection.client, connection.place);
        self.world.send(client, &text.as_bytes()[from..sent]);
        let is_too_long = sent >= 8192 && head_bytes > 8192;
        let is_enough = sent == text.len()
            || is_too_long
            || (sent >= head_bytes && !matches!(self.users.judge(&request, place).0, Verdict::Executed(_)));
        if is_enough {
            self.answer(index, &request);
        }
    }

    /// Says what a request is answered.
    fn answer(&mut self, index: usize, request: &Request) {
        let place = self.connections.all[index].place;
        let (verdict, is_wrong) = self.users.judge(request, place);
        self.wrong_secrets += usize::from(is_wrong);
        let (path, status, body) = match verdict {
            Verdict::Broken(status) => ("other", status, Body::Any),
            Verdict::Refused(404) => ("other", 404, Body::Any),
            Verdict::Refused(status) => (request.path(), status, Body::Any),
            Verdict::Executed(who) => {
                let (status, body) = self.execute(who, request);
                (request.path(), status, body)
            }
        };
        let owed = Owed { body, ..owed(request, verdict, status) };
        self.connections.count(path, status);
        self.connections.all[index].answer(owed, self.locks.now);
    }

    fn execute(&mut self, who: Who, request: &Request) -> (u16, Body) {
        let is_admin = Users::is_admin(who);
        match &request.what {
            What::Page(_) | What::Health | What::Connections => (200, Body::Any),
            What::Nothing => unreachable!("it is refused"),
            What::BadQuery => (400, Body::Any),
            What::Metrics => (200, Body::Metrics(self.samples())),
            What::Locks(prefix) => {
                let rows = self.locks.rows(|name| name.starts_with(prefix) && Users::may_see(who, name));
                (200, named(rows, |client| self.name(client)))
            }
            _ if !is_admin => (403, Body::Any),
            What::Stats => {
                let waited = self.locks.waited();
                self.seen.insert(if is_exact(&waited) { "hottest exact" } else { "hottest estimated" }.to_owned());
                (200, Body::Hottest(waited))
            }
            What::Kick(name) => {
                let is_it = |client: &Client| self.world.name(*client) == name;
                match self.clients.iter().position(|client| client.as_ref().is_some_and(is_it)) {
                    Some(client) => {
                        self.clients[client] = None;
                        self.locks.reset(client);
                        (200, Body::Any)
                    }
                    None => (404, Body::Any),
                }
            }
            What::Revoke(name) => (if self.locks.revoke(name) { 200 } else { 404 }, Body::Any),
        }
    }

    pub(super) fn seen(&mut self) -> Seen {
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.connections.answers.keys().map(|(path, status)| format!("{path} {status}")));
        seen.extend(self.connections.handshakes.keys().map(|result| format!("handshake {result}")));
        seen
    }

    /// What the metrics say now.
    fn samples(&self) -> BTreeMap<String, String> {
        let mut samples = self.locks.samples();
        samples.extend(self.connections.samples());
        let connected = self.clients.iter().flatten().count();
        samples.insert("officer_connections".to_owned(), connected.to_string());
        let key = "officer_errors_total{reason=\"auth_failed\"}";
        samples.insert(key.to_owned(), self.wrong_secrets.to_string());
        samples
    }

    /// All that may ask for something that may take long do so at once: one of them is answered in every other turn.
    pub(super) fn ask_together(&mut self) -> Result<(), String> {
        let request = Request::plain(What::Connections);
        let may_ask = |index: &usize| {
            let connection = &self.connections.all[*index];
            let verdict = self.users.judge(&request, connection.place).0;
            connection.may_ask() && !connection.is_stalled && matches!(verdict, Verdict::Executed(_))
        };
        let mut seats: Vec<usize> = self.seats.iter().flatten().copied().filter(may_ask).collect();
        seats.sort_unstable();
        seats.dedup();
        let (head, _) = request.text(&secret);
        for index in &seats {
            self.world.put(self.connections.all[*index].client, head.as_bytes());
        }
        let count = |world: &World, connections: &Connections| {
            seats.iter().filter(|index| world.partial(connections.all[**index].client) > 0).count()
        };
        let (mut before, mut was_answered) = (0, false);
        for _ in 0..3 * seats.len() + 3 {
            self.world.turn();
            let answered = count(&self.world, &self.connections);
            if answered > before + 1 || (answered > before && was_answered) {
                return Err(format!("{answered} are answered in this turn, {before} were before it"));
            }
            (before, was_answered) = (answered, answered > before);
        }
        if before < seats.len() {
            return Err(format!("{before} of {} are answered", seats.len()));
        }
        seats.iter().for_each(|index| self.answer(*index, &request));
        Ok(())
    }
}
