//! What is sent: status line, fields and body.

use std::io::Write;

use super::route::Route;
use crate::wire::reply::{Outcome, Reason, Reply};

/// What a browser may do with any answer: next to nothing.
const SECURITY: &str = "Cache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: no-referrer\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n";

/// An answer, but for what depends on the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    kind: Kind,
    body: Vec<u8>,
    /// A browser asks its user who that is, if it is a 401.
    challenges: bool,
}

/// What depends on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// What was asked for, if there is anything under that path.
    pub(super) route: Option<Route>,
    /// The methods that the path has, if that is what is wrong.
    pub(super) allow: Option<&'static str>,
    /// None is sent for HEAD.
    pub(super) has_body: bool,
    /// It is the last answer of its connection.
    pub(super) closes: bool,
}

impl Way {
    /// That of an answer to what is not known to be a request, or to one after which nothing is known of what follows.
    pub(super) const LAST: Way = Way { route: None, allow: None, has_body: true, closes: true };
}

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Json,
    Metrics,
    Html,
    Css,
    Script,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Kind::Text => "text/plain; charset=utf-8",
            Kind::Json => "application/json",
            Kind::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Kind::Html => "text/html; charset=utf-8",
            Kind::Css => "text/css; charset=utf-8",
            Kind::Script => "text/javascript; charset=utf-8",
        }
    }
}

impl Answer {
    pub(super) fn new(status: u16, kind: Kind, body: Vec<u8>) -> Answer {
        Answer { status, kind, body, challenges: status == 401 }
    }

    /// A line for people.
    pub(super) fn text(status: u16, line: &str) -> Answer {
        Answer::new(status, Kind::Text, format!("{line}\n").into_bytes())
    }

    /// A reply of the protocol.
    pub(super) fn reply(reply: &Reply<'_>) -> Answer {
        let mut body = Vec::new();
        reply.encode(&mut body);
        Answer::new(status(&reply.outcome), Kind::Json, body)
    }

    /// The same, without a browser asking its user for credentials.
    pub(super) fn without_challenge(self) -> Answer {
        Answer { challenges: false, ..self }
    }

    /// Appends it.
    pub(super) fn encode(&self, way: &Way, out: &mut Vec<u8>) {
        let (status, shown) = STATUSES[number_of(self.status)];
        let mut push = |line: std::fmt::Arguments<'_>| out.write_fmt(line).expect("memory takes all");
        push(format_args!("HTTP/1.1 {shown}\r\n"));
        push(format_args!("Content-Type: {}\r\n", self.kind.content_type()));
        push(format_args!("Content-Length: {}\r\n{SECURITY}", self.body.len()));
        match status {
            401 if self.challenges => {
                push(format_args!("WWW-Authenticate: Basic realm=\"Officer\", charset=\"UTF-8\"\r\n"))
            }
            503 => push(format_args!("Retry-After: 1\r\n")),
            _ => {}
        }
        if let Some(methods) = way.allow {
            push(format_args!("Allow: {methods}\r\n"));
        }
        if way.closes {
            push(format_args!("Connection: close\r\n"));
        }
        push(format_args!("\r\n"));
        if way.has_body {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The status of a reply of the protocol.
fn status(outcome: &Outcome<'_>) -> u16 {
    match outcome {
        Outcome::KickFailed | Outcome::RevokeFailed { .. } => 404,
        Outcome::Error { reason: Reason::NotAllowed, .. } => 403,
        Outcome::Error { reason: Reason::ReplyTooLarge, .. } => 500,
        Outcome::Error { .. } => 400,
        _ => 200,
    }
}

/// The status codes of all answers, each with its phrase.
pub(super) const STATUSES: [(u16, &str); 13] = [
    (200, "200 OK"),
    (400, "400 Bad Request"),
    (401, "401 Unauthorized"),
    (403, "403 Forbidden"),
    (404, "404 Not Found"),
    (405, "405 Method Not Allowed"),
    (408, "408 Request Timeout"),
    (413, "413 Content Too Large"),
    (415, "415 Unsupported Media Type"),
    (417, "417 Expectation Failed"),
    (431, "431 Request Header Fields Too Large"),
    (500, "500 Internal Server Error"),
    (503, "503 Service Unavailable"),
];

/// The position of a status in [`STATUSES`].
pub(super) fn number_of(status: u16) -> usize {
    STATUSES.iter().position(|(known, _)| *known == status).expect("all statuses are known")
}
