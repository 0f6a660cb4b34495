//! Who may ask: users by HTTP Basic, programs that their socket or their address speaks for, and no page of another site.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::HttpKey;
use super::answer::Answer;
use super::head::{Head, MARK};
use super::route::Route;
use crate::server::access::{Identity, LoginFailed, RoleKey};
use crate::server::commands::Actor;
use crate::server::{Credentials, Server, Socket};
use crate::wire::peer::Peer;
use crate::wire::reply::Reason;
use crate::wire::request::Login;

/// Whoever asks through a proxy: it may be anybody, from anywhere, although the proxy is on this machine.
const BEHIND_A_PROXY: Peer = Peer::V4 { ip: [0; 4], port: 0 };

impl<S: Socket> Server<S> {
    /// Who asks for this, if it may.
    pub(super) fn judge_request(&mut self, key: HttpKey, head: &Head<'_>, route: Route) -> Result<Actor, Answer> {
        let connection = self.http.slots.get(key).expect("it is served");
        let (peer, own_ip) = (connection.peer, connection.socket.own_ip());
        let has_users = self.connections.roles.has_users();
        let role = if has_users { self.user_of(key, head)? } else { self.everybody(key, head)? };
        let actor = Actor { peer, role: Some(role), session: None, own_ip };
        check_origin(head)?;
        if route.changes() {
            check_change(head)?;
        }
        let roles = &self.connections.roles;
        let is_allowed = match route {
            Route::Metrics => !has_users || roles.may_see_metrics(role),
            // A user is told so by the reply to the command.
            _ if route.needs_admin() => !self.lacks_admin(Some(role)) || roles.user(role).is_some(),
            _ => true,
        };
        match is_allowed {
            true => Ok(actor),
            false if roles.user(role).is_some() => {
                self.note_access(format_args!("{peer}: the metrics are refused: its user may not see them"));
                Err(Answer::text(403, "the metrics need a user with metrics = true or admin = true"))
            }
            false => Err(unknown()),
        }
    }

    /// Without users it is everybody on this machine. A page in its browser is not: it asks by the name of another host.
    fn everybody(&self, key: HttpKey, head: &Head<'_>) -> Result<RoleKey, Answer> {
        let connection = self.http.slots.get(key).expect("it is served");
        if head.authorization.is_some() {
            return Err(Answer::text(403, "this server has no users: leave the credentials out"));
        }
        if head.is_proxied || !connection.peer.is_local(connection.socket.own_ip()) {
            let text = "a server without users answers only programs on its own machine, and none through a proxy";
            return Err(Answer::text(403, text));
        }
        self.check_host(head)?;
        Ok(RoleKey::EVERYBODY)
    }

    fn user_of(&mut self, key: HttpKey, head: &Head<'_>) -> Result<RoleKey, Answer> {
        let connection = self.http.slots.get(key).expect("it is served");
        // What the socket proves is who the proxy is.
        let (peer, nobody) = (connection.peer, Credentials::default());
        let (seen, credentials) =
            if head.is_proxied { (BEHIND_A_PROXY, &nobody) } else { (peer, &connection.credentials) };
        let roles = &self.connections.roles;
        let by_socket = match roles.identify(seen, credentials) {
            Identity::Known(role) => Some(role),
            Identity::Stranger => None,
            Identity::Several => return Err(self.fail_login(peer)),
        };
        let Some(authorization) = head.authorization else {
            self.check_host(head)?;
            return by_socket.ok_or_else(unknown);
        };
        let named = login(authorization).and_then(|(user, secret)| {
            let login = Login { user: user.as_str().into(), secret: secret.as_str().into() };
            roles.log_in(&login).map_err(|LoginFailed| ())
        });
        let is_another = |user: RoleKey| by_socket.is_some_and(|known| roles.user(known).is_some() && known != user);
        match named {
            Ok(user) if !is_another(user) => Ok(user),
            _ => Err(self.fail_login(peer)),
        }
    }

