//! `officer watch`: what happens to locks, a line for each event.

use std::io::{self, StdoutLock, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use super::reader::is_gone;
use crate::client::{Error, LockEvent, Owner, WatchEvent};
use crate::console::Failure;
use crate::console::address::ServerOptions;
use crate::console::place::shown_owner;
use crate::console::shown::Shown;
use crate::console::utc::Utc;

const AFTER: &str = r#"A line has the time, the event, the lock, the connection and its owner, if it has one:
  2026-11-28T10:36:38.123Z granted  boss:17  127.0.0.1:40312  owner ann
  2026-11-28T10:36:39.004Z queued   boss:17  127.0.0.1:40314
  2026-11-28T10:36:41.950Z released boss:17  127.0.0.1:40312  owner ann
  2026-11-28T10:36:41.950Z granted  boss:17  127.0.0.1:40314

granted: the lock was granted. queued: a request began to wait. left: a wait ended without the lock. released: a hold ended. expired: its lease ran out. revoked: 'officer revoke' ended it. closed: the lock stays closed after the hold (--min-hold, --lost-delay). opened: it is no longer closed. missed: the server left out this many events, because they came faster than they were read. Events tell what happens from now on: 'officer locks' lists the current state.

If the connection is lost, a line on stderr says so, and a new one is made as soon as possible. What happens in between is not shown.

With --json every event is one line, as the server sends it:
  {"name":"boss:17","notice":"event","event":"granted","connection":"127.0.0.1:40312","owner":"ann"}
  {"notice":"event","event":"missed","count":17}
Two more lines enclose the time in which events may be missing:
  {"notice":"interrupted","reason":"the server closed the connection"}
  {"result":"watching"}

Exit status:
  0   the reader of the output has closed it
  1   the output could not be written
  2   the command line is wrong
  69  there is no connection to a server at the start, or it can't be watched"#;

/// How often to check whether anybody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
#[command(allow_negative_numbers = true, after_help = AFTER)]
pub(super) struct Options {
    /// Only locks whose names start with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// For programs: lines of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let failure = |error| options.server.failure(error);
    // The watch has a connection of its own, so nothing else is left of this client.
    let mut watch = options.server.connect()?.watch(&options.prefix).map_err(failure)?;
    let mut printer = Printer { out: io::stdout().lock(), is_json: options.json };
    printer.watching()?;
    let mut is_connected = true;
    loop {
        let event = watch.next_within(LOOK_EVERY);
        if !is_connected && watch.is_connected() {
            tell("watching again; what happened in between is not shown");
            printer.watching()?;
        }
        is_connected = watch.is_connected();
        match event {
            Ok(Some(event)) => {
                if let WatchEvent::Interrupted { reason } = &event {
                    let address = options.server.shown();
                    tell(&format!(
                        "the connection to {} was lost: {}; events may be missing until there is a new one",
                        Shown(&address),
                        Shown(reason)
                    ));
                }
                printer.print(&event)?;
            }
            // It was replaced by another one.
            Err(error @ Error::Unsupported { .. }) => return Err(failure(error)),
            Ok(None) | Err(_) if is_gone(&printer.out) => return Ok(()),
            Ok(None) | Err(_) => {}
        }
    }
}

fn tell(line: &str) {
    // It need not be read.
    let _ = writeln!(io::stderr(), "officer: {line}");
}

/// Writes each line at once: whoever reads them may wait for the next.
struct Printer {
    out: StdoutLock<'static>,
    is_json: bool,
}

/// A line of JSON, with the keys in the order in which the server has them.
#[derive(Default, Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Printer {
    /// What follows is complete from here on.
    fn watching(&mut self) -> Result<(), Failure> {
        match self.is_json {
            true => self.json(&Line { result: Some("watching"), ..Line::default() }),
            false => Ok(()),
        }
    }

    fn print(&mut self, event: &WatchEvent) -> Result<(), Failure> {
        if self.is_json {
            return match line_of(event) {
                Some(line) => self.json(&line),
                None => Ok(()),
            };
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match text_of(event) {
            Some(text) => self.write(format!("{} {text}\n", time(now)).as_bytes()),
            None => Ok(()),
        }
    }

    fn json(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(line).map_err(|error| Failure::Output(error.into()))?;
        line.push(b'\n');
        self.write(&line)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.out.write_all(line).and_then(|()| self.out.flush()).map_err(Failure::Output)
    }
}

/// None: nothing that is known.
fn line_of(event: &WatchEvent) -> Option<Line<'_>> {
    let notice = Some("event");
    match event {
        WatchEvent::Lock(LockEvent { happening, name, connection, owner, .. }) => Some(Line {
            name: Some(name),
            notice,
            event: Some(happening.as_str()),
            connection: connection.as_deref(),
            owner: owner.as_ref(),
            ..Line::default()
        }),
        WatchEvent::Missed { count } => {
            Some(Line { notice, event: Some("missed"), count: Some(*count), ..Line::default() })
        }
        WatchEvent::Interrupted { reason } => {
            Some(Line { notice: Some("interrupted"), reason: Some(reason), ..Line::default() })
        }
    }
}

/// None: it is told on stderr.
fn text_of(event: &WatchEvent) -> Option<String> {
    match event {
        WatchEvent::Lock(LockEvent { happening, name, connection, owner, .. }) => {
            let mut text = format!("{:<8} {}", happening.as_str(), Shown(name));
            text.extend(connection.iter().map(|connection| format!("  {}", Shown(connection))));
            text.extend(owner.iter().map(|owner| format!("  owner {}", shown_owner(owner))));
            Some(text)
        }
        WatchEvent::Missed { count: 1 } => Some("missed   1 event".to_owned()),
        WatchEvent::Missed { count } => Some(format!("missed   {count} events")),
        WatchEvent::Interrupted { .. } => None,
    }
}

/// With milliseconds.
fn time(since_1970: Duration) -> String {
    let seconds = Utc(since_1970.as_secs()).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), since_1970.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(time(Duration::from_millis(951_782_399_004)), "2000-02-28T23:59:59.004Z");
    }

    #[test]
    fn an_interruption_and_missed_events_are_lines_for_programs() {
        let json = |event: &WatchEvent| serde_json::to_string(&line_of(event).unwrap()).unwrap();
        assert_eq!(json(&WatchEvent::Missed { count: 17 }), r#"{"notice":"event","event":"missed","count":17}"#);
        let interrupted = WatchEvent::Interrupted { reason: "gone".to_owned() };
        assert_eq!(json(&interrupted), r#"{"notice":"interrupted","reason":"gone"}"#);
        assert_eq!(text_of(&interrupted), None);
        assert_eq!(text_of(&WatchEvent::Missed { count: 1 }).as_deref(), Some("missed   1 event"));
        assert_eq!(text_of(&WatchEvent::Missed { count: 17 }).as_deref(), Some("missed   17 events"));
    }
}
