//! `hello` and `kick`: what connections say of themselves, and sessions that are made, resumed and ended.

use super::connection::{Connection, Leave, Phase};
use super::{Asked, Expected, Number, returned};
use crate::limits::Limits;
use crate::model::{Greeted, Greeting, error, seconds, secret, with_id};
use crate::sizes::Id;

/// What a server has beyond the commands and fields of the first one.
const FEATURES: &str = r#"["owner","fence","mode","slots","lease","renew","names","any","priority","deadlock","min_hold","lost_delay","label","token","revoke","one_lock","contended","my_locks_page","notices","progress","hint","transfer","session","watch","stats","users","strict"]"#;

/// The fields of a `hello`. None: it has no such field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hello {
    pub(crate) label: Option<String>,
    pub(crate) max_idle: Option<u64>,
    pub(crate) strict: Option<bool>,
    pub(crate) notices: Option<bool>,
    pub(crate) sessions: Greeting,
    pub(crate) id: Option<Id>,
}

impl Asked {
    /// Whether it is a `hello` that wants a session back.
    pub(super) fn is_resumption(&self) -> bool {
        match self {
            Asked::Hello(hello) => hello.sessions.resume.is_some(),
            Asked::IfNotStrict { asked, .. } => asked.is_resumption(),
            _ => false,
        }
    }
}

impl Expected {
    pub(super) fn hello(&mut self, number: Number, hello: Hello) {
        self.coverage.count("command hello");
        let id = returned(hello.id.as_ref());
        let greeted = match self.locks.greet(number, hello.sessions, self.now) {
            Ok(greeted) => greeted,
            Err(reason) => return self.push_all(vec![(number, with_id(error(reason, None), id))]),
        };
        self.count_greeting(&hello, &greeted);
        if let Some(label) = hello.label {
            self.locks.set_label(number, &label);
        }
        if let Some(wants_notices) = hello.notices {
            self.locks.set_notices(number, wants_notices);
        }
        let of_all = self.limits.max_idle.unwrap_or(u64::MAX);
        let connection = &mut self.connections[number];
        if let Some(max_idle) = hello.max_idle {
            // Up to whole milliseconds.
            connection.max_idle = max_idle.checked_next_multiple_of(1_000_000).unwrap_or(u64::MAX).min(of_all);
        }
        if let Some(is_strict) = hello.strict {
            connection.is_strict = is_strict;
        }
        let max_idle = if connection.max_idle == u64::MAX { 0 } else { connection.max_idle };
        let Limits { line_bytes_max, connection_locks_max, lock_waits_max, reply_bytes_max, .. } = &self.limits;
        let reply = format!(
            r#"{{"result":"hello","server":"officer","version":"{}","connection":"{}","limits":{{"line_bytes_max":{line_bytes_max},"connection_locks_max":{connection_locks_max},"lock_waits_max":{lock_waits_max},"reply_bytes_max":{reply_bytes_max},"max_idle":{},"silent_after":{}}},"features":{FEATURES}{}}}"#,
            env!("CARGO_PKG_VERSION"),
            connection.name,
            seconds(max_idle),
            seconds(max_idle),
            greeted.keys,
        );
        if let Some(old) = greeted.taken_from {
            self.lose_to_another(old);
        }
        self.push(number, with_id(reply, id));
    }

    /// Another connection has resumed its session.
    fn lose_to_another(&mut self, old: Number) {
        let connection = &mut self.connections[old];
        connection.has_session = false;
        let kinds = [
            (connection.phase != Phase::Open, "a session taken from a connection that ends"),
            (connection.unsent > 0, "a session taken from a connection with unsent output"),
            (connection.lines.iter().any(|line| !line.is_blank()), "a session taken from a connection with more input"),
        ];
        kinds.into_iter().filter(|(is_so, _)| *is_so).for_each(|(_, kind)| self.coverage.count(kind));
        self.push(old, error("session_taken", None));
        self.doom(old, Leave::Read);
    }

    fn count_greeting(&mut self, hello: &Hello, greeted: &Greeted) {
        let is_resumed = hello.sessions.resume.is_some();
        let has_session = greeted.keys.contains("\"session\":");
        let kinds = [
            (is_resumed && greeted.keys.contains("\"name"), "a resumption of a session that has something"),
            (is_resumed && !has_session, "a resumption that ends the session"),
            (!is_resumed && hello.sessions.grace.is_some_and(|grace| grace > 0), "a hello with a session"),
            (!is_resumed && hello.sessions.grace == Some(0), "a hello without a session again"),
        ];
        kinds.into_iter().filter(|(is_so, _)| *is_so).for_each(|(_, kind)| self.coverage.count(kind));
    }

    pub(super) fn kick(&mut self, number: Number, name: &str, id: Option<&str>) {
        self.coverage.count("command kick");
        if !self.may_kick(number) {
            self.push(number, with_id(error("not_allowed", None), id));
            return;
        }
        let answer = with_id(r#"{"result":"kicked"}"#.to_owned(), id);
        let of_session = self.locks.seat_of(name);
        let is_it = |number: &Number| {
            let Connection { name: other, has_session, .. } = &self.connections[*number];
            *has_session && (other == name || of_session == Some(*number))
        };
        let Some(kicked) = self.there.iter().copied().find(is_it) else {
            let Some(seat) = of_session else {
                self.push(number, with_id(r#"{"result":"kick_failed"}"#.to_owned(), id));
                return;
            };
            self.coverage.count("a session kicked that has no connection");
            let said = self.locks.disconnect(seat, self.now);
            self.push_all(said);
            self.push(number, answer);
            return;
        };
        if kicked == number {
            self.push(number, answer.clone());
        }
        if self.connections[kicked].phase == Phase::Open {
            self.coverage.count("end kicked");
        }
        if of_session.is_some() {
            self.coverage.count("a session kicked that has a connection");
        }
        self.doom(kicked, Leave::Sent);
        self.end_session(kicked);
        if kicked != number {
            self.push(number, answer);
        }
    }

    /// A reply as it was received, with what stands for the secret in place of it. The client keeps what it was sent, and
    /// that is the same each time.
    pub(super) fn unsealed(&mut self, received: &str, expected: &str) -> String {
        let number = |part: &str| part[..14].parse::<u64>().expect("14 digits");
        let seal = secret(0);
        let Some((_, part)) = expected.split_once(&seal[..seal.len() - 14]) else { return received.to_owned() };
        let number = number(part);
        let value: serde_json::Value = serde_json::from_str(received).unwrap_or_default();
        let told = value["session"]["secret"].as_str().unwrap_or_default();
        let is_hex = told.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_new = !self.secrets.values().any(|other| other == told);
        let is_right = self.secrets.get(&number).map_or(is_new, |known| known == told);
        if told.len() != seal.len() || !is_hex || !is_right {
            return received.to_owned();
        }
        self.secrets.insert(number, told.to_owned());
        received.replace(told, &secret(number))
    }
}