    /// Counts and logs a failed authentication as that of a `hello`.
    fn fail_login(&mut self, peer: Peer) -> Answer {
        self.note_access(format_args!("{peer}: authentication by HTTP failed"));
        self.connections.figures.on_error(Reason::AuthFailed);
        Answer::text(401, "there is no such user, or that is not its secret")
    }

    /// A page whose name leads to this machine for a while asks by that name.
    fn check_host(&self, head: &Head<'_>) -> Result<(), Answer> {
        let Some(host) = head.host else { return Err(Answer::text(400, "Host is missing")) };
        match name_of(host) {
            Some(name) if is_literal(name) || name.eq_ignore_ascii_case("localhost") => Ok(()),
            Some(name) if self.http.hosts.contains(&name.to_ascii_lowercase()) => Ok(()),
            _ => {
                let text = "without credentials Host is an address, localhost, or a name that --http-host allows";
                Err(Answer::text(403, text))
            }
        }
    }
}

fn unknown() -> Answer {
    Answer::text(401, "say who you are: HTTP Basic, with the name and the secret of a user")
}

/// The name and the secret of `Basic`.
fn login(authorization: &str) -> Result<(String, String), ()> {
    let (scheme, encoded) = authorization.split_once(' ').ok_or(())?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(());
    }
    let decoded = STANDARD.decode(encoded.trim_matches(' ')).map_err(drop)?;
    let text = String::from_utf8(decoded).map_err(drop)?;
    let (user, secret) = text.split_once(':').ok_or(())?;
    Ok((user.to_owned(), secret.to_owned()))
}

/// A page of another site may ask, but not read answers, and change nothing.
fn check_origin(head: &Head<'_>) -> Result<(), Answer> {
    let Some(origin) = head.origin else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    match (authority, head.host) {
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Answer::text(403, "the request comes from a page of another site (Origin is not Host)")),
    }
}

/// What changes something must come from a program, or from our own page.
fn check_change(head: &Head<'_>) -> Result<(), Answer> {
    if !head.is_marked {
        return Err(Answer::text(403, &format!("the field {MARK}: 1 is missing")));
    }
    let media = head.content_type.and_then(|value| value.split(';').next()).unwrap_or("").trim_ascii();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(Answer::text(415, "Content-Type must be application/json"));
    }
    Ok(())
}

/// The name in a `Host`, without its port.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<Ipv6Addr>().ok()?;
            (name, port)
        }
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (name, port)
        }
    };
    let is_port =
        |port: &str| port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (port.is_empty() || is_port(port)).then_some(name)
}

fn is_literal(name: &str) -> bool {
    name.parse::<Ipv4Addr>().is_ok() || name.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_and_perhaps_a_port() {
        for (host, name) in [
            ("localhost", Some("localhost")),
            ("127.0.0.1:9100", Some("127.0.0.1")),
            ("[::1]:9100", Some("::1")),
            ("[::1]", Some("::1")),
            ("a.example:", Some("a.example")),
            ("::1", None),
            ("[localhost]", None),
            ("[::1", None),
            ("[::1]9100", None),
            ("127.0.0.1:80:80", None),
            ("127.0.0.1:x", None),
            ("", Some("")),
        ] {
            assert_eq!(name_of(host), name, "{host}");
        }
        assert!(is_literal("127.0.0.1") && is_literal("::1"));
        assert!(["localhost", "127.1", "0x7f.0.0.1", "127.0.0.1.", ""].iter().all(|name| !is_literal(name)));
    }

    #[test]
    fn credentials_are_a_name_and_a_secret() {
        let pair = |user: &str, secret: &str| Ok((user.to_owned(), secret.to_owned()));
        assert_eq!(login("Basic b3BzOnNlY3JldA=="), pair("ops", "secret"));
        assert_eq!(login("bAsIc  b3BzOmE6Yg=="), pair("ops", "a:b"));
        assert_eq!(login("Basic Og=="), pair("", ""));
        for wrong in
            ["", "Basic", "Basic ", "Bearer b3BzOnNlY3JldA==", "Basic b3Bz", "Basic b3BzOnNlY3JldA", "Basic /w=="]
        {
            assert_eq!(login(wrong), Err(()), "{wrong}");
        }
    }
}
