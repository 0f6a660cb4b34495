//! What a line of a scenario is on the wire, and what it asks.

use crate::expected::{Asked, Hello, Listing, Page};
use crate::model::{Ask, Greeting, Request, error, error_on, with_id, with_owner};
use crate::scenario::{Line, Picks, Secret, Token, Whom};
use crate::sizes::{Id, quoted};

/// What a line may refer to.
pub(crate) struct Known<'a> {
    /// The last listing of connections.
    pub(crate) listing: Option<&'a Listing>,
    /// The name of a connection or a session.
    pub(crate) name_of: &'a dyn Fn(Whom) -> String,
    /// Of the sessions whose secrets clients were sent, the number and secret of the one this many before the newest.
    pub(crate) secret_of: &'a dyn Fn(usize) -> Option<(u64, String)>,
    /// The token of the newest hold on a lock, or the last one.
    pub(crate) token_of: &'a dyn Fn(&str) -> u64,
}

/// The text, `\n` included, and what it asks.
pub(crate) fn written(line: &Line, known: &Known<'_>) -> (String, Asked) {
    match line {
        Line::Request { request, picks, padding, ending } => {
            let request = picked(request, picks, known);
            let line = request.line();
            let padding = " ".repeat(*padding);
            (format!("{}{padding}}}{ending}", &line[..line.len() - 1]), Asked::Locks(request))
        }
        Line::Hello { .. } => hello(line, known),
        Line::Kick { whom, id } => {
            let connection = (known.name_of)(*whom);
            let text = format!("{{\"command\":\"kick\",\"connection\":\"{connection}\"{}}}\n", id_field(id.as_ref()));
            (text, Asked::Kick { connection, id: id.clone() })
        }
        Line::Watch { prefix, id } => {
            let field = prefix.as_ref().map_or(String::new(), |prefix| format!(r#","prefix":{}"#, quoted(prefix)));
            let text = format!("{{\"command\":\"watch\"{field}{}}}\n", id_field(id.as_ref()));
            (text, Asked::Watch { prefix: prefix.clone().unwrap_or_default(), id: id.clone() })
        }
        Line::Unwatch { id } => {
            let text = format!("{{\"command\":\"unwatch\"{}}}\n", id_field(id.as_ref()));
            (text, Asked::Unwatch { id: id.clone() })
        }
        Line::Stats { id } => {
            let text = format!("{{\"command\":\"stats\"{}}}\n", id_field(id.as_ref()));
            (text, Asked::Stats { id: id.clone() })
        }
        Line::Page { has_idle, limit, has_detail, goes_on, id } => {
            let after = known.listing.filter(|_| *goes_on).cloned();
            let mut text = r#"{"command":"connections""#.to_owned();
            for (is_asked, field) in [(*has_idle, r#","all":true"#), (*has_detail, r#","detail":true"#)] {
                text += if is_asked { field } else { "" };
            }
            text += &limit.map_or(String::new(), |limit| format!(r#","limit":{limit}"#));
            text += &after.as_ref().map_or(String::new(), |after| format!(r#","after":{}"#, quoted(&after.next)));
            text += &format!("{}}}\n", id_field(id.as_ref()));
            let (has_idle, limit, has_detail, id) = (*has_idle, *limit, *has_detail, id.clone());
            (text, Asked::Page(Page { has_idle, limit, has_detail, after, id }))
        }
        Line::Stray { line, field } => {
            let (mut text, asked) = written(line, known);
            let end = text.rfind('}').expect("a request is an object");
            text.insert_str(end, &format!(",{field}"));
            // A field that is null counts as omitted.
            let asked = if field.ends_with(":null") { asked } else { if_not_strict(asked) };
            (text, asked)
        }
        Line::Foreign { blanks, text, known_after } => {
            let asked = Asked::Foreign { known_after: known_after.unwrap_or(text.len() + 1) };
            (format!("{}{text}\n", "\r\n".repeat(*blanks)), asked)
        }
        Line::Bad { text, reply } => (format!("{text}\n"), Asked::Bad { reply: reply.clone() }),
        Line::Blank => (" \t\r\n".to_owned(), Asked::Nothing),
        Line::Long(bytes) => (format!("{}\n", "x".repeat(*bytes)), Asked::Nothing),
    }
}

fn hello(line: &Line, known: &Known<'_>) -> (String, Asked) {
    let Line::Hello { label, max_idle, strict, notices, session, resume, id } = line else {
        unreachable!("{line:?} is no hello")
    };
    let mut fields = String::new();
    let mut add = |key: &str, value: Option<String>| {
        fields += &value.map_or(String::new(), |value| format!(r#","{key}":{value}"#));
    };
    add("client", label.as_ref().map(|label| quoted(label)));
    add("max_idle", max_idle.as_ref().map(|idle| idle.written.clone()));
    add("strict", strict.map(|strict| strict.to_string()));
    add("notices", notices.map(|notices| notices.to_string()));
    add("session", session.as_ref().map(|grace| format!(r#"{{"grace":{}}}"#, grace.written)));
    let resume = resume.as_ref().map(|secret| match secret {
        Secret::Known(before) => (known.secret_of)(*before).map_or((None, String::new()), |(of, it)| (Some(of), it)),
        Secret::Wrong(secret) => (None, secret.clone()),
    });
    add("resume", resume.as_ref().map(|(_, secret)| quoted(secret)));
    add("id", id.as_ref().map(|id| id.written.clone()));
    let greeting =
        Greeting { grace: session.as_ref().map(|grace| grace.nanos), resume: resume.map(|(number, _)| number) };
    let hello = Hello {
        label: label.clone(),
        max_idle: max_idle.as_ref().map(|idle| idle.nanos),
        strict: *strict,
        notices: *notices,
        sessions: greeting,
        id: id.clone(),
    };
    (format!("{{\"command\":\"hello\"{fields}}}\n"), Asked::Hello(hello))
}

/// The request with the token and the connection that were picked for it.
fn picked(request: &Request, picks: &Picks, known: &Known<'_>) -> Request {
    let mut picked = request.clone();
    let first = picked.target().map_or(String::new(), |target| target.names()[0].clone());
    if let Ask::Unlock { token, .. }
    | Ask::Renew { token, .. }
    | Ask::Revoke { token, .. }
    | Ask::Transfer { token, .. } = &mut picked.ask
    {
        *token = picks.token.as_ref().map(|token| match token {
            Token::OfHold => (known.token_of)(&first),
            Token::Before(count) => (known.token_of)(&first).saturating_sub(*count),
            Token::Exactly(token) => *token,
        });
    }
    if let Ask::Revoke { connection, .. } | Ask::Transfer { to: connection, .. } = &mut picked.ask {
        *connection = picks.connection.map(known.name_of);
    }
    picked
}

/// The same with a field that the command does not have.
fn if_not_strict(asked: Asked) -> Asked {
    let refusal = match &asked {
        Asked::Locks(request) => {
            let target = request.target();
            let refusal = target.map_or_else(|| error("invalid_request", None), |it| error_on("invalid_request", &it));
            let owner = request.known_owner();
            with_id(with_owner(refusal, owner), request.id.as_ref().map(|id| id.returned.as_str()))
        }
        Asked::Hello(Hello { id, .. })
        | Asked::Kick { id, .. }
        | Asked::Watch { id, .. }
        | Asked::Unwatch { id }
        | Asked::Stats { id }
        | Asked::Page(Page { id, .. }) => {
            with_id(error("invalid_request", None), id.as_ref().map(|id| id.returned.as_str()))
        }
        other => unreachable!("{other:?} has no fields"),
    };
    Asked::IfNotStrict { asked: Box::new(asked), refusal }
}

fn id_field(id: Option<&Id>) -> String {
    id.map_or(String::new(), |id| format!(r#","id":{}"#, id.written))
}
