//! Requests with fields that do not go together, or are beyond what they may be.

use crate::model::{WORDING, array};
use crate::sizes::{Draw, number, quoted, text};

/// A request that is refused, and the answer.
pub(crate) fn bad_request(name: &str, draw: Draw<'_>) -> (String, String) {
    let other = format!("{}x", name.chars().take(20).collect::<String>());
    let two = array(&[name.to_owned(), other]);
    let name = quoted(name);
    let one = |fields: &str| (format!(r#""name":{name},{fields}"#), format!(r#","name":{name}"#));
    let several = |fields: &str| (format!(r#""names":{two}{fields}"#), format!(r#","names":{two}"#));
    let nothing = |fields: String| (fields, String::new());
    let command = pick(&["unlock", "renew", "revoke", "lock", "lock", "lock", "lock", "lock", "lock"], draw);
    let (fields, echo) = match command {
        "unlock" | "renew" => match draw(3) {
            0 => bad_token(one, draw),
            1 => nothing(r#""names":["a"]"#.to_owned()),
            _ => nothing(r#""token":1"#.to_owned()),
        },
        "revoke" => match draw(3) {
            0 => bad_token(one, draw),
            1 => nothing(r#""connection":"unix:1""#.to_owned()),
            _ => one(r#""connection":1"#),
        },
        _ => match draw(10) {
            0 => one(pick(
                &[
                    r#""mode":"shared","slots":2"#,
                    r#""mode":"exclusive","slots":2"#,
                    r#""mode":"shared","min_hold":1"#,
                    r#""slots":2,"lost_delay":0"#,
                    r#""any":true"#,
                ],
                draw,
            )),
            1 => several(pick(
                &[
                    r#","slots":2"#,
                    r#","priority":0"#,
                    r#","min_hold":0"#,
                    r#","lost_delay":1"#,
                    r#","any":true,"deadlock":"refuse""#,
                    r#","timeout":"1""#,
                ],
                draw,
            )),
            2 => one(pick(&[r#""mode":"Shared""#, r#""mode":1"#, r#""deadlock":"allow""#, r#""deadlock":true"#], draw)),
            3 => one(pick(&[r#""fence":1"#, r#""fence":"true""#, r#""any":0"#, r#""label":5"#], draw)),
            4 => one(pick(&[r#""slots":0"#, r#""slots":1.5"#, r#""slots":2147483649"#, r#""slots":"2""#], draw)),
            5 => one(pick(
                &[r#""priority":8"#, r#""priority":-1"#, r#""priority":0.5"#, r#""priority":4294967296"#],
                draw,
            )),
            6 => one(pick(&[r#""lease":0"#, r#""lease":-1"#, r#""lease":"1""#, r#""min_hold":-0.5"#], draw)),
            7 => one(pick(&[r#""min_hold":86400.001"#, r#""lost_delay":1e300"#, r#""lost_delay":[]"#], draw)),
            8 => {
                let label = quoted(&text(129 + draw(2) * draw(100), draw));
                one(&format!(r#""label":{label}"#))
            }
            _ => match draw(4) {
                0 => nothing(r#""names":[]"#.to_owned()),
                1 => nothing(format!(r#""names":[{name},{name}]"#)),
                2 => nothing(format!(r#""names":[{name},5]"#)),
                _ => nothing(format!(r#""names":[{}]"#, vec!["\"x\""; 65].join(","))),
            },
        },
    };
    let reply = format!(r#"{{"result":"error","reason":"invalid_request","message":"{WORDING}"{echo}}}"#);
    (format!(r#"{{"command":"{command}",{fields}}}"#), reply)
}

fn pick(of: &[&'static str], draw: Draw<'_>) -> &'static str {
    of[usize::try_from(draw(of.len() as u64)).expect("few")]
}

fn bad_token(one: impl Fn(&str) -> (String, String), draw: Draw<'_>) -> (String, String) {
    let beyond = (1_u64 << 53) + number(60, draw);
    match draw(4) {
        0 => one(r#""token":"1""#),
        1 => one(r#""token":-1"#),
        2 => one(r#""token":0.5"#),
        _ => one(&format!(r#""token":{beyond}"#)),
    }
}
