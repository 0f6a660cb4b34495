//! A request as a client writes it.

use serde::Serialize;

use super::Owner;

/// A request, with the fields that it has.
#[derive(Default, Serialize)]
pub(super) struct Request<'a> {
    pub(super) command: &'static str,
    pub(super) id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) any: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<&'a Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slots: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fence: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadlock: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_hold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost_delay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_owner: Option<&'a Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notices: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Grace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resume: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) all: Option<bool>,
}

/// The field `session`.
#[derive(Debug, Serialize)]
pub(super) struct Grace {
    /// In seconds.
    pub(super) grace: f64,
}

impl<'a> Request<'a> {
    /// A request about locks of an owner.
    pub(super) fn about(command: &'static str, names: &'a [String], owner: Option<&'a Owner>) -> Self {
        let request = Request { command, owner, ..Request::default() };
        match names {
            [name] => Request { name: Some(name), ..request },
            _ => Request { names: Some(names), ..request },
        }
    }

    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and numbers are JSON");
        line.push(b'\n');
        line
    }
}
