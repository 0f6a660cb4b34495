//! How many requests were answered, by path and by status.

use super::answer::{STATUSES, number_of};
use super::route::{ROUTES, Route};

/// What there is under none of the paths, and what is no request.
const OTHER: &str = "other";

/// Counters since the start. A path of a request is never a label of its own: clients could make up any number.
#[derive(Debug, Default)]
pub(in crate::server) struct HttpFigures {
    /// For each of the paths, and then for all others.
    answered: [[u64; STATUSES.len()]; ROUTES.len() + 1],
}

impl HttpFigures {
    /// A request is answered.
    pub(super) fn on_answer(&mut self, route: Option<Route>, status: u16) {
        let path = ROUTES.iter().position(|(_, known)| Some(*known) == route).unwrap_or(ROUTES.len());
        self.answered[path][number_of(status)] += 1;
    }

    /// How many answers there were, by path and by status.
    pub(in crate::server) fn answered(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let paths = ROUTES.iter().map(|(path, _)| *path).chain([OTHER]);
        paths.zip(&self.answered).flat_map(|(path, counts)| {
            STATUSES.iter().zip(counts).map(move |((_, shown), count)| (path, &shown[..3], *count))
        })
    }
}
