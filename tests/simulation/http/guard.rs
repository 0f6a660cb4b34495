//! Who may ask what by HTTP, by the text alone.

use super::draw::{Claim, End, GRAPHS, HOST, LIMITED, OPS, Place, Request, Size, USERS, WORKER, What};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// On a server without users.
    Everybody,
    Anonymous,
    User(usize),
}

/// Who there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Users {
    None,
    /// Those of [`USERS`]. Whoever comes from loopback may be anonymous, perhaps with the right to the metrics.
    Some {
        anonymous: Option<bool>,
    },
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is no request, or cannot be known to be one: nothing after it is either.
    Broken(u16),
    Refused(u16),
    Executed(Who),
}

impl Users {
    /// Whether somebody is shown locks of this name.
    pub(crate) fn may_see(who: Who, name: &str) -> bool {
        match who {
            Who::Everybody | Who::User(OPS | WORKER) => true,
            Who::User(LIMITED) => name.starts_with("a:"),
            Who::User(_) => false,
            Who::Anonymous => name.starts_with('b'),
        }
    }

    pub(crate) fn is_admin(who: Who) -> bool {
        matches!(who, Who::Everybody | Who::User(OPS))
    }

    pub(crate) fn text(self, digest: &dyn Fn(usize) -> String) -> Option<String> {
        let Users::Some { anonymous } = self else { return None };
        let mut text = String::new();
        for (number, (name, rights)) in USERS.iter().enumerate() {
            text += &format!("[users.{name}]\nsecret_sha256 = \"{}\"\n{rights}", digest(number));
        }
        if let Some(metrics) = anonymous {
            text += &format!("[anonymous]\nfrom = [\"loopback\"]\nlocks = [\"b\"]\nmetrics = {metrics}\n");
        }
        Some(text)
    }

    /// What becomes of a request, once its head is whole. The second: a wrong secret is counted.
    pub(crate) fn judge(self, request: &Request, place: Place) -> (Verdict, bool) {
        let verdict = match (request.bad, request.size) {
            (Some((_, status)), _) => Verdict::Broken(status),
            (None, Size::Head { is_over: true }) => Verdict::Broken(431),
            (None, Size::Body { is_over: true }) => Verdict::Broken(413),
            // A PUT of a page has no body; a change has one whatever its method.
            _ if request.what == What::Nothing => Verdict::Refused(404),
            _ if request.method == "PUT" => Verdict::Refused(405),
            _ if request.what == What::Health => Verdict::Executed(Who::Everybody),
            _ if request.host.is_none() => Verdict::Refused(400),
            _ => {
                let who = match self {
                    Users::None => self.everybody(request, place),
                    Users::Some { .. } => self.user(request, place),
                };
                let status = who.and_then(|who| self.check(request, who).map(|()| who));
                let is_wrong = matches!(self, Users::Some { .. }) && who == Err(401) && request.claim.is_some();
                return (status.map_or_else(Verdict::Refused, Verdict::Executed), is_wrong);
            }
        };
        (verdict, false)
    }

    fn has_good_host(request: &Request) -> bool {
        matches!(request.host, Some("localhost" | "127.0.0.1:80" | "[::1]:80" | HOST))
    }

    fn everybody(self, request: &Request, place: Place) -> Result<Who, u16> {
        let is_here = !matches!(place, Place::Far(_));
        let is_everybody = request.claim.is_none() && !request.is_proxied && is_here && Users::has_good_host(request);
        is_everybody.then_some(Who::Everybody).ok_or(403)
    }

    fn user(self, request: &Request, place: Place) -> Result<Who, u16> {
        let Users::Some { anonymous } = self else { unreachable!("there are users") };
        let proven = match place {
            _ if request.is_proxied => None,
            Place::Unix => Some(Who::User(OPS)),
            Place::Loopback => anonymous.map(|_| Who::Anonymous),
            Place::Far(_) => None,
        };
        match request.claim {
            None if !Users::has_good_host(request) => Err(403),
            None => proven.ok_or(401),
            Some(Claim::User { user, secret }) if user == secret => match proven {
                Some(Who::User(other)) if other != user => Err(401),
                _ => Ok(Who::User(user)),
            },
            Some(_) => Err(401),
        }
    }

    /// Whether somebody may ask for this.
    fn check(self, request: &Request, who: Who) -> Result<(), u16> {
        let host = request.host.expect("that was looked at before");
        if request.origin.is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
            return Err(403);
        }
        if request.changes() && !request.is_marked {
            return Err(403);
        }
        if request.changes() && !request.is_json {
            return Err(415);
        }
        let metrics = match (self, who) {
            (_, Who::Everybody | Who::User(OPS | GRAPHS)) => Ok(()),
            (_, Who::User(_)) => Err(403),
            (Users::Some { anonymous: Some(true) }, Who::Anonymous) => Ok(()),
            (_, Who::Anonymous) => Err(401),
        };
        match request.what {
            What::Metrics => metrics,
            // A user is told so by the command.
            What::Stats | What::Kick(_) | What::Revoke(_) if who == Who::Anonymous => Err(401),
            _ => Ok(()),
        }
    }
}

impl Request {
    /// Whether nothing comes after its answer, if it was executed.
    pub(crate) fn is_last(&self) -> bool {
        self.end != End::KeepsAlive
    }
}
