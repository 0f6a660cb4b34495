//! What is asked for, by path and method.

use super::page::File;

/// What there is, by path.
pub(super) const ROUTES: [(&str, Route); 10] = [
    ("/", Route::Page(File::Html)),
    ("/page.css", Route::Page(File::Css)),
    ("/page.js", Route::Page(File::Script)),
    ("/health", Route::Health),
    ("/metrics", Route::Metrics),
    ("/api/locks", Route::Locks),
    ("/api/connections", Route::Connections),
    ("/api/stats", Route::Stats),
    ("/api/kick", Route::Kick),
    ("/api/revoke", Route::Revoke),
];

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Page(File),
    Health,
    Metrics,
    Locks,
    Connections,
    Stats,
    Kick,
    Revoke,
}

impl Route {
    /// Where a path leads to.
    pub(super) fn find(path: &str) -> Option<Route> {
        ROUTES.iter().find(|(known, _)| *known == path).map(|(_, route)| *route)
    }

    /// Whether it has this method.
    ///
    /// # Errors
    /// The methods that it has, as `Allow` names them.
    pub(super) fn check_method(self, method: &str) -> Result<(), &'static str> {
        let (is_known, methods) = match self.changes() {
            true => (method == "POST", "POST"),
            false => (matches!(method, "GET" | "HEAD"), "GET, HEAD"),
        };
        if is_known { Ok(()) } else { Err(methods) }
    }

    /// Whether something is different after it.
    pub(super) fn changes(self) -> bool {
        matches!(self, Route::Kick | Route::Revoke)
    }

    /// Whether only an admin may do it, if there are users.
    pub(super) fn needs_admin(self) -> bool {
        matches!(self, Route::Stats | Route::Kick | Route::Revoke)
    }

    /// The command of the protocol that it is.
    pub(super) fn command(self) -> &'static str {
        match self {
            Route::Locks => "locks",
            Route::Connections => "connections",
            Route::Stats => "stats",
            Route::Kick => "kick",
            Route::Revoke => "revoke",
            Route::Page(_) | Route::Health | Route::Metrics => unreachable!("it is none"),
        }
    }
}
