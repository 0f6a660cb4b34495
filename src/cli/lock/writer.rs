//! The thread that writes to stderr.
//!
//! A terminal after Ctrl-S, or a pipe that nobody reads, takes nothing for as long as it likes. Whoever looks after the
//! lock and the command must not wait for that, so it only queues the lines here. What does not fit is dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

/// To the first column, and nothing after it.
const ERASE: &str = "\r\x1b[K";

/// Lines that wait to be written; further ones are dropped.
const LINES_MAX: usize = 64;

/// The lines to write, for the writing thread.
#[derive(Debug, Default)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    /// Lines that stay.
    lines: VecDeque<String>,
    /// The waiting line, as it should look once `lines` are written.
    drawing: Option<String>,
    /// `drawing` is not what the terminal shows.
    is_redrawn: bool,
    /// The thread is writing what it has taken from here.
    is_writing: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.is_redrawn && !self.is_writing
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let writer = Writer::default();
        let shared = Arc::clone(&writer.0);
        thread::Builder::new().name("officer-writer".to_owned()).spawn(move || {
            // With `stty tostop`, a job in the background that writes is stopped, and its keep-alives with it. Not so if
            // the thread that writes has this signal blocked.
            let _ = SigSet::from(Signal::SIGTTOU).thread_block();
            write_on(&shared, &mut io::stderr());
        })?;
        Ok(writer)
    }

    /// A line that stays.
    pub(super) fn say(&self, line: String) {
        let mut pending = self.0.pending();
        pending.is_redrawn |= pending.drawing.take().is_some();
        if pending.lines.len() < LINES_MAX {
            pending.lines.push_back(line);
        }
        self.0.changed.notify_all();
    }

    /// A line that the next one, of either kind, replaces.
    pub(super) fn draw(&self, line: String) {
        let mut pending = self.0.pending();
        (pending.drawing, pending.is_redrawn) = (Some(line), true);
        self.0.changed.notify_all();
    }

    /// Leaves the terminal as it was.
    pub(super) fn erase(&self) {
        let mut pending = self.0.pending();
        pending.is_redrawn |= pending.drawing.take().is_some();
        self.0.changed.notify_all();
    }

    /// Waits for so long at most. Says whether everything is written.
    pub(super) fn is_written_within(&self, limit: Duration) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.0.pending(), limit, |pending| !pending.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }
}

/// Writes what there is, and what comes, until the process ends.
fn write_on(shared: &Shared, output: &mut impl Write) {
    let mut is_drawn = false;
    loop {
        let waited = shared.changed.wait_while(shared.pending(), |pending| pending.is_empty());
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut pending.lines);
        let drawing = pending.drawing.clone();
        (pending.is_redrawn, pending.is_writing) = (false, true);
        drop(pending);

        let text = text_of(is_drawn, &lines, drawing.as_deref());
        is_drawn = drawing.is_some();
        // Nobody has to read it.
        let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());

        shared.pending().is_writing = false;
        shared.changed.notify_all();
    }
}

/// What to write for these, on a terminal that shows a drawing or does not.
fn text_of(is_drawn: bool, lines: &VecDeque<String>, drawing: Option<&str>) -> String {
    let mut text = String::new();
    if is_drawn && (!lines.is_empty() || drawing.is_none()) {
        text.push_str(ERASE);
    }
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    if let Some(drawing) = drawing {
        // What was drawn before is erased after it is overwritten: erased before, it would flicker.
        text.push_str(&format!("\r{drawing}\x1b[K"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_erased_before_what_stays() {
        let lines = VecDeque::from(["officer: held".to_owned()]);
        let none = VecDeque::new();
        for (is_drawn, lines, drawing, text) in [
            (false, &none, Some("1s"), "\r1s\x1b[K"),
            (true, &none, Some("2s"), "\r2s\x1b[K"),
            (true, &none, None, "\r\x1b[K"),
            (false, &lines, None, "officer: held\n"),
            (true, &lines, None, "\r\x1b[Kofficer: held\n"),
            (true, &lines, Some("3s"), "\r\x1b[Kofficer: held\n\r3s\x1b[K"),
        ] {
            assert_eq!(text_of(is_drawn, lines, drawing), text);
        }
    }

    #[test]
    fn nothing_waits_for_an_output_that_takes_nothing_and_little_is_kept_for_it() {
        // There is no thread.
        let writer = Writer::default();
        for number in 0..LINES_MAX + 10 {
            writer.draw(format!("{number}s"));
            writer.say(format!("line {number}"));
        }
        let pending = writer.0.pending();
        assert_eq!((pending.lines.len(), pending.lines[0].as_str(), &pending.drawing), (LINES_MAX, "line 0", &None));
        drop(pending);
        assert!(!writer.is_written_within(Duration::ZERO));
    }
}
