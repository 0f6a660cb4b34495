//! Requests executed: the page, the text of the metrics, and commands of the protocol.

use super::answer::{Answer, Kind};
use super::head::Head;
use super::query::{line_of_body, line_of_query};
use super::route::Route;
use crate::engine::listing_outcome;
use crate::server::commands::{Actor, connections_page};
use crate::server::{Server, Socket};
use crate::wire::reply::{Outcome, Reason, Reply};
use crate::wire::request::{self, Command, Operation};

impl<S: Socket> Server<S> {
    /// Executes a request that may be executed.
    pub(super) fn answer_request(&mut self, actor: &Actor, route: Route, head: &Head<'_>, body: &[u8]) -> Answer {
        let line = match route {
            Route::Page(file) => return file.answer(),
            Route::Health => return Answer::text(200, "ok"),
            Route::Metrics => {
                let mut text = Vec::new();
                self.write_metrics(&mut text);
                return Answer::new(200, Kind::Metrics, text);
            }
            Route::Locks | Route::Connections | Route::Stats => line_of_query(route.command(), head.query),
            Route::Kick | Route::Revoke => line_of_body(route.command(), body),
        };
        match line {
            Ok(line) => self.answer_line(actor, &line),
            Err(message) => Answer::reply(&Reply::error(Reason::InvalidRequest, message)),
        }
    }

    /// Executes a line of the protocol as somebody who has no connection there.
    fn answer_line(&mut self, actor: &Actor, line: &str) -> Answer {
        let request = match request::parse_strictly(line.as_bytes()) {
            Ok(request) => request,
            Err(bad) => return bad.reply(Answer::reply),
        };
        let (id, owner) = (None, None);
        let answer = |outcome: Outcome<'_>| Answer::reply(&Reply { id, owner, outcome });
        match &request.command {
            Command::Locks(Operation::LocksPage(page)) => {
                let written = self.engine.list_page(page, self.connections.now, &self.sight_of(actor));
                answer(listing_outcome(&written, |(value, next)| Outcome::LocksPage { value, next: *next }))
            }
            Command::Locks(Operation::OneLock { name, has_detail }) => {
                let (name, now) = (name.as_str(), self.connections.now);
                let written = self.engine.list_one(name, *has_detail, now, &self.sight_of(actor));
                answer(listing_outcome(&written, |value| Outcome::LocksPage { value, next: None }))
            }
            Command::ConnectionsPage(page) => answer(connections_page(&self.write_connections(actor, *page))),
            Command::Stats => self.tell_stats(actor, |_, outcome| answer(outcome)),
            Command::Kick { connection } => match self.find_kicked(actor, connection) {
                Ok(kicked) => {
                    self.end_kicked(kicked, actor.peer);
                    answer(Outcome::Kicked { count: None })
                }
                Err(refusal) => answer(*refusal),
            },
            Command::KickUser { user } => match self.find_kicked_user(actor, user) {
                Ok(kicked) => {
                    let outcome = kicked.outcome();
                    self.end_kicked_user(kicked, actor.peer);
                    answer(outcome)
                }
                Err(refusal) => answer(*refusal),
            },
            Command::Revoke(revocation) => {
                let outcome = self.revoke(actor, revocation);
                answer(outcome)
            }
            other => unreachable!("no route leads to {other:?}"),
        }
    }

    /// Which locks somebody may be shown.
    fn sight_of(&self, actor: &Actor) -> impl Fn(&str) -> bool {
        let (sees_all, role, roles) = (self.sees_all(actor), actor.role, &self.connections.roles);
        move |name| sees_all || role.is_some_and(|role| roles.may_see(role, name))
    }
}
