//! Requests by HTTP as lines of the protocol, so that both mean the same.

use serde_json::{Map, Value};

use crate::wire::request::PAGE_ROWS_MAX;

/// The line of a command whose fields are the parameters of a query. Listings are pages in detail unless it says otherwise.
///
/// # Errors
/// The message says what is wrong with the query.
pub(super) fn line_of_query(command: &str, query: &str) -> Result<String, String> {
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        let value = match name.as_str() {
            "limit" => value.parse::<u64>().map_or(Value::String(value), Value::from),
            "detail" | "all" | "contended" => value.parse::<bool>().map_or(Value::String(value), Value::from),
            _ => Value::String(value),
        };
        if fields.contains_key(&name) {
            return Err(format!("the parameter {name:?} is there twice"));
        }
        fields.insert(name, value);
    }
    if matches!(command, "locks" | "connections") {
        fields.entry("detail").or_insert(true.into());
        if !fields.contains_key("name") {
            fields.entry("limit").or_insert(PAGE_ROWS_MAX.into());
        }
    }
    line(command, fields)
}

/// The line of a command whose other fields are those of a JSON object.
///
/// # Errors
/// The message says what is wrong with the body.
pub(super) fn line_of_body(command: &str, body: &[u8]) -> Result<String, String> {
    let fields = serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON object: {error}"))?;
    line(command, fields)
}

fn line(command: &str, mut fields: Map<String, Value>) -> Result<String, String> {
    match fields.insert("command".to_owned(), command.into()) {
        None => Ok(Value::from(fields).to_string()),
        Some(_) => Err("the command is that of the path".to_owned()),
    }
}

/// The text that `%20` and `+` stand for.
fn decoded(text: &str) -> Result<String, String> {
    let digit = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let (mut bytes, mut decoded) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("a % in the query stands before two hexadecimal digits".to_owned()),
            },
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| "the query is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_query_are_the_fields_of_a_command() {
        for (command, query, line) in [
            ("locks", "", r#"{"command":"locks","detail":true,"limit":1000}"#),
            ("locks", "&limit=5&&detail=false", r#"{"command":"locks","detail":false,"limit":5}"#),
            ("locks", "name=a%20b%2B+c", r#"{"command":"locks","detail":true,"name":"a b+ c"}"#),
            (
                "locks",
                "prefix=%22%7b%c3%A9&limit=x",
                r#"{"command":"locks","detail":true,"limit":"x","prefix":"\"{é"}"#,
            ),
            (
                "connections",
                "all=true&after=7",
                r#"{"after":"7","all":true,"command":"connections","detail":true,"limit":1000}"#,
            ),
            ("locks", "contended=true", r#"{"command":"locks","contended":true,"detail":true,"limit":1000}"#),
            ("stats", "x", r#"{"command":"stats","x":""}"#),
        ] {
            let sorted = |line: &str| serde_json::from_str::<std::collections::BTreeMap<String, Value>>(line).unwrap();
            assert_eq!(sorted(&line_of_query(command, query).unwrap()), sorted(line), "{query}");
        }
        for query in ["a=1&a=2", "limit=1&%6cimit=2", "a=%", "a=%4", "a=%g0", "a=%+1", "a=%ff", "%ff", "command=kick"] {
            assert!(line_of_query("locks", query).is_err(), "{query}");
        }
    }

    #[test]
    fn the_fields_of_a_body_are_those_of_a_command() {
        assert_eq!(
            line_of_body("kick", b" {\"connection\" :\n\"a\"}").unwrap().len(),
            r#"{"command":"kick","connection":"a"}"#.len()
        );
        for body in [&b""[..], b"[]", b"1", b"{", b"{}{}", b"{\"command\":\"kick\"}", b"{\"a\":\xff}"] {
            assert!(line_of_body("kick", body).is_err(), "{body:?}");
        }
    }
}
