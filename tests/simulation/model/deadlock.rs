//! Who waits for whom, and whether one more wait would close a circle.

use std::collections::VecDeque;

use serde_json::Value;

use super::fit::Kind;
use super::{Model, Request, Wait, Who};
use crate::sizes::quoted;

impl Model {
    /// The circle that the request would close if it waited, as `cycle` has it.
    pub(super) fn cycle(&self, wait: &Wait) -> Option<String> {
        let asker = &wait.who;
        let mut placed = self.clone();
        placed.enqueue(wait.clone());
        // Whom the request gets ahead of, and so makes wait.
        let is_new =
            |who: &Who| placed.edges(who).iter().any(|edge| edge.to == *asker && edge.over == Some(wait.number));
        // The shortest way back to the asker by way of what is new.
        let mut ways: VecDeque<Vec<Who>> = VecDeque::from([vec![asker.clone()]]);
        let mut seen: Vec<(bool, Who)> = Vec::new();
        while let Some(way) = ways.pop_front() {
            let last = way.last().expect("it starts with the asker");
            for edge in placed.edges(last) {
                let begins_new = way.len() > 1 && placed.begins_with(&way, wait.number);
                let uses_new = begins_new || edge.from == wait.number;
                if edge.to == *asker {
                    if uses_new || is_new(last) {
                        let elements: Vec<String> = way.iter().map(|who| self.element(who)).collect();
                        return Some(format!("[{}]", elements.join(",")));
                    }
                    continue;
                }
                if !seen.contains(&(uses_new, edge.to.clone())) {
                    seen.push((uses_new, edge.to.clone()));
                    ways.push_back([way.as_slice(), &[edge.to]].concat());
                }
            }
        }
        None
    }

    /// Whether the first step of a way is one of this request.
    fn begins_with(&self, way: &[Who], number: u64) -> bool {
        self.edges(&way[0]).iter().any(|edge| edge.from == number && edge.to == way[1])
    }

    /// Whether a refusal tells of a true circle: it starts with the asker, and each waits for the next.
    ///
    /// # Errors
    /// The step that is not true.
    pub fn check_cycle(&self, seat: super::Seat, request: &Request, cycle: &Value) -> Result<(), String> {
        let super::Ask::Lock(lock) = &request.ask else {
            return Err("only a lock is refused for a deadlock".to_owned());
        };
        let asker = Who { seat, owner: request.owner.as_ref().map(|owner| owner.returned.clone()) };
        let mut placed = self.clone();
        placed.next_number += 1;
        let wait = super::judge::asked(placed.next_number, &asker, lock, None, 0);
        placed.enqueue(wait);
        let elements = cycle.as_array().ok_or("a cycle is an array")?;
        let askers: Vec<Who> =
            elements.iter().map(|element| self.asker(element)).collect::<Option<_>>().ok_or("nobody of that name")?;
        if askers.first() != Some(&asker) {
            return Err("it does not start with the asker".to_owned());
        }
        for (index, who) in askers.iter().enumerate() {
            let next = &askers[(index + 1) % askers.len()];
            if askers[..index].contains(who) {
                return Err(format!("{who:?} is in it twice"));
            }
            if !placed.edges(who).iter().any(|edge| edge.to == *next) {
                return Err(format!("{who:?} does not wait for {next:?}"));
            }
        }
        Ok(())
    }

    fn asker(&self, element: &Value) -> Option<Who> {
        let (connection, owner) = match element {
            Value::String(connection) => (connection.as_str(), None),
            other => (other["connection"].as_str()?, Some(other.get("owner")?)),
        };
        let client = self.clients.iter().find(|client| client.connection == connection)?;
        let owner = owner.map(|owner| owner.as_str().map_or_else(|| owner.to_string(), quoted));
        Some(Who { seat: client.seat, owner })
    }

    fn element(&self, who: &Who) -> String {
        let connection = quoted(&self.shown(who.seat).connection);
        match &who.owner {
            None => connection,
            Some(owner) => format!(r#"{{"connection":{connection},"owner":{owner}}}"#),
        }
    }

    /// Whom an asker waits for, with all its requests. Those for any of several, and for one of several units, wait for
    /// nobody in particular; others may well wait for them.
    fn edges(&self, who: &Who) -> Vec<Edge> {
        let counts = |kind: Kind| !matches!(kind, Kind::Units(all) if all > 1);
        let mut edges = Vec::new();
        for wait in self.waits.iter().filter(|wait| wait.who == *who && !wait.is_any && counts(wait.kind)) {
            for name in &wait.queues {
                let held = self.holders(name).filter(|hold| !hold.kind.fits(wait.kind));
                edges.extend(held.map(|hold| Edge { from: wait.number, to: hold.who.clone(), over: None }));
                let ahead = self.queue(name).iter().take_while(|number| **number != wait.number);
                let ahead = ahead.map(|number| self.wait(*number)).filter(|other| !other.kind.fits(wait.kind));
                edges.extend(ahead.map(|other| Edge {
                    from: wait.number,
                    to: other.who.clone(),
                    over: Some(other.number),
                }));
            }
        }
        edges
    }
}

/// One asker waits for another.
struct Edge {
    /// The request that waits.
    from: u64,
    to: Who,
    /// The request that it waits for, if that waits as well.
    over: Option<u64>,
}
