//! What `hello` answers about a session, and about what it still has when it is resumed.

use super::digits::push_u64;
use super::items::push_id;
use super::json::{push_seconds, push_str};
use super::reply::Subject;
use super::{IdRef, OwnerRef};
use crate::time::Span;

/// The session of a connection, as its client learns of it.
#[derive(Clone, Copy)]
pub struct HelloSession<'a> {
    /// Whoever has it can resume the session.
    pub secret: &'a str,
    /// How long it goes on without a connection.
    pub grace: Span,
}

/// Shows everything but the secret.
impl std::fmt::Debug for HelloSession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelloSession").field("grace", &self.grace).finish_non_exhaustive()
    }
}

impl HelloSession<'_> {
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"session\":{\"secret\":");
        push_str(out, self.secret);
        out.extend_from_slice(b",\"grace\":");
        push_seconds(out, self.grace);
        out.push(b'}');
    }
}

/// A lock that a resumed session holds.
#[derive(Clone, Copy, Debug)]
pub struct HeldRow<'a> {
    /// The lock.
    pub name: &'a str,
    /// The owner that holds it. None: the session itself.
    pub owner: Option<OwnerRef<'a>>,
    /// The token of the hold.
    pub token: u64,
    /// How many wait for the lock.
    pub waiters: u64,
    /// How long its lease has left, if it has one.
    pub lease_left: Option<Span>,
}

/// A request of a resumed session that still waits.
#[derive(Clone, Copy, Debug)]
pub struct WaitRow<'a> {
    /// The lock, or the locks.
    pub subject: Subject<'a>,
    /// Whether one of the locks is enough.
    pub is_any: bool,
    /// The owner that waits. None: the session itself.
    pub owner: Option<OwnerRef<'a>>,
    /// The id of the request, if it had one.
    pub id: Option<IdRef<'a>>,
}

/// What a resumed session still has, row by row. Rows that would make it larger than a reply may be are counted only.
#[derive(Clone, Debug)]
pub struct Resumed {
    held: Rows,
    waiting: Rows,
    bytes_max: usize,
    /// How many lines were taken from the session's connections.
    pub executed: u64,
}

#[derive(Clone, Debug, Default)]
struct Rows {
    text: Vec<u8>,
    count: u64,
}

impl Resumed {
    /// Nothing so far. All rows together have at most `bytes_max` bytes, or only their number is told.
    pub fn new(bytes_max: usize) -> Self {
        Resumed { held: Rows::default(), waiting: Rows::default(), bytes_max, executed: 0 }
    }

    /// Adds a hold.
    pub fn hold(&mut self, row: &HeldRow<'_>) {
        self.held.count += 1;
        if self.is_too_large() {
            return;
        }
        let text = &mut self.held.text;
        begin(text);
        text.extend_from_slice(b"{\"name\":");
        push_str(text, row.name);
        push_owner(text, row.owner);
        text.extend_from_slice(b",\"token\":");
        push_u64(text, row.token);
        text.extend_from_slice(b",\"waiters\":");
        push_u64(text, row.waiters);
        if let Some(lease_left) = row.lease_left {
            text.extend_from_slice(b",\"lease_left\":");
            push_seconds(text, lease_left);
        }
        text.push(b'}');
    }

    /// Adds a wait.
    pub fn wait(&mut self, row: &WaitRow<'_>) {
        self.waiting.count += 1;
        if self.is_too_large() {
            return;
        }
        let text = &mut self.waiting.text;
        begin(text);
        match row.subject {
            Subject::Lock(name) => {
                text.extend_from_slice(b"{\"name\":");
                push_str(text, name);
            }
            Subject::Locks(names) => {
                text.extend_from_slice(b"{\"names\":[");
                text.extend_from_slice(names.text());
                text.push(b']');
            }
        }
        if row.is_any {
            text.extend_from_slice(b",\"any\":true");
        }
        push_owner(text, row.owner);
        if let Some(id) = row.id {
            text.extend_from_slice(b",\"id\":");
            push_id(text, id);
        }
        text.push(b'}');
    }

    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        let is_too_large = self.is_too_large();
        for (rows, list, count) in
            [(&self.held, ",\"held\":[", ",\"held_count\":"), (&self.waiting, ",\"waiting\":[", ",\"waiting_count\":")]
        {
            if is_too_large {
                out.extend_from_slice(count.as_bytes());
                push_u64(out, rows.count);
            } else {
                out.extend_from_slice(list.as_bytes());
                out.extend_from_slice(&rows.text);
                out.push(b']');
            }
        }
        out.extend_from_slice(b",\"executed\":");
        push_u64(out, self.executed);
    }

    /// No further row is written then: it may exceed the limit by one.
    fn is_too_large(&self) -> bool {
        self.held.text.len() + self.waiting.text.len() > self.bytes_max
    }
}

fn begin(text: &mut Vec<u8>) {
    if !text.is_empty() {
        text.push(b',');
    }
}

fn push_owner(text: &mut Vec<u8>, owner: Option<OwnerRef<'_>>) {
    if let Some(owner) = owner {
        text.extend_from_slice(b",\"owner\":");
        push_id(text, owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Id;
    use crate::wire::items::Items;

    fn written(resumed: &Resumed) -> String {
        let mut out = Vec::new();
        resumed.push_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn resumed(bytes_max: usize) -> Resumed {
        let mut resumed = Resumed::new(bytes_max);
        let bare = HeldRow { name: "a\n", owner: None, token: 5, waiters: 0, lease_left: None };
        resumed.hold(&bare);
        let lease_left = Some(Span::from_nanos(1_500_000_000));
        resumed.hold(&HeldRow { name: "b", owner: Some(Id::Text("7")), token: 6, waiters: 2, lease_left });
        resumed.wait(&WaitRow { subject: Subject::Lock("c"), is_any: false, owner: None, id: None });
        let names = Items::from_iter(["d", "e"]);
        let (owner, id) = (Some(Id::Number(7.into())), Some(Id::Text("x")));
        resumed.wait(&WaitRow { subject: Subject::Locks(&names), is_any: true, owner, id });
        resumed.executed = 9;
        resumed
    }

    #[test]
    fn a_row_has_what_applies_and_nothing_else() {
        let rows = concat!(
            r#","held":[{"name":"a\n","token":5,"waiters":0},{"name":"b","owner":"7","token":6,"waiters":2,"lease_left":1.500}]"#,
            r#","waiting":[{"name":"c"},{"names":["d","e"],"any":true,"owner":7,"id":"x"}],"executed":9"#,
        );
        assert_eq!(written(&resumed(10_000)), rows);
        assert_eq!(written(&Resumed::new(0)), r#","held":[],"waiting":[],"executed":0"#);
    }

    #[test]
    fn over_the_limit_both_lists_are_numbers() {
        let fits = resumed(usize::MAX);
        let bytes = fits.held.text.len() + fits.waiting.text.len();
        assert_eq!(written(&resumed(bytes)), written(&fits));
        for bytes_max in [bytes - 1, 40, 0] {
            let counts = r#","held_count":2,"waiting_count":2,"executed":9"#;
            assert_eq!(written(&resumed(bytes_max)), counts, "{bytes_max}");
        }
    }

    #[test]
    fn a_secret_is_not_shown_where_a_reply_is_debugged() {
        let session = HelloSession { secret: "0123", grace: Span::ZERO };
        assert!(!format!("{session:?}").contains("0123"));
        let mut out = Vec::new();
        session.push_to(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#","session":{"secret":"0123","grace":0}"#);
    }
}
