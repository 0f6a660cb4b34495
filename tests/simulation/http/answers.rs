//! What was answered, compared with what was owed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::connections::{Body, Owed};
use super::locks::check_hottest;
use crate::answers::{Answer, answer};

/// Compares all that a connection has received with all that it was owed.
///
/// # Errors
/// What is different.
pub(crate) fn compare(bytes: &[u8], owed: Vec<Owed>) -> Result<(), String> {
    let mut rest = bytes;
    for owed in owed {
        let (answer, length) = answer(rest, owed.has_body).map_err(|message| format!("{message}\nowed: {owed:?}"))?;
        rest = &rest[length..];
        compare_one(&answer, &owed)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("nobody asked for {}", String::from_utf8_lossy(rest))) }
}

fn compare_one(answer: &Answer, owed: &Owed) -> Result<(), String> {
    let closes = answer.fields.get("connection").is_some_and(|value| value == "close");
    if (answer.status, closes) != (owed.status, owed.closes) {
        return Err(format!("{answer:?}, not {} (closes: {})", owed.status, owed.closes));
    }
    for (status, field) in [(401, "www-authenticate"), (405, "allow"), (503, "retry-after")] {
        if answer.fields.contains_key(field) != (answer.status == status) {
            return Err(format!("{field} is there or not: {answer:?}"));
        }
    }
    if !owed.has_body {
        return Ok(());
    }
    match &owed.body {
        Body::Any => Ok(()),
        Body::Metrics(samples) => compare_metrics(&answer.body, samples),
        Body::Locks(rows) => {
            let told = locks(&json(answer)?["value"]);
            if told == *rows { Ok(()) } else { Err(format!("the locks are {told:?}, not {rows:?}")) }
        }
        Body::Hottest(waited) => check_hottest(waited, &hottest(&json(answer)?["value"]["hottest"])),
    }
}

fn json(answer: &Answer) -> Result<Value, String> {
    serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))
}

fn compare_metrics(text: &str, samples: &BTreeMap<String, String>) -> Result<(), String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let told: BTreeMap<&str, &str> = lines.filter_map(|line| line.rsplit_once(' ')).collect();
    for (key, value) in samples {
        if told.get(key.as_str()) != Some(&value.as_str()) {
            return Err(format!("{key} is {:?}, not {value}", told.get(key.as_str())));
        }
    }
    Ok(())
}

/// Names with the connections of holders and waiters.
fn locks(value: &Value) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let connections = |places: &Value| {
        let places = places.as_array().into_iter().flatten();
        places.map(|place| place["connection"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let rows = value.as_object().into_iter().flatten();
    rows.map(|(name, row)| (name.clone(), (connections(&row["holders"]), connections(&row["waiters"])))).collect()
}

fn hottest(value: &Value) -> Vec<(String, u128, u64)> {
    let nanos = |seconds: &Value| Duration::from_secs_f64(seconds.as_f64().unwrap_or_default()).as_nanos();
    let row = |row: &Value| {
        let name = row["name"].as_str().unwrap_or_default().to_owned();
        (name, nanos(&row["waited"]), row["waits"].as_u64().unwrap_or_default())
    };
    value.as_array().into_iter().flatten().map(row).collect()
}
