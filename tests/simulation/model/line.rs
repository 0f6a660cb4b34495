//! Requests as lines.

use super::{Ask, Extra, Lock, Mode, Request, Target, array};
use crate::sizes::quoted;

impl Request {
    /// The line, without its `\n`.
    pub fn line(&self) -> String {
        let mut line = match &self.ask {
            Ask::Lock(lock) => format!("{}{}", command("lock", &lock.target), lock.fields()),
            Ask::Unlock { target, token } => command("unlock", target) + &field("token", token.as_ref()),
            Ask::Renew { target, token, lease } => {
                let lease = field("lease", lease.as_ref().map(|lease| &lease.written));
                command("renew", target) + &field("token", token.as_ref()) + &lease
            }
            Ask::Revoke { name, token, connection } => {
                let connection = field("connection", connection.as_ref().map(|connection| quoted(connection)));
                command("revoke", &Target::One(name.clone())) + &field("token", token.as_ref()) + &connection
            }
            Ask::Transfer { name, to, to_owner, token } => {
                let to = field("to", to.as_ref().map(|to| quoted(to)));
                let to_owner = field("to_owner", to_owner.as_ref().map(|owner| &owner.written));
                command("transfer", &Target::One(name.clone())) + &to + &to_owner + &field("token", token.as_ref())
            }
            Ask::Page { prefix, is_contended, has_detail } => {
                let contended = if *is_contended { r#","contended":true"# } else { "" };
                format!(r#"{{"command":"locks","prefix":{}{contended},"detail":{has_detail}"#, quoted(prefix))
            }
            Ask::One { name, has_detail } => {
                let detail = if *has_detail { r#","detail":true"# } else { "" };
                format!(r#"{{"command":"locks","name":{}{detail}"#, quoted(name))
            }
            Ask::Reset => r#"{"command":"reset""#.to_owned(),
            Ask::Locks => r#"{"command":"locks""#.to_owned(),
            Ask::Connections => r#"{"command":"connections""#.to_owned(),
            Ask::MyLocks => r#"{"command":"my_locks""#.to_owned(),
            Ask::MyLocksPage { has_detail } => format!(r#"{{"command":"my_locks","limit":1000,"detail":{has_detail}"#),
            Ask::KeepAlive => r#"{"command":"keep_alive""#.to_owned(),
            Ask::Ping => r#"{"command":"ping""#.to_owned(),
        };
        line += &field("owner", self.owner.as_ref().map(|owner| &owner.written));
        line += &field("id", self.id.as_ref().map(|id| &id.written));
        line + "}"
    }
}

impl Lock {
    fn fields(&self) -> String {
        let Extra { fence, mode, slots, lease, any, priority, refuses_deadlock, .. } = &self.extra;
        let Extra { min_hold, lost_delay, label, progress, hint, .. } = &self.extra;
        let mode = mode.map(|mode| if mode == Mode::Shared { "\"shared\"" } else { "\"exclusive\"" });
        [
            field("timeout", self.timeout.as_ref().map(|timeout| &timeout.written)),
            field("queue_max", self.queue_max.as_ref().map(|queue_max| &queue_max.written)),
            field("any", any.as_ref()),
            field("fence", fence.as_ref()),
            field("mode", mode),
            field("slots", slots.as_ref().map(|slots| &slots.written)),
            field("lease", lease.as_ref().map(|lease| &lease.written)),
            field("priority", priority.as_ref().map(|priority| &priority.written)),
            field("deadlock", refuses_deadlock.then_some("\"refuse\"")),
            field("min_hold", min_hold.as_ref().map(|min_hold| &min_hold.written)),
            field("lost_delay", lost_delay.as_ref().map(|lost_delay| &lost_delay.written)),
            field("label", label.as_ref().map(|label| quoted(label))),
            field("progress", progress.as_ref()),
            field("hint", hint.as_ref()),
        ]
        .concat()
    }
}

fn command(word: &str, target: &Target) -> String {
    let target = match target {
        Target::One(name) => format!(r#""name":{}"#, quoted(name)),
        Target::Several(names) => format!(r#""names":{}"#, array(names)),
    };
    format!(r#"{{"command":"{word}",{target}"#)
}

fn field(key: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map_or(String::new(), |value| format!(r#","{key}":{value}"#))
}
