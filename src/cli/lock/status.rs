//! What is said on stderr: with `-v` what happens, and on a terminal, in a line that comes and goes, how long it takes.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::signals;
use super::writer::Writer;
use crate::console::failure::Locks;
use crate::console::shown::{Count, Shown, Span};

/// What is said, and what is drawn. Nothing here waits for stderr, but for [`Status::is_written_within`].
#[derive(Debug)]
pub(super) struct Status {
    locks: String,
    is_verbose: bool,
    /// Whether stderr is a terminal that knows how to erase.
    is_terminal: bool,
    writer: Writer,
    /// What takes its time, and since when.
    doing: String,
    since: Instant,
    interrupted_at: Instant,
}

impl Status {
    pub(super) fn start(locks: &Locks, address: &str, is_verbose: bool) -> io::Result<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal.is_empty() || terminal == "dumb");
        Ok(Status {
            locks: locks.to_string(),
            is_verbose,
            is_terminal: io::stderr().is_terminal() && !is_dumb,
            writer: Writer::start()?,
            doing: format!("connecting to {}", Shown(address)),
            since: Instant::now(),
            interrupted_at: Instant::now(),
        })
    }

    /// The locks, as messages show them.
    pub(super) fn locks(&self) -> &str {
        &self.locks
    }

    /// The locks are being waited for.
    pub(super) fn wait(&mut self) {
        self.doing = format!("waiting for {}", self.locks);
        self.since = Instant::now();
    }

    /// `ahead` others had been waiting when this began to wait. With --verbose a line tells more.
    pub(super) fn queued(&mut self, ahead: u64) {
        if !self.is_verbose && ahead > 0 {
            let verb = if ahead == 1 { "was" } else { "were" };
            self.doing = format!("waiting for {}, {} {verb} ahead,", self.locks, Count(ahead));
        }
    }

    /// The connection is gone, and the session is not.
    pub(super) fn interrupted(&mut self, reason: &str) {
        self.interrupted_at = Instant::now();
        if self.is_verbose {
            self.say(&format_args!(
                "the connection was lost: {}; connecting again while the session lasts",
                Shown(reason)
            ));
        }
    }

    /// The session goes on.
    pub(super) fn resumed(&self, does: &str) {
        if self.is_verbose {
            let after = Span(self.interrupted_at.elapsed());
            self.say(&format_args!("connected again after {after}; {does} {}", self.locks));
        }
    }

    pub(super) fn ahead(&self, who: &str) {
        let line = format!("{}, {who}", self.doing);
        self.say(&line);
    }

    /// These locks are held: of several perhaps one.
    pub(super) fn acquired(&mut self, locks: &Locks) {
        self.erase();
        self.locks = locks.to_string();
        if self.is_verbose {
            let line = format!("acquired {} after {}", self.locks, Span(self.since.elapsed()));
            self.say(&line);
        }
    }

    pub(super) fn released(&self, held: Duration) {
        if self.is_verbose {
            let line = format!("released {} after {}", self.locks, Span(held));
            self.say(&line);
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &impl Display) {
        self.writer.say(format!("officer: {line}"));
    }

    /// Draws how long it takes, in whole seconds. Returns the time until that changes.
    pub(super) fn tick(&self) -> Duration {
        let elapsed = self.since.elapsed();
        let seconds = elapsed.as_secs();
        // What a job in the background writes ends up in what the person types for the shell.
        if self.is_terminal && seconds > 0 && signals::is_in_foreground() {
            let line = format!("officer: {} for {}", self.doing, Seconds(seconds));
            let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col));
            self.writer.draw(cut(&line, if columns == 0 { 80 } else { columns }));
        }
        Duration::from_secs(seconds + 1) - elapsed
    }

    /// Leaves the terminal as it was.
    pub(super) fn erase(&self) {
        self.writer.erase();
    }

    /// Waits for so long at most. Says whether everything is written.
    pub(super) fn is_written_within(&self, limit: Duration) -> bool {
        self.writer.is_written_within(limit)
    }
}

/// Whole seconds, as [`Span`] has them from 10 on.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..10 => write!(f, "{}s", self.0),
            seconds => Span(Duration::from_secs(seconds)).fmt(f),
        }
    }
}

/// The line without its middle, if it is too long: one that wraps could not be erased, and its end is what changes.
fn cut(line: &str, columns: usize) -> String {
    // The last column stays free: some terminals wrap as soon as it is written. What is not ASCII may take two.
    let width = |character: char| if character.is_ascii() { 1 } else { 2 };
    let room = columns.saturating_sub(1);
    if line.chars().map(width).sum::<usize>() <= room {
        return line.to_owned();
    }
    let end_room = (room / 2).min(12);
    let mut end: Vec<char> = Vec::new();
    let mut used = 2;
    for character in line.chars().rev() {
        if used + width(character) > end_room {
            break;
        }
        used += width(character);
        end.push(character);
    }
    let mut cut = String::new();
    for character in line.chars() {
        if used + width(character) > room {
            break;
        }
        used += width(character);
        cut.push(character);
    }
    if room >= 2 {
        cut.push('…');
    }
    cut.extend(end.iter().rev());
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_does_not_fit_keeps_its_end() {
        let line = "officer: waiting for 'boss:17' for 12s";
        assert_eq!(cut(line, 80), line);
        assert_eq!(cut(line, line.len() + 1), line);
        assert_eq!(cut(line, 24), "officer: wai…' for 12s");
        for columns in 0..50 {
            assert!(cut(line, columns).chars().count() <= columns.saturating_sub(1), "{columns}");
            assert!(cut("官官官官官官官官", columns).chars().count() * 2 <= columns, "{columns}");
        }
    }
}
