//! What a line of a scenario is on the wire, and what it asks.

use crate::expected::{Asked, Listing, Page};
use crate::model::{Ask, error, with_id};
use crate::scenario::{Line, Seat};
use crate::sizes::{Id, quoted};

/// The text, `\n` included, and what it asks. `listing` is the last listing of connections, and `name_of` names the
/// connection in a seat.
pub(crate) fn written(line: &Line, listing: Option<&Listing>, name_of: &dyn Fn(Seat) -> String) -> (String, Asked) {
    match line {
        Line::Request { request, padding, ending } => {
            let line = request.line();
            let padding = " ".repeat(*padding);
            (format!("{}{padding}}}{ending}", &line[..line.len() - 1]), Asked::Locks(request.clone()))
        }
        Line::Hello { label, max_idle, strict, id } => {
            let client = label.as_ref().map_or(String::new(), |label| format!(r#","client":{}"#, quoted(label)));
            let idle = max_idle.as_ref().map_or(String::new(), |idle| format!(r#","max_idle":{}"#, idle.written));
            let is_strict = strict.map_or(String::new(), |strict| format!(r#","strict":{strict}"#));
            let text = format!("{{\"command\":\"hello\"{client}{idle}{is_strict}{}}}\n", id_field(id.as_ref()));
            let max_idle = max_idle.as_ref().map(|idle| idle.nanos);
            (text, Asked::Hello { label: label.clone(), max_idle, strict: *strict, id: id.clone() })
        }
        Line::Kick { seat, id } => {
            let connection = name_of(*seat);
            let text = format!("{{\"command\":\"kick\",\"connection\":\"{connection}\"{}}}\n", id_field(id.as_ref()));
            (text, Asked::Kick { connection, id: id.clone() })
        }
        Line::Page { has_idle, limit, has_detail, goes_on, id } => {
            let after = listing.filter(|_| *goes_on).cloned();
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
            let (mut text, asked) = written(line, listing, name_of);
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

/// The same with a field that the command does not have.
fn if_not_strict(asked: Asked) -> Asked {
    let (name, id) = match &asked {
        Asked::Locks(request) => match &request.ask {
            Ask::Lock { name, .. } | Ask::Unlock { name } => (Some(name.as_str()), request.id.as_ref()),
            _ => (None, request.id.as_ref()),
        },
        Asked::Hello { id, .. } | Asked::Kick { id, .. } | Asked::Page(Page { id, .. }) => (None, id.as_ref()),
        other => unreachable!("{other:?} has no fields"),
    };
    let refusal = with_id(error("invalid_request", name), id.map(|id| id.returned.as_str()));
    Asked::IfNotStrict { asked: Box::new(asked), refusal }
}

fn id_field(id: Option<&Id>) -> String {
    id.map_or(String::new(), |id| format!(r#","id":{}"#, id.written))
}
